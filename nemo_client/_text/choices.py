"""The values that can be chosen, as plain names: nodes show them at ComfyUI's start, without what works with them."""

from __future__ import annotations

from typing import Final

FORMATS: Final[tuple[str, ...]] = ("mp4", "mov", "webm", "mkv", "avi", "gif")
"""How files end; requests, nodes, shell and panel read them here."""
QUALITIES: Final[tuple[str, ...]] = ("high", "medium", "low")
RESOLUTIONS: Final[tuple[str, ...]] = ("auto", "1080p", "720p", "480p")
RATIOS: Final[tuple[str, ...]] = ("auto", "9:16", "16:9", "1:1", "4:5", "3:4", "4:3", "21:9")
LANGUAGES: Final = ("auto", "en", "zh-CN", "ja", "ko", "es", "fr", "de", "pt", "ru")
"""Of a project."""
WHEN_CHANGED: Final = ("stop", "edit the newest state", "generate again (pays)")
"""What an edit does where its place was edited before with other words."""

"""The languages of a project that can be chosen, as plain names."""

from __future__ import annotations

from typing import Final

LANGUAGES: Final = ("auto", "en", "zh-CN", "ja", "ko", "es", "fr", "de", "pt", "ru")

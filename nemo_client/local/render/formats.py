"""What videos can be exported as: formats with their media types, and qualities."""

from __future__ import annotations

MIME_TYPES = {
    "mp4": "video/mp4",
    "mov": "video/quicktime",
    "webm": "video/webm",
    "mkv": "video/x-matroska",
    "avi": "video/x-msvideo",
    "gif": "image/gif",
}
FORMATS = tuple(MIME_TYPES)
QUALITIES = ("high", "medium", "low")

"""What is kept for a job beside the journal: the pictures that were uploaded for it."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageOps

from ._colours import in_srgb
from ._config import home
from ._errors import InputError
from ._jobs import Job, uploads_behind, uploads_of
from ._journal import Journal
from ._media import MAX_PIXELS, UploadStore

_FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
_JPEG_QUALITY = 80


async def pictures_of(journal: Journal, jobs: Sequence[Job], directory: Path | None = None) -> dict[str, Path]:
    """Where the kept picture of each job would lie, by the job's key: the nearest still uploaded before it."""
    uploads = await uploads_of(journal, [job.key for job in jobs])
    folder = home(directory)
    return {
        key: UploadStore(folder).place(names[0])
        for key, found in uploads.items()
        if (names := [name for name, mime in found if mime.startswith("image/")])
    }


def thumbnail(path: Path, side: int) -> bytes:
    """A kept picture as a small upright JPEG, `side` pixels at the most. Blocks."""
    try:
        with Image.open(path, formats=_FORMATS) as image:
            if image.width * image.height > MAX_PIXELS:
                raise InputError("image-too-large", width=image.width, height=image.height, limit=MAX_PIXELS // 10**6)
            image.draft("RGB", (side, side))
            image.thumbnail((side, side))
            profile = image.info.get("icc_profile")
            turned = ImageOps.exif_transpose(image)
            upright = (in_srgb(turned, profile) or turned).convert("RGBA")
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise InputError("not-an-image", name=path.name) from error
    out = io.BytesIO()
    white = Image.new("RGBA", upright.size, "white")
    Image.alpha_composite(white, upright).convert("RGB").save(out, "JPEG", quality=_JPEG_QUALITY)
    return out.getvalue()


async def forget_job(journal: Journal, job: Job, directory: Path | None = None, *, keep_uploads: bool = False) -> int:
    """Take a job off the lists, and delete what was kept for it alone; how many files that were.

    The job stays known, so that its request is not paid again. Of a job whose message is out nothing is deleted.
    """
    deleted = 0
    if job.state not in ("sent", "unknown") and not keep_uploads:
        deleted = UploadStore(home(directory)).forget(await uploads_behind(journal, job))
    await journal.hide(job.key)
    return deleted

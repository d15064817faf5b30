"""NemoVideo Upload File or URL: uploads files, web addresses, AUDIO and VIDEO."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ._comfy import host, inputs, run, statements
from ._comfy import images as tensors

if TYPE_CHECKING:
    from ..nemo_client import Media, SessionHandle, Studio


class NemoUploadMedia:
    """Uploads one file, address, sound or video."""

    CATEGORY = "NemoVideo"
    DESCRIPTION = "Uploads a file, a web address, sound or a video to a project. Free."
    SEARCH_ALIASES = ("load video", "load audio", "music", "url", "file", "sound", "上传")
    RETURN_TYPES = ("NEMO_SESSION",)
    RETURN_NAMES = ("session",)
    OUTPUT_TOOLTIPS = ("The project with the file.",)
    FUNCTION = "upload"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {"auth": inputs.AUTH},
            "optional": {
                "source": (
                    "STRING",
                    {
                        "default": "",
                        "tooltip": "A file in ComfyUI's input, output or temp folder, or a web address "
                        "(http or https). Leave it empty when audio or video is connected.",
                    },
                ),
                "audio": (
                    "AUDIO",
                    {"tooltip": "Optional. Sound to use, for example as music. Of a batch only the first."},
                ),
                "video": ("VIDEO", {"tooltip": "Optional. A video to use, trimmed as it is."}),
                "session": ("NEMO_SESSION", {"tooltip": "Optional. Add to this project; else a new one is opened."}),
            },
        }

    @classmethod
    def IS_CHANGED(cls, source: Any = "", **_: Any) -> str:
        return host.stamp_file(str(source or ""))

    @run.word_errors
    async def upload(
        self, auth: Any, source: str = "", audio: Any = None, video: Any = None, session: Any = None
    ) -> tuple[Any]:
        """The session with what was given."""
        from ..nemo_client import InputError

        await asyncio.sleep(0)  # from here on ComfyUI reports an error without the inputs
        given = [name for name, value in (("source", source.strip()), ("audio", audio), ("video", video)) if value]
        if len(given) != 1:
            raise InputError("one-source", given=", ".join(given) or "-")
        with _media(source, audio, video) as reading:
            media = await asyncio.to_thread(reading)
            statements.current().note_media([media])
            return (await run.run_one(auth.profile, _work(media, auth.language, session), language=auth.language),)


@contextmanager
def _media(source: str, audio: Any, video: Any) -> Iterator[Any]:
    """What reads the media, in a thread; a video that has to be written out lies in a folder that goes afterwards."""
    from ..nemo_client import from_file, from_samples, from_url

    if audio is not None:
        yield lambda: from_samples(*tensors.to_samples(audio))
    elif video is not None:
        with tempfile.TemporaryDirectory(prefix="nemo-video-") as folder:
            yield lambda: from_file(*host.find_video_file(video, Path(folder)))
    elif host.is_address(source):
        yield lambda: from_url(source.strip())
    else:
        yield lambda: from_file(*host.find_readable_file(source))


def _work(media: Media, language: str, onto: SessionHandle | None) -> Any:
    page = host.find_page_language()

    async def work(studio: Studio, item: run.Item) -> SessionHandle:
        return await studio.upload([media], language=language, page=page, onto=onto, caller=item.caller)

    return work

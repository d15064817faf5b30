"""NemoVideo Upload Image: uploads pictures to a project."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, cast

from ._comfy import host, inputs, lists, run, statements
from ._comfy import images as tensors

if TYPE_CHECKING:
    from ..nemo_client import Media, NemoError, SessionHandle, Studio

if TYPE_CHECKING:
    Picture = Media | NemoError


class NemoUploadImage:
    """Uploads images, all into one session or one session each."""

    CATEGORY = "NemoVideo"
    DESCRIPTION = "Uploads pictures to a project. Free."
    SEARCH_ALIASES = ("load image", "send image", "photo", "picture", "input", "上传")
    RETURN_TYPES = ("NEMO_SESSION",)
    RETURN_NAMES = ("session",)
    OUTPUT_TOOLTIPS = ("The project with the pictures: one, or one for each picture.",)
    FUNCTION = "upload"
    INPUT_IS_LIST = True
    OUTPUT_IS_LIST = (True,)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        encodings = ["auto", "png", "jpeg", "webp"]
        return {
            "required": {"auth": inputs.AUTH, "image": inputs.IMAGE, "batch_mode": inputs.BATCH_MODE},
            "optional": {
                "session": (
                    "NEMO_SESSION",
                    {"tooltip": "Optional. Add to this project: one, or one for each picture."},
                ),
                "mask": (
                    "MASK",
                    {"tooltip": "Optional. White becomes transparent. Resized to the picture; not with jpeg."},
                ),
                "encoding": (
                    encodings,
                    {
                        "default": "auto",
                        "advanced": True,
                        "tooltip": "auto: jpeg without visible loss, png where something is transparent.",
                    },
                ),
            },
        }

    @classmethod
    def IS_CHANGED(cls, **_: Any) -> int:
        return lists.count_reruns()

    @run.word_errors
    async def upload(
        self,
        auth: list[Any],
        image: list[Any],
        batch_mode: list[str],
        session: Sequence[Any] = (),
        mask: Sequence[Any] = (),
        encoding: Sequence[str] = ("auto",),
    ) -> tuple[list[Any]]:
        """The sessions, after all uploads have finished."""
        handle = auth[0]
        one_each = batch_mode[0] == inputs.ONE_EACH
        pictures = await asyncio.to_thread(read_pictures, image, mask, encoding[0])
        statements.current().note_media(pictures)
        groups = [[picture] for picture in pictures] if one_each else [pictures]
        onto = _sessions_for(session, groups)
        works = [_work(group, handle.language, target) for group, target in zip(groups, onto, strict=True)]
        outcomes = await run.run_all(handle.profile, works, language=handle.language)
        rows = lists.settle_items(outcomes, lists.SKIP, lambda error: {0: _make_failed_handle(handle, error)}, 1)
        return ([row[0] if isinstance(row, tuple) else row for row in rows],)


def _make_failed_handle(auth: Any, error: Exception) -> SessionHandle:
    """What stands for an image that was not uploaded, so that the nodes behind decide: stop, or continue."""
    from ..nemo_client import SessionHandle

    return SessionHandle(auth.profile, auth.language, "", "", "", error=lists.word_failure(error))


def read_pictures(images: Sequence[Any], masks: Sequence[Any], encoding: Any) -> list[Picture]:
    """IMAGE batches as media to upload, in order; the error in the place of each that is none.

    Blocks; side by side over all cores, with as many pictures in memory at once.
    """
    readers = tensors.make_readers(images, masks)
    if len(readers) == 1:
        return [_encode_picture(readers[0], encoding)]
    with ThreadPoolExecutor(min(len(readers), os.cpu_count() or 1), "nemo-pictures") as pool:
        return list(pool.map(lambda read: _encode_picture(read, encoding), readers))


def _encode_picture(read: Callable[[], Any], encoding: Any) -> Picture:
    from ..nemo_client import NemoError, from_pixels

    try:
        return from_pixels(read(), encoding, shrink=True)
    except NemoError as error:
        return error.with_traceback(None)  # it would keep the pixels


def require_all_readable(pictures: Sequence[Picture]) -> list[Media]:
    """The pictures of one video; raises the first one's error if one could not be read."""
    from ..nemo_client import NemoError

    for picture in pictures:
        if isinstance(picture, NemoError):
            raise picture
    return cast("list[Media]", list(pictures))


def _sessions_for(sessions: Sequence[Any], groups: Sequence[object]) -> list[SessionHandle | None]:
    from ..nemo_client import InputError

    given = [each for each in sessions if each is not None]
    if len(given) not in (0, 1, len(groups)):
        raise InputError("sessions-and-images", sessions=len(given), images=len(groups))
    if len(given) == len(groups):
        return list(given)
    if given:
        raise InputError("sessions-and-images", sessions=len(given), images=len(groups))
    return [None] * len(groups)


def _work(pictures: list[Picture], language: str, onto: SessionHandle | None) -> Any:
    page = host.find_page_language()

    async def work(studio: Studio, item: run.Item) -> SessionHandle:
        media = require_all_readable(pictures)
        return await studio.upload(media, language=language, page=page, onto=onto, caller=item.caller)

    return work

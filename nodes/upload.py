"""NemoVideo Upload Image: pictures into a session."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import _images, _inputs, _lists, _run

if TYPE_CHECKING:
    from ..nemo_client import Media, SessionHandle, Studio


class NemoUploadImage:
    """Uploads images, all into one session or one session each."""

    CATEGORY = "NemoVideo"
    DESCRIPTION = "Uploads images. Free; an image that was uploaded before is not sent again while its session lives."
    RETURN_TYPES = ("NEMO_SESSION",)
    RETURN_NAMES = ("session",)
    OUTPUT_TOOLTIPS = ("The session with the images: one, or one an image.",)
    FUNCTION = "upload"
    INPUT_IS_LIST = True
    OUTPUT_IS_LIST = (True,)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        encodings = ["auto", "png", "jpeg", "webp"]
        return {
            "required": {"auth": _inputs.AUTH, "image": _inputs.IMAGE, "batch_mode": _inputs.BATCH_MODE},
            "optional": {
                "session": ("NEMO_SESSION", {"tooltip": "Add to this session: one, or as many as images."}),
                "mask": ("MASK", {"tooltip": "White is transparent; resized to the image. Not with jpeg."}),
                "encoding": (
                    encodings,
                    {
                        "default": "auto",
                        "tooltip": "auto: jpeg without visible loss, png where something is transparent.",
                    },
                ),
            },
        }

    @_run.in_words
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
        one_each = batch_mode[0] == _inputs.ONE_EACH
        pictures = await asyncio.to_thread(pictures_of, image, mask, encoding[0])
        groups = [[picture] for picture in pictures] if one_each else [pictures]
        onto = _sessions_for(session, groups)
        works = [_work(group, handle.language, target) for group, target in zip(groups, onto, strict=True)]
        outcomes = await _run.run_all(handle.profile, works, language=handle.language)
        return (list(_lists.settle(outcomes, _lists.STOP, lambda _: {}, 1)),)


def pictures_of(images: Sequence[Any], masks: Sequence[Any], encoding: Any) -> list[Media]:
    """IMAGE batches as media to upload, in order. Blocks."""
    from ..nemo_client import from_pixels

    return [from_pixels(pixels, encoding) for pixels in _images.to_pixels(images, masks)]


def _sessions_for(sessions: Sequence[Any], groups: list[list[Media]]) -> list[SessionHandle | None]:
    from ..nemo_client import InputError

    given = [each for each in sessions if each is not None]
    if len(given) not in (0, 1, len(groups)):
        raise InputError("sessions-and-images", sessions=len(given), images=len(groups))
    if len(given) == len(groups):
        return list(given)
    if given:
        raise InputError("sessions-and-images", sessions=len(given), images=len(groups))
    return [None] * len(groups)


def _work(media: list[Media], language: str, onto: SessionHandle | None) -> Any:
    async def work(studio: Studio, item: _run.Item) -> SessionHandle:
        return await studio.upload(media, language=language, onto=onto, caller=item.caller)

    return work

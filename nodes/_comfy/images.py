"""IMAGE and MASK tensors to 8-bit pixels and back; the only module that touches tensors. No network.

IMAGE: float32 [B, H, W, C] in 0..1 with C in 1, 3, 4. MASK: float32 [H, W] or [B, H, W], 1 = transparent. Either may
be half precision, on another device, or an inference tensor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ... import nemo_client

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

if TYPE_CHECKING:
    Pixels = npt.NDArray[np.uint8]

PIECE = 64 * 1024


def to_pixels(images: Sequence[Any], masks: Sequence[Any] = ()) -> list[Pixels]:
    """All pictures of all batches, in order: uint8 [H, W, C], values outside 0..1 clipped.

    Masks (one for all, or one a picture) become transparency; an all-zero mask means opaque. Raises `InputError`
    for an empty batch, another shape, or values that are no numbers.
    """
    return [read() for read in make_readers(images, masks)]


def make_readers(images: Sequence[Any], masks: Sequence[Any] = ()) -> list[Callable[[], Pixels]]:
    """As `to_pixels`, but one call a picture: one that cannot be read, or its mask, costs only itself.

    Raises `InputError` only for what concerns all of them: no pictures, or another number of masks.
    """
    pictures = [read for image in images for read in _batch(image)]
    if not pictures:
        raise nemo_client.InputError("image-empty")
    alphas = [read for mask in masks if mask is not None for read in _alphas(mask)]
    if len(alphas) not in (0, 1, len(pictures)):
        raise nemo_client.InputError("mask-shape", shape=f"{len(alphas)} masks for {len(pictures)} images")
    if len(alphas) < len(pictures):
        alphas = (alphas or [_opaque]) * len(pictures)
    return [partial(_both, picture, alpha) for picture, alpha in zip(pictures, alphas, strict=True)]


def to_image(pixels: Pixels) -> Any:
    """One picture as IMAGE: float32 [1, H, W, 3]."""
    return to_batch([pixels])


def to_batch(pictures: Sequence[Pixels]) -> Any:
    """Pictures of one size as IMAGE: float32 [B, H, W, 3]."""
    import numpy as np
    import torch

    return torch.from_numpy(np.stack([each[..., :3] for each in pictures]).astype(np.float32) / np.float32(255))


def to_samples(audio: Any) -> tuple[npt.NDArray[np.float32], int]:
    """AUDIO as samples [channels, n] in -1..1, and their rate in Hz; the first sound of a batch.

    Raises `InputError` for another shape.
    """
    try:
        given, rate = audio["waveform"], int(audio["sample_rate"])
    except (TypeError, ValueError, LookupError, OverflowError) as error:
        raise nemo_client.InputError("audio-shape", shape=type(audio).__name__, rate="?") from error
    waveform = _array(given)
    if waveform.ndim != 3 or waveform.size == 0:
        raise nemo_client.InputError("audio-shape", shape="x".join(str(side) for side in waveform.shape), rate=rate)
    return waveform[0], rate


def _batch(image: Any) -> list[Callable[[], Pixels]]:
    """What reads each picture of a batch; a batch that is none stands for one picture that cannot be read."""
    try:
        array = _array(image)
    except nemo_client.InputError as error:
        return [partial(_raise_refusal, error)]
    if array.ndim == 3:
        array = array[None]
    shape = "x".join(str(side) for side in array.shape)
    if array.ndim != 4 or array.shape[3] not in (1, 3, 4):
        return [partial(_raise_refusal, nemo_client.InputError("image-shape", shape=shape))]
    if array.size == 0:
        return [partial(_raise_refusal, nemo_client.InputError("image-empty"))]
    return [partial(_eight_bit, picture) for picture in array]


def _raise_refusal(error: nemo_client.InputError) -> Pixels:
    raise error


def _array(tensor: Any) -> npt.NDArray[np.float32]:
    """The values of a tensor of fractions, or of yes and no. Bytes are refused: 0..255 would all come out white."""
    if not callable(getattr(tensor, "is_floating_point", None)):
        raise nemo_client.InputError("no-tensor", given=type(tensor).__name__)
    kind = str(tensor.dtype).removeprefix("torch.")
    if not tensor.is_floating_point() and kind != "bool":
        raise nemo_client.InputError("tensor-kind", given=kind)
    try:
        array: npt.NDArray[np.float32] = tensor.detach().cpu().float().numpy()
    except (NotImplementedError, TypeError) as error:  # without memory of its own, or laid out in another way
        raise nemo_client.InputError("no-tensor", given=type(tensor).__name__) from error
    return array


def _eight_bit(picture: npt.NDArray[np.float32]) -> Pixels:
    """Rounded to the nearest of 256 levels; ComfyUI's own conversion truncates, and wraps around outside 0..1.

    Piece by piece: what stays in the processor's cache is looked at three times in the time of one.
    """
    import numpy as np

    pixels = np.empty(picture.shape, np.uint8)
    source, target = picture.reshape(-1), pixels.reshape(-1)
    scratch = np.empty(min(PIECE, source.size), np.float32)
    for start in range(0, source.size, PIECE):
        piece = source[start : start + PIECE]
        scaled = scratch[: piece.size]
        low, high = float(piece.min()), float(piece.max())  # NaN and infinities show in these
        if not (np.isfinite(low) and np.isfinite(high)):
            raise nemo_client.InputError("image-not-finite")
        np.multiply(piece, np.float32(255), out=scaled)
        scaled += np.float32(0.5)
        if low < 0 or high > 1:
            np.clip(scaled, 0.5, 255.5, out=scaled)
        target[start : start + PIECE] = scaled
    return pixels


def _alphas(mask: Any) -> list[Callable[[], Pixels | None]]:
    """What reads the alpha channel of each mask: None where all is opaque."""
    try:
        array = _array(mask)
    except nemo_client.InputError as error:
        return [partial(_raise_refusal, error)]
    if array.ndim == 2:
        array = array[None]
    if array.ndim != 3 or array.size == 0:
        return [
            partial(
                _raise_refusal, nemo_client.InputError("mask-shape", shape="x".join(str(side) for side in array.shape))
            )
        ]
    return [partial(_alpha, each) for each in array]


def _alpha(mask: npt.NDArray[np.float32]) -> Pixels | None:
    if not mask.any():
        return None
    try:
        return 255 - _eight_bit(mask)
    except nemo_client.InputError as error:
        raise nemo_client.InputError("mask-not-finite") from error


def _opaque() -> Pixels | None:
    return None


def _both(picture: Callable[[], Pixels], alpha: Callable[[], Pixels | None]) -> Pixels:
    return _with_alpha(picture(), alpha())


def _with_alpha(picture: Pixels, alpha: Pixels | None) -> Pixels:
    import numpy as np
    from PIL import Image

    if alpha is None:
        return picture
    height, width, channels = picture.shape
    if alpha.shape != (height, width):
        alpha = np.asarray(Image.fromarray(alpha).resize((width, height), Image.Resampling.BILINEAR))
    color = np.repeat(picture, 3, axis=2) if channels == 1 else picture[..., :3]
    if channels == 4:
        alpha = np.minimum(alpha, picture[..., 3])
    return np.dstack([color, alpha])

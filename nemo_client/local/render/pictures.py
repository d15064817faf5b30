"""A still image becomes a `Picture`: upright, opaque, scaled once to what the camera needs, as BT.709 planes.

Converting to Y, Cb and Cr once leaves half of the samples to move in every frame. A picture that moves is kept a little
larger (`HEADROOM`) than the closest frame needs, so that every frame is made by shrinking, never by enlarging.

A picture whose shape differs from the frame's is cropped around its centre; where more than half of it would be lost
(and no pan runs along its long side), it is shown whole, before a blurred and darkened enlargement of itself.
"""

from __future__ import annotations

import io
import math
import struct
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from av.video.reformatter import ColorRange, Colorspace, Interpolation, VideoReformatter
from PIL import ExifTags, Image, ImageCms, ImageFilter, ImageOps

from ..shared.large import DRAWN_PIXELS, TooManyPixels, decode_picture, open_picture
from .errors import RenderError
from .motion import Camera, Size, Window, pan_axis
from .plan import Motion
from .sampler import MARGIN, Bytes, Plane, Sampler, plane_view, scale_gray, single

MAX_SIDE = 30_000
# Not a simple fraction: the sampler finds exact positions for it at every place of a pan.
HEADROOM = 1.1313
# A smaller visible share of the picture than this is no crop any more.
_CROPPABLE = 0.5
# A panorama is panned over at most this many frames' worth of it, around its centre.
_LONGEST_PAN = 6.0
# What Pillow raises for bytes that are no picture, or not all of one.
_DAMAGE = (OSError, ValueError, SyntaxError, EOFError, struct.error, IndexError, KeyError, TypeError, OverflowError)
_LIGHT, _DARK = (244, 244, 244), (24, 24, 24)


@dataclass(frozen=True)
class Picture:
    """Y, Cb and Cr planes, BT.709, limited range; chroma halved, each sample on its left luma column as in files."""

    planes: tuple[Plane, Plane, Plane]

    @property
    def size(self) -> Size:
        """(width, height) in luma pixels."""
        return self.planes[0].width, self.planes[0].height

    def draw(self, sampler: Sampler, window: Window, targets: tuple[Bytes, Bytes, Bytes]) -> None:
        """Fill the three planes of a frame with what `window` shows."""
        sampler.draw(self.planes[0], window, targets[0])
        # Sitting left is a quarter of a chroma sample off the centre, in the picture's scale and in the frame's.
        step = window.width / targets[0].shape[1]
        left = window.left / 2 + (1 - step) / 4
        seen = Window(left, window.top / 2, window.width / 2, window.height / 2)
        for plane, target in zip(self.planes[1:], targets[1:], strict=True):
            sampler.draw(plane, seen, target)


def load_picture(path: Path, frame: Size, motion: Motion) -> Picture:
    """The image in `path`, ready to be seen through a frame of `frame` pixels; raises RenderError."""
    moving = motion.kind != "static"
    try:
        with open_picture(path) as image:
            turned = _read_orientation(image)
            original = (image.height, image.width) if turned >= 5 else (image.width, image.height)
            whole = _is_shown_whole(original, frame, motion)
            closest = Camera(motion, frame if whole else original, frame).closest * (HEADROOM if moving else 1.0)
            scale = _choose_scale(original, frame, closest, whole)
            profile = image.info.get("icc_profile")
            image = _decode_image(image, scale)
            if turned != 1:
                image = ImageOps.exif_transpose(image)
    except (TooManyPixels, Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise RenderError("a picture has too many pixels to be rendered here") from None
    except _DAMAGE as error:
        raise RenderError("a picture cannot be decoded; it may be damaged") from error
    scale *= original[0] / image.width
    image = _make_opaque(_in_srgb(image, profile))
    margin = MARGIN if moving else 0
    if whole:
        size = _make_even(frame[0] * closest, frame[1] * closest)
        return to_planes(np.asarray(_before_itself(image, size)), size, margin)
    left, top, right, bottom = _find_seen_part(image.size, frame, motion)
    size = _make_even((right - left) * scale, (bottom - top) * scale) if moving else frame
    return to_planes(np.asarray(image.crop((left, top, right, bottom))), size, margin)


def to_planes(rgb: Bytes, size: Size, margin: int) -> Picture:
    """RGB bytes (height, width, 3) scaled to `size` as a picture."""
    shrinks = size[0] <= rgb.shape[1]
    scaler = VideoReformatter()
    full = scaler.reformat(
        av.VideoFrame.from_numpy_buffer(rgb, format="rgb24"),
        width=size[0],
        height=size[1],
        format="yuv444p",
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
        interpolation=Interpolation.LANCZOS if shrinks else Interpolation.BICUBIC,
        **single(),
    )
    luma, blue, red = (plane_view(full, index) for index in range(3))
    planes = [Plane.pad(channel, margin) for channel in (luma, _halve_chroma(scaler, blue), _halve_chroma(scaler, red))]
    return Picture((planes[0], planes[1], planes[2]))


def _halve_chroma(scaler: VideoReformatter, channel: Bytes) -> Bytes:
    """A chroma channel for 4:2:0: the mean of two rows, and 1, 2, 1 around the left of two columns."""
    half = (channel.shape[1] // 2, channel.shape[0] // 2)
    shifted = np.pad(channel[:, :-1], ((0, 0), (1, 0)), mode="edge")
    left, right = (scale_gray(scaler, one, half, Interpolation.AREA).astype(np.uint16) for one in (shifted, channel))
    return ((left + right + 1) >> 1).astype(np.uint8)


def _read_orientation(image: Image.Image) -> int:
    """EXIF's 1..8; from 5 on the picture lies on its side."""
    value = image.getexif().get(ExifTags.Base.Orientation, 1)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _decode_image(image: Image.Image, scale: float) -> Image.Image:
    """The pixels in memory; what is far larger than needed is decoded at a fraction of its size, or shrunk at once."""
    own = image.width
    wanted = math.ceil(image.width * scale), math.ceil(image.height * scale)
    decode_picture(image, wanted)
    factor = int(image.width / (own * scale))
    if image.width * image.height <= DRAWN_PIXELS or factor < 2:
        if max(image.size) > MAX_SIDE:
            raise RenderError(f"a picture of {image.width} x {image.height} pixels is too large to be rendered here")
        return image
    if image.mode.startswith("I;16"):
        grey = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).reduce(factor)
        grey.info = image.info
        return grey
    mode = {"1": "L", "P": "RGBA" if "transparency" in image.info else "RGB", "PA": "RGBA"}.get(image.mode, "")
    return (image.convert(mode) if mode else image).reduce(factor)


def _is_shown_whole(picture: Size, frame: Size, motion: Motion) -> bool:
    wide, ours = picture[0] / picture[1], frame[0] / frame[1]
    long_axis = 0 if wide > ours else 1
    return min(wide / ours, ours / wide) < _CROPPABLE and pan_axis(motion) != long_axis


def _choose_scale(picture: Size, frame: Size, closest: float, whole: bool) -> float:
    """Target pixels a source pixel: as many as the closest window needs; a small picture is not blown up for zooms."""
    ratios = frame[0] / picture[0], frame[1] / picture[1]
    cover = min(ratios) if whole else max(ratios)
    return min(cover * closest, max(1.0, cover * HEADROOM))


def _find_seen_part(picture: Size, frame: Size, motion: Motion) -> tuple[int, int, int, int]:
    """The part of the picture that the camera can ever see, as (left, top, right, bottom)."""
    scale = min(picture[0] / frame[0], picture[1] / frame[1])
    extent = [frame[0] * scale, frame[1] * scale]
    axis = pan_axis(motion)
    if axis is not None:
        extent[axis] = min(picture[axis], extent[axis] * _LONGEST_PAN)
    width, height = (max(1, round(side)) for side in extent)
    left, top = (picture[0] - width) // 2, (picture[1] - height) // 2
    return left, top, left + width, top + height


def _before_itself(image: Image.Image, size: Size) -> Image.Image:
    """The whole image in the middle of `size`, before a blurred, darkened enlargement that fills it."""
    small = ImageOps.fit(image, _make_even(size[0] / 16, size[1] / 16), Image.Resampling.BOX)
    small = small.filter(ImageFilter.GaussianBlur(max(1.0, min(small.size) / 12))).point(lambda value: value * 0.5)
    canvas = small.resize(size, Image.Resampling.BICUBIC)
    scale = min(size[0] / image.width, size[1] / image.height)
    fitted = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    front = image.resize(fitted, Image.Resampling.LANCZOS, reducing_gap=3.0)
    canvas.paste(front, ((size[0] - front.width) // 2, (size[1] - front.height) // 2))
    return canvas


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Colours of another profile (phones' Display P3, Adobe RGB) converted, in every mode; else the image as it is."""
    if not profile or image.mode in ("1", "I", "I;16", "F"):
        return image
    try:
        given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(given):
            return image
        space = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}.get(given.profile.xcolor_space.ljust(4), "")
        grey = image.mode in ("L", "LA", "La")
        if not space or (space == "CMYK") != (image.mode == "CMYK") or (space == "L") != grey:
            return image
        see_through = image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info
        alpha = image.convert("RGBA").getchannel("A") if see_through else None
        colours = image if image.mode == space else image.convert(space)
        converted = ImageCms.profileToProfile(colours, given, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return image
    if converted is None:
        return image
    if alpha is not None:
        converted.putalpha(alpha)
    return converted


def _make_opaque(image: Image.Image) -> Image.Image:
    """RGB; see-through parts stand before light grey when the picture is dark, before dark grey when it is light."""
    if image.mode.startswith("I"):
        wide = np.asarray(image).astype(np.int64)
        image = Image.fromarray((wide >> 8).clip(0, 255).astype(np.uint8))
    if not (image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info):
        return image if image.mode == "RGB" else image.convert("RGB")
    layered = image.convert("RGBA")
    alpha = layered.getchannel("A")
    thumbnail = layered.resize((32, 32), Image.Resampling.BOX)
    weights = np.asarray(thumbnail.getchannel("A")).astype(float)
    luma = np.asarray(thumbnail.convert("RGB").convert("L")).astype(float)
    mean = float((luma * weights).sum() / weights.sum()) if weights.any() else 0.0
    ground = Image.new("RGB", layered.size, _LIGHT if mean < 128 else _DARK)
    ground.paste(layered.convert("RGB"), mask=alpha)
    return ground


def _make_even(width: float, height: float) -> Size:
    return max(2, round(width / 2) * 2), max(2, round(height / 2) * 2)

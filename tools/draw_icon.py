"""Draw the icon and the banner of the pack: a picture that becomes the frames of a video.

Flat shapes only, so that both files stay small and the icon reads at 32 pixels. Everything is drawn four times as
large and scaled down. The lettering is the font that Pillow itself carries, so the result is the same everywhere.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageFont

Color = tuple[int, int, int]
Point = tuple[float, float]

ICON = (400, 400)
BANNER = (1260, 540)  # 21:9
FINE = 4  # drawn this many times as large

NIGHT, DUSK = (16, 20, 43), (42, 38, 92)
SKY_TOP, SKY_LOW = (88, 110, 214), (255, 190, 140)
SUN, SNOW, ROCK, HILL, LAKE = (255, 226, 150), (247, 240, 246), (104, 88, 150), (58, 52, 112), (74, 96, 178)
ACCENT, PAPER, QUIET = (255, 122, 89), (255, 255, 255), (176, 184, 222)

PEAKS: list[Point] = [(-0.3, 0.69), (0.02, 0.44), (0.14, 0.52), (0.42, 0.17), (0.62, 0.45), (0.78, 0.34), (1.3, 0.69)]
CAP: list[Point] = [(0.42, 0.17), (0.51, 0.296), (0.455, 0.275), (0.425, 0.325), (0.385, 0.27), (0.335, 0.268)]
HILLS: list[Point] = [(-0.3, 0.72), (0.0, 0.585), (0.3, 0.665), (0.62, 0.6), (0.9, 0.655), (1.3, 0.58), (1.3, 0.72)]
SHORE = 0.69


def gradient(size: tuple[int, int], top: Color, low: Color) -> Image.Image:
    """From `top` to `low`, straight down."""
    ramp = Image.linear_gradient("L").resize(size)
    return Image.composite(Image.new("RGB", size, low), Image.new("RGB", size, top), ramp)


def scene(width: int, height: int, time: float) -> Image.Image:
    """A mountain lake at `time` 0..1 of the shot: the camera pushes in, the sun goes down."""
    picture = Image.new("RGB", (width, height))
    picture.paste(gradient((width, round(SHORE * height)), SKY_TOP, SKY_LOW))
    draw = ImageDraw.Draw(picture)
    zoom = 1.0 + 0.28 * time

    def place(points: list[Point]) -> list[Point]:
        return [(width * (0.45 + (x - 0.45) * zoom), height * (SHORE + (y - SHORE) * zoom)) for x, y in points]

    x, y, radius = 0.74 * width, (0.2 + 0.16 * time) * height, 0.085 * height
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=SUN)
    draw.polygon(place(PEAKS), fill=ROCK)
    draw.polygon(place(CAP), fill=SNOW)
    draw.polygon(place(HILLS), fill=HILL)
    shore = round(SHORE * height)
    water = picture.crop((0, 2 * shore - height, width, shore)).transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    picture.paste(Image.blend(water, Image.new("RGB", water.size, LAKE), 0.55), (0, shore))
    return picture


def rounded(size: tuple[int, int], radius: float) -> Image.Image:
    """A mask with round corners."""
    mask = Image.new("L", size, 0)
    ImageDraw.Draw(mask).rounded_rectangle((0, 0, size[0] - 1, size[1] - 1), radius, fill=255)
    return mask


def put_card(canvas: Image.Image, picture: Image.Image, corner: tuple[int, int], edge: int, *, dim: float = 0) -> None:
    """A framed picture with a soft shadow; `dim` fades it into the background."""
    width, height = picture.size[0] + 2 * edge, picture.size[1] + 2 * edge
    radius = 0.09 * height
    shadow = Image.new("L", canvas.size, 0)
    shadow.paste(rounded((width, height), radius).point(lambda value: value // 2), (corner[0], corner[1] + edge))
    canvas.paste(NIGHT, mask=shadow.filter(ImageFilter.GaussianBlur(edge * 1.6)))
    card = Image.new("RGB", (width, height), PAPER)
    card.paste(picture, (edge, edge), rounded(picture.size, radius - edge))
    below = canvas.crop((*corner, corner[0] + width, corner[1] + height)).convert("RGB")
    canvas.paste(Image.blend(card, below, dim), corner, rounded((width, height), radius))


def put_play(canvas: Image.Image, center: Point, radius: float) -> None:
    """The round button with the triangle."""
    x, y = center
    draw = ImageDraw.Draw(canvas)
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=ACCENT)
    side = radius * 0.52
    draw.polygon([(x - side * 0.72, y - side), (x - side * 0.72, y + side), (x + side * 1.08, y)], fill=PAPER)


def icon() -> Image.Image:
    """Three frames, one behind the other, and a play button on the foremost."""
    size = (ICON[0] * FINE, ICON[1] * FINE)
    canvas = gradient(size, DUSK, NIGHT)
    frame = (232 * FINE, 196 * FINE)
    for number, dim in enumerate((0.62, 0.34, 0.0)):
        corner = ((34 + 44 * number) * FINE, (48 + 44 * number) * FINE)
        put_card(canvas, scene(*frame, number / 2), corner, 8 * FINE, dim=dim)
    put_play(canvas, (270 * FINE, 306 * FINE), 62 * FINE)
    small = canvas.resize(ICON, Image.Resampling.LANCZOS)
    small.putalpha(rounded(size, 84 * FINE).resize(ICON, Image.Resampling.LANCZOS))
    return small


def put_link(canvas: Image.Image, start: Point, end: Point) -> None:
    """A wire of the graph editor, with a socket at each end."""
    draw = ImageDraw.Draw(canvas)
    reach = (end[0] - start[0]) * 0.6
    bends = (start, (start[0] + reach, start[1]), (end[0] - reach, end[1]), end)
    line = [_bezier(bends, step / 60) for step in range(61)]
    draw.line(line, fill=ACCENT, width=5 * FINE, joint="curve")
    for x, y in (start, end):
        draw.ellipse((x - 10 * FINE, y - 10 * FINE, x + 10 * FINE, y + 10 * FINE), fill=ACCENT)
        draw.ellipse((x - 5 * FINE, y - 5 * FINE, x + 5 * FINE, y + 5 * FINE), fill=PAPER)


def _bezier(points: tuple[Point, Point, Point, Point], t: float) -> Point:
    weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
    x, y = (sum(weight * point[axis] for weight, point in zip(weights, points, strict=True)) for axis in (0, 1))
    return x, y


def banner() -> Image.Image:
    """One picture, a wire, and the frames it turns into; below them the name and what it does."""
    size = (BANNER[0] * FINE, BANNER[1] * FINE)
    glow = gradient(size, DUSK, NIGHT)
    canvas = ImageChops.add(glow, Image.new("RGB", size, (4, 3, 8)))
    put_card(canvas, scene(288 * FINE, 192 * FINE, 0.0), (70 * FINE, 88 * FINE), 9 * FINE)
    for number, dim in enumerate((0.45, 0.22, 0.0)):
        corner = ((596 + 128 * number) * FINE, (52 + 24 * number) * FINE)
        put_card(canvas, scene(312 * FINE, 208 * FINE, number / 2), corner, 9 * FINE, dim=dim)
    put_link(canvas, (376 * FINE, 193 * FINE), (596 * FINE, 165 * FINE))
    put_play(canvas, (1128 * FINE, 296 * FINE), 52 * FINE)
    draw = ImageDraw.Draw(canvas)
    draw.text((70 * FINE, 366 * FINE), "NemoVideo", PAPER, ImageFont.load_default(84 * FINE))
    words = "Images in, a finished video out. In your graph, your shell, your code."
    draw.text((74 * FINE, 468 * FINE), words, QUIET, ImageFont.load_default(30 * FINE))
    return canvas.resize(BANNER, Image.Resampling.LANCZOS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--folder", type=Path, required=True, help="where icon.png and banner.png are written")
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    icon().save(folder / "icon.png", optimize=True)
    banner().save(folder / "banner.png", optimize=True)


if __name__ == "__main__":
    main()

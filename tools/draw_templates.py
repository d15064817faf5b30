"""Draw the templates' pictures from the local preview's own output. `python -m tools.draw_templates`

The graphs of `workflows/api/` are carried out here by the client, with the bundled photograph; a frame of the result
fills the square, and a mark tells what the template is about. All drawing is done twice as large and scaled down.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from nemo_client import Destination, Studio, Wish, from_pixels, read_pixels

from .make_templates import TEMPLATES, WORKFLOWS, read_twin

SIDE: Final = 480
FINE: Final = 2
BIG: Final = SIDE * FINE
PHOTO: Final = WORKFLOWS / "sample_photo.jpg"
DETAILS: Final = ((0.0, 0.5), (0.5, 0.5))
"""The upper left corners of the details, as NemoVideo Sample Image has them."""
ACCENT, PAPER, INK, SHADE = (124, 92, 219), (255, 255, 255), (24, 20, 38), (0, 0, 0, 140)


class Canvas:
    """A square picture with marks on it."""

    def __init__(self, picture: Image.Image) -> None:
        self.picture = fill_square(picture, BIG).convert("RGBA")
        self.draw = ImageDraw.Draw(self.picture, "RGBA")

    def shade_bottom(self, height: int) -> None:
        """Darken the lower edge, so that marks stand out."""
        veil = Image.new("RGBA", self.picture.size, (0, 0, 0, 0))
        ramp = Image.linear_gradient("L").resize((BIG, height)).point(lambda value: value * 7 // 10)
        veil.paste(
            Image.merge("RGBA", (Image.new("L", ramp.size), *[Image.new("L", ramp.size)] * 2, ramp)), (0, BIG - height)
        )
        self.picture.alpha_composite(veil)

    def play(self, x: int, y: int, radius: int = 62) -> None:
        """A play button: this is a video."""
        self.draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=ACCENT, outline=PAPER, width=6)
        tip = radius * 0.5
        self.draw.polygon([(x - tip * 0.7, y - tip), (x - tip * 0.7, y + tip), (x + tip, y)], fill=PAPER)

    def tag(self, text: str, x: int, y: int, size: int = 56) -> None:
        """Words on a dark label, its right middle at the point."""
        font = ImageFont.load_default(size)
        width = self.draw.textlength(text, font)
        box = (x - width - 44, y - size * 0.75, x, y + size * 0.75)
        self.draw.rounded_rectangle(box, size * 0.4, fill=(*INK, 215))
        self.draw.text((x - 22 - width, y), text, fill=PAPER, font=font, anchor="lm")

    def inset(self, picture: Image.Image, x: int, y: int, side: int) -> None:
        """A small picture in a white frame."""
        self.draw.rectangle((x - 10, y - 10, x + side + 10, y + side + 10), fill=PAPER)
        self.picture.paste(fill_square(picture, side).convert("RGBA"), (x, y))

    def arrow(self, x: int, y: int, length: int) -> None:
        """From the left to the right."""
        self.draw.line((x, y, x + length - 30, y), fill=PAPER, width=16)
        self.draw.polygon([(x + length - 44, y - 36), (x + length - 44, y + 36), (x + length, y)], fill=PAPER)

    def finish(self) -> Image.Image:
        """The picture in its final size."""
        return self.picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.LANCZOS)


def fill_square(picture: Image.Image, side: int) -> Image.Image:
    """The middle of a picture, as a square."""
    edge = min(picture.size)
    left, top = (picture.width - edge) // 2, (picture.height - edge) // 2
    return picture.crop((left, top, left + edge, top + edge)).resize((side, side), Image.Resampling.LANCZOS)


def read_frames(path: Path, count: int) -> list[Image.Image]:
    """Frames of a video, evenly spread from its begin to its end."""
    with av.open(str(path)) as video:
        frames = [frame.to_image() for frame in video.decode(video=0)]
    return [frames[round(index * (len(frames) - 1) / max(count - 1, 1))] for index in range(count)]


def read_photos() -> list[Image.Image]:
    """The photograph and its details."""
    photo = Image.fromarray(read_pixels(PHOTO))
    width, height = photo.size
    corners = [(round(left * width), round(top * height)) for left, top in DETAILS]
    parts = [photo.crop((x, y, x + width // 2, y + height // 2)).resize(photo.size) for x, y in corners]
    return [photo, *parts]


async def make_video(studio: Studio, photos: list[Image.Image], prompt: str, duration: int, folder: Path) -> Path:
    """The local preview's video of a prompt."""
    media = [from_pixels(np.asarray(each), "auto") for each in photos]
    wish = Wish(prompt, "auto", duration)
    return (await studio.animate(media, wish, Destination(folder, "made", "always"))).path


def draw_own(frames: list[Image.Image], photo: Image.Image) -> Canvas:
    """A picture becomes a video."""
    canvas = Canvas(frames[-1])
    canvas.shade_bottom(420)
    canvas.inset(photo, 60, 660, 240)
    canvas.arrow(350, 790, 330)
    canvas.play(800, 790, 92)
    return canvas


def draw_app(frames: list[Image.Image], photo: Image.Image) -> Canvas:
    """A form beside the video."""
    canvas = Canvas(frames[-1])
    canvas.draw.rounded_rectangle((560, 60, 900, 900), 28, fill=(*INK, 235))
    canvas.inset(photo, 610, 120, 240)
    for index, y in enumerate((430, 520, 610)):
        canvas.draw.rounded_rectangle((600, y, 860, y + 60), 14, fill=(70, 64, 92))
        canvas.draw.line((624, y + 30, 760 - 40 * index, y + 30), fill=PAPER, width=8)
    canvas.draw.rounded_rectangle((600, 760, 860, 850), 20, fill=ACCENT)
    canvas.draw.polygon([(712, 780), (712, 830), (756, 805)], fill=PAPER)
    canvas.play(270, 800, 92)
    return canvas


def draw_sample(frames: list[Image.Image], photo: Image.Image) -> Canvas:
    """The video, and how long it is."""
    canvas = Canvas(frames[-1])
    canvas.shade_bottom(300)
    canvas.play(130, 830, 84)
    canvas.tag("5 s", 910, 840)
    return canvas


def draw_steps(frames: list[Image.Image], photo: Image.Image) -> Canvas:
    """Four nodes in a row."""
    canvas = draw_sample(frames, photo)
    canvas.draw.line((110, 120, 850, 120), fill=PAPER, width=10)
    for index in range(4):
        x = 60 + index * 235
        canvas.draw.rounded_rectangle((x, 66, x + 150, 174), 22, fill=ACCENT, outline=PAPER, width=6)
        canvas.draw.text((x + 75, 120), str(index + 1), fill=PAPER, font=ImageFont.load_default(64), anchor="mm")
    return canvas


def draw_words(frames: list[Image.Image], photo: Image.Image) -> Canvas:
    """The title that was asked for stands below."""
    canvas = Canvas(frames[len(frames) // 3])
    canvas.play(130, 130, 84)
    canvas.tag("+ title", 910, 130)
    return canvas


def draw_story(frames: list[Image.Image], photo: Image.Image) -> Canvas:
    """One video, with its pictures below."""
    canvas = Canvas(frames[0])
    canvas.shade_bottom(460)
    for index, place in enumerate((0, 4, 8)):
        canvas.inset(frames[place], 60 + index * 300, 650, 250)
    canvas.play(480, 330, 92)
    return canvas


def draw_frames(frames: list[Image.Image], photo: Image.Image) -> Canvas:
    """Four frames on a sheet."""
    canvas = Canvas(Image.new("RGB", (BIG, BIG), INK))
    for index in range(4):
        canvas.inset(frames[index * 8 // 3], 40 + index % 2 * 460, 40 + index // 2 * 460, 420)
    return canvas


def draw_suite(frames: list[Image.Image], photo: Image.Image) -> Canvas:
    """The file goes on into another pack."""
    canvas = Canvas(frames[-1])
    canvas.shade_bottom(300)
    canvas.play(130, 830, 84)
    canvas.arrow(250, 830, 260)
    canvas.tag("VHS", 760, 830, 72)
    return canvas


def draw_recover(frames: list[Image.Image], photo: Image.Image) -> Canvas:
    """Fetched back: an arrow round the play button."""
    canvas = Canvas(frames[-1])
    canvas.shade_bottom(500)
    canvas.draw.arc((310, 310, 650, 650), -50, 235, fill=PAPER, width=26)
    canvas.draw.polygon([(330, 290), (330, 410), (440, 330)], fill=PAPER)
    canvas.play(480, 480, 104)
    return canvas


DRAWINGS: Final[dict[str, Callable[[list[Image.Image], Image.Image], Canvas]]] = {
    "01": draw_own,
    "02": draw_app,
    "03": draw_sample,
    "04": draw_story,
    "06": draw_steps,
    "07": draw_words,
    "08": draw_frames,
    "09": draw_suite,
    "11": draw_recover,
}


def draw_each(videos: list[list[Image.Image]]) -> Canvas:
    """Three videos, each with its button."""
    canvas = Canvas(Image.new("RGB", (BIG, BIG), INK))
    for index, frames in enumerate(videos):
        x = 20 + index * 313
        part = fill_square(frames[-1], 880).crop((293, 0, 587, 880))
        canvas.picture.paste(part.convert("RGBA"), (x, 40))
        canvas.play(x + 147, 800, 72)
    return canvas


def draw_timeline(frames: list[Image.Image], tracks: Image.Image) -> Canvas:
    """The video above, its tracks below."""
    canvas = Canvas(frames[2])
    width = BIG - 80
    height = round(tracks.height * width / tracks.width)
    canvas.draw.rounded_rectangle((20, BIG - height - 60, BIG - 20, BIG - 20), 24, fill=PAPER)
    canvas.picture.paste(tracks.resize((width, height)).convert("RGBA"), (40, BIG - height - 40))
    return canvas


async def draw_all(folder: Path, numbers: set[str]) -> None:
    """Make the results of templates, by the numbers that their titles begin with, and draw them."""
    photos = read_photos()
    async with await Studio.open("local preview") as studio:
        for template in (each for each in TEMPLATES if each.title[:2] in numbers):
            given = {
                name: value for each in read_twin(template.twin).values() for name, value in each["inputs"].items()
            }
            prompt = given.get("prompt", "turn this image into a 5-second animated video clip with smooth motion")
            if template.twin == "generate_edit_edit_export":
                prompt += '; add title "Morning at the lake"'
            number, duration = template.title[:2], given.get("duration", 0)
            if number == "05":
                made = [await make_video(studio, [each], prompt, duration, folder) for each in photos]
                canvas = draw_each([read_frames(each, 9) for each in made])
            else:
                used = photos if number == "04" else photos[:1]
                frames = read_frames(await make_video(studio, used, prompt, duration, folder), 9)
                if number == "10":
                    canvas = draw_timeline(frames, await read_tracks(studio, photos[0], prompt))
                else:
                    canvas = DRAWINGS[number](frames, photos[0])
            canvas.finish().save(WORKFLOWS / f"{template.title}.jpg", quality=88, optimize=True)


async def read_tracks(studio: Studio, photo: Image.Image, prompt: str) -> Image.Image:
    """The picture that NemoVideo Timeline shows for a prompt."""
    uploaded = await studio.upload([from_pixels(np.asarray(photo), "auto")])
    made = await studio.generate(uploaded, Wish(prompt))
    return Image.fromarray((await studio.view(made.session)).picture)


def main() -> None:
    """Draw all, or those whose numbers are given, with a home directory that goes afterwards."""
    numbers = set(sys.argv[1:]) or {template.title[:2] for template in TEMPLATES}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["NEMO_HOME"] = str(Path(folder) / "home")
        asyncio.run(draw_all(Path(folder), numbers))


if __name__ == "__main__":
    main()

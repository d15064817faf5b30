"""How fast and how smooth the local preview renders, against the ffmpeg program's zoompan in the same run.

    python -m benchmarks.local_preview [--smoke] [--json FILE]

One case is a 5-second push-in at 1920x1080 from one 12-megapixel photograph, the other six photographs with
cross-fades and a title (ffmpeg draws none, which is in its favour). Both sides use x264 veryfast at CRF 18 and take
turns, so that other load on the machine meets both. Ours is the time of `render` in this process, as in a running
server; ffmpeg's is the time of its process. The photographs are made up here, from noise and shapes.

Smoothness: a slanted edge is followed through the decoded frames of both; what counts is how far it strays from the
ideal curve, in pixels. zoompan is forgiven a constant offset.
"""

from __future__ import annotations

import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from benchmarks._figures import Figure, main
from nemo_client.local.render.render import render

FPS = 30
AMOUNT = 0.25
FADE = 0.6
REACH = 16
SLANT = 1 / 8
SPEED = 0.87
STRAY = 0.1
ENCODER = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-pix_fmt", "yuv420p"]


@dataclass(frozen=True)
class Scale:
    """How large everything is; the smoke run only shows that the script works."""

    photo: tuple[int, int]
    frame: tuple[int, int]
    seconds: float
    runs: int
    photos: int


FULL = Scale((4000, 3000), (1920, 1080), 5.0, 5, 6)
SMOKE = Scale((400, 300), (160, 90), 1.0, 1, 2)


def photograph(path: Path, size: tuple[int, int], seed: int) -> Path:
    """A picture with the detail of a photograph: shapes with soft edges, texture at every scale, grain."""
    rng = np.random.default_rng(seed)
    width, height = size
    image = Image.new("RGB", size, (125, 140, 150))
    draw = ImageDraw.Draw(image)
    for _ in range(900):
        x, y = rng.random(2) * size
        radius = (rng.random() ** 3 * 0.08 + 0.003) * width
        angles = np.sort(rng.random(rng.integers(3, 9))) * 2 * np.pi
        colour = tuple(int(level) for level in rng.integers(60, 190, 3))
        draw.polygon([(x + np.cos(a) * radius, y + np.sin(a) * radius) for a in angles], fill=colour)
    levels = np.asarray(image.filter(ImageFilter.GaussianBlur(1))).astype(np.float32)
    texture = np.zeros((height, width), np.float32)
    for octave in (8, 16, 32, 64, 128, 256, 512, 1024):
        noise = Image.fromarray(rng.standard_normal((octave * height // width + 2, octave + 1)).astype(np.float32))
        texture += np.asarray(noise.resize(size, Image.Resampling.BICUBIC)) / octave**0.6
    grain = rng.standard_normal((height, width), np.float32) * 2.5
    levels += (texture / texture.std() * 11 + grain)[..., None]
    Image.fromarray(levels.clip(0, 255).astype(np.uint8)).save(path, quality=92)
    return path


def edge(path: Path, size: tuple[int, int]) -> Path:
    """A picture, dark on the left and bright from a slanted line on that crosses the middle row at a quarter."""
    across, down = np.arange(size[0]) + 0.5, np.arange(size[1]) + 0.5
    line = size[0] / 4 + (down - size[1] / 2) * SLANT
    levels = 60 + 140 * (across[None] - line[:, None] + 0.5).clip(0, 1)
    Image.fromarray(levels.round().astype(np.uint8)).convert("RGB").save(path)
    return path


def draft(count: int, scale: Scale, title: str | None = None) -> dict[str, object]:
    """A push-in for each of `count` pictures, cross-faded."""
    length = round(scale.seconds * 1000)
    motion = {"type": "push_in", "amount": AMOUNT}
    fade = {"transition": {"type": "cross_fade", "d": round(FADE * 1000)}}
    shots = [
        {"d": length, "m": {"asset": str(n), "kind": "image", "motion": motion, **(fade if n else {})}}
        for n in range(count)
    ]
    tracks: list[dict[str, object]] = [{"tt": 0, "sg": shots}]
    if title:
        tracks.append({"tt": 7, "sg": [{"st": 0, "d": 3000, "m": {"text": title}}]})
    return {"t": tracks, "m": {"width": scale.frame[0], "height": scale.frame[1], "fps": FPS}}


def zoompan(photos: list[Path], scale: Scale, target: Path) -> list[str]:
    """The ffmpeg command for the same video."""
    frames = round(scale.seconds * FPS)
    width, height = scale.frame
    move = (
        f"crop=iw:iw*{height}/{width},zoompan=z='1+{AMOUNT}*on/{frames - 1}':x='(iw-iw/zoom)/2':y='(ih-ih/zoom)/2'"
        f":d={frames}:s={width}x{height}:fps={FPS},format=yuv420p"
    )
    chains = [f"[{n}:v]{move}[v{n}]" for n in range(len(photos))]
    last = "v0"
    for number in range(1, len(photos)):
        offset = number * (scale.seconds - FADE)
        chains.append(f"[{last}][v{number}]xfade=transition=fade:duration={FADE}:offset={offset:.3f}[x{number}]")
        last = f"x{number}"
    inputs = [part for photo in photos for part in ("-i", str(photo))]
    graph = ["-filter_complex", ";".join(chains), "-map", f"[{last}]"]
    return ["ffmpeg", "-hide_banner", "-loglevel", "error", "-y", *inputs, *graph, *ENCODER, str(target)]


def timed(work: Callable[[], object], who: int) -> tuple[float, float]:
    """Wall and processor seconds of `work`; `who` says whose processor time."""
    before, begin = resource.getrusage(who), time.perf_counter()
    work()
    wall, after = time.perf_counter() - begin, resource.getrusage(who)
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def race(name: str, photos: list[Path], scale: Scale, folder: Path, title: str | None) -> Figure:
    """Both sides in turns; what counts is the median of ffmpeg's time to ours, pair by pair."""
    assets = {str(n): photo for n, photo in enumerate(photos)}
    ours, theirs = folder / f"{len(photos)}-ours.mp4", folder / f"{len(photos)}-zoompan.mp4"
    command = zoompan(photos, scale, theirs)
    rival = shutil.which("ffmpeg") is not None
    pairs = []
    for _ in range(scale.runs):
        mine = timed(lambda: render(draft(len(photos), scale, title), assets, ours), resource.RUSAGE_SELF)
        his = timed(lambda: subprocess.run(command, check=True), resource.RUSAGE_CHILDREN) if rival else mine
        pairs.append((*mine, *his))
    wall, cpu, wall_there, cpu_there = (statistics.median(column) for column in zip(*pairs, strict=True))
    target = f">= {SPEED} x its speed"
    if not rival:
        return Figure(name, wall, None, "s", target, None, "the ffmpeg program is not installed")
    speed = statistics.median(there / here for here, _, there, _ in pairs)
    sizes = f"{kilobytes(ours)} to {kilobytes(theirs)} kB"
    note = f"{speed:.2f} x its speed; processor {cpu:.1f} to {cpu_there:.1f} s; {sizes}"
    return Figure(name, wall, wall_there, "s", target, speed >= SPEED, note)


def kilobytes(path: Path) -> int:
    """How large a file is."""
    return path.stat().st_size // 1000


def strays(path: Path, frame: tuple[int, int]) -> np.ndarray:
    """How far the edge is from its ideal place in each decoded frame, in pixels: the mean over its rows.

    The line is slanted because a codec's own noise on an upright one would be taken for motion.
    """
    rows = np.arange(frame[1] // 5, frame[1] * 4 // 5)
    found = []
    with av.open(str(path)) as container:
        for index, picture in enumerate(container.decode(video=0)):
            zoom = 1 + AMOUNT * index / (container.streams.video[0].frames - 1)
            ideal = frame[0] / 2 - frame[0] / 4 * zoom + (rows + 0.5 - frame[1] / 2) * SLANT
            first = ideal.round().astype(int) - REACH
            levels = picture.to_ndarray(format="gray")[rows[:, None], first[:, None] + np.arange(2 * REACH)].astype(
                float
            )
            dark = levels[:, : REACH // 2].mean(axis=1, keepdims=True)
            bright = levels[:, -REACH // 2 :].mean(axis=1, keepdims=True)
            place = first + ((bright - levels) / (bright - dark)).sum(axis=1)
            found.append((place - ideal).mean())
    return np.array(found)


def jitter(scale: Scale, folder: Path) -> Figure:
    """How far the edge strays from its ideal curve at worst, ours and zoompan's."""
    picture = edge(folder / "edge.png", scale.photo)
    ours, theirs = folder / "edge-ours.mp4", folder / "edge-zoompan.mp4"
    render(draft(1, scale), {"0": picture}, ours)
    mine, his = strays(ours, scale.frame), None
    if shutil.which("ffmpeg"):
        subprocess.run(zoompan([picture], scale, theirs), check=True)
        his = strays(theirs, scale.frame)
        his -= his.mean()
    worst = float(np.abs(mine).max())
    rival = None if his is None else float(np.abs(his).max())
    note = f"rms {mine.std():.3f}" + ("" if his is None else f" to {his.std():.3f} px")
    met = worst <= STRAY and (rival is None or worst < rival)
    return Figure("a tracked edge, off its curve", worst, rival, "px", f"<= {STRAY} px, less than zoompan", met, note)


def run(smoke: bool) -> list[Figure]:
    """A clip from one photograph, a slideshow with cross-fades and a title, and how smooth the motion is."""
    scale = SMOKE if smoke else FULL
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        photos = [photograph(folder / f"{n}.jpg", scale.photo, n) for n in range(scale.photos)]
        many = f"{scale.photos} photographs, cross-fades, title"
        return [
            race(f"{scale.seconds:.0f} s push-in, {scale.frame[1]}p", photos[:1], scale, folder, None),
            race(many, photos, scale, folder, "Urban Dreams"),
            jitter(scale, folder),
        ]


if __name__ == "__main__":
    sys.exit(main(run, __doc__))

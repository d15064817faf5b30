"""How fast and how smooth the local preview renders, against the ffmpeg program's zoompan in the same run.

    python -m benchmarks.local_preview [--case clip|slideshow|all] [--runs 5] [--json FILE] [--smoke]

`clip` is a 5-second push-in at 1920x1080 from one 12-megapixel photograph, `slideshow` six photographs with
cross-fades and a title (ffmpeg draws none, which is in its favour). Both sides use x264 veryfast at CRF 18 and take
turns, so that other load on the machine meets both. Ours is the time of `render` in this process, as in a running
server; ffmpeg's is the time of its process. The photographs are made up here, from noise and shapes.

Smoothness: a slanted edge is followed through the decoded frames of both; what counts is how far it strays from the
ideal curve, in pixels. zoompan is forgiven a constant offset.
"""

from __future__ import annotations

import argparse
import json
import resource
import shlex
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

from nemo_client.local._render import render

FPS = 30
AMOUNT = 0.25
FADE = 0.6
REACH = 16
SLANT = 1 / 8
ENCODER = ["-c:v", "libx264", "-preset", "veryfast", "-crf", "18", "-pix_fmt", "yuv420p"]


@dataclass(frozen=True)
class Scale:
    """How large everything is; the smoke run only shows that the script works."""

    photo: tuple[int, int]
    frame: tuple[int, int]
    seconds: float
    runs: int


FULL = Scale((4000, 3000), (1920, 1080), 5.0, 5)
SMOKE = Scale((800, 600), (320, 180), 1.0, 1)


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


def timed(work: Callable[[], object], who: int) -> dict[str, float]:
    """Wall and processor seconds of `work`; `who` says whose processor time."""
    before, begin = resource.getrusage(who), time.perf_counter()
    work()
    wall, after = time.perf_counter() - begin, resource.getrusage(who)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"wall": round(wall, 3), "cpu": round(cpu, 3)}


def race(name: str, photos: list[Path], scale: Scale, folder: Path, title: str | None) -> dict[str, object]:
    """Both sides in turns; ratios are ours to ffmpeg's, pair by pair."""
    assets = {str(n): photo for n, photo in enumerate(photos)}
    ours, theirs = folder / f"{name}-ours.mp4", folder / f"{name}-zoompan.mp4"
    command = zoompan(photos, scale, theirs)
    pairs = []
    for _ in range(scale.runs):
        mine = timed(lambda: render(draft(len(photos), scale, title), assets, ours), resource.RUSAGE_SELF)
        rival = timed(lambda: subprocess.run(command, check=True), resource.RUSAGE_CHILDREN)
        pairs.append({"ours": mine, "zoompan": rival})
    ratios = {
        kind: round(statistics.median(pair["ours"][kind] / pair["zoompan"][kind] for pair in pairs), 3)
        for kind in ("wall", "cpu")
    }
    sizes = {"ours": ours.stat().st_size, "zoompan": theirs.stat().st_size}
    return {"command": shlex.join(command), "runs": pairs, "ratio": ratios, "bytes": sizes}


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


def jitter(scale: Scale, folder: Path) -> dict[str, object]:
    """How far the edge strays from its ideal curve, ours and zoompan's."""
    picture = edge(folder / "edge.png", scale.photo)
    ours, theirs = folder / "edge-ours.mp4", folder / "edge-zoompan.mp4"
    render(draft(1, scale), {"0": picture}, ours)
    subprocess.run(zoompan([picture], scale, theirs), check=True)
    report: dict[str, object] = {}
    for name, path in (("ours", ours), ("zoompan", theirs)):
        stray = strays(path, scale.frame)
        if name == "zoompan":
            stray -= stray.mean()
        report[name] = {"worst": round(float(np.abs(stray).max()), 3), "rms": round(float(stray.std()), 3)}
    return report


def measure(scale: Scale, cases: list[str], folder: Path) -> dict[str, object]:
    """All the figures that were asked for."""
    photos = [photograph(folder / f"{n}.jpg", scale.photo, n) for n in range(6 if "slideshow" in cases else 1)]
    report: dict[str, object] = {"frame": scale.frame, "photo": scale.photo, "seconds": scale.seconds}
    if "clip" in cases:
        report["clip"] = race("clip", photos[:1], scale, folder, None)
        report["jitter"] = jitter(scale, folder)
    if "slideshow" in cases:
        report["slideshow"] = race("slideshow", photos, scale, folder, "Urban Dreams")
    return report


def show(report: dict[str, object]) -> None:
    """The table for people."""
    print(f"{'':10} {'ours':>16} {'zoompan':>16} {'ratio':>8}   (median seconds: wall, processor)")
    for case in ("clip", "slideshow"):
        if case in report:
            figures = report[case]
            for kind in ("wall", "cpu"):
                ours, theirs = (
                    statistics.median(run[side][kind] for run in figures["runs"]) for side in ("ours", "zoompan")
                )
                print(f"{case + ' ' + kind:14} {ours:12.2f} {theirs:16.2f} {figures['ratio'][kind]:8.2f}")
            print(f"  {figures['command']}")
    if "jitter" in report:
        for side, figures in report["jitter"].items():
            print(f"edge, {side}: {figures['worst']:.3f} px off the ideal curve at worst, {figures['rms']:.3f} rms")


def main() -> int:
    """Measure, print, and write JSON when asked."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--case", choices=("clip", "slideshow", "all"), default="clip")
    parser.add_argument("--runs", type=int, help="pairs of runs (5, in a smoke run 1)")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    parser.add_argument("--smoke", action="store_true", help="small and short: shows that the script works")
    given = parser.parse_args()
    if not shutil.which("ffmpeg"):
        print("the ffmpeg program is needed to measure against", file=sys.stderr)
        return 2
    scale = SMOKE if given.smoke else FULL
    if given.runs:
        scale = Scale(scale.photo, scale.frame, scale.seconds, given.runs)
    cases = ["clip", "slideshow"] if given.case == "all" else [given.case]
    with tempfile.TemporaryDirectory() as folder:
        report = measure(scale, cases, Path(folder))
    show(report)
    if given.json:
        given.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What stands in each frame, and drawing it: the shots, their cross-fades, the titles, the badge.

A `Stage` walks through the video frame by frame and hands out `Scene`s; a scene is drawn on its own, on any thread.
Pictures are loaded a little before their shot and dropped after it, so a video of many pictures holds a few.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from concurrent.futures import Executor, Future
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import av

from .clips import Clip
from .motion import Camera, Size, Window
from .overlay import Overlay, crossfade
from .pictures import Picture, load_picture
from .plan import Caption, Plan
from .sampler import Bytes, Sampler, plane_view
from .titles import badge, strength, title_overlay

# Only so many pictures are mixed in one frame; deeper ones are left out.
MAX_LAYERS = 4
MAX_TITLES = 8
# A picture is prepared when its shot is this near.
_AHEAD_MS = 1500.0
# Near black in limited range: what stands where no shot is.
_GROUND = (20, 128, 128)

Planes = tuple[Bytes, Bytes, Bytes]


@dataclass(frozen=True)
class Layer:
    """A picture seen through a window, mixed over what is below by `share`."""

    picture: Picture
    window: Window
    share: float


@dataclass(frozen=True)
class Scene:
    """All that one frame shows, from the bottom to the top."""

    size: Size
    layers: tuple[Layer, ...]
    artwork: tuple[tuple[Overlay, float], ...]


class Stage:
    """The plan's scenes in order; a context manager, for the clips it opens."""

    def __init__(self, plan: Plan, assets: Mapping[str, Path], loader: Executor) -> None:
        self._plan = plan
        self._assets = assets
        self._loader = loader
        self._size = (plan.output.width, plan.output.height)
        self._step = float(1000 / plan.output.fps)
        self._stills: dict[int, Future[Picture]] = {}
        self._clips: dict[int, Clip] = {}
        self._titles: dict[int, Overlay] = {}
        self._badge = badge(self._size)
        self._open = ExitStack()

    def __enter__(self) -> Stage:
        return self

    def __exit__(self, *_: object) -> None:
        for pending in self._stills.values():
            pending.cancel()
        self._open.close()

    def scene(self, index: int) -> Scene:
        """What frame `index` shows; indices must not go back."""
        moment = index * self._step
        visible = self._list_visible(moment)
        self._drop_covered(moment, visible)
        layers = tuple(self._draw_layer(number, moment, share) for number, share in visible)
        self._prepare_next(moment)
        return Scene(self._size, layers, (*self._collect_artwork(moment), (self._badge, 1.0)))

    def _list_visible(self, moment: float) -> list[tuple[int, float]]:
        """(shot, share) of the shots to draw, from the lowest that is not wholly covered."""
        layers: list[tuple[int, float]] = []
        for number, shot in reversed(list(enumerate(self._plan.shots))):
            if shot.start <= moment + 1e-6 < shot.until:
                share = 1.0 if not shot.fade else min(1.0, (moment - shot.start + self._step) / shot.fade)
                layers.append((number, share))
                if share >= 1.0 or len(layers) == MAX_LAYERS:
                    break
        return layers[::-1]

    def _draw_layer(self, number: int, moment: float, share: float) -> Layer:
        shot = self._plan.shots[number]
        if shot.kind == "video":
            if number not in self._clips:
                clip = Clip(self._assets[shot.asset], self._size, shot.motion)
                self._clips[number] = self._open.enter_context(clip)
            picture = self._clips[number].at((moment - shot.start) / 1000)
        else:
            picture = self._load_still(number).result()
        # The last frame of the shot, not the first after it, is where the motion ends.
        length = max(shot.end - shot.start - self._step, 1e-6)
        progress = max(0.0, min(1.0, (moment - shot.start) / length))
        return Layer(picture, Camera(shot.motion, picture.size, self._size).at(progress), share)

    def _load_still(self, number: int) -> Future[Picture]:
        if number not in self._stills:
            shot = self._plan.shots[number]
            path = self._assets[shot.asset]
            self._stills[number] = self._loader.submit(load_picture, path, self._size, shot.motion)
        return self._stills[number]

    def _prepare_next(self, moment: float) -> None:
        """Begin to load the next still that comes soon; one at a time, so that few are in memory."""
        for number, shot in enumerate(self._plan.shots):
            if shot.kind != "video" and moment < shot.start <= moment + _AHEAD_MS:
                self._load_still(number)
                return

    def _drop_covered(self, moment: float, visible: list[tuple[int, float]]) -> None:
        """Let go of what is over or covered."""
        shown = {number for number, _ in visible}
        shots = self._plan.shots
        for number in [n for n in self._stills if shots[n].start <= moment and n not in shown]:
            del self._stills[number]
        for number in [n for n in self._clips if shots[n].until <= moment]:
            self._clips.pop(number).close()

    def _collect_artwork(self, moment: float) -> list[tuple[Overlay, float]]:
        captions = [
            (number, caption)
            for number, caption in enumerate(self._plan.captions)
            if caption.start <= moment + 1e-6 < caption.end
        ][:MAX_TITLES]
        current = {number for number, _ in captions}
        self._titles = {number: art for number, art in self._titles.items() if number in current}
        return [(self._draw_title(number, caption), strength(caption, moment)) for number, caption in captions]

    def _draw_title(self, number: int, caption: Caption) -> Overlay:
        if number not in self._titles:
            self._titles[number] = title_overlay(caption, self._size, list(self._titles.values()))
        return self._titles[number]


class Painter:
    """Draws scenes; each thread keeps its own scaler."""

    def __init__(self) -> None:
        self._own = threading.local()

    def paint(self, scene: Scene) -> av.VideoFrame:
        """The finished frame: yuv420p, BT.709, limited range."""
        if not hasattr(self._own, "sampler"):
            self._own.sampler = Sampler()
        frame = av.VideoFrame(scene.size[0], scene.size[1], "yuv420p")
        planes = _convert_planes(frame)
        bottom, *above = scene.layers or (None,)
        if bottom is None or bottom.share < 1.0:
            for plane, ground in zip(planes, _GROUND, strict=True):
                plane[:] = ground
            above = list(scene.layers)
        else:
            bottom.picture.draw(self._own.sampler, bottom.window, planes)
        for layer in above:
            over = _convert_planes(av.VideoFrame(scene.size[0], scene.size[1], "yuv420p"))
            layer.picture.draw(self._own.sampler, layer.window, over)
            crossfade(planes, over, layer.share)
        for art, level in scene.artwork:
            art.blend(planes, level)
        return frame


def _convert_planes(frame: av.VideoFrame) -> Planes:
    return plane_view(frame, 0), plane_view(frame, 1), plane_view(frame, 2)

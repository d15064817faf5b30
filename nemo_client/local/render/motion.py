"""Where the camera looks: a picture, a motion and a moment become a window, in exact (fractional) picture pixels.

A push-in ends magnified by 1 + amount, a pull-out begins there; a pan starts at one edge of the picture and ends at
the far one. The words are the camera's: in `pan_left` the camera travels to the left edge. Where a picture has no
room to pan, the window is the picture magnified by 1 + amount, which makes room.

The speed is constant from the first frame to the last, so shots that cross-fade keep moving through the fade.
"""

from __future__ import annotations

from dataclasses import dataclass

from .plan import Motion

Size = tuple[int, int]

# Pictures are scaled to even sides, so shapes that are meant to be the same differ by a little.
_SAME_SHAPE = 0.004
_PANS = {"pan_left": (-1, 0), "pan_right": (1, 0), "pan_up": (0, -1), "pan_down": (0, 1)}


@dataclass(frozen=True)
class Window:
    """What is seen, in pixels of the picture; edges may lie between pixels."""

    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class Camera:
    """A motion over a picture of `picture` (width, height) pixels, seen through a frame of `frame`'s shape."""

    motion: Motion
    picture: Size
    frame: Size

    @property
    def closest(self) -> float:
        """The strongest magnification on the way."""
        return max(self._compute_zoom(0.0), self._compute_zoom(1.0))

    def at(self, progress: float) -> Window:
        """The window at `progress` 0..1 of the shot."""
        across, down = _PANS.get(self.motion.kind, (0, 0))
        zoom = self._compute_zoom(progress)
        width, height = (side / zoom for side in self._compute_cover())
        spare_x, spare_y = self.picture[0] - width, self.picture[1] - height
        return Window(spare_x * _place_along(across, progress), spare_y * _place_along(down, progress), width, height)

    def _compute_zoom(self, progress: float) -> float:
        amount, axis = self.motion.amount, pan_axis(self.motion)
        if self.motion.kind == "push_in":
            return 1.0 + amount * progress
        if self.motion.kind == "pull_out":
            return 1.0 + amount * (1.0 - progress)
        return 1.0 if axis is None or self._has_room(axis) else 1.0 + amount

    def _compute_cover(self) -> tuple[float, float]:
        """The largest window with the frame's shape inside the picture; all of it when only rounding differs."""
        across, down = self.picture[0] / self.frame[0], self.picture[1] / self.frame[1]
        if abs(across / down - 1) < _SAME_SHAPE:
            return float(self.picture[0]), float(self.picture[1])
        scale = min(across, down)
        return self.frame[0] * scale, self.frame[1] * scale

    def _has_room(self, axis: int) -> bool:
        window = self._compute_cover()[axis]
        return self.picture[axis] - window >= self.motion.amount / (1 + self.motion.amount) * window


def pan_axis(motion: Motion) -> int | None:
    """0 for a pan along the width, 1 for one along the height, None for everything else."""
    step = _PANS.get(motion.kind)
    return None if step is None else (0 if step[0] else 1)


def _place_along(direction: int, progress: float) -> float:
    """The share of the spare room before the window: centred without a pan, else from edge to edge."""
    if not direction:
        return 0.5
    return progress if direction > 0 else 1.0 - progress

"""Render the sample photograph: a mountain lake at dusk, a cabin, a rowing boat, the last light on the peaks.

Everything in the picture is computed here from noise and a few shapes, so it belongs to the project and comes
out the same on every run. Lengths are metres, light is linear RGB; x points right, y up, z away from the
camera, and the lake lies at y = 0. Each thing is drawn twice, from the eye and from its mirror image under
the water, and the lake joins the two. Twice as large in both directions needs about 3 GB of memory.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from PIL import Image, ImageFilter

Floats = NDArray[Any]  # float32, except where the random generator gave float64

SIZE = (2400, 1600)
EYE = 3.1  # camera above the water
FOCAL = 1.12  # in picture widths: a 40 mm lens on a full-frame camera
HORIZON = 0.57  # in picture heights from the top
FAR = 11000.0
CABIN = (15.5, 74.0)
SUN = np.array([-0.86, 0.22, -0.46], np.float32)
SUNLIGHT = np.array([4.3, 2.0, 0.98], np.float32)
SKYLIGHT = np.array([0.25, 0.33, 0.50], np.float32)


def rgb(*values: float) -> Floats:
    return np.array(values, np.float32)


def smooth(low: float, high: float, x: Floats) -> Floats:
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def mix(a: Any, b: Any, t: Any) -> Floats:
    between: Floats = a + (b - a) * t
    return between


@cache
def _lattice(seed: int) -> Floats:
    return np.random.default_rng(seed).uniform(-1, 1, (512, 512)).astype(np.float32)


def noise(x: Floats, y: Floats, seed: int) -> Floats:
    """Value noise in -1..1, one feature a unit."""
    table = _lattice(seed)
    fx, fy = np.floor(x), np.floor(y)
    tx, ty = x - fx, y - fy
    tx, ty = tx * tx * tx * (tx * (tx * 6 - 15) + 10), ty * ty * ty * (ty * (ty * 6 - 15) + 10)
    ix, iy = fx.astype(np.int32) & 511, fy.astype(np.int32) & 511
    jx, jy = (ix + 1) & 511, (iy + 1) & 511
    return mix(mix(table[iy, ix], table[iy, jx], tx), mix(table[jy, ix], table[jy, jx], tx), ty)


def fbm(x: ArrayLike, y: ArrayLike, octaves: int, seed: int, gain: float = 0.5) -> Floats:
    """Noise over noise, about -1..1; each octave is turned, so that the lattice does not show."""
    x, y = np.broadcast_arrays(np.asarray(x, np.float32), np.asarray(y, np.float32))
    total, weight, amplitude = np.zeros(x.shape, np.float32), 0.0, 1.0
    for octave in range(octaves):
        total += amplitude * noise(x, y, seed + octave)
        weight += amplitude
        amplitude *= gain
        x, y = 1.62 * x + 1.21 * y + 17.3, -1.21 * x + 1.62 * y + 5.1
    return total * (1.6 / weight)


class Mountains:
    """The heights beyond the lake on a grid, their slopes, and how high the shadows reach."""

    # x, z, height, radius of each summit
    SUMMITS = (
        (-520, 7700, 2250, 3500), (640, 8300, 1900, 2600), (-1900, 8600, 1650, 2700),
        (2500, 7900, 1650, 2700), (-3300, 6400, 1500, 2600), (3700, 6300, 1450, 2500),
        (-1750, 4300, 640, 1700), (1500, 4700, 560, 1600),
    )  # fmt: skip

    def __init__(self, cell: float) -> None:
        self.cell, self.left = cell, -5600.0
        xs = np.arange(self.left, -self.left, cell, dtype=np.float32)[None, :]
        zs = np.arange(0, FAR, cell, dtype=np.float32)[:, None]
        self.height = self._carve(self._rise(xs, zs), xs, zs)
        self.slope_z, self.slope_x = np.gradient(self.height, cell)
        reach = self.height + xs * 0.19
        self.shade = np.maximum.accumulate(reach, axis=1) - xs * 0.19

    @staticmethod
    def _rise(xs: Floats, zs: Floats) -> Floats:
        wx = xs + 420 * fbm(xs / 1900, zs / 1900, 4, 11)
        wz = zs + 420 * fbm(xs / 1900, zs / 1900, 4, 31)
        total = np.zeros(np.broadcast_shapes(xs.shape, zs.shape), np.float32)
        for x, z, high, radius in Mountains.SUMMITS:
            away = np.hypot(wx - x, wz - z) / radius
            total += (high * np.clip(1 - away, 0, None) ** 1.25) ** 4
        ridged = 1 - np.abs(fbm(wx / 1500, wz / 1500, 5, 51))
        height: Floats = total**0.25 * (0.72 + 0.36 * ridged)
        flank = 0.16 * np.clip(np.abs(xs + 60) - 190 - 0.05 * zs, 0, 900) * smooth(300, 1500, zs)
        height += flank + 45 * smooth(400, 1800, zs) * (1 + fbm(xs / 600, zs / 600, 4, 71))
        return height

    def _carve(self, height: Floats, xs: Floats, zs: Floats) -> Floats:
        """Gullies that run downhill: waves laid across the slope, each octave turned by the ones before."""
        wave, steep = 760.0, smooth(60, 700, height)
        for octave in range(5):
            gz, gx = np.gradient(height, self.cell)
            norm = np.sqrt(gx * gx + gz * gz) + 1e-4
            strength = np.clip(norm, 0, 1.1) * steep
            stripes = self._stripes(xs / wave, zs / wave, -gz / norm, gx / norm, octave)
            height = height + 0.105 * 0.84**octave * wave * strength * stripes
            wave *= 0.5
        return mix(height, height + 9 * fbm(xs / 60, zs / 60, 3, 91), steep)

    @staticmethod
    def _stripes(x: Floats, y: Floats, dx: Floats, dy: Floats, seed: int) -> Floats:
        table, other = _lattice(101 + seed), _lattice(201 + seed)
        cx, cy = np.floor(x), np.floor(y)
        total = np.zeros(dx.shape, np.float32)
        weight = np.full(dx.shape, 1e-3, np.float32)
        for i in (-1, 0, 1):
            for j in (-1, 0, 1):
                ix, iy = (cx + i).astype(np.int32) & 511, (cy + j).astype(np.int32) & 511
                px = x - cx - i - 0.5 - 0.35 * table[iy, ix]
                py = y - cy - j - 0.5 - 0.35 * other[iy, ix]
                near = np.clip(1 - (px * px + py * py) / 2.2, 0, 1) ** 2
                total += near * np.cos(2 * np.pi * (px * dx + py * dy))
                weight += near
        return total / weight

    def sample(self, grid: Floats, x: Floats, z: Floats) -> Floats:
        gx = np.clip((x - self.left) / self.cell, 0, grid.shape[1] - 1.001)
        gz = np.clip(z / self.cell, 0, grid.shape[0] - 1.001)
        ix, iz = gx.astype(np.int32), gz.astype(np.int32)
        tx, tz = gx - ix, gz - iz
        front = mix(grid[iz, ix], grid[iz, ix + 1], tx)
        return mix(front, mix(grid[iz + 1, ix], grid[iz + 1, ix + 1], tx), tz)

    def ground(self, x: Floats, z: Floats) -> Floats:
        """Height of the land, below 0 in the lake: the grid, with the shores drawn finer."""
        inland = z - 430 + 0.42 * np.abs(x + 40) + 55 * fbm(x / 160, z / 160, 3, 121)
        bank = np.clip(0.085 * inland, -3, 60) + 0.5 * fbm(x / 9, z / 9, 2, 131)
        far = mix(bank, np.maximum(self.sample(self.height, x, z), 4), smooth(60, 520, inland))
        dx, dz = (x - CABIN[0] - 7) / 27, (z - CABIN[1] - 6) / 15
        spit = 2.5 * (1 - dx * dx - dz * dz + 0.34 * fbm(x / 7, z / 7, 4, 141)) - 0.35
        return np.maximum(far, np.clip(spit, -3, 1.3 + 0.18 * fbm(x / 3, z / 3, 3, 151)))


@dataclass
class View:
    """A camera's picture in the making, with the depth of every pixel."""

    width: int
    height: int
    eye: float

    def __post_init__(self) -> None:
        self.focal, self.horizon = FOCAL * self.width, HORIZON * self.height
        self.color: Floats = sky(self)
        self.depth: Floats = np.full((self.height, self.width), np.inf, np.float32)

    def project(self, x: Any, y: Any, z: Any) -> tuple[Any, Any]:
        return self.width / 2 + self.focal * x / z, self.horizon - self.focal * (y - self.eye) / z

    def splat(self, points: Floats, colors: Floats) -> None:
        """Surfaces as clouds of points dense enough to close: the nearest one wins each pixel."""
        if self.eye < 0:
            above = points[:, 1] > 0
            points, colors = points[above], colors[above]
        px, py = self.project(*points.T)
        ix, iy = np.floor(px).astype(np.int32), np.floor(py).astype(np.int32)
        seen = (ix >= 0) & (ix < self.width) & (iy >= 0) & (iy < self.height)
        ix, iy, z, colors = ix[seen], iy[seen], points[seen, 2], colors[seen]
        order = np.argsort(-z, kind="stable")
        order = order[z[order] < self.depth[iy[order], ix[order]]]
        self.color[iy[order], ix[order]] = colors[order]
        self.depth[iy[order], ix[order]] = z[order]


def sky(view: View) -> Floats:
    """Dusk: blue overhead, warm towards the sun on the left, with thin cloud that catches the light."""
    step = 2
    u = ((np.arange(0, view.width, step) - view.width / 2) / view.focal).astype(np.float32)[None, :]
    v = ((view.horizon - np.arange(0, view.height, step)) / view.focal).astype(np.float32)[:, None]
    up = np.clip(v, 0, 1)
    side = np.clip(0.5 - u, 0, 1)
    low = mix(rgb(0.80, 0.60, 0.62), rgb(1.75, 1.02, 0.60), smooth(0.05, 1.0, side)[..., None])
    high = mix(rgb(0.115, 0.20, 0.40), rgb(0.22, 0.31, 0.50), side[..., None])
    color = mix(low, high, smooth(-0.06, 0.36, up)[..., None])
    cx, cy = u / (up + 0.16), 1 / (up + 0.16)
    warp = fbm(cx * 0.9, cy * 0.9, 3, 301)
    streak = fbm(cx * 1.5 + 0.8 * cy + 0.35 * warp, cy * 4.2 + 0.5 * warp, 7, 317, 0.62)
    cover = smooth(0.0, 0.95, streak + 0.10 + 0.35 * warp) * smooth(0.03, 0.12, up) * 0.78
    gold = np.clip(side * 0.75 + 0.35 * warp, 0, 1)[..., None]
    lit = mix(rgb(0.62, 0.50, 0.58), rgb(2.15, 1.12, 0.66), gold)
    color = mix(color, lit, cover[..., None])
    return np.repeat(np.repeat(color, step, 0), step, 1)[: view.height, : view.width].astype(np.float32)


def draw_land(view: View, land: Mountains) -> None:
    """The far shore and the mountains, then the spit before them: a mirror ray may pass under the spit."""
    draw_relief(view, land, np.concatenate([np.geomspace(200, 1500, 450), np.arange(1506, FAR - 50, 6.0)]))
    draw_relief(view, land, np.geomspace(40, 199, 320))


def draw_relief(view: View, land: Mountains, distances: NDArray[np.float64]) -> None:
    """Column by column: a row meets the land where the skyline so far first rises above it."""
    rings = distances.astype(np.float32)
    u = ((np.arange(view.width) + 0.5 - view.width / 2) / view.focal).astype(np.float32)
    rows = view.horizon - np.arange(view.height, dtype=np.float32) - 0.5
    for start in range(0, view.width, 256):
        part = u[start : start + 256]
        x, z = part[None, :] * rings[:, None], np.broadcast_to(rings[:, None], (rings.size, part.size))
        rise = (land.ground(x, z) - view.eye) / z * view.focal
        skyline = np.maximum.accumulate(rise, axis=0)
        hit = np.stack([np.searchsorted(skyline[:, c], rows) for c in range(part.size)], axis=1)
        row, col = np.nonzero(hit < rings.size)
        near = hit[row, col]
        before = np.maximum(near - 1, 0)
        a, b = rise[before, col], rise[near, col]
        t = np.clip((rows[row] - a) / np.maximum(b - a, 1e-6), 0, 1)
        z = mix(rings[before], rings[near], t)
        y = view.eye + rows[row] * z / view.focal
        dry = (y > 0) | (rings[0] >= 200)  # the near land ends at the water, the far shore hides the sky behind it
        row, col, y, z = row[dry], col[dry], y[dry], z[dry]
        view.depth[row, col + start] = z
        view.color[row, col + start] = land_color(land, part[col] * z, y, z)


def land_color(land: Mountains, x: Floats, y: Floats, z: Floats) -> Floats:
    """Rock, snow where it can lie, grass below; sunlight only above the shadow of the western ridge."""
    sx, sz = land.sample(land.slope_x, x, z), land.sample(land.slope_z, x, z)
    grit, fine = fbm(x / 70, (y + z) / 70, 4, 401), fbm(x / 14, (y * 1.5 + z) / 14, 3, 411)
    sx, sz = sx + 0.13 * grit + 0.10 * fine, sz + 0.10 * fine
    norm = 1 / np.sqrt(sx * sx + sz * sz + 1)
    facing = np.clip((-sx * SUN[0] + SUN[1] - sz * SUN[2]) * norm, 0, None)
    sunlit = smooth(-70, -6, y - land.sample(land.shade, x, z)) * smooth(150, 600, y) * facing
    holds = norm - 0.54 + 0.10 * grit + 0.05 * fine + (y - 1150) / 3800
    snow = smooth(-0.09, 0.10, holds) * smooth(520, 1000, y + 130 * grit)
    rock = rgb(0.125, 0.118, 0.122) * (1 + 0.35 * grit + 0.25 * fine)[:, None]
    scree = mix(rgb(0.030, 0.045, 0.024), rgb(0.070, 0.068, 0.038), smooth(-0.5, 0.7, grit)[:, None])
    turf = fbm(x / 2.3, z / 2.3, 4, 421)[:, None]
    meadow = mix(rgb(0.055, 0.070, 0.032), rgb(0.20, 0.155, 0.085), smooth(-0.6, 0.8, turf))
    scree = mix(meadow, scree, smooth(150, 400, z)[:, None])
    body = mix(scree, rock, smooth(380, 820, y + 190 * grit)[:, None])
    body = mix(body, rgb(0.80, 0.83, 0.88), snow[:, None])
    open_sky = (0.45 + 0.55 * norm)[:, None]
    lamp = np.exp(-((x - CABIN[0] - 1) ** 2 + (z - CABIN[1] + 3) ** 2) / 22) * (y < 6)
    light: Floats = SKYLIGHT * open_sky * 0.9 + SUNLIGHT * sunlit[:, None] + rgb(1.5, 0.75, 0.25) * lamp[:, None]
    light *= body
    return light


@cache
def spruce(variant: int) -> tuple[Floats, Floats]:
    """A conifer 512 pixels high as coverage and brightness, grown branch by branch."""
    rng = np.random.default_rng(500 + variant)
    tall, wide = 1024, 512
    lean, full = rng.uniform(0.8, 1.1), rng.uniform(0.30, 0.42)
    level = 1 - rng.uniform(0.004, 0.96, 620) ** 0.95
    turn = rng.uniform(0, 2 * np.pi, level.size)
    reach = full * 0.5 * (1 - level) ** lean * rng.uniform(0.4, 1.2, level.size) + 0.002
    along = rng.uniform(0, 1, (level.size, 1200)) ** 0.75
    bushy = (0.012 * (1.15 - along) + 0.002) * (0.12 + 1.1 * (1 - level))[:, None]
    spread = rng.normal(0, 1, (2, *along.shape)) * bushy
    x = np.cos(turn)[:, None] * reach[:, None] * along + spread[0]
    droop = reach[:, None] * (0.75 * along**2 - 0.35 * along**4) + np.abs(spread[1]) * 0.9
    y = level[:, None] - droop
    ix = np.clip((x + 0.25) * tall, 0, wide - 1).astype(np.int32)
    iy = np.clip((1 - y) * tall, 0, tall - 1).astype(np.int32)
    front = np.sin(turn)[:, None]
    light = 0.30 + 0.35 * along - 0.28 * np.cos(turn)[:, None] * along + 0.18 * front
    light *= np.exp(-np.abs(spread[1]) * 40)
    flat = (iy * wide + ix).ravel()
    weight = np.exp(1.3 * front) * np.ones_like(along)
    count = np.bincount(flat, weight.ravel(), tall * wide)
    shine = np.bincount(flat, (light * weight).ravel(), tall * wide) / np.maximum(count, 1e-6)
    cover = 1 - np.exp(-0.95 * count)
    trunk = np.abs(np.arange(wide) - wide / 2)[None, :] < (1 + 6 * np.linspace(0, 1, tall))[:, None]
    cover = np.maximum(cover.reshape(tall, wide), trunk * 0.95)
    return cover.astype(np.float32), np.clip(shine.reshape(tall, wide), 0.05, 1.2).astype(np.float32)


@cache
def spruce_at(variant: int, tall: int) -> tuple[Floats, Floats]:
    cover, shine = spruce(variant)
    size = (max(2, tall // 2), tall)
    small = np.asarray(Image.fromarray(cover).resize(size, Image.Resampling.BOX))
    light = np.asarray(Image.fromarray(cover * shine).resize(size, Image.Resampling.BOX))
    return small, light / np.maximum(small, 1e-4)


def plant(land: Mountains) -> Floats:
    """Where trees stand: x, y, z, height, sunlight, variant; far ones first."""
    rng = np.random.default_rng(7)
    z = np.sqrt(rng.uniform(300**2, 5600**2, 260_000)).astype(np.float32)
    z = np.concatenate([z, np.sqrt(rng.uniform(250**2, 900**2, 26_000)).astype(np.float32)])
    x = rng.uniform(-0.52, 0.52, z.size).astype(np.float32) * z
    y = land.ground(x, z)
    thick = 1.3 * fbm(x / 210, z / 210, 4, 601) + 0.55 - 1.5 * smooth(480, 900, y)
    keep = (y > 0.5) & (thick > rng.uniform(-0.35, 0.6, z.size))
    x, y, z = x[keep], y[keep], z[keep]
    high = rng.uniform(7, 21, z.size) * (1 - 0.4 * smooth(300, 800, y))
    high *= 1 + 0.45 * fbm(x / 60, z / 60, 3, 611)
    sun = smooth(-60, -4, y - land.sample(land.shade, x, z)) * smooth(120, 400, y)
    trees = np.stack([x, y, z, high, sun, rng.integers(0, 8, z.size)], axis=1)
    trees = np.concatenate([trees, np.array(plant_spit(land, rng))])
    return trees[np.argsort(-trees[:, 2])].astype(np.float32)


def plant_spit(land: Mountains, rng: np.random.Generator) -> list[tuple[float, ...]]:
    """The trees around the cabin: the tall ones set by hand, the undergrowth by chance."""
    near = [
        (4.5, 84, 13, 0), (7.6, 88, 17.5, 1), (27.5, 83, 19, 2), (31.5, 80, 15.5, 3), (24.3, 89, 22, 4),
        (35.5, 84, 20, 5), (20.5, 91, 16, 6), (39, 79, 12, 7), (1.2, 82, 8.5, 3), (14, 90, 14.5, 5),
        (42.5, 82, 16, 1), (29.6, 74, 6, 6), (46, 86, 18, 2), (10.5, 87.5, 10, 7), (34, 76.5, 8, 0),
    ]  # fmt: skip

    def level(x: float, z: float) -> float:
        return float(land.ground(rgb(x), rgb(z))[0])

    trees: list[tuple[float, ...]] = [(x, level(x, z) - 0.2, z, high, 0, kind) for x, z, high, kind in near]
    for _ in range(150):
        x, z = rng.uniform(2, 60), rng.uniform(77, 97)
        y = level(x, z)
        if y > 0.25 and (z > 88 or x > 30):
            high = rng.choice([2.5, 5, 8, 13, 17]) * rng.uniform(0.8, 1.3)
            trees.append((x, y - 0.1, z, high, 0, int(rng.integers(8))))
    return trees


def draw_trees(view: View, trees: Floats) -> None:
    foot_x, foot_y = view.project(trees[:, 0], trees[:, 1], trees[:, 2])
    _, top_y = view.project(trees[:, 0], trees[:, 1] + trees[:, 3], trees[:, 2])
    for (_, _, z, _, sun, kind), fx, fy, ty in zip(trees, foot_x, foot_y, top_y, strict=True):
        tall = int(fy - ty)
        if tall < 3:
            continue
        tall = min(tall, 24) if tall < 24 else round(1.06 ** round(np.log(tall) / np.log(1.06)))
        cover, shine = spruce_at(int(kind), tall)
        x0, y0 = int(fx) - cover.shape[1] // 2, int(fy) - tall
        cut = (max(0, -y0), min(tall, view.height - y0), max(0, -x0), min(cover.shape[1], view.width - x0))
        if cut[0] >= cut[1] or cut[2] >= cut[3]:
            continue
        spot = np.s_[y0 + cut[0] : y0 + cut[1], x0 + cut[2] : x0 + cut[3]]
        part = np.s_[cut[0] : cut[1], cut[2] : cut[3]]
        alpha = cover[part] * (view.depth[spot] > z * 0.985)
        tint = 0.75 + 0.5 * ((z * 7.31) % 1)
        dark = rgb(0.012, 0.020, 0.021) * tint
        glow = rgb(0.070, 0.078, 0.052) * tint + sun * rgb(0.40, 0.24, 0.09)
        color = dark + shine[part][..., None] * glow
        view.color[spot] += alpha[..., None] * (color - view.color[spot])
        view.depth[spot] = np.where(alpha > 0.4, z, view.depth[spot])


def shade(normal: Floats, albedo: Floats, shelter: Any = 1.0) -> Floats:
    """Light in the valley: the blue of the sky from above, the warm west from the left."""
    up = np.clip(0.5 + 0.5 * normal[:, 1], 0, 1)[:, None]
    west = np.clip(-0.85 * normal[:, 0] + 0.25 * normal[:, 1] - 0.35 * normal[:, 2], 0, None)[:, None]
    shelter = np.broadcast_to(np.asarray(shelter, np.float32), (len(normal),))[:, None]
    light: Floats = SKYLIGHT * (0.25 + 0.95 * up) + rgb(0.62, 0.36, 0.21) * west
    light *= albedo
    light *= shelter
    return light


def grid(rows: int, columns: int) -> tuple[Floats, Floats]:
    across, down = (np.linspace(0, 1, n, dtype=np.float32) for n in (columns, rows))
    s, t = np.meshgrid(across, down)
    return s.ravel(), t.ravel()


class Frame:
    """A place to build in: its own axes, turned about the vertical; what is built is drawn into a view."""

    def __init__(self, view: View, origin: tuple[float, float, float], turn: float) -> None:
        self.view, self.origin = view, rgb(*origin)
        c, s = np.cos(turn), np.sin(turn)
        self.axes = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]], np.float32)

    def add(self, points: Floats, normals: Floats, albedo: Floats, shelter: Any = 1, glow: Any = 0) -> None:
        world, facing = points @ self.axes + self.origin, normals @ self.axes
        self.view.splat(world, shade(facing, albedo, shelter) + glow)

    def panel(self, corner: Any, along: Any, up: Any, paint: Any, density: float = 1.0) -> None:
        """A flat piece; `paint` gets lengths along both sides and gives albedo, and light of its own."""
        corner, along, up = rgb(*corner), rgb(*along), rgb(*up)
        wide, tall = float(np.linalg.norm(along)), float(np.linalg.norm(up))
        fine = 1.6 * self.view.focal / (self.origin[2] - 3) * density
        s, t = grid(max(2, int(tall * fine)), max(2, int(wide * fine)))
        normal = np.cross(along, up)
        normal = normal / np.linalg.norm(normal)
        middle = (corner + 0.5 * (along + up)) @ self.axes + self.origin
        if np.dot(normal @ self.axes, middle - rgb(0, self.view.eye, 0)) > 0:
            normal = -normal
        albedo, glow = paint(s * wide, t * tall)
        points = corner + s[:, None] * along + t[:, None] * up
        self.add(points, np.broadcast_to(normal, points.shape), albedo, 1, glow)

    def box(self, low: Any, size: Any, paint: Any) -> None:
        (x, y, z), (a, b, c) = low, size
        for corner in ((x, y, z), (x, y, z + c)):
            self.panel(corner, (a, 0, 0), (0, b, 0), paint)
        for corner in ((x, y, z), (x + a, y, z)):
            self.panel(corner, (0, 0, c), (0, b, 0), paint)
        for corner in ((x, y, z), (x, y + b, z)):
            self.panel(corner, (a, 0, 0), (0, 0, c), paint)


def wood(color: Floats, board: float, seed: int, upright: bool = False) -> Any:
    """Boards with grain and a dark joint between them."""

    def paint(s: Floats, t: Floats) -> tuple[Floats, float]:
        a, b = (t, s) if upright else (s, t)
        number = np.floor(b / board)
        edge = np.abs(b / board - number - 0.5) * 2
        grain = fbm(a * 2.2 + 9 * number, b * 38, 3, seed)
        tone = (1 + 0.22 * grain + 0.16 * np.sin(number * 12.9)) * (1 - 0.75 * smooth(0.72, 1.0, edge))
        return color * tone[:, None], 0.0

    return paint


def window(s: Floats, t: Floats) -> tuple[Floats, Floats]:
    """Lamplight behind panes, brighter low down where the lamp stands; frame and bars stay dark."""
    wide, tall = float(s.max()), float(t.max())
    bars = (np.abs(s - wide / 2) < 0.03) | (np.abs(t - tall * 0.55) < 0.03)
    rim = np.minimum(np.minimum(s, wide - s), np.minimum(t, tall - t)) < 0.07
    lamp = np.exp(-(((s - 0.6 * wide) / 0.5) ** 2 + ((t - 0.45 * tall) / 0.5) ** 2))
    curtain = 0.75 + 0.25 * smooth(-0.3, 0.3, fbm(s * 9, t * 0.7, 2, 701))
    light = rgb(4.3, 1.85, 0.46) * ((0.4 + 0.9 * lamp) * curtain)[:, None]
    dark = (bars | rim)[:, None]
    albedo = np.where(dark, rgb(0.20, 0.17, 0.14), rgb(0.02, 0.02, 0.02))
    return albedo, np.where(dark, rgb(0.06, 0.03, 0.01), light)


def draw_cabin(view: View) -> None:
    at = Frame(view, (CABIN[0], 0.95, CABIN[1]), 0.50)
    logs, plank = wood(rgb(0.17, 0.105, 0.07), 0.24, 711), wood(rgb(0.17, 0.10, 0.06), 0.2, 721, True)
    shingle, stone = wood(rgb(0.105, 0.095, 0.095), 0.3, 731), rocky(rgb(0.22, 0.21, 0.20))
    wide, deep, wall, peak = 6.4, 8.6, 2.7, 5.3
    at.box((-0.1, -1.2, -0.1), (wide + 0.2, 1.3, deep + 0.2), stone)
    at.panel((0, 0, 0), (wide, 0, 0), (0, wall, 0), logs)
    at.panel((0, 0, 0), (0, 0, deep), (0, wall, 0), logs)
    at.panel((wide, 0, 0), (0, 0, deep), (0, wall, 0), logs)
    for step in np.arange(0, peak - wall, 0.03):
        half = wide / 2 * (1 - step / (peak - wall))
        at.panel((wide / 2 - half, wall + step, 0), (2 * half, 0, 0), (0, 0.05, 0), plank)
    over, drop = 0.7, 0.7 * (peak - wall) / (wide / 2)
    for side in (-1, 1):
        x, y, run = wide / 2 + side * (wide / 2 + over), wall - drop, -side * (wide / 2 + over)
        at.panel((x, y, -1.3), (0, 0, deep + 2), (run, peak - y, 0), shingle)
        at.panel((x, y + 0.16, -1.3), (0, 0, deep + 2), (run, peak - y, 0), shingle)
        at.panel((x, y, -1.3), (run, peak - y, 0), (0, 0.2, 0), wood(rgb(0.20, 0.13, 0.08), 1, 741))
    at.box((1.1, 3.9, 4.2), (0.9, 2.5, 0.9), stone)
    for x, y, a, b in ((0.75, 0.95, 1.25, 1.25), (4.3, 0.95, 1.25, 1.25), (2.65, 3.1, 1.1, 0.95)):
        at.panel((x, y, -0.05), (a, 0, 0), (0, b, 0), window, 1.3)
    at.panel((2.55, 0, -0.05), (1.25, 0, 0), (0, 2.2, 0), wood(rgb(0.16, 0.05, 0.035), 0.2, 751, True), 1.3)
    for z in (1.4, 4.6):
        at.panel((-0.05, 0.95, z), (0, 0, 1.5), (0, 1.25, 0), window, 1.3)
    at.box((-0.7, -0.25, -1.9), (wide + 1.4, 0.18, 1.9), wood(rgb(0.22, 0.16, 0.11), 0.2, 761))
    for x in (-0.6, 2.0, 4.3, wide + 0.5):
        at.box((x, -1.3, -1.8), (0.14, 1.1, 0.14), plank)
    draw_jetty(view)


def draw_jetty(view: View) -> None:
    at = Frame(view, (CABIN[0] - 8.5, 0.42, CABIN[1] - 15.5), -0.42)
    at.box((0, 0, 0), (1.7, 0.12, 14), wood(rgb(0.34, 0.30, 0.26), 0.22, 771))
    for z in np.arange(0.1, 14, 2.3):
        for x in (-0.12, 1.62):
            at.box((x, -1.2, z), (0.2, 1.38, 0.2), wood(rgb(0.13, 0.10, 0.08), 0.3, 781, True))


def draw_grass(view: View, land: Mountains) -> None:
    """Blades on the spit, bent to the right, dry at the tips."""
    rng = np.random.default_rng(31)
    x, z = rng.uniform(-14, 46, 60_000).astype(np.float32), rng.uniform(58, 90, 60_000).astype(np.float32)
    y = land.ground(x, z)
    keep = (y > 0.12) & (fbm(x / 4, z / 4, 3, 431) > rng.uniform(-0.9, 0.6, x.size))
    x, y, z = x[keep, None], y[keep, None], z[keep, None]
    tall = rng.uniform(0.15, 0.55, x.shape).astype(np.float32)
    t = np.linspace(0, 1, 4 + int(view.focal / 150), dtype=np.float32)[None, :]
    bend = rng.normal(0.1, 0.25, x.shape).astype(np.float32)
    points = np.stack(np.broadcast_arrays(x + bend * tall * t * t, y + tall * t, z), axis=-1).reshape(-1, 3)
    tip = mix(rgb(0.060, 0.062, 0.030), rgb(0.15, 0.11, 0.06), rng.random((x.size, 1, 1)))
    view.splat(points, mix(rgb(0.012, 0.018, 0.010), tip, t[..., None]).reshape(-1, 3).astype(np.float32))


def rocky(color: Floats) -> Any:
    """Stones laid in courses, each of its own grey."""

    def paint(s: Floats, t: Floats) -> tuple[Floats, float]:
        course = np.floor(t / 0.22)
        brick = (s + 0.17 * course) / 0.38
        off_middle = np.maximum(np.abs(t / 0.22 - course - 0.5), np.abs(brick - np.floor(brick) - 0.5))
        joint = smooth(1.0, 0.8, off_middle * 2)
        spots = fbm(np.floor(brick) * 3.7 + s, course * 2.9 + t, 3, 791)
        return color * ((1 + 0.3 * spots) * (0.55 + 0.45 * joint))[:, None], 0.0

    return paint


def draw_stones(view: View, land: Mountains) -> None:
    rng = np.random.default_rng(21)
    spots = [(*rng.uniform((-14, 60), (46, 82)), rng.uniform(0.25, 0.9)) for _ in range(420)]
    level = land.ground(*np.array(spots, np.float32).T[:2])
    chosen = [s for s, y in zip(spots, level, strict=True) if -0.4 < y < 0.55]
    chosen += [(-9.4, 20.5, 0.9), (-8.2, 19.3, 0.55), (-10.3, 18.6, 1.0)]
    chosen += [(9.8, 17.2, 0.8), (8.9, 16.2, 0.42), (-7.3, 20.8, 0.3)]
    for number, (x, z, size) in enumerate(chosen):
        draw_stone(view, x, z, size, number)


def draw_stone(view: View, x: float, z: float, size: float, number: int) -> None:
    """A ball pushed about by noise, dark where the water keeps it wet."""
    fine = int(min(900, 7 * size * view.focal / z)) + 8
    s, t = grid(fine // 2, fine)
    a, b = s * 2 * np.pi, (t - 0.5) * np.pi
    ball = np.stack([np.cos(a) * np.cos(b), np.sin(b), np.sin(a) * np.cos(b)], axis=1)
    bump = fbm(ball[:, 0] * 1.7 + number * 3.1 + ball[:, 1], ball[:, 2] * 1.7 + ball[:, 1] * 1.3, 5, 801)
    fine_bump = fbm(ball[:, 0] * 9 + ball[:, 1] * 5 + number, ball[:, 2] * 9 + ball[:, 1] * 4, 3, 821)
    point = ball * (1 + 0.28 * bump)[:, None] * rgb(size * 1.25, size * 0.55, size)
    normal = ball + rgb(0.5, 0.7, 0.5) * fine_bump[:, None] * 0.6
    normal /= np.linalg.norm(normal, axis=1, keepdims=True)
    wet = smooth(0.02, 0.16, point[:, 1] + 0.04 * fine_bump)
    tone = rgb(0.20, 0.195, 0.19) * ((1 + 0.5 * fine_bump + 0.3 * bump) * (0.35 + 0.65 * wet))[:, None]
    view.splat(point + rgb(x, 0.02, z), shade(normal, tone, np.clip(0.4 + point[:, 1] / size, 0.2, 1)))


def hull(u: Floats, v: Floats) -> Floats:
    """The boat's skin: `u` from stern (-1) to bow (1), `v` from keel (0) to gunwale (1), starboard half."""
    beam = 0.78 * np.where(u > -0.2, 1 - (np.abs(u + 0.2) / 1.2) ** 2.3, 1 - 0.28 * ((u + 0.2) / 0.8) ** 2)
    sheer = 0.46 + 0.24 * (u + 0.15) ** 2 + 0.10 * np.clip(u, 0, 1) ** 3
    keel = -0.14 + 0.32 * np.clip(u - 0.55, 0, 1) ** 2
    flare = np.sin(np.minimum(v, 1) * np.pi / 2) ** 0.72
    length = 2.15 * u + 0.16 * v * np.clip(u, 0, 1) ** 4
    return np.stack([length, keel + (sheer - keel) * v**1.5, beam * flare], axis=1)


def draw_boat(view: View) -> None:
    at = Frame(view, (-1.75, 0, 18.2), 0.48)
    fine = int(view.focal / 3.1)
    for side in (1, -1):
        for inner in (True, False):
            draw_hull(at, side, fine, inner)
        trim_boat(at, side, fine)
    seat = wood(rgb(0.42, 0.27, 0.15), 0.16, 921, True)
    for x, half in ((-1.45, 0.52), (-0.35, 0.62), (0.75, 0.46)):
        at.box((x, 0.28, -half), (0.3, 0.035, 2 * half), seat)
    transom = wood(rgb(0.34, 0.20, 0.11), 0.14, 931)
    for step in np.linspace(0.02, 1, fine // 3):
        edge = hull(rgb(-1.0), rgb(float(step)))[0]
        at.panel((edge[0], edge[1], -edge[2]), (0, 0, 2 * edge[2]), (0, 0.012, 0), transom)


def draw_hull(at: Frame, side: int, fine: int, inner: bool) -> None:
    """Half of the skin, seen from within or without, with the laps of its seven strakes."""
    u, v = grid(fine, 2 * fine)
    u = u * 1.99 - 0.995
    p = hull(u, v)
    n = np.cross(hull(u + 0.004, v) - hull(u - 0.004, v), hull(u, v + 0.004) - hull(u, v))
    n /= np.linalg.norm(n, axis=1, keepdims=True) + 1e-9
    n *= np.sign(n[:, 2:] + 1e-9) * (-1 if inner else 1)
    lap = v * 7 - np.floor(v * 7)
    n[:, 1] -= (-0.2 if inner else 0.55) * np.exp(-lap * 9)
    tone, shelter = (bare_wood if inner else worn_paint)(p, u, v, lap)
    if inner:
        p = p * rgb(0.985, 1, 1) - rgb(0, 0, 0.035)
        p[:, 1] += 0.03 * (1 - v)
    flip = rgb(1, 1, side)
    at.add(p * flip, n * flip, tone, shelter)


def bare_wood(p: Floats, u: Floats, v: Floats, lap: Floats) -> tuple[Floats, Floats]:
    """The inside: brown, with ribs, darker towards the keel."""
    grain = fbm(p[:, 0] * 3, v * 60, 3, 901)
    tone = rgb(0.36, 0.215, 0.115) * ((1 + 0.25 * grain) * (1 - 0.5 * np.exp(-lap * 14)))[:, None]
    return tone * (1 - 0.45 * (np.abs((u * 9) % 1 - 0.5) < 0.05))[:, None], 0.22 + 0.78 * v**1.3


def worn_paint(p: Floats, u: Floats, v: Floats, lap: Floats) -> tuple[Floats, Floats]:
    """The outside: red with a white strake at the top, worn to the wood in places."""
    grain = (1 + 0.15 * fbm(p[:, 0] * 3, v * 60, 3, 901))[:, None]
    worn = smooth(0.35, 0.9, fbm(p[:, 0] * 4, p[:, 1] * 14, 4, 911))[:, None]
    red = mix(rgb(0.40, 0.035, 0.022), rgb(0.30, 0.16, 0.10), 0.45 * worn)
    tone = np.where((v > 0.86)[:, None], rgb(0.62, 0.58, 0.50), red) * grain
    return tone * (1 - 0.55 * np.exp(-lap * 16))[:, None], 0.55 + 0.45 * smooth(0.0, 0.3, p[:, 1])


def trim_boat(at: Frame, side: int, fine: int) -> None:
    """The rail along the gunwale and an oar laid on it."""
    a, u = grid(70, 3 * fine)
    angle, u = u * 2 * np.pi, a * 2 - 1
    ring = np.stack([0 * u, np.sin(angle), np.cos(angle)], axis=1)
    rail = hull(u, np.ones_like(u)) * rgb(1, 1, side) + ring * rgb(0, 0.032, 0.045)
    at.add(rail, ring, rgb(0.46, 0.29, 0.16) * (1 + 0.2 * fbm(u * 12, angle, 3, 941))[:, None])
    start, end = rgb(-1.3, 0.52, side * 0.28), rgb(1.25, 0.66, side * 0.36)
    blade = 1 + 2.2 * smooth(0.78, 0.84, a)
    thick = rgb(0, 0.022, 0.024) * np.stack([a, 1 / blade, blade], axis=1)
    shaft = start + a[:, None] * (end - start) + ring * thick
    at.add(shaft, ring, rgb(0.50, 0.36, 0.22) * (1 + 0.15 * fbm(a * 20, angle, 2, 951))[:, None])


def haze(view: View, z: Floats, rows: slice) -> tuple[Floats, Floats]:
    """How much light comes through to depth `z` (1 = all), and the colour of the air in between."""
    u = ((np.arange(view.width) - view.width / 2) / view.focal).astype(np.float32)[None, :]
    v = ((view.horizon - np.arange(view.height)[rows]) / view.focal).astype(np.float32)[:, None]
    depth = np.minimum(z, 60000)
    top = np.maximum(v * depth, 0.01)
    layer = depth * (1 - np.exp(-top / 17)) * 17 / top
    drift = 0.75 + 0.6 * fbm(u * 7 + depth / 900, v * 34, 4, 1001)
    thick = depth * 0.000052 * np.exp(-np.clip(top, 0, 4000) / 2600)
    thick += np.clip(layer - 75, 0, 1500) * 0.00105 * np.clip(drift, 0.1, 2)
    side = np.clip(0.5 - u, 0, 1)[..., None] + 0 * v[..., None]
    air = mix(rgb(0.36, 0.40, 0.53), rgb(0.92, 0.62, 0.47), smooth(0.1, 1.05, side))
    return np.exp(-thick), air


def add_haze(view: View) -> None:
    for start in range(0, view.height, 200):
        rows = slice(start, min(start + 200, view.height))
        through, air = haze(view, view.depth[rows], rows)
        seen = mix(air, view.color[rows], through[..., None])
        land = np.isfinite(view.depth[rows])[..., None]
        view.color[rows] = np.where(land, seen, view.color[rows])


def add_smoke(view: View) -> None:
    """A thin thread from the chimney, leaning with the evening air."""
    x, y = view.project(CABIN[0] - 0.9, 7.4, CABIN[1] + 4)
    size = view.focal / CABIN[1]
    rise = (y - np.arange(view.height, dtype=np.float32))[:, None] / size
    side = (np.arange(view.width, dtype=np.float32) - x)[None, :] / size
    rows = np.s_[max(0, int(y - 17 * size)) : int(y)]
    rise = rise[rows]
    bend = 0.9 * np.sin(rise * 0.42) * np.clip(rise / 6, 0, 1) + 0.05 * rise**1.5
    bend += 0.3 * fbm(0 * rise, rise * 0.5, 3, 1101)
    wide = 0.22 + 0.13 * rise
    curl = fbm(side / wide * 0.6 + 3, rise * 0.8 + side * 0.4, 4, 1111)
    puff = np.exp(-(((side - bend) / wide) ** 2) - rise / 6.5) * np.clip(0.55 + 0.6 * curl, 0, 1) * 0.5
    hidden = view.depth[rows] < CABIN[1] + 3
    view.color[rows] = mix(view.color[rows], rgb(0.62, 0.58, 0.62), np.where(hidden, 0, puff)[..., None])


def add_water(view: View, mirror: View) -> None:
    """The lake: the mirrored picture, shaken by ripples, over dark water."""
    first = int(view.horizon) + 1

    def band(start: int) -> None:
        rows = np.arange(start, min(start + 160, view.height), dtype=np.float32)[:, None]
        columns = np.arange(view.width, dtype=np.float32)[None, :]
        z = np.broadcast_to(view.focal * view.eye / (rows + 0.5 - view.horizon), (rows.shape[0], view.width))
        x = (columns - view.width / 2) / view.focal * z
        gust = 0.25 + 1.1 * smooth(-0.1, 0.7, fbm(x / 26, z / 55, 3, 1201)) * smooth(14, 60, z)
        total = np.zeros((*z.shape, 3), np.float32)
        for tap in range(3):
            jitter = (tap - 1) * 0.35
            nz = fbm(x * 0.55 + jitter, z * 1.15 + jitter, 3, 1211)
            nz += 0.5 * fbm(x * 2.6, z * 4.6 + jitter, 2, 1221 + 5 * tap)
            nx = fbm(x * 1.3 + jitter, z * 1.3 + 9, 3, 1241)
            lift = 0.0062 * gust * nz * view.focal * (0.45 + tap * 0.45)
            sway = 0.011 * gust * nx * view.focal * np.clip(5 * view.eye / z, 0, 1)
            row = np.clip(2 * view.horizon - rows - 1 + lift, 0, view.horizon - 1).astype(np.int32)
            column = np.clip(columns + sway, 0, view.width - 1).astype(np.int32)
            total += np.minimum(mirror.color[row, column], 3.5) / 3
        graze = np.clip(view.eye / np.hypot(z, view.eye) + 0.012 * gust, 0, 1)
        fresnel = (0.03 + 0.97 * (1 - graze) ** 4.2)[..., None]
        body = mix(rgb(0.012, 0.030, 0.040), rgb(0.05, 0.075, 0.095), smooth(10, 80, z)[..., None])
        lake = total * rgb(0.93, 0.96, 0.97) * fresnel + body * (1 - fresnel)
        through, air = haze(view, z, slice(start, start + rows.shape[0]))
        lake = mix(air, lake, through[..., None])
        spot = np.s_[start : start + rows.shape[0]]
        wet = z < view.depth[spot]
        view.color[spot] = np.where(wet[..., None], lake, view.color[spot])

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(band, range(first, view.height, 160)))


def develop(color: Floats, factor: int) -> Image.Image:
    """Light to print: halation, a film curve, warm lights over cool shadows, vignette and grain."""
    tall, wide = color.shape[0] // factor, color.shape[1] // factor
    color = np.minimum(color[: tall * factor, : wide * factor], 8)
    color = color.reshape(tall, factor, wide, factor, 3).mean(axis=(1, 3))
    small = Image.fromarray((np.clip(color - 0.7, 0, 4) * 63).astype(np.uint8))
    halo = np.zeros_like(color)
    for share, radius in ((0.16, wide / 400), (0.11, wide / 90), (0.07, wide / 24)):
        halo += share * np.asarray(small.filter(ImageFilter.GaussianBlur(radius)), np.float32) / 63
    y, x = np.mgrid[-1 : 1 : tall * 1j, -1 : 1 : wide * 1j].astype(np.float32)
    light = (color + halo) * 1.02 * (1 - 0.17 * (x * x * 0.8 + y * y))[..., None]
    curve = light * (2.51 * light + 0.03) / (light * (2.43 * light + 0.59) + 0.14)
    print_ = np.clip(curve, 0, 1) ** (1 / 2.2)
    gray = print_.mean(axis=2, keepdims=True)
    print_ = gray + (print_ - gray) * 1.10 + (gray - 0.45) * rgb(0.03, 0.005, -0.03)
    grain = np.random.default_rng(5).normal(0, 1, (tall, wide, 1)).astype(np.float32)
    print_ += grain * 0.006 * (1 - 0.5 * gray)
    return Image.fromarray((np.clip(print_, 0, 1) * 255 + 0.5).astype(np.uint8))


def draw(view: View, land: Mountains, trees: Floats) -> None:
    """Everything but the water."""
    draw_land(view, land)
    draw_cabin(view)
    draw_stones(view, land)
    draw_grass(view, land)
    draw_trees(view, trees)
    draw_boat(view)
    add_haze(view)
    add_smoke(view)


def render(width: int, height: int, factor: int) -> Image.Image:
    """Draw `factor` times as large in both directions, then develop at the size asked for."""
    view = View(width * factor, height * factor, EYE)
    mirror = View(width * factor, height * factor, -EYE)
    land = Mountains(4.0 * max(1.0, 4800 / view.width))
    trees = plant(land)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda side: draw(side, land, trees), (view, mirror)))
    add_water(view, mirror)
    return develop(view.color, factor)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--output", type=Path, required=True, help="the JPEG file to write")
    parser.add_argument("--width", type=int, default=SIZE[0], help="smaller for a quick look")
    parser.add_argument("--supersampling", type=int, default=2)
    parser.add_argument("--quality", type=int, default=78)
    options = parser.parse_args()
    picture = render(options.width, options.width * SIZE[1] // SIZE[0], options.supersampling)
    picture.save(options.output, "JPEG", quality=options.quality, optimize=True, progressive=True)


if __name__ == "__main__":
    main()

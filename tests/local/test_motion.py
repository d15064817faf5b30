"""The camera's path and the sampler: windows where they should be, and edges that move without a jerk."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nemo_client.local.render import sampler
from nemo_client.local.render.motion import Camera, Window
from nemo_client.local.render.pictures import load_picture, to_planes
from nemo_client.local.render.plan import Motion
from nemo_client.local.render.sampler import MARGIN, TOLERANCE, Plane, Sampler, exact, stretch
from tests.local._render_helpers import edge_of, edge_picture

FRAME = (320, 180)


def _targets(frame=FRAME):
    width, height = frame
    half = (height // 2, width // 2)
    return np.zeros((height, width), np.uint8), np.zeros(half, np.uint8), np.zeros(half, np.uint8)


def test_a_push_in_ends_magnified_by_its_amount_around_the_centre():
    """First the whole cover, last the cover divided by 1 + amount, both centred."""
    camera = Camera(Motion("push_in", 0.25), (800, 450), (1920, 1080))

    assert camera.at(0.0) == Window(0, 0, 800, 450)
    assert camera.at(1.0) == Window(80, 45, 640, 360)


def test_a_pull_out_is_the_push_in_backwards():
    """It begins magnified and ends with the cover."""
    picture, frame = (800, 450), (1920, 1080)
    there, back = Camera(Motion("push_in", 0.3), picture, frame), Camera(Motion("pull_out", 0.3), picture, frame)

    assert [there.at(step / 4) for step in range(5)] == [back.at(1 - step / 4) for step in range(5)]


@pytest.mark.parametrize(
    ("kind", "first", "last"),
    [("pan_left", 400, 0), ("pan_right", 0, 400)],
)
def test_a_pan_crosses_the_whole_picture_where_there_is_room(kind, first, last):
    """A picture wider than the frame is panned from edge to edge without magnifying it."""
    camera = Camera(Motion(kind, 0.25), (800, 225), (1920, 1080))

    assert (camera.at(0.0), camera.at(1.0)) == (Window(first, 0, 400, 225), Window(last, 0, 400, 225))


@pytest.mark.parametrize(("kind", "first", "last"), [("pan_up", 90, 0), ("pan_down", 0, 90)])
def test_a_pan_without_room_magnifies_to_make_some(kind, first, last):
    """The picture has the frame's shape: the window shrinks by 1 + amount and travels from edge to edge."""
    camera = Camera(Motion(kind, 0.25), (800, 450), (1920, 1080))

    assert (camera.at(0.0), camera.at(1.0)) == (Window(80, first, 640, 360), Window(80, last, 640, 360))


@settings(deadline=None, max_examples=40)
@given(st.floats(0, 40), st.floats(0.3, 2.2), st.sampled_from([90, 160, 540, 960]))
def test_a_stretch_lies_within_the_tolerance_of_the_wanted_line(left, step, count):
    """At both ends of the target the source is seen where it should be, computed as libswscale steps."""
    size = int(left + step * count) + 2
    found = stretch(left, step * count, size, count=count, margin=MARGIN)
    if found is None:
        return

    steps = ((found.reach << 16) + (found.canvas >> 1)) // found.canvas / 65536
    ends = [found.first + steps * (found.skip + at) - (left + step * at) for at in (0, count)]
    assert max(abs(end) for end in ends) <= (TOLERANCE + 1e-6) * step
    assert found.first >= -MARGIN
    assert found.first + found.reach <= size + MARGIN
    assert 0 < found.skip < found.canvas - count


def test_the_fast_way_and_the_exact_way_draw_the_same():
    """libswscale's canvas and Pillow's fractional box differ by less than what a thirtieth of a pixel makes."""
    noise = np.random.default_rng(5).integers(0, 256, (300, 500), dtype=np.uint8)
    smooth = np.asarray(sampler.scale_gray(sampler.VideoReformatter(), noise[:75, :125], (500, 300)))
    plane = Plane.pad(smooth)
    window = Window(20.37, 11.81, 401.3, 225.73)
    target = np.zeros((180, 320), np.uint8)

    Sampler().draw(plane, window, target)

    assert stretch(window.left, window.width, 500, count=320, margin=MARGIN) is not None
    assert np.abs(target.astype(int) - exact(plane, window, (320, 180))).max() <= 6


def test_a_window_on_whole_pixels_of_the_same_size_is_copied():
    """A picture that does not move is not resampled at all."""
    noise = np.random.default_rng(5).integers(0, 256, (90, 160), dtype=np.uint8)
    target = np.zeros((50, 60), np.uint8)

    Sampler().draw(Plane.pad(noise, 0), Window(7, 3, 60, 50), target)

    assert np.array_equal(target, noise[3:53, 7:67])


def test_a_still_picture_is_copied_whole(tmp_path):
    """Scaled once to the frame, chroma included: drawing it changes nothing more."""
    picture = load_picture(edge_picture(tmp_path / "p.png"), FRAME, Motion())
    targets = _targets()

    picture.draw(Sampler(), Camera(Motion(), picture.size, FRAME).at(0.5), targets)

    assert all(np.array_equal(target, plane.data) for target, plane in zip(targets, picture.planes, strict=True))


def _tracked(path, motion, frames):
    """Measured positions of the edge, and where it ideally is, in each frame."""
    picture = load_picture(path, FRAME, motion)
    camera, sampler = Camera(motion, picture.size, FRAME), Sampler()
    measured, ideal = [], []
    for index in range(frames):
        window, targets = camera.at(index / (frames - 1)), _targets()
        picture.draw(sampler, window, targets)
        measured.append(edge_of(targets[0]))
        ideal.append((picture.size[0] * 0.25 - window.left) / window.width * FRAME[0])
    return np.array(measured), np.array(ideal)


@pytest.mark.parametrize(
    ("kind", "amount"), [("push_in", 0.25), ("pull_out", 0.25), ("push_in", 0.04), ("pan_right", 0.12)]
)
def test_an_edge_moves_smoothly(tmp_path, kind, amount):
    """No frame is more than a tenth of a pixel off the ideal curve, and none steps back."""
    path = edge_picture(tmp_path / "edge.png", size=(1280, 720))

    measured, ideal = _tracked(path, Motion(kind, amount), 90)

    assert np.abs(measured - ideal).max() < 0.1
    steps = np.diff(measured)
    assert (steps < 0).all() or (steps > 0).all()


def test_the_exact_way_is_as_smooth(tmp_path, monkeypatch):
    """Where no canvas fits, Pillow's way keeps the same bound."""
    path = edge_picture(tmp_path / "edge.png", size=(640, 360))
    monkeypatch.setattr(sampler, "stretch", lambda *args, **options: None)

    measured, ideal = _tracked(path, Motion("push_in", 0.25), 20)

    assert np.abs(measured - ideal).max() < 0.1


def test_chroma_follows_luma(tmp_path):
    """A coloured edge stays where the bright edge is: chroma sits on the left luma column, as files have it."""
    rgb = np.zeros((360, 640, 3), np.uint8)
    rgb[:, :160] = (30, 60, 60)
    rgb[:, 160:] = (220, 120, 120)
    picture = to_planes(rgb, (640, 360), MARGIN)
    window, targets = Window(13.3, 7.7, 512.0, 288.0), _targets()

    picture.draw(Sampler(), window, targets)

    # A chroma sample's centre lies half a luma pixel left of the middle of its two columns.
    luma_edge, red_edge = edge_of(targets[0]), edge_of(targets[2]) * 2 - 0.5
    assert luma_edge == pytest.approx((160 - 13.3) / 512 * 320, abs=0.1)
    assert red_edge == pytest.approx(luma_edge, abs=0.2)

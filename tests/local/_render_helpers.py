"""Drafts, pictures, clips and a reader of finished files, for the tests of the renderer."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av
import numpy as np
from PIL import Image

from nemo_client.local.render.sampler import plane_view

SIZE = (320, 180)


def segment(asset="photo", start=None, length=1000, *, motion="static", amount=0.25, fade=0, **meta):
    """A video segment of one asset."""
    about = {"title": asset, "asset": asset, "kind": "image", "motion": {"type": motion, "amount": amount}, **meta}
    if fade:
        about["transition"] = {"type": "cross_fade", "d": fade}
    return {**({} if start is None else {"st": start}), "d": length, "m": about}


def sound(length=1000, **meta):
    """An audio segment; the synthesized bed unless an asset is named."""
    return {"st": 0, "d": length, "m": {"title": "Lo-fi", "volume": 0.35, "source": "bed", **meta}}


def title(text, length=1000, start=0):
    """A text segment."""
    return {"st": start, "d": length, "m": {"title": text, "text": text}}


def draft(*video, audio=(), text=(), size=SIZE, fps=30, length=None):
    """A draft of these segments."""
    tracks = [{"tt": 0, "sg": list(video)}, {"tt": 1, "sg": list(audio)}, {"tt": 7, "sg": list(text)}]
    given = {} if length is None else {"d": length}
    return {"t": tracks, **given, "m": {"width": size[0], "height": size[1], "fps": fps, "title": "project"}}


def picture(path, size=(400, 225), colour=(70, 110, 160), **options):
    """An image file of one colour."""
    Image.new("RGB", size, colour).save(path, **options)
    return path


def edge_picture(path, size=(480, 270), at=0.25):
    """An image file, dark up to a share `at` of its width and bright from there on."""
    levels = np.full((size[1], size[0], 3), 60, np.uint8)
    levels[:, round(size[0] * at) :] = 200
    Image.fromarray(levels).save(path)
    return path


def edge_of(luma):
    """Where the dark part ends, in pixels from the left, from the mean of all rows."""
    line = luma.astype(float).mean(axis=0)
    dark, bright = line[:4].mean(), line[-4:].mean()
    return float(((bright - line) / (bright - dark)).sum())


def clip(path, size=(160, 90), frames=20, fps=10, *, tone=True, luma=lambda index: 40 + 8 * index):
    """A video file whose frames get brighter one by one, with a loud tone."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=fps, options={"crf": "5", "preset": "ultrafast"})
        video.width, video.height, video.pix_fmt = size[0], size[1], "yuv420p"
        audio = container.add_stream("aac", rate=48000, layout="stereo") if tone else None
        for index in range(frames):
            grey = np.full((size[1], size[0], 3), luma(index), np.uint8)
            frame = av.VideoFrame.from_ndarray(grey, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, fps)
            container.mux(video.encode(frame))
        if audio:
            wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(48000 * frames // fps) / 48000)
            block = av.AudioFrame.from_ndarray(np.tile(wave.astype(np.float32), (2, 1)), format="fltp", layout="stereo")
            block.sample_rate, block.pts = 48000, 0
            container.mux(audio.encode(block))
            container.mux(audio.encode(None))
        container.mux(video.encode(None))
    return path


def tone_file(path, seconds=1):
    """An audio file with a loud tone."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libmp3lame", rate=44100, layout="mono")
        wave = 0.5 * np.sin(2 * np.pi * 440 * np.arange(44100 * seconds) / 44100)
        block = av.AudioFrame.from_ndarray(wave.astype(np.float32)[None], format="fltp", layout="mono")
        block.sample_rate, block.pts = 44100, 0
        container.mux(stream.encode(block))
        container.mux(stream.encode(None))
    return path


@dataclass
class Decoded:
    """What a finished file holds."""

    codecs: dict
    times: list
    frames: list
    seconds: float
    rate: Fraction
    metadata: dict
    colours: tuple
    samples: np.ndarray | None

    def rgb(self, index):
        """Frame `index` as RGB levels (height, width, 3), computed here as BT.709 in limited range says."""
        frame = self.frames[index]
        if frame.format.name != "yuv420p":
            return frame.to_ndarray(format="rgb24")
        luma, blue, red = (plane_view(frame, plane).astype(float) for plane in range(3))
        blue, red = (np.kron(one, np.ones((2, 2)))[: frame.height, : frame.width] - 128 for one in (blue, red))
        luma = (luma - 16) * 255 / 219
        blue, red = blue * 255 / 224, red * 255 / 224
        rgb = (luma + 1.5748 * red, luma - 0.1873 * blue - 0.4681 * red, luma + 1.8556 * blue)
        return np.stack(rgb, axis=2).clip(0, 255)

    def luma(self, index):
        """Frame `index` as its luma bytes (height, width)."""
        frame = self.frames[index]
        return frame.to_ndarray()[: frame.height, : frame.width]


def read(path):
    """Decode a whole file."""
    with av.open(str(path)) as container:
        codecs = {stream.type: stream.codec_context.name for stream in container.streams}
        frames = list(container.decode(video=0))
        stream = container.streams.video[0]
        seconds, rate = (container.duration or 0) / 1e6, stream.average_rate
        context = stream.codec_context
        colours = (context.colorspace, context.color_primaries, context.color_trc, context.color_range)
        metadata = {key.lower(): value for key, value in container.metadata.items()}
    samples = None
    if "audio" in codecs:
        with av.open(str(path)) as container:
            samples = np.concatenate([block.to_ndarray() for block in container.decode(audio=0)], axis=1)
    times = [float(frame.time) for frame in frames]
    return Decoded(codecs, times, frames, seconds, rate, metadata, colours, samples)

"""Formats that Pillow reads with a plugin alone: taken where it is there, else the plugin is named."""

from __future__ import annotations

import sys
import types
from pathlib import Path

import pytest
from PIL import Image, ImageFile

from nemo_client import InputError, from_file

CODESTREAM, CONTAINER = b"\xff\x0a\x10\x20", b"\0\0\0\x0cJXL \r\n\x87\n\x10\x20"


class JxlFile(ImageFile.ImageFile):
    """A reader as the plugin registers one."""

    format = "JXL"

    def _open(self) -> None:
        self._size, self._mode = (4, 3), "RGB"

    def load(self) -> Image.core.PixelAccess | None:
        self.im = Image.new("RGB", (4, 3), (9, 8, 7)).im
        self.tile = []
        return None


@pytest.fixture
def _decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    """A decoder that is installed, and was not imported yet."""
    Image.init()
    for name in ("OPEN", "ID"):
        monkeypatch.setattr(Image, name, getattr(Image, name).copy())
    Image.register_open("JXL", JxlFile, lambda head: head.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL")))
    monkeypatch.setitem(sys.modules, "pillow_jxl", types.ModuleType("pillow_jxl"))


@pytest.mark.usefixtures("_decoder")
@pytest.mark.parametrize(("name", "data"), [("a.jxl", CODESTREAM), ("b.jxl", CONTAINER), ("c.png", CONTAINER)])
def test_jxl_is_converted_where_a_decoder_is_there(name: str, data: bytes, tmp_path: Path) -> None:
    """Under any name."""
    (tmp_path / name).write_bytes(data)

    media = from_file(tmp_path / name)

    assert (media.mime, media.fingerprint.split(":")[1]) == ("image/jpeg", "3x4x3")


@pytest.mark.parametrize(("name", "data"), [("a.jxl", CODESTREAM), ("b.jxl", CONTAINER), ("c.png", CONTAINER)])
def test_a_missing_decoder_is_named(name: str, data: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, "pillow_jxl", None)
    (tmp_path / name).write_bytes(data)

    with pytest.raises(InputError, match="pip install pillow-jxl-plugin") as caught:
        from_file(tmp_path / name)

    assert name in str(caught.value)

"""What is uploaded: the same picture is the same request however it comes, and what cannot be sent is told before."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, JpegImagePlugin

from nemo_client import FileTooLarge, InputError, Media, UnsupportedFile, from_file, from_pixels, from_url, read_pixels
from nemo_client._files.images import MAX_UPLOAD_BYTES, UploadStore, pixels_fingerprint
from nemo_client._files.temp_files import create_part_file

ROOT = Path(__file__).parent.parent.parent
RNG = np.random.default_rng(7)
PIXELS = RNG.integers(0, 256, (24, 16, 3), np.uint8)
ALPHA = np.dstack([PIXELS, RNG.integers(0, 256, (24, 16), np.uint8)])


def saved(folder: Path, name: str, pixels: Any = PIXELS, **options: Any) -> Path:
    Image.fromarray(pixels).save(folder / name, **options)
    return folder / name


def decoded(media: Media) -> np.ndarray[Any, np.dtype[np.uint8]]:
    source = io.BytesIO(media.content) if isinstance(media.content, bytes) else media.content
    with Image.open(source) as image:
        return np.asarray(image)


def test_a_picture_counts_by_its_pixels_not_by_its_bytes(tmp_path: Path) -> None:
    """PNG, lossless WebP, BMP, TIFF and an array of the same pixels are one request."""
    files = [saved(tmp_path, "a.png"), saved(tmp_path, "b.png", compress_level=9), saved(tmp_path, "c.bmp")]
    files += [saved(tmp_path, "d.tiff"), saved(tmp_path, "e.webp", lossless=True)]

    prints = {from_file(path).fingerprint for path in files} | {from_pixels(PIXELS).fingerprint}
    assert len(prints) == 1
    assert from_pixels(PIXELS[::-1]).fingerprint not in prints
    assert from_pixels(PIXELS.reshape(16, 24, 3)).fingerprint not in prints


def test_the_fingerprint_of_pixels_never_changes() -> None:
    """Journals of earlier versions hold it: another one would pay again for the same picture."""
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 4, 3)

    digest = "1d64add2a6388367c9bc2d1f1b384b069a6ef382cdaaa89771dd103e28613a25"
    assert pixels_fingerprint(pixels) == f"pixels:2x4x3:{digest}"
    assert from_pixels(pixels).fingerprint == f"pixels:2x4x3:{digest}"


def smooth(height: int, width: int) -> Any:
    """A picture without grain: float64 [H, W, 3] in 40..215."""
    across, down = np.meshgrid(np.linspace(0, 9, width), np.linspace(0, 7, height))
    waves = [np.sin(across + down), np.sin(across * 2 - down), np.cos(down * 3)]
    return np.stack(waves, axis=2) * 87 + 128


@pytest.mark.parametrize("grain", [0, 1, 2.5, 5, 20, None], ids=lambda grain: f"grain {grain}" if grain else str(grain))
def test_a_jpeg_has_no_visible_loss_whatever_the_picture(grain: float | None) -> None:
    """At least 42 dB at full colour resolution; None is nothing but noise, the worst there is."""
    chance = np.random.default_rng(3)
    levels = smooth(240, 320) + chance.normal(0, grain or 0, (240, 320, 3))
    pixels = chance.integers(0, 256, (240, 320, 3), np.uint8) if grain is None else levels.clip(0, 255).astype(np.uint8)

    media = from_pixels(pixels)
    error = np.square(decoded(media).astype(float) - pixels).mean()
    assert media.mime == "image/jpeg"
    assert 10 * np.log10(255**2 / error) >= 42
    with Image.open(io.BytesIO(media.content)) as sent:  # type: ignore[arg-type]
        assert JpegImagePlugin.get_sampling(sent) == 0  # 4:4:4


@given(st.integers(1, 131), st.integers(1, 40), st.sampled_from([3, 4]), st.integers(1, 256))
@settings(max_examples=20, deadline=None)
def test_lossless_is_lossless(height: int, width: int, channels: int, colours: int) -> None:
    """PNG and WebP give back every pixel, of flat and of busy pictures, also the colour under full transparency."""
    chance = np.random.default_rng(height * width)
    pixels = chance.integers(0, colours, (height, width, channels), np.uint8)
    pixels[height // 2 :, width // 3 :] = 0

    for encoding in ("png", "webp"):
        media = from_pixels(pixels, encoding)  # type: ignore[arg-type]
        assert np.array_equal(decoded(media)[..., :channels], pixels[..., : decoded(media).shape[2]])


def test_pictures_are_encoded_where_no_file_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    """Some containers refuse files in memory: one core has to do."""

    def refused(*_: object, **__: object) -> int:
        raise OSError(1, "Operation not permitted")

    usual = from_pixels(PIXELS).content
    monkeypatch.setattr(os, "memfd_create", refused, raising=False)
    monkeypatch.setattr("tempfile.TemporaryFile", refused)

    assert from_pixels(PIXELS).content == usual


def test_a_photograph_and_its_decoded_pixels_are_one_request(tmp_path: Path) -> None:
    """A JPEG given to the shell is the IMAGE that a graph has loaded."""
    path = saved(tmp_path, "a.jpg")

    assert from_file(path).fingerprint == from_pixels(read_pixels(path)).fingerprint


def test_a_picture_that_the_backend_takes_goes_as_it_is(tmp_path: Path) -> None:
    """No second compression; its name on the wire carries its content's hash, so that an upload can be recognised."""
    media = from_file(saved(tmp_path, "My Cat.JPG"))

    assert media.content == tmp_path / "My Cat.JPG"
    assert media.mime == "image/jpeg"
    assert media.name == f"My Cat-{media.fingerprint.rsplit(':')[-1][:8]}.jpg"
    assert media.kept_name == f"{media.sha256}.jpg"


@pytest.mark.parametrize("suffix", ["jpg", "png", "tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_upright(orientation: int, suffix: str, tmp_path: Path) -> None:
    """Phones note how they were held; the backend gets it the right way up, and keys count it so."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, f"a.{suffix}", exif=exif, **({"quality": 100, "subsampling": 0} if suffix == "jpg" else {}))

    media = from_file(path)

    assert decoded(media).shape == ((16, 24, 3) if orientation > 4 else (24, 16, 3))
    assert media.fingerprint == from_pixels(read_pixels(path)).fingerprint
    with Image.open(media.content if isinstance(media.content, Path) else io.BytesIO(media.content)) as sent:
        assert sent.getexif().get(0x0112, 1) == 1


@pytest.mark.parametrize(
    ("name", "pixels", "shape"),
    [
        ("grey.png", PIXELS[..., 0], (24, 16, 3)),
        ("grey alpha.png", ALPHA[..., 2:], (24, 16, 4)),
        ("alpha.png", ALPHA, (24, 16, 4)),
        ("opaque.png", np.dstack([PIXELS, np.full((24, 16), 255, np.uint8)]), (24, 16, 3)),
        ("alpha.webp", ALPHA, (24, 16, 4)),
        ("sixteen.png", RNG.integers(0, 65536, (24, 16), np.uint16), (24, 16, 3)),
        ("black and white.png", PIXELS[..., 0] > 99, (24, 16, 3)),
    ],
)
def test_every_kind_of_pixels_becomes_rgb_or_rgba(
    name: str, pixels: Any, shape: tuple[int, ...], tmp_path: Path
) -> None:
    """An alpha channel counts only where something is transparent."""
    path = saved(tmp_path, name, pixels)

    assert read_pixels(path).shape == shape
    assert from_file(path).fingerprint.startswith(f"pixels:24x16x{shape[2]}:")


def test_sixteen_bits_are_scaled_not_cut(tmp_path: Path) -> None:
    """65535 is white, 32768 is grey; Pillow alone would make both white."""
    path = saved(tmp_path, "a.png", np.array([[0, 255, 256, 32768, 65535]], np.uint16))

    assert read_pixels(path)[0, :, 0].tolist() == [0, 0, 1, 128, 255]
    assert decoded(from_file(path)).dtype == np.uint8


def test_print_colours_are_converted(tmp_path: Path) -> None:
    """CMYK is a JPEG that most renderers show inverted."""
    Image.fromarray(PIXELS).convert("CMYK").save(tmp_path / "a.jpg", quality=100)
    media = from_file(tmp_path / "a.jpg")

    with Image.open(io.BytesIO(media.content)) as sent:  # type: ignore[arg-type]
        assert sent.mode == "RGB"


def test_palettes_with_transparency_keep_it(tmp_path: Path) -> None:
    """A logo stays cut out."""
    image = Image.new("P", (4, 4))
    image.putpalette([255, 0, 0, 0, 255, 0])
    image.save(tmp_path / "a.png", transparency=0)

    assert read_pixels(tmp_path / "a.png")[0, 0].tolist() == [255, 0, 0, 0]


def test_a_phones_jpeg_with_a_second_picture_is_a_jpeg(tmp_path: Path) -> None:
    """MPO: depth maps and previews behind the photograph do not make it a film."""
    first = Image.fromarray(PIXELS)
    first.save(tmp_path / "a.jpg", "MPO", save_all=True, append_images=[first])

    media = from_file(tmp_path / "a.jpg")
    assert (media.mime, media.name[-4:], media.fingerprint[:7]) == ("image/jpeg", ".jpg", "pixels:")


@pytest.mark.parametrize("name", ["a.gif", "a.png", "a.webp"])
def test_moving_pictures_go_as_files(name: str, tmp_path: Path) -> None:
    """Their first frame is not what they are."""
    frames = [Image.fromarray(PIXELS), Image.fromarray(PIXELS[::-1].copy())]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])

    media = from_file(tmp_path / name)
    assert media.fingerprint.startswith("file:")
    assert (media.content, media.name[-4:]) == (tmp_path / name, name[-4:].lstrip("a"))


def test_heic_is_converted_under_any_name(tmp_path: Path) -> None:
    """It is promised to users and not in the backend's list; phones also hand it out as .jpg."""
    heif = pytest.importorskip("pillow_heif")
    picture = heif.from_pillow(Image.fromarray(PIXELS))
    for name in ("a.heic", "a.HEIF", "b.jpg"):
        picture.save(tmp_path / name, quality=-1)
        media = from_file(tmp_path / name)
        assert (media.mime, decoded(media).shape) == ("image/jpeg", (24, 16, 3))

    cut = (tmp_path / "a.heic").read_bytes()
    for size in (12, 60, len(cut) // 2):
        (tmp_path / "cut.heic").write_bytes(cut[:size])
        with pytest.raises(InputError, match="a part of the image is missing"):
            from_file(tmp_path / "cut.heic")


def test_heic_without_its_extra_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip install 'nemo-video[heic]'."""
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    (tmp_path / "a.jpg").write_bytes(b"\0\0\0\x18ftypheic" + b"\0" * 40)

    with pytest.raises(InputError, match=r"nemo-video\[heic\]"):
        from_file(tmp_path / "a.jpg")


@pytest.mark.parametrize(
    "content", [b"", b"GIF", b"%!PS-Adobe-3.0 EPSF-3.0\n", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"<svg/>"]
)
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp"])
def test_what_is_no_image_is_told(content: bytes, name: str, tmp_path: Path) -> None:
    """Empty, of another kind, or one that would start another program to be read."""
    (tmp_path / name).write_bytes(content)

    with pytest.raises(InputError, match=f"{name} is (damaged: a part|not a readable image)") as caught:
        from_file(tmp_path / name)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp", "a.bmp", "a.tiff"])
def test_a_cut_image_is_told(share: float, name: str, tmp_path: Path) -> None:
    """Half a download is no picture, and no crash."""
    data = saved(tmp_path, name, RNG.integers(0, 256, (60, 60, 3), np.uint8)).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * share)])

    with pytest.raises(InputError):
        from_file(tmp_path / name)


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """Also a folder, and a name that no system allows."""
    for path in (tmp_path / "nope.png", tmp_path):
        path = path.with_suffix(".png")
        with pytest.raises(InputError, match="There is no file"):
            from_file(path)


@pytest.mark.parametrize("name", ["a.txt", "a", "a.svg", "a.exe", "a.mp4.part"])
def test_unknown_types_list_the_known_ones(name: str, tmp_path: Path) -> None:
    """4001, before anything is sent."""
    (tmp_path / name).write_bytes(b"x")

    with pytest.raises(UnsupportedFile, match="mp4 mov avi webm mkv, jpg png gif webp, mp3 wav m4a aac") as caught:
        from_file(tmp_path / name)
    assert caught.value.code == 4001


@pytest.mark.parametrize("name", ["a.mp4", "a.MOV", "a.wav", "a.aac", "a.gif"])
def test_other_files_count_by_their_content(name: str, tmp_path: Path) -> None:
    """Video, audio and GIF: SHA-256 of the file, whatever its name; an empty one is told."""
    (tmp_path / name).write_bytes(b"film")
    (tmp_path / f"other{name}").write_bytes(b"film")

    media = from_file(tmp_path / name)
    assert media.fingerprint == from_file(tmp_path / f"other{name}").fingerprint
    assert media.name.endswith(name[1:].lower())
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(InputError, match="it is empty"):
        from_file(tmp_path / name)


@pytest.mark.parametrize("name", ["a.mp4", "a.png", "a.jpg"])
def test_a_file_above_the_limit_is_refused_before_it_is_read(name: str, tmp_path: Path) -> None:
    """201 MB: 4002, with the size, the limit and what to do."""
    with (tmp_path / name).open("wb") as file:
        file.truncate(MAX_UPLOAD_BYTES + 1024 * 1024)

    with pytest.raises(
        FileTooLarge, match=f"{name} has 201 MB, but at most 200 MB can be uploaded. Compress or trim it"
    ) as caught:
        from_file(tmp_path / name)
    assert (caught.value.code, caught.value.exit_code) == (4002, 2)


def test_a_picture_with_too_many_pixels_is_refused(tmp_path: Path) -> None:
    """A few bytes can unpack to all the memory there is."""
    Image.new("1", (10_000, 9_000)).save(tmp_path / "a.png")

    with pytest.raises(InputError, match="at most 89 million pixels"):
        from_file(tmp_path / "a.png")


# --- Arrays ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "mime"), [("auto", "image/jpeg"), ("png", "image/png"), ("jpeg", "image/jpeg"), ("webp", "image/webp")]
)
def test_encodings_are_what_was_asked_for(encoding: Any, mime: str) -> None:
    """Opaque pictures go as JPEG where nothing is said; PNG and WebP lose nothing."""
    media = from_pixels(PIXELS, encoding)

    assert media.mime == mime
    if encoding in ("png", "webp"):
        assert (decoded(media) == PIXELS).all()
    else:
        assert decoded(media).shape == PIXELS.shape


@pytest.mark.parametrize("encoding", ["auto", "png"])
def test_a_very_long_picture_can_be_sent(encoding: Any) -> None:
    """JPEG ends at 65500 pixels a side, WebP at 16383."""
    strip = np.zeros((1, 70_000, 3), np.uint8)

    assert from_pixels(strip, encoding).mime == "image/png"
    for refused in ("jpeg", "webp"):
        with pytest.raises(InputError, match="Use png"):
            from_pixels(strip, refused)  # type: ignore[arg-type]


def test_transparency_is_kept() -> None:
    """Also the colours below it; JPEG cannot."""
    assert from_pixels(ALPHA).mime == "image/png"
    for encoding in ("png", "webp"):
        assert (decoded(from_pixels(ALPHA, encoding)) == ALPHA).all()  # type: ignore[arg-type]
    with pytest.raises(InputError, match="cannot be sent as jpeg"):
        from_pixels(ALPHA, "jpeg")


def test_the_encoding_counts_where_it_was_chosen() -> None:
    """`auto` is left out of keys, so that its choice can improve."""
    prints = [from_pixels(PIXELS, encoding).fingerprint for encoding in ("auto", "png", "jpeg", "webp")]

    assert len(set(prints)) == 4
    assert prints[0] == from_pixels(np.dstack([PIXELS, np.full((24, 16), 255, np.uint8)])).fingerprint
    assert from_pixels(PIXELS[..., :1]).fingerprint == from_pixels(np.repeat(PIXELS[..., :1], 3, axis=2)).fingerprint


def test_a_view_into_other_memory_is_the_same_picture() -> None:
    """Slices and turned arrays are not contiguous."""
    assert from_pixels(PIXELS[::-1][::-1]).fingerprint == from_pixels(PIXELS).fingerprint
    assert from_pixels(np.asfortranarray(PIXELS)).content == from_pixels(PIXELS).content


def test_an_empty_picture_is_told() -> None:
    """A crop that left nothing."""
    with pytest.raises(InputError, match="no image"):
        from_pixels(np.zeros((0, 5, 3), np.uint8))


# --- Addresses and kept bytes ---------------------------------------------------------------------------------------


def test_an_address_counts_by_its_text() -> None:
    """The backend fetches it; its signature stays out of `repr`."""
    media = from_url(" https://cdn.test/films/a.mp4?sig=SECRET ")

    assert media.url == "https://cdn.test/films/a.mp4?sig=SECRET"
    assert (media.name, media.fingerprint) == ("a.mp4", f"url:{media.url}")
    assert "SECRET" not in repr(media)
    assert from_url("https://cdn.test").name == "cdn.test"


@pytest.mark.parametrize(
    "url", ["", "a.png", "ftp://x.test/a", "file:///a", "https://", "https://me:SECRET@x.test", "https://[x"]
)
def test_what_is_no_address_is_told(url: str) -> None:
    """Without what may be secret in it."""
    with pytest.raises(InputError, match=r"not an http\(s\) address") as caught:
        from_url(url)
    assert "SECRET" not in str(caught.value)


def test_uploaded_bytes_are_kept_for_later(tmp_path: Path) -> None:
    """Forks and resumed runs repeat an upload when the graph no longer has the pixels; 0600."""
    store = UploadStore(tmp_path)
    path = saved(tmp_path, "a.png")
    media = from_file(path)
    kept = store.keep(media)
    path.unlink()
    found = store.find(media.fingerprint, media.kept_name, media.mime, media.name)

    assert found == kept
    assert isinstance(kept.content, Path)
    assert stat.S_IMODE(kept.content.stat().st_mode) == 0o600
    assert (decoded(kept) == PIXELS).all()
    assert store.find("pixels:x", "../../etc/passwd", "") is None
    assert sorted(each.name for each in (tmp_path / "uploads").iterdir()) == [media.kept_name]


def test_half_an_upload_of_a_dead_process_goes_with_the_next_one(tmp_path: Path) -> None:
    """Killed while it kept a picture; one that still writes keeps its file."""
    dies = (
        "import os, sys; from pathlib import Path; from nemo_client._files.temp_files import create_part_file\n"
        "create_part_file(Path(sys.argv[1]), 'upload', 0o600).__enter__().write_bytes(b'half')\n"
        "os._exit(9)"
    )
    folder = tmp_path / "uploads"
    folder.mkdir()
    subprocess.run([sys.executable, "-c", dies, str(folder)], cwd=ROOT, check=False)
    assert len(list(folder.iterdir())) == 1

    with create_part_file(folder, "upload", 0o600) as written:
        media = UploadStore(tmp_path).keep(from_file(saved(tmp_path, "a.png")))

        assert {each.name for each in folder.iterdir()} == {media.kept_name, written.name}


def test_addresses_need_no_keeping(tmp_path: Path) -> None:
    """Their text is all there is."""
    store, media = UploadStore(tmp_path), from_url("https://x.test/a.png")

    assert store.keep(media) is media
    assert store.find(media.fingerprint, media.name, "") == media
    assert not (tmp_path / "uploads").exists()


def test_a_file_that_changed_since_it_was_looked_at_is_told(tmp_path: Path) -> None:
    """Its content is in the key; other content under that key would be delivered for ever."""
    (tmp_path / "a.mp4").write_bytes(b"one")
    media = from_file(tmp_path / "a.mp4")
    (tmp_path / "a.mp4").write_bytes(b"two")
    store = UploadStore(tmp_path)

    with pytest.raises(InputError, match="changed"):
        store.keep(media)
    (tmp_path / "a.mp4").unlink()
    with pytest.raises(InputError, match=r"a\.mp4 cannot be read"):
        store.keep(media)
    assert list((tmp_path / "uploads").iterdir()) == []

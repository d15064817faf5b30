"""Pictures as people have them: other colours, side data, odd suffixes, missing ends, more than eight bits."""

from __future__ import annotations

import contextlib
import hashlib
import io
import struct
import wave
import zlib
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image, ImageCms, JpegImagePlugin, PngImagePlugin

from nemo_client import Destination, InputError, Media, UnsupportedFile, Wish, from_file, from_samples, read_pixels
from nemo_client._files.colors import is_srgb
from nemo_client._files.images import UploadStore, check_file, pixels_fingerprint
from nemo_client._files.save import check_video
from nemo_client._files.side_data import without_side_data
from nemo_client.local.sessions.probe import probe
from tests.support.backend import Cloud, cloud, write_video

__all__ = ["cloud"]

CORNERS = ((200, 40, 40), (40, 170, 60), (50, 70, 200), (220, 200, 40))


def card(width: int = 64, height: int = 48) -> Image.Image:
    """Four colours in four corners."""
    pixels = np.zeros((height, width, 3), np.uint8)
    top, left = height // 2, width // 2
    pixels[:top, :left], pixels[:top, left:], pixels[top:, :left], pixels[top:, left:] = CORNERS
    return Image.fromarray(pixels)


def corners(pixels: Any) -> list[tuple[int, ...]]:
    height, width = pixels.shape[:2]
    return [
        tuple(int(level) for level in pixels[y, x, :3])
        for y in (height // 4, 3 * height // 4)
        for x in (width // 4, 3 * width // 4)
    ]


def near(found: list[tuple[int, ...]], wanted: Any = CORNERS, by: int = 4) -> bool:
    return bool(np.abs(np.array(found, int) - np.array(wanted, int)).max() <= by)


def profile(red: Any = (0.51512, 0.2412, -0.00105), green: Any = (0.29198, 0.69225, 0.04189),
            blue: Any = (0.1571, 0.06657, 0.78407), gamma: float = 0.0, name: bytes = b"P3") -> bytes:  # fmt: skip
    """An RGB profile of these primaries (D50), with sRGB's curve or a gamma."""

    def fixed(value: float) -> bytes:
        return struct.pack(">i", round(value * 65536))

    def point(*values: float) -> bytes:
        return b"XYZ \0\0\0\0" + b"".join(map(fixed, values))

    steps = np.linspace(0, 1, 1024)
    light = steps**gamma if gamma else np.where(steps <= 0.04045, steps / 12.92, ((steps + 0.055) / 1.055) ** 2.4)
    curve = b"curv\0\0\0\0" + struct.pack(">I", 1024) + (light * 65535).round().astype(">u2").tobytes()
    said = b"desc\0\0\0\0" + struct.pack(">I", len(name) + 1) + name + b"\0" + bytes(78)
    tags = [
        (b"desc", said), (b"cprt", b"text\0\0\0\0own\0"), (b"wtpt", point(0.9642, 1.0, 0.8249)), (b"rXYZ", point(*red)),
        (b"gXYZ", point(*green)), (b"bXYZ", point(*blue)), (b"rTRC", curve), (b"gTRC", curve), (b"bTRC", curve),
    ]  # fmt: skip
    table = data = b""
    place = 132 + 12 * len(tags)
    for sign, body in tags:
        table += sign + struct.pack(">II", place + len(data), len(body))
        data += body + bytes(-len(body) % 4)
    head = struct.pack(">I", place + len(data)) + bytes(4) + struct.pack(">I", 0x02400000) + b"mntrRGB XYZ "
    head += struct.pack(">6H", 2024, 1, 1, 0, 0, 0) + b"acspAPPL" + bytes(24) + fixed(0.9642) + fixed(1) + fixed(0.8249)
    return head.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + data


P3 = profile()
ADOBE = profile((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457), 2.2, b"A98")
SRGB_PRIMARIES = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.7141))


def seen_through(image: Image.Image, given: bytes) -> Image.Image:
    """The numbers with which a picture looks the same in that profile."""
    wanted = ImageCms.ImageCmsProfile(io.BytesIO(given))
    made = ImageCms.profileToProfile(image, ImageCms.createProfile("sRGB"), wanted, outputMode="RGB")
    assert made is not None
    return made


def sent_bytes(media: Media) -> bytes:
    part = media.part.source
    return part if isinstance(part, bytes) else part.read_bytes()


# --- Colours --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [P3, ADOBE], ids=["Display P3", "Adobe RGB"])
@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff", "avif"])
@pytest.mark.parametrize("orientation", [1, 6])
@pytest.mark.parametrize("alpha", [False, True])
def test_colours_are_those_that_people_see(
    given: bytes, suffix: str, orientation: int, alpha: bool, tmp_path: Path
) -> None:
    """In every mode, turned or not, encoded again or not."""
    if alpha and suffix == "jpg":
        pytest.skip("JPEG has no transparency")
    image = seen_through(card(), given)
    if alpha:
        image.putalpha(Image.new("L", image.size, 200))
    exif = Image.Exif()
    exif[0x0112] = orientation
    if orientation == 6:
        image = image.transpose(Image.Transpose.ROTATE_90)
    more = {"quality": 95} if suffix in ("jpg", "webp", "avif") else {}
    image.save(tmp_path / f"a.{suffix}", icc_profile=given, exif=exif, **more)

    media = from_file(tmp_path / f"a.{suffix}")
    pixels = read_pixels(tmp_path / f"a.{suffix}")

    assert near(corners(pixels), by=8)
    assert media.fingerprint == pixels_fingerprint(pixels)
    assert media.older not in ("", media.fingerprint)
    with Image.open(io.BytesIO(sent_bytes(media))) as sent:
        kept = sent.info.get("icc_profile")
        raw = np.asarray(sent.convert("RGBA" if alpha else "RGB"))
        shown = Image.fromarray(raw[..., :3])
        if kept:
            srgb = ImageCms.createProfile("sRGB")
            shown = ImageCms.profileToProfile(shown, ImageCms.ImageCmsProfile(io.BytesIO(kept)), srgb) or shown
        assert near(corners(np.asarray(shown)), by=8)
        assert raw.shape == (48, 64, 4 if alpha else 3)


@pytest.mark.parametrize(
    "given",
    [
        b"",
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
        profile(*SRGB_PRIMARIES, name=b"c2"),
        b"not a profile",
        ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(),
    ],
    ids=["none", "sRGB", "sRGB by another name", "damaged", "of another space"],
)
def test_a_picture_in_srgb_keeps_its_key(given: bytes, tmp_path: Path) -> None:
    """So does one whose profile says nothing that can be used."""
    card().save(tmp_path / "a.png", icc_profile=given)
    media = from_file(tmp_path / "a.png")

    assert (media.fingerprint, media.older) == (pixels_fingerprint(np.asarray(card())), "")


def test_a_profile_is_judged_by_what_it_does() -> None:
    """Not by its name alone."""
    assert is_srgb(profile(*SRGB_PRIMARIES, name=b"x"))
    assert not is_srgb(profile(name=b"not sRGB"))


@pytest.mark.parametrize("state", ["done", "refused", "new"])
@pytest.mark.parametrize("way", ["whole", "steps"])
async def test_what_was_made_with_the_old_key_is_found(
    state: str, way: str, cloud: Callable[..., Cloud], tmp_path: Path
) -> None:
    """A request that an earlier version carried out is not paid again; a new one counts by the converted pixels."""
    backend, wish = cloud(), Wish("make it move slowly", duration=2)
    seen_through(card(), P3).save(tmp_path / "a.png", icc_profile=P3)
    media = from_file(tmp_path / "a.png")
    earlier = replace(media, fingerprint=media.older, older="")
    place = Destination(tmp_path / "out", "film")
    async with backend.studio() as studio:
        handle = await studio.upload([earlier])
        if state == "done":
            await studio.generate(handle, wish)
        elif state == "refused":
            backend.fault("answer", "message", code=422)
            with pytest.raises(Exception, match="Nothing was charged"):
                await studio.generate(handle, wish)
        for _ in range(2):
            if way == "whole":
                video = await studio.animate([media], wish, place)
                reused, session = video.reused, video.session_id
            else:
                turned = await studio.generate(await studio.upload([media]), wish)
                reused, session = turned.reused, turned.session.session_id
        assert reused
        new = await studio.upload([media])
        other = await studio.generate(new, Wish("make it turn", duration=2))
        assert (await studio.generate(await studio.upload([media]), wish)).session.session_id == session
        assert (await studio.generate(new, Wish("make it turn", duration=2))).session == other.session
        assert (await studio.upload([media])).key != handle.key

    assert len(backend.ledger.charges) == 2
    assert (session == handle.session_id) == (state == "done")


# --- What leaves the machine ----------------------------------------------------------------------------------------

PRIVATE = b"PRIVATE"


def with_private_data(image: Image.Image, path: Path, **more: Any) -> Path:
    """A picture with place, serial number, a workflow, XMP and comments, as cameras and programs write them."""
    exif = Image.Exif()
    exif[0x010F] = "PRIVATE maker"
    exif.get_ifd(0x8825)[2] = (52.0, 30.0, 0.0)
    exif.get_ifd(0x8769)[0xA431] = "PRIVATE 12345"
    info = PngImagePlugin.PngInfo()
    info.add_text("workflow", "PRIVATE {}")
    info.add_itxt("XML:com.adobe.xmp", "PRIVATE xmp")
    info.add_text("Comment", "PRIVATE", zip=True)
    info.add(b"prVt", b"PRIVATE", after_idat=True)
    options: dict[str, Any] = {"exif": exif, **more}
    if path.suffix == ".png":
        options["pnginfo"] = info
    else:
        options["xmp"] = b"PRIVATE xmp"
    if path.suffix == ".jpg":
        options["comment"] = b"PRIVATE comment"
    image.save(path, **options)
    return path


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
@pytest.mark.parametrize("given", [b"", P3], ids=["plain", "with a profile"])
def test_only_pixels_and_colour_leave_the_machine(suffix: str, given: bytes, tmp_path: Path) -> None:
    """Neither the place nor the serial number, comments or other packs' workflows; the pixels are not touched."""
    path = with_private_data(card(), tmp_path / f"a.{suffix}", **({"icc_profile": given} if given else {}))
    path.write_bytes(path.read_bytes() + (b"" if suffix == "webp" else b"PRIVATE film behind the picture"))
    media = from_file(path)
    kept = UploadStore(tmp_path / "home").keep(media)
    data = sent_bytes(kept)

    assert PRIVATE in path.read_bytes()
    assert PRIVATE not in data
    assert data == sent_bytes(media)
    assert kept.kept_name == f"{hashlib.sha256(data).hexdigest()}.{suffix}"
    with Image.open(path) as before, Image.open(io.BytesIO(data)) as after:
        assert before.tobytes() == after.tobytes()
        assert dict(after.getexif()) == {}
        assert after.info.get("icc_profile", b"") == given
    assert media.fingerprint == pixels_fingerprint(read_pixels(path))


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_files_go_as_they_are_where_that_is_set(suffix: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NEMO_KEEP_METADATA=1, for who wants the backend to know."""
    monkeypatch.setenv("NEMO_KEEP_METADATA", "1")
    path = with_private_data(card(), tmp_path / f"a.{suffix}")

    assert sent_bytes(UploadStore(tmp_path / "home").keep(from_file(path))) == path.read_bytes()


@pytest.mark.parametrize("suffix", ["png", "webp"])
def test_moving_pictures_lose_their_side_data_too(suffix: str, tmp_path: Path) -> None:
    """And keep every frame and the way they are held."""
    path = with_private_data(card(), tmp_path / f"a.{suffix}", save_all=True, append_images=[card().rotate(90)])
    data = sent_bytes(UploadStore(tmp_path / "home").keep(from_file(path)))

    assert PRIVATE not in data
    with Image.open(io.BytesIO(data)) as image:
        assert getattr(image, "n_frames", 1) == 2


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_what_older_versions_kept_goes_without_side_data(suffix: str, tmp_path: Path) -> None:
    """Their names were not the hash of what is sent."""
    store = UploadStore(tmp_path / "home")
    path = with_private_data(card(), tmp_path / f"a.{suffix}")
    media = from_file(path)
    old = f"image-{media.fingerprint.rsplit(':')[-1][:20]}.{suffix}"
    (tmp_path / "home" / "uploads").mkdir(parents=True)
    (tmp_path / "home" / "uploads" / old).write_bytes(path.read_bytes())
    found = store.find(media.fingerprint, old, media.mime)

    assert found is not None
    assert PRIVATE not in sent_bytes(found)
    assert found.kept_name == media.kept_name


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
def test_the_way_a_picture_is_held_stays(kind: str, orientation: int, tmp_path: Path) -> None:
    """Nothing else of EXIF."""
    path = with_private_data(card(), tmp_path / f"a.{'jpg' if kind == 'jpeg' else kind}", icc_profile=P3)
    data = b"".join(without_side_data(path.read_bytes(), kind, orientation))

    assert PRIVATE not in data
    with Image.open(io.BytesIO(data)) as image:
        assert dict(image.getexif()) == ({0x0112: orientation} if orientation > 1 else {})
        image.load()


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp"])
@pytest.mark.parametrize("cut", [1, 9, 60])
def test_half_a_file_is_no_crash(kind: str, cut: int, tmp_path: Path) -> None:
    """What is not built as it should be is a ValueError, whatever it is."""
    path = with_private_data(card(), tmp_path / f"a.{'jpg' if kind == 'jpeg' else kind}")
    with contextlib.suppress(ValueError):
        b"".join(without_side_data(path.read_bytes()[:cut], kind))


# --- Side data never costs the pixels -------------------------------------------------------------------------------


def png_with(*chunks: tuple[bytes, bytes]) -> bytes:
    """The card with more chunks after its header."""
    out = io.BytesIO()
    card().save(out, "PNG")
    data = out.getvalue()
    extra = b"".join(struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
                     for name, body in chunks)  # fmt: skip
    return data[:33] + extra + data[33:]


def zipped(letter: bytes, size: int) -> bytes:
    return zlib.compress(letter * size)


ODD_PNGS: dict[str, Callable[[], list[tuple[bytes, bytes]]]] = {
    "3 MB of text": lambda: [(b"zTXt", b"workflow\0\0" + zipped(b"x", 3_000_000))],
    "3 MB of XMP": lambda: [(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zipped(b"y", 3_000_000))],
    "80 MB of text in pieces": lambda: [(b"zTXt", b"a%d\0\0" % n + zipped(b"z", 1_000_000)) for n in range(80)],
    "unreadable EXIF": lambda: [(b"eXIf", b"II*\0\xff\xff\xff\xff")],
    "EXIF of nothing": lambda: [(b"eXIf", b"garbage")],
    "damaged text": lambda: [(b"zTXt", b"a\0\0not zlib")],
}


@pytest.mark.parametrize("kind", ODD_PNGS)
def test_a_png_is_taken_whatever_stands_beside_its_pixels(kind: str, tmp_path: Path) -> None:
    """As browsers and ComfyUI's own Load Image take it."""
    (tmp_path / "a.png").write_bytes(png_with(*ODD_PNGS[kind]()))
    check_file(tmp_path / "a.png")
    media = from_file(tmp_path / "a.png")

    assert media.fingerprint == pixels_fingerprint(np.asarray(card()))
    assert len(sent_bytes(UploadStore(tmp_path / "home").keep(media))) < 2000


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_jpeg_without_its_end_marker_is_whole(progressive: bool, orientation: int, tmp_path: Path) -> None:
    """Every pixel is there; what goes out has its end."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    card().save(tmp_path / "whole.jpg", quality=95, progressive=progressive, exif=exif)
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "whole.jpg").read_bytes()[:-2])
    whole, cut = from_file(tmp_path / "whole.jpg"), from_file(tmp_path / "cut.jpg")

    assert cut.fingerprint == whole.fingerprint
    assert sent_bytes(UploadStore(tmp_path / "home").keep(cut)) == sent_bytes(whole)


@pytest.mark.parametrize("share", [0.5, 0.9, 0.97])
@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_lacks_pixels_is_told(share: float, progressive: bool, tmp_path: Path) -> None:
    """Half a picture is not sent, and not paid for."""
    noise = np.random.default_rng(1).integers(0, 256, (160, 160, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg", quality=90, progressive=progressive)
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(data[: int(len(data) * share)])

    with pytest.raises(InputError, match="a part of the image is missing"):
        from_file(tmp_path / "a.jpg")


@pytest.mark.parametrize("suffix", ["jpg", "webp", "tiff"])
def test_unreadable_exif_costs_nothing(suffix: str, tmp_path: Path) -> None:
    """In any format."""
    card().save(tmp_path / f"a.{suffix}", **({} if suffix == "tiff" else {"exif": b"Exif\0\0II*\0\xff\xff\xff\xff"}))

    assert from_file(tmp_path / f"a.{suffix}").fingerprint.startswith("pixels:48x64x3:")


def test_a_phones_picture_of_108_megapixels_goes_as_it_is(tmp_path: Path) -> None:
    """It is not decoded here; it counts by its bytes, and nothing private goes with it."""
    size = (12_000, 9_000)
    tile = np.random.default_rng(5).integers(0, 256, (90, 120), np.uint8)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "PRIVATE maker"
    Image.fromarray(tile).resize(size, Image.Resampling.BILINEAR).save(tmp_path / "a.jpg", exif=exif)
    media = from_file(tmp_path / "a.jpg")
    data = sent_bytes(UploadStore(tmp_path / "home").keep(media))

    assert media.fingerprint == f"file:{media.sha256}"
    assert PRIVATE not in data
    with JpegImagePlugin.JpegImageFile(io.BytesIO(data)) as image:
        assert (image.size, image.getexif()[0x0112]) == (size, 6)


# --- By content -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.jfif", "a.jpe", "a.pjpeg", "a.JPG_large", "a", "a.png", "a.bin"])
def test_a_picture_is_one_by_its_content(name: str, tmp_path: Path) -> None:
    """Browsers and phones have names of their own."""
    card().save(tmp_path / name, "JPEG")
    check_file(tmp_path / name)
    media = from_file(tmp_path / name)

    assert (media.mime, media.name[-4:], media.fingerprint[:7]) == ("image/jpeg", ".jpg", "pixels:")


@pytest.mark.parametrize(
    ("name", "suffix"), [("a.m4v", "mp4"), ("a.mov", "mov"), ("a.mp4", "mp4"), ("a.avi", "mp4"), ("a", "mp4")]
)
def test_a_film_is_one_by_its_content(name: str, suffix: str, tmp_path: Path) -> None:
    """Its suffix stays where it fits."""
    write_video(tmp_path / "film.mp4").rename(tmp_path / name)
    media = from_file(tmp_path / name)

    assert (media.mime.partition("/")[0], media.name.rpartition(".")[2]) == ("video", suffix)
    assert media.fingerprint == f"file:{media.sha256}"


def test_avif_is_converted(tmp_path: Path) -> None:
    """As HEIC is."""
    card().save(tmp_path / "a.avif", quality=95)

    assert from_file(tmp_path / "a.avif").mime == "image/jpeg"


@pytest.mark.parametrize("name", ["a.svg", "a.txt", "a", "a.exe"])
def test_what_is_nothing_is_told(name: str, tmp_path: Path) -> None:
    """With what can be sent."""
    (tmp_path / name).write_bytes(b"<svg/>")

    with pytest.raises(UnsupportedFile, match="AVIF"):
        from_file(tmp_path / name)


def test_pages_are_no_animation(tmp_path: Path) -> None:
    """A TIFF with a preview or with more pages is its first one."""
    card().save(tmp_path / "a.tiff", save_all=True, append_images=[card(32, 24)])

    assert from_file(tmp_path / "a.tiff").mime == "image/jpeg"


# --- More than eight bits -------------------------------------------------------------------------------------------

RAMP = np.tile(np.linspace(0, 1, 64), (48, 1))


@pytest.mark.parametrize(
    "levels",
    [
        RAMP.astype(np.float32),
        (RAMP * 255).astype(np.float32),
        (RAMP * 65535).astype(np.float32),
        (RAMP * 65535).astype(np.int32),
        (RAMP * 2147483647).astype(np.int32),
        (RAMP * 255).astype(np.int32),
    ],
    ids=["fractions", "to 255", "to 65535", "32 bits to 65535", "32 bits", "32 bits to 255"],
)
def test_levels_of_a_tiff_are_scaled_by_the_range_they_use(levels: Any, tmp_path: Path) -> None:
    """A grey ramp, not a black or a white picture."""
    Image.fromarray(levels).save(tmp_path / "a.tif")
    shown = read_pixels(tmp_path / "a.tif")[0, :, 0].astype(int)

    assert shown[0] == 0
    assert shown[-1] >= 125
    assert (np.diff(shown) >= 0).all()
    assert len(set(shown.tolist())) > 30


def test_fractions_that_are_no_numbers_are_told(tmp_path: Path) -> None:
    """In words."""
    Image.fromarray(np.full((4, 4), np.nan, np.float32)).save(tmp_path / "a.tif")

    with pytest.raises(InputError, match="invalid values"):
        from_file(tmp_path / "a.tif")


# --- Sound ----------------------------------------------------------------------------------------------------------


def heard(media: Media) -> Any:
    """The samples that are sent, [n, channels]."""
    assert isinstance(media.content, bytes)
    with wave.open(io.BytesIO(media.content)) as file:
        channels = file.getnchannels()
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, channels)


@pytest.mark.parametrize("channels", [1, 2])
def test_mono_and_stereo_stay_byte_for_byte(channels: int) -> None:
    """Sound counts by its finished WAV."""
    samples = np.linspace(-1, 1, 64 * channels, dtype=np.float32).reshape(channels, 64)
    media = from_samples(samples, 8000)

    assert np.array_equal(heard(media), np.rint(samples * 32767).astype(np.int16).T)
    assert media.older == ""


@pytest.mark.parametrize(
    ("channels", "speaker", "left", "right"),
    [
        (6, 0, 1.0, 0.0), (6, 1, 0.0, 1.0), (6, 2, 0.7071, 0.7071), (6, 3, 0.0, 0.0), (6, 4, 0.7071, 0.0),
        (6, 5, 0.0, 0.7071), (3, 2, 0.7071, 0.7071), (4, 2, 0.7071, 0.0), (5, 4, 0.0, 0.7071), (8, 7, 0.0, 0.7071),
    ],
)  # fmt: skip
def test_surround_is_mixed_to_stereo_by_the_usual_matrix(
    channels: int, speaker: int, left: float, right: float
) -> None:
    """Each speaker keeps its side; nothing clips."""
    samples = np.zeros((channels, 16), np.float32)
    samples[speaker] = 1.0
    both = from_samples(np.concatenate([samples, np.zeros_like(samples)], axis=1), 48000)
    front = np.zeros((channels, 16), np.float32)
    front[0] = 1.0
    full = float(heard(from_samples(front, 48000))[0, 0])

    assert [round(float(level) / full, 2) for level in heard(both)[0]] == [round(left, 2), round(right, 2)]
    assert abs(heard(from_samples(np.ones((channels, 8), np.float32), 48000))).max() <= 32767


def test_surround_knows_the_key_that_earlier_versions_gave_it() -> None:
    """The WAV of one channel that they made."""
    samples = np.random.default_rng(3).uniform(-1, 1, (6, 50)).astype(np.float32)

    assert from_samples(samples, 8000).older == from_samples(samples.mean(axis=0, keepdims=True), 8000).fingerprint


# --- Films ----------------------------------------------------------------------------------------------------------


def held(path: Path, degrees: int, shape: tuple[int, int] = (1, 1)) -> Path:
    """A film of 64 x 96 that was held another way, or whose pixels are not square."""
    made = write_video(path.with_name("straight.mp4"))
    with av.open(str(made)) as source, av.open(str(path), "w") as target:
        into = target.add_stream_from_template(source.streams.video[0])
        into.codec_context.sample_aspect_ratio = Fraction(*shape)
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = into
                target.mux(packet)
    cosine, sine = {0: (1, 0), 90: (0, 1), 180: (-1, 0), 270: (0, -1)}[degrees]
    straight = struct.pack(">9i", 1 << 16, 0, 0, 0, 1 << 16, 0, 0, 0, 1 << 30)
    turned = struct.pack(">9i", cosine << 16, sine << 16, 0, -sine << 16, cosine << 16, 0, 0, 0, 1 << 30)
    head, found, rest = path.read_bytes().partition(b"tkhd")
    path.write_bytes(head + found + rest.replace(straight, turned, 1))
    return path


@pytest.mark.parametrize(("degrees", "size"), [(0, (64, 96)), (90, (96, 64)), (180, (64, 96)), (270, (96, 64))])
def test_the_way_a_film_is_held_counts(degrees: int, size: tuple[int, int], tmp_path: Path) -> None:
    """Phones turn nothing: they note how they were held."""
    found = probe(held(tmp_path / "a.mp4", degrees, (1, 1)), "a.mp4")
    checked = check_video(tmp_path / "a.mp4")

    assert (found.width, found.height) == (checked.width, checked.height) == size


def test_pixels_that_are_not_square_are_turned_too(tmp_path: Path) -> None:
    """64 x 96 of twice the width, held upright: 96 x 128."""
    found = probe(held(tmp_path / "a.mp4", 90, (2, 1)), "a.mp4")

    assert (found.width, found.height) == (96, 128)


@pytest.mark.parametrize(
    ("shape", "size"), [((1, 1), (64, 96)), ((2, 1), (128, 96)), ((4, 3), (85, 96)), ((1, 2), (32, 96))]
)
def test_the_shape_of_pixels_counts(shape: tuple[int, int], size: tuple[int, int], tmp_path: Path) -> None:
    """Anamorphic films are as wide as they are shown."""
    found = probe(held(tmp_path / "a.mp4", 0, shape), "a.mp4")

    assert (found.width, found.height) == size

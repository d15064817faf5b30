"""What a batch is made from: folders, globs, manifests, and every way in which those can be wrong."""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from nemo_client import BatchItem, InputError
from nemo_client._batch.item import assign_names
from nemo_client._batch.manifest import LeftOut, natural_sort_key, read_items

DEFAULTS = {"prompt": "slow push-in", "duration": 0, "ratio": "auto", "seed": 0}


def items(*sources: object, **defaults: Any) -> list[BatchItem]:
    return read_items([str(each) for each in sources], {**DEFAULTS, **defaults})


def names(found: list[BatchItem]) -> list[str]:
    return [Path(item.image[0]).name for item in found]


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("shot10.png", "shot2.png", "Shot1.PNG", "deep.jpg"):
        Image.new("RGB", (8, 8)).save(folder / name)
    for name in ("notes.txt", ".hidden.png"):
        (folder / name).write_bytes(b"no")
    (folder / "inside").mkdir()
    Image.new("RGB", (8, 8)).save(folder / "inside" / "far.png")
    return folder


def test_a_folder_gives_its_pictures_in_natural_order(photos: Path) -> None:
    """2 before 10, hidden files, other kinds and folders inside left out."""
    assert names(items(photos)) == ["deep.jpg", "Shot1.PNG", "shot2.png", "shot10.png"]


def test_a_glob_is_expanded_here_too(photos: Path) -> None:
    """For shells that do not, and for quoted ones; `**` goes into folders."""
    assert names(items(f"{photos}/shot*.png")) == ["shot2.png", "shot10.png"]
    assert "far.png" in names(items(f"{photos}/**/*.png"))
    with pytest.raises(InputError, match="no pictures"):
        items(f"{photos}/*.webp")


def test_thumbnails_of_an_earlier_batch_are_no_items(photos: Path) -> None:
    """A glob that goes into folders meets them where the videos lie beside the pictures."""
    thumbnails = photos / "photos-videos" / "thumbnails"
    thumbnails.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(thumbnails / "small.png")
    (thumbnails.parent / "results.jsonl").touch()

    assert "small.png" not in names(items(f"{photos}/**/*.png"))


def test_pictures_and_addresses_are_items_themselves(photos: Path) -> None:
    """What a shell's own glob leaves; the picture is found whatever the current folder becomes."""
    found = items(photos / "shot2.png", "https://example.test/a%20cat.png?x=1")

    assert found[0].image == (str(photos / "shot2.png"),)
    assert found[1].image == ("https://example.test/a%20cat.png?x=1",)
    assert found[1].name == "a_cat"


def test_what_is_not_there_is_told(tmp_path: Path) -> None:
    """A misspelt path is no empty batch."""
    with pytest.raises(InputError, match=r"There is no file .*photoz"):
        items(tmp_path / "photoz")


CSV = 'image,prompt,duration,ratio,seed,output,profile\na.png,"rain, slowly",2.5,9:16,7,first,nemo\nb.png,,,,,,\n'


@pytest.mark.parametrize(
    "content",
    [
        CSV.encode(),
        b"\xef\xbb\xbf" + CSV.encode(),
        CSV.replace("\n", "\r\n").encode(),
        CSV.encode("utf-16"),
        b"\r\n\r\n" + CSV.replace("\n", "\r\n\r\n").encode(),
        CSV.replace(",", ";").replace("rain;", "rain,").replace("2.5", "2,5").encode(),
        CSV.replace(",", "\t").replace("rain\t", "rain,").encode(),
        CSV.replace("image,prompt", " Image ,PROMPT").encode(),
    ],
    ids=["plain", "BOM", "Windows", "UTF-16", "blank lines", "semicolons", "tabs", "capitals"],
)
def test_a_csv_manifest_is_read_however_it_was_saved(tmp_path: Path, content: bytes) -> None:
    """With a mark, with Excel's separators and decimal comma, with the line ends of any system."""
    first, second = items(written(tmp_path, "list.csv", content), prompt="else")

    assert (first.prompt, first.duration, first.ratio, first.seed) == ("rain, slowly", 2.5, "9:16", 7)
    assert (first.name, first.profile, first.image) == ("first", "nemo", (str(tmp_path / "a.png"),))
    assert (second.prompt, second.duration, second.name) == ("else", 0, "b")


def test_a_json_lines_manifest_is_read(tmp_path: Path) -> None:
    """One object a line; numbers are numbers, images a text or a list."""
    text = '\ufeff{"image": ["a.png", "b.png"], "duration": 3, "seed": 2}\n\n{"image": "https://x.test/c.png"}\n'
    first, second = items(written(tmp_path, "list.jsonl", text))

    assert first.image == (str(tmp_path / "a.png"), str(tmp_path / "b.png"))
    assert (first.duration, first.seed, first.line, second.line) == (3, 2, 1, 3)
    assert second.image == ("https://x.test/c.png",)


@pytest.mark.parametrize("cell", ["a.png|b.png", " a.png | b.png ", '"a.png\nb.png"'], ids=["bar", "spaces", "lines"])
def test_one_cell_holds_several_pictures(tmp_path: Path, cell: str) -> None:
    """Between bars, or each on a line of its own as a spreadsheet writes it."""
    (item,) = items(written(tmp_path, "list.csv", f"image\n{cell}\n"))

    assert [Path(each).name for each in item.image] == ["a.png", "b.png"]


def test_paths_count_from_where_the_manifest_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not from where the command is typed; absolute ones and the user's home stay."""
    monkeypatch.setenv("HOME", "/home/somebody")
    manifest = written(tmp_path, "list.csv", "image\n../x/a.png\n/abs/b.png\n~/c.png\n")

    assert [item.image[0] for item in items(manifest)] == [
        str(tmp_path.parent / "x" / "a.png"), "/abs/b.png", "/home/somebody/c.png",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("m.csv", "image,lenght\na.png,3\n", r"line 1: there is no column 'lenght'\. Perhaps 'duration' is meant"),
        ("m.csv", "image,zzz\na.png,3\n", r"m\.csv, line 1: there is no column 'zzz'\. There are: image"),
        ("m.csv", "image,promt\na.png,x\n", r"there is no column 'promt'\. Perhaps 'prompt' is meant"),
        ("m.csv", "image,aspect_ratio\na.png,x\n", r"Perhaps 'ratio' is meant"),
        ("m.csv", "images\na.png\n", r"Perhaps 'image' is meant"),
        ("m.csv", "prompt\nx\n", r"no column `image`"),
        ("m.csv", "image,seed,seed\na.png,1,2\n", r"'seed' twice"),
        ("m.csv", "image,prompt\na.png,x,y\n", r"line 2 has 3 cells instead of 2"),
        ("m.csv", 'image,prompt\na.png,"x\n', r"line 2 is not valid CSV"),
        ("m.csv", "image\n", r"has no items"),
        ("m.csv", "", r"has no items"),
        ("m.csv", b"image,prompt\na.png,ok\nb.png,\xff\n", r"line 3 is not UTF-8 text"),
        ("m.csv", "image,duration\na.png,2\nb.png,soon\n", r"line 3: duration can't be 'soon'. Use a number of"),
        ("m.csv", "image,duration\na.png,9999\n", r"line 2: duration can't be 9999. Use 0 to 600"),
        ("m.csv", "image,duration\na.png,nan\n", r"line 2: duration can't be 'nan'"),
        ("m.csv", "image,ratio\na.png,2:1\n", r"line 2: ratio can't be '2:1'"),
        ("m.csv", "image,seed\na.png,1.5\n", r"line 2: seed can't be '1\.5'. Use a whole number"),
        ("m.csv", "image,seed\na.png,-1\n", r"line 2: seed can't be -1. Use 0 to"),
        ("m.csv", "image,prompt\n,x\n", r"line 2: This item has no picture"),
        ("m.csv", "image,output\na.png,../up\n", r"line 2: output can't be '\.\./up'. Use a file name inside"),
        ("m.csv", "image,output\na.png,/abs\n", r"line 2: output can't be"),
        ("m.csv", "image,output\na.png,C:\\x\n", r"line 2: output can't be"),
        ("m.csv", '"image","prompt"\n"a\n\nb.png","x"\nc.png,"y","z"\n', r"line 5 has 3 cells"),
        ("m.jsonl", '{"image": "a.png"}\n{"image": \n', r"line 2 is not a JSON object \("),
        ("m.jsonl", '["a.png"]\n', r"line 1 is not a JSON object \(not an object\)"),
        ("m.jsonl", '\n{"image": "a.png", "zzz": 1}\n', r"line 2: there is no column 'zzz'"),
        ("m.jsonl", '{"image": "a.png", "seed": true}\n', r"line 1: seed can't be True"),
        ("m.jsonl", '{"image": "a.png", "prompt": 5}\n', r"line 1: prompt can't be 5. Use text"),
        ("m.jsonl", '{"image": [1]}\n', r"line 1: image can't be \[1\]. Use a path"),
        ("m.jsonl", '{"image": []}\n', r"line 1: This item has no picture"),
    ],
)  # fmt: skip
def test_every_fault_of_a_manifest_is_told_with_its_line(
    tmp_path: Path, name: str, content: str | bytes, told: str
) -> None:
    """And what was expected there; nothing was sent."""
    with pytest.raises(InputError, match=told) as caught:
        items(written(tmp_path, name, content))
    assert caught.value.charged == "no"
    assert str(caught.value).endswith("Nothing was charged.")


TABLE = "image,prompt,ratio\r\na.jpg,ein Käfer,1:1\r\n"
ROWS = "\n;;\n Image ; PROMPT;ratio;\n;;;\n'a.jpg';\"ein Käfer\";1:1;\n\n"


@pytest.mark.parametrize(
    "content",
    [
        TABLE.encode("utf-16-be"),
        TABLE.encode("utf-16-le"),
        b"\xef\xbb\xbf" * 3 + TABLE.encode(),
        "\ufeff\ufeff".encode("utf-16-le") + TABLE.encode("utf-16-le"),
        "sep=,\n" + TABLE,
        '"sep=\t"\r\n' + TABLE.replace(",", "\t"),
        "SEP=|\r\n" + TABLE.replace(",", "|"),
        TABLE.encode("utf-32"),
        TABLE.replace("\r\n", "\r"),
        ROWS,
        TABLE.replace("image", "\u200bimage").replace("a.jpg", "a.jpg\u200b").replace("1:1", "\u20601:1"),
    ],
    ids=[
        "utf-16-be",
        "utf-16-le",
        "three marks",
        "two marks in utf-16",
        "sep",
        "quoted sep",
        "odd sep",
        "utf-32",
        "CR only",
        "blank rows and columns",
        "unseen",
    ],
)
def test_a_manifest_is_read_as_spreadsheets_write_it(content: str | bytes, tmp_path: Path) -> None:
    """Without its mark, with it twice, with Excel's first line, with characters that no one sees."""
    (found,) = items(written(tmp_path, "list.csv", content))

    assert (names([found]), found.prompt, found.ratio) == (["a.jpg"], "ein Käfer", "1:1")


@pytest.mark.parametrize(
    ("row", "seconds"), [('a.jpg;"say ""go; on""";2,5', 2.5), ("a.jpg;x;3,0", 3), ("a.jpg;;0,25", 0.25)]
)
def test_semicolons_go_with_decimal_commas(row: str, seconds: float, tmp_path: Path) -> None:
    """As spreadsheets of half the world save them, quotes in quotes included."""
    (found,) = items(written(tmp_path, "list.csv", f"image;prompt;duration\n{row}\n"))

    assert found.duration == seconds
    assert "go; on" not in row or found.prompt == 'say "go; on"'


@pytest.mark.parametrize("cell", ["#NAME?", "#REF!", "#VALUE!", "#N/A"])
def test_what_a_spreadsheet_made_of_a_prompt_is_not_paid_for(cell: str, tmp_path: Path) -> None:
    """It took text that begins with `=` or `-` for a formula."""
    with pytest.raises(InputError, match="line 2: the spreadsheet wrote") as caught:
        items(written(tmp_path, "list.csv", f"image,prompt\na.jpg,{cell}\n"))
    assert cell in str(caught.value)


def test_a_fault_below_excel_s_first_line_is_told_with_its_own_line(tmp_path: Path) -> None:
    """As the editor counts."""
    with pytest.raises(InputError) as caught:
        items(written(tmp_path, "list.csv", "sep=;\nimage;seed\na.jpg;1\nb.jpg;many\n"))

    assert caught.value.facts["line"] == 4


@pytest.mark.parametrize(
    "cell",
    [
        '"deep/my picture.png"',
        "'deep\\my picture.png'",
        "deep\\my picture.png",
        "./deep/../deep/my picture.png",
        "file:{url}",
    ],
)
def test_a_path_is_read_as_people_write_it(cell: str, tmp_path: Path) -> None:
    """With quotes, with backslashes, as an address of this machine: in a manifest and as the command's own source."""
    picture = tmp_path / "deep" / "my picture.png"
    picture.parent.mkdir()
    Image.new("RGB", (8, 8)).save(picture)
    text = cell.format(url=f"//{str(picture).replace(' ', '%20')}")

    (found,) = items(written(tmp_path, "list.jsonl", json.dumps({"image": text})))
    (alone,) = items(text if text.startswith("file:") else str(tmp_path / text.strip("\"'")))

    assert os.path.samefile(found.image[0], picture)
    assert os.path.samefile(alone.image[0], picture)


@pytest.mark.parametrize(("on_disk", "asked"), [("NFC", "NFD"), ("NFD", "NFC")])
def test_a_name_is_found_however_its_letters_are_composed(on_disk: str, asked: str, tmp_path: Path) -> None:
    """A Mac hands over letters and accents apart."""
    name = "Äpfel für José 삼.png"
    Image.new("RGB", (8, 8)).save(tmp_path / unicodedata.normalize(on_disk, name))

    (found,) = items(written(tmp_path, "list.csv", f"image\n{unicodedata.normalize(asked, name)}\n"))

    found.check_files()


@pytest.mark.parametrize("asked", ["photo.JPG", "PHOTO.jpg", "Photo.jpeg"])
def test_a_name_in_another_case_is_told_with_the_one_that_is_there(asked: str, tmp_path: Path) -> None:
    """Windows and Macs do not tell them apart, so lists from there may."""
    Image.new("RGB", (8, 8)).save(tmp_path / "Photo.jpg")
    (found,) = items(written(tmp_path, "list.csv", f"image\n{asked}\n"))

    with pytest.raises(InputError) as caught:
        found.check_files()

    assert caught.value.id == ("file-missing" if asked == "Photo.jpeg" else "file-missing-meant")
    assert asked == "Photo.jpeg" or "Photo.jpg" in caught.value.text("en")


@pytest.mark.parametrize("name", ["list.xls", "list.ods", "Liste.JSON", "list.yaml", "list.txt"])
def test_a_list_of_another_kind_is_told_what_to_save_it_as(name: str, tmp_path: Path) -> None:
    """Not that the backend does not take such a picture."""
    with pytest.raises(InputError, match="CSV") as caught:
        items(written(tmp_path, name, "x"))

    assert caught.value.id == "batch-kind"


@pytest.mark.parametrize("folder", ["photos [2024]", "a[b]", "[x] [y]/z [1]", "one*"])
def test_brackets_of_a_folder_that_is_there_are_its_name(folder: str, tmp_path: Path) -> None:
    """The rest of a glob stays one."""
    place = tmp_path / folder
    place.mkdir(parents=True)
    for name in ("p1.png", "p2.png", "q.png"):
        Image.new("RGB", (8, 8)).save(place / name)

    assert names(items(f"{place}/p?.png")) == ["p1.png", "p2.png"]


@pytest.mark.parametrize("source", ["{}", "{}/*.gif", "{}/../**/*.gif"])
def test_videos_of_an_earlier_batch_are_no_pictures(source: str, photos: Path) -> None:
    """A GIF is a picture, too: what results.jsonl names is left out, a GIF of the user's own is not."""
    for name in ("mine.gif", "made.gif", "inside/made.gif"):
        Image.new("RGB", (8, 8)).save(photos / name)
    lines = [
        {"item": "made", "video": "made.gif"},
        {"item": "x", "video": "inside/made.gif"},
        {"item": "y", "video": None},
    ]
    written(photos, "results.jsonl", "".join(json.dumps(line) + "\n" for line in lines))

    found = names(items(source.format(photos)))

    assert "mine.gif" in found
    assert "made.gif" not in found


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("e.jpg", None, "link"), ("gone.webp", None, "link"), ("notes.md", b"# no picture", "kind"),
        ("list.xlsx", b"PK\3\4", "kind"), ("clip.mp4", b"\0\0\0\x18ftypmp42", "kind"), (".secret.png", b"x", "hidden"),
    ],
)  # fmt: skip
def test_a_folder_tells_what_it_leaves_out(name: str, content: bytes | None, reason: str, tmp_path: Path) -> None:
    """And why; what systems and batches put there themselves is not told."""
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    for silent in (".DS_Store", "Thumbs.db", "results.jsonl", "runs.jsonl", "index.html"):
        written(tmp_path, silent, b"")
    if content is None:
        (tmp_path / name).symlink_to("/nowhere/else")
    else:
        written(tmp_path, name, content)
    for source in (tmp_path, f"{tmp_path}/*", f"{tmp_path}/.*"):
        left_out: list[LeftOut] = []
        with contextlib.suppress(InputError):
            read_items([str(source)], DEFAULTS, left_out)
        if str(source).endswith("/.*") == name.startswith(".") or source == tmp_path:
            assert [(each.path.name, each.reason) for each in left_out] == [(name, reason)]


@pytest.mark.parametrize("name", ["a.jfif", "a.JPE", "a.pjpeg", "photo", "a.jpg_large", "a.avif"])
def test_a_folder_takes_pictures_by_their_content(name: str, tmp_path: Path) -> None:
    """Whatever their suffix is."""
    picture = Image.new("RGB", (8, 8))
    picture.save(tmp_path / name, "AVIF" if name.endswith("avif") else "JPEG")

    (found,) = items(tmp_path)

    assert found.check_files()[0].startswith("pixels:8x8x3:")


@pytest.mark.parametrize(("kind", "left"), [("JPEG", 0.5), ("PNG", 0.8), ("WEBP", 0.5), ("GIF", 0.01), ("TIFF", 0.6)])
def test_half_a_picture_is_found_before_it_is_sent(kind: str, left: float, tmp_path: Path) -> None:
    """By what is in it: its first bytes are as they should be."""
    path = tmp_path / f"half.{kind.lower()}"
    Image.effect_noise((64, 64), 90).convert("RGB").save(path, kind)
    whole = path.read_bytes()
    item = BatchItem((str(path),), "x")
    item.check_files()
    path.write_bytes(whole[: int(len(whole) * left) or 1])

    with pytest.raises(InputError) as caught:
        item.check_files()

    assert path.name in caught.value.text("en")


@pytest.mark.skipif(os.name == "nt", reason="no such names there")
@pytest.mark.parametrize("name", [b"sch\xf6n.png", b"\xff\xfe.png", b"\x93quoted\x94.png"])
def test_a_video_of_a_picture_whose_name_is_no_text_gets_one_that_is(name: bytes, tmp_path: Path) -> None:
    """Old archives hold such names; the journal and the page cannot."""
    path = tmp_path / os.fsdecode(name)
    Image.new("RGB", (8, 8)).save(path, "PNG")

    (found,) = assign_names(items(tmp_path))

    assert found.name.encode()
    found.check_files()


def lines_of(found: list[BatchItem]) -> list[dict[str, Any]]:
    return [{"item": each.name, "image": list(each.image), "request": each.request} for each in found]


@pytest.mark.parametrize("added", ["shot.jpg", "shot.bmp", "shot.PNG"])
def test_an_item_keeps_its_name_when_others_are_added(added: str, tmp_path: Path) -> None:
    """Whatever stands before it now; only the new one gets a new name."""
    for name in ("shot.png", "shot.webp"):
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    before = assign_names(items(tmp_path))
    Image.new("RGB", (8, 8)).save(tmp_path / added)

    after = assign_names(items(tmp_path), lines_of(before))

    kept = {each.image: each.name for each in after if each.image in {one.image for one in before}}
    assert kept == {each.image: each.name for each in before}
    assert {each.name for each in after} == {"shot", "shot_2", "shot_3"}


def test_of_two_requests_with_one_picture_each_keeps_its_own_name(tmp_path: Path) -> None:
    """Told apart by what is asked for; a new wish for a picture keeps the name that its old one had."""
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    image = str(tmp_path / "a.png")
    before = assign_names([BatchItem((image,), "first"), BatchItem((image,), "second")])

    swapped = assign_names([BatchItem((image,), "second"), BatchItem((image,), "first")], lines_of(before))
    changed = assign_names([BatchItem((image,), "third")], lines_of(before)[:1])

    assert [each.name for each in swapped] == ["a_2", "a"]
    assert [each.name for each in changed] == ["a"]


def test_one_name_in_two_formats_is_two_items(tmp_path: Path) -> None:
    """`one.mp4` and `one.gif` are two files; in results the second is called with its format."""
    found = assign_names([BatchItem(("a.jpg",), "x", output=f"red/one.{kind}") for kind in ("mp4", "gif", "webm")])
    with pytest.raises(InputError, match="ONE"):
        assign_names([BatchItem(("a.jpg",), "x", output="one.gif"), BatchItem(("b.jpg",), "x", output="ONE.gif")])

    assert [each.name for each in found] == ["red/one", "red/one.gif", "red/one.webm"]
    assert {each.destination(tmp_path).stem for each in found} == {"one"}
    assert [each.export.format for each in found] == ["mp4", "gif", "webm"]
    assert [BatchItem.from_json(each.to_json()).name for each in found] == [each.name for each in found]
    assert "entry" not in found[0].to_json()


def test_items_without_a_name_get_one_of_their_own() -> None:
    """After their first picture; the second of a name gets a number, also where only capitals differ."""
    found = assign_names(
        [BatchItem(("a/cat.png",), "x"), BatchItem(("b/Cat.jpg",), "x"), BatchItem(("c/d.png",), "x", output="cat_2")]
    )

    assert [item.name for item in found] == ["cat", "Cat_3", "cat_2"]


def test_two_items_may_not_be_given_one_name() -> None:
    """One would be delivered under another name than it was asked for."""
    twice = [BatchItem(("a.png",), "x", output="Hero.mp4", line=2), BatchItem(("b.png",), "x", output="hero", line=9)]

    with pytest.raises(InputError, match="lines 2 and 9"):
        assign_names(twice)


def test_a_suffix_of_the_name_is_the_format(tmp_path: Path) -> None:
    """Other dots belong to the name; folders inside the batch's are made."""
    item = BatchItem(("a.png",), "x", output="sets/v1.2.webm")

    assert (item.name, item.export.format) == ("sets/v1.2", "webm")
    assert item.destination(tmp_path).folder == tmp_path / "sets"
    assert BatchItem(("a.png",), "x", output="v1.2").export.format == "mp4"


def test_an_item_survives_json() -> None:
    """What travels to another machine is plain data."""
    item = BatchItem(("a.png", "b.png"), "rain", 2.5, "9:16", 7, "out", "nemo", "mov", line=3)

    assert BatchItem.from_json(item.to_json()) == item
    assert BatchItem.from_json({"image": "a.png", "prompt": "x"}).image == ("a.png",)
    with pytest.raises(InputError, match="promt"):
        BatchItem.from_json({"image": "a.png", "promt": "x"})


def test_another_file_of_the_same_name_is_another_request(tmp_path: Path) -> None:
    """So that a picture that was replaced is looked at again, and one that was not is not even read."""
    path = tmp_path / "a.png"
    path.write_bytes(b"1")
    item = BatchItem((str(path),), "x")
    first, again = item.request, item.request
    os.utime(path, ns=(5, 5))

    assert first == again != item.request
    assert BatchItem((str(path),), "y").request != item.request


@given(st.lists(st.text("ab12 ", max_size=6)))
def test_natural_order_depends_on_the_texts_alone(texts: list[str]) -> None:
    """Not on how they came: the same folder gives the same items in the same order."""
    assert [natural_sort_key(text) for text in sorted(texts, key=natural_sort_key)] == sorted(
        natural_sort_key(text) for text in texts
    )


@given(st.text())
def test_no_text_makes_the_reader_fail_otherwise(text: str) -> None:
    """Whatever stands in a manifest, it is read or refused in words."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("m.csv", "m.jsonl"):
            path = Path(folder) / name
            path.write_bytes(text.encode("utf-8", "surrogatepass"))
            with contextlib.suppress(InputError):
                items(path)

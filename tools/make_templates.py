"""Write the templates, their twins' graphs laid out for the editor, and the subgraph. `python -m tools.make_templates`

What a graph holds stands once, in `workflows/api/`; here stand the titles, the places of the nodes and the notes. The
pictures come from `python -m tools.draw_templates`.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

ROOT = Path(__file__).parent.parent
WORKFLOWS = ROOT / "workflows"
SUBGRAPHS = ROOT / "subgraphs"
SUBGRAPH: Final = "NemoVideo - image to video"
Size = tuple[int, int]

# Of ComfyUI and VideoHelperSuite: inputs in their order, each a field or a link, and outputs, by name and type.
OTHERS: Final[dict[str, tuple[dict[str, str], list[tuple[str, str]]]]] = {
    "LoadImage": ({"image": "field"}, [("IMAGE", "IMAGE"), ("MASK", "MASK")]),
    "ImageFromBatch": ({"image": "IMAGE", "batch_index": "field", "length": "field"}, [("IMAGE", "IMAGE")]),
    "GetVideoComponents": (
        {"video": "VIDEO"},
        [("images", "IMAGE"), ("audio", "AUDIO"), ("fps", "FLOAT"), ("bit_depth", "INT")],
    ),
    "SaveImage": ({"images": "IMAGE", "filename_prefix": "field"}, []),
    "PreviewImage": ({"images": "IMAGE"}, []),
    "VHS_LoadVideoPath": (
        {
            "video": "field", "force_rate": "field", "custom_width": "field", "custom_height": "field",
            "frame_load_cap": "field", "skip_first_frames": "field", "select_every_nth": "field", "format": "field",
        },
        [("IMAGE", "IMAGE"), ("frame_count", "INT"), ("audio", "AUDIO"), ("video_info", "VHS_VIDEOINFO")],
    ),
}  # fmt: skip
SIZES: Final[dict[str, Size]] = {
    "NemoAuth": (300, 110),
    "NemoSampleImage": (300, 80),
    "NemoUploadImage": (320, 160),
    "NemoGenerateVideo": (400, 300),
    "NemoEditVideo": (380, 280),
    "NemoExportRender": (360, 440),
    "NemoImageToVideo": (420, 390),
    "NemoTimeline": (340, 220),
    "NemoCredits": (340, 180),
    "NemoRecover": (360, 440),
    "LoadImage": (320, 380),
    "ImageFromBatch": (280, 110),
    "GetVideoComponents": (260, 110),
    "SaveImage": (380, 380),
    "PreviewImage": (440, 320),
    "VHS_LoadVideoPath": (300, 280),
}
NOTE_SIZE: Final[Size] = (760, 190)
LEFT, NOTE_TOP, TOP, GAP = 40, 40, 350, 90
EXTRA: Final[dict[str, dict[str, Any]]] = {"VHS_LoadVideoPath": {"videopreview": {"hidden": False, "params": {}}}}
"""VideoHelperSuite saves its fields by name; front ends from 1.58 on mix up the values where its preview is missing."""


@dataclass(frozen=True)
class Template:
    """One template: its title is the file's name, `twin` names the graph in `workflows/api/`.

    `columns` place the nodes by their ids from left to right, each column from top to bottom; an id with a number
    behind it (`"7@470"`) stands that far below the top of the row instead. `note` is what it does, what it costs, and
    what to change, in English and Chinese.
    """

    title: str
    twin: str
    columns: tuple[tuple[str, ...], ...]
    note: tuple[tuple[str, str, str], tuple[str, str, str]]
    app: tuple[tuple[str, str], ...] = field(default=())
    """Fields that App mode shows, by node and name."""
    result: str = ""
    """The node whose video App mode shows."""


COST = (
    "Local preview is free. On NemoVideo cloud about 100 credits; running the same again is free.",
    "本地预览免费。在 NemoVideo 云端约 100 积分；不作改动再次运行不会重复扣费。",
)
CLOUD = ("set *profile* to *NemoVideo cloud* for the real video", "把*配置*换成 *NemoVideo 云端*即可制作正式视频")

TEMPLATES: Final[tuple[Template, ...]] = (
    Template(
        "01 Your picture to video - NemoVideo",
        "your_picture_to_video",
        (("1",), ("2",)),
        (
            (
                "Turns your picture into a video file.",
                COST[0],
                f"Choose your picture in *Load Image* and write in *prompt* what moves; {CLOUD[0]}.",
            ),
            ("把你的图片变成视频文件。", COST[1], f"在*加载图像*中选择图片，在*提示词*中写明怎么动；{CLOUD[1]}。"),
        ),
    ),
    Template(
        "02 Your picture in an app - NemoVideo.app",
        "your_picture_to_video",
        (("1",), ("2",)),
        (
            (
                "The same as a form: fill in your picture and the prompt, and get the video.",
                COST[0],
                "Fill in the form, then press *Run*.",
            ),
            ("同样的流程，以表单的形式：填入图片和提示词，得到视频。", COST[1], "填写表单，然后点击*运行*。"),
        ),
        app=(("1", "image"), ("2", "prompt"), ("2", "aspect_ratio"), ("2", "duration"), ("2", "profile")),
        result="2",
    ),
    Template(
        "03 Try the sample photo - NemoVideo",
        "image_to_video_in_one_node",
        (("1",), ("2",)),
        (
            (
                "Turns the bundled photograph into a video, at once and without an account.",
                COST[0],
                f"Change the words in *prompt*; {CLOUD[0]}.",
            ),
            ("把自带的照片变成视频，无需账户，立即可用。", COST[1], f"修改*提示词*；{CLOUD[1]}。"),
        ),
    ),
    Template(
        "04 Pictures in one video - NemoVideo",
        "several_images_into_one_video",
        (("1",), ("2",)),
        (
            (
                "Makes one video with cross-fades from three pictures.",
                COST[0],
                f"Connect your own batch or list to *image*; {CLOUD[0]}.",
            ),
            ("把三张图片合成一个视频，以交叉淡化过渡。", COST[1], f"把你自己的批次或列表接到*图像*；{CLOUD[1]}。"),
        ),
    ),
    Template(
        "05 A video for each picture - NemoVideo",
        "one_video_per_image",
        (("1",), ("2",)),
        (
            (
                "Makes three videos from three pictures, side by side.",
                "Local preview is free. On NemoVideo cloud each video is paid for: about 300 credits for three.",
                "Connect your own batch or list to *image*; *max_credits* limits what a run may cost.",
            ),
            (
                "三张图片各做一个视频，同时进行。",
                "本地预览免费。在 NemoVideo 云端每个视频各自付费：三个约 300 积分。",
                "把你自己的批次或列表接到*图像*；*积分上限*限制一次运行的费用。",
            ),
        ),
    ),
    Template(
        "06 Step by step - NemoVideo",
        "image_to_video",
        (("1", "2"), ("3",), ("4",), ("5",)),
        (
            ("The same in four steps: account, upload, generate, export.", COST[0], f"In *Auth*, {CLOUD[0]}."),
            ("分成四步：账户、上传、生成、导出。", COST[1], f"在*账户配置*中，{CLOUD[1]}。"),
        ),
    ),
    Template(
        "07 Change it in words - NemoVideo",
        "generate_edit_edit_export",
        (("1", "2"), ("3",), ("4",), ("5",), ("6",), ("7",)),
        (
            (
                "Adds a title and makes the video shorter, in words.",
                "Local preview is free. On NemoVideo cloud the video and each change are paid for, once.",
                "Write your own changes in the two *Edit Video* nodes; connect more of them in a row.",
            ),
            (
                "用文字添加标题并缩短视频。",
                "本地预览免费。在 NemoVideo 云端，视频和每次修改各付费一次。",
                "在两个*编辑视频*节点中写下你的要求；可以再串联更多节点。",
            ),
        ),
    ),
    Template(
        "08 Video into frames - NemoVideo",
        "video_into_frames",
        (("1",), ("2",), ("3",), ("4",), ("5",)),
        (
            (
                "Makes a video and saves its first four frames as pictures.",
                COST[0],
                "Set *batch_index* and *length* to choose the frames.",
            ),
            ("制作视频，并把前四帧存为图片。", COST[1], "用*批次索引*和*长度*选择帧。"),
        ),
    ),
    Template(
        "09 Into VideoHelperSuite - NemoVideo",
        "into_video_helper_suite",
        (("1",), ("2",), ("3",), ("4",)),
        (
            (
                "Loads the video file into VideoHelperSuite by its path. Install that pack first.",
                COST[0],
                "Set *frame_load_cap* to the number of frames to load.",
            ),
            (
                "按路径把视频文件加载到 VideoHelperSuite。请先安装该节点包。",
                COST[1],
                "用 *frame_load_cap* 设置加载的帧数。",
            ),
        ),
    ),
    Template(
        "10 Timeline and credits - NemoVideo",
        "credits_and_timeline",
        (("2", "1@500"), ("3",), ("4",), ("5", "7@500", "8@780"), ("6",)),
        (
            (
                "Shows what is in the video as a picture, and the credits left.",
                COST[0],
                f"In *Auth*, {CLOUD[0]}.",
            ),
            ("以图片展示视频里有什么，并显示剩余积分。", COST[1], f"在*账户配置*中，{CLOUD[1]}。"),
        ),
    ),
    Template(
        "11 Collect a video - NemoVideo",
        "recover_a_job",
        (("1",), ("2",)),
        (
            (
                "Collects the video of an interrupted job, and shows its last frame.",
                "Nothing: you don't pay twice.",
                "Choose another job in *job*.",
            ),
            ("取回被中断的任务的视频，并显示最后一帧。", "免费：不会重复扣费。", "在*任务*中选择其他任务。"),
        ),
    ),
)


@dataclass(frozen=True)
class Slots:
    """Of a kind of node: inputs in their order, each `field` or the type of its link; which are optional; outputs."""

    inputs: Mapping[str, str]
    optional: frozenset[str]
    outputs: list[tuple[str, str]]


def read_slots() -> dict[str, Slots]:
    """All kinds of nodes that templates use."""
    known = {kind: Slots(inputs, frozenset(), outputs) for kind, (inputs, outputs) in OTHERS.items()}
    for kind, node in _load_nodes().items():
        types = node.INPUT_TYPES()
        given = {**types.get("required", {}), **types.get("optional", {})}
        fields = ("STRING", "INT", "FLOAT", "BOOLEAN")
        inputs = {
            name: "field" if isinstance(each[0], list) or each[0] in fields else each[0] for name, each in given.items()
        }
        outputs = list(zip(node.RETURN_NAMES, node.RETURN_TYPES, strict=True))
        known[kind] = Slots(inputs, frozenset(types.get("optional", {})), outputs)
    return known


def _load_nodes() -> dict[str, Any]:
    name = "nemo_pack_of_templates"
    spec = importlib.util.spec_from_file_location(name, ROOT / "__init__.py", submodule_search_locations=[str(ROOT)])
    if spec is None or spec.loader is None:
        raise RuntimeError("the pack cannot be loaded")
    pack = importlib.util.module_from_spec(spec)
    sys.modules[name] = pack
    spec.loader.exec_module(pack)
    nodes: dict[str, Any] = pack.NODE_CLASS_MAPPINGS
    return nodes


def read_twin(name: str) -> dict[str, Any]:
    """A graph for POST /prompt."""
    graph: dict[str, Any] = json.loads((WORKFLOWS / "api" / f"{name}.json").read_text(encoding="utf-8"))
    return graph


def place_nodes(template: Template, twin: Mapping[str, Any]) -> dict[str, tuple[int, int]]:
    """Where the nodes stand: columns from left to right, with room for a cable's curve between them."""
    places: dict[str, tuple[int, int]] = {}
    x = LEFT
    for column in template.columns:
        y, width = TOP, 0
        for given in column:
            key, _, below = given.partition("@")
            size = SIZES[twin[key]["class_type"]]
            y = TOP + int(below) if below else y
            places[key] = (x, y)
            y += size[1] + GAP
            width = max(width, size[0])
        x += width + GAP
    return places


def build_graph(template: Template, slots: Mapping[str, Slots]) -> dict[str, Any]:
    """The graph as the editor saves it."""
    twin = read_twin(template.twin)
    places = place_nodes(template, twin)
    links: list[list[Any]] = []
    nodes = [_node(key, twin[key], places[key], slots) for key in sorted(twin, key=int)]
    for node in nodes:
        for index, (_, value) in enumerate(_links_of(twin[str(node["id"])], slots)):
            if value is None:
                continue
            source = next(each for each in nodes if str(each["id"]) == value[0])
            links.append([len(links) + 1, source["id"], value[1], node["id"], index, node["inputs"][index]["type"]])
            node["inputs"][index]["link"] = len(links)
            source["outputs"][value[1]]["links"].append(len(links))
    note = max(node["id"] for node in nodes) + 1
    nodes.append(_note(note, template))
    graph = {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"nemo-video/{template.title}")),
        "revision": 0,
        "last_node_id": note,
        "last_link_id": len(links),
        "nodes": nodes,
        "links": links,
        "groups": [],
        "config": {},
        "extra": {},
        "version": 0.4,
    }
    if template.app:
        inputs = [[int(key), name] for key, name in template.app]
        graph["extra"] = {"linearMode": True, "linearData": {"inputs": inputs, "outputs": [int(template.result)]}}
    return graph


def _links_of(twin: Mapping[str, Any], slots: Mapping[str, Slots]) -> list[tuple[str, Any]]:
    """Inputs that the graph form lists: those of links, and fields that are linked."""
    found = []
    for name, kind in slots[twin["class_type"]].inputs.items():
        value = twin["inputs"].get(name)
        if kind != "field" or isinstance(value, list):
            found.append((name, value if isinstance(value, list) else None))
    return found


def _node(key: str, twin: Mapping[str, Any], place: tuple[int, int], slots: Mapping[str, Slots]) -> dict[str, Any]:
    kind = twin["class_type"]
    known = slots[kind]
    inputs: list[dict[str, Any]] = []
    for name, _ in _links_of(twin, slots):
        linked = known.inputs[name] == "field"
        given: dict[str, Any] = {"name": name, "type": "STRING" if linked else known.inputs[name], "link": None}
        if linked:
            given["widget"] = {"name": name}
        if name in known.optional:
            given["shape"] = 7
        inputs.append(given)
    fields = {name: twin["inputs"][name] for name, each in known.inputs.items() if each == "field"}
    shown = {name: "" if isinstance(value, list) else value for name, value in fields.items()} | EXTRA.get(kind, {})
    return {
        "id": int(key),
        "type": kind,
        "pos": list(place),
        "size": list(SIZES[kind]),
        "flags": {},
        "order": int(key) - 1,
        "mode": 0,
        "inputs": inputs,
        "outputs": [{"name": name, "type": each, "links": []} for name, each in known.outputs],
        "properties": {"Node name for S&R": kind},
        "widgets_values": shown if kind.startswith("VHS_") else list(shown.values()),
    }


def _note(key: int, template: Template) -> dict[str, Any]:
    heads = (("What it does", "What it costs", "What to change"), ("功能", "费用", "可改之处"))
    colon = (": ", "：")
    parts = []
    for language, lines in enumerate(template.note):
        said = zip(heads[language], lines, strict=True)
        parts.append("\n".join(f"- **{head}**{colon[language]}{line}" for head, line in said))
    return {
        "id": key,
        "type": "MarkdownNote",
        "pos": [LEFT, NOTE_TOP],
        "size": list(NOTE_SIZE),
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": [],
        "outputs": [],
        "title": "NemoVideo",
        "properties": {},
        "widgets_values": ["\n\n".join(parts)],
    }


def build_subgraph(slots: Mapping[str, Slots]) -> dict[str, Any]:
    """The subgraph that the node library offers: picture, prompt and profile in, the video out."""
    own = str(uuid.uuid5(uuid.NAMESPACE_URL, "nemo-video/subgraph"))
    twin = read_twin("your_picture_to_video")["2"]
    inner = _node("1", twin, (300, 40), slots)
    promoted = {"prompt": "STRING", "profile": "COMBO"}
    fed = {"image": "IMAGE", **promoted}
    inner["inputs"] = _all_inputs(slots["NemoImageToVideo"])
    by_name = {each["name"]: (index, each) for index, each in enumerate(inner["inputs"])}
    links = []
    for number, (name, kind) in enumerate(fed.items(), 1):
        slot, given = by_name[name]
        given["link"] = number
        links.append(
            {
                "id": number,
                "origin_id": -10,
                "origin_slot": number - 1,
                "target_id": 1,
                "target_slot": slot,
                "type": kind,
            }
        )
    outputs = slots["NemoImageToVideo"].outputs
    for index, (_, kind) in enumerate(outputs):
        number = len(fed) + index + 1
        inner["outputs"][index]["links"] = [number]
        links.append(
            {"id": number, "origin_id": 1, "origin_slot": index, "target_id": -20, "target_slot": index, "type": kind}
        )
    ends = [
        {
            "id": str(uuid.uuid5(uuid.NAMESPACE_URL, f"nemo-video/subgraph/{name}")),
            "name": name,
            "type": kind,
            "linkIds": [number],
        }
        for number, (name, kind) in enumerate([*fed.items(), *outputs], 1)
    ]
    definition = {
        "id": own,
        "version": 1,
        "state": {"lastGroupId": 0, "lastNodeId": 1, "lastLinkId": len(links), "lastRerouteId": 0},
        "revision": 0,
        "config": {},
        "name": "NemoVideo: image to video",
        "inputNode": {"id": -10, "bounding": [60, 60, 120, 100]},
        "outputNode": {"id": -20, "bounding": [840, 60, 120, 120]},
        "inputs": ends[: len(fed)],
        "outputs": ends[len(fed) :],
        "widgets": [],
        "nodes": [inner],
        "groups": [],
        "links": links,
        "extra": {},
        "category": "NemoVideo",
        "description": "Turns a picture into a video file. Costs credits on NemoVideo cloud; free on Local preview.",
    }
    outer = {
        "id": 2,
        "type": own,
        "pos": [40, 40],
        "size": [420, 240],
        "flags": {},
        "order": 0,
        "mode": 0,
        "inputs": [
            {"name": name, "type": kind, "link": None, **({"widget": {"name": name}} if name in promoted else {})}
            for name, kind in fed.items()
        ],
        "outputs": [{"name": name, "type": kind, "links": None} for name, kind in outputs],
        "properties": {"proxyWidgets": [["-1", "prompt"], ["-1", "profile"]]},
        "widgets_values": [twin["inputs"]["prompt"], twin["inputs"]["profile"]],
    }
    return {
        "id": str(uuid.uuid5(uuid.NAMESPACE_URL, "nemo-video/subgraph/file")),
        "revision": 0,
        "last_node_id": 2,
        "last_link_id": len(links),
        "nodes": [outer],
        "links": [],
        "groups": [],
        "definitions": {"subgraphs": [definition]},
        "config": {},
        "extra": {},
        "version": 0.4,
    }


def _all_inputs(known: Slots) -> list[dict[str, Any]]:
    """Every input as a node in a subgraph lists them, links before fields: links inside go by the position."""
    kinds = {"seed": "INT", "duration": "INT", "max_credits": "INT", "prompt": "STRING", "filename_prefix": "STRING"}
    inputs: list[dict[str, Any]] = []
    for name, kind in sorted(known.inputs.items(), key=lambda each: each[1] == "field"):
        given: dict[str, Any] = {
            "name": name,
            "type": kinds.get(name, "COMBO") if kind == "field" else kind,
            "link": None,
        }
        if kind == "field":
            given["widget"] = {"name": name}
        if name in known.optional:
            given["shape"] = 7
        inputs.append(given)
    return inputs


def main() -> None:
    """Write all of them."""
    slots = read_slots()
    for template in TEMPLATES:
        _write(WORKFLOWS / f"{template.title}.json", build_graph(template, slots))
    SUBGRAPHS.mkdir(exist_ok=True)
    _write(SUBGRAPHS / f"{SUBGRAPH}.json", build_subgraph(slots))


def _write(path: Path, graph: dict[str, Any]) -> None:
    path.write_text(json.dumps(graph, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()

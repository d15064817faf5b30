"""The state of a render, read from any form of the answer. Pure.

Documented are a top-level `status` with `output.url`, and `data.status` with `data.outputUrl`. Status words come in
many spellings (`SUCCEEDED`, `RenderStatus.COMPLETED`, `in-progress`), under `status` or `state`, or as a number; where
there is no word, the output itself or an error says it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final, Literal

from .reasons import as_mapping, find_words

RenderStatus = Literal["pending", "processing", "completed", "failed", "cancelled", "unknown"]

_SPELLINGS: Final[Mapping[RenderStatus, str]] = {
    "pending": "pending queued queue enqueued waiting wait submitted created scheduled accepted received initialized "
    "initializing new notstarted starting throttled 排队中 等待中 待处理",
    "processing": "processing running inprogress progress rendering started active working encoding transcoding busy "
    "uploading finalizing finishing stitching muxing combining composing launched preparing executing cancelling "
    "处理中 渲染中 进行中 生成中",
    "completed": "completed complete succeed succeeds succeeded success successful successfully done finished finish "
    "ready rendered available processed uploaded exported delivered 完成 已完成 成功",
    "failed": "failed fail fails failure faulted error errored errors expired timeout timedout rejected refused "
    "aborted abort crashed dead exception invalid unsuccessful killed terminated interrupted abandoned denied dropped "
    "broken lost 失败 已失败 错误 超时",
    "cancelled": "cancelled canceled cancel revoked stopped 已取消 取消",
}
_MEANING: Final[Mapping[str, RenderStatus]] = {
    word: status for status, words in _SPELLINGS.items() for word in words.split()
}
_ABOUT: Final = frozenset(
    {"render", "status", "state", "job", "task", "video", "export", "lambda", "is", "has", "been"}
)
"""Words that say of what, or nothing."""
_TURNED: Final = frozenset({"not", "no", "un", "in", "non", "partially", "partly", "pre", "almost", "half", "before"})
"""Words that turn what follows into something else."""
_ENVELOPES: Final = frozenset({"success", "successful", "succeed", "ok", "done"})
"""Words that, outside of the render's own data, are said of the call."""
_STATUS_KEYS: Final = (
    "status", "state", "renderStatus", "render_status", "jobStatus", "job_status", "jobState", "job_state",
    "renderState", "render_state", "taskStatus", "task_status", "phase",
)  # fmt: skip
_INNER_KEYS: Final = ("render", "job", "task", "result")
_URL_KEYS: Final = (
    "url", "outputUrl", "output_url", "videoUrl", "video_url", "downloadUrl", "download_url", "fileUrl", "file_url",
    "resultUrl", "result_url", "signedUrl", "signed_url",
    "outputFile", "output_file", "output", "outputs", "result", "video", "file",
)  # fmt: skip
_ERROR_KEYS: Final = (
    "error", "errors", "errorMessage", "error_message", "errorMsg", "failureReason", "failure_reason", "failReason",
)  # fmt: skip
_NO_ERROR: Final = frozenset({"none", "null", "false", "0", "ok", "no error", "success"})
_PROGRESS_KEYS: Final = ("progress", "percent", "percentage", "overallProgress", "overall_progress")
_TOKEN: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_a-zA-Z]+")


def list_places(data: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The objects of an answer that can tell of the render, from the innermost."""
    outer = [data, *(as_mapping(data.get(key)) for key in _INNER_KEYS)]
    inner = as_mapping(data.get("data"))
    own = [as_mapping(inner.get("data")), inner, *(as_mapping(inner.get(key)) for key in _INNER_KEYS)]
    return [each for each in (*own, *reversed(outer)) if each]


def read_status(data: Mapping[str, Any]) -> tuple[RenderStatus, str]:
    """What an answer says of the render, and the word it says that with (empty where it has none)."""
    number = ""
    for place in list_places(data):
        for value in _list_statuses(place):
            if isinstance(value, str) and not _is_number(value):
                status = meaning_of(value)
                if place is data and as_mapping(data.get("data")) and _is_about_the_call(value, data):
                    continue
                return status, value.strip()
            number = number or str(value)
    if read_url(data):
        return "completed", number
    return ("failed", number) if read_error(data) else ("unknown", number)


def _list_statuses(place: Mapping[str, Any]) -> Iterator[str | int | float]:
    for key in _STATUS_KEYS:
        value = place.get(key)
        if isinstance(value, Mapping):
            value = next((value[name] for name in ("status", "state", "value", "name") if value.get(name)), None)
        if isinstance(value, bool) or not isinstance(value, (str, int, float)):
            continue
        if not isinstance(value, str) or value.strip().lower() not in ("", "null", "none", "undefined"):
            yield value


def _is_number(value: str) -> bool:
    return re.fullmatch(r"\s*[+-]?\d+(\.\d+)?\s*", value) is not None


def _is_about_the_call(word: str, data: Mapping[str, Any]) -> bool:
    """Whether the outer word only says that the call went well: nothing of a finished render stands beside it."""
    progress = read_progress(data)
    return word.strip().lower() in _ENVELOPES and not read_url(data) and (progress is None or progress < 100)


def meaning_of(word: str) -> RenderStatus:
    """The status that a word means, however it is written."""
    tail = word.strip().strip("<>'\".!").split(":")[0].rsplit(".", 1)[-1]
    tokens = [token.lower() for token in _TOKEN.findall(tail)]
    found = _MEANING.get("".join(tokens)) or _MEANING.get("".join(each for each in tokens if each not in _ABOUT))
    if found is not None:
        return found
    meanings = {_MEANING[token] for token in tokens if token in _MEANING}
    return meanings.pop() if len(meanings) == 1 and not _TURNED & set(tokens) else "unknown"


def read_url(data: Mapping[str, Any]) -> str:
    """Where the finished file is, as it was written; empty where that is not told."""
    return next((url for place in list_places(data) if (url := _url_in(place))), "")


def _url_in(value: object, depth: int = 3) -> str:
    if isinstance(value, list) and depth:
        return next((url for each in value if (url := _find_address(each, "url", depth - 1))), "")
    if not isinstance(value, Mapping) or not depth:
        return ""
    return next((url for key in _URL_KEYS if (url := _find_address(value.get(key), key, depth - 1))), "")


def _find_address(value: object, key: str, depth: int) -> str:
    """An address under `key`: any text where the key says that it is one, else one that looks like it."""
    if not isinstance(value, str):
        return _url_in(value, depth)
    text = value.strip()
    return text if key.lower().endswith("url") or re.match(r"(https?:)?//|/\w", text, re.IGNORECASE) else ""


def read_error(data: Mapping[str, Any]) -> str:
    """What is said to have gone wrong; empty where nothing is."""
    for place in list_places(data):
        for key in _ERROR_KEYS:
            words = find_words(place.get(key))
            if words and words.lower() not in _NO_ERROR:
                return words
    return ""


def read_reason(data: Mapping[str, Any]) -> str:
    """Why a render failed, where it says so; also in words that are no error's by their name."""
    told = (
        find_words(place.get(key))
        for place in list_places(data)
        for key in ("reason", "message", "detail", "statusMessage")
    )
    return read_error(data) or next((words for words in told if words), "")


def read_progress(data: Mapping[str, Any]) -> float | None:
    """The progress as it is told, in percent or as a fraction; None for what is no number."""
    for place in list_places(data):
        for key in _PROGRESS_KEYS:
            value = place.get(key)
            if isinstance(value, (int, float)) and not isinstance(value, bool) and value == value:
                return float(min(max(value, 0), 100))
    return None


def read_id(data: Mapping[str, Any]) -> str:
    """The id that the backend names the render by."""
    for place in list_places(data):
        for key in ("id", "renderId", "render_id"):
            value = place.get(key)
            if isinstance(value, (str, int)) and not isinstance(value, bool) and str(value).strip():
                return str(value).strip()
    return ""


class ProgressScale:
    """Progress in percent, told in percent or as a fraction: the first one that tells shows which."""

    def __init__(self) -> None:
        self._fraction: bool | None = None

    def clamp_percent(self, told: float | None) -> float | None:
        """What was told, in 0..100."""
        if told is None:
            return None
        if told > 1:
            self._fraction = False
        elif 0 < told < 1 and self._fraction is None:
            self._fraction = True
        return told * 100 if self._fraction else told

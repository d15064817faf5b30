"""`nemo-video animate` and `nemo-video credits`: from what was typed to the Studio and back."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from .._batch.item import derive_stem
from .._errors import InputError
from .._files.images import Media, from_file, from_url
from .._files.save import Destination, open_temporary_file
from .._journal.money import FREE, Money
from .._safety.file_names import MAX_NAME_BYTES, clean_file_name
from .._safety.pasted_paths import find_path, is_address
from .._studio.handles import SessionHandle
from .._studio.progress import Progress
from .._studio.types import GenerationRequest, MessageResult, Output, Video, check_choice
from .._text import gui_translator
from .._text.choices import FORMATS, LANGUAGES
from .._text.messages import say
from .._wire.schemas import Credits
from .._wire.upload import disk_error
from .output import Outcome
from .runtime import Run


@dataclass(frozen=True)
class Delivery:
    """Where a video shall go and as what, as it was typed; `usual` is the format where none was given."""

    output: str = ""
    format: str = ""
    quality: str = "high"
    resolution: str = "auto"
    usual: str = "mp4"

    def plan(self, images: Sequence[str]) -> tuple[Output, Destination]:
        """The export and its place, named like the first of `images` where no name was given.

        `InputError` where the words do not fit together.
        """
        path = Path(self.output or ".").expanduser()
        into_folder = not self.output or self.output.endswith(("/", os.sep)) or os.path.isdir(path)
        suffix = "" if into_folder else path.suffix.lower().lstrip(".")
        asked = self.format.lower().lstrip(".")
        if suffix and asked and suffix != asked:
            raise InputError("output-format", suffix=suffix, format=asked)
        if suffix:
            check_choice("--output", suffix, FORMATS)
        output = Output(asked or suffix or self.usual, self.quality.lower(), self.resolution.lower())
        folder, stem = (path, derive_stem(images)) if into_folder else (path.parent, _clean_typed_name(path.stem))
        return output, Destination(folder.absolute(), stem, numbering="on collision")


@dataclass(frozen=True)
class Animation:
    """What `animate` was asked for, as it was typed."""

    images: Sequence[str]
    prompt: str
    delivery: Delivery
    duration: float = 0
    ratio: str = "auto"
    seed: int = 0
    language: str = "auto"


def _clean_typed_name(stem: str) -> str:
    """As `clean_file_name`; a name that is too long stays, and is refused before anything is sent."""
    return stem if len(os.fsencode(stem)) > MAX_NAME_BYTES else clean_file_name(stem)


async def animate(run: Run, asked: Animation) -> Outcome:
    """The whole way: pictures, upload, generation, export. What can be wrong is found before anything is sent."""
    seconds = int(asked.duration) if asked.duration == asked.duration // 1 else asked.duration
    wish = GenerationRequest(asked.prompt, asked.ratio, seconds, asked.seed)
    check_choice("--language", asked.language, LANGUAGES)
    output, destination = await plan_export(asked.delivery, asked.images)
    media = await read_media(run, asked.images)
    studio = await run.studio()
    uploaded = await run.call_free(
        lambda studio: studio.upload(media, language=asked.language, prompt=wish.prompt, caller=run.caller)
    )
    session = run.note_session(uploaded)
    turned = run.note_result(await studio.generate(session, wish, caller=run.caller))
    video = await run.call_free(lambda studio: studio.export(turned.session, destination, output, caller=run.caller))
    return show_delivered(run, turned, video)


def show_delivered(run: Run, turned: MessageResult, video: Video) -> Outcome:
    """A video in its place: where it is, what it shows, and what it took."""
    spoken = in_plain_words(turned, run)
    remarks = [
        spoken.text,
        *(show_proposal(run, each) for each in spoken.proposals),
        video.timeline,
        video.note,
    ]
    reused = video.reused or turned.reused
    remarks.append(say("shell.reused", run.screen.lang) if reused else describe_spending(video.money, run))
    data = video_to_json(
        turned.session, video, reply=spoken.text, timeline=video.timeline, money=video.money, reused=turned.reused
    )
    return Outcome(str(video.path), data, tuple(filter(None, remarks)))


def in_plain_words(turned: MessageResult, run: Run) -> gui_translator.Translated:
    """The reply without talk of a web page; what changed in the draft is told as it is."""
    spoken = gui_translator.translate(turned.spoken, run.screen.lang)
    return replace(spoken, text="\n\n".join(filter(None, [spoken.text, turned.changes])))


async def credits(run: Run) -> Outcome:
    """The balance; for an anonymous account also where to register."""
    studio = await run.studio()
    balance = await studio.credits()
    link = await studio.registration_link()
    data = {"profile": run.profile, **balance.model_dump(include={"available", "frozen", "total"})}
    remarks = (say("shell.register", run.screen.lang, link=link),) if link else ()
    return Outcome(describe_balance(balance, run), {**data, "register": link or None}, remarks)


async def read_media(run: Run, images: Sequence[str]) -> list[Media]:
    """The pictures, in their order; files are read side by side in threads."""
    if not images:
        return []
    run.screen.progress(Progress("encode"))
    media = list(await asyncio.gather(*(asyncio.to_thread(_read_medium, each) for each in images)))
    for each in media:
        if each.notice is not None:
            run.screen.remark(say(each.notice.id, run.screen.lang, **each.notice.facts))
    return media


def _read_medium(text: str) -> Media:
    return from_url(text) if is_address(text) else from_file(find_path(text))


def video_to_json(
    session: SessionHandle | None,
    video: Video | None = None,
    *,
    reply: str = "",
    timeline: str = "",
    money: Money = FREE,
    reused: bool = False,
) -> dict[str, object]:
    """The one JSON object of `--json`; what there is none of is null."""
    return {
        "video": str(video.path) if video else None,
        "session_id": session.session_id if session else None,
        "task_id": (session.task_id or None) if session else None,
        "render_id": video.render_id if video else None,
        "reply": reply or None,
        "timeline": timeline or None,
        "credits": money.to_json(),
        "reused": reused,
    }


async def plan_export(delivery: Delivery, images: Sequence[str]) -> tuple[Output, Destination]:
    """The export and its place, which was tried out."""
    output, destination = delivery.plan(images)
    await asyncio.to_thread(check_writable, destination, output.format)
    return output, destination


def check_writable(destination: Destination, suffix: str) -> None:
    """`DiskError` if no video could be written there, before anything is paid for; leaves nothing behind.

    An `InputError` for a place whose name is no text, which no journal could record.
    """
    folder = destination.folder
    whole = str(folder / destination.stem)
    if any(0xD800 <= ord(char) < 0xE000 for char in whole):
        raise InputError("name-no-text", name=whole.encode("utf-8", "replace").decode())
    missing = [each for each in (folder, *folder.parents) if not os.path.exists(each)]
    try:
        with open_temporary_file(destination, suffix):
            os.lstat(folder / destination.name(2, suffix))  # finds a name that is too long
    except FileNotFoundError:
        pass
    except OSError as error:
        raise disk_error(error, folder / destination.name(1, suffix)) from error
    finally:
        for each in missing:
            with contextlib.suppress(OSError):
                each.rmdir()


def describe_balance(balance: Credits, run: Run) -> str:
    """The balance in words."""
    return say("credits", run.screen.lang, **balance.shown)


def describe_spending(money: Money, run: Run) -> str:
    """What it took, what is left, and how sure that is."""
    if money.spent == 0 and money.after is None:
        return say("shell.free", run.screen.lang)
    spent, left = ("?" if each is None else f"{each:g}" for each in (money.spent, money.after))
    known = "late" if money.spent is None and money.after is not None else money.certainty
    return say(f"shell.spent.{known}", run.screen.lang, spent=spent, left=left)


def show_proposal(run: Run, message: str) -> str:
    """What the backend would do next for credits: told with the command for it, never sent from here."""
    return say("shell.proposal", run.screen.lang, message=message, command=run.make_chat_command(message))

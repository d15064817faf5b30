"""NemoVideo Chat: sends one message to a project; free requests are answered without the agent."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ..nemo_client import WHEN_CHANGED
from ._comfy import deliveries, host, inputs, previews, run, statements

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..nemo_client import (
        Answer,
        Caller,
        Destination,
        ExportWish,
        MessageResult,
        Money,
        NemoError,
        Output,
        SessionHandle,
        Studio,
        Video,
    )

MAX_PAID: Final = 3
"""Messages that one run sends at most, the user's own among them."""


class NemoChat:
    """Says something in a session and carries out what the answer asks for."""

    CATEGORY = "NemoVideo"
    DESCRIPTION = (
        "Talks to a project: ask a question, or for a change. A change costs credits; “export”, “credits” and "
        "“status” are free."
    )
    SEARCH_ALIASES = ("ask", "message", "talk", "agent", "assistant", "edit video", "对话")
    RETURN_TYPES = ("NEMO_SESSION", "STRING", "STRING")
    RETURN_NAMES = ("session", "reply", "video_path")
    OUTPUT_TOOLTIPS = (
        "The project after the message, for the next NemoVideo node.",
        "The answer.",
        "The file's absolute path, if the message exported a video; else the nodes behind it do not run.",
    )
    FUNCTION = "chat"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        message = {
            "multiline": True,
            "default": "make the title larger",
            "tooltip": "A change, a question, or a request such as “export” or “credits”.",
        }
        follow = {
            "default": False,
            "tooltip": "Off: free proposals in the answer are carried out, paid ones are only shown. On: paid ones are "
            "sent too, each once, within max_credits, at most three messages a run.",
        }
        changed = {
            "default": WHEN_CHANGED[0],
            "tooltip": "When another message was already sent from here. stop: an error. edit the newest state: "
            "continue the conversation (change the message, run again). generate again: start a new project, paid "
            "again.",
        }
        return {
            "required": {"session": inputs.SESSION, "message": ("STRING", message), "seed": inputs.SEED},
            "optional": {
                "follow": ("BOOLEAN", follow),
                "max_credits": inputs.MAX_CREDITS,
                "when_changed": (list(WHEN_CHANGED), changed),
            },
            "hidden": inputs.HIDDEN,
        }

    @classmethod
    def VALIDATE_INPUTS(cls, seed: Any = None) -> bool | str:
        """Judged here, not by the widget's range."""
        return inputs.judge_seed(seed)

    @run.word_errors
    async def chat(
        self,
        session: Any,
        message: str,
        seed: int,
        follow: bool = False,
        max_credits: int = 0,
        when_changed: str = WHEN_CHANGED[0],
        graph: Any = None,
        workflow: Any = None,
    ) -> dict[str, Any]:
        """Session, reply and, if there was an export, the path of the video."""
        prefix = inputs.PREFIX[1]["default"]
        where = host.make_destination(prefix, host.read_workflow_tags(graph, workflow))
        talk = _Talk(session, where)

        async def work(studio: Studio, item: run.Item) -> tuple[SessionHandle, Answer]:
            from ..nemo_client import Conversation

            talk.studio, talk.item = studio, item
            conversation = Conversation(
                talk,
                item.caller,
                session,
                seed=seed,
                when_changed=when_changed,
                max_messages=MAX_PAID if follow else 1,
            )
            answer = await conversation.carry_out(message)
            return conversation.session or session, answer

        session, answer = await run.run_one(session.profile, work, language=session.language, max_credits=max_credits)
        reply = "\n".join(each.text for each in answer.entries)
        run.show_answer(reply)
        ui: dict[str, Any] = {"text": [reply]}
        path: Any = host.make_blocker()
        if answer.video is not None:
            path = str(answer.video.path)
            statements.current().videos.append(answer.video)
            deliveries.record_delivery(prefix, [answer.video.path])
            ui |= await asyncio.to_thread(previews.build_ui, [answer.video])
            statements.current().previews += await asyncio.to_thread(previews.list_shown, [answer.video], ui["images"])
        return {"ui": ui, "result": (session, reply, path)}


@dataclass
class _Talk:
    """What the conversation asks of this node, on the network thread."""

    session: SessionHandle
    destination: Destination
    studio: Studio = field(init=False)
    item: run.Item = field(init=False)

    async def open_studio(self) -> Studio:
        """The Studio of the session's profile."""
        return self.studio

    async def open_session(self, message: str) -> SessionHandle:
        """The session of the input."""
        return self.session

    async def upload_files(self, files: Sequence[str]) -> str:
        """Say which nodes upload: this one does not."""
        return self.say("chat.upload")

    async def export(self, session: SessionHandle, destination: Destination, output: Output, caller: Caller) -> Video:
        """Export; the node as a whole is begun again where the backend asks to go slower."""
        return await self.studio.export(session, destination, output, caller=caller)

    async def plan_export(self, wish: ExportWish | None) -> tuple[Destination, Output]:
        """ComfyUI's output folder, and what the message says of format, quality and size."""
        from ..nemo_client import Output

        output = Output()
        if wish:
            output = Output(*wish.fill(output.format, output.quality, output.resolution))
        return self.destination, output

    def note_result(self, result: MessageResult) -> None:
        """Note what a message took."""
        self.item.note_result(result)

    def choose_language(self) -> str:
        """The session's language, else the page's."""
        return run.find_text_language(self.session.language) or "auto"

    def say(self, text_id: str, **facts: Any) -> str:
        """A text in the language of the session."""
        return run.say_for_handle(text_id, self.session.language, **facts)

    def describe_proposal(self, message: str) -> str:
        """The message that would cost credits."""
        return self.say("chat.proposal", message=message)

    def describe_money(self, money: Money) -> str:
        """Nothing: the node's progress tells the money."""
        return ""

    def describe_video(self, video: Video) -> str:
        """Where the video is."""
        return self.say("chat.exported", path=video.path)

    def describe_error(self, error: NemoError) -> str:
        """The error in the language of the session."""
        return error.text(run.find_text_language(self.session.language))

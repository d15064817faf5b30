"""NemoVideo Chat: one message in a session; what is free never goes to the agent."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ..nemo_client import WHEN_CHANGED
from ._comfy import deliveries, host, inputs, run

if TYPE_CHECKING:
    from ..nemo_client import Destination, ExportWish, NemoError, Request, SessionHandle, Studio, Video

MAX_PAID: Final = 3
"""Messages that one run sends at most, the user's own among them."""


class NemoChat:
    """Says something in a session and carries out what the answer asks for."""

    CATEGORY = "NemoVideo"
    DESCRIPTION = (
        "Sends a message to the agent, which may cost credits. Requests for an export, the credits, the state or an "
        "upload (“export”, “导出”, “credits”, …) are answered here, free."
    )
    RETURN_TYPES = ("NEMO_SESSION", "STRING", "STRING")
    RETURN_NAMES = ("session", "reply", "video_path")
    OUTPUT_TOOLTIPS = (
        "The session after the message.",
        "The answer, without talk of a web page.",
        "The absolute path of the video if the message exported one; else nothing behind it runs.",
    )
    FUNCTION = "chat"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        message = {
            "multiline": True,
            "default": "make the title larger",
            "tooltip": "A wish, a question, or a request such as “export” or “credits”.",
        }
        follow = {
            "default": False,
            "tooltip": "Off: free proposals of the answer are carried out, paid ones are told. On: paid ones are sent, "
            "too, each once, within max_credits and at most three messages a run.",
        }
        changed = {
            "default": WHEN_CHANGED[0],
            "tooltip": "When another message was already sent from here. stop: an error; edit the newest state: the "
            "conversation goes on, so that one node carries it (change the message, queue again); generate again: "
            "everything before is made again in a new session, which pays again.",
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
        talk = _Talk(session, seed, follow, where, when_changed)

        async def work(studio: Studio, item: run.Item) -> _Talk:
            await talk.say(studio, item, message)
            return talk

        await run.run_one(session.profile, work, language=session.language, max_credits=max_credits)
        reply = "\n".join(filter(None, talk.said))
        run.show_answer(reply)
        ui: dict[str, Any] = {"text": [reply]}
        path: Any = host.make_blocker()
        if talk.video is not None:
            path = str(talk.video.path)
            deliveries.record_delivery(prefix, [talk.video.path])
            ui["images"] = [host.make_view(talk.video.path)]
            if talk.video.format != "gif":
                ui["animated"] = (True,)
        return {"ui": ui, "result": (talk.session, reply, path)}


@dataclass
class _Talk:
    """One message and all that follows from it, on the network thread."""

    session: SessionHandle
    seed: int
    follow: bool
    destination: Destination
    when_changed: str = WHEN_CHANGED[0]
    said: list[str] = field(default_factory=list)
    video: Video | None = None

    async def say(self, studio: Studio, item: run.Item, message: str) -> None:
        from ..nemo_client import read_request

        request = read_request(message)
        if request.intent == "agent":
            await self._ask(studio, item, message, request)
            return
        if request.price:
            self.said.append(self._words("chat.export-free"))
        for intent in (*request.also, request.intent):
            await self._act(studio, item, intent, request.export)

    async def _ask(self, studio: Studio, item: run.Item, message: str, request: Request) -> None:
        """Send it, send or tell what its answer proposes that costs, and do what is free."""
        from ..nemo_client import NemoError

        actions, proposals = await self._sent(studio, item, message)
        actions += await self._follow(studio, item, message, proposals)
        if request.export:
            actions.append("export")
        for action in dict.fromkeys(actions):
            try:
                await self._act(studio, item, action, request.export)
            except NemoError as error:
                self._tell(error)

    async def _follow(self, studio: Studio, item: run.Item, message: str, proposals: list[str]) -> list[str]:
        """Send the proposals of an answer where that is wanted, each once, and tell the others; what is free.

        What the answers to proposals propose is only told: an agent that always has one more idea must not spend on
        and on.
        """
        from ..nemo_client import NemoError, normalize

        sent = {normalize(message)}
        left = {normalize(each): each for each in reversed(proposals)}
        left = {key: left[key] for key in map(normalize, proposals) if key not in sent}
        actions: list[str] = []
        further: list[str] = []
        while self.follow and left and len(sent) < MAX_PAID:
            key, proposal = next(iter(left.items()))
            try:
                more, told = await self._sent(studio, item, proposal)
            except NemoError as error:  # what was answered before is paid for: it is told all the same
                self._tell(error)
                if error.charged != "no":
                    del left[key]
                break
            del left[key]
            sent.add(key)
            actions += more
            further += told
        for each in further:
            if normalize(each) not in sent:
                left.setdefault(normalize(each), each)
        self.said += [self._words("chat.proposal", message=each) for each in left.values()]
        return actions

    async def _sent(self, studio: Studio, item: run.Item, message: str) -> tuple[list[str], list[str]]:
        """Send one message and note what is said; the free actions and the paid messages that its answer asks for."""
        from ..nemo_client import translate

        turned = await studio.chat(
            self.session, message, seed=self.seed, caller=item.caller, when_changed=self.when_changed
        )
        item.took(turned)
        self.session = turned.session
        spoken = translate(turned.spoken, run.find_text_language(self.session.language) or "auto")
        self.said += [spoken.text, turned.changes]
        return list(spoken.actions), list(spoken.proposals)

    def _tell(self, error: NemoError) -> None:
        error.lang = run.find_text_language(self.session.language)
        self.said.append(str(error))

    async def _act(self, studio: Studio, item: run.Item, action: str, wish: ExportWish | None) -> None:
        """Carry out something free, of the newest state where this node carries the whole conversation.

        An export is made as it was asked for.
        """
        from ..nemo_client import Output

        if self.when_changed == WHEN_CHANGED[1] and not self.said:
            self.session = await studio.newest(self.session)
        if action == "export":
            output = Output()
            if wish:
                output = Output(*wish.fill(output.format, output.quality, output.resolution))
                if wish.size_note:
                    self.said.append(self._words(wish.size_note, asked=wish.asked, resolution=wish.resolution))
            self.video = await studio.export(self.session, self.destination, output, caller=item.caller)
            self.said.append(self._words("chat.exported", path=self.video.path))
        elif action == "credits":
            self.said.append(self._words("credits", **(await studio.credits()).shown))
        elif action == "upload":
            self.said.append(self._words("chat.upload"))
        else:
            self.said.append(
                await studio.timeline(self.session, run.find_text_language(self.session.language) or "auto")
            )

    def _words(self, text_id: str, **facts: Any) -> str:
        return run.say_for_handle(text_id, self.session.language, **facts)

"""Runs one shell command: its event loop, Ctrl-C, and the words of a failure.

The first Ctrl-C starts nothing new: paid work in flight is read to its end (hanging up may stop it, and it is paid
all the same), everything else is stopped, a render at the backend too. The second Ctrl-C leaves at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shlex
import signal
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from typing import Any, Final, TypeVar

from .._config.profiles import CLOUD
from .._errors import Cancelled, Charged, NemoError, NothingMade, QuestionAsked, ResultUnknown, SessionGone
from .._journal.job_rows import make_job_id
from .._studio.handles import SessionHandle
from .._studio.progress import Budget, Caller
from .._studio.reconcile import answer_command, chat_command
from .._studio.studio import Studio
from .._studio.types import MessageResult
from .._text.gui_translator import translate
from .._text.messages import Phrase, say
from .output import INTERRUPTED, Failure, Outcome, Screen, describe_unexpected

logger = logging.getLogger("nemo_client")

REST_SECONDS: Final = 12.0
LEAVE_SECONDS: Final = 0.7
_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)

_T = TypeVar("_T")


class Run:
    """A command's loop, its Studio (opened when it is needed), what it reached, and how often Ctrl-C was pressed.

    For the main thread; `do` runs a coroutine to its end. `close` it.
    """

    def __init__(self, screen: Screen, profile: str = CLOUD, max_credits: int = 0) -> None:
        self.screen = screen
        self.profile = profile
        self.caller = Caller(screen.progress, Budget(max_credits))
        self.presses = 0
        self.session_id = ""
        self.job_id = ""
        self.again = ""  # the command that goes on, where that is not one of `jobs`
        self.on_stop: Callable[[], int] | None = None
        self.elsewhere: Callable[[], int] = lambda: 0  # how many items other machines are at
        self._charged: Charged = "no"
        self._spent = 0.0  # credits, by this command's messages that are done
        self._loop = asyncio.new_event_loop()
        self._task: asyncio.Task[Any] | None = None
        self._opening: asyncio.Task[Studio] | None = None
        self._others: dict[str, asyncio.Task[Studio]] = {}

    def close(self) -> None:
        """Close the Studio and the loop. What goes wrong here changes nothing about what was told."""
        try:
            self._run_to_end(self._close())
            self._run_to_end(self._loop.shutdown_default_executor())
        except Exception:  # everything is done and told
            logger.debug("closing failed", exc_info=True)
        finally:
            self._loop.close()

    async def studio(self) -> Studio:
        """The Studio of this command's profile."""
        if self._opening is None:
            self._opening = asyncio.ensure_future(Studio.open(self.profile))
        return await asyncio.shield(self._opening)

    async def studio_of(self, name: str) -> Studio:
        """The Studio of another profile, beside this command's own; they share its journal."""
        own = await self.studio()
        if name in ("", self.profile):
            return own
        if name not in self._others:
            self._others[name] = asyncio.ensure_future(own.open_beside(name))
        return await asyncio.shield(self._others[name])

    async def call_free(self, work: Callable[[Studio], Awaitable[_T]]) -> _T:
        """Carry out something free; begun again where the backend asks to go slower, as nodes and batches do."""
        studio = await self.studio()
        return await studio.limiter.carry_out(lambda: work(studio))

    def do(self, work: Coroutine[Any, Any, _T]) -> _T:
        """Run `work`; `Cancelled` if the user stopped it."""
        self._charged, self._spent, self.job_id = "no", 0.0, ""
        return self._run_to_end(self._supervise(work))

    def note_session(self, session: SessionHandle) -> SessionHandle:
        """Note the session that the command works in; stop here if the user asked for it."""
        self.session_id = session.session_id
        return self._check_stop(session)

    def note_result(self, turned: MessageResult) -> MessageResult:
        """Note what a message cost and its job; stop here if the user asked for it."""
        self.job_id = make_job_id(turned.session.key)
        self._spent += turned.taken.sure or 0.0
        if turned.money.spent is None:
            self._charged = "yes" if self._charged == "yes" else "maybe"
        elif turned.money.spent > 0:
            self._charged = "yes"
        if self.presses:
            self.screen.warn("\n".join(filter(None, [translate(turned.spoken, self.screen.lang).text, turned.changes])))
        return self._check_stop(turned)

    def make_chat_command(self, message: str = "") -> str:
        """The command that says `message` in this session (or asks for one), to be typed as it stands."""
        return chat_command(self.profile, self.session_id, message)

    def make_job_command(self, verb: str = "resume") -> str:
        """The command that does `verb` with this command's job, to be typed as it stands."""
        return self.again or shlex.join(["nemo-video", "jobs", verb, *filter(None, [self.job_id])])

    def make_failure(self, error: NemoError) -> Failure:
        """What a failed command is told as: also what its earlier steps cost, and how to get at their result."""
        lang = self.screen.lang
        free = self._studio is not None and self._studio.profile.free
        charged: Charged = "no" if free else error.charged
        if self._charged != "no":
            charged = "yes" if "yes" in (charged, self._charged) else "maybe"
        text = say(error.text_id, lang, **_name_options(error))
        if isinstance(error, ResultUnknown) and self.session_id and not free:
            text = self._describe_unknown(error)
        if error.id == "session-unsettled":
            command = shlex.join(["nemo-video", "jobs", "resume", str(error.facts.get("job") or "")])
            text = say("shell.unsettled", lang, **{**error.facts, "command": command})
        if isinstance(error, NothingMade) and error.session is not None:
            text = self._describe_answer(error)
        if self._charged == "no" or isinstance(error, SessionGone):  # what was paid in it went with it
            text += " " + error.word_money(lang, charged)
        else:
            text += " " + self._describe_kept(text, charged, told=error.tells_way_on())
        code = INTERRUPTED if self.presses else error.exit_code
        return Failure(error.id, text, charged, code)

    def _describe_unknown(self, error: ResultUnknown) -> str:
        """What to do about a message whose result is not known."""
        lang = self.screen.lang
        if error.id == "result-lost":
            return say("shell.lost", lang, command=self.make_job_command("resend"))
        return say("shell.unknown", lang, reason=_describe_reason(error, lang), command=self.make_job_command())

    def _describe_answer(self, error: NothingMade) -> str:
        """What the backend asked or said instead of making something, and the command that answers in its session."""
        lang, command = self.screen.lang, answer_command(error)
        text_id = "shell.question" if isinstance(error, QuestionAsked) else "shell.answered"
        return say(text_id, lang, **{**error.facts, "command": command})

    def _describe_kept(self, text: str, charged: Charged, *, told: bool) -> str:
        """What was paid for before something failed, as far as it is known, and the command that collects it.

        With `told`, `text` says already that it is not paid again; it may hold the command, too.
        """
        lang, command, spent = self.screen.lang, self.make_job_command(), f"{self._spent:g}"
        if not told and self._spent:
            return say("shell.kept-paid", lang, spent=spent, command=command)
        money = say("shell.paid", lang, spent=spent) if self._spent else say(f"money.{charged}", lang)
        if not told:
            return f"{money} {say('shell.kept', lang, command=command)}"
        return money if f"`{command}`" in text else f"{money} {say('shell.again', lang, command=command)}"

    def make_unexpected_failure(self, error: Exception) -> Failure:
        """A defect of ours; whether it cost something is not known once there is a session."""
        charged: Charged = "maybe" if self.session_id else "no"
        return self.make_failure(NemoError("unexpected", charged=charged, **describe_unexpected(error)))

    @property
    def _studio(self) -> Studio | None:
        return _get_opened(self._opening)

    @property
    def _studios(self) -> list[Studio]:
        return [studio for each in (self._opening, *self._others.values()) if (studio := _get_opened(each)) is not None]

    @property
    def _committed(self) -> bool:
        return any(studio.committed for studio in self._studios)

    def _check_stop(self, value: _T) -> _T:
        if self.presses:
            raise Cancelled("cancelled")
        return value

    async def _supervise(self, work: Coroutine[Any, Any, _T]) -> _T:
        task: asyncio.Task[_T] = asyncio.ensure_future(work)
        self._task = task
        try:
            return await task
        except asyncio.CancelledError:
            if self.presses != 1:
                raise
            await self.wait_for_rest()
            raise Cancelled("cancelled") from None
        finally:
            self._task = None

    async def wait_for_rest(self) -> None:
        """Wait for what goes on: a paid message that went out in the last moment, the cancel of a render."""
        if self._committed:
            self.screen.warn(say("shell.stop-paid", self.screen.lang))
            for studio in self._studios:
                await studio.drain()
            self._charged = "maybe"
        for studio in self._studios:
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(studio.drain(only_committed=False), REST_SECONDS)

    def _handle_signal(self) -> None:
        self.presses += 1
        if self.presses > 2:
            os._exit(INTERRUPTED)
        elif self.presses == 2:
            self._leave()
        elif self.on_stop is not None:
            going_on = self.on_stop()
            text_id = "batch.stop-paid" if going_on else "shell.stop"
            self.screen.warn(say(text_id, self.screen.lang, count=going_on))
        elif self._committed:
            self.screen.warn(say("shell.stop-paid", self.screen.lang))
        elif self._task is not None:
            self.screen.warn(say("shell.stop", self.screen.lang))
            self.caller.gave_up = True
            self._task.cancel()

    def _leave(self) -> None:
        """Say how things stand, tidy up for a moment, and be gone whether that worked or not."""
        error = Cancelled("cancelled")
        if self._committed or self.elsewhere():
            error = Cancelled("shell.left", charged="maybe", command=self.make_job_command())
        self.screen.fail(self.make_failure(error))
        self.screen.quiet = True  # no bar comes back
        timer = threading.Timer(LEAVE_SECONDS, os._exit, (INTERRUPTED,))
        timer.daemon = True
        timer.start()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()

    async def _close(self) -> None:
        if self._opening is not None:
            await asyncio.wait({self._opening})
        if self._others:
            await asyncio.wait(set(self._others.values()))
        for studio in reversed(self._studios):
            await studio.aclose()
        await self._loop.shutdown_asyncgens()

    def _run_to_end(self, work: Coroutine[Any, Any, _T]) -> _T:
        with self._handle_signals():
            return self._loop.run_until_complete(work)

    @contextlib.contextmanager
    def _handle_signals(self) -> Iterator[None]:
        """Ctrl-C (and a polite kill) come here while the loop runs; a signal that is ignored stays so."""
        heard = [number for number in _SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
        undo = [self._add_handler(number) for number in heard]
        try:
            yield
        finally:
            for each in undo:
                each()

    def _add_handler(self, number: signal.Signals) -> Callable[[], object]:
        try:
            self._loop.add_signal_handler(number, self._handle_signal)
        except NotImplementedError:  # Windows
            before = signal.signal(number, lambda *_: self._loop.call_soon_threadsafe(self._handle_signal))
            return lambda: signal.signal(number, before)
        return lambda: self._loop.remove_signal_handler(number)


def _get_opened(opening: asyncio.Task[Studio] | None) -> Studio | None:
    if opening is None or not opening.done() or opening.cancelled():
        return None
    return None if opening.exception() else opening.result()


_OPTIONS: Final = ("duration", "seed", "format", "quality", "resolution", "language", "max_credits", "profile")
OPTION_OF: Final = {"aspect_ratio": "--ratio", **{name: f"--{name.replace('_', '-')}" for name in _OPTIONS}}
"""What a value or a limit is called on the command line."""


def _name_options(error: NemoError) -> dict[str, Any]:
    """The facts of an error, with the option in the place of the name that only nodes and Python have."""
    facts = dict(error.facts)
    for fact in {"value": ("name",), "limit": ("limit_name",)}.get(error.id, ()):
        facts[fact] = OPTION_OF.get(str(facts.get(fact)), facts.get(fact))
    return facts


def _describe_reason(error: ResultUnknown, lang: str) -> str:
    """Why it is not known: what the backend said, or how its answer ended."""
    if error.facts.get("reason"):
        reason = error.facts["reason"]
        return reason.translate(lang) if isinstance(reason, Phrase) else str(reason)
    if error.id == "answered-nothing":
        return say("shell.unknown-nothing", lang)
    if error.id == "result-late":
        return say("shell.unknown-late", lang)
    if error.id == "stream-capped":
        return say("shell.unknown-cap", lang)
    broke = str(error.facts.get("why") or "").startswith(("answer-", "connect-"))
    return say("shell.unknown-reason", lang) if broke else say("shell.unknown-end", lang)


def run_command(screen: Screen, profile: str, max_credits: int, body: Callable[[Run], Outcome | None]) -> int:
    """Carry out a command's `body`; its exit code. Whatever goes wrong is told in one line, without a traceback."""
    run = Run(screen, profile, max_credits)
    try:
        code = _run_body(run, body)
        run.close()
    except (KeyboardInterrupt, asyncio.CancelledError):
        code = INTERRUPTED
        if run.presses < 2:  # else it has been said
            run.presses = 1
            screen.fail(run.make_failure(Cancelled("cancelled")))
        run.close()
    return code


def _run_body(run: Run, body: Callable[[Run], Outcome | None]) -> int:
    """The exit code of a body, after its outcome or failure was told."""
    screen = run.screen
    try:
        outcome = body(run)
        if outcome is not None:
            screen.show(outcome)
            return outcome.exit_code
    except NemoError as error:
        return screen.fail(run.make_failure(error))
    except Exception as error:  # a defect of ours: told in one line, never as a traceback
        logger.debug("unexpected", exc_info=True)
        return screen.fail(run.make_unexpected_failure(error))
    finally:
        screen.hide_bar()
    return 0

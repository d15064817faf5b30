"""The commands of `nemo-video`: their words and options. The modules beside this one carry them out."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Final

import typer
from typer.core import TyperGroup
from typer.main import get_command

from .._config.client_id import VERSION
from .._config.profiles import CLOUD, LOCAL
from .._text.choices import FORMATS
from .._text.messages import say
from .output import INTERRUPTED, Failure, Outcome, Screen, make_early_failure

if TYPE_CHECKING:
    from .runtime import Run

USAGE_CODE: Final = 2
_PROGRAM: Final = "nemo-video"
_DEFAULT_PROMPT: Final = "turn this image into a 5-second animated video clip with smooth motion"

# typer re-exports one of click's usage errors; their root is its base, whichever click this typer brings.
_UsageError: Final[type[Exception]] = typer.BadParameter.__bases__[0]

app = typer.Typer(
    name=_PROGRAM,
    help="Turn images into videos, on NemoVideo's cloud or on a free local preview.",
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)

_Images = Annotated[list[str], typer.Argument(metavar="IMAGE", help="Image files, or http(s) addresses.")]
_Prompt = Annotated[
    str, typer.Option("--prompt", "-p", metavar="TEXT", help="Say what the video shows and how it moves.")
]
_Output = Annotated[
    str,
    typer.Option(
        "--output",
        "-o",
        metavar="FILE",
        help="Save the video here. An existing file is kept: the new one gets a number.",
    ),
]
_Sources = Annotated[
    list[str],
    typer.Argument(metavar="SOURCE...", help="A folder, a glob, a manifest (.csv, .tsv, .jsonl), or pictures."),
]
_FORMATS: Final = f"{', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
_Folder = Annotated[
    str,
    typer.Option(
        "--output", "-o", metavar="FOLDER", help="Save the videos here; by default in a folder named after SOURCE."
    ),
]
_BatchFormat = Annotated[str, typer.Option("--format", metavar="FORMAT", help=f"{_FORMATS}.")]
_Duration = Annotated[
    float, typer.Option(metavar="SECONDS", help="Length in seconds. 0 = automatic (up to 15 s a clip).")
]
_Ratio = Annotated[str, typer.Option(metavar="RATIO", help="auto, 9:16, 16:9, 1:1, 4:5, 3:4, 4:3 or 21:9.")]
_Seed = Annotated[
    int,
    typer.Option(
        min=0,
        max=2**31 - 1,
        metavar="N",
        help="Same seed: same video, no new charge. New seed: a new version, paid again.",
    ),
]
_Format = Annotated[str, typer.Option(metavar="FORMAT", help=f"{_FORMATS}; by default as --output ends.")]
_Quality = Annotated[str, typer.Option(metavar="QUALITY", help="high, medium or low.")]
_Resolution = Annotated[str, typer.Option(metavar="SIZE", help="auto, 1080p, 720p or 480p.")]
_Language = Annotated[str, typer.Option(metavar="CODE", help="Language of the answers: auto, en, zh-CN, ja ...")]
_MaxCredits = Annotated[int, typer.Option(min=0, metavar="N", help="Spend at most N credits. 0 = no limit.")]
_Profile = Annotated[str, typer.Option(metavar="NAME", help=f"Where to work: '{CLOUD}' (default), or one of yours.")]
_Local = Annotated[bool, typer.Option("--local", help="Use the free local preview: no account, no network.")]
_Json = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
_Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Hide progress and remarks.")]
_ChatImages = Annotated[
    list[str] | None, typer.Option("--image", "-i", metavar="IMAGE", help="Add an image; repeat for more.")
]
_Job = Annotated[
    str, typer.Argument(metavar="JOB", help="An id, its beginning, or a word of the prompt; see `nemo-video jobs`.")
]
_Session = Annotated[str, typer.Option(metavar="ID", help="Continue this project.")]


class _ListFirst(TyperGroup):
    """A group whose command `list` need not be named."""

    def parse_args(self, ctx: typer.Context, args: list[str]) -> list[str]:  # type: ignore[override]
        named = args and (not args[0].startswith("-") or args[0] == "--help")
        return super().parse_args(ctx, args if named else ["list", *args])


jobs = typer.Typer(
    name="jobs", cls=_ListFirst, help="List earlier videos (default), or resume, cancel, forget, resend one."
)
app.add_typer(jobs)


def run(argv: Sequence[str]) -> int:
    """Carry out `argv`; the exit code."""
    screen = Screen(as_json="--json" in argv, command=shlex.join([_PROGRAM, *argv]))
    with _route_logging(screen):
        try:
            result = get_command(app).main(list(argv), prog_name=_PROGRAM, standalone_mode=False, obj=screen)
        except _UsageError as error:
            return screen.fail(_make_usage_failure(error, screen))
        except (KeyboardInterrupt, typer.Abort):
            result = INTERRUPTED
        except Exception as error:  # from before the command began, such as a broken installation
            logging.getLogger("nemo_client").debug("unexpected", exc_info=True)
            return screen.fail(make_early_failure(error, screen.lang))
    if result == INTERRUPTED and not screen.told:  # Ctrl-C before the command began
        text = f"{say('cancelled', screen.lang)} {say('money.no', screen.lang)}"
        return screen.fail(Failure("cancelled", text, "no", INTERRUPTED))
    return result if isinstance(result, int) else 0


def _make_usage_failure(error: Exception, screen: Screen) -> Failure:
    context = getattr(error, "ctx", None)
    command = context.command_path if context else _PROGRAM
    reason = str(getattr(error, "format_message", lambda: error)()).rstrip(".")
    text = say("usage", screen.lang, reason=reason, command=command)
    return Failure("usage", f"{text} {say('money.no', screen.lang)}", "no", USAGE_CODE)


@contextlib.contextmanager
def _route_logging(screen: Screen) -> Iterator[None]:
    """Warnings as lines on the screen; with NEMO_DEBUG everything of ours, with tracebacks."""
    debug = os.environ.get("NEMO_DEBUG", "") not in ("", "0")
    root, ours = logging.getLogger(), logging.getLogger("nemo_client")
    handler: logging.Handler = logging.StreamHandler() if debug else _Lines(screen)
    level = ours.level
    root.addHandler(handler)
    ours.setLevel(logging.DEBUG if debug else level)
    try:
        yield
    finally:
        root.removeHandler(handler)
        ours.setLevel(level)


class _Lines(logging.Handler):
    """Log records as single lines for people."""

    def __init__(self, screen: Screen) -> None:
        super().__init__(logging.WARNING)
        self._screen = screen

    def emit(self, record: logging.LogRecord) -> None:
        self._screen.warn(record.getMessage())


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
) -> int:
    """Turn images into videos, on NemoVideo's cloud or on a free local preview."""
    if version:
        typer.echo(f"{_PROGRAM} {VERSION}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        typer.echo(context.get_help(), err=True)
        raise typer.Exit(USAGE_CODE)
    return 0


@app.command()
def animate(
    context: typer.Context,
    images: _Images,
    prompt: _Prompt = _DEFAULT_PROMPT,
    output: _Output = "",
    duration: _Duration = 0,
    ratio: _Ratio = "auto",
    seed: _Seed = 0,
    format: _Format = "",
    quality: _Quality = "high",
    resolution: _Resolution = "auto",
    language: _Language = "auto",
    max_credits: _MaxCredits = 0,
    profile: _Profile = "",
    local: _Local = False,
    as_json: _Json = False,
    quiet: _Quiet = False,
) -> int:
    """Make one video from images and print where it is."""
    from . import animate as work

    asked = work.Animation(
        images, prompt, work.Delivery(output, format, quality, resolution), duration, ratio, seed, language
    )
    return _carry_out(
        _configure_screen(context, quiet, as_json),
        profile,
        local,
        lambda run: run.do(work.animate(run, asked)),
        max_credits,
    )


@app.command()
def batch(
    context: typer.Context,
    sources: _Sources,
    prompt: _Prompt = _DEFAULT_PROMPT,
    output: _Folder = "",
    duration: _Duration = 0,
    ratio: _Ratio = "auto",
    seed: _Seed = 0,
    format: _BatchFormat = "mp4",
    quality: _Quality = "high",
    resolution: _Resolution = "auto",
    language: _Language = "auto",
    jobs: Annotated[
        int, typer.Option("--jobs", "-j", min=0, metavar="N", help="Make N at once. 0 = as many as the profile allows.")
    ] = 0,
    max_credits: Annotated[
        int, typer.Option(min=0, metavar="N", help="Spend at most N credits in all. 0 = no limit.")
    ] = 0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show the price and the problems; send nothing.")] = False,
    retry: Annotated[str, typer.Option(metavar="failed", help="Also retry the items that failed.")] = "",
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Leave out items whose pictures cannot be used.")
    ] = False,
    scheduler: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Make the items on a Dask cluster: tcp://HOST:8786.")
    ] = "",
    profile: _Profile = "",
    local: _Local = False,
    as_json: _Json = False,
    quiet: _Quiet = False,
) -> int:
    """Make a video from each of many pictures. Run it again to continue."""
    from . import batch as work

    defaults = {
        "prompt": prompt, "duration": duration, "ratio": ratio, "seed": seed, "format": format.lower().lstrip("."),
        "quality": quality.lower(), "resolution": resolution.lower(), "language": language,
    }  # fmt: skip
    asked = work.Wanted(sources, output, defaults, jobs, max_credits, dry_run, retry, skip_broken, scheduler)
    screen = _configure_screen(context, quiet, as_json)
    return _carry_out(screen, profile, local, lambda run: run.do(work.batch(run, asked)), max_credits)


@app.command()
def credits(
    context: typer.Context,
    profile: _Profile = "",
    local: _Local = False,
    as_json: _Json = False,
    quiet: _Quiet = False,
) -> int:
    """Show the credits of the account."""
    from . import animate as work

    return _carry_out(_configure_screen(context, quiet, as_json), profile, local, lambda run: run.do(work.credits(run)))


@app.command()
def chat(
    context: typer.Context,
    message: Annotated[
        list[str] | None, typer.Argument(metavar="[MESSAGE]...", help="What to say. Without it, a conversation starts.")
    ] = None,
    images: _ChatImages = None,
    session: _Session = "",
    output: _Output = "",
    language: _Language = "auto",
    max_credits: _MaxCredits = 0,
    profile: _Profile = "",
    local: _Local = False,
    as_json: _Json = False,
    quiet: _Quiet = False,
) -> int:
    """Talk to the video agent: generate, edit, export, credits, status."""
    from . import chat as work
    from .animate import Delivery

    asked = work.Talk(Delivery(output), images or [], session, language)

    def body(run: Run) -> Outcome | None:
        conversation = work.Chat(run, asked)
        if not message and not as_json and sys.stdin.isatty() and sys.stdout.isatty():
            work.converse(run, conversation)
            return None
        return run.do(conversation.answer_once(" ".join(message) if message else sys.stdin.read()))

    return _carry_out(_configure_screen(context, quiet, as_json), profile, local, body, max_credits)


@app.command()
def serve(
    context: typer.Context,
    host: Annotated[
        str, typer.Option(metavar="HOST", help="Listen on this address; by default only this machine can connect.")
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, metavar="N", help="Listen on this port. 0 = any free one.")
    ] = 0,
    credits: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Give each account N credits; without it they never run out.")
    ] = None,
    anonymous: Annotated[bool, typer.Option("--anonymous", help="Let clients sign up for a free account.")] = False,
    directory: Annotated[str, typer.Option(metavar="FOLDER", help="Keep projects here.")] = "",
    quiet: _Quiet = False,
) -> int:
    """Run the local preview as a server, until Ctrl-C."""
    from . import serve as work

    asked = work.Service(host, port, credits, anonymous, directory)
    return _carry_out(_configure_screen(context, quiet), "", True, lambda run: work.serve(run, asked))


@app.command()
def login(
    context: typer.Context,
    new_anonymous: Annotated[
        bool, typer.Option("--new-anonymous", help="Give up the stored free account and open another one.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask, even if open jobs of a free account are given up.")
    ] = False,
    profile: _Profile = "",
    as_json: _Json = False,
    quiet: _Quiet = False,
) -> int:
    """Store your token for a profile. Type it hidden, or pipe it in."""
    from . import login as work

    asked = work.Login(new_anonymous, yes)
    return _carry_out(_configure_screen(context, quiet, as_json), profile, False, lambda run: work.login(run, asked))


@app.command("open")
def open_(context: typer.Context, job: _Job = "", as_json: _Json = False, quiet: _Quiet = False) -> int:
    """Print the link to a job's project. Do not share it: anyone with the link can open the project."""
    from . import jobs as work

    return _carry_out(
        _configure_screen(context, quiet, as_json), "", False, lambda run: run.do(work.show_project_page(run, job))
    )


@jobs.command("list")
def list_(
    context: typer.Context,
    everything: Annotated[bool, typer.Option("--all", help="Include forgotten jobs.")] = False,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Show at most N.")] = 20,
    as_json: _Json = False,
    quiet: _Quiet = False,
) -> int:
    """List the newest jobs; * marks videos not collected yet."""
    from . import jobs as work

    return _carry_out(
        _configure_screen(context, quiet, as_json),
        "",
        False,
        lambda run: run.do(work.show_jobs(run, limit, everything)),
    )


@jobs.command()
def resume(
    context: typer.Context,
    job: _Job = "",
    output: _Output = "",
    max_credits: _MaxCredits = 0,
    as_json: _Json = False,
    quiet: _Quiet = False,
) -> int:
    """Collect the video of a job, by default the newest unfinished one. You won't pay twice."""
    from . import jobs as work

    wanted = work.Wanted(job, output)
    return _carry_out(
        _configure_screen(context, quiet, as_json), "", False, lambda run: run.do(work.resume(run, wanted)), max_credits
    )


@jobs.command()
def cancel(context: typer.Context, job: _Job, as_json: _Json = False, quiet: _Quiet = False) -> int:
    """Stop rendering a job (free). A video that is paid for can't be cancelled."""
    from . import jobs as work

    return _carry_out(_configure_screen(context, quiet, as_json), "", False, lambda run: run.do(work.cancel(run, job)))


@jobs.command()
def forget(context: typer.Context, job: _Job, as_json: _Json = False, quiet: _Quiet = False) -> int:
    """Take a job off the list and delete its uploads. You still won't pay twice for it."""
    from . import jobs as work

    return _carry_out(_configure_screen(context, quiet, as_json), "", False, lambda run: run.do(work.forget(run, job)))


@jobs.command()
def resend(
    context: typer.Context,
    job: _Job,
    output: _Output = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask: send it again (costs credits).")] = False,
    max_credits: _MaxCredits = 0,
    as_json: _Json = False,
    quiet: _Quiet = False,
) -> int:
    """Send a failed or lost job again (costs credits) and collect its video."""
    from . import jobs as work

    wanted = work.Wanted(job, output)
    return _carry_out(
        _configure_screen(context, quiet, as_json), "", False, lambda run: work.resend(run, wanted, yes), max_credits
    )


def _configure_screen(context: typer.Context, quiet: bool, as_json: bool = False) -> Screen:
    """The screen of this run, now that its options are known."""
    screen: Screen = context.obj
    screen.quiet, screen.as_json = quiet, as_json
    return screen


def _carry_out(
    screen: Screen, profile: str, local: bool, body: Callable[[Run], Outcome | None], max_credits: int = 0
) -> int:
    from .runtime import run_command as report

    if local and profile not in ("", LOCAL):
        raise typer.BadParameter(say("either", screen.lang, one="--local", other="--profile"))
    return report(screen, LOCAL if local else profile or CLOUD, max_credits, body)

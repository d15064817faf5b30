"""The shell command `nemo-video`: where it starts.

Only this module can be imported without the extra `cli`; `app` and the modules beside it import typer and rich.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .._text import messages

_EXTRA = ("typer", "rich")


def main(argv: Sequence[str] | None = None) -> int:
    """Run `nemo-video` with `argv` (default: the process's own arguments); its exit code."""
    try:
        from . import app
    except ImportError as error:
        if (error.name or "").split(".")[0] not in _EXTRA:
            raise
        print(messages.say("extra-cli", messages.choose_language()), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return app.run(sys.argv[1:] if argv is None else list(argv))

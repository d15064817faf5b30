"""The shell command `nemo-video`: where it starts.

Only this module can be imported without the extra `cli`; everything with typer and rich stands in `_cli_app` and
the modules beside it.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from . import _words

_EXTRA = ("typer", "rich")


def main(argv: Sequence[str] | None = None) -> int:
    """Run `nemo-video` with `argv` (default: the process's own arguments); its exit code."""
    try:
        from . import _cli_app
    except ImportError as error:
        if (error.name or "").split(".")[0] not in _EXTRA:
            raise
        print(_words.say("extra-cli", _words.language()), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return _cli_app.run(sys.argv[1:] if argv is None else list(argv))

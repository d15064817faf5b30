"""Run all benchmarks, one after another: a table, and with --json a report with the machine named.

python -m benchmarks [--smoke] [--only NAME] [--json FILE]
"""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys
import time
import traceback
from pathlib import Path

from benchmarks._figures import Figure, add_options, table, to_json, write_json


def names() -> list[str]:
    """The benchmarks, by name; those with an underscore are what they are made with."""
    return sorted(each.name for each in pkgutil.iter_modules([str(Path(__file__).parent)]) if each.name[0] != "_")


def main() -> int:
    """Run what was asked for; 1 if a benchmark itself broke."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=(__doc__ or "").split("\n", 1)[0])
    parser.add_argument("--only", action="append", choices=names(), help="only this one; may be repeated")
    add_options(parser)
    given = parser.parse_args()
    figures: list[Figure] = []
    broken = []
    for name in given.only or names():
        begin = time.perf_counter()
        try:
            found = importlib.import_module(f"benchmarks.{name}").run(given.smoke)
        except Exception:  # noqa: BLE001 - the others still count
            traceback.print_exc()
            broken.append(name)
            continue
        figures += found
        print(f"\n{name} ({time.perf_counter() - begin:.0f} s)\n{table(found)}", flush=True)
    print(f"\nall\n{table(figures)}")
    write_json(given.json, to_json(figures, smoke=given.smoke, broken=broken))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

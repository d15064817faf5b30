"""Whether what is installed has known vulnerabilities, by pip-audit.

    python tools/audit.py AUDITOR [PYTHON]

AUDITOR is an interpreter that has pip-audit, PYTHON the one whose packages are looked up (default: this one). The exit
code is 1 for a known vulnerability. That no database can be reached, or that it knows none of the packages, is no
failure, but it is said: nothing was looked up then.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SERVICES = ("pypi", "osv")
SECONDS = 120
ANSWER_SECONDS = 15


@dataclass(frozen=True)
class Verdict:
    """The result: `known` of `packages` were looked up, and `found` is one line for each vulnerability."""

    packages: int = 0
    known: int = 0
    found: tuple[str, ...] = ()

    @property
    def line(self) -> str:
        """In words."""
        if self.found:
            return "known vulnerabilities:\n" + "\n".join(self.found)
        if not self.known:
            return "audit SKIPPED: no database of vulnerabilities answered, nothing was looked up"
        unknown = f", {self.packages - self.known} more are not in the database" if self.known < self.packages else ""
        return f"audit: no known vulnerability in {self.known} packages{unknown}"


def verdict(report: Mapping[str, Any]) -> Verdict:
    """Read pip-audit's JSON; a package that its database does not know counts as not looked up."""
    packages = report.get("dependencies", ())
    known = [each for each in packages if "skip_reason" not in each]
    found = [f"  {each['name']} {each['version']}: {_words(hole)}" for each in known for hole in each.get("vulns", ())]
    return Verdict(len(packages), len(known), tuple(found))


def _words(hole: Mapping[str, Any]) -> str:
    fixed = ", ".join(hole.get("fix_versions", ())) or "no release"
    return f"{' '.join([hole['id'], *hole.get('aliases', ())])}, fixed in {fixed}"


def pinned(python: str) -> str:
    """What is installed there as `name==version`, without what comes from a folder or a file."""
    command = [python, "-m", "pip", "freeze", "--exclude-editable"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return "".join(f"{line.split('+')[0]}\n" for line in lines if "==" in line and "@" not in line)


def asked(auditor: str, service: str, requirements: Path) -> Verdict:
    """Ask one database; whatever keeps it from answering leaves nothing looked up."""
    command = [auditor, "-m", "pip_audit", "-r", str(requirements), "--no-deps", "--disable-pip", "-f", "json"]
    options = ["-s", service, "--progress-spinner", "off", "--timeout", str(ANSWER_SECONDS)]
    try:
        done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=SECONDS, check=False)
        return verdict(json.loads(done.stdout))
    except (subprocess.TimeoutExpired, ValueError):
        return Verdict()


def main(arguments: Sequence[str]) -> int:
    """Look up, tell, and fail for what was found."""
    auditor, python = arguments[0], arguments[1] if len(arguments) > 1 else sys.executable
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder) / "installed.txt"
        requirements.write_text(pinned(python), encoding="utf-8")
        for service in SERVICES:
            heard = asked(auditor, service, requirements)
            if heard.known:
                break
    sys.stdout.write(heard.line + "\n")
    return 1 if heard.found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

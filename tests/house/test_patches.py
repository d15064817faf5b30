"""Tests hand in what they need smaller or different; what they still replace in a private module is counted here."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).parent.parent
OURS = ("nemo_client.", "modules[", "site.modules[", "site.routes", "http", "upload", "module", "folders", "first.")
"""How the target of a patch begins that is one of the project's own modules, classes or objects."""

REPLACED = {
    # A failure inside of our own code, which nothing from outside can bring about.
    "batch/test_worker.py find_profile": "an unexpected error while an item begins",
    "cli/test_animate_and_chat.py animate.from_file": "an unexpected error of a command (twice)",
    "cli/test_animate_and_chat.py runtime.run_command": "Ctrl-C while modules are loaded",
    "cli/test_animate_and_chat.py app": "the extra that the shell needs is not installed",
    "config/test_credentials.py write": "the disk is full right after the sign-up",
    "files/test_metadata.py place": "another release of the container library; the disk fills up in the copy",
    "files/test_metadata.py _copy_with_tags": "the copy takes long",
    "nodes/test_secrets.py Http._request": "an error whose words hold the header",
    "support/process_client.py metadata._copy_with_tags": "the process is killed while a copy is half written",
    "nodes/test_routes.py jobs": "an unexpected error behind a route",
    "studio/test_paid_message.py add": "an unexpected error while a stream is read",
    "studio/test_render.py download._write_chunk": "the disk is full in the middle of a download",
    "journal/test_database.py MIGRATIONS": "a migration that fails",
    # What another process does between two of our steps.
    "journal/test_retention.py name": "work that goes on while upkeep reads",
    "journal/test_retention.py list_needed_names": "a walk that must not be made",
    "nodes/test_files.py find_readable_file": "a file that goes between the look and the upload",
    # Another machine, or another server.
    "support/disks.py name": "a network share that refuses locks or links",
    "journal/test_fleet_journal.py Journal": "the journal's tests once more, on PostgreSQL",
    "journal/test_fleet_journal.py memory_journal": "the same",
    "journal/test_fleet_database.py time": "a machine whose clock is an hour ahead",
    "nodes/test_files.py platform": "Windows",
    "safety/test_safe_open.py STEPS": "a platform that opens no folder by its handle",
    "safety/test_safe_open.py save.STEPS": "the same, where videos land",
    "safety/test_safe_open.py save._link_file": "a file system without hard links",
    "studio/test_studio.py account": "another token of the same user",
    "wire/test_upload_and_download.py _is_in_memory": "what of a file the system holds in memory",
    "wire/test_upload_and_download.py _IN_MEMORY": "a system that cannot tell it",
    "safety/test_secrets.py server.new_token": "a token that the test can search for",
    # Counted, while the real work is done.
    "local/test_gate.py compare_digest": "how tokens are compared",
    "local/test_motion.py stretch": "the picture where it is not sampled",
    "nodes/test_images.py _encode_picture": "two pictures are encoded at once",
    "nodes/test_secrets.py translate_error": "the error behind each answer, with its variables",
    "nodes/test_side_by_side.py turn": "how many items are under way",
    "wire/test_origins.py call": "which calls are made",
    "studio/test_uploads.py canonicalize": "how often a draft's canonical form is made",
    "wire/test_upload_and_download.py _write_chunk": "how often a thread is asked to write",
    "wire/test_upload_and_download.py write": "how the pieces of a body come",
    "wire/test_upload_and_download.py _read_chunks": "how often a thread is asked to read",
    # Limits of reading that are no settings: a picture or a film at the real ones takes minutes to make.
    "cli/test_batch.py large_pictures.MAX_PIXELS": "a small picture that counts as large",
    "cli/test_batch.py large_pictures.SHRUNK_PIXELS": "what it is shrunk to",
    "files/test_large_pictures.py MAX_PIXELS": "the same",
    "files/test_large_pictures.py SHRUNK_PIXELS": "the same",
    "files/test_large_pictures.py images.MAX_UPLOAD_BYTES": "a small picture that takes too many bytes",
    "files/test_large_pictures.py pictures.DRAWN_PIXELS": "the same, where it is drawn",
    "files/test_limits_media.py save.MAX_FRAME_PIXELS": "a small film that counts as too large",
    "nodes/test_secrets.py BODY_SECONDS": "how long the panel's body may take",
    "nodes/test_statements.py large_pictures.MAX_PIXELS": "a small picture that counts as large",
    "nodes/test_statements.py large_pictures.SHRUNK_PIXELS": "what it is shrunk to",
}
"""What is replaced where, and why. A line that is no longer needed is taken out; a constant is handed in instead:
`shorten` of tests/conftest.py for waits, `Limits` of the local backend, parameters elsewhere."""


def replaced_in(path: Path) -> Iterator[str]:
    """The names of ours that a test file replaces: by `setattr` of a monkeypatch, or by an assignment to a module."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.update({each.asname or each.name: f"{node.module}.{each.name}" for each in node.names})
        elif isinstance(node, ast.Import):
            names.update({each.asname or each.name: each.name for each in node.names})
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") in ("setattr", "delattr") and node.args:
            target = ast.unparse(node.args[0]).lstrip("f").strip("'\"")
            begin, _, rest = target.partition(".")
            whole = f"{names[begin]}.{rest}" if begin in names else target
            if whole.startswith(OURS):
                by_text = isinstance(node.args[0], (ast.Constant, ast.JoinedStr))
                yield ".".join(target.split(".")[-2:]) if by_text else ast.unparse(node.args[1]).strip("'\"")
        elif isinstance(node, (ast.Assign, ast.AugAssign)):
            for target_node in node.targets if isinstance(node, ast.Assign) else [node.target]:
                root = ast.unparse(target_node).split(".")[0]
                if isinstance(target_node, ast.Attribute) and names.get(root, "").startswith("nemo_client._"):
                    yield ast.unparse(target_node)


def test_constants_are_handed_in_and_what_is_replaced_is_named() -> None:
    """A test that patches a private path breaks whenever the inside is rebuilt, and hides what cannot be set."""
    found = Counter(
        f"{path.relative_to(TESTS).as_posix()} {name.removeprefix('_cli.')}"
        for path in TESTS.rglob("*.py")
        for name in replaced_in(path)
    )

    assert (set(found) - set(REPLACED), set(REPLACED) - set(found)) == (set(), set())

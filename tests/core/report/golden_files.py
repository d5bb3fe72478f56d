"""Compares with reviewed files; `UPDATE_GOLDEN=1` rewrites them for another review."""

import difflib
import os
from pathlib import Path

FOLDER = Path(__file__).parent / "golden"


def assert_golden(name: str, text: str) -> None:
    path = FOLDER / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text, encoding="utf-8")
    wanted = path.read_text(encoding="utf-8")
    diff = difflib.unified_diff(wanted.splitlines(), text.splitlines(), name, "now", lineterm="")
    assert text == wanted, "\n".join(diff)

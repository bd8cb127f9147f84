"""Text that a command makes as a whole, for stdout or a file."""

from __future__ import annotations

from pathlib import Path

from bcdl.records import disk
from bcdl.screen import say, say_lines

STDOUT = Path("-")


def write(text: str, out: Path) -> None:
    """Print the text, or replace the file by it in one step: no reader sees half of it. OSError if that can't be."""
    if out == STDOUT:
        say_lines(text.removesuffix("\n"))
        return
    disk.replace(out, text.encode())
    say(f"written: {out}")

"""What commands say to the person at the screen: the one place that prints, so that no name can command a terminal.

What stderr gets stands in `streams`, for the rooms below this one.
"""

from __future__ import annotations

from bcdl.streams import warn as warn
from bcdl.text import legible


def say(*columns: str, flush: bool = False) -> None:
    """Print one line to stdout, with tabs between its columns: whatever names it holds, no character takes effect."""
    print(*map(legible, columns), sep="\t", flush=flush)


def say_lines(text: str) -> None:
    """Print each line of a text of our own."""
    for line in text.split("\n"):
        say(line)


def warn_lines(text: str) -> None:
    """Print each line of a text on stderr, such as a traceback."""
    for line in text.removesuffix("\n").split("\n"):
        warn(line)

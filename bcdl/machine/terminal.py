"""Whether somebody watches what is printed: then it may move, else it is plain lines without control characters."""

from __future__ import annotations

import os
from typing import TextIO

_DUMB = ("dumb", "unknown")
_NO = ("", "0", "false")


def is_watched(stream: TextIO) -> bool:
    """Whether the stream is a terminal whose cursor moves, and no variable (NO_COLOR, CI) asks for plain text."""
    if os.environ.get("NO_COLOR") or os.environ.get("CI", "").lower() not in _NO:
        return False
    return os.environ.get("TERM", "").lower() not in _DUMB and stream.isatty()

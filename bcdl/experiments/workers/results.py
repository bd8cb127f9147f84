"""What a process has measured, in a file: written by the process, read by whoever waits for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def write(value: Any, file: str) -> None:
    """Write JSON values into the file, which is there as soon as it is whole."""
    unfinished = Path(file).with_suffix(".part")
    unfinished.write_text(json.dumps(value), encoding="utf-8")
    unfinished.rename(file)


def read(file: Path) -> Any:
    """The values that `write` has written; None if there is no such file."""
    return json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None

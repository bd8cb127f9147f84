"""Write the README's table of options anew, from the rows of the settings: `python -m bcdl.settings.readme`."""

from __future__ import annotations

import re
from pathlib import Path

from bcdl.errors import UsageError, run_command
from bcdl.settings import limits
from bcdl.settings.cell import Cell
from bcdl.settings.options import MODELS, RESUME, cell_options

README = Path(__file__).parents[2] / "README.md"
_BEGIN, _END = "<!-- options, by python -m bcdl.settings.readme -->", "<!-- end of options -->"


def main() -> int:
    if not README.is_file():
        raise UsageError(f"there is no {README.name} beside bcdl; run python -m bcdl.settings.readme in a checkout")
    README.write_text(with_table(README.read_text(encoding="utf-8")), encoding="utf-8", newline="\n")
    return 0


def with_table(text: str) -> str:
    """The README's text with the table of today's options; UsageError if the comments around the table are missing."""
    parts = re.fullmatch(f"(.*{_BEGIN}\n).*(\n{_END}.*)", text, re.DOTALL)
    if not parts:
        raise UsageError(f"{README.name} lacks the lines {_BEGIN!r} and {_END!r}; put them around the table of options")
    return f"{parts[1]}{table()}{parts[2]}"


def table(cell_type: type[Cell] = Cell) -> str:
    """Every option of a run as a Markdown table."""
    options = [MODELS, *cell_options(cell_type), RESUME, limits.BUDGET, *limits.OPTIONS]
    return "\n".join(["| option | meaning | default |", "| --- | --- | --- |", *(o.to_markdown() for o in options)])


if __name__ == "__main__":
    run_command(main)

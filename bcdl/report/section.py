"""A section of the page as a value: its text, tables, figures and cards."""

from __future__ import annotations

import dataclasses

from bcdl.records.store import CARDS, PLOTS, TABLES
from bcdl.report.tables import Table, to_csv
from bcdl.text import escape

_HEADING = "## "


@dataclasses.dataclass(frozen=True)
class Section:
    """A section of the report. Only `bcdl.report.artefacts` writes it to the disk.

    The keys are paths below `tables/`, `plots/` and `cards/`, with `/` and without a suffix.

    Attributes:
        text: Markdown, from `## title` on; its links are relative to the results folder.
        tables: the tables of each CSV file.
        figures: each PNG file, complete.
        cards: each model card, Markdown.
    """

    text: str
    tables: dict[str, tuple[Table, ...]] = dataclasses.field(default_factory=dict)
    figures: dict[str, bytes] = dataclasses.field(default_factory=dict)
    cards: dict[str, str] = dataclasses.field(default_factory=dict)

    @property
    def title(self) -> str:
        """The heading of the text, already escaped for Markdown."""
        return self.text.partition("\n")[0].removeprefix(_HEADING)

    def files(self) -> dict[str, bytes]:
        """The content of each file, by its POSIX path relative to the results folder."""
        return {
            **{table_path(key): to_csv(tables).encode() for key, tables in self.tables.items()},
            **{figure_path(key): png for key, png in self.figures.items()},
            **{card_path(key): text.encode() for key, text in self.cards.items()},
        }


def table_path(key: str) -> str:
    """Where the tables of that key lie, relative to the results folder."""
    return f"{TABLES}/{key}.csv"


def figure_path(key: str) -> str:
    """Where the figure of that key lies, relative to the results folder."""
    return f"{PLOTS}/{key}.png"


def card_path(key: str) -> str:
    """Where the model card of that key lies, relative to the results folder."""
    return f"{CARDS}/{key}.md"


def figure_link(key: str) -> str:
    """The figure of that key in Markdown, named as its file."""
    return f"![{escape(key.rpartition('/')[2])}]({figure_path(key)})"

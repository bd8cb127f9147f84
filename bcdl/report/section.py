"""A section of the results as a value: the text of its page, tables, figures and cards."""

from __future__ import annotations

import dataclasses
import html
import re

from bcdl.records.store import CARDS, PAGES, PLOTS, TABLES
from bcdl.report.tables import Table, to_csv
from bcdl.text import escape

_TITLE, _HEADING = "# ", "## "
_LONGEST = 100  # letters of the name of a page


@dataclasses.dataclass(frozen=True)
class Section:
    """A section of the report, which has a page of its own. Only `bcdl.report.artefacts` writes it to the disk.

    The keys are paths below `tables/`, `plots/` and `cards/`, with `/` and without a suffix.

    Attributes:
        text: Markdown, from `# title` on, with parts under `## heading`; its links are relative to the folder of pages.
        tables: the tables of each CSV file.
        figures: each PNG file, complete.
        cards: each model card, Markdown.
        page: the name of its page's file, without suffix; empty if it is a part of another section.
    """

    text: str
    tables: dict[str, tuple[Table, ...]] = dataclasses.field(default_factory=dict)
    figures: dict[str, bytes] = dataclasses.field(default_factory=dict)
    cards: dict[str, str] = dataclasses.field(default_factory=dict)
    page: str = ""

    @property
    def title(self) -> str:
        """The heading of the page, already escaped for Markdown."""
        return self.text.partition("\n")[0].removeprefix(_TITLE)

    def files(self) -> dict[str, bytes]:
        """The content of each file beside the page, by its POSIX path relative to the results folder."""
        return {
            **{table_path(key): to_csv(tables).encode() for key, tables in self.tables.items()},
            **{figure_path(key): png for key, png in self.figures.items()},
            **{card_path(key): text.encode() for key, text in self.cards.items()},
        }


def headings(text: str) -> list[str]:
    """The headings of a page's parts, already escaped for Markdown, in their order."""
    return [line.removeprefix(_HEADING) for line in text.splitlines() if line.startswith(_HEADING)]


def anchor(heading: str) -> str:
    """The name that GitHub gives to a heading for links.

    >>> anchor("How good, and how sure? (12 images)")
    'how-good-and-how-sure-12-images'
    """
    plain = html.unescape(heading).lower()
    return re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")


def page_name(*words: str) -> str:
    """The name of a page, made of words.

    >>> page_name("BUSI", "64px", "batch 16")
    'busi-64px-batch-16'
    """
    return "-".join(filter(None, (re.sub(r"[^a-z0-9]+", "-", word.lower()).strip("-") for word in words)))[:_LONGEST]


def page_path(name: str) -> str:
    """Where the page of that name lies, relative to the results folder."""
    return f"{PAGES}/{name}.md"


def table_path(key: str) -> str:
    """Where the tables of that key lie, relative to the results folder."""
    return f"{TABLES}/{key}.csv"


def figure_path(key: str) -> str:
    """Where the figure of that key lies, relative to the results folder."""
    return f"{PLOTS}/{key}.png"


def card_path(key: str) -> str:
    """Where the model card of that key lies, relative to the results folder."""
    return f"{CARDS}/{key}.md"


def figure_link(key: str, shows: str, to_results: str = "../") -> str:
    """The figure of that key in Markdown; `shows` says what it shows, to those who can't see it.

    `to_results` is the way from the page to the results folder.
    """
    return f"![{escape(shows)}]({to_results}{figure_path(key)})"

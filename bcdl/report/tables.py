"""Tables of values: each entry holds a value, how it becomes text, and its marks; no text is ever read back.

People read a table as Markdown or in a terminal, programs as CSV. Columns and entries are made by the constructors:

>>> table = Table("Rates", (words("model"), figures("images/s")), ((word("CNN"), number(120.25, 1, mark="†")),))
>>> print(table.to_markdown())
**Rates**
<BLANKLINE>
| model | images/s |
| --- | ---: |
| CNN | 120.2† |
>>> print(to_csv([table]), end="")
metric,model,images/s
Rates,CNN,120.2
"""

from __future__ import annotations

import csv
import dataclasses
import functools
import io
from collections.abc import Callable, Sequence
from typing import Any

import rich.markup
import rich.table

from bcdl.report import formats
from bcdl.text import escape, inert, legible


@dataclasses.dataclass(frozen=True)
class Column:
    """A column: its heading, and whether it holds words, which are set to the left, or figures."""

    title: str
    words: bool


def words(title: str) -> Column:
    """A column of words, set to the left."""
    return Column(title, words=True)


def figures(title: str) -> Column:
    """A column of figures, set to the right."""
    return Column(title, words=False)


@dataclasses.dataclass(frozen=True)
class Entry:
    """What stands at one place of a table.

    Attributes:
        value: the value itself: a number, a word, or None if there is none.
        format: makes text of the value, also of None.
        mark: sign of a footnote behind the text, for people alone: for programs a column says the same.
        flag: sign behind the text for people and programs, if no column says the same.
    """

    value: Any
    format: Callable[[Any], str] = str
    mark: str = ""
    flag: str = ""

    @property
    def written(self) -> str:
        """The entry as programs read it."""
        return self.format(self.value) + self.flag

    @property
    def written_to_csv(self) -> str:
        """The entry for a CSV: a word, which may come from outside, is no formula of a spreadsheet."""
        return inert(self.written) if isinstance(self.value, str) else self.written

    @property
    def shown(self) -> str:
        """The entry as people see it."""
        return self.written + self.mark


def word(text: str) -> Entry:
    """A name or a sentence, as it is."""
    return Entry(text)


def absent(text: str = "") -> Entry:
    """The entry of a value that does not exist; `text` says why, if that is worth saying."""
    return Entry(None, functools.partial(_constant, text))


def _constant(text: str, _: object) -> str:
    return text


def number(value: float | None, digits: int, missing: str = "", mark: str = "", flag: str = "") -> Entry:
    """A number with so many decimals; `missing` stands for None and NaN."""
    defined = None if formats.is_undefined(value) else value
    return Entry(defined, functools.partial(formats.fixed, digits=digits, missing=missing), mark, flag)


def significant(value: float | None, digits: int, missing: str = "") -> Entry:
    """A number with so many significant digits; `missing` stands for None and NaN."""
    defined = None if formats.is_undefined(value) else value
    return Entry(defined, functools.partial(formats.significant, digits=digits, missing=missing))


def count(value: int) -> Entry:
    """A whole number."""
    return Entry(value)


@dataclasses.dataclass(frozen=True)
class Table:
    """A title, columns, and rows that have an entry for each column; and notes on them, lines for people alone."""

    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Entry, ...], ...]
    notes: tuple[str, ...] = ()

    def to_markdown(self) -> str:
        """The table as people see it on a page; nothing in titles and words is taken for markup.

        A column that says the same in all rows is said once, above the table.
        """
        same, table = self._without_repetitions()
        lines = [
            tuple(escape(column.title) for column in table.columns),
            tuple("---" if column.words else "---:" for column in table.columns),
            *(tuple(escape(entry.shown) for entry in row) for row in table.rows),
        ]
        rows = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        notes = "\n".join(f"- {escape(note)}" for note in self.notes)
        above = f"In all rows: {escape('; '.join(same))}." if same else ""
        return "\n\n".join(filter(None, (f"**{escape(self.title)}**", above, rows, notes)))

    def _without_repetitions(self) -> tuple[list[str], Table]:
        """What all rows have in common, in words, and the table without these columns; the first column stays.

        Two equal figures may be chance, so that a column of figures goes only if there are three rows or more.
        """
        shown = [[row[place].shown for row in self.rows] for place in range(len(self.columns))]
        alike = {
            place
            for place, (column, values) in enumerate(zip(self.columns, shown, strict=True))
            if place and values and values[0] and len(values) > (1 if column.words else 2) and len(set(values)) == 1
        }
        same = [f"{self.columns[place].title}: {shown[place][0]}" for place in sorted(alike)]
        kept = [place for place in range(len(self.columns)) if place not in alike]
        columns = tuple(self.columns[place] for place in kept)
        rows = tuple(tuple(row[place] for place in kept) for row in self.rows)
        return same, dataclasses.replace(self, columns=columns, rows=rows)

    def condensed(self) -> Table:
        """The same for a terminal: what all rows have in common is a note."""
        same, table = self._without_repetitions()
        notes = (f"in all rows: {'; '.join(same)}",) if same else ()
        return dataclasses.replace(table, notes=(*notes, *self.notes))

    def to_rich(self) -> rich.table.Table:
        """The table as people see it in a terminal."""
        notes = "\n".join(map(plain, self.notes)) or None
        table = rich.table.Table(
            title=plain(self.title), title_justify="left", min_width=60, caption=notes, caption_justify="left"
        )
        for column in self.columns:
            table.add_column(plain(column.title), justify="left" if column.words else "right", overflow="fold")
        for row in self.rows:
            table.add_row(*(plain(entry.shown) for entry in row))
        return table

    def shown(self) -> list[tuple[str, ...]]:
        """The rows as people see them, as plain text."""
        return [tuple(entry.shown for entry in row) for row in self.rows]


def plain(text: str) -> str:
    """`text` for a terminal: no markup or control character has any effect."""
    return rich.markup.escape(legible(text))


def to_csv(tables: Sequence[Table]) -> str:
    """Tables as one CSV under the columns of the widest of them, the table's title in the first column.

    Entries carry no mark there: what it means has a column of its own, so that programs can read the figures. A word
    that a spreadsheet would run as a formula has an apostrophe before it; numbers have none.
    """
    widest = max((table.columns for table in tables), key=len)
    lines = [csv_line(["metric", *(inert(column.title) for column in widest)])]
    for table in tables:
        for row in table.rows:
            padding = [""] * (len(widest) - len(row))
            lines.append(csv_line([inert(table.title), *(entry.written_to_csv for entry in row), *padding]))
    return "".join(lines)


def csv_line(values: Sequence[str]) -> str:
    """One line of a CSV, ended by a line feed alone."""
    text = io.StringIO()
    # A writer quotes the characters of its own line end only, and a name from outside may hold either of these.
    csv.writer(text, lineterminator="\r\n").writerow(values)
    return text.getvalue().removesuffix("\r\n") + "\n"

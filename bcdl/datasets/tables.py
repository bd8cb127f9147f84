"""Tables of images as spreadsheets write them: one reader for `groups.csv` and for the table of `--labels`.

Excel, LibreOffice, Numbers and pandas write the same table in many ways: UTF-8 with or without a mark at its start,
UTF-16 ("Unicode text"), Windows-1252; commas, semicolons, tabs or bars; with or without quotes; any line end. All of
them are read as one. What can't be read for certain is refused, with the header or the line as it was read.
"""

from __future__ import annotations

import codecs
import csv
import dataclasses
import hashlib
import io
import re
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bcdl.errors import UsageError
from bcdl.text import comparable, encodable, legible

# What people and programs write if they have nothing to say, also in place of a patient whose name was removed.
_NOTHING = frozenset(
    [
        *("nan", "nat", "na", "n/a", "#n/a", "n.a.", "<na>", "none", "null", "#nv", "k.a."),
        *("#ref!", "#bezug!", "#value!", "#wert!", "#name?", "#div/0!"),
        *("unknown", "unbekannt", "inconnu", "removed", "redacted", "deidentified", "de-identified"),
        *(f"{who}{word}" for who in ("", "patient ") for word in ("anonymous", "anonymized", "anonymised")),
        *(f"{word} patient" for word in ("anonymous", "anonymized", "anonymised", "unknown")),
        "anon",
    ]
)
MOST_BYTES = 64 * 2**20  # half a million images
_SHEETS = frozenset({".xlsx", ".xls", ".xlsm", ".xlsb", ".ods", ".numbers"})
_STARTS_OF_SHEETS = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")  # whatever such a file is called
_MOST_COLUMNS = 10_000  # each row gets a cell for every column
_DELIMITERS = (",", ";", "\t", "|")
_DELIMITER_LINE = re.compile(r"sep=(.)\r?\n?")  # Excel writes and reads such a first line
_INVISIBLE = "\ufeff\u200b\u200e\u200f"  # marks of order and of no width, which no person sees in a cell
_END = "\ue000end of the table\ue000"  # a last line that a quote left open would swallow
_SHOWN = 120  # letters of a header or a line in a message
# Longer marks first: that of UTF-16 is the start of one of UTF-32.
_MARKS = {
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


class Row(NamedTuple):
    """A row: the number of its (last) line in the file, and its cells by column, blanks around them removed."""

    line: int
    cells: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Table:
    """A table as it was read.

    Attributes:
        name: of its file, never a path.
        sha256: of the file.
        header: its columns, blanks around them removed.
        rows: those that are not blank, each with a cell for every column.
        notices: what a person should know of how it was read.
    """

    name: str
    sha256: str
    header: tuple[str, ...]
    rows: tuple[Row, ...]
    notices: tuple[str, ...] = ()

    @property
    def shown_header(self) -> str:
        """The header as it was read, for a message."""
        return repr(legible(" | ".join(self.header), _SHOWN))

    def places(self, names: Collection[str]) -> list[int]:
        """The columns whose header is one of the names, case, blanks, dots, dashes and underscores apart."""
        wanted = {_plain(name) for name in names}
        return [place for place, header in enumerate(self.header) if _plain(header) in wanted]

    def texts(self, rows: Sequence[Row], place: int) -> list[str]:
        """The cells of a column; UsageError if one spans lines, since then a quote is missing somewhere."""
        for row in rows:
            if re.search(r"[\r\n]", row.cells[place]):
                raise UsageError(
                    f"{self.name}: the cell {legible(row.cells[place], 60)!r} of column {self.header[place]!r} spans "
                    f"lines up to line {row.line}; close its quote, or remove the line break"
                )
        return [row.cells[place] for row in rows]


def read(file: Path, expected: Collection[str]) -> Table:
    """The table in a file.

    Args:
        file: the file.
        expected: headers by which the delimiter is recognised: it is the one that gives most of them.

    Raises:
        UsageError: the file can't be read, is too large or is no table; a row has more cells than the header; a quote
            is not closed.
    """
    name = encodable(file.name)
    data = _bytes(file, name)
    text, notices = _decode(data, name)
    if "\0" in text:
        raise UsageError(f"{name} is no text: it holds bytes of zero; save it as CSV in UTF-8")
    text, delimiter = _delimiter(text, {_plain(header) for header in expected})
    try:
        header, rows = _rows(text, delimiter, name)
    except csv.Error as error:
        raise UsageError(f"{name} is no table that can be read: {error}; save it as CSV in UTF-8") from error
    return Table(name, hashlib.sha256(data).hexdigest(), header, rows, notices)


def says_nothing(text: str) -> bool:
    """Whether a cell, or what stands for a patient, is empty or means that nothing is known."""
    text = comparable(text)
    return text in _NOTHING or not re.search(r"[^\W_]", text) or bool(re.fullmatch(r"x{3,}", text))


def _bytes(file: Path, name: str) -> bytes:
    """What the file holds."""
    if not file.is_file():
        raise UsageError(f"{name} is no file that can be read; name a table in CSV")
    try:
        if (size := file.stat().st_size) > MOST_BYTES:
            raise UsageError(f"{name} has {size} bytes, more than {MOST_BYTES}; split the data")
        data = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{name} can't be read: {error.strerror or error}; see to its permissions") from error
    if file.suffix.lower() in _SHEETS or data.startswith(_STARTS_OF_SHEETS):
        raise UsageError(f"{name} is no CSV but a spreadsheet's own file, as of Excel: save it as CSV")
    return data


def _decode(data: bytes, name: str) -> tuple[str, tuple[str, ...]]:
    """The text of a file, and a notice if its encoding is a guess."""
    encoding = next((of_mark for mark, of_mark in _MARKS.items() if data.startswith(mark)), None) or _unmarked(data)
    try:
        return data.decode(encoding), ()
    except UnicodeDecodeError as error:
        if encoding != "utf-8":
            raise UsageError(f"{name} is no text in {encoding} ({error.reason}); save it as CSV in UTF-8") from error
    try:
        text = data.decode("cp1252")
    except UnicodeDecodeError as error:
        raise UsageError(f"{name} is neither UTF-8 nor Windows-1252; save it as CSV in UTF-8") from error
    return text, (f"{name} is not in UTF-8: it is read as Windows-1252; save it as UTF-8 if names do not match",)


def _unmarked(data: bytes) -> str:
    """The encoding of a text without a mark: every other byte of a header in UTF-16 is 0."""
    start = data[:64]
    if len(start) > 3 and start.count(0) >= len(start) // 4:
        return "utf-16-be" if start[0] == 0 else "utf-16-le"
    return "utf-8"


def _delimiter(text: str, expected: set[str]) -> tuple[str, str]:
    """The text from its header on, and its delimiter: the one that gives most of the expected headers."""
    stated = _DELIMITER_LINE.match(text)
    if stated:
        return f"\n{text[stated.end() :]}", stated[1]  # the number of each line stays

    def score(delimiter: str) -> tuple[int, int]:
        try:
            header = next(_cells(text, delimiter), (0, []))[1]
        except csv.Error:
            return (0, 0)
        return len({_plain(cell) for cell in header} & expected), len(header)

    return text, max(_DELIMITERS, key=score)


def _rows(text: str, delimiter: str, name: str) -> tuple[tuple[str, ...], tuple[Row, ...]]:
    """The header and the rows, without blank ones."""
    rows = list(_cells(f"{text}\n{_END}", delimiter))
    if not rows or rows[-1][1] != [_END]:
        start = rows[-2][0] + 1 if len(rows) > 1 else 1
        raise UsageError(f"{name}: a quote that opens in line {start} or after is never closed; close it")
    _, header = rows[0]
    if len(rows) == 1:
        raise UsageError(f"{name} is empty; it needs a header and a row for each image")
    if len(header) > _MOST_COLUMNS:
        raise UsageError(f"{name} has {len(header):,} columns, more than {_MOST_COLUMNS:,}; leave out those of no use")
    return tuple(header), tuple(_row(line, cells, header, name) for line, cells in rows[1:-1])


def _row(line: int, cells: list[str], header: Sequence[str], name: str) -> Row:
    if any(cells[len(header) :]):
        raise UsageError(
            f"{name}: line {line} has {len(cells)} cells, {legible(' | '.join(cells), _SHOWN)!r}, and the header "
            f"{len(header)}; put quotes around a cell that has the delimiter in it"
        )
    return Row(line, (*cells[: len(header)], *[""] * (len(header) - len(cells))))


def _cells(text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """The number of its last line, and the cells, of each row that is not blank."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, skipinitialspace=True)
    for cells in reader:
        stripped = [_strip(cell) for cell in cells]
        if any(stripped):
            yield reader.line_num, stripped


def _strip(cell: str) -> str:
    """A cell without what no person sees at its ends."""
    shorter = cell.strip().strip(_INVISIBLE)
    return cell if shorter == cell else _strip(shorter)


def _plain(header: str) -> str:
    """A header as it is compared; one of signs alone stays as it is."""
    return re.sub(r"[\s_.-]+", "", comparable(header)) or header

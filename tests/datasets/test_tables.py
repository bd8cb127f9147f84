"""Tables as spreadsheets write them: every way of writing a table gives the same rows, or a refusal in one line."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bcdl.datasets import tables
from bcdl.errors import UsageError

COLUMNS = ("path", "class", "group")
ENCODINGS = ("utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252")
CELLS = st.text(st.sampled_from("abcäß01 .-_/\\()&',;|\""), min_size=1, max_size=12).map(str.strip).filter(bool)
ROWS = st.lists(st.tuples(CELLS, CELLS, CELLS), min_size=1, max_size=6)


def written(rows: list[tuple[str, ...]], header: tuple[str, ...], **dialect: object) -> str:
    stream = io.StringIO(newline="")
    csv.writer(stream, **dialect).writerows([header, *rows])  # type: ignore[arg-type]
    return stream.getvalue()


@settings(deadline=None, max_examples=200)
@given(
    rows=ROWS,
    delimiter=st.sampled_from(",;\t|"),
    quoting=st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=st.sampled_from(ENCODINGS),
    header=st.sampled_from([COLUMNS, ("Path", " CLASS ", "Group"), ("path ", "class", "group", "note")]),
    blank=st.booleans(),
    stated=st.booleans(),
)
def test_every_way_of_writing_a_table_gives_the_same_rows(
    rows: list[tuple[str, ...]],
    delimiter: str,
    quoting: int,
    end: str,
    encoding: str,
    header: tuple[str, ...],
    blank: bool,
    stated: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    text = written(rows, header, delimiter=delimiter, quoting=quoting, lineterminator=end)
    text += (end + delimiter * 2 + end) if blank else ""
    text = (f"sep={delimiter}{end}" if stated else "") + text
    file = tmp_path_factory.mktemp("t") / "t.csv"
    file.write_bytes(text.encode(encoding))
    table = tables.read(file, COLUMNS)
    places = [table.places([name])[0] for name in COLUMNS]
    assert [tuple(row.cells[place] for place in places) for row in table.rows] == rows
    umlauts = any(letter in "".join(map("".join, rows)) for letter in "äß")
    assert bool(table.notices) == (encoding == "cp1252" and umlauts)


def test_blanks_that_no_person_sees_are_no_part_of_a_cell(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('\ufeff path\u00a0, "class" ,group\n a.png\u200b ,benign,"\u00a01 "\n')
    table = tables.read(tmp_path / "t.csv", COLUMNS)
    assert table.header == COLUMNS
    assert table.rows[0].cells == ("a.png", "benign", "1")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "t.csv is empty"),
        (b"\n\n", "t.csv is empty"),
        (
            b"path,class,group\na, b.png,benign,1\n",
            r"line 2 has 4 cells, 'a \| b.png \| benign \| 1', and the header 3",
        ),
        (
            b'path,class,group\n"a.png,benign,1\nb.png,benign,2\n',
            "a quote that opens in line 2 or after is never closed",
        ),
        (b'path,class,group\n"a\nb.png",benign,1\n', "spans lines up to line 3; close its quote"),
        (b"path,class,group\n" + b"x" * 200_000 + b",benign,1\n", "t.csv is no table that can be read"),
        (b"\xff\xfep\0a\0\0", "t.csv is no text in utf-16"),
        (b"path,class,group\n\x81.png,benign,1\n", "t.csv is neither UTF-8 nor Windows-1252"),
    ],
)
def test_what_can_not_be_read_for_certain_is_refused_in_a_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(UsageError, match=message) as refused:
        paths(tmp_path / "t.csv")
    assert "\n" not in str(refused.value)


def paths(file: Path) -> list[str]:
    table = tables.read(file, COLUMNS)
    return table.texts(table.rows, 0)


def test_a_file_that_is_none_or_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "folder.csv").mkdir()
    with pytest.raises(UsageError, match=r"folder\.csv is no file"):
        tables.read(tmp_path / "folder.csv", COLUMNS)
    with pytest.raises(UsageError, match=r"nowhere\.csv is no file"):
        tables.read(tmp_path / "nowhere.csv", COLUMNS)
    monkeypatch.setattr(tables, "MOST_BYTES", 10)
    (tmp_path / "t.csv").write_text("path,class,group\n")
    with pytest.raises(UsageError, match=r"t\.csv has 17 bytes, more than 10; split the data"):
        tables.read(tmp_path / "t.csv", COLUMNS)

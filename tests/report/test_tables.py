"""Tables as people and programs read them; a value is never read back from its text."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from bcdl.parity.verdicts import MISMATCH, UNMEASURED
from bcdl.records import store
from bcdl.records.record import Record
from bcdl.report import tables
from bcdl.report.tables import Entry, Table, absent, count, figures, number, significant, word, words
from bcdl.settings import models
from bcdl.text import inert
from tests import pages
from tests.factory import record
from tests.in_process import completed

# Headings that say nothing of what stands below them: a column says itself whether it holds words.
HEADINGS = st.sampled_from(["a", "b", "model", "cell", "verdict", "commit", "images/s", ""]) | st.text(max_size=9)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=12)


def alignments(table: Table) -> list[str]:
    """The row of a Markdown table that says how its columns are set."""
    return table.to_markdown().splitlines()[3].strip("| ").split(" | ")


def rows_of_csv(table: Table) -> list[list[str]]:
    return list(csv.reader(io.StringIO(tables.to_csv([table]))))[1:]


@given(st.lists(st.tuples(HEADINGS, st.booleans()), min_size=1, max_size=6))
def test_a_column_says_itself_how_it_is_set(columns: list[tuple[str, bool]]) -> None:
    table = Table("t", tuple(words(title) if is_words else figures(title) for title, is_words in columns), ())
    assert alignments(table) == ["---" if is_words else "---:" for _, is_words in columns]
    justified = [column.justify for column in table.to_rich().columns]
    assert justified == ["left" if is_words else "right" for _, is_words in columns]


@given(TEXTS, st.sampled_from(["", "†", "‡", "*", "‡†"]))
def test_programs_get_every_word_inert_and_no_mark(text: str, sign: str) -> None:
    table = Table("t", (words("model"), figures("rate")), ((word(text + sign), number(1.25, 2, mark=sign)),))
    assert rows_of_csv(table) == [["t", inert(text + sign), "1.25"]]
    assert table.shown() == [(text + sign, f"1.25{sign}")]


def test_a_flag_is_for_programs_too_since_no_column_says_it() -> None:
    table = Table("t", (figures("rate"),), ((number(1.25, 1, mark="†", flag="*"),),))
    assert rows_of_csv(table) == [["t", "1.2*"]]
    assert table.shown() == [("1.2*†",)]


def test_what_is_missing_is_none_and_its_text_says_why() -> None:
    entries = (number(None, 1), number(float("nan"), 1, missing="not defined"), significant(None, 2), absent("not run"))
    assert [entry.value for entry in entries] == [None] * 4
    assert [entry.shown for entry in entries] == ["", "not defined", "", "not run"]
    assert (count(0).value, count(0).shown) == (0, "0")
    assert Entry((1, 2), "{0[0]} of {0[1]}".format).shown == "1 of 2"


def test_narrow_tables_are_filled_up_to_the_widest() -> None:
    wide = Table("wide", (words("model"), figures("jax"), words("parity")), ((word("x"), count(1), word("differs")),))
    narrow = Table("narrow", (words("model"), figures("jax")), ((word("x"), count(2)),))
    assert tables.to_csv([narrow, wide]) == "metric,model,jax,parity\nnarrow,x,2,\nwide,x,1,differs\n"


def test_notes_are_for_people_alone_a_line_each() -> None:
    table = Table("t", (words("model"),), ((word("x"),),), ("! one [b]", "! two"))
    assert table.to_markdown().endswith("| x |\n\n- ! one &#91;b&#93;\n- ! two")
    text = io.StringIO()
    Console(file=text, width=80).print(table.to_rich())
    assert [line.strip() for line in text.getvalue().splitlines()[-2:]] == ["! one [b]", "! two"]
    assert rows_of_csv(table) == [["t", "x"]]


def report(results: Path, *records: Record) -> str:
    """The page that `python -m bcdl.report` makes of the records."""
    for entry in records:
        store.append(results, "a-machine", entry)
    assert completed("report", "--results", results).returncode == 0
    return pages.text(results)


def test_a_figure_is_set_to_the_right_whatever_its_column_is_called(tmp_path: Path) -> None:
    """A backend may have any name: the report of old set the figures of one called `a` or `best` as words."""
    page = report(tmp_path, *(record(backend=backend) for backend in ("a", "best", "torch")))
    heading = "| model | fastest | a | best | torch | same answers? |"
    assert f"{heading}\n| --- | --- | ---: | ---: | ---: | --- |\n" in page


def test_a_name_that_ends_in_a_mark_keeps_it_in_the_csv(tmp_path: Path) -> None:
    """The report of old cut the signs of footnotes off every text in a CSV."""
    names = [f"x{UNMEASURED}", f"y{MISMATCH}{UNMEASURED}"]
    assert not set(names) & set(models.MODELS)
    page = report(tmp_path, *(record(model=name, backend=backend) for name in names for backend in ("jax", "torch")))
    (file,) = (file for file in (tmp_path / "tables").glob("*.csv") if not file.stem.endswith(("cost", "quality")))
    rows = list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"))))
    assert {row["model"] for row in rows} == set(names)
    fit = [row for row in rows if row["metric"] == "Fit rate (images/s)"]
    assert [(row["jax"], row["torch"], row["parity"]) for row in fit] == [("100.0", "100.0", "not measured")] * 2
    assert f"fit images/s: 100.0{UNMEASURED}; " in page
    assert all(f"\n| {name} | jax |\n| {name} | torch |\n" in page for name in names)

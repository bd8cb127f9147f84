"""A section knows its title and where its files go."""

from __future__ import annotations

import csv

from bcdl.report.section import Section, anchor, figure_link, headings, page_name
from bcdl.report.tables import Table, figures, number, word, words

TABLE = Table("Rates", (words("model"), figures("images/s")), ((word("CNN"), number(1.0, 1)),))


def test_a_section_names_its_files_by_their_keys() -> None:
    section = Section("# A &#124; b\n\ntext", {"rates": (TABLE, TABLE)}, {"v1.5/loss": b"png"}, {"w.h5": "# Card\n"})
    files = section.files()
    assert section.title == "A &#124; b"
    assert list(files) == ["tables/rates.csv", "plots/v1.5/loss.png", "cards/w.h5.md"]
    rows = list(csv.reader(files["tables/rates.csv"].decode().splitlines()))
    assert rows == [["metric", "model", "images/s"], *[["Rates", "CNN", "1.0"]] * 2]
    assert (files["plots/v1.5/loss.png"], files["cards/w.h5.md"]) == (b"png", b"# Card\n")


def test_a_figure_is_linked_by_its_path_and_named_by_what_it_shows() -> None:
    assert figure_link("v1.5/loss", "Loss of [all]") == "![Loss of &#91;all&#93;](../plots/v1.5/loss.png)"
    assert figure_link("v1.5/loss", "Loss", "") == "![Loss](plots/v1.5/loss.png)"


def test_a_page_is_named_in_words_and_its_headings_have_anchors() -> None:
    assert page_name("BUSI", "64px", "", "LEAKY: ") == "busi-64px-leaky"
    text = "# Title\n\n## A &amp; b, 95% (c_d)\n\ntext\n\n## Last\n"
    assert headings(text) == ["A &amp; b, 95% (c_d)", "Last"]
    assert anchor(headings(text)[0]) == "a--b-95-c_d"

"""A section knows its title and where its files go."""

from __future__ import annotations

import csv

from bcdl.report.section import Section, figure_link
from bcdl.report.tables import Table, figures, number, word, words

TABLE = Table("Rates", (words("model"), figures("images/s")), ((word("CNN"), number(1.0, 1)),))


def test_a_section_names_its_files_by_their_keys() -> None:
    section = Section("## A &#124; b\n\ntext", {"rates": (TABLE, TABLE)}, {"v1.5/loss": b"png"}, {"w.h5": "# Card\n"})
    files = section.files()
    assert section.title == "A &#124; b"
    assert list(files) == ["tables/rates.csv", "plots/v1.5/loss.png", "cards/w.h5.md"]
    rows = list(csv.reader(files["tables/rates.csv"].decode().splitlines()))
    assert rows == [["metric", "model", "images/s"], *[["Rates", "CNN", "1.0"]] * 2]
    assert (files["plots/v1.5/loss.png"], files["cards/w.h5.md"]) == (b"png", b"# Card\n")


def test_a_figure_is_linked_by_its_path_and_named_as_its_file() -> None:
    assert figure_link("v1.5/loss") == "![loss](plots/v1.5/loss.png)"

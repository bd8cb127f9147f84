"""Which data sets have published figures."""

from __future__ import annotations

import pytest

from bcdl.evaluation import published


@pytest.mark.parametrize("name", ["busi", "BUSI", "busi-256px", "BUSI_with_GT"])
def test_a_data_set_is_known_by_its_name(name: str) -> None:
    assert {figure.data for figure in published.of({"name": name})} == {"busi"}


@pytest.mark.parametrize("name", ["", "synthetic-48", "business", "my-busi", None])
def test_other_names_have_none(name: str | None) -> None:
    assert published.of({} if name is None else {"name": name}) == []


def test_shares_are_shares_and_every_figure_names_its_source() -> None:
    for figure in published.FIGURES:
        assert all(0 < value < 1 for value in (figure.auroc, figure.accuracy) if value is not None)
        assert any(character.isdigit() for character in figure.source)
        assert (figure.auroc, figure.accuracy) != (None, None)

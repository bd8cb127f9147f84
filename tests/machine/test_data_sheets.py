"""Data sheets: each card by its own name alone, and figures that can be true."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcdl.machine import data_sheets
from bcdl.machine.data_sheets import DATA_SHEETS, DataSheet

NAMES = [name for sheet in DATA_SHEETS for name in sheet.names]
BY_NAME = {name: sheet for sheet in DATA_SHEETS for name in sheet.names}


def plain(name: str) -> str:
    return " ".join(name.lower().split()).removeprefix("nvidia ")


def test_no_name_matches_two_rows() -> None:
    assert len({plain(name) for name in NAMES}) == len(NAMES)


@given(st.sampled_from(NAMES), st.sampled_from([str.upper, str.lower, str]), st.sampled_from(["", " ", "\t"]))
def test_a_card_is_found_however_its_name_is_written(name: str, letters: type[str], blank: str) -> None:
    assert data_sheets.find(f"{blank}{letters(name)}{blank}") is BY_NAME[name]
    assert data_sheets.find(name.removeprefix("NVIDIA ")) is BY_NAME[name]


@given(st.sampled_from(NAMES), st.text(min_size=1), st.text())
def test_a_name_that_holds_a_cards_is_none_of_it(name: str, after: str, before: str) -> None:
    longer = f"{before}{name}{after}"
    assert (data_sheets.find(longer) is None) == (plain(longer) not in map(plain, NAMES))


@pytest.mark.parametrize(
    "name",
    [
        "",
        "NVIDIA",
        "NVIDIA A10G",
        "NVIDIA A100",
        "NVIDIA H100",
        "NVIDIA L40",
        "NVIDIA H200 NVL",
        "NVIDIA GeForce RTX 3090 Ti",
        "NVIDIA GeForce RTX 4090 D",
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA A100-SXM4-40GB MIG 1g.5gb",
        "NVIDIA H100 80GB HBM3 MIG 1g.10gb",
        "cpu",
    ],
)
def test_another_card_and_a_slice_of_one_have_no_sheet(name: str) -> None:
    assert data_sheets.find(name) is None


@pytest.mark.parametrize("sheet", DATA_SHEETS, ids=lambda sheet: sheet.names[0])
def test_figures_are_dense_and_plausible(sheet: DataSheet) -> None:
    assert sheet.source
    assert 5 < sheet.float32 < 100
    assert sheet.memory is None or 200 < sheet.memory < 9000
    assert (sheet.tf32 is None) == (sheet.bfloat16 is None)
    if sheet.tf32 is not None and sheet.bfloat16 is not None:
        assert sheet.tf32 >= sheet.float32
        # Tensor cores take twice as many numbers of half the size; a sparse figure would be another factor of two off.
        assert sheet.bfloat16 == pytest.approx(2 * sheet.tf32, rel=0.02)


def test_the_h100s_three_forms_are_three_cards() -> None:
    rates = [data_sheets.find(f"NVIDIA H100 {form}") for form in ("80GB HBM3", "PCIe", "NVL")]
    assert [sheet and sheet.flops_per_s("mixed_bfloat16") for sheet in rates] == [989.5e12, 756.5e12, 835.5e12]
    assert [sheet and sheet.memory_bytes_per_s for sheet in rates] == [3.35e12, 2e12, 3.9e12]


def test_what_a_sheet_does_not_give_is_none() -> None:
    volta = data_sheets.find("Tesla V100-SXM2-16GB")
    assert volta is not None
    assert (volta.flops_per_s("float32"), volta.flops_per_s("tf32"), volta.flops_per_s("another")) == (
        15.7e12,
        None,
        None,
    )

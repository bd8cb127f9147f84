"""Names of a user's images and patients: hashed by a key that only the images give, and hidden in every sentence."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcdl import datasets
from bcdl.datasets import Dataset, Request
from bcdl.datasets.private import LETTERS, Private
from bcdl.datasets.sources import folder

HASH = re.compile(rf"[0-9a-f]{{{LETTERS}}}")
SOME = Private.of([("benign/P0001.png", bytes(32))], ["benign/P0001.png", "g-77x"])


def load(data: str, **changes: object) -> Dataset:
    return datasets.load(dataclasses.replace(Request(data, image_size=8), **changes))


def private_of(dataset: Dataset) -> Private:
    assert dataset.private is not None
    return dataset.private


def test_the_hash_of_a_name_is_the_same_at_every_size_and_split_and_in_every_copy(tmp_path: Path) -> None:
    here, there = (folder.example(tmp_path / name) for name in ("here", "there"))
    loaded = [load(here), load(there), load(here, image_size=12), load(here, split_seed=3), load(here, folds=3)]
    assert len({private_of(each).hashed("14-B1") for each in loaded}) == 1


def test_other_images_give_other_hashes(tmp_path: Path) -> None:
    before = private_of(load(folder.example(tmp_path)))
    next((tmp_path / "example" / "benign").iterdir()).unlink()
    assert private_of(load(str(tmp_path / "example"))).hashed("14-B1") != before.hashed("14-B1")


def test_no_checksum_of_a_record_is_the_key(tmp_path: Path) -> None:
    """Whoever has a record alone could otherwise try all numbers of patients."""
    dataset = load(folder.example(tmp_path))
    assert private_of(dataset).key not in (dataset.checksum, dataset.images_checksum)


@pytest.mark.parametrize("data", ["synthetic-36"])
def test_drawings_have_public_names(data: str) -> None:
    assert load(data).private is None


@given(st.text(st.characters(exclude_categories=())), st.text(st.characters(exclude_categories=())))
def test_hashes_are_short_and_those_of_two_names_differ(first: str, second: str) -> None:
    assert HASH.fullmatch(SOME.hashed(first))
    assert (SOME.hashed(first) == SOME.hashed(second)) is (first == second)


@pytest.mark.parametrize(
    ("sentence", "kept"),
    [
        ("40 images have another path in groups.csv, as 'P0001.png' for 'benign/P0001.png'", "40 images have another"),
        ("2 images left out, identical under both labels (1 lists): benign/P0001.png = x", "(1 lists)"),
        ("2 groups are spelled in several ways, as 'ROE^JANE' and \"O'Neill\": each counts", "each counts"),
        ("the patient is 'P0001'; it can't be read", "can't be read"),
        ("ValueError: g-77x has no pixels", "has no pixels"),
        ("a row, 'Jane | \\'Roe\\' | 3', is", "a row"),
    ],
)
def test_what_a_sentence_names_is_hidden_and_the_rest_is_kept(sentence: str, kept: str) -> None:
    hidden = SOME.hide(sentence)
    assert not re.search(r"P0001|ROE|Jane|Neill|77x", hidden)
    assert kept in hidden


def test_a_part_of_two_names_is_hidden_as_neither() -> None:
    both = Private.of([], ["a/P77x.png", "b/P77x.png"])
    assert both.hide("P77x.png is bad", quoted=False) == f"{both.hashed('P77x.png')} is bad"
    assert both.hide("a/P77x.png is bad", quoted=False) == f"{both.hashed('a/P77x.png')} is bad"


@pytest.mark.parametrize("sentence", ["1 names of folders mean class benign: '0_benign'", "class 'normal' of 'train'"])
def test_words_that_name_nobody_are_kept(sentence: str) -> None:
    assert SOME.hide(sentence) == sentence


def test_no_notice_of_a_case_names_an_image_or_a_group_once_hidden(case: tuple[str, Dataset]) -> None:
    _, dataset = case
    private = private_of(dataset)
    names = {str(name) for part in dataset.splits.values() for name in part.names}
    for notice in [*dataset.notices, *dataset.leaks().renamed(private.hashed).notices()]:
        hidden = private.hide(notice)
        assert [name for name in names if name in hidden] == []
        for quoted in re.findall(r"(?<!\w)'([^']*)'(?!\w)", hidden):
            assert HASH.fullmatch(quoted) or quoted in private.public or private.hide(f"'{quoted}'") == f"'{quoted}'"


def test_leaks_of_other_names_count_the_same(tmp_path: Path) -> None:
    data = Path(folder.example(tmp_path))
    first = sorted((data / "benign").iterdir())[0]
    for number in range(4):
        (data / "benign" / f"SOB_B_A-14-B{9 + number}-400-0.png").write_bytes(first.read_bytes())
    dataset = load(str(data), by_group=False, split_seed=1)
    plain, hidden = dataset.leaks(), dataset.leaks().renamed(private_of(dataset).hashed)
    names = [str(name) for part in dataset.splits.values() for name in (*part.names, *part.groups)]
    told = repr(hidden.facts())
    assert [name for name in names if name in told] == []
    assert re.sub(r"SOB[\w-]*\.png|benign/|[0-9a-f]{16}", "", plain.notices()[0])[:30] == hidden.notices()[0][:30]
    assert hidden.facts()["identical"]["count"] == plain.facts()["identical"]["count"] > 0
    assert hidden.facts()["identical"]["images"] == plain.facts()["identical"]["images"]

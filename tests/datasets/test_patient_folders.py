"""Folders of patients: one level of folders is of patients if it is named so; else none is, and that is told."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcdl.datasets import LABELS, patient_folders
from bcdl.datasets.layouts import Layout
from bcdl.datasets.patient_folders import Place
from tests.datasets.test_layouts import recognise
from tests.datasets.test_tree import touch


def made(root: Path, pattern: str, patients: int = 6) -> Layout:
    """A tree of patients, each with three images of both classes in folders that the pattern has."""
    for p in range(patients):
        for kind in LABELS:
            for n in range(3):
                words = {
                    "view": ("CC", "MLO", "xcc")[n],
                    "side": "LRL"[n],
                    "year": 2019 + n,
                    "date": f"2019-0{n + 1}-11",
                    "device": ("US", "MG", "MRI")[n],
                    "site": ("Berlin", "Paris", "Rome")[n],
                }
                touch(root, pattern.format(p=p, n=n, kind=kind, **words) + f"/{p}_{n}.png")
    return recognise(root)


def truth(layout: Layout) -> set[tuple[str | None, str]]:
    """The patient that was read and the true one, of each image."""
    return {(file.patient, file.path.name.split("_")[0]) for file in layout.files}


@pytest.mark.parametrize(
    "pattern",
    [
        "P{p}/{view}/{kind}",
        "P{p}/{date}/{kind}",
        "P{p}/{side}/{kind}",
        "{view}/P{p}/{kind}",
        "{device}/P{p}/{kind}",
        "{year}/P{p}/{kind}",
        "{site}/P{p}/{kind}",
        "{site}/{kind}/P{p}",
        "{kind}/{view}/P{p}",
        "{kind}/P{p}/{view}",
        "{kind}/P{p}/{site}",
        "{kind}/P{p}_{view}",
        "P{p}_{view}/{kind}",
        "{kind}/P{p}{side}",
        "P{p}_{side}_{view}/{kind}",
        "{kind}/P{p} left {n}",
        "{kind}/P{p}-slice{n}",
        "{kind}/P{p}_img{n}",
    ],
)
def test_one_level_alone_is_the_patient(pattern: str, tmp_path: Path) -> None:
    layout = made(tmp_path, pattern)
    assert truth(layout) == {(f"P{p}", f"{p}") for p in range(6)}
    (told, *more) = layout.of_patients
    assert "taken for patients, by their names" in told
    assert bool(more) == any(word in pattern.split("P{p}")[1].split("/")[0] for word in ("view", "side", "left", "{n}"))


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("subject{p}/case{n}/{kind}", "several levels could be meant"),
        ("subject{p}/{kind}/case{n}", "several levels could be meant"),
        ("{kind}/P{p}_{n}", "may be one patient"),
        ("P{p}-{site}/{kind}", "may be one patient"),
        ("{kind}/P{p}_{year}", "may be one patient"),
        ("{site}/{kind}", ""),
        ("{site}/{device}/{kind}", ""),
        ("scanner{n}/{kind}", ""),
        ("train{n}/{kind}", ""),
        ("{p}{p}/{kind}", ""),
    ],
)
def test_if_it_is_not_clear_no_folder_is_a_patient(pattern: str, reason: str, tmp_path: Path) -> None:
    layout = made(tmp_path, pattern)
    assert {patient for patient, _ in truth(layout)} == {None}
    assert "are not taken for patients" in layout.of_patients[0]
    assert reason in layout.of_patients[0]


@pytest.mark.parametrize("pattern", ["{year}/{kind}", "{date}/{kind}", "{view}/{kind}", "{device}/{side}/{kind}"])
def test_years_views_and_devices_are_no_patients(pattern: str, tmp_path: Path) -> None:
    layout = made(tmp_path, pattern)
    assert {patient for patient, _ in truth(layout)} == {None}
    assert layout.of_patients == []


@pytest.mark.parametrize("other", ["P0{}", "patient {}", "P_{}", "{:04}"])
def test_one_patient_under_two_spellings_is_not_guessed(other: str, tmp_path: Path) -> None:
    names = [f"{kind}/{('P{}' if kind == 'benign' else other).format(p)}/{p}.png" for kind in LABELS for p in range(4)]
    layout = recognise(touch(tmp_path, *names))
    assert {file.patient for file in layout.files} == {None}
    assert "may be one patient" in layout.of_patients[0]


@pytest.mark.parametrize("where", ["{outer}/{kind}", "{kind}/{outer}"])
@pytest.mark.parametrize(
    "outer",
    [
        ("orig", "rot90", "rot180"),
        ("aug_0", "aug_1", "aug_2", "aug_3"),
        ("BIRADS 2", "BIRADS 3", "BIRADS 4"),
        ("2019", "2020", "2021"),
        ("T1", "T2", "DWI"),
        ("view a", "view b", "view c", "view d", "view e"),
        ("view1", "view2", "view3"),
        ("train1", "train2", "test1"),
        ("case1", "case2", "case3"),
        ("p1", "p2", "p3"),
        ("1001", "1002", "1003"),
    ],
)
def test_folders_that_hold_the_same_patients_are_none(where: str, outer: tuple[str, ...], tmp_path: Path) -> None:
    for folder in outer:
        for p in range(12):
            touch(tmp_path, where.format(outer=folder, kind=("benign", "malignant")[p % 2]) + f"/pat{p}.png")
    layout = recognise(tmp_path)
    assert {file.patient for file in layout.files} == {None}


@pytest.mark.parametrize("name", ["{n}", "img_{n:03}", "Image ({n})", "slice{n}", "L_CC", "overview", "lesion {n}"])
def test_names_that_only_count_may_be_in_the_folder_of_each_patient(name: str, tmp_path: Path) -> None:
    names = [f"P{p}/{kind}/{name.format(n=n)}.png" for p in range(4) for kind in LABELS for n in range(3)]
    layout = recognise(touch(tmp_path, *names))
    assert {file.patient for file in layout.files} == {f"P{p}" for p in range(4)}


def test_a_patient_whom_files_name_is_not_cut_in_whatever_case(tmp_path: Path) -> None:
    for top in ("P1", "p1", "P2"):
        touch(tmp_path, f"{top}/benign/SOB_B_A-14-{top[1]}ab-40-001.png", f"{top}/malignant/{top}.png")
    layout = recognise(tmp_path)
    assert {(file.patient or "").upper() for file in layout.files} == {"P1", "P2"}


def test_a_copy_of_a_folder_of_breakhis_is_the_same_patient(tmp_path: Path) -> None:
    folders = ["benign/SOB_B_A_14-2000AB", "benign/SOB_B_A_14-2000AB_2", "benign/sob_b_a_14-2000ab (1)"]
    folders.append("malignant/SOB_M_DC_14-3000")
    layout = recognise(touch(tmp_path, *(f"{folder}/1.png" for folder in folders)))
    assert {file.patient for file in layout.files} == {"14-2000AB", "14-3000"}


NAMED = "P1 p1 P01 P1_CC P1_L P1_a P2 case3 1001 2019 CC L US Berlin SOB_B_A_14-2AB x 7"
FOLDERS = st.sampled_from(NAMED.split())


@given(
    st.lists(
        st.builds(
            Place,
            st.sampled_from(["1.png", "pat7.png", "SOB_B_A-14-2AB-40-1.png"]),
            st.sampled_from([0, 1]),
            st.lists(FOLDERS, min_size=2, max_size=2).map(tuple),
            st.lists(FOLDERS, max_size=2).map(tuple),
        ),
        min_size=1,
        max_size=12,
    )
)
def test_whoever_is_a_patient_stands_in_a_folder_and_is_told(places: list[Place]) -> None:
    found = patient_folders.find(places)
    assert len(found.ids) == len(places)
    assert bool(found.level) == any(found.ids) == any("are taken for patients" in told for told in found.notices)
    for place, patient in zip(places, found.ids, strict=True):
        assert patient is None or any(patient in folder for folder in (*place.above, *place.inside))

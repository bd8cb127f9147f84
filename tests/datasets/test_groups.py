"""Groups and labels from tables, folders and names: a patient is found however it is written, or that is told."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bcdl import datasets
from bcdl.datasets import LabelsTable, Request, file_names, groups, matching
from bcdl.datasets.layouts import ImageFile
from bcdl.datasets.matching import Kind
from bcdl.errors import UsageError
from bcdl.runner.run import Run
from bcdl.settings import options
from tests import factory

KINDS = ("benign", "malignant")
NAMES = [f"{kind}/{kind} Würfel ({number}).png" for kind in KINDS for number in range(1, 9)]


def files(names: list[str] = NAMES) -> list[ImageFile]:
    return [ImageFile(Path(name), name, int("malignant" in name)) for name in names]


def group_of(name: str) -> str:
    return f"{name[0]}P{int(re.findall(r'[0-9]+', name)[0]) // 3}"


def found(folder: Path, text: str, names: list[str] = NAMES, **more: list[str]) -> groups.Groups:
    (folder / "groups.csv").write_text(text, encoding="utf-8")
    return groups.find(folder / "groups.csv", files(names), more.get("every", names), {})


def table(path: Callable[[str], str] = str, group: Callable[[str], str] = group_of, names: list[str] = NAMES) -> str:
    return "path,class,group\n" + "".join(f'"{path(name)}",{name.split("/")[0]},{group(name)}\n' for name in names)


WAYS: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "Windows": lambda name: name.replace("/", "\\"),
    "from here": lambda name: f"./{name}",
    "of another machine": lambda name: f"C:\\Users\\Anna\\data\\{name}".replace("/", "\\"),
    "absolute": lambda name: f"/home/anna/a set/{name}",
    "address": lambda name: f"https://host.example/set/{name.replace(' ', '%20').replace('ü', '%C3%BC')}",
    "file address": lambda name: f"file:///D:/set/{name}",
    "composed": lambda name: unicodedata.normalize("NFC", name),
    "decomposed": lambda name: unicodedata.normalize("NFD", name),
    "shouted": str.upper,
    "base name": lambda name: name.split("/")[1],
    "other extension": lambda name: name.replace(".png", ".JPG"),
    "id": lambda name: name.split("/")[1].removesuffix(".png"),
    "other folder": lambda name: f"scans/{name.split('/')[1]}",
    "roundabout": lambda name: f"benign/../{name}",
}


@settings(deadline=None, max_examples=60)
@given(
    ways=st.lists(st.sampled_from(list(WAYS)), min_size=len(NAMES), max_size=len(NAMES)), order=st.permutations(NAMES)
)
def test_every_way_of_writing_a_path_gives_the_same_groups(
    ways: list[str], order: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    way_of = dict(zip(NAMES, ways, strict=True))
    text = table(lambda name: WAYS[way_of[name]](name), names=order)
    of_images = found(tmp_path_factory.mktemp("set"), text)
    assert of_images.ids == list(map(group_of, NAMES))
    assert all(of_images.known)
    assert not any("ignored" in notice or "own" in notice for notice in of_images.notices)


def test_blanks_case_and_form_make_no_other_group(tmp_path: Path) -> None:
    spellings = ("Pätient 1", " PÄTIENT  1 ", unicodedata.normalize("NFD", "pätient 1"))
    of_images = found(tmp_path, table(group=lambda name: spellings[NAMES.index(name) % 3]))
    assert set(of_images.ids) == {"Pätient 1"}
    assert any("1 groups of groups.csv are spelled in several ways" in notice for notice in of_images.notices)


ONE_PATIENT = [
    ("001", "1", "1.0", "1,0", " 01.00 "),
    ("P–1", "P-1", "P 1", "P1", "p_01", "P\u22121", "Ｐ１"),
    ("Patient 1", "patient 1", "PATIENT_01", "patient-1"),
    ("Pätient 1", unicodedata.normalize("NFD", "pätient 1")),
    ("Mass-Training_P_00001_LEFT_CC", "Mass-Training_P_00001_LEFT_MLO_1", "Calc-Test_P_00001_RIGHT_CC", "P_00001"),
]
OTHERS = ("1-2", "12", "1.2", "1.02", "10", "P10", "P1-2", "P12", "patient 10", "100", "14-22549AB", "1.2.840.10")


@pytest.mark.parametrize("spellings", ONE_PATIENT)
def test_one_patient_has_one_key_and_other_digits_another(spellings: tuple[str, ...]) -> None:
    (key,) = set(map(groups.key, spellings))
    assert key
    assert len({key, *map(groups.key, OTHERS)}) == 1 + len(OTHERS)


@given(st.lists(st.integers(0, 999), min_size=1, max_size=4), st.sampled_from(["-", "_", " ", "\u2013"]))
def test_numbers_that_are_joined_never_become_another_list_of_numbers(numbers: list[int], joint: str) -> None:
    key = groups.key(joint.join(map(str, numbers)))
    assert [int(part) for part in key.split("-")] == numbers


@pytest.mark.parametrize("source", ["table", "folders"])
def test_each_source_counts_one_patient_of_two_spellings_once_and_tells_it(tmp_path: Path, source: str) -> None:
    names = ["P01/benign/1.png", "P1/benign/2.png", "P2/malignant/3.png", "unknown/malignant/4.png"]
    patients = [name.split("/")[0] for name in names]
    if source == "table":
        text = "path,group\n" + "".join(f"{name},{patient}\n" for name, patient in zip(names, patients, strict=True))
        of_images = found(tmp_path, text, names)
    else:
        there = [file._replace(patient=patient) for file, patient in zip(files(names), patients, strict=True)]
        of_images = groups.find(None, there, names, {})
    assert of_images.ids == ["P01", "P01", "P2", names[3]]
    assert of_images.known == [True, True, True, False]
    assert any("are spelled in several ways, as 'P01' and 'P1': each counts as one" in n for n in of_images.notices)


def test_a_group_for_each_image_is_questioned(tmp_path: Path) -> None:
    of_images = found(tmp_path, table(group=str))
    assert "16 groups of 16 images are read from groups.csv" in of_images.notices
    assert any("16 groups for 16 images: each image is a group of its own; is 'group'" in n for n in of_images.notices)
    assert not any("groups for" in notice for notice in found(tmp_path, table()).notices)


def test_a_path_that_may_mean_two_images_is_never_guessed(tmp_path: Path) -> None:
    names = ["benign/a/1.png", "benign/b/1.png", "malignant/c/2.png"]
    text = "path,group\n1.png,p1\n2.png,p2\n"
    of_images = found(tmp_path, text, names)
    assert of_images.known == [False, False, True]
    assert of_images.ids[:2] == names[:2]
    assert any("1 rows of groups.csv may mean several images, as '1.png'" in notice for notice in of_images.notices)
    assert "2 images are not in groups.csv: each is a group of its own" in of_images.notices


def test_a_class_says_which_of_two_images_a_base_name_means(tmp_path: Path) -> None:
    names = ["benign/1.png", "malignant/1.png"]
    assert found(tmp_path, "path,class,group\n1.png,malignant,p1\n1.png,Benign,p2\n", names).ids == ["p2", "p1"]


def test_a_base_name_is_not_taken_for_an_image_of_the_other_class_or_of_none_that_is_used(tmp_path: Path) -> None:
    names = ["benign/1.png", "malignant/2.png"]
    text = "path,class,group\n1.png,malignant,p1\nmalignant/2.png,malignant,p2\n"
    assert found(tmp_path, text, names).known == [False, True]
    text = "path,group\n1.png,p1\nmalignant/2.png,p2\n"
    assert found(tmp_path, text, names, every=[*names, "normal/1.png"]).known == [False, True]


def test_rows_of_other_folders_that_contradict_each_other_are_not_used(tmp_path: Path) -> None:
    names = ["benign/1.png", "malignant/2.png"]
    of_images = found(tmp_path, "path,group\nx/1.png,p1\ny/1.png,p2\n2.png,p3\n", names)
    assert of_images.known == [False, True]
    assert any("2 rows of groups.csv may mean one image" in notice for notice in of_images.notices)


@pytest.mark.parametrize("other", [NAMES[0], NAMES[0].replace("/", "\\"), f"/x/{NAMES[0]}", NAMES[0].split("/")[1]])
def test_rows_that_agree_count_once_and_those_that_do_not_are_refused(tmp_path: Path, other: str) -> None:
    again = table() + f'"{other}",benign,{group_of(NAMES[0])}\n'
    assert found(tmp_path, again).ids == list(map(group_of, NAMES))
    with pytest.raises(
        UsageError, match=r"says two things of the image .*: line 2, .*bP0.* and line 18, .*other.*keep"
    ):
        found(tmp_path, table() + f'"{other}",benign,other\n')


@pytest.mark.parametrize(
    "nothing",
    ["", " ", "NaN", "unknown", "#N/A", "-", "–", "#REF!", "#BEZUG!", "<NA>", "XXXXXX", "Anonymized Patient", "k.A."],
)
def test_a_row_without_a_group_leaves_the_image_alone(tmp_path: Path, nothing: str) -> None:
    of_images = found(tmp_path, table(group=lambda name: nothing if "(1)" in name else group_of(name)))
    assert [name for name, known in zip(NAMES, of_images.known, strict=True) if not known] == [NAMES[0], NAMES[8]]
    assert of_images.ids[0] == NAMES[0]
    assert "2 images have no group in groups.csv: each is a group of its own" in of_images.notices


def test_another_class_in_the_table_is_told_and_does_not_count(tmp_path: Path) -> None:
    notices = found(tmp_path, table().replace('(1).png",benign', '(1).png",malignant')).notices
    assert f"1 images have another class by groups.csv, as {NAMES[0]!r}: it does not count" in notices


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "file;patient\na;b\n",
            r"columns path, class and group \(class may be missing\): its header reads 'file \| pat",
        ),
        ("path,path,group\na,a,b\n", "its header reads 'path | path | group'"),
        ("benign/1.png,benign,7\n", "its header reads 'benign/1.png | benign | 7'"),
        ("path,group\n", "groups.csv has a header and no rows"),
        ("path,group\nscans/1.png,7\n", f"the table has 'scans/1.png', the folder {NAMES[0]!r}"),
        (f"path,group\n{NAMES[0]},{'g' * 999}\n", "groups.csv has a group of 999 letters"),
    ],
)
def test_a_table_that_says_nothing_of_the_images_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message if "\\" in message else re.escape(message)):
        found(tmp_path, text)


def test_a_row_of_another_folder_of_the_set_is_not_of_the_image(tmp_path: Path) -> None:
    names = ["P0/0.png", "P1/1.png", "P2/malignant/2.png"]
    text = "path,group\nP1/0.png,P1\nC:\\x\\P0\\1.png,P0\nP2/2.png,P2\n"
    of_images = found(tmp_path, text, names)
    assert of_images.known == [False, False, True]
    assert "2 rows of groups.csv name no image that is used here: ignored" in of_images.notices


def test_names_in_folders_that_are_mixed_are_not_taken_for_the_images(tmp_path: Path) -> None:
    names = ["a/1.png", "a/2.png", "b/3.png", "b/malignant/4.png"]
    rows = ["x/1.png,p1", "y/2.png,p2", "{}/3.png,p3", "b/malignant/4.png,p4"]
    text = "path,group\n" + "\n".join(rows)
    assert all(found(tmp_path, text.format("z"), names).known)  # x and y became a, z became b
    of_images = found(tmp_path, text.format("x"), names)
    assert of_images.known == [False, False, False, True]
    assert any(
        "3 rows of groups.csv are in folders that are not those of the images of their names, in no one way, as "
        "'x/1.png' for 'a/1.png': not used" in notice
        for notice in of_images.notices
    )


def test_a_path_that_is_exact_counts_before_one_that_is_not(tmp_path: Path) -> None:
    names = ["benign/0.png", "malignant/1.png"]
    of_images = found(tmp_path, "path,group\nbenign/0.jpg,p1\nbenign/0.png,p2\nMALIGNANT/1.PNG,p3\n", names)
    assert of_images.ids == ["p2", "p3"]
    assert any("1 rows of groups.csv may mean one image as others" in notice for notice in of_images.notices)
    with pytest.raises(UsageError, match="says two things"):
        found(tmp_path, "path,group\nbenign/0.jpg,p1\nBENIGN/0.png,p2\nmalignant/1.png,p3\n", names)


@settings(deadline=None)
@given(st.text(max_size=40), st.lists(st.text(min_size=1, max_size=12), max_size=5))
def test_any_text_is_a_path_that_means_one_image_at_most(path: str, names: list[str]) -> None:
    match = matching.Images(names).find(path)
    assert (
        len(match.places) == 1
        if match.kind in (Kind.SAME, Kind.INSIDE, Kind.LOOSE, Kind.NAME)
        else len(match.places) != 1
    )


@pytest.mark.parametrize(
    ("name", "patient"),
    [
        ("SOB_B_A-14-22549AB-100-001.png", "14-22549AB"),
        ("100X_SOB_M_DC-14-2523-400-010.png", "14-2523"),
        ("sob_b_a-14-22549ab-100-001 - Copy.png", "14-22549AB"),
        ("9000_idx5_x1_y51_class0.png", "9000"),
        ("aug_9000_IDX5_x1_y51_class1 (2).png", "9000"),
        ("benign (1).png", None),
    ],
)
def test_a_patient_is_found_anywhere_in_a_name(name: str, patient: str | None) -> None:
    named = file_names.read(name)
    assert (named and named.patient) == patient


def test_names_of_which_some_have_no_patient_are_not_called_grouped(tmp_path: Path) -> None:
    names = ["benign/SOB_B_A-14-1A-40-001.png", "benign/2.png", "malignant/x_SOB_M_DC-14-2B-40-001.png"]
    of_images = groups.find(None, files(names), names, {})
    assert of_images.known == [True, False, True]
    assert of_images.notices == (
        "2 patients of 2 images are read from the names of files, as in BreaKHis",
        "1 images of 3 name no patient: each is a group of its own",
    )


def picture(file: Path, seed: int) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, 256, (10, 14, 3), dtype=np.uint8)).save(file)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Forty-eight pictures in folders that say nothing, and a table that says all."""
    lines = ["image_id;diagnosis;patient_id"]
    for number in range(48):
        picture(tmp_path / "set" / f"batch {number % 3}" / f"scan{number:02d}.png", number)
        lines.append(f"SCAN{number:02d};{('M', 'B', 'normal')[number % 3]};p{number // 6}")
    (tmp_path / "labels.csv").write_text("\r\n".join(lines) + "\r\n", encoding="utf-16")
    return tmp_path


def request(tree: Path, class_map: str = "", **columns: str) -> Request:
    return Request(str(tree / "set"), 8, class_map=class_map, labels=LabelsTable(str(tree / "labels.csv"), **columns))


def test_a_table_gives_classes_and_patients_of_any_tree(tree: Path) -> None:
    dataset = datasets.load(request(tree))
    images = sum(map(len, dataset.splits.values()))
    assert (images, sum(int(part.labels.sum()) for part in dataset.splits.values())) == (32, 16)
    assert dataset.grouped
    assert not dataset.leaks().groups
    assert dataset.facts["labels"]["name"] == "labels.csv"
    assert {dataset.facts["labels"][part] for part in ("image", "label", "group")} == {
        "image_id",
        "diagnosis",
        "patient_id",
    }
    assert dataset.facts["left_out"] == {"images labelled 'normal'": 16}
    assert "16 images labelled 'normal' left out" in dataset.notices


def test_numbers_need_a_map_and_images_without_a_row_are_counted(tree: Path) -> None:
    text = (tree / "labels.csv").read_text(encoding="utf-16").replace(";M;", ";1;").replace(";B;", ";0;")
    (tree / "labels.csv").write_text(text.replace("SCAN00;1;p0\n", ""), encoding="utf-8")
    with pytest.raises(UsageError, match=r"gives no benign and no malignant images; its labels are '0', 'normal', '1'"):
        datasets.load(request(tree))
    dataset = datasets.load(request(tree, "0=benign,1=malignant,normal=benign"))
    assert dataset.facts["class_map"] == {"0": "benign", "1": "malignant", "normal": "benign"}
    assert sum(map(len, dataset.splits.values())) == 47
    assert "1 images without a row in labels.csv left out" in dataset.notices


def test_a_table_without_groups_leaves_them_to_groups_csv_or_to_nobody(tree: Path) -> None:
    text = (tree / "labels.csv").read_text(encoding="utf-16").replace("patient_id", "note")
    (tree / "labels.csv").write_text(text, encoding="utf-8")
    assert not datasets.load(request(tree)).grouped
    rows = "".join(f"scan{number:02d}.png,p{number // 6}\n" for number in range(48))
    (tree / "set" / "groups.csv").write_text(f"path,group\n{rows}")
    assert datasets.load(request(tree)).grouped
    dataset = datasets.load(request(tree, group_column="note"))
    assert dataset.grouped
    assert "groups.csv is not used: labels.csv gives the groups" in dataset.notices


@pytest.mark.parametrize(
    ("columns", "header", "message"),
    [
        (
            {"label_column": "stage"},
            "",
            r"--label-column: labels.csv has no column 'stage'; its header reads 'image_id",
        ),
        ({}, "scan;diagnosis;patient_id", r"to hold each image's path: its header reads 'scan \| .*--image-column"),
        ({}, "image_id;stage;patient_id", r"to hold each image's class: its header reads .*--label-column"),
        ({}, "image_id;class;pathology", r"several columns that may be meant: 'class', 'pathology'; .*--label-column"),
        ({"image_column": "patient_id"}, "", r"none of the 48 rows of labels.csv can be matched .* 'p0', the folder"),
    ],
)
def test_a_table_of_labels_that_is_not_understood_is_refused(
    tree: Path, columns: dict[str, str], header: str, message: str
) -> None:
    text = (tree / "labels.csv").read_text(encoding="utf-16")
    if header:
        text = text.replace("image_id;diagnosis;patient_id", header)
    (tree / "labels.csv").write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=message):
        datasets.load(request(tree, **columns))


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"image_column": "x"}, r"--image-column 'x' is a column of no table; name the table with --labels"),
        ({"labels": "no.csv"}, r"--labels is for .* and --data 'synthetic-48' is no folder; leave it out"),
        ({"labels": "no.csv", "data": str(Path(__file__).parent)}, r"no\.csv is no file that can be read"),
    ],
)
def test_options_of_a_table_that_is_not_there_are_refused(asked: dict[str, str], message: str) -> None:
    (job,) = options.resolve({"data": "synthetic-48", **asked}, "torch", "cnn", installed_here=False)
    with pytest.raises(UsageError, match=message):
        datasets.load(job.request)


def test_clean_data_needs_every_patient(tree: Path, tmp_path: Path) -> None:
    """A guard that passes whatever can't be looked at would pass the worst data best."""
    for number in range(48):
        picture(tree / "plain" / KINDS[number % 2] / f"{number}.png", number)
    rows = [f"{KINDS[number % 2]}/{number}.png,p{number // 4}" for number in range(48)]
    job = factory.job(str(tree / "plain"), batch_size=1)
    for known in (0, 40):
        if known:
            (tree / "plain" / "groups.csv").write_text("path,group\n" + "\n".join(rows[:known]))
        with pytest.raises(
            UsageError, match=f"patients are not known for {48 - known} of 48 images.*groups.csv, or leave"
        ):
            Run([job], tmp_path / "results", require_clean=True).check()
    (tree / "plain" / "groups.csv").write_text("path,group\n" + "\n".join(rows))
    Run([job], tmp_path / "results", require_clean=True).check()


def write_table(tree: Path, header: str, group: Callable[[int], str], rows: int = 48) -> None:
    lines = [f"scan{number:02d}.png,{KINDS[number % 2]},{group(number)}" for number in range(rows)]
    (tree / "labels.csv").write_text("\n".join([header, *lines]), encoding="utf-8")


@pytest.mark.parametrize(
    "header",
    ["PatientID", "patientId", "Patienten-ID", "Patient Nr", "Patient_Number", "pid", "Numéro patient", "lesion_id"],
)
def test_a_column_of_patients_is_found_by_any_usual_header(tree: Path, header: str) -> None:
    write_table(tree, f"image,label,{header}", lambda number: f"p{number // 4}")
    dataset = datasets.load(request(tree))
    assert dataset.grouped
    assert "12 groups of 48 images are read from labels.csv" in dataset.notices
    assert not datasets.load(request(tree, group_column="none")).grouped


def test_a_column_that_may_name_patients_is_told_and_one_of_one_value_is_none(tree: Path) -> None:
    write_table(tree, "image,label,My patients", lambda number: f"p{number // 4}")
    dataset = datasets.load(request(tree))
    assert "column 'My patients' may name patients: --group-column" in dataset.notices
    for text in ("removed", "1"):
        write_table(tree, "image,label,Patient ID", lambda number, text=text: text)
        dataset = datasets.load(request(tree))
        assert not dataset.grouped
        told = f"48 images have {text!r} in column 'Patient ID', all the same: it is taken for none"
        assert told in dataset.notices


def test_folders_named_as_patients_count_beside_a_table_without_groups(tmp_path: Path) -> None:
    lines = ["image,label"]
    for number in range(48):
        split = "test" if number % 8 < 2 else "train"
        picture(tmp_path / "set" / split / f"patient {number // 4}" / f"scan{number}.png", number)
        lines.append(f"scan{number}.png,{KINDS[number // 4 % 2]}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    dataset = datasets.load(request(tmp_path))
    assert dataset.grouped
    assert "12 folders are taken for patients, by their names" in dataset.notices
    assert dataset.leaks().clean


def test_a_folder_around_all_images_names_no_patient(tree: Path) -> None:
    write_table(tree, "image,label", lambda number: "")
    (tree / "labels.csv").write_text((tree / "labels.csv").read_text().replace(",\n", "\n").rstrip(","))
    (tree / "set").rename(tree / "case 1")
    (tree / "set").mkdir()
    (tree / "case 1").rename(tree / "set" / "case 1")
    assert not datasets.load(request(tree)).grouped


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("scan00.png,benign,p0\nscan01.png,benign,p0\n", "it seems to have no header"),
        ("image,label,patient,patient\n", "has 2 columns that are headed 'patient'; rename all but one"),
    ],
)
def test_a_header_that_is_none_or_says_one_thing_twice_is_refused(tree: Path, text: str, message: str) -> None:
    (tree / "labels.csv").write_text(text)
    with pytest.raises(UsageError, match=message):
        datasets.load(request(tree))


def test_a_spreadsheet_is_refused_by_name(tree: Path) -> None:
    (tree / "labels.csv").rename(tree / "labels.xlsx")
    with pytest.raises(UsageError, match=r"labels\.xlsx is no CSV but .* Excel: save it as CSV"):
        datasets.load(Request(str(tree / "set"), 8, labels=LabelsTable(str(tree / "labels.xlsx"))))


@pytest.mark.parametrize("place", ["Groups.csv", "groups.CSV", "archive/groups.csv", "archive/data/GROUPS.csv"])
def test_a_table_of_groups_is_found_in_any_case_on_the_way_to_the_class_folders(tmp_path: Path, place: str) -> None:
    lines = ["path,group"]
    for number in range(48):
        name = f"{KINDS[number % 2]}/{number}.png"
        picture(tmp_path / "set" / "archive" / "data" / name, number)
        lines.append(f"{name},p{number // 4}")
    (tmp_path / "set" / place).write_text("\n".join(lines))
    dataset = datasets.load(Request(str(tmp_path / "set"), 8))
    assert dataset.grouped
    assert "tables" not in dataset.facts.get("left_out", {})
    (tmp_path / "set" / "archive" / "data" / "groups.csv").write_text("\n".join(lines))
    dataset = datasets.load(Request(str(tmp_path / "set"), 8))
    told = f"1 other tables of groups are not used, as {place!r}: 'archive/data/groups.csv' counts"
    assert told in dataset.notices

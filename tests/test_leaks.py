"""The command that looks for images that a folder holds twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from bcdl import datasets
from bcdl.datasets import Request

ROOT = Path(__file__).resolve().parent.parent


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bcdl", "leaks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six drawings a class; one of them is also in the other class, and groups.csv has them in one group."""
    images = datasets.load(Request("synthetic-36", 160)).train.images
    for number, image in enumerate(images[:12]):
        file = tmp_path / "set" / ("benign" if number < 6 else "malignant") / f"{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
    Image.fromarray(images[0]).save(tmp_path / "set" / "malignant" / "copy.png")
    lines = ["path,class,group", "benign/0.png,benign,p0", "malignant/copy.png,malignant,p0", "benign/1.png,benign,p1"]
    (tmp_path / "set" / "groups.csv").write_text("\n".join(lines))
    return tmp_path / "set"


def test_copies_are_named_and_held_against_the_groups(folder: Path) -> None:
    done = run(str(folder))
    assert done.returncode == 0, done.stderr
    assert "13 images" in done.stdout
    assert "identical: 1 lists, 2 images\n  benign/0.png, malignant/copy.png" in done.stdout
    assert "identical, with different labels: 1 lists, 2 images" in done.stdout
    assert "of 1 groups of two images or more in groups.csv, 1 are in one list whole" in done.stdout


def test_a_list_that_holds_two_groups_is_named(folder: Path) -> None:
    table = folder / "groups.csv"
    table.write_text(table.read_text().replace("malignant,p0", "malignant,p9"))
    assert (
        "lists that hold several groups: 1 lists, 2 images\n  benign/0.png, malignant/copy.png"
        in run(str(folder)).stdout
    )


def test_groups_are_looked_for_where_training_does(folder: Path) -> None:
    (folder / "groups.csv").rename(folder.parent / "Groups.csv")
    assert "of 1 groups of two images or more in groups.csv" in run(str(folder.parent)).stdout


def test_a_folder_called_as_the_table_is_refused_at_once(folder: Path) -> None:
    (folder / "groups.csv").unlink()
    (folder / "groups.csv").mkdir()
    done = run(str(folder))
    assert (done.returncode, done.stdout) == (2, "")
    assert "groups.csv is no file that can be read" in done.stderr


@pytest.mark.parametrize("name", ["nowhere", "empty", "unreadable"])
def test_a_folder_without_images_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "unreadable" / "benign").mkdir(parents=True)
    (tmp_path / "unreadable" / "benign" / "a.png").write_bytes(b"no image")
    done = run(str(tmp_path / name))
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert name in done.stderr
    assert "Traceback" not in done.stderr

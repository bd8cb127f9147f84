"""What is stored and printed tells of no patient, no folder and no user, and no name in it takes effect."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markdown_it import MarkdownIt
from PIL import Image

from bcdl import compare, gallery, leaks, phases, status, unpack
from bcdl.datasets import Dataset, load
from bcdl.machine import hardware
from bcdl.records import git_ignore, store
from bcdl.records.record import Record
from bcdl.report import __main__ as report
from bcdl.report import page
from bcdl.report.tables import Table, number, to_csv, word, words
from bcdl.runner.run import Run
from bcdl.settings.job import Job
from tests import pages
from tests.factory import job, record, with_predictions
from tests.faults.conftest import Injected
from tests.in_process import InProcess

# Parts of names, each of which says who a patient is.
PATIENTS = ("ROE^JANE", "Roe, Jane", "MRN0047113", "jane.roe@clinic.example", "P-1955-03-12")
HOSTILE = "\x1b]0;owned\x07\nerror: forged\r\u202egnp.\x9b31m"
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def images(folder: Path, name: Callable[[str, int], str], count: int = 12) -> Path:
    """A folder of noise images, each under the name that is made of its class and number."""
    pixels = np.random.default_rng(0)
    for kind in ("benign", "malignant"):
        for place in range(count):
            file = folder / kind / name(kind, place)
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(file)
    return folder


def outcome(asked: Job, dataset: Dataset, **changes: Any) -> Record:
    """What a worker makes of the job: predictions by name, and notices of the data."""
    labels = dataset.test.labels
    scores = np.where(labels == 1, 0.9, 0.1)
    test = {
        "outputs": np.stack([1 - scores, scores], axis=1).tolist(),
        "scores": scores.tolist(),
        "labels": labels.tolist(),
        "groups": dataset.test.groups.tolist(),
        "names": dataset.test.names.tolist(),
    }
    facts = {**record().dataset, "name": dataset.name, "checksum": dataset.checksum, "notices": [*dataset.notices]}
    made = dataclasses.replace(record(), cell=asked.cell, dataset=facts, **changes)
    return with_predictions(made, {"test": test})


def kept(results: Path, asked: Job, **changes: Any) -> str:
    """What the results folder holds, `local/` excepted, once a run of the job has stored its record."""
    run = Run([asked], results)
    run.check()
    run.keep(asked, outcome(asked, load(asked.request), **changes))
    files = [file for file in sorted(results.rglob("*")) if file.is_file() and "local" not in file.parts]
    return "\n".join(file.read_text(encoding="utf-8", errors="replace") for file in files)


def asked_of(data: Path, **changes: Any) -> Job:
    cell = dataclasses.replace(job().cell, data=data.name)
    return dataclasses.replace(job(str(data)), cell=cell, **changes)


def in_a_table(folder: Path, patient: str) -> Path:
    """Patients in the cells of a table of groups alone, each spelled in two ways."""
    data = images(folder, lambda kind, place: f"{kind}{place}.png")
    every = [(kind, place) for kind in ("benign", "malignant") for place in range(12)]
    rows = [f'{kind}/{kind}{place}.png,{kind},"{patient}{place // 2}{" " * (place % 2)}"' for kind, place in every]
    (data / "groups.csv").write_text("path,class,group\n" + "\n".join(rows), encoding="utf-8")
    return data


def in_names(folder: Path, patient: str) -> Path:
    """Patients in names of files; three images are there twice, and two under both labels."""
    data = images(folder, lambda kind, place: f"{patient} {kind} {place}.png")
    first = sorted((data / "benign").iterdir())
    for copy, (source, kind) in enumerate([(first[0], "benign"), (first[1], "benign"), (first[2], "malignant")]):
        (data / kind / f"{patient} copy {copy}.png").write_bytes(source.read_bytes())
    return data


def in_folders(folder: Path, patient: str) -> Path:
    """A folder for each patient inside the class folders, and one of a class that is neither."""
    data = images(folder, lambda kind, place: f"{patient} {place // 2}/{kind}{place}.png")
    (data / patient).mkdir()
    (data / patient / "x.png").write_bytes(next((data / "benign").rglob("*.png")).read_bytes())
    return data


@pytest.mark.parametrize("made", [in_a_table, in_names, in_folders])
@pytest.mark.parametrize("patient", PATIENTS)
def test_no_patient_is_in_what_is_stored(
    made: Callable[[Path, str], Path], patient: str, tmp_path: Path, injected: Injected
) -> None:
    data = made(tmp_path / "a set", patient)
    name = next(str(each) for each in load(asked_of(data).request).test.names)
    tail = [f'  File "{data}/{name}", line 3, in f', f"OSError: {name} is truncated", f"{Path(name).name}: bad"]
    with injected("patients"):
        stored = kept(tmp_path / "out", asked_of(data), reason=f"OSError: {name} is truncated", log_tail=tail)
        assert patient not in stored
        assert patient.split("@")[0].split(",")[0] not in stored
        assert str(tmp_path) not in stored
        assert '"names": "hashed"' in stored


def test_records_of_one_data_set_are_joined_by_their_hashes(tmp_path: Path) -> None:
    data = in_a_table(tmp_path / "set", "ROE^JANE")
    jobs = [dataclasses.replace(asked_of(data), cell=dataclasses.replace(asked_of(data).cell, seed=s)) for s in (0, 1)]
    for each in jobs:
        kept(tmp_path / "out", each)
    (_, first), (_, second) = store.read_all(tmp_path / "out")[0]
    assert first.predictions == second.predictions
    private = load(jobs[0].request).private
    assert private
    assert first.predictions["test"]["names"][0] == private.hashed(str(load(jobs[0].request).test.names[0]))


def test_names_are_kept_if_that_is_asked_for(tmp_path: Path) -> None:
    data = in_names(tmp_path / "set", "ROE^JANE")
    stored = kept(tmp_path / "out", asked_of(data, keep_names=True))
    assert "ROE^JANE benign" in stored
    assert '"names": "kept"' in stored


def test_drawings_have_their_names(tmp_path: Path) -> None:
    assert '"names": "kept"' in kept(tmp_path, job())


FOLDERS = ("/home/jane roe/x", "C:\\Users\\Jane Roe\\x", "\\\\ward7\\jane roe\\x", "~/jane roe/x", "file:///jane roe/x")


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_folder_is_in_what_is_stored(folder: str, tmp_path: Path, injected: Injected) -> None:
    said = f"OSError: can't open '{folder}.bin' in {tmp_path}/out"
    with injected("folders_in_records", times=3):
        notes = {"environment": {**record().environment, "notes": [said]}}
        stored = kept(tmp_path / "out", job(), reason=said, log_tail=[said, f'  File "{folder}.py", line 3'], **notes)
        assert not re.search("jane|ward7|Users", stored, re.IGNORECASE)
        assert str(tmp_path) not in stored
        assert 'File \\"x.py\\", line 3' in stored


# git


def git(folder: Path, *arguments: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.parametrize("own", [None, "", "*.png\n", "# mine\n!local/\n"])
def test_git_adds_nothing_of_local(own: str | None, tmp_path: Path, injected: Injected) -> None:
    git(tmp_path, "init", "-q")
    results = tmp_path / "out1"
    if own is not None:
        results.mkdir()
        (results / git_ignore.NAME).write_text(own)
    with injected("local_files"):
        kept(results, job())
        git(tmp_path, "add", "-A")
        added = git(tmp_path, "ls-files").split()
        assert [name for name in added if name.startswith("out1/records/")]
        assert [name for name in added if "/local/" in name] == []
        assert own is None or (results / git_ignore.NAME).read_text() == own


def test_an_ignore_file_of_ours_is_renewed_and_a_link_is_left(tmp_path: Path, injected: Injected) -> None:
    with injected("local_files", times=2):
        (tmp_path / git_ignore.NAME).write_text(f"{git_ignore.MARK}\n/old/\n")
        (tmp_path / "local").mkdir()
        (tmp_path / "mine").write_text("mine")
        (tmp_path / "local" / git_ignore.NAME).symlink_to(tmp_path / "mine")
        git_ignore.write(tmp_path)
        assert (tmp_path / git_ignore.NAME).read_text() == f"{git_ignore.MARK}\n/local/\n/index.html\n"
        assert (tmp_path / "mine").read_text() == "mine"


# The screen


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    """Results and a data set whose names hold control characters, wherever one may stand."""
    name = HOSTILE.replace("/", "")
    data = images(tmp_path / f"set{name}", lambda kind, place: f"{place}{name}.png")
    (data / "benign" / f"copy{name}.png").write_bytes(next((data / "benign").iterdir()).read_bytes())
    rows = "\n".join(f'"{file.parent.name}/{file.name}","{file.parent.name}","g{name}"' for file in data.rglob("*.png"))
    (data / "groups.csv").write_text(f"path,class,group\n{rows}", encoding="utf-8", newline="")
    results = tmp_path / f"out{name}"
    asked = dataclasses.replace(job(str(data)), cell=dataclasses.replace(job().cell, data=data.resolve().name))
    (data / "groups.csv").rename(tmp_path / "groups.csv")
    scored = outcome(asked, load(asked.request), reason="")
    wrong = [[p1, p0] for p0, p1 in scored.predictions["test"]["outputs"]]
    scored.predictions["test"] |= {"outputs": wrong, "scores": [1 - s for s in scored.predictions["test"]["scores"]]}
    store.append(results, hardware.machine_name("cpu"), scored)
    bad = dataclasses.replace(record(status="failed"), reason=name, log_tail=[name])
    store.append(results, f"a{name}", dataclasses.replace(bad, cell=dataclasses.replace(bad.cell, weights=f"w{name}")))
    odd = results / "records" / f"m{name}" / f"r{name}.jsonl"
    odd.parent.mkdir()
    odd.write_text('{"schema": 999}\n')
    (tmp_path / "groups.csv").rename(data / "groups.csv")
    return tmp_path


def test_no_command_prints_a_control_character(hostile: Path, in_process: InProcess, injected: Injected) -> None:
    data = next(hostile.glob("set*"))
    results = next(hostile.glob("out*"))
    archive = hostile / f"home{HOSTILE}.tar.gz"
    archive.write_bytes(b"no archive")
    commands = {
        leaks.main: [data],
        report.main: ["--results", results],
        phases.main: ["--results", results],
        status.main: ["--results", results],
        compare.main: [results, results],
        gallery.main: ["--results", results, "--data", data],
        unpack.main: [archive, "--results", results],
    }
    for main, arguments in commands.items():
        with injected("screens"):
            code, out, err = in_process(main, *arguments)
            assert code in (0, 1, 2), (main.__module__, err)
            assert not CONTROL.search(out + err), main.__module__
            assert not re.search(r"^error: forged", out + err, re.MULTILINE), main.__module__


def test_a_run_prints_no_control_character(
    hostile: Path, injected: Injected, capsys: pytest.CaptureFixture[str]
) -> None:
    """What `bcdl train` and `pytest benchmarks` say of the data before a model is trained."""
    from bcdl.screen import say

    data = next(hostile.glob("set*"))
    (data / "groups.csv").unlink()
    with injected("screens"):
        for line in Run([asked_of(data)], hostile / "new").check():
            say(line)
        out = capsys.readouterr().out
        assert "LEAK" in out or "copy" in out or "identical" in out
        assert not CONTROL.search(out)
        assert "\nerror: forged" not in out


def test_an_error_line_is_not_forged(injected: Injected, in_process: InProcess, tmp_path: Path) -> None:
    with injected("screens"):
        code, out, err = in_process(leaks.main, tmp_path / HOSTILE)
        assert code == 2
        assert len(err.splitlines()) == 1
        assert not CONTROL.search(out + err)


# Markdown and CSV, in what a report writes


LIVE = (
    *("www.evil.example", "http://evil.example", "@jane", "x#12", "jane@evil.example"),
    *("![x](//evil.example)", "<b>x", "[x]: //evil.example", "GH-12"),
)


def test_nothing_of_a_name_is_live_in_a_report(tmp_path: Path, injected: Injected) -> None:
    facts = {**record().dataset, "synthetic": False, "notices": [*LIVE], "leaks": {"clean": False, "notices": [*LIVE]}}
    cell = dataclasses.replace(record().cell, data=" ".join(LIVE), weights=" ".join(LIVE))
    store.append(tmp_path, "a-machine", dataclasses.replace(record(), cell=cell, dataset=facts))
    failed = dataclasses.replace(record(status="failed"), reason=" ".join(LIVE))
    store.append(tmp_path, "a-machine", dataclasses.replace(failed, cell=dataclasses.replace(cell, seed=1)))
    with injected("live_names", times=len(LIVE)):
        page.build(tmp_path)
        for file in (*pages.files(tmp_path), *(tmp_path / "cards").glob("*.md")):
            text = file.read_text(encoding="utf-8").replace("plots/www.", "plots/").replace("cards/www.", "cards/")
            assert not re.search(r"www\.evil|://evil|@jane|x#12|@evil|\]\(//evil|<b>|GH-12", text)
            parsed = MarkdownIt("commonmark").enable("table").parse(text)
            inner = [part for token in parsed for part in (token, *(token.children or ()))]
            links = [str(part.attrs.get("href", part.attrs.get("src", ""))) for part in inner if part.attrs]
            ours = ("#", "plots/", "cards/", "pages/", "how-to-read.md#", "../plots/", "../cards/", "../README.md")
            assert [link for link in links if link and not link.startswith((*ours, "../../docs/"))] == []


def test_a_formula_is_a_word_in_every_table(injected: Injected) -> None:
    names = ('=HYPERLINK("//evil")', "+cmd|' /C calc'!A0", "-1+1|cmd", "@SUM(1)", "\t=1", "\r=1")
    for name in names:
        with injected("live_names"):
            text = to_csv([Table(name, (words(name), words("x")), ((word(name), number(-1, 0)),))])
            assert "'" + name.split("\r")[0][:3] in text.replace('""', '"')

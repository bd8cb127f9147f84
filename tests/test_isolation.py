"""Who may import what, and what a worker is made of: proved in processes of their own, and by the source itself."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from bcdl import backends
from bcdl.machine import provenance
from bcdl.records.record import Record
from tests import sources
from tests.factory import jobs

ROOT = Path(__file__).resolve().parent.parent
FRAMEWORKS = ("keras", *backends.NAMES)
# Each is imported after a backend was started; all else must do without Keras.
USING_KERAS = ("bcdl.worker.", "bcdl.parity.worker.", "bcdl.experiments.engine.training_cell.")

# All that a worker imports before it has read its job: packages, and rooms of the house.
WORKER_PACKAGES = {"PIL", "cpuinfo", "numpy", "platformdirs", "psutil"}
_ROOMS_BELOW = {"errors", "interrupts", "screen", "streams", "text"}
# Statistics have the one rule of what is steady: by it a worker ends a regime, and a report doubts its rate.
WORKER_ROOMS = _ROOMS_BELOW | {"backends", "datasets", "machine", "records", "settings", "statistics", "worker"}
# All that the project's own code imports in a worker from then on, besides Keras and the framework: h5py, which Keras
# needs anyway, looks into files of weights. OpenCV only if images are augmented.
CELL_PACKAGES = WORKER_PACKAGES | {"h5py"}
CELL_ROOMS = WORKER_ROOMS | {"evaluation"}


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def modules_after(statement: str) -> set[str]:
    """Every module that a process has after the statement."""
    return set(run_python(f"import sys; {statement}; print(' '.join(sys.modules))").split())


def packages(modules: set[str]) -> set[str]:
    """The top-level packages among the modules that are neither Python's own nor the project's.

    An editable installation has a finder of its own, which each process imports as it starts.
    """
    tops = {name.split(".")[0] for name in modules if not name.startswith("__editable__")}
    return tops - set(sys.stdlib_module_names) - {"bcdl", "__main__"}


def rooms(modules: set[str]) -> set[str]:
    """The packages and modules right under `bcdl` among the modules."""
    return {name.split(".")[1] for name in modules if name.startswith("bcdl.")}


def test_nothing_but_the_workers_imports_keras() -> None:
    files = [file for file in (ROOT / "bcdl").rglob("*.py") if file.stem != "__main__"]
    dotted = (".".join(file.relative_to(ROOT).with_suffix("").parts) for file in files)
    modules = {name.removesuffix(".__init__") for name in dotted}
    if not importlib.util.find_spec("altair"):  # of the extra `report`
        modules -= {"bcdl.report.web.charts", "bcdl.report.web.page"}
    names = ", ".join(sorted(name for name in modules if not f"{name}.".startswith(USING_KERAS)))
    assert not modules_after(f"import {names}") & set(FRAMEWORKS)


def test_records_and_cells_need_the_standard_library_alone() -> None:
    loaded = modules_after("import bcdl.settings.cell, bcdl.records.record, bcdl.records.store, bcdl.settings.profiles")
    assert not loaded & {"numpy", "matplotlib", "rich", *FRAMEWORKS}


def test_a_worker_starts_with_these_modules_alone() -> None:
    loaded = modules_after("import bcdl.worker.__main__, bcdl.worker.measurement")
    assert packages(loaded) <= WORKER_PACKAGES
    assert rooms(loaded) <= WORKER_ROOMS
    assert {name for name in loaded if name.startswith("bcdl.statistics.")} == {"bcdl.statistics.steadiness"}
    # Of the records' room, the form of a record and of its line, what makes it valid, a file's replacement, and what
    # makes cells alike: a worker appends to no log and holds no lock.
    form = {"checks", "fields", "identity", "line", "moment", "recomputed", "record", "schema", "shapes", "validity"}
    assert {name for name in loaded if name.startswith("bcdl.records.")} <= {
        f"bcdl.records.{module}" for module in form | {"comparability", "disk"}
    }


@pytest.mark.parametrize(("command", "needed"), [("predict", set()), ("doctor", {"rich"})])
def test_a_command_that_starts_a_backend_checks_its_arguments_before_it_imports_more(
    command: str, needed: set[str]
) -> None:
    code = (
        f"import sys, bcdl.{command} as command\nsys.argv = ['bcdl', '--device', 'abacus', 'a.keras', 'b.png']\n"
        "try:\n    command.main()\nexcept (SystemExit, Exception) as error:\n    print(error, file=sys.stderr)\n"
        "else:\n    raise AssertionError('these arguments are wrong')\n"
        "print(' '.join(sys.modules))"
    )
    heavy = {*FRAMEWORKS, "cv2", "matplotlib", "pooch", "rich", "scipy", "sklearn"}
    assert packages(set(run_python(code).split())) & heavy == needed


def run_cell(tmp_path: Path, before: str, **options: object) -> tuple[Record, str]:
    """The record of a small cell in a worker's process of its own, and what that printed; `before` runs first.

    Regimes are timed for a tenth as long as otherwise.
    """
    (job,) = jobs(os.environ["KERAS_BACKEND"], "cnn", image_size="32", epochs="1", **options)
    file = tmp_path / "job.json"
    file.write_text(json.dumps({"job": job.to_dict(), "run": "a-run", "launched_s": 0.0}), encoding="utf-8")
    arguments = [str(file), str(tmp_path / "result.json"), str(tmp_path / "events")]
    short = "from bcdl.worker import timing\ntiming.LEAST_S /= 10"
    printed = run_python(f"{before}\n{short}\nfrom bcdl.worker.__main__ import main\nmain(*{arguments})\nafter()")
    return Record.from_json((tmp_path / "result.json").read_text(encoding="utf-8")), printed


# Notes which packages the project's own code imports; Keras and the frameworks import more, and are not asked.
NOTE_IMPORTS = """
import builtins, json, sys
plain, imported = builtins.__import__, set()

def note(name, globals=None, locals=None, fromlist=(), level=0):
    if level == 0 and ((globals or {}).get("__name__") or "").startswith("bcdl"):
        imported.add(name.split(".")[0])
    return plain(name, globals, locals, fromlist, level)

def after():
    files = {name: module.__file__ for name, module in sys.modules.items() if name.split(".")[0] == "bcdl"}
    print()
    print(json.dumps({"imported": list(imported), "files": files}))

builtins.__import__ = note
"""


# Packages of reports and of augmentation. JAX itself needs SciPy, and Keras rich, so these two are not among them.
ABSENT = ("cv2", "matplotlib", "pooch", "sklearn")


@pytest.mark.keras
@pytest.mark.parametrize("augment", [pytest.param(False, marks=pytest.mark.any_backend), True])
def test_a_whole_cell_imports_these_packages_and_no_other(tmp_path: Path, augment: bool) -> None:
    """Without augmentation the packages of reports can't even be imported."""
    absent = f"import sys\nsys.modules.update(dict.fromkeys({() if augment else ABSENT}))\n"
    record, printed = run_cell(tmp_path, absent + NOTE_IMPORTS, augment=augment)
    assert (record.status, record.reason) == ("ok", "")
    noted = json.loads(printed.splitlines()[-1])
    imported = packages(set(noted["imported"]))
    own = {"keras", "numpy", record.cell.backend}
    assert own <= imported | {"numpy"}
    assert imported - own <= CELL_PACKAGES | ({"cv2"} if augment else set())
    assert rooms(set(noted["files"])) <= CELL_ROOMS
    # The digest of the code that a record carries is of every file that was run.
    ran = {Path(file) for file in noted["files"].values() if file}
    assert ran <= set(provenance.files(record.cell.backend))


def test_the_door_to_the_backends_imports_none() -> None:
    assert not modules_after("from bcdl import backends; backends.is_installed('jax')") & set(FRAMEWORKS)


def test_no_condition_outside_backends_names_a_framework() -> None:
    """A difference between frameworks is a method of their adapters, or a finding of `known_differences`."""
    assert sources.conditions_on(backends.NAMES, "bcdl", "benchmarks", "noxfile.py") == []


def test_a_backend_is_started_in_one_place() -> None:
    assert sources.calls_of("configure", "bcdl", "benchmarks") == {"bcdl/worker/session.py"}


def test_a_cell_is_prepared_in_one_place() -> None:
    """Whoever draws initial weights prepares a model, or makes it as new; parity's is another, opened up."""
    places = {"bcdl/worker/prepared.py", "bcdl/worker/shared.py", "bcdl/parity/worker/instrumented.py"}
    assert sources.calls_of("draw_initial_weights", "bcdl", "benchmarks") == places
    assert sources.calls_of("compile_model", "bcdl", "benchmarks") <= {
        "bcdl/worker/prepared.py",
        "bcdl/worker/shared.py",
    }


def test_typed_objects_are_passed_and_no_modules() -> None:
    """A plot is a module that is found by being there, so the plots' own door passes modules."""
    assert [place for place in sources.untyped() if not place.startswith("bcdl/report/plots/__init__.py")] == []
    assert {place: count for place, count in sources.parameters("bcdl/worker").items() if count > 5} == {}


@pytest.mark.parametrize("name", backends.NAMES)
def test_a_backend_brings_its_pinned_requirements(name: str) -> None:
    for kind in ("cpu", "gpu"):
        lines = (ROOT / "backends" / name / f"requirements-{kind}.txt").read_text().splitlines()
        pins = [line for line in lines if not line.startswith("#")]
        assert pins
        assert all("==" in line for line in pins)
        assert any(line.startswith("keras==") for line in pins)
        assert any(line.startswith("pytest-benchmark==") for line in pins)
        assert not any("://" in line for line in pins)


def test_the_folder_of_backends_is_not_on_the_path() -> None:
    assert str(ROOT / "backends") not in sys.path

"""A user without a home, a name, or a folder that may be written: that is told once, and done without."""

from __future__ import annotations

import functools
import json
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bcdl import compare, doctor, gallery, leaks, status
from bcdl.datasets.sources import folder as folders
from bcdl.datasets.sources import medmnist
from bcdl.machine import environment, places, scratch
from bcdl.records import store
from bcdl.report import __main__ as report
from bcdl.settings.options import configured_backend
from tests.conftest import ROOT
from tests.factory import record, with_rates
from tests.faults import driver
from tests.faults.conftest import Injected
from tests.faults.test_drivers import recorded
from tests.in_process import InProcess

VARIABLES = ("HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "KERAS_HOME", "MPLCONFIGDIR", "USER", "LOGNAME", "LNAME")


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable says where this user's folders are, and nothing was said of them."""
    for name in (*VARIABLES, "USERNAME", "JAX_COMPILATION_CACHE_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(places, "_told", set())
    monkeypatch.setenv("LOGNAME", "somebody")


def nobody(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """The system does not know the user."""
    patch.delenv("LOGNAME")
    patch.setattr(pwd, "getpwuid", lambda number: {}[number])


def variables(**values: str) -> Callable[[pytest.MonkeyPatch, Path], None]:
    """The variables, in which FILE stands for a file and NONE for what lies below it."""

    def set_variables(patch: pytest.MonkeyPatch, folder: Path) -> None:
        (folder / "file").write_bytes(b"")
        for name, value in {"HOME": str(folder), **values}.items():
            patch.setenv(name, value.replace("FILE", str(folder / "file")).replace("NONE", str(folder / "file" / "x")))

    return set_variables


# What a user has not, and what is said of it.
USERS: dict[str, tuple[Callable[[pytest.MonkeyPatch, Path], None], str]] = {
    "no home, no name": (nobody, "there is no home folder; set HOME or XDG_CACHE_HOME"),
    "a home that is not there": (variables(HOME="NONE"), "file is no folder; set XDG_CACHE_HOME"),
    "a home that is a file": (variables(HOME="FILE"), "file is no folder; set XDG_CACHE_HOME"),
    "a cache that is a file": (variables(XDG_CACHE_HOME="FILE"), "file is no folder; set XDG_CACHE_HOME"),
    "a cache below a file": (variables(XDG_CACHE_HOME="NONE"), "file is no folder; set XDG_CACHE_HOME"),
    "a cache in the system's own files": (variables(XDG_CACHE_HOME="/proc"), "/proc/bcdl can't be"),
    "a folder of Keras that is a file": (variables(KERAS_HOME="FILE"), "file is no folder; set KERAS_HOME"),
    "a folder of matplotlib that is a file": (variables(MPLCONFIGDIR="FILE"), "file is no folder; set MPLCONFIGDIR"),
    "settings that are a file": (variables(XDG_CONFIG_HOME="FILE"), "file is no folder; set MPLCONFIGDIR"),
}


@pytest.mark.parametrize("user", USERS)
def test_what_is_done_without_is_told_once(
    user: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, injected: Injected
) -> None:
    lacks, says = USERS[user]
    lacks(monkeypatch, tmp_path)
    if "/proc" in says:  # to the superuser all may be written, the system says
        monkeypatch.setattr(os, "access", lambda path, mode: not str(path).startswith("/proc"))
    with injected("no_home"):
        lines = environment.notices("cpu")
        assert any(says in line for line in lines), lines
        assert all(line.startswith("note: ") and "\n" not in line for line in lines)
        assert environment.notices("cpu") == []


@pytest.mark.parametrize("user", USERS)
def test_commands_go_on_for_every_user(
    user: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_process: InProcess, injected: Injected
) -> None:
    file = store.append(tmp_path / "results", "a-machine", record())
    slower = with_rates(record("20260102T000000Z-0000"), fit=90.0, step=90.0, predict=90.0)
    other = store.append(tmp_path / "others", "a-machine", slower)
    images = folders.example(tmp_path / "images")
    USERS[user][0](monkeypatch, tmp_path)
    results = ("--results", str(tmp_path / "results"))
    commands: dict[Any, tuple[str, ...]] = {
        doctor.main: (),
        leaks.main: (images,),
        compare.main: (str(file), str(other)),
        report.main: results,
        gallery.main: (*results, "--data", "synthetic-48"),
        status.main: results,
    }
    with injected("no_home", times=len(commands)):
        for main, arguments in commands.items():
            code, _, err = in_process(main, *arguments)
            assert code in (0, 1, 2), main
            assert "Traceback" not in err
            assert all(line.startswith(("note: ", "error: ")) for line in err.splitlines()), err


@functools.cache
def as_unknown_user() -> list[str]:
    """What stands before a command that runs as a number of which the system knows no user, if this one may become it.

    It is of the superuser alone. Others are known to the system, and have no home all the same.
    """
    become = ["setpriv", "--reuid", "12345", "--regid", "12345", "--clear-groups"]
    if os.geteuid() or not shutil.which("setpriv"):
        return []
    starts_itself = "import numpy, psutil, subprocess, sys; subprocess.run([sys.executable, '-c', ''], check=True)"
    tried = subprocess.run([*become, sys.executable, "-c", starts_itself], capture_output=True, cwd=ROOT)
    return [] if tried.returncode else become


@pytest.fixture
def open_to_all() -> Iterator[Path]:
    """A folder that every user may write."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        os.chmod(place, 0o777)
        yield Path(place)


def test_a_run_goes_on_without_home_and_name(
    open_to_all: Path, monkeypatch: pytest.MonkeyPatch, injected: Injected
) -> None:
    monkeypatch.delenv("LOGNAME")
    monkeypatch.setenv("TMPDIR", str(open_to_all))
    results, plan = open_to_all / "results", driver.plan(open_to_all)
    prefix = as_unknown_user()
    with injected("no_home") as tally:
        process = driver.command(results, plan, "-p", "no:cacheprovider", cells=2, prefix=prefix)
        said = process.communicate()[0]
        assert process.returncode == 0, said
        tally.lost += 2 - len(recorded(results))
        assert len(recorded(results)) == 2
        assert "Traceback" not in said
        assert said.count("there is no home folder; set HOME or XDG_CACHE_HOME") == bool(prefix), said


# Files of settings that Keras can't be imported with, and others; to each, what is said of it.
SETTINGS: dict[str, tuple[Any, str]] = {
    "none": (None, ""),
    "no JSON": ("{floatx", ""),
    "nothing": ("", ""),
    "no text": (b"\xff\xfe", ""),
    "sound": ({"floatx": "float16", "epsilon": 1e-5, "backend": "jax", "image_data_format": "channels_first"}, ""),
    "another backend": ({"backend": "theano"}, ""),
    "a list": (["floatx"], "holds no settings by name"),
    "a number": (3, "holds no settings by name"),
    "another type": ({"floatx": "bfloat16"}, "floatx is 'bfloat16', none of float16, float32, float64"),
    "no name of a type": ({"floatx": ["float32"]}, "floatx is ['float32']"),
    "another layout": ({"image_data_format": "NCHW"}, "image_data_format is 'NCHW'"),
    "a whole number": ({"epsilon": 1}, "epsilon is 1, no number with a decimal point"),
    "words": ({"epsilon": "small"}, "epsilon is 'small'"),
    "a folder": (Path(), "it is no file"),
    "nested": ("[" * 100_000, "it can't be read"),
}


def write_settings(home: Path, content: Any) -> None:
    file = home / "keras.json"
    home.mkdir()
    if isinstance(content, Path):
        file.mkdir()
    elif content is not None:
        values = content if isinstance(content, str | bytes) else json.dumps(content)
        file.write_bytes(values if isinstance(values, bytes) else values.encode())


@pytest.mark.parametrize("settings", SETTINGS)
def test_settings_that_keras_cannot_be_imported_with_are_told_and_left_out(
    settings: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, injected: Injected
) -> None:
    content, says = SETTINGS[settings]
    write_settings(tmp_path / "keras", content)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    monkeypatch.delenv("KERAS_BACKEND", raising=False)
    with injected("keras_settings"):
        assert configured_backend() == {"sound": "jax", "another backend": "theano"}.get(settings, "tensorflow")
        notices = [line for line in places.notices() if "keras.json" in line]
        assert [says in line for line in notices] == [True] * bool(says)
        before = sorted((tmp_path / "keras").iterdir())
        places.settle()
        own = tmp_path / ".cache" / "bcdl" / "keras"
        assert os.environ["KERAS_HOME"] == str(own if says else tmp_path / "keras")
        assert sorted((tmp_path / "keras").iterdir()) == before


def test_code_that_is_not_measured_is_not_chosen_by_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_settings(tmp_path / "keras", {"nnx_enabled": True})
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    with pytest.raises(ValueError, match="nnx_enabled is True"):
        places.keras_settings()


@pytest.mark.keras
@pytest.mark.parametrize("settings", SETTINGS)
def test_keras_takes_the_settings_that_are_taken_here(
    settings: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the module of Keras that reads them, executed once more under another name."""
    config = pytest.importorskip("keras.src.backend.config")
    content, says = SETTINGS[settings]
    write_settings(tmp_path / "keras", content)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    code = Path(config.__file__).read_text(encoding="utf-8")
    if says:
        with pytest.raises((ValueError, TypeError, AttributeError, OSError, RecursionError)):
            exec(compile(code, "config", "exec"), {"__name__": "another_config"})
    else:
        exec(compile(code, "config", "exec"), {"__name__": "another_config"})


def test_a_user_without_a_name_has_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    nobody(monkeypatch, tmp_path)
    places.settle()
    assert os.environ["LOGNAME"] == f"uid-{os.getuid()}"


@pytest.mark.parametrize("user", USERS)
def test_data_is_downloaded_to_a_folder_that_can_be_written(
    user: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, injected: Injected
) -> None:
    pooch = pytest.importorskip("pooch")
    monkeypatch.setattr(scratch, "of_process", lambda: tmp_path)
    USERS[user][0](monkeypatch, tmp_path)

    def retrieve(url: str, digest: str, fname: str, path: Path, **rest: object) -> str:
        path.mkdir(parents=True, exist_ok=True)
        (path / fname).write_bytes(b"")
        return str(path / fname)

    monkeypatch.setattr(places, "keras", lambda: places_of_keras(tmp_path))
    monkeypatch.setattr(pooch, "retrieve", retrieve)
    with injected("no_home"):
        file = medmnist._download()
        assert file.is_file()
        assert medmnist._download() == file


def places_of_keras(tmp_path: Path) -> Path:
    """Keras's folder, and not that of the system's temporary files, which other users see."""
    chosen = os.environ.get("KERAS_HOME")
    return Path(chosen) if chosen else tmp_path / ".keras"


@pytest.mark.keras
def test_a_model_is_trained_without_home_name_and_settings(open_to_all: Path, injected: Injected) -> None:
    """In a process of its own."""
    write_settings(open_to_all / "keras", {"floatx": "float12", "backend": "theano"})
    kept = {name: value for name, value in os.environ.items() if name not in VARIABLES}
    of_user = {"KERAS_HOME": str(open_to_all / "keras"), "TMPDIR": str(open_to_all), "PYTHONPATH": str(ROOT)}
    options = ["--model", "cnn", "--profile", "smoke", "--image-size", "32", "--no-timing"]
    command = [sys.executable, "-m", "bcdl", "train", *options, "--results", str(open_to_all / "results")]
    with injected(f"no_home_{os.environ['KERAS_BACKEND']}", times=4):
        done = subprocess.run(
            [*as_unknown_user(), *command],
            cwd=ROOT,
            env={**kept, **of_user},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert "Traceback" not in done.stdout + done.stderr
        assert done.stdout.count("keras.json is not used, nor the weights beside it: floatx is 'float12'") == 1
        assert len(recorded(open_to_all / "results")) == 1
        assert not list(open_to_all.glob("bcdl-*"))

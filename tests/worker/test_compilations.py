"""The cache of what is compiled: cold, then warm, and never half of one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from bcdl import backends
from bcdl.machine import hardware
from bcdl.records.record import Record
from bcdl.worker import compilations, measurement
from bcdl.worker.phases import Phases
from tests.factory import cell, jobs

BACKEND = os.environ.get("KERAS_BACKEND", "")


class Compiler:
    """Stands in for an adapter: compiles two functions, each into a file of its cache."""

    FUNCTIONS = ("step", "forward")

    def __init__(self) -> None:
        self.folder: Path | None = None
        self.state = "off"

    def cache_compilations(self, folder: Path | None) -> None:
        self.folder = folder
        if folder:
            self.state = "warm" if any(folder.iterdir()) else "cold"

    def describe(self) -> dict[str, Any]:
        return {"compilation_cache": self.state}

    def compile(self) -> None:
        assert self.folder is not None
        missing = [name for name in self.FUNCTIONS if not (self.folder / name).is_file()]
        if missing and self.state == "warm":
            self.state = "partly warm"
        for name in missing:
            (self.folder / name).write_text("machine code")


class WithoutCache(Compiler):
    def cache_compilations(self, folder: Path | None) -> None:
        raise backends.UnsupportedError("it compiles nothing")


@pytest.fixture(autouse=True)
def own_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def run(compiler: Compiler | None = None, **changes: Any) -> str:
    """Compile under the cache of a cell; the state of the cache."""
    compiler = compiler or Compiler()
    with compilations.kept(compiler, cell(**changes)):  # type: ignore[arg-type]
        if compiler.folder:
            compiler.compile()
    return compiler.state


def kept() -> list[str]:
    return sorted(path.name for path in compilations.folder().iterdir())


def test_the_first_cell_is_cold_and_those_that_compile_the_same_are_warm() -> None:
    assert [run(), run(), run(seed=7)] == ["cold", "warm", "warm"]
    assert run(model="mobilenet") == "cold"
    assert run(image_size=64) == "cold"
    assert len(kept()) == 3


@pytest.mark.parametrize(
    ("patched", "value"),
    [
        ("bcdl.machine.hardware.instructions", lambda: ("25", "17", "1", "avx2")),
        ("bcdl.machine.provenance.digest", lambda backend: "other code"),
        ("bcdl.machine.hardware.versions", lambda: {"jax": "99"}),
    ],
)
def test_another_processor_code_or_version_is_cold(monkeypatch: pytest.MonkeyPatch, patched: str, value: Any) -> None:
    assert run() == "cold"
    monkeypatch.setattr(patched, value)
    assert run() == "cold"


def test_flags_of_the_compiler_count(monkeypatch: pytest.MonkeyPatch) -> None:
    assert run() == "cold"
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    assert run() == "cold"


def test_the_instruction_sets_of_this_processor_are_known() -> None:
    assert len(hardware.instructions()) > 3


def test_what_a_cell_that_fails_compiled_is_not_kept() -> None:
    compiler = Compiler()
    with pytest.raises(RuntimeError), compilations.kept(compiler, cell()):  # type: ignore[arg-type]
        raise RuntimeError
    assert kept() == []
    assert run() == "cold"


def test_nor_is_a_folder_under_which_a_cell_failed() -> None:
    """It may be why: the next cell must not fail so, too."""
    run()
    with pytest.raises(RuntimeError), compilations.kept(Compiler(), cell()):  # type: ignore[arg-type]
        raise RuntimeError
    assert kept() == []
    assert run() == "cold"


def test_two_cells_at_once_never_share_a_folder() -> None:
    run()
    outer = Compiler()
    with compilations.kept(outer, cell()):  # type: ignore[arg-type]
        assert run() == "cold"
        outer.compile()
    assert outer.state == "warm"
    assert run() == "warm"
    assert len(kept()) == 1


def test_a_function_that_was_missing_is_there_for_the_next() -> None:
    run()
    (compilations.folder() / kept()[0] / "forward").unlink()
    assert [run(), run()] == ["partly warm", "warm"]


def test_what_a_process_that_died_left_goes_after_a_week() -> None:
    compilations.folder().mkdir(parents=True)
    for days in (1, 8):
        left = compilations.folder() / f"aside-{days}"
        left.mkdir()
        moment = left.stat().st_mtime - days * 24 * 3600
        os.utime(left, (moment, moment))
    run()
    assert [name for name in kept() if name.startswith("aside-")] == ["aside-1"]


def test_a_backend_without_a_cache_is_off_and_leaves_nothing() -> None:
    assert run(WithoutCache()) == "off"
    assert kept() == []


def test_a_folder_that_cannot_be_made_costs_no_cell(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "bcdl").write_text("in the way")
    assert run() == "off"
    assert "what is compiled can't be kept" in capsys.readouterr().err


def test_the_folders_used_last_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilations, "MOST_FOLDERS", 2)
    for age, size in enumerate((32, 48, 64)):
        run(image_size=size)
        newest = max(compilations.folder().iterdir(), key=lambda path: path.stat().st_mtime)
        os.utime(newest, (1e9 + age, 1e9 + age))
    assert len(kept()) == 2
    assert [run(image_size=size) for size in (64, 48, 32)] == ["warm", "warm", "cold"]


@pytest.mark.keras
@pytest.mark.usefixtures("short_regimes")
def test_a_warm_cell_gives_the_answers_of_a_cold_one_to_the_bit() -> None:
    """Between the two runs of this process the adapter forgets what it has compiled."""
    pytest.importorskip("keras")
    (job,) = jobs(BACKEND, "cnn", image_size="32", epochs="2")
    cold, warm = (measurement.run(job, "a-run", Phases())[0] for _ in range(2))
    assert cold.ok
    assert answers(cold) == answers(warm)
    states = [each.environment["compilation_cache"] for each in (cold, warm)]
    assert states in (["cold", "warm"], ["off", "off"])
    assert ("warm_first_step_s" in warm.metrics) == (states[1] == "warm")
    assert ("first_step_s" in warm.metrics) == (states[1] == "off")
    assert ("peak_memory_mib" in warm.metrics) == (states[1] == "off")


@pytest.mark.keras
def test_a_cell_that_is_to_be_cold_neither_loads_nor_keeps() -> None:
    pytest.importorskip("keras")
    (job,) = jobs(BACKEND, "cnn", image_size="32", epochs="1", cold=True, timing=False)
    states = {measurement.run(job, "a-run", Phases())[0].environment["compilation_cache"] for _ in range(2)}
    assert states == {"off"}
    assert not compilations.folder().is_dir()


def answers(record: Record) -> tuple[Any, ...]:
    return record.history, record.predictions, record.model, record.metrics["test_loss"]

"""Fixtures that several test files share."""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from bcdl import interrupts
from bcdl.datasets import cache
from bcdl.worker import compilations
from tests import in_process as commands

# An example that takes long on a busy machine is no fault.
settings.register_profile("without a clock", deadline=None)
settings.load_profile("without a clock")

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real images and data sets; tests that need it are skipped where there is none."""
    folder = Path(os.environ.get("BCDL_TEST_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(
            "no real images: set BCDL_TEST_DATA to a folder that has busi/, breakhis-sample/ and breastmnist.npz"
        )
    return folder


@pytest.fixture(scope="session")
def real_weights(real_data: Path) -> Path:
    """ImageNet weights of MobileNet without its top, in Keras's format."""
    file = real_data.parent / "weights" / "mobilenet_1_0_224_tf_no_top.weights.h5"
    if not file.is_file():
        pytest.skip(f"no file {file.name} in a folder weights/ beside the real images")
    return file


@pytest.fixture(scope="session")
def compiled_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What a test compiles with JAX, those after it load: most compile the same small models, which takes seconds.

    JAX's own cache is on wherever the harness leaves it off, which the harness does not see; and its own, that keeps a
    folder a cell, is on in the tests that are about it and in processes that tests start.
    """
    if os.environ.get("KERAS_BACKEND") != "jax":
        yield
        return
    jax = pytest.importorskip("jax")
    folder, update = str(tmp_path_factory.mktemp("compiled")), jax.config.update

    def keep_on(name: str, value: Any) -> None:
        if name == "jax_enable_compilation_cache" and not value:
            update("jax_compilation_cache_dir", folder)
            update("jax_persistent_cache_enable_xla_caches", "none")
            update("jax_persistent_cache_min_compile_time_secs", 0)
            update("jax_persistent_cache_min_entry_size_bytes", -1)
            value = True
        update(name, value)

    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(jax.config, "update", keep_on)
        yield


@pytest.fixture(autouse=True, scope="session")
def signals_are_heard() -> None:
    """Signals that a shell has ignored, for what it runs in the background or by `nohup`, are heard here."""
    for number in interrupts.SIGNALS:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is shown to somebody who watches does not depend on who runs the tests: a person, or a CI service."""
    for name in ("NO_COLOR", "CI", "FORCE_COLOR", "TTY_COMPATIBLE", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


@pytest.fixture
def blank_pictures() -> Iterator[None]:
    """Reports that the test builds in this process have blank pictures: to draw them takes most of their time."""
    with commands.blank_pictures():
        yield


@pytest.fixture(autouse=True)
def no_cell_compiles_alone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cells of this process share what is compiled, unless `compilations` itself is tested."""
    if request.node.get_closest_marker("keras") and request.node.path.name != "test_compilations.py":
        request.getfixturevalue("compiled_once")
        monkeypatch.setattr(compilations, "kept", lambda *of_a_cell: contextlib.nullcontext())


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is decoded and compiled never comes from a user's cache, nor goes there; all tests of a session share it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    monkeypatch.setenv("XDG_CACHE_HOME", str(shared / "cache"))


@pytest.fixture
def empty_cache(own_cache: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """A cache of the test's own, and what was said of caches before is said again."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    cache._tell.cache_clear()
    yield
    cache._tell.cache_clear()


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> commands.InProcess:
    """Runs commands in this process."""
    return commands.InProcess(monkeypatch, capsys)

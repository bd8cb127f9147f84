"""Fixtures that several test files share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

from tests.in_process import InProcess

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


@pytest.fixture(autouse=True)
def own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """What is decoded and compiled never comes from a user's cache, nor goes there; all tests of a session share it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    monkeypatch.setenv("XDG_CACHE_HOME", str(shared / "cache"))


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> InProcess:
    """Runs commands in this process."""
    return InProcess(monkeypatch, capsys)

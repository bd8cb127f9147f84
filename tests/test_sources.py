"""The readers of source that the contract tests rely on see what they are to see: each kind of lapse, planted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import sources


def plant(root: Path, code: str) -> Path:
    """A tree of one file, `bcdl/planted.py`."""
    (root / "bcdl").mkdir()
    (root / "bcdl" / "planted.py").write_text(code, encoding="utf-8")
    return root


@pytest.mark.parametrize(
    "code",
    [
        "if backend == 'jax': pass",
        "if 'jax' != adapter.name: pass",
        "x = 1 if backend in ('torch', 'jax') else 2",
        "while name not in {'jax'}: pass",
        "match backend:\n    case 'jax': pass",
        "match backend:\n    case 'torch' | 'jax': pass",
        "if backend.startswith('jax'): pass",
        "steps = {'jax': 1, 'torch': 2}[backend]",
        "steps = {'jax': 1}.get(backend, 2)",
    ],
)
def test_a_condition_on_a_framework_is_seen(tmp_path: Path, code: str) -> None:
    assert sources.conditions_on(("jax",), "bcdl", root=plant(tmp_path, code))


@pytest.mark.parametrize("code", ["PACKAGES = ('jax', 'numpy')", "print('jax')", "if backend == other: pass"])
def test_what_is_no_condition_on_a_framework_is_none(tmp_path: Path, code: str) -> None:
    assert not sources.conditions_on(("jax",), "bcdl", root=plant(tmp_path, code))


@pytest.mark.parametrize(
    "code",
    [
        "import time\nstart = time.perf_counter()",
        "import time as t\nclock = t.perf_counter",
        "from time import perf_counter",
        "from time import perf_counter as now",
        "import time\nclock = getattr(time, 'perf_counter')",
    ],
)
def test_a_second_clock_is_seen(tmp_path: Path, code: str) -> None:
    readings = sources.clock_readings({"perf_counter"}, plant(tmp_path, code))
    assert readings == {("bcdl/planted.py", "perf_counter")}


@pytest.mark.parametrize(
    "code", ["import time\ntime.time()", "import time as t\nt.time_ns()", "from time import time\ntime()"]
)
def test_the_time_of_day_is_seen(tmp_path: Path, code: str) -> None:
    assert sources.time_of_day(plant(tmp_path, code)) == {"bcdl/planted.py"}


@pytest.mark.parametrize(
    "code",
    [
        "from types import ModuleType",
        "import types\ndef f(keras: types.ModuleType) -> None: pass",
        "import importlib\nm = importlib.import_module('bcdl.worker.regimes')",
        "import importlib\nm = importlib.import_module(f'bcdl.worker.{name}')",
        "import importlib\nm = importlib.import_module('keras')",
    ],
)
def test_what_hides_a_type_is_seen(tmp_path: Path, code: str) -> None:
    assert sources.untyped("bcdl", root=plant(tmp_path, code))


def test_parameters_are_counted_without_self(tmp_path: Path) -> None:
    code = "class A:\n    def f(self, a, /, b, *, c): pass\ndef g(): pass"
    counts = sources.parameters("bcdl", root=plant(tmp_path, code))
    assert counts == {"bcdl/planted.py:f": 3, "bcdl/planted.py:g": 0}

"""Fixtures of tests of data sets."""

from __future__ import annotations

import pytest

from bcdl import datasets
from bcdl.datasets import Dataset
from tests.datasets import cases


@pytest.fixture(scope="session", params=[name for name in cases.CASES if name not in cases.REFUSED])
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Dataset]:
    """The name of a case and its data set as it is read, once for all tests of it."""
    return request.param, datasets.load(cases.write(request.param, tmp_path_factory.mktemp("case")))

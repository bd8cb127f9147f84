"""Environment variables that would falsify figures."""

from __future__ import annotations

import os

import pytest

from bcdl.machine import environment


def test_unwanted_variables_are_left_out_and_others_kept() -> None:
    variables = {"KERAS_MAX_EPOCHS": "1", "KERAS_BACKEND": "jax"}
    assert environment.without_unwanted(variables) == {"KERAS_BACKEND": "jax"}
    assert variables["KERAS_MAX_EPOCHS"] == "1"


def test_unwanted_variables_are_cleared_from_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in environment.UNWANTED:
        monkeypatch.setenv(name, "1")
    environment.clear_unwanted()
    assert not set(environment.UNWANTED) & os.environ.keys()
    environment.clear_unwanted()

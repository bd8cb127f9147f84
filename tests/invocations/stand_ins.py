"""What stands in for the work of a command, so that an invocation that is right ends before it."""

from __future__ import annotations

import functools

import pytest

from bcdl import backends, datasets, doctor, env, sprint
from bcdl.errors import BcdlError
from bcdl.experiments import large_data_sets
from bcdl.experiments.engine import processes, rounds
from bcdl.pack import wheels
from bcdl.parity import __main__ as parity
from bcdl.runner import data_picture, launch
from bcdl.runner.cluster import slurm
from bcdl.worker import measurement, session


def _measure(*arguments: object, **options: object) -> None:
    raise BcdlError("nothing is measured here: a stand-in ends each invocation that would")


def put(patch: pytest.MonkeyPatch) -> None:
    """Put a stand-in in each place at which a backend is started, a worker, or something else that takes long."""
    patch.setattr(backends, "is_installed", lambda name: True)
    patch.setattr(measurement, "run", _measure)
    patch.setattr(launch, "started", _measure)
    patch.setattr(processes, "result", _measure)
    patch.setattr(large_data_sets._Setting, "way", _measure)
    patch.setattr(rounds, "_ways_in_process", _measure)
    patch.setattr(session, "start_backend", _measure)
    patch.setattr(parity, "start_backend", _measure)
    patch.setattr(sprint, "_work_through", lambda *arguments: [])
    patch.setattr(doctor, "_backend", lambda *arguments: {})
    patch.setattr(wheels, "download", _measure)
    patch.setattr(env, "_make", _measure)
    patch.setattr(slurm, "site", _measure)
    # What takes most of the time of a check: the drawings, and the picture of them.
    patch.setattr(datasets, "read_pool", functools.cache(datasets.read_pool))
    patch.setattr(data_picture, "save", lambda shown, file: f"no picture is drawn: {file.name}")

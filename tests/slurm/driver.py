"""A command of bcdl whose workers are stand-ins: `python -m tests.slurm.driver PLAN COMMAND [OPTION ...]`.

PLAN is that of `tests.faults.good_worker`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from bcdl import __main__, backends
from bcdl.runner import launch
from bcdl.runner.cluster import follow
from tests.faults import driver


def main(plan: str, *arguments: str) -> None:
    launch.WORKER = driver.worker(Path(plan))
    backends.is_installed = lambda name: True  # type: ignore[assignment]
    follow._GRACE_S, follow._MOST_PAUSE_S = 2.0, 1.0  # this disk shows files at once
    sys.argv = ["bcdl", *arguments]
    __main__.main()


if __name__ == "__main__":
    main(*sys.argv[1:])

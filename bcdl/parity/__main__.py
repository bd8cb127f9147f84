"""Measure whether the backends compute the same model. `nox -s parity` runs all steps.

`reference` computes each model in float64 on the CPU, if float64 is sound on the backend of this environment, and
writes a file that can be carried to a machine that can't. `dump` writes what the backend computes, `exchange` loads
every backend's checkpoints, and `determinism` measures what it costs to make a backend deterministic, if it does not
repeat itself. `judge`, which needs no Keras, turns the dumps into findings, tables and pictures.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bcdl import backends, interrupts
from bcdl.errors import UsageError, run_command
from bcdl.machine import environment, gpus, hardware, provenance, scratch
from bcdl.parity import references
from bcdl.parity.findings import append_finding
from bcdl.parity.judge import judge
from bcdl.parity.settings import BATCH_SIZE, DRAWS, EMULATED, IMAGE_SIZE, UNIT_ROUNDOFF, Plan, check_side
from bcdl.records import log, runs, store
from bcdl.settings import models, option
from bcdl.settings.arguments import Parser
from bcdl.settings.cell import Cell
from bcdl.settings.option import Number
from bcdl.settings.options import DEFAULT_RESULTS, DEVICES, check_backend, configured_backend, one_of
from bcdl.text import names_in
from bcdl.worker.session import start_backend

if TYPE_CHECKING:
    from bcdl.parity.worker import steps

_say = functools.partial(print, flush=True)
_DRAWS = Number("--draws", "perturbed runs that show the size of rounding", least=0, most=1000, default=str(DRAWS))


@dataclasses.dataclass(frozen=True)
class _Run:
    """What a step is run for.

    Attributes:
        plans: one a model.
        results: folder of dumps and findings.
        references: folder of the references.
        draws_report: whether the page is drawn of what was judged.
        names: of the dumps that are compared.
        own_name: of the dump that this process makes or reads; empty for its backend's.
    """

    plans: list[Plan]
    results: Path
    references: Path
    draws_report: bool
    names: tuple[str, ...] = backends.NAMES
    own_name: str = ""

    def names_of(self, backend: str) -> steps.Names:
        """The names of dumps for a process of that backend."""
        from bcdl.parity.worker import steps

        return steps.Names(self.own_name or backend, self.names)

    @property
    def device(self) -> str:
        return self.plans[0].device

    @property
    def precision(self) -> str:
        return self.plans[0].precision


def main() -> int:
    provenance.take()
    interrupts.advise("so is what a step has finished; a step has no --resume: give it again")
    arguments = _parse()
    results = Path(arguments.results)
    scratch.also_in(results / runs.LOCAL)
    for notice in environment.notices(arguments.device):
        _say(notice)
    store.check_writable(results)
    plans = _plans(arguments)
    folder = Path(arguments.reference) if arguments.reference else references.default_folder(results)
    if arguments.reference and arguments.step != "reference":
        references.check_there(folder, plans)
    names, own_name = _names(arguments)
    _STEPS[arguments.step](_Run(plans, results, folder, not arguments.no_report, names, own_name))
    return 0


def _parse() -> argparse.Namespace:
    parser = Parser("parity", __doc__)
    parser.add_argument("step", nargs="?", default="dump", help=f"one of {', '.join(_STEPS)}; default dump")
    parser.add_argument("--models", default=",".join(models.MODELS), help="model names separated by commas")
    parser.add_argument("--image-size", default=str(IMAGE_SIZE), help=f"height and width, pixels; default {IMAGE_SIZE}")
    parser.add_argument("--batch-size", default=str(BATCH_SIZE), help=f"images a batch; default {BATCH_SIZE}")
    parser.add_argument("--seed", default="0", help="of weights, order and augmentation; default 0")
    parser.add_argument("--precision", default="float32", help=f"one of {', '.join(UNIT_ROUNDOFF)}; default float32")
    parser.add_argument("--device", default=hardware.default_device(), help="cpu or gpu")
    _DRAWS.add(parser.add_argument)
    parser.add_argument("--reference", metavar="FOLDER", help="folder of the references; default: one in the results")
    parser.add_argument(
        "--sides", metavar="NAME,NAME", help="names of dumps of one backend, as jax.a,jax.b, to compare"
    )
    parser.add_argument("--as", dest="own_name", metavar="NAME", help="which of --sides this environment is")
    parser.add_argument("--no-report", action="store_true", help="judge: keep the findings, and draw no page of them")
    parser.add_argument("--results", default=DEFAULT_RESULTS, help="folder of dumps, findings and tables")
    arguments = parser.parse_args()
    one_of("step", arguments.step, tuple(_STEPS))
    return arguments


def _plans(arguments: argparse.Namespace) -> list[Plan]:
    rows = [models.find(name.strip()) for name in arguments.models.split(",")]
    precision = one_of("--precision", arguments.precision, tuple(UNIT_ROUNDOFF))
    shared: dict[str, Any] = {
        "image_size": _setting("image_size", arguments),
        "batch_size": _setting("batch_size", arguments),
        "seed": _setting("seed", arguments),
        "precision": precision,
        "device": one_of("--device", arguments.device, DEVICES),
        "draws": _DRAWS.read(arguments.draws),
    }
    models.check_sizes(rows, shared["image_size"])
    return [Plan(model=row.name, **shared) for row in rows]


def _names(arguments: argparse.Namespace) -> tuple[tuple[str, ...], str]:
    """The names of the dumps that are compared, and that of this environment's own; empty for its backend's."""
    if arguments.sides is None:
        if arguments.own_name is not None:
            raise UsageError("--as says which of --sides this environment is: give both, or neither")
        return backends.NAMES, ""
    names = tuple(names_in(arguments.sides))
    for name in names:
        check_side(name)
    if len(names) < 2 or (arguments.step != "judge" and arguments.own_name not in names):
        raise UsageError("--sides needs two names or more, and --as one of them")
    return names, arguments.own_name or ""


def _setting(name: str, arguments: argparse.Namespace) -> int:
    """The value of an option that a cell has, too; UsageError if it is out of the cell's range."""
    return int(option.read(Cell.rows()[name], getattr(arguments, name)))


# The modules of `bcdl.parity.worker` import Keras, so that a backend has to be started before they are imported.


def _dump(run: _Run) -> None:
    adapter = _backend(run.device, run.precision)
    from bcdl.parity.worker import steps

    steps.dump(run.plans, run.results, run.references, adapter, run.names_of(adapter.name), _say)


def _reference(run: _Run) -> None:
    adapter = _backend("cpu", "float64")  # wherever the dumps are made: it is the same for all devices
    from bcdl.parity.worker import steps

    steps.reference(run.plans, run.references, adapter, _say)


def _exchange(run: _Run) -> None:
    adapter = _backend(run.device, run.precision)
    from bcdl.parity.worker import steps

    steps.exchange(run.plans, run.results, adapter, run.names_of(adapter.name), _say)


def _determinism(run: _Run) -> None:
    adapter = _backend(run.device, run.precision)
    from bcdl.parity.worker import steps

    steps.measure_determinism(run.plans, run.results, adapter, _say)


def _judge(run: _Run) -> None:
    run_id = runs.begin(run.results)
    for notice in log.repair(run.results):
        _say(notice)
    for plan in run.plans:
        finding = judge(run.results, run.references, plan, run_id, run.names)
        file = append_finding(run.results, hardware.machine_name(plan.device), finding)
        for name, pair in finding.pairs.items():
            _say(f"{plan.model}, {name}: {pair['verdict']}")
    _say(f"findings: {file}")
    if run.draws_report:
        _draw_report(run.results)


def _draw_report(results: Path) -> None:
    from bcdl.report import page  # here: matplotlib takes a second to import, and no other step draws

    for line in page.build(results):
        _say(line)


_STEPS = {
    "dump": _dump,
    "reference": _reference,
    "exchange": _exchange,
    "determinism": _determinism,
    "judge": _judge,
}


def _backend(device: str, precision: str) -> backends.Backend:
    """The adapter of this environment's backend, started; UsageError if it can't be."""
    gpus.check(device)
    _check_arithmetic(device, precision)
    name = configured_backend()
    check_backend(name)
    try:
        return start_backend(name, device, precision)
    except (backends.DeviceError, backends.UnsupportedError) as error:
        raise UsageError(f"--device {device} with --precision {precision} can't be had on {name}: {error}") from error


def _check_arithmetic(device: str, precision: str) -> None:
    """UsageError if this machine can't compute in that precision; a note if it only imitates it."""
    lacking = "" if precision == "float64" else hardware.lacks(device, precision)
    if lacking and precision not in EMULATED:
        raise UsageError(f"--precision {precision} is not run on this {device}: {lacking}")
    if lacking:
        _say(f"{precision} is emulated on this {device}, rightly and slowly: {lacking}")


if __name__ == "__main__":
    run_command(main)

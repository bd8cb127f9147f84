"""The steps of a parity run that need a backend, each over several models.

`say` gets a line as each model begins or ends. Keras forgets each model before the next one.
"""

from __future__ import annotations

import dataclasses
import gc
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bcdl.backends import Backend
from bcdl.errors import UsageError
from bcdl.parity import known_differences, references
from bcdl.parity.dumps import dump_of, write_layer_checks
from bcdl.parity.settings import Plan
from bcdl.parity.worker import checkpoints, determinism, instrumented, layer_checks
from bcdl.parity.worker import dump as dumping
from bcdl.parity.worker import reference as referencing
from bcdl.worker.session import forget_models

Say = Callable[[str], None]


@dataclasses.dataclass(frozen=True)
class Names:
    """The names of dumps.

    Attributes:
        own: that of this process's backend, or side.
        compared: those that are compared.
    """

    own: str
    compared: Sequence[str]


def dump(plans: Sequence[Plan], results: Path, folder: Path, adapter: Backend, names: Names, say: Say) -> None:
    """Check each layer type, then write the dump of each model on this backend; references lie in `folder`."""
    write_layer_checks(results, plans[0].precision, names.own, layer_checks.check())
    for plan in _one_by_one(plans, plans[0].precision, f"{adapter.name}: dump", say):
        reference = references.find(folder, plan)
        if reference is None:
            say(f"no float64 reference of {plan.model} in {folder}: it can be compared, and not judged")
        perturbed = not _is_perturbed(plan, results, names)
        dumping.dump(plan, adapter, dump_of(results, plan, names.own), reference, perturbed)


def _is_perturbed(plan: Plan, results: Path, names: Names) -> bool:
    """Whether another dump of the plan has the runs that show the size of chaos: one is enough."""
    others = (dump_of(results, plan, name) for name in names.compared if name != names.own)
    facts = (other.facts for other in others if other.is_whole)
    return any(bool(fact["chaos"]) and fact["plan"] == plan.to_dict() for fact in facts)


def reference(plans: Sequence[Plan], folder: Path, adapter: Backend, say: Say) -> None:
    """Write the float64 reference of each model, if float64 is sound on this backend, which was started in it."""
    # A known difference that no model meets is no evidence against its float64.
    errors = {
        row: error for row, error in layer_checks.check().items() if not known_differences.is_known(row, adapter.name)
    }
    worst = max(errors, key=errors.__getitem__)
    if errors[worst] > layer_checks.REFERENCE_TOLERANCE:
        say(
            f"no reference from {adapter.name}: its float64 is off by {errors[worst]:.1e} ({worst}), more than "
            f"{layer_checks.REFERENCE_TOLERANCE:g}"
        )
        return
    for plan in _one_by_one(plans, "float64", f"{adapter.name}: float64 reference", say):
        file = referencing.make(plan, adapter, folder, errors[worst])
        say(f"{file}: {file.stat().st_size / 2**20:.1f} MiB")


def exchange(plans: Sequence[Plan], results: Path, adapter: Backend, names: Names, say: Say) -> None:
    """Load every checkpoint of each model; UsageError if this backend, or side, has no dump of it."""
    for plan in _one_by_one(plans, plans[0].precision, f"{adapter.name}: checkpoints", say):
        dumps = {name: dump_of(results, plan, name) for name in names.compared}
        files = {name: each.checkpoint for name, each in dumps.items() if each.exists}
        if names.own not in files:
            raise UsageError(f"no dump of {plan.model} by {names.own} in {results}: run bcdl parity first")
        batch = checkpoints.next_batch(instrumented.build(plan))
        dumps[names.own].write_loaded(checkpoints.load_all(files, batch))


def measure_determinism(plans: Sequence[Plan], results: Path, adapter: Backend, say: Say) -> None:
    """Measure what it costs to make this backend deterministic, for each model that it does not repeat by itself."""
    for plan in plans:
        dumped = dump_of(results, plan, adapter.name)
        if determinism.is_repeatable(dumped, adapter.name):
            say(f"{plan.model} on {adapter.name}: repeats itself to the bit, at no cost")
            continue
        cost = determinism.cost(plan, adapter.name)
        dumped.write_determinism(cost)
        say(f"{plan.model} on {adapter.name}: made deterministic, a step takes {cost['ratio']:.2f} times as long")


def _one_by_one(plans: Sequence[Plan], precision: str, doing: str, say: Say) -> Iterator[Plan]:
    for place, plan in enumerate(plans, start=1):
        say(f"[{place}/{len(plans)}] {plan.model} on {doing}")
        yield plan
        forget_models(precision)
        gc.collect()

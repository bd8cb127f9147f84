"""The only rule of what may be compared: the facts that must agree between two cells that ran, for each purpose.

`FACTS` is a table: a row for each setting of a cell, and one for each other fact that can change a figure. A row says
what the fact is called, how it is read, and for which purposes it must agree. An unknown fact agrees with an unknown
fact only.
"""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from bcdl.machine import environment, identity
from bcdl.machine.provenance import decisive_versions, is_uncommitted
from bcdl.records.record import Record
from bcdl.settings.cell import Cell
from bcdl.settings.setting import Setting


class Purpose(enum.Enum):
    """What two cells are put together for."""

    TABLE = "they stand in one table"
    RATES = "their rates are compared"
    RESUME = "a record stands for a cell that would run now"
    RESUME_ON_NODES = "a record of whichever node of a cluster stands for a cell that would be submitted now"
    DURATION = "they take about as long"
    COMPILED = "what was compiled for one serves the other"
    BACKENDS = "their diagnoses are compared across backends"
    SEEDS = "their diagnoses are compared across seeds"
    MACHINES = "their diagnoses are compared across machines"
    VARIANTS = "ways of training are compared on the same images"
    PREMIUM = "a split by image is compared with one by group"
    PARITY = "a finding of parity holds for a record"
    EXPERIMENTS = "their experiments stand in one table, and the noise of one counts for the other"


@dataclasses.dataclass(frozen=True)
class Evidence:
    """What is known of a cell that ran, or would run now: the parts of a record that facts are read from.

    Attributes:
        settings: the values of the cell's settings, by name.
        machine: the folder of its records; empty if it does not matter.
        environment, dataset, weights, model, predictions: as in `Record`; empty if not known.
    """

    settings: Mapping[str, Any]
    machine: str = ""
    environment: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    dataset: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    weights: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    model: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    predictions: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    @classmethod
    def of(cls, record: Record, machine: str = "") -> Evidence:
        """The evidence of a record."""
        parts = ("environment", "dataset", "weights", "model", "predictions")
        return cls(record.cell.to_dict(), machine, **{part: getattr(record, part) for part in parts})

    @classmethod
    def of_cell(cls, cell: Cell) -> Evidence:
        """The evidence of a cell that has not run: its settings."""
        return cls(cell.to_dict())


@dataclasses.dataclass(frozen=True)
class Fact:
    """A row of the table.

    Attributes:
        name: in words, for messages; that of a setting is the name of its field.
        read: gives its value as JSON has it; None if it is not known.
        purposes: those for which it must agree.
        required: those of them for which it must also be known.
        if_timed: those of them for which it counts in cells that were timed, and not in those of accuracy alone.
        usual: the value that a key leaves out, so that keys from before there was the fact stay as they were.
    """

    name: str
    read: Callable[[Evidence], Any]
    purposes: Collection[Purpose]
    required: Collection[Purpose] = ()
    if_timed: Collection[Purpose] = ()
    usual: Any = None

    def value(self, evidence: Evidence, purpose: Purpose) -> Any:
        """Its value for the purpose; None if it is not known, or does not count."""
        if purpose in self.if_timed and evidence.settings.get("timing") is False:
            return None
        return self.read(evidence)


Key = tuple[tuple[str, Hashable], ...]  # facts, each with its name and value


class Difference(NamedTuple):
    """A fact that does not agree, with both values; both are None if it is required to be known and is not."""

    fact: str
    a: Any
    b: Any


def values(evidence: Evidence, purpose: Purpose, free: Collection[str] = ()) -> dict[str, Any]:
    """The known facts, by name, that must agree for the purpose, less those that are `free` to differ."""
    facts = ((fact.name, fact.value(evidence, purpose)) for fact in _of(purpose, free))
    return {name: value for name, value in facts if value is not None}


def key(evidence: Evidence, purpose: Purpose, free: Collection[str] = ()) -> Key:
    """Names and values of the facts, in the order of the table: equal keys if all facts agree, and only then.

    A fact that is unknown or has its usual value is left out; those that are `free` may differ.
    """
    facts = ((fact, fact.value(evidence, purpose)) for fact in _of(purpose, free))
    return tuple((fact.name, frozen(value)) for fact, value in facts if value not in (None, fact.usual))


def differences(a: Evidence, b: Evidence, purpose: Purpose, free: Collection[str] = ()) -> list[Difference]:
    """The facts that forbid the purpose, in the order of the table; empty if all agree."""
    read = ((fact, fact.value(a, purpose), fact.value(b, purpose)) for fact in _of(purpose, free))
    return [
        Difference(fact.name, first, second)
        for fact, first, second in read
        if first != second or (first is None and purpose in fact.required)
    ]


def names(purpose: Purpose) -> list[str]:
    """The names of the facts that must agree for the purpose, in the order of the table."""
    return [fact.name for fact in _of(purpose, ())]


def apart(keys: Sequence[Key]) -> list[str]:
    """For each of the keys, in words, the facts in which not all of them agree; empty if all do."""
    facts = [dict(each) for each in keys]
    names = dict.fromkeys(name for of_key in facts for name in of_key)
    differing = [name for name in names if len({of_key.get(name) for of_key in facts}) > 1]
    return [", ".join(f"{name} {of_key.get(name, 'unknown')}" for name in differing) for of_key in facts]


def _of(purpose: Purpose, free: Collection[str]) -> Iterator[Fact]:
    return (fact for fact in FACTS if purpose in fact.purposes and fact.name not in free)


def frozen(value: Any) -> Hashable:
    """A JSON value as a hashable one, to be part of a key."""
    if isinstance(value, Mapping):
        return tuple(sorted((name, frozen(part)) for name, part in value.items()))
    return tuple(map(frozen, value)) if isinstance(value, (list, tuple)) else value


def versions(environment: Mapping[str, Any], device: str) -> dict[str, str] | None:
    """Versions of the packages that can change a figure of a cell on `device`; None if they are not known.

    That of bcdl is left out, since the digest of its code says more; on a CPU so are those of libraries for GPUs.
    """
    packages = decisive_versions(environment.get("versions") or {}, device)
    return {name: version for name, version in packages.items() if name != "bcdl"} or None


def is_warm(evidence: Evidence) -> bool:
    """Whether the cell loaded functions that an earlier one had compiled."""
    return "warm" in str(evidence.environment.get("compilation_cache"))


def is_of_cluster(record: Record) -> bool:
    """Whether a node of a cluster measured the cell, or was to measure it."""
    return "scheduler" in record.environment


# Settings that may differ for each purpose; all others must agree.
_WITHIN_TABLE = tuple(name for name, setting in Cell.rows().items() if setting.within_table != "same")
# Settings that say on which images a model is trained and judged, and on which device.
_OF_IMAGES = ("device", "data", "magnification", "split_seed", "split_by", "folds", "test")
_FREE = {
    Purpose.TABLE: _WITHIN_TABLE,
    Purpose.VARIANTS: tuple(name for name in Cell.rows() if name not in _OF_IMAGES),
    Purpose.PREMIUM: (*_WITHIN_TABLE, "split_by"),
    Purpose.RATES: ("seed",),  # another seed is another draw of the same rate
    Purpose.RESUME: (),
    Purpose.RESUME_ON_NODES: (),
    Purpose.DURATION: tuple(name for name, setting in Cell.rows().items() if setting.same_model),
    Purpose.BACKENDS: ("backend",),
    Purpose.SEEDS: ("seed",),
    Purpose.MACHINES: (),
}
_OF_PARITY = ("model", "precision")
_CHANGED = ", changed while it ran"  # after a digest


def _setting(name: str, setting: Setting) -> Fact:
    purposes = {purpose for purpose, free in _FREE.items() if name not in free}
    if name in _OF_PARITY:
        purposes.add(Purpose.PARITY)
    usual = setting.before if setting.new else None
    return Fact(name, lambda evidence: evidence.settings.get(name), purposes, usual=usual)


def _in(part: str, name: str) -> Callable[[Evidence], Any]:
    """A reader of what stands at `name` in a part of the evidence."""
    return lambda evidence: getattr(evidence, part).get(name)


def _content(evidence: Evidence) -> str | None:
    """Checksum of the data, or of its images alone if folds split them in several ways."""
    return evidence.dataset.get("images_checksum" if evidence.settings.get("folds") else "checksum") or None


def _tested(evidence: Evidence) -> list[Any] | None:
    """Names and labels of the test images, in order."""
    test = evidence.predictions.get("test")
    return test and [test["names"], test["labels"]]


def _names(evidence: Evidence) -> str | None:
    """Whether names of images and groups are hashed, so that they are joined with none that are not."""
    return "hashed" if evidence.dataset.get("names") == "hashed" else None


def _commit(evidence: Evidence) -> str | None:
    """The commit, with `*` if there were changes that it lacks."""
    commit = evidence.environment.get("commit")
    return commit and commit + "*" * is_uncommitted(evidence.environment)


def _code(evidence: Evidence) -> str | None:
    """The digest of the code; that of code which changed while it ran is no other's."""
    code: str | None = evidence.environment.get("code")
    return f"{code}{_CHANGED}" if code_changed(evidence) else code


def code_changed(evidence: Evidence) -> bool:
    """Whether files of the worker changed while it ran, so that nobody knows which of them it ran."""
    return bool(evidence.environment.get("code_changed"))


def is_of_changed_code(facts: Mapping[str, Any]) -> bool:
    """The same by the facts that `values` gives, by name."""
    return str(facts.get("code")).endswith(_CHANGED)


def identity_of(evidence: Evidence) -> str | None:
    """The machine but for the cores allowed, in words."""
    return identity.in_words(evidence.environment.get("identity") or {})


def _variables(evidence: Evidence) -> str | None:
    """The environment variables that can change the cell's figures, in words."""
    told = evidence.environment.get("variables")
    if told is None:
        return None
    decisive = environment.decisive(told, str(evidence.settings.get("device")))
    return ", ".join(f"{name}={value}" for name, value in decisive.items()) or "none set"


def _versions(evidence: Evidence) -> dict[str, str] | None:
    return versions(evidence.environment, str(evidence.settings.get("device")))


def _of_gpu(name: str) -> Callable[[Evidence], Any]:
    """A reader of a fact of the GPU that computes; None on a CPU."""
    return lambda evidence: (evidence.environment.get("gpu") or {}).get(name)


_DIAGNOSES = (Purpose.BACKENDS, Purpose.SEEDS, Purpose.MACHINES)
_OF_ONE_START = (Purpose.BACKENDS, Purpose.MACHINES)
_OF_QUALITY = (Purpose.TABLE, Purpose.PREMIUM)
_TABLES = (*_OF_QUALITY, Purpose.VARIANTS)
_SPEED = (Purpose.RATES, Purpose.RESUME)
_TIME = (*_SPEED, Purpose.DURATION)
# What stays the same on all nodes of a cluster. Which node runs a cell, the scheduler says.
_EVERYWHERE = (*_SPEED, Purpose.RESUME_ON_NODES)
# What the same work may take otherwise on, whoever looks at it.
_PLACES = (*_TIME, *_OF_QUALITY, Purpose.EXPERIMENTS)
# Another machine rounds otherwise, and trains another model, as the same machine does at a second try if its threads
# add in another order. Neither is better: what is measured of accuracy alone is put together from several machines,
# which its pages name.
_IF_TIMED = (*_OF_QUALITY, Purpose.RESUME)


def _of_place(name: str, read: Callable[[Evidence], Any], purposes: Collection[Purpose]) -> Fact:
    """A fact of the machine, which counts for figures of quality and for `--resume` if the cell was timed."""
    return Fact(name, read, purposes, if_timed=_IF_TIMED)


FACTS: tuple[Fact, ...] = (
    *(_setting(name, setting) for name, setting in Cell.rows().items()),
    _of_place("machine", lambda evidence: evidence.machine or None, (*_OF_QUALITY, Purpose.EXPERIMENTS)),
    Fact("images", _content, _TABLES),
    Fact("names", _names, _TABLES),
    Fact("images and split", _in("dataset", "checksum"), (*_EVERYWHERE, *_DIAGNOSES)),
    Fact("test images", _tested, _DIAGNOSES),
    Fact("weights file", _in("weights", "sha256"), (*_EVERYWHERE, *_DIAGNOSES)),
    Fact("initial weights", _in("model", "initial_weights"), _OF_ONE_START, required=_OF_ONE_START),
    _of_place("processor", _in("environment", "cpu"), _TIME),
    _of_place("cores", _in("environment", "cpu_cores"), _TIME),
    _of_place("identity", identity_of, (*_PLACES, Purpose.PARITY)),
    _of_place("cores allowed", _in("environment", "cpu_cores_allowed"), _PLACES),
    _of_place("CPU quota", _in("environment", "cpu_quota_cores"), _PLACES),
    Fact("variables", _variables, (*_PLACES, Purpose.VARIANTS, Purpose.PARITY)),
    # The driver of a run has no framework that it could ask before the cell has run.
    Fact("threads", _in("environment", "threads"), (Purpose.RATES,)),
    _of_place("GPUs", _in("environment", "gpus"), _TIME),
    _of_place("driver", _in("environment", "driver"), _SPEED),
    _of_place("CUDA of the driver", _of_gpu("cuda_driver"), _SPEED),
    _of_place("power limit of the GPU", _of_gpu("power_limit_w"), _TIME),
    _of_place("ECC of the GPU", _of_gpu("ecc"), _TIME),
    Fact("python", _in("environment", "python"), (*_EVERYWHERE, Purpose.MACHINES)),
    Fact("versions", _versions, (*_EVERYWHERE, Purpose.SEEDS, Purpose.MACHINES, Purpose.PARITY)),
    Fact("commit", _commit, (Purpose.RATES,)),
    Fact("code", _code, (*_EVERYWHERE, Purpose.MACHINES, Purpose.COMPILED)),
)

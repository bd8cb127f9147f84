"""The facts at the head of a group's section: machine, data, versions, commits and circumstances."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from bcdl import backends
from bcdl.evaluation import few
from bcdl.machine.provenance import short_commit
from bcdl.records import comparability
from bcdl.records.comparability import Evidence, Purpose, code_changed
from bcdl.records.groups import Group
from bcdl.records.record import Record
from bcdl.report import formats
from bcdl.report.doubt_lines import clock_lines, notes
from bcdl.report.sections import utilisation
from bcdl.statistics import disturbance, doubts
from bcdl.statistics.disturbance import HeldBack
from bcdl.text import escape


def page_words(group: Group, precision: bool = True) -> list[str]:
    """What names the page of a group."""
    cell = group.first.cell
    return [
        cell.data,
        f"{cell.image_size}px",
        f"batch {cell.batch_size}",
        cell.precision if precision else "",
        cell.device if cell.device != "cpu" else "",
        f"{cell.folds} folds" if cell.folds else "",
        "" if cell.test else "validation alone",
        group.mark,
    ]


def group_facts(group: Group) -> str:
    """A list in Markdown, a line for each fact."""
    ran = [record for record in group.records if record.ok]
    lines = [f"Machine: {group.machine}", *_place(group)]
    if group.first.dataset:
        lines += _data(group)
    if ran:
        split, name = ("test", "test") if ran[0].cell.test else ("val", "validation")
        majority = formats.fixed(ran[0].value(f"{split}_majority_accuracy"), 3, formats.NOT_MEASURED)
        lines.append(f"Majority class on the {name} split: {majority}")
    if rests := few.note(group.records, "test" if group.first.cell.test else "val"):
        lines.append(f"FEW of a class: every figure of quality {rests}")
    lines += [f"{backend}: {_versions(group, backend)}" for backend in group.backends]
    lines += [f"{name}: {_why_absent(group, name)}" for name in backends.NAMES if name not in group.backends]
    lines += utilisation.yardstick_lines([record for *_, record in group.ran()])
    lines += _circumstances(ran)
    commits = sorted({short_commit(record.environment) for record in group.records})
    lines.append(f"Commits: {', '.join(commits)}")
    return "\n".join(f"- {escape(line)}" for line in lines)


def _place(group: Group) -> list[str]:
    """The facts of each machine, as it was for the group's cells, a line each."""
    ran = [record for *_, record in group.ran()]
    places = dict.fromkeys(_of_place(record) for record in ran or [group.first])
    return list(itertools.chain.from_iterable(places))


def _of_place(record: Record) -> tuple[str, ...]:
    known = comparability.values(Evidence.of(record), Purpose.RATES)
    sets = (record.environment.get("identity") or {}).get("instruction_sets")
    return (
        f"Identity: {known.get('identity', 'unknown: the records were made before it was recorded')}",
        *([f"Instruction sets: {' '.join(sets) or 'none known'}"] if sets is not None else []),
        f"Cores allowed: {known.get('cores allowed', 'unknown')}",
        *([f"CPU quota: {known['CPU quota']} cores"] if "CPU quota" in known else []),
        f"Environment variables that count: {known.get('variables', 'unknown')}",
    )


def _data(group: Group) -> list[str]:
    dataset = group.first.dataset
    malignant, groups, unknown = dataset["malignant"], dataset["groups"], dataset.get("ungrouped", {})
    images = ", ".join(
        f"{count} {name} ({malignant.get(name, '?')} malignant, {groups.get(name, '?')} groups"
        f"{formats.of_no_known_patient(unknown.get(name, 0))})"
        for name, count in dataset["images"].items()
    )
    return [
        f"Images: {images}; SHA-256 `{dataset['checksum'][:12]}`",
        *(f"Note: {notice}" for notice in dataset["notices"]),
        *(f"Leaks: {line}" for line in leak_lines(group.records)),
    ]


def leak_lines(records: Sequence[Record]) -> list[str]:
    """What the leak detector said of the records' data; in every fold the same images are there, of which others leak.

    "None found" stands only if everything was looked at. A record from before schema 10 does not say of which images
    the patient was not known, and its notices do not either.
    """
    looked = next((record.dataset for record in records if "leaks" in record.dataset), None)
    if looked is None:
        return [] if records[0].dataset.get("synthetic") else ["not looked for when these records were made"]
    lines = list(dict.fromkeys(looked["leaks"].get("notices", ())))
    if "ungrouped" in looked or looked.get("synthetic"):
        return lines or ["none found"]
    if not looked["leaks"].get("clean", True):
        return lines
    patients = "none that was known" if looked.get("grouped") else "not known, so not checked"
    return [f"no identical or near-identical images in two splits; patients: {patients}", *lines]


def _circumstances(ran: Sequence[Record]) -> list[str]:
    """The arithmetic that was probed, what the hardware lacks, and what the GPU says of itself, a line each."""
    probed = {kind for record in ran for kind in record.environment.get("arithmetic", {}).values()}
    lines = [f"Arithmetic, by the probe: {', '.join(sorted(probed))}"] if probed else []
    lines += sorted({f"CODE CHANGED while it ran: {r.cell.title}" for r in ran if code_changed(Evidence.of(r))})
    lines += sorted({f"Emulated: {lacking}" for r in ran if (lacking := r.environment.get("lacking"))})
    lines += [line for record in ran for line in _of_gpu(record)]
    lines += [f"Note: {line}" for line in notes(ran)]
    pools = {f"{r.cell.backend}: {pool}" for r in ran if (pool := r.environment.get("memory_pool"))}
    lines += [f"Memory of the GPU, {pool}" for pool in sorted(pools)]
    lines += [f"CLOCK: {r.cell.title}: {jump}" for r in ran for jump in clock_lines(r.environment)]
    if unrecorded := doubts.unrecorded(ran):
        lines.append(f"Disturbance: {unrecorded}")
    if ran and not any(record.environment.get("gpu_state") for record in ran):
        lines.append("Energy, clocks and temperature: not measured, no NVML answered")
    return lines


def _of_gpu(record: Record) -> Iterator[str]:
    """What held the GPU back in each regime, and why there is no energy, a line each."""
    for regime, gpu in record.environment.get("gpu_state", {}).items():
        where = f"{record.cell.model} on {record.cell.backend}, {regime}"
        if causes := ", ".join(map(_held, disturbance.held_back(record, regime))):
            yield f"THROTTLED: {where}: {causes}"
        if why := gpu.get("energy_missing"):
            yield f"ENERGY not reported: {where}: {why}"


def _held(held: HeldBack) -> str:
    return held.why if held.share is None else f"{held.why}, {formats.reading(held.share, '% of the time')}"


def _why_absent(group: Group, backend: str) -> str:
    """Why there is no column of a backend, as far as the records say."""
    packages = {name for record in group.records for name in record.environment.get("versions", {})}
    if packages and not any(name.startswith(backend) for name in packages):
        return "no column: nothing was run on it; it is not installed in the Python that ran the others"
    return "no column: nothing was run on it"


def _versions(group: Group, backend: str) -> str:
    versions: dict[str, str] = {}
    threads: dict[str, set[str]] = {}  # machines may have several numbers of them
    for record in group.records:
        if record.cell.backend == backend and record.ok:
            environment = record.environment
            versions.update(environment.get("versions", {}), python=environment.get("python", "unknown"))
            versions["jit_compile"] = str(environment.get("jit_compile"))
            for name, count in environment.get("threads", {}).items():
                threads.setdefault(f"threads {name}", set()).add(str(count))
    versions |= {name: " or ".join(sorted(counts)) for name, counts in threads.items()}
    return ", ".join(f"{name} {version}" for name, version in versions.items()) or "nothing ran"

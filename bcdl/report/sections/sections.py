"""The parts of the results page: each a text in Markdown, and the tables and plots that belong to it.

Never imports Keras.
"""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from matplotlib.figure import Figure

from bcdl.evaluation import agreement, estimates, leakage_premium, utilisation
from bcdl.parity.findings import Finding
from bcdl.parity.verdicts import Comparison, Verdicts
from bcdl.records import experiment, store
from bcdl.records.experiment import Experiment
from bcdl.records.groups import Group
from bcdl.records.record import Record
from bcdl.report import plots, tables
from bcdl.report.plots import style
from bcdl.report.sections import card, parity, parity_pictures
from bcdl.report.sections.interleaved import Interleaved
from bcdl.statistics import power_analysis
from bcdl.text import escape, safe_name

_SPREAD_TEXT = """\
In these first tables a figure is the median over seeds and folds, and in brackets are the least and the largest of
them. Figures of quality with intervals over patients follow below.
"""

_STALENESS_TEXT = """\
The same training images, not augmented, scored twice after the last epoch: in training mode (normalised by the batch's
own statistics, dropout active) and in inference mode (normalised by moving averages). Where the second lies far below
the first, the moving averages have not settled in so few steps, and the test figures above are those of stale
statistics rather than of the weights. The source study's curves show the same fault.
"""

_UTILISATION_TEXT = """\
The model's own operations (convolutions and dense layers, counted from its graph: two for each multiplication and
addition) in a second, as a share of what this machine gave in a large matrix product. Workers of this section measured
at most {gflops:.0f} GFLOP/s in a product and {gbytes:.1f} GB/s in a copy, read and written.
"""

_EXPERIMENTS_TEXT = """\
One thing measured two ways in turn, round after round: what the rules of measurement rest on. Ratios are geometric
means with bootstrap intervals; p is that of a permutation within rounds, none smaller than 2 / 2^rounds or 0.0001, and
is not corrected for the number of rows. Where the sample is a window, all rounds ran in one process, and p and interval
are of that process: another may differ. Only b / a within a row may be compared: rows and tables were measured at
different times, and the machine's speed differed.
"""

_BEST_TEXT = """\
What a user could choose instead of the default, by its rate of steps alone: another batch size is another training,
whose accuracy was not measured. The best of several is flattered by having been picked, so that its interval is wider
than above: Student's, at a level divided by the number of others tried (Bonferroni), it holds for all of them at once.
Where it does not lie above 1, the default stands.
"""

_SENSITIVITY_TEXT = """\
How small a slow-down a comparison finds: shares of comparisons, their rounds drawn from those above, that are judged a
regression; of equal sides that is the rate of false alarms. The threshold is 3 percent or three times the noise of the
row's own equal sides, whichever is more; `bcdl.compare` takes the largest noise that the machine has shown, and
corrects p over the cells compared, so that it finds less and raises fewer alarms. In brackets are 95% intervals over
rounds.
"""

_INTERLEAVED_TEXT = """\
Both sides of a cell by whole processes, in turn, round after round (`nox -s bench-ab`): the machine's drift meets both
alike, so that these ratios may be quoted, for cells of this size and batch and the settings named, where those of the
sections above may not; the rates beside them are of their moment. No p is smaller than 2 / 2^rounds.
"""


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of the page, in Markdown from its title on, and the files that belong to it."""

    text: str
    files: list[Path]

    @property
    def title(self) -> str:
        return self.text.partition("\n")[0].removeprefix("## ")


def of_group(into: Path, group: Group, verdicts: Verdicts) -> Section:
    timed = group.first.cell.timing
    shown = tables.METRICS if timed else tables.QUALITY
    metrics = [tables.metric_table(group, metric, verdicts) for metric in shown]
    startup, staleness, energy = (
        [tables.metric_table(group, metric) for metric in metrics_]
        for metrics_ in (
            tables.STARTUP if timed else (),
            tables.STALENESS,
            tables.ENERGY if _has_energy(group) else (),
        )
    )
    limit = utilisation.peaks(group)
    utilised = utilisation.utilisation_tables(group, limit) if limit else []
    costs = [utilisation.cost_table(group)] if limit else []
    evaluated, measures = estimates.section(group)
    agreed, pairs = agreement.section(group)
    cards = [write(into / "cards" / name, text) for name, text in card.cards(group)]
    drawn = (pair for module in plots.modules().values() for pair in module.draw(group))
    figures = _save(drawn, into / "plots" / group.slug, group.records)
    parts = [
        f"## {escape(group.title)}",
        _facts(group),
        _SPREAD_TEXT.strip() if any(len(group.draws(line)) > 1 for line in group.lines) else "",
        *(table.to_markdown() for table in (*metrics, *energy)),
        evaluated,
        agreed,
        _cards(into, cards),
        "### Before the steady state" if timed else "",
        *(table.to_markdown() for table in startup),
        *(["### How far from the device's limit?", _utilisation_text(limit)] if limit else []),
        *(table.to_markdown() for table in (*utilised, *costs)),
        "### Have the batch norms settled?",
        _STALENESS_TEXT.strip(),
        *(table.to_markdown() for table in staleness),
        _failures(group),
        "### Plots",
        *(f"![{file.stem}]({_link(into, file)})" for file in figures),
    ]
    text = "\n\n".join(part for part in parts if part) + "\n"
    written = [_write_table(into, group.slug, *metrics, *energy, *startup, *utilised, *staleness)]
    others = {"cost": costs, "quality": measures, "agreement": pairs}
    written += [_write_table(into, f"{group.slug}-{name}", *some) for name, some in others.items() if some]
    return Section(text, [*written, *figures, *cards])


def _cards(into: Path, files: Sequence[Path]) -> str:
    return f"Model cards: {', '.join(f'[{file.stem}]({_link(into, file)})' for file in files)}" if files else ""


def of_premiums(into: Path, groups: Sequence[Group]) -> list[Section]:
    """What split by image and split by group differ by, where the same cells were run both ways."""
    found = leakage_premium.section(groups)
    return [Section(text, [_write_table(into, slug, table)]) for slug, text, table in found]


def of_parity(into: Path, found: Comparison) -> Section:
    figures = _save(parity_pictures.draw(found), into / "plots" / found.slug, found.findings)
    text = parity.section(found, [_link(into, file) for file in figures])
    written = [_write_table(into, f"{found.slug}-{name}", table) for name, table in parity.tables(found).items()]
    return Section(text, [*written, *figures])


def of_experiments(into: Path, found: dict[tuple[str, str], list[Experiment]]) -> list[Section]:
    """The experiments behind the methodology, where there are any."""
    if not found:
        return []
    parts, written = ["## Experiments", _EXPERIMENTS_TEXT.strip()], []
    for machine in dict.fromkeys(machine for machine, _ in found):
        here = {name: some for (where, name), some in found.items() if where == machine}
        for made, files in (_found(into, machine, here), _power(into, machine, here), _best(into, machine, here)):
            parts += made
            written += files
    return [Section("\n\n".join(parts) + "\n", written)]


# Parts of a page, and the files that belong to them.
_Parts = tuple[list[str], list[Path]]


def _found(into: Path, machine: str, here: dict[str, list[Experiment]]) -> _Parts:
    """A table for each experiment made on the machine."""
    made = {name: experiment.table(name, some) for name, some in here.items()}
    files = [_write_table(into, f"experiment-{machine}-{_slug(name)}", table) for name, table in made.items()]
    ran_on = experiment.versions([one for some in here.values() for one in some])
    facts = "\n".join(f"- {escape(line)}" for line in ran_on)
    return [f"### On {escape(machine)}", facts, *(table.to_markdown() for table in made.values())], files


def _power(into: Path, machine: str, here: dict[str, list[Experiment]]) -> _Parts:
    """What comparisons on the machine find, where slow-downs were injected there."""
    if power_analysis.NAME not in here:
        return [], []
    experiments = here[power_analysis.NAME]
    subjects = power_analysis.by_subject(experiments)
    powers = {subject: power_analysis.power(some) for subject, some in subjects.items()}
    table = power_analysis.table(powers, subjects)
    drawn = [("power", power_analysis.picture(machine, powers))]
    figures = _save(drawn, into / "plots" / f"experiment-{machine}", experiments)
    links = [f"![{file.stem}]({_link(into, file)})" for file in figures]
    written = _write_table(into, f"experiment-{machine}-power", table)
    return [_SENSITIVITY_TEXT.strip(), table.to_markdown(), *links], [*figures, written]


def _best(into: Path, machine: str, here: dict[str, list[Experiment]]) -> _Parts:
    """The best of the settings that were searched on the machine."""
    tried = [one for some in here.values() for one in some if one.searches]
    if not tried:
        return [], []
    table = experiment.best_table(tried)
    return [_BEST_TEXT.strip(), table.to_markdown()], [_write_table(into, f"experiment-{machine}-best-settings", table)]


def of_interleaved(into: Path, found: list[Interleaved]) -> list[Section]:
    """Runs of two sides in turn, where there are any."""
    if not found:
        return []
    parts, written = ["## Two sides in turn", _INTERLEAVED_TEXT.strip()], []
    for one in found:
        lines = [f"Machine: {one.machine}", *(f"{name}: {side}" for name, side in zip("AB", one.sides, strict=True))]
        lines += [f"Cells: {told}" for told in one.cells]
        lines += [f"Not ok: {failure}" for failure in one.failures]
        parts += ["\n".join(f"- {escape(line)}" for line in lines), one.table.to_markdown()]
        written.append(_write_table(into, safe_name(f"in-turn-{one.machine}-{one.run}"), one.table))
    return [Section("\n\n".join(parts) + "\n", written)]


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _facts(group: Group) -> str:
    """Machine, data, versions and commits, a line each."""
    ran = [record for record in group.records if record.ok]
    dataset = group.first.dataset
    lines = [f"Machine: {group.machine}"]
    if dataset:
        malignant, groups = dataset["malignant"], dataset["groups"]
        images = ", ".join(
            f"{count} {name} ({malignant.get(name, '?')} malignant, {groups.get(name, '?')} groups)"
            for name, count in dataset["images"].items()
        )
        lines.append(f"Images: {images}; SHA-256 `{dataset['checksum'][:12]}`")
        lines += [f"Note: {notice}" for notice in dataset["notices"]]
        lines += [f"Leaks: {told}" for told in _leaks(group)]
    if ran:
        lines.append(f"Majority class on the test split: {ran[0].value('test_majority_accuracy'):.3f}")
    lines += [f"{backend}: {_versions(group, backend)}" for backend in group.backends]
    lines += utilisation.products(group)
    lines += _circumstances(ran)
    commits = sorted({str(record.environment.get("commit"))[:10] for record in group.records})
    lines.append(f"Commits: {', '.join(commits)}")
    return "\n".join(f"- {escape(line)}" for line in lines)


def _leaks(group: Group) -> list[str]:
    """What the leak detector said of the data; in every fold the same images are there, of which others leak."""
    found = [record.dataset["leaks"] for record in group.records if "leaks" in record.dataset]
    if not found:
        return [] if group.synthetic else ["not looked for when these records were made"]
    return list(dict.fromkeys(told for leaks in found[:1] for told in leaks.get("notices", ()))) or ["none found"]


def _has_energy(group: Group) -> bool:
    return any(metric.name in record.metrics for record in group.records for metric in tables.ENERGY)


def _circumstances(ran: list[Record]) -> list[str]:
    """The arithmetic found by the probe, what the hardware lacks, and what the GPU says of itself, a line each."""
    probed = {kind for record in ran for kind in record.environment.get("arithmetic", {}).values()}
    lines = [f"Arithmetic, by the probe: {', '.join(sorted(probed))}"] if probed else []
    lines += sorted({f"Emulated: {lacking}" for r in ran if (lacking := r.environment.get("lacking"))})
    states = [(record, state) for record in ran for state in record.environment.get("gpu_state", {}).items()]
    for record, (regime, state) in states:
        held_back = state.get("held_back_s", {})
        causes = ", ".join([*state.get("throttled", ()), *(f"{cause} {s:.1f} s" for cause, s in held_back.items())])
        if causes:
            lines.append(f"THROTTLED: {record.cell.model} on {record.cell.backend}, {regime}: {causes}")
    if ran and not states:
        lines.append("Energy, clocks and temperature: not measured, no NVML answered")
    return lines


def _versions(group: Group, backend: str) -> str:
    found: dict[str, str] = {}
    for record in group.records:
        if record.cell.backend == backend and record.ok:
            environment = record.environment
            found.update(environment.get("versions", {}), python=environment.get("python", "unknown"))
            found["jit_compile"] = str(environment.get("jit_compile"))
    return ", ".join(f"{name} {version}" for name, version in found.items()) or "nothing ran"


def _utilisation_text(limit: utilisation.Peaks) -> str:
    return _UTILISATION_TEXT.format(gflops=limit.flops_per_s / 1e9, gbytes=limit.bytes_per_s / 1e9).strip()


def _failures(group: Group) -> str:
    if not group.failures:
        return ""
    lines = [f"- {escape(f'{r.cell.title}: {r.status}: {r.reason}')}" for r in group.failures]
    return "### Cells that are not ok\n\n" + "\n".join(lines)


def _save(
    drawn: Iterable[tuple[str, Figure]], folder: Path, sources: Iterable[Record | Finding | Experiment]
) -> list[Path]:
    """The files of the figures, each written as it is drawn, with a digest of what all of them were drawn from."""
    digest = hashlib.sha256("\n".join(one.to_json() for one in sources).encode()).hexdigest()
    return [store.replace(folder / f"{name}.png", style.to_png(figure, digest)) for name, figure in drawn]


def _link(into: Path, file: Path) -> str:
    return file.relative_to(into).as_posix()


def _write_table(into: Path, slug: str, *found: tables.Table) -> Path:
    return write(into / "tables" / f"{slug}.csv", tables.to_csv(found))


def write(file: Path, text: str) -> Path:
    return store.replace(file, text.encode())

"""python -m bcdl.report: tables, plots and page, rebuilt from records alone, or checked against them.

Never imports Keras.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import re
import tempfile
from collections.abc import Iterable
from pathlib import Path

from matplotlib.figure import Figure
from rich.console import Console

from bcdl import experiment, interleaved, plots, sensitivity, store, tables, utilisation
from bcdl.check import PAGE, differences, generated
from bcdl.errors import BcdlError, UsageError, run_command
from bcdl.experiment import Experiment
from bcdl.interleaved import Interleaved
from bcdl.legible import legible
from bcdl.options import DEFAULT_RESULTS
from bcdl.parity import comparison, finding, page, picture
from bcdl.parity.finding import Finding
from bcdl.plots import style
from bcdl.record import Record
from bcdl.tables import Group

_INTRODUCTION = """\
# Results

This page, `tables/` and `plots/` are generated from `records/` by `python -m bcdl.report`; edit nothing here by hand.

How to read it. Each section holds what may be compared: one machine, one data set (by checksum), one set of settings.
Models go down, backends across. Rates are medians of the samples in the records. **Fit** is what a user of `model.fit`
gets, input pipeline included, validation and compilation left out; **step** is the device's own rate, the batch already
on the device; the **first step** includes tracing and compilation, from a cold cache. Peak memory is the framework's
allocator peak on a GPU and the worker's peak resident memory on a CPU. The rules are in
[the methodology](../docs/methodology.md), each with the experiment behind it.

**unstable** stands where samples never settled, with what their first and second half would give; `*` marks a figure
from a tree with uncommitted changes; `†` a rate on a backend whose parity with another was never measured, `‡` one
whose parity failed (see the parity sections). The runs of a section were made one after another, not interleaved, so
small ratios between backends on a shared machine are noise.
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
One thing measured two ways in turn, round after round, in one process: what the rules of measurement rest on. Ratios
are geometric means with bootstrap intervals; p is that of a permutation within rounds.
"""


_SENSITIVITY_TEXT = """\
How small a slow-down a comparison finds here: shares of comparisons of some rounds, drawn from those above, that
`bcdl.compare` would judge a regression. Of equal sides that is the rate of false alarms. The threshold is 3 percent or
three times the noise of equal sides, whichever is more.
"""

_INTERLEAVED_TEXT = """\
Both sides of a cell by whole processes, in turn, round after round (`nox -s bench-ab`): the machine's drift meets both
alike, so that these ratios may be quoted where those of the sections above may not.
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bcdl.report", description=__doc__)
    parser.add_argument("--results", type=Path, default=Path(DEFAULT_RESULTS), help="folder that holds records/")
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; end with 1, naming each file, where page, tables or plots do not follow from the records",
    )
    arguments = parser.parse_args()
    if not (arguments.results / store.RECORDS).is_dir():
        raise UsageError(
            f"{arguments.results} holds no {store.RECORDS}/ folder; run a benchmark first or use --results"
        )
    for line in check(arguments.results) if arguments.check else build(arguments.results):
        print(legible(line))
    return 0


def build(results: Path) -> list[str]:
    """Write README.md, tables/ and plots/ under `results`; lines that say what was written.

    UsageError where they can't be written.
    """
    with store.one_at_a_time(results, "report"), store.writing(results):
        return _build(results, results)


def check(results: Path) -> list[str]:
    """A line that says that README.md, tables/ and plots/ follow from the records; writes nothing.

    BcdlError, naming each file, where they do not.
    """
    with tempfile.TemporaryDirectory(prefix="bcdl-report-") as folder:
        _build(results, Path(folder))
        found = list(differences(results, Path(folder)))
    if found:
        lines = "\n".join(f"  {line}" for line in found)
        raise BcdlError(
            f"{len(found)} files of {results} do not follow from its records:\n{lines}\n"
            f"rebuild them with python -m bcdl.report --results {results}"
        )
    return [f"README.md, tables and plots of {results} follow from its records"]


def _build(results: Path, into: Path) -> list[str]:
    """Draw everything that the records under `results` give, under `into`; what was written."""
    records, problems = store.read_all(results)
    # The rounds of two sides in turn have a section of their own: here each would stand for the cell.
    shown = [(machine, record) for machine, record in records if not record.block]
    findings = finding.read_all(results)
    verdicts = comparison.Verdicts(findings)
    sections = [_group_section(into, group, verdicts) for group in tables.groups(shown, verdicts)]
    sections += [_parity_section(into, found) for found in comparison.comparisons(findings)]
    sections += _interleaved_section(into, interleaved.read(records))
    sections += _experiments_section(into, experiment.newest(experiment.read_all(results)))
    _write(into / PAGE, _page([section.text for section in sections], problems))
    tabled = [table for section in sections for table in section.tables]
    figures = [figure for section in sections for figure in section.figures]
    _remove_stale(into, {*tabled, *figures})
    parity = f" and {len(findings)} parity findings" if findings else ""
    summary = f"{len(records)} records{parity}: {len(tabled)} tables, {len(figures)} plots and README.md in {results}"
    return [summary, *(f"not read: {problem}" for problem in problems)]


def print_run(records: Iterable[Record], console: Console) -> None:
    """The table of one run's records, then the reason of each that is not ok."""
    records = list(records)
    console.print(tables.run_table(records).to_rich())
    for record in records:
        if not record.ok:
            line = f"{record.cell.model} on {record.cell.backend}: {record.status}: {record.reason}"
            console.print(legible(line), markup=False, highlight=False, soft_wrap=True)


@dataclasses.dataclass(frozen=True)
class _Section:
    """A part of the page, and the files that belong to it."""

    text: str
    tables: list[Path]
    figures: list[Path]


def _group_section(into: Path, group: Group, verdicts: comparison.Verdicts) -> _Section:
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
    drawn = (pair for module in plots.modules().values() for pair in module.draw(group))
    figures = _save(drawn, into / "plots" / group.slug, group.records)
    parts = [
        f"## {tables.escape(group.title)}",
        _facts(group),
        *(table.to_markdown() for table in (*metrics, *energy)),
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
    written += [_write_table(into, f"{group.slug}-cost", table) for table in costs]
    return _Section(text, written, figures)


def _parity_section(into: Path, found: comparison.Comparison) -> _Section:
    figures = _save(picture.draw(found), into / "plots" / found.slug, found.findings)
    text = page.section(found, [_link(into, file) for file in figures])
    written = [_write_table(into, f"{found.slug}-{name}", table) for name, table in page.tables(found).items()]
    return _Section(text, written, figures)


def _experiments_section(into: Path, found: dict[tuple[str, str], list[Experiment]]) -> list[_Section]:
    """The experiments behind the methodology, where there are any."""
    if not found:
        return []
    parts, written = ["## Experiments", _EXPERIMENTS_TEXT.strip()], []
    for (machine, name), experiments in found.items():
        table = experiment.table(name, experiments)
        parts += [f"Machine: {tables.escape(machine)}", table.to_markdown()]
        written.append(_write_table(into, f"experiment-{machine}-{_slug(name)}", table))
    figures = []
    for machine, experiments in [(where, some) for (where, name), some in found.items() if name == sensitivity.NAME]:
        table = sensitivity.table(experiments)
        picture_ = [("power", sensitivity.picture(machine, experiments))]
        figures += _save(picture_, into / "plots" / f"experiment-{machine}", experiments)
        parts += [_SENSITIVITY_TEXT.strip(), table.to_markdown(), f"![power]({_link(into, figures[-1])})"]
        written.append(_write_table(into, f"experiment-{machine}-power", table))
    for machine in dict.fromkeys(machine for machine, _ in found):
        tried = [one for (where, _), some in found.items() if where == machine for one in some if one.searches]
        if tried:
            table = experiment.best_table(tried)
            parts += [f"Machine: {tables.escape(machine)}", table.to_markdown()]
            written.append(_write_table(into, f"experiment-{machine}-best-settings", table))
    return [_Section("\n\n".join(parts) + "\n", written, figures)]


def _interleaved_section(into: Path, found: list[Interleaved]) -> list[_Section]:
    """Runs of two sides in turn, where there are any."""
    if not found:
        return []
    parts, written = ["## Two sides in turn", _INTERLEAVED_TEXT.strip()], []
    for one in found:
        lines = [f"Machine: {one.machine}", *(f"{name}: {side}" for name, side in zip("AB", one.sides, strict=True))]
        lines += [f"Not ok: {failure}" for failure in one.failures]
        parts += ["\n".join(f"- {tables.escape(line)}" for line in lines), one.table.to_markdown()]
        written.append(_write_table(into, tables.safe_name(f"in-turn-{one.machine}-{one.run}"), one.table))
    return [_Section("\n\n".join(parts) + "\n", written, [])]


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _page(sections: list[str], problems: list[str]) -> str:
    parts = [_INTRODUCTION, *(sections or ["There are no records yet.\n"])]
    if problems:
        lines = "\n".join(f"- {tables.escape(problem)}" for problem in problems)
        parts.append(f"## Lines that could not be read\n\n{lines}\n")
    return "\n".join(parts)


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
    if ran:
        lines.append(f"Majority class on the test split: {ran[0].value('test_majority_accuracy'):.3f}")
    lines += [f"{backend}: {_versions(group, backend)}" for backend in group.backends]
    lines += _circumstances(ran)
    commits = sorted({str(record.environment.get("commit"))[:10] for record in group.records})
    lines.append(f"Commits: {', '.join(commits)}")
    return "\n".join(f"- {tables.escape(line)}" for line in lines)


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
    lines = [f"- {tables.escape(f'{r.cell.title}: {r.status}: {r.reason}')}" for r in group.failures]
    return "### Cells that are not ok\n\n" + "\n".join(lines)


def _save(
    drawn: Iterable[tuple[str, Figure]], folder: Path, sources: Iterable[Record | Finding | Experiment]
) -> list[Path]:
    """The files of the figures, each written as it is drawn, with a digest of what all of them were drawn from."""
    digest = hashlib.sha256("\n".join(one.to_json() for one in sources).encode()).hexdigest()
    return [_replace(folder / f"{name}.png", style.to_png(figure, digest)) for name, figure in drawn]


def _link(into: Path, file: Path) -> str:
    return file.relative_to(into).as_posix()


def _write_table(into: Path, slug: str, *found: tables.Table) -> Path:
    return _write(into / "tables" / f"{slug}.csv", tables.to_csv(found))


def _write(file: Path, text: str) -> Path:
    return _replace(file, text.encode())


def _replace(file: Path, content: bytes) -> Path:
    """Replace the file in one step, so that no reader sees half of it and a full disk leaves it as it was."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(f"{file.name}.part")
    try:
        part.write_bytes(content)
        return part.replace(file)
    finally:
        part.unlink(missing_ok=True)


def _remove_stale(into: Path, kept: set[Path]) -> None:
    """Delete generated tables and plots that no record asks for any more."""
    for file in generated(into) - kept - {into / PAGE}:
        file.unlink()
    for folder in (into / "plots").glob("*/"):
        if not any(folder.iterdir()):
            folder.rmdir()


if __name__ == "__main__":
    run_command(main)

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

from bcdl.parity.findings import Finding
from bcdl.parity.verdicts import Comparison
from bcdl.records import experiment, store
from bcdl.records.experiment import Experiment
from bcdl.records.groups import Group
from bcdl.records.record import Record
from bcdl.report import section, tables
from bcdl.report.plots import style
from bcdl.report.sections import group as group_section
from bcdl.report.sections import parity, parity_pictures, premium
from bcdl.report.sections.interleaved import Interleaved
from bcdl.statistics import power_analysis
from bcdl.text import escape, safe_name

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


def of_group(into: Path, group: Group) -> Section:
    return _write(into, group_section.section(group))


def of_premiums(into: Path, groups: Sequence[Group]) -> list[Section]:
    """What split by image and split by group differ by, where the same cells were run both ways."""
    return [_write(into, made) for made in premium.sections(groups)]


def _write(into: Path, made: section.Section) -> Section:
    return Section(made.text, [store.replace(into / path, content) for path, content in made.files().items()])


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

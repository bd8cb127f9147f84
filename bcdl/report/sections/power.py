"""The part of a place's experiments that shows which injected slow-downs a comparison detects: table and curves."""

from __future__ import annotations

from collections.abc import Sequence

from bcdl.records.experiment import Experiment
from bcdl.report import figures
from bcdl.report.plots import power
from bcdl.report.section import Section, figure_link
from bcdl.report.sections.experiment_tables import file_stem, power_table
from bcdl.statistics import power_analysis
from bcdl.statistics.experiments import Place

KEY = "power"  # of the table and the figure
_TEXT = """\
How small a slow-down a comparison finds: shares of comparisons, their rounds drawn from those above, that are judged a
regression; of equal sides that is the rate of false alarms. Each comparison is judged as `bcdl compare` judges it: by
the noise of its own rounds, beyond 3 percent or three times the standard error of its ratio, whichever is more. The
noise in the table is that of all rounds of equal sides, and the threshold what it would give. `bcdl compare` corrects p
over the cells and regimes of a command: the rows of {several} show what is found if it compares so many. In brackets
are 95% intervals over rounds.
"""


def section(place: Place, experiments: Sequence[Experiment]) -> Section | None:
    """The part about the experiments whose slow-down is known; None if there are too few rounds of these."""
    slowed = [experiment for experiment in experiments if experiment.slowdown is not None]
    analyses = power_analysis.analyse(slowed)
    if not analyses:
        return None
    table = power_table(analyses)
    curves = figures.to_pngs(file_stem(place), [(KEY, power.curves(place.title, analyses))], slowed)
    introduction = _TEXT.format(several=max(power_analysis.COMPARISONS)).strip()
    text = "\n\n".join([introduction, table.to_markdown(), *map(figure_link, curves)])
    return Section(text, {f"{file_stem(place)}-{KEY}": (table,)}, curves)

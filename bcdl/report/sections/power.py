"""The part of a place's experiments that shows which injected slow-downs a comparison detects: table and curves."""

from __future__ import annotations

from collections.abc import Sequence

from bcdl.records.experiment import Experiment
from bcdl.report import figures, how_to_read
from bcdl.report.plots import power
from bcdl.report.section import Section, figure_link
from bcdl.report.sections.experiment_tables import file_stem, power_table
from bcdl.statistics import power_analysis
from bcdl.statistics.experiments import Place

KEY = "power"  # of the table and the figure
_HEADING = "## How small a slow-down is found"
_SHOWS = "The share of comparisons that find a slow-down, by its size, with intervals,"


def section(place: Place, experiments: Sequence[Experiment]) -> Section | None:
    """The part about the experiments whose slow-down is known; None if there are too few rounds of these."""
    slowed = [experiment for experiment in experiments if experiment.slowdown is not None]
    analyses = power_analysis.analyse(slowed)
    if not analyses:
        return None
    table = power_table(analyses)
    curves = figures.to_pngs(file_stem(place), [(KEY, power.curves(place.title, analyses))], slowed)
    drawn = [figure_link(key, f"{_SHOWS} on {place.title}") for key in curves]
    text = "\n\n".join([_HEADING, how_to_read.link(how_to_read.POWER), table.to_markdown(), *drawn])
    return Section(text, {f"{file_stem(place)}-{KEY}": (table,)}, curves)

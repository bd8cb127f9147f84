"""The charts of the page to explore, as Vega-Lite specifications without data; the page fills in the rows chosen.

Altair checks each against the schema of Vega-Lite as it is made. Colours are variables of the page's style, which has a
light and a dark value for each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import altair as alt

from bcdl.evaluation import utilisation
from bcdl.parity.judge import QUANTITIES
from bcdl.report.web.data import HISTORIES, METRICS
from bcdl.statistics.comparison import RATES

# By a backend's place, as the colours `--backend-0` and so on are: whoever can't tell colours apart has the shapes.
SHAPES = ("circle", "square", "triangle-up", "diamond", "cross", "triangle-down")
_COLOURS = 6  # that the style has
REGIMES = {"fit": "fit", "step": "training steps", "predict": "inference"}
HISTORY_TITLES = {
    "loss": "training loss (nats)",
    "val_loss": "validation loss (nats)",
    "accuracy": "training accuracy",
    "val_accuracy": "validation accuracy",
    "val_auroc": "validation AUROC",
}
QUANTITY_TITLES = {
    "outputs": "inference outputs",
    "training_outputs": "training-mode outputs",
    "statistics": "batch norms' averages",
    "frozen_gradient": "gradient, batch norms frozen",
    "gradient": "gradient",
}
_SMALL_PX = 220

Chart = Any  # of one layer or several; types are checked without Altair


def specifications(backends: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Every chart by `view/choice`; their data sets are named `rows`, and `roofs` beside them.

    Those without a height get one by the number of their rows, in the page.
    """
    charts: dict[str, Chart] = {"roc/sensitivity": _roc(backends)}
    charts |= {f"speed/{regime}": _speed(regime, backends) for regime in RATES}
    charts |= {
        f"quality/{regime}/{metric}": _quality(regime, metric, backends) for regime in RATES for metric in METRICS
    }
    charts |= {f"roofline/{regime}": _roofline(regime, backends) for regime in utilisation.REGIMES}
    charts |= {f"parity/{quantity}": _parity(quantity, backends) for quantity in QUANTITIES}
    charts |= {f"training/{name}": _training(name, backends) for name in HISTORIES}
    fitted = alt.AutoSizeParams(type="fit-x", contains="padding")
    return {name: chart.properties(width="container", autosize=fitted).to_dict() for name, chart in charts.items()}


def _speed(regime: str, backends: Sequence[str]) -> Chart:
    """Rows by model, a mark a backend, a line over its interval or spread."""
    y = alt.Y("label:N", title=None, sort=None)
    base = alt.Chart(_rows()).encode(y=y, yOffset=alt.YOffset("place:O"), color=_colour(backends), tooltip=_tooltip())
    title = "images/s (log scale)"
    line = base.mark_rule(strokeWidth=2).encode(x=_log("low", title), x2="high:Q")
    point = base.mark_point(filled=True, size=70, opacity=1).encode(x=_log("value", title), shape=_shape(backends))
    return (line + point).properties(description=f"Rate of {REGIMES[regime]}, images/s, by model and backend")


def _quality(regime: str, metric: str, backends: Sequence[str]) -> Chart:
    base = alt.Chart(_rows()).encode(
        x=_log("value", "images/s (log scale)"),
        y=alt.Y("score:Q", title=METRICS[metric], scale=alt.Scale(zero=False, nice=True)),
        tooltip=_tooltip(),
    )
    point = base.mark_point(filled=True, size=80, opacity=1).encode(color=_colour(backends), shape=_shape(backends))
    line = base.mark_rule(strokeWidth=1.5).encode(y="score_low:Q", y2="score_high:Q", color=_colour(backends))
    said = f"{METRICS[metric]} against the rate of {REGIMES[regime]}"
    return (line + point + _named(base)).properties(height=360, description=said)


def _roofline(regime: str, backends: Sequence[str]) -> Chart:
    roof = (
        alt.Chart(alt.NamedData(name="roofs"))
        .mark_line(strokeWidth=2, strokeDash=[6, 3])
        .encode(x=_log("x", "FLOP a byte (log scale)"), y=_log_y("y"), detail="roof:N")
    )
    base = alt.Chart(_rows()).encode(x=_log("x", "FLOP a byte (log scale)"), y=_log_y("y"), tooltip=_tooltip())
    point = base.mark_point(filled=True, size=80, opacity=1).encode(color=_colour(backends), shape=_shape(backends))
    said = f"Arithmetic of {REGIMES[regime]} under the device's roof, which is dashed"
    return (roof + point + _named(base)).properties(height=360, description=said)


def _parity(quantity: str, backends: Sequence[str]) -> Chart:
    """Each backend's distance from the reference, and the tolerance, by model."""
    y = alt.Y("label:N", title=None, sort=None)
    base = alt.Chart(_rows()).encode(y=y, tooltip=_tooltip())
    title = "relative distance from float64 (log scale)"
    point = base.mark_point(filled=True, size=70, opacity=1).encode(
        x=_log("value", title, ".0e"), color=_colour(backends), shape=_shape(backends), yOffset=alt.YOffset("place:O")
    )
    limit = base.mark_tick(thickness=3, size=24).encode(x=_log("tolerance", title, ".0e"))
    return (limit + point).properties(description=f"{QUANTITY_TITLES[quantity]}: {title}")


def _training(name: str, backends: Sequence[str]) -> Chart:
    y = alt.Y("y:Q", title=HISTORY_TITLES[name], scale=alt.Scale(zero=False))
    chart = _small(alt.X("x:Q", title="epoch", axis=alt.Axis(tickMinStep=1, format="d")), y, backends)
    return chart.properties(description=f"{HISTORY_TITLES[name]} by epoch")


def _roc(backends: Sequence[str]) -> Chart:
    unit = alt.Scale(domain=[0, 1])
    chart = _small(
        alt.X("x:Q", title="1 - specificity", scale=unit), alt.Y("y:Q", title="sensitivity", scale=unit), backends
    )
    return chart.properties(description="Sensitivity by 1 - specificity")


def _small(x: alt.X, y: alt.Y, backends: Sequence[str]) -> Chart:
    """A line a backend, of one model; a row of what sets lines of a backend apart has another dash."""
    base = alt.Chart(_rows()).encode(x=x, y=y, color=_colour(backends), tooltip=_tooltip())
    line = base.mark_line(strokeWidth=2).encode(detail="row:N")
    point = base.mark_point(filled=True, size=30, opacity=1).encode(shape=_shape(backends))
    return (line + point).properties(height=_SMALL_PX)


def _rows() -> alt.NamedData:
    return alt.NamedData(name="rows")


def _named(base: alt.Chart) -> alt.Chart:
    """The model's name beside its mark; its colour is that of the text."""
    return base.mark_text(align="left", dx=8, dy=-6, fontSize=11).encode(text="name:N")


def _colour(backends: Sequence[str]) -> alt.Color:
    colours = [f"var(--backend-{place % _COLOURS})" for place, _ in enumerate(backends)]
    scale = alt.Scale(domain=list(backends), range=colours)
    return alt.Color("backend:N", title=None, scale=scale, legend=alt.Legend(orient="top"))


def _shape(backends: Sequence[str]) -> alt.Shape:
    shapes = [SHAPES[place % len(SHAPES)] for place, _ in enumerate(backends)]
    return alt.Shape("backend:N", title=None, scale=alt.Scale(domain=list(backends), range=shapes))


def _log(field: str, title: str, digits: str = "~g") -> alt.X:
    axis = alt.Axis(format=digits, labelFlush=True, labelOverlap="greedy", labelSeparation=8, tickCount=6)
    return alt.X(f"{field}:Q", title=title, scale=alt.Scale(type="log", nice=False, padding=12), axis=axis)


def _log_y(field: str) -> alt.Y:
    axis = alt.Axis(format="~g", labelOverlap="greedy", tickCount=6)
    return alt.Y(f"{field}:Q", title="the model's GFLOP/s (log scale)", scale=alt.Scale(type="log"), axis=axis)


def _tooltip() -> list[alt.Tooltip]:
    fields = {"label": "model", "backend": "backend", "said": "figures", "circumstances": "circumstances"}
    return [alt.Tooltip(f"{field}:N", title=title) for field, title in fields.items()]

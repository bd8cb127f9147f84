"""Puts `index.html` together: our page, what it shows, and the programs that draw and sort, all in one file."""

from __future__ import annotations

import functools
import html
import importlib.resources
import json
import re
from typing import Any

import vl_convert

from bcdl.report.web import charts, data
from bcdl.report.web.data import Values

# What every page of ours begins with, so that no other file is ever taken for one.
MARK = "<!DOCTYPE html>\n<!-- written by bcdl: made from records, and made anew by each report -->\n"
MOST_BYTES = 3_000_000
_MOST_ROWS = 1500
_EXPORTS = re.compile(r"export\s*\{([^}]*)\};?")

_PAGE = """\
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:">
<title>bcdl: records to explore</title>
<style>
{style}</style>
</head>
<body>
<header>
<div>
<h1>bcdl: records to explore</h1>
<p class="quiet">Made from {source}. Not for clinical use.</p>
</div>
<label>Colours <select id="theme">
<option value="auto">as the system</option><option value="light">light</option><option value="dark">dark</option>
</select></label>
</header>
<noscript><p>This page needs JavaScript; README.md beside it has the same figures.</p></noscript>
<nav aria-label="Views">
{views}
</nav>
<main>
<form aria-label="What is shown">
<label>Machine <select id="machine"></select></label>
<label>Data <select id="data"></select></label>
<label>Precision <select id="precision"></select></label>
<label>Batch <select id="batch"></select></label>
<label>Settings <select id="settings"></select></label>
<label>Regime <select id="regime">{regimes}</select></label>
<label>Baseline of ratios <select id="baseline"></select></label>
<label>Quality <select id="score">{scores}</select></label>
<label>Quantity <select id="quantity">{quantities}</select></label>
<label>Curve <select id="history">{histories}</select></label>
<fieldset id="models"><legend>Models</legend></fieldset>
<fieldset id="backends"><legend>Backends</legend></fieldset>
</form>
<h2 id="view-title"></h2>
{notes}
<p id="apart" hidden><strong>No ratio is offered for runs that were made one after another</strong>: on a shared machine
it would partly be that of their moments. <code>nox -s bench-ab</code> measures in turn.</p>
<p id="said" role="status"></p>
<div id="charts"></div>
<p id="constant" class="quiet"></p>
<div id="table"></div>
</main>
<footer class="quiet">
<h2>What is aggregated, and what is left out</h2>
{left_out}
</footer>
<div id="details" role="tooltip" hidden></div>
<script type="application/json" id="values">{data}</script>
<script type="application/json" id="charts-of-views">{charts}</script>
{scripts}
</body>
</html>
"""

_VIEWS = {
    "speed": "Speed",
    "quality": "Speed against quality",
    "roofline": "Roofline",
    "parity": "Parity",
    "training": "Training curves",
    "roc": "ROC",
}
_NOTES = {
    "speed": """
Measured <em>in turn</em>: the geometric mean of the processes' rates, with its 95% interval over processes. <em>One
after another</em>: the median over seeds and folds, between the slowest and the fastest sample, which is a spread and
no interval. An interval of a ratio holds for all pairs of its comparison at once, at 95%, and takes three rounds;
<em>tie</em> stands only if it lies within 3%. <code>!</code> marks a doubtful rate. Hover over a row, or move to it by
the keyboard, for its circumstances and what is doubtful; the table has all that the chart shows.""",
    "quality": """
Quality is the median over seeds and folds, between the least and the largest of them; it says nothing of how good a
model is if the data is drawings, or if it rests on few images. Intervals over patients are in the pages of the
report.""",
    "roofline": """
The model's arithmetic, under the limit that was measured on the device. Bytes are estimated as if nothing was fused
(Williams, Waterman and Patterson 2009).""",
    "parity": """
How far each backend is from a float64 reference; a bar marks what rounding may do. The table has each two backends
beside each other, with their relative distance and the verdict.""",
    "training": "Medians over seeds and folds, a chart for each model.",
    "roc": f"""
The mean curve over seeds, of at least {data.estimates.LEAST_IMAGES} test images; bands over patients are in the plots
of the report.""",
}
_LEFT_OUT = (
    "All seeds and folds of a model on a backend are one row; hovering shows how many records that are.",
    f"Training curves have {data.MOST_EPOCHS} epochs at most, evenly spaced.",
    f"ROC curves have {data.ROC_POINTS} points, and are of the first {data.ROC_SEEDS} seeds.",
    "Training curves, ROC curves and the roofline leave out what was measured in turn: its rounds repeat one training.",
    f"Names are cut at {data.LONGEST_NAME} letters.",
)


def build(values: Values) -> tuple[bytes, int]:
    """The page of these values, and how many rows it lacks because it would be larger than `MOST_BYTES` with them."""
    most = _MOST_ROWS
    shown = data.shortened(values, most)
    while len(page := _page(shown).encode()) > MOST_BYTES and most > 1:
        most //= 2
        shown = data.shortened(values, most)
    return page, shown["left_out"]


def _page(values: Values) -> str:
    return MARK + _PAGE.format(
        style=_own("page.css"),
        source=html.escape(values["source"]),
        views="\n".join(f'<a data-view="{name}" href="#view={name}">{title}</a>' for name, title in _VIEWS.items()),
        notes="\n".join(f'<p data-of="{name}" hidden>{note.strip()}</p>' for name, note in _NOTES.items()),
        regimes=_options(charts.REGIMES),
        scores=_options(data.METRICS),
        quantities=_options(charts.QUANTITY_TITLES),
        histories=_options(charts.HISTORY_TITLES),
        left_out=_left_out(values),
        data=as_json(values),
        charts=_charts(tuple(values["backends"])),
        scripts="\n".join(f'<script type="module">{_safe(code)}</script>' for code in _scripts()),
    )


@functools.cache
def _charts(backends: tuple[str, ...]) -> str:
    """The charts of these backends as JSON: the same for every page of a process, and a second's work."""
    return as_json(charts.specifications(backends))


def _options(titles: dict[str, str]) -> str:
    return "".join(f'<option value="{name}">{html.escape(title)}</option>' for name, title in titles.items())


def _left_out(values: Values) -> str:
    """What is aggregated, capped and unread, a paragraph each."""
    lines = list(_LEFT_OUT)
    if values["left_out"]:
        lines.insert(0, f"{values['left_out']} rows are left out, so that the page stays small; the report has them.")
    lines += [f"Could not be read, and is left out: {problem}" for problem in values["unread"]]
    return "\n".join(f"<p>{html.escape(line)}</p>" for line in lines)


def as_json(values: Any) -> str:
    """The values as JSON that is inert within HTML: ASCII alone, and nothing in it ends a script or begins a tag."""
    text = json.dumps(values, separators=(",", ":"), allow_nan=False)
    return re.sub("[<>&]", lambda match: f"\\u{ord(match[0]):04x}", text)


def _scripts() -> tuple[str, ...]:
    """Vega-Lite, DataTables and our own; each may use what those before it have set."""
    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;"), _with_global(_data_tables()), _own("page.js")


def _data_tables() -> str:
    folder = importlib.resources.files("itables") / "html"
    return (folder / "dt_bundle.js").read_text(encoding="utf-8")


def _with_global(module: str) -> str:
    """The module of DataTables with its default export as a global name: a script within a page can't import it."""
    (exported,) = _EXPORTS.findall(module)
    names = dict(reversed(part.split(" as ")) for part in exported.split(","))
    return _EXPORTS.sub(f"window.DataTable={names['default']};", module)


def _safe(code: str) -> str:
    """The code as a script within a page has it: no text in it ends the script, or begins a comment of HTML."""
    return code.replace("</script", "<\\/script").replace("<!--", "<\\!--")


def _own(name: str) -> str:
    return (importlib.resources.files(__package__) / name).read_text(encoding="utf-8")

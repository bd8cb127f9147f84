"""The parity section of the results page and its tables, from findings alone. Never imports Keras."""

from __future__ import annotations

import functools
import statistics
from collections.abc import Iterator
from typing import Any

from bcdl.parity import known_differences
from bcdl.parity.findings import Finding
from bcdl.parity.judge import QUANTITIES, WIDEST
from bcdl.parity.settings import MOVED_ULPS, STEPS, UNIT_ROUNDOFF
from bcdl.parity.verdicts import NEVER_MEASURED, Comparison, title_of
from bcdl.report import formats
from bcdl.report.tables import Entry, Table, figures, word, words
from bcdl.settings.models import MODELS
from bcdl.text import escape

_TITLES = {
    "outputs": "inference outputs",
    "training_outputs": "training-mode outputs",
    "statistics": "batch norms' averages",
    "frozen_gradient": "gradient, batch norms frozen",
    "gradient": "gradient",
    "loss": "training loss",
}

_INTRODUCTION = """\
Whether the backends compute the same model. Each starts from the same weights (NumPy draws) and is fed the same bytes;
dropout is off. The reference is the same model in float64 on a backend whose float64 agrees with NumPy, layer type by
layer type. What rounding may do is measured on the reference: every weight and pixel is moved by {safety} units in the
last place, up or down at random, and the largest change of several draws (or that many unit roundoffs, where it is
larger) is the tolerance. A backend within it is within rounding; one beyond it differs, and the first layer beyond its
own tolerance is named. Differences are Euclidean norms, as a share of the reference's. A tolerance above {widest:.0%}
(marked *) could hide a fault; it proves nothing, and the gradient with batch norms frozen stands in for it.
"""

_STEPS_TEXT = """\
Distance of the weights after some steps of SGD (rate 2^-10, momentum 0.9), as a share of the way they have come. Two
runs of one backend whose pixels differ by one float32 ulp drift apart too: that is the size of chaos, beside which the
pairs are to be read.
"""

_CHECKPOINTS_TEXT = """\
Saved after two steps with the optimizer's state by the backend on the left, loaded by the one above: whether weights
and optimizer state are the same bits, the largest difference of the outputs (scores lie in 0..1), and the gap of the
loss of the next training step, nats.
"""


def tables(comparison: Comparison) -> dict[str, Table]:
    """Every table of the comparison, by the name of its file."""
    return {
        "verdicts": _verdicts(comparison),
        "reference": _errors(comparison),
        "steps": _steps(comparison),
        "checkpoints": _checkpoints(comparison),
        "determinism": _determinism(comparison),
        "units": _units(comparison),
    }


def section(comparison: Comparison, figures: list[str]) -> str:
    """The comparison in Markdown; `figures` are paths relative to the page."""
    shown = {name: table.to_markdown() for name, table in tables(comparison).items()}
    parts = [
        f"## Parity: {escape(comparison.title)}",
        _INTRODUCTION.format(safety=MOVED_ULPS[comparison.first.plan["precision"]], widest=WIDEST).strip(),
        _facts(comparison),
        shown["verdicts"],
        *(f"![{escape(figure.rpartition('/')[2])}]({figure})" for figure in figures),
        shown["reference"],
        "### Some steps on",
        _STEPS_TEXT.strip(),
        shown["steps"],
        "### Checkpoints",
        _CHECKPOINTS_TEXT.strip(),
        shown["checkpoints"],
        "### Determinism",
        shown["determinism"],
        "### Known differences",
        _known(comparison),
    ]
    return "\n\n".join(parts) + "\n"


def _facts(comparison: Comparison) -> str:
    first = comparison.first
    references = [finding.reference for finding in comparison.findings if finding.reference]
    lines = [
        f"Machine: {comparison.machine}",
        f"Images: {first.dataset['name']}, SHA-256 `{first.dataset['checksum'][:12]}`",
    ]
    if references:
        units, gradients = (max(reference[key] for reference in references) for key in ("worst_unit", "gradient_check"))
        lines.append(
            f"Reference: {references[0]['backend']} in float64, within {units:.0e} of NumPy in every layer type; its "
            f"gradients within {gradients:.0e} of central differences of the loss"
        )
    lines += [f"{name}: {_versions(first, name)}" for name in comparison.backends if name in first.backends]
    missing = [name for name in MODELS if name not in {finding.plan["model"] for finding in comparison.findings}]
    lines += [f"Not measured: {', '.join(missing)}"] if missing else []
    for name in UNIT_ROUNDOFF:
        if name != first.plan["precision"]:
            where = (
                f"not run on this machine: {first.lacking[name]}"
                if name in first.lacking
                else "where it was run, in a section of its own"
            )
            lines.append(f"{name}: {where}")
    return "\n".join(f"- {escape(line)}" for line in lines)


def _versions(finding: Finding, backend: str) -> str:
    environment = finding.backends[backend]["environment"]
    return ", ".join(f"{name} {version}" for name, version in environment["versions"].items())


def _verdicts(comparison: Comparison) -> Table:
    rows = [
        (
            word(title_of(f)),
            *(word(f.pairs[p]["verdict"] if p in f.pairs else NEVER_MEASURED) for p in comparison.pairs),
        )
        for f in comparison.findings
    ]
    return Table("Verdict", (words("model"), *map(figures, comparison.pairs)), tuple(rows))


def _errors(comparison: Comparison) -> Table:
    rows = []
    for finding in comparison.findings:
        for quantity in (*QUANTITIES, "loss"):
            tolerance = finding.tolerance.get(quantity)
            errors = (finding.errors.get(backend, {}).get(quantity) for backend in comparison.backends)
            wide = "*" if tolerance is not None and tolerance > WIDEST else ""
            named = (word(title_of(finding)), word(_TITLES[quantity]))
            rows.append((*named, _small(tolerance, flag=wide), *map(_small, errors)))
    columns = (words("model"), words("quantity"), *map(figures, ("tolerance", *comparison.backends)))
    return Table("Difference from the float64 reference", columns, tuple(rows))


def _steps(comparison: Comparison) -> Table:
    rows = []
    for finding in comparison.findings:
        for step in map(str, STEPS):
            drifts = [draw["weights"][step] for draw in finding.chaos.get("draws", [])]
            chaos = [_small(statistics.median(drifts)), _small(max(drifts))] if drifts else [_small(None)] * 2
            pairs = (finding.pairs.get(pair, {}).get("steps", {}).get(step, {}) for pair in comparison.pairs)
            named = (word(title_of(finding)), word(step))
            rows.append((*named, *chaos, *(_small(pair.get("weights")) for pair in pairs)))
    measured = map(figures, ("step", "perturbed, median", "perturbed, largest", *comparison.pairs))
    return Table("Distance of the weights", (words("model"), *measured), tuple(rows))


def _checkpoints(comparison: Comparison) -> Table:
    rows = []
    for finding in comparison.findings:
        for saver in comparison.backends:
            loaded = (finding.checkpoints.get(saver, {}).get(loader) for loader in comparison.backends)
            rows.append((word(title_of(finding)), word(saver), *map(word, map(_exchanged, loaded))))
    columns = (words("model"), words("saved by"), *map(figures, comparison.backends))
    return Table("Checkpoints", columns, tuple(rows))


def _exchanged(found: dict[str, Any] | None) -> str:
    if found is None:
        return NEVER_MEASURED
    if "error" in found:
        return str(found["error"])
    state = "same state" if found["same_state"] else "OTHER STATE"
    help_ = "" if found["loads_as_it_is"] else " (with custom_objects)"
    return f"{state}{help_}, outputs {found['outputs_max_abs']:.0e}, loss {found['resumed_loss']:.0e}"


def _determinism(comparison: Comparison) -> Table:
    rows = []
    for finding in comparison.findings:
        cells = [_repeats(finding, backend) for backend in comparison.backends]
        rows.append(tuple(map(word, (title_of(finding), *cells))))
    title = "Two runs of one backend: in one process (5 steps), and in another (a checkpoint resumed)"
    return Table(title, (words("model"), *map(figures, comparison.backends)), tuple(rows))


def _repeats(finding: Finding, backend: str) -> str:
    if backend not in finding.backends:
        return NEVER_MEASURED
    again = finding.checkpoints.get(backend, {}).get(backend)
    other = NEVER_MEASURED
    if again and "error" not in again:
        other = _bits(again["resumed_loss"] == again["resumed_outputs_max_abs"] == again["outputs_max_abs"] == 0)
    cost = finding.backends[backend]["determinism"]
    made = "repeats itself" if cost.get("repeats") else "still does not repeat itself"
    price = f"; made deterministic {made}, in {cost['ratio']:.2f} times the time" if cost else ""
    return f"{_bits(finding.backends[backend]['repeats_itself'])}; {other}{price}"


def _bits(same: bool) -> str:
    return "same bits" if same else "other bits"


def _units(comparison: Comparison) -> Table:
    units = comparison.first.units
    names = list(dict.fromkeys(name for errors in units.values() for name in errors))
    errors = [units.get(backend, {}) for backend in comparison.backends]
    rows = [(word(name), *(_small(error.get(name)) for error in errors)) for name in names]
    columns = (words("unit"), *map(figures, comparison.backends))
    return Table("Relative error of each layer type, the loss and the optimizers", columns, tuple(rows))


def _known(comparison: Comparison) -> str:
    lines = list(_known_lines(comparison))
    return "\n".join(f"- {escape(line)}" for line in lines) or "None on these backends."


def _known_lines(comparison: Comparison) -> Iterator[str]:
    for row in known_differences.KNOWN:
        if row.backend in comparison.backends:
            yield f"{row.backend}, {row.unit}: {row.cause}; {row.upstream}; seen in Keras {row.seen_in}. {row.meets}"


def _small(value: float | None, flag: str = "") -> Entry:
    return Entry(value, functools.partial(formats.scientific, digits=1, missing=NEVER_MEASURED), flag=flag)

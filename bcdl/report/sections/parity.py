"""The parity section of the results page: the findings of a group in words, tables and pictures."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator

from bcdl.parity import known_differences
from bcdl.parity.findings import Distance, Exchange, Finding, Number
from bcdl.parity.judge import QUANTITIES, WIDEST
from bcdl.parity.settings import EMULATED, MOVED_ULPS, STEPS, UNIT_ROUNDOFF
from bcdl.parity.verdicts import NEVER_MEASURED, ParityGroup, title_of
from bcdl.report import figures as pictures
from bcdl.report import formats, how_to_read
from bcdl.report.section import Section, figure_link, page_name
from bcdl.report.sections import parity_pictures
from bcdl.report.tables import Entry, Table, count, figures, word, words
from bcdl.settings.models import MODELS
from bcdl.text import escape

# What people see in place of a number that is not finite.
_NOT_FINITE = "not finite"

_TITLES = {
    "outputs": "inference outputs",
    "training_outputs": "training-mode outputs",
    "statistics": "batch norms' averages",
    "frozen_gradient": "gradient, batch norms frozen",
    "gradient": "gradient",
    "loss": "training loss",
}

_INTRODUCTION = """\
{link} Here every weight and pixel is moved by {ulps} units in the last place of {precision} ({roundoff} of the value),
and a tolerance above {widest} (marked *) proves nothing of the whole.
"""

_STEPS_TEXT = """\
Distance of the weights after some steps of SGD (rate 2^-10, momentum 0.9), as a share of the way they have come. Two
runs of one backend whose pixels differ by one ulp of the precision drift apart too: that is the size of chaos, beside
which the pairs are to be read.
"""

_CHECKPOINTS_TEXT = """\
Saved after two steps with the optimizer's state by the backend on the left, loaded by the one above: whether weights
and optimizer state are the same bits, the largest difference of the outputs (scores lie in 0..1), and the gap of the
loss of the next training step, nats.
"""


def section(group: ParityGroup) -> Section:
    """The group's part of the page."""
    tables = {
        "verdicts": verdicts_table(group),
        "reference": _errors(group),
        "steps": _steps(group),
        "checkpoints": _checkpoints(group),
        "determinism": _determinism(group),
        "layer-checks": _layer_checks(group),
    }
    plan = group.first.plan
    drawn = pictures.to_pngs(group.slug, parity_pictures.draw(group), group.findings)
    return Section(
        text=_text(group, tables, drawn),
        tables={f"{group.slug}-{name}": (table,) for name, table in tables.items()},
        figures=drawn,
        page=page_name("parity", group.machine, plan.precision, f"{plan.image_size}px", f"batch {plan.batch_size}"),
    )


def _text(group: ParityGroup, tables: dict[str, Table], drawn: Iterable[str]) -> str:
    parts = [
        f"# Parity: {escape(group.title)}",
        _introduction(group.first.plan.precision),
        _facts(group),
        tables["verdicts"].to_markdown(),
        *(figure_link(key, parity_pictures.SHOWS[key.rpartition("/")[2]]) for key in drawn),
        tables["reference"].to_markdown(),
        "## Some steps on",
        _STEPS_TEXT.strip(),
        tables["steps"].to_markdown(),
        "## Checkpoints",
        _CHECKPOINTS_TEXT.strip(),
        tables["checkpoints"].to_markdown(),
        "## Determinism",
        tables["determinism"].to_markdown(),
        "## Known differences",
        _known_differences(group),
    ]
    return "\n\n".join(parts) + "\n"


def _introduction(precision: str) -> str:
    ulps = MOVED_ULPS[precision]
    return _INTRODUCTION.format(
        link=how_to_read.link(how_to_read.PARITY),
        ulps=ulps,
        precision=precision,
        roundoff=_scientific(2 * ulps * UNIT_ROUNDOFF[precision]),
        widest=formats.percent(WIDEST),
    ).strip()


def _facts(group: ParityGroup) -> str:
    first = group.first
    lines = [
        f"Machine: {group.machine}",
        f"Images: {first.dataset['name']}, SHA-256 `{first.dataset['checksum'][:12]}`",
        *_reference_lines(group),
        *(f"{name}: {_versions(first, name)}" for name in group.backends if name in first.backends),
    ]
    missing = [name for name in MODELS if name not in {finding.plan.model for finding in group.findings}]
    lines += [f"Not measured: {', '.join(missing)}"] if missing else []
    lines += [_arithmetic(first, precision) for precision in UNIT_ROUNDOFF]
    return "\n".join(f"- {escape(line)}" for line in lines)


def _arithmetic(finding: Finding, precision: str) -> str:
    """How the machine had that precision, in words."""
    reason = finding.lacking.get(precision)
    if precision == finding.plan.precision:
        return f"{precision}: " + (
            f"emulated, rightly and slowly: {reason}" if reason else "the machine's own arithmetic"
        )
    if reason and precision not in EMULATED:
        return f"{precision}: not run on this machine: {reason}"
    return f"{precision}: if it was run, in a section of its own"


def _reference_lines(group: ParityGroup) -> Iterator[str]:
    references = [finding.reference for finding in group.findings if finding.reference]
    if references:
        layers = _largest(reference["worst_layer_check"] for reference in references)
        gradients = _largest(reference["gradient_check"] for reference in references)
        yield (
            f"Reference: {references[0]['backend']} in float64, within {_scientific(layers, 0)} of NumPy in every "
            f"layer type; its gradients within {_scientific(gradients, 0)} of central differences of the loss"
        )
        if lengths := [reference["sketch_length"] for reference in references if "sketch_length" in reference]:
            share = formats.percent(1 / math.sqrt(2 * min(lengths)))
            yield f"Differences from the reference are estimated from sketches of it: they are right to {share} or so"


def _largest(numbers: Iterable[Number]) -> Number:
    """The largest of the numbers; None, which stands for a number that is not finite, if any of them is None."""
    every = list(numbers)
    finite = [number for number in every if number is not None]
    return max(finite) if len(finite) == len(every) else None


def _versions(finding: Finding, backend: str) -> str:
    versions = finding.backends[backend]["environment"].get("versions", {})
    return ", ".join(f"{name} {version}" for name, version in versions.items())


def verdicts_table(group: ParityGroup) -> Table:
    rows = [
        (
            word(title_of(finding)),
            *(word(finding.pairs[p]["verdict"] if p in finding.pairs else NEVER_MEASURED) for p in group.pairs),
        )
        for finding in group.findings
    ]
    return Table("Verdict", (words("model"), *map(words, group.pairs)), tuple(rows))


def _errors(group: ParityGroup) -> Table:
    rows = []
    for finding in group.findings:
        for quantity in (*QUANTITIES, "loss"):
            errors = [finding.errors.get(backend, {}) for backend in group.backends]
            row = (word(title_of(finding)), word(_TITLES[quantity]), _tolerance(finding, quantity))
            rows.append((*row, *(_small(error, quantity) for error in errors)))
    columns = (words("model"), words("quantity"), figures("tolerance"), *map(figures, group.backends))
    return Table("Difference from the float64 reference", columns, tuple(rows))


def _tolerance(finding: Finding, quantity: str) -> Entry:
    tolerance = finding.tolerance.get(quantity)
    wide = quantity in finding.tolerance and (tolerance is None or tolerance > WIDEST)
    return _small(finding.tolerance, quantity, flag="*" if wide else "")


def _steps(group: ParityGroup) -> Table:
    rows = []
    for finding in group.findings:
        for step in STEPS:
            drifts = finding.drifts(step)
            distances = (finding.distance(pair, step) for pair in group.pairs)
            row = (word(title_of(finding)), count(step), *_perturbed(drifts))
            rows.append((*row, *map(_distance, distances)))
    chaos = (figures("perturbed, median"), figures("perturbed, largest"))
    columns = (words("model"), figures("step"), *chaos, *map(figures, group.pairs))
    return Table("Distance of the weights", columns, tuple(rows))


def _distance(distance: Distance | None) -> Entry:
    return _number(distance["weights"]) if distance else word(NEVER_MEASURED)


def _perturbed(drifts: list[Number]) -> tuple[Entry, Entry]:
    """The median and the largest drift of the perturbed runs."""
    if not drifts:
        return word(NEVER_MEASURED), word(NEVER_MEASURED)
    finite = [drift for drift in drifts if drift is not None]
    median = statistics.median(finite) if len(finite) == len(drifts) else None
    return _number(median), _number(_largest(drifts))


def _checkpoints(group: ParityGroup) -> Table:
    rows = []
    for finding in group.findings:
        for saver in group.backends:
            loaders = finding.checkpoints.get(saver, {})
            exchanges = (_exchanged(loaders[name]) if name in loaders else NEVER_MEASURED for name in group.backends)
            rows.append((word(title_of(finding)), word(saver), *map(word, exchanges)))
    columns = (words("model"), words("saved by"), *map(words, group.backends))
    return Table("Checkpoints", columns, tuple(rows))


def _exchanged(exchange: Exchange) -> str:
    if "error" in exchange:
        return exchange["error"]
    state = "same state" if exchange["same_state"] else "OTHER STATE"
    help_ = "" if exchange["loads_as_it_is"] else " (with custom_objects)"
    outputs, loss = (_scientific(exchange[key], 0) for key in ("outputs_max_abs", "resumed_loss"))
    return f"{state}{help_}, outputs {outputs}, loss {loss}"


def _determinism(group: ParityGroup) -> Table:
    rows = [
        (word(title_of(finding)), *(word(_repeats(finding, backend)) for backend in group.backends))
        for finding in group.findings
    ]
    title = "Two runs of one backend: in one process (5 steps), and in another (a checkpoint resumed)"
    return Table(title, (words("model"), *map(words, group.backends)), tuple(rows))


def _repeats(finding: Finding, backend: str) -> str:
    if backend not in finding.backends:
        return NEVER_MEASURED
    again = finding.checkpoints.get(backend, {}).get(backend, {})
    other = NEVER_MEASURED
    if again and "error" not in again:
        other = _bits(again["resumed_loss"] == again["resumed_outputs_max_abs"] == again["outputs_max_abs"] == 0)
    cost = finding.backends[backend]["determinism"]
    price = ""
    if cost:
        made = "repeats itself" if cost["repeats"] else "still does not repeat itself"
        price = f"; made deterministic {made}, in {formats.fixed(cost['ratio'], 2)} times the time"
    return f"{_bits(finding.backends[backend]['repeats_itself'])}; {other}{price}"


def _bits(same: bool) -> str:
    return "same bits" if same else "other bits"


def _layer_checks(group: ParityGroup) -> Table:
    checks = group.first.layer_checks
    names = dict.fromkeys(name for errors in checks.values() for name in errors)
    errors = [checks.get(backend, {}) for backend in group.backends]
    rows = [(word(name), *(_small(error, name) for error in errors)) for name in names]
    columns = (words("layer check"), *map(figures, group.backends))
    return Table("Relative error of each layer type, the loss and the optimizers", columns, tuple(rows))


def _known_differences(group: ParityGroup) -> str:
    lines = [
        f"{row.backend}, {row.check}: {row.cause}; {row.upstream}; seen in Keras {row.seen_in}. {row.meets}"
        for row in known_differences.KNOWN_DIFFERENCES
        if row.backend in group.backends
    ]
    return "\n".join(f"- {escape(line)}" for line in lines) or "None on these backends."


def _small(numbers: dict[str, Number], key: str, flag: str = "") -> Entry:
    """The number of that key, with an exponent; if there is none, it was not measured."""
    return _number(numbers[key], flag) if key in numbers else word(NEVER_MEASURED)


def _number(value: Number, flag: str = "") -> Entry:
    return Entry(value, _scientific, flag=flag)


def _scientific(value: Number, digits: int = 1) -> str:
    return formats.scientific(value, digits, missing=_NOT_FINITE)

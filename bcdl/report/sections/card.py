"""Model cards: what a report of a prediction model should say, as far as records hold it.

The items are those of TRIPOD+AI (Collins et al. 2024, BMJ 385:e078378, table 2), whose numbers stand beside them, and
cover what CLAIM (Tejani et al. 2024, Radiology: Artificial Intelligence 6(4):e240300) asks for besides. What no record
holds is left as a named blank, so that nobody takes its absence for an answer.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from bcdl.evaluation.estimates import Result
from bcdl.machine.identity import in_words
from bcdl.records.groups import Group, Line
from bcdl.records.record import Record
from bcdl.report import formats, titles
from bcdl.report.sections import quality
from bcdl.report.sections.facts import leak_lines
from bcdl.report.tables import Entry, Table, figures, number, word, words
from bcdl.settings.cell import ZOOM
from bcdl.settings.models import MODELS, with_pixels
from bcdl.settings.words import card_words
from bcdl.text import escape, safe_name

_PREPROCESSING = {
    "none": "not scaled, from 0 to 255",
    "unit": "divided by 255",
    "tf": "scaled to -1..1",
    "torch": "scaled to 0..1, then by ImageNet's means and standard deviations",
    "caffe": "BGR, less ImageNet's means",
}


@dataclasses.dataclass(frozen=True)
class _Card:
    """One line of a group, on all backends that ran it."""

    group: Group
    line: Line
    results: list[Result]

    @property
    def records(self) -> list[Record]:
        """Those that are ok, of all backends."""
        return [record for result in self.results for record in result.records if record.ok]

    @property
    def first(self) -> Record:
        return self.records[0]


def cards(group: Group, results: Sequence[Result]) -> dict[str, str]:
    """The card of each model that was tested on real images, Markdown, by its file's name without suffix.

    `results` are those of the whole group.
    """
    if group.synthetic:
        return {}
    drafts = [_Card(group, line, [result for result in results if result.line == line]) for line in group.lines]
    return {f"{group.slug}-{safe_name(_name(card.line))}": _markdown(card) for card in drafts if card.results}


def _name(line: Line) -> str:
    return "-".join(part.replace(" ", "_") for part in (line.model, line.weights, line.training) if part)


def _markdown(card: _Card) -> str:
    leaky = ["**LEAKY: the split was by image; these figures say nothing of new patients.**"] * bool(card.group.mark)
    title = f"{card.line.title}, start: {card.line.start}, on {card.group.first.cell.data}"
    parts = [
        f"# Model card: {escape(title)}",
        "**Not for clinical use.** Generated from records by `python -m bcdl.report`; edit nothing here by hand.",
        *leaky,
        _items("What records know", "known", _known(card)),
        _performance(card).to_markdown(),
        _items("Left blank: no record knows it", "to be filled in", [(number, item, "") for number, item in _BLANK]),
    ]
    return "\n\n".join(parts) + "\n"


def _known(card: _Card) -> list[tuple[str, str, str]]:
    """The items of which the records of the card know something."""
    return [(number, item, text) for number, item, read in _KNOWN if (text := read(card))]


def _items(title: str, heading: str, items: Iterable[tuple[str, str, str]]) -> str:
    """A table of items in Markdown: each item's number in TRIPOD+AI, its name, and what stands under `heading`."""
    columns = (words("TRIPOD+AI"), words("item"), words(heading))
    return Table(title, columns, tuple(tuple(map(word, item)) for item in items)).to_markdown()


def _performance(card: _Card) -> Table:
    """Metrics down, backends across, beside the majority class."""
    rows = []
    for metric in quality.applicable(card.results):
        estimates = (Entry(result.estimates[metric.name], formats.estimate) for result in card.results)
        title = quality.title_of(metric, card.results)
        rows.append((word(title), number(card.results[0].reference[metric.name], 3), *estimates))
    backends = (figures(result.backend) for result in card.results)
    columns = (words("quantity"), figures("majority class"), *backends)
    dependent = " that take the folds for independent" if card.group.first.cell.folds > 1 else ""
    title = titles.of_quality(card.group, f"23 Performance on test images, with 95% intervals{dependent}")
    return Table(title, columns, tuple(rows))


def _images(card: _Card) -> str:
    dataset = card.first.dataset
    malignant, groups = dataset["malignant"], dataset["groups"]
    unknown = {name: dataset.get("ungrouped", {}).get(name, 0) for name in dataset["images"]}
    known = dataset.get("grouped") or 0 < sum(unknown.values()) < sum(dataset["images"].values())
    unit = "groups or patients" if known else "images, no patients being known"
    parts = [
        f"{count} {name} ({malignant.get(name, '?')} malignant, {groups.get(name, '?')} {unit}"
        f"{formats.of_no_known_patient(unknown[name]) if known else ''})"
        for name, count in dataset["images"].items()
    ]
    return "; ".join(parts)


def _data(card: _Card) -> str:
    dataset = card.first.dataset
    return f"{dataset['name']}, SHA-256 {card.group.checksum}"


def _notices(card: _Card) -> str:
    return "; ".join(dict.fromkeys(notice for record in card.records for notice in record.dataset["notices"]))


def _preparation(card: _Card) -> str:
    cell = card.first.cell
    row = MODELS.get(cell.model)
    mode = with_pixels(row, cell.preprocessing).preprocessing if row else "as the model's row says"
    scaled = _PREPROCESSING.get(mode, mode)
    zoomed = "zoomed" if cell.zoom_range == ZOOM else f"zoomed (range {formats.plain(cell.zoom_range)})"
    augmented = f"rotated, {zoomed} and flipped at random in training" if cell.augment else "not augmented"
    return f"RGB, resized to {cell.image_size}x{cell.image_size}, {scaled}; {augmented}"


def _specification(card: _Card) -> str:
    model, weights = card.first.model, card.first.weights
    start = "drawn at random by NumPy" if card.line.weights == "none" else f"{weights.get('kind')}: {card.line.weights}"
    if weights.get("sha256"):
        start += f", SHA-256 {weights['sha256']}"
    parameters, trainable = (formats.grouped(model.get(name, 0)) for name in ("parameters", "trainable_parameters"))
    counts = f"{parameters} parameters, {trainable} of them trainable"
    return f"{card.line.title} with the source study's head, two sigmoid outputs; {counts}; start {start}"


def _training(card: _Card) -> str:
    seeds = sorted({record.cell.seed for record in card.records})
    return "; ".join([*card_words(card.first.cell), f"seeds {', '.join(map(str, seeds))}"])


def _imbalance(card: _Card) -> str:
    cell, dataset = card.first.cell, card.first.dataset
    share = sum(dataset["malignant"].values()) / max(1, sum(dataset["images"].values()))
    return f"{formats.percent(share)} malignant; loss {'weighed by class' if cell.class_weights else 'not weighed'}"


def _split(card: _Card) -> str:
    cell = card.first.cell
    folds = f"{cell.folds}-fold cross-validation" if cell.folds else "one split into training, validation and test"
    unit = quality.split_words(card.first) + _sides(card.first)
    return f"{folds}, {unit}, seed {cell.split_seed}; no external validation"


def _sides(record: Record) -> str:
    """What follows the words for the split: whether a patient may be on two sides."""
    unknown = sum(record.dataset.get("ungrouped", {}).values())
    but = f", but of {unknown} images the patient is not known" if unknown else ""
    said = {quality.BY_GROUP: f": none is on two sides{but}", quality.NOT_KNOWN: ": one may be on two sides"}
    return said.get(quality.split_words(record), "")


def _leaks(card: _Card) -> str:
    return "; ".join(leak_lines(card.records))


def _software(card: _Card) -> str:
    versions = {
        result.backend: ", ".join(
            f"{name} {version}" for name, version in result.records[0].environment.get("versions", {}).items()
        )
        for result in card.results
    }
    return "; ".join(f"{backend}: {listed}" for backend, listed in versions.items())


def _hardware(card: _Card) -> str:
    """Every machine that trained one of the models."""
    return "; and ".join(dict.fromkeys(_machine(record.environment) for record in card.records))


def _machine(environment: Mapping[str, Any]) -> str:
    gpus = ", ".join(environment.get("gpus") or ()) if isinstance(environment.get("gpus"), list) else ""
    identity = in_words(environment.get("identity") or {}) or "unknown"
    cores = environment.get("cpu_cores_allowed", "unknown")
    return f"{gpus or environment.get('cpu')}, cores allowed: {cores}; identity: {identity}"


def _code(card: _Card) -> str:
    commits = sorted({str(record.environment.get("commit")) for record in card.records})
    runs = sorted({record.run for record in card.records})
    return f"bcdl, commit {', '.join(commits)}; runs {', '.join(runs)}"


_KNOWN: Sequence[tuple[str, str, Callable[[_Card], str]]] = (
    ("5", "Data", _data),
    ("6, 20", "Images, and patients where known", _images),
    ("7", "Preparation", _preparation),
    ("8", "Outcome", lambda card: "malignant against benign, as the data set labels each image"),
    ("9", "Predictors", lambda card: "the image's pixels alone"),
    ("11", "Left out, and notes on the data", _notices),
    ("12, 22", "Model", _specification),
    ("12, 21", "Training", _training),
    ("13", "Class imbalance", _imbalance),
    ("15", "Output", lambda card: "malignant score p1 / (p0 + p1) of the two outputs, named malignant above 0.5"),
    ("16", "Training and evaluation apart", _split),
    ("16", "Leaks looked for", _leaks),
    ("18", "Code and records", _code),
    ("18", "Software", _software),
    ("18", "Hardware", _hardware),
    ("27", "Use", lambda card: "to compare frameworks and harnesses; not for clinical use"),
)
_BLANK = (
    ("3, 4", "Clinical background, intended use and users"),
    ("5", "Source of the images: centres, dates, devices"),
    ("6", "Eligibility, and how participants were chosen"),
    ("8", "Reference standard, its readers and their agreement"),
    ("10", "Why so many images"),
    ("14, 20", "Age, sex, ethnicity and other strata; fairness across them"),
    ("17", "Ethics approval and consent"),
    ("18", "Funding, interests, protocol, registration, availability of the data"),
    ("19", "Involvement of patients and the public"),
    ("24", "Updating, and surveillance in use"),
    ("25, 26", "Interpretation, and limitations beyond those above"),
)

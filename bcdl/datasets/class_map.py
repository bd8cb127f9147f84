"""Which class a name means: the name of a folder, or a label of a table, by itself or by `--class-map`."""

from __future__ import annotations

import collections
import difflib
import functools
import re
from collections.abc import Mapping, Sequence

from bcdl.datasets.pool import CLASSES, LABELS
from bcdl.errors import UsageError
from bcdl.text import comparable, quoted

# Names that say a class without doubt, after a number or the word class, if there is one: 0_benign, class-malignant.
_WORDS = {"benign": 0, "benigns": 0, "malignant": 1, "malignants": 1, "malign": 1}
_PREFIX = re.compile(r"(?:\d+|class)[ _.-]+")
# What a name could mean: for the advice of a refusal alone, never to read by.
_HINTS = {
    **dict.fromkeys(("normal", "healthy", "negative", "neg", "noncancer", "noncancerous", "nontumor"), 0),
    **dict.fromkeys(("cancer", "cancerous", "carcinoma", "positive", "pos", "tumor", "tumour", "idc"), 1),
}
_NUMBER = re.compile(r"(?:class|label|category)?[ _-]*([01])")


def parse(text: str) -> dict[str, int]:
    """The label by comparable name (`text.comparable`) that `--class-map` states; empty if it is empty.

    Raises:
        UsageError: it is not a list of NAME=CLASS, or it contradicts itself or what a name says.
    """
    stated: dict[str, int] = {}
    for entry in text.split(",") if text.strip() else []:
        name, equals, kind = (comparable(part) for part in entry.rpartition("="))
        if not equals or not name or kind not in LABELS:
            raise UsageError(_malformed(entry, kind if equals and name else ""))
        said = stated.get(name, _by_itself(name))
        if said not in (None, LABELS[kind]):
            raise UsageError(f"--class-map says {quoted(name)} is {kind}, and it is {CLASSES[said]}; give it one class")
        stated[name] = LABELS[kind]
    return stated


def _malformed(entry: str, kind: str) -> str:
    near = difflib.get_close_matches(kind, LABELS, 1)
    meant = f", did you mean {near[0]}?" if near else ""
    return (
        f"--class-map has an entry {quoted(entry.strip())} that is not NAME={' or NAME='.join(LABELS)}{meant}; write "
        'for example --class-map "benign cases=benign,1=malignant" (a name with a comma has to be renamed)'
    )


def class_of(name: str, stated: Mapping[str, int]) -> int | None:
    """The label that a name means: as `parse` gave it, or by itself; None if neither says one."""
    name = comparable(name)
    return stated[name] if name in stated else _by_itself(name)


@functools.lru_cache  # of one folder are many images
def _by_itself(name: str) -> int | None:
    return _WORDS.get(_PREFIX.sub("", name, count=1) if _PREFIX.match(name) else name)


def facts(stated: Mapping[str, int]) -> dict[str, str]:
    """The map as records hold it."""
    return {name: CLASSES[label] for name, label in sorted(stated.items())}


def advise(names: Sequence[str], missing: Sequence[int]) -> str:
    """The `--class-map` that these names, the most frequent first, would need for the missing labels; or empty.

    It is a guess, for a person to judge.
    """
    guesses: dict[int, str] = {}
    usable = list(dict.fromkeys(name for name in map(comparable, names) if not set(name) & set(',="')))
    letters = {"b", "m"} <= set(usable)
    for name in usable:
        label = guess(name) if len(name) > 1 or not name.isalpha() or letters else None
        if label is not None and label in missing:
            guesses.setdefault(label, name)
    if len(usable) == len(missing) == len(LABELS) and len(guesses) < len(LABELS):
        guesses = _both(sorted(usable), guesses)
    entries = ",".join(f"{guesses[label]}={CLASSES[label]}" for label in sorted(guesses))
    if entries and not re.fullmatch(r"[\w=,.-]+", entries, re.ASCII):
        entries = f'"{entries}"'  # for the shell
    return entries and f"--class-map {entries}"


def _both(names: Sequence[str], guesses: Mapping[int, str]) -> dict[int, str]:
    """One of two names for each label: the guess, if there is one, and the other name; else in their order."""
    label, name = next(iter(guesses.items()), (0, names[0]))
    return {label: name, 1 - label: next(other for other in names if other != name)}


def guess(name: str) -> int | None:
    """The label that a name which does not say one could mean; None if it has no likeness to either."""
    name = comparable(name)
    if number := _NUMBER.fullmatch(name):
        return int(number[1])
    words = re.findall(r"[^\W\d_]+", name)
    votes = collections.Counter(label for word in words if (label := _guess_word(word)) is not None)
    if len(votes) != 1:
        return None
    label = next(iter(votes))
    negated = bool({"non", "not", "no"} & set(words))
    return (0 if label else None) if negated else label


def _guess_word(word: str) -> int | None:
    if word in _HINTS:
        return _HINTS[word]
    begun = [label for known, label in LABELS.items() if known.startswith(word)]
    return begun[0] if begun else _near(word)


def _near(word: str) -> int | None:
    near = difflib.get_close_matches(word, LABELS, 1, cutoff=0.75)
    return LABELS[near[0]] if near else None


def resembles(name: str) -> bool:
    """Whether a name has a word that is spelled nearly as a class is."""
    return any(_near(word) is not None for word in re.findall(r"[^\W\d_]+", comparable(name)))

"""Invocations made from the options themselves: every command's parser is walked, and no option is named here."""

from __future__ import annotations

import argparse
import dataclasses
import functools
import importlib
import itertools
import random
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from unittest import mock

from bcdl import experiments
from bcdl.__main__ import COMMANDS
from tests.invocations import places

BENCHMARKS = "benchmarks"  # as `pytest benchmarks`
# Words that are right for what must be given, by destination and command; all others are walked.
_RIGHT = {
    "a": {"ab": "torch", "compare": "a.jsonl"},
    "b": {"ab": "torch", "compare": "b.jsonl"},
    "data": {"": "images"},
    "images": {"": "model.keras image.png"},
    "archive": {"": "file.txt"},
    "file": {"run": "study.toml", "submit": "study.toml"},
    "folders": {"": "measured"},
    "folder": {"": "images"},
}
# What else is given, unless it is what the invocation is about: it keeps the work small and in one folder.
_SMALL = {
    "backend": "torch",
    "profile": "smoke",
    "data": "synthetic-48",
    "image_size": "32",
    "results": "results",
    "out": "out",
}

# No option takes these for a number, whatever its range.
NO_NUMBERS = ("-1", "1.5.", "1e309", "-1e309", "nan", "inf", "-inf", "0x10", "9" * 400, "9" * 5000, "\u00b2", "1,-1")
# No option takes these for a whole number, a time or a size.
BEYOND = (
    *("999999999999", "18446744073709551616", "1,999999999999"),
    *("999999999999h", f"{'9' * 20}MiB", f"{'9' * 400}GiB"),
)
PERHAPS = ("-0", "0", "1.5", "1_000", "1e-320", "4294967296", "1e9h", "0s", "0MiB", "\u0661\u0662", "\uff11\uff12")
EMPTY = ("", " ", "\t")
WORDS = ("x", "a,,b", ",", "=", "a=", "=b", "a=b,c", "None", "True", "null", "@file.txt", "--", "-", "%s", "{x}", "*")
STRANGE = (
    *("[red]x[/red]", "[/]", "[link=http://x]", "\u00e9\u4e2d\U0001f600", "\u202etxt.exe", "\udcff\udc80", "$(id)"),
    *("a\x1b[31mb", "\x1b]0;title\x07", "a\nerror: b", "a\rb", "a\tb", "a\x00b", "a\x7f\x9bb", "\u2028x", "~", "~x"),
    *("x" * 5000, "../x", "C:\\x", "http://x/y", "../../etc/passwd", "'", '"', "`", "\\", "a;b"),
)
KINDS = {
    "no number": NO_NUMBERS,
    "beyond any range": BEYOND,
    "number": PERHAPS,
    "empty": EMPTY,
    "word": WORDS,
    "strange": STRANGE,
    "path": places.ODD,
}
# By what stands for an option's value in its help, the kinds of value that it must refuse.
_REFUSED = {
    **dict.fromkeys(("N", "N,...", "TIME", "SIZE"), ("no number", "beyond any range", "empty")),
    "X": ("no number", "empty"),
}


@dataclasses.dataclass(frozen=True)
class Invocation:
    """A command, or `benchmarks`, with its arguments.

    Attributes:
        command: its name.
        arguments: what follows it.
        kind: what is wrong with it, in words.
        about: the option or argument with which it is wrong; empty if it is none in particular.
        refused: whether nothing but wrong usage is right, in a line that names what it is about.
    """

    command: str
    arguments: tuple[str, ...]
    kind: str
    about: str = ""
    refused: bool = False

    def __str__(self) -> str:
        """As a shell takes it, in a folder that `python -m tests.invocations.places` made."""
        start = ("pytest", BENCHMARKS) if self.command == BENCHMARKS else ("python", "-m", "bcdl", self.command)
        return " ".join(map(_quoted, (*start, *self.arguments)))


def _quoted(word: str) -> str:
    """The word for a shell: control characters and bytes that are no UTF-8 as escapes of `$'...'`."""
    if word.isprintable():
        return shlex.quote(word)
    return "$'{}'".format("".join(letter if _is_plain(letter) else _escaped(letter) for letter in word))


def _is_plain(letter: str) -> bool:
    return letter.isprintable() and letter not in "'\\"


def _escaped(letter: str) -> str:
    return "".join(rf"\x{byte:02x}" for byte in letter.encode("utf-8", "surrogateescape"))


@dataclasses.dataclass(frozen=True)
class Walked:
    """A command, or one experiment of `bcdl experiment`: its parser's options and arguments.

    Attributes:
        command: its name.
        first: the arguments before all others, as an experiment's name.
        actions: its options and arguments, as argparse has them; those of pytest likewise.
    """

    command: str
    first: tuple[str, ...]
    actions: tuple[argparse.Action, ...]

    @property
    def options(self) -> list[argparse.Action]:
        return [action for action in self.actions if action.option_strings and action.dest != "help"]

    @property
    def positionals(self) -> list[argparse.Action]:
        return [action for action in self.actions if not action.option_strings]

    def right(self, action: argparse.Action) -> list[str]:
        """Words that are right for the option or argument, if it must be given or keeps the work small; else none."""
        words = _RIGHT.get(action.dest, {})
        text = words.get(self.command, words.get("", ""))
        needed = action.required or not action.option_strings
        return text.split() if needed and text else [_SMALL[action.dest]] if action.dest in _SMALL else []

    def base(self, *without: argparse.Action) -> list[str]:
        """The arguments of an invocation that is right, without those of some options or arguments."""
        words: list[str] = []
        for action in self.actions:
            if action not in without and action.nargs != 0 and (right := self.right(action)):
                words += [*action.option_strings[:1], *right]
        return words

    def make(self, kind: str, *words: str, about: str = "", refused: bool = False) -> Invocation:
        return Invocation(self.command, (*self.first, *words), kind, about, refused)


def walk() -> list[Walked]:
    """Every command, each experiment, and `pytest benchmarks`."""
    walked = [Walked(name, (), _actions(name)) for name in COMMANDS if name != "experiment"]
    walked += [Walked("experiment", (name,), _actions("experiment", name)) for name in experiments.names()]
    return [*walked, Walked(BENCHMARKS, (), _actions_of_pytest())]


class _ParsedError(Exception):
    """Carries the parser of a command."""


def _actions(command: str, *arguments: str) -> tuple[argparse.Action, ...]:
    """The actions of the parser that a command's `main` makes."""

    def stop(parser: argparse.ArgumentParser, *others: object) -> None:
        raise _ParsedError(parser)

    main: Callable[[], int] = importlib.import_module(COMMANDS[command].module).main
    with (
        mock.patch.object(argparse.ArgumentParser, "parse_args", stop),
        mock.patch.object(sys, "argv", [f"bcdl {command}", *arguments]),
    ):
        try:
            main()
        except _ParsedError as parsed:
            return tuple(parsed.args[0]._actions)
    raise AssertionError(f"{command} parses no arguments")


class _Group:
    """Takes the options of `pytest benchmarks` as a parser's actions."""

    def __init__(self) -> None:
        self.parser = argparse.ArgumentParser(add_help=False)

    def getgroup(self, *names: str) -> _Group:
        return self

    def addoption(self, *names: str, **attributes: object) -> None:
        self.parser.add_argument(*names, **attributes)


def _actions_of_pytest() -> tuple[argparse.Action, ...]:
    group = _Group()
    importlib.import_module("benchmarks.conftest").pytest_addoption(group)
    return tuple(group.parser._actions)


def every(walked: Sequence[Walked]) -> Iterator[Invocation]:
    """All invocations of these commands."""
    for command in walked:
        for action in command.options:
            yield from _of_option(command, action)
        for action in command.positionals:
            yield from _of_positional(command, action)
        yield from _of_the_command(command)
        yield from _of_two_options(command)


def _of_option(command: Walked, action: argparse.Action) -> Iterator[Invocation]:
    """Wrong values of an option, and wrong ways of giving it."""
    name, base = action.option_strings[0], command.base(action)
    make = functools.partial(command.make, about=name)
    if action.nargs == 0:
        yield from (make("value for a flag", *base, f"{each}=x", refused=True) for each in action.option_strings)
        yield make("repeated", *base, name, name)
        return
    number = action.nargs if isinstance(action.nargs, int) else 1
    for kind, value in _values():
        refused = kind in _REFUSED.get(str(action.metavar), ("empty",))
        yield make(kind, *base, name, *[value] * number, refused=refused)
        if number == 1:
            yield make(f"{kind} after =", *base, f"{name}={value}", refused=refused)
    right = command.right(action) or ["x"] * number
    yield make("no value", *base, name, refused=action.nargs != "?")
    is_lost = command.command != BENCHMARKS and not isinstance(action, argparse._AppendAction)
    yield make("repeated", *base, name, *right, name, *["x"] * number, refused=is_lost)
    yield make("abbreviated", *base, name[: max(4, len(name) // 2)], *right)
    yield make("after --", *base, "--", name, *right)


def _of_positional(command: Walked, action: argparse.Action) -> Iterator[Invocation]:
    base, make = command.base(action), functools.partial(command.make, about=action.dest)
    for kind, value in _values():
        yield make(kind, *base, value)
        yield make(f"{kind} after --", *base, "--", value)


def _values() -> Iterator[tuple[str, str]]:
    return ((kind, value) for kind, values in KINDS.items() for value in values)


def _of_the_command(command: Walked) -> Iterator[Invocation]:
    """What is wrong with no option in particular."""
    base = command.base()
    yield command.make("nothing at all")
    yield command.make("too many", *base, *["x"] * 5)
    yield command.make("thousands", *base, *["x"] * 5000)
    stray = ("--no-such-option", "--no-such-option=x", "-x", "--=", "--help=x", "-h1", "--\u00e9", "--a\x1b[31m")
    for word in (*EMPTY, *WORDS, *STRANGE, *stray):
        yield command.make("stray word", *base, word)


def _of_two_options(command: Walked) -> Iterator[Invocation]:
    """Two options at once that may not go together: every pair, each given as right as can be known."""
    base = command.base()
    for first, second in itertools.combinations(command.options, 2):
        yield command.make("two options", *base, *_given(command, first), *_given(command, second))


def _given(command: Walked, action: argparse.Action) -> list[str]:
    number = action.nargs if isinstance(action.nargs, int) else 1
    values = command.right(action) or [str((action.choices or ["1"])[0])] * number
    return [action.option_strings[-1], *(values if number else [])]


def sample(walked: Sequence[Walked], number: int, seed: int = 0) -> list[Invocation]:
    """Distinct invocations, so many, the same for the same seed: in turn of each option and of each kind."""
    order = random.Random(seed)
    alike: dict[tuple[str, str], dict[Invocation, None]] = {}
    for invocation in every(walked):
        for group in (invocation.about, invocation.kind):
            alike.setdefault((invocation.command, group), {})[invocation] = None
    shuffled = [order.sample(list(group), k=len(group)) for group in alike.values()]
    order.shuffle(shuffled)
    turns = itertools.chain.from_iterable(itertools.zip_longest(*shuffled))
    return list(itertools.islice(dict.fromkeys(invocation for invocation in turns if invocation), number))

"""The parser of a command: what can be no argument is refused here, in one line, before anything is done."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn

from bcdl.errors import UsageError
from bcdl.screen import say_lines
from bcdl.text import legible, quoted

_LONGEST = 300  # letters of a message


def program(command: str) -> str:
    """How the command was called, for its usage line: `bcdl train`, or `python -m bcdl.train`."""
    return sys.argv[0] if sys.argv[0] == f"bcdl {command}" else f"python -m bcdl.{command}"


class Parser(argparse.ArgumentParser):
    """A parser of options by their whole names, since a shortened name may mean another option in a later version.

    Args:
        command: name of the command, and what may stand behind it, for its usage line.
        description: what the command does.
        more: further arguments of argparse's parser.

    Raises:
        UsageError: an argument is wrong; from every method that parses.
    """

    def __init__(self, command: str, description: str | None, **more: Any) -> None:
        name, *rest = command.split(" ", 1)
        super().__init__(prog=" ".join([program(name), *rest]), description=description, allow_abbrev=False, **more)
        self.register("type", None, text)
        self.register("type", Path, path)

    def parse_known_args(self, args: Iterable[str] | None = None, namespace: Any = None) -> Any:
        """As argparse does it. It would read `--` as an empty list if that is an option's value, or stands twice."""
        words = list(sys.argv[1:] if args is None else args)
        separator = words.index("--") if "--" in words else len(words)
        if wrong := [word for word in words[:separator] if word.startswith("--") and word.endswith("=--")]:
            self.error(f"{wrong[0]}: -- is no value")
        if "--" in words[separator + 1 :]:
            self.error("-- may stand once, before the first argument that begins with a hyphen and is no option")
        if repeated := self._repeated(words[:separator]):
            self.error(f"{repeated}: given twice, and one value would be lost; give it once")
        return super().parse_known_args(words, namespace)

    def _repeated(self, words: Iterable[str]) -> str:
        """The first option that stands there again and takes one value, not one more each time; empty if none does."""
        seen = set()
        for name in (word.partition("=")[0] for word in words):
            action = self._option_string_actions.get(name)
            if action is None or action.nargs == 0 or isinstance(action, argparse._AppendAction):
                continue
            if action.dest in seen:
                return name
            seen.add(action.dest)
        return ""

    def error(self, message: str) -> NoReturn:
        """Raise UsageError, in place of argparse's own end, which shows all options first."""
        what = legible(message.removeprefix("argument "), _LONGEST)
        raise UsageError(f"{what}; see {self.prog} --help")

    def print_help(self, file: Any = None) -> None:
        """Print all options, to stdout if no file is given. argparse's own method hides it if that takes none."""
        if file is None:
            say_lines(self.format_help().removesuffix("\n"))
        else:
            super().print_help(file)


def text(value: str) -> str:
    """The value of an option or argument; ArgumentTypeError if it is empty or has a byte that no path can have."""
    if not value.strip():
        raise argparse.ArgumentTypeError(f"{value!r} is empty; give a value, or leave the option out")
    if "\0" in value:
        raise argparse.ArgumentTypeError("its value holds a zero byte; give another")
    return value


def path(value: str) -> Path:
    """The path that `text` allows; ArgumentTypeError if the system refuses it, or if it is a pipe or a device.

    Of those a reader may find no end.
    """
    place = Path(text(value))
    try:
        is_endless = place.exists() and not place.is_file() and not place.is_dir()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{quoted(value)} is no path ({error.strerror}); name another") from error
    if is_endless:
        raise argparse.ArgumentTypeError(f"{value!r} is a pipe or a device; name a file or a folder")
    return place

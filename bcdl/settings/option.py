"""An option of a command: how it is declared, and what `--help` and the README say of it."""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections.abc import Callable
from typing import Any, Literal

from bcdl.errors import UsageError
from bcdl.settings import arguments
from bcdl.settings.setting import Setting


@dataclasses.dataclass(frozen=True)
class Option:
    """One option; its value is a text, or True and False.

    Attributes:
        names: as typed; the first gives the name of the value.
        help: what it means, in Markdown: names of values stand between backticks.
        metavar: what stands for the value in `--help`.
        default: in words, what holds if the option is not given; empty if the help says it.
        kind: a `text`; a `flag`, which is given or not; or a `switch`, which has a `--no-` form.
        value: the text that the command reads if the option is not given; None if it reads none.
    """

    names: tuple[str, ...]
    help: str
    metavar: str = ""
    default: str = ""
    kind: Literal["text", "flag", "switch"] = "text"
    value: str | None = None

    def add(self, add: Callable[..., Any]) -> None:
        """Declare the option by a parser's `add_argument` or a pytest group's `addoption`."""
        text = f"{self.help}; default {self.default}" if self.default else self.help
        text = re.sub(r"\[\w+\]\((\S+)\)", r"see \1", text).replace("`", "").replace("%", "%%")
        if self.kind == "text":
            add(*self.names, metavar=self.metavar, default=self.value, type=arguments.text, help=text)
        else:
            action: Any = "store_true" if self.kind == "flag" else argparse.BooleanOptionalAction
            add(*self.names, action=action, help=text)

    def to_markdown(self) -> str:
        """The option as a line of the README's table: option, meaning, default."""
        names = [name if self.kind != "text" else f"{name} {self.metavar}" for name in self.names]
        if self.kind == "switch":
            names += [f"--no-{name.removeprefix('--')}" for name in self.names]
        return f"| {', '.join(f'`{name}`' for name in names)} | {self.help} | {self.default} |"


@dataclasses.dataclass(frozen=True)
class Number:
    """An option of a command's own that takes a whole number, or several; it is no setting of a cell.

    Attributes:
        name: as typed.
        help: what it means.
        least, most: the range of each number.
        default: the text that is read if the option is not given; None if nothing is then.
    """

    name: str
    help: str
    least: int
    most: int
    default: str | None = None

    def add(self, add: Callable[..., Any], several: bool = False) -> None:
        """Declare the option by a parser's `add_argument`; `several`, if its numbers are separated by commas."""
        metavar = "N,..." if several else "N"
        Option((self.name,), self.help, metavar, self.default or "", value=self.default).add(add)

    def read(self, text: str) -> int:
        """The number; UsageError if the text is no whole number in the range."""
        row = Setting(help=self.help, least=self.least, most=self.most, name=self.name.lstrip("-"), kind=int)
        return int(read(row, text))

    def read_all(self, text: str) -> list[int]:
        """The numbers, separated by commas, each once and in order; UsageError as for a single number."""
        return list(dict.fromkeys(self.read(part.strip()) for part in text.split(",")))


def read(row: Setting, text: str) -> Any:
    """The value that the option of a setting's row gives; UsageError, which names the option, if it can't be read."""
    try:
        return row.choose(text)
    except ValueError as error:
        raise UsageError(f"{row.option} {error}") from error

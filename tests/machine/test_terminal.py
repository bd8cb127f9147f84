"""Whether somebody watches what is printed."""

from __future__ import annotations

import io

import pytest

from bcdl.machine import terminal
from bcdl.runner import progress
from tests.screens import Terminal


def test_a_terminal_is_watched_and_a_pipe_is_not() -> None:
    assert terminal.is_watched(Terminal())
    assert not terminal.is_watched(io.StringIO())


@pytest.mark.parametrize(
    ("name", "value", "watched"),
    [
        ("TERM", "dumb", False),
        ("TERM", "unknown", False),
        ("NO_COLOR", "1", False),
        ("NO_COLOR", "", True),  # as no-color.org has it
        ("CI", "true", False),
        ("CI", "false", True),
    ],
)
def test_variables_that_ask_for_plain_text(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, watched: bool
) -> None:
    monkeypatch.setenv(name, value)
    assert terminal.is_watched(Terminal()) is watched


@pytest.mark.parametrize(
    ("stream", "variables"),
    [
        (io.StringIO, {"FORCE_COLOR": "1"}),  # which some CI services set
        (io.StringIO, {"TTY_COMPATIBLE": "1"}),
        (Terminal, {"NO_COLOR": "1"}),
        (Terminal, {"TERM": "dumb"}),
        (Terminal, {"CI": "1"}),
    ],
)
def test_where_nobody_watches_the_console_is_plain(
    monkeypatch: pytest.MonkeyPatch, stream: type[io.StringIO], variables: dict[str, str]
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr("sys.stdout", shown := stream())
    console = progress.console()
    with console.status("under way"):
        console.print("[bold red]a table[/bold red]")
    assert "\x1b" not in shown.getvalue()
    assert "a table" in shown.getvalue()

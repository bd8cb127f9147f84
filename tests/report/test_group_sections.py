"""Sections of groups are the same to the byte whoever makes them, and are made whatever happens to other processes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from typing import NoReturn

import pytest

from bcdl.machine import hardware
from bcdl.records.groups import Group, group_records
from bcdl.report import group_sections
from bcdl.report.plots import style
from bcdl.report.section import Section
from tests.factory import record


def groups() -> list[Group]:
    return group_records([("a-machine", record(image_size=size)) for size in (32, 48, 64, 96)])


def made(of: Sequence[Group]) -> list[Section]:
    with group_sections.begun(of) as sections:
        return list(sections)


def here(group: Group) -> Section:
    return Section(text=f"# {group.slug}")


def test_other_processes_make_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "threads_worth_starting", lambda: 2)
    expected = [group_sections.section(group) for group in groups()]
    monkeypatch.setattr(style, "to_png", None)  # in this process alone
    sections = made(groups())
    assert [section.text for section in sections] == [section.text for section in expected]
    assert [section.files() for section in sections] == [section.files() for section in expected]
    assert all(section.figures and section.tables for section in sections)


def test_what_other_processes_can_not_make_is_made_here_and_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def breaking(groups: Sequence[Group], processes: int, pools: contextlib.ExitStack) -> Iterator[Section]:
        yield Section("# the first")
        raise BrokenProcessPool("a process was ended")

    monkeypatch.setattr(hardware, "threads_worth_starting", lambda: 2)
    monkeypatch.setattr(group_sections, "_made_beside", breaking)
    monkeypatch.setattr(group_sections, "section", here)
    sections = made(groups())
    assert sections == [Section("# the first"), *map(here, groups()[1:])]
    assert "so that this one does (a process was ended)" in capsys.readouterr().err


def test_if_no_other_process_can_be_started_all_are_made_here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(groups: Sequence[Group], processes: int, pools: contextlib.ExitStack) -> NoReturn:
        raise OSError("no more processes")

    monkeypatch.setattr(hardware, "threads_worth_starting", lambda: 2)
    monkeypatch.setattr(group_sections, "_made_beside", refuse)
    monkeypatch.setattr(group_sections, "section", here)
    assert made(groups()) == list(map(here, groups()))
    assert "so that this one does (no more processes)" in capsys.readouterr().err


@pytest.mark.parametrize(("cores", "count"), [(1, 4), (2, 3)])
def test_few_groups_or_one_core_start_no_process(cores: int, count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hardware, "threads_worth_starting", lambda: cores)
    monkeypatch.setattr(group_sections, "_made_beside", None)
    monkeypatch.setattr(group_sections, "section", here)
    assert made(groups()[:count]) == list(map(here, groups()[:count]))

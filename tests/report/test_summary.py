"""The summary for the page of a CI job: what it holds, and what must not be in it."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from bcdl.errors import BcdlError, UsageError
from bcdl.machine.provenance import ROOT
from bcdl.records import store
from bcdl.records.record import Record
from bcdl.report import __main__ as command
from bcdl.report import summary
from bcdl.report.sources import Sources
from tests.factory import record
from tests.parity.dumps import judged, write
from tests.report.sections.test_sides_in_turn import RATES, side

_LINK = re.compile(r"\]\(|<a |<img|\.png")


def summed_up(*records: Record) -> str:
    return summary.markdown(Sources([("a-machine", each) for each in records], [], [], []))


def run(monkeypatch: pytest.MonkeyPatch, *arguments: str | Path) -> int:
    monkeypatch.setattr("sys.argv", ["bcdl report", *map(str, arguments)])
    return command.main()


def test_the_fastest_backend_is_named_of_what_was_measured_in_turn() -> None:
    text = summed_up(*side("a", backend="jax"), *side("b", [rate / 2 for rate in RATES], backend="torch"))
    assert "## Which backend is the fastest on a-machine?" in text
    assert ": jax is the fastest, at 100.1 images/s (99.5 to 100.7); torch 50% of that (50% to 50%).\n" in text
    assert "REGRESSION" not in text


def test_a_side_of_the_same_backend_that_is_slower_stands_there_as_a_regression() -> None:
    text = summed_up(*side("a"), *side("b", [rate / 2 for rate in RATES]))
    assert "- REGRESSION: side b is slower by more than 3.0%, beyond chance: CNN" in text
    assert "Images/s of A and B" in text
    assert "- A: torch, float32" in text


def test_failures_and_doubts_stand_there_whether_in_turn_or_not() -> None:
    failed = dataclasses.replace(record(status="crashed", seed=1), reason="the worker was ended")
    alone = dataclasses.replace(record(), samples={"step_s": [0.5]})
    (lost, *_) = side("b")
    text = summed_up(*side("a"), dataclasses.replace(lost, status="timed_out", reason="it ran too long"), alone, failed)
    assert "- cnn on torch, seed 1: crashed: the worker was ended" in text
    assert "- side b, cnn on torch, seed 0: timed_out: it ran too long" in text
    assert "## One after another on a-machine" in text
    assert "it is of one sample" in text


def test_parity_stands_there_as_a_table_without_its_pictures(tmp_path: Path) -> None:
    for name in ("jax", "torch"):
        write(tmp_path, name)
    text = summary.markdown(Sources([], [("a-machine", judged(tmp_path))], [], []))
    assert text.startswith("## Parity on a-machine: ")
    assert "| CNN |" in text
    assert not _LINK.search(text)


def test_of_no_records_it_says_so() -> None:
    assert summed_up() == "There are no records.\n"


def test_no_name_makes_a_link() -> None:
    text = summed_up(record(data="[x](http://example.org) <img src=y>"))
    assert not _LINK.search(text)


def test_the_committed_results_fit_and_have_no_link_that_leads_nowhere() -> None:
    text = summary.markdown(Sources.read(ROOT / "results"))
    assert len(text.encode()) <= summary.MOST_BYTES
    assert not _LINK.search(text)


def test_what_has_no_room_is_left_out_whole_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    records = [record(batch_size=size) for size in range(1, 12)]
    whole = summed_up(*records)
    monkeypatch.setattr(summary, "MOST_BYTES", len(whole.encode()) // 2)
    cut = summed_up(*records)
    assert len(cut.encode()) <= summary.MOST_BYTES
    kept, notice = cut.removesuffix("\n").rsplit("\n\n", 1)
    assert whole.startswith(kept + "\n\n## ")
    left = whole.count("## One after another") - kept.count("## One after another")
    assert notice.startswith(f"{left} more tables and lists are left out, since a summary takes ")


def test_the_command_writes_the_summary_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store.append(tmp_path, "a-machine", record())
    before = sorted(tmp_path.rglob("*"))
    assert run(monkeypatch, "--results", tmp_path, "--summary") == 0
    printed = capsys.readouterr().out
    assert printed.startswith("## One after another on a-machine")
    assert sorted(tmp_path.rglob("*")) == before
    assert run(monkeypatch, "--results", tmp_path, "--summary", tmp_path / "summary.md") == 0
    assert (tmp_path / "summary.md").read_text(encoding="utf-8") == printed


def test_what_could_not_be_read_is_in_the_summary_and_fails_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    store.append(tmp_path, "a-machine", record())
    (file,) = tmp_path.glob("records/*/*.jsonl")
    file.write_text(file.read_text(encoding="utf-8") + "{torn\n", encoding="utf-8")
    with pytest.raises(BcdlError, match="could not be read; the summary names them"):
        run(monkeypatch, "--results", tmp_path, "--summary")
    assert "## Lines that could not be read" in capsys.readouterr().out


def test_it_is_either_checked_or_summed_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match="not allowed with"):
        run(monkeypatch, "--results", tmp_path, "--check", "--summary")

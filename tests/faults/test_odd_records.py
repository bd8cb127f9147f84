"""A line is valid or left out: built field by field from the rows, whatever lines there are, every reader ends well."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from rich.console import Console

from bcdl import compare, gallery, phases, status
from bcdl.parity.findings import Finding
from bcdl.parity.verdicts import group_findings
from bcdl.records import log, runs
from bcdl.records.experiment import Experiment
from bcdl.records.groups import group_records
from bcdl.records.record import SEALED_SINCE, Record
from bcdl.report import __main__ as report
from bcdl.report import figures, group_sections, page, plots, run_table
from bcdl.report.plots import style
from bcdl.report.sections import parity_pictures
from bcdl.report.sources import Sources
from bcdl.runner.run import STATUS_FILE
from tests.conftest import ROOT
from tests.factory import ENDED, EXPERIMENT, record
from tests.faults.conftest import Injected
from tests.in_process import InProcess
from tests.predictions import drawn, predicted
from tests.records import strategies

RUN = "20260101T000000Z-0000"
MACHINE = "a-machine"
# A fixture that an example may use again: nothing in it changes. What fails is not made smaller, which takes minutes.
SAME = settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
    phases=(Phase.explicit, Phase.generate),
)


@pytest.fixture
def unrelated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Records none of whose figures need follow from others: for tests that draw each field by its own row.

    A drawn rate follows from no drawn samples, nor a score from outputs. Records of which all did would hold few of the
    values that rows allow, and readers must bear each of them: an older bcdl, which computed otherwise, may have left
    it. Whether figures follow is tested in `tests/records/test_recomputed.py`.
    """
    monkeypatch.setattr("bcdl.records.validity.recomputed.check", lambda record: None)


@pytest.fixture
def unpictured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reports without their pictures, which take far longer than all else."""
    monkeypatch.setattr(plots, "modules", dict)
    monkeypatch.setattr(figures, "to_pngs", lambda *arguments: {})
    monkeypatch.setattr(group_sections, "_FEWEST_GROUPS", 10**9)  # other processes would make them


def keep(results: Path, lines: dict[str, list[str]]) -> None:
    """The lines of each log, in one file of it."""
    for name, of_log in lines.items():
        file = log.file_of(results, name, MACHINE, RUN)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{line}\n" for line in of_log), encoding="utf-8")


def changed(*path: str, to: Any) -> str:
    """A good record, as a line, with another value at the path."""
    line = json.loads(predicted(drawn(12), drawn(12)).to_json())
    place = line
    for name in path[:-1]:
        place = place[name]
    place[path[-1]] = to
    return strategies.sealed(line)


OUT_OF_RANGE = {
    "outputs that are no shares": changed("predictions", "test", "outputs", to=[[-5, 7]] * 12),
    "an output that is no number": changed("predictions", "test", "outputs", to=[[None, 0.5]] * 12),
    "three outputs an image": changed("predictions", "test", "outputs", to=[[0.1, 0.2, 0.7]] * 12),
    "scores above 1": changed("predictions", "test", "scores", to=[1.5] * 12),
    "a third class": changed("predictions", "test", "labels", to=[2] * 12),
    "a column that is too short": changed("predictions", "test", "groups", to=["p"] * 11),
    "notices that are no texts": changed("dataset", "leaks", to={"notices": [{"a": 2}]}),
    "a device without speed": changed("metrics", "product_flops_per_s", to=5e-324),
    "a peak below a byte": changed("metrics", "peak_memory_mib", to=5e-324),
    "a rate of 0": changed("metrics", "fit_images_per_s", to=0),
    "a warm rate that is none": changed("metrics", "warm_build_s", to=-1),
    "a sample of no time": changed("samples", "fit_s", to=[5e-324]),
    "a sample of centuries": changed("samples", "fit_s", to=[1e10]),
    "more malignant images than images": changed("dataset", "malignant", to={"test": 13}),
    "a negative count": changed("dataset", "images", to={"test": -1}),
    "epoch 0": changed("metrics", "kept_epoch", to=0),
    "a history of unequal lengths": changed("history", "loss", to=[0.5]),
    "a start that is no moment": changed("started", to="yesterday"),
    "a moment without a time zone": changed("ended", to="2026-01-01T00:00:00"),
    "an end before the start": strategies.sealed(
        json.loads(changed("environment", "clock", to={"jumped_s": 0.0}).replace(ENDED, "1999-01-01T00:00Z"))
    ),
    "nesting where nothing is known": changed("environment", "more", to=json.loads("[" * 50 + "]" * 50)),
    "a side that is an object": changed("side", to={}),
}


def test_what_is_out_of_range_costs_its_record_alone(tmp_path: Path, in_process: InProcess, injected: Injected) -> None:
    """Each is counted and named, and the report, pictures included, is made of the rest."""
    good = predicted(drawn(12), drawn(12)).to_json()
    keep(tmp_path, {log.RECORDS: [*OUT_OF_RANGE.values(), good]})
    with injected("odd_records", times=len(OUT_OF_RANGE)) as tally:
        code, said, complaint = in_process(report.main, "--results", tmp_path)
        count = len(OUT_OF_RANGE)
        tally.lost += not said.startswith("1 records: README.md")
        assert code == 1
        assert complaint.startswith(f"error: {count} lines or files of {tmp_path} could not be read")
        for number, what in enumerate(OUT_OF_RANGE, start=1):
            assert f"line {number}: a record whose fields do not fit" in said, what
        assert (tmp_path / "plots").is_dir()


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            OUT_OF_RANGE["a device without speed"],
            "(metrics.product_flops_per_s is 5e-324, not a number from 1 to",
        ),
        (OUT_OF_RANGE["outputs that are no shares"], "(predictions.test.outputs.[1] is -5, not a number from 0 to 1)"),
        (OUT_OF_RANGE["notices that are no texts"], "(dataset.leaks.notices is {'a': 2}, not a text)"),
    ],
)
def test_the_reason_names_the_place_the_value_and_the_range(line: str, words: str) -> None:
    with pytest.raises(ValueError, match="do not fit schema") as refused:
        Record.from_json(line)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        (Record, strategies.records()),
        (Experiment, strategies.experiments()),
        (Finding, strategies.parity_findings()),
    ],
)
@pytest.mark.usefixtures("unrelated")
@settings(SAME, max_examples=60)
@given(st.data())
def test_a_line_that_rows_allow_is_valid_and_comes_back(
    kind: Any, lines: st.SearchStrategy[strategies.Line], data: st.DataObject
) -> None:
    read = kind.from_json(written(data.draw(lines)))
    assert kind.from_json(read.to_json()) == read


def written(line: strategies.Line) -> str:
    """The line as bcdl writes it: that of a record has its digest."""
    return strategies.sealed(line) if line["schema"] >= SEALED_SINCE else json.dumps(line)


def either(lines: st.SearchStrategy[strategies.Line]) -> st.SearchStrategy[str]:
    """A valid line or an odd one."""
    return (lines | strategies.odd(lines)).map(written)


def readable(parse: Callable[[str], Any], lines: list[str]) -> Iterator[tuple[str, Any]]:
    """What a log would give of the lines."""
    for line in lines:
        try:
            yield MACHINE, parse(line)
        except ValueError:
            continue


@pytest.mark.usefixtures("unpictured", "unrelated")
@settings(SAME, max_examples=80)
@given(
    st.lists(either(strategies.records()), max_size=4),
    st.lists(either(strategies.experiments()), max_size=3),
    st.lists(either(strategies.parity_findings()), max_size=2),
)
def test_tables_sections_and_cards_are_made_of_whatever_is_valid(
    injected: Injected, records: list[str], experiments: list[str], findings: list[str]
) -> None:
    """Valid lines of any values the rows allow are reported; what a run shows at its end is, too."""
    with injected("odd_records", times=len(records) + len(experiments) + len(findings)):
        read = list(readable(Record.from_json, records))
        sources = Sources(
            [(MACHINE, record()), *read],
            list(readable(Finding.from_json, findings)),
            list(readable(Experiment.from_json, experiments)),
            [],
        )
        assert page._files(sources)
        run_table.print_run([entry for _, entry in read], Console(file=io.StringIO()))


@pytest.mark.usefixtures("unrelated")
@settings(SAME, max_examples=3)
@given(st.lists(either(strategies.of_one_table()), min_size=12, max_size=16))
def test_plots_are_drawn_of_whatever_is_valid(injected: Injected, lines: list[str]) -> None:
    first = predicted(drawn(24), drawn(24), seed=7)
    with injected("odd_records", times=len(lines)):
        groups = group_records([(MACHINE, first), *readable(Record.from_json, lines)])
        made = [style.to_png(figure) for _, figure in plots.draw(groups[0])]
        assert made


@settings(SAME, max_examples=2)
@given(st.lists(strategies.parity_findings(), min_size=2, max_size=3))
def test_parity_pictures_are_drawn_of_whatever_is_valid(lines: list[strategies.Line]) -> None:
    for group in group_findings(list(readable(Finding.from_json, list(map(json.dumps, lines))))):
        for _, figure in parity_pictures.draw(group):
            assert style.to_png(figure)


@pytest.mark.usefixtures("unpictured", "unrelated")
@settings(SAME, max_examples=3)
@given(
    st.lists(either(strategies.records()), min_size=20, max_size=30),
    st.lists(either(strategies.experiments()), max_size=6),
    st.lists(either(strategies.parity_findings()), max_size=4),
)
def test_commands_end_with_an_exit_code_whatever_lines_there_are(
    tmp_path_factory: pytest.TempPathFactory,
    in_process: InProcess,
    injected: Injected,
    records: list[str],
    experiments: list[str],
    findings: list[str],
) -> None:
    results = tmp_path_factory.mktemp("odd")
    good = record().to_json()
    keep(results, {log.RECORDS: [*records, good], log.EXPERIMENTS: experiments, log.PARITY: findings})
    left_out = sum(len(lines) for lines in (records, experiments, findings))
    with injected("odd_records", times=left_out) as tally:
        sources = Sources.read(results)
        tally.lost += (MACHINE, Record.from_json(good)) not in sources.records
        code, said, complaint = in_process(report.main, "--results", results)
        not_read = [line for line in said.splitlines() if line.startswith("not read: ")]  # others are of copies
        assert (code, len(not_read)) == (bool(sources.unread), len(sources.unread))
        assert complaint.count("\n") == code
        assert in_process(report.main, "--check", "--results", results)[0] == code
        file = str(log.file_of(results, log.RECORDS, MACHINE, RUN))
        assert in_process(compare.main, file, file)[0] in (0, 1, 2)
        assert in_process(phases.main, "--results", results)[0] in (0, 1, 2)
        assert in_process(status.main, "--results", results)[0] == 0
        assert in_process(gallery.main, "--data", "synthetic-48", "--results", results)[0] in (0, 1, 2)


@settings(SAME, max_examples=60)
@given(
    st.sampled_from(
        ["pid", "cell", "phase", "cell_started", "phase_started", "done", "failed", "left", "about_left_s"]
    ),
    st.sampled_from([value for value in (*strategies.ODD, *strategies.NUMBERS) if value != "\ud800"]),
)
def test_a_status_of_any_values_is_shown(
    tmp_path_factory: pytest.TempPathFactory, in_process: InProcess, name: str, value: Any
) -> None:
    results = tmp_path_factory.mktemp("status")
    state = {"pid": 1, "cell": record().cell.id, "phase": "epoch 1/2", "cell_started": 0.0, "phase_started": 0.0}
    state |= {"done": 3, "failed": 1, "left": 4, "about_left_s": 60.0}
    folder = results / runs.RUNS / RUN
    folder.mkdir(parents=True)
    (folder / STATUS_FILE).write_text(json.dumps({**state, name: value}), encoding="utf-8")
    with runs.claim(results, RUN):
        assert in_process(status.main, "--results", results)[0] == 0


OLD = sorted((ROOT / "tests" / "records" / "schemas").glob("*.json"), key=lambda file: int(file.stem))


@settings(max_examples=200)
@given(st.sampled_from(OLD), st.integers(0, 2**32))
def test_an_odd_line_of_an_older_schema_is_upgraded_or_refused(file: Path, seed: int) -> None:
    line = strategies.spoiled(json.loads(file.read_text(encoding="utf-8")), seed)
    list(readable(Record.from_json, [json.dumps(line)]))


def test_epochs_of_no_time_in_an_older_schema_are_refused() -> None:
    """The upgrade divides by their median."""
    line = json.loads(OLD[3].read_text(encoding="utf-8"))
    line["samples"]["fit_s"] = [1.0, 0.0, 0.0]
    with pytest.raises(ValueError, match="do not fit schema 4"):
        Record.from_json(json.dumps(line))


def test_an_experiment_out_of_range_is_left_out() -> None:
    for changes in ({"a": [5e-324] * 3}, {"a": []}, {"slowdown": -1}, {"ways": ["a"]}, {"cell": {"seed": -1}}):
        with pytest.raises(ValueError, match="do not fit schema"):
            Experiment.from_json(json.dumps({**json.loads(EXPERIMENT.to_json()), **changes}))

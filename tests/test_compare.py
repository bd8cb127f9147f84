"""From two sides' rates to ratios, p-values and an exit code; the statistics on rates whose truth is known."""

from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bcdl import compare
from bcdl.records import comparability, experiment, store
from bcdl.records.comparability import Evidence, Purpose
from bcdl.records.record import Record
from bcdl.statistics import comparison
from tests.factory import EXPERIMENT, as_of_older, record, with_rates
from tests.in_process import InProcess, completed

RATES = [100.0, 101.0, 99.5, 100.5, 99.0, 100.2, 101.5, 98.8, 100.9, 99.7]


def write(results: Path, name: str, rates: list[float], in_turn: bool = True, **changes: object) -> Path:
    """A record file of one side: a process a rate, the same in all regimes."""
    side = name[-1] if in_turn else ""
    for number, rate in enumerate(rates):
        entry = with_rates(record(run=name, **changes), **dict.fromkeys(comparison.RATES, rate))
        block, started = f"r/{number}" if in_turn else "", f"2026-01-01T00:00:00.{number:03}+00:00"
        store.append(results, "m", dataclasses.replace(entry, block=block, side=side, started=started))
    return results / "records" / "m" / f"{name}.jsonl"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return completed("compare", *arguments)


def test_a_slow_down_fails_and_is_named(tmp_path: Path) -> None:
    done = run(write(tmp_path, "a", RATES), write(tmp_path, "b", [rate * 0.9 for rate in RATES]))
    assert done.returncode == 1, done.stderr
    assert "slower by more than 3.0%, beyond chance: CNN, synthetic-48, 32x32, batch 4, step: 0.900 of A" in done.stdout


@pytest.mark.parametrize("factor", [1.1, 1.0, 0.98])
def test_what_is_faster_the_same_or_hardly_slower_passes(tmp_path: Path, factor: float) -> None:
    done = run(write(tmp_path, "a", RATES), write(tmp_path, "b", [rate * factor for rate in RATES]))
    assert done.returncode == 0, done.stdout
    assert "no regression of more than 3.0%" in done.stdout


def test_cells_of_one_side_alone_are_named(tmp_path: Path) -> None:
    a, b = write(tmp_path, "a", RATES), write(tmp_path, "b", RATES)
    for model in ("mobilenet", "resnet50"):
        write(tmp_path, "a", RATES, model=model)
    done = run(a, b)
    assert done.returncode == 0, done.stderr
    words = "32x32, batch 4"
    assert (
        f"2 in A alone, not compared since B has none like it: MobileNet, synthetic-48, {words}; ResNet50"
        in done.stdout
    )
    assert "in B alone" not in done.stdout


def test_a_cell_of_one_side_whose_twin_differs_is_told_with_the_difference(tmp_path: Path) -> None:
    a, b = write(tmp_path, "a", RATES), write(tmp_path, "b", RATES)
    for side, python in (("a", "3.11.7"), ("b", "3.12.1")):
        entries = [record(run=side, model="mobilenet") for _ in RATES]
        for number, entry in enumerate(entries):
            moved = dataclasses.replace(entry, environment={**entry.environment, "cpu": f"made up {python}"})
            store.append(tmp_path, "m", dataclasses.replace(moved, block=f"r/{number}", side=side))
    done = run(a, b)
    assert done.returncode == 0, done.stderr
    assert "1 in A alone, not compared since B has none like it: MobileNet" in done.stdout
    assert "(another processor)" in done.stdout


def test_a_side_of_two_commits_is_no_side(tmp_path: Path) -> None:
    a, b = write(tmp_path, "a", RATES), write(tmp_path, "b", RATES)
    for name, commits in (("a", "ef"), ("b", "d")):
        file = tmp_path / "records" / "m" / f"{name}.jsonl"
        lines = [as_of_older(Record.from_json(line)) for line in file.read_text(encoding="utf-8").splitlines()]
        for number, line in enumerate(lines):
            line["environment"]["commit"] = commits[number % len(commits)] * 40
        file.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    done = run(a, b)
    assert done.returncode == 2, done.stdout
    assert "A mixes several commit in one cell" in done.stderr


def test_sides_measured_apart_fail_only_when_allowed(tmp_path: Path) -> None:
    a = write(tmp_path, "a", RATES, in_turn=False)
    b = write(tmp_path, "b", [rate * 0.8 for rate in RATES], in_turn=False)
    apart = run(a, b)
    assert apart.returncode == 0
    assert "3 of 3 were not measured in turn" in apart.stdout
    assert run(a, b, "--allow-separate").returncode == 1


def noisy(count: int = 10, seed: int = 0) -> list[float]:
    return list(100 * np.random.default_rng(seed).lognormal(0, 0.2, count))


def test_equal_sides_of_another_subject_blind_no_comparison(tmp_path: Path) -> None:
    """What injected slow-downs measured on a noisy subject of the same machine says nothing of this cell."""
    a, b = write(tmp_path, "a", RATES), write(tmp_path, "b", [rate * 0.9 for rate in RATES])
    made = dataclasses.replace(EXPERIMENT, subject="noisy", a=noisy(), b=noisy(seed=1), slowdown=0.0, cell={})
    experiment.append(tmp_path, "m", made)
    done = run(a, b)
    assert done.returncode == 1, done.stdout
    assert "slower by more than 3.0%, beyond chance: CNN, synthetic-48, 32x32, batch 4, step: 0.900 of A" in done.stdout
    assert "each cell is judged by its own noise, the standard error of its ratio" in done.stdout


def test_a_cell_that_scatters_blinds_no_other(tmp_path: Path) -> None:
    for name, rates, others in (("a", RATES, noisy()), ("b", [rate * 0.9 for rate in RATES], noisy(seed=1))):
        write(tmp_path / name, name, rates)
        write(tmp_path / name, name, others, model="mobilenet")
    done = run(tmp_path / "a", tmp_path / "b")
    assert done.returncode == 1, done.stdout
    slower = [line for line in done.stdout.splitlines() if line.startswith("slower by more than 3.0%")]
    assert len(slower) == len(comparison.RATES)


def test_a_cell_with_too_few_rounds_is_no_all_clear_beside_one_with_enough(tmp_path: Path) -> None:
    for name, factor in (("a", 1.0), ("b", 0.5)):
        write(tmp_path / name, name, RATES)
        write(tmp_path / name, name, [rate * factor for rate in RATES[:3]], model="mobilenet")
    done = run(tmp_path / "a", tmp_path / "b")
    assert done.returncode == 0, done.stderr
    blind = [line for line in done.stdout.splitlines() if line.startswith("too few rounds to show any regression: ")]
    assert ["MobileNet" in line for line in blind] == [True] * len(comparison.RATES)
    assert "no regression of more than 3.0% in the other 3" in done.stdout


def test_no_regression_is_said_of_as_much_as_each_cell_can_show(tmp_path: Path) -> None:
    for name, others in (("a", noisy()), ("b", noisy(seed=1))):
        write(tmp_path / name, name, RATES)
        write(tmp_path / name, name, others, model="mobilenet")
    done = run(tmp_path / "a", tmp_path / "b")
    logs = np.log(noisy(seed=1)) - np.log(noisy())
    least = 3 * np.std(logs, ddof=1) / math.sqrt(10)
    assert f"no regression of more than 3.0% to {least:.1%}" in done.stdout


def test_noise_of_equal_sides_raises_the_bar_of_its_own_cell(tmp_path: Path) -> None:
    for name, slower in (("a", 1.0), ("b", 0.9)):
        for model in ("cnn", "mobilenet"):
            write(tmp_path / name, name, [rate * slower for rate in RATES], model=model)
    equal = [write(tmp_path, name, noisy(seed=seed), model="cnn") for seed, name in enumerate(("n1", "n2"))]
    done = run(tmp_path / "a", tmp_path / "b", "--noise", *equal)
    assert done.returncode == 1, done.stderr
    slower = [line for line in done.stdout.splitlines() if line.startswith("slower by")]
    assert [("MobileNet" in line, "3.0%" in line) for line in slower] == [(True, True)] * len(comparison.RATES)
    assert "noise of equal sides in 10 rounds: " in done.stdout
    assert "3 of 6 have no equal sides, and their own noise alone" in done.stdout


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (({"model": "mobilenet"},) * 2, "--noise has none of the cells that are compared"),
        (({}, {"precision": "mixed_bfloat16"}), "--noise needs two sides that are the same, and "),
    ],
)
def test_equal_sides_that_are_of_no_use_are_refused(
    tmp_path: Path, changes: tuple[dict[str, str], ...], message: str
) -> None:
    a, b = (write(tmp_path, name, RATES) for name in ("a", "b"))
    equal = [write(tmp_path, name, RATES, **changed) for name, changed in zip(("n1", "n2"), changes, strict=True)]
    done = run(a, b, "--noise", *equal)
    assert done.returncode == 2, done.stdout
    assert done.stderr.startswith(f"error: {message}")
    assert done.stderr.count("\n") == 1


def test_what_too_few_rounds_could_never_find_is_no_all_clear(tmp_path: Path) -> None:
    """Of three comparisons, five rounds give no p under 3 * 2 / 2^5."""
    a, b = write(tmp_path, "a", RATES[:5]), write(tmp_path, "b", [rate * 0.5 for rate in RATES[:5]])
    done = run(a, b)
    assert done.returncode == 2
    assert "of 3 comparisons, with so few processes a side, no p can be under 0.19" in done.stderr
    assert "7 rounds in turn" in done.stderr
    assert comparison.rounds_needed(3) == 7


@pytest.mark.parametrize("text", ["", "{}", "no json"])
def test_what_holds_no_records_is_reported(tmp_path: Path, text: str) -> None:
    file = tmp_path / "x.jsonl"
    file.write_text(text)
    done = run(file, file)
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


def test_copies_of_records_are_no_further_processes(tmp_path: Path) -> None:
    """Two processes a side can't show a regression, however often their records were copied."""
    a = write(tmp_path, "a", RATES[:2], in_turn=False)
    b = write(tmp_path, "b", [rate * 0.5 for rate in RATES[:2]], in_turn=False)
    for file in (a, b):
        (tmp_path / file.stem / "copies").mkdir(parents=True)
        for number in range(6):
            (tmp_path / file.stem / "copies" / f"{number}.jsonl").write_bytes(file.read_bytes())
    done = run(tmp_path / "a", tmp_path / "b", "--allow-separate")
    assert done.returncode == 2, done.stdout
    assert "2 and 2" in done.stdout
    assert f"{tmp_path / 'a'}: 10 copies of records that it holds already do not count" in done.stderr


def test_twins_that_differ_in_a_setting_have_titles_that_say_so(tmp_path: Path) -> None:
    for name, slower in (("a", 1.0), ("b", 0.8)):
        write(tmp_path / name, name, RATES)
        write(tmp_path / name, name, [rate * slower for rate in RATES], optimizer="sgd", learning_rate=0.01)
    done = run(tmp_path / "a", tmp_path / "b")
    assert done.returncode == 1, done.stderr
    slower = [line.partition("beyond chance: ")[2] for line in done.stdout.splitlines() if "slower by" in line]
    assert slower == [
        f"CNN, synthetic-48, 32x32, batch 4, learning rate 0.01, optimizer sgd, {regime}: 0.800 of A"
        for regime in comparison.RATES
    ]


def test_a_process_without_stdout_still_has_its_exit_code(tmp_path: Path) -> None:
    """1 would say that there is a regression."""
    a, b = (write(tmp_path, name, RATES) for name in ("a", "b"))
    command = f'exec "{sys.executable}" -m bcdl.compare "{a}" "{b}" >&-'
    done = subprocess.run(["sh", "-c", command], stderr=subprocess.PIPE, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_cells_that_a_title_does_not_tell_apart_are_comparisons_of_their_own() -> None:
    cells = [record(**changes).cell for changes in ({}, {"seed": 1}, {"split_by": "image"}, {"folds": 3, "fold": 1})]
    assert comparison.count(cells) == 3 * len(comparison.RATES)


FACTS = comparability.values(Evidence.of(record()), Purpose.RATES)


def benchmark(**changes: object) -> str:
    """JSON of one rate, as `benchmarks.replay` leaves it, with changes."""
    info = {"cell": record().cell.id, "regime": "fit", "images_per_s": 1.0, "block": "", "facts": FACTS}
    return json.dumps({"benchmarks": [{"extra_info": {**info, **changes}}]})


NO_BENCHMARKS = {
    "nested": "[" * 100_000,
    "nested objects": '{"benchmarks":' * 100_000,
    "no JSON": "{",
    "a list": "[]",
    "a number of thousands of digits": '{"benchmarks": ' + "9" * 5000 + "}",
    "no benchmarks": "{}",
    "benchmarks that are none": '{"benchmarks": [[]]}',
    "no extra_info": '{"benchmarks": [{}]}',
    "nothing in it": '{"benchmarks": [{"extra_info": {}}]}',
    "a rate of 0": benchmark(images_per_s=0),
    "a rate below any": benchmark(images_per_s=5e-324),
    "a rate that is a text": benchmark(images_per_s="NaN"),
    "a rate of NaN": benchmark(images_per_s=float("nan")),
    "an endless rate": benchmark(images_per_s=float("inf")),
    "a rate of true": benchmark(images_per_s=True),
    "a round that is a list": benchmark(block=[]),
    "a regime that is a list": benchmark(regime=[]),
    "an unknown regime": benchmark(regime="sleep"),
    "facts that are empty": benchmark(facts={}),
    "facts that are a list": benchmark(facts=[]),
    "facts of another cell": benchmark(facts={**FACTS, "batch_size": 5}),
    "facts that are nested": benchmark(facts={**FACTS, "more": json.loads("[" * 500 + "]" * 500)}),
    "doubts that are none": benchmark(doubts=[["a"]]),
    "no cell": benchmark(cell="x"),
}


@pytest.mark.parametrize("text", NO_BENCHMARKS.values(), ids=NO_BENCHMARKS)
def test_json_that_is_not_what_this_harness_writes_is_refused(tmp_path: Path, in_process: InProcess, text: str) -> None:
    file = tmp_path / "a.json"
    file.write_text(text)
    code, said, complaint = in_process(compare.main, file, file)
    assert (code, said, complaint.count("\n")) == (2, "", 1)
    assert complaint.startswith(f"error: {file} is no JSON of pytest-benchmark from this harness (")


def test_json_of_a_gigabyte_is_refused_unread(tmp_path: Path, in_process: InProcess) -> None:
    file = tmp_path / "a.json"
    with file.open("wb") as large:
        large.truncate(2**30)
    code, _, complaint = in_process(compare.main, file, file)
    assert (code, complaint.count("\n")) == (2, 1)
    assert "it is of 1073741824 bytes, more than " in complaint


def test_json_without_a_benchmark_is_refused(tmp_path: Path, in_process: InProcess) -> None:
    file = tmp_path / "a.json"
    file.write_text('{"benchmarks": []}')
    code, _, complaint = in_process(compare.main, file, file)
    assert (code, complaint.startswith(f"error: {file} holds no ok record with rates")) == (2, True)


def test_json_of_pytest_benchmark_is_read_like_records(tmp_path: Path) -> None:
    file = write(tmp_path, "a", RATES[:3])
    benchmarks = []
    for line in file.read_text().splitlines():
        entry = Record.from_json(line)
        facts = comparability.values(Evidence.of(entry), Purpose.RATES)
        info = {
            "cell": entry.cell.id,
            "regime": "fit",
            "images_per_s": entry.value("fit_images_per_s"),
            "block": entry.block,
        }
        benchmarks.append({"extra_info": {**info, "facts": facts}})
    other = tmp_path / "a.json"
    other.write_text(json.dumps({"benchmarks": benchmarks}))
    assert compare.read(other) == [sample for sample in compare.read(file) if sample.regime == "fit"]


def test_json_that_an_older_version_wrote_is_refused_with_what_to_do(tmp_path: Path) -> None:
    made = record()
    info = {"cell": made.cell.id, "regime": "fit", "images_per_s": 1.0, "block": "", "axes": {}, "rest": []}
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"benchmarks": [{"extra_info": info}]}))
    done = run(file, file)
    assert (done.returncode, "give the record files instead" in done.stderr) == (2, True)


def test_doubts_about_rates_stand_below_the_ratios(tmp_path: Path) -> None:
    a = write(tmp_path, "a", RATES)
    lines = [as_of_older(Record.from_json(line)) for line in write(tmp_path, "b", RATES).read_text().splitlines()]
    for values in lines[:3]:
        values["samples"]["step_s"] = values["samples"]["step_s"][:1]
    b = tmp_path / "b.jsonl"
    b.write_text("".join(json.dumps(values) + "\n" for values in lines))
    done = run(a, b)
    assert done.returncode == 0, done.stderr
    shown = " ".join(done.stdout.split())
    assert "it is of one sample" in shown
    assert "step, B (3 of 10: 1 window)" in shown


def test_a_record_that_was_written_twice_counts_once(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write(tmp_path, name, RATES)
        write(tmp_path, name, RATES)
    done = run(*(tmp_path / "records" / "m" / f"{name}.jsonl" for name in ("a", "b")))
    assert done.stderr.count("10 copies of records") == 2

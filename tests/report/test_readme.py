"""The first page answers: a reader's questions are answered by its own words, or by the page that they lead to."""

from __future__ import annotations

import dataclasses
import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from bcdl.parity.verdicts import Verdicts
from bcdl.records import experiment, store
from bcdl.records.groups import group_records
from bcdl.records.record import Record
from bcdl.report import __main__ as command
from bcdl.report import how_to_read, on_screen, page, plots, readme
from bcdl.report.readme import Known
from bcdl.report.sources import Sources
from bcdl.settings.models import MODELS
from tests import pages
from tests.conftest import ROOT
from tests.factory import EXPERIMENT, record, with_rates
from tests.predictions import drawn, predicted

MACHINE, OTHER = "a-machine", "a-gpu"
BACKENDS = ("jax", "tensorflow", "torch")
APART = "nasnetlarge"  # was not measured in turn
MISSING = "densenet201"  # was never measured
TIED = "mobilenet"


def begun(made: Record) -> Record:
    """The record with the time that its run's name says."""
    day, time = made.run[:8], made.run[9:15]
    started = f"{day[:4]}-{day[4:6]}-{day[6:]}T{time[:2]}:{time[2:4]}:{time[4:]}.000+00:00"
    return dataclasses.replace(made, started=started)


def in_turn(run: str, side: str, rate: float, **changes: object) -> list[Record]:
    """The records of one side in ten rounds, whose rates of steps scatter by 2 percent."""
    made = record(run=f"{run}-{side}", **changes)
    rates = [rate * (1 + 0.02 * ((place * 7 + ord(side)) % 5 - 2) / 2) for place in range(10)]
    return [
        dataclasses.replace(with_rates(made, step=each), block=f"{run}/{place}", side=side)
        for place, each in enumerate(rates)
    ]


def all_records() -> Iterator[tuple[str, Record]]:
    """Five models in turn on three backends, one apart, one tied; an upgrade in turn; real images; an older GPU."""
    yield OTHER, record(run="20251201T000000Z-0000", device="gpu", backend="jax", precision="mixed_bfloat16")
    for place, model in enumerate(MODELS):
        for side, backend, share in zip("abc", BACKENDS, (1.0, 0.5, 0.998 if model == TIED else 0.25), strict=True):
            if model == MISSING:
                continue
            if model == APART:
                made = record(run=f"20260102T00000{place}Z-000{side}", model=model, backend=backend)
                yield MACHINE, with_rates(made, step=30 * share)
            else:
                for each in in_turn(f"20260101T00000{place}Z-0000", side, 100 * share, model=model, backend=backend):
                    yield MACHINE, each
    for side in "ab":
        for each in in_turn("20260103T000000Z-0000", side, 90, model="cnn", backend="jax"):
            yield MACHINE, each
    for backend in BACKENDS:
        made = predicted(drawn(300), drawn(60), backend=backend, data="busi", model="cnn", run="20260104T000000Z-0000")
        yield MACHINE, made


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A results folder of all of these, and its report, with no plot but that of the first page."""
    folder = tmp_path_factory.mktemp("results")
    for machine, made in all_records():
        store.append(folder, machine, begun(made))
    for name in ("CPU cores", "Batch size"):
        experiment.append(folder, MACHINE, dataclasses.replace(EXPERIMENT, name=name, searches=True))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "draw", lambda group: iter(()))
        page.build(folder)
    return folder


def test_the_first_page_is_about_the_newest_machine_that_timed_anything(tmp_path: Path) -> None:
    """Before, a machine that had trained one model more, untimed, took the page, and had nothing to say on it."""
    store.append(tmp_path, MACHINE, begun(with_rates(record(run="20260101T000000Z-0000"), step=30)))
    store.append(tmp_path, OTHER, begun(record(run="20260102T000000Z-0000", timing=False)))
    page.build(tmp_path)
    assert f"On **{MACHINE}**, newest rate of 2026-01-01." in (tmp_path / "README.md").read_text(encoding="utf-8")
    assert not list((tmp_path / "pages").glob("answer-on-*"))


def test_a_smoke_test_of_another_machine_does_not_take_the_first_page(tmp_path: Path) -> None:
    store.append(tmp_path, MACHINE, begun(with_rates(record(run="20260101T000000Z-0000", profile="quick"), step=30)))
    of_smoke = record(run="20260102T000000Z-0000", profile="smoke")
    store.append(tmp_path, OTHER, begun(with_rates(of_smoke, step=30)))
    page.build(tmp_path)
    assert f"On **{MACHINE}**, newest rate of 2026-01-01." in (tmp_path / "README.md").read_text(encoding="utf-8")
    assert (tmp_path / "pages" / f"answer-on-{OTHER}.md").is_file()
    for place in ("20260103T000000Z-0000", "20260104T000000Z-0000"):  # of smoke tests alone, the newest
        store.append(tmp_path / "other", place[:8], begun(with_rates(record(run=place, profile="smoke"), step=30)))
    page.build(tmp_path / "other")
    assert "On **20260104**" in (tmp_path / "other" / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(("profiles", "first"), [(("quick", "smoke"), 0), (("smoke", "quick"), 1), (("smoke",) * 2, 1)])
@pytest.mark.parametrize("sides", ["a", "ab"])  # by itself, and in turn
def test_a_smoke_test_takes_no_row_of_another_measurement(profiles: tuple[str, ...], first: int, sides: str) -> None:
    runs = [f"2026010{day}T000000Z-0000" for day in (1, 2)]
    records = [
        (MACHINE, begun(made if len(sides) == 2 else dataclasses.replace(made, block="", side="")))
        for run, profile in zip(runs, profiles, strict=True)
        for side in sides
        for made in in_turn(run, side, 100, profile=profile, backend={"a": "jax", "b": "torch"}[side])[:10]
    ]
    (row,) = Known.of(Sources(records, [], [], [])).answer(MACHINE).rows
    assert {each.run[:21] for each in row.records.values()} == {runs[first]}


@pytest.fixture(params=["made up", "committed"])
def any_results(request: pytest.FixtureRequest, results: Path) -> Path:
    return results if request.param == "made up" else ROOT / "results"


def first_page(results: Path) -> str:
    return (results / "README.md").read_text(encoding="utf-8")


def table(text: str, title: str) -> list[dict[str, str]]:
    """The rows of the table under the bold title that begins so, by their headings; what all rows say is in each."""
    part = text.partition(f"**{title}")[2].partition("\n\n**")[0].partition("\n#")[0]
    said = re.search(r"^In all rows: (.*)\.$", part, flags=re.MULTILINE)
    same = dict(each.split(": ", 1) for each in said[1].split("; ")) if said else {}
    lines = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in part.splitlines() if line[:1] == "|"]
    heading, _, *rows = [[cell.strip("| ") for cell in line] for line in lines]
    return [dict(zip(heading, row, strict=True)) | same for row in rows]


def rates(results: Path) -> dict[str, dict[str, str]]:
    return {row["model"]: row for row in table(first_page(results), "Training steps")}


def behind(results: Path, question: str) -> tuple[str, list[str]]:
    """The line of a question on the first page, and the parts of the pages that its links lead to."""
    (line,) = [line for line in first_page(results).splitlines() if line.startswith(f"- {question}")]
    parts = []
    for _, target in re.findall(r"\[([^\[\]]*)\]\(([^()\s]+)\)", line):
        path, _, anchor = target.partition("#")
        text = (results / path).read_text(encoding="utf-8")
        headings = re.split(r"^(?=## )", text, flags=re.MULTILINE)
        named = [each for each in headings if each.partition("\n")[0][3:].lower().replace(" ", "-") == anchor]
        parts += named if anchor else [text]
    return line, parts


# Eight questions


def test_which_backend_is_the_fastest_for_a_model(results: Path) -> None:
    shown = rates(results)
    assert shown["ResNet50"]["fastest"] == "jax"
    assert shown["MobileNet"]["fastest"].startswith("tie: jax, torch")
    assert shown["NASNetLarge"]["fastest"] == "one after another"
    assert shown["DenseNet201"]["fastest"] == "never measured"
    assert list(shown) == [model.title for name, model in MODELS.items() if name != MISSING] + ["DenseNet201"]


def test_how_sure_that_is(results: Path) -> None:
    shown = rates(results)
    assert re.fullmatch(r"100\.0 \(9\d\.\d to 10\d\.\d\), 100%", shown["ResNet50"]["jax"])
    assert re.fullmatch(r"25\.0 \(\d+\.\d to \d+\.\d\), 25%", shown["ResNet50"]["torch"])
    assert shown["NASNetLarge"]["torch"] == "7.5"  # no interval, no share
    (said,) = [line for line in first_page(results).splitlines() if line.startswith("- ResNet50, 32 px, batch 4")]
    assert re.search(r"jax is the fastest, at 100\.0 images/s \(.*\); tensorflow 50% of that \(49% to 51%\), ", said)
    assert "NASNetLarge, 32 px" not in first_page(results)  # nothing to quote


def test_whether_all_give_the_same_answers(results: Path) -> None:
    assert {row["same answers?"] for row in rates(results).values()} <= {"yes", "no", "not known", ""}
    assert rates(results)["ResNet50"]["same answers?"] == "not known"
    assert "Whether all backends compute the same" in first_page(results)


def test_what_an_hour_and_a_core_give(results: Path) -> None:
    hour, _ = behind(results, "What does an hour of this machine give?")
    assert "ResNet50 in float32 360,000 (jax)" in hour
    _, (cores,) = behind(results, "What does a core give?")
    assert "| cnn on torch | plain | other |" in cores


def test_what_an_upgrade_changed(results: Path) -> None:
    _, (turned,) = behind(results, "What did an upgrade change?")
    assert "## jax (A) and jax (B): CNN, 2026-01-03" in turned
    assert "B / A" in turned.partition("## jax (A)")[2]


def test_which_settings_are_best(results: Path) -> None:
    _, (best,) = behind(results, "Which settings are best?")
    assert best.startswith("## Best settings")
    assert "cnn on torch" in best


def test_how_good_the_models_are_on_real_data(results: Path) -> None:
    for title in ("AUROC", "Accuracy"):
        (row,) = table(first_page(results), f"{title}, with 95% intervals")
        assert re.fullmatch(r"0\.\d{3} \(0\.\d{3} to 0\.\d{3}\)", row["torch"])
        assert row["data"] == "busi"
        assert float(row["majority class"]) <= 0.7
    assert "synthetic" not in first_page(results).partition("## Accuracy on real data")[2].partition("\n## ")[0]


def test_a_training_with_a_fault_stands_on_its_page_alone_and_is_counted() -> None:
    """Before, it could take the place of a sound one, and of what had no place nothing was said."""

    def tested(**changes: object) -> tuple[str, Record]:
        return MACHINE, predicted(drawn(300), drawn(60), data="busi", timing=False, **changes)

    sound, faulty = tested(model="cnn"), tested(model="cnn", preprocessing="none")
    known = readme.Known([sound, faulty], Verdicts(()), group_records([sound, faulty]), ())
    text, _ = readme.first_page(known)
    part = text.partition("## Accuracy on real data")[2].partition("\n## ")[0]
    assert len([line for line in part.splitlines() if line.startswith("| CNN ")]) == 2  # AUROC, and accuracy
    assert "not scaled" not in part
    assert "- Other ways of training are on the pages below: 1, 1 of them with a fault of the source study." in part


def test_of_trainings_of_one_start_that_on_the_most_images_stands_on_the_page() -> None:
    """Before, the newest did: two folds of a trial replaced the five of the study."""

    def folds(count: int, **changes: object) -> list[Record]:
        made = [
            predicted(drawn(150, seed=fold), drawn(60), data="busi", folds=5, fold=fold, **changes)
            for fold in range(count)
        ]
        return [dataclasses.replace(one, dataset={**one.dataset, "images_checksum": "c"}) for one in made]

    records = [(MACHINE, one) for one in (*folds(5), *folds(2, augment=False, run="20270102T000000Z-0000"))]
    known = readme.Known(records, Verdicts(()), group_records(records), ())
    (row,) = table(readme.first_page(known)[0], "AUROC, with 95% intervals")
    assert (row["tested on"], row["images"]) == ("5 folds", "750")


def test_no_model_is_left_out_for_many_ways_of_training_another() -> None:
    """Before, the newest lines had the places."""

    def tested(**changes: object) -> tuple[str, Record]:
        return MACHINE, predicted(drawn(300), drawn(60), data="busi", timing=False, **changes)

    many = [tested(model="mobilenet", patience=number, run=f"2027010{number}T000000Z-0000") for number in range(1, 10)]
    records = [tested(model="cnn"), *many]
    known = readme.Known(records, Verdicts(()), group_records(records), ())
    text, _ = readme.first_page(known)
    assert [row["model"] for row in table(text, "AUROC, with 95% intervals")] == ["CNN", *["MobileNet"] * 6]
    assert "- Other ways of training are on the pages below: 3." in text


def test_what_is_not_known(results: Path) -> None:
    part = first_page(results).partition("## What we do not know\n\n")[2].partition("\n\n")[0]
    lines = part.splitlines()
    assert 1 <= len(lines) <= 5
    assert "- Which backend is the fastest for NASNetLarge: nothing was measured in turn." in lines
    assert "- How fast DenseNet201 is on this machine: never measured." in lines
    assert any(line.startswith("- How fast tensorflow, torch is on a GPU") for line in lines)
    assert not any("upgrade" in line for line in lines)


def test_records_without_a_rate_are_told() -> None:
    failed = [record(model="resnet50", status="failed", seed=seed) for seed in (0, 1)]
    known = Known.of(Sources([(MACHINE, each) for each in failed], [], [], []))
    lines = readme.unknown(known.answer(MACHINE), known)
    assert (
        "How fast these are, which were tried here: ResNet50 (2 records). None has a rate; their pages say why."
        in lines
    )


def test_the_answer_on_a_terminal_names_the_machines_that_it_is_not_about(capsys: pytest.CaptureFixture[str]) -> None:
    records = [(machine, record(status="failed", seed=seed)) for seed, machine in enumerate((MACHINE, OTHER))]
    on_screen.print_newest(Sources(records, [], [], []))
    said = capsys.readouterr().out
    assert any(f"other machines: {name}; bcdl report writes a page for each" in said for name in (MACHINE, OTHER))
    assert "First step" not in said  # nothing has one


def test_what_few_rounds_left_open_and_what_was_not_in_them_is_said() -> None:
    run = "20260101T000000Z-0000"
    records = [*in_turn(run, "a", 100, backend="jax")[:2], *in_turn(run, "b", 90, backend="torch")[:2]]
    known = readme.Known([("m", made) for made in records], Verdicts(()), (), ())
    first, *others = readme.unknown(known.answer("m"), known)
    assert first == "Which is faster: jax or torch at CNN (open after 2 rounds)."
    assert "How these compare, which were not in the rounds of the others: CNN on tensorflow." in others
    assert len([first, *others]) <= 5


def test_of_how_many_rates_in_turn_something_makes_them_doubtful_is_said() -> None:
    """Before, a rate that had been measured beside other work stood on the first page like any other."""
    sides = {
        backend: in_turn("20260101T000000Z-0000", side, 50, backend=backend)
        for side, backend in zip("ab", BACKENDS, strict=False)
    }
    sides["jax"][:2] = [
        dataclasses.replace(made, samples={**made.samples, "step_s": made.samples["step_s"][:1]})
        for made in sides["jax"][:2]
    ]
    records = [("m", made) for of_side in sides.values() for made in of_side]
    known = readme.Known(records, Verdicts(()), (), ())
    said = readme.unknown(known.answer("m"), known)
    assert "How fast a machine is that nothing disturbs: doubtful are 2 of 20 rates of CNN." in said


# What a person sees


def test_it_is_one_screen_and_the_answer_stands_in_its_first_40_lines(any_results: Path) -> None:
    lines = first_page(any_results).splitlines()
    assert len(lines) <= readme.MOST_LINES
    heading = next(place for place, line in enumerate(lines) if line.startswith("**Training steps"))
    end = next(place for place, line in enumerate(lines) if place > heading + 4 and not line)
    assert end <= 40


def test_every_link_leads_somewhere_and_none_is_named_as_a_file(any_results: Path) -> None:
    for file in pages.files(any_results):
        for text, target in pages.links(file):
            if target.startswith("https:"):
                continue
            path, _, anchor = target.partition("#")
            leads_to = (file.parent / path).resolve() if path else file
            if any_results != ROOT / "results" and "docs/" in path:
                leads_to = ROOT / "docs" / leads_to.name
            assert leads_to.is_file(), (file.name, target)
            assert not anchor or anchor in pages.anchors(leads_to), (file.name, target)
            assert text not in (leads_to.stem, leads_to.name, path), (file.name, target)


def test_every_page_has_a_way_back_and_its_contents(any_results: Path) -> None:
    for file in pages.files(any_results)[1:]:
        text = file.read_text(encoding="utf-8")
        assert "[Results](../README.md)" in text.splitlines()[2]
        headings = re.findall(r"^## (.*)$", text, flags=re.MULTILINE)
        assert [line for line in text.splitlines() if re.match(r"- \[.*\]\(#", line)][: len(headings)] == [
            f"- [{heading}](#{next(a for a in pages.anchors(file) if a == _slug(heading))})" for heading in headings
        ]


def _slug(heading: str) -> str:
    from bcdl.report.section import anchor

    return anchor(heading)


def test_headings_differ_by_more_than_a_digit(any_results: Path) -> None:
    titles = []
    for file in pages.files(any_results):
        title, *_ = text = file.read_text(encoding="utf-8").splitlines()
        titles.append(re.sub(r"\d+", "", title))
        headings = [re.sub(r"\d+", "", line) for line in text if line.startswith("## ")]
        assert len(headings) == len(set(headings)), file.name
    assert len(titles) == len(set(titles))


def test_no_table_repeats_a_column_that_says_the_same_in_all_rows(any_results: Path) -> None:
    for file in pages.files(any_results):
        for rows in re.findall(r"(?:^\|.*\n)+", file.read_text(encoding="utf-8"), flags=re.MULTILINE):
            cells = [re.split(r" \| ", line.strip("| ")) for line in rows.splitlines()]
            columns = list(zip(*cells, strict=False))
            for heading, *values in columns[1:] if len(cells) > 4 else []:
                said = {value.strip("| ") for value in values[1:]}
                assert len(said) > 1 or said <= {""}, (file.name, heading)


def test_a_paragraph_of_method_stands_on_one_page(any_results: Path) -> None:
    paragraphs = [
        (paragraph, file.name)
        for file in pages.files(any_results)
        for paragraph in file.read_text(encoding="utf-8").split("\n\n")
        if len(paragraph) > 300 and not paragraph.startswith(("|", "-", "In all rows", "[How to read this]"))
    ]
    assert len({paragraph for paragraph, _ in paragraphs}) == len(paragraphs)


def test_a_part_that_the_page_does_not_have_can_not_be_linked() -> None:
    with pytest.raises(ValueError, match="no part"):
        how_to_read.link("Nothing")


def test_the_other_machine_has_a_page_of_its_own(results: Path) -> None:
    assert f"[Answer on {OTHER}](pages/answer-on-{OTHER}.md)" in first_page(results)
    assert "mixed_bfloat16" in pages.page(results, f"answer-on-{OTHER}")
    assert "![Training steps" in pages.page(results, f"answer-on-{OTHER}")


def test_too_many_pages_are_named_on_a_page_of_their_own(results: Path, tmp_path: Path) -> None:
    for number in range(26):
        store.append(tmp_path, MACHINE, record(run=f"20260101T0000{number:02}Z-0000", image_size=32 + number))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plots, "draw", lambda group: iter(()))
        page.build(tmp_path)
    assert "[All pages](pages/all-pages.md)" in first_page(tmp_path)
    assert len(first_page(tmp_path).splitlines()) <= readme.MOST_LINES
    test_headings_differ_by_more_than_a_digit(tmp_path)
    test_every_link_leads_somewhere_and_none_is_named_as_a_file(tmp_path)


# In a terminal


def test_the_command_prints_the_answer_and_writes_nothing(
    results: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {file: file.stat().st_mtime_ns for file in results.rglob("*")}
    monkeypatch.setattr("sys.argv", ["report", "--answer", "--results", str(results)])
    assert command.main() == 0
    said = " ".join(capsys.readouterr().out.split())
    assert f"on {MACHINE}:" in said
    assert "ResNet50, 32 px, batch 4, float32: jax is the fastest, at 100.0 images/s" in said
    assert "what we do not know: - Which backend is the fastest for NASNetLarge" in said
    assert {file: file.stat().st_mtime_ns for file in results.rglob("*")} == before


@pytest.mark.parametrize("width", [80, 160])
def test_a_run_ends_with_the_column_of_its_backend(tmp_path: Path, width: int) -> None:
    text = io.StringIO()
    on_screen.print_run(
        [record(model=name) for name in ("cnn", "mobilenet")], tmp_path, Console(file=text, width=width)
    )
    lines = text.getvalue().splitlines()
    assert max(map(len, lines)) <= width
    assert any(re.search(r"model\b.*torch", line) for line in lines)
    assert any(re.search(r"MobileNet\b.*120\.0", line) for line in lines)
    assert "fastest" not in text.getvalue()


def test_a_run_without_rates_ends_without_an_answer(tmp_path: Path) -> None:
    text = io.StringIO()
    on_screen.print_run([record(status="failed")], tmp_path, Console(file=text))
    on_screen.print_run([], tmp_path, Console(file=text))
    assert text.getvalue() == ""

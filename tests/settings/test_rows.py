"""One row a setting: options, checks, upgrades, words and the README's table follow from it, with no second list."""

import argparse
import dataclasses
import re
from pathlib import Path
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcdl.errors import UsageError
from bcdl.evaluation import estimates
from bcdl.records import comparability
from bcdl.records.comparability import Evidence, Purpose
from bcdl.records.groups import Group, Line, group_records
from bcdl.records.record import Record
from bcdl.records.schema import HISTORY, SCHEMA
from bcdl.report.sections import card
from bcdl.settings import options, profiles, readme
from bcdl.settings.arguments import Parser
from bcdl.settings.cell import Cell
from bcdl.settings.limits import BUDGET, add_limit_options
from bcdl.settings.setting import LAST_SCHEMA_OF_FULL_NAMES, Setting, Words, rows
from bcdl.settings.words import card_words, line_words, title_words
from tests import factory, predictions
from tests.cells import cells, values_of

ROWS = Cell.rows()
OPTIONS = {name: row for name, row in ROWS.items() if row.given_by == "option"}
# Held to more than their rows, as test_options.py checks: files, a model's least size, one another.
HELD_TO_MORE = ("data", "labels", "weights", "profile", "fold", "folds", "image_size")
# What a title does not tell apart, and why.
UNTITLED = {
    "data": "the title begins with it: see Group.title",
    "timing": "the group's tables show whether there are rates, and published titles do not say it",
    "windows": "the profile alone gives it, and the title names that",
    "window_steps": "the profile alone gives it, and the title names that",
}


@dataclasses.dataclass(frozen=True)
class Wider(Cell):
    """A cell with settings made up, as no setting is called: a row each is all that is written of them."""

    vagueness: Annotated[float, Setting(help="made up: 100% of it", default=0.0, least=0, most=1, since=7, before=0.0)]
    sharpness: Annotated[
        str,
        Setting(
            help="made up as well",
            within_table="line",
            default="plain",
            choices=("plain", "aware"),
            words=Words(60, lambda cell: "sharpness-aware" if cell.sharpness == "aware" else ""),
            since=7,
            before="plain",
        ),
    ]


WIDER: dict[str, Any] = {"vagueness": 0.0, "sharpness": "plain"}


@pytest.fixture(autouse=True)
def every_backend_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bcdl.backends.is_installed", lambda name: True)


def wider(**changes: Any) -> Wider:
    return Wider(**{**factory.cell().to_dict(), **WIDER, **changes})


def record_of(cell: Cell) -> Record:
    """A record of real images that were scored: a group of them has cards."""
    made = factory.record()
    scores = predictions.split([0.2, 0.8] * 6, [0, 1] * 6)
    dataset = {**made.dataset, "synthetic": False}
    return dataclasses.replace(made, cell=cell, dataset=dataset, predictions={"test": scores})


def group_of(cell: Cell) -> Group:
    (group,) = group_records([("machine", record_of(cell))])
    return group


def parsed(*arguments: str, cell_type: type[Cell] = Cell) -> dict[str, Any]:
    parser = argparse.ArgumentParser()
    options.add_cell_options(parser.add_argument, cell_type)
    return vars(parser.parse_args(["--device", "cpu", *arguments]))


def other_than(value: object, row: Setting) -> object:
    """Another value that the row allows."""
    if row.choices:
        return next(choice for choice in row.choices if choice != value)
    if row.most is not None:
        return row.kind(row.most) if value != row.most else row.kind(row.least)
    return not value if row.kind is bool else f"{value}x" if row.kind is str else row.kind(value) * 2 + 3


# Rows


def test_every_field_of_a_cell_has_a_row_that_says_what_it_means() -> None:
    assert list(ROWS) == [field.name for field in dataclasses.fields(Cell)]
    assert all(row.help for row in ROWS.values())
    assert {row.kind for row in ROWS.values()} <= {int, float, bool, str}


def test_a_field_without_a_row_is_a_mistake_that_is_named() -> None:
    @dataclasses.dataclass(frozen=True)
    class Forgotten(Cell):
        momentum: float

    with pytest.raises(TypeError, match="momentum has no row; write it as momentum: Annotated"):
        rows(Forgotten)


@pytest.mark.parametrize("name", ROWS)
def test_what_a_row_says_of_older_records_and_of_defaults_is_a_value_it_allows(name: str) -> None:
    row = ROWS[name]
    for value in (row.default, row.before):
        assert value is None or row.read(value) == value
    assert (row.before is not None) == (row.since > 1)
    assert row.since in HISTORY or row.since > max(HISTORY)


@given(cells())
def test_any_cell_that_the_rows_allow_survives_its_id_and_json(cell: Cell) -> None:
    assert Cell.parse(cell.id) == cell
    assert Cell.from_dict(cell.to_dict()) == cell


@given(cells(Wider))
def test_so_does_one_with_settings_made_up(cell: Wider) -> None:
    assert Wider.parse(cell.id) == cell
    assert Wider.from_dict(cell.to_dict()) == cell


@pytest.mark.parametrize("name", [name for name, row in ROWS.items() if row.kind is str])
def test_a_record_with_a_word_that_this_version_does_not_know_is_read_and_named(name: str) -> None:
    """A newer bcdl may have more choices; what a record says is shown as it says it."""
    cell = Cell.from_dict({**factory.cell().to_dict(), name: "unheard-of"})
    assert getattr(cell, name) == "unheard-of"
    if name in ("precision", "optimizer"):
        assert "unheard-of" in title_words(cell)
        assert "Adam" not in title_words(cell) or name != "optimizer"
    if name in ("precision", "optimizer", "batch_norm"):
        assert "unheard-of" in "; ".join(card_words(cell))


# Options


def test_options_are_declared_once_each() -> None:
    names = [name for option in options.cell_options() for name in option.names]
    assert len(names) == len(set(names))
    assert {row.option for row in OPTIONS.values()} <= set(names)


def can_be_given(value: object) -> bool:
    """Whether the value is none of the texts that the parser of any command refuses, or reads as no value."""
    return not isinstance(value, str) or (value.strip() != "" and "\0" not in value and value != "--")


@pytest.mark.parametrize("name", [name for name, row in OPTIONS.items() if row.kind is str])
@pytest.mark.parametrize("value", ["", " \r", "a\0b"])
def test_a_text_that_is_empty_or_holds_a_zero_byte_is_refused(name: str, value: str) -> None:
    parser = Parser("train", None)
    options.add_cell_options(parser.add_argument)
    with pytest.raises(UsageError, match=f"^{OPTIONS[name].option}: .*(is empty|holds a zero byte)"):
        parser.parse_args([f"{OPTIONS[name].option}={value}"])


@pytest.mark.parametrize(
    "given", [["--epochs", "1", "--epochs", "2"], ["--epochs=1", "--epochs=1"], ["--seeds=1", "--seed", "2"]]
)
def test_an_option_that_is_given_twice_is_refused(given: list[str]) -> None:
    parser = Parser("train", None)
    options.add_cell_options(parser.add_argument)
    with pytest.raises(UsageError, match=r"^--(epochs|seeds?): given twice, and one value would be lost; give it once"):
        parser.parse_args(given)


def test_an_option_that_collects_values_is_given_as_often_as_one_likes() -> None:
    parser = Parser("train", None)
    parser.add_argument("--file", action="append")
    parser.add_argument("--debug", action="store_true")
    assert parser.parse_args(["--file", "a", "--file", "b", "--debug", "--debug"]).file == ["a", "b"]
    parser.add_argument("rest", nargs="*")
    assert parser.parse_args(["--file", "a", "--", "--file", "--file"]).rest == ["--file", "--file"]


@pytest.mark.parametrize("name", [name for name in OPTIONS if name not in HELD_TO_MORE])
def test_an_option_gives_its_setting_any_value_of_the_row(name: str) -> None:
    row = OPTIONS[name]

    @given(values_of(row).filter(can_be_given))
    def check(value: object) -> None:
        given_option = [f"{row.option}={value}"]
        if row.kind is bool:
            given_option = [row.option if value else row.option.replace("--", "--no-")]
        asked = {**parsed("--profile", "smoke"), name: parsed(*given_option)[name]}
        (job,) = options.resolve(asked, "torch", "mobilenet")
        assert getattr(job.cell, name) == value

    check()


@pytest.mark.parametrize("name", [name for name, row in OPTIONS.items() if row.choices or row.kind in (int, float)])
def test_a_value_that_a_row_does_not_allow_is_a_usage_error_that_names_the_option(name: str) -> None:
    row = OPTIONS[name]
    wrong = ["", "wrong", "nan", "inf"]
    wrong += [] if row.choices else [str(row.least - 1), str(row.most * 10), "9" * 400]
    for value in wrong:
        with pytest.raises(UsageError, match=f"^{row.option} {re.escape(repr(value[:40]))} "):
            options.resolve({**factory.OPTIONS, name: value}, "torch", "cnn")


def test_every_number_has_a_least_and_a_most() -> None:
    unbounded = [
        name
        for name, row in ROWS.items()
        if row.kind in (int, float) and not row.choices and None in (row.least, row.most)
    ]
    assert not unbounded


@pytest.mark.parametrize("name", profiles.PROFILES)
def test_a_profile_names_settings_that_there_are_and_values_that_they_allow(name: str) -> None:
    profile = profiles.PROFILES[name]
    assert profile.settings.keys() <= {row.name for row in ROWS.values() if row.given_by != "command"}
    for job in options.resolve({"profile": name, "device": "cpu"}, "torch", None):
        assert job.cell.profile == name


def test_a_profile_with_a_bad_value_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = {**profiles.PROFILES["smoke"].settings, "epochs": 0}
    monkeypatch.setitem(profiles.PROFILES, "smoke", profiles.Profile("smoke", ("cnn",), settings))
    with pytest.raises(UsageError, match="profile smoke: epochs '0' is not a whole number from 1 to 100,000"):
        options.resolve(factory.OPTIONS, "torch", None)


def test_the_readme_shows_the_options_that_the_rows_give() -> None:
    text = readme.README.read_text(encoding="utf-8")
    assert readme.with_table(text) == text, "run python -m bcdl.settings.readme"


def test_the_readme_shows_every_option_of_a_run() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    for add in (options.add_cell_options, add_limit_options, options.MODELS.add, options.RESUME.add, BUDGET.add):
        add(parser.add_argument)
    shown = set(re.findall(r"`(--[a-z-]+)", "".join(line.split(" | ")[0] for line in readme.table().splitlines())))
    assert shown == {name for action in parser._actions for name in action.option_strings}


def test_a_readme_without_its_marks_is_refused_and_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readme, "README", tmp_path / "README.md")
    (tmp_path / "README.md").write_text("# Another\n")
    with pytest.raises(UsageError, match="put them around the table"):
        readme.main()
    assert (tmp_path / "README.md").read_text() == "# Another\n"


# Words


def within(table: str) -> list[str]:
    """The settings of which cells of a table may differ so."""
    return [name for name, row in ROWS.items() if row.within_table == table]


@pytest.mark.parametrize("name", [name for name in within("same") if len(ROWS[name].choices) != 1])
def test_groups_that_differ_in_a_setting_differ_in_title(name: str) -> None:
    example = factory.cell()
    other = dataclasses.replace(example, **{name: other_than(getattr(example, name), ROWS[name])})
    assert (title_words(example) != title_words(other)) == (name not in UNTITLED)
    assert (group_of(example).title != group_of(other).title) == (name not in UNTITLED or name == "data")


@pytest.mark.parametrize("name", within("line"))
def test_cells_that_differ_in_how_they_are_trained_stand_in_lines_of_their_own(name: str) -> None:
    example = factory.cell(model="mobilenet")
    other = dataclasses.replace(example, **{name: other_than(getattr(example, name), ROWS[name])})
    assert Line.of(example) != Line.of(other)
    assert Line.of(example).title + Line.of(example).start != Line.of(other).title + Line.of(other).start


@pytest.mark.parametrize("name", within("draw"))
def test_cells_that_chance_tells_apart_have_names_of_their_own(name: str) -> None:
    example = factory.cell(folds=ROWS["folds"].most)
    other = dataclasses.replace(example, **{name: other_than(getattr(example, name), ROWS[name])})
    assert example.draw != other.draw
    assert example.stem != other.stem


def test_words_of_a_title_a_line_and_a_card_are_those_that_were_published() -> None:
    example = factory.cell(folds=5, split_by="image", head_epochs=2, keep="last", patience=3, class_weights=True)
    example = dataclasses.replace(example, batch_norm="frozen", augment=False, precision="tf32")
    assert group_of(example).title == (
        "synthetic-48, tf32, 32x32, batch 4, 2 epochs, Adam 0.0001, not augmented, profile smoke, 5 folds, "
        "LEAKY: split by image"
    )
    assert (
        line_words(example)
        == "head alone for 2 epochs first, frozen batch norms, balanced loss, patience 3, last epoch"
    )
    assert "; ".join(card_words(example)) == (
        "Adam, rate 0.0001; batches of 4; the head alone for 2 epochs first; 2 epochs, fewer after 3 without a better "
        "one; the last epoch; the backbone's batch norms frozen, the head's re-estimated; tf32 arithmetic"
    )
    assert (example.draw, factory.cell().draw) == ("seed 0, fold 0, by image", "seed 0")


# Schemas


def test_cells_of_older_schemas_have_the_values_that_rows_say_they_had() -> None:
    values = factory.cell().to_dict()
    for schema in range(1, SCHEMA + 1):
        old = {name: value for name, value in values.items() if ROWS[name].since <= schema}
        cell = Cell.from_dict(Cell.upgraded(old, schema))
        assert all(getattr(cell, name) == row.before for name, row in ROWS.items() if row.since > schema)
        assert all(getattr(cell, name) == value for name, value in old.items())


@pytest.mark.parametrize("schema", [0, -1, True, 1.0, None])
def test_a_schema_that_there_never_was_is_no_record(schema: object) -> None:
    line = factory.record().to_json().replace(f'"schema": {SCHEMA}', f'"schema": {schema!r}'.replace("None", "null"))
    with pytest.raises(ValueError, match=r"schema|JSON"):
        Record.from_json(line)


def table_key(cell: Cell) -> dict[str, Any]:
    """What the cell's group is named by."""
    return dict(comparability.key(Evidence.of_cell(cell), Purpose.TABLE))


@given(cells())
def test_a_group_is_named_by_the_settings_that_its_records_know(cell: Cell) -> None:
    """A setting that came when groups had names already stands in them only if it is not as it was before."""
    named = table_key(cell)
    for name in within("same"):
        row = ROWS[name]
        silent = row.since > LAST_SCHEMA_OF_FULL_NAMES and getattr(cell, name) == row.before
        assert (name in named) == (not silent)


# A setting made up


def test_a_row_is_all_that_a_new_setting_needs() -> None:
    arguments = ("--profile", "smoke", "--vagueness", "0.125", "--sharpness", "aware")
    (job,) = options.resolve(parsed(*arguments, cell_type=Wider), "torch", "cnn", cell_type=Wider)
    cell = job.cell
    assert isinstance(cell, Wider)
    assert (cell.vagueness, cell.sharpness) == (0.125, "aware")
    assert title_words(cell) == title_words(wider(image_size=64)) + ", vagueness 0.125"
    assert line_words(cell) == "sharpness-aware"
    assert [words for words in card_words(cell) if words not in card_words(wider())] == [
        "sharpness-aware",
        "vagueness 0.125",
    ]
    assert "| `--vagueness X` | made up: 100% of it | 0.0 |" in readme.table(Wider)
    assert "| `--sharpness {plain,aware}` | made up as well | plain |" in readme.table(Wider)


@pytest.mark.parametrize(("option", "value"), [("vagueness", "-1"), ("vagueness", "1.5"), ("sharpness", "blunt")])
def test_its_values_are_checked(option: str, value: str) -> None:
    asked = {**factory.OPTIONS, option: value}
    with pytest.raises(UsageError, match=f"--{option.replace('_', '-')} '{value}' is "):
        options.resolve(asked, "torch", "cnn", cell_type=Wider)


def test_it_renames_nothing_of_older_records_and_parts_newer_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    old = factory.cell()
    before = group_of(old)
    monkeypatch.setattr(comparability, "FACTS", facts_of(Wider))
    upgraded = Wider.from_dict(Wider.upgraded(old.to_dict(), schema=6))
    assert card_words(upgraded) == card_words(old)
    assert (group_of(upgraded).title, group_of(upgraded).slug) == (before.title, before.slug)
    groups = group_records([("machine", record_of(each)) for each in (wider(vagueness=0.5), upgraded)])
    assert len(groups) == len({group.title for group in groups}) == len({group.slug for group in groups}) == 2


def facts_of(cell_type: type[Cell]) -> tuple[comparability.Fact, ...]:
    """The table of facts as it would be made from the class's rows."""
    new = [row for name, row in cell_type.rows().items() if name not in ROWS]
    facts = [comparability._setting(row.name, row) for row in new]
    free = {row.name for row in new if row.within_table != "same"}  # as `comparability._FREE` has them
    return (
        *comparability.FACTS,
        *(
            dataclasses.replace(f, purposes={*f.purposes} - ({Purpose.TABLE} if f.name in free else set()))
            for f in facts
        ),
    )


def test_it_stands_in_the_model_card_and_in_a_line_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparability, "FACTS", facts_of(Wider))
    (group,) = group_records([("machine", record_of(cell)) for cell in (wider(sharpness="aware"), wider())])
    assert [line.training for line in group.lines] == ["", "sharpness-aware"]
    texts = list(card.cards(group, estimates.results(group)).values())
    assert ["sharpness-aware" in text for text in texts] == [False, True]


def test_it_is_in_the_help_of_commands() -> None:
    parser = argparse.ArgumentParser()
    options.add_cell_options(parser.add_argument, Wider)
    assert "made up: 100% of it; default 0.0" in " ".join(parser.format_help().split())


@given(st.text(max_size=10))
def test_a_text_is_a_number_of_the_row_or_an_error(text: str) -> None:
    try:
        value = ROWS["epochs"].read(text)
    except ValueError:
        return
    assert value == int(text) >= 1

"""`docs/data.md` against the code: each layout, option and kind of file, and each notice that the cases give."""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import re

import pytest
from hypothesis import HealthCheck, given, settings

from bcdl import datasets
from bcdl.datasets import Dataset, LabelsTable, Request, layouts, tree
from tests.conftest import ROOT
from tests.datasets.trees import Tree, trees

PAGE = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
# Fields of a request that options of another name give.
OPTIONS = {"by_group": "split-by"}


@functools.cache
def notices() -> list[re.Pattern[str]]:
    """The notices of the page's tables; in them numbers, what is in quotes, tables, classes and kinds of files
    that nothing reads stand for any.
    """
    examples = re.findall(r"^\| `(.+?)` \|", PAGE, re.MULTILINE)
    return [re.compile(_pattern(example)) for example in examples]


def _pattern(example: str) -> str:
    kinds = {
        r"\.\.\.": ".*",
        r"'[^']*'(?!\w)": "'.*'",
        r"\w+\.csv": ".+",
        r"[\d,.]*\d%?": r"[\d,.]*\d%?",
        "benign|malignant": "(benign|malignant)",
        "HEIC images": f"({'|'.join(map(re.escape, tree.UNREAD))})",
    }
    parts = re.split(f"({'|'.join(kinds)})", example)
    meant = {part: next(kind for form, kind in kinds.items() if re.fullmatch(form, part)) for part in parts[1::2]}
    return "".join(meant[part] if number % 2 else re.escape(part) for number, part in enumerate(parts))


def unexplained(lines: list[str]) -> list[str]:
    return [line for line in lines if not any(notice.fullmatch(line) for notice in notices())]


def test_the_page_explains_nothing_in_two_rows() -> None:
    texts = [notice.pattern for notice in notices()]
    assert len(texts) == len(set(texts)) > 50


def test_every_notice_of_a_case_is_explained(case: tuple[str, Dataset]) -> None:
    _, dataset = case
    assert unexplained([*dataset.notices, *dataset.leaks().notices()]) == []
    assert f"`{dataset.facts['layout']}`" in PAGE


@given(trees())
@settings(max_examples=15, suppress_health_check=list(HealthCheck))
def test_every_notice_of_a_tree_is_explained(tmp_path_factory: pytest.TempPathFactory, made: Tree) -> None:
    dataset = datasets.load(made.write(tmp_path_factory.mktemp("tree") / "set"))
    assert unexplained([*dataset.notices, *dataset.leaks().notices()]) == []
    assert f"`{dataset.facts['layout']}`" in PAGE


def test_every_layout_has_its_words() -> None:
    (function,) = ast.parse(inspect.getsource(layouts._describe)).body
    returned = [node for node in ast.walk(function) if isinstance(node, ast.Return)]
    texts = [part.value for node in returned for part in ast.walk(node) if isinstance(part, ast.Constant)]
    words = {text for text in texts if isinstance(text, str)} - {"", " / "}
    assert words
    assert [word for word in words if word not in PAGE] == []


def test_every_kind_of_file_is_on_the_page() -> None:
    kinds = {*tree._KINDS.values(), tree.HIDDEN, tree.MASKS, tree.PREVIEWS, tree.STRAY, tree.LINKS_OUT}
    kinds |= tree._REMEDIES.keys()
    assert [kind for kind in kinds if kind not in PAGE] == []


@pytest.mark.parametrize("name", [field.name for kind in (Request, LabelsTable) for field in dataclasses.fields(kind)])
def test_every_option_that_reads_data_is_on_the_page(name: str) -> None:
    option = {"file": "labels"}.get(name) or OPTIONS.get(name) or name.replace("_", "-")
    assert f"--{option}" in PAGE


def test_a_command_stands_beside_every_tree() -> None:
    sections = re.split(r"^### ", PAGE.partition("## Layouts")[2].partition("\n## ")[0], flags=re.MULTILINE)[1:]
    assert len(sections) > 6
    assert [section for section in sections if "```text" not in section or "--data" not in section] == []

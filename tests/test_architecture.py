"""Contracts over all of a kind: commands, packages, functions, documents. Who may import whom, import-linter checks."""

from __future__ import annotations

import ast
import importlib.util
import re
from pathlib import Path

import pytest

from bcdl import experiments
from bcdl.__main__ import COMMANDS
from bcdl.settings.models import MODELS

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(file for folder in ("bcdl", "backends", "benchmarks") for file in (ROOT / folder).rglob("*.py"))
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]
MOST_LINES = 60
# What only a run makes, or what stands for a name.
_PRINTING = (ROOT / "bcdl" / "screen.py", ROOT / "bcdl" / "streams.py")  # `streams` prints to stderr for both
_MADE = re.compile(r"^\.nox/|results/local|[A-Z]{3,}|[<>*{}\s=]|^path/to/")


def tree(file: Path) -> ast.Module:
    return ast.parse(file.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_is_a_module_with_main_and_stands_in_the_readme(name: str) -> None:
    spec = importlib.util.find_spec(COMMANDS[name].module)
    assert spec is not None
    assert spec.origin is not None
    module = tree(Path(spec.origin))
    functions = {node.name: node for node in module.body if isinstance(node, ast.FunctionDef)}
    assert ast.unparse(functions["main"].returns or ast.Constant(None)) == "int"
    assert f"| `bcdl {name}` |" in (ROOT / "README.md").read_text(encoding="utf-8")
    assert importlib.util.find_spec(f"bcdl.{name}") is not None  # python -m bcdl.NAME


def test_every_module_with_a_main_is_a_command_or_a_program_of_its_own() -> None:
    """A command that is not in the table is one that nobody finds."""
    runnable = {file for file in SOURCES if 'if __name__ == "__main__"' in file.read_text(encoding="utf-8")}
    commands = {importlib.util.find_spec(row.module).origin for row in COMMANDS.values()}
    own = {"__main__", "readme", "record_fields", "scale", "cluster", "empty_worker", "task", "two_nodes"} | {
        file.stem for file in (ROOT / "bcdl" / "experiments" / "workers").glob("*.py")
    }
    assert {file for file in runnable if str(file) not in commands and file.stem not in own} == set()


@pytest.mark.parametrize("name", experiments.names())
def test_every_experiment_has_a_summary_and_a_definition(name: str) -> None:
    assert 10 < len(experiments.summary(name)) < 110
    assert experiments.load(name).name


def test_one_place_prints_what_is_no_constant() -> None:
    """Or a name from outside reaches a terminal as it is."""
    printing = [
        f"{file.relative_to(ROOT)}:{node.lineno}"
        for file in SOURCES
        if file.is_relative_to(ROOT / "bcdl") and file not in _PRINTING
        for node in ast.walk(tree(file))
        if isinstance(node, ast.Call) and ast.unparse(node.func) in ("print", "sys.stdout.write", "sys.stderr.write")
        if not all(isinstance(argument, ast.Constant) for argument in node.args)
    ]
    assert printing == []


def test_every_module_has_a_docstring() -> None:
    files = [file for file in SOURCES if file.stat().st_size]
    assert [str(file.relative_to(ROOT)) for file in files if not ast.get_docstring(tree(file))] == []
    packages = [file for file in SOURCES if file.name == "__init__.py" and file.is_relative_to(ROOT / "bcdl")]
    assert all(file.stat().st_size for file in packages)


def test_no_function_is_long() -> None:
    long = [
        f"{file.relative_to(ROOT)}: {node.name}"
        for file in [*SOURCES, ROOT / "noxfile.py", ROOT / "setup.py"]
        for node in ast.walk(tree(file))
        if isinstance(node, ast.FunctionDef) and (node.end_lineno or 0) - node.lineno >= MOST_LINES
    ]
    assert long == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: file.name)
def test_documents_name_places_that_exist(document: Path) -> None:
    text = re.sub(r"```.*?```", "", document.read_text(encoding="utf-8"), flags=re.DOTALL)
    paths = [part for part in re.findall(r"`([^`]+)`", text) if "/" in part and not _MADE.search(part)]
    named = [part.split("::")[0] for part in paths if part.startswith(tuple(f"{f.name}/" for f in ROOT.iterdir()))]
    missing = [part for part in named if not (ROOT / part).exists()]
    missing += [part for part in re.findall(r"\]\(([^)#:]+)\)", text) if not (document.parent / part).exists()]
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: file.name)
def test_documents_select_tests_that_a_session_runs(document: Path) -> None:
    """`nox -s tests-torch -- -k WORD` runs nothing unless a test that needs Keras, its file or a model is named so."""
    files = [file for file in (ROOT / "tests").rglob("test_*.py") if "mark.keras" in file.read_text(encoding="utf-8")]
    names = [file.stem for file in files] + list(MODELS)
    names += [node.name for file in files for node in ast.walk(tree(file)) if isinstance(node, ast.FunctionDef)]
    words = re.findall(r"nox -s tests-(?:jax|tensorflow|torch) -- -k ([a-z_]+)", document.read_text(encoding="utf-8"))
    assert [word for word in words if not any(word in name for name in names)] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda file: file.name)
def test_documents_name_modules_and_commands_that_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    modules = set(re.findall(r"python -m (bcdl[\w.]*)", text))
    assert {name for name in modules if importlib.util.find_spec(name) is None} == set()
    programs = re.findall(r"```console\n(.*?)```", text, flags=re.DOTALL) + re.findall(r"`(bcdl [^`]+)`", text)
    commands = set(re.findall(r"^(?:KERAS_BACKEND=\w+ )?bcdl ([a-z-]+)", "\n".join(programs), flags=re.MULTILINE))
    assert commands <= set(COMMANDS)
    named = set(re.findall(r"bcdl experiment ([a-z]+-[a-z-]+)", text))
    assert named <= set(experiments.names())

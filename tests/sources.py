"""What the contract tests read of the project's own source, file by file, by its syntax trees."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
# Every folder or file of code that measures, reports or builds; tests are not among them.
CODE = ("bcdl", "backends", "benchmarks", "noxfile.py")


def trees(*parts: str, root: Path = ROOT) -> Iterator[tuple[str, ast.Module]]:
    """Each Python file of these folders and files with its tree, by its path under `root`, with forward slashes."""
    for part in parts or CODE:
        place = root / part
        for file in sorted(place.rglob("*.py")) if place.is_dir() else filter(Path.is_file, [place]):
            yield file.relative_to(root).as_posix(), ast.parse(file.read_text(encoding="utf-8"))


def names(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Each place that names something: a variable, an attribute, what an import takes, or a literal text."""
    for part in ast.walk(node):
        if isinstance(part, ast.Name):
            yield part, part.id
        elif isinstance(part, ast.Attribute):
            yield part, part.attr
        elif isinstance(part, ast.ImportFrom):
            yield from ((part, alias.name) for alias in part.names)
        elif isinstance(part, ast.Constant) and isinstance(part.value, str):
            yield part, part.value


def clock_readings(clocks: Iterable[str], root: Path = ROOT) -> set[tuple[str, str]]:
    """(file, clock) for each file of `CODE` that names one of these functions of the module `time`."""
    return {(file, name) for file, tree in trees(root=root) for _, name in names(tree) if name in clocks}


def time_of_day(root: Path = ROOT) -> set[str]:
    """The files of `CODE` that read `time.time`, under whatever name."""
    files = set()
    for file, tree in trees(root=root):
        modules = {"time"}
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                modules |= {alias.asname for alias in node.names if alias.name == "time" and alias.asname}
            if isinstance(node, ast.ImportFrom) and node.module == "time":
                files |= {file for alias in node.names if alias.name in ("time", "time_ns", "*")}
        attributes = [node for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
        read = [node.value for node in attributes if node.attr in ("time", "time_ns")]
        if any(isinstance(module, ast.Name) and module.id in modules for module in read):
            files.add(file)
    return files


def conditions_on(words: Iterable[str], *parts: str, root: Path = ROOT) -> list[str]:
    """`file:line` of each condition whose outcome hangs on one of these literal words."""
    words = set(words)
    return [
        f"{file}:{getattr(node, 'lineno', 0)}"
        for file, tree in trees(*parts, root=root)
        for node in ast.walk(tree)
        if words & set(_decided_by(node))
    ]


def _decided_by(node: ast.AST) -> Iterator[str]:
    """The literal texts that a comparison, a `match`, a test of a text's ends or a look-up in a literal holds."""
    operands: list[ast.AST] = []
    if isinstance(node, ast.Compare):
        operands = [node.left, *node.comparators]
    elif isinstance(node, ast.MatchValue):
        operands = [node.value]
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr in ("startswith", "endswith", "__eq__", "__contains__"):
            operands = [node.func.value, *node.args]
        elif node.func.attr == "get":
            operands = [node.func.value]
    elif isinstance(node, ast.Subscript):
        operands = [node.value]
    for operand in operands:
        yield from _literals(operand)


def _literals(node: ast.AST) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.Tuple | ast.List | ast.Set):
        for part in node.elts:
            yield from _literals(part)
    elif isinstance(node, ast.Dict):
        for key in filter(None, node.keys):
            yield from _literals(key)


def calls_of(name: str, *parts: str, root: Path = ROOT) -> set[str]:
    """The files of these parts that call a function or method of that name."""
    return {
        file
        for file, tree in trees(*parts, root=root)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", None)) == name
    }


def untyped(*parts: str, root: Path = ROOT) -> list[str]:
    """`file:line` of each place that hides a type: a module passed along, or bcdl's own module imported by a text."""
    places = []
    for file, tree in trees(*parts, root=root):
        for node, name in names(tree):
            if name == "ModuleType":
                places.append(f"{file}:{getattr(node, 'lineno', 0)}: ModuleType")
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "import_module" and node.args:
                texts = [p.value for p in ast.walk(node.args[0]) if isinstance(p, ast.Constant)]
                if any(isinstance(text, str) and text.split(".")[0] in ("bcdl", "keras") for text in texts):
                    places.append(f"{file}:{node.lineno}: import_module")
    return places


def parameters(*parts: str, root: Path = ROOT) -> dict[str, int]:
    """How many parameters each function has besides `self` and `cls`, by `file:name`."""
    counts = {}
    for file, tree in trees(*parts, root=root):
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef):
                own = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
                counts[f"{file}:{node.name}"] = len([name for name in own if name not in ("self", "cls")])
    return counts

"""The pages of a results folder, for tests of what they say."""

from __future__ import annotations

import html
import re
from pathlib import Path


def files(results: Path) -> list[Path]:
    """The first page, then those behind it."""
    return [results / "README.md", *sorted((results / "pages").glob("*.md"))]


def text(results: Path) -> str:
    """What all pages say, one after the other, but for the one that says how to read them."""
    return "\n".join(file.read_text(encoding="utf-8") for file in files(results) if file.stem != "how-to-read")


def page(results: Path, name: str) -> str:
    """The one page behind the first whose name begins so."""
    (file,) = (results / "pages").glob(f"{name}*.md")
    return file.read_text(encoding="utf-8")


def anchors(file: Path) -> set[str]:
    """The names that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    plain = (html.unescape(heading).lower() for heading in headings)
    return {"".join(sign for sign in each if sign.isalnum() or sign in "-_ ").replace(" ", "-") for each in plain}


def links(file: Path) -> list[tuple[str, str]]:
    """The text and the target of each link and picture of a page."""
    return re.findall(r"\[([^\[\]]*)\]\(([^()\s]+)\)", file.read_text(encoding="utf-8"))

"""The page's colours: legible in light and dark, for text, for marks and for the edges of controls."""

from __future__ import annotations

import re

import pytest

from bcdl.report.plots import style
from tests.conftest import ROOT

STYLE = (ROOT / "bcdl" / "report" / "web" / "page.css").read_text(encoding="utf-8")
COLOURS = {
    name: pair for name, *pair in re.findall(r"--([\w-]+): light-dark\((#[0-9a-f]{6}), (#[0-9a-f]{6})\);", STYLE)
}
BACKENDS = [name for name in COLOURS if name.startswith("backend-")]


def luminance(colour: str) -> float:
    """Relative luminance (WCAG 2.2)."""
    parts = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize("ground", ["background", "raised"])
def test_text_has_a_contrast_of_4_5_and_marks_of_3(scheme: int, ground: str) -> None:
    against = {name: contrast(pair[scheme], COLOURS[ground][scheme]) for name, pair in COLOURS.items()}
    assert len(BACKENDS) == 6
    assert {name: against[name] for name in ("text", "quiet", "link") if against[name] < 4.5} == {}
    assert {name: against[name] for name in [*BACKENDS, "line"] if against[name] < 3} == {}


def test_plots_have_the_colours_of_the_page() -> None:
    """On white, as both are printed: so each has the contrast of the page's marks."""
    assert [COLOURS[name][0] for name in BACKENDS] == list(style.PALETTE)


def test_contrast_is_that_of_the_guideline() -> None:
    assert contrast("#ffffff", "#000000") == pytest.approx(21)
    assert contrast("#e69f00", "#ffffff") == pytest.approx(2.25, abs=0.01)


def test_our_script_writes_no_html_and_evaluates_none() -> None:
    script = (ROOT / "bcdl" / "report" / "web" / "page.js").read_text(encoding="utf-8")
    code = "\n".join(line for line in script.splitlines() if not line.lstrip().startswith("//"))
    for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function("):
        assert forbidden not in code

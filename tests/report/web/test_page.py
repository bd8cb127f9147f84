"""The page to explore in a headless Chromium that has no network."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from bcdl.report.web import data
from tests import factory
from tests.report.web import chromium, made
from tests.report.web.chromium import Chromium

pytestmark = pytest.mark.page

VIEWS = ("speed", "quality", "roofline", "parity", "training", "roc")
AXE, AXE_SHA256 = "axe-core@4.14.1", "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror='window.hacked=1'>\"'`${1}\u202e\u2066{{7*7}}"


@pytest.fixture(scope="module")
def values() -> data.Values:
    return data.read(made.sources())


@pytest.fixture(scope="module")
def file(values: data.Values, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from bcdl.report.web import page

    made_file = tmp_path_factory.mktemp("page") / "index.html"
    made_file.write_bytes(page.build(values)[0])
    return made_file


@pytest.fixture(scope="module")
def browser() -> Iterator[Chromium]:
    if chromium.program() is None:
        pytest.skip("no Chromium: apt-get install chromium, or any of " + ", ".join(chromium.PROGRAMS))
    with Chromium() as started:
        yield started


@pytest.fixture
def tab(browser: Chromium) -> Iterator[Chromium]:
    """The browser as each test finds it; whatever a page complained of by its end fails the test."""
    browser.size(1200)
    browser.media()
    browser.errors.clear()
    browser.requests.clear()
    yield browser
    assert browser.errors == []


@pytest.fixture(scope="module")
def axe(pytestconfig: pytest.Config) -> str:
    """The checks of axe-core: the file that BCDL_TEST_AXE names, or fetched by npm once."""
    assert pytestconfig.cache is not None
    folder = pytestconfig.cache.mkdir("axe-core")
    script = Path(os.environ.get("BCDL_TEST_AXE", folder / "axe.min.js"))
    if not script.is_file():
        npm = shutil.which("npm")
        fetched = npm and subprocess.run([npm, "pack", AXE, "--silent"], cwd=folder, capture_output=True, check=False)
        if not fetched or fetched.returncode:
            pytest.skip(f"no axe-core: npm could not fetch {AXE}; or set BCDL_TEST_AXE to its axe.min.js")
        with tarfile.open(next(folder.glob("*.tgz"))) as archive:
            content = archive.extractfile("package/axe.min.js")
            assert content is not None
            script.write_bytes(content.read())
    assert hashlib.sha256(script.read_bytes()).hexdigest() == AXE_SHA256
    return script.read_text(encoding="utf-8")


def texts(tab: Chromium, selector: str) -> list[str]:
    found: list[str] = tab.run(f"[...document.querySelectorAll({json.dumps(selector)})].map(e => e.textContent)")
    return found


def column(tab: Chromium, heading: str) -> list[str]:
    place = texts(tab, "thead th").index(heading) + 1
    return texts(tab, f"tbody td:nth-child({place})")


def select(tab: Chromium, name: str, value: str) -> None:
    """Choose as a person does: the page hears of it by the event alone."""
    tab.run(
        f"{{const s = document.getElementById('{name}'); s.value = {json.dumps(value)};"
        "s.dispatchEvent(new Event('change')); 0}"
    )
    tab.drawn()


def click(tab: Chromium, selector: str) -> None:
    tab.run(f"document.querySelector({json.dumps(selector)}).click()")
    tab.drawn()


def hover_over_marks(tab: Chromium) -> None:
    """Have the first mark of a chart show its tooltip, if there is a chart."""
    tab.run(
        "for (const kind of ['mouseover', 'mousemove', 'pointerover', 'pointermove'])"
        " document.querySelector('#charts .mark-symbol.role-mark path')?.dispatchEvent("
        "new PointerEvent(kind, {bubbles: true, clientX: 100, clientY: 100}))"
    )


@pytest.mark.parametrize("view", VIEWS)
def test_each_view_is_drawn_without_an_error_and_asks_for_nothing_but_its_file(
    tab: Chromium, file: Path, view: str
) -> None:
    tab.open(file, f"#view={view}&data=busi")
    assert tab.run("document.querySelectorAll('#charts svg').length") > 0
    assert texts(tab, "tbody tr")
    assert {address for address in tab.requests if not address.startswith(("data:", "about:"))} == {file.as_uri()}


def test_the_page_is_small_and_names_no_other_place_to_load_from(file: Path) -> None:
    from bcdl.report.web import page

    content = file.read_text(encoding="utf-8")
    assert len(content.encode()) <= page.MOST_BYTES
    assert content.startswith(page.MARK)
    assert "default-src 'none'" in content
    own = content.partition('<script type="module">')[0]
    assert "src=" not in own.replace("'src", "")
    assert "http" not in own.partition('<script type="application/json"')[0].replace("http-equiv", "")


def test_choosing_a_backend_or_a_model_changes_the_table(tab: Chromium, file: Path) -> None:
    tab.open(file, "#data=busi")
    assert set(column(tab, "backend")) == set(made.RATES)
    click(tab, "#backends label:last-of-type input")
    assert set(column(tab, "backend")) == {"jax", "tensorflow"}
    assert "without=torch" in tab.run("location.hash")
    click(tab, "#models label:first-of-type input")
    assert "CNN" not in column(tab, "model")


def test_the_baseline_that_is_chosen_is_what_every_ratio_is_against(
    tab: Chromium, file: Path, values: data.Values
) -> None:
    tab.open(file, "#data=synthetic-48+(drawings)")
    select(tab, "baseline", "torch")
    select(tab, "regime", "predict")
    ratios = {row["side"]: row["ratios"].get("torch", {}).get("predict") for row in values["rows"] if row["ratios"]}
    shown = dict(zip(column(tab, "backend"), column(tab, "ratio to torch"), strict=True))
    assert shown == {side: ratio["text"] if ratio else "baseline" for side, ratio in ratios.items()}
    intervals = dict(zip(column(tab, "backend"), column(tab, "its 95% interval"), strict=True))
    assert intervals["jax"] == ratios["jax"]["interval"]


def test_no_ratio_is_offered_for_runs_one_after_another_and_that_is_said(tab: Chromium, file: Path) -> None:
    tab.open(file, "#data=busi")
    assert tab.run("document.getElementById('baseline').disabled")
    assert not tab.run("document.getElementById('apart').hidden")
    assert "measured one after another" in texts(tab, "#constant")[0]


def test_a_deep_link_restores_what_was_chosen(tab: Chromium, file: Path) -> None:
    tab.open(file, "#data=busi")
    click(tab, "nav a[data-view=training]")
    select(tab, "history", "val_accuracy")
    select(tab, "theme", "dark")
    click(tab, "#backends label:last-of-type input")
    link, before = tab.run("location.hash"), texts(tab, "main table, #view-title, figcaption")
    tab.open(file, link)
    assert texts(tab, "main table, #view-title, figcaption") == before
    assert tab.run("document.getElementById('history').value") == "val_accuracy"
    assert tab.run("document.documentElement.dataset.theme") == "dark"
    assert "torch" not in column(tab, "backend")


def test_a_link_to_what_is_not_there_says_so(tab: Chromium, file: Path) -> None:
    tab.open(file, "#machine=nobody&view=nothing")
    said = texts(tab, "#said")[0]
    assert "machine “nobody”" in said
    assert "view “nothing”" in said
    assert texts(tab, "tbody tr")


def test_a_table_is_sorted_by_the_keyboard(tab: Chromium, file: Path) -> None:
    tab.open(file, "#data=busi&view=roc")
    place = texts(tab, "thead th").index("test AUROC") + 1
    tab.run(f"document.querySelector('thead th:nth-child({place}) [role=button]').focus()")
    for _ in range(2):
        tab.call(
            "Input.dispatchKeyEvent", type="keyDown", key="Enter", code="Enter", windowsVirtualKeyCode=13, text="\r"
        )
        tab.call("Input.dispatchKeyEvent", type="keyUp", key="Enter", code="Enter", windowsVirtualKeyCode=13)
    tab.wait("document.querySelector('th[aria-sort=descending]')")
    sorted_values = [float(text) for text in column(tab, "test AUROC")]
    assert sorted_values == sorted(sorted_values, reverse=True)


def test_a_mark_shows_its_circumstances(tab: Chromium, file: Path) -> None:
    tab.open(file, "#data=busi")
    hover_over_marks(tab)
    tab.wait("document.querySelector('#vg-tooltip-element.visible')")
    assert "versions: keras 3.15.1" in texts(tab, "#vg-tooltip-element")[0]


def test_a_row_shows_its_circumstances_by_mouse_and_keyboard(tab: Chromium, file: Path) -> None:
    tab.open(file, "#data=busi")
    for event in ("focus", "mouseenter"):
        tab.run(f"document.querySelector('tbody tr').dispatchEvent(new Event('{event}'))")
        assert not tab.run("document.getElementById('details').hidden")
        assert "versions: keras 3.15.1" in texts(tab, "#details")[0]
        tab.run("document.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape', bubbles: true}))")
        assert tab.run("document.getElementById('details').hidden")


@pytest.mark.parametrize(("scheme", "width"), list(itertools.product(("light", "dark"), (1200, 360))))
def test_axe_finds_no_serious_violation(tab: Chromium, file: Path, axe: str, scheme: str, width: int) -> None:
    tab.size(width)
    tab.media(scheme)
    found = {}
    for view in VIEWS if width > 360 else VIEWS[:1]:
        tab.open(file, f"#view={view}&data=busi")
        tab.run(f"{axe}; 0")
        violations = tab.run("axe.run().then(r => r.violations.map(v => [v.id, v.impact, v.nodes[0].html]))")
        found[view] = [violation for violation in violations if violation[1] in ("serious", "critical")]
    assert [violation for violations in found.values() for violation in violations] == []


def test_it_is_legible_on_a_phone(tab: Chromium, file: Path) -> None:
    tab.size(360)
    for view in VIEWS:
        tab.open(file, f"#view={view}&data=busi")
        assert tab.run("document.documentElement.scrollWidth") <= 360


def test_it_is_printed_light_and_without_controls(tab: Chromium, file: Path) -> None:
    tab.media("dark", "print")
    tab.open(file, "#data=busi&theme=dark")
    assert tab.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    assert tab.run("getComputedStyle(document.querySelector('form')).display") == "none"


def test_hostile_names_are_inert(tab: Chromium, tmp_path: Path) -> None:
    from bcdl.report.web import page

    failed = factory.dataclasses.replace(factory.record(status="failed"), reason=HOSTILE)
    hostile = factory.record(model=HOSTILE, data=HOSTILE, weights=HOSTILE)
    hostile.environment["versions"] = {"keras": HOSTILE}
    sources = made.sources(hostile, failed, machine=HOSTILE)
    content, _ = page.build(data.read(sources))
    assert not {"\u202e", "\u2066"} & set(content.decode())
    assert content.count(b"</script>") == content.count(b"<script type=")
    explore = tmp_path / "index.html"
    explore.write_bytes(content)
    for view in VIEWS:
        tab.open(explore, f"#view={view}")
        for name in tab.run("[...document.getElementById('data').options].map(o => o.value)"):
            if view != "parity":
                select(tab, "data", name)
                hover_over_marks(tab)
        assert tab.run("window.hacked") is None
        assert tab.run("document.images.length") == 0
    assert all(address.startswith(("file:", "about:", "data:")) for address in tab.requests)


def test_a_page_that_would_be_too_large_says_what_it_leaves_out(
    values: data.Values, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bcdl.report.web import page

    whole, left_out = page.build(values)
    assert left_out == 0
    monkeypatch.setattr(page, "MOST_BYTES", len(whole) - 2000)
    monkeypatch.setattr(page, "_MOST_ROWS", 2 * len(values["rows"]))
    small, left_out = page.build(values)
    assert len(small) <= page.MOST_BYTES
    assert f"{left_out} rows are left out".encode() in small
    assert left_out > 0

"""Names from outside are inert, whatever they hold and wherever they are written, and plain ones stay as they are."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from bcdl.report.tables import Table, figures, number, to_csv, word, words
from bcdl.text import (
    A_PATH,
    AN_ADDRESS,
    LONGEST_NAME,
    encodable,
    escape,
    inert,
    legible,
    names_in,
    on_one_line,
    safe_name,
    scrub,
)


@given(st.text(st.characters(exclude_categories=())), st.none() | st.integers(8, 40))
def test_every_name_can_be_printed_on_one_line(name: str, longest: int | None) -> None:
    shown = legible(name, longest)
    assert shown.isprintable()
    shown.encode()
    assert longest is None or len(shown) <= longest


def test_the_node_of_a_schedulers_job_is_a_host_like_any_other(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, host in {"SLURMD_NODENAME": "gpu-17", "SLURM_SUBMIT_HOST": "login.example.org"}.items():
        monkeypatch.setenv(name, host)
    assert scrub("gpu-17: lost login.example.org, not gpu-170") == "(host): lost (host), not gpu-170"


@given(st.text(st.characters(categories=("L", "N", "P", "Zs")).filter(str.isprintable), max_size=30))
def test_a_plain_name_stays_as_it_is(name: str) -> None:
    assert legible(name, longest=30) == name


def test_what_is_escaped_and_what_is_left_out() -> None:
    assert legible("a\n\x1b[31m\udcff.png") == r"a\n\x1b[31m\udcff.png"
    assert legible("malignant (145) of the first patient.png", longest=20) == "malignant...ient.png"


@given(st.text(st.characters(exclude_categories=())))
def test_every_name_can_be_written_as_utf_8_and_as_a_part_of_a_file_name(name: str) -> None:
    encodable(name).encode()
    assert len(safe_name(name)) <= LONGEST_NAME + 7  # a hyphen and the digest
    assert safe_name(name).isascii()


@given(st.text())
def test_a_name_that_is_utf_8_stays_as_it_is(name: str) -> None:
    assert encodable(name) == name


def test_names_in_a_text_are_each_given_once() -> None:
    assert names_in(" b, a,,b ,") == ["b", "a"]


@given(st.text(st.characters(exclude_categories=())), st.none() | st.integers(8, 40), st.booleans())
def test_every_error_can_be_told_on_one_line(said: str, longest: int | None, with_kind: bool) -> None:
    told = on_one_line(ValueError(said), longest, with_kind)
    assert told
    assert told.isprintable()
    assert longest is None or len(told) <= longest


def test_an_error_is_told_by_its_first_line_or_by_its_kind() -> None:
    assert on_one_line(ValueError("\n too dark\nand more")) == "too dark"
    assert on_one_line(ValueError("too dark\nand more"), with_kind=True) == "ValueError: too dark"
    assert on_one_line(MemoryError(" \n")) == "MemoryError"
    of_keras = "Exception encountered when calling Conv2D.call().\n\n\x1b[1mtoo dark\x1b[0m\n\nArguments received: none"
    assert on_one_line(ValueError(of_keras)) == "Exception encountered when calling Conv2D.call(). too dark"
    assert on_one_line(ValueError("one object:\n\nit has no shape\nand more")) == "one object: it has no shape"
    assert on_one_line(MemoryError(), with_kind=True) == "MemoryError: no message"
    assert on_one_line(OSError(28, "No space left on device", "a\x1b.png")) == (
        r"[Errno 28] No space left on device: 'a\x1b.png'"
    )


# What is recorded of paths.

FOLDER = st.text(
    st.characters(categories=("L", "Nd", "Zs"), include_characters=" .'\"-_(),;:#&+=@", max_codepoint=0x2FFF),
    min_size=3,
    max_size=12,
).filter(lambda name: len(name.strip()) > 2 and set(name) - set(". ") and name == name.strip())
ROOTS = {
    "/": "/",
    "/home/": "/",
    "/Users/": "/",
    "~/": "/",
    "../": "/",
    "file:///": "/",
    "s3://": "/",
    "C:\\": "\\",
    "D:/": "/",
    "C:\\\\Users\\\\": "\\\\",
    "\\\\": "\\",
}
BEFORE = ("", "cannot open ", "No such file or directory: '", '  File "', "error (", "PATH=", "copied to: ")
AFTER = ("", " is missing", "'", '", line 3, in f', "): 3/4 images, 1.5 images/s", ": Permission denied")


@settings(max_examples=200, deadline=None)
@given(
    st.lists(FOLDER, min_size=1, max_size=4),
    FOLDER | st.sampled_from(["x.png", "a.py", "my scan.dcm"]),
    st.sampled_from(sorted(ROOTS)),
    st.sampled_from(BEFORE),
    st.sampled_from(AFTER),
)
def test_no_folder_of_a_path_survives_in_any_sentence(
    folders: list[str], last: str, root: str, before: str, after: str
) -> None:
    scrubbed = scrub(f"{before}{root}{ROOTS[root].join([*folders, last])}{after}")
    for sign in (A_PATH, AN_ADDRESS):
        scrubbed = scrubbed.replace(sign, "")
    allowed = before + after + last
    assert [name for name in folders if name in scrubbed and name not in allowed] == []


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("/Users/Jane Roe/data/x.png", "x.png"),
        ("cannot open /home/jane", "cannot open (path)"),
        ("~/x", "(path)"),
        (r"C:\Users\Jane Roe\data\x.png is missing", "x.png is missing"),
        (r"\\server\share\jane\x", "(path)"),
        ("file:///home/jane/x", "(path)"),
        ("in /data", "in (path)"),
        ("No such file: '/home/jane roe'", "No such file: '(path)'"),
        ('  File "/home/jane roe/proj/a.py", line 3, in f', '  File "a.py", line 3, in f'),
        ("copy /a/x.png to /b/y.png", "copy x.png to y.png"),
        ("ssh jane@gpu7.example.org", "ssh (address)"),
        ("at /a/b/lib.so.1, 3/4 done", "at lib.so.1, 3/4 done"),
        ("functional_1/conv2d/kernel/x", "(path)"),
        ("3/4 images, 1.5 images/s, and/or 24/8/8 in train/val/test", None),
        (r"x @ y on Intel(R) CPU @ 2.2GHz, 4 / 3, a\nb", None),
    ],
)
def test_a_path_is_cut_down_to_its_file_and_words_are_left(text: str, wanted: str | None) -> None:
    assert scrub(text) == (text if wanted is None else wanted)


def test_what_this_process_knows_of_itself_is_taken_out_wherever_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "jane roe"
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("USER", "jroe77")
    monkeypatch.setattr("socket.gethostname", lambda: "ward-pc.example.org")
    said = f"{home} of JRoe77 on ward-pc and ward-pc.example.org; {home}/scans/a.py; jroe771"
    assert scrub(said) == "(path) of (user) on (host) and (host); a.py; jroe771"
    assert scrub("in Study of Roe/x and on", ["Study of Roe/x"]) == "in (path) and on"


def test_names_that_many_machines_have_name_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USER", "root")
    monkeypatch.setattr("socket.gethostname", lambda: "localhost")
    assert scrub("the root mean square of localhost") == "the root mean square of localhost"


# Markdown and CSV.

LIVE = (
    "http://evil.example",
    "https://evil.example",
    "ftp://evil.example",
    "www.evil.example",
    "jane@evil.example",
    "@jane",
    "#12",
    "jane/roe#12",
    "GH-12",
    "0123456789abcdef0123456789abcdef01234567",
    "![x](http://evil.example/x.png)",
    "[x](http://evil.example)",
    "[x]: http://evil.example",
    "<img src=x>",
    "<http://evil.example>",
    "$x$",
)
# What GitHub's Markdown links without a mark (GFM, "Autolinks (extension)"; GitHub's references to people and issues).
GITHUB = re.compile(
    r"(?i)(https?|ftp)://|\bwww\.\w|[\w.+-]+@[\w-]+\.\w|(?<!\w)@\w|(?<![\w&])[\w./-]*#\d|\bGH-\d|\b[0-9a-f]{40}\b|\$"
)


@pytest.mark.parametrize("around", ["{}", "a {}", "({})", "**{}**", "| {} |", "- {}", "`` {} ``"])
@pytest.mark.parametrize("name", LIVE)
def test_nothing_of_a_name_is_live_in_markdown(name: str, around: str) -> None:
    tokens = MarkdownIt("commonmark").enable("table").parse(around.format(escape(name)))
    inner = [part for token in tokens for part in (token, *(token.children or ()))]
    assert {part.type for part in inner} & {"link_open", "image", "html_inline", "html_block"} == set()
    if "`" not in around:  # in code nothing is decoded, and nothing is linked
        shown = [part.content for part in inner if part.type == "text"]
        assert [text for text in shown if GITHUB.search(text.replace("$", ""))] == []


def test_plain_words_are_the_same_in_markdown() -> None:
    words = "Intel(R) Xeon(R) CPU @ 2.20GHz, 70/10/20 percent: C# and 5 images/s, SHA-256 `0123456789ab`"
    assert escape(words) == words


FORMULAS = ("=HYPERLINK(1)", "+cmd|x", "-1+1|x", "@SUM(1)", "\t=1", "\r=1", "\n=1", " =1", "\uff1d1", "-", "--x")


@pytest.mark.parametrize("text", FORMULAS)
def test_a_cell_of_a_csv_is_no_formula_and_reads_back(text: str) -> None:
    table = Table(text, (words(text), figures("x")), ((word(text), number(-1.5, 1)),))
    (heads, cells) = csv.reader(io.StringIO(to_csv([table]), newline=""))
    assert heads == ["metric", f"'{text}", "x"]
    assert cells == [f"'{text}", f"'{text}", "-1.5"]


@pytest.mark.parametrize("text", ["-1.5", "+3e-07", "12", "CNN", "'x", "a=b", ""])
def test_numbers_and_plain_words_of_a_csv_stay_as_they_are(text: str) -> None:
    assert inert(text) == text

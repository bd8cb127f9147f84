"""Names from outside stay on one line, whatever they hold, and plain ones stay as they are."""

from hypothesis import given
from hypothesis import strategies as st

from bcdl.text import LONGEST_NAME, encodable, legible, names_in, on_one_line, safe_name


@given(st.text(st.characters(exclude_categories=())), st.none() | st.integers(8, 40))
def test_every_name_can_be_printed_on_one_line(name: str, longest: int | None) -> None:
    shown = legible(name, longest)
    assert shown.isprintable()
    shown.encode()
    assert longest is None or len(shown) <= longest


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
    assert on_one_line(MemoryError(), with_kind=True) == "MemoryError: no message"
    assert on_one_line(OSError(28, "No space left on device", "a\x1b.png")) == (
        r"[Errno 28] No space left on device: 'a\x1b.png'"
    )

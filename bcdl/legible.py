"""Names that come from outside, of files or in records, made fit to be printed and drawn. Standard library only."""

from __future__ import annotations


def legible(name: str, longest: int | None = None) -> str:
    """`name` on one line: line ends, control characters and undecodable bytes as Python escapes them.

    Of a name with more than `longest` letters, the middle is left out.
    """
    shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in name)
    if longest is None or len(shown) <= longest:
        return shown
    return f"{shown[: longest // 2 - 1]}...{shown[len(shown) - longest // 2 + 2 :]}"

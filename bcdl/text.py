"""Names that come from outside, of files or in records, made safe to print, to draw and to use in a file's name."""

from __future__ import annotations

import hashlib
import html
import re
import unicodedata
from collections.abc import Iterable, Sequence


def legible(name: str, longest: int | None = None) -> str:
    """`name` on one line: line ends, control characters and undecodable bytes as Python escapes them.

    If it has more than `longest` letters, its middle is left out.
    """
    shown = "".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in name)
    if longest is None or len(shown) <= longest:
        return shown
    return f"{shown[: longest // 2 - 1]}...{shown[len(shown) - longest // 2 + 2 :]}"


def on_one_line(error: BaseException | str, longest: int | None = None, with_kind: bool = False) -> str:
    """The first line of what the error (or its words) says, or else its kind, legible; `with_kind`, that comes first.

    If it has more than `longest` letters, its middle is left out.
    """
    kind, lines = type(error).__name__, str(error).strip().splitlines()
    if with_kind:
        return legible(f"{kind}: {lines[0] if lines else 'no message'}", longest)
    return legible(lines[0] if lines else kind, longest)


def encodable(name: str) -> str:
    """`name` of a file as UTF-8 can hold it: a byte that is no UTF-8 becomes an escape of six letters, `\\udcff`."""
    return name if name.isascii() else name.encode("utf-8", "backslashreplace").decode()


_PATH = re.compile(r"(?:[A-Za-z]:)?(?:[\\/][\w.@+~-]+){2,}")


def scrub(text: str) -> str:
    """`text` with every path cut down to its last part: a record names no folder of the machine it was made on."""
    return _PATH.sub(lambda match: re.split(r"[\\/]", match[0])[-1], text)


LONGEST_NAME = 60  # letters of a name as a part of a file's name
UNSAFE = r"^\.+|[^A-Za-z0-9_.-]+"


def safe_name(text: str) -> str:
    """`text` as a part of a file's name: it leads into no folder; if it had to be changed, a digest keeps it unique."""
    safe = re.sub(UNSAFE, "_", text)[:LONGEST_NAME]
    return safe if safe == text else f"{safe}-{hashlib.sha256(encodable(text).encode()).hexdigest()[:6]}"


def escape(text: str) -> str:
    """`text` for a cell of a Markdown table: no bar, line break, tag, link, formula or control character has effect."""
    plain = html.escape(legible(re.sub(r"\s+", " ", text)), quote=False)
    return re.sub(r"[|\[\]$]", lambda match: f"&#{ord(match[0])};", plain)


def names_in(text: str) -> list[str]:
    """The names that the text has, separated by commas: each once, in their order."""
    return list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))


def comparable(name: str) -> str:
    """`name` as names are compared: one Unicode form, without case, without blanks at its ends."""
    if name.isascii():  # the same, sooner
        return name.lower().strip()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold()).strip()


def quoted(name: str, longest: int = LONGEST_NAME) -> str:
    """`name` in quotes, legible and not longer than `longest` letters, for a message."""
    return repr(name if len(name) <= longest else f"{name[: longest // 2 - 1]}...{name[2 - longest // 2 :]}")


def first_few(parts: Iterable[str], shown: int = 5) -> str:
    """The first parts, between semicolons, and how many more there are, for a message."""
    every = list(parts)
    return "; ".join(every[:shown]) + (f"; and {len(every) - shown} more" if len(every) > shown else "")


def listed(names: Sequence[str], shown: int = 5) -> str:
    """The first names in quotes, and how many more there are, for a message."""
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(quoted(encodable(name)) for name in names[:shown]) + more

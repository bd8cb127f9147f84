"""Names that come from outside, of files or in records, made safe to print, to draw and to use in a file's name."""

from __future__ import annotations

import ast
import contextlib
import hashlib
import html
import os
import re
import socket
import sys
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


# How a terminal is told to write in bold, as Keras does within its messages, and how a line ends that only announces.
_BOLD = re.compile(r"\x1b\[[0-9;]*m")
_ANNOUNCES = re.compile(r"(:|\bcall\(\)\.)$")


def on_one_line(error: BaseException | str, longest: int | None = None, with_kind: bool = False) -> str:
    """The first line of what the error (or its words) says, or else its kind, legible; `with_kind`, that comes first.

    The next line follows if the first one only announces it, as Keras's do. If all that has more than `longest`
    letters, its middle is left out.
    """
    kind, said = type(error).__name__, _first_lines(str(error))
    if with_kind:
        return legible(f"{kind}: {said or 'no message'}", longest)
    return legible(said or kind, longest)


def _first_lines(said: str) -> str:
    lines = [line for line in _BOLD.sub("", said).splitlines() if line.strip()]
    first, *more = [line.strip() for line in lines] or [""]
    return f"{first} {more[0]}" if more and _ANNOUNCES.search(first) else first


def encodable(name: str) -> str:
    """`name` of a file as UTF-8 can hold it: a byte that is no UTF-8 becomes an escape of six letters, `\\udcff`."""
    return name if name.isascii() else name.encode("utf-8", "backslashreplace").decode()


LONGEST_NAME = 60  # letters of a name as a part of a file's name
UNSAFE = r"^\.+|[^A-Za-z0-9_.-]+"


def safe_name(text: str) -> str:
    """`text` as a part of a file's name: it leads into no folder; if it had to be changed, a digest keeps it unique."""
    safe = re.sub(UNSAFE, "_", text)[:LONGEST_NAME]
    return safe if safe == text else f"{safe}-{hashlib.sha256(encodable(text).encode()).hexdigest()[:6]}"


# What GitHub makes a link of although nothing marks it as one: addresses, people, issues, commits. As entities they are
# links all the same; a blank without width after their beginning is what keeps them plain.
_LINKED_BY_ITSELF = re.compile(
    r":(?=//)|\bwww(?=\.)|@(?=\w)|(?<!&)#(?=\d)|\bGH-(?=\d)|\b[0-9a-f]{20}(?=[0-9a-f]{20}\b)", re.IGNORECASE
)
_NOTHING = "&#8203;"
# How a cell of a spreadsheet begins that is run as a formula, and what is a number all the same.
# Some programs take the wide forms of its signs, too.
_FORMULA = re.compile("\\s*[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.IGNORECASE)


def escape(text: str) -> str:
    """`text` for Markdown, a table's cell too: nothing in it becomes a tag, link, mention, formula or another cell."""
    plain = html.escape(legible(re.sub(r"\s+", " ", text)), quote=False)
    plain = re.sub(r"[|\[\]$]", lambda match: f"&#{ord(match[0])};", plain)
    return _LINKED_BY_ITSELF.sub(lambda match: match[0] + _NOTHING, plain)


def inert(text: str) -> str:
    """`text` for a cell of a CSV: an apostrophe before it if a spreadsheet would run it as a formula."""
    return f"'{text}" if _FORMULA.match(text) and not _NUMBER.fullmatch(text) else text


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


A_PATH, AN_ADDRESS, A_USER, A_HOST = "(path)", "(address)", "(user)", "(host)"
# How a path begins that leads from a root, a drive, a home, a server or a scheme, or from the folder it is named in.
_START = re.compile(
    r"(?<![^\W_])[A-Za-z]:[\\/]+"  # C:\x, C:\\x
    r"|(?<![^\W_])[A-Za-z][A-Za-z0-9+.-]+://+"  # file:///x, https://x
    r"|(?<![^\W_~])~[\w.-]*[\\/]+"  # ~/x, ~jane/x
    r"|(?<![\w.])\.{1,2}[\\/]+"  # ./x, ../x
    r"|(?<![\w%])/+(?=[^\s/])|(?<![\w%])(?<!\d )/+(?=\s[^\\/\n]*[\\/])"  # /x, and / x/y if no number is divided
    r"|(?<!\w)\\{2,}(?=\S)|(?<!\w)\\(?=[^\\\n]+[\\/])"  # \\server\x, \x\y
    r"|(?<![\w%.~\\/-])[^\s\\/\"'`(\[<>=,;:]+[\\/]+[^\s\\/]+[\\/]+(?=\S)"  # x/y/z
)
_NO_PATH = re.compile(r"((train|val|test|[\d.,%]+)[\\/]?)+(?![^\s,;:)])")  # shares and their splits: 70/10/20
_SEPARATORS = re.compile(r"[\\/]+")
# Names that are plainly those of files, of the kinds that programs, images, tables, models and logs have.
_KINDS = (
    "py pyc pyi pyx pyd ipynb so dylib dll exe cc cpp cxx cu cuh hh hpp inc rs go java js ts sh bat ll ptx cubin "
    "png jpg jpeg jpe jfif tif tiff bmp dib webp gif pgm ppm pbm pnm jp2 dcm dicom ima svg pdf "
    "csv tsv txt log md json jsonl toml yaml yml xml html ini cfg lock xls xlsx "
    "keras h5 hdf5 npz npy pt pth ckpt safetensors pb onnx pkl pickle bin dat zip tar gz tgz bz2 xz 7z whl part"
)
_FILE = re.compile(rf"[\w@+~().-]*?\.(?:{_KINDS.replace(' ', '|')})(?:\.\d+)*(?!\w|[.-]\w|\s*[\\/])", re.IGNORECASE)
_HOMES = re.compile(r"(?:^|[\\/])(?:home|users|documents and settings)[\\/]+$", re.IGNORECASE)
_WORD = re.compile(r"[^\s\"'`<>|;:,()\[\]{}]*")
_ADDRESS = re.compile(r"[\w.+-]+@[^\W_][\w.-]*")
# Accounts and hosts that many machines have, so that they name nobody.
_NOBODY = frozenset(
    (
        *(
            "root",
            "user",
            "users",
            "admin",
            "administrator",
            "nobody",
            "localhost",
            "ubuntu",
            "debian",
            "runner",
            "app",
        ),
        *("docker", "jovyan", "vscode", "ec2-user", "azureuser", "data", "home", "work", "build", "test", "model"),
        *("train", "val", "benign", "malignant", "torch", "jax", "tensorflow", "keras"),
    )
)


# The variables by which a scheduler says on which node a job runs, and where it was submitted.
HOSTS_OF_A_JOB = ("SLURMD_NODENAME", "SLURM_SUBMIT_HOST")


def scrub(text: str, folders: Iterable[str] = (), relative: bool = True) -> str:
    """`text` without the machine's folders and without its user and host: what a record may say of it.

    Of a path the name of the file is kept if it is plainly one (`x.png`); else `(path)` stands for the whole. Folders
    may have blanks in their names, so that a path is taken to reach to the last separator of its line, unless a file
    ends it before: words that follow a path may be lost.

    Args:
        text: lines of any kind.
        folders: paths that may stand in it, besides those of this process.
        relative: whether paths that begin in no root are cut, too; names of a data set's images look like these.
    """
    for pattern in _known_folders(folders):
        text = pattern.sub(lambda match: "" if match["more"] else A_PATH, text)
    text = _ADDRESS.sub(AN_ADDRESS, "\n".join(_without_paths(line, relative) for line in text.split("\n")))
    for name, sign in known_names().items():
        text = re.sub(rf"(?<![^\W_]){re.escape(name)}(?![^\W_])", sign, text, flags=re.IGNORECASE)
    return text


def _without_paths(line: str, relative: bool) -> str:
    """The line with each of its paths cut down to the name of its file."""
    shown, place = "", 0
    while start := _START.search(line, place):
        is_relative = line[start.start()] not in "\\/~." and ":" not in start[0]
        if is_relative and (not relative or _NO_PATH.match(line, start.start())):
            skipped = _WORD.match(line, start.start())
            end = max(start.end(), skipped.end() if skipped else 0)
            shown, place = shown + line[place:end], end
            continue
        kept, end = _end_of_path(line, start)
        shown, place = shown + line[place : start.start()] + kept, end
    return shown + line[place:]


def _end_of_path(line: str, start: re.Match[str]) -> tuple[str, int]:
    """What is kept of the path that starts there, and where it ends in the line."""
    last = start.end()
    for separator in [start, *_SEPARATORS.finditer(line, start.end())]:
        last = separator.end()
        file = _FILE.match(line, last)
        if file and not _HOMES.search(line, 0, last) and _is_an_end(line, file.end()):
            return file[0], file.end()
    return A_PATH, _end_of_folder(line, start, last)


def _is_an_end(line: str, place: int) -> bool:
    """Whether a path may end there, after a file: no separator follows but those of another path or of shares."""
    separator = _SEPARATORS.search(line, place)
    if separator is None:
        return True
    token = re.compile(r"[\s\"'`(\[<=]?([^\s\"'`(\[<=]*)$").search(line, place, separator.start())
    begin = token.start(1) if token else place
    return begin == separator.start() or bool(_NO_PATH.match(line, begin) or re.match(r"\w+/s\b", line[begin:]))


def _end_of_folder(line: str, start: re.Match[str], last: int) -> int:
    """Where a path ends of which the last name begins at `last`: at its closing quote, or after a word of it."""
    quote = line[start.start() - 1 : start.start()]
    if quote and quote in "\"'`" and (closing := re.compile(rf"{quote}(?!\w)").search(line, last)):
        return closing.start()
    word = _WORD.match(line, last)
    return word.end() if word else last


def _known_folders(others: Iterable[str]) -> list[re.Pattern[str]]:
    """Finds the folders of this process and others, the longest first; `more` is what separates them from the rest."""
    own = [os.environ.get(name, "") for name in ("HOME", "USERPROFILE", "TMPDIR", "TEMP", "VIRTUAL_ENV", "PWD")]
    own += [sys.prefix, sys.base_prefix]
    with contextlib.suppress(OSError):  # it was removed
        own.append(os.getcwd())
    named = {*own, *(path for each in others for path in (each, os.path.abspath(each)) if path)}
    paths = (name.rstrip("/\\") for name in named if _SEPARATORS.search(name))
    longest_first = sorted(filter(None, paths), key=lambda path: -len(path))
    spelled = (r"[\\/]+".join(map(re.escape, _SEPARATORS.split(path))) for path in longest_first)
    end = r"(?:(?=(?P<more>[\\/]+)[^\s\\/])|[\\/]*(?![\w-]|\.\w))"
    return [re.compile(rf"(?<![\w.]){path}{end}") for path in spelled]


def known_names() -> dict[str, str]:
    """The names of this machine and of who uses it, and what stands for each; not those that many machines have."""
    names = {os.environ.get(name, ""): A_USER for name in ("LOGNAME", "USER", "USERNAME", "LNAME")}
    names |= {os.environ.get(name, ""): A_HOST for name in HOSTS_OF_A_JOB}
    with contextlib.suppress(Exception):  # no entry of the user, or no such module on this system
        import pwd

        entry = pwd.getpwuid(os.getuid())
        names |= {entry.pw_name: A_USER, entry.pw_gecos.split(",")[0]: A_USER}
    host = socket.gethostname()
    names |= {host: A_HOST, host.partition(".")[0]: A_HOST}
    longest_first = sorted(names, key=lambda name: -len(name))
    return {name: names[name] for name in longest_first if len(name) > 1 and name.lower() not in _NOBODY}


def first_sentence(source: str) -> str:
    """The first sentence of the docstring of a module with this source, without its full stop; empty if it has none."""
    text = " ".join((ast.get_docstring(ast.parse(source)) or "").split())
    return text.partition(". ")[0].removesuffix(".")

"""Hostile tables of groups and of labels, for a folder of images `benign/0.png` to `malignant/5.png`.

Those that must be read give each pair of images a group, and its class.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Sequence

from tests.corpus import Hostile, archive

IMAGES = 6  # of each class
NAMES = tuple(f"{kind}/{number}.png" for kind in ("benign", "malignant") for number in range(IMAGES))
_LONG = 10 * 2**20  # letters of a cell
_BOMB = 100 * 2**20  # bytes


def _rows() -> list[list[str]]:
    return [[name, name.split("/")[0], f"p{place // 2}"] for place, name in enumerate(NAMES)]


def text(rows: Sequence[Sequence[str]] = (), header: str = "path,class,group", delimiter: str = ",") -> str:
    """A table of these rows, or of all images."""
    lines = [delimiter.join(row) for row in (rows or _rows())]
    return "\n".join([header.replace(",", delimiter), *lines]) + "\n"


def encodings() -> Iterator[Hostile]:
    """Tables in odd encodings."""
    sound = text()
    for name, content in {
        "utf-8-with-mark": codecs.BOM_UTF8 + sound.encode(),
        "utf-16": sound.encode("utf-16"),
        "utf-16-big-without-mark": sound.encode("utf-16-be"),
        "utf-16-little-without-mark": sound.encode("utf-16-le"),
        "utf-32": sound.encode("utf-32"),
        "line-ends-of-windows": sound.replace("\n", "\r\n").encode(),
        "line-ends-of-old-macs": sound.replace("\n", "\r").encode(),
        "no-line-end": sound.rstrip("\n").encode(),
        "mark-twice": codecs.BOM_UTF8 * 2 + sound.encode(),
    }.items():
        yield Hostile(f"{name}.csv", content, True)
    for name, content in {
        "zero-bytes": sound.replace("0.png", "0\x00.png").encode(),
        "zero-bytes-alone": bytes(5_000),
        "utf-16-cut": sound.encode("utf-16")[:-1],
        "utf-16-of-half-pairs": codecs.BOM_UTF16_LE + b"\x00\xd8" * 200,
        "utf-32-beyond-unicode": codecs.BOM_UTF32_LE + b"\xff\xff\xff\x7f" * 50,
        "no-text": bytes(range(256)) * 20,
        "no-such-byte": sound.encode() + b"\x81\x8d\x8f",
        "utf-7": sound.encode("utf-7").replace(b"class", b"+AGMAbABhAHMAcw-"),
    }.items():
        yield Hostile(f"{name}.csv", content, None if name == "utf-7" else False)
    mixed = sound.replace("p0", "p\u00e9").encode() + "benign/0.png,benign,p\u00e9\n".encode("cp1252")
    yield Hostile("two-encodings.csv", mixed)


def shapes() -> Iterator[Hostile]:
    """Tables that are none, or too large."""
    sound = text()
    for name, content in {
        "nothing": "",
        "blanks": " \n\t\n  \n",
        "header-alone": "path,class,group\n",
        "headers-twice": text([[*row, "x"] for row in _rows()], "path,class,group,group"),
        "no-header": sound.split("\n", 1)[1],
        "other-headers": text(header="a,b,c"),
        "quote-never-closed": sound.replace("p0", '"p0', 1),
        "quote-in-the-header": sound.replace("path", '"path', 1),
        "cell-of-10-MiB": sound + f"benign/0.png,benign,{'g' * _LONG}\n",
        "header-of-a-MiB": "g" * 2**20 + "," + sound,
        "1000000-columns": text(header="path,class,group" + ",x" * 1_000_000),
        "row-of-100000-cells": sound + "x," * 100_000 + "\n",
        "more-cells-than-headers": sound + "benign/0.png,benign,p0,more\n",
        "line-break-in-a-path": sound + '"benign/\n0.png",benign,p0\n',
        "groups-that-contradict": sound + "benign/0.png,benign,another\n",
    }.items():
        yield Hostile(f"{name}.csv", content.encode())
    many = "".join(f"elsewhere/{number}.png,benign,g\n" for number in range(3_000))
    yield Hostile("3000-more-rows.csv", (sound + many).encode(), True)
    yield Hostile("100000-blank-rows.csv", (sound + ",,\n" * 100_000).encode(), True)
    wide = [[*row, "", ""] for row in _rows()]
    yield Hostile("blank-row-first.csv", (",,\n" + sound).encode(), True)
    yield Hostile("blank-columns.csv", text(wide).encode(), True)
    stated = "sep=;\n" + text(delimiter=";")
    yield Hostile("states-its-delimiter.csv", stated.encode(), True)
    yield Hostile("states-no-delimiter.csv", ("sep=\x00\n" + sound).encode())
    yield Hostile("tabs.csv", text(delimiter="\t").encode(), True)
    yield Hostile("colons.csv", text(delimiter=":").encode())


def lookalikes(sprung: str) -> Iterator[Hostile]:
    """Files of other kinds by the name of a table; `sprung` is what their code would make."""
    cells = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in _rows())
    for name, content in {
        "page": f"<html><table><tr><th>path</th></tr>{cells}</table></html>".encode(),
        "spreadsheet-of-xml": b'<?xml version="1.0"?><Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet"/>',
        "spreadsheet": _sheet(b"<worksheet/>"),
        "spreadsheet-of-a-bomb": _sheet(bytes(_BOMB)),
        "old-spreadsheet": b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(2_000),
        "lists": b'[{"path": "benign/0.png", "class": "benign", "group": "p0"}]',
        "settings": b'[groups]\n"benign/0.png" = "p0"\n',
        "yaml-that-calls": b"!!python/object/apply:os.mkdir [" + sprung.encode() + b"]\n",
        "pickle": b"\x80\x04cos\nmkdir\n(V" + sprung.encode() + b"\ntR.",
        "picture": b"\x89PNG\r\n\x1a\n" + bytes(200),
        "columns-of-parquet": b"PAR1" + bytes(100) + b"PAR1",
        "packed": b"\x1f\x8b\x08" + bytes(100),
        "database": b"SQLite format 3\x00" + bytes(500),
        "script": f"#!/bin/sh\ntouch {sprung}\n".encode(),
    }.items():
        yield Hostile(f"{name}.csv", content)
    for suffix in (".xlsx", ".xls", ".ods", ".numbers"):
        yield Hostile(f"table-in-truth{suffix}", text().encode(), says="save it as CSV")


def _sheet(content: bytes) -> bytes:
    """A spreadsheet as Excel writes it, of this content."""
    members = (("[Content_Types].xml", b"<Types/>"), ("xl/worksheets/sheet1.xml", content))
    return archive(members, packed=True)


def cells() -> Iterator[Hostile]:
    """Tables whose cells are odd, and mean nothing else than a text."""
    rows = _rows()
    for name, group in {
        "formula": '=HYPERLINK("http://x","y")',
        "command": "=cmd|' /C calc'!A0",
        "control-characters": "\x1b]0;title\x07",
        "from-right-to-left": "\u202eGNP",
        "a-path": "../../../etc/passwd",
        "a-tag": "<script>alert(1)</script>",
        "a-number": "1e400",
    }.items():
        quoted = '"' + group.replace('"', '""') + '"'
        made = [[path, kind, quoted if place < 2 else patient] for place, (path, kind, patient) in enumerate(rows)]
        yield Hostile(f"group-{name}.csv", text(made).encode(), True)
    more = {
        "outside": "../../etc/passwd",
        "absolute": "/etc/passwd",
        "of-windows": "C:\\Windows\\win.ini",
        "of-a-share": "\\\\server\\share\\x.png",
        "an-address": "http://localhost:1/x.png",
        "a-device": "/dev/zero",
        "a-way-round": "benign/../../x.png",
        "of-5000-letters": "x" * 5_000 + ".png",
        "of-home": "~/x.png",
        "of-a-variable": "$HOME/x.png",
    }
    for name, path in more.items():
        yield Hostile(f"path-{name}.csv", (text() + f"{path},benign,elsewhere\n").encode(), True)

"""Names that may say who a patient is, of files and groups of a user's own images, as records hold them: hashed.

A hash is keyed by a checksum of all images of the data set that no record holds: whoever has the images finds the name
of each hash, and records of the same images can be joined; whoever has the records alone can try no names. That is
pseudonymisation, not anonymisation.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import hmac
import re
from collections.abc import Iterable

from bcdl.datasets import class_map
from bcdl.datasets.pool import CLASSES, GROUPS_FILE, SPLITS
from bcdl.text import legible

HASHED, KEPT = "hashed", "kept"  # what a record says of its names
# Letters of a hash, four bits each: of a million names, two have the same by a chance of 1 in 30 million.
LETTERS = 16
# What is quoted in notices as a Python text is.
_QUOTED = re.compile(r"""(?<!\w)(?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")(?!\w)""")
_PLAIN = frozenset((*CLASSES, *SPLITS, "normal", "group", GROUPS_FILE))  # words of data sets, which name nobody
_LEAST = 4  # letters of a name, less its folders and suffix, that is looked for by itself


@dataclasses.dataclass(frozen=True)
class Private:
    """The names of a data set that are not to be told.

    Attributes:
        key: of the hashes.
        names: of all its files, and of its groups.
        public: words in quotes that may be told: what was asked for by options, headers of tables.
    """

    key: str
    names: frozenset[str]
    public: frozenset[str] = frozenset()

    @classmethod
    def of(cls, images: Iterable[tuple[str, bytes]], names: Iterable[str], public: Iterable[str] = ()) -> Private:
        """Of the name and the SHA-256 of each image before it is resized, whatever its split."""
        lines = sorted(f"{name}\0{sha256.hex()}" for name, sha256 in images)
        key = hashlib.sha256("\n".join(["names", *lines]).encode("utf-8", "surrogatepass")).hexdigest()
        return cls(key, frozenset(names), frozenset(public))

    def hashed(self, name: str) -> str:
        """What stands for a name."""
        content = name.encode("utf-8", "surrogatepass")
        return hmac.new(self.key.encode(), content, hashlib.sha256).hexdigest()[:LETTERS]

    def hide(self, text: str, quoted: bool = True) -> str:
        """`text` with hashes for the names in it; if all that is `quoted` may be a name, for that, too."""
        if quoted:
            text = _QUOTED.sub(self._hide_quoted, text)
        there = sorted((shown for shown in self._shown if shown in text), key=len, reverse=True)
        for shown in there:
            text = re.sub(rf"(?<!\w){re.escape(shown)}(?!\w)", self.hashed(self._shown[shown]), text)
        return text

    def _hide_quoted(self, match: re.Match[str]) -> str:
        content = match[1] if match[2] is None else match[2]
        if not content or content in self.public | _PLAIN or class_map.class_of(content, {}) is not None:
            return match[0]
        return f"'{self.hashed(content)}'"

    @functools.cached_property
    def _shown(self) -> dict[str, str]:
        """The names as texts may show them: whole, without folders, and without their suffix if they are no words."""
        shown: dict[str, str] = {}
        for name in self.names:
            base = name.rpartition("/")[2]
            stem = base.rpartition(".")[0] or base
            parts = [stem] if len(stem) >= _LEAST and re.search(r"\d", stem) and re.search(r"[^\W\d_]", stem) else []
            parts += [base, name, legible(name)] if "." in base else []
            for part in parts:  # what several names have is the hash of none of them
                shown[part] = part if shown.get(part, name) != name else name
        return shown

"""References: files that were carried, and may have been damaged on their way."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bcdl.errors import UsageError
from bcdl.parity import references
from tests.parity.dumps import PLAN, write_reference


def test_a_damaged_reference_is_refused_or_read_as_it_was(tmp_path: Path) -> None:
    """Bits that flip in the header of an array make NumPy raise errors of many kinds; some are of no account."""
    file = write_reference(tmp_path)
    content, refused = file.read_bytes(), 0
    for place in np.random.default_rng(0).permutation(min(len(content), 3000))[:600]:
        damaged = bytearray(content)
        damaged[place] ^= 1 << (int(place) % 8)
        file.write_bytes(damaged)
        try:
            references.find(file.parent, PLAN)
        except UsageError:
            refused += 1
    assert refused > 300


def test_a_truncated_reference_is_refused(tmp_path: Path) -> None:
    file = write_reference(tmp_path)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UsageError, match="no whole parity reference"):
        references.find(file.parent, PLAN)

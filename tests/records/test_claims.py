"""Claims: one process at a time, none that outlives its process, and none that is taken from the living."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcdl.machine import processes
from bcdl.records import claims, disk
from bcdl.records.claims import Claim
from tests.conftest import ROOT


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a.lock"


def test_a_claim_is_held_once_and_given_back(file: Path) -> None:
    with Claim(file) as claim:
        assert claim.is_held
        assert claims.is_mine(file)
        with pytest.raises(FileExistsError):
            Claim(file)
    assert not file.exists()
    with Claim(file, stays=True):
        pass
    assert file.exists()
    assert not claims.is_mine(file)
    holder = claims.holder(file)
    assert (holder.here, holder.alive, holder.ended) == (True, False, True)


def test_a_claim_that_nobody_refers_to_any_more_is_given_back(file: Path) -> None:
    claim = Claim(file)
    assert file.exists()
    del claim
    assert not file.exists()


def test_signs_of_life_stop_with_the_claim_and_harm_no_file_opened_since(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(claims, "BEAT_S", 0.01)
    claim = Claim(file)
    content = file.read_bytes()
    os.utime(file, (0, 0))
    for _ in range(1000):  # the thread may be in the pause of an earlier test
        if file.stat().st_mtime:
            break
        time.sleep(0.01)
    assert file.stat().st_mtime
    assert file.read_bytes() == content
    claim.give_back()
    file.write_bytes(b"mine")
    time.sleep(0.1)
    assert file.read_bytes() == b"mine"


def test_a_process_that_ended_however_it_did_holds_nothing(file: Path) -> None:
    code = f"""
import os
from pathlib import Path
from bcdl.records.claims import Claim
claim = Claim(Path({str(file)!r}))
os._exit(0)
"""
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    holder = claims.holder(file)
    assert (holder.here, holder.alive, holder.ended) == (True, False, False)


def test_a_child_that_was_forked_ends_no_claim_of_its_parent(file: Path) -> None:
    with Claim(file) as claim:
        if (child := os.fork()) == 0:
            claim.give_back()
            os._exit(0)
        os.waitpid(child, 0)
        assert claim.is_held
        assert claims.holder(file).alive


def test_a_claim_that_another_process_has_renewed_is_not_taken_away(file: Path) -> None:
    """Two look at a dead one, the first takes its place, and then the second removes what it has looked at."""
    Claim(file, stays=True).give_back()
    dead = claims.holder(file)
    claims.take_away(file, dead)
    with Claim(file) as living:
        claims.take_away(file, dead)
        assert living.is_held
    assert list(file.parent.iterdir()) == []


def test_a_claim_that_is_not_renewed_on_a_disk_without_links_is_put_back(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(os, "link", refuse)
    test_a_claim_that_another_process_has_renewed_is_not_taken_away(file)


def test_a_process_of_another_start_of_the_host_is_not_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    here = processes.this()
    assert here.lives()
    monkeypatch.setattr(processes, "boot", lambda: "another")
    assert (here.is_here, here.lives()) == (True, None)
    monkeypatch.setattr(processes, "host", lambda: "another")
    assert (here.is_here, here.lives()) == (False, None)


def test_a_number_of_a_process_that_another_one_has_now_is_no_life() -> None:
    here = processes.this()
    assert not processes.Process(here.host, here.boot, here.pid, "earlier").lives()
    assert not processes.Process(here.host, here.boot, 2**22 + 7, here.started).lives()


def test_hosts_without_a_machine_id_are_told_apart_by_their_start(monkeypatch: pytest.MonkeyPatch, file: Path) -> None:
    monkeypatch.setattr(processes, "_MACHINE_ID", file)
    monkeypatch.setattr(processes, "_BOOT_ID", file.with_name("boot"))
    digests = set()
    for boot in ("1", "2"):
        file.with_name("boot").write_text(boot)
        processes.host.cache_clear()
        digests.add(processes.host())
    processes.host.cache_clear()
    assert len(digests) == 2


VALUES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9)
FIELDS = st.sampled_from(["host", "boot", "pid", "started", "token", "ended"])


@given(st.binary(max_size=60) | st.dictionaries(FIELDS, VALUES | st.lists(VALUES)).map(json.dumps).map(str.encode))
def test_whatever_a_file_says_its_holder_is_known_or_not(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "owner.json"
        file.write_bytes(content)
        holder = claims.holder(file)
        assert holder is not None
        assert not holder.here
        assert not claims.is_mine(file)
        claims.take_away(file, holder)
        assert not file.exists()
        assert claims.holder(file) is None


def test_the_age_of_a_file_is_that_of_its_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "x"
    file.touch()
    now = file.stat().st_mtime
    os.utime(file, (now - 100, now - 100))
    monkeypatch.setattr("time.time", lambda: 0.0)
    assert 100 <= disk.age_s(file) < 160
    assert 0 <= disk.age_s(tmp_path) < 60
    assert disk.age_s(tmp_path / "none") is None
    assert [each.name for each in tmp_path.iterdir()] == ["x"]

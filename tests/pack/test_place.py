"""A new pack in an older one's place: whatever in it can't be made again stays."""

from __future__ import annotations

import base64
import hashlib
import json
import os
from pathlib import Path

import pytest

from bcdl.errors import UsageError
from bcdl.machine import provenance
from bcdl.pack import folder, place, wheels
from tests.conftest import ROOT
from tests.pack.test_carried import carried_reference

pytestmark = pytest.mark.skipif(not (ROOT / ".git").exists(), reason="this is no checkout")
CODE = b"print()\n"


def put(file: Path, content: bytes = b"mine") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(content)
    return file


@pytest.fixture
def used(offline: None, tmp_path: Path) -> Path:
    """A pack with a reference, as `run.sh` leaves it without results: packages installed, modules compiled."""
    made = tmp_path / "pack"
    folder.make(made, "cp312", references=[carried_reference(tmp_path / "results")])
    digest = base64.urlsafe_b64encode(hashlib.sha256(CODE).digest()).decode().rstrip("=")
    rows = [f"keras/__init__.py,sha256={digest},8", f"../../bin/keras,sha256={digest},8", "plain.py,,"]
    rows += ["keras-3.dist-info/RECORD,,", ""]
    put(made / "site" / "keras-3.dist-info" / "RECORD", "\n".join(rows).encode())
    for name in ("keras/__init__.py", "bin/keras", "plain.py"):
        put(made / "site" / name, CODE)
    for name in ("site/keras", "site", "source/bcdl"):
        put(made / name / "__pycache__" / "text.cpython-312.pyc")
    return made


def test_a_pack_without_results_is_replaced(used: Path, tmp_path: Path) -> None:
    folder.make(used, "cp312")
    assert not (used / "site").exists()
    assert not (used / "parity").exists()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["pack", "results"]


@pytest.mark.parametrize(
    "name",
    [
        "out/results.tar.gz",
        "source/mine.py",
        "results/a.jsonl",
        "results/site/rec.jsonl",
        "parity/mine.npz",
        "wheels/extra.whl",
        "site/notes/my.txt",
        "site/mine.pyc",
        "mine/__pycache__/thesis.tex",
        "mine/__pycache__/thesis.pyc",
        "source/bcdl/__pycache__/thesis.tex",
        "source/bcdl/__pycache__/a/thesis.pyc",
        "__pycache__/thesis.pyc",
        "__pycache__",
        "source/site/a.py",
        "packed.json",
    ],
)
def test_a_file_that_was_not_packed_stays(name: str, used: Path) -> None:
    mine = put(used / name)
    with pytest.raises(UsageError, match=f"not as it was packed, {name} for one"):
        folder.make(used, "cp312")
    assert mine.read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["source/bcdl/sprint.py", "run.sh", "wheels/*", "parity/*", "site/keras/__init__.py"])
def test_an_edited_file_stays(name: str, used: Path) -> None:
    (file,) = list(used.glob(name))[:1]
    file.write_bytes(file.read_bytes() + b"mine")
    with pytest.raises(UsageError, match="not as it was packed"):
        folder.make(used, "cp312")
    assert file.read_bytes().endswith(b"mine")


@pytest.mark.parametrize("name", ["run.sh", "site/keras/__init__.py", "source/bcdl/__pycache__/text.cpython-312.pyc"])
def test_a_link_or_a_pipe_in_a_files_place_stays(name: str, used: Path) -> None:
    file = used / name
    content = file.read_bytes()
    file.unlink()
    file.symlink_to(put(used.parent / "mine", content))
    with pytest.raises(UsageError, match="not as it was packed"):
        folder.make(used, "cp312")
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(UsageError, match="not as it was packed"):
        folder.make(used, "cp312")


def test_a_list_of_installed_files_that_can_not_be_read_lists_none(used: Path) -> None:
    (used / "site" / "keras-3.dist-info" / "RECORD").write_bytes(b"\xff")
    with pytest.raises(UsageError, match="not as it was packed, site/"):
        folder.make(used, "cp312")


def test_what_is_put_there_while_pip_works_stays(used: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "download", lambda *arguments: put(used / "mine.txt"))
    with pytest.raises(UsageError, match=r"mine\.txt"):
        folder.make(used, "cp312")
    assert (used / "mine.txt").read_bytes() == b"mine"


def test_a_pack_of_an_older_bcdl_names_its_commit_and_stays(used: Path) -> None:
    file = used / "source" / "packed.json"
    values = json.loads(file.read_text())
    before = provenance.read_pack(used / "source")
    assert before
    assert set(before.beside or {}) >= {"run.sh", "parity/cnn-32px-b4-seed0.npz"}
    del values["beside"]
    file.write_text(json.dumps(values))
    old = provenance.read_pack(used / "source")
    assert old
    assert (old.commit, old.dirty, old.files, old.beside) == (before.commit, before.dirty, before.files, None)
    with pytest.raises(UsageError, match="packed by an older bcdl"):
        folder.make(used, "cp312")


def test_a_folder_with_something_else_stays(tmp_path: Path) -> None:
    mine = put(tmp_path / "pack" / "mine.txt")
    with pytest.raises(UsageError, match="did not write"):
        folder.make(tmp_path / "pack", "cp312")
    assert mine.read_bytes() == b"mine"


def test_the_own_path_of_a_folder_has_no_links_and_no_dots(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    (tmp_path / "loop").symlink_to("loop")
    assert place.own_path(tmp_path / "link" / "a" / ".." / "new") == Path(os.path.realpath(tmp_path)) / "real" / "new"
    for name in ("loop", "loop/new", "link"):
        with pytest.raises(UsageError, match="no folder"):
            place.own_path(tmp_path / name)


def test_the_top_of_a_disk_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os.path, "ismount", lambda path: Path(path).name == "disk")
    with pytest.raises(UsageError, match="is the top of a disk"):
        place.own_path(tmp_path / "disk")
    place.own_path(tmp_path / "disk" / "pack")

"""Where a trained model may be saved, and that it is kept whatever goes wrong meanwhile."""

from __future__ import annotations

import dataclasses
import errno
import os
import signal
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from bcdl import train
from bcdl.errors import UsageError
from bcdl.records import model_file
from bcdl.records.model_file import Statement
from bcdl.runner import model_keeper
from bcdl.runner.model_keeper import ModelKeeper
from tests.factory import cell
from tests.faults.conftest import Injected
from tests.in_process import InProcess

STATEMENT = Statement("cnn", 32, "unit", "20260101T000000Z-0000")


class Whole:
    """A model that can be written."""

    def save(self, file: Path) -> None:
        assert file.suffix == ".keras"  # Keras takes no other
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("config.json", "{}")
            archive.writestr("model.weights.h5", "new")


class HalfWritten:
    """A model whose disk is full after a few bytes, in folders of that name."""

    def __init__(self, *folders: str) -> None:
        self._folders = folders

    def save(self, file: Path) -> None:
        if file.parent.name in self._folders:
            file.write_bytes(b"PK")
            raise OSError(errno.ENOSPC, "No space left on device")
        Whole().save(file)


@dataclasses.dataclass
class Interrupted:
    """A model while whose writing Ctrl-C is pressed so many times."""

    times: int

    def save(self, file: Path) -> None:
        for _ in range(self.times):
            os.kill(os.getpid(), signal.SIGINT)
        Whole().save(file)


def keeper(tmp_path: Path) -> ModelKeeper:
    (tmp_path / "asked").mkdir()
    return ModelKeeper(tmp_path / "asked" / "model.keras", tmp_path / "results", STATEMENT)


def _folder(tmp_path: Path) -> str:
    (tmp_path / "folder.keras").mkdir()
    return f"{tmp_path}/folder.keras"


def _pipe(tmp_path: Path) -> str:
    os.mkfifo(tmp_path / "pipe.keras")
    return f"{tmp_path}/pipe.keras"


def _loop(tmp_path: Path) -> str:
    (tmp_path / "a.keras").symlink_to("b.keras")
    (tmp_path / "b.keras").symlink_to("a.keras")
    return f"{tmp_path}/a.keras"


def _below_a_file(tmp_path: Path) -> str:
    (tmp_path / "file").write_text("")
    return f"{tmp_path}/file/x.keras"


PLACES: dict[str, tuple[Callable[[Path], str], str]] = {
    "a folder": (_folder, "is a folder; name a file"),
    "a pipe": (_pipe, "is a pipe or a device"),
    "a loop of links": (_loop, "no file can be written there"),
    "below a file": (_below_a_file, "there is no folder"),
    "no such folder": (lambda folder: f"{folder}/none/x.keras", "there is no folder"),
    "a folder that takes no file": (
        lambda _: "/proc/x.keras",
        "no file can be written there (No such file or directory)",
    ),
    "a device": (lambda _: "/dev/null/x.keras", "there is no folder"),
    "a name that is too long": (lambda folder: f"{folder}/{'x' * 255}.keras", "(File name too long)"),
    "a long folder": (lambda folder: f"{folder}/{'x' * 300}/x.keras", "(File name too long)"),
    "a path that is too long": (lambda folder: f"{folder}/{'x/' * 3000}x.keras", "(File name too long)"),
    "another format": (lambda folder: f"{folder}/x.h5", "does not end in NAME.keras"),
    "letters of another case": (lambda folder: f"{folder}/x.KERAS", "does not end in NAME.keras"),
    "no name": (lambda folder: f"{folder}/.keras", "does not end in NAME.keras"),
    "nothing": (lambda _: "", "'' is empty"),
    "a line end": (lambda folder: f"{folder}/none\nerror: forged/x.keras", "there is no folder"),
}


@pytest.mark.skipif(os.name != "posix", reason="places of a Unix system")
@pytest.mark.parametrize("place", PLACES)
def test_a_place_that_takes_no_model_is_refused_before_the_training(
    tmp_path: Path, in_process: InProcess, injected: Injected, place: str
) -> None:
    make, says = PLACES[place]
    with injected("model_places"):
        code, out, err = in_process(train.main, "--model", "cnn", "--save", make(tmp_path))
        assert (code, out, len(err.splitlines())) == (2, "", 1)
        assert err.startswith("error: --save")
        assert says in err


def test_a_zero_byte_in_the_name_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no file can be written there"):
        model_keeper.check_place(tmp_path / "a\0b.keras")


def test_a_place_that_takes_a_model_is_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "old.keras").write_bytes(b"earlier")
    (tmp_path / "link.keras").symlink_to("old.keras")
    for name in ("old.keras", "new.keras", "link.keras"):
        model_keeper.check_place(tmp_path / name)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.keras", "old.keras"]
    assert (tmp_path / "old.keras").read_bytes() == b"earlier"


def test_a_saved_model_replaces_an_earlier_one_and_says_what_it_is(tmp_path: Path) -> None:
    file = tmp_path / "model.keras"
    file.write_bytes(b"earlier")
    model_keeper.save(Whole(), file, STATEMENT)
    assert list(tmp_path.iterdir()) == [file]
    assert model_file.read(file) == STATEMENT


def test_a_saved_model_goes_where_a_link_leads(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "model.keras").symlink_to("elsewhere/model.keras")
    model_keeper.save(Whole(), tmp_path / "model.keras", STATEMENT)
    assert (tmp_path / "model.keras").is_symlink()
    assert model_file.read(tmp_path / "elsewhere" / "model.keras") == STATEMENT


def test_a_full_disk_leaves_an_earlier_model_as_it_was_and_the_new_one_is_kept_elsewhere(
    tmp_path: Path, injected: Injected
) -> None:
    with injected("model_disk"):
        kept = keeper(tmp_path)
        kept.file.write_bytes(b"earlier")
        kept.keep(HalfWritten("asked"))
        assert [(path.name, path.read_bytes()) for path in kept.file.parent.iterdir()] == [("model.keras", b"earlier")]
        place = tmp_path / "results" / "local" / "models" / f"{STATEMENT.run}.keras"
        assert (kept.kept, model_file.read(place)) == (place, STATEMENT)
        assert kept.trouble() == (
            f"the model could not be saved as {str(kept.file)!r} (No space left on device); "
            f"it is kept as {str(place)!r}"
        )


def test_if_the_results_are_full_too_the_model_goes_to_the_temporary_folder(
    tmp_path: Path, injected: Injected, monkeypatch: pytest.MonkeyPatch
) -> None:
    with injected("model_disk"):
        (tmp_path / "temporary").mkdir()
        monkeypatch.setattr(model_keeper.tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
        kept = keeper(tmp_path)
        kept.keep(HalfWritten("asked", "models"))
        assert kept.kept == tmp_path / "temporary" / f"{STATEMENT.run}.keras"
        kept = dataclasses.replace(kept, kept=None, reason="")
        kept.keep(HalfWritten("asked", "models", "temporary"))
        assert kept.kept is None
        assert "nor anywhere else: make room and train again" in kept.trouble()


def test_ctrl_c_takes_effect_once_the_model_is_whole(
    tmp_path: Path, injected: Injected, capfd: pytest.CaptureFixture[str]
) -> None:
    with injected("model_interrupts"):
        kept = keeper(tmp_path)
        with pytest.raises(KeyboardInterrupt):
            kept.keep(Interrupted(1))
        assert model_file.read(kept.file) == STATEMENT
        assert kept.kept == kept.file
        assert "interrupted: what is finished is kept first" in capfd.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            dataclasses.replace(kept, kept=None).keep(Interrupted(2))
        assert [path.name for path in kept.file.parent.iterdir()] == ["model.keras"]


def test_little_room_is_said_before_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "model.keras"
    room = model_keeper.shutil.disk_usage(tmp_path)._replace(free=12 * 2**20)
    monkeypatch.setattr(model_keeper.shutil, "disk_usage", lambda _: room)
    (note,) = model_keeper.room_notes(file, cell())
    assert note.startswith(
        "note: the model may find no room: 12 MiB are free in its folder, and a cnn may take 205 MiB"
    )
    monkeypatch.setattr(model_keeper.shutil, "disk_usage", lambda _: room._replace(free=2**40))
    assert model_keeper.room_notes(file, cell()) == []

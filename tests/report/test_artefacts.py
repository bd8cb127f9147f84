"""What a report writes and removes: files of ours, and not a byte of anybody else's."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bcdl.errors import UsageError
from bcdl.records import disk, store
from bcdl.report import artefacts, check, page
from tests.factory import record
from tests.faults import driver
from tests.in_process import completed

PAGE = store.PAGE_START.encode()
TABLE, OTHER_TABLE = b"metric,model\nAccuracy,CNN\n", b"metric,model\nAccuracy,ResNet50\n"
CARD = b"# Model card: CNN, on busi\n\n**Not for clinical use.** Generated from records by `python -m bcdl.report`; x\n"
SHOWN = f"# busi, 32x32\n\n{artefacts.PAGE_MARK}\n\ntext\n".encode()
MINE = b"nobody else has this\n"


def png(source: str = "0" * 64) -> bytes:
    """A picture of one pixel that names its source, as plots do."""
    import matplotlib.pyplot as plt

    from bcdl.report.plots import style

    return style.to_png(plt.figure(figsize=(0.2, 0.2)), source)


PLOT = png()
FILES = {"README.md": PAGE, "pages/a.md": SHOWN, "tables/a.csv": TABLE, "plots/g/loss.png": PLOT, "cards/a.md": CARD}


def contents(results: Path) -> dict[str, bytes]:
    """Every file but those of `local/` and the manifest, by path."""
    files = (file for file in results.rglob("*") if file.is_file())
    paths = {file.relative_to(results).as_posix(): file.read_bytes() for file in files}
    return {path: paths[path] for path in paths if path != artefacts.MANIFEST and not path.startswith("local/")}


def put(results: Path, path: str, content: bytes = MINE) -> Path:
    (results / path).parent.mkdir(parents=True, exist_ok=True)
    (results / path).write_bytes(content)
    return results / path


def test_a_report_writes_its_files_and_lists_them(tmp_path: Path) -> None:
    assert artefacts.write(tmp_path, FILES, remove_stale=True) == []
    assert contents(tmp_path) == FILES
    listed = json.loads((tmp_path / artefacts.MANIFEST).read_text())["files"]
    assert listed == {path: artefacts.digest(FILES[path]) for path in sorted(FILES)}
    assert list(listed) == sorted(FILES)
    assert list(check.differences(tmp_path, FILES)) == []


def test_the_same_again_touches_nothing(tmp_path: Path) -> None:
    artefacts.write(tmp_path, FILES, remove_stale=True)
    before = {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*") if file.is_file()}
    artefacts.write(tmp_path, FILES, remove_stale=True)
    assert before == {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*") if file.is_file()}


def test_what_no_record_asks_for_goes_with_its_folder_only_if_it_may(tmp_path: Path) -> None:
    artefacts.write(tmp_path, FILES, remove_stale=True)
    artefacts.write(tmp_path, {"README.md": PAGE}, remove_stale=False)
    assert contents(tmp_path) == FILES
    (tmp_path / "plots" / "empty").mkdir()
    artefacts.write(tmp_path, {"README.md": PAGE}, remove_stale=True)
    assert contents(tmp_path) == {"README.md": PAGE}
    assert [folder.name for folder in (tmp_path / "plots").iterdir()] == ["empty"]


FOREIGN = {
    "plots/fig1.pdf": MINE,
    "plots/g/notes.txt": MINE,
    "plots/photo.png": b"\x89PNG\r\n\x1a\n" + MINE,
    "plots/broken.png": b"\x89PNG\r\n\x1a\n\xff\xff\xff\xfftEXt",
    "tables/data.xlsx": MINE,
    "tables/mine.csv": b"metric,value\nheight,2\n",
    "cards/index.md": b"# Our cards\n",
    "plots/.hidden": MINE,
    "tables/a.csv.part": MINE,
    "tables/sub/a.csv": TABLE,
    "plots/with\nline end.txt": MINE,
    "index.html": MINE,
    "records/notes.txt": MINE,
}


def test_files_of_somebody_else_are_left_alone_and_are_no_difference(tmp_path: Path) -> None:
    artefacts.write(tmp_path, FILES, remove_stale=True)
    for path, content in FOREIGN.items():
        put(tmp_path, path, content)
    assert list(check.differences(tmp_path, FILES)) == []
    for files in (FILES, {"README.md": PAGE}, FILES):
        assert artefacts.write(tmp_path, files, remove_stale=True) == []
        assert contents(tmp_path) == {**files, **FOREIGN}


def test_a_folder_of_an_older_bcdl_is_known_by_marks_and_tables_by_their_first_cell(tmp_path: Path) -> None:
    for path, content in FILES.items():
        put(tmp_path, path, content)
    foreign = {
        path: content for path, content in FOREIGN.items() if path not in ("tables/mine.csv", "tables/sub/a.csv")
    }
    for path, content in foreign.items():
        put(tmp_path, path, content)
    (notice,) = artefacts.write(tmp_path, {"README.md": PAGE, "tables/b.csv": TABLE}, remove_stale=True)
    assert notice.startswith("tables/a.csv: it looks like a table of an older bcdl that no record asks for")
    assert (tmp_path / notice.rpartition(" ")[2]).read_bytes() == TABLE
    assert contents(tmp_path) == {"README.md": PAGE, "tables/b.csv": TABLE, **foreign}


def test_a_table_of_a_folder_that_has_no_page_of_ours_is_nobodys_but_its_users(tmp_path: Path) -> None:
    """The first report into a folder that somebody works in already."""
    put(tmp_path, "tables/mine.csv", TABLE)
    store.append(tmp_path, "a-machine", record())
    done = report(tmp_path)
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path)["tables/mine.csv"] == TABLE
    put(tmp_path / "other", "tables/a.csv", b"metric,value\nheight,2\n")
    with pytest.raises(UsageError, match=r"tables/a\.csv"):
        artefacts.write(tmp_path / "other", FILES, remove_stale=True)


def test_what_is_in_the_way_of_several_files_is_named_once(tmp_path: Path) -> None:
    put(tmp_path, "plots/g")
    files = {"README.md": PAGE, **{f"plots/g/{number}.png": PLOT for number in range(9)}}
    with pytest.raises(UsageError, match="changed by hand: plots/g; move them away"):
        artefacts.write(tmp_path, files, remove_stale=True)


@pytest.mark.parametrize("step", range(12))
def test_a_folder_of_an_older_bcdl_is_known_even_after_a_report_that_was_killed_or_removed_nothing(
    tmp_path: Path, step: int
) -> None:
    for path, content in FILES.items():
        put(tmp_path, path, content)
    with killed_at(step):
        artefacts.write(tmp_path, {"README.md": PAGE, "tables/b.csv": TABLE}, remove_stale=bool(step % 2))
    artefacts.write(tmp_path, {"README.md": PAGE}, remove_stale=True)
    assert contents(tmp_path) == {"README.md": PAGE}


@pytest.mark.parametrize("path", ["pages/a.md", "tables/a.csv", "plots/g/loss.png", "cards/a.md"])
@pytest.mark.parametrize("manifest", [True, False])
def test_a_foreign_file_in_the_place_of_ours_is_refused_before_anything_is_written(
    tmp_path: Path, path: str, manifest: bool
) -> None:
    if manifest:
        artefacts.write(tmp_path, {"README.md": PAGE, "tables/old.csv": TABLE}, remove_stale=True)
    put(tmp_path, path)
    before = contents(tmp_path)
    with pytest.raises(UsageError, match=f"{path}; move them away or choose another folder with --results"):
        artefacts.write(tmp_path, FILES, remove_stale=True)
    assert contents(tmp_path) == before


def test_a_table_of_somebody_else_is_not_replaced_although_it_begins_as_ours_do(tmp_path: Path) -> None:
    artefacts.write(tmp_path, {"README.md": PAGE}, remove_stale=True)
    put(tmp_path, "tables/a.csv", b"metric,value\nheight,2\n")
    with pytest.raises(UsageError, match=r"tables/a\.csv"):
        artefacts.write(tmp_path, FILES, remove_stale=True)


def place_a_link(results: Path, path: str) -> None:
    (results.parent / "pictures").mkdir(exist_ok=True)
    (results.parent / "pictures" / "cat.png").write_bytes(MINE)
    (results / path).parent.mkdir(parents=True, exist_ok=True)
    (results / path).symlink_to(results.parent / "pictures")


@pytest.mark.parametrize("path", ["plots", "tables", "plots/g", "plots/g/loss.png", "tables/a.csv", "cards"])
def test_nothing_is_written_through_a_link(tmp_path: Path, path: str) -> None:
    results = tmp_path / "results"
    place_a_link(results, path)
    with pytest.raises(UsageError, match=path):
        artefacts.write(results, FILES, remove_stale=True)
    assert contents(tmp_path / "pictures") == {"cat.png": MINE}
    assert not (results / "README.md").exists()


def test_nothing_is_removed_through_a_link(tmp_path: Path) -> None:
    results = tmp_path / "results"
    elsewhere = put(tmp_path, "pictures/loss.png", PLOT)
    results.mkdir()
    artefacts.write(results, {"README.md": PAGE}, remove_stale=True)
    (results / "plots").mkdir()
    (results / "plots" / "old").symlink_to(elsewhere.parent)
    (results / "plots" / "old.png").symlink_to(elsewhere)
    artefacts.write(results, {"README.md": PAGE}, remove_stale=True)
    assert elsewhere.read_bytes() == PLOT
    assert (results / "plots" / "old.png").is_symlink()


def test_what_a_person_changed_is_never_lost(tmp_path: Path) -> None:
    artefacts.write(tmp_path, FILES, remove_stale=True)
    changed = TABLE + b"Accuracy,by hand\n"
    put(tmp_path, "tables/a.csv", changed)
    (notice,) = artefacts.write(tmp_path, FILES, remove_stale=True)
    assert notice.startswith(
        "tables/a.csv: it was changed by hand and is written anew; the changed one is kept in local/"
    )
    assert (tmp_path / notice.rpartition(" ")[2]).read_bytes() == changed
    assert contents(tmp_path) == FILES
    put(tmp_path, "tables/a.csv", changed)
    for _ in range(2):
        (notice,) = artefacts.write(tmp_path, {"README.md": PAGE}, remove_stale=True)
        assert notice == "tables/a.csv: no record asks for it; it was changed by hand, and is kept"
        assert contents(tmp_path) == {"README.md": PAGE, "tables/a.csv": changed}
    assert [line.partition(",")[0] for line in check.differences(tmp_path, {"README.md": PAGE})] == [
        "tables/a.csv: left over and changed by hand"
    ]


def test_a_plot_that_lost_its_mark_is_not_replaced(tmp_path: Path) -> None:
    artefacts.write(tmp_path, FILES, remove_stale=True)
    put(tmp_path, "plots/g/loss.png", png(source=""))
    with pytest.raises(UsageError, match=r"plots/g/loss\.png"):
        artefacts.write(tmp_path, {**FILES, "plots/g/loss.png": png("1" * 64)}, remove_stale=True)


def test_other_line_ends_are_no_change_by_hand(tmp_path: Path) -> None:
    artefacts.write(tmp_path, FILES, remove_stale=True)
    for path in ("tables/a.csv", "cards/a.md"):
        put(tmp_path, path, FILES[path].replace(b"\n", b"\r\n"))
    assert artefacts.write(tmp_path, {"README.md": PAGE}, remove_stale=True) == []
    assert contents(tmp_path) == {"README.md": PAGE}


@pytest.mark.parametrize(
    "path",
    ["../mine.txt", "records/m/x.jsonl", "/etc/passwd", "plots/../records/m/x.jsonl", "tables", "tables//x", "local/x"],
)
def test_no_manifest_has_a_file_removed_elsewhere(tmp_path: Path, path: str) -> None:
    results = tmp_path / "results"
    artefacts.write(results, {"README.md": PAGE}, remove_stale=True)
    mine = [put(tmp_path, "mine.txt"), put(results, "records/m/x.jsonl"), put(results, "local/x")]
    manifest = json.loads((results / artefacts.MANIFEST).read_text())
    manifest["files"][path] = artefacts.digest(MINE)
    (results / artefacts.MANIFEST).write_text(json.dumps(manifest))
    artefacts.write(results, {"README.md": PAGE}, remove_stale=True)
    assert all(file.read_bytes() == MINE for file in mine)
    with pytest.raises(ValueError, match="no report writes"):
        artefacts.write(results, {path: MINE}, remove_stale=True)


def test_a_manifest_of_a_merge_with_conflicts_still_lists_what_both_sides_had(tmp_path: Path) -> None:
    artefacts.write(tmp_path, {**FILES, "tables/b.csv": OTHER_TABLE}, remove_stale=True)
    manifest = tmp_path / artefacts.MANIFEST
    text = manifest.read_text()
    line = next(line for line in text.splitlines(keepends=True) if "tables/b.csv" in line)
    manifest.write_text(text.replace(line, f"<<<<<<< ours\n=======\n{line}>>>>>>> theirs\n"))
    assert artefacts.write(tmp_path, FILES, remove_stale=True) == []
    assert contents(tmp_path) == FILES
    assert list(check.differences(tmp_path, FILES)) == []


@pytest.mark.parametrize("change", ["missing", "does not list", "lists tables/gone.csv", "lists another"])
def test_a_manifest_that_does_not_follow_is_named(tmp_path: Path, change: str) -> None:
    artefacts.write(tmp_path, FILES, remove_stale=True)
    manifest = tmp_path / artefacts.MANIFEST
    values = json.loads(manifest.read_text())
    if change == "missing":
        manifest.unlink()
    else:
        digest = values["files"].pop("tables/a.csv")
        if change != "does not list":
            values["files"] |= {"tables/gone.csv": digest, "tables/a.csv": digest}
        if change == "lists another":
            del values["files"]["tables/gone.csv"]
            values["files"]["tables/a.csv"] = "0" * 64
        manifest.write_text(json.dumps(values))
    lines = list(check.differences(tmp_path, FILES))
    assert any(line.startswith(f"manifest.json: {change}") for line in lines), lines


class Killed(BaseException):
    """In place of a kill: nothing may catch it."""


@contextlib.contextmanager
def killed_at(step: int) -> Iterator[None]:
    """In this block, the writer is killed before its `step`-th change of the disk."""
    left = [step]

    def counted(call: str) -> None:
        original = getattr(Path, call)

        def change(self: Path, *arguments: object, **options: object) -> object:
            left[0] -= 1
            if left[0] < 0:
                raise Killed
            return original(self, *arguments, **options)

        patch.setattr(Path, call, change)

    with pytest.MonkeyPatch.context() as patch:
        for call in ("replace", "unlink", "rmdir"):
            counted(call)
        with contextlib.suppress(Killed):
            yield


TABLES = st.dictionaries(
    st.sampled_from(["tables/a.csv", "tables/b.csv", "plots/g/x.png", "plots/h/y.png", "cards/c.md"]),
    st.sampled_from([TABLE, OTHER_TABLE, PLOT, MINE]),
)


@given(TABLES, TABLES, TABLES, st.integers(0, 30), st.integers(0, 30))
def test_a_report_killed_at_any_step_is_finished_by_the_next(
    first: dict[str, bytes], second: dict[str, bytes], last: dict[str, bytes], at: int, again: int
) -> None:
    """Even two in a row, each with other files; and what is not ours stays."""
    with tempfile.TemporaryDirectory() as folder:
        results = Path(folder)
        foreign = {"plots/g/fig1.pdf": MINE, "tables/mine.csv": TABLE}
        artefacts.write(results, {"README.md": PAGE, **first}, remove_stale=True)
        for path, content in foreign.items():
            put(results, path, content)
        for files, step in ((second, at), (last, again)):
            with killed_at(step):
                artefacts.write(results, {"README.md": PAGE, **files}, remove_stale=True)
        wanted = {"README.md": PAGE, **last}
        assert artefacts.write(results, wanted, remove_stale=True) == []
        assert contents(results) == {**wanted, **foreign}
        assert list(check.differences(results, wanted)) == []


def test_a_part_that_a_killed_report_left_goes(tmp_path: Path) -> None:
    part = put(tmp_path, "plots/g/.bcdl-0123456789abcdef.part")
    assert disk.is_part(part.name)
    artefacts.write(tmp_path, FILES, remove_stale=True)
    assert contents(tmp_path) == FILES


def test_a_part_that_another_command_writes_stays(tmp_path: Path) -> None:
    """In `local/`, until it has been left for a while."""
    part = put(tmp_path, "local/.bcdl-0123456789abcdef.part")
    artefacts.write(tmp_path, FILES, remove_stale=True)
    assert part.exists()
    os.utime(part, (0, 0))
    artefacts.write(tmp_path, FILES, remove_stale=True)
    assert not part.exists()


def test_two_names_of_one_file_are_not_taken_for_two(tmp_path: Path) -> None:
    """As on a system that does not tell `A.csv` from `a.csv`: here, a hard link."""
    artefacts.write(tmp_path, {"README.md": PAGE, "tables/A.csv": TABLE, "tables/a.csv": TABLE}, remove_stale=True)
    (tmp_path / "tables" / "A.csv").unlink()
    os.link(tmp_path / "tables" / "a.csv", tmp_path / "tables" / "A.csv")
    artefacts.write(tmp_path, {"README.md": PAGE, "tables/a.csv": TABLE}, remove_stale=True)
    assert (tmp_path / "tables" / "a.csv").read_bytes() == TABLE


# Through commands.


def report(results: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return completed("report", "--results", results, *options)


def test_a_report_leaves_the_files_of_its_user(tmp_path: Path) -> None:
    file = store.append(tmp_path, "a-machine", record())
    files = {"plots/fig1.pdf": MINE, "tables/data.xlsx": MINE, "cards/notes.md": MINE, "index.html": MINE}
    for path, content in files.items():
        put(tmp_path, path, content)
    for _ in range(2):
        done = report(tmp_path)
        assert done.returncode == 0, done.stderr
        assert files.items() <= contents(tmp_path).items()
    file.write_bytes(record(image_size=64).to_json().encode() + b"\n")
    assert report(tmp_path).returncode == 0
    assert files.items() <= contents(tmp_path).items()
    assert report(tmp_path, "--check").returncode == 0
    assert {path.name for path in (tmp_path / "plots").iterdir()} >= {"fig1.pdf"}
    assert len(list((tmp_path / "plots").glob("synthetic*/"))) == 1


def run_benchmark(results: Path, plan: Path) -> tuple[int, str]:
    """A run of `pytest benchmarks` on stand-ins for workers: its exit code and what it printed."""
    process = driver.command(results, plan, cells=1)
    said = process.communicate()[0]
    return process.returncode, said


def test_a_run_leaves_the_files_of_its_user(tmp_path: Path) -> None:
    files = {"plots/fig1.pdf": MINE, "tables/data.xlsx": MINE}
    for path, content in files.items():
        put(tmp_path / "results", path, content)
    code, said = run_benchmark(tmp_path / "results", driver.plan(tmp_path))
    assert code == 0, said
    assert files.items() <= contents(tmp_path / "results").items()
    assert (tmp_path / "results" / "README.md").is_file()


def foreign_page(results: Path) -> None:
    put(results, "README.md", b"# My thesis\n")


def linked_plots(results: Path) -> None:
    place_a_link(results, "plots")


@pytest.mark.parametrize("obstacle", [foreign_page, linked_plots])
def test_what_is_in_the_way_is_refused_before_anything_runs(tmp_path: Path, obstacle: object) -> None:
    results = tmp_path / "results"
    assert callable(obstacle)
    obstacle(results)
    before = contents(tmp_path)
    code, said = run_benchmark(results, driver.plan(tmp_path))
    assert code == 2, said
    assert "move it away or choose another folder with --results" in said
    assert "Traceback" not in said
    after = contents(tmp_path)
    del after["plan.json"]
    assert after == before
    store.append(results, "a-machine", record())
    done = report(results)
    assert done.returncode == 2
    assert "move it away or choose another folder with --results" in done.stderr
    assert before.items() <= contents(tmp_path).items()
    with pytest.raises(UsageError):
        page.build(results)

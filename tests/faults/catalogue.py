"""The faults that are injected, and the page that says how they were survived."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path

from bcdl import backends

_WORKERS = {
    "segfault": "A worker that reads where there is no memory",
    "end_at_once": "A worker that ends with `os._exit(3)`",
    "end_as_if_well": "A worker that ends with code 0 and no record",
    "be_killed": "A worker killed by SIGKILL",
    "abort_for_memory": "A worker aborted by C++ for lack of memory",
    "raise_an_exception": "A worker that raises an exception outside its cell",
    "hang": "A worker that hangs",
    "hang_holding_the_interpreter": "A worker that hangs and lets no thread run",
    "allocate": "A worker that allocates until its limit",
    "allocate_in_a_child": "A worker whose child allocates until the limit",
    "leave_children": "A worker that leaves 200 children, half of them in sessions of their own",
    "leave_a_daemon": "A worker that leaves a daemon",
    "keep_forking": "A worker that leaves a process that forks and dies, twenty times a second",
    "fork_bomb": "A worker that leaves a fork bomb of 128 processes, each in a session of its own, still growing",
    "print_gigabytes": "A worker that prints 2 GiB",
    "print_no_text": "A worker that prints bytes that are no UTF-8",
    "leave_half_a_result": "A result file cut in the middle",
    "leave_no_text_as_result": "A result file of bytes that are no UTF-8",
    "leave_a_huge_result": "A result file of 10 GiB",
    "leave_nested_brackets": "A result file of a million brackets",
    "leave_another_cells_result": "A result file of another cell",
    "shared_process": "A worker of four cells killed, stuck, failing or out of memory in its second: the others run",
}
_DRIVERS = {
    "driver_killed": "SIGKILL of the driver at a random instant, then the run resumed",
    "driver_of_a_stuck_worker": "SIGKILL of a driver whose worker hangs: the worker ends, too",
    "ctrl_c": "Ctrl-C in a run: it ends cleanly, and the same command with --resume runs the rest",
    "ctrl_c_twice": "Ctrl-C twice: the run stops at once",
    "signals": "SIGTERM or SIGHUP to a command that measures: once, twice, to its workers too, by a closed terminal",
    "temporary_files": "SIGKILL of a driver that has temporary files: the next run removes them, and nobody else's",
    "drivers_at_once": "Four drivers at once on one results folder, where a dead run has left a torn line",
    "commands_at_once": "Two commands, `pytest benchmarks`, at once on one results folder",
}
_HOSTS = {
    "hosts_writing": "Two to six hosts that add records to one folder at once, their clocks hours apart and going back",
    "hosts_reporting": "Two to six hosts that rebuild the report of one folder at once",
    "host_killed_writing": "A host killed in the middle of a line, seen from another host",
    "host_killed_reporting": "A host killed in the middle of a report, seen from another host",
    "host_clocks": "Signs of life of another host with times that are not those of the disk",
    "run_ids": "A run with the id of another one, alive, dead or of an earlier bcdl",
    "no_locks": "A file system without locks: `flock` and `lockf` refused",
    "no_folder_flush": "A file system that can't flush a folder",
    "sync_copies": "A conflict copy or an unfinished file of a sync tool beside a log",
    "vanishing_files": "A file that vanishes while a report is read, checked or written",
}
_SESSIONS = {
    "pytest_options": "Options of pytest and its plugins by which cells would be measured at once, again or in vain",
    "pytest_plugins": "Plugins of pytest that fork, start threads, repeat, reorder or cut short, unknown to bcdl",
}
_DISKS = {
    "torn_line": "The last line of a file cut at some byte, as a power failure may leave it",
    "full_disk": "A file system of 1 MiB as the results folder, full from the start or after some cells",
    "file_limit": "A limit on the size of files, reached after some cells",
    "temporary_folder": "A folder for temporary files that is read-only, a file, not there, or full, also in mid-run",
    "result_lost": "A worker that finds no room for its record",
    "full_device": "A device that takes no byte in place of a file of records",
    "read_only": "A results folder that can't be written",
}
_MODELS = {
    "model_places": "A place that takes no model: a folder, a pipe, `/proc`, a name that is too long, a loop of links",
    "model_disk": "A disk that is full as the model is written to it",
    "model_interrupts": "Ctrl-C as the model is written",
}
_INPUTS = {
    "mutated_records": "A line of records mutated: flipped bits, other types, huge numbers, nesting, hostile names",
    "odd_records": "Records, experiments and findings built by their rows: at each limit, out of range, of other types",
    "unknown_words": "Records of an unknown status, metric, backend, model or precision in a report",
    "copied_lines": "Lines of records several times in a file, or in a copy of it, given to compare, report or resume",
    "edited_records": "A record edited by hand: a metric, a sample, a score, a setting, its digest",
    "contradictions": "Two different records that claim one cell and start of one run, or the same raw samples",
    "newer_schema": "A record of a newer schema",
    "many_records": "100,000 records read, some broken ones among them",
    "mutated_images": "An image file mutated: bytes changed, cut, left out, repeated (PNG, JPEG, TIFF, BMP)",
    "mutated_archives": "An .npz file mutated likewise",
    "wrong_arrays": "An .npz file of other arrays: missing, of other shapes, types or labels",
    "pickles": "An .npz file with a pickle in it, or a pickle by that name",
    "bombs": "A small picture or .npz file that claims gigabytes",
    "paths": "A groups.csv with paths out of the folder",
    "huge_fields": "A groups.csv with a field of megabytes",
    "links": "Links out of the data folder",
    "names": "Names with line ends, bars, tags, links, formulas, control and right-to-left characters",
    "cache_entries": "An entry of the cache damaged: bits turned, cut, of other shape, type or order, of another user",
    "cache_folders": "A cache that is full, read-only, no folder, or of a user without a home",
    "no_home": "A user without home or name, or whose caches are files, lie nowhere or can't be written",
    "keras_settings": "Settings of Keras, `keras.json`, that it can't be imported with, or that are no settings",
    "changing_data": "Images, labels or weights that change while a run, or its reading of them, is under way",
    "changed_handover": "What a driver has read, damaged on its way to a worker",
    "status_files": "Status files that are broken, or say what no run says",
}
_PRIVACY = {
    "patients": "A patient's name in a file's name, a folder, a table or a traceback: none is in what is stored",
    "folders_in_records": "A path of this machine, its user or its host in a reason, a log, a notice: none is stored",
    "local_files": "A results folder in a git checkout: git adds nothing of `local/`, and no user's file is touched",
    "screens": "A name that sets a terminal's title, forges an error line or turns text round, on the screen",
    "live_names": "A name that is a link, a mention, a picture, a tag or a formula, in Markdown or a CSV",
}
_CORPUS = {
    "png_files": "A hostile PNG: sizes, checksums, parts that lack or lie, bombs, palettes, animations",
    "jpeg_files": "A hostile JPEG: cut, sizes, tables that lack, thumbnails and EXIF of gigabytes or of themselves",
    "tiff_files": "A hostile TIFF: directories of themselves, strips outside, no numbers, many pages, bombs",
    "bmp_files": "A hostile BMP: negative and huge sizes, headers and palettes that lie, cut",
    "gif_files": "A hostile GIF: no frames, frames outside their screen, codes of garbage, cut",
    "webp_files": "A hostile WebP: parts that lie, a canvas of 2^48 pixels, cut",
    "other_files": "A file that is no image and has an image's name: PostScript, pages, programs, pickles, archives",
    "dicom_files": "A hostile DICOM file: cut, lying lengths, no rows, 33 bits, packed garbage, bombs, no numbers",
    "npz_pickles": "An .npz that hides a pickle, or code in a header",
    "npz_headers": "An .npz whose header claims what is not there, or is none",
    "npz_types": "An .npz of arrays of other types or values",
    "npz_archives": "An .npz whose zip archive lies: two directories, names twice, links, encrypted, bombs",
    "table_encodings": "A table in an odd encoding, in two, or of bytes that are no text",
    "table_shapes": "A table that is none or too large: a header alone, open quotes, a million columns",
    "table_lookalikes": "A file that is no table and has a table's name: spreadsheets, pages, pickles, scripts",
    "table_cells": "A table whose cells are formulas, paths, tags or control characters",
}
_OF_A_BACKEND = {
    "memory_limit": "a worker beyond its memory limit",
    "time_limit": "a worker beyond its time limit",
    "no_home": "a user without home, name, caches or settings that Keras can be imported with",
    "worker_killed": "a worker killed by SIGKILL as it builds its model",
    "framework_memory": "256 TiB asked of the framework, and another error, distinguished",
    "after_training": "a fault, a full disk or Ctrl-C after the training: as model, record or report is made",
    "divergence": "a learning rate at which the training diverges",
    "foreign_models": "a foreign model that gives NaN, two zeros, logits or other shapes, or takes no such image",
    "damaged_models": "a .keras file that is cut, changed, lacks a member, has a foreign one or claims gigabytes",
    "model_files": "a .keras file with a Lambda layer, or one that names a function of `os` or another class",
    "private_training": "patients' names and control characters in images' names: none in record or output",
    "weights_files": "a weights file with a link to another file, or of garbage",
    "model_archives": "a .keras file whose zip archive lies: two directories, names twice, links, encrypted, bombs",
    "model_demands": "a .keras file of some kilobytes whose layers ask for gigabytes to petabytes of weights",
    "model_configs": "a .keras file whose configuration is nested, cyclic, of other types, of huge or negative sizes",
    "model_weights": "a .keras file whose weights are links, elsewhere, loops, huge, of other types, or lack",
    "training_weights": "a weights file for training of links, loops, other shapes and types, no numbers, or cut",
}
FAULTS = {
    **_WORKERS,
    **_DRIVERS,
    **_HOSTS,
    **_SESSIONS,
    **_DISKS,
    **_MODELS,
    **_INPUTS,
    **_PRIVACY,
    **_CORPUS,
    **{f"{key}_{name}": f"{name}: {what}" for name in backends.NAMES for key, what in _OF_A_BACKEND.items()},
}

# Why a fault has fewer kinds of injection than five.
_ONE_DEED = "one deed, which takes a worker seconds each time"
_ONE_PLACE = "one place to fail, whatever was done before"
FEWER = {
    **dict.fromkeys(("hang", "hang_holding_the_interpreter", "allocate", "allocate_in_a_child"), _ONE_DEED),
    **dict.fromkeys(("leave_children", "leave_a_daemon", "keep_forking", "fork_bomb", "print_gigabytes"), _ONE_DEED),
    "driver_of_a_stuck_worker": "a worker is stuck in Python or in C",
    "ctrl_c": "the run times its cells or does not",
    "ctrl_c_twice": "the second comes while the first is at work, at any instant",
    "drivers_at_once": "the same four drivers each time, at instants of chance",
    "commands_at_once": "the same two commands, at instants of chance",
    "full_disk": "from the start, or after some cells",
    "file_limit": _ONE_PLACE,
    "full_device": _ONE_PLACE,
    "read_only": _ONE_PLACE,
    "model_disk": "each of the three places for a model may be full",
    "model_interrupts": "Ctrl-C once, or twice",
    "newer_schema": "there is one schema after this",
    "many_records": "it is the number that matters",
    "links": "a file, a folder or a class",
    "names": "one name holds all that is hostile",
    "temporary_files": "one kill, at instants of chance",
    "no_locks": "the same hosts each time, none of which finds a lock",
    "odd_records": "the values of each of hundreds of lines are of chance",
    "pickles": "what hides a pickle in a header is a fault of its own",
    "screens": "a title, a line and a direction, by every command",
    "live_names": "one text holds all that is live, in Markdown and in a CSV",
    **{
        f"{key}_{name}": why
        for name in backends.NAMES
        for key, why in {
            "memory_limit": _ONE_DEED,
            "time_limit": _ONE_DEED,
            "worker_killed": _ONE_DEED,
            "framework_memory": "memory or another error",
            "divergence": _ONE_DEED,
            "no_home": "one training without home, name and sound settings",
            "private_training": "the names of one data set hold all that is private",
            "weights_files": "a link and garbage, in a worker; hostile weights files for training are more",
        }.items()
    },
}

_INTRODUCTION = """\
# Reliability

This page is written by the tests that inject the faults; edit nothing here by hand:

```console
pytest tests/faults -m "not keras" --reliability docs/reliability.md
KERAS_BACKEND=jax pytest tests/faults -m keras --reliability docs/reliability.md     # and tensorflow, torch
```

What is guaranteed, and what is not:

- **A record that was written is kept.** A line is appended whole or not at all, and is flushed to the disk (`fsync`,
  its folders too) before the next cell starts. Killing the driver loses at most the cell under way. A power failure may
  tear the last line; that line is set aside and reported, the others stand. A last line that lacks no more than its end
  counts. Parity findings and experiments are kept likewise. What a disk says it has flushed is believed.
- **Several hosts may write to one results folder**, on a network or a synced disk; no lock of a file system is used.
  Each run writes files of its own alone, and counts order their records, not clocks. A run says that it is alive by
  signs of life, whose age the disk's own clock gives. What a dead run of another host has left half written is never
  changed here, and its data is removed after a day. One process at a time rebuilds the report; whoever does not get its
  turn keeps its records and says so. This was tried with processes that have other host names and clocks, on a local
  disk, and not with a real network file system (NFS, SMB, sshfs) or sync tool. On a synced disk hosts can't exclude
  each other: their reports may be mixed, which `bcdl report --check` finds and `bcdl report` mends. Conflict copies of
  logs are named, with the number of records that stand in them alone, and are never read or removed.
- **Only files of bcdl are changed.** A report replaces and removes what `manifest.json` lists or what carries its mark,
  and nothing else; a foreign page, a file in the way or a linked folder is refused before anything runs. A report that
  is killed is finished by the next. A log is mended only if it is called after a run and says that it is of it.
- **A full or read-only disk** ends the run with a message and leaves earlier records as they were. Where it is so from
  the start, that is found before the first cell. A cell whose record finds no room is lost, and was measured in vain.
  A folder for temporary files that takes nothing costs no cell: they lie beside the records then.
- **SIGTERM and SIGHUP end a run as Ctrl-C does**: workers end, records are kept, temporary files are removed, and a
  line says how to go on. What a killed driver leaves of temporary files, the next run removes, by their mark.
- **A user without home, name or caches** can do all the same: a line says what is done without.
- **A model that was trained is kept.** Its place is tried before the training; it is saved before anything else is
  measured, whole or not at all, and if there is no room, beside the results or in the folder for temporary files.
  Neither a fault of what follows nor Ctrl-C costs it. A training that diverges gives no model, and no accuracy.
- **A worker harms nobody.** It has limits of time and of resident memory, sampled five times a second (its children's
  every five seconds): one that allocates faster than that may meet the system's own limit first. Then the system ends
  a process of its choice, which may be another; a limit that holds to the byte needs a control group (cgroup), which
  only an administrator or a container sets up.
- **Nothing that a worker started is left.** On Linux the driver adopts orphans, stops them and then ends them, until
  none is left or ten seconds have passed; where the driver itself is killed, the system ends the worker's whole group.
  Not reached are processes that have left the group of a worker whose driver was killed, and a fork bomb faster than
  the driver finds its processes: only a limit on processes (`ulimit -u`, `pids.max` of a control group) stops one.
- **What was checked is what is trained on.** A worker compares the checksum of its data set with that of the one which
  its driver looked through for leaks, and that of the weights' file likewise; others fail the cell by name. What is
  taken from the cache of decoded images is hashed first, and anything in doubt is made anew. That protects from
  accidents, not from somebody who may write as this user.
- **What comes from outside is data.** Nothing in it is run, nothing outside its folder is opened, and what claims more
  memory than it may have is refused beforehand. The mutations below try this; decoders written in C (Pillow, HDF5) are
  trusted to keep to their bounds.

Records lost counts records that had been written and were not there afterwards, and models lost those that had been
trained; both must be 0. Each fault is injected in at least five ways, its kinds of injection, or `FEWER` in
`tests/faults/catalogue.py` says why there are not so many. What neither Pillow nor libjpeg tells is not seen here
either: a JPEG whose compressed pixels were changed is read as the picture that they give.

"""
_HEAD = "| fault | times injected | kinds of injection | survived | records lost | models lost | how to rerun |"
_ROW = re.compile(r"^\| (?P<fault>.*) \| \d+ \| \d+ \| \d+ \| \d+ \| \d+ \| .* \|$")


@dataclasses.dataclass
class Tally:
    """What became of a fault.

    Attributes:
        injected, survived: how often it was injected, and survived.
        lost, models_lost: records that had been written, and models that had been trained, which it cost.
        test: the test that injects it.
        note: what else the page says of it.
        names: of its injections, each of another kind.
    """

    injected: int = 0
    survived: int = 0
    lost: int = 0
    test: str = ""
    note: str = ""
    names: set[str] = dataclasses.field(default_factory=set)
    models_lost: int = 0


def write(file: Path, tallies: Mapping[str, Tally]) -> None:
    """Write the page, with a row for each fault of the catalogue that this run injected or an earlier one did."""
    rows = {**rows_of(file), **{FAULTS[key]: _row(key, tally) for key, tally in tallies.items()}}
    lines = [_HEAD, "| --- | ---: | ---: | ---: | ---: | ---: | --- |"]
    lines += [rows[fault] for fault in FAULTS.values() if fault in rows]
    file.write_text(_INTRODUCTION + "\n".join(lines) + "\n", encoding="utf-8")


def rows_of(file: Path) -> dict[str, str]:
    """The rows of the page, by what their fault is called."""
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return {match["fault"]: line for line in lines if (match := _ROW.match(line))}


def _row(key: str, tally: Tally) -> str:
    counts = (tally.injected, len(tally.names), tally.survived, tally.lost, tally.models_lost)
    return f"| {FAULTS[key]} | {' | '.join(map(str, counts))} | `pytest {tally.test}`{tally.note} |"

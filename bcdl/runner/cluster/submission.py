"""What was handed to a cluster: the tasks of a run, in one file of its folder, and which of them were submitted.

The file is JSON. It has a line for each task, so that a node reads its own and no other. Beside it lie the batch
script, the Python of each task, what the driver found of the data, and a log of the arrays, a line before and after
each was submitted. Nodes read them by a path that they must see, too; nothing else passes between a driver and its
tasks.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from bcdl.errors import BcdlError, UsageError
from bcdl.records import disk, runs, store
from bcdl.runner.stored import Marks
from bcdl.settings.job import Job

FILE, SCRIPT, PYTHONS, ARRAYS = "submission.json", "task.sh", "pythons", "arrays.jsonl"
# In the folder of a task.
TASK_LOG, BEGUN = "task.log", "begun.json"
_HEADER, _TASKS = '{"header": ', ', "tasks": ['
_MOST = 10_000_000  # tasks of a run, whose numbers have seven digits


@dataclasses.dataclass(frozen=True)
class Header:
    """What all tasks share.

    Attributes:
        run: the run's id.
        count: how many tasks there are.
        cell_timeout, memory_limit: the limits of each cell's worker as they were asked for, which a node resolves.
        worker: the arguments of a Python that start a worker.
        seen: the highest count of a record that there was.
        submitted: when the run began, as records say it.
    """

    run: str
    count: int
    cell_timeout: str
    memory_limit: str | None
    worker: tuple[str, ...]
    seen: int
    submitted: str

    @property
    def limits(self) -> dict[str, Any]:
        """The options that `settings.limits` resolves."""
        return {"cell_timeout": self.cell_timeout, "memory_limit": self.memory_limit}


@dataclasses.dataclass(frozen=True)
class Task:
    """One cell, and the Python that runs it and its worker.

    Attributes:
        job: the job, as a node runs it.
        python: path of the Python, as nodes see it.
        marks: number of what the driver found of its data, among those of the run.
    """

    job: Job
    python: str
    marks: int = 0

    @property
    def kind(self) -> tuple[str, bool]:
        """What the tasks of one array have in common: the device, and whether speed is measured."""
        return self.job.cell.device, self.job.cell.timing


@dataclasses.dataclass(frozen=True)
class Array:
    """Consecutive tasks that are submitted together.

    Attributes:
        first: the number of the first.
        count: how many there are.
        job: the scheduler's id of the array; empty until it is known to be submitted.
    """

    first: int
    count: int
    job: str = ""

    @property
    def tasks(self) -> range:
        return range(self.first, self.first + self.count)


@dataclasses.dataclass(frozen=True)
class Submission:
    """A run that was handed to a cluster.

    Attributes:
        folder: of the run.
        header: what all its tasks share.
    """

    folder: Path
    header: Header

    @classmethod
    def write(cls, results: Path, header: Header, tasks: Iterable[Task], marks: Sequence[Marks]) -> Submission:
        """Write what nodes need into the folder of the run; UsageError if that can't be written."""
        folder = runs.folder_of(results, header.run)
        tasks = list(tasks)
        lines = (json.dumps(dataclasses.asdict(task)) for task in tasks)
        head = _HEADER + json.dumps(dataclasses.asdict(header)) + _TASKS
        with disk.writing(folder):
            (folder / runs.TASKS).mkdir(parents=True, exist_ok=True)
            for number, each in enumerate(marks):
                disk.replace(_marks_file(folder, number), json.dumps(each.to_dict()).encode())
            disk.replace(
                folder / PYTHONS, "".join(f"{task.python}\n" for task in tasks).encode("utf-8", "surrogateescape")
            )
            disk.replace(folder / FILE, "\n".join([head, ",\n".join(lines), "]}\n"]).encode())
        return cls(folder, header)

    @classmethod
    def read(cls, folder: Path) -> Submission | None:
        """The submission whose files lie in the folder; None if there is none that can be read."""
        try:
            with (folder / FILE).open(encoding="utf-8") as file:
                line = file.readline().rstrip("\n")
            values = json.loads(line.removeprefix(_HEADER).removesuffix(_TASKS))
            header = Header(**{**values, "worker": tuple(values["worker"])})
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None
        return cls(folder, header) if 0 < header.count <= _MOST and runs.is_run_id(header.run) else None

    @property
    def results(self) -> Path:
        """The results folder."""
        return self.folder.parents[2]

    def id_of(self, index: int) -> str:
        """The id of the run that a task is."""
        return runs.task_id(self.header.run, index)

    def folder_of(self, index: int) -> Path:
        """The folder of a task."""
        return self.folder / runs.TASKS / str(index)

    def name_of(self, array: Array) -> str:
        """The name of the scheduler's job that the array is."""
        return f"bcdl-{self.header.run}-{array.first}"

    def task(self, index: int) -> Task:
        """The task of that number; BcdlError if the file is damaged."""
        try:
            with (self.folder / FILE).open(encoding="utf-8") as file:
                (line,) = itertools.islice(file, index + 1, index + 2)
            return _task(json.loads(line.rstrip("\n").removesuffix(",")))
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise BcdlError(
                f"{self.folder / FILE} does not say what task {index} is ({error}); submit the cells again"
            ) from error

    def tasks(self) -> list[Task]:
        """All tasks, in order; BcdlError if the file is damaged."""
        try:
            with (self.folder / FILE).open(encoding="utf-8") as file:
                return [_task(values) for values in json.load(file)["tasks"]]
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise BcdlError(f"{self.folder / FILE} can't be read ({error}); submit the cells again") from error

    def marks_of(self, task: Task) -> Marks:
        """What the driver found of the task's data; BcdlError if it can't be read."""
        file = _marks_file(self.folder, task.marks)
        try:
            return Marks.from_dict(json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            raise BcdlError(f"{file} can't be read ({error}); submit the cells again") from error

    def note(self, array: Array) -> None:
        """Write down, on the disk, that the array is about to be submitted, or, if its job is known, that it was."""
        disk.append_line(self.folder / ARRAYS, json.dumps(dataclasses.asdict(array)))

    def arrays(self) -> list[Array]:
        """The arrays that were submitted, or were about to be when their driver was killed."""
        try:
            lines = (self.folder / ARRAYS).read_text(encoding="utf-8").splitlines()
        except OSError:
            return []
        arrays: dict[int, Array] = {}
        for line in lines:
            try:
                array = Array(**json.loads(line))
            except (ValueError, TypeError, RecursionError):  # torn: nothing was submitted after it
                continue
            arrays[array.first] = array
        return list(arrays.values())

    def recorded(self) -> dict[int, list[Path]]:
        """The files of records that its tasks have left, by number; the last line of one may be torn."""
        return store.files_of_tasks(self.results, self.header.run)


def is_recorded(files: Iterable[Path]) -> bool:
    """Whether one of these files of a task holds its record: a whole line, and not what a killed writer left."""
    return any(map(disk.ends_a_line, files))


def in_arrays(tasks: Sequence[Task], most: int) -> Iterator[Array]:
    """The arrays of tasks, those of a kind side by side, of so many at most."""
    first = 0
    for _, alike in itertools.groupby(tasks, key=lambda task: task.kind):
        left = len(list(alike))
        while left:
            count = min(left, most)
            yield Array(first, count)
            first, left = first + count, left - count


def in_order(tasks: Sequence[Task]) -> list[Task]:
    """The tasks, those of a kind side by side, else as they were."""
    kinds = list(dict.fromkeys(task.kind for task in tasks))
    return sorted(tasks, key=lambda task: kinds.index(task.kind))


def all_of(results: Path) -> list[Submission]:
    """Every run of the results folder that was handed to a cluster, the oldest first."""
    folders = sorted((results / runs.RUNS).glob(f"*/{FILE}"))
    return [submission for file in folders if (submission := Submission.read(file.parent)) is not None]


def _task(values: Mapping[str, Any]) -> Task:
    try:
        job = Job.from_dict(values["job"])
    except (UsageError, AttributeError) as error:
        raise ValueError(str(error)) from error
    return Task(job, values["python"], values["marks"])


def _marks_file(folder: Path, number: int) -> Path:
    return folder / f"checked-{number}.json"

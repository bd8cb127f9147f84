"""What stands in for SLURM's programs: `python programs.py FOLDER PROGRAM [ARGUMENT ...]`, on the queue in the folder.

They answer as those of SLURM 22.05 do. Nothing runs until a test says so. Standard library alone, since each call of a
program starts a process.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Queue = dict[str, Any]


def read(folder: Path) -> Queue:
    queue: Queue = json.loads((folder / "queue.json").read_text())
    return queue


def write(folder: Path, queue: Queue) -> None:
    part = folder / "queue.part"
    part.write_text(json.dumps(queue))
    part.replace(folder / "queue.json")


def fail(*lines: str) -> None:
    for line in lines:
        print(line, file=sys.stderr)
    sys.exit(1)


def sbatch(folder: Path, queue: Queue, words: Sequence[str]) -> None:
    script = next(place for place, word in enumerate(words) if not word.startswith("-"))
    options = words[:script]
    given = dict(word.partition("=")[::2] for word in options)
    if given.get("--partition") == "nosuch":
        how = "allocation failure" if "--test-only" in given else "sbatch: error: Batch job submission failed"
        fail("sbatch: error: invalid partition specified: nosuch", f"{how}: Invalid partition name specified")
    if "--test-only" in given:
        print("sbatch: Job 5 to start at 2026-01-01T00:00:00 using 1 processors on nodes n1", file=sys.stderr)
        return
    if queue.get("refuse") and len(queue["jobs"]) >= queue.get("refuse_after", 0):
        fail(f"sbatch: error: {queue['refuse']}")
    array = re.fullmatch(r"0-(\d+)(%\d+)?", given.get("--array", ""))
    count = int(array[1]) + 1 if array else 1
    if count > queue["most"]:
        fail("sbatch: error: Batch job submission failed: Invalid job array specification")
    job = {
        "id": queue["next"],
        "name": given["--job-name"],
        "array": bool(array),
        "script": words[script],
        "arguments": list(words[script + 1 :]),
        "options": list(options),
        "chdir": given.get("--chdir", "."),
        "output": given.get("--output", "/dev/null"),
        "known": True,
        "tasks": {str(place): {"state": "PENDING", "code": "0:0", "reason": "Resources"} for place in range(count)},
    }
    queue["jobs"].append(job)
    queue["next"] += 1000
    write(folder, queue)
    print(job["id"])


def squeue(folder: Path, queue: Queue, words: Sequence[str]) -> None:
    names = next(word.partition("=")[2] for word in words if word.startswith("--name=")).split(",")
    for job in queue["jobs"]:
        if job["known"] and job["name"] in names:
            for place, task in job["tasks"].items():
                at = place if job["array"] else "N/A"
                print(f"{job['name']}|{job['id']}|{at}|{task['state']}|{task['reason']}")


def scontrol(folder: Path, queue: Queue, words: Sequence[str]) -> None:
    if list(words[-2:]) == ["show", "config"]:
        print("Configuration data as of 2026-01-01T00:00:00")
        print(f"ClusterName             = stand-in\nMaxArraySize            = {queue['most']}")
        return
    found = [job for job in queue["jobs"] if str(job["id"]) == words[-1] and job["known"]]
    if not found:
        fail("slurm_load_jobs error: Invalid job id specified")
    for job in found:
        for place, task in job["tasks"].items():
            at = queue.get("together", place)
            array = f"ArrayJobId={job['id']} ArrayTaskId={at} " if job["array"] else ""
            if "--oneliner" not in words:
                print(
                    f"JobId={job['id']} JobName={job['name']}\n   StdIn=/dev/null\n   StdOut={job['output']}\n   Power="
                )
                continue
            print(
                f"JobId={job['id'] + int(place)} {array}JobName={job['name']} UserId=x(1) JobState={task['state']} "
                f"Reason={task['reason']} ExitCode={task['code']} RunTime=00:00:01 TimeLimit=00:01:00 "
                f"NodeList=node-x1 StdOut={job['output']} "
            )


def sacct(folder: Path, queue: Queue, words: Sequence[str]) -> None:
    if "accounting" not in queue:
        fail("Slurm accounting storage is disabled")
    print("\n".join(queue["accounting"]))


def main(folder: Path, name: str, words: Sequence[str]) -> None:
    queue = read(folder)
    if queue.get("silent"):
        fail(f"{name}: error: Unable to contact slurm controller (connect failure)")
    {"sbatch": sbatch, "squeue": squeue, "scontrol": scontrol, "sacct": sacct}[name](folder, queue, words)


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], sys.argv[3:])

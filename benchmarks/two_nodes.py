"""A SLURM of two nodes on this machine, in a folder of its own: for tests and benchmarks of what goes to a cluster.

Munge gets its own key and socket there, and nothing outside the folder is written. Both nodes are processes of this
host, with one processor each, so that two cells run at once. It needs the programs of SLURM and of munge, and no
accounting. `python -m benchmarks.two_nodes` says which of them this machine lacks, and how to get them.
"""

from __future__ import annotations

import contextlib
import getpass
import os
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import psutil

from bcdl.errors import BcdlError, run_command
from bcdl.screen import say

NODES = ("n1", "n2")
_DAEMONS = ("munged", "slurmctld", "slurmd")
_PROGRAMS = (*_DAEMONS, "sbatch", "squeue", "scontrol", "sinfo", "scancel")
_SYSTEM = ("/usr/sbin", "/sbin", "/usr/local/sbin")  # where daemons lie, which are on no user's PATH
HOW_TO_GET = "apt-get install -y --no-install-recommends slurm-wlm munge"
_START_S = 60.0
_END_S = 20.0
_CONFIG = """\
ClusterName=two-nodes
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
ReturnToService=2
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
SlurmdParameters=config_overrides
SlurmdTimeout=15
KillWait=5
MaxArraySize={most_tasks}
MaxJobCount=20000
EnforcePartLimits=ANY
SchedulerParameters=batch_sched_delay=0,sched_min_interval=100000,bf_interval=5
NodeName=n[1-2] NodeHostname={host} NodeAddr=127.0.0.1 Port=[{ports[2]}-{ports[3]}] CPUs=1 RealMemory=2000 State=UNKNOWN
PartitionName=main Nodes=n[1-2] Default=YES MaxTime=INFINITE State=UP
"""


def missing() -> list[str]:
    """The programs that it needs and that this machine lacks."""
    return [name for name in _PROGRAMS if _path_of(name) is None]


def _path_of(program: str) -> str | None:
    return shutil.which(program, path=os.pathsep.join([os.environ.get("PATH", ""), *_SYSTEM]))


class TwoNodes:
    """The cluster, as long as it runs.

    Args:
        folder: takes all that it writes; short, since a socket's path has 108 letters at most.
        most_tasks: how many tasks an array may have.
    """

    def __init__(self, folder: Path, most_tasks: int = 1001) -> None:
        self.folder, self._most_tasks = folder, most_tasks
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def variables(self) -> dict[str, str]:
        """The variables by which SLURM's programs find it."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf")}

    def start(self) -> None:
        """Start all of it; BcdlError, with the end of a log, if that fails."""
        self._write()
        munged = [f"--{name}={self.folder}/munge.{name.partition('-')[0]}" for name in _MUNGE_FILES]
        self._start("munged", "--foreground", "--force", *munged)
        self._wait_for("munge", lambda: (self.folder / "munge.socket").exists())
        self._start("slurmctld", "-D")
        for node in NODES:
            self.start_node(node)
        self._wait_for("slurmctld", lambda: self.idle() == len(NODES))

    def _write(self) -> None:
        """Write the configuration and a key into the folder."""
        for name in ("state", *(f"spool-{node}" for node in NODES)):
            (self.folder / name).mkdir(parents=True)
        self.folder.chmod(0o755)  # munge refuses a socket in a folder that others may not enter
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(secrets.token_bytes(128))
        text = _CONFIG.format(
            host=socket.gethostname().partition(".")[0],
            user=getpass.getuser(),
            folder=self.folder,
            ports=_free_ports(4),
            most_tasks=self._most_tasks,
        )
        (self.folder / "slurm.conf").write_text(text)

    def start_node(self, node: str) -> None:
        """Start a node, or start it again."""
        self._start("slurmd", "-D", "-N", node, key=node)

    def stop_node(self, node: str) -> None:
        """Stop a node at once, with all that runs on it, as if its power were cut."""
        self._daemons.pop(node).kill()
        for process in self.processes_of(node):
            with contextlib.suppress(psutil.Error):
                process.kill()

    def processes_of(self, node: str) -> list[psutil.Process]:
        """The processes of jobs on a node, and the scheduler's own beside them."""
        found: dict[int, psutil.Process] = {}
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                variables = process.environ()
                if variables.get("SLURMD_NODENAME") == node and variables.get("SLURM_CONF") == self._config:
                    found[process.pid] = process
                    found |= {each.pid: each for each in process.parents() if each.name().startswith("slurmstepd")}
        return list(found.values())

    def idle(self) -> int:
        """How many nodes are idle."""
        try:
            return self.run("sinfo", "--noheader", "--Node", "--format=%T").split().count("idle")
        except BcdlError:
            return 0

    def run(self, *command: str) -> str:
        """What a program of SLURM prints; BcdlError if it fails."""
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, **self.variables}, check=False
        )
        if done.returncode:
            raise BcdlError(f"{command[0]}: {done.stderr.strip()}")
        return done.stdout

    def stop(self) -> None:
        """Stop all of it, whatever still runs there."""
        with contextlib.suppress(BcdlError):
            self.run("scancel", f"--user={getpass.getuser()}")
        for node in NODES:
            for process in self.processes_of(node):
                with contextlib.suppress(psutil.Error):
                    process.kill()
        for daemon in reversed(self._daemons.values()):
            daemon.send_signal(signal.SIGTERM)
        for daemon in self._daemons.values():
            try:
                daemon.wait(_END_S)
            except subprocess.TimeoutExpired:
                daemon.kill()
        self._daemons.clear()

    @property
    def _config(self) -> str:
        return self.variables["SLURM_CONF"]

    def _start(self, program: str, *arguments: str, key: str = "") -> None:
        path = _path_of(program)
        if path is None:
            raise BcdlError(f"there is no {program} on this machine; get it by: {HOW_TO_GET}")
        with (self.folder / f"{key or program}.out").open("ab") as output:
            self._daemons[key or program] = subprocess.Popen(
                [path, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**_plain(os.environ), **self.variables},
                start_new_session=True,
            )

    def _wait_for(self, what: str, is_there: Callable[[], bool]) -> None:
        """Wait until `is_there()`; BcdlError, with the ends of all logs, if that takes too long or a daemon ends."""
        ends = time.monotonic() + _START_S
        while not is_there():
            ended = [name for name, daemon in self._daemons.items() if daemon.poll() is not None]
            if ended or time.monotonic() > ends:
                raise BcdlError(f"{what} does not start ({', '.join(ended) or 'it takes too long'})", self._logs())
            time.sleep(0.1)

    def _logs(self) -> Iterator[str]:
        for log in sorted([*self.folder.glob("*.log"), *self.folder.glob("*.out")]):
            for line in log.read_text(errors="replace").splitlines()[-5:]:
                yield f"{log.name}: {line}"


_MUNGE_FILES = ("key-file", "socket", "pid-file", "log-file", "seed-file")


def _plain(variables: Mapping[str, str]) -> dict[str, str]:
    """The variables without those of another scheduler's job."""
    return {name: value for name, value in variables.items() if not name.startswith(("SLURM_", "SBATCH_"))}


def _free_ports(count: int) -> Sequence[int]:
    """Consecutive ports that nobody listens at."""
    for _ in range(100):
        first = 20_000 + secrets.randbelow(30_000)
        with contextlib.ExitStack() as held, contextlib.suppress(OSError):
            for port in range(first, first + count):
                held.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return range(first, first + count)
    raise BcdlError("no ports are free on this machine; end what listens there")


@contextlib.contextmanager
def running(most_tasks: int = 1001) -> Iterator[TwoNodes]:
    """The cluster in a new folder, which is removed when the block ends; the variables of this process name it.

    Raises:
        BcdlError: it does not start.
    """
    folder = Path(tempfile.mkdtemp(prefix="bcdl-slurm-"))
    cluster, before = TwoNodes(folder, most_tasks), dict(os.environ)
    try:
        cluster.start()
        os.environ.update(cluster.variables)
        yield cluster
    finally:
        for name in cluster.variables:
            os.environ.pop(name, None)
            os.environ.update({name: before[name]} if name in before else {})
        cluster.stop()
        shutil.rmtree(folder, ignore_errors=True)


def main() -> int:
    """Print what is missing, if anything is; the exit code is 1 then."""
    lacking = missing()
    if lacking:
        say(f"this machine lacks {', '.join(lacking)}: {HOW_TO_GET}")
    return int(bool(lacking))


if __name__ == "__main__":
    run_command(main)

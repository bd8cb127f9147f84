"""Sessions: each is one command that does all its own set-up.

Arguments after `--` go to the session's program: `nox -s bench-jax -- --models cnn,mobilenet --profile smoke`.
A backend's environment comes from its folder: `backends/<name>/requirements-cpu.txt`, or `-gpu.txt` if there
is an NVIDIA driver; `-- --device cpu|gpu` overrides. `UV_TORCH_BACKEND=cpu` spares a CPU user of torch the CUDA
libraries.
"""

import argparse
import contextlib
import functools
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import nox

try:
    import fcntl
except ImportError:  # Windows, where no two sessions run at once here
    fcntl = None  # type: ignore[assignment]

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_venv = "yes"
nox.options.sessions = ["tests"]
nox.needs_version = ">=2024.10.9"

ROOT = Path(__file__).parent
BACKENDS = sorted(path.parent.name for path in ROOT.glob("backends/*/adapter.py"))
SIDES = "abcdefgh"  # that `bench-ab` can measure in turn
# Packages that a pinned file for CPUs leaves out: torch's own metadata pins these, and its CPU build needs none.
GPU_PACKAGES = ("nvidia-", "cuda-", "triton")

# Containers often forbid Python to keep what it compiles of modules. Each process would compile Keras and its framework
# anew then, which takes longer than all else of their import.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pass_on(number: int, frame: object) -> None:
    """End the program that a session runs by the same signal, and nox by Ctrl-C, the one signal that it handles."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")  # Linux only
    for child in children.read_text(encoding="ascii").split() if children.exists() else ():
        os.kill(int(child), number)
    raise KeyboardInterrupt


for name in ("SIGTERM", "SIGHUP"):
    if signal.getsignal(number := getattr(signal, name, signal.SIGTERM)) == signal.SIG_DFL:
        signal.signal(number, pass_on)


def device(session: nox.Session) -> str:
    """`--device` after `--`, or gpu if there is an NVIDIA driver."""
    arguments = [part for argument in session.posargs for part in argument.split("=", 1)]
    if "--device" in arguments[:-1]:
        return "gpu" if arguments[arguments.index("--device") + 1] == "gpu" else "cpu"
    driver = Path("/proc/driver/nvidia/version").exists() or shutil.which("nvidia-smi")
    return "gpu" if driver else "cpu"


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """One session at a time is in this block: a build of the project writes into the checkout."""
    folder = ROOT / ".nox"
    folder.mkdir(exist_ok=True)
    with (folder / "build.lock").open("w") as lock:
        if fcntl:
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def install_project(session: nox.Session, *more: str) -> None:
    """Install bcdl, and the packages that it needs, from the checkout."""
    with alone():
        session.install("-e", ".", *more)


def install(session: nox.Session, backend: str, *more: str) -> None:
    """Install the backend's pinned requirements."""
    install_pinned(session, "-r", f"backends/{backend}/requirements-{device(session)}.txt", *more)


def install_pinned(session: nox.Session, *requirements: str, by: Callable[..., object] | None = None) -> None:
    """Install requirements, by `session.install` or `by`; if torch's index can't be reached, the ordinary wheel."""
    install_ = by or session.install
    try:
        install_(*requirements)
    except nox.command.CommandFailed:
        if "UV_TORCH_BACKEND" not in os.environ:
            raise
        session.warn("UV_TORCH_BACKEND's index could not be used; installing the ordinary wheel")
        install_(*requirements, env={"UV_TORCH_BACKEND": None})


def declare(backend: str) -> None:
    """Declare the three sessions of one backend."""

    @nox.session(name=f"bench-{backend}")
    def bench(session: nox.Session) -> None:
        install(session, backend)
        arguments = ["--backend", backend, "--benchmark-quiet", *session.posargs]
        # After Ctrl-C the run still ends its worker, says what is done, and draws its report.
        patience = {"interrupt_timeout": 300, "terminate_timeout": 30}
        session.run("pytest", "benchmarks", *arguments, env={"KERAS_BACKEND": backend}, **patience)

    @nox.session(name=f"tests-{backend}")
    def tests(session: nox.Session) -> None:
        install(session, backend, "-r", "tests/requirements.txt")
        # Two processes, a file to each: tracing and compiling use one core. And a thread to each: those of OpenMP wait
        # for each other by spinning, which takes a core from the other process.
        arguments = ["-m", "keras", "-n", "2", "--dist", "loadfile", *session.posargs]
        session.run("pytest", "tests", *arguments, env={"KERAS_BACKEND": backend, "OMP_NUM_THREADS": "1"})

    @nox.session(name=f"parity-{backend}")
    def parity(session: nox.Session) -> None:
        install(session, backend)
        session.run("python", "-m", "bcdl.parity", "reference", *session.posargs, env={"KERAS_BACKEND": backend})

    bench.__doc__ = f"Run the main job on {backend}: train and time the models, then draw tables and plots."
    tests.__doc__ = f"Run the tests that need Keras, on {backend}."
    parity.__doc__ = f"Make a float64 reference of each model on {backend}, if it can give one."


for name in BACKENDS:
    declare(name)


@nox.session(venv_backend="none")
def bench(session: nox.Session) -> None:
    """Run the main job on every backend, one after another."""
    for backend in BACKENDS:
        session.notify(f"bench-{backend}", session.posargs)


@nox.session(name="bench-ab")
def bench_ab(session: nox.Session) -> None:
    """Measure sides in turn: `-- --a jax --b torch --c tensorflow`, or `-- --a jax --b jax --b-with keras==3.14.0`.

    `--a-from FOLDER` has side a run the bcdl of another checkout, as of the base branch.
    """
    install_project(session, "uv")
    parser = argparse.ArgumentParser(prog="nox -s bench-ab --")
    for side in SIDES:
        parser.add_argument(f"--{side}", required=side in SIDES[:2], choices=BACKENDS, help="backend")
        parser.add_argument(f"--{side}-with", nargs="*", default=[], help="requirements that replace pinned ones")
    chosen, arguments = parser.parse_known_args(session.posargs)
    for side in SIDES:
        if backend := getattr(chosen, side):
            python = make_side(session, side, backend, getattr(chosen, f"{side}_with"))
            arguments += [f"--{side}", f"{backend}={python}"]
    session.run("python", "-m", "bcdl.ab", *arguments)


def make_side(session: nox.Session, side: str, backend: str, replaced: list[str]) -> str:
    """Make the environment of a side, with the requirements that replace pinned ones; the path of its Python."""
    programs = Path(session.virtualenv.bin)
    folder = Path(session.create_tmp()) / f"side-{side}"
    session.run("uv", "venv", "--quiet", "--clear", "--python", str(programs / "python"), str(folder))
    python = str(folder / programs.name / "python")
    into_side = functools.partial(session.run, "uv", "pip", "install", "--quiet", "--python", python)
    install_pinned(session, "-r", f"backends/{backend}/requirements-{device(session)}.txt", by=into_side)
    if replaced:
        install_pinned(session, *replaced, by=into_side)
    return python


@nox.session(name="bench-input")
def bench_input(session: nox.Session) -> None:
    """Time bcdl's input pipeline beside tf.data, torch's DataLoader and Grain, by cores: `-- --pixels 224`."""
    install_pinned(session, "-r", "benchmarks/requirements-input-pipelines.txt")
    session.run("python", "-m", "bcdl", "experiment", "input-pipelines", *session.posargs)


@nox.session(venv_backend="none")
def parity(session: nox.Session) -> None:
    """Show whether the backends compute the same models: make the reference, dump, judge, draw the report."""
    for backend in BACKENDS:
        session.notify(f"parity-{backend}", session.posargs)
    session.notify("parity-judge", session.posargs)


@nox.session(name="parity-judge")
def parity_judge(session: nox.Session) -> None:
    """Dump what each backend computes, exchange checkpoints and judge; after the sessions parity-<backend>."""
    install_project(session)
    programs = Path(session.virtualenv.bin)
    for step in ("dump", "exchange", "determinism"):  # each needs what all backends gave in the step before
        for backend in BACKENDS:
            python = programs.parent.parent / f"parity-{backend}" / programs.name / "python"
            command = (str(python), "-m", "bcdl.parity", step, *session.posargs)
            session.run(*command, env={"KERAS_BACKEND": backend}, external=True)
    session.run("python", "-m", "bcdl.parity", "judge", *session.posargs)


@nox.session(venv_backend="none")
def tests(session: nox.Session) -> None:
    """Run all tests: those without a framework, faults, page, wheel, SLURM, then those that need Keras by backend."""
    for name in ("fast", "faults", "page", "wheel", "slurm"):
        session.notify(f"tests-{name}", session.posargs)
    for backend in BACKENDS:
        session.notify(f"tests-{backend}", session.posargs)


@nox.session(name="tests-fast")
def tests_fast(session: nox.Session) -> None:
    """Run the tests that need no framework: a developer's inner loop; `-- --cov` also measures coverage."""
    install_project(session, "-r", "tests/requirements.txt")
    chosen = ["tests", "--ignore=tests/faults", "-m", "not keras and not elsewhere and not page and not slurm"]
    session.run("pytest", *chosen, "-n", "2", "--dist", "loadfile", *session.posargs)


@nox.session(name="tests-wheel")
def tests_wheel(session: nox.Session) -> None:
    """Test the wheel in an environment of its own, and a clone as Windows makes it."""
    install_project(session, "-r", "tests/requirements.txt")
    session.run("pytest", "tests", "-m", "elsewhere", *session.posargs)


@nox.session(name="tests-page")
def tests_page(session: nox.Session) -> None:
    """Test the page to explore in a headless Chromium, without a network."""
    install_project(session, "-r", "tests/requirements-page.txt")
    session.run("pytest", "tests/report/web", "-m", "page", *session.posargs)


@nox.session(name="tests-slurm")
def tests_slurm(session: nox.Session) -> None:
    """Hand cells to a SLURM of two nodes, which this starts in a folder of its own: some minutes."""
    install_project(session, "-r", "tests/requirements.txt")
    missing = session.run("python", "-m", "benchmarks.two_nodes", silent=True, success_codes=[0, 1])
    if missing:
        session.skip(str(missing).strip())
    pythons = os.pathsep.join(f"{backend}={make_side(session, backend, backend, [])}" for backend in BACKENDS)
    session.run("pytest", "tests/slurm", "-m", "slurm", *session.posargs, env={"BCDL_TEST_PYTHONS": pythons})


@nox.session(name="tests-faults")
def tests_faults(session: nox.Session) -> None:
    """Inject faults into drivers, workers, disks and input that need no framework: some minutes."""
    install_project(session, "-r", "tests/requirements.txt")
    session.run("pytest", "tests/faults", "-m", "not keras", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types and who imports whom: ruff, mypy and import-linter."""
    install_project(session, "-r", "tests/requirements.txt")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
    session.run("lint-imports", silent=True)  # shown if a contract is broken


@nox.session
def report(session: nox.Session) -> None:
    """Rebuild tables and plots from the records, or `-- --check` that they follow from them; needs no framework."""
    with alone():
        session.install("-e", ".[report]")
    session.run("python", "-m", "bcdl.report", *session.posargs)


@nox.session(default=False)
def lock(session: nox.Session) -> None:
    """Pin all requirements anew, from pyproject.toml."""
    session.install("uv")
    compile_ = ["uv", "pip", "compile", "pyproject.toml", "--universal", "--python-version", "3.11"]
    compile_ += ["--quiet", "--no-annotate", "--no-header", "--no-config"]
    for backend in BACKENDS:
        for extra, kind in ((backend, "cpu"), (f"{backend}-gpu", "gpu")):
            file = Path("backends") / backend / f"requirements-{kind}.txt"
            session.run(*compile_, "--extra", extra, "--group", "bench", "--output-file", str(file))
            finish_lock(file, f"extra {extra}", () if kind == "gpu" else GPU_PACKAGES)
    file = Path("benchmarks") / "requirements-input-pipelines.txt"
    session.run(*compile_, "--group", "input-pipelines", "--output-file", str(file))
    finish_lock(file, "group input-pipelines", GPU_PACKAGES)
    test = ["--group", "test", "--output-file", "tests/requirements.txt"]
    session.run(*compile_, *test)
    page = ["--extra", "report", "--group", "test", "--group", "test-page"]
    session.run(*compile_, *page, "--output-file", "tests/requirements-page.txt")


def finish_lock(file: Path, source: str, left_out: tuple[str, ...]) -> None:
    """Say in the file what it was made from, and leave out packages whose names begin so."""
    lines = [f"# Made by `nox -s lock` from pyproject.toml, {source}.", *file.read_text().splitlines()]
    file.write_text("\n".join(line for line in lines if not line.startswith(left_out)) + "\n")

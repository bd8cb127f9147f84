"""Write one folder to carry to a GPU machine that has frameworks but no network: source, wheels and a command.

There `bash run.sh` measures what is most valuable first, on every backend that the machine has, and what it has
measured leaves after every cell; `bcdl unpack` brings it home. docs/gpu.md shows the way.
"""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path

from bcdl.errors import run_command
from bcdl.machine import provenance
from bcdl.machine.hardware import MIB
from bcdl.pack import folder, wheels
from bcdl.screen import say
from bcdl.settings.arguments import Parser
from bcdl.text import names_in


def main() -> int:
    arguments = _parse()
    out = Path(arguments.out or f"bcdl-{arguments.tag}")
    provenance.take()
    size = folder.make(out, arguments.tag, names_in(arguments.more or ""), [Path(file) for file in arguments.parity])
    code = provenance.commit()
    say(f"{out}: {size / MIB:.1f} MiB of at most {folder.MOST_BYTES / MIB:.0f}, commit {code['commit'][:10]}")
    if code["dirty"]:
        say("note: the checkout has changes that this commit lacks, and its records will say so; commit, then pack")
    say(f"carry it to the machine, and run there: bash {_command(out)} SECONDS")
    return 0


def _command(out: Path) -> str:
    """The command in the folder as a shell takes it, whatever the folder's name."""
    name = Path(os.path.realpath(out)).name
    return shlex.quote(f"{'./' * name.startswith('-')}{name}/{folder.RUN}")


def _parse() -> argparse.Namespace:
    parser = Parser("pack", __doc__)
    parser.add_argument("--for", dest="tag", default="cp312", metavar="TAG", help="the machine's Python; default cp312")
    parser.add_argument("--out", metavar="FOLDER", help="folder that is made; default bcdl-TAG")
    parser.add_argument(
        "--with",
        dest="more",
        metavar="NAME,...",
        help=f"further packages that the machine lacks, besides {', '.join(wheels.NAMES)}",
    )
    parser.add_argument(
        "--parity", action="append", default=[], metavar="FILE", help="a parity reference that is carried along"
    )
    return parser.parse_args()


if __name__ == "__main__":
    run_command(main)

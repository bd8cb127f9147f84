"""`python -m bcdl.worker JOB RESULT EVENTS [JOB RESULT EVENTS]...`: see `bcdl.worker.measurement`."""

import os
import sys

from bcdl.machine import provenance


def main(*files: str) -> int:
    provenance.take()
    # Here, so that the code that was taken is the code that runs, whoever edits it meanwhile.
    from bcdl.worker import measurement

    return measurement.main(*files)


if __name__ == "__main__":
    code = main(*sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # The record is on the disk, and a framework takes seconds to go down in good order.
    os._exit(code)

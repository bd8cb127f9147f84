"""`python -m bcdl.worker JOB RESULT EVENTS [JOB RESULT EVENTS]...`: see `bcdl.worker.measurement`."""

import sys

from bcdl.worker.measurement import main

if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

"""bcdl: the same Keras 3 models, measured on JAX, TensorFlow and PyTorch.

The data flows one way: a `Cell` (what is to be run) goes into a worker process, a `Record` (what came
of it) comes out, and every table and plot is a pure function of records.
"""

import sys

from bcdl.errors import handle_uncaught

__version__ = "0.1.0"
# If a command finds this variable set, it ends when the process ends that holds the other end of its stdin.
ENDS_WITH_DRIVER = "BCDL_ENDS_WITH_DRIVER"

if sys.argv[:1] == ["-m"]:  # `python -m bcdl.NAME` finds its module: what that imports, it imports before `run_command`
    sys.excepthook = handle_uncaught

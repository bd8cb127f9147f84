"""The errors a person is meant to read: each says what is wrong, with which value, and what to do next."""

import sys
from collections.abc import Callable

from bcdl.text import legible


class BcdlError(Exception):
    """Something went wrong in a run that was asked for properly (exit code 1)."""

    exit_code = 1


class UsageError(BcdlError):
    """What was asked for can't be run: a wrong flag, name, folder or file (exit code 2)."""

    exit_code = 2


def run_command(main: Callable[[], int]) -> None:
    """Run a command's `main` and exit with its code; a BcdlError becomes a message, never a traceback."""
    try:
        sys.exit(main())
    except BcdlError as error:
        print("\n".join(map(legible, f"error: {error}".splitlines())), file=sys.stderr)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        print("interrupted; every finished cell's record is kept", file=sys.stderr)
        sys.exit(130)

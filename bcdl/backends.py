"""The door to `backends/`, the folder at the top of a checkout, under the name that a wheel gives it.

A wheel has that folder in this module's place, so that a program outside a checkout finds no top-level `backends`.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # for type checkers and the linter of imports, which follow files
    from backends import NAMES as NAMES
    from backends import Backend as Backend
    from backends import DeviceError as DeviceError
    from backends import Examples as Examples
    from backends import InputPipeline as InputPipeline
    from backends import NativeModel as NativeModel
    from backends import UnsupportedError as UnsupportedError
    from backends import check_precision as check_precision
    from backends import input_pipelines as input_pipelines
    from backends import is_installed as is_installed
    from backends import load as load
    from backends import says_memory_ran_out as says_memory_ran_out
else:
    _folder = Path(__file__).resolve().parent.parent / "backends"
    _spec = importlib.util.spec_from_file_location(
        __name__, _folder / "__init__.py", submodule_search_locations=[str(_folder)]
    )
    _package = importlib.util.module_from_spec(_spec)
    sys.modules[__name__] = _package  # what `import bcdl.backends` gives from now on
    _spec.loader.exec_module(_package)

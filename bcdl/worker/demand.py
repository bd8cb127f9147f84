"""How many weights a saved model asks for, counted before memory is taken for any of them.

A file of some kilobytes may ask for a layer of petabytes. A framework that is asked for them prints pages about its
memory, or the system ends the process without a word.
"""

from __future__ import annotations

import json
import math
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
from keras.src.backend.common import global_state  # has no public name

from bcdl.records import model_file
from bcdl.worker import weights_file

_FREE_WEIGHTS = 2**20  # states that a file need not hold, as those of random numbers


def check(file: Path) -> None:
    """Check that the weights in a .keras file are what they seem, and as many as its model asks for.

    Raises:
        ValueError: they are not; it says what is wrong.
        Exception: of any kind; Keras can't make a model of the configuration in the file.
    """
    with zipfile.ZipFile(file) as archive:
        stored = _stored(archive)
        config = json.loads(archive.read(model_file.CONFIG))
    # What Keras keeps of a model without memory is kept by thread: it ends with this one.
    with ThreadPoolExecutor(max_workers=1) as thread:
        asked = thread.submit(_asked, config).result()
    if asked > stored + _FREE_WEIGHTS:
        raise ValueError(f"its layers ask for {asked:,} weights, and the file holds at most {stored:,}")


def _stored(archive: zipfile.ZipFile) -> int:
    """The most weights that the file can hold; ValueError if they are not what they seem."""
    names = set(archive.namelist())
    for name in names & set(model_file.HDF5_WEIGHTS):
        with archive.open(name) as member:
            return weights_file.check(member)  # type: ignore[arg-type]
    # A weight in NumPy's format takes a byte or more.
    return sum(archive.getinfo(name).file_size for name in names & set(model_file.WEIGHTS))


def _asked(config: dict[str, object]) -> int:
    """How many weights the layers of a configuration have, those that no output needs too; no memory is taken for them.

    Raises:
        ValueError: a layer makes its weights of values, not of a shape, so that they can't be counted beforehand.
        Exception: of any kind; it is no configuration of a model.
    """
    with keras.StatelessScope(initialize_variables=False):
        try:
            keras.saving.deserialize_keras_object({**config, "compile_config": None}, safe_mode=True)
        except ValueError as error:
            if "stateless scope" in str(error):
                raise ValueError("a layer of it makes weights that can't be counted beforehand") from error
            raise
    # Not `model.weights`, which lacks those of a layer that no output needs; Keras makes them all the same.
    made = global_state.get_global_attribute("uninitialized_variables", ())
    return sum(math.prod(variable.shape) for variable in made)

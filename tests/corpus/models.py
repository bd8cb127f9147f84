"""Hostile `.keras` files, made of the file of a sound model, whose weights are named as those of `hostile_models`."""

from __future__ import annotations

import copy
import functools
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from tests.corpus import Hostile, archive, flagged, link, unpackable
from tests.hostile_models import SIGMOID

_CONFIG, _WEIGHTS = "config.json", "model.weights.h5"
_ASSUME = ("--assume", SIGMOID)
_STEM = "layers/conv2d/vars"  # of the one convolution, within the file of weights
_KERNEL = f"{_STEM}/0"


def _members(sound: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(sound)) as read:
        return {name: read.read(name) for name in read.namelist()}


def _comment(sound: bytes) -> bytes:
    with zipfile.ZipFile(io.BytesIO(sound)) as read:
        return read.comment


def archives(sound: bytes, outside: Path) -> Iterator[Hostile]:
    """Archives that two readers may read in two ways, of a model that says what it is; none may touch `outside`."""
    parts, said = _members(sound), _comment(sound)
    every = list(parts.items())
    other = archive([(name, part[::-1]) for name, part in every])
    config, weights = (_CONFIG, parts[_CONFIG]), (_WEIGHTS, parts[_WEIGHTS])

    def sealed(made: bytes) -> bytes:
        """The archive with what the sound one says of itself."""
        return made[:-2] + len(said).to_bytes(2, "little") + said

    for name, made in {
        "second-directory": other + archive(every),
        "behind-a-program": b"#!/bin/sh\nexit\n" + sound,
        "garbage-behind": sound + b"garbage" * 20_000,
        "no-directory": sound[: -22 - len(said)],
        "directory-outside": archive(every)[:-6] + b"\xff\xff\xff\x7f\x00\x00",
        "no-members": b"PK\x05\x06" + bytes(18),
        "65535-members-claimed": archive(every)[:-14] + b"\xff\xff\xff\xff" + archive(every)[-10:],
        "config-twice": archive([*every, config]),
        "weights-twice": archive([*every, weights]),
        "weights-of-both-kinds": archive([*every, ("model.weights.npz", b"PK\x05\x06" + bytes(18))]),
        "member-outside": archive([*every, ("../slipped", b"here")]),
        "member-absolute": archive([*every, (str(outside), b"here")]),
        "member-of-windows": archive([*every, ("..\\..\\slipped", b"here")]),
        "asset-outside": archive([*every, ("assets/../../slipped", b"here")]),
        "asset-a-link": archive([*every, (link("assets/link"), str(outside).encode()), ("assets/link/x", b"here")]),
        "member-without-name": archive([*every, ("", b"here")]),
        "folder-for-the-config": archive([("config.json/", b""), weights]),
        "weights-a-link": archive([config, (link(_WEIGHTS), b"/etc/passwd")]),
        "encrypted": flagged(archive(every), 1),
        "packed-by-no-way": unpackable(archive(every)),
        "other-name-within": archive(every).replace(b"config.json", b"c0nfig.json", 1),
        "bomb": archive([config, (_WEIGHTS, bytes(70 * 2**20))], packed=True),
        "config-of-a-bomb": archive([(_CONFIG, b" " * (65 * 2**20)), weights], packed=True),
        "assets-10000-times": archive([*every, *((f"assets/{number}", b"") for number in range(10_000))]),
    }.items():
        yield Hostile(f"{name}.keras", made, None if name in _EITHER else False, options=_ASSUME)
        if name in ("encrypted", "config-twice", "member-outside"):
            yield Hostile(f"{name}-and-sealed.keras", sealed(made))
    yield Hostile("packed.keras", archive(every, packed=True), True, options=_ASSUME)
    yield Hostile("sealed-by-another-model.keras", sealed(archive([(_CONFIG, parts[_CONFIG] + b" "), weights])))


_EITHER = ("second-directory", "behind-a-program", "65535-members-claimed", "asset-a-link")


def demands(sound: bytes) -> Iterator[Hostile]:
    """Files whose layers ask for far more weights than there are, of a model that says nothing of itself."""
    parts = _members(sound)
    for name, change in _DEMANDS.items():
        made = _with_config(parts, _changed(json.loads(parts[_CONFIG]), change))
        yield Hostile(f"{name}.keras", made, says="its layers ask for ", options=_ASSUME)


def _with_config(parts: dict[str, bytes], text: bytes | str | dict[str, Any]) -> bytes:
    """The file of these members, with another configuration."""
    raw = json.dumps(text).encode() if isinstance(text, dict) else text.encode() if isinstance(text, str) else text
    return archive([(name, raw if name == _CONFIG else part) for name, part in parts.items()])


def _changed(config: dict[str, Any], change: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    changed = copy.deepcopy(config)
    change(changed["config"])
    return changed


def configs(sound: bytes) -> Iterator[Hostile]:
    """Files whose configuration is no sound one, of a model that says nothing of itself."""
    parts = _members(sound)
    written = parts[_CONFIG].decode()
    config = json.loads(written)
    made = functools.partial(_with_config, parts)

    for name, text in {
        "nested-100000-deep": "[" * 100_000 + "]" * 100_000,
        "objects-100000-deep": '{"config":' * 100_000,
        "nested-in-a-layer": written.replace('"filters": 4', '"filters": ' + "[" * 50_000 + "]" * 50_000),
        "number-of-100000-digits": written.replace('"filters": 4', '"filters": ' + "9" * 100_000),
        "not-a-number": written.replace('"filters": 4', '"filters": NaN'),
        "infinite": written.replace('"filters": 4', '"filters": Infinity'),
        "mark-at-its-start": b"\xef\xbb\xbf" + written.encode(),
        "utf-16": written.encode("utf-16"),
        "half-a-letter": written.replace('"cnn"', '"\\ud800"'),
        "control-characters": written.replace('"cnn"', '"\\u001b]0;title\\u0007\\nerror: forged"'),
        "key-twice": written.replace('"filters": 4', '"filters": 4, "filters": 5'),
        "a-text": '"cnn"',
        "a-number": "7",
        "null": "null",
    }.items():
        yield Hostile(f"{name}.keras", made(text), None if name in _READABLE else False, options=_ASSUME)
    for name, change in _CHANGES.items():
        changed = _changed(config, change)
        yield Hostile(f"{name}.keras", made(changed), None if name in _READABLE else False, options=_ASSUME)
    yield Hostile("no-compiling.keras", made({**config, "compile_config": None}), True, options=_ASSUME)
    yield Hostile("compiled-by-no-one.keras", made({**config, "compile_config": {"loss": 7}}), None, options=_ASSUME)


_READABLE = (
    "mark-at-its-start",
    "utf-16",
    "half-a-letter",
    "control-characters",
    "layer-name-a-path",
    "layer-name-of-5000-letters",
    "layer-untaught",
)


def _layer(name: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
    return lambda config: next(layer for layer in config["layers"] if layer["class_name"] == name)


def _set(name: str, key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    """Sets a value in the configuration of the layer of this class."""
    return lambda config: _layer(name)(config)["config"].__setitem__(key, value)


def _replace(name: str, **values: Any) -> Callable[[dict[str, Any]], None]:
    """Replaces what says which class the layer has, or how it is called."""
    return lambda config: _layer(name)(config).update(values)


def _to_itself(config: dict[str, Any]) -> None:
    """Has the convolution take its own output."""
    layer = _layer("Conv2D")(config)
    text = json.dumps(layer["inbound_nodes"]).replace("preprocess", layer["name"])
    layer["inbound_nodes"] = json.loads(text)


def _own_policy(config: dict[str, Any]) -> None:
    policy = {"module": "os", "class_name": "mkdir", "config": {"path": "sprung"}, "registered_name": None}
    _layer("Conv2D")(config)["config"]["dtype"] = policy


def _unneeded(config: dict[str, Any]) -> None:
    """Adds a layer that is built by what the file says, and whose output nobody takes."""
    layer = copy.deepcopy(_layer("Dense")(config))
    layer.update(name="unneeded", build_config={"input_shape": [None, 2**20]}, inbound_nodes=[])
    layer["config"].update(name="unneeded", units=2**20)
    config["layers"].append(layer)


# Each asks for more weights than the file holds: of what a machine has, what it can address, and what none has.
_DEMANDS: dict[str, Callable[[dict[str, Any]], None]] = {
    "units-2^20": _set("Dense", "units", 2**20),
    "units-2^25": _set("Dense", "units", 2**25),
    "units-2^31": _set("Dense", "units", 2**31),
    "units-2^40": _set("Dense", "units", 2**40),
    "layer-that-no-output-needs": _unneeded,
}
_CHANGES: dict[str, Callable[[dict[str, Any]], None]] = {
    "negative-filters": _set("Conv2D", "filters", -4),
    "no-filters": _set("Conv2D", "filters", 0),
    "4-billion-filters": _set("Conv2D", "filters", 2**32),
    "other-filters": _set("Conv2D", "filters", 5),
    "filters-a-text": _set("Conv2D", "filters", "four"),
    "filters-a-list": _set("Conv2D", "filters", [4]),
    "window-of-2^20": _set("Conv2D", "kernel_size", [2**20, 2**20]),
    "steps-of-0": _set("Conv2D", "strides", [0, 0]),
    "padding-of-no-kind": _set("Conv2D", "padding", "../../x"),
    "units-negative": _set("Dense", "units", -2),
    "three-outputs": _set("Dense", "units", 3),
    "activation-of-no-kind": _set("Dense", "activation", "os.system"),
    "activation-of-a-module": _set(
        "Dense",
        "activation",
        {"module": "os", "class_name": "function", "config": "system", "registered_name": "x"},
    ),
    "initializer-of-a-module": _set(
        "Dense", "kernel_initializer", {"module": "os", "class_name": "mkdir", "config": {"path": "sprung"}}
    ),
    "precision-of-no-kind": _set("Conv2D", "dtype", "float7"),
    "precision-of-text": _set("Conv2D", "dtype", "string"),
    "precision-of-complex": _set("Conv2D", "dtype", "complex64"),
    "precision-of-a-module": _own_policy,
    "input-of-null": _set("InputLayer", "batch_shape", None),
    "input-of-no-size": _set("InputLayer", "batch_shape", [None, 0, 0, 3]),
    "input-of-2^31": _set("InputLayer", "batch_shape", [None, 2**31, 2**31, 3]),
    "input-negative": _set("InputLayer", "batch_shape", [None, -32, -32, 3]),
    "input-a-text": _set("InputLayer", "batch_shape", "32x32"),
    "input-of-fractions": _set("InputLayer", "batch_shape", [None, 32.5, 32.5, 3]),
    "input-of-1000-sides": _set("InputLayer", "batch_shape", [None] * 1000),
    "layer-of-itself": _to_itself,
    "layers-of-one-name": _set("Dense", "name", "stem_conv"),
    "layer-name-a-path": _set("Flatten", "name", "../../../x"),
    "layer-name-of-5000-letters": _set("Flatten", "name", "x" * 5_000),
    "layer-name-a-number": _set("Flatten", "name", 7),
    "layer-untaught": _set("Dense", "trainable", "no"),
    "layer-without-class": lambda config: _layer("Flatten")(config).pop("class_name"),
    "layer-without-config": lambda config: _layer("Flatten")(config).pop("config"),
    "layer-registered-as-of-os": _replace("Flatten", registered_name="os>system", class_name="system", module=None),
    "layer-of-a-module-path": _replace("Flatten", module="../../evil", class_name="Evil"),
    "layer-of-private-keras": _replace("Flatten", module="keras.src.saving", class_name="SafeModeScope"),
    "layer-of-a-function-of-keras": _replace("Flatten", module="keras.utils", class_name="get_file"),
    "layer-of-data-of-keras": _replace("Flatten", module="keras.datasets.mnist", class_name="load_data", config={}),
    "layer-of-any-function": _replace("Flatten", class_name="__lambda__", config={"code": "4wAAAA=="}),
    "layers-a-number": lambda config: config.update(layers=7),
    "no-outputs": lambda config: config.update(output_layers=[]),
    "output-of-no-layer": lambda config: config.update(output_layers=[["nobody", 0, 0]]),
    "output-of-place-2^40": lambda config: config.update(output_layers=[["scores", 2**40, 0]]),
}


def _with_weights(sound: bytes, change: Callable[[h5py.File], None]) -> bytes:
    """The file, whose weights were changed."""
    parts = _members(sound)
    stream = io.BytesIO(parts[_WEIGHTS])
    with h5py.File(stream, "r+") as file:
        change(file)
    return archive([(name, stream.getvalue() if name == _WEIGHTS else part) for name, part in parts.items()])


def weights(sound: bytes, secret: Path) -> Iterator[Hostile]:
    """Files whose weights are odd; `secret` is an HDF5 file with weights that would fit."""
    for name, change in h5_changes(secret, _KERNEL, (3, 3, 3, 4)).items():
        reads = True if name in H5_SOUND else None if name in H5_EITHER else False
        yield Hostile(f"weights-{name}.keras", _with_weights(sound, change), reads, options=_ASSUME)


H5_SOUND = ("packed-in-chunks", "halves", "doubles", "attribute-of-40-KiB")
H5_EITHER = ("whole-numbers", "big-endian")


_Change = Callable[[h5py.File], None]


def h5_changes(secret: Path, kernel: str, shape: tuple[int, ...]) -> dict[str, _Change]:
    """Changes of an HDF5 file of weights, by name; `kernel` is the path of one of these, of this shape.

    `secret` is a file outside, with weights that would fit.
    """
    of = _Kernel(kernel, shape)
    return {**_outside(of, secret), **_links(of), **_missing(of), **_shapes(of), **_kinds(of), **_values(of)}


class _Kernel(NamedTuple):
    """The weights that are changed: their path in the file, and their shape."""

    path: str
    shape: tuple[int, ...]

    def replaced(self, values: Callable[[np.ndarray], Any] | None = None, **options: Any) -> _Change:
        """Puts other weights in their place: those made of the old ones, if any are, with options of HDF5."""

        def change(file: h5py.File) -> None:
            kept = file[self.path][()]
            del file[self.path]
            data = {} if values is None else {"data": values(kept)}
            file.create_dataset(self.path, **data, **options)

        return change

    def linked(self, link: h5py.SoftLink | h5py.ExternalLink) -> _Change:
        """Puts a link in their place."""

        def change(file: h5py.File) -> None:
            del file[self.path]
            file[self.path] = link

        return change

    def filled(self, value: float) -> _Change:
        """Sets every number."""
        return lambda file: file[self.path].__setitem__(..., value)


def _outside(of: _Kernel, secret: Path) -> dict[str, _Change]:
    """Weights that are said to lie outside the file."""
    size = 4 * int(np.prod(of.shape))
    return {
        "linked-outside": of.linked(h5py.ExternalLink(str(secret), "/secret")),
        "linked-to-no-file": of.linked(h5py.ExternalLink("/etc/passwd", "/secret")),
        "linked-to-a-pipe": of.linked(h5py.ExternalLink("/dev/null", "/")),
        "kept-outside": of.replaced(shape=of.shape, dtype="f4", external=[(str(secret), 0, size)]),
    }


def _links(of: _Kernel) -> dict[str, _Change]:
    """Links within the file, most of which lead nowhere."""

    def move(file: h5py.File) -> None:
        file.move(of.path, "elsewhere")
        file[of.path] = h5py.SoftLink("/elsewhere")

    return {
        "linked-to-itself": of.linked(h5py.SoftLink(f"/{of.path}")),
        "linked-to-nothing": of.linked(h5py.SoftLink("/nowhere")),
        "soft-link-of-itself-beside": lambda file: file.__setitem__("loop", h5py.SoftLink("/loop")),
        "sound-by-a-soft-link": move,
        "group-of-itself": lambda file: file.__setitem__("layers/again", file["/"]),
    }


def _missing(of: _Kernel) -> dict[str, _Change]:
    """Files that lack weights."""

    def empty(file: h5py.File) -> None:
        for name in list(file):
            del file[name]

    def make_group(file: h5py.File) -> None:
        del file[of.path]
        file.create_group(of.path)

    return {"not-there": lambda file: file.__delitem__(of.path), "none-at-all": empty, "a-group": make_group}


def _shapes(of: _Kernel) -> dict[str, _Change]:
    """Weights of another shape, or that claim to be huge."""
    return {
        "huge-claim": of.replaced(shape=(2**31, 2**12), chunks=(1024, 1024), dtype="f4"),
        "bomb": of.replaced(lambda kept: np.zeros((2**21, 16), "f4"), compression=1),
        "other-shape": of.replaced(lambda kept: np.zeros((*of.shape[:-1], of.shape[-1] + 1), "f4")),
        "flat": of.replaced(lambda kept: kept.reshape(-1)),
        "one-number": of.replaced(lambda kept: np.float32(7)),
        "empty": of.replaced(lambda kept: h5py.Empty("f4")),
        "no-rows": of.replaced(lambda kept: np.zeros((0, *of.shape[1:]), "f4")),
    }


def _kinds(of: _Kernel) -> dict[str, _Change]:
    """Weights that are no numbers."""
    texts = h5py.string_dtype()
    return {
        "complex": of.replaced(lambda kept: kept.astype("c8") * 1j),
        "texts": of.replaced(lambda kept: np.full(of.shape, "one", object), dtype=texts),
        "texts-of-numbers": of.replaced(lambda kept: np.full(of.shape, "1", object), dtype=texts),
        "of-any-length": of.replaced(shape=of.shape, dtype=h5py.vlen_dtype(np.float32)),
        "references": of.replaced(shape=of.shape, dtype=h5py.ref_dtype),
        "structured": of.replaced(lambda kept: np.zeros(of.shape, [("a", "f4"), ("b", "f4")])),
        "bytes": of.replaced(lambda kept: np.zeros(of.shape, "S7")),
    }


def _values(of: _Kernel) -> dict[str, _Change]:
    """Numbers that are not finite, or written in other ways, which most readers take."""

    def note(file: h5py.File) -> None:
        file[of.path].attrs["note"] = np.zeros(40 * 2**10, np.uint8)

    return {
        "not-numbers": of.filled(float("nan")),
        "infinite": of.filled(float("inf")),
        "whole-numbers": of.replaced(lambda kept: np.ones(of.shape, "i8")),
        "halves": of.replaced(lambda kept: kept.astype("f2")),
        "doubles": of.replaced(lambda kept: kept.astype("f8")),
        "big-endian": of.replaced(lambda kept: kept.astype(">f4")),
        "packed-in-chunks": of.replaced(lambda kept: kept, compression=9),
        "attribute-of-40-KiB": note,
    }

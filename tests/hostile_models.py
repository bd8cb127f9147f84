"""Files that are no model of bcdl's: foreign models, broken ones, damaged archives, and such as would run code."""

from __future__ import annotations

import dataclasses
import json
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

PROBABILITIES, SIGMOID, LOGITS = "benign,malignant", "benign,malignant,sigmoid", "benign,malignant,logits"


@dataclasses.dataclass(frozen=True)
class Case:
    """A file for `bcdl predict`.

    Attributes:
        name: what it is; its file's name without the suffix.
        says: a part of the one line that refuses it.
        assume: the value of --assume, or none.
        code: the exit code.
    """

    name: str
    says: str
    assume: str = ""
    code: int = 2


def archive(file: Path, members: Mapping[str, bytes], comment: bytes = b"", compression: int = 0) -> Path:
    """A zip archive of the members."""
    with zipfile.ZipFile(file, "w", compression) as made:
        made.comment = comment
        for name, content in members.items():
            made.writestr(name, content)
    return file


def members(file: Path) -> dict[str, bytes]:
    """The members of a zip archive."""
    with zipfile.ZipFile(file) as read:
        return {name: read.read(name) for name in read.namelist()}


def comment(file: Path) -> bytes:
    with zipfile.ZipFile(file) as read:
        return read.comment


def damaged(folder: Path, sound: Path) -> Iterator[Case]:
    """Archives made of the file of a model that bcdl saved: cut, flipped, lacking, swapped, claiming too much."""
    content, parts, said = sound.read_bytes(), members(sound), comment(sound)
    config = json.loads(parts["config.json"])

    def write(name: str, says: str, made: bytes | Mapping[str, bytes], about: bytes = said, packed: int = 0) -> Case:
        file = folder / f"{name}.keras"
        if isinstance(made, bytes):
            file.write_bytes(made)
        else:
            archive(file, made, about, packed)
        return Case(name, says)

    whole = "is no whole .keras file"
    yield write("empty", whole, b"")
    yield write("text", whole, b"not a model\n")
    for share in (0.01, 0.3, 0.6, 0.9, 0.97):
        yield write(f"cut-at-{share}", whole, content[: int(share * (len(content) - len(said)))])
    for lacking in (1, len(said) // 2):
        yield write(f"cut-by-{lacking}", "what it says of itself can't be read", content[:-lacking])
    for place in (0.2, 0.4, 0.6, 0.8):
        at = int(place * len(content))
        flipped = content[:at] + bytes([content[at] ^ 0x10]) + content[at + 1 :]
        yield write(f"flipped-at-{place}", "is no whole .keras file", flipped)
    changed = "is damaged or was changed"
    weights = bytearray(parts["model.weights.h5"])
    weights[len(weights) // 2] ^= 0x10
    yield write("other-weights", changed, {**parts, "model.weights.h5": bytes(weights)})
    yield write("other-config", changed, {**parts, "config.json": parts["config.json"] + b" "})
    for lacking in ("config.json", "model.weights.h5"):
        rest = {name: part for name, part in parts.items() if name != lacking}
        yield write(f"no-{lacking}", "is no .keras file", rest)
    yield write("alien-member", "Keras writes no 'setup.py' into one", {**parts, "setup.py": b"print()"})
    yield write("slipping", "Keras writes no '../slipped.txt' into one", {**parts, "../slipped.txt": b"here"})
    yield write("slipping-asset", "Keras writes no 'assets/../../x'", {**parts, "assets/../../x": b"here"})
    bomb = {**parts, "model.weights.h5": bytes(200 * 2**20)}
    yield write("bomb", "too much for what it holds", bomb, packed=zipfile.ZIP_DEFLATED)
    yield write("huge-config", "too much for what it holds", {**parts, "config.json": b" " * (65 * 2**20)})
    for name, text in (
        ("newer", said.replace(b'"format": 1', b'"format": 2')),
        ("torn-words", said[: len(said) // 2]),
        ("other-classes", said.replace(b'"benign"', b'"cat"')),
        ("other-size", said.replace(b'"image_size": 32', b'"image_size": 48')),
        ("huge-size", said.replace(b'"image_size": 32', b'"image_size": 1e300')),
        ("no-members", said.replace(b'"members"', b'"others"')),
        ("listed-reading", said.replace(b'"reading": {', b'"reading": 3, "x": {')),
    ):
        says = {"newer": "by a newer bcdl", "torn-words": "what it says of itself", "other-size": "and takes 32"}
        yield write(name, says.get(name, changed), parts, text)
    yield write("unsaid", "does not say what it is", parts, b"")
    yield write("said-otherwise", "does not say what it is", parts, b'{"format": 1, "model": "cnn"}')
    for name, made in (
        ("config-of-nothing", b"{}"),
        ("config-of-a-list", b"[]"),
        ("config-no-json", b"{"),
        ("config-no-text", b"\xff\xfe\x00"),
        ("config-nested", b"[" * 200_000),
        ("config-no-layers", json.dumps({**config, "config": {}}).encode()),
        ("config-of-an-optimizer", _config_of("keras.optimizers", "Adam", {})),
        ("config-of-a-layer", _config_of("keras.layers", "Dense", {"units": 2})),
    ):
        yield dataclasses.replace(write(name, "", {**parts, "config.json": made}, b""), assume=SIGMOID)
    for name, made in (("h5-empty", b""), ("h5-garbage", b"\x89HDF\r\n\x1a\n" + bytes(range(256)) * 40)):
        case = write(name, "can't be loaded as a Keras model", {**parts, "model.weights.h5": made}, b"")
        yield dataclasses.replace(case, assume=SIGMOID)


def _config_of(module: str, name: str, config: dict[str, Any]) -> bytes:
    return json.dumps({"module": module, "class_name": name, "config": config, "registered_name": None}).encode()


def foreign(folder: Path, keras: Any) -> Iterator[Case]:
    """Models that Keras saves and loads, and that are none of bcdl's; each is saved into the folder."""
    layers = keras.layers

    def save(name: str, model: Any, says: str, assume: str = PROBABILITIES, code: int = 2) -> Case:
        model.save(folder / f"{name}.keras")
        return Case(name, says, assume, code)

    def chain(*parts: Any, shape: tuple[int | None, ...] = (32, 32, 3)) -> Any:
        return keras.Sequential([keras.Input(shape), *parts])

    def gives(first: float, second: float) -> Any:
        """A model of these two outputs, whatever the image."""
        model = chain(layers.GlobalAveragePooling2D(), layers.Dense(2, kernel_initializer="zeros"))
        model.layers[-1].bias.assign(np.array([first, second], np.float32))
        return model

    def pooled(units: int = 2, **arguments: Any) -> list[Any]:
        return [layers.GlobalAveragePooling2D(), layers.Dense(units, **arguments)]

    yield save("says-nothing", chain(*pooled(activation="softmax")), "does not say what it is", assume="")
    nan = gives(0.5, 0.5)
    nan.layers[-1].bias.assign(np.array([np.nan, 0.5], np.float32))
    yield save("nan-weight", nan, "NaN or infinite values in 1 of its 2 weights")
    infinite = gives(float("inf"), 0.5)
    yield save("infinite-weight", infinite, "NaN or infinite values")
    yield save(
        "nan-output", chain(layers.Rescaling(1e38), layers.Rescaling(1e38), *pooled()), "its outputs are", code=1
    )
    yield save("underflowed", gives(0.0, 0.0), "both its outputs are 0", SIGMOID, 1)
    yield save("negative", gives(-1.0, -2.0), "-1 and -2, no probabilities; if they are logits")
    yield save("above-one", gives(0.5, 1.5), "no probabilities; if they are logits")
    yield save("not-one", gives(0.9, 0.8), "do not add up to 1; if each is a probability of its own")
    yield save("oblong", chain(*pooled(), shape=(32, 48, 3)), "takes images of 32x48 pixels")
    yield save("any-size", chain(*pooled(), shape=(None, None, 3)), "takes images of anyxany pixels")
    yield save("grey", chain(*pooled(), shape=(32, 32, 1)), "takes [any, 32, 32, 1], not RGB images")
    yield save("four-channels", chain(*pooled(), shape=(32, 32, 4)), "takes [any, 32, 32, 4], not RGB images")
    yield save("channels-first", chain(layers.Flatten(), layers.Dense(2), shape=(3, 32, 32)), "not RGB images")
    yield save("flat", chain(layers.Dense(2), shape=(3072,)), "takes [any, 3072], not RGB images")
    yield save("video", chain(layers.Flatten(), layers.Dense(2), shape=(4, 32, 32, 3)), "not RGB images")
    yield save("one-output", chain(*pooled(1)), "has outputs [any, 1]")
    yield save("three-outputs", chain(*pooled(3)), "has outputs [any, 3]")
    yield save("map", chain(layers.Conv2D(2, 3)), "has outputs [any, 30, 30, 2]")
    yield save("unbuilt", keras.Sequential([layers.Flatten(), layers.Dense(2)]), "saved before it was built")
    one, other = keras.Input((32, 32, 3), name="one"), keras.Input((32, 32, 3), name="other")
    both = layers.Dense(2)(layers.GlobalAveragePooling2D()(layers.Add()([one, other])))
    single = layers.Dense(2)(layers.GlobalAveragePooling2D()(one))
    yield save("two-inputs", keras.Model([one, other], both), "takes 2 arrays, not one image")
    yield save("named-inputs", keras.Model({"a": one, "b": other}, both), "takes 2 arrays by name (a, b)")
    yield save("dict-input", keras.Model({"image": one}, single), "takes 1 array by name (image), not one image")
    yield save("dict-output", keras.Model(one, {"label": single}), "gives 1 array by name (label)")
    yield save("nested-output", keras.Model(one, [single, {"more": [single]}]), "gives 2 arrays")
    fixed = keras.Input(batch_shape=(8, 32, 32, 3))
    yield save("fixed-batch", keras.Model(fixed, layers.Dense(2)(layers.GlobalAveragePooling2D()(fixed))), "takes [8, ")
    enormous = chain(*pooled(), shape=(100_000, 100_000, 3))
    yield save("enormous", enormous, "100000x100000 pixels, more than 4096")


def holding_code(folder: Path, sound: Path, sprung: Path) -> Iterator[Case]:
    """Files whose configuration names what would run code, or read another file, if Keras followed it."""
    parts = members(sound)
    layers: dict[str, tuple[str, str, dict[str, Any]]] = {
        "function-of-os": ("os", "mkdir", {"path": str(sprung)}),
        "function-of-subprocess": ("subprocess", "run", {"args": ["touch", str(sprung)]}),
        "function-of-builtins": ("builtins", "exec", {"source": f"open({str(sprung)!r}, 'w')"}),
        "lambda": ("keras.layers", "Lambda", {"name": "x", "function": {"class_name": "__lambda__", "config": {}}}),
        "torch-module": ("keras.layers", "TorchModuleWrapper", {"name": "x", "module": "gASVAAAA"}),
        "tf-module": ("keras.layers", "TFSMLayer", {"name": "x", "filepath": str(folder)}),
        "get-file": ("keras.utils", "get_file", {"fname": "x", "origin": f"file://{sound}"}),
        "own-class": ("a_module_of_theirs", "TheirLayer", {"name": "x"}),
        "bcdl-function": ("bcdl.worker.saved_model", "load", {"file": str(sound)}),
    }
    for name, (module, class_name, arguments) in layers.items():
        config = json.loads(parts["config.json"])
        layer = next(part for part in config["config"]["layers"] if part["class_name"] == "Preprocess")
        layer.update(module=module, class_name=class_name, registered_name=None, config=arguments)
        archive(folder / f"{name}.keras", {**parts, "config.json": json.dumps(config).encode()})
        yield Case(name, "can't be loaded as a Keras model", SIGMOID)


def save_sound(file: Path, keras: Any, seal: Callable[[Path], None]) -> Path:
    """A small model like bcdl's own, which says what it is."""
    from bcdl.worker.network import Preprocess

    images = keras.Input((32, 32, 3), dtype="uint8", name="images")
    features = keras.layers.Conv2D(4, 3, name="stem_conv")(Preprocess("unit", name="preprocess")(images))
    scores = keras.layers.Dense(2, activation="sigmoid", name="scores")(keras.layers.Flatten()(features))
    keras.Model(images, scores, name="cnn").save(file)
    seal(file)
    return file

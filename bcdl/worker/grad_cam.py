"""Which part of an image speaks for a class: Grad-CAM, the same code on every backend.

Selvaraju et al. 2017, "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based Localization", ICCV,
doi 10.1109/ICCV.2017.74. A channel of a feature map weighs as much as the class's evidence rises with it, and the
heat map is what the weighed channels leave above zero.

**What is differentiated.** The paper takes the score before its softmax; these models end in two sigmoids, and their
score is p1 / (p0 + p1). Here it is the difference of the two logits, z1 - z0 for malignant and z0 - z1 for benign: it
is above 0 exactly if the model names that class, and it counts both outputs. The sigmoids' own gradient vanishes if
they are sure, and that of log(p1 / p0), the score's exact logit, keeps only the output that is near 0.

**Which map.** The backbone's last: behind it the head's valid convolutions shrink a 7x7 map to one of 1x1, which has
no places left. A model without a backbone is explained by its last convolution, as the paper advises
(section 3): of the layers that still know places, the one that is nearest to the decision.

**What it does not say.** The map has few cells (7x7 at 224 pixels), each of which sees far beyond itself, and the
weights are means over the map although the head weighs each place differently (Draelos and Carin 2020, arXiv
2011.08891). It shows where the evidence lies, not whether the reason is sound.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from bcdl.backends import Backend
from bcdl.datasets.pool import CLASSES
from bcdl.errors import UsageError
from bcdl.records import quality
from bcdl.worker import layout

_CONVOLUTIONS = (keras.layers.Conv2D, keras.layers.DepthwiseConv2D, keras.layers.SeparableConv2D)
_MAP_RANK = 4  # [B, H, W, C]


@dataclasses.dataclass(frozen=True)
class Explanation:
    """Where in one image the evidence for a class lies.

    Attributes:
        kind: the class explained, `benign` or `malignant`.
        score: the image's malignant score.
        layer: whose map the heat map is made of.
        heat: [h, w] float64, by the map's cells; 0 or more, on a scale that is this image's own.
    """

    kind: str
    score: float
    layer: str
    heat: np.ndarray


@dataclasses.dataclass(frozen=True)
class Cut:
    """A model in two, behind the layer whose map is explained.

    Attributes:
        layer: its name.
        before: from images [B, S, S, 3] uint8 to the map [B, h, w, C].
        after: from the map to the logits [B, 2] (benign, malignant).
    """

    layer: str
    before: Callable[[Any], Any]
    after: Callable[[Any], Any]


def explain(cut: Cut, adapter: Backend, image: np.ndarray, kind: str | None = None) -> Explanation:
    """The Grad-CAM heat map of `image` [S, S, 3] uint8 in inference mode, for class `kind`; None: the predicted one."""
    features = _to_numpy(cut.before(keras.ops.convert_to_tensor(image[None])))
    outputs = _to_numpy(keras.ops.sigmoid(cut.after(keras.ops.convert_to_tensor(features))))
    score = float(quality.malignant_scores(outputs)[0])
    kind = kind or CLASSES[int(score > 0.5)]
    explained = CLASSES.index(kind)

    def evidence(point: Any) -> Any:
        logits = cut.after(point)[0]
        return logits[explained] - logits[1 - explained]

    return Explanation(kind, score, cut.layer, grad_cam(features[0], adapter.gradient(evidence, features)[0]))


def grad_cam(features: np.ndarray, gradient: np.ndarray) -> np.ndarray:
    """Equations 1 and 2 of the paper: features [h, w, C] and the evidence's gradient there, to heat [h, w] float64."""
    weights = gradient.mean(axis=(0, 1), dtype=np.float64)
    return np.maximum(features.astype(np.float64) @ weights, 0)


def cut(model: keras.Model, layer: str | None = None) -> Cut:
    """`model` cut behind the layer of that name, in its backbone or outside; if none is named, `default_layer`.

    Raises UsageError if there is no such layer; if its output is no map, or not all that the layers after it need; or
    if the model is not a chain of layers that ends in two sigmoids, as bcdl's models are.
    """
    chain = _chain(model)
    name = layer or default_layer(model)
    before, after, shape = _split(chain, name)
    if len(shape) != _MAP_RANK:
        raise UsageError(f"--layer {name!r} gives {list(shape)}, not a map over places; {_advice(chain)}")
    rest, to_map = _run([*after[:-1], _logits(after[-1])]), _of_images(model, before)
    if not layout.is_turned([part.name for part in before]):
        _check_layout(before)
        return Cut(name, to_map, rest)
    return Cut(
        name,
        lambda images: keras.ops.transpose(to_map(images), (0, 2, 3, 1)),
        lambda features: rest(keras.ops.transpose(features, (0, 3, 1, 2))),
    )


def default_layer(model: keras.Model) -> str:
    """The backbone, which gives its last map, or the last convolution of a model that has none."""
    backbones = [part.name for part in model.layers if isinstance(part, keras.Model) and _convolves(part)]
    convolutions = [part.name for part in model.layers if isinstance(part, _CONVOLUTIONS)]
    if not backbones and not convolutions:
        raise UsageError(f"the model {model.name!r} has no convolution, so there is no map to explain it by")
    return (backbones or convolutions)[-1]


def _convolves(part: keras.Model) -> bool:
    return any(isinstance(layer, _CONVOLUTIONS) for layer in part._flatten_layers())


def _check_layout(before: list[Any]) -> None:
    """UsageError if a layer gives its channels before its places, of a model that is not turned as bcdl's are."""
    for layer in itertools.chain.from_iterable(part._flatten_layers() for part in before):
        if getattr(layer, "data_format", None) == "channels_first":
            raise UsageError(
                f"the layer {layer.name!r} gives its channels before its places; of such models, those of bcdl alone "
                "can be explained"
            )


def _chain(model: keras.Model) -> list[Any]:
    """The model's layers in the order in which they run, one after another; the last is that of the scores."""
    chain = [part for part in model.layers if not isinstance(part, keras.layers.InputLayer)]
    scores = chain[-1]
    if not isinstance(scores, keras.layers.Dense) or scores.activation is not keras.activations.sigmoid:
        raise UsageError(f"the model {model.name!r} does not end in sigmoid outputs, so its logits are not known")
    if any(len(keras.tree.flatten(part.input)) > 1 for part in chain):
        raise UsageError(f"the model {model.name!r} branches outside its backbone, which no model of bcdl does")
    _check_steps(model, len(chain))
    return chain


def _check_steps(model: keras.Model, layers: int) -> None:
    """UsageError if the model does more than run so many layers, each once: what it does besides would be left out."""
    steps = [step for step in model.get_config().get("layers", ()) if step["class_name"] != "InputLayer"]
    if len(steps) != layers:
        raise UsageError(f"the model {model.name!r} computes outside its layers, so they alone can't explain its score")
    for step in steps:
        if len(step.get("inbound_nodes", ())) > 1:
            raise UsageError(f"the model {model.name!r} runs its layer {step['config']['name']!r} several times")


def _split(chain: list[Any], name: str) -> tuple[list[Any], list[Any], tuple[int | None, ...]]:
    """What runs up to the end of layer `name`, what runs after it, and the shape it gives."""
    for place, part in enumerate(chain):
        before, after = chain[:place], chain[place + 1 :]
        if part.name == name:
            return [*before, part], after, part.output.shape
        if isinstance(part, keras.Model) and name in {inner.name for inner in part.layers}:
            first, rest = _split_backbone(part, name)
            return [*before, *first], [*rest, *after], part.get_layer(name).output.shape
    raise UsageError(f"the model has no layer {name!r}; {_advice(chain)}")


def _split_backbone(backbone: keras.Model, name: str) -> tuple[list[Any], list[Any]]:
    features = backbone.get_layer(name).output
    if features is backbone.output:
        return [backbone], []
    try:
        return [keras.Model(backbone.inputs, features)], [keras.Model(features, backbone.output)]
    except ValueError as error:  # Keras finds a path that does not pass through the map
        raise UsageError(
            f"--layer {name!r} lies on one of several branches of {backbone.name}, so its map is not all that the "
            "scores depend on; name a layer in which the branches have met"
        ) from error


def _logits(scores: keras.layers.Dense) -> keras.layers.Dense:
    """The layer of the scores without its sigmoid."""
    layer = keras.layers.Dense.from_config({**scores.get_config(), "activation": "linear"})
    layer.build(scores.input.shape)
    layer.set_weights(scores.get_weights())
    return layer


def _of_images(model: keras.Model, parts: list[Any]) -> Callable[[Any], Any]:
    """`parts` one after another, from images of any type: cast as the model itself does."""
    run = _run(parts)
    return lambda images: run(keras.ops.cast(images, model.inputs[0].dtype))


def _run(parts: list[Any]) -> Callable[[Any], Any]:
    """`parts` one after another, in inference mode: batch norms by their moving averages, nothing dropped out."""

    def run(values: Any) -> Any:
        for part in parts:
            values = part(values, training=False)
        return values

    return run


def _advice(chain: list[Any]) -> str:
    maps = [part.name for part in chain if len(part.output.shape) == _MAP_RANK]
    return f"the layers that give one are {', '.join([*maps, 'those within a backbone'])}"


def _to_numpy(value: Any) -> np.ndarray:
    return np.array(keras.ops.convert_to_numpy(value), dtype=np.float32)

"""Differences between backends that are understood, each with the place upstream that describes it.

A test runs each backend's layer checks. It fails if a difference listed here is gone (delete its row), or if there is
one that is not listed.
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class KnownDifference:
    """A difference from the definition.

    Attributes:
        check: the row of `bcdl.parity.worker.layer_checks.check` that shows it, or `OPTIMIZER_IN_A_FILE`.
        backend: the backend that differs.
        cause: what happens, in a sentence.
        upstream: issue or pull request.
        seen_in: the Keras version in which it was seen.
        meets: which of the seven models meet it, a sentence.
        layer_type: the class of the layers that differ; empty if the difference is not in a layer.
    """

    check: str
    backend: str
    cause: str
    upstream: str
    seen_in: str
    meets: str
    layer_type: str = ""


OPTIMIZER_IN_A_FILE = "optimizer in a .keras file"
UNKNOWN = "cause unknown"


def is_known(check: str, backend: str) -> bool:
    """Whether the row `check` of the layer checks is known to differ on `backend`."""
    return any((row.check, row.backend) == (check, backend) for row in KNOWN_DIFFERENCES)


def cause_of(layer_type: str, backend: str) -> str:
    """The known cause of a difference in a layer of that type on that backend, or that it is unknown."""
    for row in KNOWN_DIFFERENCES:
        if layer_type and (row.layer_type, row.backend) == (layer_type, backend):
            return f"known: {row.cause} ({row.upstream})"
    return UNKNOWN


def _clipped(backend: str) -> KnownDifference:
    return KnownDifference(
        check="binary cross-entropy, gradient at a saturated score",
        backend=backend,
        cause="scores are clipped to 1e-7 .. 1 - 1e-7 before the logarithm, so that the gradient of a logit beyond 16 "
        "is 0; TensorFlow in graph mode finds the logits behind the sigmoid and does not clip",
        upstream="tensorflow/tensorflow #118313, of the same in tf.keras; no report on Keras 3 is known",
        seen_in="3.15.1",
        meets="A model meets it only once a score has come within 1e-7 of 0 or 1; none does in this comparison.",
    )


# The models have this pooling on odd maps only, on which padding is symmetric: test_models.py checks it.
KNOWN_DIFFERENCES = (
    KnownDifference(
        check="AveragePooling2D 3 stride 2 same on 8",
        backend="torch",
        cause="average pooling with asymmetric `same` padding repeats the edge pixels before it averages",
        upstream="keras-team/keras #23177, fixed after 3.15.1 by #23233",
        seen_in="3.15.1",
        meets="None of the seven models has this pooling on an even map.",
        layer_type="AveragePooling2D",
    ),
    KnownDifference(
        check=OPTIMIZER_IN_A_FILE,
        backend="torch",
        cause="a .keras file names the optimizer by a module that only this backend has; other backends load the file "
        "with custom_objects={NAME: keras.optimizers.NAME}, or with compile=False",
        upstream="not reported upstream as far as is known",
        seen_in="3.15.1",
        meets="All models meet it when their file is loaded elsewhere.",
    ),
    _clipped("jax"),
    _clipped("torch"),
)

# Backends on which Keras does operations of two float64 values in float32, so that float64 gives no reference there
# (keras-team/keras #23704; seen in Keras 3.15.1).
UNSOUND_FLOAT64 = ("jax", "torch")

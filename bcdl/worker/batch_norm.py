"""Which statistics batch norms normalise by in inference, and whether these have settled.

A batch norm normalises by its batch while it trains and by moving averages in inference. Keras starts these averages
at 0 and 1 and moves them by a hundredth a step (less in the NASNets), so that after a short training they still are
mostly what they started as, and inference is that of another model: the source study's curves show it. The modes:

- `moving`: Keras's averages, as they are.
- `faster`: the same, moved by a tenth a step.
- `reestimated`: after every epoch, the statistics of training images under the weights as they now are (Wu and Johnson
  2021, "Rethinking 'Batch' in BatchNorm", arXiv 2105.07576, section 3).
- `frozen`: those of the backbone stay as they were loaded, in training too, as is usual in fine-tuning; those of the
  head are `reestimated`.
"""

from __future__ import annotations

import keras
import numpy as np

from bcdl.backends import Backend
from bcdl.datasets import Split
from bcdl.records import quality
from bcdl.settings.cell import Cell
from bcdl.worker.network import every_layer
from bcdl.worker.snapshot import DiskSnapshot

FASTER_MOMENTUM = 0.9
# Images that re-estimation sees. The error of a mean falls with their root; beyond some hundred little is gained (Wu
# and Johnson 2021, section 3.3).
REESTIMATION_IMAGES = 128
# Training images on which training-mode and inference-mode accuracy are compared, in batches.
PROBE_BATCHES = 4


def prepare(model: keras.Model, mode: str) -> None:
    """Have the batch norms of a model that is not compiled yet behave as `mode` says."""
    for layer in every_layer(model):
        if isinstance(layer, keras.layers.BatchNormalization):
            if mode == "faster":
                layer.momentum = FASTER_MOMENTUM
            if mode == "frozen" and layer not in model.layers:  # of the backbone, which is a model in this one
                layer.trainable = False


def settle(model: keras.Model, adapter: Backend, split: Split, cell: Cell) -> None:
    """Give the batch norms that train the statistics of images of `split`, if the cell's mode says so."""
    if cell.batch_norm in ("reestimated", "frozen"):
        drawn = _draw(split, cell, max(1, REESTIMATION_IMAGES // cell.batch_size))
        reestimate(model, adapter, _batches(drawn, cell))


def reestimate(model: keras.Model, adapter: Backend, batches: list[np.ndarray]) -> None:
    """Set the moving averages to the mean of the statistics of `batches`; all other state stays as it is.

    Each batch is images [B, S, S, 3] uint8.

    The averages start at 0 and each batch goes forward in training mode. After K batches an average is the sum of
    (1 - m) m^(K-1-j) b_j over the batches j; divided by 1 - m^K, the sum of these weights, it is a mean of the batches'
    statistics b_j.
    """
    norms = [n for n in every_layer(model) if isinstance(n, keras.layers.BatchNormalization) and n.trainable]
    averages = [(average, norm.momentum) for norm in norms for average in (norm.moving_mean, norm.moving_variance)]
    ours = {id(average) for average, _ in averages}
    others = [v for v in model.non_trainable_variables if id(v) not in ours]
    before = DiskSnapshot(others)
    for average, _ in averages:
        average.assign(np.zeros(average.shape, dtype=np.float32))
    _training_outputs(model, adapter, batches)
    before.restore()
    for average, momentum in averages:
        average.assign(np.asarray(keras.ops.convert_to_numpy(average)) / (1 - momentum ** len(batches)))


def probe(
    model: keras.Model, adapter: Backend, outputs: np.ndarray, probed: Split, cell: Cell
) -> dict[str, float | None]:
    """Accuracy and loss on the same images in training mode and in inference mode, whose `outputs` are given.

    Training mode normalises by the batch's own statistics (and has dropout active), inference mode by moving
    averages: if the second is far below the first, the averages have not settled. All state is put back.

    Args:
        model: as it was trained.
        adapter: of its backend.
        outputs: [N, 2] float32, the inference outputs on the images.
        probed: the N images, as `to_probe` gives them.
        cell: the cell, for its batch size.

    Returns:
        Accuracy (0..1) and loss (nats) in each mode, by the names that records have.
    """
    before = DiskSnapshot(model.non_trainable_variables)
    in_training = np.concatenate(_training_outputs(model, adapter, _batches(probed, cell)))
    before.restore()
    return {
        "train_mode_accuracy": quality.accuracy(in_training, probed.labels),
        "train_mode_loss": quality.loss(in_training, probed.labels),
        "inference_mode_accuracy": quality.accuracy(outputs, probed.labels),
        "inference_mode_loss": quality.loss(outputs, probed.labels),
    }


def to_probe(split: Split, cell: Cell) -> Split:
    """Images of `split` on which both modes are compared: full batches."""
    return _draw(split, cell, PROBE_BATCHES)


def _training_outputs(model: keras.Model, adapter: Backend, batches: list[np.ndarray]) -> list[np.ndarray]:
    """Training-mode outputs of each batch, which moves the averages on."""
    with adapter.forwarding_in_training(model) as forward:
        return [keras.ops.convert_to_numpy(forward(adapter.put(images)[0])) for images in batches]


def _batches(split: Split, cell: Cell) -> list[np.ndarray]:
    """The images of the split as full batches; its size is a multiple of the batch size."""
    return np.split(split.images, len(split) // cell.batch_size)


def _draw(split: Split, cell: Cell, most: int) -> Split:
    """Images drawn from the split, `most` full batches at most."""
    count = min(most, len(split) // cell.batch_size) * cell.batch_size
    chosen = np.random.default_rng([cell.seed, len(split)]).permutation(len(split))[:count]
    return split.at(chosen)

"""Parity: whether the backends compute the same model, and by how much they differ.

`python -m bcdl.parity` dumps what one backend computes; a step without Keras joins the dumps into findings,
one a model, from which the report draws. The data flows one way:

    plan -> dump (a process a backend) + reference (float64) -> exchange of checkpoints -> join -> finding -> report

- `plan`: what is compared, at which size, and where dumps lie;
- `dump`: one model on this process's backend: start, batches, outputs, gradient, steps, checkpoint;
- `reference`: the same in float64, perturbed too, which tells how far rounding alone moves each figure;
- `units`: each layer type, the loss and the optimizers against NumPy in float64;
- `numpy_layers`: those layers in NumPy;
- `checkpoints`: each backend's checkpoint loaded on this one;
- `determinism`: what it costs to make a backend repeat itself, where it does not;
- `trunk`: what these share: the model opened up behind its preprocessing;
- `rounding`: the random streams and small moves that imitate rounding;
- `join`: dumps into findings, with a verdict for each pair;
- `known`: differences that are understood, with their upstream reference;
- `finding`: what is kept; `comparison`, `page` and `picture`: how it is shown.
"""

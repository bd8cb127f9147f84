"""Parity: whether the backends compute the same model, and by how much they differ.

`bcdl parity` dumps what one backend computes; a step without Keras judges the dumps and makes a finding of each model,
which the report shows. The data flows one way:

    plan -> dump (one process a backend) + reference (float64) -> exchange of checkpoints -> judge -> finding -> report

- `settings`: the plan of what is compared, at which size;
- `dumps`: what a backend computed, on the disk;
- `judge`: makes a finding of the dumps, with a verdict for each pair of backends;
- `findings`: the result for one model, a line of JSON;
- `verdicts`: groups of findings for the report, and their verdict on a measured record;
- `known_differences`: the differences that are understood, each with its upstream reference;
- `worker`: the steps that run on a backend; the only part that imports Keras.
"""

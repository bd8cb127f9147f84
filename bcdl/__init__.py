"""bcdl: the same Keras 3 models, measured on JAX, TensorFlow and PyTorch.

The data flows one way: a `Cell` (what is to be run) goes into a worker process, a `Record` (what came
of it) comes out, and every table and plot is a pure function of records.
"""

__version__ = "0.1.0"

"""The worker: one cell in, one record out. Only this package and `bcdl.parity.worker` import Keras."""

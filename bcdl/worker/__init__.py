"""The worker: one cell in, one record out. With `bcdl.parity.worker`, all that imports Keras."""

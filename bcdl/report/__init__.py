"""Makes pages, tables, plots and cards of records, parity findings and experiments."""

from bcdl.machine import places

places.settle_matplotlib()  # here, since it is to be before any module of this room imports matplotlib

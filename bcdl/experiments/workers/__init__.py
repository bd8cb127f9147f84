"""Workers that stand in for `bcdl.worker` in experiments."""

"""Hands the cells of a run to a cluster's scheduler, a task each, and follows them until each has its record."""

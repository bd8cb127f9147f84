"""Experiments: one thing measured two ways in turn, one file an experiment."""

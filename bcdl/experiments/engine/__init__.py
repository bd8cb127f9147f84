"""Runs an experiment: its definition, its rounds, and what its ways may use."""

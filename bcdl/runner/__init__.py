"""The driver: starts a worker process for each cell, holds it to its limits, and keeps its record."""

"""The driver: starts a worker process for each cell, keeps it within its limits, and stores its record."""

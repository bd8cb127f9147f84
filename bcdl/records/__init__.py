"""What is kept of runs: records and experiments, the log that holds them, and the rule of what may be compared."""

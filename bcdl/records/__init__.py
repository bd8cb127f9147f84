"""What came of it, on the disk: records, the log that keeps them, and the rule of what may stand together."""

"""What runs an experiment: its definition, its rounds, and what its ways have at hand."""

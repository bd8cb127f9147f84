"""Statistics of figures of speed, and the bootstrap that all figures share."""

"""Statistics: effects and comparisons of rates, power, steadiness, and the bootstrap that all figures share."""

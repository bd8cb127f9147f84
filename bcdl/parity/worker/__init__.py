"""What parity computes on a backend; all of it imports Keras."""

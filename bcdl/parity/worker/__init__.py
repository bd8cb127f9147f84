"""What parity computes on a backend. Every module but `__main__` imports Keras at its top."""

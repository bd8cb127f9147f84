"""The steps of parity that compute on a backend. Every module but `__main__` imports Keras at its top."""

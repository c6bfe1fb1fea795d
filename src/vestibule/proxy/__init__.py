"""The data plane: from a connection to a backend and back."""

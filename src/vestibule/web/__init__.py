"""The control plane: sign-in, callback, sign-out and the pages people see (ASGI)."""

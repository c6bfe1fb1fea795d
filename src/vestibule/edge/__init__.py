"""Where connections begin: the PROXY header, TLS, and who is let in to it."""

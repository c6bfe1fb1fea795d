"""Benchmarks: Vestibule beside nginx as a plain reverse proxy, and beside oauth2-proxy, in the same run."""

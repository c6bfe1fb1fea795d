"""The terminal console: what a gateway does, live. It asks the admin API and nothing else."""

"""Where state is kept: Protocols in `base`, one backend a module."""

"""Vouch's configuration, file and environment, as one of ours."""

from vestibule.config.importers.vouch.whole import import_vouch

__all__ = ["import_vouch"]

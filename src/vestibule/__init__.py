"""Vestibule: the entrance hall for web apps."""

__version__ = "0.1.0"

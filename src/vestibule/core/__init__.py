"""Decisions, pure: no await, no clock, no I/O, no logging."""

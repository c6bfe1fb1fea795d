"""Which part of the program one process is."""

from __future__ import annotations

import enum


class Role(enum.Enum):
    """Which of the program's processes this is."""

    WHOLE = "whole"
    """The only one."""
    CONTROL = "control"
    """The one with pages, admin API and jobs, where others carry the traffic."""
    WORKER = "worker"
    """One that carries traffic."""

    @property
    def has_sites(self) -> bool:
        """True for who listens to people, backends and edges."""
        return self is not Role.CONTROL

    @property
    def has_control(self) -> bool:
        """True for who has pages and admin API, and does the jobs that one of all processes does."""
        return self is not Role.WORKER

"""The directory of what the program keeps."""

from __future__ import annotations

import stat

from vestibule.config.compile import Compiled
from vestibule.errors import StoreError
from vestibule.observe.log import Log


def have_state(compiled: Compiled, log: Log) -> None:
    """Make the state directory, where there is none. Raises StoreError."""
    try:
        compiled.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as exc:
        raise StoreError(f"the state directory {compiled.state} can't be made: {exc.strerror}") from exc
    if compiled.state.stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        # Who can write there can put a database of their own in place of ours.
        log.warning("state_open", path=compiled.state, detail="others can write to it: chmod go-w")

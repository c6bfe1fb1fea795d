"""What a process that was just forked makes of signals."""

from __future__ import annotations

import os
import signal

import pytest

from vestibule.child import forget_signals

NOTED = (signal.SIGTERM, signal.SIGHUP)
LATER = (signal.SIGHUP,)


@pytest.mark.parametrize(
    ("signum", "ends_by"),
    [(signal.SIGTERM, -signal.SIGTERM), (signal.SIGHUP, 0)],
    ids=["one that ends it", "one that waits until somebody listens"],
)
def test_a_signal_that_came_before_is_the_process_s_own(signum, ends_by):
    """Threat: it is noted as its parent's, and the process that was to end goes on."""
    noted = []
    before = {one: signal.signal(one, lambda number, _frame: noted.append(number)) for one in NOTED}
    signal.pthread_sigmask(signal.SIG_BLOCK, NOTED)
    try:
        pid = os.fork()
        if pid == 0:
            os.kill(os.getpid(), signum)
            forget_signals(NOTED, LATER)
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == ends_by
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, NOTED)
        for one, handler in before.items():
            signal.signal(one, handler)
    assert noted == []

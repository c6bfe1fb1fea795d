"""A host without an app: from `/` to the account page, and nothing else."""

from __future__ import annotations

import pytest

from tests.helpers.exchange import get
from tests.unit.proxy.plane import PlainAnswers
from vestibule.proxy.account import Account


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        (b"GET", b"/", 303),
        (b"HEAD", b"/", 303),
        (b"POST", b"/", 405),
        (b"GET", b"/index.html", 404),
        (b"POST", b"/index.html", 404),
    ],
)
def test_the_root_leads_to_the_account_page_and_nothing_else_is_there(method, path, status):
    exchange = get(path, method=method)
    Account(PlainAnswers()).begin(exchange)
    assert exchange.status == status
    location = [line for line in exchange.lines if line.startswith(b"Location")]
    assert location == ([b"Location: /@/account"] if status == 303 else [])

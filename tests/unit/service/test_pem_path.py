"""Where OpenSSL reads certificates and keys."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from vestibule.model import Secret
from vestibule.service.pem_path import pem_path


@pytest.mark.parametrize("has_memory", [True, False], ids=["in memory", "a file of its own"])
def test_the_text_can_be_read_meanwhile_and_not_afterwards(monkeypatch, has_memory):
    if not has_memory:
        monkeypatch.delattr(os, "memfd_create", raising=False)
    with pem_path(Secret("a certificate and its key")) as path:
        assert Path(path).read_text("ascii") == "a certificate and its key"
        assert Path(path).stat().st_mode & 0o077 == 0 or path.startswith("/proc/self/fd/")
    assert not Path(path).exists()

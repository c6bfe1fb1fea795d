"""docs/routes.md: its tables are true."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.house.test_docs import HCL, loaded, quoted, table
from vestibule.config.compile import compile_config
from vestibule.core.passage import Passage
from vestibule.core.template import Person, parse
from vestibule.errors import ClientError
from vestibule.model import Identity
from vestibule.protocol import url

REWRITES = table("docs/routes.md", "asked for")
VALUES = table("docs/routes.md", "in a value")


@pytest.mark.parametrize(("asked", "got"), REWRITES, ids=lambda cell: cell)
def test_the_table_of_rewrites_is_true(asked: str, got: str, tmp_path: Path):
    block = next(block for block in HCL if block.page.name == "routes.md" and "/teams/{claim" in block.text)
    host = compile_config(loaded(block, tmp_path)).table.host(b"app.example.com")
    assert host is not None
    path, *teams = quoted(asked)
    target = url.canonical(path.encode())
    rewrite = (host.route(target.path).passage or Passage()).rewrite
    found = set()
    for team in (teams or ["none"]) if quoted(got) else [*teams, ""]:
        identity = Identity(client="okta", issuer="https://i", subject="1", claims={"team": team})
        try:
            goes = target if rewrite is None else rewrite.target(target, Person("u1", (identity,)))
            found.add(goes.full.decode())
        except ClientError as error:
            found.add(str(error.status))
    assert found == set(quoted(got) or ["403"])


@pytest.mark.parametrize("cell", VALUES, ids=lambda cell: cell[0])
def test_every_value_a_header_may_hold_is_one(cell: list[str]):
    for name in quoted(cell[0]):
        assert name in ("{{", "}}") or parse(name).slots

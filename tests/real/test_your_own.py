"""The kind of provider that docs/providers/your-own.md shows, installed as it stands there, lets people in and keeps them out."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import pytest
from aiohttp import web
from hatchling.builders.wheel import WheelBuilder

from tests.house.source import ROOT
from tests.real.standin import CLIENT, SECRET, StandIn
from tests.real.visitor import new_visitor

pytestmark = pytest.mark.real

PAGE = ROOT / "docs" / "providers" / "your-own.md"
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def shown() -> Mapping[str, str]:
    """The page's blocks by language; the configuration is the one without."""
    return dict(_BLOCK.findall(PAGE.read_text("utf-8")))


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder for `sys.path` with the package, built as its own `pyproject.toml` says."""
    source, target = tmp_path / "vestibule-mattermost", tmp_path / "installed"
    source.mkdir()
    (source / "pyproject.toml").write_text(shown()["toml"], "utf-8")
    (source / "vestibule_mattermost.py").write_text(shown()["python"], "utf-8")
    (wheel,) = WheelBuilder(str(source)).build(directory=str(tmp_path / "dist"), versions=["standard"])
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


class Mattermost(StandIn):
    """A Mattermost server with one account, in teams of two pages."""

    authorize_path: ClassVar[str] = "/oauth/authorize"
    token_path: ClassVar[str] = "/oauth/access_token"

    def __init__(self) -> None:
        super().__init__()
        self.teams: list[Any] = [{"name": "one"}, {"name": "two"}, {"name": "staff"}]

    async def api(self, request: web.Request) -> Any:
        if request.path == "/api/v4/users/me/teams":
            return self.paged(request, self.teams)
        address = {"email": "ann@example.com", "email_verified": True}
        return {"id": "u17", "username": "ann", "nickname": "Ann", **address}


async def test_the_kind_in_the_docs_signs_people_in_and_keeps_others_out(installed, api, gateway):
    standin = Mattermost()
    standin.url = (await api(answer=standin.answer)).url
    text = shown()[""].replace("https://chat.example.com", standin.url)
    text = text.replace("app.example.com", "localhost").replace("localhost:3000", "internal:echo")
    environ = {"MATTERMOST_ID": CLIENT, "MATTERMOST_SECRET": SECRET, "PYTHONPATH": str(installed)}
    running = gateway('gateway { http = ["127.0.0.1:{port}"] }\n' + text, env=environ)
    address = f"http://localhost:{running.port}/@chat/signin?rd=/a"
    async with new_visitor() as ann, ann.get(address) as page:
        assert page.status == 200, await page.text()
        told = {name.lower(): value for name, value in (await page.json())["headers"]}
    assert told["user-email"] == "ann@example.com"
    standin.teams = [{"name": "staffers"}]
    async with new_visitor() as ann, ann.get(address) as page:
        assert page.status == 403
    standin.teams = [{"name": "staff"}, {"id": "no name"}]
    async with new_visitor() as ann, ann.get(address) as page:
        assert page.status == 502
    assert standin.wrong == []

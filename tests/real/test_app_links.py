"""The files by which systems know whose links are an app's, as docs/apps.md has them: for everybody, as JSON, at once."""

from __future__ import annotations

import re

import aiohttp
import pytest

from tests.house.source import ROOT
from tests.ports import Ports
from tests.real.visitor import new_visitor

pytestmark = pytest.mark.real

FILES = ("apple-app-site-association", "assetlinks.json")


async def test_association_files_are_public_json_and_all_else_is_not(gateway, ports: Ports, tmp_path) -> None:
    page = (ROOT / "docs" / "apps.md").read_text("utf-8")
    _, _, section = page.partition("### Links of your own site")
    text, *contents = re.findall(r"```(?:hcl|json)\n(.*?)```", section, re.DOTALL)[:3]
    folder = tmp_path / "app-links"
    (folder / ".well-known").mkdir(parents=True)
    for name, content in zip(FILES, contents, strict=True):
        (folder / ".well-known" / name).write_text(content, "utf-8")
    port = ports.take()
    text = text.replace("static:app-links", f"static:{folder}")
    text = text.replace(
        'sign_in = ["google"]', f'sign_in = ["google"]\n  public_url = "http://localhost:{port}"'
    )
    text = text.replace("forum.example.com", "localhost")
    text = re.sub(r"redirects = .*", 'redirects = ["http://127.0.0.1/callback"]', text)
    env = {"GOOGLE_CLIENT_ID": "id", "GOOGLE_CLIENT_SECRET": "canary-secret"}
    gateway(f'gateway {{\n  http = ["127.0.0.1:{{port}}"]\n}}\n{text}', port=port, env=env)
    async with new_visitor(user_agent="AASA-Bot/1.0.0") as system:
        for name, content in zip(FILES, contents, strict=True):
            url = f"http://localhost:{port}/.well-known/{name}"
            async with system.get(url, allow_redirects=False) as answer:
                assert (answer.status, answer.content_type) == (200, "application/json")
                assert await answer.text() == content
            assert await status(system, f"{url}/x") in {401, 404}
        assert await status(system, f"http://localhost:{port}/app/callback?code=x") == 401
        # No OpenID provider is told of: what AppAuth's discovery would look for is the backend's, behind the sign-in.
        assert await status(system, f"http://localhost:{port}/.well-known/openid-configuration") == 401


async def status(system: aiohttp.ClientSession, url: str) -> int:
    async with system.get(url, allow_redirects=False) as answer:
        return answer.status

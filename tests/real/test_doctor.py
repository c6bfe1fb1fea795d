"""`vestibule doctor` against the real thing, set up rightly and wrongly."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.real import nginx
from tests.real.edges import EdgeHouse, build, caddy
from tests.real.fault import Fault
from tests.real.house import CONFIGURATION


@dataclasses.dataclass(frozen=True)
class Report:
    """What it printed as JSON."""

    code: int
    findings: tuple[Mapping[str, str], ...]
    text: str

    def level(self, code: str, subject: str = "") -> str:
        """How bad the findings of this code are, each once; empty: there is none."""
        levels = {one["level"] for one in self.findings if one["code"] == code and subject in one["subject"]}
        return " ".join(sorted(levels))

    def detail(self, code: str) -> str:
        """What the first of this code says."""
        return next(one["detail"] for one in self.findings if one["code"] == code)

    @property
    def failed(self) -> set[str]:
        """Codes of what has to be done."""
        return {one["code"] for one in self.findings if one["level"] == "fail"}


def doctor(
    file: Path, ca_file: Path, *options: str, env: Mapping[str, str] | None = None, clock: str = ""
) -> Report:
    """Run it; `clock`: as faketime takes it."""
    argv = [sys.executable, "-m", "vestibule", "doctor", str(file), "--json", *options]
    if clock:
        argv = ["faketime", "-f", clock, *argv]
    environ = {**os.environ, "SSL_CERT_FILE": str(ca_file), **(env or {})}
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, env=environ, cwd=file.parent, timeout=60
    )
    assert done.stdout, done.stderr
    said = json.loads(done.stdout)
    assert said["ok"] is (done.returncode == 0)
    return Report(done.returncode, tuple(said["findings"]), done.stdout + done.stderr)


async def asked(file: Path, ca_file: Path, *options: str, **more: Any) -> Report:
    """The same beside a loop in which servers of the test run."""
    return await asyncio.to_thread(doctor, file, ca_file, *options, **more)


# -- edges ------------------------------------------------------------------------------------


@pytest.fixture(params=("nginx", "caddy", "haproxy"))
async def edge_house(request, ports, api, openid, gateway, servers, tmp_path) -> EdgeHouse:  # noqa: PLR0917 - fixtures
    """An edge with what `vestibule export` prints."""
    return await build(
        request.param,
        ports=ports,
        api=api,
        openid=openid,
        gateway=gateway,
        servers=servers,
        directory=tmp_path / "edge",
    )


async def probed(house: EdgeHouse, ca_file: Path) -> Report:
    """What it says with itself in the place of the app."""
    await house.app.__aexit__()
    return await asked(house.gateway.file, ca_file, "--stand-in", f"127.0.0.1:{house.app.port}")


async def test_an_edge_as_it_was_exported_is_well(edge_house, ca_file):
    report = await probed(edge_house, ca_file)
    for code in ("edge_client", "edge_asks", "edge_people"):
        assert report.level(code) == "ok", report.text
    assert not {code for code in report.failed if code.startswith("edge")}


async def test_while_the_app_answers_itself_it_is_said_what_cannot_be_seen(edge_house, ca_file):
    report = await asked(edge_house.gateway.file, ca_file)
    assert report.level("edge_app_unseen") == "skip"
    assert report.level("edge_asks") == "ok"
    seen = edge_house.app.seen
    assert all(one.method in ("GET", "HEAD") for one in seen)


#: what a wrong edge has in common: all below /@ is the gateway's, all else the app's
_NGINX_WRONG = """
access_log off;
server {{
    listen 127.0.0.1:{edge};
    {more}
    location /@/ {{
        proxy_pass http://127.0.0.1:{gateway};
        proxy_set_header Host $http_host;
        {forwarded}
    }}
    location = /ask {{
        internal;
        proxy_pass http://127.0.0.1:{asked}/@/validate;
        proxy_pass_request_body off;
        proxy_set_header Content-Length "";
        {question}
    }}
    location / {{
        {ask}
        proxy_pass http://127.0.0.1:{app};
        proxy_set_header Host $http_host;
        {people}
    }}
}}
"""
_RIGHT = {
    "more": "",
    "forwarded": "proxy_set_header X-Forwarded-For $remote_addr;",
    "question": "proxy_set_header X-Original-Method $request_method; "
    "proxy_set_header X-Original-URL $scheme://$http_host$request_uri; "
    'proxy_set_header X-Forwarded-Method ""; proxy_set_header X-Forwarded-Uri ""; '
    "proxy_set_header X-Forwarded-For $remote_addr;",
    "ask": "auth_request /ask;",
    "people": " ".join(
        f'proxy_set_header {name} "";'
        for name in (
            *("User-Id", "User-Email", "User-Groups", "Proxy-Provider", "Remote-User", "Remote-Email"),
            *("X-Forwarded-User", "X-Forwarded-Email", "X-Auth-Request-User", "X-Auth-Request-Email"),
            *("X-Vouch-User", "X-Pomerium-Claim-Email", "X-Forwarded-For", "X-Real-IP", "Forwarded"),
        )
    ),
}


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        pytest.param({}, "", id="as it should be"),
        pytest.param({"people": ""}, "edge_forged_person", id="the client's own headers reach the app"),
        pytest.param(
            {"more": "underscores_in_headers on;"}, "edge_asks", id="odd spellings, which stop the question"
        ),
        pytest.param({"ask": ""}, "edge_asks_nobody", id="it doesn't ask"),
        pytest.param({"forwarded": ""}, "edge_forged_client", id="the client's own X-Forwarded-For"),
        pytest.param(
            {"forwarded": 'proxy_set_header X-Forwarded-For "";'}, "edge_tells_nobody", id="no client told of"
        ),
        pytest.param(
            {
                "question": "proxy_set_header X-Forwarded-Method $http_x_forwarded_method; "
                "proxy_set_header X-Forwarded-For $remote_addr;"
            },
            "edge_forged_target",
            id="what it asks about, the client says",
        ),
    ],
)
async def test_a_wrong_edge_is_found_out(  # noqa: PLR0917 - fixtures
    changed, code, ports, api, openid, gateway, servers, tmp_path, ca_file
):
    house = await wrong(
        changed,
        ports=ports,
        api=api,
        openid=openid,
        gateway=gateway,
        servers=servers,
        directory=tmp_path / "edge",
    )
    report = await probed(house, ca_file)
    if not code or code == "edge_asks":
        assert report.level("edge_asks") == "ok", report.text
        assert report.level("edge_people") == "ok", report.text
        return
    expected = "warn" if code == "edge_tells_nobody" else "fail"
    assert report.level(code) == expected, report.text


async def wrong(changed: Mapping[str, str], *, directory: Path, servers, **parts) -> EdgeHouse:
    """An nginx that somebody wrote themselves."""
    house = await build("nginx", servers=servers, directory=directory, **parts)
    house.edge.stop()
    text = house.gateway.file.read_text("utf-8")
    asked = text.partition('forward_auth    = "127.0.0.1:')[2].partition('"')[0]
    places = {"edge": house.edge_port, "gateway": house.gateway.port, "asked": asked, "app": house.app.port}
    own = directory / "own"
    own.mkdir()
    house.edge = nginx.started(own, _NGINX_WRONG.format(**{**_RIGHT, **changed}, **places))
    servers.callback(house.edge.stop)
    servers.callback(lambda: print(f"--- nginx\n{house.edge.shown}"))
    house.edge.wait_port(house.edge_port)
    return house


async def test_an_edge_that_leads_elsewhere_and_one_that_is_away(  # noqa: PLR0917 - fixtures
    ports, api, openid, gateway, servers, tmp_path, ca_file
):
    parts = {"ports": ports, "api": api, "openid": openid, "gateway": gateway, "servers": servers}
    house = await build("caddy", directory=tmp_path / "edge", **parts)
    house.edge.stop()
    report = await asked(house.gateway.file, ca_file)
    assert report.level("edge_unreached") == "fail"
    file = tmp_path / "Caddyfile"
    file.write_text(
        f"{{\n\tadmin off\n}}\nhttp://app.localhost:{house.edge_port} {{\n\treverse_proxy 127.0.0.1:{house.app.port}\n}}\n"
    )
    other = caddy(file)
    servers.callback(other.stop)
    other.wait_port(house.edge_port)
    assert (await asked(house.gateway.file, ca_file)).level("edge_elsewhere") == "fail"


def test_an_edge_that_is_not_trusted_is_named(  # noqa: PLR0917 - fixtures
    gateway, ports, api_port, servers, tmp_path, ca_file
):
    """A gateway behind a plain proxy, without trusted_proxies."""
    edge = ports.take()
    text = f"""
gateway {{
  http = ["127.0.0.1:{{port}}"]
}}
host "app.localhost" {{
  backend = "127.0.0.1:{api_port}"
  public_url = "http://app.localhost:{edge}"
  access {{
    allow = ["public"]
  }}
}}
"""
    running = gateway(text)
    lines = f"""
server {{
    listen 127.0.0.1:{edge};
    location / {{
        proxy_pass http://127.0.0.1:{running.port};
        proxy_set_header Host $http_host;
        proxy_set_header X-Forwarded-For $remote_addr;
    }}
}}
"""
    started = nginx.started(tmp_path, lines)
    servers.callback(started.stop)
    started.wait_port(edge)
    report = doctor(running.file, ca_file)
    assert report.level("edge_untrusted") == "warn", report.text
    assert "127.0.0.1" in report.detail("edge_untrusted")


@pytest.fixture
def api_port(nginx) -> int:
    """Of a backend that answers."""
    return nginx("location / { return 204; }").port


# -- providers --------------------------------------------------------------------------------


async def test_a_provider_that_is_well_with_the_url_to_register(house, ca_file):
    report = await asked(house.gateway.file, ca_file)
    assert report.level("provider_discovery") == "ok", report.text
    assert report.level("provider_credentials") == "ok"
    assert f"{house.origin}/@op/callback" in report.text
    assert report.level("clock_good") == "ok"
    assert report.level("backend_answers") == "ok"
    assert "app-secret" not in report.text
    assert report.code == (1 if report.failed else 0)


async def test_a_wrong_secret(house, ca_file):
    text = house.gateway.file.read_text("utf-8").replace('"app-secret"', '"not-the-secret"')
    house.gateway.file.write_text(text, "utf-8")
    report = await asked(house.gateway.file, ca_file)
    assert report.level("provider_credentials") == "fail"
    assert report.code == 1
    assert "not-the-secret" not in report.text


async def test_a_provider_that_is_down_or_hangs(house, ca_file, ports):
    house.provider.process.stop()
    assert (await asked(house.gateway.file, ca_file)).level("provider_discovery") == "fail"
    with Fault(ports.take(), house.app.port) as fault:
        fault.hang()
        text = house.gateway.file.read_text("utf-8")
        house.gateway.file.write_text(
            text.replace(house.provider.issuer, f"http://127.0.0.1:{fault.port}"), "utf-8"
        )
        assert (await asked(house.gateway.file, ca_file)).level("provider_discovery") == "fail"


@pytest.mark.parametrize(
    ("clock", "code"), [("+10m", "clock_wrong"), ("-10m", "clock_wrong"), ("+20s", "clock_off")]
)
async def test_a_clock_that_is_off(house, ca_file, clock, code):
    report = await asked(house.gateway.file, ca_file, clock=clock)
    assert report.level(code), report.text


# -- the rest ---------------------------------------------------------------------------------


async def test_without_a_running_gateway_all_else_is_tried(house, ca_file):
    house.gateway.stop()
    before = sorted(str(path) for path in house.gateway.directory.rglob("*"))
    report = await asked(house.gateway.file, ca_file)
    assert report.level("not_running") == "skip"
    assert report.level("port_free") == "ok"
    assert report.level("provider_discovery") == "ok"
    assert report.level("store_good") == "ok"
    after = sorted(str(path) for path in house.gateway.directory.rglob("*"))
    assert [path for path in after if path not in before] == []


async def test_ports_of_the_running_gateway_and_of_another_program(house, ca_file):
    assert (await asked(house.gateway.file, ca_file)).level("port_ours") == "ok"
    other = house.gateway.directory / "other.hcl"
    state = 'http = ["127.0.0.1'
    text = house.gateway.file.read_text("utf-8").replace(state, f'state = "elsewhere"\n  {state}')
    other.write_text(text, "utf-8")
    report = await asked(other, ca_file)
    assert report.level("port_taken") == "fail"
    assert "python" in report.detail("port_taken") or "vestibule" in report.detail("port_taken")


async def test_a_configuration_with_faults_is_told_of_and_the_rest_is_tried(house, ca_file):
    text = house.gateway.file.read_text("utf-8")
    house.gateway.file.write_text(text.replace("access {", "acess {", 1), "utf-8")
    report = await asked(house.gateway.file, ca_file)
    assert report.level("fault") == "fail"
    assert "acess" in report.text
    assert report.level("state_good") == "ok"
    assert report.level("store_good") == "ok"


async def test_a_backend_that_is_away_and_a_key_that_others_can_read(house, ca_file):
    await house.app.__aexit__()
    (house.gateway.directory / "state").chmod(0o770)
    report = await asked(house.gateway.file, ca_file)
    assert report.level("backend_unreached") == "fail"
    assert report.level("state_writable") == "fail"
    assert "chmod 700" in report.text


def test_the_table_on_a_terminal(house_file, ca_file):
    argv = [sys.executable, "-m", "vestibule", "doctor", house_file.name]
    environ = {**os.environ, "SSL_CERT_FILE": str(ca_file), "COLUMNS": "80"}
    done = subprocess.run(
        argv, capture_output=True, text=True, check=False, env=environ, timeout=60, cwd=house_file.parent
    )
    assert [line for line in done.stdout.splitlines() if len(line) > 80] == []
    assert "Ports" in done.stdout
    assert done.stdout.rstrip().splitlines()[-1].endswith(("well", "not looked at"))


@pytest.fixture
def house_file(tmp_path, ports) -> Path:
    """A configuration that nothing runs on."""
    file = tmp_path / "app.hcl"
    text = CONFIGURATION.replace("{port}", str(ports.take())).replace(
        "ISSUER", f"http://127.0.0.1:{ports.take()}"
    )
    for mark in ("BACKEND", "CALL", "API"):
        text = text.replace(mark, str(ports.take()))
    file.write_text(text, "utf-8")
    return file


# -- stores -----------------------------------------------------------------------------------

_STORED = """
gateway {{
  http = ["127.0.0.1:{port}"]
}}
store {{
  {store}
}}
host "localhost" {{
  backend = "internal:echo"
  access {{
    allow = ["public"]
  }}
}}
"""
_KEY = {"VESTIBULE_SESSION_KEY": "a-key-of-a-test-that-nobody-guesses-0123456789"}


def stored(tmp_path: Path, ports, store: str) -> Path:
    file = tmp_path / "stored.hcl"
    file.write_text(_STORED.format(port=ports.take(), store=store), "utf-8")
    file.chmod(0o600)
    return file


def test_a_postgres_that_is_well_empty_or_away(postgres, postgres_cluster, ports, tmp_path, ca_file):
    file = stored(tmp_path, ports, f'url = "{postgres.url}"\n  timeout = "2s"')
    report = doctor(file, ca_file, env=_KEY)
    assert report.level("store_good") == "ok", report.text
    assert report.level("store_fast") == "ok"
    assert report.level("clock_good", "postgresql") == "ok"
    empty = postgres_cluster.database(empty=True)
    file = stored(tmp_path, ports, f'url = "{empty.url}"')
    assert doctor(file, ca_file, env=_KEY).level("store_empty") == "ok"
    for port in (ports.take(),):
        away = postgres.url.replace(f":{postgres_cluster.port}/", f":{port}/")
        report = doctor(stored(tmp_path, ports, f'url = "{away}"'), ca_file, env=_KEY)
        assert report.level("postgres_unreached") == "fail"
    wrong_password = postgres.url.replace("p%40ss", "wrong")
    report = doctor(stored(tmp_path, ports, f'url = "{wrong_password}"'), ca_file, env=_KEY)
    assert report.level("postgres_unreached") == "fail"
    assert "wrong%2Fword" not in report.text
    assert "wrong/word" not in report.text


def test_a_postgres_of_a_newer_version_and_one_that_is_slow(postgres_cluster, ports, tmp_path, ca_file):
    newer = postgres_cluster.database()
    newer.execute("UPDATE alembic_version SET version_num = '9999'")
    file = stored(tmp_path, ports, f'url = "{newer.url}"')
    assert doctor(file, ca_file, env=_KEY).level("store_newer") == "fail"
    with Fault(ports.take(), postgres_cluster.port) as fault:
        fault.slow(0.1)
        slow = postgres_cluster.database().url.replace(f":{postgres_cluster.port}/", f":{fault.port}/")
        report = doctor(stored(tmp_path, ports, f'url = "{slow}"'), ca_file, env=_KEY)
        assert report.level("store_slow") == "warn", report.text
        fault.hang()
        report = doctor(stored(tmp_path, ports, f'url = "{slow}"'), ca_file, env=_KEY)
        assert report.level("postgres_unreached") == "fail"


def test_a_redis_that_forgets_and_one_that_is_away(redis, ports, tmp_path, ca_file):
    redis.server.say("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    try:
        report = doctor(stored(tmp_path, ports, f'sessions = "{redis.url}"'), ca_file)
    finally:
        redis.server.say("CONFIG", "SET", "maxmemory-policy", "noeviction")
    assert report.level("redis_good") == "ok", report.text
    assert report.level("redis_forgets") == "warn"
    assert "noeviction" in report.text
    assert redis.server.say("DBSIZE") == 0
    report = doctor(stored(tmp_path, ports, f'sessions = "redis://127.0.0.1:{ports.take()}"'), ca_file)
    assert report.level("redis_unreached") == "fail"

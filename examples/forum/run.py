#!/usr/bin/env python3
"""The forum, on this machine, by one command: `examples/forum/run.py`.

PostgreSQL, Redis, HAProxy, two nodes of the gateway, the services behind it, and stand-ins for Google and Apple where
no client ids of the real ones are in the environment. Everything is in a directory of its own, which is removed again.
"""

from __future__ import annotations

import argparse
import base64
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from functools import partial
from itertools import chain
from pathlib import Path
from urllib.parse import urlsplit

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from servers import (  # noqa: E402 - it stands beside the examples, wherever they are started from
    Missing,
    Postgres,
    Stage,
    accepts,
    answers,
    free_ports,
    python,
    start_postgres,
    start_redis,
)

REAL = {
    "GOOGLE": ("GOOGLE_CLIENT_ID", "GOOGLE_CLIENT_SECRET"),
    "APPLE": ("APPLE_CLIENT_ID", "APPLE_TEAM_ID", "APPLE_KEY_ID", "APPLE_PRIVATE_KEY_FILE"),
}
"""What is in the environment where the real ones are meant."""
NATIVE = ("GOOGLE_NATIVE_CLIENT_ID", "APPLE_BUNDLE_ID")
"""And where apps sign people in by their SDKs, too."""
ISSUERS = {"GOOGLE_ISSUER": "https://accounts.google.com", "APPLE_ISSUER": "https://appleid.apple.com"}
STANDINS = {
    "GOOGLE_CLIENT_ID": "forum.apps.googleusercontent.example",
    "GOOGLE_CLIENT_SECRET": secrets.token_urlsafe(24),
    "GOOGLE_NATIVE_CLIENT_ID": "forum-ios.apps.googleusercontent.example",
    "APPLE_CLIENT_ID": "com.example.forum.web",
    "APPLE_BUNDLE_ID": "com.example.forum",
    "APPLE_TEAM_ID": "FORUM12345",
    "APPLE_KEY_ID": "KEY1234567",
}
NODES = ("node1", "node2")
PORTS = ("POSTGRES", "REDIS", "GOOGLE", "APPLE", "POSTS", "NEWSFEED", "EVENTS", "NODE1", "NODE2")


class Forum:
    """All of it. Raises Missing."""

    def __init__(self, stage: Stage, site: str, port: int, registration: str) -> None:
        self._stage = stage
        self._ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self._site, self._port = site, port
        self._real = real_ones(os.environ)
        self._nodes: dict[str, subprocess.Popen[bytes]] = {}
        self._env = {
            "FORUM": str(HERE),
            "SITE": site,
            "SITE_HOST": str(urlsplit(site).hostname),
            "SITE_SCHEME": urlsplit(site).scheme,
            "SITE_PORT": str(port),
            "REGISTRATION": registration,
            "HOOK_SECRET": f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}",
            "VESTIBULE_SESSION_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
            **{f"{name}_PORT": str(number) for name, number in self._ports.items()},
        }

    def start(self) -> None:
        """From what everything needs to what people see. Raises Missing, TimeoutError."""
        postgres = start_postgres(self._stage, self._ports["POSTGRES"])
        self._env["DATABASE_URL"] = postgres.url()
        self._env["REDIS_URL"] = start_redis(self._stage, self._ports["REDIS"])
        self._start_services(self._database_of_posts(postgres))
        self._env |= self._providers()
        for name in NODES:
            self._start_node(name)
        self._stage.start("haproxy", ["haproxy", "-db", "-f", HERE / "haproxy.cfg"], self._env)
        self._stage.wait("haproxy", partial(answers, self._port))

    def keep(self) -> None:
        """Start a node again that has ended, as systemd would; for ever."""
        while True:
            for name, process in self._nodes.items():
                if process.poll() is not None:
                    last_words = "\n".join(self._stage.log(name).splitlines()[-2:])
                    self._start_node(name)
                    print(f"{name} has ended and is back: {self._nodes[name].pid}\n{last_words}", flush=True)
            time.sleep(0.2)

    @property
    def pids(self) -> str:
        """The process of each node."""
        return ", ".join(f"{name} {process.pid}" for name, process in self._nodes.items())

    @property
    def sdks(self) -> str:
        """Where phones find the stand-ins' SDKs."""
        standins = (f"{name.lower()}={self._env[f'{name}_ISSUER']}" for name in REAL)
        return " ".join(one for one in standins if "=http://" in one) or "none: the real ones are asked"

    def _database_of_posts(self, postgres: Postgres) -> str:
        """A database of the post service's own, whose user sees nothing of the gateway's."""
        password = secrets.token_urlsafe(24)
        file = self._stage.directory / "posts.sql"
        file.touch(mode=0o600)
        file.write_text(
            f"CREATE ROLE posts LOGIN PASSWORD '{password}';\nCREATE DATABASE posts OWNER posts;\n"
        )
        asked = ("psql", "-q", "-X", "-h", "127.0.0.1", "-p", str(postgres.port), "-U", "vestibule")
        more = ("-v", "ON_ERROR_STOP=1", "-f", str(file), "postgres")
        self._stage.run("psql", [*asked, *more], {"PGPASSWORD": postgres.password})
        return postgres.url("posts", "posts", password)

    def _start_services(self, posts_database: str) -> None:
        addresses = {f"{name}_URL": f"http://127.0.0.1:{self._ports[name]}" for name in ("POSTS", "EVENTS")}
        env = {**self._env, **addresses, "POSTS_DATABASE_URL": posts_database}
        file = str(self._stage.directory / "events.ndjson")
        for name, more in (("events", ("--file", file)), ("posts", ()), ("newsfeed", ())):
            argv = [
                python(),
                HERE / "services" / f"{name}.py",
                "--port",
                self._env[f"{name.upper()}_PORT"],
                *more,
            ]
            self._stage.start(name, argv, env, is_shown=name == "events")
        for name in ("events", "posts", "newsfeed"):
            self._stage.wait(name, partial(accepts, self._ports[name.upper()]))

    def _providers(self) -> dict[str, str]:
        """What the gateway is told of Google and Apple; where the real ones aren't meant, stand-ins are started."""
        key = self._stage.directory / "apple.p8"
        env = {"APPLE_PRIVATE_KEY_FILE": str(key), **STANDINS, **self._real}
        ports = {name: self._ports[name] for name in REAL if not self._real.keys() & set(REAL[name])}
        if ports:
            where = [word for name, port in ports.items() for word in (f"--{name.lower()}-port", str(port))]
            argv: list[str | Path] = [
                python(),
                HERE / "standins",
                "--site",
                self._site,
                "--apple-key",
                key,
                *where,
            ]
            self._stage.start("standins", argv, {**env, **dict.fromkeys(self._real, "")})
        for name, port in ports.items():
            self._stage.wait("standins", partial(accepts, port))
            env[f"{name}_ISSUER"] = f"http://127.0.0.1:{port}"
        env["APPLE_PRIVATE_KEY"] = Path(env["APPLE_PRIVATE_KEY_FILE"]).read_text("ascii")
        return {**ISSUERS, **env}

    def _start_node(self, name: str) -> None:
        """One node, with a state directory of its own, until it serves."""
        configuration = self._stage.directory / "forum.hcl"
        text = (HERE / "forum.hcl").read_text("utf-8")
        configuration.write_text(
            text.replace('host "localhost"', f'host "{self._env["SITE_HOST"]}"'), "utf-8"
        )
        port, state = self._ports[name.upper()], self._stage.directory / name
        env = {**self._env, "NODE_PORT": str(port), "NODE_STATE": str(state)}
        self._nodes[name] = self._stage.start(name, ["vestibule", "serve", configuration], env)
        self._stage.wait(name, partial(answers, port))


def real_ones(environ: Mapping[str, str]) -> dict[str, str]:
    """The client ids and secrets of the real Google and Apple in the environment. Raises Missing for half of one's."""
    found = {name: environ[name] for name in (*chain(*REAL.values()), *NATIVE) if environ.get(name)}
    for names in REAL.values():
        missing = [name for name in names if name not in found]
        if 0 < len(missing) < len(names):
            raise Missing(f"set {', '.join(missing)} too, or none of {', '.join(names)}")
    return found


def main() -> int:
    """Start all of it, say where, and stay until Ctrl-C; the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--port", type=int, default=8080, help="where the balancer listens, on this machine")
    parser.add_argument(
        "--site", default="", help="how people reach it, where that is elsewhere: https://forum.…"
    )
    parser.add_argument(
        "--registration",
        choices=("form", "auto"),
        default="form",
        help="newcomers choose a name, or are given one",
    )
    options = parser.parse_args()
    site = (options.site or f"http://localhost:{options.port}").rstrip("/")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="vestibule-forum-") as name:
        directory = Path(name)
        directory.chmod(0o711)  # PostgreSQL's own user goes through it
        stage = Stage(directory)
        try:
            forum = Forum(stage, site, options.port, options.registration)
            forum.start()
            print(
                f"\nThe forum is open.\n\n  the site   {site}\n  a phone    {HERE / 'phone.py'} --site {site} sign-in\n"
                f"  its SDKs   {forum.sdks}\n  the nodes  {forum.pids}\n  the logs   {directory}\n\n"
                "Sign in, end a node: you stay signed in. What happens is told below. Ctrl-C stops all of it.\n",
                flush=True,
            )
            forum.keep()
        except (Missing, TimeoutError) as error:
            print(f"run.py: {error}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            pass
        finally:
            stage.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())

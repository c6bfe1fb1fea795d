#!/usr/bin/env python3
"""Two nodes, PostgreSQL, Redis, and HAProxy in front, on this machine: `examples/scale/run.py`.

It needs the commands `vestibule`, `initdb`, `redis-server` and `haproxy` (Debian: postgresql, redis-server, haproxy),
keeps everything in a directory of its own, and removes it when it is stopped.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
READY_WITHIN_S = 60.0
PATH = os.pathsep.join(
    [
        os.environ.get("PATH", ""),
        "/usr/sbin",
        str(Path(sys.executable).parent),
        str(HERE.parents[1] / "build" / "servers"),
        *map(str, sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)),
    ]
)


class Missing(Exception):
    """A command that is not installed."""


class Stage:
    """What was started, to be stopped in reverse."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._started: list[subprocess.Popen[bytes]] = []

    def start(
        self,
        name: str,
        argv: Sequence[str | Path],
        env: Mapping[str, str] | None = None,
        user: tuple[int, int] | None = None,
    ) -> subprocess.Popen[bytes]:
        """Start a program; what it says goes to `NAME.log`."""
        identity = {"user": user[0], "group": user[1], "extra_groups": []} if user else {}
        with (self.directory / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [needed(str(argv[0])), *map(str, argv[1:])],
                env={**os.environ, **(env or {})},
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                **identity,
            )
        self._started.append(process)
        return process

    def stop(self) -> None:
        """End all of it."""
        for process in reversed(self._started):
            process.send_signal(signal.SIGINT if "postgres" in str(process.args) else signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(10)
            if process.poll() is None:
                process.kill()
                process.wait()


def needed(command: str) -> str:
    """Where the command is. Raises Missing."""
    found = shutil.which(command, path=PATH)
    if found is None:
        raise Missing(
            f"{command} is missing: apt-get install postgresql redis-server haproxy; vestibule: make setup"
        )
    return found


def wait_until(is_ready: Callable[[], bool], what: str) -> None:
    """Return once it is ready. Raises TimeoutError."""
    deadline = time.monotonic() + READY_WITHIN_S
    while not is_ready():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{what} is not ready")
        time.sleep(0.05)


def accepts(port: int) -> bool:
    """True when something listens there."""
    with contextlib.closing(socket.socket()) as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def answers(port: int) -> bool:
    """True when a gateway there says that all of it works."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/@/healthz", timeout=2) as answer:
            return answer.status == 200
    except OSError:
        return False


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(contextlib.closing(socket.socket())) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def start_postgres(stage: Stage, port: int) -> str:
    """A PostgreSQL of its own; the URL of its database."""
    user = None
    home = stage.directory / "postgres"
    home.mkdir()
    if os.geteuid() == 0:  # it refuses to run as root
        entry = pwd.getpwnam("postgres")
        user = (entry.pw_uid, entry.pw_gid)
        os.chown(home, *user)
    password = secrets.token_urlsafe(24)
    password_file = home / "password"
    password_file.write_text(password, "ascii")
    if user:
        os.chown(password_file, *user)
    made = stage.start(
        "initdb",
        [
            *("initdb", "-D", home / "data", "-U", "vestibule", f"--pwfile={password_file}"),
            *("--auth=scram-sha-256", "--no-sync", "-E", "UTF8", "--locale=C.UTF-8"),
        ],
        user=user,
    )
    if made.wait() != 0:
        raise Missing((stage.directory / "initdb.log").read_text("utf-8"))
    settings = ("listen_addresses=127.0.0.1", f"port={port}", f"unix_socket_directories={home}")
    options = [word for setting in settings for word in ("-c", setting)]
    stage.start("postgres", ["postgres", "-D", home / "data", *options], user=user)
    wait_until(lambda: accepts(port), "PostgreSQL")
    return f"postgresql://vestibule:{password}@127.0.0.1:{port}/postgres?sslmode=disable"


def start_redis(stage: Stage, port: int) -> str:
    """A Redis that writes what it was told to disk before it answers; its URL."""
    home = stage.directory / "redis"
    home.mkdir()
    password = secrets.token_urlsafe(24)
    configuration = home / "redis.conf"
    configuration.write_text(
        f"bind 127.0.0.1\nport {port}\ndir {home}\nrequirepass {password}\nsave ''\n"
        "appendonly yes\nappendfsync always\nmaxmemory-policy noeviction\n",
        "ascii",
    )
    configuration.chmod(0o600)
    stage.start("redis", ["redis-server", configuration])
    wait_until(lambda: accepts(port), "Redis")
    return f"redis://:{password}@127.0.0.1:{port}/0"


def start(stage: Stage, site_port: int) -> dict[str, subprocess.Popen[bytes]]:
    """All of it; the nodes by name."""
    postgres_port, redis_port, provider_port, node1_port, node2_port = free_ports(5)
    site, issuer = f"http://localhost:{site_port}", f"http://127.0.0.1:{provider_port}"
    secret = secrets.token_urlsafe(24)
    shared = {
        "DATABASE_URL": start_postgres(stage, postgres_port),
        "REDIS_URL": start_redis(stage, redis_port),
        "VESTIBULE_SESSION_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        "ISSUER": issuer,
        "CLIENT_SECRET": secret,
        "PUBLIC_URL": site,
    }
    redirect = ["--redirect-uri", f"{site}/@demo/callback", "--sign-out-uri", f"{site}/@/signedout"]
    stage.start(
        "provider",
        [
            sys.executable,
            "-m",
            "vestibule.demo.provider",
            "--port",
            str(provider_port),
            "--client-id",
            "scale",
            *redirect,
        ],
        {"VESTIBULE_DEMO_CLIENT_SECRET": secret},
    )
    wait_until(lambda: accepts(provider_port), "the provider")
    nodes = {}
    for name, port in (("node1", node1_port), ("node2", node2_port)):
        state = stage.directory / name
        env = {**shared, "NODE_PORT": str(port), "NODE_STATE": str(state)}
        nodes[name] = stage.start(name, ["vestibule", "serve", HERE / "node.hcl"], env)
        wait_until(lambda port=port: answers(port), name)
    ports = {"SITE_PORT": site_port, "NODE1_PORT": node1_port, "NODE2_PORT": node2_port}
    stage.start(
        "haproxy",
        ["haproxy", "-db", "-f", HERE / "haproxy.cfg"],
        {key: str(port) for key, port in ports.items()},
    )
    wait_until(lambda: answers(site_port), "HAProxy")
    return nodes


def main() -> int:
    """Start all of it, say where, and stay until Ctrl-C; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8080)
    port = parser.parse_args().port
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    with tempfile.TemporaryDirectory(prefix="vestibule-scale-") as name:
        directory = Path(name)
        directory.chmod(0o711)  # PostgreSQL's own user goes through it
        stage = Stage(directory)
        try:
            nodes = start(stage, port)
            pids = ", ".join(f"{node} {process.pid}" for node, process in nodes.items())
            print(
                f"\nTwo nodes stand behind HAProxy.\n\n  the site   http://localhost:{port}\n  the nodes  {pids}\n"
                f"  the logs   {directory}\n\nSign in, then kill a node: you stay signed in. Ctrl-C stops all of it.",
                flush=True,
            )
            signal.pause()
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

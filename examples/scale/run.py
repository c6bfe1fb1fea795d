#!/usr/bin/env python3
"""Two nodes, PostgreSQL, Redis, and HAProxy in front, on this machine: `examples/scale/run.py`.

It needs the commands `vestibule`, `initdb`, `redis-server` and `haproxy` (Debian: postgresql, redis-server, haproxy),
keeps everything in a directory of its own, and removes it when it is stopped.
"""

from __future__ import annotations

import argparse
import base64
import secrets
import signal
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from servers import (  # noqa: E402 - it stands beside the examples, wherever they are started from
    Missing,
    Stage,
    accepts,
    answers,
    free_ports,
    python,
    start_postgres,
    start_redis,
)


def start(stage: Stage, site_port: int) -> dict[str, subprocess.Popen[bytes]]:
    """All of it; the nodes by name."""
    postgres_port, redis_port, provider_port, node1_port, node2_port = free_ports(5)
    site, issuer = f"http://localhost:{site_port}", f"http://127.0.0.1:{provider_port}"
    secret = secrets.token_urlsafe(24)
    shared = {
        "DATABASE_URL": start_postgres(stage, postgres_port).url(),
        "REDIS_URL": start_redis(stage, redis_port),
        "VESTIBULE_SESSION_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        "ISSUER": issuer,
        "CLIENT_SECRET": secret,
        "PUBLIC_URL": site,
    }
    registered = ["--redirect-uri", f"{site}/@demo/callback", "--sign-out-uri", f"{site}/@/signedout"]
    provider = [python(), "-m", "vestibule.demo.provider", "--port", str(provider_port)]
    secrets_of_provider = {"VESTIBULE_DEMO_CLIENT_SECRET": secret}
    stage.start("provider", [*provider, "--client-id", "scale", *registered], secrets_of_provider)
    stage.wait("provider", lambda: accepts(provider_port))
    nodes = {}
    for name, port in (("node1", node1_port), ("node2", node2_port)):
        state = stage.directory / name
        env = {**shared, "NODE_PORT": str(port), "NODE_STATE": str(state)}
        nodes[name] = stage.start(name, ["vestibule", "serve", HERE / "node.hcl"], env)
        stage.wait(name, partial(answers, port))
    ports = {"SITE_PORT": site_port, "NODE1_PORT": node1_port, "NODE2_PORT": node2_port}
    stage.start(
        "haproxy",
        ["haproxy", "-db", "-f", HERE / "haproxy.cfg"],
        {key: str(port) for key, port in ports.items()},
    )
    stage.wait("haproxy", lambda: answers(site_port))
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

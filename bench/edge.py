"""TLS edges side by side: nginx, Caddy and the gateway with one certificate, before one backend.

The host is open to everybody, since neither of the others signs anybody in: what the gateway does for a signed-in
person, `bench.servers` is for. Each has one core; the backend (nginx) and the load share the other.
"""

from __future__ import annotations

import datetime as dt
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import NamedTuple

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench.process import BenchError, Cores, Process, accepts, free_ports, needed
from vestibule.admin_client import AdminClient

SMALL = "x" * 99

_NGINX = """\
daemon off;
pid {directory}/{name}.pid;
error_log stderr crit;
worker_processes 1;
events {{ worker_connections 32768; }}
http {{
    access_log off;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    client_body_temp_path {directory}/{name}-body;
    proxy_temp_path {directory}/{name}-proxy;
    fastcgi_temp_path {directory}/{name}-fastcgi;
    uwsgi_temp_path {directory}/{name}-uwsgi;
    scgi_temp_path {directory}/{name}-scgi;
{servers}
}}
"""
_BACKEND = '    server {{ listen 127.0.0.1:{backend} backlog=1024; location / {{ return 200 "{small}"; }} }}'
_EDGE = """\
    upstream backend {{ server 127.0.0.1:{backend}; keepalive 64; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port} ssl http2 backlog=1024;
        ssl_certificate {directory}/cert.pem;
        ssl_certificate_key {directory}/key.pem;
        http2_max_concurrent_streams 100;
        {limit}
        location / {{
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_pass http://backend;
        }}
    }}
"""
_NGINX_EDGE = _NGINX.replace("{name}", "edge").replace("{servers}", _EDGE)
_CADDY = """\
{{
    admin unix/{directory}/caddy.sock
    auto_https off
}}
https://localhost:{port} {{
    bind 127.0.0.1
    tls {directory}/cert.pem {directory}/key.pem
    {limit}
    reverse_proxy 127.0.0.1:{backend}
}}
"""
_CADDY_LIMIT = """\
request_body {{
        max_size {}KB
    }}"""
_VESTIBULE = """\
gateway {{
  https = ["127.0.0.1:{port}"]
  state = "{directory}/state"
}}

host "localhost" {{
  backend         = "127.0.0.1:{backend}"
  tls_certificate = "{directory}/cert.pem"
  tls_key         = "{directory}/key.pem"
  {limit}

  access {{
    allow = ["public"]
  }}
}}
"""


class Stage(NamedTuple):
    """Where everything stands."""

    directory: Path
    cores: Cores
    backend: int

    def start(self, name: str, argv: list[str | Path], core: int, port: int) -> Process:
        """A process that listens there, and has come to rest."""
        env = {"XDG_DATA_HOME": str(self.directory), "GOMAXPROCS": "1"}
        process = Process(argv, core=core, log=self.directory / f"{name}.log", env=env, cwd=self.directory)
        try:
            process.wait_until(lambda: accepts(port))
            process.wait_until(lambda: _rests(process))
        except BaseException:
            process.stop()
            raise
        return process


class Subject(NamedTuple):
    """How one of them is written down, started, and told that its file is another."""

    file: str
    text: str
    limit: str
    """Its line that bounds bodies: where there is one, a reload has something to change."""
    argv: Callable[[Path], list[str | Path]]
    reload: Callable[[Stage, Process, Path], None]

    def write(self, stage: Stage, port: int, body_kib: int | None = None) -> Path:
        """Its configuration, with bodies bounded or not."""
        path = stage.directory / self.file
        limit = self.limit.format(body_kib) if body_kib else ""
        path.write_text(
            self.text.format(directory=stage.directory, port=port, backend=stage.backend, limit=limit),
            "utf-8",
        )
        return path


class Running(NamedTuple):
    """One of them, running."""

    process: Process
    port: int

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"https://localhost:{self.port}/"


@contextmanager
def staged(directory: Path) -> Iterator[Stage]:
    """The certificate written, the backend running; this process is on the core of the load."""
    stage = Stage(directory, Cores(), free_ports(1)[0])
    all_cores = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {stage.cores.load})
    certify(directory)
    file = directory / "backend.conf"
    servers = _BACKEND.format(backend=stage.backend, small=SMALL)
    file.write_text(_NGINX.format(directory=directory, name="backend", servers=servers), "utf-8")
    backend = stage.start("backend", _nginx(file), stage.cores.load, stage.backend)
    try:
        yield stage
    finally:
        backend.stop()
        os.sched_setaffinity(0, all_cores)


@contextmanager
def running(stage: Stage, name: str, *, body_kib: int | None = None) -> Iterator[Running]:
    """That subject, on a port of its own."""
    [port] = free_ports(1)
    path = SUBJECTS[name].write(stage, port, body_kib)
    process = stage.start(name, SUBJECTS[name].argv(path), stage.cores.subject, port)
    try:
        yield Running(process, port)
    finally:
        process.stop()


def certify(directory: Path) -> None:
    """A certificate for localhost that nobody has to trust: h2load asks for none."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.UTC)
    names = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=30))
        .add_extension(names, critical=False)
        .sign(key, hashes.SHA256())
    )
    (directory / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (directory / "key.pem").write_bytes(pem)
    (directory / "key.pem").chmod(0o600)


def _rests(process: Process) -> bool:
    """True when it does nothing: what it goes on to load after it listens is no part of the measurement."""
    before = process.cpu_s()
    time.sleep(1)
    return process.cpu_s() - before < 0.05


# -- the subjects ------------------------------------------------------------------------------


def _nginx(file: Path) -> list[str | Path]:
    return [needed("nginx", "nginx-light"), "-c", file]


def _caddy(file: Path) -> list[str | Path]:
    return [needed("caddy", "caddy"), "run", "--adapter", "caddyfile", "--config", file]


def _vestibule(file: Path) -> list[str | Path]:
    return [sys.executable, "-m", "vestibule", "serve", file]


def _hang_up(_stage: Stage, process: Process, _path: Path) -> None:
    os.kill(process.pid, signal.SIGHUP)
    time.sleep(0.3)  # it doesn't say when it is done


def _reload_caddy(stage: Stage, _process: Process, path: Path) -> None:
    argv: list[str | Path] = [needed("caddy", "caddy"), "reload", "--config", path, "--adapter", "caddyfile"]
    argv += ["--address", f"unix/{stage.directory}/caddy.sock"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, cwd=stage.directory)
    if done.returncode:
        raise BenchError(f"caddy reload: {done.stderr}")


def _reload_vestibule(stage: Stage, _process: Process, _path: Path) -> None:
    AdminClient(f"unix:{stage.directory}/state/admin.sock").reload()


SUBJECTS = {
    "nginx": Subject("nginx.conf", _NGINX_EDGE, "client_max_body_size {}k;", _nginx, _hang_up),
    "caddy": Subject("Caddyfile", _CADDY, _CADDY_LIMIT, _caddy, _reload_caddy),
    "vestibule": Subject("vestibule.hcl", _VESTIBULE, 'max_body = "{}KiB"', _vestibule, _reload_vestibule),
}

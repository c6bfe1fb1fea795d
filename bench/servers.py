"""The servers of a measurement: the subjects on one core, everything else on the other."""

from __future__ import annotations

import base64
import os
import secrets
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, Self

from bench.process import Cores, Process, accepts, answers, free_ports, needed

CLIENT_ID = "bench"
BIG_BYTES = 1 << 30
LONG_BYTES = 1 << 16
PAGE = "<!doctype html><title>page</title><p>" + "a page of a few lines, as apps have them. " * 97 + "\n"
SMALL = "x" * 99 + "\\n"

_NGINX = """\
{user}
pid {directory}/nginx.pid;
error_log stderr crit;
worker_processes {workers};
worker_rlimit_nofile 65536;
events {{ worker_connections 32768; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 600s;
    keepalive_requests 1000000000;
    client_max_body_size 0;
    client_body_temp_path {directory}/body;
    proxy_temp_path {directory}/proxy;
    fastcgi_temp_path {directory}/fastcgi;
    uwsgi_temp_path {directory}/uwsgi;
    scgi_temp_path {directory}/scgi;
    types {{ text/html html; }}
{http}
}}
"""

# Small answers, each to those only that come by the way that is measured: a request that was not signed in, or a
# call without its token, is a 403, and wrk counts it as a failure. What is sent to /body is read to its end before it
# is answered.
_BACKEND = """\
    server {{
        listen 127.0.0.1:{plain} backlog=1024;
        location / {{ return 200 "{small}"; }}
        location = /big {{ root {files}; }}
        location = /long {{ root {files}; }}
        location = /body {{ proxy_pass http://127.0.0.1:{plain}/; }}
    }}
    server {{
        listen 127.0.0.1:{signed} backlog=1024;
        location / {{ if ($http_user_id = "") {{ return 403; }} return 200 "{small}"; }}
        location = /handle {{ return 200 "$http_proxy_session"; }}
        location = /big {{ root {files}; }}
        location = /long {{ root {files}; }}
        location = /body {{ proxy_pass http://127.0.0.1:{plain}/; }}
    }}
    server {{
        listen 127.0.0.1:{oauth2_proxy} backlog=1024;
        location / {{ if ($http_x_forwarded_email = "") {{ return 403; }} return 200 "{small}"; }}
        location = /big {{ root {files}; }}
    }}
    server {{
        listen 127.0.0.1:{api} backlog=1024;
        location / {{ if ($http_authorization = "") {{ return 403; }} return 200 "{small}"; }}
    }}
"""

_PROXY = """\
    upstream backend {{ server 127.0.0.1:{plain}; keepalive 64; keepalive_requests 1000000000; }}
    upstream api {{ server 127.0.0.1:{api}; keepalive 64; keepalive_requests 1000000000; }}
    upstream sink {{ server 127.0.0.1:{sink}; keepalive 8; keepalive_requests 1000000000; }}
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $host;
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{ proxy_pass http://backend; }}
        location = /return {{ return 200; }}
        location /static/ {{ root {files}; }}
        location /call/ {{
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header Authorization "Bearer 0123456789abcdef";
            proxy_pass http://api;
        }}
        location = /big {{ proxy_buffering off; proxy_pass http://backend; }}
        location = /sink {{ proxy_request_buffering off; proxy_pass http://sink; }}
    }}
"""

_CADDY = """\
{{
    admin off
    auto_https off
}}
http://:{port} {{
    bind 127.0.0.1
    reverse_proxy 127.0.0.1:{plain}
}}
"""

_VESTIBULE = """\
gateway {{
  http         = ["127.0.0.1:{port}"]
  forward_auth = "127.0.0.1:{check}"
  state        = "{state}"
}}

provider "demo" {{
  type          = "oidc"
  issuer        = "{issuer}"
  client_id     = "{client_id}"
  client_secret = "{secret}"
}}

host "127.0.0.1" {{
  name       = "bench"
  backend    = "127.0.0.1:{signed}"
  public_url = "http://127.0.0.1:{port}"
  sign_in    = ["demo"]

  access {{
    allow = ["anyone"]
  }}

  route "/static/" {{
    backend = "static:{files}"
  }}

  route "/sink" {{
    backend = "127.0.0.1:{sink}"
  }}
}}

call "demo" {{
  name     = "API"
  port     = {call}
  endpoint = "http://127.0.0.1:{api}"

  auth {{
    name       = "Authorization"
    location   = "header"
    credential = "session:demo"
  }}
}}
"""


_EDGE = """\
    upstream backend {{ server 127.0.0.1:{plain}; keepalive 64; keepalive_requests 1000000000; }}
    proxy_http_version 1.1;
    proxy_set_header Connection "";
"""

_EDGE_PLAIN = """\
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{ proxy_pass http://backend; }}
    }}
"""

_EDGE_ASKS = """\
    upstream check{port} {{ server 127.0.0.1:{check}; keepalive 64; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port} backlog=1024;
        location / {{ auth_request /ask; proxy_pass http://backend; }}
        location = /ask {{
            internal;
            proxy_pass http://check{port}{path};
            proxy_pass_request_body off;
            proxy_set_header Connection "";
            proxy_set_header Content-Length "";
            proxy_set_header Host 127.0.0.1:{shown};
            proxy_set_header X-Original-Method $request_method;
            proxy_set_header X-Original-URL http://127.0.0.1:{shown}$request_uri;
        }}
    }}
"""

_VOUCH = """\
vouch:
  logLevel: error
  listen: 127.0.0.1
  port: {port}
  allowAllUsers: true
  jwt:
    secret: {secret}
  cookie:
    secure: false
    domain: 127.0.0.1
oauth:
  provider: oidc
  client_id: {client_id}
  client_secret: {client_secret}
  auth_url: {provider}/authorize
  token_url: {provider}/token
  user_info_url: {provider}/userinfo
  scopes: [openid, email, profile]
  callback_url: http://127.0.0.1:{port}/auth
  code_challenge_method: S256
"""


class Ports(NamedTuple):
    """Who listens where."""

    plain: int
    signed: int
    oauth2_proxy: int
    api: int
    sink: int
    provider: int
    vestibule: int
    call: int
    nginx: int
    caddy: int
    other: int
    vouch: int
    check: int
    edge_ours: int
    edge_nginx: int
    edge_other: int
    edge_vouch: int


class Stage:
    """Backends and the provider running, and what it takes to start the subjects."""

    def __init__(self, directory: Path, cores: Cores) -> None:
        self.directory = directory
        self.cores = cores
        self.ports = Ports(*free_ports(len(Ports._fields)))
        self.secret = secrets.token_urlsafe(24)
        self.files = directory / "files"
        (self.files / "static").mkdir(parents=True)
        (self.files / "static" / "page.html").write_text(PAGE, "ascii")
        (self.files / "long").write_bytes(b"x" * LONG_BYTES)
        with (self.files / "big").open("wb") as big:
            big.truncate(BIG_BYTES)
        self._starts = 0
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:  # stops what was started when a later one does not start
            self._open(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _open(self, stack: ExitStack) -> None:
        ports, core = self.ports, self.cores.load
        backend = _BACKEND.format(small=SMALL, files=self.files, **ports._asdict())
        nginx = self._nginx("backend", backend, core)
        stack.callback(nginx.stop)
        nginx.wait_until(lambda: accepts(ports.plain))
        sink = self._start("sink", [sys.executable, "-m", "bench.sink", str(ports.sink)], core)
        stack.callback(sink.stop)
        sink.wait_until(lambda: accepts(ports.sink))
        provider = self._start(
            "provider", self._provider(), core, {"VESTIBULE_DEMO_CLIENT_SECRET": self.secret}
        )
        stack.callback(provider.stop)
        provider.wait_until(lambda: accepts(ports.provider))

    def _provider(self) -> list[str]:
        ports = self.ports
        argv = [sys.executable, "-m", "vestibule.demo.provider", "--port", str(ports.provider)]
        argv += ["--client-id", CLIENT_ID, "--access-life", "7200"]
        argv += ["--redirect-uri", f"http://127.0.0.1:{ports.vestibule}/@demo/callback"]
        argv += ["--redirect-uri", f"http://127.0.0.1:{ports.other}/oauth2/callback"]
        return [*argv, "--redirect-uri", f"http://127.0.0.1:{ports.vouch}/auth"]

    # -- the subjects ---------------------------------------------------------------------------

    def vestibule(self, state: str = "state", more: str = "") -> Process:
        """Start the gateway, not waited for; the same `state` is a later start. `more`: further blocks."""
        ports = self.ports
        file = self.directory / f"{state}.hcl"
        text = _VESTIBULE.format(
            port=ports.vestibule,
            state=self.directory / state,
            issuer=f"http://127.0.0.1:{ports.provider}",
            client_id=CLIENT_ID,
            secret=self.secret,
            files=self.files,
            **{name: getattr(ports, name) for name in ("signed", "sink", "call", "api", "check")},
        )
        file.write_text(text + more, "utf-8")
        file.chmod(0o600)
        return self._start(
            "vestibule", [sys.executable, "-m", "vestibule", "serve", file], self.cores.subject
        )

    def nginx(self, workers: int = 1) -> Process:
        """Start nginx as a plain reverse proxy, not waited for."""
        ports = self.ports
        proxy = _PROXY.format(
            port=ports.nginx, plain=ports.plain, api=ports.api, sink=ports.sink, files=self.files
        )
        return self._nginx("proxy", proxy, self.cores.subject, workers)

    def caddy(self) -> Process:
        """Start Caddy as a plain reverse proxy, not waited for."""
        file = self.directory / "Caddyfile"
        file.write_text(_CADDY.format(port=self.ports.caddy, plain=self.ports.plain), "utf-8")
        argv: list[str | Path] = [needed("caddy", "caddy"), "run", "--adapter", "caddyfile", "--config", file]
        env = {"XDG_DATA_HOME": str(self.directory), "GOMAXPROCS": "1"}
        return self._start("caddy", argv, self.cores.subject, env)

    def oauth2_proxy(self, binary: Path) -> Process:
        """Start oauth2-proxy with its sessions in the cookie, as it comes, and without logs; not waited for."""
        ports = self.ports
        url = f"http://127.0.0.1:{ports.other}"
        argv: list[str | Path] = [
            binary,
            "--provider=oidc",
            f"--oidc-issuer-url=http://127.0.0.1:{ports.provider}",
            f"--client-id={CLIENT_ID}",
            f"--client-secret={self.secret}",
            f"--redirect-url={url}/oauth2/callback",
            f"--cookie-secret={base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()}",
            "--cookie-secure=false",
            "--code-challenge-method=S256",
            "--email-domain=*",
            "--skip-provider-button=true",
            "--request-logging=false",
            "--auth-logging=false",
            "--standard-logging=false",
            f"--upstream=http://127.0.0.1:{ports.oauth2_proxy}/",
            f"--http-address=127.0.0.1:{ports.other}",
        ]
        return self._start("oauth2-proxy", argv, self.cores.subject)

    def vouch(self, binary: Path) -> Process:
        """Start Vouch as its example for OpenID says, for everybody, without debugging; not waited for."""
        ports = self.ports
        root = self.directory / "vouch"
        root.mkdir(exist_ok=True)
        file = root / "config.yml"
        text = _VOUCH.format(
            port=ports.vouch,
            provider=f"http://127.0.0.1:{ports.provider}",
            client_id=CLIENT_ID,
            client_secret=self.secret,
            secret=secrets.token_urlsafe(48),
        )
        file.write_text(text, "utf-8")
        source = binary.parent / "vouch-root"
        argv: list[str | Path] = [binary, "-config", file]
        return self._start(
            "vouch", argv, self.cores.subject, {"VOUCH_ROOT": str(source)} if source.is_dir() else None
        )

    def edge(self) -> Process:
        """Start nginx that asks each of the subjects on a port of its own; not waited for."""
        ports = self.ports
        parts = [_EDGE_PLAIN.format(port=ports.edge_nginx)]
        asked = {
            ports.edge_ours: (ports.check, "/@/validate", ports.vestibule),
            ports.edge_vouch: (ports.vouch, "/validate", ports.vouch),
            ports.edge_other: (ports.other, "/oauth2/auth", ports.other),
        }
        for port, (check, path, shown) in asked.items():
            parts.append(_EDGE_ASKS.format(port=port, check=check, path=path, shown=shown))
        return self._nginx("edge", _EDGE.format(plain=ports.plain) + "".join(parts), self.cores.subject)

    @property
    def edge_ports(self) -> dict[str, int]:
        """Where the edge asks whom."""
        ports = self.ports
        return {
            "vestibule": ports.edge_ours,
            "nginx": ports.edge_nginx,
            "oauth2-proxy": ports.edge_other,
            "vouch": ports.edge_vouch,
        }

    def wait_vestibule(self, process: Process) -> None:
        """Returns once it sends people to the provider: then all of it is loaded."""
        process.wait_until(lambda: answers(self.ports.vestibule, "/@/signin") in (200, 302, 303))

    def _nginx(self, name: str, http: str, core: int, workers: int = 1) -> Process:
        directory = self.directory / name
        directory.mkdir(exist_ok=True)
        file = directory / "nginx.conf"
        user = "user root;" if os.geteuid() == 0 else ""  # else workers can't read the files
        file.write_text(_NGINX.format(user=user, directory=directory, http=http, workers=workers), "ascii")
        argv: list[str | Path] = [
            needed("nginx", "nginx-light"),
            "-e",
            "stderr",
            "-p",
            directory,
            "-c",
            file,
            "-g",
            "daemon off;",
        ]
        return self._start(name, argv, core)

    def _start(
        self, name: str, argv: Sequence[str | Path], core: int, env: Mapping[str, str] | None = None
    ) -> Process:
        self._starts += 1
        log = self.directory / f"{name}-{self._starts}.log"
        return Process(argv, core=core, log=log, env=env, cwd=Path(__file__).resolve().parents[1])

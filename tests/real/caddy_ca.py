"""Caddy (Debian) as a certificate authority: its `acme_server`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.process import Process


class CaddyCa:
    """An authority of another make than Pebble, in a network of its own: it comes to ports 80 and 443 for proofs."""

    def __init__(self, folder: Path, *, within: Callable[..., list[str]]) -> None:
        """`within` makes of a command the one that runs it in that network."""
        folder.mkdir()
        self._data = folder / "data"
        (folder / "Caddyfile").write_text(f"""
{{
  admin off
  storage file_system {self._data}
  skip_install_trust
  auto_https disable_redirects
}}
https://localhost:9443 {{
  bind 127.0.0.1
  tls internal
  acme_server
}}
""")
        argv = within("caddy", "run", "--config", folder / "Caddyfile", "--adapter", "caddyfile")
        self.process = Process("caddy-ca", argv, env={"HOME": str(folder), "XDG_DATA_HOME": str(folder)})
        self.process.wait_log("serving initial configuration")
        self.process.wait_until(self.root.is_file, "a root of its own")

    @property
    def root(self) -> Path:
        """Who signs what it issues, and its own certificate."""
        return self._data / "pki" / "authorities" / "local" / "root.crt"

    @property
    def directory(self) -> str:
        """Where its clients begin."""
        return "https://localhost:9443/acme/local/directory"

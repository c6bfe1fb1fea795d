"""Pebble (Debian): a certificate authority that is hard on its clients, and a name server that sends it to loopback."""

from __future__ import annotations

import contextlib
import json
import ssl
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path

import trustme

from tests.ports import Ports
from tests.process import Process

EAB_KEY = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"


class Pebble:
    """One authority: `directory` is its URL; it comes to `http_port` and `tls_port` for proofs, and asks `dns`."""

    def __init__(
        self,
        folder: Path,
        ports: Ports,
        ca: trustme.CA,
        *,
        http_port: int,
        tls_port: int,
        dns: str,
        env: Mapping[str, str],
        config: Mapping[str, object],
    ) -> None:
        folder.mkdir()
        self.port, self._manage = ports.take(), ports.take()
        own = ca.issue_cert("127.0.0.1", "localhost")
        own.private_key_pem.write_to_path(str(folder / "key.pem"))
        for number, blob in enumerate(own.cert_chain_pems):
            blob.write_to_path(str(folder / "cert.pem"), append=number > 0)
        text = {
            "listenAddress": f"127.0.0.1:{self.port}",
            "managementListenAddress": f"127.0.0.1:{self._manage}",
            "certificate": str(folder / "cert.pem"),
            "privateKey": str(folder / "key.pem"),
            "httpPort": http_port,
            "tlsPort": tls_port,
            "ocspResponderURL": "",
            "externalAccountBindingRequired": False,
            **config,
        }
        (folder / "pebble.json").write_text(json.dumps({"pebble": text}))
        self._argv = ["pebble", "-config", str(folder / "pebble.json"), "-dnsserver", dns]
        self._env = {"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "40", **env}
        self._log = folder / "log"
        self._tls = ssl.create_default_context()
        ca.configure_trust(self._tls)
        self.process = self.start()

    @property
    def directory(self) -> str:
        """Where its clients begin."""
        return f"https://127.0.0.1:{self.port}/dir"

    @property
    def log(self) -> str:
        """What it wrote."""
        return self._log.read_text("utf-8", "replace")

    def start(self) -> Process:
        """Begin, with nothing of what it knew before."""
        self.process = Process("pebble", self._argv, env=self._env, log=self._log)
        self.process.wait_port(self.port)
        self.process.wait_port(self._manage)
        return self.process

    def root_pem(self) -> str:
        """Who signs what it issues; another one at each start."""
        url = f"https://127.0.0.1:{self._manage}/roots/0"
        with urllib.request.urlopen(url, context=self._tls, timeout=30) as answer:
            text: str = answer.read().decode("ascii")
            return text


class Names:
    """A name server (pebble-challtestsrv): every name is at 127.0.0.1, unless `point` says otherwise."""

    def __init__(self, ports: Ports) -> None:
        self.port, self._manage = ports.take(), ports.take()
        argv = ["pebble-challtestsrv", "-dns01", f"127.0.0.1:{self.port}", "-defaultIPv6", ""]
        argv += ["-http01", "", "-https01", "", "-tlsalpn01", "", "-management", f"127.0.0.1:{self._manage}"]
        self.process = Process("challtestsrv", argv)
        self.process.wait_port(self._manage)

    @property
    def address(self) -> str:
        """Where it is asked."""
        return f"127.0.0.1:{self.port}"

    def fail(self, name: str) -> None:
        """Answer SERVFAIL for this name."""
        self._tell("set-servfail", {"host": f"{name}."})

    def mend(self, name: str) -> None:
        """Answer for it again."""
        self._tell("clear-servfail", {"host": f"{name}."})

    def forbid(self, name: str) -> None:
        """Let nobody issue for this name (CAA)."""
        self._tell("add-caa", {"host": f"{name}.", "policies": [{"tag": "issue", "value": "other.test"}]})

    def _tell(self, what: str, body: object) -> None:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self._manage}/{what}", data=json.dumps(body).encode(), method="POST"
        )
        urllib.request.urlopen(request, timeout=30).close()


class Authorities:
    """Starts them for one test, and stops them."""

    def __init__(self, servers: contextlib.ExitStack, ports: Ports, ca: trustme.CA, folder: Path) -> None:
        self._servers, self._ports, self._ca, self._folder = servers, ports, ca, folder
        self.http_port, self.tls_port = ports.take(), ports.take()
        self.names = Names(ports)
        self._stop(lambda: self.names.process)

    def pebble(
        self,
        *,
        dns: str = "",
        env: Mapping[str, str] | None = None,
        config: Mapping[str, object] | None = None,
    ) -> Pebble:
        """Another authority."""
        number = len(list(self._folder.glob("pebble-*")))
        pebble = Pebble(
            self._folder / f"pebble-{number}",
            self._ports,
            self._ca,
            http_port=self.http_port,
            tls_port=self.tls_port,
            dns=dns or self.names.address,
            env=env or {},
            config=config or {},
        )
        self._stop(lambda: pebble.process)
        return pebble

    def _stop(self, process: Callable[[], Process]) -> None:
        self._servers.callback(lambda: process().stop())
        self._servers.callback(lambda: print(f"--- {process().name}\n{process().shown}"))

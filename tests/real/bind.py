"""BIND 9 (Debian): a name server of one zone, which takes signed changes."""

from __future__ import annotations

from pathlib import Path

import dns.message
import dns.query

from tests.ports import Ports
from tests.process import Process

KEY_NAME = "vestibule"
KEY_SECRET = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0LTEyMzQ="
ZONE = "example.com"
_ZONE = f"""$ORIGIN {ZONE}.
$TTL 60
@ IN SOA ns.{ZONE}. hostmaster.{ZONE}. 1 3600 600 86400 60
@ IN NS ns.{ZONE}.
ns IN A 127.0.0.1
* IN A 127.0.0.1
@ IN A 127.0.0.1
"""


class Bind:
    """One, which is the zone's own server."""

    def __init__(self, folder: Path, ports: Ports) -> None:
        folder.mkdir()
        self.port = ports.take()
        zone = folder / "zone"
        zone.write_text(_ZONE)
        conf = folder / "named.conf"
        conf.write_text(f"""
options {{
  directory "{folder}";
  listen-on port {self.port} {{ 127.0.0.1; }};
  listen-on-v6 {{ none; }};
  pid-file "{folder}/pid";
  session-keyfile "{folder}/session.key";
  recursion no;
  dnssec-validation no;
}};
controls {{ }};
key "{KEY_NAME}" {{ algorithm hmac-sha256; secret "{KEY_SECRET}"; }};
zone "{ZONE}" {{
  type primary;
  file "{zone}";
  update-policy {{ grant {KEY_NAME} zonesub TXT; }};
}};
""")
        self.process = Process("named", ["named", "-g", "-c", conf, "-n", "1"])
        self.process.wait_log("running")

    @property
    def address(self) -> str:
        """Where it is asked, and told."""
        return f"127.0.0.1:{self.port}"

    def texts(self, name: str) -> list[str]:
        """The TXT records there, in quotes."""
        answer = dns.query.udp(dns.message.make_query(name, "TXT"), "127.0.0.1", timeout=30, port=self.port)
        return [one.to_text() for found in answer.answer for one in found]

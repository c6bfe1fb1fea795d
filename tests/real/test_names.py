"""Names of hosts by TLS and in requests: other spellings of one, those that a wildcard covers, those beyond ASCII."""

from __future__ import annotations

import asyncio
import ssl
from typing import NamedTuple

import pytest
import trustme

from tests.helpers import frames_h2 as f
from tests.helpers.peer_h2 import PREFACE
from tests.real.paper import Paper
from tests.real.test_translated import Client

pytestmark = pytest.mark.real

IDN, A_LABEL = "bücher.example.com", "xn--bcher-kva.example.com"
HOST = """
host "NAME" {
  tls_certificate = "DIR/CERTIFICATE.pem"
  tls_key         = "DIR/CERTIFICATE.key"
  MORE
  backend         = "internal:echo"
  access { allow = ["public"] }
}
"""
GATEWAY = """
gateway {
  http  = ["127.0.0.1:{port}"]
  https = ["127.0.0.1:TLS"]
}
"""
HOSTS = {
    "a.example.com": ("wild", ""),
    "b.example.com": ("wild", ""),
    IDN: ("wild", ""),
    "m.example.com": ("wild", 'client_ca = "DIR/clients.pem"'),
    "x.y.example.com": ("deep", ""),
    "other.test": ("other", ""),
}


class House(NamedTuple):
    port: int
    shown: dict[bytes, str]
    """The files of certificates, by what is shown."""

    def context(self) -> ssl.SSLContext:
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2"])
        return context

    async def asked(self, server_name: str | None, authority: bytes = b"") -> str:
        """The file of the certificate; with an authority what that request is told. `alert`: no hands were shaken."""
        try:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", self.port, ssl=self.context(), server_hostname=server_name or ""
            )
        except ssl.SSLError as error:
            return f"alert {error.reason}"
        try:
            der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
            if not authority:
                return self.shown[der]
            client = Client(reader, writer)
            fields = [
                (b":method", b"GET"),
                (b":scheme", b"https"),
                (b":authority", authority),
                (b":path", b"/"),
            ]
            client.say(PREFACE, f.settings(), f.headers(fields))
            return await client.told(1)
        finally:
            writer.transport.abort()


@pytest.fixture
async def house(gateway, ports, tmp_path) -> House:
    paper, port = Paper(tmp_path), ports.take()
    trustme.CA().cert_pem.write_to_path(tmp_path / "clients.pem")
    shown = {}
    for file, name in (("wild", "*.example.com"), ("deep", "*.y.example.com"), ("other", "other.test")):
        paper.write(file, name)
        pem = (tmp_path / f"{file}.pem").read_text("ascii")
        shown[ssl.PEM_cert_to_DER_cert(pem)] = file
    hosts = [
        HOST.replace("NAME", name).replace("CERTIFICATE", file).replace("MORE", more)
        for name, (file, more) in HOSTS.items()
    ]
    text = (GATEWAY + "".join(hosts)).replace("TLS", str(port)).replace("DIR", str(tmp_path))
    await asyncio.to_thread(gateway, text)
    return House(port, shown)


UNKNOWN = "alert TLSV1_UNRECOGNIZED_NAME"
SHOWN = {
    "a.example.com": "wild",
    "A.Example.COM": "wild",
    "a.example.com.": "wild",
    "b.example.com": "wild",
    A_LABEL: "wild",
    A_LABEL.upper(): "wild",
    "x.y.example.com": "deep",
    "other.test": "other",
    "OTHER.test.": "other",
    "nobody.example.com": UNKNOWN,
    "example.com": UNKNOWN,
    "z.y.example.com": UNKNOWN,
    "y.example.com": UNKNOWN,
    "a.b.example.com": UNKNOWN,
    "other.test.example.com": UNKNOWN,
    "xn--bcher-kva.other.test": UNKNOWN,
}
TLS = b":TLS"
TOLD = {
    b"a.example.com": "200",
    b"A.EXAMPLE.com": "200",
    b"a.example.com.": "200",
    b"a.example.com:TLS": "200",
    b"A.example.COM.:TLS": "200",
    b"b.example.com": "200",
    b"B.example.com.:TLS": "200",
    A_LABEL.encode(): "200",
    A_LABEL.upper().encode() + b".:TLS": "200",
    # Asks for certificates of clients; has another certificate; is nobody's.
    b"m.example.com": "421",
    b"M.EXAMPLE.COM": "421",
    b"m.example.com.": "421",
    b"m.example.com:TLS": "421",
    b"x.y.example.com": "421",
    b"other.test": "421",
    b"OTHER.TEST.:TLS": "421",
    b"nobody.example.com": "421",
    b"*.example.com": "400",
    # No names of hosts.
    IDN.encode(): "reset",
    "a。example.com".encode(): "reset",
    b"a.example.com..": "400",
    b".a.example.com": "400",
    b"a..example.com": "400",
    b"a%2eexample.com": "400",
    b"a.example.com:99999": "400",
    b"a.example.com:-1": "400",
    b"a.example.com:x": "400",
    b"a.example.com:TLS:TLS": "400",
    b"m.example.com,a.example.com": "400",
    b"a.example.com@m.example.com": "400",
    b"2130706433": "400",
    b"0x7f.1": "400",
    b"[::1": "400",
}


async def test_a_host_has_one_name_however_it_is_spelled(house: House):
    """Threat: a wildcard's certificate, or another spelling, leads to a host past what that asks of connections."""
    assert {name: await house.asked(name) for name in SHOWN} == SHOWN
    told = {name.replace(b"TLS", b"%d" % house.port): said for name, said in TOLD.items()}
    assert {name: await house.asked("a.example.com", name) for name in told} == told
    # From a host of another certificate nothing leads to those of the first.
    assert {name: await house.asked("other.test", name) for name in (b"a.example.com", b"other.test")} == {
        b"a.example.com": "421",
        b"other.test": "200",
    }
    assert await house.asked("m.example.com", b"a.example.com") in (
        "ended",
        "alert TLSV13_ALERT_CERTIFICATE_REQUIRED",
    )

"""A client certificate that ends while a connection that was made with it goes on."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from pathlib import Path

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID
from websockets.asyncio.client import connect
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from tests.real.paper import Paper
from tests.real.test_websocket import Echo

pytestmark = pytest.mark.real

LIFE = dt.timedelta(seconds=12)
CONFIGURATION = """
gateway {
  http  = ["127.0.0.1:{port}"]
  https = ["127.0.0.1:TLS"]
}
host "m.example.com" {
  tls_certificate = "DIR/m.pem"
  tls_key         = "DIR/m.key"
  client_ca       = "DIR/clients.pem"
  backend         = "127.0.0.1:BACKEND"
  access { allow = ["public"] }
}
"""


def issued(clients: trustme.CA, file: Path, life: dt.timedelta) -> Path:
    """A client's certificate that ends so soon, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    authority = x509.load_pem_x509_certificate(clients.cert_pem.bytes())
    signs = load_pem_private_key(clients.private_key_pem.bytes(), None)
    assert isinstance(signs, ec.EllipticCurvePrivateKey)
    now = dt.datetime.now(dt.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "alice")]))
        .issuer_name(authority.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + life)
        .sign(signs, SHA256())
    )
    own = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(own + made.public_bytes(Encoding.PEM))
    return file


@pytest.mark.timeout(180)
async def test_a_websocket_ends_with_the_certificate_that_it_was_opened_with(gateway, ports, tmp_path):
    """Where everybody may who has one, and nothing else is known of who it is."""
    clients = trustme.CA(key_type=trustme.KeyType.ECDSA)
    clients.cert_pem.write_to_path(tmp_path / "clients.pem")
    paper, port, echo = Paper(tmp_path), ports.take(), Echo(ports.take())
    paper.write("m", "m.example.com")
    text = CONFIGURATION.replace("TLS", str(port)).replace("BACKEND", str(echo.port))
    await asyncio.to_thread(gateway, text.replace("DIR", str(tmp_path)))

    def opened(own: Path):
        context = ssl.create_default_context(cafile=str(paper.root))
        context.load_cert_chain(own)
        return connect(f"wss://m.example.com:{port}/", host="127.0.0.1", port=port, ssl=context, proxy=None)

    async with serve(echo, "127.0.0.1", echo.port):
        lasting = issued(clients, tmp_path / "lasting.pem", dt.timedelta(days=1))
        async with opened(lasting) as other:
            brief = issued(clients, tmp_path / "brief.pem", LIFE)
            async with opened(brief) as socket:
                await socket.send("x")
                assert await socket.recv() == "x"
                with pytest.raises(ConnectionClosed):
                    async with asyncio.timeout(90):
                        await socket.recv()
            async with asyncio.timeout(60):
                await echo.closed.get()
            # It is the certificate's end, and nobody else's.
            await other.send("y")
            assert await other.recv() == "y"
        with pytest.raises((OSError, EOFError, ConnectionClosed, InvalidHandshake)):
            async with opened(brief) as again:
                await again.recv()

"""What may be said of certificates that come by themselves: `acme` and what stands in it."""

from __future__ import annotations

from typing import ClassVar

from vestibule.config.shape import Node
from vestibule.config.value import FilePath
from vestibule.config.value_tls import Challenge, Directory, DnsServer, TsigAlgorithm
from vestibule.core.acme import LETS_ENCRYPT
from vestibule.model import Secret


class ExternalAccount(Node, kw_only=True):
    """An account with the CA that was made elsewhere, which some ask for (RFC 8555 section 7.3.4).

    It is for `directory`, not for those in `fallback`.
    """

    REQUIRED: ClassVar[tuple[str, ...]] = ("key_id", "hmac_key")

    key_id: str = ""
    """The account's identifier there."""
    hmac_key: Secret = Secret("")
    """Its key, base64url as the CA shows it: `"${env("EAB_HMAC_KEY")}"`."""


class Dns(Node, kw_only=True):
    """How a name is proven in DNS (`dns-01`), which wildcards need: by updates of a server, or by a command."""

    EITHER: ClassVar[tuple[str, ...]] = ("check",)

    server: DnsServer | None = None
    """Address of the name server that takes updates (RFC 2136), with or without port: `"127.0.0.1:53"`."""
    key_name: str = ""
    """Name of the key (TSIG) that updates are signed with."""
    key_algorithm: TsigAlgorithm = TsigAlgorithm("hmac-sha256")
    """Its algorithm: `hmac-sha256`, `hmac-sha384`, `hmac-sha512`."""
    key_secret: Secret | None = None
    """The key itself, base64, as `tsig-keygen` prints it."""
    command: FilePath = FilePath("")
    """A program that sets and removes the record, instead: called as `COMMAND present NAME TEXT` and
    `COMMAND cleanup NAME TEXT`, it is done when it ends with the exit code 0. No shell reads it."""
    check: tuple[DnsServer, ...] = ()
    """Addresses of name servers that must have the record before the CA is told to look. Without it: those of the
    zone."""


class Acme(Node, kw_only=True):
    """Where certificates come from (ACME, RFC 8555), for hosts of `tls = "acme"`. May be split like `gateway`.

    It may be left out: then they are Let's Encrypt's. By ordering certificates you agree to the CA's terms.
    """

    EITHER: ClassVar[tuple[str, ...]] = ("fallback", "challenges", "wildcards")

    email: str = ""
    """Where the CA may write to."""
    directory: Directory = Directory(LETS_ENCRYPT)
    """The CA's directory; without it Let's Encrypt's."""
    fallback: tuple[Directory, ...] = ()
    """Directories of further CAs, asked in this order when those before give no certificate."""
    ca_file: FilePath = FilePath("")
    """File of the authorities (PEM) that the directories' own certificates come from, beside the system's: for a CA
    inside a company, or one for tests."""
    challenges: tuple[Challenge, ...] = ()
    """How names are proven: `http-01` (the CA comes to port 80), `tls-alpn-01` (to port 443), `dns-01`. Without it: the
    first two, as far as `gateway` listens for them, or `dns-01` alone where there is a block `dns`."""
    wildcards: tuple[str, ...] = ()
    """Names of which one certificate is ordered for all hosts directly below, instead of one for each:
    `["*.example.com"]`. They need `dns-01`."""
    external_account: ExternalAccount | None = None
    """The account with `directory` that was made elsewhere."""
    dns: Dns | None = None
    """How names are proven in DNS."""

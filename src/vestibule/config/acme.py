"""What is checked of the block `acme`, and what it comes to for the hosts whose certificates are ordered."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from vestibule.config import schema
from vestibule.config.path import beside
from vestibule.config.place import Place, Report
from vestibule.config.schema_tls import Acme as Node
from vestibule.config.schema_tls import Dns
from vestibule.config.tls import https_of
from vestibule.config.value_tls import DnsServer
from vestibule.core import pem
from vestibule.core.acme import Acme, ExternalAccount, Hook, Proof, Rfc2136
from vestibule.core.certificate import is_public_name
from vestibule.core.listener import ListenAddress
from vestibule.model import Secret
from vestibule.protocol import base64url

_EMAIL_RE: Final = re.compile(r"[^@\s<>,;:\"]+@[^@\s<>,;:\"]+\.[^@\s<>,;:\"]+")


def check_acme(
    config: schema.Config,
    names: Iterable[str],
    listeners: Iterable[ListenAddress],
    report: Report,
) -> Acme | None:
    """What is ordered for hosts of these names (`tls = "acme"`) of whom; None: nothing.

    `listeners`: where plain http is taken.
    """
    node, ordered = config.acme, tuple(names)
    if node is None:
        node = Node(block=config.block)
    elif not ordered and not report.faults:
        report.warn(node.block.place, f"orders nothing: {_why_nothing(config)}")
    wildcards = _wildcards(node, report)
    dns = _dns(node.dns, report) if node.dns is not None else None
    proofs = _proofs(node, config, tuple(listeners), report, orders=bool(ordered))
    if wildcards and Proof.DNS_01 not in proofs:
        report.fault(
            node.at("wildcards"), 'CAs want `dns-01` for these: add dns { … } and challenges = ["dns-01"]'
        )
    if Proof.DNS_01 in proofs and node.dns is None:
        report.fault(
            node.at("challenges"),
            '`dns-01` needs a way to set records: dns { server = "…" key_name = "…" key_secret = "…" }, '
            'or dns { command = "/usr/local/bin/hook" }',
        )
    if node.dns is not None and Proof.DNS_01 not in proofs and node.challenges:
        report.warn(node.dns.block.place, "has no effect: `dns-01` is not among the challenges")
    _check_email(node, report)
    external = _external(node, report)
    ca_pem = _ca_pem(node, report)
    if not ordered:
        return None
    return Acme(
        names=_covered(ordered, wildcards),
        email=node.email,
        directories=tuple(dict.fromkeys((node.directory, *node.fallback))),
        ca_pem=ca_pem,
        proofs=proofs,
        external_account=external,
        dns=dns if Proof.DNS_01 in proofs else None,
    )


def _why_nothing(config: schema.Config) -> str:
    if not https_of(config):
        return 'nothing listens for TLS, gateway { https = ["0.0.0.0:443"] }'
    return 'no host has tls = "acme", nor a public name'


def _covered(names: tuple[str, ...], wildcards: tuple[str, ...]) -> tuple[str, ...]:
    """Each name, or the wildcard that stands for it."""
    found = (f"*.{name.partition('.')[2]}" for name in names)
    ordered = (wild if wild in wildcards else name for name, wild in zip(names, found, strict=True))
    return tuple(dict.fromkeys(ordered))


def _wildcards(node: Node, report: Report) -> tuple[str, ...]:
    good = []
    for number, written in enumerate(node.wildcards):
        name = written.lower().removesuffix(".")
        parent = name.removeprefix("*.")
        if parent == name or "*" in parent or not is_public_name(parent):
            report.fault(
                node.at("wildcards", number), f'`{written}` is no wildcard of a domain: "*.example.com"'
            )
        else:
            good.append(name)
    return tuple(good)


def _proofs(
    node: Node,
    config: schema.Config,
    listeners: tuple[ListenAddress, ...],
    report: Report,
    *,
    orders: bool,
) -> tuple[Proof, ...]:
    """Those that are written; else those that can be answered here."""
    written = tuple(dict.fromkeys(Proof(one) for one in node.challenges))
    if not written and node.dns is not None:
        return (Proof.DNS_01,)
    found = written or ((Proof.HTTP_01,) if listeners else ()) + (Proof.TLS_ALPN_01,)
    place = node.at("challenges") if written else node.block.place
    if not written and config.acme is None and config.gateway is not None:
        place = config.gateway.at("https")
    if Proof.HTTP_01 in found and not listeners:
        report.fault(place, '`http-01` is asked for at port 80: gateway { http = ["0.0.0.0:80"] }')
    if orders and https_of(config) and Proof.DNS_01 not in found:
        _warn_unreached(found, listeners, https_of(config), place, report)
    return found


def _warn_unreached(
    proofs: tuple[Proof, ...],
    http: tuple[ListenAddress, ...],
    https: tuple[ListenAddress, ...],
    place: Place,
    report: Report,
) -> None:
    """A CA comes to ports 80 and 443 alone, from anywhere."""
    answered = (Proof.HTTP_01 in proofs and _has(http, 80)) or (
        Proof.TLS_ALPN_01 in proofs and _has(https, 443)
    )
    if not answered:
        ports = {Proof.HTTP_01: "80", Proof.TLS_ALPN_01: "443"}
        wanted = " or ".join(ports[one] for one in proofs if one in ports)
        report.warn(
            place,
            f"to prove a name a CA comes to port {wanted}, where nothing listens that others can reach: "
            "that port must lead here",
        )


def _has(listeners: tuple[ListenAddress, ...], port: int) -> bool:
    """True where one is on this port for others; of a socket that somebody gives us nobody knows."""
    return any(not one.host or (one.port == port and not one.is_loopback) for one in listeners)


def _dns(node: Dns, report: Report) -> Rfc2136 | Hook | None:
    check = tuple(map(str, node.check))
    if node.command:
        for attribute in ("server", "key_name", "key_secret", "key_algorithm"):
            if node.has(attribute):
                report.fault(node.at(attribute), "has no effect beside `command`: write one or the other")
                return None
        path = beside(node, "command", node.command)
        if not path.is_file():
            report.fault(node.at("command"), f"there is no program {path}")
        return Hook(command=str(path), check=check)
    missing = [name for name in ("server", "key_name", "key_secret") if not node.has(name)]
    if missing:
        what = " and ".join(f"`{name}`" for name in missing)
        report.fault(node.block.place, f"has no {what}, nor a `command`")
        return None
    secret = node.key_secret or Secret("")
    if not _is_base64(secret.reveal()):
        report.fault(node.at("key_secret"), "is no key in base64, as `tsig-keygen` prints it")
    return Rfc2136(
        server=node.server or DnsServer(""),
        key_name=node.key_name,
        key_algorithm=node.key_algorithm,
        key_secret=secret,
        check=check,
    )


def _is_base64(text: str) -> bool:
    try:
        return bool(base64.b64decode(text, validate=True))
    except (binascii.Error, ValueError):
        return False


def _external(node: Node, report: Report) -> ExternalAccount | None:
    written = node.external_account
    if written is None or not written.has("hmac_key") or not written.key_id:
        return None  # told by who read it
    key = Secret(written.hmac_key.reveal().rstrip("="))
    if not base64url.decode(key.reveal()):
        report.fault(written.at("hmac_key"), "is no key in base64url, as the CA shows it")
    return ExternalAccount(key_id=written.key_id, hmac_key=key)


def _check_email(node: Node, report: Report) -> None:
    if node.has("email") and not _EMAIL_RE.fullmatch(node.email):
        report.fault(node.at("email"), 'is no address: "ops@example.com"')


def _ca_pem(node: Node, report: Report) -> str:
    if not node.ca_file:
        return ""
    path = beside(node, "ca_file", node.ca_file)
    try:
        text = Path(path).read_bytes()
        pem.read_authorities(text)
    except OSError as error:
        report.fault(node.at("ca_file"), f"can't read {path}: {error.strerror or 'it is no file'}")
        return ""
    except pem.PemError as error:
        report.fault(node.at("ca_file"), str(error))
        return ""
    return text.decode("ascii", "replace")

"""Where TLS ends: at which hosts, by which certificates, and what is asked of those who come.

The files are read here to find their faults; what serves them reads them again (`service.certificate_files`).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.serialization import Encoding

from vestibule.config import schema
from vestibule.config.path import beside
from vestibule.config.place import Report
from vestibule.core import pem
from vestibule.core.certificate import (
    LOCAL_DOMAINS,
    Certificate,
    Source,
    Wanted,
    is_local_name,
    is_public_name,
)
from vestibule.core.listener import ListenAddress
from vestibule.core.tls import Demand, Profile
from vestibule.protocol.url import host_in


class Ending(msgspec.Struct, frozen=True, kw_only=True):
    """TLS as it ends at one host."""

    wanted: Wanted
    demand: Demand
    hsts_s: int


def https_of(config: schema.Config) -> tuple[ListenAddress, ...]:
    """The addresses where the gateway speaks TLS."""
    return config.gateway.https if config.gateway is not None else ()


def way_of(config: schema.Config, node: schema.Host, name: str) -> Source | None:
    """How the certificate of this host is had; None: TLS doesn't end there."""
    if not https_of(config) or node.tls == "off":
        return None
    if node.tls_certificate:
        return Source.FILE
    if node.tls is not None:
        return Source(node.tls)
    return Source.ACME if is_public_name(name) else Source.LOCAL


def url_of(config: schema.Config, node: schema.Host, name: str) -> str:
    """Where people reach a host: what is written, else by the first address with TLS; empty where nobody knows yet."""
    if node.public_url or way_of(config, node, name) is None:
        return node.public_url
    first = https_of(config)[0]
    if not first.host:  # whoever gave us the socket has the port that is usual
        return f"https://{name}"
    return "" if first.port == 0 else f"https://{name}{'' if first.port == 443 else f':{first.port}'}"


def check_tls(
    config: schema.Config, hosts: Mapping[str, schema.Host], report: Report, now: float
) -> dict[str, Ending]:
    """Hosts where TLS ends, by canonical name; what keeps it from ending there goes to *report*."""
    found: dict[str, Ending] = {}
    gateway, has_https = config.gateway, bool(https_of(config))
    _check_listening(config, report)
    for name, node in hosts.items():
        source = way_of(config, node, name)
        _check_written(node, source, report, has_https=has_https)
        if source is None or gateway is None:
            continue
        _check_way(node, name, source, report)
        _check_url(node, report)
        found[name] = Ending(
            wanted=_wanted(node, name, source, report, now),
            demand=_demand(node, gateway.tls_profile, report),
            hsts_s=0 if source is Source.LOCAL or not is_public_name(name) else int(gateway.hsts),
        )
    if gateway is not None and has_https and hosts and not found and not report.faults:
        report.fault(
            gateway.at("https"),
            'no host speaks TLS, since each has tls = "off": leave https out, or one of those',
        )
    return found


def _check_listening(config: schema.Config, report: Report) -> None:
    gateway = config.gateway
    if gateway is None:
        return
    if gateway.has("https") and not gateway.https and not report.faults:
        report.fault(gateway.at("https"), 'the list is empty: https = ["0.0.0.0:443"]')
    if not gateway.https:
        for attribute in ("tls_profile", "hsts"):
            if gateway.has(attribute):
                report.warn(
                    gateway.at(attribute), f'`{attribute}` has no effect without https = ["0.0.0.0:443"]'
                )
    for number, written in enumerate(gateway.proxy_protocol):
        if written.endswith("/0"):
            report.warn(
                gateway.at("proxy_protocol", number),
                f"{written} believes anybody about where a connection comes from, and takes none without PROXY header",
            )
    if gateway.connections and gateway.connections < CONNECTIONS_MIN:
        report.fault(
            gateway.at("connections"),
            f"a number from {CONNECTIONS_MIN} on, or 0: as many as files may be open",
        )
    if gateway.requests < 1:
        report.fault(gateway.at("requests"), "a number from 1 on")


def _check_written(node: schema.Host, source: Source | None, report: Report, *, has_https: bool) -> None:
    """What is said of TLS where there is none, or said twice."""
    if not has_https:
        if node.tls not in (None, "off"):
            report.fault(node.at("tls"), _NO_LISTENER)
        for attribute in ("tls_certificate", "tls_key", "client_ca"):
            if node.has(attribute):
                report.fault(node.at(attribute), _NO_LISTENER)
        return
    if node.tls is not None and node.tls_certificate:
        advice = "leave one of them out"
        report.fault(node.at("tls"), f"`{node.tls}`, and tls_certificate names a file of your own: {advice}")
    if node.tls_key and not node.has("tls_certificate"):
        report.fault(node.at("tls_key"), "is a key without a certificate: write tls_certificate, too")
    if node.has("client_cert_header") and not node.client_ca:
        report.warn(node.at("client_cert_header"), "has no effect without client_ca")
    if source is None and node.client_ca:
        report.fault(node.at("client_ca"), 'nobody can show a certificate without TLS: leave tls = "off" out')


def _check_way(node: schema.Host, name: str, source: Source, report: Report) -> None:
    if source is Source.ACME and not is_public_name(name):
        report.fault(
            node.at("tls"),
            f'no CA vouches for {name}: tls = "local", or tls_certificate with the files of a CA of your own',
        )
    if source is Source.LOCAL and not is_local_name(name):
        tops = ", ".join(LOCAL_DOMAINS)
        report.fault(
            node.at("tls") if node.tls else node.label_at,
            f"the local authority vouches only for names that nobody can own (below {tops}) and addresses of private "
            f"networks, so that nobody can misuse it for others: not for {name}; name it {_local(name)}, "
            "or write tls_certificate",
        )


def _local(name: str) -> str:
    return f"{name.partition('.')[0]}.test" if name[0] != "[" else "app.test"


def _check_url(node: schema.Host, report: Report) -> None:
    if node.public_url.startswith("http://"):
        report.fault(
            node.at("public_url"),
            f'this host speaks TLS: public_url = "https://{host_in(node.public_url)}", or tls = "off"',
        )


# -- files ------------------------------------------------------------------------------------


def _wanted(node: schema.Host, name: str, source: Source, report: Report, now: float) -> Wanted:
    bare = name.strip("[]")
    if source is not Source.FILE:
        return Wanted(name=bare, source=source)
    path = str(beside(node, "tls_certificate", node.tls_certificate))
    key = str(beside(node, "tls_key", node.tls_key)) if node.tls_key else path
    wanted = Wanted(name=bare, source=source, certificate_path=path, key_path=key)
    certificate = _read_own(node, wanted, report)
    if certificate is not None:
        _check_good_for(node, certificate, wanted, report, now)
    _warn_open(node, wanted, report)
    return wanted


def _read_own(node: schema.Host, wanted: Wanted, report: Report) -> Certificate | None:
    key_at = "tls_key" if node.tls_key else "tls_certificate"
    chain = _read(node, "tls_certificate", wanted.certificate_path, report)
    key = (
        chain
        if wanted.key_path == wanted.certificate_path
        else _read(node, "tls_key", wanted.key_path, report)
    )
    if chain is None or key is None:
        return None
    try:
        return pem.read_pair(chain, key, Source.FILE)
    except pem.PemError as error:
        is_key = "key" in str(error).partition(":")[0]
        report.fault(node.at(key_at if is_key else "tls_certificate"), str(error))
        return None


def _check_good_for(
    node: schema.Host, certificate: Certificate, wanted: Wanted, report: Report, now: float
) -> None:
    """An old certificate is better than a gateway that doesn't start: who has one is warned."""
    place = node.at("tls_certificate")
    if not certificate.covers(wanted.name):
        names = ", ".join(certificate.names[:5])
        report.fault(place, f"the certificate is for {names}, and not for {wanted.name}")
    if now >= certificate.not_after_at:
        report.warn(
            place, f"the certificate has ended on {day(certificate.not_after_at)}: browsers refuse it"
        )
    elif now < certificate.not_before_at:
        report.warn(place, f"the certificate is good from {day(certificate.not_before_at)} on, not yet")
    if not pem.is_complete(certificate.chain_pem):
        report.warn(
            place,
            "there is one certificate in it: where a CA signed it, those between it and the CA's root belong behind it "
            "(the file is called fullchain.pem, mostly)",
        )


def _warn_open(node: schema.Host, wanted: Wanted, report: Report) -> None:
    """Threat: another user of the machine who answers as this host."""
    try:
        mode = Path(wanted.key_path).stat().st_mode
    except OSError:
        return  # told already
    if mode & 0o007:
        place = node.at("tls_key" if node.tls_key else "tls_certificate")
        report.warn(place, f"every user of the machine can get at the key: chmod 600 {wanted.key_path}")


def _demand(node: schema.Host, profile: Profile, report: Report) -> Demand:
    if not node.client_ca:
        if node.has("client_ca"):
            report.fault(node.at("client_ca"), "names no file")
        return Demand(profile=profile)
    text = _read(node, "client_ca", str(beside(node, "client_ca", node.client_ca)), report)
    if text is None:
        return Demand(profile=profile)
    try:
        found = pem.read_authorities(text)
    except pem.PemError as error:
        report.fault(node.at("client_ca"), str(error))
        return Demand(profile=profile)
    # Only the certificates go on: what else stands in the file is no authority's.
    written = b"".join(one.public_bytes(Encoding.PEM) for one in found)
    return Demand(profile=profile, client_ca_pem=written, authority=hashlib.sha256(written).hexdigest())


def _read(node: schema.Host, attribute: str, path: str, report: Report) -> bytes | None:
    """The file's bytes; None with a fault."""
    try:
        with Path(path).open("rb") as file:
            return file.read(pem.TEXT_LIMIT_BYTES + 1)
    except OSError as error:
        report.fault(node.at(attribute), f"can't read {path}: {error.strerror or 'it is no file'}")
        return None


def day(at: float) -> str:
    """The day in UTC, as people write it."""
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}"


_NO_LISTENER: Final = 'has no effect, since nothing listens for TLS: gateway { https = ["0.0.0.0:443"] }'
CONNECTIONS_MIN: Final = 16

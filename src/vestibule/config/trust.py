"""By what an https backend is known, and what it is shown: the files that say it, read when the configuration is."""

from __future__ import annotations

import ssl
from pathlib import Path

from vestibule.config.path import beside
from vestibule.config.place import Report
from vestibule.config.schema_passage import Passing
from vestibule.core.route import Trust
from vestibule.model import Secret


def trust_of(node: Passing, inherited: Trust, report: Report) -> Trust:
    """What this host or route says, in front of what it inherits; what is wrong with a file goes to *report*."""
    authorities, shown = inherited.authorities, inherited.shown
    if node.backend_ca is not None:
        authorities = _authorities(node, node.backend_ca, report)
    if node.backend_certificate is not None:
        shown = _shown(node, node.backend_certificate, report)
    elif node.backend_key is not None:
        report.fault(node.at("backend_key"), "is a key without a certificate: write backend_certificate, too")
    return Trust(authorities=authorities, shown=shown, name=node.backend_name or inherited.name)


def _authorities(node: Passing, written: str, report: Report) -> str:
    text = _read(node, "backend_ca", written, report)
    try:
        if text:
            ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError):
        report.fault(node.at("backend_ca"), f"{written} holds no certificates in PEM")
    return text


def _shown(node: Passing, written: str, report: Report) -> Secret | None:
    """Certificate and key as one text."""
    certificate = _read(node, "backend_certificate", written, report)
    key = ""
    if node.backend_key is not None:
        key = _read(node, "backend_key", node.backend_key, report)
        if not key:
            return None
    if not certificate:
        return None
    key_at = "backend_certificate" if node.backend_key is None else "backend_key"
    _check_pair(node, key_at, report)
    _warn_open(node, key_at, report)
    return Secret(f"{certificate}\n{key}")


def _check_pair(node: Passing, key_at: str, report: Report) -> None:
    """Threat: a certificate that is not shown, so that a backend that asks for none lets anybody in."""
    certificate = beside(node, "backend_certificate", str(node.backend_certificate))
    key = beside(node, key_at, str(getattr(node, key_at)))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    try:
        context.load_cert_chain(certificate, key, password=lambda: "")
    except (ssl.SSLError, ValueError, OSError):
        what = "and its key" if node.backend_key is None else "or its key doesn't fit"
        report.fault(
            node.at("backend_certificate"),
            f"{node.backend_certificate} can't be shown: the file has no certificate {what} in PEM, "
            "or the key is encrypted",
        )


def _warn_open(node: Passing, key_at: str, report: Report) -> None:
    path = beside(node, key_at, str(getattr(node, key_at)))
    try:
        mode = path.stat().st_mode & 0o777
    except OSError:
        return  # told already
    if mode & 0o007:
        report.warn(node.at(key_at), f"every user of the machine can get at the key: chmod 600 {path}")


def _read(node: Passing, attribute: str, written: str, report: Report) -> str:
    """The file as text; empty with a fault."""
    path = beside(node, attribute, written)
    try:
        text = Path(path).read_text("ascii")
    except OSError as exc:
        report.fault(node.at(attribute), f"can't read {path}: {exc.strerror}")
        return ""
    except UnicodeDecodeError:
        report.fault(node.at(attribute), f"{written} is not PEM")
        return ""
    if not text.strip():
        report.fault(node.at(attribute), f"{written} is empty")
        return ""
    return text

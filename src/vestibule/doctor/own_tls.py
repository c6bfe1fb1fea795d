"""Certificates that the gateway itself shows: its own files, the local authority, and who is to be reached by https."""

from __future__ import annotations

import contextlib
import os
import ssl
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding

from vestibule.config.compile import Compiled
from vestibule.core import pem
from vestibule.core.certificate import Alarm, Certificate, Source, Wanted, alarm_of
from vestibule.core.route import Host
from vestibule.doctor.finding import About, Finding
from vestibule.service.certificate_alarms import ADVICE
from vestibule.service.local_authority import ROOT

_ABOUT: Final = About("certificates")


def look(compiled: Compiled, now: float) -> list[Finding]:
    """What stands in files; nobody is connected to."""
    own = [one for one in compiled.certificates if one.source is Source.FILE]
    found = [finding for one in own for finding in of_own(one, now)]
    if any(one.source is Source.LOCAL for one in compiled.certificates):
        found.append(of_root(compiled.local_authority / ROOT))
    return found


def asked_as_browsers_do(hosts: Iterable[Host], compiled: Compiled) -> list[Host]:
    """Hosts whose certificate an authority that browsers know has to have signed."""
    local = {one.name for one in compiled.certificates if one.source is Source.LOCAL}
    return [host for host in hosts if host.name.decode("ascii").strip("[]") not in local]


def of_own(wanted: Wanted, now: float) -> list[Finding]:
    """A certificate of the operator's own, and its key."""
    subject = wanted.certificate_path
    try:
        chain, key = Path(subject).read_bytes(), Path(wanted.key_path).read_bytes()
        found = pem.read_pair(chain, key, Source.FILE)
    except OSError as exc:
        return [
            _ABOUT.fail(
                subject, "certificate_unusable", f"{exc.filename}: {exc.strerror}", "correct the path"
            )
        ]
    except pem.PemError as exc:
        advice = "mend the files: the gateway looks at them again by itself"
        return [_ABOUT.fail(subject, "certificate_unusable", str(exc), advice)]
    return [
        *_of_names(wanted, found),
        _of_end(subject, found, now),
        _of_chain(subject, found),
        *_of_key(wanted),
    ]


def _of_names(wanted: Wanted, found: Certificate) -> list[Finding]:
    if found.covers(wanted.name):
        return []
    names = ", ".join(found.names[:5])
    return [
        _ABOUT.fail(
            wanted.certificate_path,
            "certificate_other_names",
            f"it is for {names}, and not for {wanted.name}",
            f"have one made for {wanted.name}, too",
        )
    ]


def _of_end(subject: str, found: Certificate, now: float) -> Finding:
    alarm, days = alarm_of(found, now), (found.not_after_at - now) / 86_400
    if alarm is Alarm.ENDED:
        return _ABOUT.fail(
            subject, "certificate_ended", f"it ended {-days:.0f} days ago", ADVICE[found.source]
        )
    if alarm is not None:
        return _ABOUT.warn(subject, "certificate_ends", f"it ends in {days:.0f} days", ADVICE[found.source])
    return _ABOUT.ok(
        subject, "certificate_good", f"good for {days:.0f} days, for {', '.join(found.names[:5])}"
    )


def _of_chain(subject: str, found: Certificate) -> Finding:
    """Threat: browsers find what is missing by themselves, and phones, programs and webhooks don't."""
    why = refused_because(found)
    if not why:
        return _ABOUT.ok(subject, "chain_good", "it leads to an authority that this machine knows")
    if "expired" in why or "not yet valid" in why:
        return _ABOUT.skip(subject, "chain_unseen", f"it can't be tried: {why}")
    return _ABOUT.warn(
        subject,
        "chain_broken",
        f"it leads to no authority that this machine knows: {why}",
        "put those between it and the authority behind it in the file (fullchain.pem); for an authority of your own "
        "all who connect have to know it",
    )


def refused_because(found: Certificate) -> str:
    """Why who trusts what this machine trusts would refuse it; empty where nothing is wrong. Nobody is asked."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    with tempfile.TemporaryDirectory(prefix="vestibule-doctor-") as folder:
        pair = Path(folder) / "pair.pem"
        handle = os.open(pair, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(found.chain_pem + found.key_pem.reveal().encode("ascii"))
        server.load_cert_chain(pair)
    client = ssl.create_default_context()
    out, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    name = found.names[0].replace("*", "a")
    asking = client.wrap_bio(back, out, server_hostname=name)
    asked = server.wrap_bio(out, back, server_side=True)
    try:
        for one in (asking, asked, asking):
            with contextlib.suppress(ssl.SSLWantReadError):
                one.do_handshake()
    except ssl.SSLCertVerificationError as exc:
        return exc.verify_message
    except ssl.SSLError as exc:
        return exc.reason or "the handshake broke off"
    return ""


def _of_key(wanted: Wanted) -> list[Finding]:
    try:
        found = Path(wanted.key_path).stat()
    except OSError:
        return []  # told already
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o007:
        return [
            _ABOUT.fail(
                wanted.key_path,
                "tls_key_open",
                f"every user of the machine can get at the key (mode {mode:04o})",
                f"chmod 600 {wanted.key_path}, and have another key made: somebody may have it",
            )
        ]
    return [_ABOUT.ok(wanted.key_path, "tls_key_good", f"the key is kept from others (mode {mode:04o})")]


def of_root(path: Path) -> Finding:
    """The local authority, and whether this machine trusts it."""
    try:
        text = path.read_bytes()
        root = pem.read_authorities(text)[0]
    except FileNotFoundError:
        return _ABOUT.ok(str(path), "authority_absent", "the local authority is made at the first start")
    except (OSError, pem.PemError) as exc:
        return _ABOUT.fail(
            str(path), "authority_unusable", str(exc), f"remove {path.parent}: it is made anew"
        )
    known = ssl.create_default_context().get_ca_certs(binary_form=True)
    if root.public_bytes(Encoding.DER) in known or _is_in_directory(text):
        return _ABOUT.ok(str(path), "authority_trusted", "this machine trusts the local authority")
    return _ABOUT.warn(
        str(path),
        "authority_unknown",
        "this machine doesn't trust the local authority: its browsers warn of every host by it",
        "vestibule trust has it and its browsers do so",
    )


def _is_in_directory(text: bytes) -> bool:
    """True where the system's directory of authorities has it, which OpenSSL reads only when it looks for one."""
    folder = ssl.get_default_verify_paths().capath
    return bool(folder) and any(
        path.read_bytes().strip() == text.strip() for path in Path(folder).glob("vestibule-*.pem")
    )

"""Values of the TLS edge: from what an attribute says to what it means. `config.value` lists them with all others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NewType

from vestibule.config.place import Unfit, nearest
from vestibule.core.tls import Profile
from vestibule.errors import BadRequest
from vestibule.protocol import url
from vestibule.protocol.address import is_loopback, parse

Way = NewType("Way", str)
"""How the certificate of a host is had: `acme`, `local`, or `off`."""
Challenge = NewType("Challenge", str)
Directory = NewType("Directory", str)
"""URL of an ACME directory."""
DnsServer = NewType("DnsServer", str)
"""An address, or with its port: `192.0.2.1:53`."""
TsigAlgorithm = NewType("TsigAlgorithm", str)

WAYS: Final = ("acme", "local", "off")
CHALLENGES: Final = ("http-01", "tls-alpn-01", "dns-01")
_ALGORITHMS: Final = ("hmac-sha256", "hmac-sha384", "hmac-sha512")
_BROKEN: Final = ("hmac-md5", "hmac-md5.sig-alg.reg.int", "hmac-sha1")


def way(data: str) -> Way:
    """How the certificate of a host is had."""
    return Way(_one_of(data, WAYS, 'own files are named by `tls_certificate`, without `tls`; write "acme"'))


def profile(data: str) -> Profile:
    """One of Mozilla's recommendations."""
    if data == "old":
        raise Unfit("`old` lets in what was broken years ago: intermediate or modern")
    return Profile(_one_of(data, tuple(one.value for one in Profile)))


def challenge(data: str) -> Challenge:
    """How a name is proven to a CA."""
    return Challenge(_one_of(data, CHALLENGES))


def directory(data: str) -> Directory:
    """Where a CA says what it can do."""
    scheme, _, rest = data.partition("://")
    authority = rest.partition("/")[0]
    try:
        host = url.authority(authority.encode("ascii")).host.decode()
    except (BadRequest, UnicodeError):
        host = ""
    if not host or scheme not in ("https", "http"):
        raise Unfit(
            f"`{data}` is no URL of an ACME directory: https://acme-v02.api.letsencrypt.org/directory"
        )
    if scheme == "http" and not is_loopback(host):
        raise Unfit(f"`{data}`: a CA is asked by https")
    return Directory(data)


def dns_server(data: str) -> DnsServer:
    """A name server by its address."""
    try:
        found = url.authority(
            (f"[{data}]" if data.count(":") > 1 and data[0] != "[" else data).encode("ascii")
        )
        parse(found.host.decode().strip("[]"))
    except (BadRequest, ValueError, IndexError):
        raise Unfit(f'`{data}` is no address of a name server: "192.0.2.1", "127.0.0.1:53"') from None
    return DnsServer(data)


def tsig_algorithm(data: str) -> TsigAlgorithm:
    """By what updates are signed."""
    if data.lower().rstrip(".") in _BROKEN:
        raise Unfit(f"`{data}` is broken: make a key with `tsig-keygen -a hmac-sha256`")
    return TsigAlgorithm(_one_of(data, _ALGORITHMS))


def _one_of(data: str, known: Sequence[str], more: str = "") -> str:
    if data not in known:
        advice = nearest(data, known) or (f"; {more}" if more else "")
        raise Unfit(f"`{data}` is none of: {', '.join(known)}{advice}")
    return data


#: type of a field → what it is called, and how it is written
KINDS: Final[Mapping[Any, tuple[str, Callable[[str], Any]]]] = {
    Profile: ("profile", profile),
    Way: ("way to a certificate", way),
    Challenge: ("challenge", challenge),
    Directory: ("URL", directory),
    DnsServer: ("address", dns_server),
    TsigAlgorithm: ("algorithm", tsig_algorithm),
}

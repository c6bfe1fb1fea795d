r"""Request targets, authorities and return addresses (RFC 3986, RFC 9110 section 4, RFC 9112 section 3.2).

One rule stands behind this module: what was decided on is what is forwarded. So a target is brought to one
canonical form, once, and whatever servers are known to read in more than one way is refused instead of
guessed at:

- a raw `#`, `\`, control character, space or byte above 0x7f; a `%` without two hex digits; `%00`;
- in the path also every encoded control character, `%2F` and `%5C`, and text that is not UTF-8 when decoded;
- dot segments in disguise: behind a path parameter (`/..;x/`, which Tomcat resolves) or encoded more than
  once.

What is left is rewritten: dot segments are resolved, runs of `/` become one (so that `//admin` is `/admin`
for the rule and for the backend), unreserved characters are decoded, other escapes are upper-cased, and
characters that no URI may hold but browsers send (`|`, `[`, `^` …) are encoded. The query is checked but
never rewritten.
"""

from __future__ import annotations

import re
from collections.abc import Container
from ipaddress import IPv6Address
from typing import NamedTuple, NoReturn
from urllib.parse import unquote_to_bytes

import msgspec

from vestibule.errors import BadRequest


class Authority(NamedTuple):
    """A host in lower case without trailing dot (IPv6 in brackets), and a port if one was given."""

    host: bytes
    port: int | None


class Target(msgspec.Struct, frozen=True):
    """A request target in canonical form."""

    path: bytes
    """Begins with one `/`; only the asterisk-form is `*`."""
    query: bytes
    """What follows the first `?`, as it came."""
    full: bytes
    """The bytes to forward: path, and `?` and query where there was a `?`."""
    plain: bytes
    """The path without path parameters (`/admin;x/y` -> `/admin/y`), as Tomcat and its kin see it.

    A target whose `path` and `plain` belong to different routes has two meanings and must be refused.
    """
    authority: bytes = b""
    """Of an absolute-form target only, as it came but well-formed; it must be the one of the Host field."""
    came: bytes = b""
    """As it came, where that was not canonical; empty where it was."""


_QUERY = rb"(?:[^\x00-\x20\x7f-\xff#\\%]|%(?!00)[0-9A-Fa-f]{2})*+"
_QUERY_RE = re.compile(_QUERY)
#: Canonical already, and nothing in it needs a second look (`;`, `%`, a segment that begins with a dot).
_PLAIN_RE = re.compile(
    rb"(/(?:[\w~!$&'()*+,=:@-][\w~!$&'()*+,=:@.-]*+(?:/[\w~!$&'()*+,=:@-][\w~!$&'()*+,=:@.-]*+)*+/?+)?+)"
    rb"(?:\?(" + _QUERY + rb"))?+"
)
_FORBIDDEN_RE = re.compile(rb"[\x00-\x20\x7f-\xff#\\]")
_ESCAPE_RE = re.compile(rb"%(?:([0-9A-Fa-f]{2}))?")
_UNESCAPED_RE = re.compile(rb"[\"<>\[\]^`{|}]")
_SLASHES_RE = re.compile(rb"//+")
_PARAMETER_RE = re.compile(rb"(?:;|%3B)[^/]*")
_SUSPECT_RE = re.compile(rb";|%3B|%25|%2F|%5C")
_ABSOLUTE_RE = re.compile(rb"(?i:https?)://([^/?]*)(.*)", re.DOTALL)

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_REFUSED = frozenset((*range(0x20), 0x7F, *b"/\\"))
#: What an escape in a path becomes, by its byte; None refuses the request.
_ESCAPES: tuple[bytes | None, ...] = tuple(
    None if byte in _REFUSED else bytes((byte,)) if byte in _UNRESERVED else b"%%%02X" % byte
    for byte in range(256)
)


def canonical(raw: bytes, *, slashes: bool = False) -> Target:
    """The target in the one form that is matched and forwarded; `canonical(t.full).full == t.full`.

    `slashes`: `%2F`, `%5C` and runs of `/` stay as they are, as APIs want them (`/projects/group%2Fname`): for
    calls that go out, where no access rule hangs on the path.

    Takes the origin-, absolute- and asterisk-form; whether the method fits the form is the caller's to check,
    as are the length and that an absolute-form's authority equals Host.

    Raises: BadRequest. Spec: RFC 9112 section 3.2, RFC 3986 section 6.2.2. Threat: the gateway and the
    backend reading one path differently. Not covered: backends that fold case or drop trailing dots and
    spaces.
    """
    if found := _PLAIN_RE.fullmatch(raw):
        path, query = found.groups()
        return Target(path, query or b"", raw, path)
    if raw == b"*":
        return Target(raw, b"", raw, raw)
    if raw[:1] == b"/":
        return _origin_form(raw, b"", raw, slashes=slashes)
    if found := _ABSOLUTE_RE.fullmatch(raw):
        named, rest = found.groups()
        authority(named)
        return _origin_form(rest if rest[:1] == b"/" else b"/" + rest, named, raw, slashes=slashes)
    return _refuse("is of no known form")


def _origin_form(raw: bytes, of: bytes, came: bytes, *, slashes: bool) -> Target:
    raw_path, mark, query = raw.partition(b"?")
    if not _QUERY_RE.fullmatch(query):
        _refuse("has a query with a forbidden character or escape")
    path = _canonical_path(raw_path, slashes=slashes)
    full = path + mark + query
    return Target(path, query, full, _without_parameters(path), of, b"" if full == came else came)


def _canonical_path(raw: bytes, *, slashes: bool) -> bytes:
    if _FORBIDDEN_RE.search(raw):
        _refuse("has a forbidden character in its path")
    path = _ESCAPE_RE.sub(_api_escape if slashes else _canonical_escape, raw)
    path = _UNESCAPED_RE.sub(_escape, path)
    _check_utf8(path)
    path = _resolved(path if slashes else _SLASHES_RE.sub(b"/", path))
    if _SUSPECT_RE.search(path) and any(map(_hides_dots, path.split(b"/"))):
        _refuse("has a dot segment in disguise")
    return path


def _canonical_escape(found: re.Match[bytes]) -> bytes:
    digits = found[1]
    escape = _ESCAPES[int(digits, 16)] if digits else None
    if escape is None:
        _refuse("has a broken or forbidden escape in its path")
    return escape


def _api_escape(found: re.Match[bytes]) -> bytes:
    escape: bytes = found[0].upper()
    return escape if escape in (b"%2F", b"%5C") else _canonical_escape(found)


def _escape(found: re.Match[bytes]) -> bytes:
    return b"%%%02X" % found[0][0]


def _check_utf8(path: bytes) -> None:
    """Threat: overlong forms of `/` and `.`, which lax decoders accept (`%C0%AE`)."""
    if b"%" not in path:
        return
    try:
        unquote_to_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        _refuse("is not UTF-8")


def _resolved(path: bytes) -> bytes:
    """The path without dot segments, none ever above the root. Spec: RFC 3986 section 5.2.4."""
    if b"/." not in path:
        return path
    kept: list[bytes] = []
    segments = path.split(b"/")[1:]
    for segment in segments:
        if segment == b"..":
            del kept[-1:]
        elif segment != b".":
            kept.append(segment)
    if segments[-1] in {b".", b".."}:
        kept.append(b"")
    return b"/" + b"/".join(kept)


def _hides_dots(segment: bytes) -> bool:
    """True if some reader sees a dot segment here, by dropping a path parameter or decoding once more."""
    for _round in range(4):
        if any(part.partition(b";")[0] in {b".", b".."} for part in re.split(rb"[/\\]", segment)):
            return True
        decoded = unquote_to_bytes(segment)
        if decoded == segment:
            return False
        segment = decoded
    return True


def _without_parameters(path: bytes) -> bytes:
    if not _PARAMETER_RE.search(path):
        return path
    return _SLASHES_RE.sub(b"/", _PARAMETER_RE.sub(b"", path))


def _refuse(why: str) -> NoReturn:
    raise BadRequest("the address of the request is malformed", detail=f"target {why}")


_LABEL = rb"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME_RE = re.compile(_LABEL + rb"(?:\." + _LABEL + rb")*")
_HOST_PORT_RE = re.compile(rb"(\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,254})(?::([1-9][0-9]{0,4}))?")
_NUMERIC_LABEL_RE = re.compile(rb"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
_OCTET = rb"(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_IPV4_RE = re.compile(_OCTET + rb"(?:\." + _OCTET + rb"){3}")


def authority(raw: bytes) -> Authority:
    """The host and port of a Host field or an absolute target, ready for an exact look-up.

    A name is lower-cased and loses one trailing dot; a name beyond ASCII must come as A-labels, and one that
    ends in a number must be an IPv4 address in its usual form (`127.1` and `0x7f.1` are refused).

    Raises: BadRequest. Spec: RFC 9110 section 7.2, RFC 3986 section 3.2. Threat: userinfo, zone ids, other
    spellings of a host that slip past a rule made for it.
    """
    found = _HOST_PORT_RE.fullmatch(raw.lower())
    port = int(found[2]) if found and found[2] else None
    host = _canonical_host(found[1]) if found else None
    if host is None or (port is not None and port > 0xFFFF):
        raise BadRequest("the host of the request is malformed", detail="authority is not host[:port]")
    return Authority(host, port)


def host_in(text: str) -> str:
    """The host of a URL, or of `host[:port]`, as it is written; IPv6 in brackets. Empty where there is none."""
    _, mark, rest = text.partition("://")
    authority = (rest if mark else text).partition("/")[0]
    return authority.partition("]")[0] + "]" if authority.startswith("[") else authority.partition(":")[0]


def _canonical_host(host: bytes) -> bytes | None:
    if host[:1] == b"[":
        try:
            return b"[%s]" % IPv6Address(host[1:-1].decode("ascii")).compressed.encode("ascii")
        except ValueError:
            return None
    host = host.removesuffix(b".")
    if _NUMERIC_LABEL_RE.fullmatch(host):
        return host if _IPV4_RE.fullmatch(host) else None
    return host if len(host) <= 253 and _NAME_RE.fullmatch(host) else None


MAX_RETURN_BYTES = 2048
_RETURN_FORBIDDEN_RE = re.compile(r"[\x00-\x20\x7f-\xa0\\\u2028\u2029\ud800-\udfff]")
_RETURN_ABSOLUTE_RE = re.compile(r"(https?)://([^/?#]+)([/?#].*)?", re.IGNORECASE)
_NON_ASCII_RE = re.compile(rb"[\x80-\xff]")
_DEFAULT_PORTS = {"http": 80, "https": 443}


def safe_return(rd: str, *, base_url: str, hosts: Container[str]) -> str | None:
    r"""Where a person may be sent after signing in or out: a path of this host, a URL of a configured one.

    `rd` is what the form or query decoding gave, decoded once. `base_url` is this host's own
    ("https://app.example"). `hosts` are the other hosts that may be named, lower-case ("b.example"), on the
    port of `base_url` unless they have one ("b.example:8443"), by its scheme. A URL of `base_url` itself
    comes back as a path. The answer is ASCII, canonical, and begins with exactly one `/` or with the scheme.
    None: go to `/` instead.

    Threat: open redirect. Nothing is repaired on the way to the host name: whatever a browser would strip,
    fold or turn into a slash there (tab, line end, `\`, full-width letters, `https:/x`, userinfo) is refused.
    """
    if not rd or len(rd) > MAX_RETURN_BYTES or _RETURN_FORBIDDEN_RE.search(rd):
        return None
    try:
        place = _return_path(rd) if rd[0] == "/" else _return_url(rd, base_url, hosts)
    except BadRequest:
        return None
    return place if place is None or len(place) <= MAX_RETURN_BYTES else None


def _return_path(rd: str) -> str | None:
    if rd[1:2] == "/":
        return None
    place, mark, fragment = rd.partition("#")
    target = canonical(_ascii(place))
    if not _QUERY_RE.fullmatch(_ascii(fragment)):
        return None
    return target.full.decode("ascii") + mark + _ascii(fragment).decode("ascii")


def _return_url(rd: str, base_url: str, hosts: Container[str]) -> str | None:
    found = _RETURN_ABSOLUTE_RE.fullmatch(rd)
    if not found or not found[2].isascii():
        return None
    base_scheme, _, base_authority = base_url.partition("://")
    if found[1].lower() != base_scheme:
        return None
    host, port = _host_and_port(found[2], base_scheme)
    own_host, own_port = _host_and_port(base_authority, base_scheme)
    rest: str = found[3] or "/"
    # A path of another host may begin with `//`: it stands behind the authority, and is merged there.
    path = _return_path("/" + rest.lstrip("/"))
    if path is None or (host, port) == (own_host, own_port):
        return path
    if f"{host}:{port}" not in hosts and not (port == own_port and host in hosts):
        return None
    shown = "" if port == _DEFAULT_PORTS[base_scheme] else f":{port}"
    return f"{base_scheme}://{host}{shown}{path}"


def _host_and_port(raw: str, scheme: str) -> tuple[str, int]:
    host, port = authority(raw.encode("ascii"))
    return host.decode("ascii"), port or _DEFAULT_PORTS[scheme]


def _ascii(text: str) -> bytes:
    return _NON_ASCII_RE.sub(_escape, text.encode("utf-8"))


def neighbour_url(base_url: str, name: bytes) -> str:
    """The base URL of another host by the scheme and port of this one's."""
    scheme, _, authority = base_url.partition("://")
    _, colon, port = authority[authority.rfind("]") + 1 :].partition(":")
    return f"{scheme}://{name.decode()}{colon}{port}"

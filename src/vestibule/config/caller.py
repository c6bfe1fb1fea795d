"""What is checked of credentials that hosts take from callers: issuers of tokens, JWTs that are required, passwords."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, TypeAlias
from urllib.parse import quote

import msgspec

from vestibule.config.path import beside
from vestibule.config.place import Place, Report, Unfit, nearest
from vestibule.config.schema_caller import Issuer as IssuerNode
from vestibule.config.schema_caller import RequireJwt
from vestibule.config.schema_host import Host, Route
from vestibule.config.value import client_id
from vestibule.core.credential import APIKEY, HTPASSWD, NOTHING, USUAL_CLAIMS, Accepted, Issuer, PasswordFile
from vestibule.core.outgoing import checked_url
from vestibule.errors import ProviderInvalid
from vestibule.protocol.address import is_loopback
from vestibule.protocol.htpasswd import TEXT_LIMIT_BYTES, FileError, People, parse
from vestibule.protocol.jose import ALGORITHMS
from vestibule.protocol.oauth2 import ClientAuth

_AUTH_STYLES: Final[Mapping[str, ClientAuth]] = {"basic": "client_secret_basic", "post": "client_secret_post"}
Issuers: TypeAlias = Mapping[str, Issuer | None]
"""By ID; None for one at fault."""


class Taken(msgspec.Struct, frozen=True, kw_only=True):
    """What a host takes from callers, and how its rules name them."""

    accepted: Accepted = NOTHING
    names: Mapping[str, str] = {}
    """ID → full name, of those whom rules may name."""
    issuers: tuple[str, ...] = ()
    """Full names of those whose word on callers counts on the host."""
    sign_in: tuple[str, ...] = ()
    """Full name of the password file, where the sign-in page has a form for it."""
    demanded: tuple[str, ...] = ()
    """The issuer without whose token nobody gets in: of the host, then of its routes; empty for none."""
    is_whole: bool = True
    """False where something of it is at fault."""

    @property
    def is_anything(self) -> bool:
        """True where some credential is taken."""
        return self.accepted != NOTHING

    def claims(self) -> tuple[Mapping[str, str], ...]:
        """What is kept of tokens, by issuer."""
        return tuple(issuer.claims for issuer in self.accepted.issuers)


# -- issuers ----------------------------------------------------------------------------------


def read_issuers(nodes: Iterable[IssuerNode], report: Report) -> Issuers:
    """The issuers of the top level by ID."""
    found: dict[str, Issuer | None] = {}
    places: dict[str, Place] = {}
    for node in nodes:
        if node.label in found:
            first = places[node.label].short
            report.fault(node.label_at, f"there are two issuers `{node.label}`; the first is at {first}")
            continue
        places[node.label] = node.label_at
        before = len(report.faults)
        issuer = _issuer(node, report)
        found[node.label] = issuer if len(report.faults) == before else None
    return found


def _issuer(node: IssuerNode, report: Report) -> Issuer:
    try:
        client_id(node.label)
    except Unfit as exc:
        report.fault(node.label_at, str(exc))
    _check_urls(node, ("url", "jwks_url", "introspection_url"), report)
    if "?" in node.url or "#" in node.url:
        report.fault(node.at("url"), "an issuer's URL has no query and no fragment")
    _check_asked(node, report)
    if not node.audience and not node.introspection_url and node.has("url"):
        report.fault(
            node.at("audience"),
            f'issuer "{node.label}" has no `audience`: without it every token that it makes for anybody would get '
            'in here: audience = ["https://api.example.com"], as the tokens have it in `aud`',
        )
    elif not node.audience:
        report.warn(
            node.block.place,
            f'issuer "{node.label}" has no `audience`: it alone says which of its tokens are good here, and is asked '
            "about each",
        )
    return Issuer(
        name=f"issuer:{node.label}",
        url=node.url,
        audience=node.audience,
        algorithms=_algorithms(node, report),
        jwks_url=node.jwks_url,
        claims={**USUAL_CLAIMS, **node.claims},
        email_domains=tuple(domain.lower() for domain in node.email_domains),
        introspection_url=node.introspection_url,
        client_id=node.client_id,
        client_secret=node.client_secret,
        client_auth=_AUTH_STYLES.get(node.auth_style, "client_secret_basic"),
        verifies=bool(node.audience),
    )


def _check_asked(node: IssuerNode, report: Report) -> None:
    """Whoever is asked about tokens must know who asks (RFC 7662 section 2.1)."""
    for name in ("client_id", "client_secret"):
        if node.introspection_url and not getattr(node, name):
            report.fault(node.at(name), f"`introspection_url` needs a `{name}`: the issuer tells nobody else")
        elif getattr(node, name) and not node.introspection_url:
            report.fault(node.at(name), f"`{name}` is for `introspection_url`, which isn't written")
    if node.auth_style not in _AUTH_STYLES:
        report.fault(node.at("auth_style"), f"auth_style is one of {', '.join(_AUTH_STYLES)}")


def _check_urls(node: IssuerNode | RequireJwt, names: tuple[str, ...], report: Report) -> None:
    for name in names:
        url = getattr(node, name)
        if not url:
            if node.has(name) and not report.faults:
                report.fault(node.at(name), f"`{name}` is empty")
            continue
        try:
            host = checked_url(url).host or ""
        except ProviderInvalid:
            report.fault(node.at(name), f'{name} is not a URL that can be called: {name} = "https://…"')
            continue
        if url.lower().startswith("http://") and not is_loopback(host):
            report.warn(
                node.at(name),
                f"{name}: plain http to another machine: whoever is between can answer in its place",
            )


def _algorithms(node: IssuerNode | RequireJwt, report: Report) -> tuple[str, ...]:
    for number, name in enumerate(node.algorithms):
        if name not in ALGORITHMS:
            why = ": whoever can check such a token could make one" if name.startswith("HS") else ""
            known = ", ".join(sorted(ALGORITHMS))
            report.fault(node.at("algorithms", number), f"`{name}` is not taken{why}; there are {known}")
    if node.has("algorithms") and not node.algorithms and not report.faults:
        report.fault(node.at("algorithms"), "the list is empty: nothing would be taken")
    return node.algorithms or tuple(sorted(ALGORITHMS))


# -- what a host takes ------------------------------------------------------------------------


def taken_by(host: Host, name: str, issuers: Issuers, clients: Mapping[str, str], report: Report) -> Taken:
    """What the host takes. `name`: its canonical one; `clients`: ID → full name of those people sign in with."""
    before = len(report.faults)
    listed = _listed(host, issuers, report)
    nodes: tuple[Host | Route, ...] = (host, *host.route)
    demanded = tuple(_demanded(node, name, report) for node in nodes)
    passwords = _passwords(host, name, report)
    names = {label: issuer.name for label, issuer in listed.items()}
    if passwords is not None:
        names[HTPASSWD if passwords.has_form else APIKEY] = passwords.name
    for label in names:
        if label in clients:
            place = host.at("issuers" if label in listed else "htpasswd")
            report.fault(place, f"`{label}` is a provider of this host, too; give one of them another ID")
    whole = tuple({issuer.name: issuer for issuer in (*listed.values(), *demanded) if issuer}.values())
    own = (*listed.values(), *([demanded[0]] if demanded[0] else []))
    has_form = passwords is not None and passwords.has_form
    return Taken(
        accepted=Accepted(issuers=whole, passwords=passwords) if whole or passwords else NOTHING,
        names=names,
        issuers=(
            *(issuer.name for issuer in own),
            *((passwords.name,) if passwords is not None and not has_form else ()),
        ),
        sign_in=(passwords.name,) if passwords is not None and has_form else (),
        demanded=tuple(issuer.name if issuer else "" for issuer in _inherited(demanded)),
        is_whole=len(report.faults) == before and len(listed) == len(host.issuers) and not _is_empty(host),
    )


def _is_empty(host: Host) -> bool:
    """True where a password file is named by an empty text."""
    return host.has("htpasswd") and not host.htpasswd


def _inherited(demanded: tuple[Issuer | None, ...]) -> tuple[Issuer | None, ...]:
    """A route without a demand of its own has the host's."""
    return tuple(issuer or demanded[0] for issuer in demanded)


def _listed(host: Host, issuers: Issuers, report: Report) -> dict[str, Issuer]:
    found: dict[str, Issuer] = {}
    for number, label in enumerate(host.issuers):
        place = host.at("issuers", number)
        issuer = issuers.get(label)
        if label in host.issuers[:number]:
            report.fault(place, f"`{label}` stands in issuers twice")
        elif label not in issuers:
            advice = nearest(label, issuers) or f'; add issuer "{label}" {{ url = "…" audience = ["…"] }}'
            report.fault(place, f"there is no issuer `{label}`{advice}")
        elif issuer is not None:
            _check_apart(label, issuer, found, place, report)
            found[label] = issuer
    return found


def _check_apart(
    label: str, issuer: Issuer, found: Mapping[str, Issuer], place: Place, report: Report
) -> None:
    for other, before in found.items():
        if before.url == issuer.url:
            report.fault(
                place, f"`{label}` and `{other}` have the same url: which of them is a token checked by?"
            )
        if before.introspection_url and issuer.introspection_url:
            # Threat: a token shown to whoever isn't meant to have it.
            report.fault(
                place,
                f"`{label}` and `{other}` both have an introspection_url: each would be shown the other's tokens",
            )


def _demanded(node: Host | Route, name: str, report: Report) -> Issuer | None:
    """The issuer of a `require_jwt`."""
    required = node.require_jwt
    if required is None:
        return None
    if not required.jwks_url and not required.issuer:
        report.fault(
            required.block.place,
            'require_jwt says not whose tokens: jwks_url = "https://…", or issuer = "https://…"',
        )
    _check_urls(required, ("jwks_url", "issuer"), report)
    missing = [what for what in ("issuer", "audience") if not getattr(required, what)]
    if missing:
        report.warn(
            required.block.place,
            f"require_jwt has no {' and no '.join(missing)}: whatever these keys sign gets in",
        )
    _check_not_public(node, report)
    return Issuer(
        name=f"require_jwt:{name}{'' if isinstance(node, Host) else node.label}",
        url=required.issuer,
        audience=required.audience,
        algorithms=_algorithms(required, report),
        jwks_url=required.jwks_url,
        claims={**USUAL_CLAIMS, **required.claims},
    )


def _check_not_public(node: Host | Route, report: Report) -> None:
    access = node.access
    for number, rule in enumerate(access.allow if access is not None else ()):
        if access is not None and rule.kind == "public":
            report.fault(
                access.at("allow", number),
                "`public` lets everyone in, and require_jwt only who has such a token: leave one of them out "
                "(`anyone` is whoever has one)",
            )


# -- passwords --------------------------------------------------------------------------------


def _passwords(host: Host, name: str, report: Report) -> PasswordFile | None:
    if host.htpasswd and host.apikey_auth is not None:
        report.fault(host.at("htpasswd"), "apikey_auth stands here too: write all people into one of them")
        return None
    if host.apikey_auth is not None:
        node = host.apikey_auth
        _check_people(node.users.reveal(), node.at("users"), APIKEY, report, is_inline=True)
        return PasswordFile(name=f"{APIKEY}:{name}", text=node.users, has_form=False)
    if not host.htpasswd:
        if _is_empty(host) and not report.faults:
            report.fault(host.at("htpasswd"), '`htpasswd` is empty: htpasswd = "users.htpasswd"')
        return None
    path = beside(host, "htpasswd", host.htpasswd)
    _check_file(path, host.at("htpasswd"), report)
    # By the file's name alone: people stay who they are when it is moved, and learn nothing of this machine. Without a
    # slash, for they are those of all hosts that name it, as those of a provider at top level.
    return PasswordFile(name=f"{HTPASSWD}:{quote(path.name, safe='')}", path=str(path))


def check_files(hosts: Iterable[tuple[Host, Taken]], report: Report) -> None:
    """Threat: two files of one name, where `ann` of the one would be `ann` of the other."""
    found: dict[str, tuple[Host, str]] = {}
    for host, taken in hosts:
        passwords = taken.accepted.passwords
        if passwords is None or not passwords.path:
            continue
        first, path = found.setdefault(passwords.name, (host, passwords.path))
        if path != passwords.path:
            report.fault(
                host.at("htpasswd"),
                f"is another file than that of {first.label}, of the same name, by which their people are known: give "
                "one of them another name",
            )


def _check_file(path: Path, place: Place, report: Report) -> None:
    try:
        raw = path.read_bytes()
        mode = path.stat().st_mode
    except OSError as exc:
        report.fault(place, f"{path} can't be read: {exc.strerror or exc}")
        return
    if mode & 0o022:
        # Threat: whoever writes a line of their own is in.
        report.warn(place, f"other users can write to {path}, and let themselves in: chmod go-w")
    try:
        text = raw.decode("utf-8-sig") if len(raw) <= TEXT_LIMIT_BYTES else None
    except UnicodeDecodeError:
        text = None
    if text is None:
        report.fault(place, f"{path} is not UTF-8 text, or too large")
        return
    _check_people(text, place, str(path), report)


def _check_people(text: str, place: Place, what: str, report: Report, *, is_inline: bool = False) -> None:
    try:
        people = parse(text)
    except FileError as exc:
        where = f"line {exc.line} of `users`" if is_inline else f"{what}:{exc.line}"
        report.fault(place, f"{where} {exc}")
        return
    _warn_people(people, place, what, report)


def _warn_people(people: People, place: Place, what: str, report: Report) -> None:
    if not people.in_order:
        report.warn(place, f"{what}: nobody stands in it")
    if people.weak:
        names = [person.name for person in people.in_order if person.kind in people.weak]
        shown = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
        report.warn(
            place,
            f"{what}: the hashes of {shown} are {' and '.join(people.weak)}, which whoever sees them soon undoes: "
            "make them anew with `htpasswd -B`",
        )

"""The whole configuration from environment variables: one app behind one provider, or a domain's auth service.

What it gives is a document as files give it, so that it is checked by the same code and each fault names its variable.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Final

import msgspec

from vestibule.config import hcl
from vestibule.config.client import class_of, fields_of, provider_kinds
from vestibule.config.place import Place, Report, Unfit, nearest
from vestibule.config.shape import Field
from vestibule.config.value import host_name
from vestibule.config.variables import PREFIX, Variables, items_of, named
from vestibule.core.domain import is_within
from vestibule.protocol.address import is_loopback
from vestibule.protocol.url import host_in

#: settings that are not the provider's
OWN: Final = frozenset(
    {
        "ALLOW_ALL_USERS",
        "ALLOWED_DOMAINS",
        "ALLOWED_EMAILS",
        "APPS",
        "BACKEND",
        "COOKIE",
        "DEMO_URL",
        "PORT",
        "PROVIDER_TYPE",
        "PUBLIC_URL",
        "ROOT_DOMAIN",
        "SESSION_KEY",
        "SESSION_TOKEN",
        "SSO",
    }
)
_WHAT: Final[Mapping[str, str]] = {
    "BACKEND": "the app, host:port",
    "PROVIDER_TYPE": "google, github, oidc …",
    "CLIENT_ID": "as registered with the provider",
    "CLIENT_SECRET": "as given by the provider",
    "ISSUER_URL": "the provider's issuer URL",
    "ROOT_DOMAIN": "the domain that the service is for; it answers as auth. and this",
    "SESSION_KEY": "at least 32 random characters",
    "ALLOWED_DOMAINS": "e-mail domains, a comma list",
}
_HERE: Final = Place("environment")
_NOTHING: Final = hcl.Block("", _HERE)
_APP: Final = ("BACKEND", "PROVIDER_TYPE")
_SERVICE: Final = ("ROOT_DOMAIN", "SESSION_KEY", "ALLOWED_DOMAINS", "PROVIDER_TYPE")
_MARKS_SERVICE: Final = ("ROOT_DOMAIN", "ALLOW_ALL_USERS")
#: what only the auth service of a domain has a use for
_SHARED: Final = ("APPS", "COOKIE", "SESSION_TOKEN", "SSO")
_NUON_COOKIE: Final = "X-Nuon-Auth"
"""What services of that domain look for where the text on Nuon is followed."""


def document(variables: Variables, report: Report) -> hcl.Block:
    """The configuration that the variables describe."""
    _warn_unknown(variables, report)
    is_service = any(name in variables for name in _MARKS_SERVICE) or (
        variables.is_nuon and "BACKEND" not in variables
    )
    if is_service and "BACKEND" in variables:
        mark = next(name for name in (*_MARKS_SERVICE, "BACKEND") if name in variables)
        report.fault(
            variables.place(mark),
            f"makes this the auth service of a domain, and {variables.place('BACKEND')} puts it in front of one app: "
            "unset one of them",
        )
        return _NOTHING
    return _service(variables, report) if is_service else _app(variables, report)


def _warn_unknown(variables: Variables, report: Report) -> None:
    """Names of the text on Nuon that mean nothing here; ours are looked at by `config.environment`."""
    for name in variables:
        place = variables.place(name)
        if name not in OWN and name not in provider_settings() and not place.file.startswith(PREFIX):
            report.warn(place, "has no effect here")


# -- in front of one app ----------------------------------------------------------------------


def _app(variables: Variables, report: Report) -> hcl.Block:
    missing = _missing(variables, _APP)
    if "ALLOWED_DOMAINS" not in variables and "ALLOWED_EMAILS" not in variables:
        missing.append(f"{PREFIX}ALLOWED_DOMAINS or {PREFIX}ALLOWED_EMAILS (comma lists; `*` means everyone)")
    if missing:
        _tell_missing(variables, missing, report)
        return _NOTHING
    for name in _SHARED:
        if name in variables:
            root = f"{PREFIX}ROOT_DOMAIN"
            report.fault(
                variables.place(name), f"belongs to the auth service of a domain, which {root} makes this"
            )
    public_url = variables.text("PUBLIC_URL")
    place = variables.place("PUBLIC_URL" if public_url else "BACKEND")
    provider = _provider(variables, report)
    attributes = named(
        backend=variables.value("BACKEND"), sign_in=hcl.Value((provider.labels[0],), provider.place)
    )
    if public_url:
        attributes |= named(public_url=variables.value("PUBLIC_URL"))
    access = hcl.Block("access", place, (), named(allow=_allow(variables, report)))
    host = hcl.Block(
        "host", place, (hcl.Value(host_in(public_url) or "localhost", place),), attributes, (access,)
    )
    return hcl.Block("", _HERE, (), {}, (_gateway(variables, is_open=bool(public_url)), provider, host))


def _allow(variables: Variables, report: Report) -> hcl.Value:
    rules: list[hcl.Value] = []
    for name, kind in (("ALLOWED_DOMAINS", "domain"), ("ALLOWED_EMAILS", "email")):
        place = variables.place(name)
        items = [str(item.data) for item in variables.items(name)]
        if name in variables and not items:
            report.fault(place, "names nobody; `*` must be written to mean everyone")
        rules += [hcl.Value("anyone" if item == "*" else f"{kind}:{item}", place) for item in items]
    return hcl.Value(
        tuple(rules),
        variables.place("ALLOWED_DOMAINS" if "ALLOWED_DOMAINS" in variables else "ALLOWED_EMAILS"),
    )


# -- the auth service of a domain -------------------------------------------------------------


def _service(variables: Variables, report: Report) -> hcl.Block:
    """`auth.` and the root domain: no app behind it, and whoever may come in stands in the block `people`.

    The address of each person must be in an allowed domain at every request, not only when they sign in. So it must for
    each app of the domain.
    """
    missing = _missing(variables, _SERVICE)
    if missing:
        _tell_missing(variables, missing, report)
        return _NOTHING
    root = _root(variables, report)
    domains = variables.items("ALLOWED_DOMAINS")
    place = variables.place("ALLOWED_DOMAINS")
    if not domains:
        report.fault(place, "names no domain: example.com, example.org")
    if any(item.data == "*" for item in domains):
        report.fault(place, "`*` is no domain: name the e-mail domains that people may have")
    if not root:
        return _NOTHING
    is_local = is_loopback(root)
    name = root if is_local else f"auth.{root}"
    at = variables.place("ROOT_DOMAIN")
    provider = _provider(variables, report)
    offered = hcl.Value((provider.labels[0], hcl.Value("*", at)), provider.place)
    attributes = named(backend=hcl.Value("internal:account", at), sign_in=offered)
    if public_url := _service_url(variables, name, report, is_local=is_local):
        attributes |= named(public_url=public_url)
    rules = tuple(hcl.Value(f"domain:{item.data}", place) for item in domains)
    access = hcl.Block("access", place, (), named(allow=hcl.Value(rules, place)))
    host = hcl.Block("host", at, (hcl.Value(name, at),), attributes, (access,))
    apps = _apps(variables, root, host, report)
    domain = _domain(variables, root, name, has_apps=bool(apps))
    people = hcl.Block(
        "people", at, (), named(allow_all_users=_all(variables), allowed_domains=hcl.Value(domains, place))
    )
    gateway = _gateway(variables, is_open=not is_local)
    return hcl.Block("", _HERE, (), {}, (gateway, people, provider, domain, host, *apps))


def _domain(variables: Variables, root: str, auth: str, *, has_apps: bool) -> hcl.Block:
    """One cookie for the domain, unless it is said otherwise or browsers take none for it."""
    at = variables.place("ROOT_DOMAIN")
    sso = variables.text("SSO") or ("handoff" if has_apps and "." not in root else "cookie")
    attributes = named(auth_host=hcl.Value(auth, at), sso=hcl.Value(sso, variables.place("SSO")))
    if "COOKIE" in variables:
        attributes |= named(cookie=variables.value("COOKIE"))
    elif variables.is_nuon and sso == "cookie":
        attributes |= named(cookie=hcl.Value(_NUON_COOKIE, at))
    if "SESSION_TOKEN" in variables:
        attributes |= named(session_token=variables.value("SESSION_TOKEN"))
    return hcl.Block("domain", at, (hcl.Value(root, at),), attributes)


def _apps(variables: Variables, root: str, auth: hcl.Block, report: Report) -> tuple[hcl.Block, ...]:
    """The hosts of the list: `NAME=BACKEND`, or `NAME` for one that an edge asks about; names below the root domain.

    People sign in and are let in as at the auth host.
    """
    hosts = []
    url = auth.attributes.get("public_url")
    scheme, _, authority = str(url.value.data if url else "").partition("://")
    port = authority.partition(":")[2]
    for item in variables.items("APPS"):
        label, equals, backend = (part.strip() for part in str(item.data).partition("="))
        name = label if is_within(label, root) else f"{label}.{root}"
        if not label or (equals and not backend):
            report.fault(item.place, f"`{item.data}` is no app: app=127.0.0.1:3000")
            continue
        attributes = {"sign_in": auth.attributes["sign_in"]}
        if backend:
            attributes |= named(backend=hcl.Value(backend, item.place))
        if scheme:
            shown = f"{scheme}://{name}{':' if port else ''}{port}"
            attributes |= named(public_url=hcl.Value(shown, item.place))
        hosts.append(hcl.Block("host", item.place, (hcl.Value(name, item.place),), attributes, auth.blocks))
    return tuple(hosts)


def _root(variables: Variables, report: Report) -> str:
    """The root domain, canonical; empty with a fault."""
    place = variables.place("ROOT_DOMAIN")
    try:
        root = host_name(variables.text("ROOT_DOMAIN"))
    except Unfit as exc:
        report.fault(place, str(exc))
        return ""
    if not is_loopback(root) and ("." not in root or root.rpartition(".")[2].isdecimal() or root[0] == "["):
        report.fault(place, "is a domain, as in example.com")
        return ""
    return root


def _all(variables: Variables) -> hcl.Value:
    if "ALLOW_ALL_USERS" not in variables:
        return hcl.Value(False, variables.place("ALLOW_ALL_USERS"))
    written = variables.value("ALLOW_ALL_USERS")
    return hcl.Value(str(written.data).lower(), written.place)


def _service_url(variables: Variables, name: str, report: Report, *, is_local: bool) -> hcl.Value | None:
    """Where people reach the service: https at its name, unless it is written otherwise for the very same name."""
    url, place = variables.text("PUBLIC_URL"), variables.place("PUBLIC_URL")
    if url and place.file.startswith(PREFIX):
        if host_in(url).lower() != name:
            report.fault(
                place, f"names another host than {name}, which {variables.place('ROOT_DOMAIN')} makes it"
            )
        return hcl.Value(url, place)
    return None if is_local else hcl.Value(f"https://{name}", variables.place("ROOT_DOMAIN"))


# -- the same in both -------------------------------------------------------------------------


def _missing(variables: Variables, names: tuple[str, ...]) -> list[str]:
    """What must be set and isn't, with what it is."""
    cls = _class_of(_kind(variables))
    needed = (*names, *(("CLIENT_ID", "CLIENT_SECRET") if cls is None else _needed(cls, variables)))
    return [
        f"{variables.variable(name)} ({_WHAT.get(name, 'the provider needs it')})"
        for name in needed
        if name not in variables
    ]


def _tell_missing(variables: Variables, missing: list[str], report: Report) -> None:
    is_bare = not any(name in variables for name in variables if name not in ("PORT", "SESSION_KEY"))
    given = "no configuration file is given, and " if is_bare else ""
    report.fault(_HERE, f"{given}{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set")


def _gateway(variables: Variables, *, is_open: bool) -> hcl.Block:
    """Behind an edge it takes what the platform sends; otherwise this machine only."""
    port = variables.text("PORT")
    place = variables.place("PORT") if port else variables.place("PUBLIC_URL") if is_open else _HERE
    address = "0.0.0.0" if is_open else "127.0.0.1"  # noqa: S104 - the platform's edge is elsewhere
    http = hcl.Value(f"{address}:{port or '8000'}", place)
    return hcl.Block("gateway", place, (), named(http=hcl.Value((http,), place)))


# -- the provider -----------------------------------------------------------------------------


def _kind(variables: Variables) -> str:
    # Some readers of environment files leave the quotes that the others take off.
    return variables.text("PROVIDER_TYPE").strip("'\"").lower()


def _class_of(kind: str) -> type[msgspec.Struct] | None:
    return class_of(kind) if kind in provider_kinds() else None


@functools.cache
def provider_settings() -> frozenset[str]:
    """Names of all settings that some kind of provider has."""
    classes = (_class_of(kind) for kind in provider_kinds())
    shapes = [fields_of(cls) for cls in classes if cls is not None]
    return frozenset(name.upper() for shape in shapes for name in shape.attributes) - OWN


def _needed(cls: type[msgspec.Struct], variables: Variables) -> tuple[str, ...]:
    """What the kind can't do without: a secret, too, unless it shows who it is by a key of its own."""
    shape = fields_of(cls)
    required = [
        field.name
        for field in msgspec.structs.fields(cls)
        if field.required and field.name in shape.attributes
    ]
    keys = [name for name, field in shape.attributes.items() if field.secret and name.endswith("private_key")]
    has_key = any(key in required or key.upper() in variables for key in keys)
    if "client_id" in required and "client_secret" not in required and not has_key:
        required.insert(required.index("client_id") + 1, "client_secret")
    names = {"issuer": "ISSUER_URL"}
    asked = (names.get(name, name.upper()) for name in required)
    return tuple(name for name in asked if not (name == "ISSUER_URL" and "ISSUER" in variables))


def _provider(variables: Variables, report: Report) -> hcl.Block:
    place = variables.place("PROVIDER_TYPE")
    kind = _kind(variables)
    cls = _class_of(kind)
    fields: Mapping[str, Field] = {} if cls is None else fields_of(cls).attributes
    attributes: dict[str, hcl.Attribute] = {}
    for name in variables:
        if name in OWN or name not in provider_settings():
            continue
        field = fields.get(name.lower())
        if field is not None:
            attributes |= named(**{name.lower(): _setting(field, variables, name)})
        elif cls is not None:
            # Threat: a restriction that restricts nobody.
            known = (known.upper() for known in fields)
            report.fault(
                variables.place(name),
                f"providers of the type {kind} have no such setting{nearest(name, known)}",
            )
    return hcl.Block("provider", place, (hcl.Value(kind, place),), attributes)


def _setting(field: Field, variables: Variables, name: str) -> hcl.Value:
    text, place = variables.text(name), variables.place(name)
    if field.listed:
        return hcl.Value(items_of(text, place), place)
    if field.mapped:
        pairs = (item.data.partition("=") for item in items_of(text, place))
        return hcl.Value({key.strip(): hcl.Value(value.strip(), place) for key, _, value in pairs}, place)
    if field.secret and text.startswith("-----BEGIN"):
        return hcl.Value(text.replace("\\n", "\n"), place)
    return hcl.Value(text, place)

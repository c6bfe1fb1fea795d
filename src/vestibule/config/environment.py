"""Settings from environment variables: beside a file they override it, without one they are all there is."""

from __future__ import annotations

from collections.abc import Mapping

from vestibule.config import hcl, schema
from vestibule.config.place import Place, Report, nearest
from vestibule.config.shape import Node, shape_of

PREFIX = "VESTIBULE_"
#: blocks of which attributes can be overridden: `VESTIBULE_<BLOCK>_<ATTRIBUTE>`
OVERRIDABLE: Mapping[str, type[Node]] = {
    "gateway": schema.Gateway,
    "admin": schema.Admin,
    "store": schema.Store,
    "lifetimes": schema.Lifetimes,
    "branding": schema.Branding,
}
_LATER_BLOCKS = ("acme",)

#: without a file: variable → what it is
BACKEND = "VESTIBULE_BACKEND"
PROVIDER = "VESTIBULE_PROVIDER_TYPE"
CLIENT_ID = "VESTIBULE_CLIENT_ID"
CLIENT_SECRET = "VESTIBULE_CLIENT_SECRET"  # noqa: S105 - the name of a variable
ISSUER = "VESTIBULE_ISSUER_URL"
DOMAINS = "VESTIBULE_ALLOWED_DOMAINS"
EMAILS = "VESTIBULE_ALLOWED_EMAILS"
PUBLIC_URL = "VESTIBULE_PUBLIC_URL"
PORT = "PORT"
SESSION_KEY = "VESTIBULE_SESSION_KEY"
ROOT_DOMAIN = "VESTIBULE_ROOT_DOMAIN"
_REQUIRED = {
    BACKEND: "the app, host:port",
    PROVIDER: "google, github or oidc",
    CLIENT_ID: "as registered with the provider",
    CLIENT_SECRET: "as given by the provider",
}
_WITHOUT_FILE = (*_REQUIRED, ISSUER, DOMAINS, EMAILS, PUBLIC_URL)
_SERVICE = (ROOT_DOMAIN, "ROOT_DOMAIN")
#: what `vestibule demo` tells the command it runs
DEMO_URL = "VESTIBULE_DEMO_URL"
_KNOWN = (*_WITHOUT_FILE, SESSION_KEY, ROOT_DOMAIN, DEMO_URL)


def overridden(root: hcl.Block, environ: Mapping[str, str], report: Report) -> hcl.Block:
    """The whole configuration with what the environment says about the gateway's own blocks."""
    blocks = list(root.blocks)
    for block, cls in OVERRIDABLE.items():
        attributes = _attributes(block, cls, environ, report)
        if attributes:
            blocks = _with_attributes(blocks, block, attributes)
    for variable in sorted(environ):
        if variable.startswith(PREFIX):
            _check_name(variable, report)
    return hcl.Block(root.type, root.place, root.labels, root.attributes, tuple(blocks))


def beside_file(environ: Mapping[str, str], report: Report) -> None:
    """Tell that the variables of the way without a file do nothing beside one."""
    for variable in _WITHOUT_FILE:
        if variable in environ:
            report.warn(
                Place(variable), "has no effect beside a configuration file; it is read only without one"
            )


def _check_name(variable: str, report: Report) -> None:
    """A variable of ours that sets nothing is a mistake, and one that meant to shut a door is a dangerous one."""
    if variable in _KNOWN or any(variable.startswith(f"{PREFIX}{block.upper()}_") for block in OVERRIDABLE):
        return
    block = next((b for b in _LATER_BLOCKS if variable.startswith(f"{PREFIX}{b.upper()}_")), "")
    if block:
        report.fault(Place(variable), f"the block `{block}` is not in this version yet; unset the variable")
    else:
        report.fault(
            Place(variable), f"there is no such variable{nearest(variable, _KNOWN)}; mend or unset it"
        )


def _attributes(
    block: str, cls: type[Node], environ: Mapping[str, str], report: Report
) -> dict[str, hcl.Attribute]:
    start = f"{PREFIX}{block.upper()}_"
    shape = shape_of(cls)
    found: dict[str, hcl.Attribute] = {}
    for variable in sorted(environ):
        if not variable.startswith(start):
            continue
        name = variable.removeprefix(start).lower()
        place = Place(variable)
        field = shape.attributes.get(name)
        if field is None and name in cls.LATER:
            report.fault(place, f"`{name}` is not in this version yet; unset the variable")
        elif field is None:
            report.fault(place, f"`{block}` has no attribute `{name}`{nearest(name, shape.attributes)}")
        else:
            data = _items(environ[variable], place) if field.listed else environ[variable]
            found[name] = hcl.Attribute(name, hcl.Value(data, place), place)
    return found


def _items(text: str, place: Place) -> tuple[hcl.Value, ...]:
    return tuple(hcl.Value(item.strip(), place) for item in text.split(",") if item.strip())


def _with_attributes(
    blocks: list[hcl.Block], name: str, attributes: Mapping[str, hcl.Attribute]
) -> list[hcl.Block]:
    for number, block in enumerate(blocks):
        if block.type == name and not block.labels:
            merged = {**block.attributes, **attributes}
            return [
                *blocks[:number],
                hcl.Block(name, block.place, (), merged, block.blocks),
                *blocks[number + 1 :],
            ]
    return [*blocks, hcl.Block(name, next(iter(attributes.values())).place, (), attributes)]


def document(environ: Mapping[str, str], report: Report) -> hcl.Block:
    """The configuration that the variables describe: one app behind one provider."""
    here = Place("environment")
    if any(environ.get(variable) for variable in _SERVICE):
        variable = next(variable for variable in _SERVICE if environ.get(variable))
        report.fault(
            Place(variable),
            "the auth service for a root domain is not in this version yet; "
            f"to stand in front of one app, unset it and set {BACKEND}",
        )
        return hcl.Block("", here)
    missing = _missing(environ)
    if missing:
        given = "no configuration file is given, and " if not any(v in environ for v in _WITHOUT_FILE) else ""
        verb = "is" if len(missing) == 1 else "are"
        report.fault(here, f"{given}{', '.join(missing)} {verb} not set")
        return hcl.Block("", here)
    return hcl.Block("", here, (), {}, (_gateway(environ), _provider(environ), _host(environ, report)))


def _missing(environ: Mapping[str, str]) -> list[str]:
    missing = [f"{name} ({what})" for name, what in _REQUIRED.items() if not environ.get(name)]
    if environ.get(PROVIDER) == "oidc" and not environ.get(ISSUER):
        missing.append(f"{ISSUER} (the provider's issuer URL)")
    if not environ.get(DOMAINS) and not environ.get(EMAILS):
        missing.append(f"{DOMAINS} or {EMAILS} (comma lists; `*` means everyone)")
    return missing


def _gateway(environ: Mapping[str, str]) -> hcl.Block:
    """Behind an edge (public URL given) it takes what the platform sends; otherwise this machine only."""
    variable = PORT if environ.get(PORT) else PUBLIC_URL
    place = Place(variable if environ.get(variable) else "environment")
    address = "0.0.0.0" if environ.get(PUBLIC_URL) else "127.0.0.1"  # noqa: S104 - the platform's edge is elsewhere
    http = hcl.Value(f"{address}:{environ.get(PORT) or '8000'}", place)
    return hcl.Block("gateway", place, (), _named(http=hcl.Value((http,), place)))


def _provider(environ: Mapping[str, str]) -> hcl.Block:
    place = Place(PROVIDER)
    attributes = _named(client_id=_value(environ, CLIENT_ID), client_secret=_value(environ, CLIENT_SECRET))
    if environ.get(ISSUER):
        attributes |= _named(issuer=_value(environ, ISSUER))
    return hcl.Block("provider", place, (hcl.Value(environ[PROVIDER].strip().lower(), place),), attributes)


def _host(environ: Mapping[str, str], report: Report) -> hcl.Block:
    public_url = environ.get(PUBLIC_URL, "")
    place = Place(PUBLIC_URL if public_url else BACKEND)
    name = public_url.partition("://")[2].partition("/")[0] or "localhost"
    bare = name.partition("]")[0] + "]" if name.startswith("[") else name.partition(":")[0]
    provider = Place(PROVIDER)
    sign_in = hcl.Value((hcl.Value(environ[PROVIDER].strip().lower(), provider),), provider)
    attributes = _named(backend=_value(environ, BACKEND), sign_in=sign_in)
    if public_url:
        attributes |= _named(public_url=_value(environ, PUBLIC_URL))
    access = hcl.Block("access", place, (), _named(allow=_allow(environ, report)))
    return hcl.Block("host", place, (hcl.Value(bare, place),), attributes, (access,))


def _allow(environ: Mapping[str, str], report: Report) -> hcl.Value:
    rules: list[hcl.Value] = []
    for variable, kind in ((DOMAINS, "domain"), (EMAILS, "email")):
        place = Place(variable)
        items = [str(item.data) for item in _items(environ.get(variable, ""), place)]
        if environ.get(variable) and not items:
            report.fault(place, "names nobody; `*` must be written to mean everyone")
        rules += [hcl.Value("anyone" if item == "*" else f"{kind}:{item}", place) for item in items]
    return hcl.Value(tuple(rules), Place(DOMAINS if environ.get(DOMAINS) else EMAILS))


def _value(environ: Mapping[str, str], variable: str) -> hcl.Value:
    return hcl.Value(environ[variable].strip(), Place(variable))


def _named(**values: hcl.Value) -> dict[str, hcl.Attribute]:
    return {name: hcl.Attribute(name, value, value.place) for name, value in values.items()}

"""A provider from the database: the JSON of the admin API, read by the very reader that reads files.

    {"id": "okta", "provider_type": "oidc", "enabled": true, "email_domains": ["example.com"],
     "openid_config": {"client_id": "…", "client_secret": "…", "issuer_url": "https://example.okta.com"}}

The settings of a kind stand in `KIND_config` (`google_config`), those of `oidc` in `openid_config`. Each fault has its
path: `github_config.allowed_orgs[1]`. Who writes rows is not who runs the machine: every URL must be public, and the
e-mail domains that the provider is believed about must be named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from vestibule.config import hcl
from vestibule.config.client import class_of, fields_of, provider_kinds, read_client
from vestibule.config.place import Place, Report, Unfit, nearest
from vestibule.config.redirect import check_redirect_url
from vestibule.config.schema import Provider
from vestibule.config.shape import read
from vestibule.config.value import client_id, host_name
from vestibule.errors import Invalid
from vestibule.model import Secret
from vestibule.protocol.address import NO_NETWORKS, Networks, is_loopback, is_public, parse
from vestibule.providers.base import ProviderConfig

DOCUMENT_MAX_BYTES: Final = 64 * 1024
_DEPTH_MAX: Final = 6
_BESIDE: Final = ("title", "email_domains")
"""Settings of every kind that stand beside the kind's own."""
_WRITTEN: Final = ("id", "provider_type", "enabled", *_BESIDE)
READ_ONLY: Final = frozenset(
    {"source", "version", "created_at", "updated_at", "secrets", "faults", "redirect_urls"}
)
"""What is shown of a row and means nothing when it is sent back."""
_PARAMETERS: Final = "authorize_parameters"
#: settings, beside URLs, that say where a provider is
_WHERE: Final = frozenset(
    {"authorization_server", "domain", "environment", "issuer", "realm", "tenant", "user_pool"}
)
_METADATA: Final = ("metadata_url", "metadata", "issuer", "entity_id")
"""By which a provider of SAML is known."""
_LOOPBACK: Final = ("127.0.0.1", "::1")


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """A provider of the database that can be opened."""

    id: str
    kind: str
    enabled: bool
    document: dict[str, Any]
    """As it is kept: canonical, without secrets."""
    secrets: Mapping[str, Secret]
    """By path in the document: `openid_config.client_secret`."""
    config: ProviderConfig


def section_of(kind: str) -> str:
    """Where the settings of a kind stand."""
    return "openid_config" if kind == "oidc" else f"{kind}_config"


def read_row(
    document: Mapping[str, Any], *, allow: Networks = NO_NETWORKS, hosts: frozenset[str] | None = None
) -> Row:
    """The provider that the document, with its secrets, describes. Raises Invalid with every fault and its path.

    `allow`: networks that a URL may lead to besides public addresses. `hosts`: those a redirect URL may name, each
    with its port where it has one; None: any. What only asking can tell (names that lead inside) is `fetch`'s to check.
    """
    report = Report()
    _check_plain(document, report)
    if report.faults:
        raise _invalid(report)
    whole = {name: value for name, value in document.items() if name not in READ_ONLY}
    kind = _kind(whole, report)
    row_id = _id(whole, kind, report)
    enabled = whole.get("enabled", True)
    if not isinstance(enabled, bool):
        report.fault(Place("enabled"), "is true or false, without quotes")
    domains = _domains(whole, report)
    if not kind:
        raise _invalid(report)
    whole["email_domains"] = domains
    section = _section(whole, kind, report)
    config = _config(whole, section, kind, row_id, report) if whole[section] else None
    _check_urls(whole[section], section, allow, report)
    redirect_url = whole[section].get("redirect_url")
    if hosts is not None and isinstance(redirect_url, str):
        check_redirect_url(redirect_url, row_id, hosts, Place(f"{section}.redirect_url"), report)
    if report.faults or config is None:
        raise _invalid(report)
    kept, secrets = _split(whole, section, kind, row_id)
    return Row(id=row_id, kind=kind, enabled=bool(enabled), document=kept, secrets=secrets, config=config)


def joined(document: Mapping[str, Any], secrets: Mapping[str, Secret]) -> dict[str, Any]:
    """The document with its secrets in their places; one whose place is gone is left out."""
    whole = dict(document)
    for path, secret in secrets.items():
        section, _, name = path.partition(".")
        if isinstance(whole.get(section), Mapping):
            whole[section] = {**whole[section], name: secret.reveal()}
    return whole


def patched(document: Any, patch: Any) -> Any:
    """The document with the patch applied. Spec: RFC 7396 (JSON Merge Patch)."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(document) if isinstance(document, Mapping) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = patched(merged.get(name), value)
    return merged


def moved(old: Any, new: Any) -> bool:
    """True where these settings lead to an address that the old ones didn't lead to."""

    def addresses(settings: Any) -> set[str]:
        written = settings.items() if isinstance(settings, Mapping) else ()
        return {str(value) for name, value in written if _is_where(name)}

    return not addresses(new) <= addresses(old)


def place_of(kind: str, config: ProviderConfig) -> tuple[str, ...]:
    """What tells two clients of one kind apart: the issuer, else where the provider is, and the client's ID there."""
    fields = msgspec.structs.asdict(config) if isinstance(config, msgspec.Struct) else {}
    client = str(fields.get("client_id", ""))
    if kind == "saml":  # whoever writes metadata writes whose they are
        return kind, *(str(fields.get(name, "")) for name in _METADATA)
    if issuer := fields.get("issuer"):
        return kind, client, str(issuer)
    where = (f"{name}={value}" for name, value in sorted(fields.items()) if _is_where(name) and value)
    return kind, client, *where


def word_of(kind: str, config: ProviderConfig) -> tuple[Any, ...]:
    """What what it says of people rests on: where it is, which addresses it is believed about, which claims are read.

    Where that changes, nothing it has said before holds.
    """
    fields = msgspec.structs.asdict(config) if isinstance(config, msgspec.Struct) else {}
    believed = ("email_domains", "assume_email_verified", "claims", "attributes", "preset", "name_id")
    return (*place_of(kind, config), *(fields.get(name) for name in believed))


# -- the frame --------------------------------------------------------------------------------


def _check_plain(document: Mapping[str, Any], report: Report) -> None:
    """Threat: texts and nests that JSON allows and a database, a log or the reader of files trips over."""
    for path, value, depth in _walk(document, "", 0):
        if depth > _DEPTH_MAX:
            report.fault(Place(path), "is nested too deeply")
            return
        if isinstance(value, str) and ("\0" in value or not _is_unicode(value)):
            report.fault(Place(path), "holds characters that can't be kept")
    if not report.faults and len(msgspec.json.encode(document)) > DOCUMENT_MAX_BYTES:
        report.fault(Place("document"), f"is larger than {DOCUMENT_MAX_BYTES // 1024} KiB")


def _walk(value: Any, path: str, depth: int) -> Iterator[tuple[str, Any, int]]:
    yield path, value, depth
    if depth > _DEPTH_MAX:
        return
    if isinstance(value, Mapping):
        for name, item in value.items():
            yield f"{path}.{name!r}", name, depth
            yield from _walk(item, f"{path}.{name}" if path else str(name), depth + 1)
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _walk(item, f"{path}[{number}]", depth + 1)


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeError:
        return False
    return True


def _kind(whole: Mapping[str, Any], report: Report) -> str:
    """The kind, or empty with a fault."""
    kind = whole.get("provider_type")
    known = [*provider_kinds(), "oauth2"]
    if isinstance(kind, str) and kind in known:
        return kind
    kinds = ", ".join(sorted(known))
    if kind is None:
        report.fault(Place("provider_type"), f"is missing; there are {kinds}")
    elif isinstance(kind, str):
        report.fault(
            Place("provider_type"),
            f"there is no kind of provider `{kind}`{nearest(kind, known) or f': {kinds}'}",
        )
    else:
        report.fault(Place("provider_type"), f"is one of {kinds}")
    return ""


def _id(whole: Mapping[str, Any], kind: str, report: Report) -> str:
    """The ID, by default the kind."""
    row_id = whole.get("id", kind)
    if not isinstance(row_id, str):
        report.fault(Place("id"), "is text in double quotes")
        return kind
    try:
        return client_id(row_id) if row_id or kind else ""
    except Unfit as exc:
        report.fault(Place("id"), str(exc))
        return kind


def _domains(whole: Mapping[str, Any], report: Report) -> list[str]:
    """The e-mail domains, canonical. Threat: a provider that vouches for addresses of other people's domains."""
    written = whole.get("email_domains")
    advice = 'name the domains that this provider is believed about: ["example.com"]'
    if not isinstance(written, list | tuple) or not written:
        say = "is missing" if written is None else "is a list that is not empty"
        report.fault(Place("email_domains"), f"{say}; {advice}")
        return []
    found: list[str] = []
    for number, domain in enumerate(written):
        place = Place(f"email_domains[{number}]")
        try:
            name = host_name(domain) if isinstance(domain, str) else ""
        except Unfit:
            name = ""
        if "." not in name or _is_address(name):
            report.fault(place, "is no bare domain, as in example.com")
        elif name not in found:
            found.append(name)
    return found


def _section(whole: dict[str, Any], kind: str, report: Report) -> str:
    """Where the kind's own settings stand; what stands elsewhere is a fault."""
    section = section_of(kind)
    if kind == "oidc" and "oidc_config" in whole and section not in whole:
        whole[section] = whole.pop("oidc_config")
    for name in whole:
        if name in _WRITTEN or name == section:
            continue
        if name.endswith("_config"):
            report.fault(Place(name), f"the settings of the type {kind} stand in {section}")
        else:
            report.fault(Place(name), f"there is no such setting here{nearest(name, [*_WRITTEN, section])}")
    written = whole.get(section)
    if not isinstance(written, Mapping) or not written:
        say = "is missing" if written is None else "is an object"
        report.fault(Place(section), f'{say}: {{"client_id": "…", "client_secret": "…"}}')
        written = {}
    whole[section] = dict(written)
    return section


# -- the kind's own settings ------------------------------------------------------------------


def _config(
    whole: Mapping[str, Any], section: str, kind: str, row_id: str, report: Report
) -> ProviderConfig | None:
    """The configuration, by the reader of files."""
    attributes: dict[str, hcl.Attribute] = {}
    for name, value in whole[section].items():
        if name in _BESIDE or name == "type":
            beside = "provider_type" if name == "type" else name
            report.fault(Place(f"{section}.{name}"), f"stands beside {section}, as `{beside}`")
        elif name.endswith("_file"):
            # Threat: a file of the machine, sent to whatever address the row names.
            report.fault(
                Place(f"{section}.{name}"),
                "can only stand in the configuration: it names a file of this machine",
            )
        elif name != _PARAMETERS:
            attributes[name] = _attribute(name, value, f"{section}.{name}")
    for name in _BESIDE:
        if name in whole:
            attributes[name] = _attribute(name, whole[name], name)
    blocks = tuple(_parameters(whole[section].get(_PARAMETERS), f"{section}.{_PARAMETERS}", report))
    place = Place(section)
    labels = (hcl.Value(row_id, Place("id")),)
    node = read(Provider, hcl.Block("provider", place, labels, attributes, blocks), report, label=row_id)
    if "is_trusted" not in getattr(class_of(kind), "__struct_fields__", ()):
        report.fault(Place("provider_type"), f"providers of the type {kind} can only stand in files")
        return None
    client = read_client(node, kind, row_id, report, is_trusted=False)
    if client is None:
        return None
    if not client.identifies:
        report.fault(place, "says nothing of who people are: add userinfo_url")
        return None
    return client.config


def _attribute(name: str, data: Any, path: str) -> hcl.Attribute:
    return hcl.Attribute(name, _value(data, path), Place(path))


def _value(data: Any, path: str) -> hcl.Value:
    if isinstance(data, Mapping):
        return hcl.Value({str(key): _value(item, f"{path}.{key}") for key, item in data.items()}, Place(path))
    if isinstance(data, list | tuple):
        items = tuple(_value(item, f"{path}[{number}]") for number, item in enumerate(data))
        return hcl.Value(items, Place(path))
    return hcl.Value(data, Place(path))


def _parameters(written: Any, path: str, report: Report) -> Iterator[hcl.Block]:
    """`{"prompt": "consent"}` as blocks."""
    if written is None:
        return
    if not isinstance(written, Mapping):
        report.fault(Place(path), 'is an object: {"prompt": "consent"}')
        return
    for name, value in written.items():
        place = f"{path}.{name}"
        attributes = {"name": _attribute("name", name, place), "value": _attribute("value", value, place)}
        yield hcl.Block("authorize_parameter", Place(place), (), attributes)


def _split(
    whole: Mapping[str, Any], section: str, kind: str, row_id: str
) -> tuple[dict[str, Any], dict[str, Secret]]:
    """The document without its secrets, and those by path."""
    cls = class_of(kind)
    assert cls is not None, "it was read"
    shape = fields_of(cls)
    settings: dict[str, Any] = {}
    secrets: dict[str, Secret] = {}
    for name, value in whole[section].items():
        field = shape.attributes.get(name)
        if field is not None and field.secret and isinstance(value, str):
            secrets[f"{section}.{name}"] = Secret(value)
        elif value is not None:
            settings[name] = value
    frame = {name: whole[name] for name in _WRITTEN if name in whole and whole[name] is not None}
    return {**frame, "id": row_id, section: settings}, secrets


# -- addresses --------------------------------------------------------------------------------


def _is_where(name: str) -> bool:
    return name in _WHERE or (name.endswith("url") and name != "redirect_url")


def _check_urls(settings: Mapping[str, Any], section: str, allow: Networks, report: Report) -> None:
    """Threat: who may write providers makes the gateway call addresses inside (server-side request forgery)."""
    for name, value in settings.items():
        if name == "redirect_url" or not isinstance(value, str) or "://" not in value:
            continue
        place = Place(f"{section}.{name}")
        if not name.endswith("url") and name != "issuer":
            continue
        try:
            parts = urlsplit(value)
            host = (parts.hostname or "").removesuffix(".")
        except ValueError:
            host = ""
        if not host:
            continue  # no URL at all: the class says so
        inside = _is_inside(host, allow)
        if inside is False:
            report.fault(
                place, "leads to an address that isn't public: allow its network in gateway { fetch_allow }"
            )
        elif parts.scheme != "https" and inside is None:
            report.fault(place, "must be https")


def _is_inside(host: str, allow: Networks) -> bool | None:
    """True: private, and allowed. False: private. None: public as far as the name tells."""
    if is_loopback(host) and not _is_address(host):
        return any(address in allow for address in _LOOPBACK)
    if _is_address(host):
        return None if is_public(host) else host in allow
    return None


def _is_address(host: str) -> bool:
    try:
        parse(host.strip("[]"))
    except ValueError:
        return host.rpartition(".")[2].isdecimal()
    return True


def _invalid(report: Report) -> Invalid:
    found = dict.fromkeys((str(fault.place), fault.message) for fault in report.faults)
    return Invalid(tuple(found))

"""The whole configuration that oauth2-proxy's options make."""

from __future__ import annotations

from collections.abc import Sequence

from vestibule.config.importers.note import About, Imported, Notes, imported
from vestibule.config.importers.oauth2_proxy import access, callers, headers, paths
from vestibule.config.importers.oauth2_proxy.access import ReadFile
from vestibule.config.importers.oauth2_proxy.paths import Paths, access_block
from vestibule.config.importers.oauth2_proxy.provider import Made, provider
from vestibule.config.importers.oauth2_proxy.read import Read, read
from vestibule.config.importers.option import tell_fates
from vestibule.config.importers.site import (
    PLACEHOLDER,
    Site,
    believed_edges,
    domain_around,
    listen,
    names_of,
    networks,
    seen,
)
from vestibule.config.importers.source import Source
from vestibule.config.importers.span import span
from vestibule.config.write import Block, Comment, Value
from vestibule.protocol.address import is_loopback

_HEAD = """\
Made by `vestibule import oauth2-proxy`. Check it: vestibule check FILE
What became of which option stands at the end."""
_USUAL = "127.0.0.1:4180"
_USUAL_TLS = "0.0.0.0:443"
_WEEK_S = 7 * 86400.0


def import_oauth2_proxy(sources: Sequence[Source], hosts: Sequence[str], read_file: ReadFile) -> Imported:
    """oauth2-proxy's configuration as one of ours. Raises ConfigError for what can't be read.

    *hosts*: names of the hosts it stands in front of, of which its own files name one at most.
    """
    notes = Notes()
    found = read(sources, notes)
    site = _site(found, tuple(hosts), notes)
    made = provider(found, _redirect_url(found, site), access.domains_of(found.options), notes)
    rules = access.conditions(found, made.rules, read_file, notes)
    way = paths.paths(found, rules, notes)
    issuers = callers.issuers(found, notes)
    items: list[Block | Comment] = [
        _gateway(found, site, way, notes),
        *_domain(site, notes),
        *_lifetimes(found, notes),
        *_branding(found, notes),
        made.block,
        *issuers,
        *_auth_host(site, made, way, _certificate(found, site)),
    ]
    same = {**_same_for_all(found, made, way, issuers), **_certificate(found, site)}
    inside = (access_block(way.access), *headers.headers(found, notes), *way.routes)
    whole = _backend(way, notes)
    for name in site.hosts:
        url = site.public_url(name)
        seen_as: dict[str, Value] = {"public_url": url} if url else {}
        items.append(Block("host", name, {**whole, **seen_as, **same}, inside))
    tell_fates(found.options, notes)
    return imported(_HEAD, items, notes)


# -- names ------------------------------------------------------------------------------------


def _site(found: Read, hosts: tuple[str, ...], notes: Notes) -> Site:
    options = found.options
    redirect = seen(options.text("redirect_url"))
    named = names_of(hosts) or names_of(
        name for name in options.items("whitelist_domains") if name[:1] not in ".*"
    )
    apps = named or ((redirect.host,) if redirect.host else ())
    if not apps:
        apps = (PLACEHOLDER,)
        notes.add(
            About.DO,
            PLACEHOLDER,
            "no option says what people see the host as: write its name instead, or import again with --host NAME",
        )
    domain = domain_around(redirect.host, options.items("cookie_domains")) if redirect.host else ""
    is_apart = bool(domain) and redirect.host not in apps
    if options.items("cookie_domains") and not is_apart:
        notes.add(
            About.DO,
            "cookie_domains",
            "one sign-in for several hosts is a `domain` block with an `auth_host` that has no app: name the hosts "
            "that have one with --host NAME, and it is written, if `redirect_url` is on another",
        )
    is_plain = redirect.scheme == "http" or (not redirect.scheme and all(map(is_loopback, apps)))
    return Site(
        hosts=apps,
        auth_host=redirect.host if is_apart else "",
        domain=domain if is_apart else "",
        scheme="http" if is_plain else "https",
        port=redirect.port,
    )


def _redirect_url(found: Read, site: Site) -> str:
    """The redirect URL that is registered with the provider, so that nothing need be registered anew."""
    prefix = (found.options.text("proxy_prefix") or "/oauth2").rstrip("/")
    path = seen(found.options.text("redirect_url")).path
    path = path if path not in ("", "/") else f"{prefix}/callback"
    return site.url(site.auth_host or site.hosts[0]) + path


# -- blocks -----------------------------------------------------------------------------------


def _gateway(found: Read, site: Site, way: Paths, notes: Notes) -> Block:
    options = found.options
    written = options.text("http_address")
    address = listen(written, _USUAL, "http_address", notes, is_plain=site.scheme == "http")
    attributes: dict[str, Value] = {"http": (str(address),), **_tls(found, site, notes)}
    if way.only_asked:
        port = address.port + 1 if address.port else 4181
        attributes["forward_auth"] = f"127.0.0.1:{port}"
        notes.add(
            About.CHANGED,
            "forward_auth",
            f"an edge asks at the address it asked at before (`/oauth2/auth`); 127.0.0.1:{port} answers the newer ways",
        )
    is_behind = options.switch("reverse_proxy") or way.only_asked
    trusted = networks(options.items("trusted_proxy_ips"), "trusted_proxy_ips", notes)
    if not trusted and is_behind:
        trusted = believed_edges("oauth2-proxy", notes)
    if trusted:
        attributes["trusted_proxies"] = trusted
    return Block("gateway", attributes=attributes)


def _certificate(found: Read, site: Site) -> dict[str, Value]:
    """What each host shows; nothing where oauth2-proxy speaks no TLS, or people come by plain http."""
    pair = {
        "tls_certificate": found.options.reference("tls_cert_file"),
        "tls_key": found.options.reference("tls_key_file"),
    }
    written: dict[str, Value] = {name: path for name, path in pair.items() if path}
    return written if site.scheme == "https" and len(written) == len(pair) else {}


def _tls(found: Read, site: Site, notes: Notes) -> dict[str, Value]:
    """Where it is listened for, and who can connect."""
    options = found.options
    if not _certificate(found, site):
        for name in ("tls_cert_file", "tls_key_file"):
            if options.reference(name):
                why = (
                    "people come by plain http"
                    if site.scheme == "http"
                    else "certificate and key go together"
                )
                notes.add(About.NONE, name, f"{why}: left out")
        return {}
    address = listen(options.text("https_address"), _USUAL_TLS, "https_address", notes, is_plain=False)
    attributes: dict[str, Value] = {"https": (str(address),)}
    if options.text("tls_min_version") == "TLS1.3":
        attributes["tls_profile"] = "modern"
    return attributes


def _domain(site: Site, notes: Notes) -> list[Block]:
    if not site.auth_host:
        return []
    notes.add(
        About.CHANGED,
        "cookie_domains",
        'one cookie for the domain, as before. `sso = "handoff"` is safer, and needs the edge to pass on `/oauth2/` of '
        "each host",
    )
    return [Block("domain", site.domain, {"auth_host": site.auth_host, "sso": "cookie"})]


def _lifetimes(found: Read, notes: Notes) -> list[Block]:
    attributes: dict[str, Value] = {}
    expire = found.options.seconds("cookie_expire")
    if expire == 0:
        about = "a session that ends with the browser is not there; it ends when it is not used for a day"
        notes.add(About.NONE, "cookie_expire", about)
    elif expire is not None:
        attributes["session_idle"] = span(expire)
        if expire != _WEEK_S:
            attributes["session_absolute"] = span(expire)
    refresh = found.options.seconds("cookie_refresh")
    if refresh:
        attributes["restriction"] = span(refresh)
    return [Block("lifetimes", attributes=attributes)] if attributes else []


def _branding(found: Read, notes: Notes) -> list[Block]:
    options = found.options
    attributes: dict[str, Value] = {}
    for name in ("banner", "footer"):
        text = options.reference(name)
        if text and text != "-":
            attributes[name] = text
            if isinstance(text, str) and "<" in text:
                notes.add(About.CHANGED, name, "is plain text here: what is HTML in it is shown as it stands")
    logo = options.text("custom_sign_in_logo")
    if logo.startswith(("http://", "https://")):
        notes.add(
            About.DO, "custom_sign_in_logo", "is a file beside the configuration: fetch it, and write `logo`"
        )
    elif logo:
        attributes["logo"] = logo
    return [Block("branding", attributes=attributes)] if attributes else []


def _auth_host(site: Site, made: Made, way: Paths, certificate: dict[str, Value]) -> list[Block]:
    if not site.auth_host:
        return []
    attributes: dict[str, Value] = {
        "public_url": site.url(site.auth_host),
        "sign_in": (made.id,),
        "compat": (headers.FAMILY,),
        **certificate,
    }
    return [Block("host", site.auth_host, attributes, (access_block(way.access),))]


def _backend(way: Paths, notes: Notes) -> dict[str, Value]:
    if way.only_asked or "backend" in way.whole:
        return dict(way.whole)
    notes.add(
        About.DO,
        "upstreams",
        "none is for `/`: write `backend` into the host; the folder `empty` has nothing",
    )
    return {"backend": "static:empty"}


def _same_for_all(found: Read, made: Made, way: Paths, issuers: tuple[Block, ...]) -> dict[str, Value]:
    """What every host has."""
    attributes: dict[str, Value] = {"sign_in": (made.id,), "compat": (headers.FAMILY,)}
    if headers.wants_family(found):
        attributes["identity_headers"] = (headers.FAMILY,)
    if password_file := found.options.reference("htpasswd_file"):
        attributes["htpasswd"] = password_file
    if issuers:
        attributes["issuers"] = tuple(block.label for block in issuers)
    if way.preflight:
        attributes["preflight"] = True
    return attributes

"""The whole configuration that Vouch's options make: auth hosts, and hosts an edge asks about."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from vestibule.config.importers.note import About, Imported, Notes, imported
from vestibule.config.importers.option import Options, tell_fates
from vestibule.config.importers.site import Seen, Site, believed_edges, domain_around, listen, names_of, seen
from vestibule.config.importers.source import Source
from vestibule.config.importers.span import span
from vestibule.config.importers.vouch.provider import Made, claim_name, provider
from vestibule.config.importers.vouch.read import read
from vestibule.config.place import Unfit
from vestibule.config.rule import rule_of
from vestibule.config.write import Block, Comment, Value

_HEAD: Final = """\
Made by `vestibule import vouch`. Check it: vestibule check FILE
What became of which option stands at the end."""
_FAMILY: Final = "vouch"
_CLAIMS: Final = "X-Vouch-IdP-Claims-"
_USUAL: Final = "0.0.0.0:9090"
_USUAL_MINUTES: Final = 240
_NO_ACCOUNT: Final = frozenset({"homeassistant"})


def import_vouch(sources: Sequence[Source], hosts: Sequence[str]) -> Imported:
    """Vouch's configuration as one of ours. Raises ConfigError for what can't be read.

    *hosts*: names of the hosts it guards, which its own files don't name.
    """
    notes = Notes()
    options = read(sources, notes)
    callbacks = _callbacks(options, notes)
    sites = _sites(options, callbacks, tuple(hosts), notes)
    allow = _allow(options, notes)
    made = provider(options, _redirect_url(callbacks, sites), allow, notes)
    _tell_callbacks(sites, made, notes)
    access = Block("access", attributes={"allow": allow})
    items: list[Block | Comment] = [_gateway(options, sites, notes)]
    items += [Block("domain", site.domain, {"auth_host": site.auth_host, "sso": "cookie"}) for site in sites]
    items += [_lifetimes(options, notes), made.block]
    headers = _headers(options)
    for site in sites:
        items.append(_host(site, site.auth_host, made, (access,)))
        items += [_host(site, name, made, (access, *headers), told=True) for name in site.hosts]
    notes.add(
        About.CHANGED,
        "sso",
        'one cookie for the domain, as before. `sso = "handoff"` is safer, and needs every edge to pass on `/@/`',
    )
    tell_fates(options, notes)
    return imported(_HEAD, items, notes)


# -- names ------------------------------------------------------------------------------------


def _callbacks(options: Options, notes: Notes) -> tuple[Seen, ...]:
    found = []
    for url in filter(None, (options.text("oauth.callback_url"), *options.items("oauth.callback_urls"))):
        one = seen(url)
        if one.host:
            found.append(one)
        else:
            notes.add(About.DO, "oauth.callback_url", f"`{url}` is no URL: left out")
    return tuple(found)


def _sites(
    options: Options, callbacks: tuple[Seen, ...], hosts: tuple[str, ...], notes: Notes
) -> tuple[Site, ...]:
    """A site for each domain: its auth host and the hosts below it."""
    domains = [*options.items("vouch.domains")]
    if cookie_domain := options.text("vouch.cookie.domain"):
        domains = [cookie_domain]
    domains = list(names_of(domain.lstrip(".") for domain in domains)) or [
        one.host.partition(".")[2] or one.host for one in callbacks
    ]
    if not domains:
        domains = ["example.com"]
        notes.add(About.DO, "example.com", "no domain was found: write yours instead")
    named = names_of(hosts) or _hinted(options, domains, callbacks)
    sites = []
    for domain in dict.fromkeys(domains):
        callback = next((one for one in callbacks if domain_around(one.host, domains) == domain), None)
        auth_host = callback.host if callback else f"vouch.{domain}"
        if callback is None:
            about = "no callback URL names it: write where Vouch is, if it is elsewhere"
            notes.add(About.DO, auth_host, about)
        below = tuple(one for one in named if domain_around(one, domains) == domain and one != auth_host)
        if not below:
            below = (f"app.{domain}",)
            about = (
                "Vouch's file doesn't say which hosts it guards: write a block for each, or import again with --host "
                "NAME for each"
            )
            notes.add(About.DO, below[0], about)
        sites.append(
            Site(
                hosts=below,
                auth_host=auth_host,
                domain=domain,
                scheme=callback.scheme if callback else "https",
                port=callback.port if callback else None,
            )
        )
    for name in named:
        if not domain_around(name, domains):
            notes.add(About.DO, name, f"is in none of the domains {', '.join(domains)}: left out")
    return tuple(sites)


def _hinted(options: Options, domains: Sequence[str], callbacks: tuple[Seen, ...]) -> tuple[str, ...]:
    """Hosts that a few options happen to name."""
    urls = (
        options.text("vouch.test_url"),
        *options.items("vouch.test_urls"),
        *options.items("vouch.post_logout_redirect_uris"),
    )
    theirs = {one.host for one in callbacks}
    found = (seen(url).host for url in urls if url)
    return tuple(dict.fromkeys(host for host in found if host not in theirs and domain_around(host, domains)))


def _redirect_url(callbacks: tuple[Seen, ...], sites: tuple[Site, ...]) -> str:
    """The one that is registered; empty where there are several."""
    if len(sites) > 1:
        return ""
    path = callbacks[0].path if callbacks else "/auth"
    return f"{sites[0].url(sites[0].auth_host)}{path if path not in ('', '/') else '/auth'}"


def _tell_callbacks(sites: tuple[Site, ...], made: Made, notes: Notes) -> None:
    if len(sites) > 1:
        urls = ", ".join(f"{site.url(site.auth_host)}/@{made.id}/callback" for site in sites)
        about = (
            f"`redirect_url` is one, and there are several domains: register these with the provider: {urls}"
        )
        notes.add(About.DO, "oauth.callback_urls", about)


# -- who gets in ------------------------------------------------------------------------------


def _allow(options: Options, notes: Notes) -> tuple[str, ...]:
    """The rules: as in Vouch the first kind that is set says it all."""
    if options.switch("vouch.publicAccess"):
        return ("public",)
    everybody = options.switch("vouch.allowAllUsers")
    people, teams = options.items("vouch.whiteList"), options.items("vouch.teamWhitelist")
    domains = tuple(domain.lower().lstrip(".") for domain in options.items("vouch.domains"))
    if everybody or options.text("oauth.provider") in _NO_ACCOUNT:
        return ("anyone",)
    if people:
        return tuple(filter(None, (_person(options, one, notes) for one in people)))
    if teams:
        return tuple(f"team:{team}" if "/" in team else f"org:{team}" for team in teams)
    if domains:
        about = "a `domain:` rule is on the domain as it stands; Vouch let in addresses below it, too: name each one"
        notes.add(About.CHANGED, "vouch.domains", about)
        return tuple(f"domain:{domain}" for domain in domains)
    notes.add(
        About.DO, "access", "Vouch lets in anybody where nothing says who: nobody gets in until `allow` does"
    )
    return ()


def _person(options: Options, name: str, notes: Notes) -> str:
    kind = options.text("oauth.provider")
    if options.switch("oauth.discord_use_ids"):
        about = f"`{name}` is an ID at Discord: write the name of the account, `user:discord/NAME`"
        notes.add(About.DO, "vouch.whiteList", about)
        return ""
    rule = f"email:{name.lower()}" if "@" in name else f"user:{kind}/{name.partition('#')[0]}"
    try:
        rule_of(rule)
    except Unfit as exc:
        notes.add(About.DO, "vouch.whiteList", f"left out: {exc}")
        return ""
    return rule


# -- blocks -----------------------------------------------------------------------------------


def _gateway(options: Options, sites: tuple[Site, ...], notes: Notes) -> Block:
    written = options.text("vouch.listen")
    port = options.given("vouch.port")
    if not written.startswith("unix:"):
        written = f"{written or '0.0.0.0'}:{port.value if port else 9090}"  # noqa: S104 - Vouch's own default
    is_plain = any(site.scheme == "http" for site in sites)
    address = listen(written, _USUAL, "vouch.listen", notes, is_plain=is_plain)
    believed = believed_edges("Vouch", notes)
    notes.add(
        About.CHANGED,
        "forward_auth",
        f"an edge asks at the address it asked at before (`/validate`); 127.0.0.1:{_next(address.port)} answers the "
        "newer ways",
    )
    attributes: dict[str, Value] = {
        "http": (str(address),),
        "forward_auth": f"127.0.0.1:{_next(address.port)}",
        "trusted_proxies": (*believed, *(("unix",) if address.path else ())),
    }
    return Block("gateway", attributes=attributes)


def _next(port: int) -> int:
    return port + 1 if port else 9091


def _lifetimes(options: Options, notes: Notes) -> Block:
    whole = _minutes(options, "vouch.jwt.maxAge") or _USUAL_MINUTES
    idle = options.given("vouch.cookie.maxAge")
    minutes = int(idle.value) if idle is not None else _USUAL_MINUTES
    if idle is not None and minutes == 0:
        about = "a session that ends with the browser is not there; it ends as `vouch.jwt.maxAge` says"
        notes.add(About.NONE, "vouch.cookie.maxAge", about)
    attributes: dict[str, Value] = {
        "session_absolute": span(60.0 * whole),
        "session_idle": span(60.0 * min(minutes or whole, whole)),
    }
    if flow := _minutes(options, "vouch.session.maxAge"):
        attributes["pending_flow"] = span(60.0 * flow)
    return Block("lifetimes", attributes=attributes)


def _minutes(options: Options, name: str) -> int:
    given = options.given(name)
    return int(given.value) if given is not None else 0


def _host(site: Site, name: str, made: Made, inside: tuple[Block, ...], *, told: bool = False) -> Block:
    attributes: dict[str, Value] = {}
    if url := site.public_url(name):
        attributes["public_url"] = url
    attributes |= {"sign_in": (made.id,), "compat": (_FAMILY,)}
    if told:
        attributes["identity_headers"] = (_FAMILY,)
    return Block("host", name, attributes, inside)


def _headers(options: Options) -> tuple[Block, ...]:
    """A header for each claim that Vouch passed on under a name of one's own; `identity_headers` has its usual ones."""
    front = options.text("vouch.headers.claimheader")
    if front in ("", _CLAIMS):
        return ()
    found = []
    for claim in options.items("vouch.headers.claims"):
        bare = re.sub(r"^https?://", "", claim)
        name = re.sub(r"[^A-Za-z0-9!#$%&\'*+^`|~-]", "-", bare)
        place = _STANDARD.get(claim, f"{{claim.{claim_name(claim)}}}")
        words = (word[:1].upper() + word[1:] for word in name.split("-"))
        found.append(Block("header", front + "-".join(words), {"value": place}))
    return tuple(found)


_STANDARD: Final = {
    "email": "{user.email}",
    "groups": "{user.groups}",
    "name": "{user.name}",
    "preferred_username": "{user.login}",
}

"""Where requests go and which paths are open: oauth2-proxy's upstreams and skip-auth routes, as routes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final
from urllib.parse import unquote, urlsplit

import msgspec

from vestibule.config.backend import backend as check_backend
from vestibule.config.importers.note import About, Notes
from vestibule.config.importers.oauth2_proxy.access import Conditions
from vestibule.config.importers.oauth2_proxy.alpha import Upstream
from vestibule.config.importers.oauth2_proxy.read import Read
from vestibule.config.importers.option import Given, Options
from vestibule.config.importers.pattern import Fit, Prefixes, prefixes_of
from vestibule.config.importers.span import span
from vestibule.config.place import Unfit
from vestibule.config.value import prefix as check_prefix
from vestibule.config.write import Block, Comment, Value, commented_out


class Paths(msgspec.Struct, frozen=True, kw_only=True):
    """What of a host is about paths."""

    whole: Mapping[str, Value] = {}
    """Attributes of the host itself: its backend."""
    access: Conditions
    routes: tuple[Block | Comment, ...] = ()
    only_asked: bool = False
    """True: no backend is behind it, an edge asks about each request."""
    preflight: bool = False


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A backend and the paths that go there."""

    prefix: str
    """With a last slash; `/` is the whole host."""
    attributes: Mapping[str, Value]


class Skip(msgspec.Struct, frozen=True, kw_only=True):
    """One skip-auth route."""

    written: str
    """As it was: `skip_auth_routes (GET=^/x)`."""
    methods: tuple[str, ...]
    negated: bool
    expression: str


_PUBLIC: Final = Conditions(allow=("public",))
_SKIP_RE: Final = re.compile(r"(?:([A-Za-z]+)?(!)?=)?(.*)", re.DOTALL)


def paths(read: Read, access: Conditions, notes: Notes) -> Paths:
    """The host's backend and its routes."""
    places = _places(read, notes)
    skips = [skip for given in _skip_options(read.options) for skip in _skips(given)]
    preflight = read.options.switch("skip_auth_preflight")
    open_paths: list[str] = []
    suggested: list[Block | Comment] = []
    if len(skips) == 1 and skips[0].negated and not skips[0].methods:
        found = _guarded(skips[0])
        if found is not None:
            return _put_together(
                places, _PUBLIC, [], [], preflight=preflight, guarded=found, access_of_guarded=access
            )
    for skip in skips:
        if skip.methods == ("OPTIONS",) and not skip.negated:
            preflight = True
            notes.add(
                About.CHANGED,
                skip.written,
                "`preflight = true`: what browsers ask before a request of another site's page, and no other OPTIONS",
            )
            continue
        paths_of, comments = _opened(skip, notes)
        open_paths += paths_of
        suggested += comments
    return _put_together(places, access, open_paths, suggested, preflight=preflight)


def _put_together(
    places: list[Place],
    access: Conditions,
    open_paths: list[str],
    suggested: list[Block | Comment],
    *,
    preflight: bool,
    guarded: str = "",
    access_of_guarded: Conditions | None = None,
) -> Paths:
    """Routes don't hold each other: each has what the shorter ones around it say, too."""
    whole = next((place for place in places if place.prefix == "/"), None)
    if "/" in open_paths:
        access = _PUBLIC
    prefixes = dict.fromkeys([place.prefix for place in places] + open_paths + ([guarded] if guarded else []))
    routes: list[Block | Comment] = []
    for prefix in prefixes:
        if prefix == "/":
            continue
        own = _longest(prefix, [place.prefix for place in places])
        place = next((one for one in places if one.prefix == own and own != "/"), None)
        attributes = dict(place.attributes) if place is not None else {}
        inside: list[Block | Comment] = []
        if guarded and access_of_guarded is not None and prefix.startswith(guarded):
            inside.append(access_block(access_of_guarded, around=access))
        elif "/" not in open_paths and _longest(prefix, open_paths):
            inside.append(access_block(_PUBLIC, around=access))
        if attributes or inside:
            routes.append(Block("route", prefix, attributes, tuple(inside)))
    return Paths(
        whole=whole.attributes if whole is not None else {},
        access=access,
        routes=(*routes, *suggested),
        only_asked=not places,
        preflight=preflight,
    )


def access_block(access: Conditions, around: Conditions | None = None) -> Block:
    """An `access` block; *around* is the host's, of which a route keeps what it doesn't say itself."""
    attributes: dict[str, Value] = {"allow": access.allow}
    if access.all or (around is not None and around.all):
        attributes["all"] = access.all
    return Block("access", attributes=attributes)


def _longest(prefix: str, of: list[str]) -> str:
    return max((one for one in of if prefix.startswith(one)), key=len, default="")


# -- skip-auth routes -------------------------------------------------------------------------


def _skip_options(options: Options) -> Iterator[Given]:
    for name in ("skip_auth_regex", "skip_auth_routes"):
        given = options.given(name)
        if given is not None:
            yield given


def _skips(given: Given) -> Iterator[Skip]:
    for item in given.value:
        text = str(item)
        if given.option.name == "skip_auth_regex":
            methods, negated, expression = "", "", text
        else:
            found = _SKIP_RE.fullmatch(text)
            assert found is not None  # the last group takes anything
            methods, negated, expression = found[1] or "", found[2] or "", found[3]
        yield Skip(
            written=f"{given.written} ({text})",
            methods=(methods.upper(),) if methods else (),
            negated=bool(negated),
            expression=expression,
        )


def _opened(skip: Skip, notes: Notes) -> tuple[tuple[str, ...], list[Comment]]:
    """The paths that it opens, or a comment with what would come near it."""
    found = None if skip.negated else prefixes_of(skip.expression)
    if found is None:
        what = "all but some paths" if skip.negated else "an expression that no route can say"
        notes.add(About.NONE, skip.written, f"{what}: write a `route` for each path that is to be open")
        return (), []
    if skip.methods:
        notes.add(
            About.NONE,
            skip.written,
            "a route is open for all methods that it takes, and answers 405 to the others, signed in or not; it stands "
            "there as a comment",
        )
        return (), [_suggestion(skip, found)]
    if found.fit is Fit.WIDER:
        notes.add(
            About.NONE,
            skip.written,
            "a route would open everything below it, too; it stands there as a comment: take it in if that is fine",
        )
        return (), [_suggestion(skip, found)]
    if found.fit is Fit.BARE:
        bare = ", ".join(f"`{path.rstrip('/')}`" for path in found.paths)
        notes.add(About.CHANGED, skip.written, f"a route with a last slash is open without it, too: {bare}")
    elif found.fit is Fit.NARROWER:
        shown = ", ".join(f"`{path.rstrip('/')}`" for path in found.paths)
        notes.add(
            About.CHANGED,
            skip.written,
            f"open is {shown} and what is below, by whole segments from the beginning",
        )
    return found.paths, []


def _suggestion(skip: Skip, found: Prefixes) -> Comment:
    lines = [f"{skip.written}:"]
    for path in found.paths:
        attributes: dict[str, Value] = {"methods": skip.methods} if skip.methods else {}
        block = Block("route", path, attributes, (access_block(_PUBLIC),))
        lines.append(commented_out(block).text)
    return Comment("\n".join(lines))


def _guarded(skip: Skip) -> str | None:
    """The one path that an expression leaves guarded, all others being open; None where a route can't say that."""
    found = prefixes_of(skip.expression)
    if found is None or len(found.paths) != 1 or found.fit is Fit.NARROWER or found.paths == ("/",):
        return None
    return found.paths[0]


# -- upstreams --------------------------------------------------------------------------------


def _places(read: Read, notes: Notes) -> list[Place]:
    upstreams = read.alpha.upstreams if read.alpha is not None else tuple(_written(read.options))
    places: dict[str, Place] = {}
    for upstream in upstreams:
        place = _place(upstream, notes)
        if place is not None and place.prefix in places:
            notes.add(About.DO, upstream.name, f"`{place.prefix}` goes to another upstream already: left out")
        elif place is not None:
            places[place.prefix] = place
    return sorted(places.values(), key=lambda place: place.prefix)


def _written(options: Options) -> Iterator[Upstream]:
    """What the option `upstreams` means, as oauth2-proxy reads it."""
    for uri in options.items("upstreams"):
        url = urlsplit(uri)
        path = url.path or "/"
        code: int | None = None
        if url.scheme == "file" and url.fragment:
            path, uri = url.fragment, uri.partition("#")[0]  # noqa: PLW2901 - its two halves
        elif url.scheme == "static":
            path, code = "/", int(url.netloc) if url.netloc.isdecimal() else 200
        elif url.scheme == "unix":
            path = "/"
        yield Upstream(
            name=f"upstreams ({uri})",
            path=path,
            uri=uri,
            static_code=code,
            insecure=options.switch("ssl_upstream_insecure_skip_verify"),
            pass_host=options.switch("pass_host_header", usual=True),
            timeout_s=options.seconds("upstream_timeout"),
        )


def _place(upstream: Upstream, notes: Notes) -> Place | None:
    url = urlsplit(upstream.uri)
    if upstream.static_code is not None or url.scheme == "static" or url.path == "/dev/null":
        if upstream.path not in ("/", "/dev/null"):
            about = "an answer without a backend is not there: left out"
            notes.add(About.NONE, upstream.name, about)
        return None
    where = _prefix(upstream, notes)
    if where is None:
        return None
    prefix, moved = where
    attributes: dict[str, Value] = {"backend": _backend(upstream)}
    try:
        check_backend(str(attributes["backend"]))
        if prefix != "/":
            check_prefix(prefix)
    except Unfit as exc:
        notes.add(About.DO, upstream.name, f"was left out: {exc}")
        return None
    if url.scheme == "file":
        if prefix != "/" and not upstream.rewrite:
            attributes["strip_prefix"] = True
        return Place(prefix=prefix, attributes=attributes | moved)
    if url.scheme == "https" and upstream.insecure:
        attributes["insecure"] = True
    if not upstream.pass_host:
        attributes["host_header"] = "backend"
    if upstream.timeout_s:
        attributes["timeout"] = span(upstream.timeout_s)
    return Place(prefix=prefix, attributes=attributes | moved)


def _backend(upstream: Upstream) -> str:
    url = urlsplit(upstream.uri)
    if url.scheme == "file":
        return f"static:{unquote(url.path).rstrip('/') or '/'}"
    if url.scheme == "unix":
        return f"unix:{url.path or url.netloc}"
    return (
        f"https://{url.netloc}"
        if url.scheme == "https"
        else url.netloc
        if url.port
        else f"http://{url.netloc}"
    )


def _prefix(upstream: Upstream, notes: Notes) -> tuple[str, dict[str, Value]] | None:
    """The route's path, and what it does to the paths of requests."""
    if upstream.rewrite:
        return _rewritten(upstream, notes)
    if upstream.path.startswith("^"):
        about = "an expression as a path goes with `rewriteTarget`: left out"
        notes.add(About.NONE, upstream.name, about)
        return None
    if not upstream.path.endswith("/"):
        about = f"was for `{upstream.path}` alone; a route is for everything below it, too"
        notes.add(About.CHANGED, upstream.name, about)
    if upstream.path != "/" and urlsplit(upstream.uri).scheme in ("http", "https") and _moves(upstream):
        about = "the path in `uri` counts for nothing in oauth2-proxy, and was left out; write `rewrite` if it is meant"
        notes.add(About.CHANGED, upstream.name, about)
    return (upstream.path.rstrip("/") or "") + "/", {}


def _moves(upstream: Upstream) -> bool:
    path = urlsplit(upstream.uri).path
    return path not in ("", "/") and path.rstrip("/") != upstream.path.rstrip("/")


def _rewritten(upstream: Upstream, notes: Notes) -> tuple[str, dict[str, Value]] | None:
    found = re.fullmatch(r"\^?(/[^()]*/|/)\((?:\.\*|\.\+)\)\$?", upstream.path)
    target = re.fullmatch(r"(/[^$?]*/|/)\$1", upstream.rewrite)
    prefixes = prefixes_of(f"^{found[1]}") if found else None
    if prefixes is None or target is None or len(prefixes.paths) != 1:
        about = f"`{upstream.path}` to `{upstream.rewrite}` is more than a route's `strip_prefix` and `rewrite` can say"
        notes.add(About.NONE, upstream.name, about)
        return None
    prefix = prefixes.paths[0]
    if target[1] == prefix:
        return prefix, {}
    if target[1] == "/":
        return prefix, {"strip_prefix": True}
    return prefix, {"rewrite": target[1].rstrip("/")}

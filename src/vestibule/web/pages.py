"""Every page the gateway shows, and the same answers as JSON for programs: values in, bytes and headers out.

Knows templates, words and headers, and nothing of ASGI: the gateway answers with these pages before the
control plane is loaded, and when a request is so broken that no application should see it.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files
from typing import Any
from urllib.parse import quote

import msgspec
from minijinja import Environment

from vestibule.core.route import SIGN_IN_PATH, SIGN_OUT_PATH
from vestibule.model import Session
from vestibule.web.assets import STATIC_PATH, Assets, load_assets
from vestibule.web.texts import Text, text_of

#: What every answer of the gateway carries, static files aside. Spec: RFC 9111 section 5.2.2.5, RFC 9110
#: section 12.5.5. Threat: one person's page kept for another, codes and addresses told to the next site.
COMMON_HEADERS: tuple[tuple[str, str], ...] = (
    ("cache-control", "no-store"),
    ("vary", "Cookie, Authorization"),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-opener-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
)
_STATIC_HEADERS = (
    ("cache-control", "public, max-age=31536000, immutable"),
    ("content-security-policy", "default-src 'none'; frame-ancestors 'none'"),
    ("x-content-type-options", "nosniff"),
    ("cross-origin-resource-policy", "same-origin"),
)
_JSON_CSP = "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'"


class Page(msgspec.Struct, frozen=True):
    """One answer, ready to be sent; `content-length` and the connection's own headers are the sender's."""

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def with_headers(self, *more: tuple[str, str]) -> Page:
        """The same answer with these headers added."""
        return Page(self.status, self.headers + more, self.body)

    def header_lines(self) -> list[bytes]:
        """The headers as `name: value` lines without their ends."""
        return [f"{name}: {value}".encode("latin-1") for name, value in self.headers]


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """Where a page is shown and to whom. All may come from outside: it is escaped, and links are checked."""

    request_id: str = ""
    host: str = ""
    """Title of the host; empty: no host of ours was reached, and the page brings its stylesheet along."""
    who: str = ""
    """The person signed in, for show (`person_of`); empty: nobody."""
    rd: str = ""
    """Where to go after signing in or out; already through `protocol.url.safe_return`."""
    again: str = ""
    """Path (with query) that "Try again" leads to; empty: the address of the page itself."""
    other_ways: bool = False
    """True where the host has more than one way to sign in."""


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """One button of the sign-in page."""

    title: str
    href: str
    kind: str = ""
    """`google`, `github` …: which mark it bears, where there is one; else its first letter."""


_ELSEWHERE = Scene()
_ABOUT_THE_PERSON = {"switch", "sign_out"}


class Pages:
    """Renders pages; made once, shared by all."""

    def __init__(self, assets: Assets | None = None) -> None:
        self.assets = assets or load_assets()
        self._environment = Environment(
            templates=_templates(),
            undefined_behavior="strict",
            auto_escape_callback=lambda _name: "html",
            trim_blocks=True,
            lstrip_blocks=True,
            globals={"asset": self.assets.url},
        )

    def error(self, status: int, code: str, *, reason: str = "", scene: Scene = _ELSEWHERE) -> Page:
        """The page for this error; `status` 0 means the code's own.

        `reason` is shown as it is, but not on pages about rules: it may name other people there.
        """
        text = text_of(code, status)
        actions = _actions(text, scene)
        shown = reason if text.shows_reason else ""
        # Who is signed in matters where it decided something, or where changing it is a way on.
        if not any(way in _ABOUT_THE_PERSON for way, _ in text.actions):
            scene = msgspec.structs.replace(scene, who="")
        page = self._page("message.html", status or text.status, text, scene, actions=actions, reason=shown)
        return _challenged(page)

    def problem(
        self, status: int, code: str, *, reason: str = "", request_id: str = "", sign_in: str = ""
    ) -> Page:
        """The same as JSON, with `code`, `id`, and `sign_in`: where signing in may help. Spec: RFC 9457."""
        text = text_of(code, status)
        status = status or text.status
        problem = {
            "type": f"urn:vestibule:problem:{code}",
            "title": text.title,
            "status": status,
            "code": code,
            "detail": (reason if text.shows_reason else "") or text.text,
        }
        if request_id:
            problem["id"] = request_id
        if sign_in:
            problem["sign_in"] = sign_in
        return _challenged(self.json(status, problem, media_type="application/problem+json"))

    def json(self, status: int, value: Any, *, media_type: str = "application/json") -> Page:
        """Any JSON answer, with the headers of the gateway's answers."""
        headers = (("content-type", media_type), ("content-security-policy", _JSON_CSP), *COMMON_HEADERS)
        return Page(status, headers, msgspec.json.encode(value) + b"\n")

    def signin(self, choices: Iterable[Choice], scene: Scene) -> Page:
        """The sign-in page: one button a choice."""
        text = Text(200, "Sign in", "Choose how you would like to come in.")
        buttons = [
            {
                "title": choice.title,
                "href": choice.href,
                "mark": self.assets.mark_url(choice.kind),
                "letter": choice.title[:1].upper(),
            }
            for choice in choices
        ]
        return self._page("signin.html", 200, text, scene, choices=buttons)

    def signed_out(self, scene: Scene, *, can_sign_in: bool = True) -> Page:
        """The landing page after signing out; says so when somebody is (still, or again) signed in."""
        sign_in = (("sign_in", "Sign in again"),) if can_sign_in else ()
        text = Text(
            200,
            "You are signed out",
            "Your session on this site has ended.",
            "You may still be signed in at the service you signed in with. "
            "On a shared computer, sign out there too.",
            (*sign_in, ("home", "Go to the start page")),
        )
        if scene.who:
            actions = (("home", "Continue to the site"), ("sign_out", "Sign out"))
            text = Text(200, "You are signed in", "Your session on this site is open.", "", actions)
        return self._page("message.html", 200, text, scene, actions=_actions(text, scene), reason="")

    def confirm_sign_out(self, scene: Scene, *, action: str, what: str = "") -> Page:
        """Asks whether to sign out: one button that POSTs to `action`.

        `what` names the one client whose credentials would go; empty: the whole session ends.
        """
        sentence = (
            f"The connection with {what} will be ended." if what else "Your session on this site will end."
        )
        text = Text(200, "Sign out?", sentence)
        actions = [
            {"href": action, "label": "Sign out", "post": True},
            {"href": "/", "label": "Stay signed in", "post": False},
        ]
        return self._page("message.html", 200, text, scene, actions=actions, reason="")

    def leaving(self, scene: Scene, *, location: str) -> Page:
        """Signed out here, and on to `location` (a checked URL of another origin) at once, by itself.

        Instead of a redirect after a form's POST, against which browsers hold `form-action`.
        """
        text = Text(200, "You are signed out", "Your session on this site has ended.")
        actions = [{"href": location, "label": "Continue", "post": False}]
        scene = msgspec.structs.replace(scene, who="")
        page = self._page("message.html", 200, text, scene, actions=actions, reason="")
        return page.with_headers(("refresh", f"0; url={location}"))

    def static(self, path: str) -> Page | None:
        """The file at `/@/static/NAME`, or None: never changes under its name, the same for everybody."""
        asset = self.assets.get(path.removeprefix(STATIC_PATH))
        if asset is None:
            return None
        return Page(200, (("content-type", asset.content_type), *_STATIC_HEADERS), asset.body)

    def _page(self, template: str, status: int, text: Text, scene: Scene, **context: Any) -> Page:
        alone = not scene.host
        body = self._environment.render_template(
            template,
            title=text.title,
            text=text.text,
            hint=text.hint,
            host=scene.host,
            who=scene.who,
            request_id=scene.request_id if status >= 400 else "",
            alone=alone,
            style=self.assets.style if alone else "",
            **context,
        )
        has_form = any(action["post"] for action in context.get("actions", ()))
        headers = (
            ("content-type", "text/html; charset=utf-8"),
            ("content-security-policy", self._policy(alone=alone)),
            *(_WITH_FORM if has_form else COMMON_HEADERS),
        )
        # The engine escapes `/` as well, which in our quoted attributes only makes addresses unreadable.
        return Page(status, headers, body.replace("&#x2f;", "/").encode())

    def _policy(self, *, alone: bool) -> str:
        style, images = (self.assets.style_source, "'none'") if alone else ("'self'", "'self'")
        return (
            f"default-src 'none'; style-src {style}; img-src {images}; form-action 'self'; "
            "frame-ancestors 'none'; base-uri 'none'"
        )


#: Under `no-referrer` a browser sends `Origin: null` with a form's POST (Fetch, "append a request Origin
#: header"), and the check of Origin would refuse our own button. `same-origin` tells other sites as little.
_WITH_FORM = tuple(
    (name, "same-origin" if name == "referrer-policy" else value) for name, value in COMMON_HEADERS
)


def _challenged(page: Page) -> Page:
    """A 401 with the challenge it owes; the scheme is ours, so that no browser asks for a password."""
    if page.status != 401:
        return page
    return page.with_headers(("www-authenticate", 'Vestibule realm="sign-in"'))


def person_of(session: Session | None) -> str:
    """The person signed in, in a word for a page: name, else address, else login; empty when nobody is."""
    if session is None:
        return ""
    for identity in session.identities:
        return identity.name or identity.email or identity.login or identity.subject
    return ""


def prefers_json(accept: str, fetch_dest: str = "", requested_with: str = "") -> bool:
    """True where a program asks, not a person reading pages: it takes JSON and not HTML, or is a fetch.

    `accept`, `fetch_dest`, `requested_with`: the values of Accept, Sec-Fetch-Dest, X-Requested-With.
    """
    accepted = accept.lower()
    if "text/html" in accepted:
        return False
    if "json" in accepted or requested_with.lower() == "xmlhttprequest":
        return True
    return fetch_dest == "empty"


def _actions(text: Text, scene: Scene) -> list[dict[str, Any]]:
    ways = _ways(scene)
    return [
        {"href": ways[way], "label": label, "post": way == "sign_out"}
        for way, label in text.actions
        if way in ways
    ]


def _ways(scene: Scene) -> dict[str, str]:
    """The address of each way on. On no host of ours only trying again can be offered."""
    again = _path(scene.again)
    if not scene.host:
        return {"again": again}
    sign_in = with_query(SIGN_IN_PATH, rd=scene.rd)
    ways = {
        "again": again,
        "home": "/",
        "sign_in": sign_in,
        "switch": with_query(SIGN_IN_PATH, prompt="select_account", rd=scene.rd),
    }
    if scene.other_ways:
        ways["other_way"] = sign_in
    if scene.who:
        ways["sign_out"] = SIGN_OUT_PATH
    return ways


def with_query(path: str, **parameters: str) -> str:
    """The path with those parameters that are not empty, percent-encoded."""
    query = "&".join(f"{name}={quote(value, safe='')}" for name, value in parameters.items() if value)
    if not query:
        return path
    return f"{path}{'&' if '?' in path else '?'}{query}"


def _path(href: str) -> str:
    """The address if it is a path of this host, else empty: no page links anywhere else."""
    is_path = href.startswith("/") and not href.startswith(("//", "/\\"))
    return href if is_path and href.isprintable() else ""


def _templates() -> dict[str, str]:
    folder = files("vestibule.web") / "templates"
    return {entry.name: entry.read_text("utf-8") for entry in folder.iterdir() if entry.is_file()}

"""Every page the gateway shows, and the same answers as JSON for programs: values in, bytes and headers out.

Knows templates, words and headers, and nothing of ASGI: the gateway answers with these pages before the
control plane is loaded, and when a request is so broken that no application should see it.

A page is added so:

1. Its words, `NAME.title`, `NAME.text` and, where there is advice to give, `NAME.hint`, go into every file of
   `languages/`, texts of buttons under `action.`. A handler writes no sentence; it names one.
2. Its shape is one of `message` (says something, offers ways on), `form` (fields with their labels and faults) and
   `list` (lines, each with what can be done about it), filled with the values of `blocks`. Where none will do, a
   template of its own extends `base.html`, may include `actions.html`, `fields.html` and `items.html`, and is
   rendered by `page`.
3. What changes something is a POST. The check of Origin (`asking.check_post`) stands for the token that forms
   elsewhere carry; where the answer leads to another origin, it is `onward`, not a redirect.
4. A sample of it goes into `rehearsal`: by that, operators' templates are tried on it, and Chromium looks at it in
   every scheme and size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl
from weakref import WeakKeyDictionary

import msgspec

from vestibule.config.page import languages
from vestibule.core.branding import PLAIN, Branding
from vestibule.core.route import ACCOUNT_PATH, SIGN_IN_PATH, SIGN_OUT_PATH
from vestibule.core.wording import ENGLISH
from vestibule.model import Session
from vestibule.web.assets import STATIC_PATH, load_assets
from vestibule.web.blocks import Action, Choice, Fact, Field, Item
from vestibule.web.look import Look
from vestibule.web.page import Page, html_page, json_page, static_page, with_query
from vestibule.web.texts import TEXTS, Text, known_code


class Scene(msgspec.Struct, frozen=True, kw_only=True):
    """Where a page is shown and to whom. All may come from outside: it is escaped, and links are checked."""

    request_id: str = ""
    host: str = ""
    """Title of the host; empty: no host of ours was reached, and the page brings its stylesheet along."""
    branding: Branding = PLAIN
    """How the host's pages look."""
    languages: str = ""
    """The value of Accept-Language."""
    who: str = ""
    """The person signed in, for show (`person_of`); empty: nobody."""
    has_no_email: bool = False
    """True for a person whom no provider gave a verified address."""
    rd: str = ""
    """Where to go after signing in or out; already through `protocol.url.safe_return`."""
    again: str = ""
    """Path (with query) that "Try again" leads to; empty: the address of the page itself."""
    other_ways: bool = False
    """True where the host has more than one way to sign in."""


_ELSEWHERE = Scene()
#: kinds whose owners want their buttons to say so; the others' say "continue"
_SIGN_IN_WITH = {"apple", "entra", "google", "linkedin", "logingov", "slack"}
_WRONG_ADDRESS = {
    "invalid": "address.invalid",
    "unreachable": "address.unreachable",
    "unsupported": "address.unsupported",
}
_ABOUT_THE_PERSON = {"switch", "sign_out"}


class Pages:
    """Renders pages; made once, shared by all."""

    def __init__(self, *, failed: Callable[[str], None] | None = None) -> None:
        """`failed` is told when a template of the operator's can't be rendered and ours is shown instead.

        Without it BrokenTemplate is raised.
        """
        self.assets = load_assets()
        self._failed = failed
        self._looks: WeakKeyDictionary[Branding, Look] = WeakKeyDictionary()

    def error(
        self,
        status: int,
        code: str,
        *,
        reason: str = "",
        answered: str = "",
        decided_by: tuple[str, ...] = (),
        scene: Scene = _ELSEWHERE,
    ) -> Page:
        """The page for this error; `status` 0 means the code's own.

        `reason` is shown as it is, but not on pages about rules: it may name other people there. `answered` is
        a provider's own error code, which is put into words. `decided_by`: kinds of rules (`group`), which are
        put into words, too.
        """
        known = known_code(code, status)
        text = TEXTS[known]
        # Who is signed in matters where it decided something, or where changing it is a way on.
        shown = scene
        if not any(way in _ABOUT_THE_PERSON for way, _ in text.actions):
            shown = msgspec.structs.replace(scene, who="")
        page = self.message(
            shown,
            f"{text.section}.{known}",
            status=status or text.status,
            actions=_actions(text, scene),
            reason=reason if text.shows_reason else "",
            answered=answered,
            decided_by=decided_by,
        )
        return page.challenged()

    def problem(
        self,
        status: int,
        code: str,
        *,
        reason: str = "",
        answered: str = "",
        request_id: str = "",
        sign_in: str = "",
        decided_by: tuple[str, ...] = (),
        faults: Mapping[str, str] = {},
    ) -> Page:
        """The same as JSON, with `code`, `id`, and `sign_in`: where signing in may help. Spec: RFC 9457.

        `faults`: of a form, the name of a text by field.

        In English whoever asks: programs compare, and logs are searched.
        """
        known = known_code(code, status)
        text = TEXTS[known]
        status = status or text.status
        english = languages()[ENGLISH]
        name = f"{text.section}.{known}"
        if answered:
            reason = english.say("page.answered", error=answered)
        problem: dict[str, Any] = {
            "type": f"urn:vestibule:problem:{code}",
            "title": english.say(f"{name}.title"),
            "status": status,
            "code": code,
            "detail": (reason if text.shows_reason else "") or english.say(f"{name}.text"),
        }
        if request_id:
            problem["id"] = request_id
        if sign_in:
            problem["sign_in"] = sign_in
        if decided_by:
            problem["decided_by"] = list(decided_by)
        if faults:
            problem["faults"] = [
                {"path": field, "message": english.say(key), "code": key.rpartition(".")[2]}
                for field, key in faults.items()
            ]
        return self.json(status, problem, media_type="application/problem+json").challenged()

    def words(self, scene: Scene, key: str) -> str:
        """A text in the language of who asks, for programs that show it to people."""
        return self._look(scene).wording.choose(scene.languages).say(key)

    def json(self, status: int, value: Any, *, media_type: str = "application/json") -> Page:
        """Any JSON answer, with the headers of the gateway's answers."""
        return json_page(status, value, media_type=media_type)

    def signin(
        self,
        choices: Iterable[Choice],
        scene: Scene,
        *,
        form: Iterable[Field] = (),
        keep: bool | None = None,
        fault: str = "",
        leads_to: str = "",
        address: str | None = None,
        status: int = 200,
    ) -> Page:
        """The sign-in page: one button a choice, and the `form` of user name and password where there is one.

        `keep`: whether the box that keeps people signed in is ticked; None: there is none. `fault`: the name of a
        text, what is wrong with what was filled in. `leads_to` as in `form`. `address`: as it was filled in by who
        looks for the provider of their organisation; None: nobody is asked for it.
        """
        look = self._look(scene)
        buttons = [
            {
                "title": choice.title,
                "href": choice.href,
                "href_kept": with_query(choice.href, remember="1"),
                "mark": look.mark_url(choice.kind, choice.client),
                "letter": choice.title[:1].upper(),
                "is_last_used": choice.is_last_used,
                "label": "signin.with" if choice.kind in _SIGN_IN_WITH else "signin.continue",
            }
            for choice in choices
        ]
        return self.page(
            "signin.html",
            scene,
            "signin" if buttons or address is not None else "signin_form",
            status=status,
            form_action=f"'self' {leads_to}".strip(),
            choices=buttons,
            fields=[*form],
            keep=keep,
            fault=fault,
            address=address,
            action=SIGN_IN_PATH,
            hidden=[("rd", scene.rd)] if scene.rd else [],
            text=scene.branding.text,
        )

    def signed_out(self, scene: Scene, *, can_sign_in: bool = True) -> Page:
        """The landing page after signing out; says so when somebody is (still, or again) signed in."""
        home = Action(href="/", label="home")
        if scene.who:
            home = Action(href="/", label="to_site")
            leave = Action(href=SIGN_OUT_PATH, label="sign_out", post=True)
            return self.message(scene, "signed_in", actions=[home, leave])
        back = Action(href=with_query(SIGN_IN_PATH, rd=scene.rd), label="sign_in_again")
        return self.message(scene, "signed_out", actions=[back, home] if can_sign_in else [home])

    def confirm_sign_out(self, scene: Scene, *, action: str, what: str = "") -> Page:
        """Asks whether to sign out: one button that POSTs to `action`.

        `what` names the one client whose credentials would go; empty: the whole session ends.
        """
        ways = [Action(href=action, label="sign_out", post=True), Action(href="/", label="stay")]
        return self.message(scene, "sign_out_of" if what else "sign_out", actions=ways, provider=what)

    def leaving(self, scene: Scene, *, location: str) -> Page:
        """Signed out here, and on to `location` (a checked URL of another origin) at once, by itself.

        Instead of a redirect after a form's POST, against which browsers hold `form-action`.
        """
        scene = msgspec.structs.replace(scene, who="")
        return self.onward(scene, "leaving", location=location)

    def onward(self, scene: Scene, name: str, *, location: str, **places: str) -> Page:
        """A page that leads to `location` (a checked URL, perhaps of another origin) at once, by itself."""
        actions = [Action(href=location, label="continue")]
        page = self.page("message.html", scene, name, places=places, actions=actions, reason="", answered="")
        return page.with_headers(("refresh", f"0; url={location}"))

    def to_app(self, scene: Scene, app: str, *, location: str) -> Page:
        """A page that leads to an app at once, by itself: `location` is one where its answers may go."""
        return self.onward(scene, "app_given", location=location, app=app)

    def message(
        self,
        scene: Scene,
        name: str,
        *,
        status: int = 200,
        actions: Iterable[Action] = (),
        reason: str = "",
        answered: str = "",
        decided_by: tuple[str, ...] = (),
        facts: Iterable[Fact] = (),
        **places: str,
    ) -> Page:
        """A page that says something and offers ways on; see `page` for `name` and `places`.

        `facts` without a value are left out.
        """
        return self.page(
            "message.html",
            scene,
            name,
            status=status,
            places=places,
            actions=list(actions),
            facts=[fact for fact in facts if fact.value],
            reason=reason,
            answered=answered,
            decided_by=[kind for kind in decided_by if f"rule.{kind}" in languages()[ENGLISH].words],
            no_email=scene.has_no_email and not {"email", "domain"}.isdisjoint(decided_by),
        )

    def form(
        self,
        scene: Scene,
        name: str,
        *,
        action: str,
        fields: Iterable[Field],
        submit: str = "send",
        status: int = 200,
        actions: Iterable[Action] = (),
        hidden: Iterable[tuple[str, str]] = (),
        leads_to: str = "",
        **places: str,
    ) -> Page:
        """A page with a form that POSTs to `action`; `submit` is its button's text, `hidden` goes along unseen.

        `leads_to`: the one other origin that its answer may lead on to.
        Shown again with what was sent and what is wrong with it, its status is the caller's 422.
        """
        return self._form(
            scene,
            name,
            method="post",
            action=action,
            fields=tuple(fields),
            submit=submit,
            status=status,
            actions=list(actions),
            hidden=list(hidden),
            places=places,
            form_action=f"'self' {leads_to}".strip(),
        )

    def list(
        self, scene: Scene, name: str, *, items: Iterable[Item], actions: Iterable[Action] = (), **places: str
    ) -> Page:
        """A page with a list, each line with what can be done about it."""
        shown = self.items(scene, items)
        return self.page("list.html", scene, name, places=places, items=shown, actions=[*actions])

    def items(self, scene: Scene, items: Iterable[Item]) -> tuple[Mapping[str, Any], ...]:
        """The lines of a list as templates take them, with their marks."""
        return tuple(
            {
                "title": item.title,
                "detail": item.detail,
                "mark": self._look(scene).mark_url(item.kind),
                "letter": item.title[:1].upper() if item.kind else "",
                "actions": item.actions,
            }
            for item in items
        )

    def ask_address(
        self, scene: Scene, *, action: str, value: str = "", wrong: str = "", method: str = "get"
    ) -> Page:
        """Asks for the person's own web address, which `action` gets as `me` beside its query.

        `value`: what was sent, to be mended. `wrong`: `invalid` (it is no web address), `unreachable`, or
        `unsupported` (nothing there says who signs the person in).
        """
        path, _, query = action.partition("?")
        field = Field(
            name="me",
            label="address.label",
            hint="address.example",
            value=value,
            fault=_WRONG_ADDRESS[wrong] if wrong else "",
            autocomplete="url",
            keyboard="url",
            limit_chars=2000,
        )
        return self._form(
            scene,
            "address",
            method=method,
            action=path,
            fields=(field,),
            submit="continue",
            status=422 if wrong else 200,
            hidden=parse_qsl(query),
            # The answer to this form may lead to any site, and browsers hold `form-action` against that.
            form_action="'self' https: http:",
        )

    def _form(self, scene: Scene, name: str, *, fields: tuple[Field, ...], **context: Any) -> Page:
        has_faults = any(field.fault for field in fields)
        return self.page("form.html", scene, name, fields=fields, has_faults=has_faults, **context)

    def page(
        self,
        template: str,
        scene: Scene,
        name: str,
        *,
        status: int = 200,
        places: Mapping[str, str] = {},
        form_action: str = "'self'",
        **context: Any,
    ) -> Page:
        """Any page: its template, and in the languages `NAME.title`, `NAME.text` and, where there is one, `NAME.hint`.

        `places` fills the places in these; `context` is what else the template shows; a `text` in it goes before
        the language's.
        """
        look = self._look(scene)
        language = look.wording.choose(scene.languages)
        alone = not scene.host
        values = {
            "title": language.say(f"{name}.title", **places),
            "hint": language.say(f"{name}.hint", **places) if language.says(f"{name}.hint") else "",
            "host": scene.host,
            "who": scene.who,
            "request_id": scene.request_id if status >= 400 else "",
            "alone": alone,
            "style": self.assets.style if alone else "",
            **context,
            "text": context.get("text") or language.say(f"{name}.text", **places),
        }
        body = look.render(template, language, values, failed=self._failed)
        return html_page(
            status,
            body,
            language=language.tag,
            style=self.assets.style_source if alone else "'self'",
            images="'none'" if alone else "'self'",
            form_action=form_action,
        )

    def static(self, path: str, scene: Scene = _ELSEWHERE) -> Page | None:
        """The file at `/@/static/NAME`, or None: never changes under its name, the same for everybody."""
        asset = self._look(scene).assets.get(path.removeprefix(STATIC_PATH))
        return static_page(asset.body, asset.content_type) if asset is not None else None

    def _look(self, scene: Scene) -> Look:
        branding = scene.branding if scene.host else PLAIN
        look = self._looks.get(branding)
        if look is None:
            look = self._looks[branding] = Look(branding, self.assets)
        return look


def person_of(session: Session | None) -> str:
    """The person signed in, in a word for a page: name, else address, else login; empty when nobody is."""
    if session is None:
        return ""
    for identity in session.identities:
        return identity.name or identity.email or identity.login or identity.subject
    return ""


def prefers_json(accept: str, fetch_dest: str = "", requested_with: str = "") -> bool:
    """True where a program asks, not a person reading pages: a script's request, or one that takes JSON and not HTML.

    `accept`, `fetch_dest`, `requested_with`: the values of Accept, Sec-Fetch-Dest, X-Requested-With.
    """
    accepted = accept.lower()
    if requested_with.lower() == "xmlhttprequest":
        return True
    if "text/html" in accepted:
        return False
    return "json" in accepted or fetch_dest == "empty"


def _actions(text: Text, scene: Scene) -> list[Action]:
    ways = _ways(scene)
    return [
        Action(href=ways[way], label=label, post=way == "sign_out")
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
        ways["account"] = ACCOUNT_PATH
    return ways


def _path(href: str) -> str:
    """The address if it is a path of this host, else empty: no page links anywhere else."""
    is_path = href.startswith("/") and not href.startswith(("//", "/\\"))
    return href if is_path and href.isprintable() else ""

"""Every kind of page once, with everything on it that it can show.

By it an operator's templates are tried before anybody sees them, and tests look at all pages there are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import TypeAlias

from vestibule.core.branding import Branding
from vestibule.errors import ConfigError
from vestibule.model import Secret
from vestibule.providers.base import Form
from vestibule.web.account_pages import account_page, token_page
from vestibule.web.blocks import Action, Choice, DeviceLine, Fact, Field, Item, TokenLine, password_fields
from vestibule.web.look import BrokenTemplate
from vestibule.web.onward import form_page
from vestibule.web.page import Page
from vestibule.web.pages import Pages, Scene

Sample: TypeAlias = Callable[[Pages, Scene], Page]

_CHOICES = (
    Choice(title="Google", href="/@google/signin", client="google", kind="google", is_last_used=True),
    Choice(title="GitHub", href="/@github/signin", client="github", kind="github"),
    Choice(title="Example Corporation", href="/@corp/signin", client="corp", kind="oidc"),
    Choice(title="Other", href="/@other/signin", client="other"),
)
_REMOVE = Action(href="/@/do", label="sign_out", post=True, hidden=(("id", "1"),), danger=True)
_YES_OR_NO = tuple(
    Action(href="/@/do", label=label, post=True, hidden=(("answer", label),)) for label in ("allow", "refuse")
)
_ASKED = (
    Fact(label="device_asks.from", value="192.0.2.7"),
    Fact(label="device_asks.asked", value="2", text="device_asks.ago"),
    Fact(label="device_asks.program", value="forum-cli/1"),
    Fact(label="device_asks.scopes", value="read write"),
)
_ITEMS = (
    Item(title="Google", detail="alice@example.com", kind="google", actions=(_REMOVE,)),
    Item(title="GitHub", detail="alice", kind="github", actions=(_REMOVE,)),
)
_OFFERS = (Item(title="Example Corporation", kind="oidc", actions=(_REMOVE,)),)
_FACTS = (
    Fact(label="account.name", value="Alice Liddell"),
    Fact(label="account.email", value="alice@example.com"),
)
_TOKENS = (
    TokenLine(
        title="Laptop",
        where="git.example.com/alice/repo",
        only_reads=True,
        until="2027-02-20",
        is_over=False,
        used="2026-11-22",
        actions=(_REMOVE,),
    ),
    TokenLine(title="Old phone", where="dav.example.com", only_reads=False, until="2026-11-01", is_over=True),
)
_DEVICES = (
    DeviceLine(
        browser="Firefox",
        system="Linux",
        address="192.0.2.7",
        hosts="auth.example.com, app.example.com",
        since="2026-11-20",
        seen="2026-11-22",
        is_this=True,
    ),
    DeviceLine(
        browser="",
        system="Android",
        address="2001:db8:85a3::8a2e:370:7334",
        hosts="app.example.com",
        since="2026-11-01",
        seen="2026-11-21",
        actions=(_REMOVE,),
    ),
    DeviceLine(
        browser="",
        system="",
        address="",
        hosts="app.example.com",
        since="2026-11-01",
        seen="2026-11-21",
        service="billing",
        actions=(_REMOVE,),
    ),
)
_TOKEN_FIELDS = (
    Field(name="name", label="token_form.name", hint="token_form.name_hint"),
    Field(name="host", label="token_form.host", options=("git.example.com", "dav.example.com")),
    Field(name="days", label="token_form.days", options=("7", "30"), value="30", fault="form.invalid"),
)
_FIELDS = (
    Field(name="address", label="address.label", hint="address.example", autocomplete="url", keyboard="url"),
    Field(name="wrong", label="address.label", value="x", fault="form.invalid"),
    Field(name="more", label="address.label", required=False),
    Field(name="company", label="", label_text="Company", hint_text="As on your badge"),
    Field(name="agree", label="signin.title", type="checkbox", value="yes"),
)

#: name → page; the scene says where and to whom
SAMPLES: Mapping[str, Sample] = MappingProxyType(
    {
        "sign-in": lambda pages, scene: pages.signin(_CHOICES, scene),
        "sign-in with a form": lambda pages, scene: pages.signin(_CHOICES, scene, form=password_fields()),
        "sign-in, to stay": lambda pages, scene: pages.signin(
            _CHOICES, scene, form=password_fields(), keep=True
        ),
        "sign-in by form, again": lambda pages, scene: pages.signin(
            (), scene, form=password_fields("alice"), fault="signin_form.wrong", status=403
        ),
        "not allowed": lambda pages, scene: pages.error(403, "not_allowed", scene=scene),
        "provider refused": lambda pages, scene: pages.error(
            403, "provider_refused", answered="consent_required", scene=scene
        ),
        "not found": lambda pages, scene: pages.error(404, "not_found", scene=scene),
        "unknown host": lambda pages, scene: pages.error(
            421, "unknown_host", scene=Scene(request_id=scene.request_id, languages=scene.languages)
        ),
        "signed out": lambda pages, scene: pages.signed_out(_nobody(scene)),
        "signed in": lambda pages, scene: pages.signed_out(scene),
        "sign out?": lambda pages, scene: pages.confirm_sign_out(scene, action="/@/signout"),
        "sign out of one?": lambda pages, scene: pages.confirm_sign_out(
            scene, action="/@google/signout", what="Google"
        ),
        "leaving": lambda pages, scene: pages.leaving(scene, location="https://idp.example/"),
        "onward": lambda pages, scene: form_page(
            pages, scene, Form("/@corp/send", (("RelayState", "x"),)), by_itself=False
        ),
        "web address": lambda pages, scene: pages.ask_address(scene, action="/@me/signin?rd=%2F"),
        "web address again": lambda pages, scene: pages.ask_address(
            scene, action="/@me/signin", value="htp:/", wrong="invalid"
        ),
        "form": lambda pages, scene: pages.form(
            scene, "signed_in", action="/@/do", fields=_FIELDS, status=422
        ),
        "account": lambda pages, scene: account_page(
            pages,
            scene,
            facts=_FACTS,
            items=_ITEMS,
            offers=_OFFERS,
            actions=[_REMOVE],
            tokens=_TOKENS,
            new_token=Action(href="/@/account/tokens", label="new_token"),
            devices=_DEVICES,
            sign_out_others=Action(
                href="/@/account/devices/signout_others", label="sign_out_others", post=True
            ),
        ),
        "new token": lambda pages, scene: pages.form(
            scene, "token_form", action="/@/account/tokens", fields=_TOKEN_FIELDS, submit="make_token"
        ),
        "token": lambda pages, scene: token_page(
            pages, scene, line=_TOKENS[0], text=Secret("vst_app_" + "0" * 49), actions=[_REMOVE]
        ),
        "register": lambda pages, scene: pages.form(
            scene,
            "register",
            action="/@/account/register",
            fields=_FIELDS,
            submit="register",
            actions=[_REMOVE],
            provider="Google",
            who="alice@example.com",
        ),
        "link?": lambda pages, scene: pages.message(
            scene, "link", actions=[_REMOVE], provider="GitHub", account="alice", who="Alice"
        ),
        "app?": lambda pages, scene: pages.message(
            scene, "app", actions=_YES_OR_NO, facts=_ASKED[3:], app="Forum", host="forum.example.com"
        ),
        "app itself?": lambda pages, scene: pages.message(
            scene,
            "app_registered",
            actions=_YES_OR_NO,
            facts=_ASKED[3:],
            app="Forum",
            host="forum.example.com",
            redirect="127.0.0.1",
        ),
        "app astray": lambda pages, scene: pages.message(
            scene, "app_astray", actions=[_REMOVE], app="Forum", redirect="forum.example.com"
        ),
        "device": lambda pages, scene: pages.form(
            scene,
            "device",
            action="/@/device",
            fields=[
                Field(name="user_code", label="device.label", hint="device.example", fault="device.wrong")
            ],
            submit="continue",
        ),
        "device?": lambda pages, scene: pages.message(
            scene,
            "device_asks",
            actions=_YES_OR_NO,
            facts=_ASKED,
            app="Forum",
            host="forum.example.com",
        ),
        "device yes": lambda pages, scene: pages.message(scene, "device_let_in", app="Forum"),
        "device no": lambda pages, scene: pages.message(scene, "device_refused", app="Forum"),
        "app": lambda pages, scene: pages.to_app(scene, "Forum", location="https://forum.example.com/app"),
        "list": lambda pages, scene: pages.list(scene, "signed_in", items=_ITEMS, actions=[_REMOVE]),
    }
)


def rehearse(brandings: Iterable[Branding]) -> None:
    """Try the operator's templates on every page there is. Raises ConfigError with what fails, each once."""
    faults = dict.fromkeys(fault for branding in set(brandings) for fault in _faults(branding))
    if faults:
        raise ConfigError(tuple(faults))


def _faults(branding: Branding) -> Iterator[str]:
    if not branding.templates:
        return
    pages = Pages()
    for who in ("", "Alice"):
        scene = Scene(request_id="x", host="example", branding=branding, who=who, other_ways=True)
        for sample in SAMPLES.values():
            try:
                sample(pages, scene)
            except BrokenTemplate as error:
                yield str(error)


def _nobody(scene: Scene) -> Scene:
    return Scene(host=scene.host, branding=scene.branding, languages=scene.languages)

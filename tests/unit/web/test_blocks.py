"""What pages are built of: forms that say what is wrong, lists whose buttons say what they are about."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from tests.unit.web.asgi import PAGES, XSS, Inert
from vestibule.web.blocks import Action, Field, Item
from vestibule.web.page import Page
from vestibule.web.pages import Scene

SCENE = Scene(request_id="req-0123", host="forum")
ADDRESS = Field(name="email", label="address.label", type="email", value="x@", autocomplete="email")
AGREE = Field(name="agree", label="form.optional", type="checkbox", value="yes", required=False)


class Elements(HTMLParser):
    """Every element of a page by its tag, with its attributes."""

    def __init__(self, page: Page) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str]]] = []
        self.feed(page.body.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, {name: value or "" for name, value in attrs}))

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for found, attributes in self.found if found == tag]


def form(*fields: Field, **options) -> Page:
    return PAGES.form(SCENE, "signed_in", action="/@/do", fields=fields, **options)


def test_each_field_has_its_label() -> None:
    page = form(ADDRESS, AGREE)
    inputs = Elements(page).all("input")
    assert [label["for"] for label in Elements(page).all("label")] == [found["id"] for found in inputs]
    email, agree = inputs
    assert (email["name"], email["value"], email["autocomplete"]) == ("email", "x@", "email")
    assert "required" in email
    assert (agree["value"], "checked" in agree, "required" in agree) == ("yes", True, False)
    assert "aria-invalid" not in email
    assert page.status == 200


def test_a_form_posts_so_that_its_origin_can_be_checked() -> None:
    page = form(ADDRESS, hidden=[("step", "2")])
    elements = Elements(page)
    assert elements.all("form") == [{"class": "fields", "method": "post", "action": "/@/do"}]
    assert elements.all("input")[0] == {"type": "hidden", "name": "step", "value": "2"}
    assert dict(page.headers)["referrer-policy"] == "same-origin"
    assert "form-action 'self';" in dict(page.headers)["content-security-policy"]


def test_a_fault_is_told_at_its_field_and_above() -> None:
    wrong = Field(name="email", label="address.label", hint="address.example", fault="form.invalid")
    page = form(wrong, status=422)
    elements = Elements(page)
    (email,) = elements.all("input")
    assert email["aria-invalid"] == "true"
    assert email["aria-describedby"].split() == ["field-email-hint", "field-email-fault"]
    assert {"field-email-hint", "field-email-fault"} <= {found.get("id") for found in elements.all("p")}
    assert [found["class"] for found in elements.all("p") if found.get("role") == "alert"] == ["fault"]
    words = "".join(Inert(page.body.decode()).words)
    assert "Please check what is marked below." in words
    assert "This can’t be used." in words


def test_what_may_be_left_out_says_so() -> None:
    words = "".join(Inert(form(Field(name="x", label="address.label", required=False)).body.decode()).words)
    assert "Your web address (optional)" in words


def test_a_list_says_what_each_button_is_about() -> None:
    remove = Action(href="/@/remove", label="sign_out", post=True, hidden=(("id", "7"),), danger=True)
    page = PAGES.list(
        SCENE,
        "signed_in",
        items=[
            Item(title="Google", detail="alice@example.com", kind="google", actions=(remove,)),
            Item(title="x"),
        ],
    )
    elements = Elements(page)
    assert elements.all("input") == [{"type": "hidden", "name": "id", "value": "7"}]
    (button,) = elements.all("button")
    assert button["aria-describedby"] in {found["id"] for found in elements.all("strong")}
    assert button["class"] == "danger"
    assert elements.all("img")[0]["src"].startswith("/@/static/google.")


def test_the_page_that_asks_for_an_address_keeps_the_query_of_its_action() -> None:
    page = PAGES.ask_address(SCENE, action="/@indieauth/signin?rd=%2Fa%3Fb&x=1")
    elements = Elements(page)
    assert elements.all("form") == [{"class": "fields", "method": "get", "action": "/@indieauth/signin"}]
    rd, x, me = elements.all("input")
    assert (rd["name"], rd["value"]) == ("rd", "/a?b")
    assert (x["name"], x["value"]) == ("x", "1")
    assert (me["name"], me["type"], me["inputmode"], me["autocomplete"]) == ("me", "text", "url", "url")


def test_the_answer_to_an_address_may_lead_to_any_site() -> None:
    """Chromium holds `form-action` against the redirect that follows."""
    page = PAGES.ask_address(SCENE, action="/@indieauth/signin")
    assert "form-action 'self' https: http:;" in dict(page.headers)["content-security-policy"]


@pytest.mark.parametrize("wrong", ["invalid", "unreachable", "unsupported"])
def test_an_address_that_is_wrong_comes_back_with_what_is_wrong(wrong: str) -> None:
    page = PAGES.ask_address(SCENE, action="/@indieauth/signin", value="htp:/alice", wrong=wrong)
    me = Elements(page).all("input")[0]
    assert (page.status, me["value"], me["aria-invalid"]) == (422, "htp:/alice", "true")


@pytest.mark.parametrize("text", XSS)
def test_nothing_from_outside_becomes_markup(text: str) -> None:
    for page in (
        form(Field(name="x", label="form.optional", value=text), hidden=[(text, text)]),
        PAGES.list(SCENE, "signed_in", items=[Item(title=text, detail=text, kind=text)]),
        PAGES.ask_address(SCENE, action="/@x/signin", value=text),
    ):
        Inert(page.body.decode())

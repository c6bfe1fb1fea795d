"""The pages of a person's own account, of a shape that no other page has."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from vestibule.model import Secret
from vestibule.web.blocks import Action, DeviceLine, Fact, Item, TokenLine
from vestibule.web.page import Page
from vestibule.web.pages import Pages, Scene


def account_page(
    pages: Pages,
    scene: Scene,
    *,
    facts: Iterable[Fact],
    items: Iterable[Item],
    offers: Iterable[Item],
    actions: Iterable[Action],
    tokens: Iterable[TokenLine] = (),
    new_token: Action | None = None,
    devices: Iterable[DeviceLine] = (),
    sign_out_others: Action | None = None,
) -> Page:
    """A person's own page: what is known of them, the accounts they sign in with, those they could add.

    And the devices they are signed in on, and their app tokens; `new_token` leads to the form for one.
    """
    return pages.page(
        "account.html",
        scene,
        "account",
        facts=[*facts],
        items=pages.items(scene, items),
        offers=pages.items(scene, offers),
        actions=[*actions],
        tokens=[*tokens],
        new_token=[new_token] if new_token is not None else [],
        devices=[*devices],
        sign_out_others=[sign_out_others] if sign_out_others is not None else [],
    )


def token_page(
    pages: Pages, scene: Scene, *, line: TokenLine, text: Secret, actions: Iterable[Action]
) -> Page:
    """The page that shows an app token, this once."""
    shown = replace(line, actions=())
    return pages.page(
        "token.html", scene, "token", line=shown, token=text.reveal(), actions=[*actions], status=201
    )

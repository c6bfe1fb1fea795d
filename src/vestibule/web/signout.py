"""Signing out, of everything or of one client, and where it lands."""

from __future__ import annotations

from starlette.responses import Response

from vestibule.core.route import SIGNED_OUT_PATH
from vestibule.web.answers import Desk, answer, checked_location, note, redirect
from vestibule.web.asking import Ask, may_act, own_address
from vestibule.web.onward import away


async def sign_out(desk: Desk, ask: Ask) -> Response:
    """`/@/signout` and `/@CLIENT/signout` by GET: acts on the person's own click, asks on anything else."""
    if may_act(ask):
        return await _end(desk, ask)
    if ask.visit.session is None:
        return redirect(SIGNED_OUT_PATH)
    page = desk.pages.confirm_sign_out(ask.scene(), action=own_address(ask), what=_title(desk, ask))
    return answer(page)


async def sign_out_by_post(desk: Desk, ask: Ask) -> Response:
    """The same by POST, whose Origin has been checked."""
    return await _end(desk, ask)


async def signed_out(desk: Desk, ask: Ask) -> Response:
    """`/@/signedout`: the landing page. Changes nothing, whoever leads here."""
    can_sign_in = bool(ask.visit.host.sign_in)
    return answer(desk.pages.signed_out(ask.scene(), can_sign_in=can_sign_in))


async def _end(desk: Desk, ask: Ask) -> Response:
    rd = desk.signin.return_to(ask.visit, ask.rd)
    done = await desk.signin.sign_out(ask.visit, ask.client or None, rd=rd)
    if ask.visit.session is not None:
        note(desk, ask, "signed_out", ask.visit.session)
    if done.form is not None:
        return away(desk.pages, ask.scene_of_nobody(), done)
    # A form's answer may not redirect to another origin: `form-action` binds redirects, too.
    if ask.method == "POST" and not done.location.startswith("/"):
        # A page may be kept and looked at: the ID token that the redirect carries as a hint stays off it.
        location = without_parameter(checked_location(done.location), "id_token_hint")
        page = desk.pages.leaving(ask.scene(), location=location)
        return answer(page, done.set_cookies)
    return redirect(done.location, done.set_cookies)


def without_parameter(url: str, name: str) -> str:
    """The URL less each query parameter of this name."""
    bare, mark, query = url.partition("?")
    kept = [part for part in query.split("&") if part.partition("=")[0] != name]
    return bare + mark + "&".join(kept)


def _title(desk: Desk, ask: Ask) -> str:
    """What the one client is called on the sign-in page, else its ID; empty for the whole session."""
    choices = desk.signin.chooser(ask.visit) if ask.client else ()
    return next((choice.title for choice in choices if choice.client == ask.client), ask.client)

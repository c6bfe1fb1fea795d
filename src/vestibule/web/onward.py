"""On to a provider: by a redirect, or by a form that the browser sends there by itself."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from typing import Final

from starlette.responses import Response

from vestibule.providers.base import Form
from vestibule.service.outcome import Begun, SignedOut
from vestibule.web.answers import answer, checked_location, redirect
from vestibule.web.page import Page
from vestibule.web.pages import Pages, Scene

_SCRIPT: Final = "document.forms[0].submit()"
"""The one script there is on pages for people; who has none presses the button."""
_SCRIPT_SOURCE: Final = f"'sha256-{b64encode(hashlib.sha256(_SCRIPT.encode()).digest()).decode()}'"
_POLICY: Final = "content-security-policy"


def away(pages: Pages, scene: Scene, step: Begun | SignedOut) -> Response:
    """The browser goes on to where a step leads, with its cookies."""
    if step.form is not None:
        return answer(form_page(pages, scene, step.form), step.set_cookies)
    return redirect(step.url if isinstance(step, Begun) else step.location, step.set_cookies)


def form_page(pages: Pages, scene: Scene, form: Form, *, by_itself: bool = True) -> Page:
    """A page whose form goes to another site; `by_itself`: at once, where the browser runs scripts.

    Spec: saml-bindings section 3.5.4. Threat: a script of somebody else's in our page: the one there is is named by its
    hash, and no value of a page stands in it.
    """
    page = pages.page(
        "post.html",
        scene,
        "onward",
        action=checked_location(form.action),
        hidden=form.fields,
        script=_SCRIPT if by_itself else "",
        # The answer to this form may lead to any site, and browsers hold `form-action` against that.
        form_action="https: http:",
    )
    if not by_itself:
        return page
    headers = tuple(
        (name, f"{value}; script-src {_SCRIPT_SOURCE}" if name == _POLICY else value)
        for name, value in page.headers
    )
    return Page(page.status, headers, page.body)

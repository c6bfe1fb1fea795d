"""What both stand-ins are made of: pages, answers, and the small print of OAuth 2.0."""

from __future__ import annotations

import base64
import hashlib
import hmac
import html
from collections.abc import Mapping
from urllib.parse import urlsplit

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
  :root {{ color-scheme: light dark; }}
  :root {{ --ground: #eef0f4; --sheet: #fff; --ink: #1d2026; --soft: #5b6270; --edge: #7b8494; }}
  @media (prefers-color-scheme: dark) {{
    :root {{ --ground: #14161a; --sheet: #1e2127; --ink: #e8eaee; --soft: #a7aeba; --edge: #7f8898; }}
  }}
  body {{ margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--ground);
         color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }}
  main {{ width: min(24rem, 100% - 2rem); box-sizing: border-box; padding: 2rem;
         background: var(--sheet); border-radius: 1rem; }}
  h1 {{ font-size: 1.4rem; margin: 0 0 .25rem; }}
  p {{ color: var(--soft); margin: 0 0 1.25rem; }}
  button {{ display: block; width: 100%; margin: .5rem 0; padding: .75rem 1rem; font: inherit; text-align: left;
           color: inherit; background: none; border: 1px solid var(--edge); border-radius: .6rem; cursor: pointer; }}
  button:hover, button:focus-visible {{ background: var(--ground); }}
  small {{ color: var(--soft); display: block; }}
</style>
<main>{body}</main>
</html>
"""


def page(title: str, body: str, *, status: int = 200) -> web.Response:
    """A page of a provider's."""
    text = _PAGE.format(title=html.escape(title), body=body)
    return web.Response(
        text=text, content_type="text/html", status=status, headers={"Cache-Control": "no-store"}
    )


def form(action: str, hidden: Mapping[str, str], inside: str) -> str:
    """A form with what the person doesn't see, and what they do."""
    fields = "".join(
        f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
        for name, value in hidden.items()
    )
    return f'<form method="post" action="{html.escape(action)}">{fields}{inside}</form>'


def button(name: str, value: str, label: str, more: str = "") -> str:
    """A button that sends the form it stands in."""
    small = f"<small>{html.escape(more)}</small>" if more else ""
    return f'<button name="{html.escape(name)}" value="{html.escape(value)}">{html.escape(label)}{small}</button>'


def refusal(error: str, description: str, *, status: int = 400) -> web.Response:
    """What the token endpoint says no with (RFC 6749 section 5.2)."""
    told = {"error": error, "error_description": description}
    return web.json_response(told, status=status, headers={"Cache-Control": "no-store"})


def base64url(data: bytes) -> str:
    """Without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def left_half(token: str) -> str:
    """`at_hash` (OpenID Connect Core section 3.1.3.6)."""
    return base64url(hashlib.sha256(token.encode()).digest()[:16])


def is_verifier(verifier: str, challenge: str) -> bool:
    """True when the challenge was made of the verifier (RFC 7636 section 4.6)."""
    return hmac.compare_digest(base64url(hashlib.sha256(verifier.encode()).digest()), challenge)


def own_address(issuer: str) -> Middleware:
    """Answers under the issuer's own address only.

    Threat: a web page anywhere that points a name of its own at 127.0.0.1, and reads what is answered here.
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.host != urlsplit(issuer).netloc:
            return web.Response(text=f"This is {issuer}; use that address.\n", status=421)
        return await handler(request)

    return check

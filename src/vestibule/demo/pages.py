"""The demo's pages: templates and static files out of the package, each sent with a strict policy."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from aiohttp import web
from minijinja import Environment

_HERE = files("vestibule.demo")
_TYPES = {"css": "text/css", "js": "text/javascript", "svg": "image/svg+xml"}
_STATIC = ("demo.css", "app.js", "icon.svg")


class Pages:
    """Renders the templates. `images` is a further origin that pages may show pictures from."""

    def __init__(self, *, images: str = "") -> None:
        self._images = images
        self._templates = Environment(loader=_template)

    def page(self, template: str, *, status: int = 200, forms: str = "", **values: Any) -> web.Response:
        """The page, never to be kept, framed or scripted from elsewhere.

        `forms` is where a form's answer may lead on to: browsers hold `form-action` against all redirects
        that follow, too.
        """
        text = self._templates.render_template(template, **values)
        policy = (
            "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; "
            f"frame-ancestors 'none'; form-action 'self' {forms}; img-src 'self' {self._images}"
        )
        headers = {
            "Content-Security-Policy": policy,
            "Cache-Control": "no-store",
            # Not "no-referrer": with that, browsers send `Origin: null` when a form of the page is posted.
            "Referrer-Policy": "same-origin",
            "X-Content-Type-Options": "nosniff",
        }
        return web.Response(text=text, status=status, content_type="text/html", headers=headers)


async def static(request: web.Request) -> web.Response:
    """One of the demo's few static files. Raises HTTPNotFound."""
    name = request.match_info["name"]
    if name not in _STATIC:
        raise web.HTTPNotFound
    body = (_HERE / "static" / name).read_bytes()
    headers = {"Cache-Control": "max-age=300", "X-Content-Type-Options": "nosniff"}
    return web.Response(
        body=body, content_type=_TYPES[name.rpartition(".")[2]], charset="utf-8", headers=headers
    )


def _template(name: str) -> str | None:
    place = _HERE / "templates" / name
    return place.read_text("utf-8") if place.is_file() else None

"""All pages of the gateway at addresses of their own, from the program's own renderer: `/sign-in?brand=full`."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, quote, unquote, urlsplit

from vestibule.config.page import languages
from vestibule.core.branding import PLAIN, Branding, Picture, Scheme
from vestibule.core.wording import ENGLISH, language_of
from vestibule.web.pages import Pages, Scene
from vestibule.web.rehearsal import SAMPLES

_DRAWING = """<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 160 40"><style>.a{fill:#7a1fa2}</style>
<rect class="a" width="40" height="40" rx="8"/><circle cx="90" cy="20" r="18" class="a"/></svg>"""
_LOGO = Picture(_DRAWING.encode(), "svg")
_ENGLISH = languages()[ENGLISH]

BRANDS: dict[str, Branding] = {
    "plain": PLAIN,
    "full": Branding(
        text="Welcome to Acme. Please use the account of your work.",
        banner="Authorised use only.\nAll visits are recorded.",
        footer="© 2026 Acme Ltd",
        footer_links=(("Privacy", "https://acme.example/privacy"), ("Help", "mailto:help@acme.example")),
        logo=_LOGO,
        dark_logo=_LOGO,
        marks={"corp": _LOGO},
        light=Scheme(accent="#7a1fa2", background="#eef0f7"),
        dark=Scheme(accent="#d29be6", background="#101225"),
    ),
    "loud": Branding(
        footer="Yellow on yellow, and still to be read",
        light=Scheme(accent="#ffe600", background="#ffd000"),
        dark=Scheme(accent="#ff2d00", background="#b50ad3"),
    ),
    "rtl": Branding(
        languages=(language_of(ENGLISH, {"language": {"direction": "rtl"}}, _ENGLISH.words, _ENGLISH),)
    ),
}


class Gallery:
    """A server of pages; `asked` are the targets that no page answers, in order."""

    def __init__(self, port: int) -> None:
        self.asked: list[str] = []
        self.url = f"http://localhost:{port}"
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def page(self, name: str, brand: str = "plain") -> str:
        """The address of a page."""
        return f"{self.url}/{quote(name, safe='')}?brand={brand}"

    def close(self) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _handler(gallery: Gallery) -> type[BaseHTTPRequestHandler]:
    pages = Pages()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            brand = parse_qs(url.query or urlsplit(self.headers.get("referer", "")).query).get("brand", [""])[
                0
            ]
            scene = Scene(
                request_id="k3v6q2m7p4x5n8wt",
                host="forum",
                branding=BRANDS.get(brand, PLAIN),
                languages=self.headers.get("accept-language", ""),
                who="Alice Liddell",
                other_ways=True,
            )
            name = unquote(url.path[1:])
            page = SAMPLES[name](pages, scene) if name in SAMPLES else _static(pages, url.path)
            if page is None:
                gallery.asked.append(f"{self.command} {self.path}")
                page = SAMPLES["not found"](pages, scene)
            self.send_response(page.status)
            for field, value in page.headers:
                if field != "refresh":
                    self.send_header(field, value)
            self.send_header("content-length", str(len(page.body)))
            self.end_headers()
            self.wfile.write(page.body)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", "0")))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    return Handler


def _static(pages: Pages, path: str):
    """The file of whichever branding has it: pages send no referrer."""
    for branding in BRANDS.values():
        found = pages.static(path, Scene(host="forum", branding=branding))
        if found is not None:
            return found
    return None

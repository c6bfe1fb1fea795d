"""Signs in over HTTP as a browser does, and gives the cookies that come of it."""

from __future__ import annotations

from http.cookies import SimpleCookie
from urllib.parse import urljoin, urlsplit

import aiohttp

from bench.process import BenchError

HOPS = 20
PERSON = "alice"


class Refused(BenchError):
    """Somebody was told 503."""


def browser() -> aiohttp.ClientSession:
    """What any number of visitors ask by; it keeps no cookies of theirs."""
    connector = aiohttp.TCPConnector(limit=0)
    timeout = aiohttp.ClientTimeout(total=20)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), timeout=timeout)


async def sign_in(start: str, *, at: str) -> str:
    """The value of the Cookie header for the site at `start`, once its page `at` answers 200 with it."""
    async with browser() as client:
        return await sign_in_by(client, start, at=at)


async def sign_in_by(client: aiohttp.ClientSession, start: str, *, at: str) -> str:
    """The same, by this client. Raises Refused, BenchError.

    Follows redirects by hand: cookies are kept by port as well as by host, for all of these sites are on loopback;
    the provider is told who it is by `login_hint`, so that it asks nobody.
    """
    jar: dict[str, dict[str, str]] = {}
    url = await _follow(client, jar, start)
    if _origin(url) != _origin(start):
        raise BenchError(f"the sign-in ended at {url}")
    async with client.get(urljoin(start, at), headers=_headers(jar, start), allow_redirects=False) as answer:
        if answer.status == 503:
            raise Refused("after the sign-in")
        if answer.status != 200:
            raise BenchError(
                f"{answer.url} answers {answer.status} after the sign-in:\n{await answer.text()}"
            )
    return _cookie(jar, start)


async def _follow(client: aiohttp.ClientSession, jar: dict[str, dict[str, str]], url: str) -> str:
    for _ in range(HOPS):
        parts = urlsplit(url)
        if parts.path.endswith("/authorize") and "login_hint=" not in parts.query:
            url += f"&login_hint={PERSON}"
        async with client.get(url, headers=_headers(jar, url), allow_redirects=False) as answer:
            _keep(jar, url, answer.headers.getall("Set-Cookie", []))
            location = answer.headers.get("Location")
            if location is None:
                if answer.status == 503:
                    raise Refused(parts.path)
                if answer.status >= 400:
                    raise BenchError(f"{url} answers {answer.status}:\n{await answer.text()}")
                return url
        url = urljoin(url, location)
    raise BenchError(f"the sign-in does not end: {url}")


def _headers(jar: dict[str, dict[str, str]], url: str) -> dict[str, str]:
    headers = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
    cookie = _cookie(jar, url)
    return {**headers, "Cookie": cookie} if cookie else headers


def _keep(jar: dict[str, dict[str, str]], url: str, lines: list[str]) -> None:
    cookies = jar.setdefault(_origin(url), {})
    for line in lines:
        for name, morsel in SimpleCookie(line).items():
            if morsel["max-age"] == "0" or not morsel.value:
                cookies.pop(name, None)
            else:
                cookies[name] = morsel.value


def _cookie(jar: dict[str, dict[str, str]], url: str) -> str:
    return "; ".join(f"{name}={value}" for name, value in jar.get(_origin(url), {}).items())


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"

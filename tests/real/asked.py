"""A person's browser that an app has sent to the gateway: signed in on the way, asked, and sent back to the app."""

from __future__ import annotations

from yarl import URL

from tests.real.house import NAVIGATION, Browser, Page


async def sent_to(person: Browser, url: str, who: str = "alice", *, back: str = "") -> Page:
    """The page on which they end; where they are led to `back`, that redirect itself."""
    at = URL(person.house.origin).join(URL(url, encoded=True))
    for _ in range(30):
        async with person.session.get(at, headers=NAVIGATION, allow_redirects=False) as answer:
            page = Page(answer.status, answer.url, answer.headers, await answer.text())
        if page.status == 200 or (back and page.headers["Location"].startswith(back)):
            return page
        assert page.status in (302, 303), page.text
        at = at.join(URL(page.headers["Location"], encoded=True))
        if at.path == "/@/signin":
            at = at.update_query(login_hint=who)
    raise AssertionError(at)


async def answered(person: Browser, page: Page, answer: str, path: str = "/@/authorize") -> Page:
    """The button of the page, pressed."""
    [key] = {part.partition(chr(34))[0] for part in page.text.split('name="key" value="')[1:]}
    return await typed(person, path, key=key, answer=answer)


async def typed(person: Browser, path: str, **form: str) -> Page:
    """A form of the gateway's own page, sent."""
    headers = {**NAVIGATION, "Sec-Fetch-Site": "same-origin", "Origin": person.house.origin}
    url = f"{person.house.origin}{path}"
    async with person.session.post(url, data=form, headers=headers) as told:
        return Page(told.status, told.url, told.headers, await told.text())


def leads_to(page: Page, back: str) -> URL:
    """Where the page sends the browser by itself."""
    assert page.status == 200, page.text
    location = page.headers["Refresh"].partition("url=")[2]
    assert location.startswith(back)
    return URL(location, encoded=True)

"""`examples/forum`: web, phones and services by one command; people on several devices, out on one, while a node ends."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import re
import signal
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from yarl import URL

from tests.house.source import ROOT
from tests.ports import Ports
from tests.process import Process
from tests.real.visitor import new_visitor

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("forum"), pytest.mark.timeout(300)]

EXAMPLE = ROOT / "examples" / "forum"
LINK = "com.example.forum:/callback"
NODE = re.compile(r"(node\d) (\d+)")
JSON = {"Accept": "application/json"}


def _phone_module() -> Any:
    spec = importlib.util.spec_from_file_location("forum_phone", EXAMPLE / "phone.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


APP = _phone_module()


class Forum:
    """The example, running."""

    def __init__(self, process: Process, site: str) -> None:
        self.process, self.site = process, site

    @property
    def nodes(self) -> dict[str, int]:
        return {name: int(pid) for name, pid in NODE.findall(self.process.log)}

    @property
    def sdks(self) -> dict[str, str]:
        """Where the stand-ins' SDKs are, by provider."""
        return dict(re.findall(r"(google|apple)=(\S+)", self.process.log))

    @property
    def logs(self) -> list[Path]:
        """What each of its programs wrote."""
        found = re.search(r"the logs +(\S+)", self.process.log)
        assert found
        return [file for file in Path(found[1]).iterdir() if file.suffix in {".log", ".ndjson"}]

    async def logged(self, pattern: str) -> None:
        """Returns once a line of what it tells is so."""
        found = lambda: re.search(pattern, self.process.log) is not None  # noqa: E731 - it is asked again and again
        await asyncio.to_thread(self.process.wait_until, found, f"tells {pattern!r}")


@contextlib.contextmanager
def opened(ports: Ports, *options: str) -> Iterator[Forum]:
    """The example, started with these options."""
    port = ports.take()
    process = Process(
        "forum",
        [sys.executable, EXAMPLE / "run.py", "--port", str(port), *options],
        env={
            "PYTHONUNBUFFERED": "1",
            "VESTIBULE_STORE_TIMEOUT": "5s",
            **dict.fromkeys(("GOOGLE_CLIENT_ID", "APPLE_CLIENT_ID"), ""),
        },
    )
    try:
        process.wait_until(lambda: "Ctrl-C stops" in process.log, "says that it is open", within_s=180.0)
        yield Forum(process, f"http://localhost:{port}")
    finally:
        process.stop()


@pytest.fixture(scope="module")
def forum(ports: Ports) -> Iterator[Forum]:
    with opened(ports) as forum:
        yield forum


class Reader(HTMLParser):
    """What of a page can be clicked."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.forms: list[tuple[str, dict[str, str], dict[str, str]]] = []
        """Action, what is in it already, and what is in it unseen."""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = {name: value or "" for name, value in attrs}
        if tag == "a":
            self.links.append(told.get("href", ""))
        elif tag == "form":
            self.forms.append((told["action"], {}, {}))
        elif self.forms and tag == "input" and told.get("name"):
            _, shown, hidden = self.forms[-1]
            (hidden if told.get("type") == "hidden" else shown)[told["name"]] = told.get("value", "")


class Person:
    """Somebody before a browser."""

    def __init__(self, forum: Forum, session: aiohttp.ClientSession) -> None:
        self.forum, self.session = forum, session
        self.url, self.text, self.refresh = URL(forum.site), "", ""

    async def go(self, target: str) -> None:
        """To a page, through all that leads there; not where the browser would leave for the app."""
        await self._ask("GET", self.url.join(URL(target, encoded=True)), None)

    async def follow(self, part: str) -> None:
        """A click on the link whose address has this in it."""
        [link] = {link for link in Reader(self.text).links if part in link}
        await self.go(link)

    async def send(self, action: str, **filled: str) -> None:
        """A click on the button of the form that leads there, with what was filled in, or stands in it."""
        [(url, sent)] = [
            (url, {**shown, **filled, **hidden})
            for url, shown, hidden in Reader(self.text).forms
            if url.partition("?")[0].endswith(action)
            and hidden.items() >= {(name, value) for name, value in filled.items() if name in hidden}
        ]
        await self._ask("POST", self.url.join(URL(url)), sent)

    async def by_google(self, login: str) -> None:
        await self.follow("/@google/signin")
        assert "stands in for Google" in self.text, self.text
        await self.send("/choose", person=login)

    async def by_apple(self, **choice: str) -> None:
        await self.follow("/@apple/signin")
        assert "stands in for Apple" in self.text, self.text
        await self.send("/choose", **choice)
        await self.send("/@apple/callback")  # Apple's page does it by itself

    async def api(self, method: str, path: str, body: Any = None, token: str = "") -> tuple[int, Any]:
        """What the page's script is answered."""
        headers = {**JSON, **({"Authorization": f"Bearer {token}"} if token else {})}
        async with self.session.request(
            method, f"{self.forum.site}{path}", json=body, headers=headers
        ) as answer:
            return answer.status, await answer.json(content_type=None)

    async def feed(self) -> dict[str, dict[str, Any]]:
        """The newsfeed, by text."""
        status, told = await self.api("GET", "/api/feed")
        assert status == 200, told
        return {post["text"]: post for post in told["posts"]}

    async def _ask(self, method: str, url: URL, form: dict[str, str] | None) -> None:
        for _ in range(20):
            site = "same-origin" if url.origin() == self.url.origin() else "cross-site"
            headers = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": site}
            if method == "POST":
                headers["Origin"] = str(self.url.origin())
            async with self.session.request(
                method, url, data=form, headers=headers, allow_redirects=False
            ) as answer:
                self.url, self.text = url, await answer.text()
                self.refresh = answer.headers.get("Refresh", "").partition("url=")[2]
                assert answer.status < 400, f"{url.path} {answer.status} {self.text}"
                if answer.status < 300:
                    return
                method, form, url = "GET", None, url.join(URL(answer.headers["Location"], encoded=True))
        raise AssertionError(url)


class SystemBrowser:
    """The browser of a phone, in somebody's hand; the app is in another thread, and sees the link at its end alone."""

    redirect_uri = LINK

    def __init__(self, person: Person, act: Any) -> None:
        self._person, self._act = person, act
        self._loop = asyncio.get_running_loop()

    def visit(self, url: str) -> str:
        return asyncio.run_coroutine_threadsafe(self._visit(url), self._loop).result(120)

    async def _visit(self, url: str) -> str:
        await self._person.go(url)
        await self._act(self._person)
        assert "Forum for phones" in self._person.text  # any app could have that scheme, so one is asked
        await self._person.send("/@/authorize", answer="allow")
        assert self._person.refresh.startswith(LINK), self._person.text
        return self._person.refresh


async def status_of(action: Any, *arguments: Any) -> int:
    """What the phone is refused with."""
    with pytest.raises(APP.Refused) as caught:
        await asyncio.to_thread(action, *arguments)
    return int(caught.value.status)


async def test_a_person_on_two_devices_is_signed_out_on_one_and_misses_no_node(forum, tmp_path):
    async with (
        new_visitor(user_agent="Mozilla/5.0 (X11; Linux) Firefox/140.0") as desk,
        new_visitor() as pocket,
    ):
        web, browser = Person(forum, desk), Person(forum, pocket)
        assert (await web.api("GET", "/api/me")) == (200, None)
        assert (await web.api("POST", "/api/posts", {"text": "nobody's"}))[0] == 401
        assert await web.feed() == {}

        # In the browser, by Google: a newcomer, who chooses what to be called.
        await web.go("/@/signin?rd=/")
        await web.by_google("ada")
        assert web.url.path == "/@/account/register"
        await web.send("/@/account/register", name="Ada of the forum")
        assert "forum.js" in web.text
        _, me = await web.api("GET", "/api/me")
        assert me["name"] == "Ada of the forum"

        # On the phone the same person, without a form.
        phone = APP.Phone(forum.site, tmp_path / "phone.json")
        await asyncio.to_thread(phone.sign_in, SystemBrowser(browser, lambda person: person.by_google("ada")))
        assert await asyncio.to_thread(phone.call, "GET", "/api/me") == me
        assert (tmp_path / "phone.json").stat().st_mode & 0o777 == 0o600

        # What is written here is read there.
        await asyncio.to_thread(phone.call, "POST", "/api/posts", {"text": "from the phone"})
        assert (await web.api("POST", "/api/posts", {"text": "from the web"}))[0] == 201
        post = (await web.feed())["from the phone"]
        assert (post["name"], post["is_own"], post["likes"]) == (me["name"], True, 0)
        assert (await web.api("PUT", f"/api/posts/{post['id']}/like"))[0] == 200
        posts = (await asyncio.to_thread(phone.call, "GET", "/api/feed"))["posts"]
        assert [post["text"] for post in posts] == ["from the phone", "from the web"]
        assert posts[0]["is_liked"]

        # A node ends, and is started again; nobody sees that.
        before = forum.nodes["node1"]
        os.kill(before, signal.SIGTERM)
        for _ in range(10):
            assert (await web.api("GET", "/api/me")) == (200, me)
            assert await asyncio.to_thread(phone.call, "GET", "/api/me") == me
        await forum.logged(r"node1 has ended and is back")
        old = await asyncio.to_thread(phone.refresh)
        assert (await web.feed()).keys() == {"from the phone", "from the web"}

        # Out on the phone, at once and on every node; the browser goes on.
        await asyncio.to_thread(phone.sign_out)
        assert await status_of(phone.call, "GET", "/api/me") == 401
        for _ in range(4):
            assert (await browser.api("GET", "/api/feed", token=old["access_token"]))[0] == 401
            assert (await web.api("GET", "/api/me")) == (200, me)

    # The event log has all of it, and no token.
    for event in ("session.created", "post.written", "session.ended"):
        await forum.logged(rf"{event}  .*user_id={me['id']}")
    told = [forum.process.whole_log, *(file.read_text("utf-8", "replace") for file in forum.logs)]
    assert len(told) > 8
    for token in (old["access_token"], old["refresh_token"]):
        assert not any(token in text for text in told)


async def test_a_newcomer_by_apple_on_a_phone_keeps_the_name_that_came_once(forum, tmp_path):
    async def registers(person: Person) -> None:
        await person.by_apple(hidden="dana")
        assert 'value="Dana Ó Briain"' in person.text
        await person.send("/@/account/register")

    async def comes_back(person: Person) -> None:
        await person.by_apple(person="dana")

    names = []
    for device, act in (("phone", registers), ("tablet", comes_back)):
        async with new_visitor(user_agent=f"{device}/1") as pocket:
            browser = Person(forum, pocket)
            phone = APP.Phone(forum.site, tmp_path / device)
            await asyncio.to_thread(phone.sign_in, SystemBrowser(browser, act))
            names.append(await asyncio.to_thread(phone.call, "GET", "/api/me"))
            _, session = await browser.api("GET", "/@/session")
            assert session["user"]["email"].endswith("@privaterelay.appleid.example")
    assert names[0] == names[1]
    assert names[0]["name"] == "Dana Ó Briain"


async def test_a_newcomer_by_apples_sdk_registers_in_the_app_and_is_the_same_person_on_the_web(
    forum, tmp_path
):
    sdk = APP.StandIn(forum.sdks["apple"], "emre")
    phone = APP.Phone(forum.site, tmp_path / "phone")
    asked: list[dict[str, Any]] = []

    def registers(form: dict[str, Any]) -> dict[str, str]:
        asked.append(form)
        return {"name": form["known"]["name"]}

    for _ in range(2):  # the second time nothing is asked
        await asyncio.to_thread(phone.sign_in_by_sdk, sdk, "apple", registers)
    me = await asyncio.to_thread(phone.call, "GET", "/api/me")
    assert (len(asked), me["name"]) == (1, "Emre Lindqvist")
    async with new_visitor() as desk:
        web = Person(forum, desk)
        await web.go("/@/signin?rd=/")
        await web.by_apple(person="emre")
        assert (await web.api("GET", "/api/me")) == (200, me)
    with pytest.raises(APP.Refused, match="400 invalid_request"):
        await asyncio.to_thread(phone.sign_in_by_sdk, sdk, "google", registers)


async def test_somebody_elses_post_is_not_touched_and_nobody_asks_a_service_past_its_routes(forum):
    async with new_visitor() as first, new_visitor() as second:
        bo, chidi = Person(forum, first), Person(forum, second)
        for person, login in ((bo, "bo"), (chidi, "chidi")):
            await person.go("/@/signin?rd=/")
            await person.by_google(login)
            await person.send("/@/account/register", name=login)
        _, post = await bo.api("POST", "/api/posts", {"text": "<b>mine</b>"})
        path = f"/api/posts/{post['id']}"
        assert (await chidi.api("PUT", path, {"text": "yours"}))[0] == 403
        assert (await chidi.api("DELETE", path))[0] == 403
        async with second.get(f"{forum.site}/rpc/recent", headers={"User-Id": "bo"}) as answer:
            assert answer.status == 404
        async with second.delete(f"{forum.site}{path}", headers={"User-Id": post["author"]}) as answer:
            assert answer.status == 403
        for text in ("", " ", "x" * 2001, "\0", "\ud800", 1, None):
            assert (await bo.api("PUT", path, {"text": text}))[0] == 400
        assert (await bo.api("PUT", path, {"text": "changed"}))[1]["text"] == "changed"
        assert (await bo.api("DELETE", path))[0] == 204
        assert (await bo.api("GET", path))[0] == 404


async def test_a_phone_is_played_in_a_terminal(forum, tmp_path):
    async def told(*words: str) -> str:
        argv = (sys.executable, EXAMPLE / "phone.py", "--site", forum.site, *words)
        env = {**os.environ, "HOME": str(tmp_path), "BROWSER": "true %s", "PYTHONUNBUFFERED": "1"}
        phone = await asyncio.create_subprocess_exec(*argv, env=env, stdout=asyncio.subprocess.PIPE)
        assert phone.stdout is not None
        said = ""
        async for line in phone.stdout:
            said += line.decode()
            if "/@/authorize?" in said and said.endswith("\n") and "http" in line.decode():
                await opened(line.decode().strip())
        assert await phone.wait() == 0, said
        return said

    async def opened(url: str) -> None:
        """What the browser of this machine is for: it comes back to the phone's own port."""
        async with new_visitor() as desktop:
            person = Person(forum, desktop)
            await person.go(url)
            await person.by_apple(person="femi")
            await person.send("/@/account/register")
            await person.send("/@/authorize", answer="allow")
            await person.go(person.refresh)
            assert "Go back to the phone" in person.text

    assert "You are Femi Grande on phone." in await told("sign-in")
    await told("post", "typed")
    assert "typed" in await told("feed")
    await told("sign-out")


@pytest.mark.parametrize(
    ("provider", "parameter", "value", "says"),
    [
        ("google", "redirect_uri", "http://localhost/elsewhere", "redirect_uri_mismatch"),
        ("google", "client_id", "another", "invalid_client"),
        ("apple", "redirect_uri", "http://localhost/elsewhere", "Invalid web redirect url"),
        ("apple", "response_mode", "query", "response_mode must be form_post"),
    ],
)
async def test_the_stand_ins_refuse_what_the_real_ones_refuse(forum, provider, parameter, value, says):
    async with new_visitor() as session:
        async with session.get(f"{forum.site}/@{provider}/signin?rd=/", allow_redirects=False) as answer:
            url = URL(answer.headers["Location"], encoded=True)
        async with session.get(url.update_query({parameter: value})) as answer:
            assert answer.status == 400
            assert says in await answer.text()


async def test_with_registration_auto_nobody_is_asked_anything(ports, tmp_path):
    def asked(form: dict[str, Any]) -> dict[str, str]:
        raise AssertionError(form)

    with contextlib.ExitStack() as stack:
        forum = await asyncio.to_thread(stack.enter_context, opened(ports, "--registration", "auto"))
        async with new_visitor() as desk, new_visitor() as pocket:
            web, browser = Person(forum, desk), Person(forum, pocket)
            await web.go("/@/signin?rd=/")
            await web.by_google("ada")
            assert web.url.path == "/"
            _, me = await web.api("GET", "/api/me")
            assert me["name"]

            # A phone by the SDK: the same person; and a newcomer by its browser, who has an account at once.
            ours, theirs = (
                APP.Phone(forum.site, tmp_path / "ours"),
                APP.Phone(forum.site, tmp_path / "theirs"),
            )
            sdk = APP.StandIn(forum.sdks["google"], "ada")
            await asyncio.to_thread(ours.sign_in_by_sdk, sdk, "google", asked)
            assert await asyncio.to_thread(ours.call, "GET", "/api/me") == me
            in_hand = SystemBrowser(browser, lambda person: person.by_google("chidi"))
            await asyncio.to_thread(theirs.sign_in, in_hand)
            other = await asyncio.to_thread(theirs.call, "GET", "/api/me")
            assert (other["id"] != me["id"], bool(other["name"])) == (True, True)

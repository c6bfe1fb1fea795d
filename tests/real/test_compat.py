"""Edges that were configured for oauth2-proxy and Vouch, by the nginx configurations those document.

Only the address is another one: nothing is added that they don't write, so a client's own headers reach the gateway.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from http.cookies import SimpleCookie
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from tests.ports import Ports
from tests.real.api import Seen
from tests.real.house import NAVIGATION, Browser, House, Page
from tests.real.nginx import Nginx
from tests.real.openid import client

pytestmark = pytest.mark.real

GATEWAY = """
gateway {
  http            = ["127.0.0.1:{port}"]
  trusted_proxies = ["127.0.0.1"]
}

provider "op" {
  type          = "oidc"
  issuer        = "ISSUER"
  client_id     = "app"
  client_secret = "app-secret"
  scopes        = ["openid", "email", "profile", "groups"]
  redirect_url  = "CALLBACK"
}
"""

# -- oauth2-proxy -------------------------------------------------------------------------------

OAUTH2_PROXY = """
host "app.example.com" {
  compat     = "oauth2-proxy"
  public_url = "http://app.example.com:EDGE"
  sign_in    = ["op"]
  access {
    allow = ["anyone"]
  }
  route "/open/" {
    access {
      allow = ["public"]
    }
  }
  route "/admin/" {
    access {
      allow = ["group:admins"]
    }
  }
  route "/get/" {
    methods = ["GET"]
    access {
      allow = ["public"]
    }
  }
}

host "open.example.com" {
  compat     = "oauth2-proxy"
  public_url = "http://open.example.com:EDGE"
  access {
    allow = ["public"]
  }
}
"""

#: its "Configuring for use with the Nginx auth_request directive"; `SIGN_IN` is one of two ways it has had
NGINX_OF_OAUTH2_PROXY = """
    location /oauth2/ {
        proxy_pass       http://127.0.0.1:GATEWAY;
        proxy_set_header Host                    $host;
        proxy_set_header X-Real-IP               $remote_addr;
        proxy_set_header X-Auth-Request-Redirect $request_uri;
    }
    location = /oauth2/auth {
        proxy_pass       http://127.0.0.1:GATEWAY;
        proxy_set_header Host             $host;
        proxy_set_header X-Real-IP        $remote_addr;
        proxy_set_header X-Forwarded-Uri  $request_uri;
        proxy_set_header Content-Length   "";
        proxy_pass_request_body           off;
    }
    location @oauth2_signin {
        return 302 /oauth2/sign_in?rd=$scheme://$http_host$request_uri;
    }
    location / {
        auth_request /oauth2/auth;
        error_page 401 SIGN_IN;
        auth_request_set $user   $upstream_http_x_auth_request_user;
        auth_request_set $email  $upstream_http_x_auth_request_email;
        proxy_set_header X-User  $user;
        proxy_set_header X-Email $email;
        auth_request_set $auth_cookie $upstream_http_set_cookie;
        add_header Set-Cookie $auth_cookie;
        proxy_pass http://127.0.0.1:BACKEND;
    }
"""
LED = "= @oauth2_signin"
SHOWN = "=403 /oauth2/sign_in"


@dataclasses.dataclass
class Front(House):
    """The gateway, which no request of the app's passes through, and nginx in front of the app."""

    edge_port: int = dataclasses.field(kw_only=True)

    @property
    def origin(self) -> str:
        return self.at("app.example.com")

    def at(self, name: str) -> str:
        """How people address a host: by the edge."""
        return f"http://{name}:{self.edge_port}"


@pytest.fixture
def front_of(  # noqa: PLR0917 - fixtures
    ports: Ports, openid: Any, gateway: Any, api: Any, servers: Any, tmp_path: Path
) -> Callable[..., Any]:
    """`front_of(hosts, callback, server=…, http=…)`: the gateway, and nginx with these lines."""

    async def start(hosts: str, callback: str, *, server: str = "", http: str = "") -> Front:
        edge_port = ports.take()
        callback = callback.replace("EDGE", str(edge_port))
        base = str(URL(callback).origin())
        outs = [f"{base}/@/signedout", f"{base}/oauth2/@/signedout"]
        provider = openid(client("app", callback, post_logout_redirect_uris=outs))
        app = await api()
        text = (GATEWAY + hosts).replace("ISSUER", provider.issuer).replace("CALLBACK", callback)
        running = gateway(text.replace("EDGE", str(edge_port)))
        marks = {"GATEWAY": running.port, "BACKEND": app.port, "EDGE": edge_port}
        for mark, number in marks.items():
            server, http = server.replace(mark, str(number)), http.replace(mark, str(number))
        edge = Nginx(edge_port, tmp_path / "edge", server, http=http)
        servers.callback(lambda: (print(f"--- nginx\n{edge.process.shown}"), edge.process.stop()))
        edge.wait()
        return Front(running, provider, app, app, 0, edge_port=edge_port)

    return start


@pytest.fixture(params=[LED, SHOWN], ids=["led", "shown"])
async def oauth2_proxy(request: pytest.FixtureRequest, front_of: Callable[..., Any]) -> Front:
    server = NGINX_OF_OAUTH2_PROXY.replace("SIGN_IN", request.param)
    front: Front = await front_of(OAUTH2_PROXY, "http://app.example.com:EDGE/oauth2/callback", server=server)
    return front


async def sign_in(browser: Browser, target: str, person: str = "bob") -> Seen:
    """By the page that nginx leads to or shows, and its only button; what the app got then."""
    page = await browser.get(target, follow=True)
    assert 'href="/oauth2/@op/signin?' in page.text, page.text
    button = page.text.split('href="/oauth2/@op/signin?')[1].split('"')[0].replace("&amp;", "&")
    page = await browser.get(f"/oauth2/@op/signin?{button}&login_hint={person}", follow=True)
    assert page.status == 200, page.text
    return browser.house.app.seen[-1]


@pytest.mark.parametrize("oauth2_proxy", [LED, SHOWN], ids=["led", "shown"], indirect=True)
async def test_people_of_oauth2_proxys_nginx_sign_in_and_come_back(oauth2_proxy: Front) -> None:
    async with oauth2_proxy.browser() as browser:
        seen = await sign_in(browser, "/notes?a=b&c=d%20e")
        assert seen.target == "/notes?a=b&c=d%20e"
        assert (seen.one("x-email"), len(seen.one("x-user")) > 0) == ("bob@example.com", True)
        async with browser.session.post(f"{oauth2_proxy.origin}/save", data=b"x") as answer:
            assert answer.status == 200
        assert oauth2_proxy.app.seen[-1].method == "POST"


@pytest.mark.parametrize("oauth2_proxy", [LED], ids=["led"], indirect=True)
async def test_all_that_people_need_is_where_that_nginx_hands_it_on(oauth2_proxy: Front) -> None:
    async with oauth2_proxy.browser() as browser:
        page = await browser.get("/x", follow=True)
        style = page.text.split('<link rel="stylesheet" href="')[1].split('"')[0]
        assert style.startswith("/oauth2/@/static/")
        assert (await browser.get(style)).status == 200
        assert '"/@' not in page.text
        await sign_in(browser, "/x")
        async with browser.session.get(f"{oauth2_proxy.origin}/oauth2/userinfo") as answer:
            told = await answer.json()
        assert (told["email"], told["preferredUsername"]) == ("bob@example.com", "bob")
        # Somebody else's link signs nobody out; one's own does, everywhere.
        asked = await browser.get("/oauth2/sign_out", **{"Sec-Fetch-Site": "cross-site"})
        assert (asked.status, 'action="/oauth2/sign_out"' in asked.text) == (200, True)
        out = await browser.get("/oauth2/sign_out")
        assert str(out.location).startswith(f"{oauth2_proxy.provider.issuer}/session/end?")
        assert (await browser.get("/x")).status == 302


@pytest.mark.parametrize("oauth2_proxy", [LED], ids=["led"], indirect=True)
async def test_rules_hold_behind_that_nginx(oauth2_proxy: Front) -> None:
    front = oauth2_proxy
    async with front.browser() as browser:
        assert (await browser.get("/open/x")).status == 200
        await sign_in(browser, "/x")
        assert (await browser.get("/admin/x")).status == 403
        async with browser.session.get(
            f"{front.origin}/x", headers={"X-Email": "root@example.com"}
        ) as answer:
            assert answer.status == 200
        assert front.app.seen[-1].all("x-email") == ["bob@example.com"]
        assert "/admin/x" not in [seen.target for seen in front.app.seen]
        assert not any("vestibule" in value for seen in front.app.seen for value in seen.all("x-user"))


@pytest.mark.parametrize("oauth2_proxy", [LED], ids=["led"], indirect=True)
async def test_a_get_only_rule_admits_no_post_though_that_nginx_tells_no_method(oauth2_proxy: Front) -> None:
    async with oauth2_proxy.browser() as browser:
        for method in ("GET", "POST"):
            async with browser.session.request(method, f"{oauth2_proxy.origin}/get/x") as answer:
                assert answer.status == 403
    assert oauth2_proxy.app.seen == []


@pytest.mark.parametrize("oauth2_proxy", [LED], ids=["led"], indirect=True)
async def test_headers_that_a_client_writes_itself_open_nothing_behind_that_nginx(
    oauth2_proxy: Front,
) -> None:
    """Attacks CVE-2026-40575, H6: it hands on all of these as they came."""
    said = {
        "X-Forwarded-Host": "open.example.com",
        "X-Forwarded-Proto": "http",
        "X-Forwarded-Method": "OPTIONS",
        "X-Original-URL": f"{oauth2_proxy.at('open.example.com')}/",
        "X-Original-Method": "GET",
        "X-Forwarded-Uri": "/open/x",
        "X-Real-IP": "127.0.0.1",
        "X-Forwarded-For": "127.0.0.1",
        "X-Auth-Request-Email": "root@example.com",
        "User_Email": "root@example.com",
    }
    async with oauth2_proxy.browser() as browser:
        for headers in (*({name: value} for name, value in said.items()), said):
            async with browser.session.get(
                f"{oauth2_proxy.origin}/admin/x", headers={**NAVIGATION, **headers}, allow_redirects=False
            ) as answer:
                assert answer.status in (302, 403), headers
    assert oauth2_proxy.app.seen == []


@pytest.mark.parametrize("oauth2_proxy", [LED], ids=["led"], indirect=True)
async def test_a_gateway_that_is_down_lets_nobody_pass(oauth2_proxy: Front) -> None:
    oauth2_proxy.gateway.kill()
    async with oauth2_proxy.browser() as browser:
        for target in ("/open/x", "/x"):
            assert (await browser.get(target)).status >= 403
    assert oauth2_proxy.app.seen == []


SEVERAL = """
domain "example.com" {
  auth_host = "auth.example.com"
}

host "auth.example.com" {
  compat     = "oauth2-proxy"
  public_url = "http://auth.example.com:EDGE"
}

host "app.example.com" {
  compat     = "oauth2-proxy"
  public_url = "http://app.example.com:EDGE"
  sign_in    = ["op"]
  access {
    allow = ["anyone"]
  }
}

host "wiki.example.com" {
  compat     = "oauth2-proxy"
  public_url = "http://wiki.example.com:EDGE"
  sign_in    = ["op"]
  access {
    allow = ["email:bob@example.com"]
  }
}
"""


def of_site(name: str, lines: str) -> str:
    return f"server {{ listen 127.0.0.1:EDGE; server_name {name};\n{lines}\n}}\n"


async def test_sites_behind_that_nginx_are_signed_in_once_without_a_shared_cookie(
    front_of: Callable[..., Any],
) -> None:
    """A hand-off, too, goes by nothing but `/oauth2/`."""
    lines = NGINX_OF_OAUTH2_PROXY.replace("SIGN_IN", LED)
    only_its_own = lines[: lines.index("    location @oauth2_signin")]
    http = of_site("auth.example.com", only_its_own)
    http += of_site("app.example.com", lines) + of_site("wiki.example.com", lines)
    front: Front = await front_of(SEVERAL, "http://auth.example.com:EDGE/oauth2/callback", http=http)
    async with front.browser() as browser:
        page = await browser.get("/notes?a=b&c=d", follow=False)
        page = await led_on(browser, str(page.location) + "&login_hint=bob")
        assert (page.status, front.app.seen[-1].target) == (200, "/notes?a=b&c=d")
        wiki = await led_on(browser, f"{front.at('wiki.example.com')}/there")
        assert (wiki.status, front.app.seen[-1].target) == (200, "/there")
        assert front.app.seen[-1].one("x-email") == "bob@example.com"
        assert front.provider.counts()["POST /token"] == 1
        await browser.get(f"{front.at('wiki.example.com')}/oauth2/sign_out")
        assert (await browser.get("/x")).status == 302


async def led_on(browser: Browser, target: str) -> Page:
    """Where a browser ends that follows the page which stands behind nginx's 403: it leads on by itself."""
    page = await browser.get(target, follow=True)
    return await browser.get(page.headers["Refresh"].partition("url=")[2], follow=True)


# -- Vouch --------------------------------------------------------------------------------------

VOUCH = """
domain "example.com" {
  auth_host = "vouch.example.com"
  sso       = "cookie"
}

host "vouch.example.com" {
  compat     = "vouch"
  public_url = "http://vouch.example.com:EDGE"
}

host "app1.example.com" {
  compat     = "vouch"
  public_url = "http://app1.example.com:EDGE"
  sign_in    = ["op"]
  access {
    allow = ["domain:example.com"]
  }
}

host "app2.example.com" {
  compat     = "vouch"
  public_url = "http://app2.example.com:EDGE"
  sign_in    = ["op"]
  access {
    allow = ["email:bob@example.com"]
  }
}
"""

#: its README, for two sites, and Vouch behind the same nginx
NGINX_OF_VOUCH_SITE = """
    server {
        listen 127.0.0.1:EDGE;
        server_name SITE;
        auth_request /validate;
        location = /validate {
          proxy_pass http://127.0.0.1:GATEWAY/validate;
          proxy_set_header Host $http_host;
          proxy_pass_request_body off;
          proxy_set_header Content-Length "";
          auth_request_set $auth_resp_x_vouch_user $upstream_http_x_vouch_user;
          auth_request_set $auth_resp_jwt $upstream_http_x_vouch_jwt;
          auth_request_set $auth_resp_err $upstream_http_x_vouch_err;
          auth_request_set $auth_resp_failcount $upstream_http_x_vouch_failcount;
        }
        error_page 401 = @error401;
        location @error401 {
            return 302 http://vouch.example.com:EDGE/login?url=$scheme://$http_host$request_uri&vouch-failcount=$auth_resp_failcount&X-Vouch-Token=$auth_resp_jwt&error=$auth_resp_err;
        }
        location / {
          proxy_pass http://127.0.0.1:BACKEND;
          auth_request_set $auth_resp_x_vouch_user $upstream_http_x_vouch_user;
          proxy_set_header X-Vouch-User $auth_resp_x_vouch_user;
        }
    }
"""
NGINX_OF_VOUCH = """
    server {
        listen 127.0.0.1:EDGE;
        server_name vouch.example.com;
        location / {
          proxy_pass http://127.0.0.1:GATEWAY;
          proxy_set_header Host $http_host;
        }
    }
"""
SITES = "".join(
    NGINX_OF_VOUCH_SITE.replace("SITE", name) for name in ("app1.example.com", "app2.example.com")
)


@pytest.fixture
async def vouch(front_of: Callable[..., Any]) -> Front:
    front: Front = await front_of(VOUCH, "http://vouch.example.com:EDGE/auth", http=SITES + NGINX_OF_VOUCH)
    return front


async def test_two_sites_and_an_auth_host_behind_one_nginx_signed_in_once(vouch: Front) -> None:
    app1, app2 = vouch.at("app1.example.com"), vouch.at("app2.example.com")
    async with vouch.browser() as browser:
        first = await browser.get(f"{app1}/notes?a=b&c=d%20e;f=g&login_hint=x")
        assert (first.status, first.location.host) == (302, "vouch.example.com")
        led = await browser.get(first.location)
        page = await browser.get(str(led.location) + "&login_hint=bob", follow=True)
        assert (page.status, vouch.app.seen[-1].target) == (200, "/notes?a=b&c=d%20e;f=g&login_hint=x")
        assert vouch.app.seen[-1].all("x-vouch-user") == ["bob@example.com"]
        # The other site asks nobody anything.
        page = await browser.get(f"{app2}/there", follow=True)
        assert (page.status, vouch.app.seen[-1].target) == (200, "/there")
        assert vouch.provider.counts()["POST /token"] == 1
        # Signing out at the one host is signing out on all.
        out = await browser.get(vouch.at("vouch.example.com") + "/logout")
        assert str(out.location).startswith(f"{vouch.provider.issuer}/session/end?")
        for site in (app1, app2):
            assert (await browser.get(f"{site}/x")).location.host == "vouch.example.com"


async def test_who_is_not_allowed_on_one_site_sees_why_and_is_led_nowhere(vouch: Front) -> None:
    """Vouch says 401 to all, and nginx leads them round and round."""
    async with vouch.browser() as browser:
        led = await browser.get(str((await browser.get(f"{vouch.at('app1.example.com')}/")).location))
        page = await browser.get(str(led.location) + "&login_hint=alice", follow=True)
        assert page.status == 200
        assert (await browser.get(f"{vouch.at('app2.example.com')}/")).status == 403


async def test_a_session_that_counts_nowhere_is_led_round_a_few_times_and_then_told(vouch: Front) -> None:
    """The loop guard that Vouch has, and that never fires there."""
    url = f"{vouch.at('vouch.example.com')}/login?url={vouch.at('app1.example.com')}/x"
    async with vouch.browser() as browser:
        led = await browser.get(url)
        await browser.get(str(led.location) + "&login_hint=bob", follow=True)
        statuses = [(await browser.get(url)).status for _ in range(7)]
    assert statuses[:5] == [303] * 5
    assert statuses[5:] == [429] * 2


async def test_headers_that_a_client_writes_itself_open_nothing_behind_vouchs_nginx(vouch: Front) -> None:
    said = {
        "X-Vouch-User": "bob@example.com",
        "X-Vouch-Token": "x",
        "X-Forwarded-Host": "vouch.example.com",
        "X-Original-URL": f"{vouch.at('vouch.example.com')}/healthcheck",
        "X-Forwarded-Uri": "/healthcheck",
        "Authorization": "Basic eDp5",
    }
    async with vouch.browser() as browser:
        for headers in (*({name: value} for name, value in said.items()), said):
            async with browser.session.get(
                f"{vouch.at('app1.example.com')}/x", headers=headers, allow_redirects=False
            ) as answer:
                assert answer.status in (302, 403), headers
    assert vouch.app.seen == []


async def test_fixation_a_session_that_somebody_planted_is_not_the_one_that_is_signed_in(
    vouch: Front,
) -> None:
    """oauth2-proxy keeps the id that a browser brings along."""
    site, login = vouch.at("app1.example.com"), vouch.at("vouch.example.com")
    planted: SimpleCookie = SimpleCookie()
    async with vouch.browser() as mallory, vouch.browser() as alice:
        name = f"vestibule-{vouch.edge_port}-domain"
        planted[name] = "A" * 43
        planted[name].update({"domain": "example.com", "path": "/"})
        alice.session.cookie_jar.update_cookies(planted, URL(site))
        led = await alice.get(f"{login}/login?url={site}/x")
        assert (await alice.get(str(led.location) + "&login_hint=alice", follow=True)).status == 200
        held = {one.key: one.value for one in alice.session.cookie_jar}
        assert held[name] != planted[name].value
        mallory.session.cookie_jar.update_cookies(planted, URL(site))
        assert (await mallory.get(f"{site}/x")).status == 302


async def test_no_token_is_printed_on_a_page_or_stands_in_an_address(vouch: Front) -> None:
    """Vouch prints its JWT where no destination was asked for, and nginx puts it into the address of the sign-in."""
    login = vouch.at("vouch.example.com")
    async with vouch.browser() as browser:
        pages = [await browser.get(f"{vouch.at('app1.example.com')}/x")]
        led = await browser.get(pages[0].location)
        await browser.get(str(led.location) + "&login_hint=bob", follow=True)
        handles = {one.value for one in browser.session.cookie_jar if one.key.startswith("vestibule")}
        pages += [
            await browser.get(f"{login}{path}", follow=True)
            for path in ("/auth", "/auth/x/?state=x", "/@/account")
        ]
        pages.append(await browser.get(f"{login}/logout", **{"Sec-Fetch-Site": "cross-site"}))
        # What nginx hands the app is not the gateway's to say: there, `Cookie` goes on as it came.
        said = "\n".join(f"{page.url} {page.headers.get('Location', '')} {page.text}" for page in pages)
    assert handles
    assert not [handle for handle in handles if handle in said]
    assert "eyJ" not in said

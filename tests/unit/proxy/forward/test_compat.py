"""What edges of oauth2-proxy, Vouch and Nuon ask, and what each is answered: by path, by who asks, by what is told."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest
from msgspec.structs import replace

from tests.helpers.messages import Message
from tests.helpers.transport import FakeLoop
from tests.unit.proxy.plane import ANYONE, PUBLIC, Plane, host, request, route
from vestibule.core.domain import Domain
from vestibule.core.inject import FAMILIES
from vestibule.core.policy import policy_of
from vestibule.core.route import Backend, Host, RouteTable, Telling
from vestibule.core.rule import rule
from vestibule.model import Bounds, Caller, Identity
from vestibule.proxy.forward.compat import UNTOLD

EDGE = ("127.0.0.1", 40000)
STRANGER = ("127.0.0.2", 40000)
ASKED = Backend()
ADMINS = (rule("email", "root@app.example"),)


def site(name: bytes, *products: str, routes: Iterable = (), allow=ANYONE, backend: Backend = ASKED) -> Host:
    made = host(name, route(b"", allow, backend=backend), *routes)
    telling = Telling(families=products)
    return replace(
        made,
        compat=products,
        families=products,
        routes={prefix: replace(one, telling=telling) for prefix, one in made.routes.items()},
    )


def part(prefix: bytes, allow, **more):
    return route(prefix, allow, backend=ASKED, **more)


BOTH = ("oauth2-proxy", "vouch")
PARTS = (
    part(b"/public", PUBLIC),
    part(b"/admin", ADMINS),
    part(b"/get", PUBLIC, methods=frozenset({b"GET"})),
    replace(part(b"/api", ANYONE), preflight=policy_of(allow=PUBLIC)),
)
NEAR = policy_of(allow=(rule("public"),), all=(rule("network", "127.0.0.0/8"),))
HOSTS = (
    site(b"app.example", *BOTH),
    site(b"nuon.example", "nuon"),
    site(b"parts.example", *BOTH, routes=PARTS),
    site(b"open.example", *BOTH, allow=PUBLIC),
    site(b"root.example", *BOTH, allow=ADMINS),
    site(b"plain.example"),
    replace(
        site(b"auth.example", *BOTH, backend=Backend(internal="account")),
    ),
    replace(site(b"near.example", *BOTH), routes={b"": replace(part(b"", PUBLIC), policy=NEAR)}),
)
PATHS = {
    "oauth2-proxy": b"/oauth2/auth",
    "vouch": b"/validate",
    "vouch on Kubernetes": b"/_external-auth-Lw-Prefix",
}
ALLOWED = {b"/oauth2/auth": 202, b"/validate": 200, b"/_external-auth-Lw-Prefix": 200}
PATH = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())


class Front:
    """The plane, and an edge that asks it on the listener for people."""

    def __init__(self, loop: FakeLoop) -> None:
        self.plane = Plane(loop, trusted=["127.0.0.1"], hosts=HOSTS)

    def ask(self, path: bytes, *lines: bytes, host: bytes = b"app.example", peer=EDGE, **more) -> Message:
        return self.plane.get(path, *lines, host=host, peer=peer, **more)

    def sign_in(self, at: str = "app.example", **fields) -> str:
        return self.plane.sign_in("ada@app.example", at, **fields)

    @property
    def refused(self) -> str:
        return str(self.plane.log_lines[-1].get("detail"))


@pytest.fixture
def front(loop: FakeLoop) -> Front:
    return Front(loop)


def uri(path: bytes) -> bytes:
    return b"X-Forwarded-Uri: " + path


# -- path by state ------------------------------------------------------------------------------


@PATH
@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST", b"PUT", b"OPTIONS"])
def test_who_is_signed_in_passes_by_any_method_of_asking(front: Front, path: bytes, method: bytes):
    """HAProxy's Lua asks by HEAD, which Vouch answers with 405."""
    answer = front.ask(path, cookie=front.sign_in(), method=method)
    assert (answer.status, answer.body) == (ALLOWED[path], b"")


@pytest.mark.parametrize(
    ("path", "at", "said", "body"),
    [
        (b"/oauth2/auth", b"app.example", {}, b"Unauthorized\n"),
        (b"/validate", b"app.example", {b"x-vouch-error": b"sign_in_required"}, b"sign_in_required\n"),
        (b"/validate", b"nuon.example", {b"x-nuon-auth-success": b"false"}, b""),
    ],
)
def test_who_is_not_signed_in_is_told_so_and_never_led_anywhere(front, path, at, said, body):
    navigation = (b"Accept: text/html", b"Sec-Fetch-Mode: navigate")
    for lines in ((), navigation):
        answer = front.ask(path, *lines, host=at)
        assert (answer.status, answer.body) == (401, body)
        fields = {name.lower(): value for name, value in answer.fields}
        assert said.items() <= fields.items()
        assert b"location" not in fields
        assert fields[b"cache-control"].startswith(b"no-store")
        assert b"www-authenticate" in fields


@pytest.mark.parametrize(
    ("path", "said", "body"),
    [
        (b"/oauth2/auth", {}, b"Forbidden\n"),
        (b"/validate", {b"x-vouch-error": b"no_rule"}, None),
    ],
)
def test_who_is_signed_in_and_not_allowed_is_refused_for_good(front, path, said, body):
    """Both say 401 there, and their nginx configurations lead people round and round."""
    answer = front.ask(path, host=b"root.example", cookie=front.sign_in("root.example"))
    assert answer.status == 403
    assert body is None or answer.body == body
    fields = {name.lower(): value for name, value in answer.fields}
    assert said.keys() <= fields.keys()


@PATH
def test_a_public_host_lets_nobody_in_particular_pass(front, path):
    answer = front.ask(path, host=b"open.example")
    assert answer.status == ALLOWED[path]
    assert {value for name, value in answer.fields if name.startswith((b"X-Auth-", b"X-Vouch-"))} == {b""}


@PATH
def test_while_the_store_is_away_nobody_passes_and_no_cookie_is_touched(front, path):
    front.plane.away.is_away = True
    answer = front.ask(path, cookie=b"h" * 43)
    assert answer.status == 503
    assert not [value for name, value in answer.fields if name.lower() == b"set-cookie"]


# -- headers ------------------------------------------------------------------------------------


def test_oauth2_proxys_edge_is_told_who_asks_by_every_name(front):
    cookie = front.sign_in(login="ada", groups=("staff", "a,b"), name="Ada")
    answer = front.ask(b"/oauth2/auth", cookie=cookie)
    fields = dict(answer.fields)
    told = {name: value for name, value in fields.items() if name.startswith((b"X-Auth-Request-", b"GAP"))}
    assert told == {
        b"X-Auth-Request-User": b"1",
        b"X-Auth-Request-Email": b"ada@app.example",
        b"X-Auth-Request-Groups": b"staff,a%2Cb",
        b"X-Auth-Request-Preferred-Username": b"ada",
        b"GAP-Auth": b"ada@app.example",
    }


def test_vouchs_edge_is_told_who_asks(front):
    fields = dict(front.ask(b"/validate", cookie=front.sign_in(groups=("a", "b"))).fields)
    assert (fields[b"X-Vouch-User"], fields[b"X-Vouch-Success"]) == (b"ada@app.example", b"true")
    assert fields[b"X-Vouch-IdP-Claims-Groups"] == b'"a","b"'
    assert not {b"X-Vouch-IdP-AccessToken", b"X-Vouch-IdP-IdToken", b"X-Vouch-Jwt"} & fields.keys()


def test_nuons_edge_is_told_who_asks(front):
    fields = dict(front.ask(b"/validate", host=b"nuon.example", cookie=front.sign_in("nuon.example")).fields)
    told = {name: value for name, value in fields.items() if name.startswith(b"X-Nuon-")}
    assert told == {
        b"X-Nuon-Auth-Success": b"true",
        b"X-Nuon-Auth-User": b"u1",
        b"X-Nuon-Auth-Email": b"ada@app.example",
    }


@PATH
@pytest.mark.parametrize("at", [b"app.example", b"open.example"])
def test_every_name_is_there_so_that_an_edge_overwrites_them_all(front, path, at):
    """Attack H3, GHSA-7r4p: names that are absent are the client's own behind Caddy."""
    answer = front.ask(path, host=at, cookie=front.sign_in(at.decode()))
    told = {name for name, _ in answer.fields}
    for family in ("own", *BOTH):
        assert {name.encode() for name, _ in FAMILIES[family].headers} <= told
    assert not {b"Cookie", b"Authorization"} & told


@PATH
def test_a_credential_of_a_callers_own_counts_and_is_not_handed_on(front, path):
    front.plane.callers.known[b"Bearer t"] = Caller(id="c1", kind="jwt", user_id="u1")
    takes = tuple(replace(one, takes_callers=True, routes={b"": part(b"", PUBLIC)}) for one in HOSTS[:1])
    front.plane.gateway.use(type(front.plane.judge._table)(takes))
    answer = front.ask(path, b"Authorization: Bearer t")
    assert answer.status == ALLOWED[path]
    assert b"Bearer" not in b"".join(value for _, value in answer.fields)


@PATH
def test_a_page_that_asks_reads_no_cookie_of_the_apps(front, path):
    """Attack: the documented configurations leave the address open, and `HttpOnly` is to keep cookies from scripts."""
    cookie = b"Cookie: app=secret; vestibule-80=" + front.sign_in().encode()
    answer = front.ask(path, cookie, b"Authorization: Basic c2VjcmV0")
    assert answer.status == ALLOWED[path]
    assert not {b"secret", b"c2VjcmV0"} & set(b"\n".join(value for _, value in answer.fields).split(b"\n"))
    assert b"secret" not in b"".join(value for _, value in answer.fields)


# -- who may ask, and where ---------------------------------------------------------------------


@PATH
def test_who_is_no_edge_is_told_the_setting_and_nothing_else(front, path):
    cookie = front.sign_in()
    answer = front.ask(path, uri(b"/"), cookie=cookie, peer=STRANGER)
    assert answer.status == 403
    assert b"gateway.trusted_proxies, where 127.0.0.2 does not" in answer.body
    assert len(answer.fields) == 3


@pytest.mark.parametrize(
    ("at", "path"),
    [
        (b"plain.example", b"/oauth2/auth"),
        (b"plain.example", b"/validate"),
        (b"nuon.example", b"/oauth2/auth"),
        (b"app.example", b"/oauth2/auth/"),
        (b"app.example", b"/oauth2/authx"),
        (b"app.example", b"/Validate"),
    ],
)
def test_nothing_is_asked_where_the_product_has_no_such_path(front, at, path):
    answer = front.ask(path, host=at, cookie=front.sign_in(at.decode()))
    assert not [name for name, _ in answer.fields if name.startswith((b"X-Auth-", b"X-Vouch-"))]


@pytest.mark.parametrize("path", [b"/oauth2//auth", b"/x/../oauth2/auth", b"/oauth2/%61uth", b"//validate"])
def test_another_spelling_of_the_asking_path_asks_nothing(front, path):
    answer = front.ask(path, cookie=front.sign_in())
    assert answer.status == 400


# -- faults that are not reproduced -------------------------------------------------------------


@PATH
@pytest.mark.parametrize(
    "at", [b"app.example.evil.test", b"evil-app.example", b"evil.test", b"app.exampl", b"example"]
)
def test_a_substring_of_host_is_no_match(front, path, at):
    answer = front.ask(path, host=at, cookie=front.sign_in())
    assert answer.status == 421


@PATH
def test_a_success_is_kept_for_no_other_host(front, path):
    """Vouch's cache knows the token alone, and 202 for any Host."""
    cookie = front.sign_in()
    for _ in range(3):
        assert front.ask(path, cookie=cookie).status == ALLOWED[path]
        assert front.ask(path, host=b"root.example", cookie=cookie).status == 401
        assert front.ask(path, host=b"nobody.example", cookie=cookie).status == 421


@PATH
def test_a_success_is_kept_no_longer_than_the_session(front, path):
    """Vouch's token is good until it expires, whoever signed out."""
    cookie = front.sign_in()
    for _ in range(3):
        assert front.ask(path, cookie=cookie).status == ALLOWED[path]
    front.plane.loop.wait(front.plane.sessions.end(front.plane.session.id))
    assert front.ask(path, cookie=cookie).status == 401


@PATH
@pytest.mark.parametrize(
    "lines",
    [
        (b"X-Real-IP: 127.0.0.1",),
        (b"X-Forwarded-For: 127.0.0.1",),
        (b"X-ProxyUser-IP: 127.0.0.1", b"CF-Connecting-IP: 127.0.0.1", b"Forwarded: for=127.0.0.1"),
    ],
)
def test_a_spoofed_address_is_nobodys(front, path, lines):
    """oauth2-proxy's trusted-ip: nginx hands on what the client wrote, and comes from there itself."""
    assert front.ask(path, *lines, host=b"near.example").status == 403


@PATH
@pytest.mark.parametrize(
    "lines",
    [
        (b"X-Auth-Request-User: root", b"X-Vouch-User: root", b"X-Vouch-Success: true", b"GAP-Auth: root"),
        (b"X-Auth-Request-Email: root@app.example",),
        (b"X-Vouch-Token: x", b"X-Forwarded-Email: root@app.example"),
    ],
)
def test_spoofed_headers_say_nothing(front, path, lines):
    assert front.ask(path, *lines).status == 401
    answer = front.ask(path, *lines, cookie=front.sign_in())
    assert b"root" not in b"".join(value for _, value in answer.fields)


@PATH
@pytest.mark.parametrize(
    "credential",
    [(b"Authorization: Basic ",), (b"Authorization: Anything ",), (b"X-Vouch-Token: ",)],
    ids=["Basic", "any scheme", "header"],
)
def test_a_sessions_handle_is_good_in_its_cookie_alone(front, path, credential):
    handle = front.sign_in().encode()
    assert front.ask(path, credential[0] + handle).status == 401
    assert front.ask(path + b"?access_token=" + handle).status == 401


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ([uri(b"/get/x")], 403),
        ([uri(b"/get/x"), b"X-Forwarded-Method: GET"], 202),
        ([uri(b"/get/x"), b"X-Forwarded-Method: POST"], 403),
        ([uri(b"/get/x"), b"X-Forwarded-Method: get"], 403),
        ([b"X-Original-URL: https://parts.example/get/x", b"X-Original-Method: GET"], 202),
        ([b"X-Original-URL: https://parts.example/get/x", b"X-Original-Method: POST"], 403),
        ([b"X-Original-URL: https://parts.example/get/x"], 403),
    ],
)
def test_a_get_only_rule_admits_no_post_and_no_method_that_is_not_told(front, told, status):
    """oauth2-proxy looks at the method of the question, which is always GET."""
    assert front.ask(b"/oauth2/auth", *told, host=b"parts.example").status == status
    assert front.ask(b"/validate", *told, host=b"parts.example").status == (200 if status == 202 else status)


def test_nobodys_own_options_is_a_preflight(front):
    """Threat: `X-Forwarded-Method: OPTIONS`, which oauth2-proxy's nginx hands on, before a GET."""
    asks = (b"Origin: https://x.example", b"Access-Control-Request-Method: GET")
    told = (uri(b"/api/x"), b"X-Forwarded-Method: OPTIONS", *asks)
    assert front.ask(b"/oauth2/auth", *told, host=b"parts.example").status == 401


# -- what is asked about ------------------------------------------------------------------------


@pytest.mark.parametrize("path", [b"/oauth2/auth", b"/validate"])
@pytest.mark.parametrize(
    ("told", "status"),
    [
        ([uri(b"/public/x")], 200),
        ([uri(b"/public")], 200),
        ([uri(b"/publicity")], 401),
        ([uri(b"/x?y=/public/")], 401),
        ([uri(b"/admin/x")], 401),
        ([b"X-Original-URL: https://parts.example/public/x?a=b"], 200),
        ([b"X-Original-URL: http://parts.example:8080/public/x"], 200),
        ([b"X-Original-URL: https://parts.example/admin/x"], 401),
        ([b"X-Original-URL: https://parts.example"], 401),
        ([uri(b"/public/x"), b"X-Forwarded-Host: parts.example", b"X-Forwarded-Proto: https"], 200),
    ],
)
def test_the_path_that_is_told_decides(front, path, told, status):
    answer = front.ask(path, *told, host=b"parts.example")
    assert answer.status == (ALLOWED[path] if status == 200 else status)


@pytest.mark.parametrize("path", [b"/oauth2/auth", b"/validate"])
@pytest.mark.parametrize(
    ("told", "why"),
    [
        ([], "the host has rules for some of its paths"),
        ([b"X-Forwarded-Method: GET"], "the host has rules for some of its paths"),
        ([b"X-Original-Method: GET"], "the host has rules for some of its paths"),
        ([uri(b"/public"), b"X-Original-URL: https://parts.example/"], "both say what is asked about"),
        ([uri(b"/public"), b"X-Original-Method: GET"], "both say what is asked about"),
        ([uri(b"/public"), uri(b"/public")], "x-forwarded-uri came twice"),
        ([b"X-Forwarded-Uri:"], "x-forwarded-uri came twice, or is empty"),
        ([uri(b"/public"), b"X-Forwarded-Host: open.example"], "Host names another host"),
        ([b"X-Original-URL: https://open.example/"], "Host names another host"),
        ([b"X-Original-URL: ftp://parts.example/public"], "the scheme is no scheme"),
        ([b"X-Original-URL: /public"], "the scheme is no scheme"),
    ],
)
def test_what_an_edge_does_not_say_or_says_in_two_ways_is_refused(front, path, told, why):
    cookie = front.sign_in("parts.example")
    assert front.ask(path, *told, host=b"parts.example", cookie=cookie).status == 403
    assert why in front.refused


@pytest.mark.parametrize("path", [b"/oauth2/auth", b"/validate"])
@pytest.mark.parametrize(
    "target", [b"//public/x", b"/public/../admin", b"/public/%2e%2e/admin", b"public", b"/a b", b"/public#x"]
)
def test_a_path_that_is_not_canonical_is_refused(front, path, target):
    assert front.ask(path, uri(target), host=b"parts.example").status in (400, 403)


@pytest.mark.parametrize("path", [b"/oauth2/auth", b"/validate"])
def test_where_all_paths_have_one_rule_none_needs_to_be_told(front, path):
    assert front.ask(path, cookie=front.sign_in()).status == ALLOWED[path]
    record = front.plane.traffic.ring[-1]
    assert (record.method, record.path, record.address) == (UNTOLD, b"/", "")


def test_who_opens_the_asking_path_themselves_asks_whether_they_are_signed_in(front):
    """Its nginx configuration hands it on, with itself as the path asked about."""
    assert front.ask(b"/oauth2/auth", uri(b"/oauth2/auth?x")).status == 401
    assert front.ask(b"/oauth2/auth", uri(b"/oauth2/auth?x"), cookie=front.sign_in()).status == 202


def test_the_gateways_own_pages_are_asked_about_by_nobody(front):
    for target in (b"/oauth2/sign_in", b"/oauth2/@/account", b"/@/account", b"/login"):
        assert front.ask(b"/oauth2/auth", uri(target), cookie=front.sign_in()).status == 403


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ([uri(b"/x"), b"X-Forwarded-Host: root.example"], 401),
        ([uri(b"/x"), b"X-Forwarded-Host: open.example"], 202),
        ([b"X-Original-URL: https://open.example/x", b"X-Original-Method: GET"], 202),
        ([b"X-Forwarded-Host: open.example"], 403),
        ([uri(b"/x"), b"X-Forwarded-Host: nobody.example"], 403),
    ],
)
def test_a_host_without_an_app_is_asked_about_others(front, told, status):
    """Traefik and ingress-nginx ask at an address of the gateway's own."""
    assert front.ask(b"/oauth2/auth", *told, host=b"auth.example").status == status


def test_a_question_is_read_anew_when_the_hosts_have_changed(front):
    cookie = front.sign_in("app.example")
    for _ in range(3):
        assert front.ask(b"/validate", cookie=cookie).status == 200
    others = site(b"app.example", *BOTH, routes=PARTS)
    front.plane.gateway.use(type(front.plane.judge._table)((others,)))
    assert front.ask(b"/validate", cookie=cookie).status == 403


def test_on_hosts_that_people_sign_in_for_elsewhere_only_the_asking_path_is_taken(loop):
    domain = Domain(name="example", auth=b"vouch.example", shares_cookie=True)
    led = replace(site(b"app.example", "vouch"), domain=domain)
    plane = Plane(loop, trusted=["127.0.0.1"], hosts=(led,))
    for target in (b"/login", b"/logout", b"/auth", b"/healthcheck"):
        told = b"X-Original-URL: https://app.example" + target
        assert plane.get(b"/validate", told, host=b"app.example", peer=EDGE).status == 401


# -- oauth2-proxy: what the question demands ----------------------------------------------------


@pytest.mark.parametrize(
    ("query", "status"),
    [
        (b"allowed_groups=staff", 202),
        (b"allowed_groups=x,staff", 202),
        (b"allowed_groups=x&allowed_groups=staff", 202),
        (b"allowed_groups=x", 403),
        (b"allowed_groups=Staff", 403),
        (b"allowed_groups=", 403),
        (b"allowed_groups=,", 403),
        (b"allowed_emails=ada@app.example", 202),
        (b"allowed_emails=ADA@app.example,x@y", 202),
        (b"allowed_emails=root@app.example", 403),
        (b"allowed_email_domains=app.example", 202),
        (b"allowed_email_domains=.example", 202),
        (b"allowed_email_domains=*.example", 202),
        (b"allowed_email_domains=.app.example", 202),
        (b"allowed_email_domains=example", 403),
        (b"allowed_email_domains=pp.example", 403),
        (b"allowed_email_domains=.pp.example", 403),
        (b"allowed_groups=staff&allowed_emails=root@app.example", 403),
        (b"allowed_groups=staff&allowed_email_domains=app.example&allowed_emails=ada@app.example", 202),
        (b"allowed_group=staff", 403),
        (b"allowedGroups=staff", 403),
        (b"Allowed_groups=x", 403),
        (b"unrelated=x", 202),
        (b"allowed_groups=%ff", 403),
    ],
)
def test_what_the_question_demands_must_hold_too(front, query, status):
    cookie = front.sign_in(groups=("staff",))
    for _ in range(3):
        assert front.ask(b"/oauth2/auth?" + query, cookie=cookie).status == status
    assert front.ask(b"/oauth2/auth?" + query).status in (401, 403)


def test_nobody_meets_a_demand_on_a_public_path_either(front):
    assert front.ask(b"/oauth2/auth", host=b"open.example").status == 202
    assert front.ask(b"/oauth2/auth?allowed_groups=staff", host=b"open.example").status == 401


def test_a_demand_is_no_way_round_the_rules(front):
    cookie = front.sign_in("root.example")
    asked = b"/oauth2/auth?allowed_emails=ada@app.example"
    assert front.ask(asked, host=b"root.example", cookie=cookie).status == 403


# -- what reaches the pages ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "wanted"),
    [
        ([b"X-Auth-Request-Redirect: /a"], ("/a",)),
        ([b"X-Auth-Request-Redirect: https://app.example/a?b"], ("https://app.example/a?b",)),
        ([uri(b"/u")], ("/u",)),
        (
            [uri(b"/u"), b"X-Forwarded-Host: open.example", b"X-Forwarded-Proto: https"],
            ("https://open.example/u", "/u"),
        ),
        ([uri(b"/u"), b"X-Forwarded-Host: app.example", b"X-Forwarded-Proto: https"], ("/u",)),
        ([b"X-Auth-Request-Redirect: /a", uri(b"/u")], ("/a", "/u")),
        ([], ()),
    ],
)
def test_a_page_is_told_where_the_edge_says_the_person_wanted_to_go(front, lines, wanted):
    front.ask(b"/oauth2/sign_in", *lines)
    front.ask(b"/oauth2/sign_in", *lines, peer=STRANGER)
    told, untold = front.plane.control.visits
    assert (told.wanted, told.root) == (wanted, "/oauth2")
    assert untold.wanted == ()


@pytest.mark.parametrize(
    ("path", "root"),
    [
        (b"/oauth2/@/signin", "/oauth2"),
        (b"/@/signin", ""),
        (b"/login", ""),
        (b"/oauth2/@google/x", "/oauth2"),
    ],
)
def test_a_page_knows_by_which_way_it_was_reached(front, path, root):
    front.ask(path, peer=STRANGER)
    assert front.plane.control.visits[-1].root == root


def test_paths_below_the_root_that_are_nobodys_are_the_apps(front):
    """`/oauth2/@bob/x`: no client of that name."""
    for path in (b"/oauth2/@bob/x", b"/oauth2/x", b"/oauth2/@"):
        front.ask(path, peer=STRANGER)
    assert front.plane.control.visits == []


@pytest.mark.parametrize(
    ("path", "status"),
    [(b"/ping", 200), (b"/ready", 200), (b"/healthcheck", 200), (b"/@/healthz", 200), (b"/login", 421)],
)
def test_probes_are_answered_under_whatever_name_they_have(front, path, status):
    assert front.ask(path, host=b"10.0.0.7", peer=STRANGER).status == status


def test_without_such_hosts_no_probe_of_theirs_is_answered(loop):
    assert Plane(loop).get(b"/ping", host=b"10.0.0.7").status == 421


def test_what_is_refused_is_logged_with_its_reason(front):
    front.ask(b"/validate", cookie=front.sign_in("parts.example"), host=b"parts.example")
    line = front.plane.log_lines[-1]
    assert (line["code"], line["listener"]) == ("bad_question", "forward_auth")
    assert json.dumps(line)


def test_the_bytes_of_a_question_are_a_request_like_any_other(front):
    answer = front.plane.exchange(request(b"/validate", b"Content-Length: x"), peer=EDGE)
    assert answer.status == 400


# -- what a client gains by knowing that edge's configuration ------------------------------------


@PATH
@pytest.mark.parametrize(
    "bounds",
    [
        Bounds(prefixes=(b"/api",)),
        Bounds(methods=frozenset({b"GET"})),
        Bounds(host="app.example", prefixes=(b"/",)),
    ],
    ids=["paths", "methods", "host and paths"],
)
def test_o11_a_token_for_some_paths_or_methods_is_good_for_none_that_are_not_told_for_sure(
    front, path, bounds
):
    """Threat: `X-Forwarded-Uri: /api`, which the documented nginx hands on, with a request for something else."""
    identity = Identity(client="google", issuer="google", subject="ada")
    token = Caller(id="t", kind="app_token", identities=(identity,), user_id="u1", bounds=bounds)
    site_ = replace(site(b"app.example", *BOTH), takes_callers=True)
    front.plane.loop.run(front.plane.gateway.use, RouteTable((site_,)))
    front.plane.callers.known[b"Bearer t"] = token
    front.plane.callers.known[b"Bearer whole"] = replace(token, bounds=Bounds(host="app.example"))
    for lines in ((), (uri(b"/api/x"), b"X-Forwarded-Method: GET"), (uri(b"/api"),)):
        assert front.ask(path, b"Authorization: Bearer t", *lines).status == 403
    assert front.ask(path, b"Authorization: Bearer whole").status == ALLOWED[path]


@PATH
def test_h9_what_only_a_backend_is_to_have_is_not_told_at_an_address_that_stands_open(front, path):
    """Threat: a page that asks there itself, as the documented configurations let it, and reads the handle."""
    handle = front.sign_in()
    for _again in range(3):
        answer = front.ask(path, cookie=handle)
        assert answer.status == ALLOWED[path]
        fields = {name.lower(): value for name, value in answer.fields}
        assert (fields[b"proxy-session"], fields[b"proxy-assertion"]) == (b"", b"")
        assert fields[b"user-email"] == b"ada@app.example"

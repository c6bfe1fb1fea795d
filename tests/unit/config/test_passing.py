"""What hosts and routes say of how requests pass: faults with their places, and the values made of them."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from tests.unit.config.conftest import GOOGLE, Desk
from vestibule.config.compile import compile_config
from vestibule.core.passage import Passage
from vestibule.core.route import Host, Route, Trust
from vestibule.core.template import Person
from vestibule.model import Identity
from vestibule.protocol import url

HOST = 'host "app.example.com" {\n  backend = "localhost:3000"\n  access { allow = ["public"] }\n'
TLS = 'host "app.example.com" {\n  backend = "https://localhost:3000"\n  access { allow = ["public"] }\n'


def host_of(desk: Desk, inside: str, *, start: str = HOST) -> Host:
    (desk.folder / "public").mkdir(exist_ok=True)
    found = compile_config(desk.load(start + inside + "\n}\n")).table.host(b"app.example.com")
    assert found is not None
    return found


def passage_of(desk: Desk, inside: str, path: bytes = b"/", *, start: str = HOST) -> Passage:
    return host_of(desk, inside, start=start).route(path).passage or Passage()


def files(desk: Desk) -> None:
    """Authorities, certificates and keys, also ones that don't fit."""
    ca = trustme.CA()
    for name in ("gateway", "other"):
        issued = ca.issue_cert(f"{name}.example")
        issued.private_key_pem.write_to_path(str(desk.folder / f"{name}.key"))
        issued.cert_chain_pems[0].write_to_path(str(desk.folder / f"{name}.pem"))
        issued.private_key_and_cert_chain_pem.write_to_path(str(desk.folder / f"{name}.both.pem"))
        for made in desk.folder.glob(f"{name}.*"):
            made.chmod(0o600)
    ca.cert_pem.write_to_path(str(desk.folder / "ca.pem"))
    (desk.folder / "empty.pem").write_text("\n")
    (desk.folder / "words.pem").write_text("no certificate\n")
    (desk.folder / "bytes.pem").write_bytes(b"\xff\xfe")


# -- what is wrong --------------------------------------------------------------------------------

FAULTS = {
    "a name nobody knows": (
        'header "X-Team" { value = "{team}" }',
        "v.hcl:4:27: `{team}` is no value; there are {claim.NAME}, {user.id}",
    ),
    "half a place": ('header "X-Team" { value = "{user.id" }', "v.hcl:4:27: a `{` without its other half"),
    "a provider nobody has": (
        'header "X-Team" { value = "{claim.okta/team}" }',
        "v.hcl:4:27: `{claim.okta/team}`: there is no provider `okta` on this host",
    ),
    "a line end": (
        'header "X-Team" { value = "a\\r\\nX-Admin: 1" }',
        "v.hcl:4:27: can't stand in a header: visible ASCII",
    ),
    "beyond ASCII": ('answer_header "X-Team" { value = "Zoë" }', "v.hcl:4:34: can't stand in a header"),
    "neither": ('header "X-Team" { }', 'v.hcl:4:1: header "X-Team" needs one of the two'),
    "both": (
        'header "X-Team" {\n value = "a"\n remove = true\n}',
        'v.hcl:4:1: header "X-Team" needs one of the two',
    ),
    "nothing": ('header "X-Team" { value = "" }', "v.hcl:4:27: `value` is empty"),
    "no header": ('header "X Team" { value = "a" }', "v.hcl:4:8: `X Team` is no header name"),
    "twice": (
        'header "X-Team" { value = "a" }\nheader "x_team" { remove = true }',
        "v.hcl:5:8: `x_team` stands here twice; the first is at v.hcl:4",
    ),
    "the gateway's own": (
        'header "User_Id" { value = "a" }',
        "v.hcl:4:8: `User_Id` is set by the gateway; it can only be removed",
    ),
    "Host": ('header "Host" { value = "a" }', "v.hcl:4:8: `Host` is what host_header is for"),
    "framing": (
        'header "Content-Length" { remove = true }',
        "v.hcl:4:8: `Content-Length` belongs to the connection",
    ),
    "an answer's framing": (
        'answer_header "Transfer-Encoding" { remove = true }',
        "v.hcl:4:15: `Transfer-Encoding` says how the answer is read",
    ),
    "an answer's cookie": (
        'answer_header "Set-Cookie" { value = "__Host-vestibule=x" }',
        "v.hcl:4:15: `Set-Cookie` can only be removed",
    ),
    "no path": ('rewrite = "v2"', 'v.hcl:4:11: `v2` is no path: it begins with a slash, "/v2"'),
    "a path with a query": ('rewrite = "/v2?x=1"', "v.hcl:4:11: `/v2?x=1` is no path"),
    "a path with a parameter": ('rewrite = "/v2;x"', "v.hcl:4:11: `/v2;x` is no path"),
    "a path above itself": (
        'rewrite = "/v2/../x"',
        "v.hcl:4:11: `/v2/../x` is not written as paths are sent: /x",
    ),
    "a path with a slash inside": ('rewrite = "/a%2Fb"', "v.hcl:4:11: `/a%2Fb` is no path: target has"),
    "a path of the request's": ('rewrite = "/v2{path}"', "v.hcl:4:11: `{path}` can't be part of a path"),
    "a path of a list": (
        'rewrite = "/{user.groups}"',
        "v.hcl:4:11: `{user.groups}` can't be part of a path",
    ),
    "a path with an unknown name": ('rewrite = "/{tenant}"', "v.hcl:4:11: `{tenant}` is no value"),
    "a prefix nobody has": ("strip_prefix = true", "v.hcl:4:16: has no effect: this host has no route"),
    "no span": ('timeout = "soon"', "v.hcl:4:11: `timeout` is a span of time"),
    "no Host": ('host_header = "a b"', "v.hcl:4:15: `a b` is no name"),
    "no origin": ('origins = ["*"]', "v.hcl:4:12: `origins` is scheme and host alone"),
    "an origin with a path": (
        'origins = ["https://a.example/x"]',
        "v.hcl:4:12: `origins` is scheme and host",
    ),
    "TLS where there is none": (
        'backend_name = "a.example"',
        "v.hcl:4:16: has no effect: the backend is not reached by https",
    ),
}


@pytest.mark.parametrize(("inside", "said"), FAULTS.values(), ids=FAULTS)
def test_what_cannot_work_is_a_fault_at_its_place(desk: Desk, inside: str, said: str):
    faults = desk.faults(HOST + inside + "\n}\n")
    assert len(faults) == 1, faults
    assert faults[0].startswith(said)


TLS_FAULTS = {
    "no such file": ('backend_ca = "none.pem"', "v.hcl:4:14: can't read none.pem: No such file"),
    "an empty file": ('backend_ca = "empty.pem"', "v.hcl:4:14: empty.pem is empty"),
    "no certificate": ('backend_ca = "words.pem"', "v.hcl:4:14: words.pem holds no certificates in PEM"),
    "bytes": ('backend_ca = "bytes.pem"', "v.hcl:4:14: bytes.pem is not PEM"),
    "a key that doesn't fit": (
        'backend_certificate = "gateway.pem"\nbackend_key = "other.key"',
        "v.hcl:4:23: gateway.pem can't be shown",
    ),
    "a certificate without key": (
        'backend_certificate = "gateway.pem"',
        "v.hcl:4:23: gateway.pem can't be shown: the file has no certificate and its key",
    ),
    "a key without certificate": (
        'backend_key = "gateway.key"',
        "v.hcl:4:15: is a key without a certificate",
    ),
    "no name": ('backend_name = "a b"', "v.hcl:4:16: `a b` is no host name"),
    "checked and not checked": (
        'insecure = true\nbackend_ca = "ca.pem"',
        "v.hcl:5:14: with `insecure = true` no certificate is checked",
    ),
}


@pytest.mark.parametrize(("inside", "said"), TLS_FAULTS.values(), ids=TLS_FAULTS)
def test_a_file_that_cannot_work_is_a_fault_at_its_place(desk: Desk, inside: str, said: str):
    files(desk)
    faults = desk.faults(TLS + inside + "\n}\n")
    assert len(faults) == 1, faults
    assert faults[0].startswith(said)


def test_an_encrypted_key_is_a_fault_and_nobody_is_asked_for_its_password(desk: Desk):
    files(desk)
    encrypted = (
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\n" + "A" * 64 + "\n-----END ENCRYPTED PRIVATE KEY-----\n"
    )
    (desk.folder / "locked.key").write_text(encrypted)
    inside = 'backend_certificate = "gateway.pem"\nbackend_key = "locked.key"'
    (fault,) = desk.faults(TLS + inside + "\n}\n")
    assert "or the key is encrypted" in fault


NO_EFFECT = {
    "timeout": 'timeout = "5s"',
    "connect_timeout": 'connect_timeout = "5s"',
    "host_header": 'host_header = "app.internal"',
    "preflight": "preflight = true",
    "origins": 'origins = ["https://a.example"]',
    "header": 'header "X-A" { value = "b" }',
}


@pytest.mark.parametrize("inside", NO_EFFECT.values(), ids=NO_EFFECT)
def test_what_a_directory_has_no_use_for_is_a_fault(desk: Desk, inside: str):
    (desk.folder / "public").mkdir()
    route = f'route "/files/" {{\n  backend = "static:public"\n  {inside}\n}}'
    (fault,) = desk.faults(HOST + route + "\n}\n")
    assert "there is no server behind this" in fault


def test_what_an_edge_does_by_itself_is_a_fault_where_it_only_asks(desk: Desk):
    start = 'gateway { forward_auth = "127.0.0.1:4181" }\n' + HOST.replace('backend = "localhost:3000"', "")
    inside = 'timeout = "5s"\nheader "X-Host" { value = "{host}" }\nroute "/a/" { rewrite = "/v2" }\n'
    inside += 'answer_header "X-A" { value = "b" }\npreflight = true\norigins = ["https://a.example"]'
    faults = desk.faults(start + inside + "\n}\n")
    assert [fault.partition(": ")[0] for fault in faults] == ["v.hcl:5:11", "v.hcl:7:25", "v.hcl:8:1"]
    assert all("its edge's to send on" in fault for fault in faults)


def test_a_directory_takes_a_prefix_off_and_answers_with_headers(desk: Desk):
    route = 'route "/files/" {\nbackend = "static:public"\nstrip_prefix = true\nanswer_header "X-A" { value = "b" }\n}'
    passage = passage_of(desk, route, b"/files/a.txt")
    assert passage.rewrite is not None
    assert [heading.name for heading in passage.answer_headers] == ["X-A"]


WARNINGS = {
    "a claim nobody keeps": (
        GOOGLE
        + HOST.replace("public", "anyone").replace("access", 'sign_in = ["google"]\n  access')
        + 'header "X-Team" { value = "{claim.team}" }\n}\n',
        "`{claim.team}`: no provider of this host keeps such a claim",
    ),
    "a cache that may keep it": (
        HOST + 'answer_header "Cache-Control" { value = "max-age=60" }\n}\n',
        "a cache in front may give such an answer to anybody",
    ),
}


@pytest.mark.parametrize(("text", "said"), WARNINGS.values(), ids=WARNINGS)
def test_what_is_legal_but_risky_is_told(desk: Desk, text: str, said: str):
    assert any(said in warning for warning in desk.warnings(text))


def test_a_key_that_all_can_read_is_told(desk: Desk):
    files(desk)
    (desk.folder / "gateway.key").chmod(0o644)
    inside = 'backend_certificate = "gateway.pem"\nbackend_key = "gateway.key"\n}\n'
    assert any("every user of the machine can get at the key" in said for said in desk.warnings(TLS + inside))


# -- what it means --------------------------------------------------------------------------------


def test_a_host_that_says_nothing_of_it_does_nothing(desk: Desk):
    host = host_of(desk, 'route "/a/" { max_body = 5 }')
    assert [route.passage for route in host.routes.values()] == [None, None]


ADA = Person("u1", (Identity(client="google", issuer="https://i", subject="1", claims={"team": "blue"}),))


def lines(passage: Passage, kind: str = "headers") -> dict[str, str | None]:
    return {
        heading.name: None if heading.value is None else heading.value.header(ADA, {"path": "/p"})
        for heading in getattr(passage, kind)
    }


def test_a_route_inherits_headers_and_its_own_stand_instead_of_those_of_their_name(desk: Desk):
    inside = """
header "X-Host" { value = "{host}{prefix}" }
header "X-Both" { value = "host" }
answer_header "X-Frame-Options" { value = "DENY" }
answer_header "Server" { remove = true }
route "/a/" {
  header "x-both" { remove = true }
  header "X-Path" { value = "{path}" }
  answer_header "X-Frame-Options" { value = "SAMEORIGIN" }
}
"""
    whole, route = passage_of(desk, inside), passage_of(desk, inside, b"/a")
    assert lines(whole) == {"X-Host": "app.example.com", "X-Both": "host"}
    assert lines(route) == {"X-Host": "app.example.com/a", "x-both": None, "X-Path": "/p"}
    assert lines(route, "answer_headers") == {"X-Frame-Options": "SAMEORIGIN", "Server": None}
    assert route.is_of_request
    assert not whole.is_of_request


REWRITES = [
    ('route "/a/" { strip_prefix = true }', "/a/x", "/x"),
    ('route "/a/" { rewrite = "/v2" }', "/a/x", "/v2/x"),
    ('route "/a/" { rewrite = "/v2/" }', "/a/x", "/v2/x"),
    ('route "/a/" { rewrite = "/" }', "/a/x", "/x"),
    ('route "/a/" {\nrewrite = "/v2"\nstrip_prefix = false\n}', "/a/x", "/v2/a/x"),
    ('rewrite = "/v2"', "/x", "/v2/x"),
    ('rewrite = "/v2"\nroute "/a/" { }', "/a/x", "/v2/a/x"),
    ('rewrite = "/v2"\nroute "/a/" { strip_prefix = true }', "/a/x", "/v2/x"),
    ('rewrite = "/v2"\nroute "/a/" { rewrite = "/v3" }', "/a/x", "/v3/x"),
    ('strip_prefix = true\nroute "/a/" { }', "/a/x", "/x"),
    ('strip_prefix = true\nroute "/a/" { }', "/b", "/b"),
    ('strip_prefix = true\nroute "/a/" { strip_prefix = false }', "/a/x", "/a/x"),
    ('route "/a/" { rewrite = "/{host}/{user.id}{prefix}" }', "/a/x", "/app.example.com/u1/a/x"),
]


@pytest.mark.parametrize(("inside", "came", "goes"), REWRITES)
def test_what_the_backend_gets_as_path(desk: Desk, inside: str, came: str, goes: str):
    target = url.canonical(came.encode())
    rewrite = passage_of(desk, inside, target.path).rewrite
    assert (rewrite.target(target, ADA) if rewrite else target).full == goes.encode()


HOSTS = [
    ("", "", b""),
    ('host_header = "client"', "", b""),
    ('host_header = "backend"', "", b"Host: localhost:3000"),
    ('host_header = "App.Internal"', "", b"Host: app.internal"),
    ('host_header = "app.internal:81"', "", b"Host: app.internal:81"),
    ('host_header = "app.internal"', 'backend = "other:80"', b""),
    ('host_header = "backend"', 'backend = "other:80"', b"Host: other"),
    ('host_header = "backend"', 'backend = "https://other"', b"Host: other"),
    ('host_header = "backend"', 'host_header = "client"', b""),
    ("", 'backend = "https://[::1]:8443"\nhost_header = "backend"', b"Host: [::1]:8443"),
]


@pytest.mark.parametrize(("inside", "inner", "line"), HOSTS)
def test_which_host_the_backend_is_asked_for(desk: Desk, inside: str, inner: str, line: bytes):
    assert passage_of(desk, f'{inside}\nroute "/a/" {{\n{inner}\n}}', b"/a").host_line == line


@pytest.mark.parametrize(
    ("backend", "said"),
    [
        ('["a:1", "b:2"]', "the servers have several names (a:1, b:2)"),
        ('"unix:run/app.sock"', "a Unix socket has no name"),
    ],
)
def test_a_backend_without_one_name_cannot_be_asked_for_by_it(desk: Desk, backend: str, said: str):
    for inside in (
        f'route "/a/" {{\nhost_header = "backend"\nbackend = {backend}\n}}',
        f'host_header = "backend"\nroute "/a/" {{\nbackend = {backend}\n}}',
    ):
        (fault,) = desk.faults(HOST + inside + "\n}\n")
        assert said in fault


def test_times_and_origins_are_inherited(desk: Desk):
    inside = """
timeout = "90s"
connect_timeout = 2
origins = ["https://A.example:443", "http://b.example:8080"]
route "/a/" {
  timeout = "5s"
  origins = []
}
"""
    whole, route = passage_of(desk, inside), passage_of(desk, inside, b"/a")
    assert (whole.answer_s, whole.connect_s) == (90.0, 2.0)
    assert whole.origins == {"https://a.example", "http://b.example:8080"}
    assert (route.answer_s, route.connect_s, route.origins) == (5.0, 2.0, frozenset())


def trust(route: Route) -> Trust:
    return route.backend.servers[0].trust


def test_what_https_backends_are_known_by_is_read_and_inherited(desk: Desk):
    files(desk)
    inside = """
backend_ca = "ca.pem"
backend_certificate = "gateway.pem"
backend_key = "gateway.key"
backend_name = "app.internal"
route "/same/" { max_body = 1 }
route "/other/" { backend = "https://other" }
route "/plain/" { backend = "other:80" }
route "/own/" { backend_certificate = "other.both.pem" }
"""
    host = host_of(desk, inside, start=TLS)
    whole = trust(host.route(b"/"))
    assert whole.authorities == (desk.folder / "ca.pem").read_text()
    assert whole.shown is not None
    assert (desk.folder / "gateway.key").read_text().strip() in whole.shown.reveal()
    assert "PRIVATE" not in repr(host)
    assert whole.name == "app.internal"
    assert host.route(b"/same/").backend is host.route(b"/").backend
    assert trust(host.route(b"/other/")).name == ""
    assert trust(host.route(b"/other/")).shown == whole.shown
    assert trust(host.route(b"/plain/")) == Trust()
    own = trust(host.route(b"/own/"))
    assert (own.name, own.authorities) == ("app.internal", whole.authorities)
    assert own.shown != whole.shown


def test_files_count_from_the_folder_of_the_file_they_stand_in(desk: Desk, monkeypatch: pytest.MonkeyPatch):
    files(desk)
    monkeypatch.chdir(Path("/"))
    assert trust(host_of(desk, 'backend_ca = "ca.pem"', start=TLS).route(b"/")).authorities

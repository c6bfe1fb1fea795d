"""Where TLS ends, by which certificates: what is written, what comes without a word, and what can't work."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.unit.config.conftest import GOOGLE, Desk
from tests.unit.core.issued import Issuer
from vestibule.config.compile import Compiled, compile_config
from vestibule.core.certificate import Source
from vestibule.core.tls import Profile
from vestibule.observe import clock

EDGE = 'gateway { https = ["0.0.0.0:443"] http = ["0.0.0.0:80"] }\n'
SIGNS = 'backend = "localhost:1"\nsign_in = ["google"]\naccess { allow = ["anyone"] }\n'
ROOT = Issuer()


def host(name: str, inside: str = "") -> str:
    return f'host "{name}" {{\nbackend = "localhost:1"\naccess {{ allow = ["public"] }}\n{inside}\n}}\n'


def compiled(desk: Desk, text: str) -> Compiled:
    return compile_config(desk.load(text))


def write(folder: Path, *names: str, days: float = 90, ago: float = 1) -> None:
    """`app.pem` and `app.key` in this folder."""
    root = Issuer("Root")
    between = Issuer("Between", above=root)
    leaf, key = between.issue(*names, from_at=clock.now() - ago * 86_400, days=days)
    (folder / "app.pem").write_bytes(leaf + between.pem)
    (folder / "app.key").write_bytes(key)
    (folder / "app.key").chmod(0o600)


OWN = 'tls_certificate = "app.pem"\ntls_key = "app.key"'


@pytest.mark.parametrize(
    ("name", "inside", "source"),
    [
        pytest.param("app.example.com", "", Source.ACME, id="a public name"),
        pytest.param("localhost", "", Source.LOCAL, id="localhost"),
        pytest.param("app.localhost", "", Source.LOCAL, id="below localhost"),
        pytest.param("app.test", "", Source.LOCAL, id="test"),
        pytest.param("app.internal", "", Source.LOCAL, id="internal"),
        pytest.param("127.0.0.1", "", Source.LOCAL, id="an address"),
        pytest.param("[::1]", "", Source.LOCAL, id="an IPv6 address"),
        pytest.param("app.test", 'tls = "local"', Source.LOCAL, id="written"),
        pytest.param("app.example.com", 'tls = "acme"', Source.ACME, id="written for a public name"),
        pytest.param("app.example.com", 'tls = "off"', None, id="off"),
    ],
)
def test_where_https_listens_each_host_has_its_certificate(
    desk: Desk, name: str, inside: str, source: Source | None
):
    other = host("other.example.com")
    found = {one.name: one.source for one in compiled(desk, EDGE + host(name, inside) + other).certificates}
    assert found.pop("other.example.com") is Source.ACME
    assert found == ({} if source is None else {name.strip("[]"): source})


def test_without_https_nothing_is_wanted(desk: Desk):
    found = compiled(desk, host("app.example.com"))
    assert found.https == ()
    assert found.certificates == ()
    assert found.acme is None
    assert found.table.hosts[b"app.example.com"].demand is None


def test_people_reach_a_host_by_the_first_address_with_tls(desk: Desk):
    gateway = 'gateway { https = ["0.0.0.0:8443", "[::]:443"] http = ["0.0.0.0:80"] }\n'
    shown = host("b.example.com", 'public_url = "https://b.example.com"')
    off = host("c.example.com", 'tls = "off"')
    edge = host("d.example.com", 'tls = "off"\n  public_url = "https://d.example.com:8444"')
    found = compiled(desk, gateway + host("a.example.com") + shown + off + edge)
    assert [
        (one.base_url, one.demand is not None, bool(one.hsts_s)) for one in found.table.hosts.values()
    ] == [
        ("https://a.example.com:8443", True, True),
        ("https://b.example.com", True, True),
        ("", False, False),
        ("https://d.example.com:8444", False, False),
    ]
    assert [one.name for one in found.certificates] == ["a.example.com", "b.example.com"]
    assert found.reached_at(found.table.hosts[b"d.example.com"]).scheme == "http"


def test_of_any_free_port_nobody_knows_the_number(desk: Desk):
    found = compiled(desk, 'gateway { https = ["127.0.0.1:0"] }\n' + host("localhost"))
    one = found.table.hosts[b"localhost"]
    assert one.base_url == ""
    assert found.listeners == ()
    assert found.reached_at(one).scheme == "https"


def test_who_signs_people_in_needs_no_public_url_where_the_gateway_speaks_tls(desk: Desk):
    assert desk.faults(EDGE + GOOGLE + f'host "a.example.com" {{ {SIGNS} }}') == []
    (fault,) = desk.faults(
        EDGE + GOOGLE + f'host "a.example.com" {{ {SIGNS} tls = "off" }}' + host("b.example.com")
    )
    assert 'leave tls = "off" out, so that it speaks TLS' in fault


def test_plain_http_for_other_machines_is_told_of_https(desk: Desk):
    (fault,) = desk.faults(
        'gateway { http = ["0.0.0.0:80"] }\n' + GOOGLE + f'host "a.example.com" {{ {SIGNS} }}'
    )
    assert 'have it speak TLS, gateway { https = ["0.0.0.0:443"] }' in fault


def test_hosts_of_a_domain_need_no_public_url_where_the_gateway_speaks_tls(desk: Desk):
    domain = 'domain "example.com" { auth_host = "auth.example.com" }\n'
    text = EDGE + GOOGLE + domain + f'host "a.example.com" {{ {SIGNS} }}'
    table = compiled(desk, text).table.hosts
    found = table[b"a.example.com"].domain
    assert found is not None
    assert found.auth_url == "https://auth.example.com"
    assert table[b"auth.example.com"].base_url == "https://auth.example.com"


@pytest.mark.parametrize(
    ("gateway", "name", "hsts_s"),
    [
        pytest.param("", "a.example.com", 365 * 86_400, id="a year"),
        pytest.param('hsts = "30d"', "a.example.com", 30 * 86_400, id="as it is written"),
        pytest.param('hsts = "0s"', "a.example.com", 0, id="none"),
        pytest.param("", "a.localhost", 0, id="never for this machine's own names"),
    ],
)
def test_browsers_are_told_for_how_long_they_come_by_tls(desk: Desk, gateway: str, name: str, hsts_s: int):
    found = compiled(desk, f'gateway {{ https = ["0.0.0.0:443"]\n{gateway} }}\n' + host(name))
    assert found.table.hosts[name.encode()].hsts_s == hsts_s


def test_what_the_gateway_says_of_connections_is_in_force(desk: Desk):
    text = """gateway {
      https = ["0.0.0.0:443"]
      tls_profile = "modern"
      proxy_protocol = ["10.0.0.0/8", "unix"]
      drain = "10s"
      drain_delay = "3s"
      connections = 100
      requests = 50
      body_rate = "2KiB"
    }
    """
    found = compiled(desk, text + host("a.example.com"))
    demand = found.table.hosts[b"a.example.com"].demand
    assert demand is not None
    assert demand.profile is Profile.MODERN
    assert [one.scheme for one in found.https] == ["https"]
    assert "10.1.2.3" in found.proxy_protocol
    assert "" in found.proxy_protocol
    assert (found.drain_s, found.drain_delay_s) == (10.0, 3.0)
    assert (found.connections, found.requests, found.body_bytes_per_s) == (100, 50, 2048)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("gateway { https = [] }\n" + host("a.example.com"), "v.hcl:1:19: the list is empty: https ="),
        ('gateway { https = ["0.0.0.0:443"] http = ["0.0.0.0:443"] }\n' + host("a.example.com"), "v.hcl:1:20: 0.0.0.0:443 is taken by v.hcl:1"),
        ('gateway { https = ["0.0.0.0:443"] tls_profile = "old" }\n' + host("a.example.com"), "v.hcl:1:49: `old` lets in what was broken"),
        ('gateway { https = ["0.0.0.0:443"] tls_profile = "moder" }\n' + host("a.example.com"), "v.hcl:1:49: `moder` is none of: intermediate, modern; did you mean `modern`?"),
        ('gateway { proxy_protocol = ["10.0.0.1/8"] }\n' + host("a.example.com"), "v.hcl:1:29: `10.0.0.1/8` has bits behind its mask"),
        ('gateway { drain = "0s" }\n' + host("a.example.com"), "v.hcl:1:19: `drain` must be longer than nothing"),
        ("gateway { connections = 3 }\n" + host("a.example.com"), "v.hcl:1:25: a number from 16 on, or 0"),
        ("gateway { requests = 0 }\n" + host("a.example.com"), "v.hcl:1:22: a number from 1 on"),
        (host("a.example.com", 'tls = "acme"'), "v.hcl:4:7: has no effect, since nothing listens for TLS: gateway { https"),
        (host("a.example.com", 'tls_certificate = "x"'), "v.hcl:4:19: has no effect, since nothing listens for TLS"),
        (host("a.example.com", 'client_ca = "x"'), "v.hcl:4:13: has no effect, since nothing listens for TLS"),
        (EDGE + host("a.example.com", 'tls = "auto"'), "v.hcl:5:7: `auto` is none of: acme, local, off"),
        (EDGE + host("a.example.com", 'tls = "local"'), "v.hcl:5:7: the local authority vouches only for names that nobody can own"),
        (EDGE + host("box"), "v.hcl:2:6: the local authority vouches only for names that nobody can own"),
        (EDGE + host("8.8.8.8"), "v.hcl:2:6: the local authority vouches only for names"),
        (EDGE + host("app.test", 'tls = "acme"'), "v.hcl:5:7: no CA vouches for app.test: tls ="),
        (EDGE + host("192.0.2.1", 'tls = "acme"'), "v.hcl:5:7: no CA vouches for 192.0.2.1"),
        (EDGE + host("a.example.com", 'tls_key = "k"'), "v.hcl:5:11: is a key without a certificate"),
        (EDGE + host("a.example.com", 'tls = "acme"\ntls_certificate = "app.pem"'), "v.hcl:5:7: `acme`, and tls_certificate names a file"),
        (EDGE + host("a.example.com", 'tls = "off"\nclient_ca = "x"') + host("b.example.com"), "v.hcl:6:13: nobody can show a certificate without TLS"),
        (EDGE + host("a.example.com", 'tls = "off"'), "v.hcl:1:19: no host speaks TLS, since each has"),
        (EDGE + host("a.example.com", 'public_url = "http://a.example.com"'), 'v.hcl:5:14: this host speaks TLS: public_url = "https://a.example.com"'),
        (EDGE + host("a.example.com", 'tls_certificate = "none.pem"'), "v.hcl:5:19: can't read "),
        (EDGE + host("a.example.com", 'client_ca = "none.pem"'), "v.hcl:5:13: can't read "),
        (EDGE + host("a.example.com", 'credential "x" { }'), "v.hcl:5:1: `credential` is not in this version yet: write tls_certificate and tls_key"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_a_fault_with_its_place(desk: Desk, text: str, expected: str):
    faults = desk.faults(text)
    assert [fault for fault in faults if fault.startswith(expected)], faults


def test_own_files_are_looked_at(desk: Desk):
    write(desk.folder, "app.example.com", "*.b.example.com")
    (found,) = compiled(desk, EDGE + host("app.example.com", OWN)).certificates
    assert found.source is Source.FILE
    assert found.certificate_path == str(desk.folder / "app.pem")
    assert found.key_path == str(desk.folder / "app.key")
    assert desk.warnings(EDGE + host("app.example.com", OWN)) == []
    assert desk.warnings(EDGE + host("x.b.example.com", OWN)) == []


def test_key_and_certificate_may_stand_in_one_file(desk: Desk):
    write(desk.folder, "app.example.com")
    both = (desk.folder / "app.key").read_bytes() + (desk.folder / "app.pem").read_bytes()
    (desk.folder / "both.pem").write_bytes(both)
    (desk.folder / "both.pem").chmod(0o600)
    (found,) = compiled(desk, EDGE + host("app.example.com", 'tls_certificate = "both.pem"')).certificates
    assert found.key_path == found.certificate_path == str(desk.folder / "both.pem")


def test_a_certificate_for_others_is_a_fault(desk: Desk):
    write(desk.folder, "b.example.com")
    (fault,) = desk.faults(EDGE + host("app.example.com", OWN))
    assert fault == "v.hcl:5:19: the certificate is for b.example.com, and not for app.example.com"


def test_the_key_of_another_certificate_is_a_fault_at_the_key(desk: Desk):
    write(desk.folder, "app.example.com")
    (desk.folder / "app.key").write_bytes(ROOT.issue("app.example.com")[1])
    (fault,) = desk.faults(EDGE + host("app.example.com", OWN))
    assert fault == "v.hcl:6:11: the key doesn't match the certificate"


@pytest.mark.parametrize(
    ("days", "ago", "expected"),
    [
        pytest.param(10, 20, "the certificate has ended on ", id="ended"),
        pytest.param(10, -5, "the certificate is good from ", id="not yet good"),
    ],
)
def test_one_that_is_out_of_its_time_is_warned_of_and_keeps_no_gateway_from_starting(
    desk: Desk, days: float, ago: float, expected: str
):
    write(desk.folder, "app.example.com", days=days, ago=ago)
    (warning,) = desk.warnings(EDGE + host("app.example.com", OWN))
    assert warning.startswith(f"v.hcl:5:19: {expected}")


def test_a_certificate_without_those_above_it_is_warned_of(desk: Desk):
    leaf, key = ROOT.issue("app.example.com", from_at=clock.now())
    (desk.folder / "app.pem").write_bytes(leaf)
    (desk.folder / "app.key").write_bytes(key)
    (desk.folder / "app.key").chmod(0o600)
    (warning,) = desk.warnings(EDGE + host("app.example.com", OWN))
    assert "fullchain.pem" in warning


def test_a_key_that_everybody_can_read_is_warned_of(desk: Desk):
    write(desk.folder, "app.example.com")
    (desk.folder / "app.key").chmod(0o644)
    (warning,) = desk.warnings(EDGE + host("app.example.com", OWN))
    assert warning.startswith("v.hcl:6:11: every user of the machine can get at the key: chmod 600")
    (desk.folder / "app.key").chmod(stat.S_IRUSR | stat.S_IRGRP)
    assert desk.warnings(EDGE + host("app.example.com", OWN)) == []


def test_clients_show_a_certificate_of_these_authorities(desk: Desk):
    (desk.folder / "clients.pem").write_bytes(b"# of ours\n" + ROOT.pem)
    demand = (
        compiled(desk, EDGE + host("a.example.com", 'client_ca = "clients.pem"'))
        .table.hosts[b"a.example.com"]
        .demand
    )
    assert demand is not None
    assert demand.client_ca_pem == ROOT.pem
    assert len(demand.authority) == 64


NAMED = (
    'host "a.example.com" {\nbackend = "localhost:1"\naccess { %s = ["%s"] }\nclient_ca = "clients.pem"\n}\n'
)


@pytest.mark.parametrize("name", ["CN=builder,O=Example", "builder", "uri:spiffe://example.com/builder"])
def test_where_they_do_a_rule_may_name_it_and_nobody_need_sign_in(desk: Desk, name: str):
    (desk.folder / "clients.pem").write_bytes(ROOT.pem)
    made = compiled(desk, EDGE + NAMED % ("allow", f"certificate:{name}")).table.hosts[b"a.example.com"]
    assert made.routes[b""].policy.allow is not None
    assert [(rule.kind, rule.value) for rule in made.routes[b""].policy.allow] == [("certificate", name)]
    assert desk.warnings(EDGE + NAMED % ("allow", f"certificate:{name}")) == []


@pytest.mark.parametrize("name", ["allow", "all", "deny"])
def test_where_they_do_not_a_rule_that_names_one_is_a_fault(desk: Desk, name: str):
    more = "" if name != "deny" else '\nsign_in = ["google"]'
    text = (NAMED % (name, "certificate:builder")).replace('client_ca = "clients.pem"', more.strip())
    (fault,) = [one for one in desk.faults(GOOGLE + EDGE + text) if "certificate:builder" in one]
    place = len((GOOGLE + EDGE).splitlines()) + 3
    assert fault.startswith(f"v.hcl:{place}:")
    assert "add client_ca, the file of the authorities" in fault


def test_backends_are_told_of_it_unless_they_are_not_to_be(desk: Desk):
    (desk.folder / "clients.pem").write_bytes(ROOT.pem)
    for switch, told in (("", True), ("client_cert_header = false", False)):
        text = EDGE + host("a.example.com", f'client_ca = "clients.pem"\n{switch}')
        assert compiled(desk, text).table.hosts[b"a.example.com"].tells_certificate is told
    (warning,) = desk.warnings(EDGE + host("a.example.com", "client_cert_header = false"))
    assert warning == "v.hcl:5:22: has no effect without client_ca"


def test_what_is_no_authority_is_a_fault(desk: Desk):
    (desk.folder / "clients.pem").write_bytes(ROOT.issue("a.example.com")[0])
    (fault,) = desk.faults(EDGE + host("a.example.com", 'client_ca = "clients.pem"'))
    assert "is no authority's certificate" in fault


def test_it_is_told_what_will_be_listened_on(desk: Desk):
    loaded = desk.load(EDGE + host("a.example.com") + host("localhost"))
    assert loaded.listens == "https on 0.0.0.0:443: 1 by ACME, 1 of the local authority; http on 0.0.0.0:80"
    assert desk.load(host("a.example.com")).listens == ""


def test_settings_of_tls_come_from_the_environment(desk: Desk):
    environ = {"VESTIBULE_GATEWAY_HTTPS": "0.0.0.0:443,[::]:443", "VESTIBULE_ACME_EMAIL": "ops@example.com"}
    found = compile_config(desk.load(host("a.example.com"), environ=environ))
    assert [str(one) for one in found.https] == ["0.0.0.0:443", "[::]:443"]
    assert found.acme is not None
    assert found.acme.email == "ops@example.com"

"""The block `acme`: what is ordered of whom, and how names are proven."""

from __future__ import annotations

import pytest

from tests.unit.config.conftest import Desk
from tests.unit.core.issued import Issuer
from vestibule.config.compile import compile_config
from vestibule.core.acme import LETS_ENCRYPT, Acme, Hook, Proof, Rfc2136

EDGE = 'gateway { https = ["0.0.0.0:443"] http = ["0.0.0.0:80"] }\n'
KEY = "c2VjcmV0IHNlY3JldA=="
DNS = f'dns {{ server = "127.0.0.1:53" key_name = "acme." key_secret = "{KEY}" }}'


def hosts(*names: str) -> str:
    return "".join(
        f'host "{name}" {{ backend = "localhost:1" access {{ allow = ["public"] }} }}\n' for name in names
    )


def ordered(desk: Desk, text: str) -> Acme:
    found = compile_config(desk.load(text)).acme
    assert found is not None
    return found


def test_without_a_word_public_names_are_ordered_of_lets_encrypt(desk: Desk):
    found = ordered(desk, EDGE + hosts("a.example.com", "b.example.com", "localhost"))
    assert found.names == ("a.example.com", "b.example.com")
    assert found.directories == (LETS_ENCRYPT,)
    assert found.proofs == (Proof.HTTP_01, Proof.TLS_ALPN_01)
    assert (found.email, found.ca_pem, found.external_account, found.dns) == ("", "", None, None)


def test_all_that_is_written_is_in_force(desk: Desk):
    root = Issuer()
    (desk.folder / "ca.pem").write_bytes(root.pem)
    (desk.folder / "hook").write_text("")
    acme = """acme {
      email = "ops@example.com"
      directory = "https://one.example/dir"
      fallback = ["https://two.example/dir", "https://one.example/dir"]
      ca_file = "ca.pem"
      challenges = ["dns-01", "tls-alpn-01"]
      external_account { key_id = "kid" hmac_key = "c2VjcmV0" }
      dns { command = "hook" check = "127.0.0.1:5353" }
    }
    """
    found = ordered(desk, EDGE + acme + hosts("a.example.com"))
    assert found.directories == ("https://one.example/dir", "https://two.example/dir")
    assert found.ca_pem.encode() == root.pem
    assert found.proofs == (Proof.DNS_01, Proof.TLS_ALPN_01)
    assert found.external_account is not None
    assert found.external_account.key_id == "kid"
    assert found.dns == Hook(command=str(desk.folder / "hook"), check=("127.0.0.1:5353",))


def test_with_a_name_server_names_are_proven_there(desk: Desk):
    found = ordered(desk, EDGE + f"acme {{ {DNS} }}\n" + hosts("a.example.com"))
    assert found.proofs == (Proof.DNS_01,)
    assert isinstance(found.dns, Rfc2136)
    assert (found.dns.server, found.dns.key_name, found.dns.key_algorithm) == (
        "127.0.0.1:53",
        "acme.",
        "hmac-sha256",
    )
    assert found.dns.key_secret.reveal() == KEY


def test_without_plain_http_names_are_proven_by_tls_alone(desk: Desk):
    found = ordered(desk, 'gateway { https = ["0.0.0.0:443"] }\n' + hosts("a.example.com"))
    assert found.proofs == (Proof.TLS_ALPN_01,)


def test_a_wildcard_stands_for_all_hosts_directly_below(desk: Desk):
    names = hosts("a.example.com", "b.example.com", "x.a.example.com", "example.com")
    found = ordered(desk, EDGE + f'acme {{ wildcards = "*.Example.com" {DNS} }}\n' + names)
    assert found.names == ("*.example.com", "x.a.example.com", "example.com")


@pytest.mark.parametrize(
    ("acme", "expected"),
    [
        ('email = "ops"', 'v.hcl:2:16: is no address: "ops@example.com"'),
        ('directory = "letsencrypt"', "v.hcl:2:20: `letsencrypt` is no URL of an ACME directory: https://"),
        ('directory = "http://ca.example/dir"', "v.hcl:2:20: `http://ca.example/dir`: a CA is asked by https"),
        ('fallback = ["x"]', "v.hcl:2:20: `x` is no URL of an ACME directory"),
        ('ca_file = "none.pem"', "v.hcl:2:18: can't read "),
        ('challenges = ["http"]', "v.hcl:2:22: `http` is none of: http-01, tls-alpn-01, dns-01"),
        ('challenges = ["dns-01"]', "v.hcl:2:21: `dns-01` needs a way to set records: dns {"),
        ('wildcards = ["*.example.com"]', "v.hcl:2:20: CAs want `dns-01` for these"),
        (f'wildcards = ["example.com"] {DNS}', "v.hcl:2:21: `example.com` is no wildcard of a domain"),
        (f'wildcards = ["*.com.*"] {DNS}', "v.hcl:2:21: `*.com.*` is no wildcard"),
        ("dns { }", "v.hcl:2:8: has no `server` and `key_name` and `key_secret`, nor a `command`"),
        ('dns { server = "ns.example.com" key_name = "a" key_secret = "YQ==" }', "v.hcl:2:23: `ns.example.com` is no address of a name server"),
        ('dns { server = "127.0.0.1" key_name = "a" key_secret = "%%" }', "v.hcl:2:63: is no key in base64"),
        ('dns { server = "127.0.0.1" key_name = "a" key_secret = "YQ==" key_algorithm = "hmac-md5" }', "v.hcl:2:86: `hmac-md5` is broken"),
        ('dns { command = "hook" server = "127.0.0.1" }', "v.hcl:2:40: has no effect beside `command`"),
        ('dns { command = "none" }', "v.hcl:2:24: there is no program "),
        ('external_account { key_id = "a" }', "v.hcl:2:8: external_account has no `hmac_key`"),
        ('external_account { key_id = "a" hmac_key = "!!" }', "v.hcl:2:51: is no key in base64url"),
        ('mail = "x@example.com"', "v.hcl:2:8: there is no attribute `mail` here; did you mean `email`?"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_a_fault_with_its_place(desk: Desk, acme: str, expected: str):
    faults = desk.faults(f"{EDGE}acme {{ {acme} }}\n" + hosts("a.example.com"))
    assert [fault for fault in faults if fault.startswith(expected)], faults
    assert "%%" not in "".join(faults)


def test_http_01_without_plain_http_is_a_fault(desk: Desk):
    acme = 'acme { challenges = ["http-01"] }\n'
    (fault,) = desk.faults('gateway { https = ["0.0.0.0:443"] }\n' + acme + hosts("a.example.com"))
    assert fault == 'v.hcl:2:21: `http-01` is asked for at port 80: gateway { http = ["0.0.0.0:80"] }'


@pytest.mark.parametrize(
    ("gateway", "acme", "expected"),
    [
        pytest.param('https = ["0.0.0.0:443"] http = ["0.0.0.0:8080"]', "", "", id="443 is enough"),
        pytest.param('https = ["0.0.0.0:8443"] http = ["0.0.0.0:80"]', "", "", id="80 is enough"),
        pytest.param('https = ["0.0.0.0:8443"] http = ["0.0.0.0:8080"]', "", "comes to port 80 or 443", id="neither"),
        pytest.param('https = ["127.0.0.1:443"] http = ["127.0.0.1:80"]', "", "comes to port 80 or 443", id="loopback"),
        pytest.param('https = ["0.0.0.0:443"] http = ["0.0.0.0:8080"]', 'challenges = ["http-01"]', "comes to port 80,", id="http-01 alone"),
        pytest.param('https = ["0.0.0.0:8443"]', DNS, "", id="dns needs no port"),
        pytest.param('https = ["systemd:https"]', "", "", id="a socket of which nobody knows the port"),
    ],
)  # fmt: skip
def test_a_ca_that_finds_nobody_is_warned_of(desk: Desk, gateway: str, acme: str, expected: str):
    block = f"acme {{ {acme} }}\n" if acme else ""
    warnings = desk.warnings(f"gateway {{ {gateway} }}\n{block}" + hosts("a.example.com"))
    assert [expected in warning for warning in warnings] == ([True] if expected else [])


def test_where_nothing_is_ordered_nobody_needs_to_find_it(desk: Desk):
    assert desk.warnings('gateway { https = ["127.0.0.1:8443"] }\n' + hosts("app.localhost")) == []


def test_a_block_that_orders_nothing_is_warned_of(desk: Desk):
    (warning,) = desk.warnings('acme { email = "a@example.com" }\n' + hosts("a.example.com"))
    assert "orders nothing: nothing listens for TLS" in warning
    (warning,) = desk.warnings(EDGE + 'acme { email = "a@example.com" }\n' + hosts("localhost"))
    assert "orders nothing: no host has tls" in warning


def test_secrets_are_shown_to_nobody(desk: Desk):
    text = (
        EDGE
        + f'acme {{ external_account {{ key_id = "a" hmac_key = "c2VjcmV0" }} {DNS} }}\n'
        + hosts("a.example.com")
    )
    found = ordered(desk, text)
    assert "c2VjcmV0" not in repr(found)

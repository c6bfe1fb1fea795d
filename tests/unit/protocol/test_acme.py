"""ACME on the wire."""

from __future__ import annotations

import hashlib
import hmac
import json

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from vestibule.protocol import acme, base64url
from vestibule.protocol.acme import AcmeSyntaxError, Authorization, Directory, Order, Problem

KEY = ec.derive_private_key(0x1234567890ABCDEF, ec.SECP256R1())
NOW = 1_800_000_000.0


def parts(body: bytes) -> tuple[dict, dict | None, bytes, bytes]:
    """Head, payload, what is signed, signature."""
    jws = json.loads(body)
    assert set(jws) == {"protected", "payload", "signature"}
    head = json.loads(base64url.decode(jws["protected"]))
    payload = json.loads(base64url.decode(jws["payload"])) if jws["payload"] else None
    return head, payload, f"{jws['protected']}.{jws['payload']}".encode(), base64url.decode(jws["signature"])


def test_a_request_is_signed_by_the_key_over_head_and_payload():
    head, payload, signed, signature = parts(
        acme.signed(KEY, "https://ca/x", {"a": 1}, nonce="n", account="https://ca/1")
    )
    assert head == {"alg": "ES256", "nonce": "n", "url": "https://ca/x", "kid": "https://ca/1"}
    assert payload == {"a": 1}
    assert len(signature) == 64
    der = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
    KEY.public_key().verify(der, signed, ec.ECDSA(hashes.SHA256()))


def test_a_new_account_sends_its_key_and_no_account():
    head, *_ = parts(acme.signed(KEY, "https://ca/x", {}, nonce="n"))
    assert "kid" not in head
    assert head["jwk"] == acme.jwk_of(KEY)
    assert set(head["jwk"]) == {"crv", "kty", "x", "y"}


def test_what_is_only_asked_for_has_an_empty_payload():
    assert parts(acme.signed(KEY, "https://ca/x", None, nonce="n", account="a"))[1] is None


def test_an_external_account_is_bound_by_its_own_key():
    bound = acme.bound(KEY, "https://ca/new", key_id="kid-1", hmac_key=b"secret")
    head, payload, signed, mac = parts(json.dumps(bound).encode())
    assert head == {"alg": "HS256", "kid": "kid-1", "url": "https://ca/new"}
    assert payload == acme.jwk_of(KEY)
    assert mac == hmac.digest(b"secret", signed, "sha256")


@pytest.mark.parametrize(
    ("email", "binding", "payload"),
    [
        ("", None, {"termsOfServiceAgreed": True}),
        ("a@b.test", None, {"termsOfServiceAgreed": True, "contact": ["mailto:a@b.test"]}),
        ("", {"p": "x"}, {"termsOfServiceAgreed": True, "externalAccountBinding": {"p": "x"}}),
    ],
)
def test_a_new_account_says_whom_to_tell(email, binding, payload):
    assert acme.new_account(email, binding) == payload


def test_an_order_is_for_one_name_and_says_what_it_replaces():
    identifiers = [{"type": "dns", "value": "*.a.test"}]
    assert acme.new_order("*.a.test") == {"identifiers": identifiers}
    assert acme.new_order("*.a.test", "aki.serial") == {"identifiers": identifiers, "replaces": "aki.serial"}


# -- proofs -------------------------------------------------------------------------------------


def test_a_key_authorization_is_the_token_and_the_thumbprint():
    token = "A" * 22
    canonical = json.dumps(acme.jwk_of(KEY), separators=(",", ":"), sort_keys=True).encode()
    thumbprint = base64url.encode(hashlib.sha256(canonical).digest())
    assert acme.key_authorization(token, KEY) == f"{token}.{thumbprint}"


@pytest.mark.parametrize(
    "token",
    ["", "A" * 21, "A" * 257, "../../etc/passwd/aaaaaaaa", "A" * 22 + "\n", "A" * 22 + "é", "A" * 22 + "."],
)
def test_what_is_no_token_is_not_shown(token):
    with pytest.raises(AcmeSyntaxError):
        acme.key_authorization(token, KEY)


def test_a_record_is_the_hash_of_what_is_authorized():
    assert acme.record_of("token.thumb") == base64url.encode(hashlib.sha256(b"token.thumb").digest())


@pytest.mark.parametrize("name", ["a.test", "*.a.test"])
def test_a_wildcard_is_proven_at_its_parent(name):
    assert acme.record_name_of(name) == "_acme-challenge.a.test"


# -- what comes ---------------------------------------------------------------------------------


def test_a_directory_is_read_and_what_is_new_in_it_passed_over():
    body = {
        "newNonce": "https://ca/n",
        "newAccount": "https://ca/a",
        "newOrder": "https://ca/o",
        "renewalInfo": "https://ca/r",
        "meta": {"externalAccountRequired": True, "profiles": {}},
        "keyChange": 5,
    }
    found = acme.read(json.dumps(body).encode(), Directory)
    assert (found.new_nonce, found.renewal_info, found.meta.external_account_required) == (
        "https://ca/n",
        "https://ca/r",
        True,
    )


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"", Directory),
        (b"<html>", Directory),
        (b"[]", Order),
        (b'{"newNonce": 5, "newAccount": "", "newOrder": ""}', Directory),
        (b'{"status": 1}', Order),
        (b'{"status": "pending"}', Authorization),
    ],
)
def test_what_is_no_such_document_is_refused(body, kind):
    with pytest.raises(AcmeSyntaxError):
        acme.read(body, kind)


def test_an_authorization_has_its_challenges_by_kind_and_why_it_failed():
    body = {
        "identifier": {"type": "dns", "value": "a.test"},
        "status": "invalid",
        "challenges": [
            {"type": "dns-01", "url": "https://ca/1", "status": "pending", "token": "t"},
            {
                "type": "http-01",
                "url": "https://ca/2",
                "status": "invalid",
                "error": {"type": f"{acme.PROBLEM}dns"},
            },
        ],
    }
    found = acme.read(json.dumps(body).encode(), Authorization)
    assert found.challenge("dns-01").url == "https://ca/1"
    assert found.challenge("tls-alpn-01") is None
    assert found.error.kind == "dns"


def test_an_authorization_of_thousands_of_challenges_is_refused():
    one = {"type": "x", "url": "u", "status": "pending"}
    body = {"identifier": {"type": "dns", "value": "a"}, "status": "pending", "challenges": [one] * 65}
    with pytest.raises(AcmeSyntaxError):
        acme.read(json.dumps(body).encode(), Authorization)


@pytest.mark.parametrize(
    ("problem", "kind"),
    [
        ({"type": f"{acme.PROBLEM}caa"}, "caa"),
        ({"type": "about:blank"}, ""),
        ({"type": f"{acme.PROBLEM}compound", "subproblems": [{"type": f"{acme.PROBLEM}dns"}]}, "dns"),
        ({"type": f"{acme.PROBLEM}compound"}, "compound"),
    ],
)
def test_a_problem_says_its_kind(problem, kind):
    assert acme.read_problem(json.dumps(problem).encode()).first.kind == kind


@pytest.mark.parametrize("body", [b"", b"oops", b'"x"', b'{"type": 5}'])
def test_what_is_no_problem_document_says_nothing(body):
    assert acme.read_problem(body) == Problem()


def test_a_suggestion_to_renew_is_a_window():
    body = {
        "suggestedWindow": {"start": "2027-01-15T08:00:00Z", "end": "2027-01-15T09:00:00+00:00"},
        "explanationURL": "https://ca/why",
    }
    found = acme.read_renewal(json.dumps(body).encode())
    assert (found.start_at, found.end_at, found.explanation) == (NOW, NOW + 3600, "https://ca/why")


@pytest.mark.parametrize(
    ("start", "end"),
    [
        ("2027-01-15T08:00:00Z", "2027-01-15T08:00:00Z"),
        ("2027-01-15T08:00:00Z", "2027-01-14T08:00:00Z"),
        ("2027-01-15T08:00:00", "2027-01-16T08:00:00"),
        ("soon", "later"),
    ],
    ids=["empty", "backwards", "of no zone", "no times"],
)
def test_a_window_that_is_none_is_refused(start, end):
    with pytest.raises(AcmeSyntaxError):
        acme.read_renewal(json.dumps({"suggestedWindow": {"start": start, "end": end}}).encode())


@pytest.mark.parametrize(
    ("value", "wait_s"),
    [
        ("", None),
        ("120", 120.0),
        (" 5 ", 5.0),
        ("-5", None),
        ("Fri, 15 Jan 2027 08:01:00 GMT", 60.0),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0.0),
        ("soon", None),
        ("9" * 400, 999_999_999.0),
    ],
)
def test_how_long_to_wait(value, wait_s):
    assert acme.retry_after_s(value, NOW) == wait_s

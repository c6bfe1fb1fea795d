"""What an authority's refusals mean."""

from __future__ import annotations

import pytest

from vestibule.core.acme import Proof
from vestibule.core.acme_fault import _OF, Blame, fault_of, said
from vestibule.protocol.acme import PROBLEM, Problem


@pytest.mark.parametrize(
    ("kind", "status", "blame", "word"),
    [
        ("dns", 0, Blame.NAME, "A or AAAA record"),
        ("caa", 0, Blame.NAME, "CAA"),
        ("connection", 0, Blame.NAME, "port 80"),
        ("tls", 0, Blame.NAME, "port 80"),
        ("unauthorized", 0, Blame.NAME, "port 80"),
        ("unauthorized", 403, Blame.ACCOUNT, "account"),
        ("accountDoesNotExist", 400, Blame.ACCOUNT, "account"),
        ("rateLimited", 429, Blame.AUTHORITY, "limits"),
        ("serverInternal", 500, Blame.AUTHORITY, "fault"),
        ("externalAccountRequired", 403, Blame.OPERATOR, "external_account"),
        ("userActionRequired", 403, Blame.OPERATOR, "address"),
        ("malformed", 400, Blame.REQUEST, "anew"),
        ("malformed", 0, Blame.NAME, "port 80"),
        ("rejectedIdentifier", 400, Blame.NAME, "local"),
        ("somethingNew", 400, Blame.NAME, "says"),
        ("somethingNew", 500, Blame.AUTHORITY, "says"),
    ],
)
def test_whose_fault_it_is_and_what_to_do(kind, status, blame, word):
    fault = fault_of(Problem(type=PROBLEM + kind), status, Proof.HTTP_01)
    assert (fault.code, fault.blame) == (kind, blame)
    assert word in fault.advice


@pytest.mark.parametrize(
    ("proof", "word"),
    [(Proof.HTTP_01, "port 80"), (Proof.TLS_ALPN_01, "port 443"), (Proof.DNS_01, "name servers")],
)
@pytest.mark.parametrize("kind", ["connection", "incorrectResponse"])
def test_advice_is_for_the_proof_that_was_tried(kind, proof, word):
    assert word in fault_of(Problem(type=PROBLEM + kind), 0, proof).advice


#: what authorities were seen to say, with the proof that was tried; 0: it stood in an order
SAID = [
    pytest.param(
        "connection",
        0,
        Proof.HTTP_01,
        "Get http://a.example.com:5002/: could not resolve URL a.example.com",
        Blame.NAME,
        "point an A or AAAA record",
        id="Pebble, a name without an address, by http",
    ),
    pytest.param(
        "malformed",
        0,
        Proof.TLS_ALPN_01,
        'Could not resolve URL "app.example.com"',
        Blame.NAME,
        "point an A or AAAA record",
        id="Pebble, a name without an address",
    ),
    pytest.param(
        "malformed",
        0,
        Proof.TLS_ALPN_01,
        'Error occurred while resolving URL "a.example.com": "DNS lookup returned an unsuccessful response: 2"',
        Blame.NAME,
        "A or AAAA record",
        id="Pebble, a lookup that failed",
    ),
    pytest.param(
        "malformed",
        0,
        Proof.TLS_ALPN_01,
        "Server only speaks HTTP, not TLS",
        Blame.NAME,
        "port 443 of this name answers without TLS",
        id="Let's Encrypt, plain http on 443",
    ),
    pytest.param(
        "malformed",
        0,
        Proof.HTTP_01,
        "",
        Blame.NAME,
        "somebody else answers on port 80",
        id="silent, of a proof",
    ),
    pytest.param(
        "malformed",
        400,
        None,
        'Error creating new order :: Cannot issue for "a_b.example.com": Domain name contains an invalid character',
        Blame.NAME,
        "without `_`",
        id="Let's Encrypt, a name with an underscore",
    ),
    pytest.param(
        "malformed",
        400,
        None,
        "Error creating new order :: Name does not end in a public suffix",
        Blame.NAME,
        "below a public domain",
        id="Let's Encrypt, a name of nobody",
    ),
    pytest.param(
        "malformed", 404, None, "Expired authorization", Blame.REQUEST, "doesn't know the order", id="expired"
    ),
    pytest.param(
        "malformed",
        405,
        None,
        "The request message was malformed",
        Blame.REQUEST,
        "`directory`",
        id="ZeroSSL, 405",
    ),
    pytest.param(
        "malformed", 400, None, "Parse error reading JWS", Blame.REQUEST, "name a `fallback`", id="a request"
    ),
    pytest.param(
        "dns",
        0,
        Proof.HTTP_01,
        "DNS problem: NXDOMAIN looking up A for a.example.com - check that a DNS record exists for this domain",
        Blame.NAME,
        "point an A or AAAA record",
        id="no record",
    ),
    pytest.param(
        "dns",
        0,
        Proof.DNS_01,
        "DNS problem: NXDOMAIN looking up TXT for _acme-challenge.a.example.com",
        Blame.NAME,
        "TXT record of the proof",
        id="no record of the proof",
    ),
    pytest.param(
        "dns",
        0,
        Proof.HTTP_01,
        "no valid A records found for a.example.com; no valid AAAA records found for a.example.com",
        Blame.NAME,
        "one of the Internet",
        id="only private addresses",
    ),
    pytest.param(
        "dns",
        0,
        Proof.HTTP_01,
        "No valid IP addresses found for a.example.com",
        Blame.NAME,
        "`dns` block",
        id="none",
    ),
    pytest.param(
        "dns",
        0,
        Proof.DNS_01,
        "While processing CAA for *.a.example.com: DNS problem: SERVFAIL looking up CAA for example.com",
        Blame.NAME,
        "`dig CAA` for it with NOERROR",
        id="CAA can't be seen",
    ),
    pytest.param(
        "dns",
        0,
        Proof.HTTP_01,
        "DNS problem: SERVFAIL looking up A for a.example.com - the domain's nameservers may be malfunctioning",
        Blame.NAME,
        "`dig +dnssec`",
        id="broken name servers",
    ),
]


@pytest.mark.parametrize(("kind", "status", "proof", "text", "blame", "words"), SAID)
def test_advice_is_for_what_the_authority_says(  # noqa: PLR0917 - a row
    kind, status, proof, text, blame, words
):
    fault = fault_of(Problem(type=PROBLEM + kind, detail=text), status, proof)
    assert (fault.code, fault.blame) == (kind, blame)
    assert words in fault.advice


@pytest.mark.parametrize("kind", sorted(_OF))
@pytest.mark.parametrize("status", [0, 400, 500])
@pytest.mark.parametrize("proof", [None, *Proof])
def test_whatever_is_refused_there_is_something_to_do(kind, status, proof):
    assert fault_of(Problem(type=PROBLEM + kind), status, proof).advice


@pytest.mark.parametrize(
    ("status", "code", "blame"),
    [
        (429, "rateLimited", Blame.AUTHORITY),
        (503, "rateLimited", Blame.AUTHORITY),
        (502, "serverInternal", Blame.AUTHORITY),
        (404, "refused", Blame.AUTHORITY),
    ],
)
def test_who_says_nothing_is_judged_by_the_status(status, code, blame):
    fault = fault_of(Problem(), status)
    assert (fault.code, fault.blame) == (code, blame)


def test_what_is_said_fits_into_a_line():
    assert said(Problem(detail="a\nb\x1b[31m" + "x" * 900)) == "a b [31m" + "x" * 392
    inner = Problem(type=f"{PROBLEM}dns", detail="inner")
    assert said(Problem(type=f"{PROBLEM}compound", detail="outer", subproblems=(inner,))) == "inner"
    assert said(Problem()) == ""

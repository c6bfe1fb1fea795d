"""When certificates are ordered, what comes next, how long to wait."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from vestibule.core.acme import (
    WAITS_S,
    Acme,
    Attempt,
    Had,
    Need,
    Proof,
    Step,
    attempt_of,
    need_of,
    renewal_at,
    renewal_within,
    rest_s,
    share_of,
    step_of,
    wait_s,
)
from vestibule.protocol.acme import Authorization, Challenge, Identifier, Order

NOW = 1_800_000_000.0
DAY = 86_400.0
ACME = Acme(names=("a.test",), directories=("https://one", "https://two"))
HAD = Had(directory="https://one", not_after_at=NOW + 30 * DAY, renew_at=NOW + DAY, ask_at=NOW + 60)
HTTP, ALPN, DNS = Proof.HTTP_01, Proof.TLS_ALPN_01, Proof.DNS_01


@pytest.mark.parametrize(
    ("acme", "is_so"),
    [
        (ACME, True),
        (Acme(names=("*.a.test", "b.test")), True),
        (Acme(names=("*.a.test",), proofs=(HTTP, DNS)), False),
        (Acme(names=("a.test",), proofs=(ALPN,)), False),
    ],
    ids=["as usual", "beside a wildcard", "wildcards alone", "by TLS alone"],
)
def test_names_are_proven_by_http_where_that_is_allowed_and_none_is_a_wildcard(acme, is_so):
    assert acme.by_http == is_so


@pytest.mark.parametrize(
    ("failures", "attempt"),
    [
        (0, Attempt("https://one", HTTP)),
        (1, Attempt("https://one", ALPN)),
        (2, Attempt("https://two", HTTP)),
        (3, Attempt("https://two", ALPN)),
        (4, Attempt("https://one", HTTP)),
    ],
)
def test_each_proof_at_each_authority_is_tried_in_turn(failures, attempt):
    assert attempt_of(ACME, "a.test", failures, {}) == attempt


def test_who_rests_is_passed_over():
    assert attempt_of(ACME, "a.test", 0, {"https://one": NOW}) == Attempt("https://two", HTTP)
    assert attempt_of(ACME, "a.test", 0, {"https://one": NOW, "https://two": NOW}) is None


def test_a_wildcard_is_proven_by_a_record_alone():
    assert [attempt_of(ACME, "*.a.test", failures, {}) for failures in (0, 1)] == [
        Attempt("https://one", DNS),
        Attempt("https://two", DNS),
    ]


@pytest.mark.parametrize(
    ("had", "need"),
    [
        (None, Need.ISSUE),
        (HAD, Need.NOTHING),
        (replace(HAD, not_after_at=NOW), Need.ISSUE),
        (replace(HAD, renew_at=NOW), Need.RENEW),
        (replace(HAD, directory="https://staging"), Need.RENEW),
        (replace(HAD, ask_at=NOW), Need.ASK),
        (replace(HAD, ask_at=NOW, renew_at=NOW), Need.RENEW),
    ],
    ids=[
        "none",
        "good",
        "over",
        "due",
        "of an authority that is named no more",
        "to be asked about",
        "due first",
    ],
)
def test_what_a_name_needs(had, need):
    assert need_of(ACME, had, NOW) is need


@pytest.mark.parametrize("failures", range(1, 12))
def test_who_fails_waits_longer_each_time_and_never_too_long(failures):
    least = WAITS_S[min(failures, len(WAITS_S)) - 1]
    assert wait_s(failures, 0.0) == least
    assert least <= wait_s(failures, 1.0) <= least * 1.2


def test_no_more_than_five_fail_within_an_hour():
    at, times = 0.0, []
    for failures in range(1, 20):
        times.append(at)
        at += wait_s(failures, 0.0)
    assert max(sum(begin <= other < begin + 3600 for other in times) for begin in times) <= 5


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_certificate_is_renewed_a_bit_before_two_thirds_of_its_life(share):
    at = renewal_at(NOW, NOW + 90 * DAY, share)
    assert NOW + 54 * DAY < at <= NOW + 60 * DAY


def test_not_all_certificates_of_a_day_are_renewed_at_once():
    assert renewal_at(NOW, NOW + 90 * DAY, 0.9) < renewal_at(NOW, NOW + 90 * DAY, 0.1) - 4 * DAY


@pytest.mark.parametrize(
    ("start", "end", "share", "at"),
    [(10, 20, 0.0, 10), (10, 20, 0.5, 15), (200, 300, 0.5, 81), (-20, -10, 0.5, -15)],
    ids=["its begin", "its middle", "too late", "over already"],
)
def test_a_certificate_is_renewed_when_the_authority_suggests(start, end, share, at):
    assert renewal_within(start * DAY, end * DAY, 0.0, 90 * DAY, share) == at * DAY


@pytest.mark.parametrize(
    ("code", "asked", "rest"),
    [
        ("serverInternal", None, 300.0),
        ("serverInternal", 7200.0, 7200.0),
        ("serverInternal", 9e9, 86_400.0),
        ("rateLimited", 7200.0, 3600.0),
        ("serverInternal", 0.0, 300.0),
        ("serverInternal", 5.0, 60.0),
    ],
)
def test_an_authority_is_left_alone_as_it_says_within_bounds(code, asked, rest):
    assert rest_s(code, asked) == rest


@pytest.mark.parametrize(("fingerprint", "share"), [("", 0.0), ("00000000ff", 0.0), ("80000000ff", 0.5)])
def test_one_certificate_has_one_share(fingerprint, share):
    assert share_of(fingerprint) == share


# -- what comes next ----------------------------------------------------------------------------


def authorization(
    status: str = "pending", challenge: str = "pending", kind: str = "http-01"
) -> Authorization:
    return Authorization(
        identifier=Identifier(type="dns", value="a.test"),
        status=status,
        challenges=(Challenge(type=kind, url="https://ca/1", status=challenge, token="t"),),
    )


@pytest.mark.parametrize(
    ("order", "authorizations", "step"),
    [
        ("pending", [authorization()], Step.PROVE),
        ("pending", [authorization(challenge="processing")], Step.WAIT),
        ("pending", [authorization("valid", "valid")], Step.WAIT),
        ("pending", [authorization(challenge="invalid")], Step.FAIL),
        ("pending", [authorization("invalid", "invalid")], Step.FAIL),
        ("pending", [authorization("expired")], Step.FAIL),
        ("pending", [authorization("deactivated")], Step.FAIL),
        ("pending", [authorization("revoked")], Step.FAIL),
        ("pending", [authorization(kind="dns-01")], Step.FAIL),
        ("pending", [], Step.FAIL),
        ("pending", [authorization("valid", "valid"), authorization()], Step.PROVE),
        ("pending", [authorization(), authorization("invalid")], Step.FAIL),
        ("ready", [], Step.FINALIZE),
        ("processing", [], Step.WAIT),
        ("valid", [], Step.DOWNLOAD),
        ("invalid", [], Step.FAIL),
        ("", [], Step.FAIL),
        ("whatever", [authorization()], Step.FAIL),
    ],
)
def test_the_next_step_of_an_order(order, authorizations, step):
    assert step_of(Order(status=order), authorizations, HTTP) is step

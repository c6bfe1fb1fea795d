"""Who AWS says that somebody is."""

from __future__ import annotations

import pytest

from vestibule.protocol.arn import is_account, names_account, pattern_fault, principal_of

A = "123456789012"


@pytest.mark.parametrize(
    ("arn", "kind", "name", "session", "subject"),
    [
        (
            f"arn:aws:sts::{A}:assumed-role/ci-deploy/i-0abc",
            "role",
            "ci-deploy",
            "i-0abc",
            f"arn:aws:iam::{A}:role/ci-deploy",
        ),
        (
            f"arn:aws-cn:sts::{A}:assumed-role/a/b@example.com",
            "role",
            "a",
            "b@example.com",
            f"arn:aws-cn:iam::{A}:role/a",
        ),
        (f"arn:aws:iam::{A}:user/ann", "user", "ann", "", f"arn:aws:iam::{A}:user/ann"),
        (f"arn:aws:iam::{A}:user/ops/eu/ann", "user", "ops/eu/ann", "", f"arn:aws:iam::{A}:user/ops/eu/ann"),
        (f"arn:aws:iam::{A}:root", "root", "", "", f"arn:aws:iam::{A}:root"),
        (
            f"arn:aws:sts::{A}:federated-user/x",
            "federated-user",
            "x",
            "",
            f"arn:aws:sts::{A}:federated-user/x",
        ),
    ],
    ids=["role", "role in China", "user", "user with a path", "root", "federated"],
)
def test_a_principal_is_read(arn, kind, name, session, subject):
    found = principal_of(arn, "AROA:x")
    assert found is not None
    assert (found.kind, found.name, found.session, found.subject) == (kind, name, session, subject)
    assert (found.arn, found.account, found.user_id) == (arn, A, "AROA:x")


@pytest.mark.parametrize(
    "arn",
    [
        "",
        f"arn:aws:iam::{A}:role/ci",
        f"arn:aws:sts::{A}:assumed-role/ci",
        f"arn:aws:sts::{A}:assumed-role/ci/a/b",
        f"arn:aws:sts::{A}:assumed-role/ci/",
        f"arn:aws:sts::{A}:assumed-role/aws:ec2-instance/i-1",
        f"arn:aws:sts::{A}:assumed-role/a*/b",
        "arn:aws:sts::12345678901:assumed-role/a/b",
        f"arn:aws:sts:eu-west-1:{A}:assumed-role/a/b",
        f"arn:aws:iam::{A}:user/",
        f"arn:aws:iam::{A}:user/a\n",
        f"arn:aws:s3::{A}:user/a",
        f"arn:evil:iam::{A}:user/a",
    ],
)
def test_what_is_no_principal_is_none(arn):
    assert principal_of(arn) is None


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        (f"arn:aws:iam::{A}:role/ci-*", ""),
        ("arn:aws:iam::*:role/ci", ""),
        (f"arn:aws*:iam::{A}:user/ops/*", ""),
        (f"arn:aws:iam::{A}:root", ""),
        (f"arn:aws:sts::{A}:federated-user/*", ""),
        (f"arn:aws:iam::{A}:role/ci/deploy", "path"),
        (f"arn:aws:sts::{A}:assumed-role/ci/*", "the role itself"),
        ("*", "no ARN"),
        ("ci-deploy", "no ARN"),
        ("arn:aws:iam::1:role/ci", "no ARN"),
        ("arn:aws:iam:::role/ci", "no ARN"),
        ("arn:aws:iam::1234*:role/ci", "no ARN"),
        (f"arn:aws:iam::{A}:*", "no ARN"),
        (f"arn:aws:iam::{A}:role/", "no ARN"),
        (f"arn:aws:iam::{A}:role/a b", "path"),
    ],
)
def test_a_pattern_that_nobody_can_be_of_is_told(pattern, said):
    fault = pattern_fault(pattern)
    assert said in fault if said else not fault


def test_whether_an_account_is_named():
    assert is_account(A)
    assert not is_account("*")
    assert names_account(f"arn:aws:iam::{A}:role/ci")
    assert not names_account("arn:aws:iam::*:role/ci")

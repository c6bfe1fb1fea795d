"""Which machine somebody of AWS is."""

from __future__ import annotations

import msgspec
import pytest

from vestibule.core.aws import CLAIMS, claims_of, is_one, may_come, proven
from vestibule.core.machine import ClaimRule, Machine
from vestibule.protocol.arn import principal_of
from vestibule.protocol.sts import Signed

A, B = "111111111111", "222222222222"
SIGNED = Signed(
    method="GET",
    host="sts.eu-central-1.amazonaws.com",
    query="",
    headers={},
    body=b"",
    parameters={},
    partition="aws",
    region="eu-central-1",
    server_id="auth.example.com",
    key_id="AKIDEXAMPLE123456789",
    mark=b"",
    until=0.0,
)


def machine(**fields) -> Machine:
    return Machine(name="runner", kind="aws", hosts=("app.example.com",), **fields)


def role(name: str = "ci-deploy", account: str = A, session: str = "i-0abc", partition: str = "aws"):
    found = principal_of(f"arn:{partition}:sts::{account}:assumed-role/{name}/{session}", f"AROAX:{session}")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("fields", "who", "is_it"),
    [
        ({"accounts": (A,)}, role(), True),
        ({"accounts": (B,)}, role(), False),
        ({"accounts": (A, B)}, role(account=B), True),
        ({}, role(), False),
        ({"roles": (f"arn:aws:iam::{A}:role/ci-deploy",)}, role(), True),
        ({"roles": (f"arn:aws:iam::{A}:role/ci-*",)}, role(), True),
        ({"roles": (f"arn:aws:iam::{A}:role/ci-*",)}, role("ci"), False),
        ({"roles": (f"arn:aws:iam::{A}:role/ci-*",)}, role(account=B), False),
        ({"roles": ("arn:aws:iam::*:role/ci-*",)}, role(account=B), False),
        ({"roles": ("arn:aws:iam::*:role/ci-*",), "accounts": (A,)}, role(), True),
        ({"roles": ("arn:aws:iam::*:role/ci-*",), "accounts": (A,)}, role(account=B), False),
        ({"roles": ("*",), "accounts": (A,)}, role(), False),
        ({"roles": (f"arn:aws:iam::{A}:*",)}, role(), False),
        (
            {"accounts": (A,), "roles": ("arn:aws:iam::*:role/ci",)},
            principal_of(f"arn:aws:iam::{A}:user/ci"),
            False,
        ),
        ({"roles": (f"arn:aws:iam::{A}:user/*",)}, principal_of(f"arn:aws:iam::{A}:user/ops/ann"), False),
        ({"roles": (f"arn:aws:iam::{A}:user/ops/*",)}, principal_of(f"arn:aws:iam::{A}:user/ops/ann"), True),
        ({"accounts": (A,)}, role(partition="aws-cn"), False),
        ({"accounts": (A,), "partitions": ("aws-cn",)}, role(partition="aws-cn"), True),
        ({"accounts": (A,), "claims": (ClaimRule("session", ("i-*",)),)}, role(), True),
        ({"accounts": (A,), "claims": (ClaimRule("session", ("i-*",)),)}, role(session="ann"), False),
        ({"accounts": (A,), "claims": (ClaimRule("user_id", ("AROAX*",)),)}, role(), False),
        ({"accounts": (A,), "claims": (ClaimRule("user_id", ("AROAX:i-0abc",)),)}, role(), True),
    ],
    ids=[
        "any role of its account",
        "another account",
        "of two accounts",
        "nothing is written",
        "the role",
        "the pattern",
        "not of the pattern",
        "the same role of another account",
        "any account is no account",
        "any of the accounts",
        "a role of none of the accounts",
        "a star crosses nothing",
        "a star does not cross a slash",
        "a user named as the role",
        "a user's path is not crossed",
        "a user of the path",
        "another partition",
        "the partition that is written",
        "a session that begins so",
        "another session",
        "a star does not cross a colon",
        "a user id",
    ],
)
def test_who_is_the_machine(fields, who, is_it):
    assert is_one(machine(**fields), who) is is_it


@pytest.mark.parametrize(
    ("tags", "is_it"),
    [
        ({"runner.example.com/id": "r-1", "env": "prod"}, True),
        ({"runner.example.com/id": "r-1"}, False),
        ({"runner.example.com/id": "r-1", "env": "test"}, False),
        ({"runner.example.com/id": "x", "env": "prod"}, False),
        ({}, False),
    ],
    ids=["both", "one is missing", "another value", "not of the pattern", "none"],
)
def test_all_tags_must_be_as_written(tags, is_it):
    rules = (ClaimRule("runner.example.com/id", ("r-*",)), ClaimRule("env", ("stage", "prod")))
    assert is_one(machine(accounts=(A,), tags=rules), role(), tags) is is_it


def test_an_empty_tag_is_not_one_that_is_missing():
    empty, any_text = (ClaimRule("env", ("",)),), (ClaimRule("env", ("*",)),)
    assert is_one(machine(accounts=(A,), tags=empty), role(), {"env": ""})
    assert not is_one(machine(accounts=(A,), tags=empty), role(), {})
    assert is_one(machine(accounts=(A,), tags=any_text), role(), {"env": "x"})
    assert not is_one(machine(accounts=(A,), tags=any_text), role(), {"env": ""})
    assert not is_one(machine(accounts=(A,), tags=any_text), role(), {})


@pytest.mark.parametrize(
    ("fields", "may"),
    [
        ({}, True),
        ({"server_id": "auth.example.com"}, True),
        ({"server_id": "other"}, False),
        ({"regions": ("eu-central-1",)}, True),
        ({"regions": ("us-east-1",)}, False),
        ({"partitions": ("aws-cn",)}, False),
    ],
    ids=["as it is", "its own id", "another id", "its region", "another region", "another partition"],
)
def test_which_requests_may_come_for_a_machine(fields, may):
    assert may_come(machine(**fields), SIGNED, here="auth.example.com") is may


def test_a_request_for_another_gateway_is_for_no_machine():
    assert not may_come(machine(), SIGNED, here="auth.example.org")
    assert not may_come(machine(server_id="x"), SIGNED, here="auth.example.com")


def test_a_machine_of_another_kind_is_never_meant():
    other = msgspec.structs.replace(machine(), kind="github")
    assert not may_come(other, SIGNED, here="auth.example.com")


def test_what_is_told_of_it():
    assert claims_of(role()) == {
        "account": A,
        "arn": f"arn:aws:sts::{A}:assumed-role/ci-deploy/i-0abc",
        "partition": "aws",
        "role": "ci-deploy",
        "session": "i-0abc",
        "user_id": "AROAX:i-0abc",
    }
    found = proven(machine(), role())
    assert (found.machine, found.subject) == ("runner", f"arn:aws:iam::{A}:role/ci-deploy")
    root = principal_of(f"arn:aws:iam::{A}:root")
    assert root is not None
    assert claims_of(root)["root"] == "root"
    assert {*claims_of(root), *claims_of(role())} <= {*CLAIMS}

"""What AWS answers, as its documentation and moto have it, and what is not taken for an answer."""

from __future__ import annotations

import boto3
import pytest
from moto import mock_aws

from vestibule.protocol.aws_answer import ANSWER_MAX_BYTES, credentials_in, error_in, principal_in, tags_in

A = "123456789012"
ARN = f"arn:aws:sts::{A}:assumed-role/ci-deploy/i-0123456789abcdef0"
INSTANCE = "i-0123456789abcdef0"


def identity(arn: str = ARN, account: str = A, more: str = "", start: str = "") -> bytes:
    return f"""{start}<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <GetCallerIdentityResult>
    <Arn>{arn}</Arn>
    <UserId>AROA123EXAMPLE123EXAMPLE:{INSTANCE}</UserId>
    <Account>{account}</Account>{more}
  </GetCallerIdentityResult>
  <ResponseMetadata><RequestId>01234567-89ab-cdef-0123-456789abcdef</RequestId></ResponseMetadata>
</GetCallerIdentityResponse>""".encode()


def test_who_signed_is_read():
    found = principal_in(identity())
    assert found is not None
    assert (found.arn, found.account) == (ARN, A)
    assert found.user_id == f"AROA123EXAMPLE123EXAMPLE:{INSTANCE}"


@pytest.mark.parametrize(
    "start",
    ["", '<?xml version="1.0" encoding="UTF-8"?>\n', "<?xml version='1.0'?>"],
    ids=["bare", "utf-8", "xml"],
)
def test_a_declaration_may_stand_before_it(start):
    assert principal_in(identity(start=start)) is not None


BOMB = '<!DOCTYPE x [<!ENTITY a "aa"><!ENTITY b "&a;&a;">]>'


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{}",
        b"<x/>",
        identity()[:-1],
        identity(start=BOMB),
        identity(start='<!DOCTYPE x SYSTEM "file:///etc/passwd">'),
        identity(arn=f"{ARN}<!-- -->"),
        identity(arn=f"<![CDATA[{ARN}]]>"),
        identity(start='<?xml version="1.0" encoding="utf-16"?>').decode().encode("utf-16"),
        identity(arn="&a;"),
        identity(arn="arn:aws:s3:::bucket"),
        identity(arn=f"<b>{ARN}</b>"),
        identity(account="210987654321"),
        identity(account=""),
        identity(more=f"<Arn>{ARN}</Arn>"),
        identity(more=f"<Account>{A}</Account>"),
        identity(more=" " * ANSWER_MAX_BYTES),
        b"\xff" + identity(),
        b"<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>",
    ],
    ids=[
        "nothing",
        "JSON",
        "another document",
        "broken off",
        "entities",
        "a file",
        "a comment in a name",
        "character data",
        "another encoding",
        "an entity",
        "another ARN",
        "an element in a name",
        "another account",
        "no account",
        "two names",
        "two accounts",
        "too long",
        "no text",
        "an error",
    ],
)
def test_what_is_no_answer_is_none(body):
    assert principal_in(body) is None


def tagged(instance: str = INSTANCE, kind: str = "instance") -> bytes:
    return f"""<DescribeTagsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">
  <requestId>7a62c49f-347e-4fc4-9331-6e8eEXAMPLE</requestId>
  <tagSet>
    <item><resourceId>{INSTANCE}</resourceId><resourceType>instance</resourceType>
      <key>env</key><value>prod</value></item>
    <item><resourceId>{instance}</resourceId><resourceType>{kind}</resourceType>
      <key>runner.example.com/id</key><value>r-1</value></item>
  </tagSet>
</DescribeTagsResponse>""".encode()


def test_tags_are_read():
    assert tags_in(tagged(), INSTANCE) == {"env": "prod", "runner.example.com/id": "r-1"}


@pytest.mark.parametrize(
    "body",
    [tagged(instance="i-0bad"), tagged(kind="volume"), identity(), b"<DescribeTagsResponse/>", b""],
    ids=["of another instance", "of a volume", "another answer", "no set", "nothing"],
)
def test_tags_of_anything_else_are_none(body):
    assert tags_in(body, INSTANCE) is None


def test_the_code_of_an_error_is_read():
    body = (
        b"<ErrorResponse><Error><Type>Sender</Type><Code>SignatureDoesNotMatch</Code></Error></ErrorResponse>"
    )
    assert error_in(body) == "SignatureDoesNotMatch"
    assert error_in(b"<Code>a\nb</Code>") == ""


@mock_aws
def test_answers_have_the_shape_of_motos():
    """Of a program that plays AWS and was written by others."""
    said: list[bytes] = []
    sts = boto3.client("sts", "eu-central-1", aws_access_key_id="a", aws_secret_access_key="b")
    taken = sts.assume_role(RoleArn=f"arn:aws:iam::{A}:role/ci-deploy", RoleSessionName=INSTANCE)[
        "Credentials"
    ]
    runner = boto3.client(
        "sts",
        "eu-central-1",
        aws_access_key_id=taken["AccessKeyId"],
        aws_secret_access_key=taken["SecretAccessKey"],
        aws_session_token=taken["SessionToken"],
    )
    runner.meta.events.register("before-parse", lambda response_dict, **_: said.append(response_dict["body"]))
    theirs = runner.get_caller_identity()
    ours = principal_in(said[-1])
    assert ours is not None
    assert (ours.arn, ours.account, ours.user_id) == (theirs["Arn"], theirs["Account"], theirs["UserId"])
    assert ours.subject == f"arn:aws:iam::{A}:role/ci-deploy"


def taken(more: str = "", token: str = "t", action: str = "AssumeRole") -> bytes:
    return f"""<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result>
<Credentials><AccessKeyId>ASIAEXAMPLE</AccessKeyId><SecretAccessKey>s/+=</SecretAccessKey>
<SessionToken>{token}</SessionToken><Expiration>2100-01-01T00:00:00Z</Expiration></Credentials>{more}
</{action}Result></{action}Response>""".encode()


def test_credentials_of_a_role_are_read_and_not_shown():
    found = credentials_in(taken(), "AssumeRole")
    assert found is not None
    assert found.token is not None
    assert (found.key_id, found.secret.reveal(), found.token.reveal()) == ("ASIAEXAMPLE", "s/+=", "t")
    assert "s/+=" not in repr(found)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        identity(),
        taken(action="GetSessionToken"),
        taken(token=""),
        taken("<Credentials></Credentials>"),
        BOMB.encode() + taken(),
        b"<ErrorResponse><Error><Code>AccessDenied</Code></Error></ErrorResponse>",
    ],
    ids=["nothing", "another call", "another action", "no token", "two", "entities", "an error"],
)
def test_what_gives_no_credentials(body):
    assert credentials_in(body, "AssumeRole") is None

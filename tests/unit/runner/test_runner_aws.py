"""Where a machine of AWS finds what it signs with, and what it shows."""

from __future__ import annotations

import pytest

from tests.unit.runner.conftest import shown
from vestibule.errors import ClientError
from vestibule.model import Secret
from vestibule.protocol.sigv4 import Credentials
from vestibule.protocol.sts import DESCRIBE_TAGS, GET_CALLER_IDENTITY, judged, proof_of
from vestibule.runner import local
from vestibule.runner.aws import Runner, Signer

NOW = 1_790_000_000.0
KEY_ID, SECRET, TOKEN = "AKIDEXAMPLE123456789", "a-secret-of-aws", "a-token-of-aws"
GIVEN = {"AccessKeyId": KEY_ID, "SecretAccessKey": SECRET, "Token": TOKEN, "Code": "Success"}
INSTANCE = "http://169.254.169.254/latest"
ROLES = f"{INSTANCE}/meta-data/iam/security-credentials/"


def test_the_environment_comes_first(platform):
    env = {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_SESSION_TOKEN": TOKEN}
    also = {"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/x", "AWS_WEB_IDENTITY_TOKEN_FILE": "/x"}
    assert shown(Runner({**env, **also}).credentials()) == (KEY_ID, SECRET, TOKEN)
    assert shown(Runner({**env, "AWS_SESSION_TOKEN": ""}).credentials()) == (KEY_ID, SECRET, "")
    assert platform.asked == []


@pytest.mark.parametrize(
    ("env", "url", "authorization"),
    [
        ({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/x"}, "http://169.254.170.2/v2/x", None),
        (
            {
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1/credentials",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN": "one",
            },
            "http://169.254.170.23/v1/credentials",
            "one",
        ),
        (
            {
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://[fd00:ec2::23]/v1/credentials",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN": "one",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "FILE",
            },
            "http://[fd00:ec2::23]/v1/credentials",
            "of-the-file",
        ),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "https://a.example/c"}, "https://a.example/c", None),
        ({"AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9/c"}, "http://127.0.0.1:9/c", None),
    ],
    ids=["ECS", "EKS with a token", "EKS with a file", "https", "loopback"],
)
def test_a_container_asks_its_agent(platform, tmp_path, env, url, authorization):
    file = tmp_path / "token"
    file.write_text("of-the-file\n")
    platform.answers[url] = GIVEN
    found = Runner(
        {name: str(file) if value == "FILE" else value for name, value in env.items()}
    ).credentials()
    assert shown(found) == (KEY_ID, SECRET, TOKEN)
    assert platform.asked == [("GET", url, {"Authorization": authorization} if authorization else {})]


@pytest.mark.parametrize(
    "url", ["http://a.example/c", "http://169.254.170.2.a.example/c", "http://10.0.0.1/c"]
)
def test_no_credentials_come_over_a_network_in_the_clear(platform, url):
    with pytest.raises(ClientError) as caught:
        Runner({"AWS_CONTAINER_CREDENTIALS_FULL_URI": url}).credentials()
    assert (caught.value.code, platform.asked) == ("bad_url", [])


def test_an_instance_is_asked_by_a_session_of_its_metadata(platform):
    platform.answers |= {
        f"{INSTANCE}/api/token": "session",
        ROLES: "ci-deploy\n",
        f"{ROLES}ci-deploy": GIVEN,
        f"{INSTANCE}/meta-data/placement/region": "eu-central-1",
        f"{INSTANCE}/meta-data/instance-id": "i-0123456789abcdef0",
    }
    runner = Runner({})
    assert shown(runner.credentials()) == (KEY_ID, SECRET, TOKEN)
    assert (runner.region(), runner.instance()) == ("eu-central-1", "i-0123456789abcdef0")
    begun, *more = platform.asked
    assert begun == ("PUT", f"{INSTANCE}/api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "60"})
    assert [headers for _, _, headers in more] == [{"X-aws-ec2-metadata-token": "session"}] * 4


@pytest.mark.parametrize(
    ("env", "code"),
    [
        ({}, "credentials_missing"),
        ({"AWS_EC2_METADATA_DISABLED": "true"}, "credentials_missing"),
        ({"AWS_WEB_IDENTITY_TOKEN_FILE": "/x"}, "credentials_missing"),
        ({"AWS_ACCESS_KEY_ID": KEY_ID}, "credentials_missing"),
        ({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/x"}, "platform_silent"),
        (
            {
                "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/x",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/nowhere",
            },
            "file_unreadable",
        ),
    ],
    ids=["nothing", "switched off", "a pod's token", "half a key", "a silent agent", "no file"],
)
def test_a_machine_without_credentials_is_told(platform, env, code):
    with pytest.raises(ClientError) as caught:
        Runner(env).credentials()
    assert caught.value.code == code


def test_an_answer_without_a_secret_is_no_answer_and_is_not_told(platform):
    platform.answers["http://169.254.170.2/x"] = {"AccessKeyId": KEY_ID, "SecretAccessKey": 5, "Token": TOKEN}
    with pytest.raises(ClientError) as caught:
        Runner({"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/x"}).credentials()
    assert "SecretAccessKey" in str(caught.value)
    assert TOKEN not in str(caught.value)


def test_where_it_is(platform):
    assert Runner({"AWS_REGION": "a", "AWS_DEFAULT_REGION": "b"}).region() == "a"
    assert Runner({"AWS_DEFAULT_REGION": "b"}).region() == "b"
    with pytest.raises(ClientError, match="--region"):
        Runner({}).region()


@pytest.mark.parametrize(
    ("region", "partition"),
    [
        ("eu-central-1", "aws"),
        ("us-gov-west-1", "aws-us-gov"),
        ("cn-north-1", "aws-cn"),
        ("eusc-de-east-1", "aws-eusc"),
    ],
)
def test_what_it_shows_is_good_by_its_shape(region, partition):
    credentials = Credentials(key_id=KEY_ID, secret=Secret(SECRET), token=Secret(TOKEN))
    signer = Signer("auth.example.com", credentials=credentials, region=region, now=NOW, nonce="n")
    for proof in (signer.proof(), signer.proof("i-0123456789abcdef0")):
        assert SECRET not in proof.reveal()
        found = proof_of(proof.reveal())
        signed = judged(found.sts, GET_CALLER_IDENTITY, now=NOW)
        assert (signed.partition, signed.region, signed.server_id) == (partition, region, "auth.example.com")
    assert found.tags is not None
    tags = judged(found.tags, DESCRIBE_TAGS, now=NOW)
    assert tags.parameters["Filter.1.Value.1"] == "i-0123456789abcdef0"


def test_two_requests_of_one_second_are_not_the_same():
    credentials = Credentials(key_id=KEY_ID, secret=Secret(SECRET), token=Secret(TOKEN))
    marks = {
        judged(
            proof_of(
                Signer("a", credentials=credentials, region="eu-west-1", now=NOW, nonce=nonce)
                .proof()
                .reveal()
            ).sts,
            GET_CALLER_IDENTITY,
            now=NOW,
        ).mark
        for nonce in ("one", "two")
    }
    assert len(marks) == 2


def test_who_answers_is_not_quoted():
    with pytest.raises(ClientError) as caught:
        local.member(b'{"Token": "a-token-of-aws"', "Token", "the answer")
    assert "a-token-of-aws" not in str(caught.value)

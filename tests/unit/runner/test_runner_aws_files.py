"""Profiles and the roles they name: the same credentials as AWS's own library finds, and no others."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import botocore.session
import pytest

from tests.unit.runner.conftest import Platform, shown
from vestibule.errors import ClientError
from vestibule.runner.aws import Runner

NOW = 1_790_000_000.0
KEY_ID, SECRET, TOKEN = "AKIDEXAMPLE123456789", "a-secret-of-aws", "a-token-of-aws"
ENV_KEYS = {"AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET}
CONFIG = f"""
[default]
region = eu-west-1
credential_process = {sys.executable} {{PROCESS}} process-of-default

[profile both]
aws_access_key_id = {"C" * 20}
aws_secret_access_key = of-config
[profile "quoted name"]
aws_access_key_id = {"Q" * 20}
aws_secret_access_key = of-quoted
region = us-east-2
[profile process]
credential_process = {sys.executable} {{PROCESS}} "one word"
aws_access_key_id = {"C" * 20}
aws_secret_access_key = of-config
[profile nested]
s3 =
    max_concurrent_requests = 20
    aws_access_key_id = of-s3
aws_access_key_id = {"N" * 20}
aws_secret_access_key = of-nested
[profile empty]
output = json
[both]
aws_access_key_id = no-profile
aws_secret_access_key = no-profile
"""
CREDENTIALS = f"""
[both]
aws_access_key_id = {"D" * 20}
aws_secret_access_key = of/credentials+==
aws_session_token = a-session
# [nested]
[ours]
aws_access_key_id={"E" * 20}
aws_secret_access_key=of-ours
"""
PROCESS = """
import json, sys
print(json.dumps({"Version": 1, "AccessKeyId": "P" * 20, "SecretAccessKey": sys.argv[1]}))
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    folder = tmp_path / ".aws"
    folder.mkdir()
    process = tmp_path / "process.py"
    process.write_text(PROCESS)
    (folder / "config").write_text(CONFIG.replace("{PROCESS}", str(process)))
    (folder / "credentials").write_text(CREDENTIALS)
    return tmp_path


@pytest.mark.parametrize("profile", ["", "default", "both", "quoted name", "process", "nested", "ours"])
@pytest.mark.parametrize(
    "env",
    [{}, ENV_KEYS, {"AWS_PROFILE": "ours"}, {"AWS_PROFILE": "process", **ENV_KEYS}],
    ids=["nothing", "keys", "a profile", "keys and a profile"],
)
def test_a_profile_is_what_it_is_to_awss_own_library(
    platform: Platform, home: Path, monkeypatch: pytest.MonkeyPatch, profile: str, env: dict[str, str]
) -> None:
    """The same files and environment, looked at by botocore."""
    env = {"HOME": str(home), "AWS_EC2_METADATA_DISABLED": "true", "PATH": os.defpath, **env}
    for name in os.environ:
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    session = botocore.session.Session(profile=profile or None)
    theirs = session.get_credentials()
    runner = Runner(env, profile=profile)
    assert theirs is not None
    assert shown(runner.credentials()) == (theirs.access_key, theirs.secret_key, theirs.token or "")
    if region := session.get_config_variable("region"):
        assert runner.region() == region
    assert platform.asked == []


def test_files_may_lie_elsewhere_and_what_a_profile_lacks_comes_from_further_on(
    platform: Platform, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "x").write_text(
        f"[default]\naws_access_key_id = {KEY_ID}\naws_secret_access_key = {SECRET}\n"
    )
    elsewhere = {"AWS_SHARED_CREDENTIALS_FILE": "~/x", "AWS_CONFIG_FILE": "/nowhere", "HOME": str(tmp_path)}
    assert shown(Runner(elsewhere).credentials()) == (KEY_ID, SECRET, "")
    given = {"AccessKeyId": KEY_ID, "SecretAccessKey": SECRET, "Token": TOKEN}
    platform.answers["http://169.254.170.2/x"] = given
    env = {"HOME": str(home), "AWS_PROFILE": "empty", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/x"}
    assert shown(Runner(env).credentials()) == (KEY_ID, SECRET, TOKEN)


ROLE = "arn:aws:iam::123456789012:role/ci-deploy"
TAKEN = f"""<{{0}}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{{0}}Result><Credentials>
<SessionToken>{TOKEN}</SessionToken><SecretAccessKey>{SECRET}</SecretAccessKey>
<Expiration>2100-01-01T00:00:00Z</Expiration><AccessKeyId>{KEY_ID}</AccessKeyId></Credentials>
<AssumedRoleUser><Arn>x</Arn><AssumedRoleId>y</AssumedRoleId></AssumedRoleUser></{{0}}Result></{{0}}Response>"""
STS = "https://sts.eu-central-1.amazonaws.com/"


@pytest.mark.parametrize("by_profile", [False, True], ids=["environment", "profile"])
def test_a_pod_has_the_role_of_its_token(platform: Platform, tmp_path: Path, by_profile: bool) -> None:
    platform.answers[STS] = TAKEN.format("AssumeRoleWithWebIdentity")
    file = tmp_path / "token"
    file.write_text("a.pods.token\n")
    env = {"AWS_REGION": "eu-central-1", "HOME": str(tmp_path)}
    if by_profile:
        (tmp_path / ".aws").mkdir()
        (tmp_path / ".aws/config").write_text(
            f"[default]\nrole_arn={ROLE}\nweb_identity_token_file={file}\nrole_session_name=pod-1\n"
        )
    else:
        of_pod = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(file), "AWS_ROLE_ARN": ROLE}
        env |= {**of_pod, "AWS_ROLE_SESSION_NAME": "pod-1"}
    assert shown(Runner(env).credentials()) == (KEY_ID, SECRET, TOKEN)
    ((method, url, headers),) = platform.asked
    assert (method, url, "authorization" in headers) == ("POST", STS, False)
    assert platform.forms == [
        {
            "Action": "AssumeRoleWithWebIdentity",
            "RoleArn": ROLE,
            "RoleSessionName": "pod-1",
            "Version": "2011-06-15",
            "WebIdentityToken": "a.pods.token",
        }
    ]


ROLES_FILE = f"""
[profile deploy]
role_arn = {ROLE}
source_profile = base
external_id = ours
duration_seconds = 900
region = eu-central-1
[profile base]
role_arn = {ROLE}-base
credential_source = Environment
[profile itself]
role_arn = {ROLE}
source_profile = itself
region = eu-central-1
aws_access_key_id = {KEY_ID}
aws_secret_access_key = {SECRET}
[profile circle]
role_arn = {ROLE}
source_profile = circle-2
[profile circle-2]
role_arn = {ROLE}
source_profile = circle
[profile mfa]
role_arn = {ROLE}
source_profile = base
mfa_serial = arn:aws:iam::123456789012:mfa/somebody
[profile twice]
role_arn = {ROLE}
source_profile = base
credential_source = Environment
[profile alone]
role_arn = {ROLE}
aws_access_key_id = {KEY_ID}
aws_secret_access_key = {SECRET}
[profile nobody]
role_arn = {ROLE}
source_profile = not-there
[profile person]
sso_session = acme
sso_account_id = 123456789012
[profile broken]
credential_process = {sys.executable} -c "raise SystemExit(3)"
[profile strange]
credential_process = {sys.executable} -c "print('no JSON, but a-secret-of-aws')"
[profile gone]
credential_process = /nowhere/at-all
"""


def roles(tmp_path: Path, **env: str) -> dict[str, str]:
    file = tmp_path / "config"
    file.write_text(ROLES_FILE)
    return {"AWS_CONFIG_FILE": str(file), "AWS_REGION": "eu-central-1", **ENV_KEYS, **env}


def test_a_role_is_taken_by_the_keys_of_another_profile_and_of_a_third(
    platform: Platform, tmp_path: Path
) -> None:
    platform.answers[STS] = TAKEN.format("AssumeRole")
    found = Runner(roles(tmp_path), profile="deploy", now=lambda: NOW).credentials()
    assert shown(found) == (KEY_ID, SECRET, TOKEN)
    first, second = platform.forms
    assert (first["RoleArn"], first["RoleSessionName"]) == (f"{ROLE}-base", f"vestibule-{int(NOW)}")
    assert (second["RoleArn"], second["ExternalId"], second["DurationSeconds"]) == (ROLE, "ours", "900")
    signed = [headers for _, _, headers in platform.asked]
    assert "x-amz-security-token" not in signed[0]
    assert signed[1]["x-amz-security-token"] == TOKEN
    assert SECRET not in str(platform.forms) + str(platform.asked)
    assert shown(Runner(roles(tmp_path), profile="itself", now=lambda: NOW).credentials())[2] == TOKEN


@pytest.mark.parametrize(
    ("profile", "said"),
    [
        ("circle", "leads to itself"),
        ("mfa", "mfa_serial"),
        ("twice", "no credentials to take it by"),
        ("alone", "no credentials to take it by"),
        ("nobody", "there is no AWS profile `not-there`"),
        ("not-there", "there is no AWS profile `not-there`"),
        ("person", "export-credentials --profile person"),
        ("broken", "ends with 3"),
        ("strange", "has no AccessKeyId"),
        ("gone", "can't be run: No such file"),
    ],
)
def test_a_profile_that_gives_no_credentials_is_told(
    platform: Platform, tmp_path: Path, profile: str, said: str
) -> None:
    with pytest.raises(ClientError) as caught:
        Runner(roles(tmp_path), profile=profile).credentials()
    assert said in str(caught.value)
    assert SECRET not in str(caught.value)
    assert platform.asked == []


def test_a_file_that_cant_be_read_is_told_without_its_lines(tmp_path: Path) -> None:
    file = tmp_path / "credentials"
    file.write_text(f"aws_secret_access_key = {SECRET}\n")
    with pytest.raises(ClientError) as caught:
        Runner({"AWS_SHARED_CREDENTIALS_FILE": str(file)})
    assert caught.value.code == "file_unreadable"
    assert SECRET not in str(caught.value)


def test_another_sts_is_asked_where_that_is_written_and_never_in_the_clear(
    platform: Platform, tmp_path: Path
) -> None:
    url = "https://vpce.example/"
    platform.answers[url] = platform.answers[STS] = TAKEN.format("AssumeRole")

    def ask(**env: str) -> None:
        Runner(roles(tmp_path, **env), profile="itself").credentials()

    ask(AWS_ENDPOINT_URL_STS="https://vpce.example")
    ask(AWS_ENDPOINT_URL=url)
    assert {asked for _, asked, _ in platform.asked} == {url}
    ask(AWS_ENDPOINT_URL=url, AWS_IGNORE_CONFIGURED_ENDPOINT_URLS="true")
    assert platform.asked[-1][1] == STS
    count = len(platform.asked)
    with pytest.raises(ClientError) as caught:
        ask(AWS_ENDPOINT_URL_STS="http://sts.evil.example")
    assert (caught.value.code, len(platform.asked)) == ("bad_url", count)
    platform.answers[STS] = TAKEN.format("GetSessionToken")
    with pytest.raises(ClientError, match="something else"):
        ask()

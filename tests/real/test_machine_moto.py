"""Machines of AWS where moto is AWS: what its STS and EC2 answer and refuse, and roles that a runner takes first."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from tests.ports import Ports
from tests.real.moto_aws import Moto
from tests.real.standin_aws import IDENTITY, REGION
from tests.real.test_machine_aws import GATEWAY, Site
from tests.real.visitor import new_visitor

pytestmark = pytest.mark.real

CONFIGURATION = """
gateway {
  http = ["127.0.0.1:{port}"]
}

host "127.0.0.1" {
  backend = "internal:echo"
  access {
    allow = ["machine:runner", "machine:tagged"]
  }
}

machine "runner" {
  kind     = "aws"
  hosts    = ["127.0.0.1"]
  accounts = ["123456789012"]
  roles    = ["arn:aws:iam::123456789012:role/ci-*"]
  endpoint = "AWS"
}

machine "tagged" {
  kind     = "aws"
  hosts    = ["127.0.0.1"]
  accounts = ["123456789012"]
  roles    = ["arn:aws:iam::123456789012:role/ci-*"]
  tags     = { env = "prod" }
  endpoint = "AWS"
}
"""
TAGS = "Action=DescribeTags&Version=2016-11-15&Filter.1.Name=resource-id&Filter.1.Value.1={}"
ARN = "arn:aws:iam::123456789012:role/"


@pytest.fixture
async def site(api: Any, gateway: Any, ports: Ports) -> AsyncIterator[Site]:
    with Moto() as moto:
        moto.add_role("ci-deploy", "ec2:DescribeTags", "sts:AssumeRole")
        moto.add_role("ci-blind")
        moto.add_role("admin")
        server = await api(answer=moto.answer)
        port = ports.take()
        started = gateway(CONFIGURATION.replace("AWS", server.url), port=port)
        async with new_visitor(user_agent="runner/1") as program:
            yield Site(f"http://127.0.0.1:{port}", moto, server.url, started, program)  # type: ignore[arg-type]


async def test_what_aws_says_of_signatures_tags_and_rights_decides(site: Site) -> None:
    moto: Any = site.aws
    instance, other = moto.run_instance(env="prod"), moto.run_instance(env="test")
    good, bad = moto.key_of("ci-deploy", instance), moto.key_of("ci-deploy", other)
    blind, stranger = moto.key_of("ci-blind", instance), moto.key_of("admin", instance)

    def both(key: Any, about: str) -> dict[str, Any]:
        tags = key.signed(GATEWAY, service="ec2", query="", body=TAGS.format(about))
        return {"sts": key.signed(GATEWAY, query="", body=IDENTITY), "tags": tags}

    with moto.judging():
        status, told = await site.exchange(good.signed(GATEWAY, query="", body=IDENTITY))
        assert status == 200, told
        assert await site.admits(told["access_token"])
        # Refusals as they are worded there.
        forged = good.signed(GATEWAY, query="", body=IDENTITY, secret="guessed")
        assert "SignatureDoesNotMatch" in await site.refused(forged)
        unknown = good.signed(GATEWAY, query="", body=IDENTITY)
        unknown["headers"] = [
            {**one, "value": one["value"].replace(good.id, "ASIAZZZZZZZZZZZZZZZZ")}
            for one in unknown["headers"]
        ]
        assert "InvalidClientTokenId" in await site.refused(unknown)
        said = await site.refused(stranger.signed(GATEWAY, query="", body=IDENTITY))
        assert f"no machine here is {ARN}admin" in said

        status, told = await site.exchange(both(good, instance), client_id="tagged")
        assert status == 200, told
        assert f"no machine here is {ARN}ci-deploy" in await site.refused(
            both(bad, other), client_id="tagged"
        )
        assert "another instance" in await site.refused(both(bad, instance), client_id="tagged")
        refused = await site.refused(both(blind, instance), client_id="tagged")
        assert "AWS refuses it: AccessDenied (ec2)" in refused
        wrong = {**both(good, instance), "tags": both(good, instance)["tags"]}
        wrong["tags"] = good.signed(
            GATEWAY, service="ec2", query="", body=TAGS.format(instance), secret="guessed"
        )
        assert "AWS refuses it: AuthFailure (ec2)" in await site.refused(wrong, client_id="tagged")
    for secret in (good.secret, good.token, blind.secret):
        assert secret not in site.gateway.log


async def test_a_pod_and_a_profile_take_their_role_first(site: Site, tmp_path: Path) -> None:
    moto: Any = site.aws
    file = tmp_path / "token"
    file.write_text("a.pods.token")
    sts = {"AWS_ENDPOINT_URL_STS": site.url, "AWS_REGION": REGION}
    pod = {"AWS_WEB_IDENTITY_TOKEN_FILE": str(file), "AWS_ROLE_ARN": f"{ARN}ci-deploy"}
    status, out, err = await site.run("aws", **sts, **pod)
    assert (status, err) == (0, "")
    assert await site.admits(out.strip())
    assert moto.calls == {"AssumeRoleWithWebIdentity": 1, "GetCallerIdentity": 1}

    base = moto.key_of("ci-deploy", "base")
    config = tmp_path / "config"
    config.write_text(
        f"[profile deploy]\nrole_arn = {ARN}ci-blind\nsource_profile = base\nregion = {REGION}\n"
        f"[profile base]\naws_access_key_id = {base.id}\naws_secret_access_key = {base.secret}\n"
        f"aws_session_token = {base.token}\n"
        f"[profile wrong]\nrole_arn = {ARN}ci-blind\nsource_profile = guessed\nregion = {REGION}\n"
        f"[profile guessed]\naws_access_key_id = {base.id}\naws_secret_access_key = guessed\n"
        f"aws_session_token = {base.token}\n"
    )
    env = {**sts, "AWS_CONFIG_FILE": str(config)}
    status, out, err = await site.run("aws", "--profile", "deploy", **env)
    assert (status, err) == (0, "")
    assert await site.admits(out.strip())
    # The request for a role is a POST, whose signature moto judges.
    with moto.judging():
        status, out, err = await site.run("aws", "--profile", "wrong", **env)
        assert (status, out) == (1, "")
        assert "the role can't be had" in err
        assert "status 403 SignatureDoesNotMatch" in err
        assert base.secret not in err
        count = moto.calls["AssumeRole"]
        await site.run("aws", "--profile", "deploy", **env)
        # What comes next is a GET.
        assert (moto.calls["AssumeRole"], moto.calls["GetCallerIdentity"]) == (count + 1, 3)

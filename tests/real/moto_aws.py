"""AWS as moto plays it, over HTTP: its answers and its refusals in their own shapes, with its keys, roles and tags.

Signatures of POSTs are judged by moto (`judging`). It takes the query of a GET for its body, so that it knows none of a
GET that is good: `standin_aws` judges these.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Self
from urllib.parse import parse_qsl

import boto3
from aiohttp import web
from botocore.awsrequest import AWSPreparedRequest
from moto import mock_aws, settings
from moto.core.models import botocore_stubber

from tests.real.standin_aws import REGION, Key

TRUST = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
}


class Moto:
    """One account of AWS. `calls` counts what came, by action."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self._mock = mock_aws()

    def __enter__(self) -> Self:
        self._mock.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._mock.stop()

    def client(self, service: str) -> Any:
        return boto3.client(service, REGION, aws_access_key_id="a", aws_secret_access_key="b")

    def add_role(self, name: str, *actions: str) -> None:
        """One that anybody may take; it may do this."""
        iam = self.client("iam")
        iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))
        may = [{"Effect": "Allow", "Action": action, "Resource": "*"} for action in actions]
        document = json.dumps({"Version": "2012-10-17", "Statement": may})
        if may:
            iam.put_role_policy(RoleName=name, PolicyName="may", PolicyDocument=document)

    def run_instance(self, **tags: str) -> str:
        """The id of an instance of EC2 with these tags."""
        listed = [{"Key": name, "Value": value} for name, value in tags.items()]
        done = self.client("ec2").run_instances(
            ImageId="ami-12c6146b",
            MinCount=1,
            MaxCount=1,
            TagSpecifications=[{"ResourceType": "instance", "Tags": listed}],
        )
        return str(done["Instances"][0]["InstanceId"])

    def key_of(self, role: str, session: str) -> Key:
        """What it gave somebody for a session of this role."""
        arn = f"arn:aws:iam::123456789012:role/{role}"
        given = self.client("sts").assume_role(RoleArn=arn, RoleSessionName=session)["Credentials"]
        key = Key(role, session=session)
        key.id, key.secret, key.token = (
            given[name] for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")
        )
        return key

    @contextmanager
    def judging(self) -> Iterator[None]:
        """Meanwhile signatures and policies count."""
        before, settings.INITIAL_NO_AUTH_ACTION_COUNT = settings.INITIAL_NO_AUTH_ACTION_COUNT, 0
        try:
            yield
        finally:
            settings.INITIAL_NO_AUTH_ACTION_COUNT = before

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """As AWS would answer; whatever comes to another name than AWS's is for STS."""
        body = await request.read()
        asked = dict(parse_qsl(body.decode() or request.query_string))
        self.calls[asked.get("Action", "")] += 1
        host = request.headers["Host"]
        if not host.endswith(".amazonaws.com"):
            host = f"sts.{REGION}.amazonaws.com"
        prepared = AWSPreparedRequest(
            request.method, f"https://{host}{request.raw_path}", dict(request.headers), body, False
        )
        status, headers, said = await asyncio.to_thread(botocore_stubber.process_request, prepared)
        kind = str(headers.get("Content-Type") or headers.get("content-type") or "text/xml")
        text = said.decode() if isinstance(said, bytes) else said
        return web.Response(text=text, status=status, content_type=kind.partition(";")[0])

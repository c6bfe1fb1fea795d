"""AWS as a gateway and a runner meet it: STS and EC2 judge signatures with AWS's own library; agents give credentials.

A signature is worked out anew by botocore, with the secret that belongs to the key, and compared. Answers are those of
the API references.
"""

from __future__ import annotations

import hmac
import json
import secrets
from collections import Counter
from typing import Any
from urllib.parse import parse_qsl, quote

from aiohttp import web
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ACCOUNT = "123456789012"
INSTANCE = "i-0123456789abcdef0"
REGION = "eu-central-1"
FORM = "application/x-www-form-urlencoded; charset=utf-8"
IDENTITY = "Action=GetCallerIdentity&Version=2011-06-15"
TAGS = f"Action=DescribeTags&Version=2016-11-15&Filter.1.Name=resource-id&Filter.1.Value.1={INSTANCE}"


class Key:
    """What AWS gave somebody for a while."""

    def __init__(self, role: str = "ci-deploy", *, account: str = ACCOUNT, session: str = INSTANCE) -> None:
        self.id = f"ASIA{secrets.token_hex(8).upper()}"
        self.secret = secrets.token_urlsafe(30)
        self.token = secrets.token_urlsafe(60) + "+/=="
        self.arn = f"arn:aws:sts::{account}:assumed-role/{role}/{session}"
        self.account = account
        self.user_id = f"AROA{'X' * 17}:{session}"

    @property
    def shown(self) -> dict[str, str]:
        """As agents have it."""
        given = {"AccessKeyId": self.id, "SecretAccessKey": self.secret, "Token": self.token}
        return {"Code": "Success", "Type": "AWS-HMAC", "Expiration": "2100-01-01T00:00:00Z", **given}

    @property
    def env(self) -> dict[str, str]:
        return {
            "AWS_ACCESS_KEY_ID": self.id,
            "AWS_SECRET_ACCESS_KEY": self.secret,
            "AWS_SESSION_TOKEN": self.token,
            "AWS_REGION": REGION,
        }

    def signed(
        self,
        gateway: str,
        *,
        query: str = IDENTITY,
        body: str = "",
        service: str = "sts",
        region: str = REGION,
        is_presigned: bool = False,
        secret: str = "",
        **headers: str,
    ) -> dict[str, Any]:
        """A request as botocore signs it, for the gateway of this name."""
        host = f"{service}.{region}.amazonaws.com"
        sent = {
            "X-Vestibule-Server-Id": gateway,
            "X-Vestibule-Nonce": secrets.token_hex(8),
            **headers,
            **({"Content-Type": FORM} if body else {}),
        }
        method = "POST" if body else "GET"
        request = AWSRequest(
            method=method, url=f"https://{host}/?{query}".rstrip("?"), headers=sent, data=body
        )
        credentials = Credentials(self.id, secret or self.secret, self.token)
        if is_presigned:
            SigV4QueryAuth(credentials, service, region, expires=60).add_auth(request)
        else:
            SigV4Auth(credentials, service, region).add_auth(request)
        listed = [{"key": name, "value": value} for name, value in request.headers.items()]
        return {"url": request.url, "method": method, "headers": listed, "body": body}


class Aws:
    """Everything of it on one port. `calls` counts what came to STS and EC2, by action."""

    def __init__(self, *keys: Key) -> None:
        self.keys = {key.id: key for key in keys}
        self.agents = keys[0]
        """Whose credentials the agents of this machine give."""
        self.calls: Counter[str] = Counter()
        self.tags = {"env": "prod", "runner.example.com/id": "r-1"}
        self.job_token = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        host = request.headers["Host"]
        if host.endswith(".amazonaws.com"):
            return await self._api(request, host)
        return self._agent(request)

    async def _api(self, request: web.Request, host: str) -> web.StreamResponse:
        asked = dict(parse_qsl((await request.text()) or request.query_string))
        self.calls[asked.get("Action", "")] += 1
        key, fault = self._signer(request, host, await request.read())
        if fault or key is None:
            return _xml(f"<ErrorResponse><Error><Code>{fault}</Code></Error></ErrorResponse>", 403)
        if asked["Action"] == "GetCallerIdentity" and host.startswith("sts."):
            return _xml(
                '<GetCallerIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">'
                f"<GetCallerIdentityResult><Arn>{key.arn}</Arn><UserId>{key.user_id}</UserId>"
                f"<Account>{key.account}</Account></GetCallerIdentityResult>"
                "<ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></GetCallerIdentityResponse>"
            )
        items = "".join(
            f"<item><resourceId>{asked['Filter.1.Value.1']}</resourceId><resourceType>instance</resourceType>"
            f"<key>{name}</key><value>{value}</value></item>"
            for name, value in self.tags.items()
        )
        return _xml(
            '<DescribeTagsResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/">'
            f"<requestId>1</requestId><tagSet>{items}</tagSet></DescribeTagsResponse>"
        )

    def _signer(self, request: web.Request, host: str, body: bytes) -> tuple[Key | None, str]:
        """Whose signature it is, by botocore; or the code of AWS's error."""
        query = dict(parse_qsl(request.query_string, keep_blank_values=True))
        by_query = "X-Amz-Signature" in query
        if by_query:
            credential, names = query["X-Amz-Credential"], query["X-Amz-SignedHeaders"]
            shown, at = query.pop("X-Amz-Signature"), query["X-Amz-Date"]
            token = query.get("X-Amz-Security-Token", "")
        else:
            _, _, text = request.headers["Authorization"].partition(" ")
            parts = dict(part.strip().split("=", 1) for part in text.split(","))
            credential, names, shown = parts["Credential"], parts["SignedHeaders"], parts["Signature"]
            at, token = request.headers["X-Amz-Date"], request.headers.get("X-Amz-Security-Token", "")
        key = self.keys.get(credential.split("/")[0])
        if key is None or token != key.token:
            return None, "InvalidClientTokenId"
        _, _, region, service, _ = credential.split("/")
        url = f"https://{host}/?" + "&".join(
            f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in query.items()
        )
        headers = {name: request.headers[name] for name in names.split(";") if name != "host"}
        again = AWSRequest(method=request.method, url=url.rstrip("?"), headers=headers, data=body)
        again.context["timestamp"] = at
        auth = SigV4Auth(Credentials(key.id, key.secret, key.token), service, region)
        signature = auth.signature(auth.string_to_sign(again, auth.canonical_request(again)), again)
        return key, "" if hmac.compare_digest(signature, shown) else "SignatureDoesNotMatch"

    def _agent(self, request: web.Request) -> web.StreamResponse:
        """What this machine has: the container's agent, the instance's metadata (version 2), GitHub's runner."""
        is_metadata = request.path.startswith("/latest/")
        if (
            is_metadata
            and request.method == "PUT"
            and "X-aws-ec2-metadata-token-ttl-seconds" in request.headers
        ):
            return web.Response(text="a-session")
        if is_metadata and request.headers.get("X-aws-ec2-metadata-token") != "a-session":
            return web.Response(status=401)
        if request.path == "/agent" and request.headers.get("Authorization") != "of-the-container":
            return web.Response(status=403)
        if request.path == "/job" and request.headers.get("Authorization") != "Bearer of-the-job":
            return web.Response(status=403)
        found = {
            "/agent": json.dumps(self.agents.shown),
            "/latest/meta-data/iam/security-credentials/": "ci-deploy",
            "/latest/meta-data/iam/security-credentials/ci-deploy": json.dumps(self.agents.shown),
            "/latest/meta-data/placement/region": REGION,
            "/latest/meta-data/instance-id": INSTANCE,
            "/job": json.dumps({"count": 1, "value": self.job_token}),
        }.get(request.path)
        return web.Response(status=404) if found is None else web.Response(text=found)


def _xml(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, status=status, content_type="text/xml")

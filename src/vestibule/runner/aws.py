"""A machine of AWS: what it signs with, where it is, and the requests that it signs and doesn't send.

Credentials are looked for as AWS's own programs do: environment, the agent of a container, the instance (IMDSv2 alone).
They stay here: what leaves is a signature.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from vestibule.errors import ClientError
from vestibule.model import Secret
from vestibule.protocol.sigv4 import Credentials, signed_headers
from vestibule.protocol.sts import NONCE_HEADER, SERVER_HEADER
from vestibule.runner.local import asked, member

_INSTANCE: Final = "http://169.254.169.254"
_INSTANCE_V6: Final = "http://[fd00:ec2::254]"
_AGENT: Final = "http://169.254.170.2"
_AGENTS: Final = frozenset({"169.254.170.2", "169.254.170.23", "fd00:ec2::23"})
_ROLES: Final = "/latest/meta-data/iam/security-credentials/"
_DOMAINS: Final = (("cn-", "amazonaws.com.cn"), ("eusc-", "amazonaws.eu"))
_IDENTITY: Final = "Action=GetCallerIdentity&Version=2011-06-15"
_TAGS: Final = "Action=DescribeTags&Filter.1.Name=resource-id&Filter.1.Value.1={}&Version=2016-11-15"
_NONE: Final = (
    "there are no AWS credentials here: no AWS_ACCESS_KEY_ID, no agent of a container, no role of an instance"
)
_NO_ROLE_HERE: Final = (
    "this pod has a token (AWS_WEB_IDENTITY_TOKEN_FILE) and no credentials: show one that is made for the gateway, by "
    "`vestibule machine jwt`"
)


class Runner:
    """This machine. Every method raises ClientError."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._env = env
        self._session = ""

    def credentials(self) -> Credentials:
        """What it signs with."""
        if "AWS_ACCESS_KEY_ID" in self._env and "AWS_SECRET_ACCESS_KEY" in self._env:
            token = self._env.get("AWS_SESSION_TOKEN", "")
            return Credentials(
                key_id=self._env["AWS_ACCESS_KEY_ID"],
                secret=Secret(self._env["AWS_SECRET_ACCESS_KEY"]),
                token=Secret(token) if token else None,
            )
        if self._env.get("AWS_WEB_IDENTITY_TOKEN_FILE"):
            raise ClientError(_NO_ROLE_HERE, code="credentials_missing")
        if url := self._agent():
            return _read(asked(url, headers=self._authorization(), what="the container's role"))
        try:
            role = self._instance(_ROLES).strip().splitlines()[0]
        except (ClientError, IndexError) as error:
            raise ClientError(f"{_NONE} ({error})", code="credentials_missing") from None
        return _read(self._instance(_ROLES + role).encode())

    def region(self) -> str:
        """Where it is."""
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
            if self._env.get(name):
                return self._env[name]
        try:
            return self._instance("/latest/meta-data/placement/region").strip()
        except ClientError:
            raise ClientError(
                "which region? write --region, or set AWS_REGION", code="region_missing"
            ) from None

    def instance(self) -> str:
        """Which instance of EC2 it is."""
        return self._instance("/latest/meta-data/instance-id").strip()

    def _agent(self) -> str:
        """Where the agent of its container is; empty where there is none.

        Threat: an environment that has credentials fetched over a network in the clear.
        """
        if path := self._env.get("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"):
            return _AGENT + "/" + path.lstrip("/")
        url = self._env.get("AWS_CONTAINER_CREDENTIALS_FULL_URI", "")
        if url and not url.startswith("https://") and not _is_beside(urlsplit(url).hostname or ""):
            raise ClientError(
                "AWS_CONTAINER_CREDENTIALS_FULL_URI leads elsewhere in the clear", code="bad_url"
            )
        return url

    def _authorization(self) -> dict[str, str]:
        token = self._env.get("AWS_CONTAINER_AUTHORIZATION_TOKEN", "")
        if file := self._env.get("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"):
            try:
                token = Path(file).read_text("ascii").strip()
            except (OSError, ValueError):
                raise ClientError(f"{file} can't be read", code="file_unreadable") from None
        return {"Authorization": token} if token else {}

    def _instance(self, path: str) -> str:
        """What the instance's metadata have there. Spec: "Use the Instance Metadata Service", version 2."""
        if self._env.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
            raise ClientError("AWS_EC2_METADATA_DISABLED", code="platform_silent")
        is_v6 = self._env.get("AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE", "").lower() == "ipv6"
        usual = _INSTANCE_V6 if is_v6 else _INSTANCE
        base = self._env.get("AWS_EC2_METADATA_SERVICE_ENDPOINT", "").rstrip("/") or usual
        if not self._session:
            self._session = asked(
                f"{base}/latest/api/token",
                headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"},
                method="PUT",
                what="the instance's metadata",
            ).decode("latin-1")
        headers = {"X-aws-ec2-metadata-token": self._session}
        return asked(base + path, headers=headers, what="the instance's metadata").decode("latin-1")


class Signer:
    """Signs requests for one gateway, at one moment."""

    def __init__(
        self, gateway: str, *, credentials: Credentials, region: str, now: float, nonce: str
    ) -> None:
        """`nonce`: random, so that no two requests are the same."""
        self._gateway = gateway
        self._nonce = nonce
        self._credentials = credentials
        self._region = region
        self._now = now

    def proof(self, instance: str = "") -> Secret:
        """What is shown to the gateway: a signed request, with `instance` one more for its tags."""
        sts = self._signed("sts", _IDENTITY)
        if not instance:
            return Secret(json.dumps(sts))
        return Secret(json.dumps({"sts": sts, "tags": self._signed("ec2", _TAGS.format(instance))}))

    def _signed(self, service: str, query: str) -> dict[str, object]:
        found = (domain for start, domain in _DOMAINS if self._region.startswith(start))
        url = f"https://{service}.{self._region}.{next(found, 'amazonaws.com')}/?{query}"
        headers = signed_headers(
            "GET",
            url,
            {SERVER_HEADER: self._gateway, NONCE_HEADER: self._nonce},
            credentials=self._credentials,
            region=self._region,
            service=service,
            now=self._now,
        )
        listed = [{"key": name, "value": value} for name, value in headers.items()]
        return {"url": url, "method": "GET", "headers": listed}


def _read(body: bytes) -> Credentials:
    what = "the role's credentials"
    found = [member(body, name, what) for name in ("AccessKeyId", "SecretAccessKey", "Token")]
    return Credentials(key_id=found[0], secret=Secret(found[1]), token=Secret(found[2]))


def _is_beside(host: str) -> bool:
    """True for this machine, and for where AWS has its agents."""
    try:
        return host in _AGENTS or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

"""A machine of AWS: what it signs with, where it is, and the requests that it signs and doesn't send.

Credentials are looked for where AWS's own programs look, in their order. They stay here: what leaves is a signature.
Spec: AWS "Understand the credential provider chain".
"""

from __future__ import annotations

import json
import shlex
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from vestibule.errors import ClientError
from vestibule.model import Secret
from vestibule.observe import clock
from vestibule.protocol.sigv4 import Credentials, signed_headers
from vestibule.protocol.sts import NONCE_HEADER, SERVER_HEADER
from vestibule.runner import aws_role
from vestibule.runner.aws_files import Profile, profiles_of
from vestibule.runner.aws_role import Role, host_of
from vestibule.runner.local import asked, is_beside, member
from vestibule.runner.platform import token_in_file

_INSTANCE: Final = "http://169.254.169.254"
_INSTANCE_V6: Final = "http://[fd00:ec2::254]"
_AGENT: Final = "http://169.254.170.2"
_ROLES: Final = "/latest/meta-data/iam/security-credentials/"
_IDENTITY: Final = "Action=GetCallerIdentity&Version=2011-06-15"
_TAGS: Final = "Action=DescribeTags&Filter.1.Name=resource-id&Filter.1.Value.1={}&Version=2016-11-15"
_PROCESS_S: Final = 60.0
_NONE: Final = (
    "there are no AWS credentials here: no AWS_ACCESS_KEY_ID, no profile, no role by a pod's token, no agent of a "
    "container, no role of an instance"
)
_NO_ROLE_HERE: Final = (
    "this pod has a token (AWS_WEB_IDENTITY_TOKEN_FILE) and no role (AWS_ROLE_ARN): show one that is made for the "
    "gateway, by `vestibule machine jwt`"
)
_BY_SSO: Final = (
    "the profile `{0}` is signed in by a person (sso): write `credential_process = aws configure export-credentials "
    "--profile {0}` into another profile, and name that"
)
_BY_PERSON: Final = "the role of the profile `{0}` asks for a code of a person's (mfa_serial)"


class Runner:
    """This machine. Every method raises ClientError."""

    def __init__(
        self, env: Mapping[str, str], *, profile: str = "", now: Callable[[], float] = clock.now
    ) -> None:
        """`profile`: of the files, before the environment; empty: as the environment says."""
        self._env = env
        self._now = now
        self._is_chosen = bool(profile)
        self._name = profile or env.get("AWS_PROFILE", "") or env.get("AWS_DEFAULT_PROFILE", "")
        self._profiles = profiles_of(env)
        self._session = ""

    def credentials(self) -> Credentials:
        """What it signs with."""
        # 1. the environment, unless somebody says which profile
        if not self._is_chosen and (keys := self._of_environment()):
            return keys
        # 2. a role that the profile names, by keys of another
        profile = self._profile(self._name)
        if _takes_role(profile):
            return self._by_role(profile, frozenset())
        # 3. the role of a pod
        if not self._is_chosen and (file := self._env.get("AWS_WEB_IDENTITY_TOKEN_FILE")):
            return self._by_token(file, self._env.get("AWS_ROLE_ARN", ""), "")
        # 4. what else the profile has; the container; the instance
        return self._of_profile(profile) or self._of_container() or self._of_instance()

    def _of_environment(self) -> Credentials | None:
        if "AWS_ACCESS_KEY_ID" not in self._env or "AWS_SECRET_ACCESS_KEY" not in self._env:
            return None
        token = self._env.get("AWS_SESSION_TOKEN", "")
        return Credentials(
            key_id=self._env["AWS_ACCESS_KEY_ID"],
            secret=Secret(self._env["AWS_SECRET_ACCESS_KEY"]),
            token=Secret(token) if token else None,
        )

    def _of_container(self) -> Credentials | None:
        if url := self._agent():
            return _read(asked(url, headers=self._authorization(), what="the container's role"))
        return None

    def _of_instance(self) -> Credentials:
        try:
            role = self._instance(_ROLES).strip().splitlines()[0]
        except (ClientError, IndexError) as error:
            raise ClientError(f"{_NONE} ({error})", code="credentials_missing") from None
        return _read(self._instance(_ROLES + role).encode())

    # -- profiles -----------------------------------------------------------------------------

    def _profile(self, name: str) -> Profile:
        found = self._profiles.get(name or "default")
        if found is None and name:
            raise ClientError(f"there is no AWS profile `{name}`", code="profile_missing")
        return found or Profile(name="default")

    def _of_profile(self, profile: Profile) -> Credentials | None:
        """What a profile has by itself, in the order of botocore's."""
        if file := profile.get("web_identity_token_file"):
            return self._by_token(file, profile.get("role_arn"), profile.get("role_session_name"))
        if profile.get("sso_session") or profile.get("sso_start_url"):
            raise ClientError(_BY_SSO.format(profile.name), code="credentials_missing")
        if keys := _keys(profile.credentials):
            return keys
        if command := profile.get("credential_process"):
            return self._of_process(command)
        return _keys(profile.config)

    def _by_role(self, profile: Profile, passed: frozenset[str]) -> Credentials:
        """A role's credentials; `passed`: profiles that lead here."""
        if profile.get("mfa_serial"):
            raise ClientError(_BY_PERSON.format(profile.name), code="credentials_missing")
        role = Role(
            arn=profile.get("role_arn"),
            session=profile.get("role_session_name") or self._session_name(),
            external_id=profile.get("external_id"),
            seconds=profile.get("duration_seconds"),
        )
        keys = self._source(profile, passed | {profile.name})
        region = profile.get("region") or self.region()
        return aws_role.by_keys(role, keys, env=self._env, region=region, now=self._now())

    def _source(self, profile: Profile, passed: frozenset[str]) -> Credentials:
        """What the role of a profile is taken with."""
        kind, name = profile.get("credential_source"), profile.get("source_profile")
        found: Credentials | None = None
        if name and not kind:
            found = self._of_source(profile, name, passed)
        elif kind == "Environment" and not name:
            found = self._of_environment()
        elif kind == "EcsContainer" and not name:
            found = self._of_container()
        elif kind == "Ec2InstanceMetadata" and not name:
            found = self._of_instance()
        if found is None:
            raise ClientError(
                f"the AWS profile `{profile.name}` takes a role, with no credentials to take it by: write a "
                "source_profile that has some, or credential_source",
                code="credentials_missing",
            )
        return found

    def _of_source(self, profile: Profile, name: str, passed: frozenset[str]) -> Credentials | None:
        if name == profile.name:
            return self._of_profile(profile)
        if name in passed:
            raise ClientError(f"the AWS profile `{name}` leads to itself", code="profile_missing")
        source = self._profile(name)
        return self._by_role(source, passed) if _takes_role(source) else self._of_profile(source)

    def _by_token(self, file: str, arn: str, session: str) -> Credentials:
        """The role of a pod, or of a build that has a token of its own. Spec: "IAM roles for service accounts"."""
        if not arn:
            raise ClientError(_NO_ROLE_HERE, code="credentials_missing")
        role = Role(arn=arn, session=session or self._session_name())
        return aws_role.by_token(role, token_in_file(file), env=self._env, region=self.region())

    def _of_process(self, command: str) -> Credentials:
        """Spec: AWS "Process credential provider". What it writes goes nowhere else."""
        what = "credential_process"
        try:
            done = subprocess.run(  # noqa: S603 - as the file of who runs this says
                shlex.split(command),
                env=dict(self._env),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                timeout=_PROCESS_S,
                check=False,
            )
        except (OSError, ValueError, subprocess.TimeoutExpired) as error:
            why = error.strerror if isinstance(error, OSError) else type(error).__name__
            raise ClientError(f"{what} can't be run: {why}", code="credentials_missing") from None
        if done.returncode != 0:
            raise ClientError(f"{what} ends with {done.returncode}", code="credentials_missing")
        found = [member(done.stdout, name, what) for name in ("AccessKeyId", "SecretAccessKey")]
        try:
            token = member(done.stdout, "SessionToken", what)
        except ClientError:
            token = ""  # keys of a user have none
        return Credentials(key_id=found[0], secret=Secret(found[1]), token=Secret(token) if token else None)

    def _session_name(self) -> str:
        return self._env.get("AWS_ROLE_SESSION_NAME", "") or f"vestibule-{int(self._now())}"

    # -- where it is --------------------------------------------------------------------------

    def region(self) -> str:
        """Where it is."""
        for name in ("AWS_REGION", "AWS_DEFAULT_REGION"):
            if self._env.get(name):
                return self._env[name]
        if region := self._profile(self._name).get("region"):
            return region
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
        if url and not url.startswith("https://") and not is_beside(urlsplit(url).hostname or ""):
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
        url = f"https://{host_of(service, self._region)}/?{query}"
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


def _keys(settings: Mapping[str, str]) -> Credentials | None:
    """Keys that stand in one of the files."""
    key_id, secret = settings.get("aws_access_key_id", ""), settings.get("aws_secret_access_key", "")
    token = settings.get("aws_session_token", "")
    if not key_id or not secret:
        return None
    return Credentials(key_id=key_id, secret=Secret(secret), token=Secret(token) if token else None)


def _takes_role(profile: Profile) -> bool:
    """By keys of another. Threat: who names a role, and is taken for somebody else without it."""
    return bool(profile.get("role_arn")) and not profile.get("web_identity_token_file")

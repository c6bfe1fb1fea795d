"""The token that a platform gives the programs it runs, from the place that its documentation names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final
from urllib.parse import quote

from vestibule.errors import ClientError
from vestibule.model import Secret
from vestibule.runner.local import asked, member

TOKEN_MAX_CHARS: Final = 16 * 1024
KUBERNETES_FILE: Final = "/var/run/secrets/vestibule/token"
"""Where docs/machines.md has the kubelet put a token that is made for the gateway."""
GITLAB_VARIABLE: Final = "VESTIBULE_ID_TOKEN"
_GOOGLE: Final = "/computeMetadata/v1/instance/service-accounts/default/identity?audience={}&format=full"
_AZURE: Final = "/metadata/identity/oauth2/token?api-version=2018-02-01&resource={}"

Env = Mapping[str, str]


def token_of(platform: str, env: Env, audience: str) -> Secret:
    """The token of this program, made for *audience*. Raises ClientError."""
    return checked(PLATFORMS[platform](env, audience), f"the token of {platform}")


def token_in_file(path: str) -> Secret:
    """The token, or key, that a file holds. Raises ClientError."""
    try:
        return checked(Path(path).read_bytes()[: TOKEN_MAX_CHARS + 1].decode("ascii"), path)
    except (OSError, UnicodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise ClientError(f"{path} can't be read: {why}", code="file_unreadable") from None


def checked(text: str, what: str) -> Secret:
    """One word, and no line more. Raises ClientError, which doesn't say which."""
    text = text.strip()
    if not text or len(text) > TOKEN_MAX_CHARS or not text.isascii() or any(ch <= " " for ch in text):
        raise ClientError(f"{what} is no token", code="token_strange")
    return Secret(text)


def _github(env: Env, audience: str) -> str:
    """Spec: GitHub "OpenID Connect reference", "Methods for requesting the OIDC token"."""
    url, bearer = env.get("ACTIONS_ID_TOKEN_REQUEST_URL"), env.get("ACTIONS_ID_TOKEN_REQUEST_TOKEN")
    if not url or not bearer:
        raise ClientError(
            "this job may not have a token: write `permissions: id-token: write` in the workflow",
            code="token_missing",
        )
    if not url.startswith(("https://", "http://127.0.0.1:")):
        raise ClientError("ACTIONS_ID_TOKEN_REQUEST_URL is not https", code="bad_url")
    joined = f"{url}{'&' if '?' in url else '?'}audience={quote(audience, safe='')}"
    headers = {"Authorization": f"Bearer {bearer}", "Accept": "application/json"}
    return member(
        asked(joined, headers=headers, is_near=False, what="the job's token"), "value", "the job's token"
    )


def _gitlab(env: Env, audience: str) -> str:
    """Spec: GitLab "ID token authentication": `id_tokens` of the job, whose `aud` is written there."""
    if not env.get(GITLAB_VARIABLE):
        raise ClientError(
            f"this job has no token: write `id_tokens: {{ {GITLAB_VARIABLE}: {{ aud: {audience} }} }}` for it",
            code="token_missing",
        )
    return env[GITLAB_VARIABLE]


def _kubernetes(_env: Env, _audience: str) -> str:
    """Spec: Kubernetes "Configure Service Accounts for Pods", "ServiceAccount token volume projection"."""
    return token_in_file(KUBERNETES_FILE).reveal()


def _google(env: Env, audience: str) -> str:
    """Spec: Google "Verify VM identity"; Cloud Run and GKE have the same server."""
    host = env.get("GCE_METADATA_HOST", "") or "metadata.google.internal"
    url = f"http://{host}{_GOOGLE.format(quote(audience, safe=''))}"
    return asked(url, headers={"Metadata-Flavor": "Google"}, what="the identity token").decode("latin-1")


def _azure(env: Env, audience: str) -> str:
    """Spec: Microsoft "How to use managed identities … to acquire an access token"; App Service has its own place."""
    resource, what = quote(audience, safe=""), "the managed identity's token"
    if env.get("IDENTITY_ENDPOINT") and env.get("IDENTITY_HEADER"):
        url = f"{env['IDENTITY_ENDPOINT']}?api-version=2019-08-01&resource={resource}"
        headers = {"X-IDENTITY-HEADER": env["IDENTITY_HEADER"]}
    else:
        base = env.get("AZURE_POD_IDENTITY_AUTHORITY_HOST", "").rstrip("/") or "http://169.254.169.254"
        url, headers = base + _AZURE.format(resource), {"Metadata": "true"}
    if not url.startswith("http://"):
        raise ClientError("the place of the managed identity is no address of this machine", code="bad_url")
    return member(asked(url, headers=headers, what=what), "access_token", what)


PLATFORMS: Final[Mapping[str, Callable[[Env, str], str]]] = MappingProxyType(
    {"azure": _azure, "github": _github, "gitlab": _gitlab, "google": _google, "kubernetes": _kubernetes}
)

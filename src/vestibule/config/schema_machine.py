"""What a `machine` block may hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from vestibule.config.shape import Node
from vestibule.config.value import FilePath, HostName, Seconds
from vestibule.core.machine import TOKEN_S

AGE_S = Seconds(86_400.0)


class Machine(Node, kw_only=True):
    """Programs that prove who they are without a person: a build, a pod, a job. They get an access token for minutes.

    `kind` says by what: `github`, `gitlab`, `kubernetes`, `google`, `azure`, `spiffe` and `jwt` by a signed token of
    their platform's, `aws` by a signed request, `key` by a key that is made here. See docs/machines.md.
    """

    LABEL: ClassVar[str] = "its name"
    REQUIRED: ClassVar[tuple[str, ...]] = ("kind", "hosts")
    EITHER: ClassVar[tuple[str, ...]] = (
        "accounts",
        "algorithms",
        "audience",
        "hosts",
        "partitions",
        "regions",
        "roles",
        "scopes",
    )

    kind: str = ""
    """What they prove it by: one of those above."""
    hosts: tuple[HostName, ...] = ()
    """The hosts they call. A token is for one of them, the first where none is asked for (`resource`)."""
    scopes: tuple[str, ...] = ()
    """What they may ask for, and are given where they ask for none: rules look at it as `token:deploy`."""
    token: Seconds = Seconds(TOKEN_S)
    """How long an access token is good (15 minutes), at most an hour."""
    claims: Mapping[str, tuple[str, ...]] = {}
    """What their token must say: `{ repository = "acme/app", ref = ["refs/heads/main", "refs/tags/v*"] }`. Every claim
    named must be one of its texts; `*` stands for any characters but `:` and `/`. Each kind needs one that says whose
    they are."""
    issuer: str = ""
    """Whose tokens, as they have it in `iss`. GitHub, GitLab.com, Google and Azure (by `tenant`) are known."""
    jwks_url: str = ""
    """Where the keys are, if the issuer's metadata don't say so; of `spiffe`, the bundle of the trust domain."""
    jwks_file: FilePath = FilePath("")
    """The file with the keys, where they can't be fetched: a key set, or a bundle of SPIFFE. It is read again when it
    changes."""
    ca_file: FilePath = FilePath("")
    """The file of the authorities (PEM) that alone may have issued the certificate of whoever the keys are fetched
    from: a cluster's own. Without it: those that the system trusts."""
    audience: tuple[str, ...] = ()
    """Whom their tokens must be for (`aud`). Without it: the URL of the host where tokens are given out."""
    algorithms: tuple[str, ...] = ()
    """What their tokens may be signed with. Without it: `RS256` to `RS512`, `PS256` to `PS512`, `ES256` to `ES512`,
    `EdDSA`."""
    age: Seconds = AGE_S
    """How long ago their token may have been made at most (a day)."""
    once: bool | None = None
    """Whether each of their tokens (by its `jti`) is good for one access token. Without it: with `github` alone, where
    a job gets as many as it asks for."""
    tenant: str = ""
    """Of `azure`: the directory's ID."""
    trust_domain: str = ""
    """Of `spiffe`: whose workloads, as in `example.org`."""
    accounts: tuple[str, ...] = ()
    """Of `aws`: the accounts they are of, 12 digits each."""
    roles: tuple[str, ...] = ()
    """Of `aws`: ARNs of their roles or users; `*` as in `claims`: `arn:aws:iam::123456789012:role/ci-*`. Without it:
    any of `accounts`. The path of a role is left out, since AWS doesn't tell it."""
    tags: Mapping[str, tuple[str, ...]] = {}
    """Of `aws`: what the tags of their EC2 instance must be, as `claims` has it; they show a second request then, which
    asks for these (`vestibule machine aws --tags`)."""
    server_id: str = ""
    """Of `aws`: what their request must name as the one that it is for. Without it: the name of the host where tokens
    are given out."""
    regions: tuple[str, ...] = ()
    """Of `aws`: the regions whose STS may be asked. Without it: any."""
    partitions: tuple[str, ...] = ("aws",)
    """Of `aws`: `aws`, `aws-cn`, `aws-eusc`, `aws-us-gov`."""
    endpoint: str = ""
    """Of `aws`: what is asked in the place of AWS's own STS: `https://HOST`, of yours."""

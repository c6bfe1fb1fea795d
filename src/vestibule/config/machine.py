"""What is checked of `machine` blocks, and what they come to.

What a platform signs, it signs for all its customers. So each kind of token needs a claim that says whose workload it
is, with a pattern whose first part nobody else can have.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Final

import msgspec

from vestibule.config import schema
from vestibule.config.access import rules_of
from vestibule.config.domain import part_of
from vestibule.config.host import Scope
from vestibule.config.path import beside
from vestibule.config.place import Report, nearest
from vestibule.config.schema_machine import Machine as Node
from vestibule.core.aws import CLAIMS
from vestibule.core.domain import Domain
from vestibule.core.machine import KINDS, ClaimRule, Machine, Machines
from vestibule.core.outgoing import checked_url
from vestibule.errors import ProviderInvalid
from vestibule.protocol.address import is_loopback
from vestibule.protocol.arn import pattern_fault
from vestibule.protocol.authorization_server import is_scope
from vestibule.protocol.document import DocumentError, json_of
from vestibule.protocol.jose import ALGORITHMS
from vestibule.protocol.key_set import keys_of
from vestibule.protocol.sts import PARTITIONS

TOKEN_MAX_S: Final = 3600.0
PATTERNS_MAX_CHARS: Final = 512
_NAME_RE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_TENANT_RE: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_TRUST_DOMAIN_RE: Final = re.compile(r"[a-z0-9._-]{1,255}")
_ACCOUNT_RE: Final = re.compile(r"[0-9]{12}")
_REGION_RE: Final = re.compile(r"[a-z]{2,4}(-[a-z]+)+-[0-9]{1,2}")
_WHOLE: Final = re.compile(r"[^*]+")


class Usual(msgspec.Struct, frozen=True, kw_only=True):
    """What holds for one kind of signed token where nothing is written."""

    issuers: tuple[str, ...] = ()
    """None: one has to be written."""
    whose: Mapping[str, re.Pattern[str]] = {}
    """Claims that say whose a workload is, and what a pattern of each must be like; empty: any claim will do."""
    example: str = ""
    once: bool = False
    also: tuple[ClaimRule, ...] = ()
    """What must hold besides."""
    needs_audience: bool = False
    """It can't be made for whatever audience its bearer likes."""


_OWNED: Final = re.compile(r"[^*/]+/.+")
_NUMBER: Final = re.compile(r"[0-9]+")
USUAL: Final[Mapping[str, Usual]] = MappingProxyType(
    {
        "github": Usual(
            issuers=("https://token.actions.githubusercontent.com",),
            whose={
                "repository": _OWNED,
                "repository_id": _NUMBER,
                "repository_owner": _WHOLE,
                "repository_owner_id": _NUMBER,
                "sub": re.compile(r"repo:[^*/]+/.+"),
            },
            example='claims = { repository = "acme/app" }',
            once=True,
        ),
        "gitlab": Usual(
            issuers=("https://gitlab.com",),
            whose={
                "project_path": _OWNED,
                "project_id": _NUMBER,
                "namespace_path": re.compile(r"[^*/]+(/.*)?"),
                "namespace_id": _NUMBER,
                "sub": re.compile(r"project_path:[^*/]+/.+"),
            },
            example='claims = { project_path = "acme/app" }',
        ),
        "kubernetes": Usual(
            whose={
                "sub": re.compile(r"system:serviceaccount:[^*:]+:.+"),
                "kubernetes.io.namespace": _WHOLE,
            },
            example='claims = { sub = "system:serviceaccount:ci:deployer" }',
        ),
        "google": Usual(
            issuers=("https://accounts.google.com",),
            whose={
                "email": _WHOLE,
                "sub": _NUMBER,
                "azp": _WHOLE,
                "google.compute_engine.project_id": _WHOLE,
            },
            example='claims = { email = "deployer@acme.iam.gserviceaccount.com" }',
        ),
        "azure": Usual(
            whose={
                "oid": _WHOLE,
                "sub": _WHOLE,
                "appid": _WHOLE,
                "azp": _WHOLE,
                "xms_mirid": re.compile(r"/subscriptions/[^*/]+/.+"),
            },
            example='claims = { oid = "OBJECT-ID of the managed identity" }',
            needs_audience=True,
        ),
        "spiffe": Usual(
            whose={"sub": re.compile(r"spiffe://[^*/]+/.+")},
            example='claims = { sub = "spiffe://example.org/ci/*" }',
        ),
        "jwt": Usual(example='claims = { sub = "build" }'),
    }
)
"""By kind.

Spec: GitHub "OpenID Connect reference"; GitLab "OpenID Connect (OIDC) Authentication Using ID Tokens"; Kubernetes
"Managing Service Accounts"; Google "Verify VM identity"; Microsoft "Access token claims reference"; SPIFFE JWT-SVID.
"""
_OF_TOKENS: Final = (
    "claims",
    "issuer",
    "jwks_url",
    "jwks_file",
    "ca_file",
    "audience",
    "algorithms",
    "age",
    "once",
)
_OF_AWS: Final = ("accounts", "roles", "claims", "tags", "server_id", "regions", "partitions", "endpoint")
_TAKES: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        **dict.fromkeys(USUAL, _OF_TOKENS),
        "azure": (*_OF_TOKENS, "tenant"),
        "spiffe": (*_OF_TOKENS, "trust_domain"),
        "aws": _OF_AWS,
        "key": (),
    }
)
_OF_KINDS: Final = frozenset(name for names in _TAKES.values() for name in names)


def check_machines(
    config: schema.Config, scopes: Mapping[str, Scope], domains: Iterable[Domain], report: Report
) -> None:
    """All that is wrong with them goes to *report*."""
    domains = tuple(domains)
    apps = {app.label: app for app in config.app}
    found: dict[str, Node] = {}
    for node in config.machine:
        if not _NAME_RE.fullmatch(node.label):
            report.fault(
                node.label_at,
                f"`{node.label}` can't be a name: letters, digits, `.`, `_`, `-`, at most 63",
            )
        first = found.setdefault(node.label, node)
        if first is not node:
            report.fault(
                node.label_at,
                f"there are two machines `{node.label}`; the first is at {first.label_at.short}",
            )
        if app := apps.get(node.label):
            # Threat: one who is let in as the other by `machine:NAME`, or by a secret that is the other's.
            report.fault(node.label_at, f"`{node.label}` is an app, too, at {app.label_at.short}")
        _check_hosts(node, scopes, domains, report)
        _check_scopes(node, report)
        if node.token > TOKEN_MAX_S:
            report.fault(node.at("token"), "is an hour at most: a machine can prove itself again")
        _check_kind(node, report)
    _check_rules(config, found, report)


def _check_rules(config: schema.Config, machines: Mapping[str, Node], report: Report) -> None:
    """A name that no machine has, or none of this host: a `deny` on it would do nothing."""
    apps = {app.label: app for app in config.app if "credentials" in app.grants}
    known = {**{name: node.hosts for name, node in machines.items()}, **{n: a.hosts for n, a in apps.items()}}
    for host in config.host:
        for one in rules_of(host):
            name = one.rule.value
            if one.rule.kind != "machine":
                continue
            if name not in known:
                report.fault(one.place, f"there is no machine `{name}`{nearest(name, known)}")
            elif host.label.lower() not in known[name]:
                report.fault(
                    one.place, f"the machine `{name}` has no tokens for this host: add it to its hosts"
                )


def machines_of(config: schema.Config) -> Machines:
    """The machines, by name."""
    return Machines.of(_machine(node) for node in config.machine)


def _machine(node: Node) -> Machine:
    usual = USUAL.get(node.kind, Usual())
    claims = tuple(ClaimRule(name, patterns) for name, patterns in node.claims.items())
    if node.kind == "google" and "email" in node.claims:
        # Threat: an address that somebody gave as theirs and never showed to be.
        claims = (*claims, ClaimRule("email_verified", ("true",)))
    if node.kind == "azure" and node.tenant:
        claims = (*claims, ClaimRule("tid", (node.tenant,)))
    return Machine(
        name=node.label,
        kind=node.kind,
        hosts=tuple(node.hosts),
        scopes=node.scopes,
        token_s=node.token,
        place=node.block.place.short,
        claims=claims,
        issuers=_issuers(node),
        keys_url=node.jwks_url,
        keys_file=str(beside(node, "jwks_file", node.jwks_file)) if node.jwks_file else "",
        authorities=_authorities(node, Report()),
        trust_domain=node.trust_domain,
        audience=node.audience,
        age_s=node.age,
        once=usual.once if node.once is None else node.once,
        algorithms=node.algorithms or tuple(sorted(ALGORITHMS)),
        accounts=node.accounts,
        roles=node.roles,
        tags=tuple(ClaimRule(name, patterns) for name, patterns in node.tags.items()),
        server_id=node.server_id,
        regions=node.regions,
        partitions=node.partitions,
        endpoint=node.endpoint,
    )


def _issuers(node: Node) -> tuple[str, ...]:
    if node.issuer:
        return (node.issuer,)
    if node.kind == "azure" and node.tenant:
        # Which of the two is the choice of the application that a token is for.
        tenant = node.tenant
        return (f"https://login.microsoftonline.com/{tenant}/v2.0", f"https://sts.windows.net/{tenant}/")
    return USUAL.get(node.kind, Usual()).issuers


# -- hosts and scopes -------------------------------------------------------------------------


def _check_hosts(node: Node, scopes: Mapping[str, Scope], domains: Sequence[Domain], report: Report) -> None:
    if node.has("hosts") and not node.hosts and not report.faults:
        report.fault(node.at("hosts"), "the list is empty: name the hosts that it calls")
    server = first = ""
    for number, name in enumerate(node.hosts):
        place, scope = node.at("hosts", number), scopes.get(name)
        if name in node.hosts[:number]:
            report.fault(place, f"{name} stands here twice")
        elif scope is None:
            report.fault(place, f"there is no host {name}{nearest(name, scopes)}")
        elif not server:
            server, first = _server_of(scope, domains), name
        elif (other := _server_of(scope, domains)) != server:
            # Threat: a proof for the one server that is shown to the other by it.
            report.fault(
                place,
                f"tokens for {name} come from {other}, and those for {first} from {server}: "
                "write a machine for each, or put both hosts into a domain",
            )


def _server_of(scope: Scope, domains: Sequence[Domain]) -> str:
    domain = part_of(scope.name, scope.clients.values(), scope.sign_in, domains, takes_more=scope.takes_more)
    return domain.auth.decode() if domain is not None else scope.name


def _check_scopes(node: Node, report: Report) -> None:
    for number, name in enumerate(node.scopes):
        place = node.at("scopes", number)
        if not is_scope(name):
            report.fault(place, 'is no scope: visible ASCII without blanks, `"` and `\\`, at most 128')
        elif name in node.scopes[:number]:
            report.fault(place, f"`{name}` stands here twice")


# -- kinds ------------------------------------------------------------------------------------


def _check_kind(node: Node, report: Report) -> None:
    if not node.has("kind"):
        return
    if node.kind not in KINDS:
        known = ", ".join(KINDS)
        report.fault(node.at("kind"), f"there is no kind `{node.kind}`: {known}{nearest(node.kind, KINDS)}")
        return
    for name in sorted(_OF_KINDS - set(_TAKES[node.kind])):
        if node.has(name) or any(block.type == name for block in node.block.blocks):
            report.fault(node.at(name), f"`{name}` means nothing to the kind `{node.kind}`")
    if node.kind in USUAL:
        _check_token(node, USUAL[node.kind], report)
    elif node.kind == "aws":
        _check_aws(node, report)


def _check_token(node: Node, usual: Usual, report: Report) -> None:
    _check_urls(node, report)
    _check_tenant(node, report)
    _check_claims(node, usual, report)
    _check_files(node, report)
    is_found = _issuers(node) or (node.kind == "spiffe" and (node.jwks_url or node.jwks_file))
    if not is_found and not report.faults:
        needed = {
            "azure": 'tenant = "ID of the directory"',
            "spiffe": 'jwks_url = "https://…" (or jwks_file), the bundle of the trust domain, or issuer = "https://…"',
        }.get(node.kind, 'issuer = "https://…", as the tokens have it in `iss`')
        report.fault(node.block.place, f"whose tokens? write {needed}")
    if usual.needs_audience and not node.audience:
        report.fault(
            node.at("audience"),
            f'the kind `{node.kind}` makes tokens for what is registered there: audience = ["api://…"]',
        )
    elif node.has("audience") and not node.audience and not report.faults:
        report.fault(node.at("audience"), "the list is empty: every token of theirs would do")
    for number, name in enumerate(node.algorithms):
        if name not in ALGORITHMS:
            why = ": whoever can check such a token could make one" if name.startswith("HS") else ""
            report.fault(
                node.at("algorithms", number),
                f"`{name}` is not taken{why}; there are {', '.join(sorted(ALGORITHMS))}",
            )


def _check_urls(node: Node, report: Report) -> None:
    for name in ("issuer", "jwks_url", "endpoint"):
        url: str = getattr(node, name)
        if not url:
            continue
        try:
            host = checked_url(url).host or ""
        except ProviderInvalid:
            report.fault(node.at(name), f'{name} is not a URL that can be called: {name} = "https://…"')
            continue
        if url.lower().startswith("http://") and not is_loopback(host):
            report.fault(node.at(name), f"{name} is https: whoever is between could sign as any machine")
    if "?" in node.issuer or "#" in node.issuer:
        report.fault(node.at("issuer"), "an issuer's URL has no query and no fragment")


def _check_files(node: Node, report: Report) -> None:
    _authorities(node, report)
    if not node.jwks_file:
        return
    for name in ("jwks_url", "ca_file"):
        if getattr(node, name):
            report.fault(node.at(name), f"`{name}` means nothing beside jwks_file: nothing is fetched")
    path = beside(node, "jwks_file", node.jwks_file)
    try:
        keys_of(json_of(path.read_bytes()))
    except OSError as error:
        report.fault(node.at("jwks_file"), f"can't read {path}: {error.strerror}")
    except DocumentError as error:
        report.fault(node.at("jwks_file"), f"{path} is no key set: {error}")


def _authorities(node: Node, report: Report) -> str:
    """The text of `ca_file`; empty with a fault."""
    if not node.ca_file:
        return ""
    path = beside(node, "ca_file", node.ca_file)
    try:
        text = path.read_text("ascii")
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=text)
    except (ssl.SSLError, ValueError):
        report.fault(node.at("ca_file"), f"{path} holds no certificates in PEM")
        return ""
    except OSError as error:
        report.fault(node.at("ca_file"), f"can't read {path}: {error.strerror}")
        return ""
    return text


def _check_tenant(node: Node, report: Report) -> None:
    if node.has("tenant") and node.kind == "azure" and not _TENANT_RE.fullmatch(node.tenant):
        report.fault(
            node.at("tenant"), "is the directory's ID: 00000000-0000-0000-0000-000000000000, lower case"
        )
    if node.kind != "spiffe":
        return
    if not node.trust_domain:
        report.fault(node.at("trust_domain"), 'whose workloads? write trust_domain = "example.org"')
    elif not _TRUST_DOMAIN_RE.fullmatch(node.trust_domain):
        report.fault(node.at("trust_domain"), "is a name alone, in lower case: example.org")


def _check_claims(node: Node, usual: Usual, report: Report) -> None:
    """Threat: a token that the platform made for somebody else's workload."""
    is_whose = False
    for name, patterns in node.claims.items():
        place = node.at("claims")
        wanted = usual.whose.get(name)
        for pattern in patterns:
            if not pattern or len(pattern) > PATTERNS_MAX_CHARS or not pattern.isprintable():
                report.fault(place, f"`{name}`: a text of 1 to {PATTERNS_MAX_CHARS} characters")
            elif node.kind == "spiffe" and name == "sub" and not _is_of_domain(pattern, node.trust_domain):
                report.fault(place, f"`{pattern}` is not of the trust domain {node.trust_domain}")
        fits = [wanted is None or wanted.fullmatch(pattern) is not None for pattern in patterns]
        is_whose |= bool(patterns) and all(fits) and (wanted is not None or not usual.whose)
    if not is_whose:
        names = ", ".join(usual.whose) or "any claim"
        report.fault(
            node.at("claims") if node.has("claims") else node.block.place,
            f'machine "{node.label}" says not whose: a rule on {names}, without `*` where the owner stands; '
            f"{usual.example}",
        )


def _is_of_domain(pattern: str, trust_domain: str) -> bool:
    return pattern.startswith(f"spiffe://{trust_domain}/")


def _check_aws(node: Node, report: Report) -> None:
    _check_urls(node, report)
    if not node.accounts:
        report.fault(
            node.at("accounts") if node.has("accounts") else node.block.place,
            f'machine "{node.label}" says not whose: accounts = ["123456789012"]',
        )
    # Threat: a session is called what whoever takes the role likes, also `i-…` of somebody else's instance. Only a role
    # that is written down can be one that nobody but EC2 may take.
    by_session = {"tags": bool(node.tags), "claims": "session" in node.claims}
    for name in (name for name, is_asked in by_session.items() if is_asked and not node.roles):
        report.fault(
            node.at(name),
            "whoever in the account can take any role chooses its session's name: "
            'write the role, roles = ["arn:aws:iam::123456789012:role/NAME"]',
        )
    for number, account in enumerate(node.accounts):
        if not _ACCOUNT_RE.fullmatch(account):
            report.fault(node.at("accounts", number), "an account has 12 digits, in quotes")
    for number, role in enumerate(node.roles):
        if fault := pattern_fault(role):
            report.fault(node.at("roles", number), fault)
    for name in node.claims:
        if name not in CLAIMS:
            known = ", ".join(CLAIMS)
            report.fault(node.at("claims"), f"AWS doesn't tell `{name}`: {known}{nearest(name, CLAIMS)}")
    for number, region in enumerate(node.regions):
        if not _REGION_RE.fullmatch(region):
            report.fault(node.at("regions", number), "is no region: eu-central-1")
    for number, name in enumerate(node.partitions):
        if name not in PARTITIONS:
            report.fault(node.at("partitions", number), f"is one of {', '.join(PARTITIONS)}")
    if node.has("partitions") and not node.partitions and not report.faults:
        report.fault(node.at("partitions"), "the list is empty: nobody could be asked")

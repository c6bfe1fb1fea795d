"""The table of Vouch's options: by their place in its file, and by environment variable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from vestibule.config.importers.option import Option, by_name
from vestibule.config.importers.rows import carried, changed, dropped

_LOG = "the log is one line of JSON for each event, on standard error"
_TLS = (
    "edges ask by plain HTTP on this machine; where people come to the gateway itself: `gateway { https }`, with "
    "`tls_certificate` and `tls_key` in the host (docs/tls.md)"
)
_SOCKET = "a socket is for the user the gateway runs as, and those of the group of its directory"
_JWT = (
    "the cookie holds a random handle, and sign-out ends the session at once; what must be checked elsewhere is told "
    "by `assertion = true`"
)
_FLOW = "each sign-in has a signed cookie of its own, by the gateway's key"
_ANSWER = "an answer has the names of Vouch's own defaults"

VOUCH: Final[tuple[Option, ...]] = (
    dropped("vouch.logLevel", _LOG),
    dropped(
        "vouch.testing",
        "nothing is shown between two addresses: `vestibule explain` says who gets in and why",
        switch=True,
        usual=(False,),
    ),
    carried("vouch.listen", "`gateway { http }`"),
    carried("vouch.port", "`gateway { http }`", number=True),
    dropped("vouch.socket_mode", _SOCKET),
    dropped("vouch.socket_group", _SOCKET),
    dropped(
        "vouch.document_root", 'with `compat = ["vouch"]` its paths are at the root of the host', usual=("",)
    ),
    changed("vouch.writeTimeout", "each connection has limits of its own", number=True, quiet=True),
    changed("vouch.readTimeout", "each connection has limits of its own", number=True, quiet=True),
    changed("vouch.idleTimeout", "each connection has limits of its own", number=True, quiet=True),
    carried(
        "vouch.domains", "`domain` blocks; `domain:` rules where nothing else says who gets in", many=True
    ),
    carried("vouch.allowAllUsers", "`anyone`", switch=True),
    carried("vouch.publicAccess", "`public`", switch=True),
    carried("vouch.whiteList", "`email:` rules, `user:` rules for names that are no addresses", many=True),
    carried("vouch.teamWhitelist", "`org:` and `team:` rules", many=True),
    dropped("vouch.tls.cert", _TLS),
    dropped("vouch.tls.key", _TLS),
    dropped("vouch.tls.profile", _TLS),
    changed("vouch.jwt.signing_method", _JWT, usual=("HS256",)),
    changed(
        "vouch.jwt.secret",
        "the gateway makes its own key at the first start; people sign in once more",
        secret=True,
        quiet=True,
    ),
    changed("vouch.jwt.private_key_file", _JWT),
    changed("vouch.jwt.public_key_file", _JWT),
    changed("vouch.jwt.issuer", _JWT, usual=("Vouch",)),
    carried("vouch.jwt.maxAge", "`lifetimes { session_absolute }`", number=True),
    changed("vouch.jwt.compress", _JWT, switch=True, quiet=True),
    changed(
        "vouch.cookie.name",
        "the cookie has a name of its own; `cookie` in the `domain` block gives it another",
        usual=("VouchCookie",),
    ),
    carried("vouch.cookie.domain", "a `domain` block"),
    changed(
        "vouch.cookie.secure",
        "Secure wherever people come by https, which `public_url` says",
        switch=True,
        quiet=True,
    ),
    changed("vouch.cookie.httpOnly", "HttpOnly, always", switch=True, usual=(True,)),
    carried("vouch.cookie.maxAge", "`lifetimes { session_idle }`", number=True),
    changed("vouch.cookie.sameSite", "SameSite=Lax, always", usual=("lax", "")),
    changed("vouch.session.name", _FLOW, quiet=True),
    carried("vouch.session.maxAge", "`lifetimes { pending_flow }`", number=True),
    changed("vouch.session.key", _FLOW, secret=True, quiet=True),
    changed(
        "vouch.headers.jwt",
        "a session is in the cookie alone; callers without a browser show a token of their own",
        usual=("X-Vouch-Token",),
    ),
    changed("vouch.headers.user", _ANSWER, usual=("X-Vouch-User",)),
    changed("vouch.headers.success", _ANSWER, usual=("X-Vouch-Success",)),
    changed("vouch.headers.error", _ANSWER, usual=("X-Vouch-Error",)),
    dropped(
        "vouch.headers.querystring",
        "a token in an address ends up in logs: it is read from the `Authorization` header alone",
        usual=("access_token",),
    ),
    dropped("vouch.headers.redirect", "Vouch itself doesn't use it"),
    carried(
        "vouch.headers.claims",
        "`claims` of the provider; their headers come with `identity_headers`",
        many=True,
    ),
    carried("vouch.headers.claimheader", "a `header` block for each claim, where it is a name of your own"),
    dropped(
        "vouch.headers.accesstoken",
        "a provider's token never reaches a backend; to call an API with it, the backend uses a `call`",
    ),
    dropped(
        "vouch.headers.idtoken",
        "a provider's token never reaches a backend; `assertion = true` gives it a signed token that is meant for it",
    ),
    dropped("vouch.test_url", "it says at most what a host is called"),
    dropped("vouch.test_urls", "it says at most what a host is called", many=True),
    changed(
        "vouch.post_logout_redirect_uris",
        "after signing out people are sent to hosts of this configuration and nowhere else",
        many=True,
    ),
)

OAUTH: Final[tuple[Option, ...]] = (
    carried("oauth.provider", "the kind of the `provider` block; for `oidc` it is told by `auth_url`"),
    carried("oauth.client_id", "`client_id`"),
    carried("oauth.client_secret", '`client_secret = "${env("…")}"`: a secret is never printed', secret=True),
    carried("oauth.auth_url", "where the provider is: `issuer`, `web_url`, `tenant`; else `authorize_url`"),
    carried("oauth.token_url", "`access_token_url`, where no kind of provider is known"),
    carried("oauth.user_info_url", "`userinfo_url`, where no kind of provider is known"),
    changed(
        "oauth.end_session_endpoint",
        "where it is set, sign-out leads over the page that the provider's metadata name (`sign_out_at_provider`); "
        "else it ends the session here, as before",
    ),
    carried("oauth.callback_url", "`redirect_url`, and the `auth_host`"),
    carried("oauth.callback_urls", "the `auth_host` of each domain", many=True),
    carried("oauth.relying_party_id", "`resource` of AD FS"),
    carried("oauth.scopes", "`scopes`", many=True),
    carried("oauth.claims", 'an `authorize_parameter` block: name = "claims"'),
    changed("oauth.user_team_url", "GitHub's API is found by `web_url`"),
    changed("oauth.user_org_url", "GitHub's API is found by `web_url`"),
    carried(
        "oauth.preferredDomain",
        'an `authorize_parameter` block: name = "hd"; `hosted_domain` lets in nobody else',
    ),
    changed("oauth.azure_token", "who has come says the ID token, always", quiet=True),
    changed("oauth.code_challenge_method", "PKCE with S256 is used with every provider, always", quiet=True),
    carried("oauth.discord_use_ids", "see the notes on `vouch.whiteList`", switch=True),
)

GROUPS: Final[Mapping[str, tuple[Option, ...]]] = {"`vouch:`": VOUCH, "`oauth:`": OAUTH}
BY_NAME: Final = by_name(option for group in GROUPS.values() for option in group)
PREFIXES: Final = ("VOUCH_", "OAUTH_")
#: variables about the program itself
OWN_VARIABLES: Final = frozenset({"VOUCH_CONFIG", "VOUCH_ROOT"})


def variable(option: Option) -> str:
    """The environment variable of an option, as Vouch's documentation writes it."""
    return option.name.replace(".", "_").upper()


def plain(name: str) -> str:
    """A name as it is compared: Vouch reads keys in any case, and variables with and without inner underscores."""
    return name.replace("_", "").replace(".", "").upper()


BY_PLAIN: Final[Mapping[str, Option]] = {plain(option.name): option for option in BY_NAME.values()}

"""oauth2-proxy's other options, and what becomes of each."""

from __future__ import annotations

from typing import Final

from vestibule.config.importers.option import Option
from vestibule.config.importers.rows import carried, changed, dropped

_OFF = (False,)
_ON = (True,)
_LOG = "the log is one line of JSON for each event, on standard error; what runs the gateway keeps and rotates it"
_METRICS = "metrics are at `/metrics` of the admin API, by token: admin { listen = … } (docs/metrics.md)"
_TLS = "the ciphers are those of Mozilla's profile: `gateway { tls_profile }`"
_REDIS = 'sessions are kept in SQLite; in Redis by `store { sessions = "redis://…" }`'
_CSRF = "each sign-in has a signed cookie of its own, SameSite=Lax, for ten minutes (`lifetimes { pending_flow }`)"

ACCESS: Final[tuple[Option, ...]] = (
    carried("email_domains", "`domain:` rules; `*` is `anyone`", many=True),
    carried("authenticated_emails_file", "`email:` rules, one for each address in the file"),
    carried("htpasswd_file", "`htpasswd`"),
    dropped(
        "htpasswd_user_groups",
        "people of a password file are in no groups: `user:htpasswd/NAME` rules name them",
        many=True,
    ),
    carried(
        "display_htpasswd_form", "the form is on the sign-in page wherever `htpasswd` stands", switch=True
    ),
    carried(
        "skip_auth_routes",
        '`route "/PATH/" { access { allow = ["public"] } }` where a route says the same; else it is listed',
        many=True,
    ),
    carried("skip_auth_regex", "as `skip_auth_routes`", many=True),
    carried("skip_auth_preflight", "`preflight = true`", switch=True),
    dropped(
        "trusted_ips",
        "an address alone lets nobody in: `network:` rules only narrow who else may. Give such callers a token",
        many=True,
    ),
    changed(
        "api_routes",
        "each request tells by itself: what is no navigation (fetch, XHR, WebSocket, `Accept: application/json`) gets "
        "401 with JSON, on every path",
        many=True,
    ),
    changed(
        "force_json_errors",
        "each request tells by itself: what is no navigation gets JSON; a browser that navigates gets a page",
        switch=True,
        usual=_OFF,
    ),
    carried("skip_jwt_bearer_tokens", "an `issuer` block, and `issuers` in the host", switch=True),
    carried("extra_jwt_issuers", "`issuer` blocks, and `issuers` in the host", many=True),
    changed(
        "bearer_token_login_fallback",
        "a token that is refused is 401, always, and never a way to the sign-in page",
        switch=True,
        usual=_ON,
        quiet=True,
    ),
    changed(
        "whitelist_domains",
        "people are sent back to hosts of this configuration and nowhere else: write a `host` block for each",
        many=True,
    ),
    changed("skip_provider_button", "with one provider people go straight on", switch=True, quiet=True),
)

UPSTREAM: Final[tuple[Option, ...]] = (
    carried("upstreams", "`backend` of the host, and of a `route` for each path", many=True),
    carried("upstream_timeout", "`timeout`", span=True),
    carried("pass_host_header", '`host_header = "backend"` where it is false', switch=True),
    carried("ssl_upstream_insecure_skip_verify", "`insecure = true`", switch=True),
    dropped(
        "proxy_websockets",
        "WebSockets pass like every request, from the host's own origin",
        switch=True,
        usual=_ON,
    ),
    changed("flush_interval", "bodies are passed on as they come", span=True, quiet=True),
    dropped(
        "disable_keep_alives", "connections to a backend are kept and used again", switch=True, usual=_OFF
    ),
)

HEADERS: Final[tuple[Option, ...]] = (
    carried("pass_user_headers", '`identity_headers = "oauth2-proxy"`', switch=True),
    carried("pass_basic_auth", '`identity_headers = "oauth2-proxy"`', switch=True),
    carried("set_xauthrequest", '`identity_headers = "oauth2-proxy"`', switch=True),
    dropped(
        "pass_access_token",
        "a provider's token never reaches a backend; to call an API with it, the backend uses a `call`",
        switch=True,
        usual=_OFF,
    ),
    dropped(
        "pass_authorization_header",
        "a provider's token never reaches a backend; `assertion = true` gives it a signed token that is meant for it",
        switch=True,
        usual=_OFF,
    ),
    dropped(
        "set_authorization_header",
        "a provider's token never reaches a backend; `assertion = true` gives it a signed token that is meant for it",
        switch=True,
        usual=_OFF,
    ),
    dropped(
        "basic_auth_password",
        "a password that is the same for everybody proves nothing; `assertion = true` is a signed proof",
        secret=True,
    ),
    dropped(
        "set_basic_auth",
        "a password that is the same for everybody proves nothing; `assertion = true` is a signed proof",
        switch=True,
        usual=_OFF,
    ),
    dropped(
        "prefer_email_to_user",
        "`X-Forwarded-User` stays who the person is, the address stands in `X-Forwarded-Email`",
        switch=True,
        usual=_OFF,
    ),
    changed(
        "skip_auth_strip_headers",
        "what a client sends under names of ours is taken off on every path",
        switch=True,
        usual=_ON,
    ),
    changed(
        "signature_key",
        "`assertion = true`: a signed token with the person in it, for keys that anybody may know",
        secret=True,
    ),
)

SESSION: Final[tuple[Option, ...]] = (
    changed(
        "cookie_name",
        "the cookie has a name of its own; `cookie` of a `domain` block gives one for all its hosts another",
        usual=("_oauth2_proxy", ""),
    ),
    changed(
        "cookie_secret",
        "the gateway makes its own key at the first start; people sign in once more",
        secret=True,
        quiet=True,
    ),
    changed(
        "cookie_secret_file",
        "the gateway makes its own key at the first start; people sign in once more",
        quiet=True,
    ),
    carried("cookie_domains", "a `domain` block, where it is for several hosts", many=True),
    dropped("cookie_path", "a host's cookie is for all of its paths", usual=("/", "")),
    carried("cookie_expire", "`lifetimes { session_absolute, session_idle }`", span=True),
    carried(
        "cookie_refresh", "`lifetimes { restriction }`; tokens are refreshed when they expire", span=True
    ),
    changed(
        "cookie_secure",
        "Secure wherever people come by https, which `public_url` says",
        switch=True,
        quiet=True,
    ),
    changed("cookie_httponly", "HttpOnly, always", switch=True, usual=_ON),
    changed("cookie_samesite", "SameSite=Lax, always", usual=("lax", "")),
    changed("cookie_csrf_per_request", _CSRF, switch=True, quiet=True),
    changed("cookie_csrf_per_request_limit", _CSRF, number=True, quiet=True),
    changed("cookie_csrf_expire", _CSRF, span=True, quiet=True),
    changed("cookie_csrf_samesite", _CSRF, usual=("lax", "")),
    changed("session_store_type", _REDIS, usual=("cookie",)),
    changed("session_cookie_minimal", "a cookie holds nothing but a random handle", switch=True, quiet=True),
    dropped("redis_connection_url", _REDIS, secret=True),
    dropped("redis_username", _REDIS),
    dropped("redis_password", _REDIS, secret=True),
    dropped("redis_use_sentinel", _REDIS, switch=True, usual=_OFF),
    dropped("redis_sentinel_password", _REDIS, secret=True),
    dropped("redis_sentinel_master_name", _REDIS),
    dropped("redis_sentinel_connection_urls", _REDIS, many=True, secret=True),
    dropped("redis_use_cluster", _REDIS, switch=True, usual=_OFF),
    dropped("redis_cluster_connection_urls", _REDIS, many=True, secret=True),
    dropped("redis_ca_path", _REDIS),
    dropped("redis_insecure_skip_tls_verify", _REDIS, switch=True, usual=_OFF),
    dropped("redis_connection_idle_timeout", _REDIS, number=True),
)

SERVER: Final[tuple[Option, ...]] = (
    carried("http_address", "`gateway { http }`"),
    carried("https_address", "`gateway { https }`, where there is a certificate", usual=(":443", "-", "")),
    carried("tls_cert_file", "`tls_certificate` in each host"),
    carried("tls_key_file", "`tls_key` in each host"),
    carried("tls_min_version", "`gateway { tls_profile }`"),
    changed("tls_cipher_suites", _TLS, many=True),
    changed(
        "force_https",
        "a host with TLS here leads from http to https by itself; for others the edge in front does, and "
        "`trusted_proxies` tells what comes by it",
        switch=True,
        usual=_OFF,
    ),
    carried("reverse_proxy", "`gateway { trusted_proxies }`", switch=True),
    carried("trusted_proxy_ips", "`gateway { trusted_proxies }`", many=True),
    changed(
        "real_client_ip_header",
        "`X-Forwarded-For` and `Forwarded` of `trusted_proxies` say where a request comes from",
        usual=("X-Forwarded-For",),
    ),
    carried("redirect_url", "the host's name, its `public_url`, and `redirect_url` of the provider"),
    changed(
        "relative_redirect_url", "a redirect URL is on the host that people are on", switch=True, quiet=True
    ),
    changed(
        "proxy_prefix",
        'with `compat = ["oauth2-proxy"]` its paths are below `/oauth2`, with nothing else below another',
        usual=("/oauth2", ""),
    ),
    changed("ping_path", '`/ping`, with `compat = ["oauth2-proxy"]`', usual=("/ping",)),
    changed("ready_path", '`/ready`, with `compat = ["oauth2-proxy"]`', usual=("/ready",)),
    dropped("ping_user_agent", "a request is what its path says, whoever sends it"),
    dropped(
        "gcp_healthchecks", 'point them at `/ping` (`compat = ["oauth2-proxy"]`)', switch=True, usual=_OFF
    ),
    changed("encode_state", "`state` is one signed word, always", switch=True, quiet=True),
    changed("allow_query_semicolons", "a query is passed on as it came", switch=True, quiet=True),
    dropped("metrics_address", _METRICS, usual=("", "-")),
    dropped("metrics_secure_address", _METRICS, usual=("", "-")),
    dropped("metrics_tls_cert_file", _METRICS),
    dropped("metrics_tls_key_file", _METRICS),
)

PAGES: Final[tuple[Option, ...]] = (
    carried("banner", "`branding { banner }`", usual=("-",)),
    carried("footer", "`branding { footer }`", usual=("-",)),
    carried("custom_sign_in_logo", "`branding { logo }`: a file, or `-` for none"),
    dropped("custom_templates_dir", "our pages have templates of their own: `branding { templates }`"),
    dropped("show_debug_on_error", "the log says what went wrong, never a page", switch=True, usual=_OFF),
)

LOGS: Final[tuple[Option, ...]] = (
    dropped("auth_logging", _LOG, switch=True, usual=_ON),
    dropped("auth_logging_format", _LOG),
    dropped("request_logging", _LOG, switch=True, usual=_ON),
    dropped("request_logging_format", _LOG),
    dropped("standard_logging", _LOG, switch=True, usual=_ON),
    dropped("standard_logging_format", _LOG),
    dropped("errors_to_info_log", _LOG, switch=True, usual=_OFF),
    dropped("exclude_logging_paths", _LOG, many=True),
    dropped("logging_local_time", _LOG, switch=True),
    dropped("silence_ping_logging", _LOG, switch=True),
    dropped(
        "request_id_header",
        "a backend gets the request's headers as they came, this one, too",
        usual=("X-Request-Id",),
    ),
    dropped("logging_filename", _LOG),
    dropped("logging_max_size", _LOG, number=True),
    dropped("logging_max_age", _LOG, number=True),
    dropped("logging_max_backups", _LOG, number=True),
    dropped("logging_compress", _LOG, switch=True, usual=_OFF),
)

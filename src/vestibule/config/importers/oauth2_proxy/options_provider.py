"""oauth2-proxy's options on its provider, and what becomes of each."""

from __future__ import annotations

from typing import Final

from vestibule.config.importers.option import Option
from vestibule.config.importers.rows import carried, changed, dropped

_ALWAYS_OFF = (False,)

PROVIDER: Final[tuple[Option, ...]] = (
    carried("provider", "the kind of the `provider` block; `azure` and `entra-id` are `entra`"),
    carried("client_id", "`client_id`"),
    carried("client_secret", '`client_secret = "${env("…")}"`: a secret is never printed', secret=True),
    carried("client_secret_file", '`client_secret = "${file("…")}"`'),
    carried("provider_display_name", "`title`"),
    changed(
        "provider_ca_files",
        "set the variable `SSL_CERT_FILE` to a file with these certificates; it holds for all that the gateway fetches",
        many=True,
    ),
    changed(
        "use_system_trust_store",
        "`SSL_CERT_FILE` replaces the system's certificates: put those into the file, too",
        switch=True,
        usual=_ALWAYS_OFF,
    ),
    carried("scope", "`scopes`"),
    carried("prompt", 'an `authorize_parameter` block: name = "prompt"'),
    carried("acr_values", "an `authorize_parameter` block; at login.gov `acr_values`"),
    changed(
        "approval_prompt",
        "consent is asked for only where a provider gives a refresh token on that condition",
        usual=("force", ""),
    ),
    changed("code_challenge_method", "PKCE with S256 is used with every provider, always", quiet=True),
    changed("force_code_challenge_method", "PKCE with S256 is used with every provider, always", quiet=True),
    carried("auth_request_response_mode", "`form_post`"),
    carried(
        "login_url", "where the provider's metadata don't tell: `authorize_url`, or `web_url` of its kind"
    ),
    carried("redeem_url", "where the provider's metadata don't tell: `access_token_url`"),
    carried("profile_url", "where the provider's metadata don't tell: `userinfo_url`"),
    changed("validate_url", "who holds a token is asked for at `userinfo_url`, or at the API of its kind"),
    carried("skip_claims_from_profile_url", "`userinfo = false`", switch=True),
    changed(
        "backend_logout_url",
        "where it is set, sign-out leads over the page that the provider's metadata name (`sign_out_at_provider`), and "
        "revokes tokens; else it ends the session here, as before",
    ),
    carried("resource", "`resource` of AD FS; at Microsoft the v2 endpoints know no resource"),
    dropped(
        "ssl_insecure_skip_verify",
        "a provider's certificate is always checked: whoever stood between could sign in as anybody. For a certificate "
        "of your own set `SSL_CERT_FILE`",
        switch=True,
        usual=_ALWAYS_OFF,
    ),
)

OIDC: Final[tuple[Option, ...]] = (
    carried("oidc_issuer_url", "`issuer`; `web_url` of GitLab, `tenant` of Microsoft"),
    carried("oidc_email_claim", "`claims { email = … }`", usual=("email", "")),
    changed(
        "user_id_claim",
        "`claims { email = … }`, as it was read; who people are is `sub`",
        usual=("email", ""),
    ),
    carried("oidc_groups_claim", "`claims { groups = … }`", usual=("groups", "")),
    dropped(
        "oidc_audience_claims",
        "for whom a token is says `aud`, and nothing else",
        many=True,
        usual=(("aud",), ()),
    ),
    changed(
        "oidc_extra_audiences",
        "`audience` of the `issuer` block, for callers with tokens; an ID token must be for this client",
        many=True,
    ),
    changed(
        "oidc_enabled_signing_algs",
        "`algorithms` of the `issuer` block, for callers with tokens; of ID tokens what the provider's metadata name, "
        "never `none` or a shared secret",
        many=True,
    ),
    changed(
        "oidc_jwks_url",
        "`jwks_url` of the `issuer` block; a provider's keys are found by its metadata",
    ),
    dropped(
        "oidc_public_key_files",
        "keys are fetched from the provider, so that it can change them; only there are they found",
        many=True,
    ),
    changed(
        "skip_oidc_discovery",
        "the metadata at `issuer` are fetched when they are first needed; where there are none and `profile_url` is "
        "known, an `oauth` block with explicit URLs",
        switch=True,
        usual=_ALWAYS_OFF,
    ),
    carried("insecure_oidc_allow_unverified_email", "`assume_email_verified = true`", switch=True),
    dropped(
        "insecure_oidc_skip_issuer_verification",
        "the issuer is always compared; at Microsoft `allowed_tenants` says which tenants may come",
        switch=True,
        usual=_ALWAYS_OFF,
    ),
    changed(
        "insecure_oidc_skip_nonce",
        "a nonce is sent and compared, always",
        switch=True,
        quiet=True,
    ),
)

KINDS: Final[tuple[Option, ...]] = (
    carried("allowed_groups", "`allowed_groups` of the provider, or `group:` rules", many=True),
    carried("allowed_roles", "`allowed_roles` of the provider, or `role:` rules", many=True),
    carried("azure_tenant", "`tenant`; `allowed_tenants` beside `common`", usual=("common",)),
    carried("azure_graph_group_field", "`group_names` for `displayName`"),
    carried("entra_id_allowed_tenants", "`allowed_tenants`", many=True),
    carried("entra_id_federated_token_auth", "`federated_token_file`", switch=True),
    carried("bitbucket_team", "`allowed_workspaces`"),
    carried("bitbucket_repository", "`allowed_repos`"),
    carried("github_org", "`allowed_orgs`, or an `org:` rule"),
    carried("github_team", "`allowed_teams`, or `team:` rules"),
    carried("github_repo", "`allowed_repos`"),
    carried("github_users", "`allowed_users`; beside an organisation or teams `user:` rules", many=True),
    dropped(
        "github_token",
        "who may push is asked with the person's own token, so that no such token need lie about",
        secret=True,
    ),
    carried("gitlab_groups", "`allowed_groups`", many=True),
    carried("gitlab_projects", "`allowed_projects`, the level by name", many=True),
    carried("google_groups", "`allowed_groups`", many=True),
    carried("google_group", "`allowed_groups`: the old name of `google_groups`", many=True),
    carried("google_admin_email", "`groups_admin`"),
    carried("google_service_account_json", '`groups_key = "${file("…")}"`'),
    dropped(
        "google_use_application_default_credentials",
        "groups are asked for by the key of a service account: `groups_key`",
        switch=True,
        usual=_ALWAYS_OFF,
    ),
    dropped("google_target_principal", "groups are asked for by the key of a service account: `groups_key`"),
    dropped(
        "google_use_organization_id",
        "the organisation is in `User-Orgs`; a name stays a name",
        switch=True,
        usual=_ALWAYS_OFF,
    ),
    dropped("google_admin_api_user_scope", "the directory is asked about groups alone"),
    carried("keycloak_groups", "`allowed_groups`", many=True),
    carried("jwt_key", '`private_key = "${env("…")}"`: a secret is never printed', secret=True),
    carried("jwt_key_file", '`private_key = "${file("…")}"`'),
    changed("pubjwk_url", "login.gov's keys are found by its metadata", quiet=True),
)

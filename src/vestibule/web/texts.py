"""What each page is about: one table from the stable code to status and ways on; its words stand in `languages/`.

The codes are those of `errors`, of `core.policy` and of the gateway's own answers; tests hold the table and all
languages complete. A code that is not in it still gets a page, by its status alone. What to write for a new
code: its line here, and `error.CODE.title`, `.text` and (if there is advice to give) `.hint` in every language.
"""

from __future__ import annotations

import msgspec


class Text(msgspec.Struct, frozen=True):
    """One code's page. `actions` are ways on by name, each with the name of its label; the first stands out.

    The ways: `again`, `home`, `sign_in`, `switch` (another account), `other_way`, `sign_out`, `account`. The labels
    stand under `action.` in the languages.
    """

    status: int
    actions: tuple[tuple[str, str], ...] = ()
    shows_reason: bool = True
    """False where the reason given names rules, and so perhaps other people: then it is for the log only."""
    section: str = "error"
    """Where its words stand; `program` for what only programs read, which is said in English alone."""


_AGAIN = ("again", "again")
_HOME = ("home", "home")
_SIGN_IN = ("sign_in", "sign_in")
_SIGN_IN_AGAIN = ("again", "sign_in_again")
_OTHER = ("switch", "switch")
_SIGN_OUT = ("sign_out", "sign_out")
_ACCOUNT = ("account", "account")
_OTHER_WAY = ("other_way", "other_way")

TEXTS: dict[str, Text] = {
    # The request itself: no gateway should forward it.
    "bad_request": Text(400, (_HOME,)),
    "odd": Text(400, (_HOME,)),
    "request_timeout": Text(408, (_AGAIN,)),
    "body_too_large": Text(413, (_HOME,)),
    "target_too_long": Text(414, (_HOME,)),
    "header_too_large": Text(431, (_AGAIN,)),
    "unknown_host": Text(421),
    "method_not_allowed": Text(405, (_HOME,)),
    "not_implemented": Text(501, (_HOME,)),
    "http_version": Text(505),
    "not_found": Text(404, (_HOME,)),
    "client_unknown": Text(404, (("sign_in", "see_ways"), _HOME)),
    "no_choices": Text(404, (_HOME,)),
    "foreign_origin": Text(403),
    "unsupported_media_type": Text(415, (_HOME,)),
    "cross_origin": Text(403, (_HOME,)),
    "too_many_tries": Text(429, (_AGAIN,), shows_reason=False),
    "crowded": Text(503, (_AGAIN,), shows_reason=False),
    # Who may in.
    "sign_in_required": Text(401, (_SIGN_IN,), shows_reason=False),
    "sign_in_too_old": Text(401, (("switch", "sign_in"),), shows_reason=False),
    "not_allowed": Text(403, (_OTHER, _SIGN_OUT), shows_reason=False),
    "denied": Text(403, (_OTHER, _SIGN_OUT), shows_reason=False),
    "denied_unknown": Text(403, (_OTHER, _SIGN_OUT), shows_reason=False),
    "outside_network": Text(403, (_AGAIN,), shows_reason=False),
    "token_required": Text(401, shows_reason=False),
    "claim_missing": Text(403, (_OTHER, _SIGN_OUT), shows_reason=False),
    "no_sign_in": Text(403, (_HOME,)),
    "no_sign_in_yet": Text(503, (_AGAIN,)),
    "forbidden": Text(403, (_HOME,)),
    "user_disabled": Text(403, (_OTHER,)),
    "domain_not_allowed": Text(403, (_OTHER,), shows_reason=False),
    "registration_closed": Text(403, (_OTHER,), shows_reason=False),
    "not_invited": Text(403, (_OTHER,), shows_reason=False),
    "registration_expired": Text(400, (("sign_in", "sign_in_again"),), shows_reason=False),
    # One's own account.
    "link_expired": Text(400, (_ACCOUNT,), shows_reason=False),
    "app_unknown": Text(400, shows_reason=False),
    "redirect_unknown": Text(400, shows_reason=False),
    "form_expired": Text(400, shows_reason=False),
    "account_taken": Text(403, (_ACCOUNT,), shows_reason=False),
    "sign_in_again": Text(403, (_SIGN_IN_AGAIN, _ACCOUNT), shows_reason=False),
    "last_account": Text(409, (_ACCOUNT,), shows_reason=False),
    "account_in_use": Text(409, (_ACCOUNT,), shows_reason=False),
    "too_many_tokens": Text(409, (_ACCOUNT,), shows_reason=False),
    "token_form_expired": Text(400, (_ACCOUNT,), shows_reason=False),
    # A sign-in that can't go on. All of them lead back to signing in.
    "flow_expired": Text(400, (_SIGN_IN_AGAIN,)),
    "flow_replayed": Text(400, (("home", "to_site"), _SIGN_IN_AGAIN)),
    "flow_other_browser": Text(400, (_SIGN_IN_AGAIN,)),
    "flow_unknown": Text(400, (_SIGN_IN_AGAIN,)),
    "other_person": Text(403, (_HOME, _SIGN_OUT)),
    # The identity provider.
    "access_denied": Text(403, (_AGAIN, _OTHER)),
    "not_admitted": Text(403, (_OTHER,)),
    "single_sign_on": Text(403, (_AGAIN, _OTHER), shows_reason=False),
    "provider_misconfigured": Text(502, (_AGAIN, _OTHER_WAY)),
    "provider_refused": Text(403, (_AGAIN, _OTHER)),
    "provider_unavailable": Text(503, (_AGAIN, _OTHER_WAY)),
    "provider_invalid": Text(502, (_AGAIN, _OTHER_WAY)),
    "provider_error": Text(502, (_AGAIN, _OTHER_WAY)),
    "credential_gone": Text(401, (_SIGN_IN_AGAIN,)),
    # A calling interface; programs read these.
    "handle_missing": Text(401, section="program"),
    "handle_invalid": Text(401, section="program"),
    "handle_expired": Text(401, section="program"),
    "handle_foreign": Text(401, section="program"),
    "session_ended": Text(401, section="program"),
    "no_credential": Text(401, section="program"),
    # Who shows a credential of their own; programs read these, too.
    "invalid_token": Text(401, section="program"),
    "bad_credentials": Text(401, section="program"),
    "session_invalid": Text(401, section="program"),
    "out_of_bounds": Text(403, section="program"),
    "operation_unknown": Text(403, section="program"),
    "foreign_host": Text(403, section="program"),
    "browser_call": Text(403, section="program"),
    # The admin API.
    "invalid": Text(422, section="program"),
    "conflict": Text(409, section="program"),
    # The site behind the gateway, and the gateway itself.
    "backend_unavailable": Text(502, (_AGAIN,)),
    "backend_overloaded": Text(503, (_AGAIN,)),
    "backend_timeout": Text(504, (_AGAIN,)),
    "store_unavailable": Text(503, (_AGAIN,)),
    "starting": Text(503, (_AGAIN,)),
    "unavailable": Text(503, (_AGAIN,)),
    "config_error": Text(500, (_AGAIN,)),
    "internal_error": Text(500, (_AGAIN, _HOME)),
}
_ODD = "odd"
"""A request at fault in a way that has no words of its own."""

_BY_STATUS = {
    400: "bad_request",
    401: "sign_in_required",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "body_too_large",
    414: "target_too_long",
    421: "unknown_host",
    431: "header_too_large",
    501: "not_implemented",
    502: "backend_unavailable",
    503: "unavailable",
    504: "backend_timeout",
    505: "http_version",
}


def known_code(code: str, status: int = 0) -> str:
    """The code itself where it has a page, else the one of its status, in the end of a bare 4xx or 5xx."""
    if code in TEXTS:
        return code
    if status in _BY_STATUS:
        return _BY_STATUS[status]
    return _ODD if 400 <= status < 500 else "internal_error"

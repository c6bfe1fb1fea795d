"""What each page says: one table from the stable code to status, title, text and ways on.

The codes are those of `errors`, of `core.policy` and of the gateway's own answers; a test holds the table
complete. A code that is not in it still gets a page, by its status alone.
"""
# ruff: noqa: RUF001 - people read this: apostrophes are apostrophes

from __future__ import annotations

from http import HTTPStatus

import msgspec


class Text(msgspec.Struct, frozen=True):
    """One page's words. `actions` are ways on by name, each with its label; the first stands out.

    The names: `again`, `home`, `sign_in`, `switch` (another account), `other_way`, `sign_out`.
    """

    status: int
    title: str
    text: str
    hint: str = ""
    actions: tuple[tuple[str, str], ...] = ()
    shows_reason: bool = True
    """False where the reason given names rules, and so perhaps other people: then it is for the log only."""


_AGAIN = ("again", "Try again")
_HOME = ("home", "Go to the start page")
_SIGN_IN = ("sign_in", "Sign in")
_SIGN_IN_AGAIN = ("again", "Sign in again")
_OTHER = ("switch", "Use another account")
_SIGN_OUT = ("sign_out", "Sign out")

_NOT_SENT = "Nothing was passed on."
_COME_BACK = "This is not your doing. Please try again in a moment."
_TELL = "If it keeps happening, tell whoever runs this site and give them the reference below."

TEXTS: dict[str, Text] = {
    # The request itself: no gateway should forward it.
    "bad_request": Text(
        400,
        "This request can’t be read",
        "What arrived here is not a request this site can understand.",
        "Check the address for stray characters, or start from the front page.",
        (_HOME,),
    ),
    "request_timeout": Text(
        408,
        "That took too long",
        "The request did not arrive in full in time.",
        "The connection may be slow. Please try again.",
        (_AGAIN,),
    ),
    "body_too_large": Text(
        413,
        "That is too big to send here",
        "What you sent is larger than this address takes. " + _NOT_SENT,
        "Try a smaller file.",
        (_HOME,),
    ),
    "target_too_long": Text(
        414,
        "That address is too long",
        "The address is longer than this site takes.",
        "If you followed a link, it may be broken.",
        (_HOME,),
    ),
    "header_too_large": Text(
        431,
        "Your browser sent too much along",
        "The request’s headers are larger than this site takes. Too many cookies are the usual reason.",
        "Clear the cookies of this site and try again.",
        (_AGAIN,),
    ),
    "unknown_host": Text(
        421,
        "There is no such site here",
        "This server was reached under a name that it does not serve.",
        "Check the address. If it is right, the site may not have been set up yet.",
    ),
    "method_not_allowed": Text(
        405,
        "That can’t be done here",
        "This address does not take this kind of request.",
        "",
        (_HOME,),
    ),
    "not_implemented": Text(
        501,
        "That isn’t supported here",
        "The request asks for something this server does not do.",
        "",
        (_HOME,),
    ),
    "http_version": Text(
        505,
        "That version of HTTP isn’t supported here",
        "Your program speaks a version of HTTP that this server does not.",
    ),
    "not_found": Text(
        404,
        "Nothing is here",
        "This address leads nowhere.",
        "If you followed a link, it may be out of date.",
        (_HOME,),
    ),
    "client_unknown": Text(
        404,
        "There is no such way to sign in",
        "This site has no sign-in of that name.",
        "If you followed a link, it may be out of date.",
        (("sign_in", "See the ways to sign in"), _HOME),
    ),
    "no_choices": Text(
        404,
        "There is no sign-in here",
        "This site has no sign-in page.",
        "",
        (_HOME,),
    ),
    "foreign_origin": Text(
        403,
        "A page of another site can’t open this",
        "The connection was asked for by a page of another site, so it was not opened.",
    ),
    "form_post": Text(
        405,
        "This answer came the wrong way",
        "The sign-in service sent its answer by a form, which this site does not take.",
        "Whoever runs this site can set the sign-in service to answer by redirect.",
        (("sign_in", "Start again"), _HOME),
    ),
    "cross_origin": Text(
        403,
        "That didn’t come from this site",
        "The request was sent by a page of another site, or your browser hid where it came from, "
        "so it was not carried out.",
        "Do it here, if it is what you want.",
        (_HOME,),
    ),
    # Who may in.
    "sign_in_required": Text(
        401,
        "Please sign in",
        "This page is only for people who are signed in.",
        "",
        (_SIGN_IN,),
        shows_reason=False,
    ),
    "step_up_required": Text(
        401,
        "Please sign in once more",
        "This page asks for a fresh sign-in.",
        "",
        (("switch", "Sign in"),),
        shows_reason=False,
    ),
    "not_allowed": Text(
        403,
        "You can’t open this page",
        "Your account is not among those who may open it.",
        "If you have another account, use that one. If you should have access, ask whoever runs this site.",
        (_OTHER, _SIGN_OUT),
        shows_reason=False,
    ),
    "denied": Text(
        403,
        "You can’t open this page",
        "Access to it is closed to your account.",
        "If you should have access, ask whoever runs this site.",
        (_OTHER, _SIGN_OUT),
        shows_reason=False,
    ),
    "denied_unknown": Text(
        403,
        "You can’t open this page",
        "Your account does not say enough about you to decide whether you may open it.",
        "An account with a verified e-mail address may help.",
        (_OTHER, _SIGN_OUT),
        shows_reason=False,
    ),
    "no_sign_in": Text(
        403,
        "This page is closed",
        "Nobody may open this page, and there is no sign-in that could change that.",
        "",
        (_HOME,),
    ),
    "forbidden": Text(
        403,
        "You can’t open this page",
        "You may not open this page.",
        "",
        (_HOME,),
    ),
    "user_disabled": Text(
        403,
        "This account is switched off",
        "Your account exists, but it has been switched off here.",
        "If that is a mistake, ask whoever runs this site.",
        (_OTHER,),
    ),
    # A sign-in that can't go on. All of them lead back to signing in.
    "flow_expired": Text(
        400,
        "That took a little too long",
        "This sign-in was started a while ago and is no longer good.",
        "Nothing is lost: sign in again and you are back where you were.",
        (_SIGN_IN_AGAIN,),
    ),
    "flow_replayed": Text(
        400,
        "This sign-in has been used",
        "Each sign-in works once, and this one is done. "
        "Going back in the browser, or loading the page again, leads here.",
        "If you are not signed in, sign in again.",
        (("home", "Continue to the site"), _SIGN_IN_AGAIN),
    ),
    "flow_other_browser": Text(
        400,
        "This sign-in began somewhere else",
        "It was started in another browser, or this browser did not keep its cookie.",
        "Sign in again here. If it keeps happening, allow cookies for this site.",
        (_SIGN_IN_AGAIN,),
    ),
    "flow_unknown": Text(
        400,
        "We can’t tell which sign-in this is",
        "The answer that arrived belongs to no sign-in that was started here.",
        "Sign in again.",
        (_SIGN_IN_AGAIN,),
    ),
    "other_person": Text(
        403,
        "That is somebody else’s account",
        "You are signed in as one person and came back from the sign-in as another. Nothing was changed.",
        "Sign out first, if you want to change over.",
        (_HOME, _SIGN_OUT),
    ),
    # The identity provider.
    "access_denied": Text(
        403,
        "Sign-in was cancelled",
        "You, or the sign-in service, said no, so nobody was signed in.",
        "You can try again, or use another account.",
        (_AGAIN, _OTHER),
    ),
    "not_admitted": Text(
        403,
        "This account can’t be used here",
        "Only accounts of certain organisations are let in.",
        "If you have an account there, use that one.",
        (_OTHER,),
    ),
    "provider_misconfigured": Text(
        502,
        "Signing in is not set up right",
        "The sign-in service does not accept this site. It is not your fault.",
        _TELL,
        (_AGAIN,),
    ),
    "provider_refused": Text(
        403,
        "The sign-in service said no",
        "It did not let this sign-in go on.",
        "Try again or use another account. " + _TELL,
        (_AGAIN, _OTHER),
    ),
    "provider_unavailable": Text(
        503,
        "The sign-in service is not answering",
        "We could not reach the service that signs you in, so nobody was signed in or out.",
        _COME_BACK,
        (_AGAIN, ("other_way", "Sign in another way")),
    ),
    "provider_invalid": Text(
        502,
        "The sign-in service’s answer can’t be trusted",
        "What it sent did not pass our checks, so nobody was signed in.",
        "Try again. " + _TELL,
        (_AGAIN,),
    ),
    "provider_error": Text(
        502,
        "Something went wrong at the sign-in service",
        "Nobody was signed in or out.",
        "Try again. " + _TELL,
        (_AGAIN,),
    ),
    "credential_gone": Text(
        401,
        "A connection has ended",
        "The service that this page needs no longer accepts the permission you gave.",
        "Sign in there once more.",
        (_SIGN_IN_AGAIN,),
    ),
    # A calling interface; programs read these.
    "handle_missing": Text(401, "No Proxy-Session", "The call carries no Proxy-Session."),
    "handle_invalid": Text(401, "Unknown Proxy-Session", "The Proxy-Session is not one of this gateway’s."),
    "handle_expired": Text(401, "Expired Proxy-Session", "Use the one that came with the latest request."),
    "handle_foreign": Text(401, "Another host’s Proxy-Session", "It is of a host that may not call here."),
    "session_ended": Text(401, "The session has ended", "The person of this Proxy-Session has signed out."),
    "no_credential": Text(401, "No such credential", "Nobody has signed in to that client in this session."),
    "operation_unknown": Text(403, "No such operation", "No operation of this interface allows the call."),
    "foreign_host": Text(403, "Not under this name", "This port answers to a loopback name only."),
    "browser_call": Text(403, "Not for browsers", "A browser may not call here."),
    # The site behind the gateway, and the gateway itself.
    "backend_unavailable": Text(
        502,
        "The site is not answering",
        "You reached the entrance, but what lies behind it did not answer.",
        _COME_BACK,
        (_AGAIN,),
    ),
    "backend_overloaded": Text(
        503,
        "The site is busy",
        "More is being asked of it than it can answer just now.",
        _COME_BACK,
        (_AGAIN,),
    ),
    "backend_timeout": Text(
        504,
        "The site is taking too long",
        "You reached the entrance, but what lies behind it did not answer in time.",
        _COME_BACK,
        (_AGAIN,),
    ),
    "store_unavailable": Text(
        503,
        "We can’t look up your sign-in just now",
        "You have not been signed out.",
        _COME_BACK,
        (_AGAIN,),
    ),
    "starting": Text(
        503,
        "Just opening up",
        "This site is starting and will be here in a moment.",
        "",
        (_AGAIN,),
    ),
    "unavailable": Text(
        503,
        "Not available just now",
        "This site can’t answer at the moment.",
        _COME_BACK,
        (_AGAIN,),
    ),
    "config_error": Text(
        500, "This site is not set up right", "It can’t go on until that is mended.", _TELL, (_AGAIN,)
    ),
    "internal_error": Text(
        500, "Something went wrong here", "It is our fault, not yours.", _TELL, (_AGAIN, _HOME)
    ),
}

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


def text_of(code: str, status: int = 0) -> Text:
    """The words for this code; for an unknown one those of its status, in the end of a bare 4xx or 5xx."""
    known = TEXTS.get(code)
    if known is not None:
        return known
    if status in _BY_STATUS:
        return TEXTS[_BY_STATUS[status]]
    if 400 <= status < 500:
        return msgspec.structs.replace(TEXTS["bad_request"], status=status, title=_phrase(status))
    return TEXTS["internal_error"]


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "This request can’t be used"

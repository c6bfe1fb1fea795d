"""Who is let in and who becomes a user: what is done with a person a provider vouches for.

`allow_all_users` and the allowed domains say who is admitted; `registration` says only how an admitted newcomer's
account is made.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final, TypeAlias

import msgspec

from vestibule.model import Identity, User

AUTO: Final = "auto"
FORM: Final = "form"
INVITE: Final = "invite"
CLOSED: Final = "closed"
WAYS: Final = (AUTO, FORM, INVITE, CLOSED)
EVERY_DOMAIN: Final = "*"
"""In the list of allowed domains: all of them, and people without an address too."""
NAME_MAX_CHARS: Final = 100
LOGIN_MAX_CHARS: Final = 64
ANSWER_MAX_CHARS: Final = 500
NAME: Final = "name"
LOGIN: Final = "login"
TERMS: Final = "terms"
TAKEN_NAMES: Final = frozenset({NAME, LOGIN, TERMS, "email"})
"""Names that no further field of the form may have."""

_LOGIN_RE: Final = re.compile(r"[^\W_](?:[\w.@+-]*\w)?")


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """One further field of the registration form."""

    name: str
    label: str
    """As the operator wrote it, in whatever language."""
    hint: str = ""
    required: bool = False


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """What the block `people` of the configuration says."""

    registration: str = AUTO
    """One of `WAYS`."""
    allow_all_users: bool = True
    """False: only people who are users already, or were invited."""
    allowed_domains: tuple[str, ...] = ()
    """Lower case; empty: no address is asked for."""
    link_verified_emails: bool = False
    """True: a newcomer with the verified address of one user's account is that user."""
    questions: tuple[Question, ...] = ()
    terms_url: str = ""
    privacy_url: str = ""


class Known(msgspec.Struct, frozen=True):
    """The account is a user's already."""


class Join(msgspec.Struct, frozen=True):
    """The account becomes a further one of this user's."""

    user_id: str


class Make(msgspec.Struct, frozen=True):
    """Make an account now; `invitation_id` is used up by it, empty for none."""

    invitation_id: str = ""


class Ask(msgspec.Struct, frozen=True):
    """Show the form first; nothing is made before it is sent."""


class Refuse(msgspec.Struct, frozen=True):
    """Not in."""

    code: str
    reason: str


Admission: TypeAlias = Known | Join | Make | Ask | Refuse


class Filled(msgspec.Struct, frozen=True, kw_only=True):
    """The form as it was accepted."""

    name: str
    login: str
    profile: dict[str, str]
    """The answers to the questions, by their names; those left empty left out."""


def admission(
    identity: Identity,
    rules: Rules,
    *,
    is_known: bool,
    owners: tuple[str, ...] = (),
    invitation_id: str = "",
    is_filled: bool = False,
) -> Admission:
    """What to do with somebody a provider has vouched for.

    `owners`: ids of the users with an account of this verified address, at most two. `invitation_id`: of an open
    invitation for this address or account. `is_filled`: the form has been sent.
    Does NOT check whether the user was switched off, nor the hosts' access rules (every request does).
    """
    # 1. The domain check holds for everybody, newcomers and those who are known (INTERFACES.md section 6).
    if not is_allowed_domain(identity.email, rules.allowed_domains):
        return Refuse("domain_not_allowed", "This site takes addresses of certain domains only.")
    # 2. Whoever is known is in: (issuer, subject) was found.
    if is_known:
        return Known()
    # 3. A further account of a user, where the operator believes addresses so far. Only a verified address gets into
    # an identity; of two users with one address nobody knows which is meant.
    if rules.link_verified_emails and identity.email and len(owners) == 1:
        return Join(owners[0])
    # 4. Nobody new, invited or not.
    if rules.registration == CLOSED:
        return Refuse("registration_closed", "This site takes no new people.")
    # 5. Only people who were invited.
    if not invitation_id and (rules.registration == INVITE or not rules.allow_all_users):
        return Refuse("not_invited", "This site takes only people who were invited.")
    # 6. Admitted: how the account is made.
    if rules.registration == FORM and not is_filled:
        return Ask()
    return Make(invitation_id)


def is_allowed_domain(email: str, domains: tuple[str, ...]) -> bool:
    """True when the verified address is in one of the domains, or none are written.

    Threat: `a@corp.example.evil.example`: the whole domain is compared, never its end.
    """
    if not domains or EVERY_DOMAIN in domains:
        return True
    _, at, domain = email.rpartition("@")
    return bool(at) and domain.lower() in domains


def filled(sent: Mapping[str, str], rules: Rules) -> tuple[Filled, dict[str, str]]:
    """The form as it was sent, trimmed, and what is wrong with it: a code by the field's name.

    The codes: `missing`, `too_long`, `invalid`, `not_accepted`.
    """
    values = {name: value.strip() for name, value in sent.items()}
    faults: dict[str, str] = {}
    name, login = values.get(NAME, ""), values.get(LOGIN, "")
    _note(faults, NAME, _fault(name, NAME_MAX_CHARS, required=True))
    _note(faults, LOGIN, _fault(login, LOGIN_MAX_CHARS, required=False))
    if login and LOGIN not in faults and not _LOGIN_RE.fullmatch(login):
        faults[LOGIN] = "invalid"
    answers = {question.name: values.get(question.name, "") for question in rules.questions}
    for question in rules.questions:
        fault = _fault(answers[question.name], ANSWER_MAX_CHARS, required=question.required)
        _note(faults, question.name, fault)
    if rules.terms_url and values.get(TERMS) not in {"yes", "true"}:
        faults[TERMS] = "not_accepted"
    profile = {name: answer for name, answer in answers.items() if answer}
    return Filled(name=name, login=login, profile=profile), faults


def registered(user: User, form: Filled) -> User:
    """The newcomer's record with what they filled in, which later sign-ins don't overwrite."""
    chosen = {NAME: form.name, LOGIN: form.login}
    return msgspec.structs.replace(
        user,
        name=form.name,
        login=form.login or user.login,
        profile={**form.profile, **{name: value for name, value in chosen.items() if value}},
    )


def _fault(value: str, limit_chars: int, *, required: bool) -> str:
    if required and not value:
        return "missing"
    if len(value) > limit_chars:
        return "too_long"
    return "" if value.isprintable() else "invalid"


def _note(faults: dict[str, str], name: str, fault: str) -> None:
    if fault:
        faults[name] = fault

"""The block `people`: who may become a user, and what the registration form asks."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vestibule.config import schema
from vestibule.config.place import Report, Unfit, nearest
from vestibule.config.value import host_name
from vestibule.core import registration
from vestibule.core.registration import Question, Rules

_NAME_RE = re.compile(r"[a-z][a-z0-9_]{0,39}")
_LINK_RE = re.compile(r"https?://[^\s/?#]+\S*|/(?![/\\\\])\S*", re.IGNORECASE)


def check_people(config: schema.Config, report: Report) -> Rules:
    """What the block says; all that is wrong goes to *report*."""
    people = config.people
    if people is None:
        return Rules()
    _check_registration(people, report)
    _check_links(people, report)
    return Rules(
        registration=people.registration,
        allow_all_users=people.allow_all_users,
        allowed_domains=tuple(_domains(people, report)),
        link_verified_emails=people.link_verified_emails,
        questions=tuple(_questions(people, report)),
        terms_url=people.terms_url,
        privacy_url=people.privacy_url,
    )


def _check_registration(people: schema.People, report: Report) -> None:
    way, place = people.registration, people.at("registration")
    if way not in registration.WAYS:
        known = ", ".join(f'"{one}"' for one in registration.WAYS)
        report.fault(place, f"`registration` is one of {known}{nearest(way, registration.WAYS)}")
        return
    asks = [name for name in ("terms_url", "privacy_url") if people.has(name)]
    if way != registration.FORM and (people.field or asks):
        what = people.field[0].block.place if people.field else people.at(asks[0])
        report.warn(what, f'only the form shows this: registration = "form" (it is "{way}")')
    if way == registration.CLOSED and people.has("allow_all_users") and people.allow_all_users:
        report.warn(place, 'nobody new gets in with registration = "closed", whatever allow_all_users says')


def _domains(people: schema.People, report: Report) -> Iterator[str]:
    for number, written in enumerate(people.allowed_domains):
        place = people.at("allowed_domains", number)
        if written == registration.EVERY_DOMAIN:
            yield written
            continue
        try:
            yield host_name(written.strip())
        except Unfit:
            report.fault(place, "`allowed_domains` holds names of domains: example.com, without `@` and `*.`")
    if people.has("allowed_domains") and not people.allowed_domains:
        # Threat: a list that was meant to be filled in, read as "everybody".
        report.fault(people.at("allowed_domains"), 'the list is empty: write domains, or ["*"] for everybody')


def _questions(people: schema.People, report: Report) -> Iterator[Question]:
    found: dict[str, schema.PeopleField] = {}
    for node in people.field:
        if not _NAME_RE.fullmatch(node.label):
            report.fault(node.label_at, "a field's name is lower-case letters, digits and `_`: company_size")
        elif node.label in registration.TAKEN_NAMES:
            report.fault(node.label_at, f"the form has a field `{node.label}` already")
        elif node.label in found:
            first = found[node.label].label_at.short
            report.fault(node.label_at, f"there are two fields named `{node.label}`; the first is at {first}")
        found.setdefault(node.label, node)
        yield Question(
            name=node.label, label=node.title or node.label, hint=node.hint, required=node.required
        )


def _check_links(people: schema.People, report: Report) -> None:
    for name in ("terms_url", "privacy_url"):
        if people.has(name) and not _LINK_RE.fullmatch(getattr(people, name)):
            report.fault(people.at(name), f"`{name}` is an address: https://example.com/terms, or /terms")

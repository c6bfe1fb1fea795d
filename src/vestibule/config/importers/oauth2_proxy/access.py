"""Who gets in: oauth2-proxy's conditions on addresses, groups and password files, as rules."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import msgspec

from vestibule.config.importers.note import About, Notes
from vestibule.config.importers.oauth2_proxy.read import Read
from vestibule.config.importers.option import Options
from vestibule.config.place import Unfit
from vestibule.config.rule import rule_of

ReadFile: TypeAlias = Callable[[str], str | None]
"""The text of a file that an option names; None where it can't be read."""


class Conditions(msgspec.Struct, frozen=True, kw_only=True):
    """An `access` block: one of `allow` must hold, and every one of `all`."""

    allow: tuple[str, ...]
    all: tuple[str, ...] = ()


def domains_of(options: Options) -> tuple[str, ...]:
    """The e-mail domains that are let in, without those that aren't plain domains."""
    written = (domain.lower() for domain in options.items("email_domains"))
    return tuple(domain for domain in written if _is_rule(f"domain:{domain}"))


def conditions(read: Read, narrowing: tuple[str, ...], read_file: ReadFile, notes: Notes) -> Conditions:
    """The rules; *narrowing* are those of the provider's restrictions that its block can't hold."""
    options = read.options
    known = _addresses(read, read_file, notes)
    people = () if _is_kept_out(options) else _password_people(options, read_file, known, notes)
    if known is None:
        return Conditions(allow=(*narrowing, *people) if narrowing else ("anyone",))
    if not known and not people:
        notes.add(
            About.DO,
            "email_domains",
            "neither domains nor addresses were found, so that nobody gets in: write into `allow` who may",
        )
        return Conditions(allow=())
    if not narrowing:
        return Conditions(allow=(*known, *people))
    if len(narrowing) == 1:
        return Conditions(allow=(*known, *people), all=narrowing)
    if len(known) == 1:
        return Conditions(allow=(*narrowing, *people), all=known)
    notes.add(
        About.DO,
        "allowed_groups",
        f"one of {len(known)} rules on addresses had to hold, and one of {len(narrowing)} on groups; here all that "
        f"stands in `all` must. Only `{known[0]}` was put there, so that fewer people get in",
    )
    return Conditions(allow=narrowing, all=known[:1])


def _is_rule(text: str) -> bool:
    try:
        rule_of(text)
    except Unfit:
        return False
    return True


# -- addresses --------------------------------------------------------------------------------


def _addresses(read: Read, read_file: ReadFile, notes: Notes) -> tuple[str, ...] | None:
    """Rules on addresses; None: any address will do."""
    options = read.options
    domains = options.items("email_domains")
    rules: list[str] = []
    for domain in domains:
        if domain.startswith((".", "*.")):
            name = domain.lstrip("*.")
            about = f"a `domain:` rule is on the domain as it stands: name each one below {name}"
            notes.add(About.DO, f"email_domains ({domain})", about)
        elif domain != "*" and not _is_rule(f"domain:{domain.lower()}"):
            notes.add(About.DO, f"email_domains ({domain})", "is no domain: left out")
        elif domain != "*":
            rules.append(f"domain:{domain.lower()}")
    rules += [f"email:{address}" for address in _listed(read, read_file, notes)]
    return None if "*" in domains else tuple(dict.fromkeys(rules))


def _listed(read: Read, read_file: ReadFile, notes: Notes) -> Iterator[str]:
    path = read.options.text("authenticated_emails_file")
    text = read.addresses or (read_file(path) if path else "")
    if text is None:
        notes.add(
            About.DO,
            "authenticated_emails_file",
            f"{path} can't be read from here: import it beside the others, or write an `email:` rule for each address",
        )
        return
    if text and path:
        about = f"{path} is not read again: who is to get in later is a rule, or an invitation"
        notes.add(About.CHANGED, "authenticated_emails_file", about)
    for line in text.splitlines():
        address = line.partition(",")[0].strip().strip('"').lower()
        if address and not address.startswith("#"):
            if _is_rule(f"email:{address}"):
                yield address
            else:
                notes.add(About.UNKNOWN, "authenticated_emails_file", f"`{address}` is no address")


# -- password files ---------------------------------------------------------------------------


def _is_kept_out(options: Options) -> bool:
    """True where groups were asked for that people of the password file don't have."""
    wanted = {*options.items("allowed_groups")}
    return bool(wanted) and not wanted & {*options.items("htpasswd_user_groups")}


def _password_people(
    options: Options, read_file: ReadFile, known: tuple[str, ...] | None, notes: Notes
) -> tuple[str, ...]:
    """Rules that let in the people of the password file, whom oauth2-proxy asks for no address."""
    path = options.text("htpasswd_file")
    if not path or known is None:
        return ()
    text = read_file(path)
    if text is None:
        notes.add(
            About.DO,
            "htpasswd_file",
            f"{path} can't be read from here: add `user:htpasswd/NAME` to `allow` for each of its people, who have no "
            "address for the other rules",
        )
        return ()
    names = (line.partition(":")[0].strip() for line in text.splitlines() if not line.startswith("#"))
    return tuple(f"user:htpasswd/{name}" for name in names if name and _is_rule(f"user:htpasswd/{name}"))

"""Password files: which lines are read, which are not, and when two names are one."""

from __future__ import annotations

import pytest

from vestibule.protocol.htpasswd import (
    APR1,
    ARGON2,
    BCRYPT,
    PEOPLE_MAX,
    SHA1,
    SHA512,
    FileError,
    canonical,
    parse,
)

HASHES = {
    BCRYPT: "$2b$04$ln4s12bghHeaj1LbklOAouVsLXZuCpAu.vohpOq4uOdpkxgMEKdRi",
    ARGON2: "$argon2id$v=19$m=64,t=1,p=1$GONkFV9fow079PtGS9MhFw$w8m85XHJrC+hopZCYk9nmYZhKOC5pPkqEo/yt5MP/0g",
    SHA512: "$6$saltstring$.r0X7ub5wGR2v4Xz7svCIozfnlorFh19V89t8KC9Umd81uGhFgsyTRNyzQDXDIm17fFcR9z3z7oBNdsyYBbtm/",
    APR1: "$apr1$abcdefgh$sIQmFnT1CuEXAsyjuXjUX/",
    SHA1: "{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=",
}


@pytest.mark.parametrize(("kind", "written"), HASHES.items(), ids=HASHES)
def test_every_kind_of_hash_is_known(kind: str, written: str):
    people = parse(f"ann:{written}\n")
    assert people.by_name["ann"].kind == kind
    assert people.weak == ((kind,) if kind in (APR1, SHA1) else ())


@pytest.mark.parametrize("mark", ["2a", "2b", "2x", "2y"])
def test_every_mark_of_bcrypt_is_known(mark: str):
    assert parse(f"ann:${mark}${HASHES[BCRYPT][4:]}").by_name["ann"].kind == BCRYPT


def test_empty_lines_and_comments_say_nothing():
    people = parse(f"\n# the team\n  ann:{HASHES[SHA1]}  \r\n\n")
    assert [person.name for person in people.in_order] == ["ann"]


def test_a_file_may_hold_nobody():
    assert parse("").in_order == ()


@pytest.mark.parametrize(
    ("text", "line", "why"),
    [
        ("ann", 1, "no `user:hash`"),
        (f"ann:{HASHES[SHA1]}\nbob:hunter2\n", 2, "of no kind"),
        ("ann:", 1, "of no kind"),
        ("ann:rqXexS6ZhobKA", 1, "of no kind"),  # DES crypt
        ("ann:$1$abcdefgh$irWbblnpmw.5z7wgBnprh0", 1, "of no kind"),  # MD5 crypt
        (f"ann:{HASHES[BCRYPT][:-1]}", 1, "of no kind"),
        (f"ann:{HASHES[SHA1]}:comment", 1, "of no kind"),
        (f":{HASHES[SHA1]}", 1, "user name"),
        (f"a\x01n:{HASHES[SHA1]}", 1, "user name"),
        (f"ann:{HASHES[SHA1]}\n# \nAnn:{HASHES[SHA1]}", 3, "twice, as `ann`"),
        (f"ann:{HASHES[BCRYPT].replace('$04$', '$17$')}", 1, "cost"),
        (f"ann:{HASHES[BCRYPT].replace('$04$', '$03$')}", 1, "cost"),
        (f"ann:{HASHES[ARGON2].replace('m=64', 'm=2097152')}", 1, "memory"),
        (f"ann:{HASHES[ARGON2].replace('t=1', 't=65')}", 1, "passes"),
        (f"ann:{HASHES[SHA512].replace('$6$', '$6$rounds=9999999$')}", 1, "rounds"),
    ],
)
def test_a_line_that_cannot_be_used_is_told_of_with_its_number(text: str, line: int, why: str):
    with pytest.raises(FileError, match=why) as told:
        parse(text)
    assert told.value.line == line


def test_a_hash_is_in_no_message_and_no_repr():
    written = HASHES[BCRYPT][:-1]
    with pytest.raises(FileError) as told:
        parse(f"ann:{written}")
    assert written not in str(told.value)
    assert HASHES[SHA1] not in repr(parse(f"ann:{HASHES[SHA1]}"))


def test_there_is_an_end_of_people():
    lines = (f"user{number}:{HASHES[SHA1]}\n" for number in range(PEOPLE_MAX + 1))
    with pytest.raises(FileError, match="more than"):
        parse("".join(lines))


@pytest.mark.parametrize(
    "spelled",
    [
        "alice",
        "Alice",
        "ALICE",
        " alice",
        "alice ",
        "\uff21lice",
        "\uff41\uff4c\uff49\uff43\uff45",
    ],
)
def test_one_name_has_one_spelling(spelled: str):
    assert canonical(spelled) == "alice"


@pytest.mark.parametrize(
    ("one", "other"),
    [("stra\u00dfe", "STRASSE"), ("\u00c5sa", "A\u030asa"), ("ann  lee", "Ann Lee"), ("\ufb01n", "fin")],
)
def test_what_reads_alike_is_one_name(one: str, other: str):
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize("name", ["", "  ", "\u3000alice", "a\0b", "a\nb", "a\u200bb", "a\uff1ab", "x" * 257])
def test_what_is_no_name_has_no_canonical_form(name: str):
    assert canonical(name) == ""


@pytest.mark.parametrize("name", ["Alice", "stra\u00dfe", "\u0130x", "\u1e9e", "\u03c3\u03c2", "\ufb03"])
def test_the_canonical_form_of_a_canonical_form_is_itself(name: str):
    assert canonical(canonical(name)) == canonical(name)

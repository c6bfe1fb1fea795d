"""Whether a password fits, by hashes that other programs made."""

from __future__ import annotations

from collections.abc import Callable

import bcrypt
import pytest

from tests.unit.protocol.test_htpasswd import HASHES
from vestibule.model import Secret
from vestibule.protocol import password as passwords
from vestibule.protocol.htpasswd import BCRYPT, People, parse
from vestibule.protocol.password import fits, verify

SALT = b"salt"
#: (password, hash) as published, or as made by `openssl passwd`
VECTORS = {
    "bcrypt, crypt_blowfish": ("U*U", "$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW"),
    "bcrypt 2y": ("U*U*", "$2y$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK"),
    "bcrypt 2b": ("U*U*U", "$2b$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a"),
    "SHA-512-crypt, Drepper": (
        "Hello world!",
        "$6$saltstring$svn8UoSVapNtMuq1ukKS4tPQd8iKwSMHWjl/O817G3uBnIFNjnQJuesI68u4OTLiBFdcbYEdFCoEOfaS35inz1",
    ),
    "SHA-512-crypt with rounds, Drepper": (
        "Hello world!",
        "$6$rounds=10000$saltstringsaltst$OW1/O6BYHV6BcXZu8QVeXbDWra3Oeqh0sbHbbMCVNSnCM/UrjmM0Dp8vOuZeHBy/YTBmSK6H9qs/y3RnOaw5v.",
    ),
    "apr1, Apache": ("myPassword", "$apr1$qHDFfhPC$nITSVHgYbDAK1Y0acGRnY0"),
    "{SHA}, Apache": ("myPassword", "{SHA}VBPuJHI7uixaa6LQGWx4s+5GKNE="),
}


@pytest.mark.parametrize(("password", "written"), VECTORS.values(), ids=VECTORS)
def test_published_hashes_fit_their_passwords_and_no_others(password: str, written: str):
    person = parse(f"ann:{written}").by_name["ann"]
    assert verify(Secret(password), written, person.kind)
    assert not verify(Secret(password + "x"), written, person.kind)
    assert not verify(Secret(""), written, person.kind)


@pytest.mark.parametrize(("kind", "written"), HASHES.items(), ids=HASHES)
def test_each_kind_fits_its_password_alone(kind: str, written: str):
    assert verify(Secret("correct horse"), written, kind)
    assert not verify(Secret("Correct horse"), written, kind)
    assert not verify(Secret("correct horse\0"), written, kind)
    assert not verify(Secret("x" * 5000), written, kind)


def test_bcrypt_reads_72_bytes_as_other_programs_do():
    written = bcrypt.hashpw(b"x" * 72, bcrypt.gensalt(4)).decode()
    assert verify(Secret("x" * 80), written, BCRYPT)
    assert not verify(Secret("x" * 71), written, BCRYPT)


@pytest.fixture
def people() -> People:
    return parse("".join(f"{kind.strip('{}')}:{written}\n" for kind, written in HASHES.items()))


def test_a_person_is_found_by_any_spelling_of_the_name(people: People):
    found = fits(people, " BCRYPT ", Secret("correct horse"), salt=SALT)
    assert found is not None
    assert found.name == "bcrypt"


def test_another_password_and_another_name_fit_nobody(people: People):
    assert fits(people, "bcrypt", Secret("wrong"), salt=SALT) is None
    assert fits(people, "nobody", Secret("correct horse"), salt=SALT) is None
    assert fits(people, "", Secret("correct horse"), salt=SALT) is None
    assert fits(parse(""), "bcrypt", Secret("correct horse"), salt=SALT) is None


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kinds of the hashes that were worked on."""
    seen: list[str] = []

    def noted(check: Callable[[bytes, str], bool], kind: str) -> Callable[[bytes, str], bool]:
        def checked(raw: bytes, written: str) -> bool:
            seen.append(kind)
            return check(raw, written)

        return checked

    checks = {kind: noted(check, kind) for kind, check in passwords._CHECKS.items()}
    monkeypatch.setattr(passwords, "_CHECKS", checks)
    return seen


@pytest.mark.parametrize("name", ["bcrypt", "nobody", "BCRYPT", ""])
def test_each_try_is_the_work_of_one_hash_whether_the_name_is_known_or_not(tried: list[str], name: str):
    people = parse(f"bcrypt:{HASHES[BCRYPT]}\nbob:{HASHES[BCRYPT]}")
    fits(people, name, Secret("wrong"), salt=SALT)
    assert tried == [BCRYPT]


def test_an_unknown_name_meets_the_same_hash_every_time(people: People, tried: list[str]):
    for _ in range(3):
        fits(people, "nobody", Secret("wrong"), salt=SALT)
    assert len(set(tried)) == 1


def test_unknown_names_meet_hashes_of_every_kind_there_is(people: People, tried: list[str]):
    for number in range(100):
        fits(people, f"nobody{number}", Secret("wrong"), salt=SALT)
    assert set(tried) == set(HASHES)


def test_where_nobody_stands_in_the_file_there_is_work_too(tried: list[str]):
    fits(parse(""), "ann", Secret("wrong"), salt=SALT)
    assert tried == [BCRYPT]


def test_a_mistyped_salt_fits_nobody_and_breaks_nothing():
    """Threat: a 500 for one name, and for each unknown one that meets its hash."""
    people = parse("ann:$2y$04$O0MnsofYTc.DkR.8cxmgj2Tw.XmbCE.0othE5npFs0SA08A/4dFWe\n")
    assert fits(people, "ann", Secret("x"), salt=b"0" * 16) is None
    assert fits(people, "nobody", Secret("x"), salt=b"0" * 16) is None

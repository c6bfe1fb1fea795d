"""Whether a password fits its hash: slow by design, so never to be asked where others wait.

Its libraries are loaded with this module, which who needs it does: most gateways know no passwords.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Callable, Mapping
from typing import Any, Final

import bcrypt
from argon2.exceptions import Argon2Error, InvalidHashError
from argon2.low_level import Type, verify_secret
from passlib.handlers.md5_crypt import apr_md5_crypt
from passlib.handlers.sha2_crypt import sha512_crypt

from vestibule.model import Secret
from vestibule.protocol.authorization import PASSWORD_LIMIT_BYTES
from vestibule.protocol.htpasswd import APR1, ARGON2, BCRYPT, SHA1, SHA512, People, Person, canonical

_BCRYPT_BYTES: Final = 72
"""What bcrypt looks at of a password, in whatever program."""
#: what is tried where nobody stands in the file: a hash of nobody's password
_NOBODY: Final = Person("", Secret("$2b$10$abcdefghijklmnopqrstuuabcdefghijklmnopqrstuabcdefghijk"), BCRYPT)


def fits(people: People, user: str, password: Secret, *, salt: bytes) -> Person | None:
    """The person of this name, if the password is theirs. Takes as long for a name that nobody has.

    `salt`: random bytes of the process.

    Threat: names found out by the time an answer takes. An unknown name is tried on the hash of somebody whom it
    always meets, so that its time is that of some person of the file, whatever kinds of hashes that has.
    """
    name = canonical(user)
    person = people.by_name.get(name)
    tried = person or _stand_in(people, name, salt)
    is_fit = verify(password, tried.hash.reveal(), tried.kind)
    return person if is_fit else None


def _stand_in(people: People, name: str, salt: bytes) -> Person:
    if not people.in_order:
        return _NOBODY
    mark = hashlib.blake2b(name.encode("utf-8", "replace"), key=salt, digest_size=8).digest()
    return people.in_order[int.from_bytes(mark, "big") % len(people.in_order)]


def verify(password: Secret, written: str, kind: str) -> bool:
    """True when the password is the one that was hashed. Raises nothing for a hash that `htpasswd.parse` took."""
    raw = password.reveal().encode("utf-8", "replace")
    if len(raw) > PASSWORD_LIMIT_BYTES or b"\0" in raw:
        return False
    return _CHECKS[kind](raw, written)


def _is_bcrypt(raw: bytes, written: str) -> bool:
    # Every other program reads 72 bytes and passes over the rest.
    try:
        return bcrypt.checkpw(raw[:_BCRYPT_BYTES], written.encode("ascii"))
    except ValueError:  # a salt of 22 digits that isn't one of 16 bytes: some typing error
        return False


def _is_argon2(raw: bytes, written: str) -> bool:
    kind = {"argon2id": Type.ID, "argon2i": Type.I, "argon2d": Type.D}[written.split("$")[1]]
    try:
        return verify_secret(written.encode("ascii"), raw, kind)
    except (Argon2Error, InvalidHashError):
        return False


def _is_sha512(raw: bytes, written: str) -> bool:
    return _is_crypt(sha512_crypt, raw, written)


def _is_apr1(raw: bytes, written: str) -> bool:
    return _is_crypt(apr_md5_crypt, raw, written)


def _is_crypt(hasher: Any, raw: bytes, written: str) -> bool:
    try:
        return bool(hasher.verify(raw, written))
    except ValueError:
        return False


def _is_sha1(raw: bytes, written: str) -> bool:
    try:
        expected = base64.b64decode(written.removeprefix("{SHA}"), validate=True)
    except binascii.Error:
        return False
    return hmac.compare_digest(hashlib.sha1(raw, usedforsecurity=False).digest(), expected)


_CHECKS: Final[Mapping[str, Callable[[bytes, str], bool]]] = {
    BCRYPT: _is_bcrypt,
    ARGON2: _is_argon2,
    SHA512: _is_sha512,
    APR1: _is_apr1,
    SHA1: _is_sha1,
}

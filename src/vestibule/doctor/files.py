"""Files and directories: whose they are, and who else can read or write them."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec

from vestibule.core.postgres import Postgres
from vestibule.doctor.finding import About, Finding
from vestibule.doctor.patient import Patient
from vestibule.service.htpasswd import files_of

_ABOUT: Final = About("files")
#: a setting that holds a secret, written out
_SECRET_RE: Final = re.compile(
    r"""^\s*"?\w*(?:secret|password|private_key|token|api_key)"?\s*=\s*"(?!\$\{)[^"]+\"""", re.MULTILINE
)
_URL_RE: Final = re.compile(r"""://[^/\s:@"]*:(?!\$\{)[^/\s@"]+@""")
_FILE_RE: Final = re.compile(r"""\$\{file\("([^"]+)"\)\}""")


class Mode(msgspec.Struct, frozen=True, kw_only=True):
    """What the system says of a path."""

    path: str
    is_there: bool = True
    mode: int = 0o600
    owner: int = 0
    user: int = 0
    """Whom the doctor runs as."""

    @property
    def is_readable_by_others(self) -> bool:
        """By every user of the machine, or a group."""
        return bool(self.mode & (stat.S_IRGRP | stat.S_IROTH))

    @property
    def is_writable_by_others(self) -> bool:
        """By every user of the machine, or a group."""
        return bool(self.mode & (stat.S_IWGRP | stat.S_IWOTH))


def mode_of(path: Path) -> Mode:
    """As it is now."""
    try:
        found = path.stat()
    except OSError:
        return Mode(path=str(path), is_there=False, user=os.geteuid())
    return Mode(path=str(path), mode=stat.S_IMODE(found.st_mode), owner=found.st_uid, user=os.geteuid())


def look(patient: Patient) -> list[Finding]:
    """All of them."""
    compiled = patient.compiled
    has_key_in_environment = patient.loaded.session_key is not None
    found = [of_state(mode_of(patient.state))]
    if has_key_in_environment:
        found.append(_ABOUT.ok("VESTIBULE_SESSION_KEY", "key_environment", "the environment holds the keys"))
    else:
        is_shared = isinstance(patient.database, Postgres)
        found.append(of_key_file(mode_of(patient.key_file), is_shared=is_shared))
    passwords = files_of(compiled.table) if compiled is not None else ()
    found += [of_password_file(mode_of(Path(file.path))) for file in passwords if file.path]
    for name in patient.loaded.files:
        found += _of_configuration(Path(name))
    return found


def of_state(mode: Mode) -> Finding:
    """The state directory. Threat: who can write there puts a database of their own in place of ours."""
    if not mode.is_there:
        return _ABOUT.ok(mode.path, "state_absent", "the state directory is made at the first start")
    if _is_others(mode):
        return _ABOUT.fail(
            mode.path, "state_owner", f"it belongs to user {mode.owner}", _give(mode, "the user it runs as")
        )
    if mode.is_writable_by_others:
        return _ABOUT.fail(
            mode.path,
            "state_writable",
            f"others can write to the state directory (mode {mode.mode:04o})",
            f"chmod 700 {mode.path}",
        )
    if mode.is_readable_by_others:
        return _ABOUT.warn(
            mode.path,
            "state_readable",
            f"others can look into the state directory (mode {mode.mode:04o})",
            f"chmod 700 {mode.path}",
        )
    return _ABOUT.ok(
        mode.path, "state_good", f"the state directory is this user's alone (mode {mode.mode:04o})"
    )


def of_key_file(mode: Mode, *, is_shared: bool) -> Finding:
    """The key ring: who reads it opens every session and credential."""
    if not mode.is_there:
        if is_shared:
            return _ABOUT.fail(
                mode.path,
                "key_missing",
                "there is no key, and beside PostgreSQL none is made",
                "set VESTIBULE_SESSION_KEY to what `openssl rand -base64 32` prints, or copy a key file there",
            )
        return _ABOUT.ok(mode.path, "key_absent", "the key file is made at the first start")
    if _is_others(mode):
        return _ABOUT.fail(
            mode.path, "key_owner", f"it belongs to user {mode.owner}", _give(mode, "the user it runs as")
        )
    if mode.mode & 0o077:
        return _ABOUT.fail(
            mode.path,
            "key_open",
            f"others can get at the key file (mode {mode.mode:04o})",
            f"chmod 600 {mode.path}",
        )
    return _ABOUT.ok(mode.path, "key_good", f"the key file is its owner's alone (mode {mode.mode:04o})")


def of_password_file(mode: Mode) -> Finding:
    """A file of people with passwords."""
    if not mode.is_there:
        return _ABOUT.fail(
            mode.path,
            "passwords_missing",
            "there is no such file",
            "make it with htpasswd -B, or correct the path",
        )
    if mode.is_writable_by_others:
        return _ABOUT.fail(
            mode.path, "passwords_writable", "others can write people into it", f"chmod go-w {mode.path}"
        )
    if mode.mode & stat.S_IROTH:
        return _ABOUT.warn(
            mode.path,
            "passwords_readable",
            "every user of the machine can read the hashes, and guess passwords at leisure",
            f"chmod o-r {mode.path}",
        )
    return _ABOUT.ok(mode.path, "passwords_good", f"only its owner and group read it (mode {mode.mode:04o})")


def _of_configuration(path: Path) -> Iterator[Finding]:
    try:
        text = path.read_text("utf-8-sig", "replace")
    except OSError:
        return  # told as a fault
    yield of_configuration(mode_of(path), has_secrets=holds_secrets(text))
    for name in dict.fromkeys(_FILE_RE.findall(text)):
        secret = path.parent / name
        if secret.exists():
            yield of_secret_file(mode_of(secret))


def holds_secrets(text: str) -> bool:
    """True where a secret is written out in a configuration, not taken from elsewhere."""
    bare = re.sub(r"(?m)^\s*(#|//).*$", "", text)
    return bool(_SECRET_RE.search(bare) or _URL_RE.search(bare))


def of_configuration(mode: Mode, *, has_secrets: bool) -> Finding:
    """A file of the configuration."""
    if mode.is_writable_by_others:
        return _ABOUT.fail(
            mode.path,
            "configuration_writable",
            f"others can change who gets in (mode {mode.mode:04o})",
            f"chmod go-w {mode.path}",
        )
    if has_secrets and mode.is_readable_by_others:
        return _ABOUT.warn(
            mode.path,
            "configuration_secret",
            f"a secret stands in it, and others can read it (mode {mode.mode:04o})",
            f'chmod 600 {mode.path}, or take the secret from elsewhere: ${{file("PATH")}}, ${{env("NAME")}}',
        )
    return _ABOUT.ok(mode.path, "configuration_good", f"nobody else can change it (mode {mode.mode:04o})")


def of_secret_file(mode: Mode) -> Finding:
    """A file that the configuration takes something from: mostly a secret."""
    if mode.mode & 0o077:
        return _ABOUT.warn(
            mode.path,
            "secret_open",
            f"others can get at what the configuration takes from it (mode {mode.mode:04o})",
            f"chmod 600 {mode.path}",
        )
    return _ABOUT.ok(mode.path, "secret_good", f"only its owner reads it (mode {mode.mode:04o})")


def _is_others(mode: Mode) -> bool:
    """True where it belongs to neither root nor who looks. The gateway's own user looks, or root."""
    return mode.user != 0 and mode.owner not in {mode.user, 0}


def _give(mode: Mode, whom: str) -> str:
    return f"run this as that user, or give it to {whom}: chown -R USER {mode.path}"

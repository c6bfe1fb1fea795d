"""The sign-ins of a person's command line: one file that they alone can read, in their home.

Where there is a keyring, the tokens are in there, and the file says only which gateways there are.

Several programs may want a fresh token at once. One of them renews it, under a lock, and the others find what it wrote:
a refresh token that is used twice ends the sign-in.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import replace

from vestibule.errors import ClientError
from vestibule.keychain import Keychain
from vestibule.model import Secret
from vestibule.observe import clock
from vestibule.token_client import Metadata, TokenClient, Tokens

FRESH_S: Final = 60.0
"""A token is handed out while it is good for so much longer, at least."""


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """A sign-in at one gateway, for one site."""

    metadata: Metadata
    site: str = ""
    """Base URL of the site that the tokens are for; empty: the issuer's own."""
    app: str
    access_token: str
    refresh_token: str
    expires_at: float
    scope: str = ""
    in_keyring: bool = False
    """The tokens are there, and not here."""

    @property
    def place(self) -> str:
        """Where the tokens are good, which is what it is kept by."""
        return self.site or self.metadata.issuer

    def __repr__(self) -> str:
        return f"Kept({self.place!r})"


class _Pair(msgspec.Struct, frozen=True):
    """What is in the keyring."""

    access_token: str
    refresh_token: str

    def __repr__(self) -> str:
        return "_Pair(***)"


class _File(msgspec.Struct, kw_only=True):
    gateways: dict[str, Kept] = {}
    last: str = ""
    """The one signed in to last, which is meant where none is named."""


class Wallet:
    """Sign-ins by the address of the site they are for, which is mostly that of the gateway itself.

    Every method raises ClientError where the file or the keyring can't be used.
    """

    def __init__(
        self, path: Path, keychain: Keychain | None = None, *, now: Callable[[], float] = clock.now
    ) -> None:
        self._path = path
        self._keychain = keychain
        self._now = now

    def keep(self, client: TokenClient, tokens: Tokens, *, site: str = "") -> Kept | None:
        """Keep a sign-in, which is the last one then; the one before at the same place, which is forgotten."""
        new = Kept(
            metadata=client.metadata,
            site="" if site == client.metadata.issuer else site,
            app=client.app,
            access_token=tokens.access_token,
            refresh_token=tokens.refresh_token,
            expires_at=self._now() + tokens.expires_in,
            scope=tokens.scope,
        )
        with self._changing() as file:
            before = file.gateways.get(new.place)
            gone = None if before is None else self._if_whole(before)
            file.gateways[new.place] = self._stored(new)
            file.last = new.place
        return gone

    def find(self, url: str = "") -> Kept:
        """The sign-in for this site or at this gateway, or the last one.

        Raises ClientError `signed_out`, `several_sites`.
        """
        return self._whole(_one(self._read(), url))

    def fresh(self, url: str = "") -> Kept:
        """The sign-in with an access token that is good for a minute at least, renewed where it must be.

        Raises ClientError: what the gateway says; its refusal of the sign-in itself also forgets it.
        """
        kept = self.find(url)
        if kept.expires_at - self._now() > FRESH_S:
            return kept
        with self._changing() as file:
            kept = self._whole(_one(file, kept.place))  # another program may have renewed it meanwhile
            if kept.expires_at - self._now() <= FRESH_S:
                kept = self._renewed(file, kept)
        return kept

    def leave(self, url: str, revoke: Callable[[Kept], None]) -> Kept:
        """Take a sign-in out of the file once it is revoked; what that raises leaves it there.

        What no longer has its tokens is not revoked.
        """
        with self._changing() as file:  # nobody renews it meanwhile
            kept = _one(file, url)
            whole = self._if_whole(kept)
            if whole is not None:
                revoke(whole)
            self._drop(file, kept)
            file.last = next(iter(file.gateways), "") if file.last == kept.place else file.last
        return kept

    def gateways(self) -> Mapping[str, Kept]:
        """All of them, by their places."""
        return self._read().gateways

    def _renewed(self, file: _File, kept: Kept) -> Kept:
        if not kept.refresh_token:
            raise ClientError(f"the sign-in is over: vestibule login {kept.place}", code="signed_out")
        client = TokenClient(kept.metadata, kept.app)
        try:
            tokens = client.refresh(Secret(kept.refresh_token))
        except ClientError as error:
            if error.code != "invalid_grant":
                raise
            self._drop(file, kept)
            self._write(file)
            said = f"the sign-in is over: vestibule login {kept.place}"
            raise ClientError(said, code="signed_out") from None
        kept = replace(
            kept,
            access_token=tokens.access_token,
            refresh_token=tokens.refresh_token or kept.refresh_token,
            expires_at=self._now() + tokens.expires_in,
            scope=tokens.scope,
        )
        file.gateways[kept.place] = self._stored(kept)
        return kept

    # -- the tokens ---------------------------------------------------------------------------

    def _stored(self, kept: Kept) -> Kept:
        """As it stands in the file, its tokens being in the keyring where there is one."""
        if self._keychain is None:
            return kept
        pair = _Pair(kept.access_token, kept.refresh_token)
        self._keychain.set(kept.place, Secret(msgspec.json.encode(pair).decode()))
        return replace(kept, access_token="", refresh_token="", in_keyring=True)

    def _whole(self, kept: Kept) -> Kept:
        """With its tokens."""
        if not kept.in_keyring:
            return kept
        secret = self._keychain.get(kept.place) if self._keychain is not None else None
        try:
            pair = msgspec.json.decode(secret.reveal() if secret is not None else "", type=_Pair)
        except msgspec.MsgspecError:
            said = f"the keyring no longer has the sign-in: vestibule login {kept.place}"
            raise ClientError(said, code="signed_out") from None
        return replace(
            kept, access_token=pair.access_token, refresh_token=pair.refresh_token, in_keyring=False
        )

    def _if_whole(self, kept: Kept) -> Kept | None:
        """With its tokens; None: nobody has them any more."""
        try:
            return self._whole(kept)
        except ClientError as error:
            if error.code != "signed_out":
                raise
            return None

    def _drop(self, file: _File, kept: Kept) -> None:
        if file.gateways.pop(kept.place).in_keyring and self._keychain is not None:
            self._keychain.delete(kept.place)

    # -- the file -----------------------------------------------------------------------------

    @contextlib.contextmanager
    def _changing(self) -> Iterator[_File]:
        """The file, written back at the end; one program at a time."""
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(f"{self._path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _unusable(self._path, error) from None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            file = self._read()
            before = msgspec.json.encode(file)
            yield file
            if msgspec.json.encode(file) != before:
                self._write(file)
        finally:
            os.close(descriptor)

    def _read(self) -> _File:
        """Threat: sign-ins that others of this machine can read; they are not used."""
        try:
            with self._path.open("rb") as opened:
                mode = stat.S_IMODE(os.fstat(opened.fileno()).st_mode)
                if mode & 0o077:
                    raise ClientError(
                        f"{self._path} can be read by others: chmod 600 {self._path}, and sign in anew",
                        code="wallet_open",
                    )
                return msgspec.json.decode(opened.read(), type=_File)
        except FileNotFoundError:
            return _File()
        except (OSError, msgspec.MsgspecError) as error:
            raise _unusable(self._path, error) from None

    def _write(self, file: _File) -> None:
        """Whole or not at all."""
        try:
            descriptor, name = tempfile.mkstemp(dir=self._path.parent, prefix=".wallet-")  # 0600
            with os.fdopen(descriptor, "wb") as opened:
                opened.write(msgspec.json.format(msgspec.json.encode(file)))
                opened.flush()
                os.fsync(opened.fileno())
            Path(name).replace(self._path)
        except OSError as error:
            raise _unusable(self._path, error) from None


def wallet_path(environ: Mapping[str, str]) -> Path:
    """Where it is: in the configuration directory of this person."""
    home = Path(environ.get("XDG_CONFIG_HOME") or Path(environ.get("HOME", "~")).expanduser() / ".config")
    return home / "vestibule" / "sign-ins.json"


def _one(file: _File, url: str) -> Kept:
    wanted = url.rstrip("/") or file.last
    kept = file.gateways.get(wanted)
    if kept is not None:
        return kept
    found = [one for one in file.gateways.values() if one.metadata.issuer == wanted]
    if len(found) > 1:
        places = ", ".join(sorted(one.place for one in found))
        raise ClientError(f"somebody is signed in there for several: {places}", code="several_sites")
    if not found:
        raise ClientError(f"nobody is signed in: vestibule login {url or 'URL'}", code="signed_out")
    return found[0]


def _unusable(path: Path, error: Exception) -> ClientError:
    return ClientError(f"{path} can't be used: {error}", code="wallet_unusable")

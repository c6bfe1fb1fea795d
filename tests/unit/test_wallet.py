"""The sign-ins of a command line, in a file."""

from __future__ import annotations

import stat

import pytest

from vestibule import wallet as held
from vestibule.errors import ClientError
from vestibule.model import Secret
from vestibule.token_client import Metadata, TokenClient, Tokens
from vestibule.wallet import Kept, Wallet, wallet_path

NOW = 1_800_000_000.0


def metadata(issuer: str = "https://a.example") -> Metadata:
    return Metadata(
        issuer=issuer,
        authorization_endpoint=f"{issuer}/@/authorize",
        token_endpoint=f"{issuer}/@/token",
        revocation_endpoint=f"{issuer}/@/revoke",
    )


class Gateway:
    """Answers refreshes in the client's place."""

    def __init__(self) -> None:
        self.shown: list[str] = []
        self.refusal = ""

    def refresh(self, _client: TokenClient, token: object) -> Tokens:
        self.shown.append(token.reveal())  # type: ignore[attr-defined]
        if self.refusal:
            raise ClientError("no", code=self.refusal)
        return Tokens(access_token=f"access-{len(self.shown)}", refresh_token=f"refresh-{len(self.shown)}")


@pytest.fixture
def gateway(monkeypatch) -> Gateway:
    gateway = Gateway()

    def refresh(client: TokenClient, token: object) -> Tokens:
        return gateway.refresh(client, token)

    monkeypatch.setattr(held.TokenClient, "refresh", refresh)
    return gateway


@pytest.fixture
def at() -> list[float]:
    return [NOW]


class Memory:
    """A keychain."""

    def __init__(self) -> None:
        self.kept: dict[str, Secret] = {}

    def get(self, name: str) -> Secret | None:
        return self.kept.get(name)

    def set(self, name: str, secret: Secret) -> None:
        self.kept[name] = secret

    def delete(self, name: str) -> None:
        self.kept.pop(name, None)


@pytest.fixture(params=[None, Memory], ids=["file", "keyring"])
def keychain(request) -> Memory | None:
    return request.param() if request.param is not None else None


@pytest.fixture
def wallet(tmp_path, at, keychain) -> Wallet:
    return Wallet(tmp_path / "deep" / "sign-ins.json", keychain, now=lambda: at[0])


def keep(
    wallet: Wallet, issuer: str = "https://a.example", *, site: str = "", name: str = "0"
) -> Kept | None:
    tokens = Tokens(access_token=f"access-{name}", refresh_token=f"refresh-{name}", expires_in=600.0)
    return wallet.keep(TokenClient(metadata(issuer), "cli"), tokens, site=site)


def test_a_token_is_renewed_once_it_is_nearly_over(wallet, at, gateway):
    keep(wallet)
    assert wallet.fresh().access_token == "access-0"
    at[0] += 539
    assert wallet.fresh().access_token == "access-0"
    at[0] += 1
    assert wallet.fresh().access_token == "access-1"
    assert wallet.fresh().access_token == "access-1"
    at[0] += 600
    assert wallet.fresh().access_token == "access-2"
    assert gateway.shown == ["refresh-0", "refresh-1"]


def test_a_sign_in_that_is_over_is_forgotten(wallet, at, gateway):
    keep(wallet)
    at[0] += 600
    gateway.refusal = "invalid_grant"
    for _ in range(2):
        with pytest.raises(ClientError) as caught:
            wallet.fresh()
        assert caught.value.code == "signed_out"
    assert gateway.shown == ["refresh-0"]
    assert not wallet.gateways()


def test_while_the_gateway_is_away_nothing_is_forgotten(wallet, at, gateway):
    keep(wallet)
    at[0] += 600
    gateway.refusal = "unreachable"
    with pytest.raises(ClientError):
        wallet.fresh()
    gateway.refusal = ""
    assert wallet.fresh().access_token == "access-2"


def test_several_gateways_and_the_last_one(wallet):
    keep(wallet)
    keep(wallet, "https://b.example")
    assert wallet.find().metadata.issuer == "https://b.example"
    assert wallet.find("https://a.example/").metadata.issuer == "https://a.example"
    wallet.leave("", lambda kept: None)
    assert wallet.find().metadata.issuer == "https://a.example"
    with pytest.raises(ClientError):
        wallet.find("https://b.example")


def test_sites_of_one_auth_host_are_kept_apart(wallet):
    auth, app, wiki = "https://auth.example", "https://app.example", "https://wiki.example"
    keep(wallet, auth, site=app, name="app")
    assert wallet.fresh(auth).access_token == "access-app"
    keep(wallet, auth, site=wiki, name="wiki")
    assert [wallet.fresh(url).access_token for url in (app, wiki, "")] == [
        "access-app",
        "access-wiki",
        "access-wiki",
    ]
    with pytest.raises(ClientError) as caught:
        wallet.fresh(auth)
    assert (caught.value.code, app in caught.value.message) == ("several_sites", True)
    wallet.leave(app, lambda kept: None)
    assert wallet.find(auth).place == wiki


def test_a_renewed_sign_in_is_for_the_same_site(wallet, at, gateway):
    keep(wallet, "https://auth.example", site="https://app.example")
    at[0] += 600
    assert wallet.fresh("https://app.example").access_token == "access-1"
    assert list(wallet.gateways()) == ["https://app.example"]


def test_who_signs_in_again_is_told_of_the_sign_in_before(wallet):
    assert keep(wallet) is None
    assert keep(wallet, "https://b.example", name="b") is None
    before = keep(wallet, name="new")
    assert (before.access_token, before.refresh_token) == ("access-0", "refresh-0")
    assert wallet.fresh("https://a.example").access_token == "access-new"


def test_what_can_not_be_revoked_is_not_forgotten(wallet):
    keep(wallet)

    def refuse(_kept: Kept) -> None:
        raise ClientError("away", code="unreachable")

    with pytest.raises(ClientError):
        wallet.leave("", refuse)
    assert wallet.fresh().access_token == "access-0"


@pytest.mark.parametrize("keychain", [Memory], indirect=True)
def test_what_the_keyring_has_lost_can_be_left_and_made_anew(wallet, keychain):
    keep(wallet)
    keychain.kept.clear()
    assert keep(wallet, name="new") is None
    keychain.kept.clear()
    wallet.leave("", lambda kept: pytest.fail("there is nothing to show"))
    assert not wallet.gateways()


def test_nobody_else_can_read_it_and_what_they_could_is_not_used(wallet, tmp_path):
    keep(wallet)
    path = tmp_path / "deep" / "sign-ins.json"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.chmod(0o640)
    with pytest.raises(ClientError) as caught:
        wallet.fresh()
    assert caught.value.code == "wallet_open"
    assert "access-0" not in caught.value.message


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"gateways": 1}', b"\xff"])
def test_a_file_that_can_not_be_read_is_told_and_stays(wallet, tmp_path, text):
    keep(wallet)
    path = tmp_path / "deep" / "sign-ins.json"
    path.write_bytes(text)
    with pytest.raises(ClientError) as caught:
        keep(wallet)
    assert caught.value.code == "wallet_unusable"
    assert path.read_bytes() == text


@pytest.mark.parametrize("keychain", [Memory], indirect=True)
def test_where_there_is_a_keyring_no_token_is_in_the_file(wallet, tmp_path, keychain, at, gateway):
    keep(wallet)
    path = tmp_path / "deep" / "sign-ins.json"
    assert "access-0" not in path.read_text()
    assert list(keychain.kept) == ["https://a.example"]
    at[0] += 600
    assert wallet.fresh().access_token == "access-1"
    assert "refresh-1" not in path.read_text()
    left: list[str] = []
    wallet.leave("", lambda kept: left.append(kept.refresh_token))
    assert left == ["refresh-1"]
    assert not keychain.kept


def test_who_signed_in_before_there_was_a_keyring_stays_signed_in(tmp_path, at, gateway):
    path = tmp_path / "sign-ins.json"
    keep(Wallet(path, now=lambda: at[0]))
    keychain = Memory()
    wallet = Wallet(path, keychain, now=lambda: at[0])
    assert wallet.fresh().access_token == "access-0"
    at[0] += 600
    assert wallet.fresh().access_token == "access-1"
    assert "access-1" not in path.read_text()
    keychain.kept.clear()
    with pytest.raises(ClientError) as caught:
        wallet.fresh()
    assert caught.value.code == "signed_out"


def test_nothing_of_it_is_in_a_repr(wallet):
    keep(wallet)
    assert "access" not in repr(wallet.find())
    assert "access" not in repr(Tokens(access_token="access-0"))


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"HOME": "/home/ann"}, "/home/ann/.config/vestibule/sign-ins.json"),
        ({"HOME": "/home/ann", "XDG_CONFIG_HOME": "/x"}, "/x/vestibule/sign-ins.json"),
        ({"HOME": "/home/ann", "XDG_CONFIG_HOME": ""}, "/home/ann/.config/vestibule/sign-ins.json"),
    ],
)
def test_where_it_is(environ, path):
    assert str(wallet_path(environ)) == path

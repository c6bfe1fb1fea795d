"""What was said by a provider counts while that provider is in force."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from vestibule.core.credential import Accepted, PasswordFile
from vestibule.core.route import Host, RouteTable
from vestibule.core.vouched import Standing
from vestibule.model import Secret
from vestibule.providers.base import ProviderConfig
from vestibule.providers.github import GitHubConfig
from vestibule.providers.oidc import OidcConfig
from vestibule.service.offer import Offer
from vestibule.service.standing import standing_of

CORP = OidcConfig(
    name="corp", client_id="id-1", client_secret=Secret("swordfish"), issuer="https://corp.example"
)
GITHUB = GitHubConfig(name="github", client_id="id-2", client_secret=Secret("swordfish"))
CLOSED = replace(GITHUB, allowed_orgs=("example",))


def word(config: ProviderConfig, name: str = "corp") -> str:
    offer = Offer(RouteTable(()), {name: config.open()}, {name: config})
    return standing_of(offer, holds_s=1.0).words[name]


@pytest.mark.parametrize(
    ("config", "change", "is_another"),
    [
        (CORP, {"issuer": "https://other.example"}, True),
        (CORP, {"client_id": "id-9"}, True),
        (CORP, {"email_domains": ("example.com",)}, True),
        (CORP, {"client_secret": Secret("hunter2")}, False),
        (CORP, {"title": "Corporation"}, False),
        (GITHUB, {"scopes": ("read:user", "user:email")}, False),
        (GITHUB, {"allowed_orgs": ("example",)}, True),
        (CLOSED, {"allowed_orgs": ("other",)}, True),
        (CLOSED, {"allowed_users": ("alice",)}, True),
        (CLOSED, {"client_secret": Secret("hunter2")}, False),
        (CLOSED, {"title": "Ours"}, False),
    ],
    ids=lambda value: ",".join(value) if isinstance(value, dict) else None,
)
def test_a_provider_is_another_when(config, change: dict[str, Any], is_another):
    assert (word(replace(config, **change)) != word(config)) is is_another


def test_a_word_shows_no_setting():
    assert len(word(CORP)) == 22


def test_who_lets_in_only_some_is_told_of():
    offer = Offer(
        RouteTable(()),
        {"github": CLOSED.open(), "corp": CORP.open()},
        {"github": CLOSED, "corp": CORP},
    )
    standing = standing_of(offer, holds_s=60.0)
    assert standing.restricted == {"github"}
    assert standing.holds_s == 60.0
    assert set(standing.words) == {"github", "corp"}


def test_a_password_file_is_the_one_at_its_path():
    def standing(path: str) -> Standing:
        accepts = Accepted(passwords=PasswordFile(name="htpasswd", path=path))
        table = RouteTable((Host(name=b"app.example", title="", clients={}, accepts=accepts),))
        return standing_of(Offer(table, {}), holds_s=1.0)

    assert standing("/a").words != standing("/b").words
    assert standing("/a").restricted == {"htpasswd"}


def test_what_was_made_of_nothing_known_has_no_word():
    assert standing_of(Offer(RouteTable(()), {"corp": CORP.open()}), holds_s=1.0).words == {}

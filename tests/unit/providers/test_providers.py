"""The table of kinds."""

from __future__ import annotations

import inspect
import textwrap
from importlib.metadata import EntryPoint
from typing import Any

import msgspec
import pytest

from tests.unit.providers.test_app_tokens import account, credentials
from tests.unit.providers.test_github import client as github
from tests.unit.providers.test_oauth2 import client as oauth2
from tests.unit.providers.test_oidc import client as oidc
from vestibule.providers import BUILTIN, GROUP, kinds
from vestibule.providers.base import RedirectLogin, TokenSource


def test_the_built_in_kinds() -> None:
    assert set(kinds()) >= {"oauth2", "oidc", "google", "github", "client_credentials", "service_account"}


def test_other_packages_add_kinds() -> None:
    entry = EntryPoint("mine", "vestibule.providers.github:GitHubConfig", GROUP)
    assert kinds([entry])["mine"] is BUILTIN["github"]


def test_a_kind_is_never_taken_twice() -> None:
    entry = EntryPoint("oidc", "vestibule.providers.github:GitHubConfig", GROUP)
    with pytest.raises(ValueError, match="oidc"):
        kinds([entry])
    twice = [EntryPoint("mine", "vestibule.providers.github:GitHubConfig", GROUP)] * 2
    with pytest.raises(ValueError, match="mine"):
        kinds(twice)


@pytest.mark.parametrize(("kind", "config"), BUILTIN.items(), ids=BUILTIN.keys())
def test_every_configuration_is_frozen_and_tagged_with_its_kind(kind: str, config: Any) -> None:
    assert config.__struct_config__.frozen
    assert config.__struct_config__.tag == kind
    assert config.open


@pytest.mark.parametrize("config", BUILTIN.values(), ids=BUILTIN.keys())
def test_every_field_is_explained_below_it(config: Any) -> None:
    for cls in config.__mro__:
        if not issubclass(cls, msgspec.Struct) or cls is msgspec.Struct:
            continue
        lines = textwrap.dedent(inspect.getsource(cls)).splitlines()
        fields = [
            number
            for number, line in enumerate(lines)
            if line.startswith("    ") and ": " in line.split("=")[0]
        ]
        for number in fields:
            name = lines[number].strip().partition(":")[0]
            if name in cls.__annotations__:
                assert lines[number + 1].strip().startswith('"""'), f"{cls.__name__}.{name}"


def test_who_signs_people_in_and_who_acts_for_the_app() -> None:
    assert [p.identifies for p in (github(), oidc(), oauth2())] == [True, True, False]
    assert all(
        isinstance(p, RedirectLogin) and not isinstance(p, TokenSource) for p in (github(), oidc(), oauth2())
    )
    sources = (account().open(), credentials().open())
    assert all(isinstance(p, TokenSource) and not isinstance(p, RedirectLogin) for p in sources)

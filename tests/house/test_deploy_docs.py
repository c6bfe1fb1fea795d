"""docs/deploy.md and docs/identity-providers.md: every variable is one that is read, every document can be added."""

from __future__ import annotations

import json
import re

import pytest

from tests.house.source import ROOT
from vestibule.config.environment import OVERRIDABLE
from vestibule.config.load import load
from vestibule.config.row import read_row
from vestibule.config.shape import shape_of
from vestibule.config.surroundings import OWN, provider_settings

DEPLOY = (ROOT / "docs" / "deploy.md").read_text("utf-8")
PROVIDERS = (ROOT / "docs" / "identity-providers.md").read_text("utf-8")
MANUAL = (ROOT / "docs" / "configuration.md").read_text("utf-8")

OVERRIDES = {
    f"{block}_{name}".upper() for block, cls in OVERRIDABLE.items() for name in shape_of(cls).attributes
}
NAMES = sorted(set(re.findall(r"VESTIBULE_([A-Z_]+)", DEPLOY + PROVIDERS + MANUAL)) - {""})
DOCUMENTS = re.findall(r"^```json\n(.*?)^```$", PROVIDERS, re.MULTILINE | re.DOTALL)
SHAPES = re.findall(r"^```sh\n(VESTIBULE_(?:BACKEND|ROOT_DOMAIN).*?)^```$", DEPLOY, re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", NAMES)
def test_every_variable_is_one_that_is_read(name: str):
    assert name in {*OWN, *provider_settings(), *OVERRIDES, "ADMIN_TOKEN"}


@pytest.mark.parametrize("text", DOCUMENTS)
def test_every_document_can_be_added(text: str):
    assert read_row(json.loads(text), hosts=frozenset({"app.example.com"}))


def test_there_are_documents_of_every_shape_of_the_seed():
    assert {json.loads(text)["provider_type"] for text in DOCUMENTS} == {"oidc", "github", "google"}


@pytest.mark.parametrize("text", SHAPES, ids=["one app", "auth service"])
def test_both_shapes_load_as_they_are_printed(text: str):
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    environ = dict(line.split("=", 1) for line in lines if line)
    environ = {name: value.replace("…", "0123456789abcdef" * 2) for name, value in environ.items()}
    assert load((), environ).config.host

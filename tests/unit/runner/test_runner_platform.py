"""The token of a platform, from where its documentation has it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from vestibule.errors import ClientError
from vestibule.runner import platform
from vestibule.runner.platform import checked, token_in_file, token_of

AUDIENCE = "https://auth.example.com"
ENCODED = "https%3A%2F%2Fauth.example.com"
GOOGLE = "http://metadata.google.internal/computeMetadata/v1"
JWT = "e30.e30.c2ln"


@pytest.fixture
def asked(monkeypatch) -> list[tuple[str, dict[str, str], bool]]:
    """What was asked of a platform that answers in each of the ways."""
    found: list[tuple[str, dict[str, str], bool]] = []

    def ask(url: str, *, headers: dict[str, str], is_near: bool = True, what: str) -> bytes:
        found.append((url, headers, is_near))
        if "identity?audience" in url:
            return JWT.encode()
        return json.dumps({"value": JWT, "access_token": JWT}).encode()

    monkeypatch.setattr(platform, "asked", ask)
    return found


@pytest.mark.parametrize(
    ("name", "env", "wanted"),
    [
        (
            "github",
            {
                "ACTIONS_ID_TOKEN_REQUEST_URL": "https://run.example/token?api-version=2.0",
                "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "of-the-job",
            },
            (
                f"https://run.example/token?api-version=2.0&audience={ENCODED}",
                {"Authorization": "Bearer of-the-job", "Accept": "application/json"},
                False,
            ),
        ),
        (
            "google",
            {},
            (
                f"{GOOGLE}/instance/service-accounts/default/identity?audience={ENCODED}&format=full",
                {"Metadata-Flavor": "Google"},
                True,
            ),
        ),
        (
            "azure",
            {},
            (
                f"http://169.254.169.254/metadata/identity/oauth2/token?api-version=2018-02-01&resource={ENCODED}",
                {"Metadata": "true"},
                True,
            ),
        ),
        (
            "azure",
            {"IDENTITY_ENDPOINT": "http://127.0.0.1:41741/msi/token", "IDENTITY_HEADER": "of-the-app"},
            (
                f"http://127.0.0.1:41741/msi/token?api-version=2019-08-01&resource={ENCODED}",
                {"X-IDENTITY-HEADER": "of-the-app"},
                True,
            ),
        ),
    ],
    ids=["GitHub", "Google", "Azure", "Azure App Service"],
)
def test_a_platform_is_asked_as_it_wants_to_be(asked, name, env, wanted):
    assert token_of(name, env, AUDIENCE).reveal() == JWT
    assert asked == [wanted]


def test_a_token_of_gitlab_is_in_the_environment_and_one_of_kubernetes_in_a_file(monkeypatch, tmp_path):
    file = tmp_path / "token"
    file.write_text(f"{JWT}\n")
    monkeypatch.setattr(platform, "KUBERNETES_FILE", str(file))
    assert token_of("kubernetes", {}, AUDIENCE).reveal() == JWT
    assert token_of("gitlab", {"VESTIBULE_ID_TOKEN": JWT}, AUDIENCE).reveal() == JWT


@pytest.mark.parametrize(
    ("name", "env", "code"),
    [
        ("github", {}, "token_missing"),
        (
            "github",
            {"ACTIONS_ID_TOKEN_REQUEST_URL": "http://run.example/", "ACTIONS_ID_TOKEN_REQUEST_TOKEN": "x"},
            "bad_url",
        ),
        ("gitlab", {}, "token_missing"),
        ("azure", {"IDENTITY_ENDPOINT": "file:///etc/passwd", "IDENTITY_HEADER": "x"}, "bad_url"),
        ("kubernetes", {}, "file_unreadable"),
    ],
    ids=["no permission", "in the clear", "no id_tokens", "no http", "no file"],
)
def test_a_program_without_a_token_is_told(asked, monkeypatch, name, env, code):
    monkeypatch.setattr(platform, "KUBERNETES_FILE", "/nowhere/token")
    with pytest.raises(ClientError) as caught:
        token_of(name, env, AUDIENCE)
    assert (caught.value.code, asked) == (code, [])


@pytest.mark.parametrize("text", ["", "\n", "two words", "a\nb", "\u00e9", "x" * 20_000])
def test_what_is_no_token_is_not_sent_and_not_told(text):
    with pytest.raises(ClientError) as caught:
        checked(text, "it")
    assert str(caught.value) == "it is no token"


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a b"])
def test_a_file_of_anything_else_is_told(tmp_path: Path, content: Any):
    file = tmp_path / "token"
    file.write_bytes(content)
    with pytest.raises(ClientError):
        token_in_file(str(file))

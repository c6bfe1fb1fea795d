"""The forms of other programs' configurations: told apart, taken apart."""

from __future__ import annotations

import pytest

from vestibule.config.importers import source
from vestibule.config.importers.source import Form, Source
from vestibule.config.write import Env, Joined
from vestibule.errors import ConfigError

_PREFIXES = ("OAUTH2_PROXY_",)


@pytest.mark.parametrize(
    ("text", "form"),
    [
        ('provider = "google"\n', Form.TOML),
        ("# one\n\nemail_domains=[\n", Form.TOML),
        ("--provider=google\n", Form.FLAGS),
        ("oauth2-proxy --provider google\n", Form.FLAGS),
        ("- --provider=google\n", Form.FLAGS),
        ("ExecStart=/usr/bin/oauth2-proxy --config=/etc/x\n", Form.FLAGS),
        ("OAUTH2_PROXY_PROVIDER=google\n", Form.ENVIRONMENT),
        ("TZ=UTC\nexport OAUTH2_PROXY_PROVIDER='google'\n", Form.ENVIRONMENT),
        ('Environment="OAUTH2_PROXY_PROVIDER=google"\n', Form.ENVIRONMENT),
        ("providers:\n- id: a\n", Form.YAML),
        ("---\nproviders: []\n", Form.YAML),
        ("ann@example.com\nbob@example.com, Bob\n", Form.ADDRESSES),
        ("", None),
        ("# nothing\n", None),
        ("hello world\n", None),
    ],
)
def test_a_form_is_told_by_what_stands_in_the_text(text: str, form: Form | None) -> None:
    assert source.form_of(Source("x", text), _PREFIXES) is form


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"),
        ("export A=b", "b"),
        ("A='b c # d'", "b c # d"),
        ('A="b"', "b"),
        ("A=b # why", "b"),
        ("A=b#c", "b#c"),
        ('Environment="A=b c"', "b c"),
        ("-e A=b", "b"),
        ("A=", ""),
        ('A="b', "b"),
    ],
)
def test_a_variable_is_read_as_its_readers_do(line: str, value: str) -> None:
    assert list(source.variables_of(Source("x", line))) == [("A", value)]


def test_a_comment_is_no_variable() -> None:
    assert list(source.variables_of(Source("x", "#A=b\n  # A=c\n"))) == []


@pytest.mark.parametrize(
    "text",
    [
        "oauth2-proxy --a=1 --b '2 3'",
        "oauth2-proxy \\\n  --a=1 \\\n  --b '2 3'\n",
        "- oauth2-proxy\n- --a=1\n- --b\n- '2 3'\n",
        '["oauth2-proxy",\n "--a=1",\n "--b", "2 3"]\n',
        "# start\nExecStart=oauth2-proxy --a=1 --b '2 3'\n",
    ],
)
def test_a_command_line_is_words(text: str) -> None:
    found = [word.strip(",") for word in source.words_of(Source("x", text))]
    assert found == ["oauth2-proxy", "--a=1", "--b", "2 3"]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("plain", "plain"),
        ("", ""),
        ("$NAME", Env("NAME")),
        ("${NAME}", Env("NAME")),
        ("$(NAME)", Env("NAME")),
        ("a-${NAME}-b", Joined(("a-", Env("NAME"), "-b"))),
        ("^/x$", "^/x$"),
        ("/v2/$1", "/v2/$1"),
    ],
)
def test_variables_in_a_text_are_references(text: str, found: object) -> None:
    assert source.with_references(text) == found


@pytest.mark.parametrize(
    ("read", "text", "fault"),
    [
        (source.toml_of, "a = ", "x: is no TOML"),
        (source.yaml_of, "a: b: c", "x:1:5: is no YAML"),
        (source.yaml_of, "a: &one [1]\nb: *one\n", "x: write out what its `*aliases` stand for"),
        (source.yaml_of, "a: !!python/object/apply:os.system [ls]\n", "x:1:4: is no YAML"),
        (source.words_of, "--a 'b", "x: can't be read as a command line"),
        (source.check_size, "x" * (source.MAX_BYTES + 1), "x: is larger than 1 MiB"),
    ],
    ids=["toml", "yaml", "aliases", "objects", "quotes", "size"],
)
def test_what_can_t_be_read_is_a_fault_with_its_file(read, text: str, fault: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read(Source("x", text))
    assert caught.value.faults[0].startswith(fault)


def test_a_text_is_in_no_repr() -> None:
    assert "hush" not in repr(Source("x", "secret=hush"))


@pytest.mark.parametrize("text", ["a: " + "[" * 200_000, "a: " + "{a: " * 200_000, "- " * 200_000])
def test_yaml_of_lists_within_lists_is_refused_before_it_is_read(text: str) -> None:
    with pytest.raises(ConfigError, match="nested deeper"):
        source.yaml_of(Source("x", text))


def test_toml_of_lists_within_lists_is_refused() -> None:
    with pytest.raises(ConfigError, match="no TOML that can be read"):
        source.toml_of(Source("x", f"a = {'[' * 5000}{']' * 5000}"))

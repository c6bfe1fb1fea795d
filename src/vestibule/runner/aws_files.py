"""The profiles of `~/.aws/config` and `~/.aws/credentials`, as AWS's own programs read them.

Spec: AWS "Shared config and credentials files", "File format".
"""

from __future__ import annotations

import configparser
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

import msgspec

from vestibule.errors import ClientError

_NONE: Final[Mapping[str, str]] = MappingProxyType({})
_START: Final = "profile "


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """What the two files say by one name."""

    name: str
    config: Mapping[str, str] = _NONE
    credentials: Mapping[str, str] = _NONE

    def get(self, name: str) -> str:
        """A setting, empty where there is none; the file of credentials comes first.

        It does NOT put together keys of which each file has half: `credentials` and `config` are looked at for these.
        """
        return self.credentials.get(name, "") or self.config.get(name, "")

    def __repr__(self) -> str:
        return f"Profile({self.name})"


def profiles_of(env: Mapping[str, str]) -> dict[str, Profile]:
    """All profiles by name; none where there are no files. Raises ClientError for a file that can't be read."""
    config = dict(_config(env))
    credentials = dict(_sections(env, "AWS_SHARED_CREDENTIALS_FILE", "credentials"))
    return {
        name: Profile(name=name, config=config.get(name, _NONE), credentials=credentials.get(name, _NONE))
        for name in {**config, **credentials}
    }


def _config(env: Mapping[str, str]) -> Iterator[tuple[str, Mapping[str, str]]]:
    """Every profile but the default's is called `profile NAME` there; other sections are no profiles."""
    for name, settings in _sections(env, "AWS_CONFIG_FILE", "config"):
        if name == "default":
            yield name, settings
        elif name.startswith(_START):
            yield name.removeprefix(_START).strip().strip("\"'"), settings


def _sections(env: Mapping[str, str], variable: str, usual: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    path = _path(env, variable, usual)
    if path is None:
        return
    parser = configparser.RawConfigParser(
        default_section="", delimiters=("=",), strict=False, empty_lines_in_values=False
    )
    try:
        parser.read_string(path.read_text("utf-8"))
    except FileNotFoundError:
        return
    except (OSError, UnicodeError, configparser.Error):
        # Not chained: what is wrong with a line is told with the line, and that can be a key.
        raise ClientError(f"{path} can't be read", code="file_unreadable") from None
    for name in parser.sections():
        yield name.strip(), dict(parser.items(name))


def _path(env: Mapping[str, str], variable: str, usual: str) -> Path | None:
    written, home = env.get(variable, ""), env.get("HOME", "")
    if written:
        return Path(home, written[2:]) if written.startswith("~/") and home else Path(written)
    return Path(home, ".aws", usual) if home else None

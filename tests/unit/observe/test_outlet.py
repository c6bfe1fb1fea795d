"""What the configuration says of the log, and what comes of it: a format for who reads it, colours for who wants them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from vestibule.errors import ConfigError
from vestibule.observe.log import ACCESS, OFF, Log
from vestibule.observe.outlet import FORMATS, Outlet, open_log, wants_colours

LONG_S = 30.0


@pytest.fixture
def written(monkeypatch, tmp_path: Path) -> Iterator[Callable[..., str]]:
    """The first line of a log on a descriptor that is a terminal, or isn't."""
    opened: list[Log] = []
    path = tmp_path / "out"
    fd = os.open(path, os.O_WRONLY | os.O_CREAT)
    monkeypatch.setattr("vestibule.observe.outlet._DESCRIPTORS", {"stderr": fd, "stdout": fd})

    def write(outlet: Outlet, *, is_terminal: bool, **environ: str) -> str:
        for name in ("NO_COLOR", "TERM"):
            monkeypatch.delenv(name, raising=False)
        for name, value in environ.items():
            monkeypatch.setenv(name, value)
        log = open_log(outlet, is_terminal=lambda _fd: is_terminal)
        opened.append(log)
        log.info("e", a="b c")
        log.flush(LONG_S)
        return path.read_text("utf-8")

    yield write
    for log in opened:
        log.sink.before_fork()
    os.close(fd)


@pytest.mark.parametrize(
    ("name", "is_terminal", "begins"),
    [
        pytest.param("auto", False, '{"at":"', id="json for programs"),
        pytest.param("auto", True, "\x1b[2m20", id="readable for people"),
        pytest.param("json", True, '{"at":"', id="as it was said"),
        pytest.param("logfmt", True, "at=20", id="logfmt"),
        pytest.param("console", False, "20", id="readable without colours in a file"),
    ],
)
def test_without_a_format_it_is_made_for_who_reads_it(
    written: Callable[..., str], name: str, is_terminal: bool, begins: str
):
    assert written(Outlet(format=name), is_terminal=is_terminal).startswith(begins)


@pytest.mark.parametrize(
    ("environ", "wants"),
    [
        pytest.param({}, True, id="usual"),
        pytest.param({"NO_COLOR": "1"}, False, id="said no"),
        pytest.param({"NO_COLOR": ""}, True, id="empty says nothing"),
        pytest.param({"TERM": "dumb"}, False, id="can't"),
    ],
)
def test_colours_are_for_those_who_want_them(
    written: Callable[..., str], environ: dict[str, str], wants: bool
):
    assert wants_colours(environ) is wants
    assert ("\x1b" in written(Outlet(format="console"), is_terminal=True, **environ)) is wants


def test_a_file_is_appended_to_and_has_no_colours(tmp_path: Path):
    path = tmp_path / "gateway.log"
    path.write_text("before\n", "utf-8")
    log = open_log(Outlet(format="console", output=path), is_terminal=lambda _fd: True)
    log.info("e")
    log.sink.before_fork()
    first, second = path.read_text("utf-8").splitlines()
    assert first == "before"
    assert second.endswith("program     e")


def test_a_file_that_cannot_be_written_is_told_at_the_start(tmp_path: Path):
    with pytest.raises(ConfigError) as told:
        open_log(Outlet(output=tmp_path / "nowhere" / "gateway.log"))
    assert "nowhere/gateway.log: No such file or directory" in told.value.faults[0]


def test_levels_are_those_of_the_outlet(tmp_path: Path):
    outlet: Any = Outlet(level="warning", own={"store": "debug", ACCESS: OFF}, output=tmp_path / "a")
    log = open_log(outlet)
    assert (log.wants("info"), log.of("store").wants("debug"), log.of("access").wants("error")) == (
        False,
        True,
        False,
    )
    assert FORMATS[0] == Outlet().format

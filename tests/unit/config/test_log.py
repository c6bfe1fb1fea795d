"""The block `log`: what it may say, and what it means."""

from __future__ import annotations

import pytest

from tests.unit.config.conftest import Desk
from vestibule.config.compile import compile_config
from vestibule.observe.log import ACCESS, OFF
from vestibule.observe.outlet import Outlet

HOST = 'host "a.example" {\n  backend = "localhost:1"\n  access { allow = ["public"] }\n}\n'


def test_without_a_block_there_is_no_access_log(desk: Desk) -> None:
    assert compile_config(desk.load(HOST)).log == Outlet(own={ACCESS: OFF})


def test_everything_that_can_be_said(desk: Desk, tmp_path) -> None:
    text = (
        'log {\n  format = "logfmt"\n  level = "warning"\n  access = true\n  output = "logs/v.log"\n'
        '  component "store" { level = "debug" }\n  component "jobs" { level = "off" }\n}\n'
    )
    outlet = compile_config(desk.load(HOST + text)).log
    assert outlet == Outlet(
        format="logfmt",
        level="warning",
        own={"store": "debug", "jobs": "off", "access": "info"},
        output=tmp_path / "logs" / "v.log",
    )


def test_it_may_be_split(desk: Desk) -> None:
    outlet = compile_config(desk.load(HOST + 'log { level = "debug" }\nlog { access = true }\n')).log
    assert (outlet.level, outlet.own) == ("debug", {ACCESS: "info"})


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('log { format = "yaml" }', "is one of auto, json, logfmt, console"),
        ('log { level = "warn" }', "is one of debug, info, warning, error; did you mean `warning`?"),
        ('log { level = "off" }', "is one of debug, info, warning, error"),
        ('log { output = "" }', "is `stderr`, `stdout` or a file"),
        ('log { component "stores" { level = "info" } }', "there is no component `stores`: program"),
        ('log { component "store" { level = "loud" } }', "is one of debug, info, warning, error, off"),
        ('log { component "store" {} }', "has no `level`"),
        ('log { component "access" { level = "info" } }', "is on or off: log { access = true }"),
        (
            'log {\n component "jobs" { level = "info" }\n component "jobs" { level = "info" }\n}',
            "`jobs` stands here twice",
        ),
    ],
    ids=lambda text: text[-40:],
)
def test_what_cannot_be_meant_is_a_fault(desk: Desk, text: str, fault: str) -> None:
    found = [one.partition(": ")[2] for one in desk.faults(HOST + text)]
    assert len(found) == 1
    assert fault in found[0]


def test_the_environment_goes_before_the_file(desk: Desk) -> None:
    environ = {"VESTIBULE_LOG_LEVEL": "debug", "VESTIBULE_LOG_ACCESS": "true", "VESTIBULE_LOG_FORMAT": "json"}
    outlet = compile_config(desk.load(HOST + 'log { level = "error" }', environ=environ)).log
    assert (outlet.level, outlet.own, outlet.format) == ("debug", {ACCESS: "info"}, "json")

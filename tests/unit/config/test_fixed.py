"""What a running gateway can't change is refused with its line."""

from __future__ import annotations

import pytest

from vestibule.config.compile import Compiled, compile_config
from vestibule.config.fixed import ADVICE, fixed_faults
from vestibule.config.load import load

TEXT = """gateway {
  http = ["127.0.0.1:8080"]
  GATEWAY
}
host "a.test" {
  backend = "internal:echo"
  tls     = "off"
  access { allow = ["public"] }
}
MORE
"""


@pytest.fixture
def compiled(tmp_path):
    def made(gateway: str = "", more: str = "") -> Compiled:
        file = tmp_path / "app.hcl"
        file.write_text(TEXT.replace("GATEWAY", gateway).replace("MORE", more))
        return compile_config(load((file,), {}))

    return made


@pytest.mark.parametrize(
    ("gateway", "more", "told"),
    [
        ('state = "other"', "", "3:3: `state`"),
        ("workers = 2", "", "3:3: `workers`"),
        ("", 'store {\n  url = "postgresql://localhost/x"\n}', "11:3: `url`"),
        ("", 'log {\n  format = "logfmt"\n}', "11:3: `format`"),
    ],
    ids=["state", "workers", "store", "log format"],
)
def test_it_is_refused_where_it_is_written(compiled, tmp_path, gateway, more, told):
    faults = fixed_faults(compiled(), compiled(gateway, more))
    assert faults == (f"{tmp_path}/app.hcl:{told} {ADVICE}",)


def test_what_is_not_written_any_more_is_told_where_it_was(compiled, tmp_path):
    faults = fixed_faults(compiled("workers = 2"), compiled())
    assert faults == (f"{tmp_path}/app.hcl:3:3: `workers` {ADVICE}",)


@pytest.mark.parametrize(
    ("gateway", "more"),
    [
        ("", ""),
        ("workers = 1", ""),
        ('drain = "5s"', ""),
        ("", 'log {\n  level = "debug"\n}'),
        (
            "",
            'host "b.test" {\n  backend = "internal:echo"\n  tls = "off"\n  access { allow = ["public"] }\n}',
        ),
        (
            "",
            'app "cli" {\n  hosts = ["a.test"]\n  secret = "' + "s" * 32 + '"\n  grants = ["credentials"]\n}',
        ),
    ],
    ids=["nothing", "what it was anyway", "the drain", "the log's level", "a host", "an app"],
)
def test_everything_else_may_change(compiled, gateway, more):
    assert fixed_faults(compiled(), compiled(gateway, more)) == ()

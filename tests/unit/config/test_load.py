"""Loading: both dialects of IO, several files, and every fault at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.config.conftest import GOOGLE, Desk
from vestibule.config.compile import compile_config
from vestibule.config.load import examined, load
from vestibule.core.call import Location, SessionCredential
from vestibule.errors import ConfigError

DATA = Path(__file__).parent / "data"
IO_HOST = (DATA / "io-host.hcl").read_text("utf-8")
IO_CALL = (DATA / "io-call.hcl").read_text("utf-8")
IO = (
    IO_HOST.replace("YOUR-HOST-NAME", "demo.example.com")
    .replace("YOUR-CLIENT-ID", "id-1")
    .replace("YOUR-CLIENT-SECRET", "secret-1")
)

NEWER = """
license = "private preview"

calling {
}

ingress "demo.example.com" {
  name    = "googledemo"
  backend = "localhost:3000"
  oauth_client "google" {
    client_id        = "id-1"
    client_secret    = "secret-1"
    authorize_url    = "https://accounts.google.com/o/oauth2/auth"
    access_token_url = "https://accounts.google.com/o/oauth2/token"
    scopes           = ["profile", "email"]
    authorize_parameter {
      name  = "approval_prompt"
      value = "force"
    }
  }
}

calling "google" {
  name     = "Google"
  port     = 4848
  target   = "www.googleapis.com"
  protocol = "http2"
  apply_header "Authorization" {
    secret = "session:google"
  }
  operation "userinfo" {
    method      = "GET"
    path        = "/oauth2/v3/userinfo"
    description = "who it is"
  }
}
"""


@pytest.mark.parametrize(
    "text", [IO + IO_CALL, IO_CALL + IO, NEWER], ids=["printed", "other order", "newer dialect"]
)
def test_both_dialects_of_io_mean_the_same(desk: Desk, text: str) -> None:
    compiled = compile_config(desk.load(text))
    host = compiled.table.hosts[b"demo.example.com"]
    (call,) = compiled.calls
    (applied,) = call.applied
    client = compiled.clients["demo.example.com/google"]
    assert host.title == "googledemo"
    assert dict(host.clients) == {"google": "demo.example.com/google"}
    assert host.sign_in == ()
    assert host.routes[b""].policy.public
    assert str(host.routes[b""].backend.servers[0]) == "http://localhost:3000"
    assert client.client_secret.reveal() == "secret-1"  # type: ignore[attr-defined]
    assert client.authorize_parameters == (("approval_prompt", "force"),)  # type: ignore[attr-defined]
    assert (call.title, str(call.listen), str(call.endpoint)) == (
        "Google",
        "127.0.0.1:4848",
        "grpcs://www.googleapis.com:443" if "http2" in text else "https://www.googleapis.com:443",
    )
    assert (call.authority, call.hosts) == ("www.googleapis.com", {"demo.example.com"})
    assert (applied.location, applied.name.lower(), applied.prefix) == (
        Location.HEADER,
        "authorization",
        "Bearer ",
    )
    assert isinstance(applied.credential, SessionCredential)
    assert applied.credential.clients == {"demo.example.com": "demo.example.com/google"}


def test_what_has_no_effect_in_ios_dialect_is_told(desk: Desk) -> None:
    assert [warning.partition("`")[2] for warning in desk.warnings(NEWER)] == [
        "license` has no effect here: Vestibule needs none",
    ]


def test_blocks_may_be_split_over_files_and_refer_to_each_other(desk: Desk) -> None:
    host = 'host "app.example.com" {\n  backend = "localhost:3000"\n  sign_in = ["google"]\n'
    loaded = desk.load(host + '  access { allow = ["domain:example.com"] }\n}\n', GOOGLE)
    assert loaded.summary == "1 host, 0 routes, 1 identity client, 0 calling interfaces"


def test_the_gateways_own_blocks_may_be_split_but_not_contradict(desk: Desk) -> None:
    host = 'host "a.example" {\n  backend = "localhost:1"\n  access { allow = ["public"] }\n}\n'
    loaded = desk.load('gateway { http = ["127.0.0.1:9000"] }\n', 'gateway { state = "s" }\n', host)
    assert loaded.config.gateway is not None
    assert loaded.config.gateway.state == "s"
    assert desk.faults('gateway { state = "s" }\n', 'gateway { state = "t" }\n', host) == [
        "w.hcl:1:11: `state` stands here twice; the first is at v.hcl:1"
    ]


def test_faults_of_all_files_are_told_at_once_in_order(desk: Desk) -> None:
    faults = desk.faults(
        "gateway { htp = 1 }\nadimn { }\n", 'host "x.example" { bakend = "a:1" }\n', "a = \n"
    )
    assert [fault.split(" ")[0] for fault in faults] == [
        "v.hcl:1:11:",
        "v.hcl:2:1:",
        "w.hcl:1:1:",
        "w.hcl:1:1:",
        "w.hcl:1:20:",
        "x.hcl:1:5:",
    ]


def test_a_file_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load([tmp_path / "none.hcl"], {})
    assert caught.value.faults == (f"{tmp_path}/none.hcl: can't be read: No such file or directory",)


def test_a_byte_order_mark_is_passed_over(desk: Desk) -> None:
    assert desk.faults("\ufeff" + IO) == []


def test_an_empty_configuration_says_what_is_missing(desk: Desk) -> None:
    (fault,) = desk.faults("")
    assert fault.startswith("v.hcl:1:1: there is no host: host ")


def test_no_fault_shows_a_secret(desk: Desk) -> None:
    text = 'secret "s" { value = ["hunter2"] }\nprovider "google" {\n  client_id = ""\n  client_secret = "hunter2"\n}\n'
    assert "hunter2" not in "\n".join(desk.faults(text))


def test_a_secret_is_in_no_repr(desk: Desk) -> None:
    loaded = desk.load(IO.replace("secret-1", "hunter2") + 'secret "s" { value = "hunter3" }\n')
    assert "hunter" not in repr(loaded)
    assert "hunter" not in repr(compile_config(loaded))


@pytest.mark.parametrize(
    ("key", "is_good"),
    [
        ("short", False),
        ("a" * 64, False),
        ("Zm9vYmFyYmF6cXV4MDEyMzQ1Njc4OWFiY2RlZg", True),
        ("Zm9vYmFyYmF6cXV4MDEyMzQ1Njc4OWFiY2RlZg, MDEyMzQ1Njc4OWFiY2RlZmdoaWprbG1ub3BxcnN0dXY=", True),
        ("Zm9vYmFyYmF6cXV4MDEyMzQ1Njc4OWFiY2RlZg,short", False),
        ("," * 40, False),
    ],
    ids=["short", "monotonous", "random", "two", "one of two short", "none"],
)
def test_a_session_key_must_be_hard_to_guess(desk: Desk, key: str, is_good: bool) -> None:
    faults = desk.faults(IO, environ={"VESTIBULE_SESSION_KEY": key})
    assert [fault.partition(":")[0] for fault in faults] == ([] if is_good else ["VESTIBULE_SESSION_KEY"])


def test_two_thousand_routes_are_one_table(desk: Desk) -> None:
    routes = "".join(
        f'  route "/area-{n}/" {{\n    backend = "localhost:{3000 + n}"\n'
        f'    access {{\n      allow = ["email:u{n}@example.com"]\n    }}\n  }}\n'
        for n in range(2000)
    )
    text = f'{GOOGLE}host "a.example" {{\n  backend = "x:1"\n  sign_in = ["google"]\n'
    loaded = desk.load(text + '  access { allow = ["domain:example.com"] }\n' + routes + "}\n")
    host = compile_config(loaded).table.hosts[b"a.example"]
    assert len(host.routes) == 2001
    assert host.depth == 1


def test_a_configuration_with_faults_is_read_as_far_as_it_can_be(tmp_path):
    file = tmp_path / "app.hcl"
    file.write_text(
        'gateway {\n  state = "kept"\n  htpp = []\n}\nhost "a.example" {\n  backend = "localhost:1"\n}\n'
    )
    loaded, faults = examined([file], {})
    assert loaded.config.gateway.state == "kept"
    assert any("htpp" in fault for fault in faults)
    with pytest.raises(ConfigError):
        load([file], {})

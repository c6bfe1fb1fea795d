"""The environment: overrides of a file, and the whole configuration without one."""

from __future__ import annotations

import pytest

from tests.unit.config.conftest import Desk
from vestibule.config.compile import Compiled, compile_config
from vestibule.config.load import load
from vestibule.errors import ConfigError

APP = {
    "VESTIBULE_BACKEND": "localhost:3000",
    "VESTIBULE_PROVIDER_TYPE": "google",
    "VESTIBULE_CLIENT_ID": "id-1",
    "VESTIBULE_CLIENT_SECRET": "hunter2",
    "VESTIBULE_ALLOWED_DOMAINS": "example.com, example.org",
}
HOST = 'host "a.example" {\n  backend = "localhost:1"\n  access { allow = ["public"] }\n}\n'


def compiled(**environ: str) -> Compiled:
    return compile_config(load((), {**APP, **environ}))


def faults(environ: dict[str, str]) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load((), environ)
    return caught.value.faults


def test_one_app_on_this_machine() -> None:
    found = compiled()
    host = found.table.hosts[b"localhost"]
    assert [str(one) for one in found.listeners] == ["127.0.0.1:8000"]
    assert host.sign_in == ("google",)
    assert [rule.text for rule in host.routes[b""].policy.allow] == [
        "domain:example.com",
        "domain:example.org",
    ]
    assert found.clients["google"].client_secret.reveal() == "hunter2"  # type: ignore[attr-defined]


def test_one_app_behind_a_platforms_edge() -> None:
    found = compiled(PORT="10000", VESTIBULE_PUBLIC_URL="https://app.example.com/")
    assert [str(one) for one in found.listeners] == ["0.0.0.0:10000"]
    assert found.table.hosts[b"app.example.com"].base_url == "https://app.example.com"


def test_any_openid_provider_by_its_issuer() -> None:
    found = compiled(VESTIBULE_PROVIDER_TYPE="oidc", VESTIBULE_ISSUER_URL="https://idp.example")
    assert found.clients["oidc"].issuer == "https://idp.example"  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("environ", "rules"),
    [
        ({"VESTIBULE_ALLOWED_DOMAINS": "*"}, ["anyone"]),
        (
            {"VESTIBULE_ALLOWED_DOMAINS": "", "VESTIBULE_ALLOWED_EMAILS": "ann@example.com"},
            ["email:ann@example.com"],
        ),
        ({"VESTIBULE_ALLOWED_EMAILS": "*"}, ["domain:example.com", "domain:example.org", "anyone"]),
    ],
)
def test_who_gets_in_is_written_out(environ: dict[str, str], rules: list[str]) -> None:
    (host,) = compiled(**environ).table.hosts.values()
    assert [rule.text for rule in host.routes[b""].policy.allow] == rules


def test_what_is_missing_is_named_in_one_message() -> None:
    (fault,) = faults({})
    assert fault.startswith(
        "environment: no configuration file is given, and VESTIBULE_BACKEND (the app, host:port), "
    )
    assert all(name in fault for name in (*APP, "VESTIBULE_ALLOWED_EMAILS"))
    (fault,) = faults({**APP, "VESTIBULE_PROVIDER_TYPE": "oidc", "VESTIBULE_CLIENT_ID": ""})
    assert fault == (
        "environment: VESTIBULE_CLIENT_ID (as registered with the provider), "
        "VESTIBULE_ISSUER_URL (the provider's issuer URL) are not set"
    )


def test_nobody_named_is_not_everyone() -> None:
    assert faults({**APP, "VESTIBULE_ALLOWED_DOMAINS": " , "})[0].startswith(
        "VESTIBULE_ALLOWED_DOMAINS: names nobody; `*` must be written to mean everyone"
    )


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"VESTIBULE_BACKEND": "localhost"}, "VESTIBULE_BACKEND: `localhost` is no server"),
        ({"VESTIBULE_PROVIDER_TYPE": "gogle"}, "VESTIBULE_PROVIDER_TYPE: `gogle` is no kind of provider"),
        (
            {"VESTIBULE_ALLOWED_DOMAINS": "ann@example.com"},
            "VESTIBULE_ALLOWED_DOMAINS: `domain:ann@example.com`",
        ),
        ({"PORT": "http"}, "PORT: `127.0.0.1:http` is no address"),
        (
            {"VESTIBULE_PUBLIC_URL": "app.example.com"},
            "VESTIBULE_PUBLIC_URL: `public_url` is scheme and host alone",
        ),
        (
            {"VESTIBULE_ROOT_DOMAIN": "example.com"},
            "VESTIBULE_ROOT_DOMAIN: makes this the auth service of a domain, and VESTIBULE_BACKEND",
        ),
        ({"ROOT_DOMAIN": "example.com"}, "ROOT_DOMAIN: makes this the auth service of a domain, and VEST"),
    ],
)
def test_a_variable_at_fault_is_named(environ: dict[str, str], expected: str) -> None:
    found = faults({**APP, **environ})
    assert any(fault.startswith(expected) for fault in found), found
    assert "hunter2" not in "".join(found)


def test_a_variable_goes_before_the_file(desk: Desk) -> None:
    text = 'gateway {\n  http = ["127.0.0.1:1"]\n  state = "s"\n}\n' + HOST
    environ = {
        "VESTIBULE_GATEWAY_HTTP": "127.0.0.1:9000, [::1]:9000",
        "VESTIBULE_LIFETIMES_SESSION_IDLE": "1h",
        "VESTIBULE_LIFETIMES_INVITATION": "2d",
    }
    found = compile_config(desk.load(text, environ=environ))
    assert [str(one) for one in found.listeners] == ["127.0.0.1:9000", "[::1]:9000"]
    assert found.state == desk.folder / "s"
    assert (found.lifetimes.idle_s, found.lifetimes.invitation_s) == (3600, 2 * 86400)


def test_the_token_that_commands_show_is_no_setting(desk: Desk) -> None:
    assert desk.faults(HOST, environ={"VESTIBULE_ADMIN_TOKEN": "vst_admin_x"}) == []


@pytest.mark.parametrize(
    ("variable", "expected"),
    [
        (
            "VESTIBULE_GATEWAY_HTP",
            "VESTIBULE_GATEWAY_HTP: `gateway` has no attribute `htp`; did you mean `http`?",
        ),
        ("VESTIBULE_GATEWAY_WORKERS", "VESTIBULE_GATEWAY_WORKERS: `workers` is a whole number"),
        ("VESTIBULE_ACME_EMAIL", "VESTIBULE_ACME_EMAIL: is no address"),
        ("VESTIBULE_ADMIN_LISTEN", "VESTIBULE_ADMIN_LISTEN: `x` is no address to listen on"),
    ],
)
def test_an_override_without_effect_is_a_fault(desk: Desk, variable: str, expected: str) -> None:
    (fault,) = desk.faults(HOST, environ={variable: "x"})
    assert fault.startswith(expected)


def test_who_may_use_the_admin_pages_is_taken_from_the_environment_too(desk: Desk) -> None:
    faults = desk.faults(
        HOST, environ={"VESTIBULE_ADMIN_LISTEN": "127.0.0.1:9000", "VESTIBULE_ADMIN_ALLOW": "x"}
    )
    assert any(fault.startswith("VESTIBULE_ADMIN_ALLOW: `x` is no rule") for fault in faults), faults


def test_the_variables_of_the_way_without_a_file_are_told_to_do_nothing_beside_one(desk: Desk) -> None:
    (warning,) = desk.load(HOST, environ={"VESTIBULE_BACKEND": "x:1"}).warnings
    assert warning.startswith("VESTIBULE_BACKEND: has no effect beside a configuration file")


@pytest.mark.parametrize(
    ("variable", "meant"),
    [
        ("VESTIBULE_ALLOWED_DOMAIN", "VESTIBULE_ALLOWED_DOMAINS"),
        ("VESTIBULE_GATEWY_HTTP", ""),
        ("VESTIBULE_NONSENSE_OF_ALL_KINDS", ""),
    ],
)
def test_a_variable_of_ours_that_sets_nothing_is_a_fault(variable, meant):
    with pytest.raises(ConfigError) as raised:
        load([], {variable: "x"})
    (fault,) = [fault for fault in raised.value.faults if fault.startswith(variable)]
    assert "there is no such variable" in fault
    assert meant in fault

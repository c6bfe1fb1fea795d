"""Where spans go: the block's word, else that of the environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from vestibule.config import tracing
from vestibule.config.load import load
from vestibule.core.tracing import Tracing
from vestibule.errors import ConfigError
from vestibule.model import Secret

HOST = 'host "a.localhost" {\n  backend = "internal:echo"\n  access { allow = ["public"] }\n}\n'


def loaded(tmp_path: Path, text: str = "", **environ: str):
    file = tmp_path / "v.hcl"
    file.write_text(HOST + text)
    return load([file], environ)


def test_without_a_word_nothing_is_sent(tmp_path):
    assert loaded(tmp_path).tracing is None


def test_the_block_says_where_with_what_and_how_much(tmp_path):
    text = """tracing {
      endpoint = "http://127.0.0.1:4318"
      sample = 0.1
      header "X-Key" { value = "k" }
    }"""
    expected = Tracing(
        endpoint="http://127.0.0.1:4318/v1/traces", headers=(("X-Key", Secret("k")),), sample=0.1
    )
    assert loaded(tmp_path, text, OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1").tracing == expected


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        pytest.param(
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318/"},
            Tracing(endpoint="http://127.0.0.1:4318/v1/traces"),
            id="for all signals",
        ),
        pytest.param(
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
                "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/in",
            },
            Tracing(endpoint="http://127.0.0.1:4318/in"),
            id="for traces",
        ),
        pytest.param(
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318",
                "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Bearer%20t, x=1",
                "OTEL_TRACES_SAMPLER": "parentbased_traceidratio",
                "OTEL_TRACES_SAMPLER_ARG": "0.25",
                "OTEL_SERVICE_NAME": "door",
            },
            Tracing(
                endpoint="http://127.0.0.1:4318/v1/traces",
                headers=(("authorization", Secret("Bearer t")), ("x", Secret("1"))),
                sample=0.25,
                service_name="door",
            ),
            id="all of it",
        ),
        pytest.param(
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "true"},
            None,
            id="disabled",
        ),
        pytest.param(
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_TRACES_EXPORTER": "none"},
            None,
            id="nowhere",
        ),
    ],
)
def test_the_environment_says_it_as_opentelemetry_has_it(tmp_path, environ, expected):
    assert loaded(tmp_path, **environ).tracing == expected


@pytest.mark.parametrize(
    ("text", "environ", "fault"),
    [
        pytest.param('tracing { endpoint = "127.0.0.1" }', {}, "is no URL of a collector", id="no URL"),
        pytest.param("tracing { sample = 1 }", {}, "endpoint", id="nowhere"),
        pytest.param(
            'tracing {\n endpoint = "http://127.0.0.1:1"\n sample = 10\n}', {}, "from 0 to 1", id="no part"
        ),
        pytest.param(
            "", {"OTEL_EXPORTER_OTLP_ENDPOINT": "nowhere"}, "is no URL of a collector", id="variable"
        ),
        pytest.param(
            "",
            {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1", "OTEL_TRACES_SAMPLER": "mine"},
            "is one of always_on",
            id="sampler",
        ),
        pytest.param(
            "",
            {
                "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1",
                "OTEL_TRACES_SAMPLER": "traceidratio",
                "OTEL_TRACES_SAMPLER_ARG": "nan",
            },
            "from 0 to 1",
            id="share",
        ),
    ],
)
def test_what_is_wrong_is_said(tmp_path, text, environ, fault):
    with pytest.raises(ConfigError) as raised:
        loaded(tmp_path, text, **environ)
    assert any(fault in one for one in raised.value.faults)


@pytest.mark.parametrize(
    ("text", "environ"),
    [
        pytest.param('tracing { endpoint = "http://127.0.0.1:4318" }', {}, id="block"),
        pytest.param("", {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318"}, id="environment"),
    ],
)
def test_without_the_extra_it_is_said_what_to_install(tmp_path, monkeypatch, text, environ):
    monkeypatch.setattr(tracing, "is_installed", lambda: False)
    with pytest.raises(ConfigError) as raised:
        loaded(tmp_path, text, **environ)
    assert any("pip install 'vestibule[otel]'" in one for one in raised.value.faults)


def test_ids_and_paths_on_a_plain_connection_are_warned_of(tmp_path):
    found = loaded(tmp_path, 'tracing { endpoint = "http://collector.example:4318" }')
    assert any("plain http" in one for one in found.warnings)

"""The codes of errors: what the log says, and what people are told."""

from __future__ import annotations

import pytest

from vestibule.errors import (
    ClientError,
    FlowError,
    ProviderInvalid,
    ProviderRefused,
    ProviderUnavailable,
    VestibuleError,
)
from vestibule.fetch import ConnectionFailed


@pytest.mark.parametrize(
    ("error", "code", "public"),
    [
        (ProviderInvalid("x"), "provider_invalid", "provider_invalid"),
        (ProviderInvalid("x", code="id_token_aud"), "id_token_aud", "provider_invalid"),
        (ProviderUnavailable("x", code="provider_timeout"), "provider_timeout", "provider_unavailable"),
        (ConnectionFailed("x"), "connection_failed", "provider_unavailable"),
        (ProviderRefused("access_denied"), "provider_refused", "provider_refused"),
        (ClientError("x", code="not_admitted"), "not_admitted", "not_admitted"),
        (FlowError("x", code="flow_replayed"), "flow_replayed", "flow_replayed"),
    ],
    ids=lambda value: value.code if isinstance(value, VestibuleError) else None,
)
def test_a_fault_of_a_provider_is_told_by_its_family(error: VestibuleError, code: str, public: str) -> None:
    assert (error.code, error.public_code) == (code, public)

"""Signing in by SAML 2.0: requests by redirect or form, answers by form, and a logout that both sides can begin.

What is said to the provider and read of it stands in `saml_exchange`, which is imported where somebody signs in so: a
gateway without SAML never has what reads XML in memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Final

from vestibule.model import Secret, Tokens
from vestibule.protocol import saml
from vestibule.providers.base import Answer, Ending, Finding, Form, SignedIn, Start, Told
from vestibule.providers.kit import Flow
from vestibule.providers.saml_attribute import PRESETS
from vestibule.providers.saml_setting import SamlSettings

if TYPE_CHECKING:
    from vestibule.providers.saml_exchange import Exchange

EXCHANGE: Final = "vestibule.providers.saml_exchange"
"""What is imported, by whoever waits for it least, where somebody signs in so."""


class SamlConfig(SamlSettings, frozen=True, kw_only=True, tag_field="type", tag="saml"):
    """An identity provider that speaks SAML 2.0. What to register there stands at `https://HOST/@ID/metadata`."""

    def open(self) -> Saml:
        """The client; pure, fetches nothing. Raises ValueError for keys that can't be used."""
        return Saml(self)


class Saml:
    """The client: `RedirectLogin` and `SpeaksSaml`."""

    kind: ClassVar[str] = "saml"
    identifies: ClassVar[bool] = True
    keeps: ClassVar[str] = ""
    redirect_url: ClassVar[str] = ""
    default_claims: ClassVar[Mapping[str, str]] = {"groups": PRESETS[""]["groups"]}

    def __init__(self, config: SamlConfig) -> None:
        self._config = config
        own = _signer(config.private_key, config.certificate, "")
        old = _signer(config.old_private_key, config.old_certificate, "old_")
        self._signers = tuple(signer for signer in (own, old) if signer is not None)
        self._made: Exchange | None = None

    @property
    def name(self) -> str:
        """Full name of the client."""
        return self._config.name

    @property
    def title(self) -> str:
        """What the button says."""
        return self._config.title or self._config.name.rpartition("/")[2]

    @property
    def is_trusted(self) -> bool:
        """Whether the operator wrote its configuration."""
        return self._config.is_trusted

    @property
    def email_domains(self) -> tuple[str, ...]:
        """The domains within which it is believed about addresses; empty: it tells none."""
        return self._config.email_domains

    @property
    def relay_states(self) -> tuple[str, ...]:
        """The RelayStates with which the provider may send somebody here unasked."""
        return self._config.idp_initiated

    def start(self, start: Start) -> Flow[str | Form]:
        """Where to send the browser with the request, or what it is to send there. Raises ProviderError."""
        return (yield from self._exchange.start(start))

    def finish(self, answer: Answer) -> Flow[SignedIn]:
        """Who came back. Raises ProviderRefused, ProviderInvalid (`saml_…`), ProviderUnavailable."""
        return (yield from self._exchange.finish(answer))

    def leave(self, tokens: Tokens, now: float) -> Flow[str | Form | None]:
        """Where the browser goes to end the session there, or with what; None where it has no such place."""
        return (yield from self._exchange.leave(tokens, now))

    def logout(self, told: Told) -> Flow[Ending]:
        """What a logout's message says, all of it checked. Raises ProviderError."""
        return (yield from self._exchange.logout(told))

    def metadata(self, redirect_uri: str) -> bytes:
        """What the provider must know of this client, as XML."""
        return self._exchange.metadata(redirect_uri)

    def probe(self, redirect_uri: str, now: float) -> Flow[tuple[Finding, ...]]:
        """What can be found out without a person: the provider's metadata, and where they lead."""
        return (yield from self._exchange.probe(redirect_uri, now))

    @property
    def _exchange(self) -> Exchange:
        if self._made is None:
            from vestibule.providers.saml_exchange import Exchange  # noqa: PLC0415 - lxml comes with it

            self._made = Exchange(self._config, self._signers)
        return self._made


def _signer(key: Secret, certificate: str, prefix: str) -> saml.Signer | None:
    """The key with its certificate; None where there is none. Raises ValueError."""
    if not key:
        return None
    try:
        return saml.signer_of(key.reveal().encode(), certificate.encode())
    except ValueError as exc:
        raise ValueError(f"{prefix}private_key can't be used: {exc}") from None

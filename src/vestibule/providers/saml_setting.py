"""What an operator says of a provider that speaks SAML: where it is, what is asked of it, what it is believed about."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from vestibule.model import Secret
from vestibule.protocol import saml
from vestibule.providers.place import check_url
from vestibule.providers.saml_attribute import PRESETS

NAME_IDS: Final[Mapping[str, str]] = {
    "persistent": saml.PERSISTENT,
    "email": saml.EMAIL,
    "transient": saml.TRANSIENT,
    "unspecified": saml.UNSPECIFIED,
}
_OURS: Final = ("org:", "saml:")
"""What begins issuers that are made here (`core.organisation.issuer_in`)."""
BINDINGS: Final[Mapping[str, str]] = {"redirect": saml.REDIRECT, "post": saml.POST}


class SamlSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a client by SAML is told of its provider, and of what it may believe."""

    name: str
    """Full name of the client: its ID at top level, `HOST/ID` inside a host."""
    title: str = ""
    """What the button says; without it the ID."""
    metadata: str = ""
    """The provider's metadata, as XML: `metadata = "${file("idp.xml")}"`."""
    metadata_url: str = ""
    """Where the provider publishes its metadata: fetched every hour, so that its certificates may roll over."""
    issuer: str = ""
    """The provider's entity ID, where its metadata speak of several. Once it is written, accounts are that provider's
    for every block that writes the same; without it they are this block's alone, whatever the metadata say."""
    entity_id: str = ""
    """Our own entity ID, as registered there. Without it `https://HOST/@ID/metadata`."""
    preset: str = ""
    """Which product it is, for the names of its attributes: `entra`, `okta`, `google`, `keycloak`, `adfs`,
    `shibboleth`."""
    attributes: Mapping[str, str] = {}
    """Which attribute says what: `attributes { groups = "memberOf" }`, by its name or friendly name. What it says is
    `subject` (in place of the NameID), `login`, `name`, `given_name`, `family_name`, `email`, one of the lists
    `groups`, `orgs`, `teams`, `projects`, `repos`, `roles`, or a further claim to keep, by any name. An empty text
    switches one off."""
    email_domains: tuple[str, ...] = ()
    """E-mail domains this provider is believed about; empty: none, since no assertion says that an address was
    verified."""
    name_id: str = "persistent"
    """Which kind of NameID to ask for: `persistent`, `email`, `unspecified` or `transient`. People are known by it, but
    where an attribute is their `subject`; a transient one is another each time."""
    binding: str = ""
    """How requests are sent: `redirect` or `post`. Without it `redirect`, where the provider takes that."""
    private_key: Secret = Secret("")
    """PEM text of our private key, RSA or on a curve: `private_key = "${file("saml.key")}"`. It signs requests and
    logouts, and opens encrypted assertions; without one there is no single logout."""
    certificate: str = ""
    """PEM text of its certificate, which our metadata show."""
    old_private_key: Secret = Secret("")
    """PEM text of the key before: it still opens what is encrypted for it, until the provider has the new one."""
    old_certificate: str = ""
    """PEM text of its certificate."""
    sign_requests: bool = True
    """Sign requests to sign in, where there is a key. Logouts are always signed."""
    require_encryption: bool = False
    """Believe encrypted assertions only."""
    require_signed_assertion: bool = False
    """Believe assertions only that are signed themselves; a signature of the answer around it is not enough."""
    force_authn: bool = False
    """Have people show their credentials at every sign-in (`ForceAuthn`)."""
    login_hint: bool = False
    """Tell the provider who wants to sign in, where a link or the form for the work e-mail said so: as the subject of
    the request (Entra, Keycloak and Okta then fill in their form). Some refuse requests that have one."""
    authn_context: tuple[str, ...] = ()
    """How people must have signed in there, by URIs of authentication contexts; one of them is enough. Asked for, and
    looked for in the answer."""
    idp_initiated: tuple[str, ...] = ()
    """RelayStates with which the provider may send people here unasked: paths or URLs of this site, to which they then
    come. Empty: it may not. Nothing of such an answer is believed: it begins a sign-in here."""
    is_trusted: bool = True
    """False for a row of the database: its URLs must be public."""

    def __post_init__(self) -> None:
        """Raise ValueError for what can't work."""
        if bool(self.metadata) == bool(self.metadata_url):
            raise ValueError('metadata_url = "https://…" or metadata = "${file("idp.xml")}": one of the two')
        check_url("metadata_url", self.metadata_url)
        if self.issuer.startswith(_OURS):
            raise ValueError(
                f"issuer begins with {' or '.join(_OURS)}, as accounts do that are known by other names"
            )
        for name, known in {"preset": PRESETS, "name_id": NAME_IDS, "binding": {"": "", **BINDINGS}}.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is one of {', '.join(filter(None, known))}")
        if any(domain != domain.lower() or "@" in domain or not domain for domain in self.email_domains):
            raise ValueError('email_domains are bare domains in lower case: ["example.com"]')
        self._check_subject()
        self._check_keys()

    @property
    def names(self) -> Mapping[str, str]:
        """Which attribute says what: those of the preset, and what is written over them."""
        return {**PRESETS[self.preset], **self.attributes}

    def _check_subject(self) -> None:
        if self.name_id == "transient" and not self.names.get("subject"):
            raise ValueError('name_id = "transient" is another each time: attributes { subject = "…" }')

    def _check_keys(self) -> None:
        for prefix in ("", "old_"):
            key, certificate = getattr(self, f"{prefix}private_key"), getattr(self, f"{prefix}certificate")
            if bool(key) != bool(certificate):
                raise ValueError(f"{prefix}private_key and {prefix}certificate belong together")
        if self.old_private_key and not self.private_key:
            raise ValueError("old_private_key without a private_key: there is no newer one")
        if self.require_encryption and not self.private_key:
            raise ValueError("require_encryption needs a private_key to open assertions with")

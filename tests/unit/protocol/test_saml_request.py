"""The request that sends somebody to their provider says what was asked for, and nothing else."""

from __future__ import annotations

from pathlib import Path

import onelogin.saml2
import pytest
from lxml import etree

from tests.helpers.saml_idp import ACS, IDP, NOW, NS, SP
from vestibule.protocol.saml import MFA, PASSWORD_PROTECTED, PERSISTENT
from vestibule.protocol.saml_request import AuthnRequest, authn_request


def made(**more) -> etree._Element:
    raw = authn_request(
        AuthnRequest(id="_1", issued_at=NOW, entity_id=SP, destination=f"{IDP}/sso", acs_url=ACS, **more)
    )
    return etree.fromstring(raw)


def test_a_plain_request():
    root = made()
    assert dict(root.attrib) == {
        "ID": "_1",
        "Version": "2.0",
        "IssueInstant": "2027-01-15T08:00:00Z",
        "Destination": f"{IDP}/sso",
        "ProtocolBinding": "urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST",
        "AssertionConsumerServiceURL": ACS,
    }
    assert [etree.QName(child).localname for child in root] == ["Issuer", "NameIDPolicy"]
    assert root.findtext("saml:Issuer", None, NS) == SP
    assert dict(root[1].attrib) == {"AllowCreate": "true"}


def test_everything_that_can_be_asked_for():
    root = made(
        name_id_format=PERSISTENT,
        force_authn=True,
        is_passive=True,
        authn_contexts=(MFA, PASSWORD_PROTECTED),
        comparison="minimum",
        login_hint="alice@corp.example",
    )
    assert (root.get("ForceAuthn"), root.get("IsPassive")) == ("true", "true")
    assert root.findtext("saml:Subject/saml:NameID", None, NS) == "alice@corp.example"
    policy, asked = root.find("samlp:NameIDPolicy", NS), root.find("samlp:RequestedAuthnContext", NS)
    assert policy is not None
    assert asked is not None
    assert policy.get("Format") == PERSISTENT
    assert asked.get("Comparison") == "minimum"
    assert [one.text for one in asked] == [MFA, PASSWORD_PROTECTED]


@pytest.mark.parametrize("hint", ["", "   ", "a\0b", "a\nb", "x" * 1025])
def test_a_hint_that_is_no_name_is_left_out(hint):
    assert made(login_hint=hint).find("saml:Subject", NS) is None


def test_texts_are_escaped():
    root = made(login_hint='<a b="c">&amp;')
    assert root.findtext("saml:Subject/saml:NameID", None, NS) == '<a b="c">&amp;'


def test_the_request_is_as_the_schema_has_it():
    """The schema that python3-saml brings along says so."""
    folder = Path(onelogin.saml2.__file__).parent / "schemas"
    schema = etree.XMLSchema(etree.parse(folder / "saml-schema-protocol-2.0.xsd"))
    for more in (
        {},
        {"force_authn": True, "authn_contexts": (MFA,), "login_hint": "alice", "name_id_format": PERSISTENT},
    ):
        schema.assertValid(made(**more))

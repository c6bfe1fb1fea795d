"""Metadata: what a provider says of itself is taken as far as browsers may be sent there; what we say can be read."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import onelogin.saml2
import pytest
from lxml import etree
from onelogin.saml2.idp_metadata_parser import OneLogin_Saml2_IdPMetadataParser

from tests.helpers.saml_idp import ACS, IDP, MD, NOW, SP, metadata, sign, signer
from vestibule.errors import ProviderInvalid
from vestibule.protocol import saml_metadata
from vestibule.protocol.saml import PERSISTENT, POST, REDIRECT, Endpoint

SLO = '<md:SingleLogoutService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-Redirect" Location="'
WEAK = (
    "MIIBhDCB7qADAgECAgEHMA0GCSqGSIb3DQEBCwUAMA4xDDAKBgNVBAMMA2lkcDAeFw0yMDAxMDEwMDAwMDBaFw0yMDAxMDIwMDAwMDBa"
)


def read(raw: bytes, **more):
    return saml_metadata.identity_provider(raw, now=NOW, **more)


def refused(raw: bytes, **more) -> str:
    with pytest.raises(ProviderInvalid) as caught:
        read(raw, **more)
    return caught.value.code


def federation(*entities: bytes, head: str = "") -> bytes:
    return (
        f'<md:EntitiesDescriptor xmlns:md="{MD}" {head}>'.encode()
        + b"".join(entities)
        + b"</md:EntitiesDescriptor>"
    )


def test_all_that_is_used_is_read():
    one, two = signer("idp"), signer("next")
    found = read(metadata(one, two))
    assert found.entity_id == IDP
    assert found.certificates == (one.certificate, two.certificate)
    assert found.sign_in_url(REDIRECT) == "https://idp.example/sso"
    assert found.sign_in_url(POST) == "https://idp.example/sso/post"
    assert found.sign_in_url("urn:soap") == ""
    assert found.logout_at(REDIRECT) == Endpoint(
        REDIRECT, "https://idp.example/slo", "https://idp.example/slo/answer"
    )
    assert found.logout_at(POST) is None
    assert found.name_id_formats == (PERSISTENT,)
    assert found.wants_signed_requests
    assert (found.valid_until, found.cache_s) == (0.0, 0.0)


def test_a_second_opinion_reads_the_same():
    one = signer("idp")
    theirs = OneLogin_Saml2_IdPMetadataParser.parse(metadata(one))["idp"]
    ours = read(metadata(one))
    assert theirs["entityId"] == ours.entity_id
    assert theirs["singleSignOnService"]["url"] == ours.sign_in_url(REDIRECT)
    assert "".join(theirs["x509cert"].split()) == b64encode(ours.certificates[0]).decode()


def test_one_of_many_is_found_by_its_name():
    other = metadata(
        signer("foreign"), entity_id="https://other.example/saml", change={"_metadata": "_other"}
    )
    raw = federation(metadata(signer("idp")), federation(other))
    assert read(raw, entity_id=IDP).certificates == (signer("idp").certificate,)
    assert read(raw, entity_id="https://other.example/saml").certificates == (signer("foreign").certificate,)
    assert refused(raw) == "saml_metadata_entity"
    assert refused(raw, entity_id="https://third.example/saml") == "saml_metadata_entity"
    assert refused(metadata(signer("idp")), entity_id=IDP + "/") == "saml_metadata_entity"


def test_one_that_stands_there_twice_is_none():
    twin = metadata(signer("foreign"), change={"_metadata": "_twin"})
    assert refused(federation(metadata(signer("idp")), twin), entity_id=IDP) == "saml_metadata_entity"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"IDPSSODescriptor": "SPSSODescriptor"}, "saml_metadata"),
        ({"urn:oasis:names:tc:SAML:2.0:protocol": "urn:oasis:names:tc:SAML:1.1:protocol"}, "saml_metadata"),
        ({"md:EntityDescriptor": "md:Other"}, "saml_metadata"),
        ({f'entityID="{IDP}"': 'entityID=""'}, "saml_metadata"),
        ({'ID="_metadata"': 'validUntil="2027-01-15T08:00:00Z"'}, "saml_metadata_expired"),
        ({'ID="_metadata"': 'validUntil="soon"'}, "saml_shape"),
        ({'use="signing"': 'use="encryption"'}, "saml_metadata_keys"),
        ({"ds:X509Certificate": "ds:X509CRL"}, "saml_metadata_keys"),
        ({'https://idp.example/sso"': 'javascript:alert(1)"'}, "saml_metadata_url"),
        ({"https://idp.example/sso/post": "data:text/html,x"}, "saml_metadata_url"),
        ({'https://idp.example/slo"': 'javascript:alert(1)"'}, "saml_metadata_url"),
        ({"https://idp.example/slo/answer": "javascript:alert(1)"}, "saml_metadata_url"),
        ({'https://idp.example/sso"': 'http://idp.example/sso"'}, "saml_metadata_url"),
        ({'https://idp.example/sso"': 'https://a@idp.example/sso"'}, "saml_metadata_url"),
        ({'https://idp.example/sso"': 'https://idp.example/sso#x"'}, "saml_metadata_url"),
        ({"SingleSignOnService": "Other"}, "saml_metadata_url"),
        ({"<md:NameIDFormat>": "<!DOCTYPE x><md:NameIDFormat>"}, "saml_dtd"),
    ],
)  # fmt: skip
def test_metadata_that_cannot_be_used_are_refused(change, code):
    assert refused(metadata(signer("idp"), change=change)) == code


def test_plain_http_is_for_whoever_asks_for_it():
    raw = metadata(signer("idp"), change={"https://idp.example": "http://idp.example"})
    assert refused(raw) == "saml_metadata_url"
    with pytest.raises(ProviderInvalid):
        read(
            raw.replace(b'http://idp.example/sso"', b'javascript:x"'),
            plain=True,
            entity_id="http://idp.example/saml",
        )
    assert read(raw, plain=True).sign_in_url(REDIRECT) == "http://idp.example/sso"


def test_times_to_keep_are_the_shortest():
    change = {'ID="_metadata"': 'ID="_metadata" validUntil="2027-01-16T08:00:00Z" cacheDuration="PT6H"'}
    raw = federation(
        metadata(signer("idp"), change=change), head='validUntil="2027-01-20T08:00:00Z" cacheDuration="P1D"'
    )
    found = read(raw)
    assert (found.valid_until, found.cache_s) == (NOW + 86400, 21600)


def test_certificates_that_cannot_be_read_count_as_none():
    raw = metadata(signer("idp"), signer("next"))
    first = b64encode(signer("idp").certificate)
    assert read(raw.replace(first, WEAK.encode())).certificates == (signer("next").certificate,)


def test_metadata_are_asked_for_a_signature_where_somebody_must_have_signed():
    root = etree.fromstring(metadata(signer("idp")))
    sign(root, signer("federation"))
    raw = etree.tostring(root)
    assert read(raw, signed_by=(signer("federation").certificate,)).entity_id == IDP
    assert refused(raw, signed_by=(signer("foreign").certificate,)) == "saml_signature"
    assert (
        refused(raw.replace(b"/sso", b"/oss"), signed_by=(signer("federation").certificate,))
        == "saml_signature"
    )
    assert refused(metadata(signer("idp")), signed_by=(signer("federation").certificate,)) == "saml_unsigned"


SCHEMAS = Path(onelogin.saml2.__file__).parent / "schemas"


@pytest.mark.parametrize("full", [False, True])
def test_ours_are_as_the_schema_has_them(full):
    more = (
        {
            "logout_url": "https://app.example/@corp/frontchannel",
            "signing": (signer("sp").certificate, signer("next").certificate),
            "encryption": (signer("sp").certificate,),
            "name_id_format": PERSISTENT,
            "signs_requests": True,
            "wants_signed_assertions": True,
        }
        if full
        else {}
    )
    raw = saml_metadata.service_provider(saml_metadata.ServiceProvider(entity_id=SP, acs_url=ACS, **more))
    root = etree.fromstring(raw)
    etree.XMLSchema(etree.parse(SCHEMAS / "saml-schema-metadata-2.0.xsd")).assertValid(root)
    role = root[0]
    assert root.get("entityID") == SP
    assert role.get("AuthnRequestsSigned") == str(full).lower()
    assert role[-1].get("Location") == ACS
    assert len(role.findall(f"{{{MD}}}KeyDescriptor")) == (3 if full else 0)

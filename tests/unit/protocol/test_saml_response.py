"""A response is believed when everything fits, and each thing that doesn't is refused by its own code."""

from __future__ import annotations

import warnings
from base64 import b64encode
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from cryptography import x509
from lxml import etree
from onelogin.saml2.response import OneLogin_Saml2_Response
from onelogin.saml2.settings import OneLogin_Saml2_Settings

from tests.helpers.saml_idp import (
    ACS,
    IDP,
    NOW,
    NS,
    REQUEST,
    SP,
    at,
    cert_pem,
    key_pem,
    response,
    sign,
    signer,
)
from vestibule.errors import ProviderInvalid, ProviderRefused
from vestibule.protocol.saml import MFA, PASSWORD_PROTECTED, PERSISTENT, NameId
from vestibule.protocol.saml_response import Assertion, Expected, checked, mark_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it imports what defusedxml would rather be rid of
    import minisaml.response

EXPECTED = Expected(
    issuer=IDP,
    entity_id=SP,
    acs_url=ACS,
    request_id=REQUEST,
    certificates=(signer("idp").certificate,),
    now=NOW,
    decryption=(signer("sp"),),
)
GOOD: dict[str, dict[str, Any]] = {
    "assertion signed": {},
    "response signed": {"signs": ("response",)},
    "both signed": {"signs": ("response", "assertion")},
    "assertion encrypted": {"encrypts_for": signer("sp")},
    "response signed around what is encrypted": {"encrypts_for": signer("sp"), "signs": ("response",)},
    "both signed and encrypted": {"encrypts_for": signer("sp"), "signs": ("response", "assertion")},
    "by CBC, and signed around it": {
        "encrypts_for": signer("sp"),
        "signs": ("response", "assertion"),
        "content": "AES256_CBC",
    },
    "by SHA-512": {"method": "RSA_SHA512", "digest": "SHA512"},
    "by SHA-384": {"method": "RSA_SHA384", "digest": "SHA384"},
}


def expected(**more) -> Expected:
    return msgspec.structs.replace(EXPECTED, **more)


def refusal(raw: bytes, **more) -> str:
    with pytest.raises(ProviderInvalid) as caught:
        checked(raw, expected(**more))
    return caught.value.code


@pytest.mark.parametrize("name", GOOD)
def test_a_good_response_is_believed_and_read(name):
    found = checked(response(**GOOD[name]), EXPECTED)
    assert found.name_id == NameId("alice", PERSISTENT)
    assert found.values("urn:oid:mail") == found.values("mail") == ("alice@corp.example",)
    assert found.values("groups") == ("staff", "ops")
    assert found.values("other") == ()
    assert (found.id, found.issuer, found.in_response_to) == ("_assertion-1", IDP, REQUEST)
    assert (found.session_index, found.session_until) == ("s-1", NOW + 36000)
    assert (found.authn_context, found.authn_instant) == (PASSWORD_PROTECTED, NOW - 30)
    assert found.mark == mark_of(IDP, "_assertion-1") != mark_of(IDP + "x", "_assertion-1")
    assert found.until == NOW + 390
    assert "alice" not in repr(found)


@pytest.mark.parametrize("kind", ["p256", "p384", "p521"])
@pytest.mark.parametrize("method", ["ECDSA_SHA256", "ECDSA_SHA384", "ECDSA_SHA512"])
def test_keys_on_curves_sign_as_well(kind, method):
    one = signer("idp", kind)
    assert checked(response(by=one, method=method), expected(certificates=(one.certificate,)))


def test_several_keys_are_known_while_they_roll_over():
    raw = response(by=signer("next"))
    assert refusal(raw) == "saml_signature"
    assert checked(raw, expected(certificates=(signer("idp").certificate, signer("next").certificate)))
    assert refusal(raw, certificates=()) == "saml_signature"


def test_prefixes_that_a_signature_counts_are_counted():
    """OpenSAML's way: `xs` is declared for the signature's sake, and the response's signature doesn't count it."""
    root = etree.fromstring(response(signs=()))
    assertion = root.find("saml:Assertion", NS)
    sign(assertion, signer("idp"), prefixes=("xs", "xsi", "#default"))
    sign(root, signer("idp"))
    assert checked(etree.tostring(root), EXPECTED)


CASES: list[tuple[str, dict[str, str], str]] = [
    ("issuer of both", {IDP: "https://other.example"}, "saml_issuer"),
    ("issuer with a slash", {f"{IDP}<": f"{IDP}/<"}, "saml_issuer"),
    ("destination", {f'Destination="{ACS}"': 'Destination="https://other.example/acs"'}, "saml_destination"),
    ("destination empty", {f'Destination="{ACS}"': 'Destination=""'}, "saml_destination"),
    ("destination in capitals", {f'Destination="{ACS}"': f'Destination="{ACS.upper()}"'}, "saml_destination"),
    ("recipient", {f'Recipient="{ACS}"': 'Recipient="https://other.example/acs"'}, "saml_recipient"),
    ("recipient that only begins so", {f'Recipient="{ACS}"': f'Recipient="{ACS}/x"'}, "saml_recipient"),
    ("no recipient", {f'Recipient="{ACS}"': ""}, "saml_recipient"),
    ("audience", {f"<saml:Audience>{SP}": "<saml:Audience>https://other.example"}, "saml_audience"),
    ("no audience", {f"<saml:Audience>{SP}</saml:Audience>": ""}, "saml_audience"),
    (
        "no restriction",
        {f"<saml:AudienceRestriction><saml:Audience>{SP}</saml:Audience></saml:AudienceRestriction>": ""},
        "saml_audience",
    ),
    (
        "a second restriction to others",
        {
            "</saml:Conditions>": "<saml:AudienceRestriction><saml:Audience>x</saml:Audience>"
            "</saml:AudienceRestriction></saml:Conditions>"
        },
        "saml_audience",
    ),
    ("another request", {REQUEST: "_request-2"}, "saml_in_response_to"),
    (
        "another in the response alone",
        {f'{ACS}" InResponseTo="{REQUEST}"': f'{ACS}" InResponseTo="_2"'},
        "saml_in_response_to",
    ),
    (
        "another in the subject alone",
        {
            f'<saml:SubjectConfirmationData InResponseTo="{REQUEST}"': '<saml:SubjectConfirmationData InResponseTo="_2"'
        },
        "saml_in_response_to",
    ),
    (
        "none in the subject",
        {f'<saml:SubjectConfirmationData InResponseTo="{REQUEST}"': "<saml:SubjectConfirmationData"},
        "saml_in_response_to",
    ),
    ("subject over", {f'NotOnOrAfter="{at(NOW + 300)}"': f'NotOnOrAfter="{at(NOW - 90)}"'}, "saml_expired"),
    (
        "conditions over",
        {f'NotOnOrAfter="{at(NOW + 600)}"': f'NotOnOrAfter="{at(NOW - 90)}"'},
        "saml_expired",
    ),
    ("session over", {at(NOW + 36000): at(NOW - 90)}, "saml_expired"),
    ("conditions not begun", {f'NotBefore="{at(NOW - 60)}"': f'NotBefore="{at(NOW + 91)}"'}, "saml_early"),
    ("subject for ever", {f' NotOnOrAfter="{at(NOW + 300)}"': ""}, "saml_subject"),
    ("made long ago", {at(NOW - 1): at(NOW - 3601)}, "saml_issued"),
    ("made tomorrow", {at(NOW - 1): at(NOW + 91)}, "saml_issued"),
    ("made at no time", {at(NOW - 1): "yesterday"}, "saml_shape"),
    ("signed in tomorrow", {at(NOW - 30): at(NOW + 91)}, "saml_authn_instant"),
    ("version", {'Version="2.0"': 'Version="1.1"'}, "saml_version"),
    ("no bearer", {"cm:bearer": "cm:holder-of-key"}, "saml_subject"),
    ("no name", {">alice<": "><"}, "saml_name_id"),
    ("name with a space", {">alice<": ">alice <"}, "saml_name_id"),
    ("name with a line", {">alice<": ">\nalice<"}, "saml_name_id"),
    ("name with what can't be seen", {">alice<": ">alice\u200b<"}, "saml_name_id"),
    ("name without end", {">alice<": f">{'a' * 1025}<"}, "saml_name_id"),
    ("name in parts", {">alice<": "><saml:x>al</saml:x>ice<"}, "saml_shape"),
    (
        "two names",
        {"<saml:Subject>": "<saml:Subject><saml:NameID>bob</saml:NameID>"},
        "saml_shape",
    ),
    (
        "two subjects",
        {"<saml:Conditions": "<saml:Subject><saml:NameID>bob</saml:NameID></saml:Subject><saml:Conditions"},
        "saml_shape",
    ),
    (
        "two bearers",
        {
            "</saml:Subject>": '<saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer"/></saml:Subject>'
        },
        "saml_subject",
    ),
    (
        "a condition of its own",
        {"</saml:Conditions>": "<saml:Condition/></saml:Conditions>"},
        "saml_condition",
    ),
    ("no statement", {"saml:AuthnStatement": "saml:AuthzDecisionStatement"}, "saml_shape"),
    (
        "advice with an assertion",
        {"<saml:AuthnStatement": "<saml:Advice><saml:Assertion/></saml:Advice><saml:AuthnStatement"},
        "saml_shape",
    ),
    ("an attribute without a name", {'Name="urn:oid:mail"': 'Name=""'}, "saml_shape"),
    (
        "an encrypted attribute",
        {"</saml:AttributeStatement>": "<saml:EncryptedAttribute/></saml:AttributeStatement>"},
        "saml_shape",
    ),
    ("no status", {"samlp:StatusCode": "samlp:Other"}, "saml_shape"),
    ("a status of nobody's", {"status:Success": "status-Success"}, "saml_status"),
]


@pytest.mark.parametrize("signs", [("assertion",), ("response",), ("response", "assertion")], ids="+".join)
@pytest.mark.parametrize(("name", "change", "code"), CASES, ids=[case[0] for case in CASES])
def test_what_does_not_fit_is_refused_though_it_is_signed(name, change, code, signs):
    assert refusal(response(change=change, signs=signs)) == code


def test_two_clocks_may_differ_by_a_minute_and_a_half():
    checked(response(), expected(now=NOW + 389.9))
    assert refusal(response(), now=NOW + 390) == "saml_expired"
    checked(response(), expected(now=NOW - 91))
    assert refusal(response(), now=NOW - 91.1) == "saml_issued"


def test_no_destination_will_do_where_the_response_is_not_signed():
    change = {f' Destination="{ACS}"': ""}
    assert checked(response(change=change), EXPECTED)
    assert refusal(response(change=change, signs=("response",))) == "saml_destination"


def test_what_the_provider_began_answers_no_request():
    begun = {f' InResponseTo="{REQUEST}"': ""}
    assert checked(response(change=begun), expected(request_id="")).in_response_to == ""
    assert refusal(response(change=begun)) == "saml_in_response_to"
    assert refusal(response(), request_id="") == "saml_in_response_to"


def test_how_the_person_signed_in_is_asked_for():
    assert checked(response(), expected(authn_contexts=(MFA, PASSWORD_PROTECTED)))
    assert refusal(response(), authn_contexts=(MFA,)) == "saml_authn_context"
    change = {PASSWORD_PROTECTED: ""}
    assert refusal(response(change=change), authn_contexts=(MFA, PASSWORD_PROTECTED)) == "saml_authn_context"


def test_when_the_person_signed_in_is_asked_for():
    assert checked(response(), expected(authenticated_after=NOW + 60))
    assert refusal(response(), authenticated_after=NOW + 61) == "saml_authn_instant"


def test_signatures_and_encryption_may_be_asked_for():
    assert refusal(response(signs=())) == "saml_unsigned"
    assert refusal(response(signs=("response",)), must_sign_assertion=True) == "saml_unsigned"
    assert checked(response(), expected(must_sign_assertion=True))
    assert refusal(response(), must_encrypt=True) == "saml_plain"
    assert checked(response(encrypts_for=signer("sp")), expected(must_encrypt=True))
    assert refusal(response(encrypts_for=signer("sp"), signs=())) == "saml_unsigned"
    assert refusal(response(encrypts_for=signer("foreign"))) == "saml_encrypted"
    assert refusal(response(encrypts_for=signer("sp")), decryption=()) == "saml_encrypted"


@pytest.mark.parametrize("signs", [("assertion",), ()])
def test_cbc_is_refused_where_nothing_around_it_is_signed(signs):
    raw = response(encrypts_for=signer("sp"), signs=signs, content="AES128_CBC")
    assert refusal(raw) == "saml_encrypted"


@pytest.mark.parametrize("more", [{"wraps": "RSA_PKCS1"}, {"content": "DES3_CBC"}])
def test_weak_ciphers_are_refused_whoever_signed(more):
    assert refusal(response(encrypts_for=signer("sp"), signs=("response",), **more)) == "saml_encrypted"


@pytest.mark.parametrize(
    ("status", "error"),
    [
        ('<samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Requester"/>', "Requester"),
        (
            (
                '<samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Responder"><samlp:StatusCode'
                ' Value="urn:oasis:names:tc:SAML:2.0:status:AuthnFailed"/></samlp:StatusCode>'
            ),
            "AuthnFailed",
        ),
        (
            (
                '<samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Responder"><samlp:StatusCode'
                ' Value="&lt;script&gt;"/></samlp:StatusCode>'
            ),
            "Responder",
        ),
    ],
)
def test_what_the_provider_refuses_is_told_as_its_refusal(status, error):
    change = {'<samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"/>': status}
    for signs in ((), ("response",)):
        with pytest.raises(ProviderRefused) as caught:
            checked(response(change=change, signs=signs), EXPECTED)
        assert caught.value.error == error


def test_a_friendly_name_of_two_attributes_is_nobodys():
    change = {'Name="urn:oid:groups" FriendlyName="groups"': 'Name="urn:oid:other" FriendlyName="mail"'}
    found = checked(response(change=change), EXPECTED)
    assert found.values("mail") == ()
    assert found.values("urn:oid:mail") == ("alice@corp.example",)


def test_values_that_are_elements_count_as_a_name_or_not_at_all():
    change = {">staff<": "><saml:NameID>staff</saml:NameID><", ">ops<": "><saml:x>ops</saml:x><"}
    assert checked(response(change=change), EXPECTED).values("groups") == ("staff",)


def test_a_name_is_read_by_its_name_before_its_friendly_one():
    found = Assertion(
        id="_", issuer="", attributes={"a": ("1",), "b": ("2",)}, friendly={"a": "b"}, mark=b"", until=0
    )
    assert found.values("a") == ("1",)


# -- second opinions on the good ones -------------------------------------------------------------------------------


def onelogin(raw: bytes) -> OneLogin_Saml2_Response:
    sp, idp = signer("sp"), signer("idp")
    settings = OneLogin_Saml2_Settings(
        {
            "strict": True,
            "sp": {
                "entityId": SP,
                "assertionConsumerService": {"url": ACS},
                "x509cert": cert_pem(sp).decode(),
                "privateKey": key_pem(sp.key).decode(),
            },
            "idp": {
                "entityId": IDP,
                "singleSignOnService": {"url": "https://idp.example/sso"},
                "x509cert": cert_pem(idp).decode(),
            },
        }
    )
    return OneLogin_Saml2_Response(settings, b64encode(raw).decode())


REQUEST_DATA = {
    "https": "on",
    "http_host": "app.example",
    "script_name": "/@corp/callback",
    "get_data": {},
    "post_data": {},
}


@pytest.mark.parametrize("name", [name for name, more in GOOD.items() if more.get("content") != "AES256_CBC"])
def test_python3_saml_agrees(name, monkeypatch):
    monkeypatch.setattr("onelogin.saml2.utils.OneLogin_Saml2_Utils.now", lambda: int(NOW))
    raw = response(**GOOD[name])
    theirs, ours = onelogin(raw), checked(raw, EXPECTED)
    assert theirs.is_valid(REQUEST_DATA, REQUEST), theirs.get_error()
    assert ours.name_id is not None
    assert theirs.get_nameid() == ours.name_id.value
    assert {key: tuple(values) for key, values in theirs.get_attributes().items()} == ours.attributes
    assert theirs.get_session_index() == ours.session_index
    assert theirs.get_assertion_id() == ours.id


@pytest.mark.parametrize("name", ["assertion signed", "response signed"])
def test_minisaml_agrees(name):
    """It knows SHA-256 and one signature, so that it is asked about these."""
    lasting = datetime.now(UTC) + timedelta(days=3650)
    change = {at(NOW - 60): "2020-01-01T00:00:00.000Z", at(NOW + 600): at(lasting.timestamp())}
    raw = response(**GOOD[name], change=change)
    ours = checked(raw, EXPECTED)
    theirs = minisaml.response.validate_response(
        data=b64encode(raw),
        certificate=x509.load_der_x509_certificate(signer("idp").certificate),
        expected_audience=SP,
        idp_issuer=IDP,
    )
    assert ours.name_id is not None
    assert (theirs.name_id, theirs.in_response_to) == (ours.name_id.value, REQUEST)
    assert {one.name: tuple(one.values) for one in theirs.attributes} == ours.attributes

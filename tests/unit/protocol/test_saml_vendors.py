"""Responses and metadata as the known providers write them: prefixes, order, extras and white space of their own."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import pytest
from lxml import etree

from tests.helpers.saml_idp import ACS, NOW, NS, REQUEST, SP, at, encrypt, sign, signer
from vestibule.protocol.saml import EMAIL, PERSISTENT, POST, REDIRECT, TRANSIENT, NameId
from vestibule.protocol.saml_metadata import identity_provider
from vestibule.protocol.saml_response import Assertion, Expected, checked

SAML, SAMLP = NS["saml"], NS["samlp"]
BEARER = "urn:oasis:names:tc:SAML:2.0:cm:bearer"
SUCCESS = "urn:oasis:names:tc:SAML:2.0:status:Success"
PPT = "urn:oasis:names:tc:SAML:2.0:ac:classes:PasswordProtectedTransport"
ENTRA_CLAIMS = "http://schemas.xmlsoap.org/ws/2005/05/identity/claims"
MICROSOFT_CLAIMS = "http://schemas.microsoft.com/ws/2008/06/identity/claims"

ENTRA = f"""<samlp:Response ID="_a4958bfd" Version="2.0" IssueInstant="{at(NOW)}" Destination="{ACS}"
  InResponseTo="{REQUEST}" xmlns:samlp="{SAMLP}">
  <Issuer xmlns="{SAML}"> https://sts.windows.net/4b9c/</Issuer>
  <samlp:Status><samlp:StatusCode Value="{SUCCESS}" /></samlp:Status>
  <Assertion ID="_bf9c623d" IssueInstant="{at(NOW)}" Version="2.0" xmlns="{SAML}">
    <Issuer>https://sts.windows.net/4b9c/</Issuer>
    <Subject>
      <NameID Format="{PERSISTENT}">Uz2Pqz1X7pxe</NameID>
      <SubjectConfirmation Method="{BEARER}">
        <SubjectConfirmationData InResponseTo="{REQUEST}" NotOnOrAfter="{at(NOW + 3600)}" Recipient="{ACS}" />
      </SubjectConfirmation>
    </Subject>
    <Conditions NotBefore="{at(NOW - 300)}" NotOnOrAfter="{at(NOW + 3600)}">
      <AudienceRestriction><Audience>{SP}</Audience></AudienceRestriction>
    </Conditions>
    <AttributeStatement>
      <Attribute Name="{ENTRA_CLAIMS}/name"><AttributeValue>alice@corp.example</AttributeValue></Attribute>
      <Attribute Name="{MICROSOFT_CLAIMS}/groups"><AttributeValue>11aa</AttributeValue>
        <AttributeValue>22bb</AttributeValue></Attribute>
    </AttributeStatement>
    <AuthnStatement AuthnInstant="{at(NOW - 600)}" SessionIndex="_bf9c623d">
      <AuthnContext><AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:Password</AuthnContextClassRef>
      </AuthnContext>
    </AuthnStatement>
  </Assertion>
</samlp:Response>"""

OKTA = (
    f'<saml2p:Response Destination="{ACS}" ID="id1" InResponseTo="{REQUEST}" IssueInstant="{at(NOW)}" Version="2.0"'
    f' xmlns:saml2p="{SAMLP}" xmlns:xs="http://www.w3.org/2001/XMLSchema"><saml2:Issuer'
    f' Format="urn:oasis:names:tc:SAML:2.0:nameid-format:entity" xmlns:saml2="{SAML}">http://www.okta.com/exk1</saml2:Issuer>'
    f'<saml2p:Status><saml2p:StatusCode Value="{SUCCESS}"/></saml2p:Status><saml2:Assertion ID="id2"'
    f' IssueInstant="{at(NOW)}" Version="2.0" xmlns:saml2="{SAML}" xmlns:xs="http://www.w3.org/2001/XMLSchema"><saml2:Issuer'
    ' Format="urn:oasis:names:tc:SAML:2.0:nameid-format:entity">http://www.okta.com/exk1</saml2:Issuer><saml2:Subject>'
    f'<saml2:NameID Format="{EMAIL}">alice@corp.example</saml2:NameID><saml2:SubjectConfirmation Method="{BEARER}">'
    f'<saml2:SubjectConfirmationData InResponseTo="{REQUEST}" NotOnOrAfter="{at(NOW + 300)}" Recipient="{ACS}"/>'
    f'</saml2:SubjectConfirmation></saml2:Subject><saml2:Conditions NotBefore="{at(NOW - 300)}"'
    f' NotOnOrAfter="{at(NOW + 300)}"><saml2:AudienceRestriction><saml2:Audience>{SP}</saml2:Audience>'
    f'</saml2:AudienceRestriction></saml2:Conditions><saml2:AuthnStatement AuthnInstant="{at(NOW)}" SessionIndex="{REQUEST}">'
    f"<saml2:AuthnContext><saml2:AuthnContextClassRef>{PPT}</saml2:AuthnContextClassRef></saml2:AuthnContext>"
    '</saml2:AuthnStatement><saml2:AttributeStatement><saml2:Attribute Name="groups"'
    ' NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:unspecified"><saml2:AttributeValue'
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="xs:string">Everyone</saml2:AttributeValue>'
    "</saml2:Attribute></saml2:AttributeStatement></saml2:Assertion></saml2p:Response>"
)

GOOGLE = OKTA.replace("http://www.okta.com/exk1", "https://accounts.google.com/o/saml2?idpid=C01").replace(
    ' xmlns:xs="http://www.w3.org/2001/XMLSchema"', ""
).replace(' xsi:type="xs:string"', ' xmlns:xs="http://www.w3.org/2001/XMLSchema" xsi:type="xs:anyType"')  # fmt: skip

ADFS = ENTRA.replace('Version="2.0" IssueInstant', 'Version="2.0" Consent="urn:oasis:names:tc:SAML:2.0:consent:unspecified" IssueInstant').replace(
    " https://sts.windows.net/4b9c/", "https://sts.windows.net/4b9c/").replace("https://sts.windows.net/4b9c/", "http://adfs.corp.example/adfs/services/trust"
).replace(PERSISTENT, EMAIL)  # fmt: skip

KEYCLOAK = (
    f'<samlp:Response xmlns:samlp="{SAMLP}" xmlns:saml="{SAML}" Destination="{ACS}" ID="ID_5c" InResponseTo="{REQUEST}"'
    f' IssueInstant="{at(NOW)}" Version="2.0"><saml:Issuer>https://kc.example/realms/corp</saml:Issuer><samlp:Status>'
    f'<samlp:StatusCode Value="{SUCCESS}"/></samlp:Status><saml:Assertion xmlns="{SAML}" ID="ID_6d"'
    f' IssueInstant="{at(NOW)}" Version="2.0"><saml:Issuer>https://kc.example/realms/corp</saml:Issuer><saml:Subject>'
    f'<saml:NameID Format="{PERSISTENT}">G-1</saml:NameID><saml:SubjectConfirmation Method="{BEARER}">'
    f'<saml:SubjectConfirmationData InResponseTo="{REQUEST}" NotOnOrAfter="{at(NOW + 58)}" Recipient="{ACS}"/>'
    f'</saml:SubjectConfirmation></saml:Subject><saml:Conditions NotBefore="{at(NOW - 2)}" NotOnOrAfter="{at(NOW + 58)}">'
    f"<saml:AudienceRestriction><saml:Audience>{SP}</saml:Audience></saml:AudienceRestriction><saml:OneTimeUse/>"
    f'</saml:Conditions><saml:AuthnStatement AuthnInstant="{at(NOW)}" SessionIndex="u::c" SessionNotOnOrAfter="{at(NOW + 36000)}">'
    "<saml:AuthnContext><saml:AuthnContextClassRef>urn:oasis:names:tc:SAML:2.0:ac:classes:unspecified"
    "</saml:AuthnContextClassRef></saml:AuthnContext></saml:AuthnStatement><saml:AttributeStatement>"
    + "".join(
        f'<saml:Attribute Name="Role" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:basic"><saml:AttributeValue'
        ' xmlns:xs="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
        f' xsi:type="xs:string">{role}</saml:AttributeValue></saml:Attribute>'
        for role in ("staff", "ops")
    )
    + "</saml:AttributeStatement></saml:Assertion></samlp:Response>"
)

SHIBBOLETH = (
    OKTA.replace("http://www.okta.com/exk1", "https://idp.uni.example/idp/shibboleth")
    .replace(f'<saml2:NameID Format="{EMAIL}">alice@corp.example',
             f'<saml2:NameID Format="{TRANSIENT}" NameQualifier="https://idp.uni.example/idp/shibboleth" SPNameQualifier="{SP}">AAdz')
    .replace("<saml2:SubjectConfirmationData ", '<saml2:SubjectConfirmationData Address="192.0.2.7" ')
    .replace("<saml2:AuthnContext>", '<saml2:SubjectLocality Address="192.0.2.7"/><saml2:AuthnContext>')
    .replace('<saml2:Attribute Name="groups"', '<saml2:Attribute FriendlyName="eduPersonTargetedID"'
             ' Name="urn:oid:1.3.6.1.4.1.5923.1.1.1.10" NameFormat="urn:oasis:names:tc:SAML:2.0:attrname-format:uri">'
             f'<saml2:AttributeValue><saml2:NameID Format="{PERSISTENT}">opaque</saml2:NameID></saml2:AttributeValue>'
             '</saml2:Attribute><saml2:Attribute Name="groups"')
)  # fmt: skip


def read(
    text: str, issuer: str, *signed: str, prefixes: tuple[str, ...] = (), content: str = ""
) -> Assertion:
    root: Any = etree.fromstring(text)
    assertion = root.find("saml:Assertion", NS)
    if "assertion" in signed:
        sign(assertion, signer("idp"), prefixes=prefixes)
    if content:
        encrypt(assertion, signer("sp"), content=content)
    if "response" in signed:
        sign(root, signer("idp"), prefixes=prefixes)
    expected = Expected(
        issuer=issuer,
        entity_id=SP,
        acs_url=ACS,
        request_id=REQUEST,
        certificates=(signer("idp").certificate,),
        now=NOW,
        decryption=(signer("sp"),),
    )
    return checked(etree.tostring(root), expected)


@pytest.mark.parametrize("signed", [("assertion",), ("response", "assertion"), ("response",)])
def test_entra(signed):
    found = read(ENTRA, "https://sts.windows.net/4b9c/", *signed)
    assert found.name_id == NameId("Uz2Pqz1X7pxe", PERSISTENT)
    assert found.values(f"{MICROSOFT_CLAIMS}/groups") == ("11aa", "22bb")
    assert found.until == NOW + 3690


@pytest.mark.parametrize("content", ["", "AES256_CBC", "AES256_GCM"])
def test_okta(content):
    found = read(OKTA, "http://www.okta.com/exk1", "assertion", "response", prefixes=("xs",), content=content)
    assert found.name_id == NameId("alice@corp.example", EMAIL)
    assert found.values("groups") == ("Everyone",)


def test_google():
    found = read(GOOGLE, "https://accounts.google.com/o/saml2?idpid=C01", "response")
    assert found.values("groups") == ("Everyone",)


def test_adfs():
    found = read(ADFS, "http://adfs.corp.example/adfs/services/trust", "assertion")
    assert found.name_id == NameId("Uz2Pqz1X7pxe", EMAIL)


@pytest.mark.parametrize("content", ["", "AES128_GCM"])
@pytest.mark.parametrize("signed", [("assertion",), ("response", "assertion"), ("response",)])
def test_keycloak(signed, content):
    found = read(KEYCLOAK, "https://kc.example/realms/corp", *signed, content=content)
    assert found.values("Role") == ("staff", "ops")
    assert found.session_index == "u::c"


@pytest.mark.parametrize("content", ["AES128_GCM", "AES128_CBC"])
def test_shibboleth(content):
    found = read(
        SHIBBOLETH, "https://idp.uni.example/idp/shibboleth", "response", prefixes=("xs",), content=content
    )
    assert found.name_id == NameId("AAdz", TRANSIENT, "https://idp.uni.example/idp/shibboleth", SP)
    assert found.values("eduPersonTargetedID") == ("opaque",)


def described(one: str, use: str = ' use="signing"') -> str:
    der = b64encode(signer(one).certificate).decode()
    return (
        f'<KeyDescriptor{use}><ds:KeyInfo xmlns:ds="{NS["ds"]}"><ds:X509Data><ds:X509Certificate>\n{der}\n'
        "</ds:X509Certificate></ds:X509Data></ds:KeyInfo></KeyDescriptor>"
    )


def service(kind: str, binding: str, path: str) -> str:
    return f'<{kind} Binding="{binding}" Location="https://idp.example/{path}"/>'


def test_metadata_of_entra():
    """Roles of other protocols with keys of their own, one address for everything, several keys, signed."""
    roles = "".join(
        f'<RoleDescriptor xmlns:fed="http://docs.oasis-open.org/wsfed/federation/200706"'
        f' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="fed:{kind}"'
        f' protocolSupportEnumeration="http://docs.oasis-open.org/wsfed/federation/200706">{described("foreign")}</RoleDescriptor>'
        for kind in ("SecurityTokenServiceType", "ApplicationServiceType")
    )
    raw = (
        f'<?xml version="1.0" encoding="utf-8"?><EntityDescriptor ID="_e1" entityID="https://sts.windows.net/4b9c/" xmlns="{NS["md"]}">'
        f'{roles}<IDPSSODescriptor protocolSupportEnumeration="{SAMLP}">{described("idp")}{described("next")}'
        f"{service('SingleLogoutService', REDIRECT, 'saml2')}{service('SingleSignOnService', REDIRECT, 'saml2')}"
        f"{service('SingleSignOnService', POST, 'saml2')}</IDPSSODescriptor></EntityDescriptor>"
    )
    root = etree.fromstring(raw.encode())
    sign(root, signer("foreign"))
    found = identity_provider(etree.tostring(root), now=NOW)
    assert found.certificates == (signer("idp").certificate, signer("next").certificate)
    assert found.sign_in_url(POST) == found.sign_in_url(REDIRECT) == "https://idp.example/saml2"


def test_metadata_of_shibboleth():
    """Comments, extensions, a key for both uses, bindings that no browser speaks, an attribute authority."""
    raw = (
        f'<?xml version="1.0" encoding="UTF-8"?>\n<!-- This is example metadata only. -->\n<EntityDescriptor xmlns="{NS["md"]}"'
        ' xmlns:shibmd="urn:mace:shibboleth:metadata:1.0" entityID="https://idp.uni.example/idp/shibboleth">'
        f'<IDPSSODescriptor protocolSupportEnumeration="{SAMLP} urn:oasis:names:tc:SAML:1.1:protocol urn:mace:shibboleth:1.0">'
        '<Extensions><shibmd:Scope regexp="false">uni.example</shibmd:Scope><!-- Fill in --></Extensions>'
        f"<!-- First signing certificate is BackChannel, the Second is FrontChannel -->{described('idp', '')}"
        + described("foreign", ' use="encryption"')
        + f"{service('ArtifactResolutionService', 'urn:oasis:names:tc:SAML:2.0:bindings:SOAP', 'soap')}"
        f"<!-- {service('SingleLogoutService', POST, 'slo')} -->"
        f"{service('SingleSignOnService', 'urn:mace:shibboleth:1.0:profiles:AuthnRequest', 'shib')}"
        f"{service('SingleSignOnService', POST, 'post')}"
        f"{service('SingleSignOnService', 'urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST-SimpleSign', 'simple')}"
        f"{service('SingleSignOnService', REDIRECT, 'redirect')}</IDPSSODescriptor>"
        f'<AttributeAuthorityDescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:1.1:protocol">{described("next")}'
        f"{service('AttributeService', 'urn:oasis:names:tc:SAML:1.0:bindings:SOAP-binding', 'aa')}"
        "</AttributeAuthorityDescriptor></EntityDescriptor>"
    )
    found = identity_provider(raw.encode(), now=NOW)
    assert found.certificates == (signer("idp").certificate,)
    assert found.sign_in_url(REDIRECT) == "https://idp.example/redirect"
    assert found.logout == ()

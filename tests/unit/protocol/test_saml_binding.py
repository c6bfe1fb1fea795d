"""How messages travel: what is sent can be read, what is altered or packed to burst can't."""

from __future__ import annotations

import zlib
from base64 import b64decode, b64encode
from urllib.parse import parse_qs, quote, urlsplit

import pytest
import xmlsec
from lxml import etree
from onelogin.saml2.utils import OneLogin_Saml2_Utils

from tests.helpers.saml_idp import NS, cert_pem, signer
from vestibule.errors import ProviderInvalid
from vestibule.protocol import saml_binding, saml_signature, saml_xml
from vestibule.protocol.saml_binding import check_query, redirected

XML = (
    b'<samlp:LogoutRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol"'
    b' xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion" ID="_1"><saml:Issuer>x</saml:Issuer></samlp:LogoutRequest>'
)


def refused(call, *args, **kwargs) -> str:
    with pytest.raises(ProviderInvalid) as caught:
        call(*args, **kwargs)
    return caught.value.code


def query_of(url: str) -> str:
    return urlsplit(url).query


def deflated(raw: bytes) -> str:
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    return quote(b64encode(packed.compress(raw) + packed.flush()), safe="")


@pytest.mark.parametrize("kind", ["rsa", "p256", "p384", "p521"])
def test_a_signed_redirect_comes_back_and_is_believed(kind):
    one = signer("sp", kind)
    url = saml_binding.redirect_url(
        "https://idp.example/sso?x=1", XML, kind="SAMLRequest", relay_state="a b&c=d", signer=one
    )
    assert url.startswith("https://idp.example/sso?x=1&SAMLRequest=")
    message = redirected(query_of(url))
    assert (message.kind, message.xml, message.relay_state) == ("SAMLRequest", XML, "a b&c=d")
    check_query(message, (signer("foreign").certificate, one.certificate))
    assert refused(check_query, message, (signer("foreign").certificate,)) == "saml_signature"


def test_a_redirect_without_a_signer_is_not_signed():
    url = saml_binding.redirect_url("https://idp.example/sso", XML, kind="SAMLResponse")
    assert set(parse_qs(query_of(url))) == {"SAMLResponse"}
    message = redirected(query_of(url))
    assert message.signature == b""
    assert refused(check_query, message, (signer("sp").certificate,)) == "saml_unsigned"


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        ("RelayState=here", "RelayState=there", "saml_signature"),
        ("RelayState=here&", "", "saml_signature"),
        ("RelayState=here", "RelayState=her%65", "saml_signature"),  # the same text in another spelling
        ("rsa-sha256", "rsa-sha512", "saml_signature"),
        ("rsa-sha256", "ecdsa-sha256", "saml_signature"),
        ("rsa-sha256", "hmac-sha256", "saml_algorithm"),
        (quote("http://www.w3.org/2001/04/xmldsig-more#rsa-sha256", safe=""), quote("http://www.w3.org/2000/09/xmldsig#rsa-sha1", safe=""), "saml_algorithm"),
        ("&SigAlg=", "&sigAlg=", "saml_unsigned"),
        ("&Signature=", "&signature=", "saml_unsigned"),
    ],
)  # fmt: skip
def test_a_redirect_that_was_altered_is_refused(old, new, code):
    one = signer("sp")
    url = saml_binding.redirect_url(
        "https://x.example/", XML, kind="SAMLRequest", relay_state="here", signer=one
    )
    query = query_of(url)
    assert old in query
    assert refused(check_query, redirected(query.replace(old, new)), (one.certificate,)) == code


def test_another_message_in_a_signed_redirect_is_refused():
    one = signer("sp")
    url = saml_binding.redirect_url("https://x.example/", XML, kind="SAMLRequest", signer=one)
    _, _, rest = query_of(url).partition("&")
    other = f"SAMLRequest={deflated(XML.replace(b'_1', b'_2'))}&{rest}"
    assert refused(check_query, redirected(other), (one.certificate,)) == "saml_signature"


def test_a_request_passed_off_as_a_response_is_refused():
    one = signer("sp")
    url = saml_binding.redirect_url("https://x.example/", XML, kind="SAMLRequest", signer=one)
    message = redirected(query_of(url).replace("SAMLRequest=", "SAMLResponse="))
    assert refused(check_query, message, (one.certificate,)) == "saml_signature"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("", "saml_encoding"),
        ("RelayState=x", "saml_encoding"),
        (f"SAMLRequest={deflated(XML)}&SAMLRequest={deflated(XML)}", "saml_encoding"),
        (f"SAMLRequest={deflated(XML)}&SAMLResponse={deflated(XML)}", "saml_encoding"),
        (f"SAMLRequest={deflated(XML)}&RelayState=a&RelayState=b", "saml_encoding"),
        (f"SAMLRequest={deflated(XML)}&SAMLEncoding=urn:other", "saml_encoding"),
        (f"SAMLRequest={deflated(XML)}&RelayState=%ff", "saml_encoding"),
        ("SAMLRequest=***", "saml_encoding"),
        ("SAMLRequest=é", "saml_encoding"),
        ("SAMLRequest=" + quote(b64encode(XML), safe=""), "saml_encoding"),
        ("SAMLRequest=" + quote(b64encode(b64decode(deflated(XML).replace("%2B", "+").replace("%2F", "/").replace("%3D", "="))[:-4]), safe=""), "saml_encoding"),
        ("SAMLRequest=" + quote(b64encode(b64decode(deflated(XML).replace("%2B", "+").replace("%2F", "/").replace("%3D", "=")) + b"more"), safe=""), "saml_encoding"),
        ("SAMLRequest=" + deflated(b"<a>" + b" " * 20_000_000 + b"</a>"), "saml_size"),
        ("SAMLRequest=" + "A" * 70_000, "saml_size"),
    ],
)  # fmt: skip
def test_what_is_no_message_is_refused(query, code):
    assert refused(redirected, query) == code


def test_a_form_carries_the_message_signed_where_it_belongs():
    one = signer("sp")
    form = saml_binding.post_form(
        "https://idp.example/sso", XML, kind="SAMLRequest", relay_state="s", signer=one
    )
    assert form.action == "https://idp.example/sso"
    (key, value), relay = form.fields
    assert (key, relay) == ("SAMLRequest", ("RelayState", "s"))
    root = saml_xml.parse(saml_binding.posted(value), max_bytes=100_000)
    assert [etree.QName(child).localname for child in root] == ["Issuer", "Signature"]
    assert saml_signature.signed_bytes(root, (one.certificate,)) == saml_xml.canonical(etree.fromstring(XML))


@pytest.mark.parametrize("kind", ["rsa", "p256", "p384", "p521"])
def test_libxmlsec_believes_a_signed_form(kind):
    one = signer("sp", kind)
    form = saml_binding.post_form("https://idp.example/sso", XML, kind="SAMLRequest", signer=one)
    root = etree.fromstring(b64decode(form.fields[0][1]))
    xmlsec.tree.add_ids(root, ["ID"])
    context = xmlsec.SignatureContext()
    context.key = xmlsec.Key.from_memory(cert_pem(one), xmlsec.constants.KeyDataFormatCertPem)
    context.verify(root.find("ds:Signature", NS))


def test_python3_saml_believes_a_signed_redirect():
    one = signer("sp")
    url = saml_binding.redirect_url(
        "https://idp.example/sso", XML, kind="SAMLRequest", relay_state="a b", signer=one
    )
    signed, _, _ = query_of(url).partition("&Signature=")
    assert OneLogin_Saml2_Utils.validate_binary_sign(
        signed,
        b64decode(parse_qs(query_of(url))["Signature"][0]),
        cert_pem(one).decode(),
        parse_qs(query_of(url))["SigAlg"][0],
    )


def test_a_form_without_a_signer_carries_it_as_it_is():
    form = saml_binding.post_form("https://idp.example/sso", XML, kind="SAMLResponse")
    assert form.fields == (("SAMLResponse", b64encode(XML).decode()),)


def test_a_field_may_have_broken_lines():
    text = b64encode(XML).decode()
    assert saml_binding.posted("\r\n".join(text[at : at + 76] for at in range(0, len(text), 76))) == XML


@pytest.mark.parametrize(
    ("text", "code"), [("***", "saml_encoding"), ("PGE", "saml_encoding"), ("é", "saml_encoding"), ("A" * 800_000, "saml_size")]
)  # fmt: skip
def test_a_field_that_is_none_is_refused(text, code):
    assert refused(saml_binding.posted, text) == code

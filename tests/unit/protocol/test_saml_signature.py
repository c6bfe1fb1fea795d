"""What is signed is what is read: the octets that were digested, or a refusal by its own code."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from typing import Any

import pytest
from lxml import etree

from tests.helpers.saml_idp import DS, NS, SAML, response, sign, signer
from vestibule.errors import ProviderInvalid
from vestibule.protocol import saml_signature, saml_xml
from vestibule.protocol.saml_signature import signed_bytes

KNOWN = (signer("idp").certificate,)
EXC = "http://www.w3.org/2001/10/xml-exc-c14n#"
MORE = "http://www.w3.org/2001/04/xmldsig-more#"


def assertion(**more: Any) -> Any:
    root = saml_xml.parse(response(**more), max_bytes=100_000)
    return saml_xml.needed(root, SAML, "Assertion")


def again(element: Any) -> Any:
    """Read anew: lxml finds no names that libxmlsec has written."""
    return etree.fromstring(etree.tostring(element))


def refusal(element: Any, certificates: tuple[bytes, ...] = KNOWN) -> str:
    with pytest.raises(ProviderInvalid) as caught:
        signed_bytes(element, certificates)
    return caught.value.code


def find(element: Any, path: str) -> Any:
    found = element.find(path, NS)
    assert found is not None, path
    return found


def added(parent: str, tag: str, **attributes: str) -> Callable[[Any], None]:
    def change(element: Any) -> None:
        etree.SubElement(find(element, parent), f"{{{DS}}}{tag}", attributes)

    return change


def turned(path: str, key: str, value: str) -> Callable[[Any], None]:
    def change(element: Any) -> None:
        find(element, path).set(key, value)

    return change


def told(path: str, value: str) -> Callable[[Any], None]:
    def change(element: Any) -> None:
        find(element, path).text = value

    return change


def gone(path: str) -> Callable[[Any], None]:
    def change(element: Any) -> None:
        found = find(element, path)
        found.getparent().remove(found)

    return change


def moved_last(element: Any) -> None:
    element.append(find(element, "ds:Signature"))


def doubled(path: str) -> Callable[[Any], None]:
    def change(element: Any) -> None:
        found = find(element, path)
        found.addnext(etree.fromstring(etree.tostring(found, with_tail=False)))

    return change


def transform(algorithm: str, at: int = 2) -> Callable[[Any], None]:
    return turned(f"{TRANSFORMS}/ds:Transform[{at}]", "Algorithm", algorithm)


INFO = "ds:Signature/ds:SignedInfo"
REFERENCE = f"{INFO}/ds:Reference"
TRANSFORMS = f"{REFERENCE}/ds:Transforms"
CASES: list[tuple[str, Callable[[Any], None], str]] = [
    ("text altered", told("saml:Subject/saml:NameID", "bob"), "saml_signature"),
    ("attribute altered", turned("saml:AuthnStatement", "SessionIndex", "x"), "saml_signature"),
    ("digest altered", told(f"{REFERENCE}/ds:DigestValue", b64encode(b"x" * 32).decode()), "saml_signature"),
    ("digest empty", told(f"{REFERENCE}/ds:DigestValue", ""), "saml_signature"),
    ("digest of nothing", told(f"{REFERENCE}/ds:DigestValue", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="), "saml_signature"),
    ("digest no base64", told(f"{REFERENCE}/ds:DigestValue", "***"), "saml_signature"),
    ("signature altered", told("ds:Signature/ds:SignatureValue", b64encode(b"x" * 256).decode()), "saml_signature"),
    ("signature empty", told("ds:Signature/ds:SignatureValue", ""), "saml_signature"),
    ("signature of white space", told("ds:Signature/ds:SignatureValue", " \n"), "saml_signature"),
    ("no signature value", gone("ds:Signature/ds:SignatureValue"), "saml_shape"),
    ("no info", gone(INFO), "saml_shape"),
    ("two infos", doubled(INFO), "saml_shape"),
    ("two signatures", doubled("ds:Signature"), "saml_shape"),
    ("an object", added("ds:Signature", "Object"), "saml_shape"),
    ("a manifest", added(INFO, "Manifest"), "saml_shape"),
    ("in another place", moved_last, "saml_shape"),
    ("no reference", gone(REFERENCE), "saml_reference"),
    ("two references", doubled(REFERENCE), "saml_reference"),
    ("reference to nothing", turned(REFERENCE, "URI", ""), "saml_reference"),
    ("reference to another", turned(REFERENCE, "URI", "#_response-1"), "saml_reference"),
    ("reference to a file", turned(REFERENCE, "URI", "file:///etc/passwd"), "saml_reference"),
    ("reference to a server", turned(REFERENCE, "URI", "http://127.0.0.1/x"), "saml_reference"),
    ("reference by xpointer", turned(REFERENCE, "URI", "#xpointer(id('_assertion-1'))"), "saml_reference"),
    ("reference of a type", turned(REFERENCE, "Type", f"{DS}Manifest"), "saml_reference"),
    ("no ID", turned(".", "ID", ""), "saml_reference"),
    ("another ID", turned(".", "ID", "_other"), "saml_reference"),
    ("no transforms", gone(TRANSFORMS), "saml_transform"),
    ("one transform", gone(f"{TRANSFORMS}/ds:Transform[1]"), "saml_transform"),
    ("three transforms", doubled(f"{TRANSFORMS}/ds:Transform[2]"), "saml_transform"),
    ("enveloped twice", transform(f"{DS}enveloped-signature"), "saml_transform"),
    ("by XSLT", transform("http://www.w3.org/TR/1999/REC-xslt-19991116"), "saml_transform"),
    ("by XPath", transform("http://www.w3.org/TR/1999/REC-xpath-19991116"), "saml_transform"),
    ("by XPath filter", transform("http://www.w3.org/2002/06/xmldsig-filter2"), "saml_transform"),
    ("by base64", transform(f"{DS}base64"), "saml_transform"),
    ("inclusive", transform("http://www.w3.org/TR/2001/REC-xml-c14n-20010315"), "saml_transform"),
    ("not enveloped", transform(EXC, 1), "saml_transform"),
    ("something in a transform", added(f"{TRANSFORMS}/ds:Transform[1]", "XPath"), "saml_transform"),
    ("something in the other", added(f"{TRANSFORMS}/ds:Transform[2]", "XPath"), "saml_transform"),
    ("inclusive info", turned(f"{INFO}/ds:CanonicalizationMethod", "Algorithm", "http://www.w3.org/2006/12/xml-c14n11"), "saml_transform"),
    ("an algorithm of nobody's", turned(f"{INFO}/ds:SignatureMethod", "Algorithm", "urn:none"), "saml_algorithm"),
    ("no algorithm", turned(f"{INFO}/ds:SignatureMethod", "Algorithm", ""), "saml_algorithm"),
    ("HMAC of another length", added(f"{INFO}/ds:SignatureMethod", "HMACOutputLength"), "saml_algorithm"),
    *[
        (f"by {uri.rpartition('#')[2]}", turned(f"{INFO}/ds:SignatureMethod", "Algorithm", uri), "saml_algorithm")
        for uri in (f"{DS}rsa-sha1", f"{DS}dsa-sha1", f"{DS}hmac-sha1", f"{MORE}hmac-sha256", f"{MORE}ecdsa-sha1",
                    f"{MORE}rsa-md5", f"{MORE}rsa-sha224", "http://www.w3.org/2009/xmldsig11#dsa-sha256")
    ],
    *[
        (f"digest by {uri.rpartition('#')[2]}", turned(f"{REFERENCE}/ds:DigestMethod", "Algorithm", uri), "saml_algorithm")
        for uri in (f"{DS}sha1", f"{MORE}md5", f"{MORE}sha224", "")
    ],
    ("by another method than it says", turned(f"{INFO}/ds:SignatureMethod", "Algorithm", f"{MORE}rsa-sha512"), "saml_signature"),
    ("by a curve, it says", turned(f"{INFO}/ds:SignatureMethod", "Algorithm", f"{MORE}ecdsa-sha256"), "saml_signature"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "change", "code"), CASES, ids=[case[0] for case in CASES])
def test_a_signature_that_was_altered_is_refused(name, change, code):
    element = assertion()
    change(element)
    assert refusal(element) == code


def test_what_is_given_is_what_was_digested():
    element = assertion()
    digested = signed_bytes(element, KNOWN)
    assert b"Signature" not in digested
    signature = find(element, "ds:Signature")
    signature.getparent().remove(signature)
    assert digested == saml_xml.canonical(element)


def test_what_a_signature_says_of_its_key_is_not_read():
    element = assertion(by=signer("foreign"))
    assert refusal(element) == "saml_signature"
    element = assertion()
    find(element, "ds:Signature/ds:KeyInfo/ds:X509Data/ds:X509Certificate").text = "***"
    assert signed_bytes(element, KNOWN)
    value = etree.SubElement(find(element, "ds:Signature/ds:KeyInfo"), f"{{{DS}}}KeyValue")
    etree.SubElement(value, f"{{{DS}}}DSAKeyValue")
    assert signed_bytes(element, KNOWN)
    gone("ds:Signature/ds:KeyInfo")(element)
    assert signed_bytes(element, KNOWN)


@pytest.mark.parametrize("secret", ["pem", "der"])
def test_a_secret_made_of_the_public_key_signs_nothing(secret):
    element = etree.fromstring(response(signs=())).find("saml:Assertion", NS)
    idp = signer("idp")
    sign(
        element,
        idp,
        method="HMAC_SHA256",
        hmac=idp.certificate if secret == "der" else b64encode(idp.certificate),
    )
    assert refusal(again(element)) == "saml_algorithm"


@pytest.mark.parametrize(
    ("method", "digest"), [("RSA_SHA1", "SHA256"), ("RSA_SHA256", "SHA1"), ("RSA_SHA224", "SHA256")]
)
def test_weak_algorithms_are_refused_by_whomever_signed(method, digest):
    assert refusal(assertion(method=method, digest=digest)) == "saml_algorithm"


def test_what_is_not_signed_is_said_to_be_unsigned():
    assert refusal(assertion(signs=())) == "saml_unsigned"
    assert not saml_signature.is_signed(assertion(signs=()))


def test_a_form_that_has_no_canonical_one_is_refused():
    """libxml2 gives up on relative namespaces; an empty digest of that would fit any document."""
    raw = response(signs=()).replace(
        b"<saml:AttributeStatement>", b'<saml:AttributeStatement xmlns:r="relative" r:x="1">'
    )
    element = etree.fromstring(raw).find("saml:Assertion", NS)
    good = assertion()
    element.insert(1, find(good, "ds:Signature"))
    told(f"{REFERENCE}/ds:DigestValue", "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")(element)
    assert refusal(element) == "saml_signature"


def test_a_list_of_prefixes_is_short():
    element = etree.fromstring(response(signs=())).find("saml:Assertion", NS)
    sign(element, signer("idp"), prefixes=[f"a{number}" for number in range(100)])
    assert refusal(again(element)) == "saml_transform"


def test_no_more_than_a_few_certificates_are_tried():
    others = tuple(signer(f"other-{number}", "p256").certificate for number in range(8))
    assert signed_bytes(assertion(), (*others[:7], *KNOWN))
    assert refusal(assertion(), (*others, *KNOWN)) == "saml_signature"

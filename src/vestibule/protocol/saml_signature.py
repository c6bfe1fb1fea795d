"""XML signatures as SAML has them: enveloped, of one element, about that element (saml-core section 5).

What is believed is the octets that were digested, and nothing else: they are what `signed_bytes` gives, and what the
readers parse anew. The shape is checked first, by this module: one reference, to the element that the signature
stands in; its two transforms; algorithms from a list; then digest and signature by signxml. The key comes from the
configuration or the provider's metadata: what a signature says of its key is dropped unread.
"""

from __future__ import annotations

import binascii
from base64 import b64decode
from collections.abc import Sequence
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from lxml import etree
from signxml.algorithms import DigestAlgorithm, SignatureConstructionMethod, SignatureMethod
from signxml.exceptions import SignXMLException
from signxml.signer import XMLSigner
from signxml.verifier import SignatureConfiguration, VerifyResult, XMLVerifier

from vestibule.protocol import saml_xml
from vestibule.protocol.saml import Signer, refused
from vestibule.protocol.saml_xml import DS, EXC_C14N, Element, attribute, needed

SIGNATURE: Final = saml_xml.name(DS, "Signature")
CERTIFICATES_MAX: Final = 8
"""That are tried, each at the cost of a check: nobody rolls more keys over at once."""
PREFIXES_MAX_CHARS: Final = 256
"""Of the prefixes that a signature counts though nobody uses them: mostly `xs`."""
_ENVELOPED: Final = f"{DS}enveloped-signature"
_C14N: Final = frozenset({EXC_C14N, f"{EXC_C14N}WithComments"})
_SIGNATURES: Final = frozenset(
    {
        SignatureMethod.RSA_SHA256,
        SignatureMethod.RSA_SHA384,
        SignatureMethod.RSA_SHA512,
        SignatureMethod.SHA256_RSA_MGF1,
        SignatureMethod.SHA384_RSA_MGF1,
        SignatureMethod.SHA512_RSA_MGF1,
        SignatureMethod.ECDSA_SHA256,
        SignatureMethod.ECDSA_SHA384,
        SignatureMethod.ECDSA_SHA512,
    }
)
_DIGESTS: Final = frozenset({DigestAlgorithm.SHA256, DigestAlgorithm.SHA384, DigestAlgorithm.SHA512})
_SIGNATURE_URIS: Final = frozenset(str(method.value) for method in _SIGNATURES)
_DIGEST_URIS: Final = frozenset(str(method.value) for method in _DIGESTS)


def is_signed(element: Element) -> bool:
    """True where a signature stands right below the element; whether it holds is not said."""
    return element.find(SIGNATURE) is not None


def signed_bytes(element: Element, certificates: Sequence[bytes]) -> bytes:
    """The canonical octets of this element that one of the certificates' keys has signed, without the signature.

    `certificates`: DER. Raises ProviderInvalid: `saml_unsigned`, `saml_shape`, `saml_reference`, `saml_transform`,
    `saml_algorithm`, `saml_signature`. Spec: XML Signature 1.1 section 3.2, saml-core section 5.4.
    """
    if not is_signed(element):
        raise refused("saml_unsigned")
    _check_shape(element)
    alone = saml_xml.alone(element)  # nothing around it takes part
    for der in certificates[:CERTIFICATES_MAX]:
        found = _verified(alone, x509.load_der_x509_certificate(der))
        if found is None or found.signed_xml is None:
            continue
        root = found.signed_xml
        if root.tag == element.tag and root.get("ID") == element.get("ID") and not is_signed(root):
            return found.signed_data
    raise refused("saml_signature")


def _verified(alone: bytes, certificate: x509.Certificate) -> VerifyResult | None:
    """What was digested; None where this key did not sign it, or anything at all went wrong.

    Threat: a canonicalisation that fails, and a digest of nothing that fits (CVE-2025-66568): empty is none.
    """
    try:
        expected = SignatureConfiguration(
            location="./",
            signature_methods=_SIGNATURES,
            digest_algorithms=_DIGESTS,
            # the certificate only carries the key, so that its own days are not asked about
            verification_time=certificate.not_valid_before_utc,
            ignore_ambiguous_key_info=True,
        )
        found = XMLVerifier().verify(
            alone, x509_cert=certificate, expect_config=expected, id_attribute="ID", validate_schema=False
        )
    except (SignXMLException, InvalidSignature, etree.LxmlError, ValueError):
        return None
    return found if isinstance(found, VerifyResult) and found.signed_data else None


def _check_shape(element: Element) -> None:
    """The signature stands in its place, is about its parent, and has nothing in it that isn't looked at here."""
    signature = needed(element, DS, "Signature")
    before = signature.getprevious()
    is_placed = before is None or (before.tag == saml_xml.name(saml_xml.ASSERTION, "Issuer"))
    if not is_placed or element.index(signature) > 1:
        raise refused("saml_shape", "the signature does not follow the issuer")
    _check_children(signature, ("SignedInfo", "SignatureValue"), optional="KeyInfo")
    _base64(needed(signature, DS, "SignatureValue"))
    info = needed(signature, DS, "SignedInfo")
    if len(saml_xml.children(info, DS, "Reference")) != 1:
        raise refused("saml_reference", "not exactly one reference")
    _check_children(info, ("CanonicalizationMethod", "SignatureMethod", "Reference"))
    _check_c14n(needed(info, DS, "CanonicalizationMethod"))
    method = needed(info, DS, "SignatureMethod")
    if attribute(method, "Algorithm") not in _SIGNATURE_URIS or len(method):
        raise refused("saml_algorithm", attribute(method, "Algorithm")[:100])
    reference = needed(info, DS, "Reference")
    own = attribute(element, "ID")
    if not own or attribute(reference, "URI") != f"#{own}" or attribute(reference, "Type"):
        raise refused("saml_reference")
    _check_children(reference, ("Transforms", "DigestMethod", "DigestValue"), code="saml_transform")
    transforms = needed(reference, DS, "Transforms")
    _check_children(transforms, ("Transform", "Transform"), code="saml_transform")
    first, second = transforms
    if attribute(first, "Algorithm") != _ENVELOPED or len(first):
        raise refused("saml_transform", attribute(first, "Algorithm")[:100])
    _check_c14n(second)
    digest = needed(reference, DS, "DigestMethod")
    if attribute(digest, "Algorithm") not in _DIGEST_URIS or len(digest):
        raise refused("saml_algorithm", attribute(digest, "Algorithm")[:100])
    _base64(needed(reference, DS, "DigestValue"))


def _check_c14n(method: Element) -> None:
    if attribute(method, "Algorithm") not in _C14N:
        raise refused("saml_transform", attribute(method, "Algorithm")[:100])
    if len(method) > 1 or any(
        pair != (EXC_C14N, "InclusiveNamespaces") for pair in saml_xml.elements(method)
    ):
        raise refused("saml_transform", "more than a list of prefixes")
    if len(method) and len(attribute(method[0], "PrefixList")) > PREFIXES_MAX_CHARS:
        raise refused("saml_transform", "too many prefixes")


def _check_children(
    parent: Element, names: Sequence[str], *, optional: str = "", code: str = "saml_shape"
) -> None:
    """Exactly these elements of XML Signature stand below, in this order."""
    found = list(saml_xml.elements(parent))
    if optional and found[-1:] == [(DS, optional)]:
        found.pop()
    if found != [(DS, local) for local in names]:
        raise refused(code, f"{etree.QName(parent).localname} does not hold {', '.join(names)}")


def _base64(element: Element) -> None:
    raw = "".join(saml_xml.text(element).split())
    try:
        is_some = bool(b64decode(raw, validate=True))
    except (binascii.Error, ValueError):
        is_some = False
    if not is_some:
        raise refused("saml_signature", "a digest or signature is no base64")


def sign(root: Element, signer: Signer) -> bytes:
    """The document with an enveloped signature of its root, right behind the issuer, and the certificate beside it."""
    placeholder = etree.Element(SIGNATURE, {"Id": "placeholder"}, nsmap={"ds": DS})
    needed(root, saml_xml.ASSERTION, "Issuer").addnext(placeholder)
    # RSA and every curve here digest by SHA-256 at least: what all providers can check
    is_rsa = isinstance(signer.key, RSAPrivateKey)
    made = XMLSigner(
        method=SignatureConstructionMethod.enveloped,
        signature_algorithm=(SignatureMethod.RSA_SHA256 if is_rsa else SignatureMethod.ECDSA_SHA256),
        digest_algorithm=DigestAlgorithm.SHA256,
        c14n_algorithm=EXC_C14N,
    ).sign(
        root,
        key=signer.key,
        cert=[x509.load_der_x509_certificate(signer.certificate)],
        reference_uri=f"#{attribute(root, 'ID')}",
        id_attribute="ID",
    )
    return etree.tostring(made, encoding="utf-8", xml_declaration=False)

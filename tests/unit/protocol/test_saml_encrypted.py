"""What is encrypted for us opens; weak ciphers, and CBC that nobody has signed, don't."""

from __future__ import annotations

import secrets
from base64 import b64encode

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import MGF1, OAEP, PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from lxml import etree

from tests.helpers.saml_idp import DS, SAML, signer
from vestibule.errors import ProviderInvalid
from vestibule.protocol import saml_xml
from vestibule.protocol.saml_encrypted import decrypted

XENC, XENC11 = "http://www.w3.org/2001/04/xmlenc#", "http://www.w3.org/2009/xmlenc11#"
PLAIN = b"<saml:Assertion ID='_1'>alice</saml:Assertion>"
MGF1P = f'<xenc:EncryptionMethod Algorithm="{XENC}rsa-oaep-mgf1p"/>'


def document(
    plain: bytes = PLAIN, *, content: str = f"{XENC11}aes256-gcm", size: int = 32, method: str = MGF1P,
    padding=None, change=(), beside: bool = False,
) -> bytes:  # fmt: skip
    key, nonce = secrets.token_bytes(size), secrets.token_bytes(12)
    public = x509.load_der_x509_certificate(signer("sp").certificate).public_key()
    assert isinstance(public, RSAPublicKey)
    wrapped = public.encrypt(key, padding or OAEP(MGF1(hashes.SHA1()), hashes.SHA1(), None))
    sealed = nonce + AESGCM(key).encrypt(nonce, plain, None)
    encrypted_key = (
        f"<xenc:EncryptedKey>{method}<xenc:CipherData><xenc:CipherValue>{b64encode(wrapped).decode()}"
        "</xenc:CipherValue></xenc:CipherData></xenc:EncryptedKey>"
    )
    text = (
        f'<saml:EncryptedAssertion xmlns:saml="{SAML}" xmlns:xenc="{XENC}" xmlns:xenc11="{XENC11}" xmlns:ds="{DS}">'
        f'<xenc:EncryptedData Type="{XENC}Element"><xenc:EncryptionMethod Algorithm="{content}"/>'
        f"{'' if beside else f'<ds:KeyInfo>{encrypted_key}</ds:KeyInfo>'}<xenc:CipherData><xenc:CipherValue>\n"
        f"{b64encode(sealed).decode()}\n</xenc:CipherValue></xenc:CipherData></xenc:EncryptedData>"
        f"{encrypted_key if beside else ''}</saml:EncryptedAssertion>"
    )
    for old, new in change:
        assert old in text
        text = text.replace(old, new)
    return text.encode()


def opened(raw: bytes, *names: str, is_signed: bool = False) -> bytes:
    root = saml_xml.parse(raw, max_bytes=100_000)
    return decrypted(root, [signer(name) for name in names or ("sp",)], is_signed=is_signed)


def refused(raw: bytes, *names: str, is_signed: bool = True) -> None:
    with pytest.raises(ProviderInvalid) as caught:
        opened(raw, *names, is_signed=is_signed)
    assert caught.value.code == "saml_encrypted"


@pytest.mark.parametrize(("content", "size"), [("aes128-gcm", 16), ("aes192-gcm", 24), ("aes256-gcm", 32)])
@pytest.mark.parametrize("beside", [False, True])
def test_gcm_opens_and_stands_by_itself(content, size, beside):
    root = etree.fromstring(opened(document(content=f"{XENC11}{content}", size=size, beside=beside)))
    assert (root.tag, root.text) == (f"{{{SAML}}}Assertion", "alice")


@pytest.mark.parametrize(
    ("method", "padding"),
    [
        (f'<ds:DigestMethod Algorithm="{DS}sha1"/>', OAEP(MGF1(hashes.SHA1()), hashes.SHA1(), None)),
        (f'<ds:DigestMethod Algorithm="{XENC}sha256"/>', OAEP(MGF1(hashes.SHA1()), hashes.SHA256(), None)),
        (
            f'<ds:DigestMethod Algorithm="{XENC}sha256"/><xenc11:MGF Algorithm="{XENC11}mgf1sha256"/>',
            OAEP(MGF1(hashes.SHA256()), hashes.SHA256(), None),
        ),
        (
            f'<ds:DigestMethod Algorithm="{XENC}sha512"/><xenc11:MGF Algorithm="{XENC11}mgf1sha384"/>',
            OAEP(MGF1(hashes.SHA384()), hashes.SHA512(), None),
        ),
    ],
)
def test_oaep_opens_with_the_hashes_it_names(method, padding):
    algorithm = f"{XENC11}rsa-oaep" if "MGF" in method else f"{XENC}rsa-oaep-mgf1p"
    method = f'<xenc:EncryptionMethod Algorithm="{algorithm}">{method}</xenc:EncryptionMethod>'
    assert b"alice" in opened(document(method=method, padding=padding))


def test_an_old_key_opens_what_was_on_its_way():
    assert b"alice" in opened(document(), "next", "sp")
    refused(document(), "next")
    refused(document(), "foreign", "idp")


def test_a_key_on_a_curve_opens_nothing():
    with pytest.raises(ProviderInvalid):
        decrypted(saml_xml.parse(document(), max_bytes=100_000), [signer("curve", "p256")], is_signed=True)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (f"{XENC}rsa-oaep-mgf1p", f"{XENC}rsa-1_5"),
        (f"{XENC}rsa-oaep-mgf1p", f"{XENC}kw-aes256"),
        (f"{XENC11}aes256-gcm", f"{XENC}tripledes-cbc"),
        (f"{XENC11}aes256-gcm", f"{XENC11}aes128-gcm"),
        (f"{XENC11}aes256-gcm", f"{XENC}aes256-cbc"),
        (f"{XENC}Element", f"{XENC}Content"),
        ("<xenc:CipherValue>\n", "<xenc:CipherValue>AAAA"),
        ("<xenc:CipherValue>\n", "<xenc:CipherValue>*"),
        ("EncryptedData", "EncryptedOther"),
        ("xenc:CipherValue", "xenc:CipherReference"),
    ],
)
def test_what_is_altered_or_of_another_kind_is_refused(old, new):
    refused(document(change=[(old, new)]))


def test_keys_wrapped_in_the_old_padding_are_refused():
    refused(document(padding=PKCS1v15()))
    refused(document(padding=PKCS1v15(), change=[("rsa-oaep-mgf1p", "rsa-1_5")]))


@pytest.mark.parametrize(
    "plain",
    [b"", b"alice", PLAIN + PLAIN, PLAIN + b"tail", b"text" + PLAIN, PLAIN + b"</place><place>", b"</place>" + PLAIN + b"<place>",
     b"<!DOCTYPE a>" + PLAIN, PLAIN[:-3], b"\xff"],
)  # fmt: skip
def test_what_is_not_one_element_inside_is_refused(plain):
    refused(document(plain))

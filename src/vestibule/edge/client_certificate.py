"""What a client's certificate says of it, once OpenSSL has verified it."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import NameOID

from vestibule.core.tls import ClientCertificate


def client_of(der: bytes, authority: str) -> ClientCertificate:
    """The certificate as a value, good for hosts of this authority. Raises ValueError where it can't be read.

    Threat: a text with a NUL or another control character in it, which would be one name here and another at a
    backend.
    """
    certificate = x509.load_der_x509_certificate(der)
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    others = _others(certificate)
    made = ClientCertificate(
        subject=certificate.subject.rfc4514_string(),
        common_name=str(names[0].value) if len(names) == 1 else "",
        emails=tuple(others.get_values_for_type(x509.RFC822Name)),
        dns_names=tuple(others.get_values_for_type(x509.DNSName)),
        uris=tuple(others.get_values_for_type(x509.UniformResourceIdentifier)),
        serial=f"{certificate.serial_number:x}",
        fingerprint=certificate.fingerprint(SHA256()).hex(),
        authority=authority,
        good_until_at=certificate.not_valid_after_utc.timestamp(),
        der=der,
    )
    for text in (made.subject, made.common_name, *made.emails, *made.dns_names, *made.uris):
        if not text.isprintable():
            raise ValueError("a name in the client's certificate that can't be written")
    return made


def _others(certificate: x509.Certificate) -> x509.SubjectAlternativeName:
    try:
        return certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return x509.SubjectAlternativeName(())

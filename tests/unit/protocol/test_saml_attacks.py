"""Signed documents altered by whoever carries them: each known way is refused, by a code that says what it was.

`evil` stands in what the attacker wrote and `alice` in what the provider signed; nobody is ever signed in as evil.
"""

from __future__ import annotations

import copy
import random
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from lxml import etree

from tests.helpers.saml_idp import (
    ACS,
    DS,
    IDP,
    NOW,
    NS,
    REQUEST,
    SAML,
    SAMLP,
    SP,
    encrypt,
    response,
    sign,
    signer,
)
from vestibule.errors import ProviderInvalid, ProviderRefused
from vestibule.protocol.saml import CODES
from vestibule.protocol.saml_response import Assertion, Expected, checked

EXPECTED = Expected(
    issuer=IDP,
    entity_id=SP,
    acs_url=ACS,
    request_id=REQUEST,
    certificates=(signer("idp").certificate,),
    now=NOW,
    decryption=(signer("sp"),),
)
SIGNED = {"assertion": ("assertion",), "response": ("response",), "both": ("response", "assertion")}


def document(signs: str) -> Any:
    return etree.fromstring(response(signs=SIGNED[signs]))


def refusal(raw: bytes | Any) -> str:
    with pytest.raises(ProviderInvalid) as caught:
        checked(raw if isinstance(raw, bytes) else etree.tostring(raw), EXPECTED)
    assert caught.value.code in CODES
    return caught.value.code


def find(root: Any, path: str) -> Any:
    found = root.find(path, NS)
    assert found is not None, path
    return found


def evil_of(element: Any, own: str = "_evil") -> Any:
    """A copy without signatures, about somebody else."""
    evil = copy.deepcopy(element)
    for signature in evil.findall(f".//{{{DS}}}Signature"):
        signature.getparent().remove(signature)
    find(evil, ".//saml:NameID").text = "evil"
    for inner in evil.iterfind(".//*[@ID]"):
        inner.set("ID", f"_evil{inner.get('ID')}")  # or it would be refused for having twins alone
    if own:
        evil.set("ID", own)
    evil.tail = None
    return evil


def parted(element: Any) -> tuple[Any, Any]:
    """What was signed, without its signature; and the signature."""
    original = copy.deepcopy(element)
    signature = find(original, "ds:Signature")
    original.remove(signature)
    original.tail = signature.tail = None
    return original, signature


def in_signature(root: Any, own: str) -> Any:
    """1 of a response, 6 of an assertion: the original stands inside the signature of the evil one."""

    def wrapped(target: Any) -> Any:
        original, signature = parted(target)
        evil = evil_of(target, own)
        signature.append(original)
        evil.insert(1, signature)
        return evil

    return on_target(root, wrapped)


def beside_signature(root: Any, own: str) -> Any:
    """2 of a response: the original stands beside the signature in the evil one."""

    def wrapped(target: Any) -> Any:
        original, signature = parted(target)
        evil = evil_of(target, own)
        evil.insert(1, original)
        evil.insert(2, signature)
        return evil

    return on_target(root, wrapped)


def before(root: Any, own: str) -> Any:
    """3: the evil assertion stands before the signed one."""
    assertion = find(root, "saml:Assertion")
    assertion.addprevious(evil_of(assertion, own))
    return root


def after(root: Any, own: str) -> Any:
    """3, the other way round."""
    assertion = find(root, "saml:Assertion")
    assertion.addnext(evil_of(assertion, own))
    return root


def around(root: Any, own: str) -> Any:
    """4: the evil assertion holds the signed one."""
    assertion = find(root, "saml:Assertion")
    evil = evil_of(assertion, own)
    root.replace(assertion, evil)
    evil.append(assertion)
    return root


def with_its_signature(root: Any, own: str) -> Any:
    """5: the evil one has the signature, and the original comes last without it."""

    def wrapped(target: Any) -> Any:
        original, signature = parted(target)
        evil = evil_of(target, own)
        evil.insert(1, signature)
        (root if target is not root else evil).append(original)
        return evil

    return on_target(root, wrapped)


def in_extensions(root: Any, own: str) -> Any:
    """7: the evil assertion stands in the extensions."""
    extensions = etree.Element(f"{{{SAMLP}}}Extensions")
    extensions.append(evil_of(find(root, "saml:Assertion"), own))
    find(root, "samlp:Status").addprevious(extensions)
    return root


def in_object(root: Any, own: str) -> Any:
    """8: the original stands in an object of the evil one's signature."""

    def wrapped(target: Any) -> Any:
        original, signature = parted(target)
        evil = evil_of(target, own)
        etree.SubElement(signature, f"{{{DS}}}Object").append(original)
        evil.insert(1, signature)
        return evil

    return on_target(root, wrapped)


def in_status(root: Any, own: str) -> Any:
    """The evil assertion in the status's detail, the signed one where it was."""
    detail = etree.SubElement(find(root, "samlp:Status"), f"{{{SAMLP}}}StatusDetail")
    detail.append(evil_of(find(root, "saml:Assertion"), own))
    return root


def response_around(root: Any, own: str) -> Any:
    """The signed response in the extensions of an evil one."""
    evil = evil_of(root, own)
    extensions = etree.Element(f"{{{SAMLP}}}Extensions")
    extensions.append(copy.deepcopy(root))
    evil.insert(1, extensions)
    return evil


def on_target(root: Any, wrapped: Callable[[Any], Any]) -> Any:
    """The document with what is signed outermost in it wrapped."""
    if root.find("ds:Signature", NS) is not None:
        return wrapped(root)
    assertion = find(root, "saml:Assertion")
    evil = wrapped(assertion)
    root.replace(assertion, evil)
    return root


WRAPPINGS = [
    in_signature, beside_signature, before, after, around, with_its_signature, in_extensions, in_object, in_status,
    response_around,
]  # fmt: skip


@pytest.mark.parametrize("own", ["_evil", "", "_assertion-1", "_response-1"])
@pytest.mark.parametrize("signs", SIGNED)
@pytest.mark.parametrize("wrapping", WRAPPINGS, ids=lambda wrapping: wrapping.__name__)
def test_what_is_wrapped_around_a_signature_is_refused(wrapping, signs, own):
    root = wrapping(document(signs), own)
    assert b"evil" in etree.tostring(root)
    code = refusal(root)
    # two of one ID where the attacker kept it, and else a place where nothing of the kind belongs
    assert code in {"saml_twins", "saml_shape", "saml_reference", "saml_signature"}
    if own == "_evil":
        assert code == "saml_shape"


@pytest.mark.parametrize("signs", SIGNED)
def test_a_reference_turned_to_another_element_is_refused(signs):
    """The signature of another element, moved to where one is looked for."""
    root = document(signs)
    signature = find(root, ".//ds:Signature")
    for reference in root.iter(f"{{{DS}}}Reference"):
        reference.set("URI", "")
    assert signature is not None
    assert refusal(root) == "saml_reference"


def test_a_signature_of_the_response_is_none_of_the_assertion():
    root = document("response")
    signature = find(root, "ds:Signature")
    find(root, "saml:Assertion").insert(1, signature)
    assert refusal(root) == "saml_reference"


def test_a_signed_assertion_cannot_be_told_about_another_response():
    """An assertion signed for another request, service or address, put into a response that fits."""
    for change in ({REQUEST: "_other"}, {SP: "https://other.example"}, {ACS: "https://other.example/acs"}):
        other = find(etree.fromstring(response(change=change)), "saml:Assertion")
        root = etree.fromstring(response(signs=()))
        root.replace(find(root, "saml:Assertion"), other)
        assert refusal(root) in {"saml_in_response_to", "saml_audience", "saml_recipient"}


def test_what_was_signed_once_has_one_mark_however_it_is_sent():
    first = checked(response(), EXPECTED)
    root = document("assertion")
    root.set("ID", "_other")
    again = etree.tostring(root).replace(b"><saml:Issuer", b">\n  <saml:Issuer", 1)
    assert checked(again, EXPECTED).mark == first.mark


INSERTED = {
    "comment in the name": ("alice", "alice<!-- -->.evil", "saml_comment"),
    "comment before the name": (">alice", "><!-- -->alice", "saml_comment"),
    "instruction in the name": ("alice", "al<?x?>ice", "saml_comment"),
    "comment in a signature": ("<ds:SignedInfo", "<!-- --><ds:SignedInfo", "saml_comment"),
    "comment in a digest": ("<ds:DigestValue>", "<ds:DigestValue><!-- -->", "saml_comment"),
    "comment in an attribute": (
        "alice@corp.example",
        "alice@corp.example<!-- -->.evil.example",
        "saml_comment",
    ),
    "CDATA in the name": (">alice<", "><![CDATA[evil]]><", "saml_signature"),
    "entity in the name": (">alice<", ">&alice;<", "saml_xml"),
    "namespace of another": ("<saml:Subject>", '<saml:Subject xmlns:saml="urn:evil">', "saml_signature"),
    "prefix of another": ("<saml:NameID ", '<saml:NameID xmlns="urn:evil" evil="1" ', "saml_signature"),
    "space in the name": (">alice<", ">alice <", "saml_signature"),
    "reference to a character": (">alice<", ">alice&#8203;<", "saml_signature"),
}


@pytest.mark.parametrize("signs", SIGNED)
@pytest.mark.parametrize("name", INSERTED)
def test_what_is_inserted_into_what_was_signed_is_refused(name, signs):
    old, new, code = INSERTED[name]
    raw = response(signs=SIGNED[signs]).decode()
    assert old in raw
    assert refusal(raw.replace(old, new).encode()) == code


@pytest.mark.parametrize(
    ("head", "code"),
    [
        ("<!DOCTYPE x>", "saml_dtd"),
        ('<!DOCTYPE x [<!ENTITY a "alice">]>', "saml_dtd"),
        ('<!DOCTYPE x SYSTEM "http://127.0.0.1/">', "saml_dtd"),
        ("<!DOCTYPE x [<!ATTLIST saml:Assertion ID ID #IMPLIED>]>", "saml_dtd"),
        ("<!-- -->", "saml_comment"),
        ("<?xml-stylesheet href='x'?>", "saml_comment"),
        ('<?xml version="1.0" encoding="ISO-8859-1"?>', "saml_encoding"),
        ('<?xml version="1.1"?>', "saml_encoding"),
    ],
)  # fmt: skip
def test_what_is_put_before_a_signed_document_is_refused(head, code):
    assert refusal(head.encode() + response()) == code


def test_a_declaration_before_it_is_none_of_that():
    assert checked(b'<?xml version="1.0" encoding="UTF-8"?>\n' + response() + b"\n", EXPECTED)


def test_documents_without_end_are_refused():
    assert refusal(response() + b" " * 600_000) == "saml_size"
    deep = response().replace(b"</samlp:Status>", b"<a>" * 400 + b"</a>" * 400 + b"</samlp:Status>")
    assert refusal(deep) == "saml_xml"


def test_whoever_has_the_public_key_encrypts_and_no_more():
    """Anybody can encrypt for us: what is inside counts as if it stood there in the open."""
    root = etree.fromstring(response(signs=()))
    assertion = find(root, "saml:Assertion")
    find(assertion, ".//saml:NameID").text = "evil"
    encrypt(assertion, signer("sp"))
    assert refusal(root) == "saml_unsigned"

    root = etree.fromstring(response(signs=()))
    sign(find(root, "saml:Assertion"), signer("foreign"))
    encrypt(find(root, "saml:Assertion"), signer("sp"))
    assert refusal(root) == "saml_signature"

    root = around(document("assertion"), "_evil")
    encrypt(find(root, "saml:Assertion"), signer("sp"))
    assert refusal(root) == "saml_shape"

    root = in_object(document("assertion"), "_evil")
    encrypt(find(root, "saml:Assertion"), signer("sp"))
    assert refusal(root) == "saml_shape"


def test_an_encrypted_assertion_beside_a_signed_one_is_refused():
    root = document("assertion")
    other = etree.fromstring(response(encrypts_for=signer("sp"), signs=()))
    root.append(find(other, "saml:EncryptedAssertion"))
    assert refusal(root) == "saml_shape"


def test_what_was_encrypted_for_a_signed_response_cannot_be_exchanged():
    root = etree.fromstring(response(encrypts_for=signer("sp"), signs=("response",)))
    other = etree.fromstring(response(encrypts_for=signer("sp"), signs=(), subject="evil"))
    root.replace(find(root, "saml:EncryptedAssertion"), find(other, "saml:EncryptedAssertion"))
    assert refusal(root) == "saml_signature"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"x",
        b"<a/>",
        b"<samlp:Response/>",
        f'<Response xmlns="{SAMLP}"/>'.encode(),
        f'<Assertion xmlns="{SAML}"/>'.encode(),
    ],
)
def test_what_is_no_response_is_refused(raw):
    assert refusal(raw) in {"saml_xml", "saml_shape", "saml_version"}


def test_an_assertion_alone_is_no_response():
    assert refusal(find(document("assertion"), "saml:Assertion")) == "saml_shape"


# -- hundreds of documents, altered at random: the same ones in each run ------------------------------------------

SNIPPETS = [
    b"<!-- -->", b"<?x y?>", b"<![CDATA[evil]]>", b"&lt;", b"&#65;", b"evil", b" ", b"\n", b"\0", b"\xff", b"&evil;", b"<evil/>", b"</evil>",
    b'ID="_evil"', b'xmlns="urn:evil"', b"<saml:Assertion/>", b"<ds:Signature/>", b"<!DOCTYPE a>", b"\xef\xbb\xbf", b"]]>",
]  # fmt: skip


def bytes_altered(raw: bytes, chance: random.Random) -> bytes:
    """A few octets gone, doubled, exchanged or put in."""
    begin = chance.randrange(len(raw))
    end = min(len(raw), begin + chance.choice((1, 1, 2, 8, 64, 400)))
    match chance.randrange(5):
        case 0:
            return raw[:begin] + raw[end:]
        case 1:
            return raw[:end] + raw[begin:]
        case 2:
            return raw[:begin] + bytes([chance.randrange(32, 127)]) + raw[begin + 1 :]
        case 3:
            return raw[:begin] + chance.choice(SNIPPETS) + raw[begin:]
        case _:
            other = chance.randrange(len(raw))
            return raw[:begin] + raw[other : other + end - begin] + raw[end:]


def tree_altered(raw: bytes, chance: random.Random) -> bytes:
    """An element gone, doubled, moved, renamed, or with other words in it."""
    root = etree.fromstring(raw)
    every = list(root.iter("*"))
    one: Any = chance.choice(every[1:])
    parent: Any = one.getparent()
    match chance.randrange(7):
        case 0:
            parent.remove(one)
        case 1:
            one.addnext(copy.deepcopy(one))
        case 2:
            other: Any = chance.choice(every)
            if one not in (other, *other.iterancestors()):
                other.insert(chance.randrange(len(other) + 1), one)
        case 3:
            one.tag = chance.choice(every).tag
        case 4:
            one.text = chance.choice(("evil", "", one.text or "", "alice", b64encode(b"evil").decode()))
        case 5:
            key = chance.choice([*one.attrib, "ID", "evil"])
            one.set(key, chance.choice(("", "evil", "_assertion-1", "_response-1", one.get(key) or "")))
        case _:
            for element in one.iter("*"):
                element.tag = f"{{{chance.choice((SAML, SAMLP, DS))}}}{etree.QName(element).localname}"
    return etree.tostring(root)


def altered(raw: bytes, count: int, seed: int) -> Iterator[bytes]:
    chance = random.Random(seed)
    for _ in range(count):
        made = raw
        for _ in range(chance.choice((1, 1, 1, 2, 3))):
            if chance.random() < 0.4:
                made = bytes_altered(made, chance) if made is raw else made
            else:
                try:
                    made = tree_altered(made, chance)
                except etree.XMLSyntaxError:
                    break
        yield made


@pytest.mark.parametrize("encrypts", [False, True], ids=["plain", "encrypted"])
@pytest.mark.parametrize("signs", SIGNED)
def test_a_document_altered_at_random_says_what_was_signed_or_nothing(signs, encrypts):
    raw = response(signs=SIGNED[signs], encrypts_for=signer("sp") if encrypts else None)
    good = checked(raw, EXPECTED)
    outcomes = [outcome(made) for made in altered(raw, 250, seed=len(signs))]
    codes = [one for one in outcomes if isinstance(one, str)]
    assert set(codes) <= {*CODES, "provider_refused"}
    assert len(codes) > 100
    assert all(one == good for one in outcomes if not isinstance(one, str))


def outcome(raw: bytes) -> Assertion | str:
    """What was read, or the code of the refusal."""
    try:
        return checked(raw, EXPECTED)
    except (ProviderInvalid, ProviderRefused) as exc:
        return exc.code

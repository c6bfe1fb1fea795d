"""Logout by either side: signed, for us, now; anything else ends nobody's session."""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path
from urllib.parse import urlsplit

import onelogin.saml2
import pytest
from lxml import etree

from tests.helpers.saml_idp import IDP, NOW, NS, SP, signer
from vestibule.errors import ProviderInvalid
from vestibule.protocol import saml_binding, saml_logout
from vestibule.protocol.saml import PERSISTENT, NameId
from vestibule.protocol.saml_logout import Expected, LogoutRequest

OURS = "https://app.example/@corp/logout"
EXPECTED = Expected(
    issuer=IDP,
    destination=OURS,
    certificates=(signer("idp").certificate,),
    now=NOW,
    decryption=(signer("sp"),),
)
ALICE = NameId("alice", PERSISTENT, IDP, SP)
GOOD = LogoutRequest(
    id="_1", issued_at=NOW - 1, issuer=IDP, destination=OURS, name_id=ALICE, session_indexes=("s-1", "s-2"), until=NOW + 300
)  # fmt: skip


def sent(xml: bytes, *, binding: str, kind="SAMLRequest", by: str = "idp"):
    one = signer(by) if by else None
    if binding == "redirect":
        url = saml_binding.redirect_url(OURS, xml, kind=kind, relay_state="r", signer=one)
        return saml_binding.redirected(urlsplit(url).query)
    return b64decode(saml_binding.post_form(OURS, xml, kind=kind, signer=one).fields[0][1])


def refusal(call, *args, **kwargs) -> str:
    with pytest.raises(ProviderInvalid) as caught:
        call(*args, **kwargs)
    return caught.value.code


both = pytest.mark.parametrize("binding", ["redirect", "post"])


@both
def test_a_request_says_whose_session_ends(binding):
    found = saml_logout.read_request(sent(saml_logout.logout_request(GOOD), binding=binding), EXPECTED)
    assert found == GOOD
    assert len(found.mark) == 32
    assert found.kept_until == NOW + 390


@both
def test_a_request_that_is_not_signed_by_the_provider_is_refused(binding):
    xml = saml_logout.logout_request(GOOD)
    assert refusal(saml_logout.read_request, sent(xml, binding=binding, by=""), EXPECTED) == "saml_unsigned"
    assert (
        refusal(saml_logout.read_request, sent(xml, binding=binding, by="foreign"), EXPECTED)
        == "saml_signature"
    )


@both
@pytest.mark.parametrize(
    ("old", "new", "code"),
    [
        (IDP + "<", "https://other.example<", "saml_issuer"),
        (OURS, OURS + "/x", "saml_destination"),
        (f'Destination="{OURS}"', "", "saml_destination"),
        ('Version="2.0"', 'Version="1.1"', "saml_version"),
        ("2027-01-15T07:59:59Z", "2027-01-15T06:59:59Z", "saml_issued"),
        ("2027-01-15T07:59:59Z", "2027-01-15T08:01:31Z", "saml_issued"),
        ("2027-01-15T08:05:00Z", "2027-01-15T07:58:30Z", "saml_expired"),
        ("LogoutRequest", "LogoutResponse", "saml_shape"),
        (">alice<", "><", "saml_name_id"),
        (">alice<", "> alice<", "saml_name_id"),
        ("saml:NameID", "saml:BaseID", "saml_shape"),
        ("</samlp:LogoutRequest>", "<saml:NameID>bob</saml:NameID></samlp:LogoutRequest>", "saml_shape"),
    ],
)
def test_a_request_that_does_not_fit_is_refused_though_it_is_signed(binding, old, new, code):
    xml = saml_logout.logout_request(GOOD).decode()
    assert old in xml
    assert (
        refusal(saml_logout.read_request, sent(xml.replace(old, new).encode(), binding=binding), EXPECTED)
        == code
    )


def test_a_signed_form_that_was_altered_is_refused():
    raw = sent(saml_logout.logout_request(GOOD), binding="post")
    assert isinstance(raw, bytes)
    assert refusal(saml_logout.read_request, raw.replace(b">alice<", b">bob<"), EXPECTED) == "saml_signature"
    wrapped = raw.replace(
        b"</samlp:LogoutRequest>",
        b"<samlp:Extensions>" + raw.replace(b'"_1"', b'"_2"') + b"</samlp:Extensions></samlp:LogoutRequest>",
    )
    assert refusal(saml_logout.read_request, wrapped, EXPECTED) == "saml_shape"


def test_a_redirect_is_believed_for_its_query_alone():
    """A signed form's XML, sent in a URL without a signature of the query."""
    raw = sent(saml_logout.logout_request(GOOD), binding="post")
    assert isinstance(raw, bytes)
    for by, code in (("", "saml_unsigned"), ("idp", "saml_shape")):
        assert refusal(saml_logout.read_request, sent(raw, binding="redirect", by=by), EXPECTED) == code


def test_a_message_of_one_kind_is_not_taken_for_the_other():
    xml = saml_logout.logout_request(GOOD)
    message = sent(xml, binding="redirect", kind="SAMLResponse")
    assert refusal(saml_logout.read_request, message, EXPECTED) == "saml_shape"
    assert refusal(saml_logout.read_response, message, EXPECTED, request_id="_1") == "saml_shape"


def test_without_an_end_its_mark_is_kept_as_long_as_it_is_believed():
    request = LogoutRequest(id="_1", issued_at=NOW, issuer=IDP, destination=OURS, name_id=NameId("alice"))
    assert request.kept_until == NOW + 3690
    root = etree.fromstring(saml_logout.logout_request(request))
    assert root.get("NotOnOrAfter") is None
    assert dict(root.find("saml:NameID", NS).attrib) == {}  # type: ignore[union-attr]


def answer(*, success: bool = True, to: str = "_9") -> bytes:
    return saml_logout.logout_response(
        id="_2", issued_at=NOW, issuer=IDP, destination=OURS, in_response_to=to, success=success
    )


@both
@pytest.mark.parametrize("success", [True, False])
def test_an_answer_says_what_came_of_it(binding, success):
    message = sent(answer(success=success), binding=binding, kind="SAMLResponse")
    found = saml_logout.read_response(message, EXPECTED, request_id="_9")
    assert (found.id, found.in_response_to, found.success) == ("_2", "_9", success)
    assert found.status == ("Success" if success else "Responder")


@both
def test_an_answer_to_another_request_is_refused(binding):
    message = sent(answer(to="_8"), binding=binding, kind="SAMLResponse")
    assert refusal(saml_logout.read_response, message, EXPECTED, request_id="_9") == "saml_in_response_to"
    assert refusal(saml_logout.read_response, message, EXPECTED, request_id="") == "saml_in_response_to"
    unsigned = sent(answer(), binding=binding, kind="SAMLResponse", by="")
    assert refusal(saml_logout.read_response, unsigned, EXPECTED, request_id="_9") == "saml_unsigned"


@both
def test_a_logout_that_was_done_in_part_is_no_success(binding):
    inner = '<samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:PartialLogout"/>'
    xml = answer().decode().replace('status:Success"/>', f'status:Success">{inner}</samlp:StatusCode>')
    found = saml_logout.read_response(
        sent(xml.encode(), binding=binding, kind="SAMLResponse"), EXPECTED, request_id="_9"
    )
    assert (found.success, found.status) == (False, "PartialLogout")


def test_messages_are_as_the_schema_has_them():
    folder = Path(onelogin.saml2.__file__).parent / "schemas"
    schema = etree.XMLSchema(etree.parse(folder / "saml-schema-protocol-2.0.xsd"))
    for xml in (saml_logout.logout_request(GOOD), answer(), answer(success=False)):
        schema.assertValid(etree.fromstring(xml))

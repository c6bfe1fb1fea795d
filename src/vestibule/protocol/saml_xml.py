"""XML as SAML messages may have it: one reading, whoever reads it.

Everything that two readers have read differently is refused before anything is believed: document types and entities,
comments and processing instructions (CVE-2017-11427 and its family), IDs that stand there twice, other encodings.
Spec: XML 1.0, Namespaces in XML, saml-core section 1.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, Final

from lxml import etree
from lxml.etree import _Element

from vestibule.protocol.saml import refused

Element = _Element

ASSERTION: Final = "urn:oasis:names:tc:SAML:2.0:assertion"
PROTOCOL: Final = "urn:oasis:names:tc:SAML:2.0:protocol"
METADATA: Final = "urn:oasis:names:tc:SAML:2.0:metadata"
DS: Final = "http://www.w3.org/2000/09/xmldsig#"
XENC: Final = "http://www.w3.org/2001/04/xmlenc#"
XENC11: Final = "http://www.w3.org/2009/xmlenc11#"
EXC_C14N: Final = "http://www.w3.org/2001/10/xml-exc-c14n#"

NAMESPACES_MAX: Final = 32
"""That one element may declare."""
ATTRIBUTES_MAX: Final = 32
"""Of one element."""
ELEMENTS_MAX: Final = 10_000
"""Of a message: a person in thousands of groups has fewer."""

#: all that begins with `<!` and is neither a comment (told apart below) nor CDATA
_DECLARATION_RE: Final = re.compile(rb"<!(?!--|\[CDATA\[)")
_TIME_RE: Final = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,12})?(?:Z|\+00:00)")
_DURATION_RE: Final = re.compile(
    r"P(?=.)(?:(\d{1,4})Y)?(?:(\d{1,4})M)?(?:(\d{1,5})D)?(?:T(?=.)(?:(\d{1,6})H)?(?:(\d{1,7})M)?(?:(\d{1,9})(?:\.\d+)?S)?)?"
)
_HAS_MANY_ATTRIBUTES: Final = etree.XPath(f"boolean(//*[@*[{ATTRIBUTES_MAX + 1}]])")
_HAS_MANY_ELEMENTS: Final = etree.XPath(f"boolean((//*)[{ELEMENTS_MAX + 1}])")
#: ID, Id, id, xml:id and whatever else some reader may take for one
_EVERY_ID: Final = etree.XPath("//@*[translate(local-name(), 'ID', 'id') = 'id']", smart_strings=False)
_UNITS_S: Final = (365 * 86400, 30 * 86400, 86400, 3600, 60, 1)


def parse(xml: bytes, *, max_bytes: int, drops_comments: bool = False) -> Element:
    """The document's root. Raises ProviderInvalid: `saml_size`, `_encoding`, `_dtd`, `_xml`, `_comment`, `_twins`.

    `drops_comments`: as metadata have them; their text is whole then, and nothing of what is dropped was read.
    """
    if len(xml) > max_bytes:
        raise refused("saml_size", f"{len(xml)} bytes")
    try:
        xml.decode("utf-8")
    except UnicodeDecodeError as exc:
        raise refused("saml_encoding") from exc
    if b"\0" in xml:
        raise refused("saml_encoding")
    if _DECLARATION_RE.search(xml):
        raise refused("saml_dtd")
    if any(tag.count(b"xmlns") > NAMESPACES_MAX for tag in xml.split(b"<")):
        raise refused("saml_size", "an element declares too many namespaces")
    try:
        root = etree.fromstring(xml, _parser(drops_comments=drops_comments))
    except (etree.XMLSyntaxError, ValueError) as exc:
        raise refused("saml_xml", type(exc).__name__) from None
    info: Any = root.getroottree().docinfo  # its stubs say that there always is a DTD
    if (info.encoding or "UTF-8").upper() != "UTF-8" or info.xml_version != "1.0":
        raise refused("saml_encoding")
    if info.doctype or info.internalDTD is not None or info.externalDTD is not None:
        raise refused("saml_dtd")
    if root.getprevious() is not None or root.getnext() is not None:
        raise refused("saml_comment")
    if next(root.iter(etree.Comment, etree.ProcessingInstruction, etree.Entity), None) is not None:
        raise refused("saml_comment")
    if not drops_comments:
        _check_many(root)
    if not drops_comments or root.tag == name(METADATA, "EntityDescriptor"):
        _without_twins(root)
    return root


def _parser(*, drops_comments: bool) -> etree.XMLParser:
    """A new one each time: a parser that several threads use waits for itself, and keeps names of what it read."""
    return etree.XMLParser(
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        dtd_validation=False,
        attribute_defaults=False,
        huge_tree=False,
        recover=False,
        collect_ids=False,
        remove_comments=drops_comments,
        remove_pis=drops_comments,
    )


def _check_many(root: Element) -> None:
    """Threat: a document that takes a second of everybody's time, signed by nobody: canonical form is sorted."""
    if _HAS_MANY_ATTRIBUTES(root):
        raise refused("saml_size", "an element has too many attributes")
    if _HAS_MANY_ELEMENTS(root):
        raise refused("saml_size", "it has too many elements")


def _without_twins(root: Element) -> None:
    """Threat: two elements by one ID, of which one reader checks the first and another reads the second."""
    found: Any = _EVERY_ID(root)
    if len(set(found)) != len(found):
        raise refused("saml_twins")


def name(namespace: str, local: str) -> str:
    """The name as lxml spells it."""
    return f"{{{namespace}}}{local}"


def canonical(element: Element) -> bytes:
    """The element by itself in exclusive canonical form, without comments (Exclusive XML Canonicalization 1.0).

    Raises ProviderInvalid `saml_xml` where there is none: libxml2 gives up on relative namespaces.
    """
    try:
        out = etree.tostring(element, method="c14n", exclusive=True, with_comments=False, with_tail=False)
    except (etree.LxmlError, ValueError) as exc:
        raise refused("saml_xml", type(exc).__name__) from None
    if not out:
        raise refused("saml_xml", "it has no canonical form")
    return out


def alone(element: Element) -> bytes:
    """The element as a document of its own, with the namespaces that are in scope where it stands."""
    return etree.tostring(element, encoding="utf-8", with_tail=False, xml_declaration=False)


def children(parent: Element, namespace: str, local: str) -> list[Element]:
    """The elements of this name right below, in order."""
    return parent.findall(name(namespace, local))


def only(parent: Element, namespace: str, local: str) -> Element | None:
    """The one element of this name right below, or None. Raises ProviderInvalid `saml_shape` where there are more."""
    found = children(parent, namespace, local)
    if len(found) > 1:
        raise refused("saml_shape", f"{local} stands there {len(found)} times")
    return found[0] if found else None


def needed(parent: Element, namespace: str, local: str) -> Element:
    """The one element of this name right below. Raises ProviderInvalid `saml_shape` where there isn't exactly one."""
    found = only(parent, namespace, local)
    if found is None:
        raise refused("saml_shape", f"{local} is missing")
    return found


def text(element: Element) -> str:
    """Its text, whole. Raises ProviderInvalid `saml_shape` where elements stand in it."""
    if len(element):
        raise refused("saml_shape", "elements stand where a text belongs")
    return element.text or ""


def uri(element: Element) -> str:
    """Its text without the white space around it, which no URI has."""
    return text(element).strip(" \t\r\n")


def attribute(element: Element, key: str) -> str:
    """The attribute's value; empty where it is missing."""
    return str(element.get(key) or "")


def elements(parent: Element) -> Iterator[tuple[str, str]]:
    """Namespace and local name of each element right below."""
    for child in parent:
        found = etree.QName(child)
        yield found.namespace or "", found.localname


def time_of(written: str) -> float:
    """Seconds since 1970 of an `xs:dateTime` in UTC. Raises ProviderInvalid `saml_shape`. Spec: saml-core 1.3.3."""
    found = _TIME_RE.fullmatch(written)
    if found is None:
        raise refused("saml_shape", "a time is not written in UTC")
    try:
        moment = datetime.fromisoformat(found[1]).replace(tzinfo=UTC)
    except ValueError as exc:
        raise refused("saml_shape", "a time is none") from exc
    return moment.timestamp() + float(found[2] or 0)


def time_text(moment: float) -> str:
    """The time in UTC as SAML writes it, to the second."""
    return datetime.fromtimestamp(int(moment), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def duration_s(written: str) -> float:
    """Seconds of an `xs:duration` as metadata give it, months as 30 days; 0 for what is none."""
    found = _DURATION_RE.fullmatch(written)
    if found is None:
        return 0.0
    return float(sum(int(part or 0) * unit for part, unit in zip(found.groups(), _UNITS_S, strict=True)))

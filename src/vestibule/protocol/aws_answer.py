"""What AWS answers to the calls of `protocol.sts`, and to who takes a role, in XML.

Threat: a document with a type declaration (entities that grow, or lead to files): one that has any is not read.
"""

from __future__ import annotations

import re
from typing import Final
from xml.etree import ElementTree as ET

from vestibule.model import Secret
from vestibule.protocol.arn import Principal, principal_of
from vestibule.protocol.sigv4 import Credentials

ANSWER_MAX_BYTES: Final = 64 * 1024
_CODE_RE: Final = re.compile(rb"<Code>([A-Za-z.]{1,64})</Code>")


def principal_in(body: bytes) -> Principal | None:
    """Who AWS says that signed; None for any other document. Spec: "STS API Reference: GetCallerIdentity"."""
    root = _root(body, "GetCallerIdentityResponse")
    results = _children(root, "GetCallerIdentityResult") if root is not None else []
    if len(results) != 1:
        return None
    principal = principal_of(_text(results[0], "Arn"), _text(results[0], "UserId"))
    if principal is None or principal.account != _text(results[0], "Account"):
        return None
    return principal


def tags_in(body: bytes, instance: str) -> dict[str, str] | None:
    """The tags of this instance; None for any other document. Spec: "EC2 API Reference: DescribeTags"."""
    root = _root(body, "DescribeTagsResponse")
    sets = _children(root, "tagSet") if root is not None else []
    if len(sets) != 1:
        return None
    found: dict[str, str] = {}
    for item in _children(sets[0], "item"):
        if (_text(item, "resourceId"), _text(item, "resourceType")) != (instance, "instance"):
            return None
        found[_text(item, "key")] = _text(item, "value")
    return found


def credentials_in(body: bytes, action: str) -> Credentials | None:
    """What was given to who took a role; None for any other document. Spec: "STS API Reference: Credentials"."""
    root = _root(body, f"{action}Response")
    results = _children(root, f"{action}Result") if root is not None else []
    given = _children(results[0], "Credentials") if len(results) == 1 else []
    if len(given) != 1:
        return None
    key_id, secret, token = (
        _text(given[0], name) for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")
    )
    if not key_id or not secret or not token:
        return None
    return Credentials(key_id=key_id, secret=Secret(secret), token=Secret(token))


def error_in(body: bytes) -> str:
    """The code of an error; empty where there is none."""
    found = _CODE_RE.search(body[:ANSWER_MAX_BYTES])
    return found[1].decode() if found is not None else ""


def _root(body: bytes, name: str) -> ET.Element | None:
    try:
        text = body.decode("utf-8")
        if len(body) > ANSWER_MAX_BYTES or "<!" in text:
            return None
        root = ET.fromstring(text)  # noqa: S314 - nothing is declared in it: looked at above
    except (ValueError, ET.ParseError):
        return None
    return root if _local(root) == name else None


def _children(parent: ET.Element, name: str) -> list[ET.Element]:
    return [child for child in parent if _local(child) == name]


def _text(parent: ET.Element, name: str) -> str:
    """Of the one child of this name; empty where there is none, or several."""
    found = _children(parent, name)
    return (found[0].text or "").strip() if len(found) == 1 and not len(found[0]) else ""


def _local(element: ET.Element) -> str:
    return element.tag.rpartition("}")[2]

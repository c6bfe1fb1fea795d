"""`/@/validate`: nginx's auth_request and HAProxy's Lua. 200, 401 or 403, never a redirect, and nobody reads bodies.

nginx takes any other status for its own failure (500), and drops every header of the answer that its configuration
doesn't name. On a 401 `Location` says where signing in begins.
"""

from __future__ import annotations

from vestibule.errors import BadRequest
from vestibule.protocol.h1 import RequestHead
from vestibule.proxy.forward.question import Asked, all_of, by_forwarded, parts_of, said_by
from vestibule.proxy.refusal import Answer

PATH = b"/@/validate"
_CHALLENGE = b'WWW-Authenticate: Vestibule realm="sign-in"'


def read(head: RequestHead) -> Asked:
    """X-Original-Method and X-Original-URL, or the four X-Forwarded-…, never something of both.

    Raises BadRequest. Threat: an edge that writes one of the two, and hands on the other as the client wrote it.
    """
    said = said_by(head)
    if b"x-original-method" not in said and b"x-original-url" not in said:
        return by_forwarded(head)
    if b"x-forwarded-method" in said or b"x-forwarded-uri" in said:
        raise BadRequest("X-Original-… and X-Forwarded-… both say what is asked about", code="bad_question")
    method, url = all_of(said, b"x-original-method", b"x-original-url")
    authority, target = parts_of(url)
    return Asked(method, target, authority)


def written(status_line: bytes, lines: list[bytes], body: bytes) -> Answer:
    """The refusal in the statuses nginx knows, with one cookie at most; a failure of ours stays one."""
    status, lines = int(status_line[9:12]), _with_one_cookie(lines)
    if status in (302, 303):
        return b"HTTP/1.1 401 Unauthorized", [*lines, _CHALLENGE], b""
    if 400 <= status < 500 and status != 401:
        return b"HTTP/1.1 403 Forbidden", lines, body
    return status_line, lines, body


def _with_one_cookie(lines: list[bytes]) -> list[bytes]:
    """The last of several: nginx hands on one `Set-Cookie`.

    Where a session's cookie came twice, the last one takes back the host's own, which a neighbour planted beside the
    domain's; the domain's is then alone, and is read the next time.
    """
    cookies = [line for line in lines if line[:11].lower() == b"set-cookie:"]
    return [line for line in lines if line not in cookies[:-1]] if len(cookies) > 1 else lines

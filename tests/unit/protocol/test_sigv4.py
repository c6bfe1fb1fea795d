"""Our signatures, beside those of AWS's own library."""

from __future__ import annotations

from datetime import UTC, datetime
from unittest import mock

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as Theirs

from vestibule.model import Secret
from vestibule.protocol import sigv4
from vestibule.protocol.sigv4 import Credentials, signed_headers

NOW = 1_790_000_000.0
KEY_ID = "AKIDEXAMPLE123456789"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
STS = "https://sts.eu-central-1.amazonaws.com"
CALL = "Action=GetCallerIdentity&Version=2011-06-15"


def theirs(method, url, headers, body, token) -> dict[str, str]:
    """What botocore makes of it at the same moment."""
    request = AWSRequest(method=method, url=url, headers=headers, data=body)
    with mock.patch("botocore.auth.get_current_datetime") as moment:
        moment.return_value = datetime.fromtimestamp(NOW, UTC)
        SigV4Auth(Theirs(KEY_ID, SECRET, token), "sts", "eu-central-1").add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


@pytest.mark.parametrize("token", [None, "IQoJb3JpZ2lu+/=="], ids=["a key of one's own", "a session"])
@pytest.mark.parametrize(
    ("method", "url", "headers", "body"),
    [
        ("GET", f"{STS}/?{CALL}", {"X-Vestibule-Server-Id": "auth.example.com"}, b""),
        ("GET", f"{STS}/?Version=2011-06-15&Action=GetCallerIdentity", {}, b""),
        ("POST", f"{STS}/", {"Content-Type": "application/x-www-form-urlencoded"}, CALL.encode()),
        ("GET", f"{STS}/?b=%2F%20c&a=1&a=0&ab=&%C3%A9=~", {"X-B": "two  blanks"}, b""),
        ("GET", f"{STS}/a%20b/c?x=", {"B": "1", "A": "2"}, b""),
    ],
    ids=["a query", "in another order", "a form", "what must be encoded", "a path"],
)
def test_the_signature_is_botocores(method, url, headers, body, token):
    credentials = Credentials(key_id=KEY_ID, secret=Secret(SECRET), token=Secret(token) if token else None)
    ours = signed_headers(
        method, url, headers, body, credentials=credentials, region="eu-central-1", service="sts", now=NOW
    )
    assert ours["authorization"] == theirs(method, url, headers, body, token)["authorization"]


def test_credentials_are_not_shown():
    assert SECRET not in repr(Credentials(key_id=KEY_ID, secret=Secret(SECRET)))
    assert sigv4.ALGORITHM == "AWS4-HMAC-SHA256"

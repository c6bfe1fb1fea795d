"""Requests that were signed by AWS's own library, as they are; and each change that makes one be refused unseen."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from unittest import mock
from urllib.parse import quote

import pytest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from vestibule.protocol.authorization_server import OAuthError
from vestibule.protocol.sts import (
    DESCRIBE_TAGS,
    GET_CALLER_IDENTITY,
    PARTITIONS,
    SUBJECT_MAX_CHARS,
    Shown,
    judged,
    proof_of,
)

NOW = 1_790_000_000.0
KEY_ID = "AKIDEXAMPLE123456789"
HOST = "sts.eu-central-1.amazonaws.com"
CALL = "Action=GetCallerIdentity&Version=2011-06-15"
TAGS = "Action=DescribeTags&Version=2016-11-15&Filter.1.Name=resource-id&Filter.1.Value.1=i-0123456789abcdef0"
FORM = "application/x-www-form-urlencoded"
SERVER = {"X-Vestibule-Server-Id": "auth.example.com"}

Text = dict[str, Any]


def signed(
    auth: Callable[..., Any] = SigV4Auth,
    *,
    method: str = "GET",
    url: str = f"https://{HOST}/?{CALL}",
    headers: dict[str, str] = SERVER,
    body: str = "",
    region: str = "eu-central-1",
    service: str = "sts",
    at: float = NOW,
    token: str | None = "IQoJb3JpZ2lu+/==",
    **more: Any,
) -> Text:
    """A request as botocore signs it at this moment, as it would be shown."""
    request = AWSRequest(method=method, url=url, headers=dict(headers), data=body)
    with mock.patch("botocore.auth.get_current_datetime", return_value=datetime.fromtimestamp(at, UTC)):
        auth(Credentials(KEY_ID, "secret", token), service, region, **more).add_auth(request)
    shown = {"url": request.url, "method": method, "headers": dict(request.headers.items())}
    return {**shown, "body": body} if body else shown


def presigned(**more: Any) -> Text:
    return signed(SigV4QueryAuth, expires=more.pop("expires", 60), **more)


def posted(**more: Any) -> Text:
    headers = {**SERVER, "Content-Type": f"{FORM}; charset=utf-8"}
    return signed(method="POST", url=f"https://{HOST}/", headers=headers, body=CALL, **more)


def judge(shown: Text, call=GET_CALLER_IDENTITY, now: float = NOW):
    return judged(proof_of(json.dumps(shown)).sts, call, now=now)


@pytest.mark.parametrize(
    "shown",
    [
        signed(),
        signed(token=None),
        presigned(),
        presigned(token=None),
        posted(),
        signed(method="POST", url=f"https://{HOST}?{CALL}", headers={**SERVER, "Content-Type": FORM}),
        signed(url=f"https://{HOST}/?Version=2011-06-15&Action=GetCallerIdentity"),
        signed(headers={**SERVER, "X-Amz-Content-SHA256": hashlib.sha256(b"").hexdigest()}),
        signed(headers={**SERVER, "User-Agent": "aws-cli/2", "Host": HOST}),
        signed(headers={**SERVER, "X-Vestibule-Nonce": "random"}),
        signed(at=NOW - 299),
        signed(at=NOW + 299),
    ],
    ids=[
        "signed in a header",
        "without a session",
        "presigned",
        "presigned without a session",
        "a form",
        "as Google's libraries have it",
        "another order",
        "with a digest",
        "with what libraries add",
        "with a nonce",
        "five minutes old",
        "by a clock that is fast",
    ],
)
def test_what_the_libraries_sign_is_good(shown):
    found = judge(shown)
    assert (found.host, found.partition, found.region) == (HOST, "aws", "eu-central-1")
    assert (found.server_id, found.key_id) == ("auth.example.com", KEY_ID)
    assert found.parameters == {"Action": "GetCallerIdentity", "Version": "2011-06-15"}
    assert found.headers.keys() <= {
        *("authorization", "content-type", "x-amz-date", "x-amz-security-token"),
        *("x-amz-content-sha256", "x-vestibule-server-id", "x-vestibule-nonce"),
    }
    assert KEY_ID not in repr(found)


@pytest.mark.parametrize(
    ("host", "partition", "region"),
    [
        ("sts.amazonaws.com", "aws", "us-east-1"),
        ("sts.us-east-1.amazonaws.com", "aws", "us-east-1"),
        ("sts-fips.us-west-2.amazonaws.com", "aws", "us-west-2"),
        ("sts.ap-southeast-2.api.aws", "aws", "ap-southeast-2"),
        ("sts.us-gov-west-1.amazonaws.com", "aws-us-gov", "us-gov-west-1"),
        ("sts.cn-north-1.amazonaws.com.cn", "aws-cn", "cn-north-1"),
        ("sts.eusc-de-east-1.amazonaws.eu", "aws-eusc", "eusc-de-east-1"),
    ],
)
def test_where_aws_is(host, partition, region):
    found = judge(signed(url=f"https://{host}/?{CALL}", region=region))
    assert (found.partition, found.region) == (partition, region)
    assert partition in PARTITIONS


@pytest.mark.parametrize(
    "url",
    [
        f"http://{HOST}/?{CALL}",
        f"https://{HOST}:443/?{CALL}",
        f"https://{HOST}:8443/?{CALL}",
        f"https://user@{HOST}/?{CALL}",
        f"https://evil.example\\@{HOST}/?{CALL}",
        f"https://{HOST}/x?{CALL}",
        f"https://{HOST}//?{CALL}",
        f"https://{HOST}/?{CALL}#x",
        f"https://{HOST}.evil.example/?{CALL}",
        f"https://{HOST}./?{CALL}",
        f"https://evil.example/?{CALL}",
        f"https://evil.{HOST}/?{CALL}",
        f"https://sts.evil.amazonaws.com/?{CALL}",
        f"https://sts.eu-central-1.amazonaws.com.cn/?{CALL}",
        f"https://sts.cn-north-1.amazonaws.com/?{CALL}",
        f"https://stsXeu-central-1.amazonaws.com/?{CALL}",
        f"https://ec2.eu-central-1.amazonaws.com/?{CALL}",
        f"https://iam.amazonaws.com/?{CALL}",
        f"https://vpce-0a-b.sts.eu-central-1.vpce.amazonaws.com/?{CALL}",
        f"https://sts.s3.amazonaws.com/?{CALL}",
        f"https://STS.eu-central-1.amazonaws.com/?{CALL}",
        f"https://127.0.0.1/?{CALL}",
        f"https://[::1]/?{CALL}",
        f"https://169.254.169.254/?{CALL}",
        f"https://{HOST}\n/?{CALL}",
        f"https://{HOST}/?{CALL}\n",
        f"https://xn--sts-x.amazonaws.com/?{CALL}",
        "",
        "sts.amazonaws.com",
    ],
)
def test_another_place_is_refused(url):
    with pytest.raises(OAuthError, match="invalid_request") as caught:
        judge({**signed(), "url": url})
    assert "URL" in caught.value.description


@pytest.mark.parametrize(
    "query",
    [
        "",
        "Action=AssumeRole&Version=2011-06-15",
        "Action=GetSessionToken&Version=2011-06-15",
        "Action=getcalleridentity&Version=2011-06-15",
        "Action=GetCallerIdentity",
        "Action=GetCallerIdentity&Version=2012-01-01",
        f"{CALL}&RoleArn=x",
        f"{CALL}&Action=AssumeRole",
        f"Action=AssumeRole&{CALL}",
        f"{CALL}&action=AssumeRole",
        f"{CALL};Action=AssumeRole",
        f"{CALL}&&",
        f"{CALL}&x",
        f"{CALL}&=",
        f"{CALL}&%41ction=AssumeRole",
        "Action=GetCallerIdentity%00&Version=2011-06-15",
        "Action=GetCallerIdentity+&Version=2011-06-15",
        "Action=GetCallerIdentity%2&Version=2011-06-15",
        f"{CALL}&X-Amz-Extra=1",
    ],
)
def test_another_call_is_refused(query):
    with pytest.raises(OAuthError, match="invalid_request"):
        judge(signed(url=f"https://{HOST}/?{query}"))
    if query and ";" not in query and "x" not in query:
        with pytest.raises(OAuthError, match="invalid_request"):
            judge({**posted(), "body": query})


def header(shown: Text, **changes: str | None) -> Text:
    """With these headers changed, or left out."""
    names = {name.replace("_", "-") for name in changes}
    kept = {name: value for name, value in shown["headers"].items() if name.lower() not in names}
    new = {name.replace("_", "-"): value for name, value in changes.items() if value is not None}
    return {**shown, "headers": kept | new}


def resigned(shown: Text, old: str, new: str) -> Text:
    """With another text in Authorization, or in the query."""
    text = json.dumps(shown)
    assert old in text
    return dict(json.loads(text.replace(old, new)))


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        ({**signed(), "method": "PUT"}, "GET, or a POST"),
        ({**signed(), "method": "get"}, "GET, or a POST"),
        ({**signed(), "body": CALL}, "GET, or a POST"),
        ({**posted(), "url": f"https://{HOST}/?{CALL}"}, "in the query or in the body"),
        ({**posted(), "body": ""}, "the call must be"),
        (header(posted(), content_type=None), "must be signed"),
        (header(posted(), content_type="application/json"), "a POST must be"),
        (header(posted(), content_length="3"), "content-length"),
        (header(signed(), content_length="3"), "content-length"),
        (header(signed(), x_forwarded_for="1.1.1.1"), "x-forwarded-for"),
        (header(signed(), transfer_encoding="chunked"), "transfer-encoding"),
        (header(signed(), cookie="a=b"), "cookie"),
        (header(signed(), x_amz_target="AWSSecurityTokenServiceV20110615.AssumeRole"), "x-amz-target"),
        (header(signed(), x_http_method_override="POST"), "x-http-method-override"),
        (header(signed(), host="evil.example"), "host"),
        (header(signed(), x_vestibule_server_id=None), "x-vestibule-server-id"),
        (signed(headers={}), "x-vestibule-server-id"),
        (header(signed(headers={}), x_vestibule_server_id="auth.example.com"), "x-vestibule-server-id"),
        (header(presigned(headers={}), x_vestibule_server_id="auth.example.com"), "x-vestibule-server-id"),
        (header(signed(), x_vestibule_server_id="a\r\nx: y"), "can't be read"),
        (header(signed(), x_vestibule_server_id=""), "can't be read"),
        (header(signed(), x_vestibule_server_id="a\u00e9"), "can't be read"),
        ({**signed(), "headers": {**signed()["headers"], "x-vestibule-server-id": "b"}}, "twice"),
        (header(signed(token=None), x_amz_security_token="t"), "must be signed"),
        (header(signed(), x_amz_security_token=None), "be there"),
        (header(signed(), content_type=FORM), "must be signed"),
        (header(signed(), x_vestibule_nonce="another"), "must be signed"),
        (header(signed(), x_amz_content_sha256="0" * 64), "must be signed"),
        (signed(headers={**SERVER, "X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}), "of this body"),
        (signed(headers={**SERVER, "X-Amz-Content-SHA256": "0" * 64}), "of this body"),
        (signed(headers={**SERVER, "X-Other": "1"}), "x-other"),
        (header(signed(), authorization=None), "must be signed, by"),
        (header(signed(), authorization="Bearer x"), "Authorization must be"),
        (resigned(signed(), "AWS4-HMAC-SHA256", "AWS4-ECDSA-P256-SHA256"), "Authorization must be"),
        (header(presigned(), authorization=signed()["headers"]["Authorization"]), "signed too"),
        (header(presigned(), x_amz_date="20260101T000000Z"), "header too"),
        (resigned(presigned(), "X-Amz-Expires=60", "X-Amz-Expires=901"), "X-Amz-Expires"),
        (resigned(presigned(), "X-Amz-Expires=60", "X-Amz-Expires=0"), "X-Amz-Expires"),
        (resigned(presigned(), "X-Amz-Expires=60", "X-Amz-Expires=-1"), "X-Amz-Expires"),
        (resigned(presigned(), "X-Amz-Expires=60&", ""), "must be signed, by"),
        (resigned(presigned(), "Algorithm=AWS4-HMAC-SHA256", "Algorithm=none"), "must be signed, by"),
        (resigned(signed(), "Signature=", "Signature=0"), "signature can't be read"),
        (resigned(signed(), KEY_ID, "short"), "signature can't be read"),
        (resigned(signed(), "aws4_request", "aws5_request"), "signature can't be read"),
        (resigned(signed(), "SignedHeaders=host;", "SignedHeaders="), "host among them"),
        (resigned(signed(), "SignedHeaders=host;", "SignedHeaders=host;host;"), "in order"),
        (resigned(signed(), "SignedHeaders=host;", "SignedHeaders=Host;"), "in order"),
        (signed(region="us-east-1"), "for sts in eu-central-1"),
        (signed(service="iam"), "for sts in eu-central-1"),
        (resigned(signed(), "/20260921/", "/20260920/"), "of the day"),
        (header(signed(), x_amz_date=None), "X-Amz-Date|of the day"),
        (header(signed(), x_amz_date="20260921"), "X-Amz-Date"),
        (header(signed(), x_amz_date="20260921T256161Z"), "X-Amz-Date"),
        (signed(at=NOW - 301), "too long ago"),
        (signed(at=NOW - 86_400), "too long ago"),
        (presigned(at=NOW - 61), "too long ago"),
        (presigned(at=NOW - 301, expires=900), "too long ago"),
        (signed(at=NOW + 301), "times to come"),
    ],
)
def test_what_can_be_judged_by_its_shape_is_refused(shown, said):
    with pytest.raises(OAuthError) as caught:
        judge(shown)
    assert any(part in caught.value.description for part in said.split("|")), caught.value.description
    assert "secret" not in caught.value.description


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        "[]",
        "null",
        "https://sts.amazonaws.com/",
        json.dumps({**signed(), "more": 1}),
        json.dumps({**signed(), "headers": "x"}),
        json.dumps({**signed(), "headers": {"a": 1}}),
        json.dumps({**signed(), "headers": [{"key": "a"}]}),
        json.dumps({**signed(), "headers": [{"key": "a", "value": "b", "x": "c"}]}),
        json.dumps({**signed(), "url": None}),
        json.dumps({"sts": signed(), "more": signed()}),
        json.dumps({"tags": signed()}),
        "[" * 10_000,
        json.dumps(signed()) + "x",
        "\ud800",
    ],
)
def test_what_is_no_signed_request_is_refused(text):
    with pytest.raises(OAuthError, match="invalid_request"):
        proof_of(text)


def test_what_is_too_long_is_refused_unread():
    with pytest.raises(OAuthError, match="invalid_request") as caught:
        proof_of(json.dumps({**signed(), "body": "x" * SUBJECT_MAX_CHARS}))
    assert "too long" in caught.value.description


def test_both_ways_to_write_headers_and_the_percent_encoded_one_are_the_same():
    shown = signed()
    listed = {**shown, "headers": [{"key": key, "value": value} for key, value in shown["headers"].items()]}
    found = [
        judged(proof_of(text).sts, GET_CALLER_IDENTITY, now=NOW)
        for text in (json.dumps(shown), json.dumps(listed), quote(json.dumps(listed)))
    ]
    assert found[0] == found[1] == found[2]


def test_a_header_that_is_listed_twice_is_refused():
    shown = signed()
    pairs = [{"key": key, "value": value} for key, value in shown["headers"].items()]
    again = {"key": "X-VESTIBULE-SERVER-ID", "value": "auth.example.com"}
    with pytest.raises(OAuthError):
        judge({**shown, "headers": [*pairs, again]})


def test_the_query_is_written_anew_as_aws_reads_it():
    found = judge(presigned())
    assert found.path.startswith("/?Action=GetCallerIdentity&Version=2011-06-15&X-Amz-Algorithm=")
    assert "X-Amz-Security-Token=IQoJb3JpZ2lu%2B%2F%3D%3D" in found.path
    assert judge(posted()).path == "/"


def test_the_same_request_has_the_same_mark_and_another_signature_another():
    assert judge(signed()).mark == judge(signed()).mark
    assert judge(signed()).mark != judge(signed(at=NOW - 1)).mark
    assert judge(signed(at=NOW - 10)).until == NOW + 290
    assert judge(presigned(expires=60)).until == NOW + 60


def tags(query: str = TAGS) -> Text:
    return signed(url=f"https://ec2.eu-central-1.amazonaws.com/?{query}", service="ec2")


def test_tags_of_one_instance_may_be_asked_for():
    assert judge(tags(), DESCRIBE_TAGS).parameters["Filter.1.Value.1"] == "i-0123456789abcdef0"


@pytest.mark.parametrize(
    "query",
    [
        TAGS.replace("DescribeTags", "RunInstances"),
        TAGS.replace("resource-id", "key"),
        TAGS.replace("i-0123456789abcdef0", "%2A"),
        TAGS.replace("i-0123456789abcdef0", "i-*"),
        f"{TAGS}&Filter.1.Value.2=i-0123456789abcdef1",
        f"{TAGS}&MaxResults=5",
        CALL,
    ],
)
def test_no_other_call_of_ec2(query):
    with pytest.raises(OAuthError):
        judge(tags(query), DESCRIBE_TAGS)


def test_a_request_for_one_service_is_none_for_the_other():
    with pytest.raises(OAuthError):
        judge(signed(), DESCRIBE_TAGS)
    with pytest.raises(OAuthError):
        judge(tags())


@given(st.text(max_size=200), st.text(max_size=80), st.dictionaries(st.text(), st.text(), max_size=4))
def test_no_text_makes_it_fail_otherwise(url, body, headers):
    for method in ("GET", "POST"):
        for at in (url, f"https://{HOST}/?{url}"):
            with pytest.raises(OAuthError):
                judged(Shown(url=at, method=method, headers=headers, body=body), GET_CALLER_IDENTITY, now=NOW)

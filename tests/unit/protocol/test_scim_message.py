"""Requests for lists, lists, bulk, and what the service says of itself."""

from __future__ import annotations

import pytest
from scim2_models import ListResponse, ServiceProviderConfig, User

from vestibule.protocol.scim_error import ScimError
from vestibule.protocol.scim_filter import Compare, Place
from vestibule.protocol.scim_message import (
    BULK_REQUEST,
    OPERATIONS_MAX,
    PAGE,
    PAGE_MAX,
    Asked,
    asked,
    bulk,
    listed,
    service_document,
    tags_in,
    version_in,
)


def test_what_is_asked_for_is_read_from_a_query_and_from_a_body():
    query = {
        "startIndex": "0",
        "count": "5000",
        "sortBy": "userName",
        "SORTORDER": "Descending",
        "filter": "title pr",
    }
    read = asked(query)
    assert (read.start, read.count, read.sort_by, read.is_descending) == (
        1,
        PAGE_MAX,
        Place("userName"),
        True,
    )
    assert read.filter == Compare(Place("title"), "pr")
    body = {"startIndex": 3, "count": -1, "attributes": ["userName", "emails"], "cursor": ""}
    assert asked(body) == Asked(start=3, count=0, attributes="userName,emails", cursor="")
    assert asked({}) == Asked(count=PAGE)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"count": "x"}, "invalidValue"),
        ({"count": True}, "invalidValue"),
        ({"count": "1.5", "cursor": ""}, "invalidCount"),
        ({"startIndex": "9" * 20}, "invalidValue"),
        ({"startIndex": 10**30}, "invalidValue"),
        ({"count": -(10**30), "cursor": ""}, "invalidCount"),
        ({"sortOrder": "up"}, "invalidValue"),
        ({"sortBy": "a b"}, "invalidPath"),
        ({"filter": "x"}, "invalidFilter"),
        ({"filter": 1}, "invalidValue"),
        ({"attributes": [1]}, "invalidValue"),
    ],
    ids=str,
)
def test_what_can_not_be_asked_for_is_told(given, code):
    with pytest.raises(ScimError) as told:
        asked(given)
    assert (told.value.status, told.value.scim_type) == (400, code)


def test_a_list_is_one_to_others():
    told = listed([{"schemas": [], "id": "1", "userName": "a"}], total=7, start=1, next_cursor="c")
    assert told["nextCursor"] == "c"
    read = ListResponse[User].model_validate(
        {name: one for name, one in told.items() if name != "nextCursor"}
    )
    assert (read.total_results, read.items_per_page, read.start_index) == (7, 1, 1)
    assert {"startIndex", "nextCursor"}.isdisjoint(listed([], total=0))


def test_what_the_service_says_of_itself_is_understood():
    read = ServiceProviderConfig.model_validate(service_document("https://auth.example.com/scim/v2"))
    assert read.patch is not None
    assert read.patch.supported


@pytest.mark.parametrize(
    ("header", "version"), [("", None), ("*", None), ('W/"3"', 3), (' "4" ', 4), ('W/"12"', 12)]
)
def test_a_version_is_read(header, version):
    assert version_in(header) == version


@pytest.mark.parametrize("header", ["3", 'W/"x"', 'W/"1", W/"2"', '"' + "9" * 30 + '"'])
def test_a_version_that_is_none_of_ours_is_another(header):
    with pytest.raises(ScimError) as told:
        version_in(header)
    assert told.value.status == 412


def test_several_versions_may_be_known():
    assert tags_in('W/"1", "2", *') == {1, 2}
    assert tags_in("") == frozenset()


def of(*several: object, **more: object) -> dict[str, object]:
    return {"schemas": [BULK_REQUEST], "Operations": list(several), **more}


def test_operations_are_read_and_name_each_other():
    data = {"members": [{"value": "bulkId:u"}], "x": ["bulkId:v", 1]}
    [one], stop = bulk(of({"method": "post", "path": "/Groups", "bulkId": "g", "data": data}, failOnErrors=2))
    assert (one.method, one.path, stop) == ("POST", "/Groups", 2)
    assert one.needs() == {"u", "v"}
    assert one.resolved({"u": "d1"}).data == {"members": [{"value": "d1"}], "x": ["bulkId:v", 1]}
    [one], _ = bulk(of({"method": "DELETE", "path": "/Users/bulkId:u"}))
    assert one.needs() == {"u"}
    assert one.resolved({"u": "d1"}).path == "/Users/d1"


@pytest.mark.parametrize("nested", [lambda inner: [inner], lambda inner: {"a": inner}])
def test_data_are_looked_through_as_deep_as_any_resource_is_and_no_deeper(nested):
    data = "bulkId:u"
    for _ in range(20):
        data = nested(data)
    [one], _ = bulk(of({"method": "POST", "path": "/Users", "bulkId": "g", "data": data}))
    assert one.needs() == {"u"}
    for _ in range(5000):
        data = nested(data)
    [one], _ = bulk(of({"method": "POST", "path": "/Users", "bulkId": "g", "data": data}))
    with pytest.raises(ScimError) as told:
        one.needs()
    assert (told.value.status, told.value.scim_type) == (400, "invalidSyntax")


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        {"schemas": [BULK_REQUEST]},
        of(1),
        of({"method": "POST", "path": "/Users"}),
        of({"method": "POST"}),
        of({"method": "PUT", "path": "/Users/1", "version": 1}),
        of(
            {"method": "POST", "path": "/Users", "bulkId": "a"},
            {"method": "POST", "path": "/Users", "bulkId": "a"},
        ),
        of(failOnErrors=-1),
        of(failOnErrors=True),
    ],
    ids=str,
)
def test_what_is_no_bulk_request_is_told(body):
    with pytest.raises(ScimError) as told:
        bulk(body)
    assert told.value.scim_type == "invalidSyntax"


def test_there_are_not_operations_without_end():
    with pytest.raises(ScimError) as told:
        bulk(of(*[{"method": "DELETE", "path": "/Users/1"}] * (OPERATIONS_MAX + 1)))
    assert told.value.status == 413

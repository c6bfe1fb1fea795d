"""The API against its own OpenAPI document: schemathesis sends what the document allows, and what it doesn't.

All of it in this process: the services are the real ones, over a store in memory; a call comes by the door of the
API with a token, as over the network.
"""

from __future__ import annotations

import hashlib
import itertools
from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis.config import SchemathesisConfig

from tests.unit.web.api.desk import OKTA, ApiDesk
from vestibule.service.admin import Asker
from vestibule.web.api.app import DOCUMENT, api


class Network:
    """The API as it is on its port."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """A new installation; the same each time."""
        numbers = itertools.count()
        self.desk = desk = ApiDesk(lambda size: hashlib.shake_256(b"%d" % next(numbers)).digest(size))
        for number in range(3):
            desk.person(number)
        desk.do(desk.registry.create(OKTA))
        _, bearer = desk.do(desk.tokens.create("fuzz", None, desk.now))
        self.bearer = bearer.reveal()
        self.calls = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            return
        self.calls += 1
        # Each call from an address of its own: wrong tokens are to be refused as such, not for being many.
        asker = Asker(is_owner=False, address=f"192.0.2.{self.calls}", request_id="fuzz", now=self.desk.now)
        await self.desk.app({**scope, "state": {"asker": asker}}, receive, send)


NETWORK = Network()
#: a cursor may be none that this list gave, which a document can't say
LISTS = tuple(
    operation["operationId"]
    for methods in api().openapi()["paths"].values()
    for operation in methods.values()
    if any(one.get("name") == "cursor" for one in operation.get("parameters", ()))
)
#: nor can it say that an address or a provider can't work, a name can't be shown, a time is too long ago,
#: there is no such component
REFUSE_MORE = (
    *LISTS,
    "createOrg",
    "updateOrg",
    "createOrgGroup",
    "createOrgProvider",
    "updateOrgProvider",
    "reloadConfiguration",
    "updateUser",
    "createInvitation",
    "createIdentityProvider",
    "updateIdentityProvider",
    "replaceIdentityProvider",
    "explain",
    "createSession",
    "updateSession",
    "revealCredential",
    "tellEvents",
    "updateLogLevels",
)
EXPECTED = ["2XX", 401, 403, 404, 409, 412, 422, 428]
CONFIG = SchemathesisConfig.from_dict(
    {
        "seed": 1,
        "operations": [
            {
                "include-operation-id": operation,
                "checks": {"positive_data_acceptance": {"expected-statuses": EXPECTED}},
            }
            for operation in REFUSE_MORE
        ],
    }
)
AUTHORIZATION = {"Authorization": f"Bearer {NETWORK.bearer}"}
BOUNDED = settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)
#: a stream has no end; its own tests are in tests/unit/web/api/test_traffic.py
ENDLESS = "streamTraffic"
schema = schemathesis.openapi.from_asgi(DOCUMENT, NETWORK, config=CONFIG, headers=AUTHORIZATION).exclude(
    operation_id=ENDLESS
)


@schema.parametrize()
@BOUNDED
def test_the_api_keeps_to_its_document(case):
    case.call_and_validate(headers=AUTHORIZATION)


class Stories(schema.as_state_machine()):  # type: ignore[misc]
    """Calls one after another: what was made is asked for, changed, deleted, and then gone."""

    def setup(self):
        NETWORK.begin()

    def get_call_kwargs(self, case):
        return {"headers": AUTHORIZATION}


Stories.TestCase.settings = settings(BOUNDED, stateful_step_count=8)
TestStories = Stories.TestCase

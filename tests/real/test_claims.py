"""Claims that are mapped in a file, from a provider's document to what the app is told and what rules see."""

from __future__ import annotations

import json

import pytest

from tests.real.forge import Forge
from tests.real.standin import CLIENT, SECRET
from tests.real.standin_table import Row, Table
from tests.real.visitor import new_visitor

pytestmark = pytest.mark.real

ROW = Row(
    authorize="/authorize",
    token="/token",
    issuer="/",
    claims={
        "sub": "17",
        "realm": {"roles": ["blue", "green"], "orgs": ["Acme"]},
        "https://acme.example/team": "core",
        "groups": ["red"],
    },
    api={"/userinfo": {"sub": "17", "realm": "of userinfo", "department": {"code": 7}}},
)
CONFIGURATION = f"""
gateway {{ http = ["127.0.0.1:{{port}}"] }}
provider "op" {{
  type          = "oidc"
  issuer        = "URL"
  client_id     = "{CLIENT}"
  client_secret = "{SECRET}"
  claims {{
    groups     = "realm.roles"
    orgs       = "realm.orgs"
    department = "department.code"
    team       = "https://acme.example/team"
  }}
}}
host "localhost" {{
  backend = "internal:echo"
  sign_in = ["op"]
  access {{ allow = ["anyone"] }}
  ROUTES
}}
"""
ROUTE = 'route "/{n}/" {{ access {{ allow = ["{rule}"] }} }}'
RULES = {
    "group:blue": 200,
    "group:red": 403,
    "org:acme": 200,
    "org:other": 403,
    "claim:department=7": 200,
    "claim:department=8": 403,
    "claim:team=core": 200,
    "claim:op/team=core": 200,
    "claim:realm=core": 403,
}


async def test_mapped_claims_reach_the_app_and_the_rules(api, gateway):
    standin = Table(ROW)
    standin.url = (await api(answer=standin.answer)).url
    routes = "\n  ".join(ROUTE.format(n=n, rule=rule) for n, rule in enumerate(RULES))
    forge = Forge(standin, gateway(CONFIGURATION.replace("URL", standin.url).replace("ROUTES", routes)))
    async with new_visitor() as visitor:
        came = await forge.come("op", visitor=visitor)
        assert came.status == 200, came.words
        assert (came.headers["user-groups"], came.headers["user-orgs"]) == ("blue,green", "Acme")
        found = {}
        for n, rule in enumerate(RULES):
            async with visitor.get(f"{forge.url}/{n}/") as page:
                found[rule] = page.status
        assert found == RULES
    # A claim of the wrong type lets nobody in, whatever the rules say.
    standin.claims["realm"] = {"roles": "blue", "orgs": ["Acme"]}
    came = await forge.come("op")
    assert (came.status, came.who) == (502, None)
    [line] = [json.loads(line) for line in forge.gateway.log.splitlines() if "claim_invalid" in line]
    assert line["detail"] == "claim realm.roles is str, not a list of strings"

"""The OpenAPI document."""

from __future__ import annotations

import json

import pytest

from tests.house.source import ROOT
from vestibule.core import scope
from vestibule.web.api.app import api as application

OPERATIONS = {
    "createSession": "POST /api/v1/sessions",
    "listSessions": "GET /api/v1/sessions",
    "endSessions": "DELETE /api/v1/sessions",
    "introspectSession": "POST /api/v1/sessions/introspect",
    "getSession": "GET /api/v1/sessions/{id}",
    "updateSession": "PATCH /api/v1/sessions/{id}",
    "endSession": "DELETE /api/v1/sessions/{id}",
    "listUsers": "GET /api/v1/users",
    "getUser": "GET /api/v1/users/{id}",
    "updateUser": "PATCH /api/v1/users/{id}",
    "deleteUser": "DELETE /api/v1/users/{id}",
    "blockUser": "POST /api/v1/users/{id}/block",
    "unblockUser": "POST /api/v1/users/{id}/unblock",
    "listUserIdentities": "GET /api/v1/users/{id}/identities",
    "deleteUserIdentity": "DELETE /api/v1/users/{id}/identities/{identity}",
    "listUserTokens": "GET /api/v1/users/{id}/tokens",
    "revokeUserToken": "DELETE /api/v1/users/{id}/tokens/{token}",
    "listIdentities": "GET /api/v1/identities",
    "createInvitation": "POST /api/v1/invitations",
    "listInvitations": "GET /api/v1/invitations",
    "getInvitation": "GET /api/v1/invitations/{id}",
    "deleteInvitation": "DELETE /api/v1/invitations/{id}",
    "createIdentityProvider": "POST /api/v1/identity-providers",
    "listIdentityProviders": "GET /api/v1/identity-providers",
    "getIdentityProvider": "GET /api/v1/identity-providers/{id}",
    "updateIdentityProvider": "PATCH /api/v1/identity-providers/{id}",
    "replaceIdentityProvider": "PUT /api/v1/identity-providers/{id}",
    "deleteIdentityProvider": "DELETE /api/v1/identity-providers/{id}",
    "enableIdentityProvider": "POST /api/v1/identity-providers/{id}/enable",
    "disableIdentityProvider": "POST /api/v1/identity-providers/{id}/disable",
    "testIdentityProvider": "POST /api/v1/identity-providers/{id}/test",
    "createToken": "POST /api/v1/tokens",
    "listTokens": "GET /api/v1/tokens",
    "revokeToken": "DELETE /api/v1/tokens/{id}",
    "createMachineKey": "POST /api/v1/machine-keys",
    "listMachineKeys": "GET /api/v1/machine-keys",
    "revokeMachineKey": "DELETE /api/v1/machine-keys/{id}",
    "createOrg": "POST /api/v1/orgs",
    "listOrgs": "GET /api/v1/orgs",
    "getOrg": "GET /api/v1/orgs/{slug}",
    "updateOrg": "PATCH /api/v1/orgs/{slug}",
    "deleteOrg": "DELETE /api/v1/orgs/{slug}",
    "addOrgDomain": "POST /api/v1/orgs/{slug}/domains",
    "listOrgDomains": "GET /api/v1/orgs/{slug}/domains",
    "verifyOrgDomain": "POST /api/v1/orgs/{slug}/domains/{domain}/verify",
    "confirmOrgDomain": "POST /api/v1/orgs/{slug}/domains/{domain}/confirm",
    "removeOrgDomain": "DELETE /api/v1/orgs/{slug}/domains/{domain}",
    "listOrgMembers": "GET /api/v1/orgs/{slug}/members",
    "putOrgMember": "PUT /api/v1/orgs/{slug}/members/{id}",
    "getOrgMember": "GET /api/v1/orgs/{slug}/members/{id}",
    "removeOrgMember": "DELETE /api/v1/orgs/{slug}/members/{id}",
    "createOrgGroup": "POST /api/v1/orgs/{slug}/groups",
    "listOrgGroups": "GET /api/v1/orgs/{slug}/groups",
    "deleteOrgGroup": "DELETE /api/v1/orgs/{slug}/groups/{id}",
    "listOrgGroupMembers": "GET /api/v1/orgs/{slug}/groups/{id}/members",
    "putOrgGroupMember": "PUT /api/v1/orgs/{slug}/groups/{id}/members/{user_id}",
    "removeOrgGroupMember": "DELETE /api/v1/orgs/{slug}/groups/{id}/members/{user_id}",
    "createOrgProvider": "POST /api/v1/orgs/{slug}/identity-providers",
    "listOrgProviders": "GET /api/v1/orgs/{slug}/identity-providers",
    "getOrgProvider": "GET /api/v1/orgs/{slug}/identity-providers/{id}",
    "updateOrgProvider": "PATCH /api/v1/orgs/{slug}/identity-providers/{id}",
    "deleteOrgProvider": "DELETE /api/v1/orgs/{slug}/identity-providers/{id}",
    "getDirectory": "GET /api/v1/orgs/{slug}/directory",
    "putDirectory": "PUT /api/v1/orgs/{slug}/directory",
    "createDirectoryToken": "POST /api/v1/orgs/{slug}/directory/tokens",
    "listDirectoryTokens": "GET /api/v1/orgs/{slug}/directory/tokens",
    "revokeDirectoryToken": "DELETE /api/v1/orgs/{slug}/directory/tokens/{id}",
    "listUserAffiliations": "GET /api/v1/users/{id}/affiliations",
    "listHeld": "GET /api/v1/held",
    "explain": "GET /api/v1/explain",
    "getOverview": "GET /api/v1/overview",
    "listHosts": "GET /api/v1/hosts",
    "listCalls": "GET /api/v1/calls",
    "listEdges": "GET /api/v1/edges",
    "listProviderStates": "GET /api/v1/provider-states",
    "listCertificates": "GET /api/v1/certificates",
    "listCredentials": "GET /api/v1/sessions/{id}/credentials",
    "revealCredential": "POST /api/v1/sessions/{id}/credentials/{client}/reveal",
    "getConfiguration": "GET /api/v1/configuration",
    "getConfigurationDifference": "GET /api/v1/configuration/difference",
    "reloadConfiguration": "POST /api/v1/configuration/reload",
    "upgradeProgram": "POST /api/v1/upgrade",
    "verifyAudit": "GET /api/v1/audit/verify",
    "exportAudit": "GET /api/v1/audit/export",
    "renewCertificate": "POST /api/v1/certificates/{name}/renew",
    "tellEvents": "POST /api/v1/events",
    "listDeadLetters": "GET /api/v1/dead-letters",
    "retryDeadLetter": "POST /api/v1/dead-letters/{webhook}/{id}/retry",
    "discardDeadLetter": "DELETE /api/v1/dead-letters/{webhook}/{id}",
    "listTraffic": "GET /api/v1/traffic",
    "streamTraffic": "GET /api/v1/traffic/stream",
    "getTrace": "GET /api/v1/traces/{trace_id}",
    "getLogLevels": "GET /api/v1/log/levels",
    "updateLogLevels": "PATCH /api/v1/log/levels",
    "readMetrics": "GET /metrics",
    "listAudit": "GET /api/v1/audit",
    "getAuditEvent": "GET /api/v1/audit/{id}",
    "listAppTokens": "GET /api/v1/app-tokens",
}


@pytest.fixture(scope="module")
def document():
    return application().openapi()


def operations(document):
    return [
        (f"{method.upper()} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def test_operation_ids_are_stable(document):
    assert {operation["operationId"]: place for place, operation in operations(document)} == OPERATIONS


def test_every_operation_needs_a_token_and_says_which_errors_it_has(document):
    scheme = document["components"]["securitySchemes"]["adminToken"]
    assert (scheme["type"], scheme["scheme"]) == ("http", "bearer")
    for place, operation in operations(document):
        assert operation["security"] == [{"adminToken": [scope.NEEDED[operation["operationId"]]]}], place
        said = {status for status in operation["responses"] if status >= "400"}
        assert said >= {"401", "403", "422", "429", "500", "503"}, place
        for status in said:
            assert operation["responses"][status] == {"$ref": f"#/components/responses/Problem{status}"}, (
                place
            )
    for answer in document["components"]["responses"].values():
        assert list(answer["content"]) == ["application/problem+json"]


def test_the_api_serves_it(api, document):
    assert api.call("GET", "/openapi.json").json == json.loads(json.dumps(document))


def test_there_are_no_pages_that_load_from_elsewhere(api):
    assert [api.call("GET", path).status for path in ("/docs", "/redoc")] == [404, 404]


def test_docs_api_openapi_json_is_current(document):
    """`make docs` writes it."""
    written = json.loads((ROOT / "docs" / "api" / "openapi.json").read_text("utf-8"))
    assert written == json.loads(json.dumps(document))

"""The decision, as a truth table: every rule kind, for a person known, half known, unknown, and nobody."""

from __future__ import annotations

import pytest

from vestibule.core.policy import decide, policy_of
from vestibule.core.rule import Rule, qualified, rule
from vestibule.model import Allow, Asker, Deny, Identity, SignIn

GET = b"GET"
PUBLIC = Rule(kind="public", text="public")
ANYONE = Rule(kind="anyone", text="anyone")
ADA = Rule(kind="email", value="ada@app.example", text="email:ada@app.example")
DOMAIN = Rule(kind="domain", value="app.example", text="domain:app.example")
UNKNOWN = Rule(kind="phase-of-moon", value="full", text="phase-of-moon:full")


def person(email: str = "", client: str = "google") -> Identity:
    return Identity(client=client, issuer="https://issuer", subject="1", email=email)


WHO = {
    "nobody": (),
    "ada": (person("ada@app.example"),),
    "ADA": (person("ADA@App.Example"),),
    "bob": (person("bob@app.example"),),
    "eve": (person("eve@evil.example"),),
    "eve of a subdomain": (person("eve@sub.app.example"),),
    "eve of a longer domain": (person("eve@notapp.example"),),
    "eve with two @": (person("ada@app.example@evil.example"),),
    "no e-mail": (person(),),
    "ada by a client that does not count": (person("ada@app.example", client="other"),),
    "two identities": (person("eve@evil.example"), person("ada@app.example", client="github")),
}

# allow rule → who is let through; everybody else who is known is 403, nobody is sent to sign in
ALLOWED = {
    PUBLIC: set(WHO),
    ANYONE: set(WHO) - {"nobody", "ada by a client that does not count"},
    ADA: {"ada", "ADA", "two identities"},
    DOMAIN: {"ada", "ADA", "bob", "two identities"},
    UNKNOWN: set(),
}
STRANGERS = {"nobody", "ada by a client that does not count"}
SIGN_IN = frozenset({"google", "github"})


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("rule", ALLOWED, ids=lambda rule: rule.text)
def test_an_allow_rule_lets_through_whom_it_names_and_no_one_else(rule, who):
    decision = decide(policy_of(allow=(rule,), sign_in=SIGN_IN), GET, Asker(WHO[who]))
    if who in ALLOWED[rule]:
        assert decision == Allow(rule.text)
    elif who in STRANGERS:
        assert isinstance(decision, SignIn)
    else:
        assert (decision.status, decision.code) == (403, "not_allowed")


# deny rule → whom it denies although everybody may come; None: it can't be known, so signing in is asked for
DENIED = {
    PUBLIC: set(WHO),
    ANYONE: set(WHO) - STRANGERS,
    ADA: {"ada", "ADA", "two identities", "no e-mail"},
    DOMAIN: {"ada", "ADA", "bob", "two identities", "no e-mail"},
    UNKNOWN: set(WHO) - STRANGERS,
}
ASKED = {ADA: STRANGERS, DOMAIN: STRANGERS, UNKNOWN: STRANGERS, PUBLIC: set(), ANYONE: set()}


@pytest.mark.parametrize("who", WHO)
@pytest.mark.parametrize("rule", DENIED, ids=lambda rule: rule.text)
def test_a_deny_rule_wins_over_public_and_what_it_can_not_know_denies(rule, who):
    decision = decide(policy_of(allow=(PUBLIC,), deny=(rule,), sign_in=SIGN_IN), GET, Asker(WHO[who]))
    if who in DENIED[rule]:
        assert isinstance(decision, Deny)
        assert decision.status == 403
    elif who in ASKED[rule]:
        assert isinstance(decision, SignIn)
    else:
        assert decision == Allow("public")


@pytest.mark.parametrize("rule", ALLOWED, ids=lambda rule: rule.text)
def test_deny_wins_over_the_same_allow(rule):
    decision = decide(policy_of(allow=(rule, PUBLIC), deny=(rule,), sign_in=SIGN_IN), GET, Asker(WHO["ada"]))
    assert isinstance(decision, Deny)


@pytest.mark.parametrize(
    ("who", "code"), [("ada", "denied"), ("no e-mail", "denied_unknown")], ids=["known", "unknown"]
)
def test_a_denial_says_whether_it_knew(who, code):
    assert decide(policy_of(allow=(ANYONE,), deny=(ADA,), sign_in=SIGN_IN), GET, Asker(WHO[who])).code == code


def test_an_unknown_deny_without_any_sign_in_is_403():
    decision = decide(policy_of(allow=(PUBLIC,), deny=(ADA,)), GET, Asker())
    assert (decision.status, decision.code) == (403, "denied_unknown")


@pytest.mark.parametrize("rule", [ANYONE, ADA, DOMAIN, UNKNOWN], ids=lambda rule: rule.text)
@pytest.mark.parametrize("who", ["nobody", "ada"])
def test_without_sign_in_only_public_lets_anyone_through(rule, who):
    decision = decide(policy_of(allow=(rule,)), GET, Asker(WHO[who]))
    assert (decision.status, decision.code) == (403, "no_sign_in")
    assert decide(policy_of(allow=(rule, PUBLIC)), GET, Asker(WHO[who])) == Allow("public")


def test_no_rule_at_all_lets_nobody_through():
    policy = policy_of(allow=(), sign_in=SIGN_IN)
    assert isinstance(decide(policy, GET, Asker()), SignIn)
    assert decide(policy, GET, Asker(WHO["ada"])).code == "not_allowed"


def test_one_of_several_rules_is_enough():
    policy = policy_of(allow=(ADA, DOMAIN), sign_in=SIGN_IN)
    assert decide(policy, GET, Asker(WHO["bob"])) == Allow(DOMAIN.text)
    assert isinstance(decide(policy, GET, Asker(WHO["eve"])), Deny)


@pytest.mark.parametrize(
    ("methods", "method", "passes"),
    [
        ((), b"DELETE", True),
        ((b"GET", b"HEAD"), b"GET", True),
        ((b"GET", b"HEAD"), b"HEAD", True),
        ((b"GET", b"HEAD"), b"POST", False),
        ((b"GET",), b"HEAD", False),
        ((b"GET",), b"get", False),
        ((b"GET",), b"OPTIONS", False),
    ],
    ids=str,
)
def test_a_method_that_is_not_listed_is_405_for_everybody(methods, method, passes):
    policy = policy_of(allow=(PUBLIC,), methods=frozenset(methods), sign_in=SIGN_IN)
    for identities in WHO.values():
        decision = decide(policy, method, Asker(identities))
        assert isinstance(decision, Allow) is passes
        if not passes:
            assert (decision.status, decision.code) == (405, "method_not_allowed")


def test_a_refusal_says_which_rules_there_are_and_an_allowance_which_one_it_was():
    policy = policy_of(allow=(ADA, DOMAIN), sign_in=SIGN_IN)
    assert "email:ada@app.example, domain:app.example" in decide(policy, GET, Asker(WHO["eve"])).reason
    assert decide(policy, GET, Asker(WHO["ada"])).reason == "email:ada@app.example"


def test_public_is_known_beforehand():
    assert policy_of(allow=(ADA, PUBLIC)).public
    assert not policy_of(allow=(ADA, ANYONE)).public


# Rules on what a provider says of people: lists, claims, logins

LISTS = ("groups", "orgs", "teams", "projects", "repos", "roles")


def member(client: str = "okta", **fields: object) -> Identity:
    """Somebody of whom the provider spoke about these lists, and about no others."""
    unknown = tuple(name for name in LISTS if name not in fields)
    return Identity(client=client, issuer=f"https://{client}", subject="1", unknown=unknown, **fields)  # type: ignore[arg-type]  # rows of a table


CLIENTS = {"okta": "okta", "github": "github", "tracker": "app.example/tracker"}
VERDICTS = [
    # rule, identities, does it hold (None: nobody can tell)
    ("group:admins", [member(groups=("admins", "staff"))], True),
    ("group:admins", [member(groups=("Admins",))], False),
    ("group:admins", [member(groups=("admins2", "xadmins"))], False),
    ("group:admins", [member(groups=())], False),
    ("group:admins", [member()], None),
    ("group:admins", [], None),
    ("group:admins", [member(groups=("staff",)), member("github", orgs=("x",))], None),
    ("group:admins", [member(groups=("admins",)), member("github", orgs=("x",))], True),
    ("group:okta/admins", [member(groups=("admins",))], True),
    ("group:okta/admins", [member("github", groups=("admins",))], False),
    ("group:okta/admins", [member(), member("github", groups=("admins",))], None),
    ("group:okta/admins", [], None),
    ("group:a/b", [member(groups=("a/b",))], True),
    ("group:okta/a/b", [member(groups=("a/b",))], True),
    ("group:/admins", [member(groups=("/admins",))], True),
    ("group:tracker/x", [member("app.example/tracker", groups=("x",))], True),
    ("org:Example", [member("github", orgs=("example",))], True),
    ("org:example", [member("github", orgs=("EXAMPLE",))], True),
    ("org:GitHub/Example", [member("github", orgs=("example",))], True),
    ("team:example/core", [member("github", teams=("Example/Core",))], True),
    ("team:github/github/core", [member("github", teams=("github/core",))], True),
    ("team:github/core", [member("github", teams=("github/core",))], False),
    ("project:group/app", [member(projects=("group/app",))], True),
    ("repo:owner/app", [member(repos=("owner/other",))], False),
    ("role:admin", [member(roles=("admin",))], True),
    ("role:ADMIN", [member(roles=("admin",))], False),
    ("role:app:admin", [member(roles=("app:admin",))], True),
    ("claim:team=blue", [member(claims={"team": "blue"})], True),
    ("claim:team=blue", [member(claims={"team": ["red", "blue"]})], True),
    ("claim:team=blue", [member(claims={"team": "bluegreen"})], False),
    ("claim:team=blue", [member(claims={})], None),
    ("claim:level=3", [member(claims={"level": 3})], True),
    ("claim:vip=true", [member(claims={"vip": True})], True),
    ("claim:vip=true", [member(claims={"vip": {"true": 1}})], False),
    ("claim:a.b=c", [member(claims={"a": {"b": "c"}})], True),
    ("claim:okta/team=blue", [member(claims={"team": "blue"})], True),
    ("claim:okta/team=blue", [member("github", claims={"team": "blue"})], False),
    ("claim:q=a=b", [member(claims={"q": "a=b"})], True),
    ("user:okta/al", [member(login="al")], True),
    ("user:okta/al", [member("github", login="al")], False),
    ("user:okta/al", [member(login="")], None),
    ("user:al", [member(login="al")], False),
    ("user:u1", [member()], True),
    ("user:u1", [], None),
    ("email:okta/a@b.example", [member(email="a@b.example")], True),
    ("email:okta/a@b.example", [member("github", email="a@b.example")], False),
    ("domain:okta/b.example", [member(email="a@b.example")], True),
]


@pytest.mark.parametrize(("text", "identities", "holds"), VERDICTS)
def test_a_rule_holds_fails_or_can_not_be_told(text, identities, holds):
    kind, _, value = text.partition(":")
    asked = qualified(rule(kind, value, text=text), CLIENTS)
    sign_in = frozenset(CLIENTS.values())
    allowed = decide(policy_of(allow=(asked,), sign_in=sign_in), GET, Asker(tuple(identities), "u1"))
    denied = decide(
        policy_of(allow=(PUBLIC,), deny=(asked,), sign_in=sign_in), GET, Asker(tuple(identities), "u1")
    )
    if not identities:
        assert isinstance(allowed, SignIn)
        assert isinstance(denied, SignIn)
        return
    assert isinstance(allowed, Allow) is (holds is True)
    assert isinstance(denied, Allow) is (holds is False)
    if holds is not False:
        assert denied.code == ("denied" if holds else "denied_unknown")


def test_a_rule_that_looks_at_what_changes_elsewhere_is_known_as_such():
    def is_fresh(*texts: str) -> bool:
        rules = tuple(rule(*text.split(":", 1)) for text in texts)
        return policy_of(allow=(ANYONE,), deny=rules).is_fresh

    assert not is_fresh("email:a@b.example", "domain:b.example", "user:u1")
    for text in ("group:x", "org:x", "team:x/y", "project:x", "repo:x/y", "role:x", "claim:a=b"):
        assert is_fresh(text), text

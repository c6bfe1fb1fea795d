"""The decision, as a truth table: every rule kind, for a person known, half known, unknown, and nobody."""

from __future__ import annotations

import math

import pytest

from vestibule.core.policy import asker_of, decide, decide_on, policy_of, span
from vestibule.core.rule import Rule, qualified, rule
from vestibule.model import Allow, Asker, Caller, Deny, Identity, Session, SignIn, StepUp

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


# Networks narrow, `all` adds, tokens are shown: every list against every asker

HOME, AWAY, NOWHERE = "10.0.0.7", "203.0.113.9", ""
NETWORK = "network:10.0.0.0/8"
STAFF = (member("okta", email="ada@app.example", groups=("staff",)),)
GUEST = (member("okta", email="eve@else.example", groups=()),)
ASKERS = {
    "nobody at home": Asker((), "", HOME),
    "nobody away": Asker((), "", AWAY),
    "nobody nowhere": Asker((), "", NOWHERE),
    "staff at home": Asker(STAFF, "u1", HOME),
    "staff away": Asker(STAFF, "u1", AWAY),
    "staff nowhere": Asker(STAFF, "u1", NOWHERE),
    "guest at home": Asker(GUEST, "u2", HOME),
    "guest away": Asker(GUEST, "u2", AWAY),
    "robot at home": Asker((), "", HOME, frozenset({"read"})),
    "robot without scope": Asker((), "", HOME, frozenset()),
    "staff with a token": Asker(STAFF, "u1", AWAY, frozenset({"read"})),
}
OUTSIDE = "outside_network"
# allow (None: not written), all, deny → the answer to each asker, in their order
LISTS_TOGETHER = [
    (("public", NETWORK), (), (), ["in", OUTSIDE, OUTSIDE, "in", OUTSIDE, OUTSIDE, "in", OUTSIDE, "in", "in", OUTSIDE]),
    (("public",), (NETWORK,), (), ["in", OUTSIDE, OUTSIDE, "in", OUTSIDE, OUTSIDE, "in", OUTSIDE, "in", "in", OUTSIDE]),
    (("anyone", NETWORK), (), (), ["sign_in", OUTSIDE, OUTSIDE, "in", OUTSIDE, OUTSIDE, "in", OUTSIDE, "not_allowed", "not_allowed", OUTSIDE]),
    (("group:staff", NETWORK), (), (), ["sign_in", OUTSIDE, OUTSIDE, "in", OUTSIDE, OUTSIDE, "not_allowed", OUTSIDE, "not_allowed", "not_allowed", OUTSIDE]),
    (("group:staff", NETWORK, "network:203.0.113.0/24"), (), (), ["sign_in", "sign_in", OUTSIDE, "in", "in", OUTSIDE, "not_allowed", "not_allowed", "not_allowed", "not_allowed", "in"]),
    (("group:staff",), (NETWORK, "network:10.0.0.0/16"), (), ["sign_in", OUTSIDE, OUTSIDE, "in", OUTSIDE, OUTSIDE, "not_allowed", OUTSIDE, "not_allowed", "not_allowed", OUTSIDE]),
    ((NETWORK,), (), (), ["sign_in", OUTSIDE, OUTSIDE, "not_allowed", OUTSIDE, OUTSIDE, "not_allowed", OUTSIDE, "not_allowed", "not_allowed", OUTSIDE]),
    (None, (NETWORK,), (), ["sign_in", OUTSIDE, OUTSIDE, "not_allowed", OUTSIDE, OUTSIDE, "not_allowed", OUTSIDE, "not_allowed", "not_allowed", OUTSIDE]),
    (("anyone",), (), (NETWORK,), ["denied", "sign_in", "denied_unknown", "denied", "in", "denied_unknown", "denied", "in", "denied", "denied", "in"]),
    (("public",), (), (NETWORK, "email:eve@else.example"), ["denied", "sign_in", "denied_unknown", "denied", "in", "denied_unknown", "denied", "denied", "denied", "denied", "in"]),
    (("anyone",), ("group:staff",), (), ["sign_in"] * 3 + ["in"] * 3 + ["not_allowed"] * 4 + ["in"]),
    (("public",), ("group:staff",), (), ["sign_in"] * 3 + ["in"] * 3 + ["not_allowed"] * 4 + ["in"]),
    (None, ("group:staff",), (), ["sign_in"] * 3 + ["in"] * 3 + ["not_allowed"] * 4 + ["in"]),
    (None, ("group:staff", "domain:else.example"), (), ["sign_in"] * 3 + ["not_allowed"] * 8),
    (None, ("public",), (), ["in"] * 11),
    ((), ("group:staff",), (), ["sign_in"] * 3 + ["not_allowed"] * 8),
    (None, (), (), ["sign_in"] * 3 + ["not_allowed"] * 8),
    (("anyone",), ("org:example",), (), ["sign_in"] * 3 + ["not_allowed"] * 8),
    (("token:read",), (), (), ["token_required"] * 3 + ["not_allowed"] * 5 + ["in", "not_allowed", "in"]),
    (("token:read", "group:staff"), (), (), ["sign_in"] * 3 + ["in"] * 3 + ["not_allowed"] * 2 + ["in", "not_allowed", "in"]),
    (("anyone",), ("token:read",), (), ["token_required"] * 3 + ["not_allowed"] * 7 + ["in"]),
    (("public",), (), ("token:read",), ["in"] * 8 + ["denied", "in", "denied"]),
    (("public",), (), ("email:x@app.example",), ["sign_in"] * 3 + ["in"] * 5 + ["denied_unknown"] * 2 + ["in"]),
]  # fmt: skip


@pytest.mark.parametrize("who", ASKERS)
@pytest.mark.parametrize(("allow", "every", "deny", "answers"), LISTS_TOGETHER)
def test_the_lists_together(allow, every, deny, answers, who):
    def rules(texts: tuple[str, ...]) -> tuple[Rule, ...]:
        return tuple(rule(*text.split(":", 1), text=text) for text in texts)

    policy = policy_of(
        allow=None if allow is None else rules(allow),
        all=rules(every),
        deny=rules(deny),
        sign_in=frozenset({"okta"}),
    )
    decision = decide(policy, GET, ASKERS[who])
    answer = "in" if isinstance(decision, Allow) else getattr(decision, "code", "sign_in")
    assert answer == answers[list(ASKERS).index(who)]


@pytest.mark.parametrize(
    ("allow", "issuers", "answer"),
    [
        (ANYONE, (), (403, "no_sign_in")),
        (ANYONE, ("ci",), (401, "token_required")),
        (rule("token", "read", text="token:read"), (), (401, "token_required")),
        (rule("machine", "deploy", text="machine:deploy"), (), (401, "token_required")),
    ],
)
def test_where_nobody_can_sign_in_a_token_is_asked_for_if_one_could_help(allow, issuers, answer):
    decision = decide(policy_of(allow=(allow,), issuers=frozenset(issuers)), GET, Asker())
    assert (decision.status, decision.code) == answer


def test_whom_an_issuer_vouches_for_is_somebody_though_nobody_signs_in_with_it():
    robot = person("ada@app.example", client="ci")
    policy = policy_of(allow=(ADA,), sign_in=frozenset({"google"}), issuers=frozenset({"ci"}))
    assert decide(policy, GET, Asker((robot,), "", "", frozenset())) == Allow(ADA.text)
    assert isinstance(decide(policy, GET, Asker((person("ada@app.example", client="cd"),))), SignIn)


def test_a_thousand_rules_are_asked_as_one():
    many = tuple(rule("email", f"x{number}@app.example") for number in range(1000))
    policy = policy_of(allow=(*many, ADA), deny=many, sign_in=SIGN_IN)
    assert (len(policy.lets_in), len(policy.refuses)) == (1, 1)
    assert decide(policy, GET, Asker(WHO["ada"])) == Allow(ADA.text)
    refused = decide(policy, GET, Asker(WHO["eve"]))
    assert refused.reason.endswith("and 991 more")
    assert len(refused.reason) < 400


def test_a_reason_names_the_rules_of_all_that_do_not_hold():
    policy = policy_of(
        allow=(ANYONE,), all=(ADA, DOMAIN, rule("group", "x", text="group:x")), sign_in=SIGN_IN
    )
    refused = decide(policy, GET, Asker((person("bob@app.example"),)))
    assert refused.reason == "all must hold, and these don't: email:ada@app.example, group:x"
    assert refused.kinds == ("email", "group")


@pytest.mark.parametrize(
    "texts", [("anyone",), ("anyone", "email:ada@app.example"), ("email:ada@app.example", "anyone")]
)
def test_anyone_among_others_lets_everybody_who_is_known_in_and_nobody_else(texts):
    policy = policy_of(allow=tuple(rule(*t.split(":", 1), text=t) for t in texts), sign_in=SIGN_IN)
    assert isinstance(decide(policy, GET, Asker(WHO["eve"])), Allow)
    assert isinstance(decide(policy, GET, Asker()), SignIn)
    assert isinstance(decide(policy, GET, Asker(scopes=frozenset({"read"}))), Deny)


@pytest.mark.parametrize(("client", "scopes"), [("google", {"read"}), ("other", set())])
def test_scopes_count_where_the_word_of_who_gave_them_does(client, scopes):
    caller = Caller(
        id="1", kind="jwt", identities=(person(client=client),), user_id="u", scopes=frozenset({"read"})
    )
    found = asker_of(caller, policy_of(allow=(ANYONE,), sign_in=SIGN_IN), "192.0.2.1")
    assert found == Asker(caller.identities, "u", "192.0.2.1", frozenset(scopes))


SCOPED_ROUTE = rule("token", "read")


@pytest.mark.parametrize(
    ("client", "scopes", "answer"),
    [
        ("google", {"read"}, Allow),
        ("google", {"write"}, Deny),
        ("google", set(), Deny),
        ("other", {"read"}, Deny),
        ("google", None, Deny),
    ],
    ids=["the scope", "another", "none", "a person who does not count", "a cookie's"],
)
def test_a_session_that_came_by_an_access_token_has_its_scopes(client, scopes, answer):
    session = Session(
        id="s", host="h", created_at=0, seen_at=0, expires_at=9, idle_s=9, user_id="u", identities=(person(client=client),)
    )  # fmt: skip
    policy = policy_of(allow=(SCOPED_ROUTE,), sign_in=SIGN_IN)
    asker = asker_of(session, policy, "", scopes=None if scopes is None else frozenset(scopes))
    assert isinstance(decide(policy, GET, asker), answer)


def some_rules(*texts: str) -> tuple[Rule, ...]:
    clients = {"google": "google", "github": "github", "ci": "ci"}
    return tuple(
        qualified(rule(text.partition(":")[0], text.partition(":")[2], text=text), clients) for text in texts
    )


#: what a person's app gets where `allow` holds these, with the scope and without; and the person's browser
APPS = {
    "the scope or anyone": (["token:write", "anyone"], Allow, Deny, Allow),
    "anyone or the scope": (["anyone", "token:write"], Allow, Deny, Allow),
    "the scope or the person": (["email:ada@app.example", "token:write"], Allow, Deny, Allow),
    "the scope or another person": (["email:eve@app.example", "token:write"], Allow, Deny, Deny),
    "one of two scopes": (["token:admin", "token:write", "anyone"], Allow, Deny, Allow),
    "no scope asked for": (["anyone"], Allow, Allow, Allow),
    "public all the same": (["public", "token:write"], Allow, Allow, Allow),
    "by the word of who signed them in": (["anyone", "token:google/write"], Allow, Deny, Allow),
    "by that of another who signs people in": (["anyone", "token:github/write"], Deny, Deny, Allow),
    "by that of an issuer, which says nothing of apps": (["anyone", "token:ci/write"], Allow, Allow, Allow),
    "from a network": (["network:192.0.2.0/24", "anyone", "token:write"], Allow, Deny, Allow),
    "beside a machine": (["machine:ci", "token:write"], Allow, Deny, Deny),
}


@pytest.mark.parametrize(("texts", "scoped", "unscoped", "person_"), APPS.values(), ids=list(APPS))
def test_a_persons_app_is_let_in_by_its_scopes_alone_where_rules_ask_for_any(
    texts, scoped, unscoped, person_
):
    policy = policy_of(allow=some_rules(*texts), sign_in=SIGN_IN, issuers=frozenset({"ci"}))
    session = Session(
        id="s", host="h", created_at=0, seen_at=0, expires_at=9, idle_s=9, user_id="u",
        identities=(person("ada@app.example"),),
    )  # fmt: skip
    for scopes, answer in (({"write"}, scoped), ({"read"}, unscoped), (set(), unscoped), (None, person_)):
        asker = asker_of(session, policy, "192.0.2.7", scopes=None if scopes is None else frozenset(scopes))
        assert isinstance(decide(policy, GET, asker), answer), scopes
    assert isinstance(decide_on(policy, GET, session, "192.0.2.7", NOW), person_)


def test_a_token_of_an_issuer_is_judged_as_ever():
    """Who comes by a JWT is let in by whichever rule holds."""
    policy = policy_of(allow=some_rules("token:write", "anyone"), sign_in=SIGN_IN, issuers=frozenset({"ci"}))
    caller = Caller(id="1", kind="jwt", identities=(person(client="ci"),), scopes=frozenset({"read"}))
    assert decide(policy, GET, asker_of(caller, policy, "")) == Allow("anyone")


@pytest.mark.parametrize("scopes", [{"read"}, {"write"}])
def test_all_must_hold_for_an_app_too(scopes):
    policy = policy_of(allow=some_rules("token:write", "anyone"), all=some_rules("domain:other.example"), sign_in=SIGN_IN)  # fmt: skip
    asker = Asker((person("ada@app.example"),), scopes=frozenset(scopes), is_app=True)
    assert isinstance(decide(policy, GET, asker), Deny)


def test_an_app_without_the_scope_is_told_that_it_is_the_scope():
    policy = policy_of(allow=some_rules("token:write", "anyone"), sign_in=SIGN_IN)
    asker = Asker((person("ada@app.example"),), scopes=frozenset({"read"}), is_app=True)
    assert decide(policy, GET, asker) == Deny(
        403, "not_allowed", "no rule allows it: token:write, anyone", ("token",)
    )


@pytest.mark.parametrize(("ago_s", "answer"), [(3599.0, Allow), (3600.0, StepUp)])
def test_its_sign_in_is_as_old_as_the_persons(ago_s, answer):
    session = Session(
        id="s", host="h", created_at=0, seen_at=0, expires_at=9, idle_s=9, user_id="u",
        identities=(signed_in(ago_s), signed_in(0.0, client="other")),
    )  # fmt: skip
    policy = policy_of(allow=(ANYONE,), sign_in=SIGN_IN, max_age_s=3600.0)
    assert isinstance(
        decide(policy, GET, asker_of(session, policy, "", NOW, scopes=frozenset({"read"}))), answer
    )


def test_nobody_asks_with_an_address_alone():
    assert asker_of(None, policy_of(allow=(ANYONE,)), "192.0.2.1") == Asker(address="192.0.2.1")


# -- how old a sign-in may be ------------------------------------------------------------------


HOUR = 3600.0
NOW = 1_000_000.0


def signed_in(ago_s: float, client: str = "google") -> Identity:
    return Identity(
        client=client, issuer="https://issuer", subject="1", email="ada@app.example", signed_in_at=NOW - ago_s
    )


OLD_OR_NOT = {
    "just now": ((signed_in(0.0),), Allow),
    "a second before the hour": ((signed_in(HOUR - 1),), Allow),
    "an hour ago": ((signed_in(HOUR),), StepUp),
    "nobody knows when": ((person("ada@app.example"),), StepUp),
    "lately, by somebody who does not count here": (
        (signed_in(2 * HOUR), signed_in(0.0, client="other")),
        StepUp,
    ),
    "lately, by the other who counts": ((signed_in(2 * HOUR), signed_in(5.0, client="github")), Allow),
    "nobody": ((), SignIn),
    "nobody who counts": ((signed_in(0.0, client="other"),), SignIn),
}


@pytest.mark.parametrize("allow", [ANYONE, ADA], ids=lambda rule: rule.text)
@pytest.mark.parametrize(("identities", "answer"), OLD_OR_NOT.values(), ids=list(OLD_OR_NOT))
def test_who_signed_in_too_long_ago_must_do_so_again(identities, answer, allow):
    policy = policy_of(allow=(allow,), sign_in=SIGN_IN, max_age_s=HOUR)
    session = Session(
        id="s", host="h", created_at=NOW, seen_at=NOW, expires_at=NOW, idle_s=1.0, user_id="u", identities=identities
    )  # fmt: skip
    assert isinstance(decide(policy, GET, asker_of(session, policy, "", NOW)), answer)
    every = policy_of(allow=None, all=(allow,), sign_in=SIGN_IN, max_age_s=HOUR)
    assert isinstance(decide(every, GET, asker_of(session, every, "", NOW)), answer)


def test_only_whom_the_rules_let_in_is_asked_to_sign_in_again():
    policy = policy_of(allow=(ADA,), deny=(DOMAIN,), sign_in=SIGN_IN, max_age_s=HOUR)
    assert isinstance(decide(policy, GET, Asker((signed_in(2 * HOUR),), now=NOW)), Deny)
    bob = Identity(client="google", issuer="i", subject="2", email="bob@app.example")
    assert isinstance(
        decide(policy_of(allow=(ADA,), sign_in=SIGN_IN, max_age_s=HOUR), GET, Asker((bob,), now=NOW)), Deny
    )


def test_the_answer_says_how_old_it_may_be():
    policy = policy_of(allow=(ANYONE,), sign_in=SIGN_IN, max_age_s=HOUR)
    assert decide(policy, GET, Asker((signed_in(HOUR),), now=NOW)) == StepUp(
        "only who signed in within 1 hour is let in", HOUR
    )


@pytest.mark.parametrize(
    ("signed_in_at", "answer"),
    [
        pytest.param(0.0, StepUp, id="a token that doesn't say"),
        pytest.param(NOW - 5, Allow, id="a token of somebody who signed in lately"),
        pytest.param(NOW - HOUR, StepUp, id="a token of somebody who signed in long ago"),
        pytest.param(NOW + 60, Allow, id="a token by a clock that is a minute ahead"),
        pytest.param(NOW + 61, StepUp, id="a token of somebody who will have signed in"),
        pytest.param(NOW * 1000, StepUp, id="a token that counts milliseconds"),
        pytest.param(math.inf, Allow, id="a password with this very request"),
    ],
)
def test_a_callers_credential_counts_by_what_it_says_itself(signed_in_at, answer):
    """Threat: a token made a year ago by somebody whose other browser signed in a minute ago."""
    policy = policy_of(allow=(ANYONE,), sign_in=SIGN_IN, max_age_s=HOUR)
    caller = Caller(id="t", kind="jwt", identities=(signed_in(0.0),), signed_in_at=signed_in_at)
    assert isinstance(decide(policy, GET, asker_of(caller, policy, "", NOW)), answer)


def test_without_the_time_every_sign_in_is_too_old():
    policy = policy_of(allow=(ANYONE,), sign_in=SIGN_IN, max_age_s=HOUR)
    assert isinstance(decide(policy, GET, Asker((signed_in(0.0),))), StepUp)


def test_where_nothing_is_asked_nobody_looks_at_the_time():
    policy = policy_of(allow=(ANYONE,), sign_in=SIGN_IN)
    assert decide(policy, GET, Asker((person(),))) == Allow("anyone")
    assert policy.anyone
    assert not policy_of(allow=(ANYONE,), sign_in=SIGN_IN, max_age_s=1.0).anyone


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(60, "1 minute"), (90, "90 seconds"), (3600, "1 hour"), (5400, "90 minutes"), (172800, "2 days"), (0, "0 seconds")],
)  # fmt: skip
def test_times_in_words(seconds, words):
    assert span(seconds) == words


@pytest.mark.parametrize(
    ("changes", "at_once"),
    [
        pytest.param({"allow": (ANYONE,)}, True, id="anyone"),
        pytest.param({"allow": (PUBLIC, ADA)}, True, id="public"),
        pytest.param({"allow": (ADA,)}, False, id="somebody"),
        pytest.param({"allow": (ANYONE,), "deny": (ADA,)}, False, id="not everybody"),
        pytest.param({"allow": (ANYONE,), "methods": frozenset({b"GET"})}, False, id="not by every method"),
        pytest.param({"allow": (ANYONE,), "max_age_s": 60.0}, False, id="not whenever they signed in"),
        pytest.param({"allow": (ANYONE, rule("network", "10.0.0.0/8"))}, False, id="not from everywhere"),
        pytest.param({"allow": (ANYONE,), "all": (ADA,)}, False, id="not everybody either"),
    ],
)
def test_what_is_decided_at_once_is_decided_by_nothing_else(changes, at_once):
    assert policy_of(sign_in=SIGN_IN, **changes).at_once is at_once

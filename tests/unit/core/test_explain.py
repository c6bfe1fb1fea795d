"""Explanations: they agree with decisions, whatever the policy, and say what was seen and what would have to change."""

from __future__ import annotations

import math
import random
from collections import Counter

import msgspec
import pytest

from vestibule.core.claim import LISTS
from vestibule.core.explain import CONDITIONS_LOGGED_MAX, TEXT_MAX_CHARS, Explanation, explain
from vestibule.core.policy import Policy, decide, decide_on, policy_of
from vestibule.core.route import Backend, Host, Route, routes_of
from vestibule.core.rule import Rule, qualified, rule
from vestibule.errors import BadRequest
from vestibule.model import Allow, Asker, Decision, Deny, Identity, Session, SignIn, StepUp
from vestibule.protocol import url

CLIENTS = {"okta": "okta", "github": "github", "ci": "ci"}
COUNT = 100_000


def rules(*texts: str) -> tuple[Rule, ...]:
    return tuple(qualified(rule(*text.split(":", 1), text=text), CLIENTS) for text in texts)


# -- agreement, on policies, askers and methods made by a seeded generator --------------------

RULES = rules(
    "public",
    "anyone",
    *(f"email:{name}@{domain}" for name in "ab" for domain in ("x.example", "y.example")),
    *("email:okta/a@x.example", "domain:x.example", "domain:y.example", "domain:github/x.example"),
    *(f"{kind}:{value}" for kind in ("group", "org", "team", "project", "repo", "role") for value in "mn"),
    *("group:okta/m", "org:GitHub/M", "role:ci/n", "claim:t=1", "claim:t=2", "claim:okta/t=1", "claim:d.e=1"),
    *("user:u1", "user:okta/al", "user:github/al", "token:read", "token:write", "token:ci/read"),
    *("machine:deploy", "machine:other"),
    *("network:10.0.0.0/8", "network:192.0.2.0/24", "network:2001:db8::/32", "phase-of-moon:full"),
)
WEIGHTS = [4 if one.kind in ("public", "anyone", "network", "token", "machine") else 1 for one in RULES]
ADDRESSES = ("10.1.2.3", "192.0.2.9", "203.0.113.9", "2001:db8::1", "::ffff:10.0.0.1", "", "unknown")
METHODS = (b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"get")


def some_policy(chance: random.Random) -> Policy:
    def some(most: int) -> tuple[Rule, ...]:
        return tuple(chance.choices(RULES, WEIGHTS, k=chance.randint(0, most)))

    return policy_of(
        allow=None if chance.random() < 0.25 else some(4),
        all=some(3) if chance.random() < 0.4 else (),
        deny=some(2) if chance.random() < 0.3 else (),
        methods=frozenset(chance.sample(METHODS, 2)) if chance.random() < 0.1 else frozenset(),
        sign_in=frozenset(chance.choice((("okta", "github"), ("okta",), ()))),
        issuers=frozenset(chance.choice(((), (), ("ci",)))),
        max_age_s=chance.choice((0.0, 0.0, 60.0, 3600.0)),
    )


def some_identity(chance: random.Random) -> Identity:
    told = {
        name: tuple(chance.sample("mnM", chance.randint(0, 2))) for name in LISTS if chance.random() < 0.5
    }
    return Identity(
        client=chance.choice(("okta", "github", "ci", "elsewhere")),
        issuer="https://issuer.example",
        subject="1",
        login=chance.choice(("al", "bo", "")),
        email=chance.choice(("a@x.example", "B@Y.example", "a@sub.x.example", "")),
        unknown=tuple(name for name in LISTS if name not in told),
        claims=chance.choice(({}, {"t": 1}, {"t": ["1", "2"]}, {"d": {"e": 1}}, {"t": {"1": 1}})),
        signed_in_at=chance.choice((0.0, 1000.0, 4000.0, 5000.0)),
        **told,  # type: ignore[arg-type]  # lists of a table
    )


def some_asker(chance: random.Random) -> Asker:
    scopes = frozenset(chance.sample(("read", "write", "Read"), chance.randint(0, 2)))
    has_token = chance.random() < 0.3
    return Asker(
        tuple(some_identity(chance) for _ in range(chance.choice((0, 0, 1, 1, 1, 2)))),
        chance.choice(("u1", "u2")),
        chance.choice(ADDRESSES),
        scopes if has_token else None,
        5000.0,
        chance.choice((0.0, 4000.0, 5000.0, math.inf)),
        machine=chance.choice(("", "deploy", "nightly")) if has_token else "",
        is_app=has_token and chance.random() < 0.5,
    )


def session_of(asker: Asker) -> Session:
    return Session(
        id="s",
        host="h",
        created_at=0.0,
        seen_at=0.0,
        expires_at=9e9,
        idle_s=1.0,
        user_id=asker.user_id,
        identities=asker.identities,
    )


def code_of(decision: Decision) -> str:
    match decision:
        case Allow():
            return "in"
        case SignIn():
            return "sign_in"
        case StepUp():
            return "sign_in_too_old"
        case Deny(_, code):
            return code
        case other:
            return repr(other)


def test_explain_agrees_with_decide_on_100_000_requests():
    chance = random.Random(5)
    seen: Counter[str] = Counter()
    policies = [some_policy(chance) for _ in range(COUNT // 20)]
    askers = [some_asker(chance) for _ in range(COUNT // 50)]
    for number in range(COUNT):
        policy, asker, method = (
            policies[number % len(policies)],
            chance.choice(askers),
            chance.choice(METHODS),
        )
        decision, explained = decide(policy, method, asker), explain(policy, method, asker)
        told = (policy, method, asker, decision, explained)
        assert explained.decision == decision, told
        assert explained.answer == code_of(decision), told
        if asker.scopes is None:
            assert decide_on(policy, method, session_of(asker), asker.address, asker.now) == decision, told
        deciding = [one for one in explained.conditions if one.decides]
        if isinstance(decision, Allow):
            names = {one.rule for one in deciding}
            assert decision.reason in names or decision.reason == ", ".join(map(rule_text, policy.all)), told
        elif isinstance(decision, Deny) and decision.kinds:
            assert set(decision.kinds) <= {one.kind for one in deciding}, told
        assert bool(explained.change) is not isinstance(decision, Allow), told
        # Somebody signed in by a client that counts is never sent to sign in: there is no loop.
        has_come = asker.scopes is not None or any(one.client in policy.believed for one in asker.identities)
        assert not (has_come and isinstance(decision, SignIn)), told
        seen[explained.answer] += 1
    # The generator reaches every answer, often enough to mean something.
    assert set(seen) == {
        *("in", "sign_in", "method_not_allowed", "outside_network", "denied", "denied_unknown"),
        *("not_allowed", "no_sign_in", "token_required", "sign_in_too_old"),
    }
    assert min(seen.values()) > COUNT // 1000


def rule_text(one: Rule) -> str:
    return one.text


def test_what_is_shown_of_long_lists_leads_to_the_same_answer():
    chance = random.Random(6)
    for _ in range(5000):
        policy, asker, method = some_policy(chance), some_asker(chance), chance.choice(METHODS)
        explained = explain(policy, method, asker, most=0)
        assert explained.answer == code_of(explained.decision), (policy, method, asker, explained)


@pytest.mark.parametrize(
    ("scopes", "answer", "saw"),
    [
        ({"read"}, "not_allowed", "an app, which gets in here by its scopes alone"),
        ({"write"}, "in", "an app, which gets in here by its scopes alone"),
    ],
)
def test_of_a_persons_app_it_is_told_that_its_scopes_alone_count(scopes, answer, saw):
    policy = policy_of(allow=rules("token:write", "anyone", "token:write"), sign_in=SIGN_IN)
    found = explain(policy, b"GET", Asker((ADA,), "u1", scopes=frozenset(scopes), is_app=True))
    assert found.answer == answer
    assert [one.saw for one in found.conditions if one.rule == "anyone"] == [saw]
    assert found.change == ("show a token with the scope write" if answer != "in" else "")


# -- paths: what is decided on is what is forwarded -------------------------------------------

SEGMENTS = (
    "admin",
    "%61dmin",
    "Admin",
    "..",
    ".",
    "",
    "a%2fb",
    "x;y",
    "admin;x",
    "public",
    "%2e%2e",
    "é",
    "a.b",
    "%",
)


def test_a_path_is_decided_like_its_canonical_form():
    """decide(p) == decide(canonical(p)): also where it is asked for once more, as an edge or a backend would."""
    closed, opened, asked = rules("email:a@x.example"), rules("public"), rules("anyone")
    made = {
        b"": asked,
        b"/admin": closed,
        b"/public": opened,
        b"/admin/public": opened,
        b"/a.b/admin": closed,
    }
    table, depth = routes_of(
        Route(prefix=prefix, backend=Backend(internal="echo"), policy=policy_of(allow=allow, sign_in=frozenset({"okta"})))
        for prefix, allow in made.items()
    )  # fmt: skip
    host = Host(name=b"a.example", title="A", clients={}, routes=table, depth=depth)
    chance = random.Random(7)
    asker = Asker((Identity(client="okta", issuer="i", subject="1", email="b@x.example"),), "u1", "10.0.0.1")
    answers: Counter[str] = Counter()
    for _ in range(COUNT):
        raw = "/" + "/".join(chance.choice(SEGMENTS) for _ in range(chance.randint(0, 5)))
        try:
            target = url.canonical(raw.encode())
        except BadRequest:
            answers["refused"] += 1
            continue
        again = url.canonical(target.full)
        assert again.path == target.path
        decision = decide(host.route(target.path).policy, b"GET", asker)
        assert decide(host.route(again.path).policy, b"GET", asker) == decision
        answers[code_of(decision)] += 1
    assert set(answers) == {"in", "not_allowed", "refused"}


# -- what is said -----------------------------------------------------------------------------

ADA = Identity(
    client="okta",
    issuer="https://okta.example",
    subject="1",
    login="ada",
    email="ada@x.example",
    groups=("staff", "eng"),
    unknown=("orgs", "teams", "projects", "repos", "roles"),
    claims={"team": ["blue", 7]},
)
SIGN_IN = frozenset({"okta", "github"})


def told(allow: tuple[str, ...] | None, *, all: tuple[str, ...] = (), deny: tuple[str, ...] = (), who: Asker) -> Explanation:  # noqa: A002 - as in the configuration  # fmt: skip
    policy = policy_of(
        allow=None if allow is None else rules(*allow), all=rules(*all), deny=rules(*deny), sign_in=SIGN_IN
    )
    return explain(policy, b"GET", who)


NOBODY = Asker(address="203.0.113.9")
AT_HOME = Asker((ADA,), "u1", "10.0.0.7")


@pytest.mark.parametrize(
    ("text", "who", "verdict", "saw"),
    [
        ("public", NOBODY, "holds", "anybody"),
        ("anyone", NOBODY, "fails", "nobody is signed in"),
        ("anyone", AT_HOME, "holds", "signed in by okta"),
        ("email:ada@x.example", AT_HOME, "holds", "ada@x.example by okta"),
        ("email:bob@x.example", NOBODY, "unknown", "nobody is signed in"),
        ("email:github/ada@x.example", AT_HOME, "fails", "signed in by okta"),
        ("domain:y.example", AT_HOME, "fails", "ada@x.example by okta"),
        ("domain:y.example", Asker((msgspec.structs.replace(ADA, email=""),)), "unknown", "no verified address by okta"),
        ("group:staff", AT_HOME, "holds", "groups: staff, eng by okta"),
        ("org:x", AT_HOME, "unknown", "okta said nothing of orgs"),
        ("group:x", Asker((msgspec.structs.replace(ADA, groups=()),)), "fails", "groups: none by okta"),
        ("claim:team=7", AT_HOME, "holds", "blue, 7 by okta"),
        ("claim:level=7", AT_HOME, "unknown", "no claim level by okta"),
        ("user:u1", AT_HOME, "holds", "u1"),
        ("user:okta/eve", AT_HOME, "fails", "login ada by okta"),
        ("network:10.0.0.0/8", AT_HOME, "holds", "10.0.0.7"),
        ("network:10.0.0.0/8", NOBODY, "fails", "203.0.113.9"),
        ("network:10.0.0.0/8", Asker(), "unknown", "no address"),
        ("token:read", AT_HOME, "fails", "no token"),
        ("token:read", Asker(scopes=frozenset({"read", "admin"})), "holds", "scopes: admin, read"),
        ("anyone", Asker(scopes=frozenset()), "fails", "a token that says nobody's name"),
        ("machine:ci", Asker(scopes=frozenset(), machine="ci"), "holds", "machine ci"),
        ("machine:ci", Asker(scopes=frozenset(), machine="cd"), "fails", "machine cd"),
        ("machine:ci", NOBODY, "fails", "no machine"),
        ("email:a@x.example", Asker(scopes=frozenset(), machine="ci"), "unknown", "machine ci"),
    ],
)  # fmt: skip
def test_a_condition_says_what_it_saw(text: str, who: Asker, verdict: str, saw: str):
    (condition,) = told((text,), who=who).conditions
    assert (condition.list, condition.rule, condition.verdict, condition.saw) == ("allow", text, verdict, saw)


@pytest.mark.parametrize(
    ("explained", "answer", "change"),
    [
        (told(("anyone",), who=AT_HOME), "in", ""),
        (told(("anyone",), who=NOBODY), "sign_in", "sign in by github or okta"),
        (told(("email:bob@x.example", "group:admins"), who=AT_HOME), "not_allowed", "sign in as bob@x.example or have admins among one's groups"),
        (told(("anyone", "network:10.0.0.0/8"), who=NOBODY), "outside_network", "come from 10.0.0.0/8; sign in"),
        (told(("public", "network:10.0.0.0/8", "network:192.0.2.0/24"), who=NOBODY), "outside_network", "come from 10.0.0.0/8 or come from 192.0.2.0/24"),
        (told(("anyone",), deny=("email:ada@x.example",), who=AT_HOME), "denied", "take `email:ada@x.example` out of deny, or come as somebody for whom it doesn't hold"),
        (told(("anyone",), deny=("org:x",), who=AT_HOME), "denied_unknown", "come by a provider that tells orgs"),
        (told(("public",), deny=("org:x",), who=NOBODY), "sign_in", "sign in by github or okta"),
        (told(("domain:y.example",), all=("group:admins", "network:192.0.2.0/24"), who=AT_HOME), "outside_network", "have admins among one's groups; come from 192.0.2.0/24; sign in with a verified address in y.example"),
        (told(None, all=("group:admins", "anyone"), who=AT_HOME), "not_allowed", "have admins among one's groups"),
        (told(("token:read",), who=NOBODY), "token_required", "show a token with the scope read"),
        (told((), who=AT_HOME), "not_allowed", "write a rule into allow: it lets nobody in"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_an_explanation_says_what_would_have_to_change(explained: Explanation, answer: str, change: str):
    assert (explained.answer, explained.change) == (answer, change)


def test_a_method_is_a_condition_too():
    policy = policy_of(allow=rules("public"), methods=frozenset((b"GET", b"HEAD")))
    explained = explain(policy, b"POST", NOBODY)
    (condition, _) = explained.conditions
    assert (condition.rule, condition.saw, condition.decides) == ("GET, HEAD", "POST", True)
    assert explained.change == "ask by GET or HEAD"


def test_the_conditions_that_decided_are_told_apart():
    explained = told(("anyone",), deny=("email:ada@x.example", "email:bob@x.example"), who=AT_HOME)
    assert [(one.rule, one.decides) for one in explained.conditions] == [
        ("email:ada@x.example", True),
        ("email:bob@x.example", False),
        ("anyone", False),
    ]


def test_values_that_are_too_long_or_would_steer_a_terminal_are_shown_tamed():
    loud = msgspec.structs.replace(
        ADA, email="\x1b[31m@x.example", groups=tuple("abcdefghijklm"), claims={"team": "x" * 1000}
    )
    shown = told(("email:a@b.example", "group:z", "claim:team=y"), who=Asker((loud,), "u1")).conditions
    assert "\x1b" not in shown[0].saw
    assert shown[1].saw == "groups: a, b, c, d, e, f, g, h, i, j and 3 more by okta"
    assert len(shown[2].saw) < TEXT_MAX_CHARS + 20


def test_a_line_of_the_log_begins_with_what_decided_and_has_an_end():
    many = tuple(f"email:x{number}@x.example" for number in range(5000))
    policy = policy_of(allow=rules("anyone"), deny=rules(*many, "email:ada@x.example"), sign_in=SIGN_IN)
    explained = explain(policy, b"GET", AT_HOME, most=CONDITIONS_LOGGED_MAX)
    brief = explained.brief()
    assert brief[0] == "deny email:ada@x.example: holds (ada@x.example by okta)"
    assert brief[-1] == "and 2 more"
    assert len(brief) == CONDITIONS_LOGGED_MAX + 1

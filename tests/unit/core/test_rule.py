"""Rules: what they ask, whose word they take, and that a thousand of one kind are one question."""

from __future__ import annotations

import pytest

from vestibule.core.rule import Question, qualified, questions_of, rule
from vestibule.model import Asker, Identity

CLIENTS = {"okta": "okta", "github": "github", "10.0.0.0": "10.0.0.0", "https:": "https:"}
ADA = Identity(client="okta", issuer="https://okta", subject="1", email="ada@app.example", groups=("staff",))
BOB = Identity(client="github", issuer="https://github", subject="2", email="bob@app.example")


def one(*texts: str) -> Question:
    """The one question that these rules ask."""
    (question,) = questions_of(qualified(rule(*text.split(":", 1), text=text), CLIENTS) for text in texts)
    return question


def verdict(text: str, *known: Identity, address: str = "", scopes: frozenset[str] | None = None):
    question = one(text)
    found = question.ask(question, known, Asker(known, "u1", address, scopes))
    return found if found is None else bool(found)


# -- networks ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "address", "holds"),
    [
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.0.0.0/8", "::ffff:10.1.2.3", True),
        ("10.0.0.0/8", "fe80::1", False),
        ("10.0.0.7", "10.0.0.7", True),
        ("10.0.0.7", "10.0.0.8", False),
        ("0.0.0.0/0", "203.0.113.9", True),
        ("0.0.0.0/0", "2001:db8::1", False),
        ("2001:db8::/32", "2001:DB8:1::9", True),
        ("2001:db8::/32", "10.0.0.1", False),
        ("10.0.0.0/8", "", None),
        ("0.0.0.0/0", "", None),
        ("0.0.0.0/0", "unknown", None),
        ("10.0.0.0/8", "10.1", None),
        ("10.0.0.0/8", "0x0a.0.0.1", None),
        ("10.0.0.0/8", "010.0.0.1", None),
        ("fe80::/10", "fe80::1%eth0", None),
        ("10.0.0.0/8", "10.0.0.1:443", None),
        ("10.0.0.0/8", "10.0.0.1, 203.0.113.9", None),
    ],
)
def test_a_network_holds_whole_addresses_in_one_spelling_and_what_is_none_is_unknown(network, address, holds):
    assert verdict(f"network:{network}", address=address) is holds


def test_a_network_says_which_of_several_it_was():
    question = one("network:10.0.0.0/8", "network:192.0.2.0/24")
    found = question.ask(question, (), Asker(address="192.0.2.7"))
    assert found is not None
    assert found is not False
    assert found.text == "network:192.0.2.0/24"


def test_a_network_is_nobodys_word():
    """Threat: a client of the ID `10.0.0.0`, which would make a rule on the network `8` of it."""
    assert qualified(rule("network", "10.0.0.0/8"), CLIENTS).provider == ""


# -- tokens -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "known", "scopes", "holds"),
    [
        ("token:read", (), None, False),
        ("token:read", (ADA,), None, False),
        ("token:read", (), frozenset(), False),
        ("token:read", (), frozenset({"read"}), True),
        ("token:read", (ADA,), frozenset({"write", "read"}), True),
        ("token:read", (ADA,), frozenset({"Read", "reader", "read:all"}), False),
        ("token:read:all", (ADA,), frozenset({"read:all"}), True),
        ("token:https://api.example/read", (ADA,), frozenset({"https://api.example/read"}), True),
        ("token:okta/read", (ADA,), frozenset({"read"}), True),
        ("token:okta/read", (BOB,), frozenset({"read"}), False),
        ("token:okta/read", (), frozenset({"read"}), False),
        ("token:okta/read", (ADA,), None, False),
    ],
)
def test_a_token_holds_only_for_who_shows_one_with_that_scope(text, known, scopes, holds):
    question = one(text) if "https:" not in text else questions_of((rule(*text.split(":", 1)),))[0]
    found = question.ask(question, known, Asker(known, "u1", "", scopes))
    assert bool(found) is holds
    assert found is not None


# -- many rules -------------------------------------------------------------------------------


def test_rules_of_one_kind_on_one_providers_word_are_one_question():
    texts = (
        *(f"email:x{number}@app.example" for number in range(1000)),
        "group:staff",
        "email:ada@app.example",
        "group:okta/staff",
        "group:okta/admins",
        "claim:team=blue",
        "claim:team=red",
        "claim:level=3",
    )
    asked = questions_of(qualified(rule(*text.split(":", 1), text=text), CLIENTS) for text in texts)
    assert [(one.kind, one.provider, len(one.rules)) for one in asked] == [
        ("email", "", 1001),
        ("group", "", 1),
        ("group", "okta", 2),
        ("claim", "", 2),
        ("claim", "", 1),
    ]


@pytest.mark.parametrize(
    ("texts", "known", "first"),
    [
        (("email:bob@app.example", "email:ada@app.example"), (ADA, BOB), "email:bob@app.example"),
        (("email:x@app.example", "email:ada@app.example"), (ADA, BOB), "email:ada@app.example"),
        (("group:x", "group:b", "group:a"), (Identity(client="okta", issuer="i", subject="1", groups=("a", "b")),), "group:b"),
        (("org:X", "org:B"), (Identity(client="okta", issuer="i", subject="1", orgs=("a", "b")),), "org:B"),
        (("claim:t=2", "claim:t=1"), (Identity(client="okta", issuer="i", subject="1", claims={"t": [1, 2]}),), "claim:t=2"),
    ],
)  # fmt: skip
def test_of_several_that_hold_the_first_written_is_named(texts, known, first):
    question = one(*texts)
    found = question.ask(question, known, Asker(known))
    assert found
    assert found.text == first


def test_an_unknown_kind_of_rule_is_never_answered():
    assert verdict("phase-of-moon:full", ADA) is None

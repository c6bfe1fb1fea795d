"""The block `people`: what it may say, and what it means."""

from __future__ import annotations

import pytest

from tests.unit.config.conftest import Desk
from vestibule.core.registration import Question, Rules

HOST = 'host "a.example" {\n  backend = "localhost:1"\n  access { allow = ["public"] }\n}\n'


def rules(desk: Desk, text: str) -> Rules:
    return desk.load(HOST + text).checked.people


def test_without_the_block_anybody_may_become_a_user(desk: Desk) -> None:
    assert rules(desk, "") == Rules()


def test_everything_that_can_be_said(desk: Desk) -> None:
    text = """
people {
  registration         = "form"
  allow_all_users      = false
  allowed_domains      = ["Example.com", "bücher.example", "*"]
  link_verified_emails = true
  terms_url            = "https://example.com/terms"
  field "company" {
    label    = "Company"
    hint     = "As on your badge"
    required = true
  }
}
people {
  privacy_url = "/privacy"
  field "phone" { }
}
"""
    assert rules(desk, text) == Rules(
        registration="form",
        allow_all_users=False,
        allowed_domains=("example.com", "xn--bcher-kva.example", "*"),
        link_verified_emails=True,
        questions=(
            Question(name="company", label="Company", hint="As on your badge", required=True),
            Question(name="phone", label="phone"),
        ),
        terms_url="https://example.com/terms",
        privacy_url="/privacy",
    )


@pytest.mark.parametrize(
    ("inside", "fault"),
    [
        ('registration = "forms"', '`registration` is one of "auto", "form", "invite", "closed"; did you mean `form`?'),
        ("allowed_domains = []", 'the list is empty: write domains, or ["*"] for everybody'),
        ('allowed_domains = ["@example.com"]', "`allowed_domains` holds names of domains"),
        ('allowed_domains = ["*.example.com"]', "`allowed_domains` holds names of domains"),
        ('allowed_domains = ["https://example.com"]', "`allowed_domains` holds names of domains"),
        ('field "Company" { }', "a field's name is lower-case letters, digits and `_`: company_size"),
        ('field "email" { }', "the form has a field `email` already"),
        ('field "a" { }\nfield "a" { }', "there are two fields named `a`"),
        ('terms_url = "javascript:alert(1)"', "`terms_url` is an address"),
        ('terms_url = "//evil.example"', "`terms_url` is an address"),
        ('privacy_url = "example.com"', "`privacy_url` is an address"),
        ("fields = []", "there is no attribute `fields` here; did you mean `field`?"),
        ('allow_all_users = "yes"', "`allow_all_users`"),
    ],
)  # fmt: skip
def test_what_can_not_be_is_said_with_its_place(desk: Desk, inside: str, fault: str) -> None:
    found = desk.faults(f"{HOST}people {{\n{inside}\n}}\n")
    assert len(found) == 1, found
    assert fault in found[0]
    assert found[0].startswith(("v.hcl:6:", "v.hcl:7:"))


@pytest.mark.parametrize(
    ("inside", "warning"),
    [
        ('field "a" { }', "only the form shows this"),
        ('terms_url = "/terms"', "only the form shows this"),
        ('registration = "closed"\nallow_all_users = true', "nobody new gets in"),
    ],
)
def test_what_says_nothing_is_warned_of(desk: Desk, inside: str, warning: str) -> None:
    assert [one for one in desk.warnings(f"{HOST}people {{\n{inside}\n}}\n") if warning in one]

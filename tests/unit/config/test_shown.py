"""The configuration as anybody may read it: canaries in every place where a secret can stand."""

from __future__ import annotations

import pytest

from tests.unit.config.conftest import Desk
from vestibule.config import hcl
from vestibule.config.load import load
from vestibule.config.place import Place
from vestibule.config.shown import blocks_of, marked_blocks, masked_text, variables_of

WHSEC = "whsec_Q0FOQVJZLW9mLWEtd2ViaG9vay0xMjM0NTY3ODkw"
HASH = "$2y$05$abcdefghijklmnopqrstuu5s1sTh0bGPSkLZ8bTfoHQ8xUhn7Jw7a"
WHOLE = f"""
# old_secret = "CANARY-comment"
gateway {{
  http = ["127.0.0.1:18080"] // CANARY-comment
}}
store {{
  url      = "postgresql://usr:CANARY-db%40x@db.example/vest?sslmode=verify-full"
  sessions = "redis+sentinel://ru:CANARY-redis@h1:26379/prim?sentinel_user=su&sentinel_password=CANARY-sentinel"
}}
provider "op" {{
  type          = "oidc"
  issuer        = "https://op.example"
  client_id     = "app"
  client_secret = "CANARY-literal"
  authorize_parameter {{
    name  = "tok"
    value = "CANARY-parameter"
  }}
  authorize_parameter {{
    name  = "prompt"
    value = "login"
  }}
  claims {{
    groups = "roles"
  }}
}}
provider "k" {{
  type        = "oidc"
  issuer      = env("ISSUER")
  client_id   = "a-${{env("ID")}}"
  private_key = file("key.pem")
}}
provider "in" {{
  type          = "oidc"
  issuer        = "https://in.example"
  client_id     = "app"
  client_secret = "pre-${{env("CANARY_ENV")}}"
}}
oauth "plain" {{
  client_id        = "x"
  client_secret    = env("CANARY_ENV")
  authorize_url    = "https://p.example/a?key=CANARY-query"
  access_token_url = "https://p.example/t"
  scopes           = ["a", "b"]
}}
issuer "iss" {{
  url               = "https://iss.example"
  introspection_url = "https://iss.example/i"
  client_id         = "me"
  client_secret     = "CANARY-issuer"
}}
host "app.example.com" {{
  backend    = "127.0.0.1:3000"
  sign_in    = ["op", "k", "in"]
  issuers    = ["iss"]
  public_url = "https://app.example.com"
  access {{
    allow = ["anyone", "email:x@y.example"]
  }}
  header "X-Key" {{
    value = "CANARY-header"
  }}
  header "X-Made" {{
    value = "Bearer ${{env("CANARY_ENV")}}"
  }}
  header "X-Mail" {{
    value = "{{user.email}}"
  }}
  header "X-Gone" {{
    remove = true
  }}
  answer_header "X-Answer" {{
    value = "CANARY-answer {{host}}"
  }}
  route "/r/" {{
    max_body = 10
    header "X-Route" {{
      value = "CANARY-route"
    }}
  }}
}}
serving "s" {{
  port    = 19999
  backend = "127.0.0.1:3001"
  apikey_auth {{
    users = <<-END
      CANARY-user:{HASH}
    END
  }}
}}
secret "s1" {{
  value = "CANARY-secret"
}}
secret "s2" {{
  value = file("key.pem")
}}
client_credentials "cc" {{
  client_id     = "c"
  client_secret = "CANARY-own"
  token_url     = "https://p.example/t"
}}
call "api" {{
  port     = 19998
  endpoint = "https://api.example"
  hosts    = ["app.example.com"]
  auth {{
    name       = "x-s"
    credential = "secret:s1"
  }}
  auth {{
    name       = "x-f"
    credential = "secret:s2"
  }}
  auth {{
    name       = "x-c"
    credential = "client_credentials:cc"
  }}
}}
webhook "ops" {{
  url        = "https://hooks.example/services/T0/CANARY-hook?x=CANARY-hook-query"
  secret     = "{WHSEC}"
  old_secret = env("CANARY_HOOK")
}}
"""
ENVIRON = {
    "ISSUER": "https://k.example/CANARY-from-the-environment",
    "ID": "CANARY-id",
    "CANARY_ENV": "CANARY-env",
    "CANARY_HOOK": WHSEC,
}
HIDDEN = ("CANARY-", "Q0FOQVJZ", "$2y$", "PRIVATE KEY")


@pytest.fixture(scope="module")
def key() -> str:
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - for this alone
    from cryptography.hazmat.primitives.asymmetric import rsa  # noqa: PLC0415 - for this alone

    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return made.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


@pytest.fixture
def document(desk: Desk, key: str) -> hcl.Block:
    desk.file(key, "key.pem")
    return desk.load(WHOLE, environ=ENVIRON).document


def test_no_secret_is_shown_wherever_it_stands(document: hcl.Block) -> None:
    told = "\n".join(one.text for one in blocks_of(document))
    assert not [word for word in HIDDEN if word in told]
    assert told.count('"***"') == 16


def test_all_else_is_shown_as_it_is_written(document: hcl.Block) -> None:
    texts = {(one.kind, one.name): one.text for one in blocks_of(document)}
    assert list(texts) == [
        ("gateway", ""),
        ("store", ""),
        *(("provider", name) for name in ("op", "k", "in")),
        ("oauth", "plain"),
        ("issuer", "iss"),
        ("host", "app.example.com"),
        ("serving", "s"),
        *(("secret", name) for name in ("s1", "s2")),
        ("client_credentials", "cc"),
        ("call", "api"),
        ("webhook", "ops"),
    ]
    assert texts["provider", "k"] == (
        'provider "k" {\n  type = "oidc"\n  issuer = env("ISSUER")\n  client_id = "a-${env("ID")}"\n'
        '  private_key = "***"\n}'
    )
    assert 'url = "postgresql://***@db.example/vest?sslmode=verify-full"' in texts["store", ""]
    assert "h1:26379/prim?sentinel_user=su&sentinel_password=***" in texts["store", ""]
    assert 'url = "https://hooks.example/***"' in texts["webhook", "ops"]
    assert 'authorize_url = "https://p.example/a?key=***"' in texts["oauth", "plain"]
    host = texts["host", "app.example.com"]
    for line in (
        'value = "{user.email}"',
        "remove = true",
        "max_body = 10",
        'allow = ["anyone", "email:x@y.example"]',
    ):
        assert line in host
    op = texts["provider", "op"]
    assert 'value = "login"' in op
    assert 'groups = "roles"' in op


def test_variables_are_named(document: hcl.Block) -> None:
    assert variables_of(document) == ("CANARY_ENV", "CANARY_HOOK", "ID", "ISSUER")


def test_what_stands_in_the_environment_alone_is_shown_by_the_same_rules() -> None:
    environ = {
        "VESTIBULE_BACKEND": "127.0.0.1:3000",
        "VESTIBULE_PROVIDER_TYPE": "google",
        "VESTIBULE_CLIENT_ID": "id-1",
        "VESTIBULE_CLIENT_SECRET": "CANARY-client",
        "VESTIBULE_ALLOWED_DOMAINS": "example.com",
        "VESTIBULE_STORE_URL": "postgresql://u:CANARY-db@localhost/x",
    }
    document = load((), environ).document
    told = "\n".join(one.text for one in blocks_of(document))
    assert "CANARY" not in told
    assert 'client_id = "id-1"' in told
    assert "VESTIBULE_CLIENT_SECRET" in variables_of(document)
    assert "VESTIBULE_STORE_URL" in variables_of(document)


def test_what_nobody_knows_is_hidden() -> None:
    at = Place("x.hcl", 1, 1)
    attribute = hcl.Attribute("pasword", hcl.Value("CANARY", at), at)
    inner = hcl.Block("nonsense", at, (), {"a": attribute})
    block = hcl.Block("host", at, (hcl.Value("h", at),), {"pasword": attribute}, (inner,))
    [shown] = blocks_of(hcl.Block("", at, (), {}, (block,)))
    assert shown.text == 'host "h" {\n  pasword = "***"\n  nonsense {\n    a = "***"\n  }\n}'


def test_a_mark_stands_behind_all_that_can_not_be_seen_and_is_made_of_what_it_is(document: hcl.Block) -> None:
    marked: list[object] = []

    def mark(data: object) -> str:
        marked.append(data)
        return "<>"

    lines = [line for _, lines in marked_blocks(document, mark) for line in lines]
    assert '  client_secret = "***"<>' in lines
    assert '  issuer = env("ISSUER")<>' in lines
    assert "  port = 19998" in lines
    assert {"CANARY-literal", "CANARY-env", "pre-CANARY-env", ENVIRON["ISSUER"]} <= {
        one for one in marked if isinstance(one, str)
    }


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("v.hcl:3:1: `https://u:CANARY@h/x`: is no server", "v.hcl:3:1: `https://***@h/x`: is no server"),
        ("see https://h/x?a=CANARY&b=CANARY for more", "see https://h/x?a=***&b=*** for more"),
        ("nothing to hide: a@b.example", "nothing to hide: a@b.example"),
    ],
)
def test_sentences_lose_what_stands_in_their_urls(text: str, shown: str) -> None:
    assert masked_text(text) == shown

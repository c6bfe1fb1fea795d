"""The manual of the configuration, made from the docstrings of its classes.

`python -m vestibule.config.manual > docs/configuration.md`; a test keeps the file current.
"""

from __future__ import annotations

import ast
import functools
import inspect
import sys
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from vestibule import providers
from vestibule.config import schema, schema_branding
from vestibule.config.client import fields_of
from vestibule.config.environment import OVERRIDABLE
from vestibule.config.schema_tls import Dns, ExternalAccount
from vestibule.config.shape import Field, Node, shape_of
from vestibule.model import Secret

_HEAD = """\
# Configuration

<!-- Made by `python -m vestibule.config.manual`; the text stands in src/vestibule/config/schema.py
     and src/vestibule/providers. -->

The configuration is HCL: `name = value` and blocks, in one file or many, in any order. `vestibule check FILE…` finds
every fault and names its place; nothing that would have no effect is accepted.

- Values are texts (`"…"`, with `\\n`, `\\t`, `\\"`, `\\\\`, `\\u00e9`), numbers, `true`, `false`, `null` (as if not
  written), lists `["a", "b"]`, objects `{ name = "value" }` and texts of several lines (`<<END … END`, `<<-END` without
  the common indentation). Comments are `#`, `//` and `/* … */`.
- `${env("NAME")}` and `${file("PATH")}` inside a text (or bare: `env("NAME")`) are replaced once, when the files are
  read. A file's last line break is dropped; its path counts from the folder of the file it is named in, as does every
  other path. `$${` is a plain `${`. Nothing else is computed.
- Unlike HashiCorp's own reader, this one takes a block on one line with several attributes or blocks in it:
  `access { allow = ["anyone"] deny = ["email:bob@example.com"] }`.
- Blocks of later versions, and rules that are not known, are faults, never ignored.

```hcl
gateway {
  http            = ["0.0.0.0:8000"]
  trusted_proxies = ["10.0.0.0/8"]
}

provider "google" {
  client_id     = "${env("GOOGLE_CLIENT_ID")}"
  client_secret = "${file("google.secret")}"
  hosted_domain = "example.com"
}

host "forum.example.com" {
  backend    = "localhost:3000"
  public_url = "https://forum.example.com"
  sign_in    = ["google"]
  access {
    allow = ["domain:example.com"]
  }
  route "/public/" {
    access {
      allow = ["public"]
    }
  }
}

call "google" {
  port     = 4848
  endpoint = "www.googleapis.com"
  apply_header "Authorization" {
    secret = "session:google"
  }
}
```

"""

_TAIL = """\
## Without a file

`vestibule serve` without a file stands in front of one app, or is the auth service of a domain;
[deploy.md](deploy.md) has the steps for both.

| variable | in front of one app |
|---|---|
| `VESTIBULE_BACKEND` | the app: `host:port`, or whatever `backend` takes |
| `VESTIBULE_ALLOWED_DOMAINS`, `VESTIBULE_ALLOWED_EMAILS` | comma lists, at least one of the two; `*` means everyone |
| `VESTIBULE_PUBLIC_URL` | `https://app.example.com`: what people see; with it the port is open to other machines |

| variable | as the auth service of a domain |
|---|---|
| `VESTIBULE_ROOT_DOMAIN` | `example.com`: the service is `auth.example.com`; `localhost` stays itself |
| `VESTIBULE_SESSION_KEY` | 32 random characters or more; required here |
| `VESTIBULE_ALLOWED_DOMAINS` | a comma list of e-mail domains; every person needs a verified address in one, always |
| `VESTIBULE_ALLOW_ALL_USERS` | `true`: whoever has such an address may register; else only people who were invited |
| `VESTIBULE_PUBLIC_URL` | where it isn't `https://auth.` and the domain: another port |
| `VESTIBULE_APPS` | `app=127.0.0.1:3000, wiki=127.0.0.1:3001`: hosts of the domain; without `=`, edges ask about it |
| `VESTIBULE_SSO` | `cookie` without it: one session cookie for all; `handoff`: one a host ([domains.md](domains.md)) |
| `VESTIBULE_COOKIE` | the one cookie's name; `X-Nuon-Auth` where the variables are those of the text on Nuon |
| `VESTIBULE_SESSION_TOKEN` | `jwt`: that cookie holds a signed token |

| variable | in both |
|---|---|
| `VESTIBULE_PROVIDER_TYPE` | any kind of provider; it is also the client's ID: register `…/@google/callback` |
| `VESTIBULE_CLIENT_ID`, `VESTIBULE_CLIENT_SECRET` | as registered with the provider |
| `VESTIBULE_ISSUER_URL` | for `oidc` |
| `VESTIBULE_REDIRECT_URL`, `VESTIBULE_ALLOWED_ORGS`, … | any other setting of the kind; a list has commas |
| `PORT` | 8000 without it |
| `VESTIBULE_SESSION_KEY` | stands for the key file, also beside a configuration file: 32 random characters or more |

"""

#: blocks in the order of the manual, with where they stand
_BLOCKS: tuple[tuple[str, type[Node], str, str], ...] = (
    ("gateway", schema.Gateway, "", ""),
    ("acme", schema.Acme, "", ""),
    ("external_account", ExternalAccount, "in `acme`", ""),
    ("dns", Dns, "in `acme`", ""),
    ("host", schema.Host, "", ""),
    ("access", schema.Access, "in `host`, `route` and `tool`", ""),
    ("route", schema.Route, "in `host`", ""),
    ("tool", schema.Tool, "in `host` and `route`", ""),
    ("header", schema.Header, "in `host` and `route`, as does `answer_header`", ""),
    ("apikey_auth", schema.ApikeyAuth, "in `host`", ""),
    ("require_jwt", schema.RequireJwt, "in `host` and `route`", ""),
    ("issuer", schema.Issuer, "", ""),
    ("domain", schema.Domain, "", ""),
    ("provider", schema.Provider, "at top level or in `host`", ""),
    ("oauth", schema.OAuth, "at top level or in `host`", "oauth2"),
    ("authorize_parameter", schema.AuthorizeParameter, "in `provider` and `oauth`", ""),
    ("app", schema.App, "", ""),
    ("machine", schema.Machine, "", ""),
    ("call", schema.Call, "at top level or in `host`", ""),
    ("auth", schema.Auth, "in `call`", ""),
    ("apply_header", schema.ApplyHeader, "in `call`", ""),
    ("operation", schema.Operation, "in `call`", ""),
    ("serving", schema.Serving, "", ""),
    ("secret", schema.SecretValue, "", ""),
    ("client_credentials", schema.ClientCredentials, "", "client_credentials"),
    ("service_account", schema.ServiceAccount, "", "service_account"),
    ("admin", schema.Admin, "", ""),
    ("store", schema.Store, "", ""),
    ("lifetimes", schema.Lifetimes, "", ""),
    ("people", schema.People, "", ""),
    ("field", schema.PeopleField, "in `people`", ""),
    ("branding", schema_branding.Branding, "at top level or in `host`", ""),
    ("webhook", schema.Webhook, "", ""),
    ("audit", schema.Audit, "", ""),
    ("log", schema.Log, "", ""),
    ("component", schema.Component, "in `log`", ""),
    ("tracing", schema.Tracing, "", ""),
    ("header", schema.TraceHeader, "in `tracing`", ""),
)
#: kinds that stand in blocks of their own
_OWN_BLOCKS = frozenset({"oauth2", "client_credentials", "service_account"})
_HEADINGS = ("any type", "the type `oidc`")
"""Of `providers.COMMON`: each is shown once, and the kinds that have it refer to it."""


def manual() -> str:
    """The whole manual, as Markdown."""
    parts = [_HEAD]
    for name, cls, where, kind in _BLOCKS:
        parts += _block(name, cls, where, kind)
        if name == "provider":
            parts += _kinds()
    parts.append(_TAIL)
    overridden = ", ".join(f"`{name}`" for name in OVERRIDABLE)
    parts.append(
        f"Attributes of {overridden} can also be set by `VESTIBULE_<BLOCK>_<ATTRIBUTE>` "
        "(`VESTIBULE_GATEWAY_HTTP=127.0.0.1:9000`; lists with commas), which goes before what the files say.\n"
    )
    return "".join(parts)


def _block(name: str, cls: type[Node], where: str, kind: str) -> Iterator[str]:
    label = f' "{_label(cls)}"' if cls.LABEL else ""
    yield f"## `{name}{label}`\n\n"
    yield f"{'Stands ' + where + '. ' if where else ''}{_prose(cls.__doc__)}\n\n"
    texts = texts_of(cls)
    if cls is schema.Route:
        texts = texts | dict.fromkeys(texts_of(schema.Passing), "As in `host`.")
    shape = shape_of(cls)
    fields = _own_first(shape.attributes)
    rows = [_row(field, cls, texts[field.name], required=field.name in cls.REQUIRED) for field in fields]
    if kind:
        rows = [*_kind_rows(providers.BUILTIN[kind]), *rows]
    blocks = _own_first(shape.blocks)
    yield from _table(rows)
    if blocks:
        yield "Blocks in it:\n\n"
        yield "".join(f"- `{field.name}`: {_prose(texts[field.name])}\n" for field in blocks) + "\n"


def _own_first(fields: Mapping[str, Field]) -> list[Field]:
    """Each field once, with those that hosts and routes have in common behind the others."""
    found = [field for written, field in fields.items() if written == field.name]
    return sorted(found, key=lambda field: field.name in texts_of(schema.Passing))


def _kinds() -> Iterator[str]:
    """Every kind of provider, each with what it has beyond what was shown before it."""
    shown: set[str] = set()
    for common, heading in zip(providers.COMMON, _HEADINGS, strict=True):
        rows = [row for row in _kind_rows(common) if row not in shown]
        shown |= set(rows)
        yield f"### `provider` of {heading}\n\n{_prose(common.__doc__)}\n\n"
        yield from _table(rows)
    for kind, cls in providers.BUILTIN.items():
        if kind in _OWN_BLOCKS or cls in providers.COMMON:
            continue
        numbers = [n for n, common in enumerate(providers.COMMON) if issubclass(cls, common)]
        inherited = set(_kind_rows(providers.COMMON[numbers[-1]])) if numbers else set()
        rows = [row for row in _kind_rows(cls) if row not in inherited]
        beside = (
            f"{'Besides' if rows else 'Its attributes'}: those of {_HEADINGS[numbers[-1]]}."
            if numbers
            else ""
        )
        yield f"### `provider` of the type `{kind}`\n\n{_prose(cls.__doc__)} {beside}".rstrip() + "\n\n"
        yield from _table(rows)


def _kind_rows(cls: type[msgspec.Struct]) -> list[str]:
    texts = texts_of(cls)
    required = {field.name for field in msgspec.structs.fields(cls) if field.required}
    shape = fields_of(cls)
    fields = [field for written, field in shape.attributes.items() if written == field.name]
    fields.sort(key=lambda field: field.name not in required)
    return [_row(field, cls, texts[field.name], required=field.name in required) for field in fields]


def _row(field: Field, cls: type[Any], text: str, *, required: bool) -> str:
    kind = field.kind.words if field.kind else "block"
    if field.mapped:
        kind = "object of texts or lists" if field.listed else "object of texts"
    elif field.listed:
        kind = f"{kind} or list" if field.name in getattr(cls, "EITHER", ()) else f"list ({kind})"
    needed = ", required" if required else _default(cls, field)
    return f"| `{field.name}` | {kind}{needed} | {_prose(text).replace('|', chr(92) + '|')} |\n"


def _default(cls: type[Any], field: Field) -> str:
    """What holds without the attribute, where that can be said in a word."""
    info = next(info for info in msgspec.structs.fields(cls) if info.name == field.name)
    value = info.default
    if isinstance(value, bool):
        return f"; {'true' if value else 'false'}"
    if isinstance(value, Secret) or not isinstance(value, str | int | tuple) or value in ("", ()):
        return ""
    if isinstance(value, tuple):
        return f"; `[{', '.join(repr(item).replace(chr(39), chr(34)) for item in value)}]`"
    return f"; `{value}`"


def _table(rows: list[str]) -> Iterator[str]:
    if rows:
        yield "| attribute | value | |\n|---|---|---|\n"
        yield from rows
        yield "\n"


def _label(cls: type[Node]) -> str:
    return cls.LABEL.rpartition(" ")[2].upper() if cls.LABEL != "its path" else "/PATH/"


def _prose(text: str | None) -> str:
    """One paragraph a line; paragraphs run together, since a table's cell has one line."""
    return " ".join((text or "").split())


@functools.cache
def texts_of(cls: type[object]) -> dict[str, str]:
    """Field → the docstring under it, of the class and what it inherits."""
    texts: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.startswith("vestibule."):
            texts |= _own_texts(base)
    return texts


def _own_texts(cls: type[Any]) -> dict[str, str]:
    tree = ast.parse(textwrap.dedent(inspect.getsource(cls)))
    body = tree.body[0]
    assert isinstance(body, ast.ClassDef)
    texts: dict[str, str] = {}
    for field, below in zip(body.body, body.body[1:], strict=False):
        is_field = isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if is_field and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            texts[field.target.id] = str(below.value.value)  # type: ignore[attr-defined] # see is_field
    return texts


if __name__ == "__main__":
    sys.stdout.write(manual())

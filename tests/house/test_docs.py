"""README and docs: every configuration in them loads, every link leads somewhere, every table is true."""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import msgspec
import pytest
import trustme
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.house.source import ROOT
from vestibule import app, fetch
from vestibule.cli.explain import explain
from vestibule.config.compile import compile_config
from vestibule.config.load import Loaded, load
from vestibule.config.rule import rule_of
from vestibule.config.schema import REQUESTS
from vestibule.core import admission, claim, flow
from vestibule.core.policy import decide, policy_of
from vestibule.core.rule import qualified
from vestibule.edge import pending
from vestibule.errors import ConfigError
from vestibule.model import Allow, Asker, Decision, Deny, Identity, SignIn
from vestibule.protocol import h1, h2_frames, headers, url
from vestibule.protocol.address import normalise
from vestibule.proxy import capacity, downstream_h1, engine_h2, pool, server_pool, upstream
from vestibule.web.texts import TEXTS

PAGES = (
    ROOT / "README.md",
    ROOT / "ARCHITECTURE.md",
    ROOT / "CHANGELOG.md",
    *sorted((ROOT / "docs").rglob("*.md")),
)
PICTURE_LIMIT_BYTES = 200 * 1024

_FENCE = re.compile(r"^```([a-z]*)[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)|(?:src|srcset)=\"([^\"]+)\"")
_HEADING = re.compile(r"^#+ +(.+?) *$", re.MULTILINE)


class Block(NamedTuple):
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str

    @property
    def id(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> list[Block]:
    text = page.read_text("utf-8")
    return [
        Block(page, text.count("\n", 0, found.start()) + 2, found[1], found[2])
        for found in _FENCE.finditer(text)
    ]


def prose(page: Path) -> str:
    """The page without its fenced blocks."""
    return _FENCE.sub("", page.read_text("utf-8"))


def table(page: str, first: str) -> list[list[str]]:
    """The cells of the table whose head begins with *first*."""
    lines = iter((ROOT / page).read_text("utf-8").splitlines())
    for line in lines:
        if line.startswith(f"| {first} |"):
            break
    next(lines)
    rows = []
    for line in lines:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def quoted(cell: str) -> list[str]:
    """What stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


# -- configurations ---------------------------------------------------------------------------

HCL = [block for page in PAGES for block in blocks(page) if block.language == "hcl"]


def account_key() -> str:
    """A service account's key file, as Google's console gives it out."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return json.dumps({"type": "service_account", "client_email": "robot@example.com", "private_key": pem})


def private_key(name: str) -> str:
    """A key as Apple gives it out (`.p8`), or an RSA one."""
    key: Any = ec.generate_private_key(ec.SECP256R1())
    if not name.endswith(".p8"):
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return str(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


def content_of(name: str) -> str:
    """What a file of this name would hold."""
    if name.endswith(".json"):
        return account_key()
    if name in {"saml.key", "saml.crt"}:
        return proofs()["key" if name.endswith(".key") else "certificate"]
    return private_key(name) if name.endswith((".p8", ".pem")) else "placeholder\n"


@functools.cache
def proofs() -> dict[str, str]:
    """An authority's certificate, another of its making, and that one's key."""
    authority = trustme.CA()
    issued = authority.issue_cert("gateway.example", "app.example.com")
    found = {
        "ca": authority.cert_pem,
        "certificate": issued.cert_chain_pems[0],
        "key": issued.private_key_pem,
    }
    return {kind: blob.bytes().decode() for kind, blob in found.items()}


def loaded(block: Block, directory: Path) -> Loaded:
    """The block as a file of its own, beside the files and with the variables it names."""
    for name in re.findall(r'file\("([^"]+)"\)', block.text):
        (directory / name).write_text(content_of(name), "utf-8")
    for name in re.findall(r'"([\w-]+\.svg)"', block.text):
        (directory / name).write_text('<svg xmlns="http://www.w3.org/2000/svg"/>', "utf-8")
    for kind, name in re.findall(r'(?:backend|tls|client)_(ca|certificate|key) *= "([^"]+)"', block.text):
        (directory / name).write_text(proofs()[kind], "utf-8")
    for name in re.findall(r'htpasswd += "([^"]+)"', block.text):
        (directory / name).write_text("ann:{SHA}L55TUjtiq8FBorTWAZ0jy6g129A=\n", "utf-8")
    environ = dict.fromkeys(re.findall(r'env\("([^"]+)"\)', block.text), "placeholder")
    environ |= {name: f"whsec_{'A' * 32}" for name in environ if name.startswith("HOOK_")}
    environ |= {name: "A" * 32 for name in environ if name.startswith("APP_")}
    text = block.text.replace("YOUR-HOST-NAME", "app.example.com")
    whole = text if re.search(r"^(host|ingress) ", text, re.MULTILINE) else text + _HOST_FOR_A_CALL
    file = directory / "page.hcl"
    file.write_text(whole, "utf-8")
    return load([file], environ)


#: for the one block that shows what is added to a file
_HOST_FOR_A_CALL = """
provider "google" {
  client_id = "a"
  client_secret = "b"
}
host "localhost" {
  backend = "localhost:3000"
  sign_in = ["google"]
  access { allow = ["email:you@gmail.com"] }
}
"""


@pytest.mark.parametrize("block", HCL, ids=lambda block: block.id)
def test_every_configuration_loads_without_a_fault(block: Block, tmp_path: Path):
    compile_config(loaded(block, tmp_path))


def test_the_configuration_for_google_has_ten_lines():
    (first, *_) = [block for block in HCL if block.page.name == "README.md"]
    assert "google" in first.text
    assert len(first.text.splitlines()) == 10


@pytest.mark.parametrize("page", ["README.md", "getting-started.md"])
def test_check_says_of_the_first_configuration_what_the_page_says(page: str, tmp_path: Path):
    first = next(block for block in HCL if block.page.name == page and "sign_in" in block.text)
    shown = "".join(block.text for block in blocks(first.page) if block.language == "console")
    assert f"good: {loaded(first, tmp_path).summary}\n" in shown


def test_the_faults_in_the_readme_are_what_check_says_of_these_mistakes(tmp_path: Path):
    (first, *_) = [block for block in HCL if block.page.name == "README.md"]
    shown = "".join(block.text for block in blocks(first.page) if block.language == "console")
    mistaken = first.text.replace("}\n", '  hosted_domian = "example.com"\n}\n', 1).replace(
        "email:you", "you"
    )
    with pytest.raises(ConfigError) as told:
        loaded(first._replace(text=mistaken), tmp_path)
    faults = [fault.replace(str(tmp_path / "page.hcl"), "app.hcl") for fault in told.value.faults]
    assert len(faults) == 2
    assert all(f"{fault}\n" in shown for fault in faults), faults


OTHERS = [block for page in PAGES for block in blocks(page) if block.language in ("python", "json")]


@pytest.mark.parametrize("block", OTHERS, ids=lambda block: block.id)
def test_every_snippet_is_whole(block: Block):
    if block.language == "python":
        compile(block.text, block.id, "exec")
    else:
        json.loads(block.text)


# -- links and pictures -----------------------------------------------------------------------


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    return {
        re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        for heading in _HEADING.findall(prose(page))
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_or_heading_of_the_project(page: Path):
    targets = [target for pair in _LINK.findall(prose(page)) for target in pair if target]
    broken = []
    for target in targets:
        path, _, anchor = unquote(target).partition("#")
        if re.match(r"[a-z]+:", path):
            continue
        file = (page.parent / path).resolve() if path else page
        if not file.is_file() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


def test_every_page_of_the_docs_is_named_in_the_readme():
    named = {target for target, _ in _LINK.findall(prose(ROOT / "README.md"))}
    assert {f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md")} <= named


@pytest.mark.parametrize("picture", sorted((ROOT / "docs").glob("*.png")), ids=lambda picture: picture.name)
def test_pictures_are_small(picture: Path):
    assert picture.stat().st_size < PICTURE_LIMIT_BYTES


# -- what the tables say ----------------------------------------------------------------------

TRUTH = table("docs/access.md", "`allow`")
TOGETHER = table("docs/access.md", "with `allow`")
TOLD = table("docs/access.md", "rule | what is known of the person")
ROUTES = table("docs/access.md", "path")
REFUSALS = [row for page in ("calling", "callers") for row in table(f"docs/{page}.md", "code")]


def somebody(cell: str) -> tuple[Identity, ...]:
    if cell == "nobody":
        return ()
    email = quoted(cell)[0] if cell != "somebody without an address" else ""
    return (Identity(client="google", issuer="https://issuer.example", subject="1", email=email),)


@pytest.mark.parametrize(("allow", "deny", "who", "answer"), TRUTH, ids=lambda cell: cell or "-")
def test_the_truth_table_of_access_is_true(allow: str, deny: str, who: str, answer: str):
    policy = policy_of(
        allow=tuple(rule_of(rule) for rule in quoted(allow)),
        deny=tuple(rule_of(rule) for rule in quoted(deny)),
        sign_in=frozenset({"google"}),
    )
    assert said(decide(policy, b"GET", Asker(somebody(who)))) == answer


@pytest.mark.parametrize("row", TOGETHER, ids=lambda row: "-".join(cell for cell in row if cell))
def test_the_truth_table_of_the_lists_together_is_true(row: list[str]):
    allow, every, deny, who, origin, answer = row
    policy = policy_of(
        allow=None if allow == "not written" else tuple(rule_of(rule) for rule in quoted(allow)),
        all=tuple(rule_of(rule) for rule in quoted(every)),
        deny=tuple(rule_of(rule) for rule in quoted(deny)),
        sign_in=frozenset({"google"}),
    )
    address = "" if origin == "unknown" else normalise(quoted(origin)[0])
    asker = Asker(() if who.startswith("a token") else somebody(who), "", address)
    if who.startswith("a token"):
        asker = Asker((), "", address, frozenset(quoted(who)))
    elif " by an app with " in who:
        asker = Asker(somebody(who), "", address, frozenset(quoted(who)[1:]), is_app=True)
    assert said(decide(policy, b"GET", asker)) == answer


def test_the_explanation_on_the_page_is_what_the_command_prints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    page = ROOT / "docs" / "access.md"
    (shown,) = [block.text for block in blocks(page) if block.language == "console"]
    (config,) = [block for block in HCL if block.page == page]
    for name in re.findall(r'env\("([^"]+)"\)', config.text):
        monkeypatch.setenv(name, "placeholder")
    (tmp_path / "app.hcl").write_text(config.text, "utf-8")
    monkeypatch.chdir(tmp_path)
    command, _, printed = shown.partition("\n")
    ran = CliRunner().invoke(explain, command.removeprefix("$ vestibule explain ").split())
    assert ran.output == printed


def said(decision: Decision) -> str:
    """The decision as the tables write it."""
    match decision:
        case Allow():
            return "in"
        case SignIn():
            return "sign-in"
        case Deny(status, code, _):
            return f"{status} `{code}`"
        case other:
            return repr(other)


def member(cell: str) -> Identity:
    """Somebody who came by a provider, and what that said of one thing: `okta` groups `admins` `staff`."""
    client, *values = quoted(cell)
    words = cell.replace("`", " ").split()
    identity = Identity(client=client, issuer=f"https://{client}.example", subject="1", unknown=claim.LISTS)
    field = words[1] if len(words) > 1 else ""
    if field in claim.LISTS:
        return claim.with_lists(identity, **{field: tuple(values)})
    if field == "login":
        return msgspec.structs.replace(identity, login=values[0])
    return msgspec.structs.replace(identity, claims={field: values[0]} if field else {})


@pytest.mark.parametrize(("rule", "known", "allow", "deny"), TOLD)
def test_the_truth_table_of_what_providers_say_is_true(rule: str, known: str, allow: str, deny: str):
    clients = {"okta": "okta", "github": "github"}
    asked = qualified(rule_of(quoted(rule)[0]), clients)
    anyone, sign_in = rule_of("anyone"), frozenset(clients)
    identities = (member(known),)
    assert said(decide(policy_of(allow=(asked,), sign_in=sign_in), b"GET", Asker(identities))) == allow
    policy = policy_of(allow=(anyone,), deny=(asked,), sign_in=sign_in)
    assert said(decide(policy, b"GET", Asker(identities))) == deny


@pytest.mark.parametrize(("path", "route"), ROUTES, ids=lambda cell: cell)
def test_the_table_of_routes_is_true(path: str, route: str, tmp_path: Path):
    (block,) = [block for block in HCL if block.page.name == "access.md"]
    host = compile_config(loaded(block, tmp_path)).table.host(b"app.example.com")
    assert host is not None
    found = host.route(url.canonical(quoted(path)[0].encode()).path).prefix
    assert f"`{found.decode()}/`" == route if found else route == "the host"


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: refusal[0])
def test_every_refusal_of_a_call_has_the_status_it_is_said_to_have(refusal: list[str]):
    assert TEXTS[quoted(refusal[0])[0]].status == int(refusal[1])


def test_every_header_told_to_a_backend_is_owned():
    for page, first in (("docs/headers.md", "header"), ("README.md", "header")):
        names = [name for row in table(page, first) for name in quoted(row[0])]
        assert all(headers.is_owned(name) for name in names if not name.startswith("-"))


def test_every_name_said_to_be_removed_is():
    text = (ROOT / "docs" / "headers.md").read_text("utf-8")
    section = text.partition("## What is removed")[2].partition("\n## ")[0]
    listed = [name.replace("…", "x") for name in quoted(section) if re.fullmatch(r"[A-Z][A-Za-z-]*…?", name)]
    passing = {"Authorization"}  # named there as what passes
    kept = {name for name in listed if headers.request_kind(f"{name}: y".encode()) == headers.PASS}
    assert "User-Did" in listed
    assert kept <= passing


LIMITS = {
    "request line": f"{h1.TARGET_LIMIT_BYTES // 1024} KiB",
    "request headers": f"{h1.HEAD_LIMIT_BYTES // 1024} KiB, {h1.FIELD_LIMIT} lines",
    "whole head, from its first byte": f"{downstream_h1.HEAD_DEADLINE_S:g} s",
    "body of a request, after 10 s (of a call of gRPC over HTTP/2: none)": f"{capacity.BODY_BYTES_PER_S // 1024} KiB/s at least",
    "client takes no byte of an answer": f"{downstream_h1.SEND_STALL_S:g} s",
    "idle connection of a client": f"{downstream_h1.IDLE_DEADLINE_S:g} s",
    "TLS handshake and PROXY header, from the first packet": f"{pending.DEADLINE_S:g} s",
    "connections that are not through that yet": (
        f"{pending.MOST} at an address of ours, {pending.MOST_OF_ADDRESS} of one of theirs"
    ),
    "requests under way in a process (`requests`)": f"{REQUESTS:,}",
    f"event loop late for longer than {admission.TARGET_S:g} s": "",
    "HTTP/2: streams of a connection at once": f"{engine_h2.STREAMS_MAX}",
    "HTTP/2: what a connection may send of bodies nobody takes": (
        f"{engine_h2.CONNECTION_WINDOW_BYTES >> 20} MiB, {engine_h2.STREAM_WINDOW_BYTES >> 10} KiB a stream"
    ),
    "HTTP/2: streams that are reset": (
        f"{h2_frames.RESETS_MAX} at once, {h2_frames.RESETS_PER_S}/s, beyond those that are answered"
    ),
    "HTTP/2: frames that carry nothing": (
        f"{h2_frames.IDLE_FRAMES_MAX} at once, {h2_frames.IDLE_FRAMES_PER_S}/s, beyond what the traffic explains"
    ),
    "connecting to a backend": f"{pool.CONNECT_DEADLINE_S:g} s",
    "backend's answer to begin": f"{upstream.ANSWER_DEADLINE_S:g} s",
    "idle connection to a backend": f"{server_pool.IDLE_S:g} s",
    "sign-in, from begin to end": f"{flow.LIFE_S / 60:g} min, {flow.FLOWS_MAX} at once in a browser",
    "sign-in providers: connect, whole exchange": f"{fetch.CONNECT_S:g} s, {fetch.DEADLINE_S:g} s",
}


@pytest.mark.parametrize(("what", "limit"), LIMITS.items(), ids=LIMITS)
def test_every_limit_is_the_programs(what: str, limit: str):
    assert {row[0]: row[1] for row in table("docs/running.md", "what")}[what] == limit


def test_the_drain_is_as_long_as_said():
    (said,) = re.findall(
        r"under way end \((\d+) s at most\)", (ROOT / "docs" / "running.md").read_text("utf-8")
    )
    assert float(said) == app.DRAIN_S

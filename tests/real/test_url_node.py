"""The return address and the target, held against a parser of the WHATWG URL standard: node's, as browsers have it."""

from __future__ import annotations

import itertools
import json
import subprocess

import pytest

from tests.real.node_home import node_binary
from tests.unit.protocol.test_url import BASE, HOSTS, OPEN_REDIRECTS, REWRITTEN, SAME
from vestibule.protocol import url

pytestmark = pytest.mark.real

ORIGINS = {BASE, *(f"https://{host}" for host in HOSTS)}

#: One process for all: reads a JSON list of texts, answers what each is to a browser that stands at the base.
SCRIPT = """
const [base, texts] = JSON.parse(require("node:fs").readFileSync(0, "utf8"));
const read = (text) => {
  try { const u = new URL(text, base); return [u.origin, u.pathname, u.search, u.username + u.password]; }
  catch { return null; }
};
process.stdout.write(JSON.stringify(texts.map(read)));
"""


def as_browsers_read(texts: list[str]) -> list[list[str] | None]:
    done = subprocess.run(
        [node_binary(), "-e", SCRIPT],
        input=json.dumps([BASE + "/@/callback", texts]).encode(),
        capture_output=True,
        check=True,
        timeout=60,
    )
    return json.loads(done.stdout)


def mutations() -> list[str]:
    """Every short row of the pieces that redirect filters have tripped over."""
    pieces = ["/", "\\", ".", "@", ":", "?", "#", ";", "%2f", "%5c", "%2e", "%09", "%00", "\t", "\n", " ", "\u3002", "／", "https:", "//", "app.example", "evil.example"]  # fmt: skip
    return ["".join(row) for length in (1, 2, 3) for row in itertools.product(pieces, repeat=length)] + [
        "".join(row) + "evil.example"
        for row in itertools.product(pieces[:16], repeat=4)
        if row[0] in "/\\\t\n "
    ]


def test_where_we_let_people_go_a_browser_goes_to_us() -> None:
    payloads = sorted({*OPEN_REDIRECTS, *mutations()})
    accepted = [
        (rd, place)
        for rd in payloads
        if (place := url.safe_return(rd, base_url=BASE, hosts=HOSTS)) is not None
    ]
    assert len(accepted) > 100
    asked = as_browsers_read([rd for rd, _ in accepted])
    given = as_browsers_read([place for _, place in accepted])
    for (rd, place), before, after in zip(accepted, asked, given, strict=True):
        # What was asked for, and what we make of it, lead to one and the same origin of ours.
        assert before is not None, rd
        assert after is not None, place
        assert before[0] in ORIGINS, rd
        assert after[0] == before[0], (rd, place)
        assert after[3] == "", place
        assert not after[1].startswith("//"), place


def test_what_a_browser_takes_elsewhere_we_refuse() -> None:
    payloads = sorted({*OPEN_REDIRECTS, *mutations()})
    elsewhere = [
        rd
        for rd, read in zip(payloads, as_browsers_read(payloads), strict=True)
        if read is None or read[0] not in ORIGINS
    ]
    assert len(elsewhere) > 1000
    assert [rd for rd in elsewhere if url.safe_return(rd, base_url=BASE, hosts=HOSTS) is not None] == []


def test_a_canonical_target_is_what_a_browser_makes_of_it() -> None:
    """A browser resolves dot segments itself: after us it finds nothing left to do, and comes to the same path."""
    targets = [*(raw for raw in SAME if raw != b"*"), *(forwarded for _, forwarded in REWRITTEN)]
    texts = [BASE + raw.decode("ascii") for raw in targets]
    for raw, read in zip(targets, as_browsers_read(texts), strict=True):
        assert read is not None
        assert read[1].encode("ascii") == url.canonical(raw).path

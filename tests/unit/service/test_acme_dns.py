"""DNS-01: which servers are asked, how long is waited, what the operator's program gets."""

from __future__ import annotations

import base64
import stat

import dns.exception
import dns.message
import dns.rrset
import pytest

from vestibule.core.acme import Hook, Rfc2136
from vestibule.errors import IssueError
from vestibule.model import Secret
from vestibule.service import acme_dns
from vestibule.service.acme_dns import ByHook, ByUpdate, opened, place_of, spread

NAME, TEXT = "_acme-challenge.example.com", "the-text"
ONE, TWO = ("192.0.2.1", 53), ("192.0.2.2", 53)


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("192.0.2.1", ("192.0.2.1", 53)),
        ("192.0.2.1:5353", ("192.0.2.1", 5353)),
        ("2001:db8::1", ("2001:db8::1", 53)),
        ("[2001:db8::1]", ("2001:db8::1", 53)),
        ("[2001:db8::1]:5353", ("2001:db8::1", 5353)),
    ],
)
def test_a_server_is_an_address_and_perhaps_a_port(text, place):
    assert place_of(text) == place


@pytest.mark.parametrize("text", ["", "ns.example.com", "192.0.2.1:", "192.0.2.1:dns", "300.0.0.1"])
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match=r".+"):
        place_of(text)


class Clock:
    """Time that passes by sleeping."""

    def __init__(self) -> None:
        self.mono = 0.0

    async def sleep(self, seconds: float) -> None:
        self.mono += seconds


def answers(monkeypatch: pytest.MonkeyPatch, has: object) -> list[tuple[str, int]]:
    """`has(server, times)`: the texts there, or an error."""
    asked: list[tuple[str, int]] = []

    async def ask(server, name, kind):
        asked.append(server)
        found = has(server, asked.count(server))
        if isinstance(found, Exception):
            raise found
        message = dns.message.make_response(dns.message.make_query(name, kind))
        if found:
            message.answer.append(dns.rrset.from_text(name, 60, "IN", "TXT", *(f'"{one}"' for one in found)))
        return message

    monkeypatch.setattr(acme_dns, "ask", ask)
    return asked


async def test_all_servers_are_waited_for_and_none_is_asked_once_it_has_the_record(monkeypatch):
    clock = Clock()
    asked = answers(
        monkeypatch, lambda server, times: ["other", TEXT] if server == ONE or times == 3 else ["other"]
    )
    await spread(NAME, TEXT, [ONE, TWO], sleep=clock.sleep, mono=lambda: clock.mono)
    assert (asked.count(ONE), asked.count(TWO)) == (1, 3)


@pytest.mark.parametrize(
    "there",
    [[], ["the-text2"], dns.exception.Timeout(), OSError()],
    ids=["nothing", "another", "silence", "no way"],
)
async def test_a_server_that_never_has_it_is_named(monkeypatch, there):
    clock = Clock()
    answers(monkeypatch, lambda server, times: [TEXT] if server == ONE else there)
    with pytest.raises(IssueError) as caught:
        await spread(NAME, TEXT, [ONE, TWO], within_s=10, sleep=clock.sleep, mono=lambda: clock.mono)
    assert caught.value.code == "dnsSpread"
    assert "192.0.2.2:53" in caught.value.detail
    assert "192.0.2.1" not in caught.value.detail


def program(folder, text: str) -> str:
    path = folder / "hook"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


async def test_a_program_gets_its_arguments_as_they_are_and_nothing_of_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("VESTIBULE_SESSION_KEY", "canary")
    hook = program(tmp_path, f'printf "%s|" "$@" > {tmp_path}/args; env > {tmp_path}/env')
    await ByHook(Hook(command=hook)).cleanup(NAME, "a b; $(touch x) 'c'")
    assert (tmp_path / "args").read_text() == f"cleanup|{NAME}|a b; $(touch x) 'c'|"
    assert "canary" not in (tmp_path / "env").read_text()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("echo out; echo why >&2; exit 3", "ended with 3: why"),
        ("kill -9 $$", "ended with -9"),
    ],
)
async def test_a_program_that_fails_is_told_with_what_it_wrote(tmp_path, text, told):
    with pytest.raises(IssueError) as caught:
        await ByHook(Hook(command=program(tmp_path, text))).cleanup(NAME, TEXT)
    assert (caught.value.code, told in caught.value.detail) == ("dnsHook", True)


async def test_a_program_that_takes_too_long_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(acme_dns, "HOOK_S", 0.2)
    with pytest.raises(IssueError) as caught:
        await ByHook(Hook(command=program(tmp_path, "sleep 60; true"))).cleanup(NAME, TEXT)
    assert "longer than" in caught.value.detail


async def test_a_program_that_is_not_there_is_told(tmp_path):
    with pytest.raises(IssueError) as caught:
        await ByHook(Hook(command=str(tmp_path / "none"))).present(NAME, TEXT)
    assert "can't be started" in caught.value.detail


def test_each_way_has_who_goes_it():
    secret = Secret(base64.b64encode(b"x" * 32).decode())
    by_update = Rfc2136(server="192.0.2.1", key_name="k", key_secret=secret)
    assert isinstance(opened(by_update), ByUpdate)
    assert isinstance(opened(Hook(command="/bin/true")), ByHook)

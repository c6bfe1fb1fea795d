"""What the doctor says of certificates that the gateway itself shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.unit.core.issued import Issuer
from vestibule.config.compile import Compiled, compile_config
from vestibule.config.load import load
from vestibule.core.certificate import DAY_S, Source, Wanted
from vestibule.doctor.own_tls import asked_as_browsers_do, look, of_own, of_root, refused_because
from vestibule.observe import clock
from vestibule.service.local_authority import LocalAuthority

NAME = "app.example.com"


def own(folder: Path, *names: str, days: float = 90, above: bool = True) -> Wanted:
    issuer = Issuer("Between", above=Issuer("Root"))
    leaf, key = issuer.issue(*(names or (NAME,)), from_at=clock.now() - DAY_S, days=days)
    (folder / "c.pem").write_bytes(leaf + (issuer.pem if above else b""))
    (folder / "k.pem").write_bytes(key)
    (folder / "k.pem").chmod(0o600)
    return Wanted(
        name=NAME, source=Source.FILE, certificate_path=str(folder / "c.pem"), key_path=str(folder / "k.pem")
    )


def codes(wanted: Wanted) -> list[tuple[str, str]]:
    return [(one.level, one.code) for one in of_own(wanted, clock.now())]


def test_a_good_one_of_an_unknown_authority_is_told_of(tmp_path: Path):
    assert codes(own(tmp_path)) == [
        ("ok", "certificate_good"),
        ("warn", "chain_broken"),
        ("ok", "tls_key_good"),
    ]


@pytest.mark.parametrize(
    ("days", "expected"),
    [
        pytest.param(60, [("ok", "certificate_good")], id="for two months"),
        pytest.param(15, [("ok", "certificate_good")], id="short ones are renewed late"),
        pytest.param(0.5, [("fail", "certificate_ended")], id="over"),
    ],
)
def test_its_end(tmp_path: Path, days: float, expected: list[tuple[str, str]]):
    found = codes(own(tmp_path, days=days))
    assert [one for one in expected if one not in found] == []


def test_one_for_others(tmp_path: Path):
    assert ("fail", "certificate_other_names") in codes(own(tmp_path, "b.example.com"))


def test_a_key_that_everybody_can_read(tmp_path: Path):
    wanted = own(tmp_path)
    Path(wanted.key_path).chmod(0o644)
    assert ("fail", "tls_key_open") in codes(wanted)


def test_files_that_are_not_there_or_broken(tmp_path: Path):
    wanted = own(tmp_path)
    Path(wanted.key_path).write_bytes(b"")
    assert codes(wanted) == [("fail", "certificate_unusable")]
    Path(wanted.key_path).unlink()
    assert codes(wanted) == [("fail", "certificate_unusable")]


def test_a_chain_is_tried_as_a_client_would(tmp_path: Path):
    found = LocalAuthority(tmp_path / "state" / "local").certificate("app.test")
    assert "unable to get" in refused_because(found)


def test_the_local_authority(tmp_path: Path):
    authority = LocalAuthority(tmp_path / "state" / "local")
    assert of_root(authority.root_path).code == "authority_absent"
    authority.root_pem()
    found = of_root(authority.root_path)
    assert (found.level, found.code) == ("warn", "authority_unknown")
    assert "vestibule trust" in found.advice
    authority.root_path.write_bytes(b"x")
    assert of_root(authority.root_path).code == "authority_unusable"


def compiled(folder: Path) -> Compiled:
    file = folder / "v.hcl"
    inside = 'backend = "localhost:1" access { allow = ["public"] }'
    file.write_text(
        'gateway { https = ["127.0.0.1:443"] }\n'
        f'host "app.test" {{ {inside} }}\nhost "app.example.com" {{ {inside} }}\n'
    )
    return compile_config(load([file], {}))


def test_only_hosts_with_public_certificates_are_asked_as_browsers_do(tmp_path: Path):
    found = compiled(tmp_path)
    asked = asked_as_browsers_do(found.table.hosts.values(), found)
    assert [host.name for host in asked] == [b"app.example.com"]
    assert [one.code for one in look(found, clock.now())] == ["authority_absent"]

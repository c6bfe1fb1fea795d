"""Which certificates are in use."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.unit.core.issued import FROM_AT, Issuer
from vestibule.admin_model import CertificateState
from vestibule.config.compile import Compiled, compile_config
from vestibule.config.load import load
from vestibule.core.certificate import Certificate, Source, Wanted
from vestibule.core.pem import read_pair
from vestibule.service.acme_states import Failure, NameState
from vestibule.service.certificates import Sought, certificates_of

END = datetime(2030, 1, 2, 3, 4, 5, tzinfo=UTC)
TEXT = """
store {
  sessions = "rediss://127.0.0.1:6379?ca=redis-ca.pem"
}
host "app.example.com" {
  backend             = "https://127.0.0.1:3000"
  backend_ca          = "ca.pem"
  backend_certificate = "shown.pem"
  access {
    allow = ["public"]
  }
  route "/a/" {
  }
}
host "plain.example.com" {
  backend = "127.0.0.1:3000"
  access {
    allow = ["public"]
  }
}
"""


def pem(name: str, *, with_key: bool = False) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(END - timedelta(days=900))
        .not_valid_after(END)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    text = made.public_bytes(serialization.Encoding.PEM).decode()
    if with_key:
        text += key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
    return text


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "ca.pem").write_text(pem("one.example") + pem("two.example"))
    (tmp_path / "redis-ca.pem").write_text(pem("redis.example"))
    shown = tmp_path / "shown.pem"
    shown.write_text(pem("gateway.example", with_key=True))
    shown.chmod(0o600)
    (tmp_path / "v.hcl").write_text(TEXT)
    return tmp_path


def test_each_is_told_once_with_what_it_is_for_and_until_when(folder: Path) -> None:
    found = certificates_of(compile_config(load([folder / "v.hcl"], {})))
    assert {(one.names, one.detail) for one in found} == {
        (("redis.example",), "trusted for rediss://127.0.0.1:6379"),
        (("one.example",), "trusted for https://127.0.0.1:3000"),
        (("two.example",), "trusted for https://127.0.0.1:3000"),
        (("gateway.example",), "shown to https://127.0.0.1:3000"),
    }
    assert {one.expires_at for one in found} == {END}
    assert {one.issuer for one in found if one.names == ("one.example",)} == {"CN=one.example"}
    assert "PRIVATE" not in repr(found)


def test_a_file_that_is_gone_by_now_is_left_out(folder: Path) -> None:
    compiled = compile_config(load([folder / "v.hcl"], {}))
    (folder / "redis-ca.pem").unlink()
    assert all("redis" not in one.detail for one in certificates_of(compiled))


# -- those that browsers are to be shown --------------------------------------------------------------

FAILURE = Failure(
    code="connection",
    advice="open port 80",
    said="Timeout during connect",
    directory="https://ca.example/dir",
    proof="http-01",
)


def order(name: str, **said: object) -> NameState:
    usual = {
        "is_ordered": False,
        "failures": 0,
        "failed_at": None,
        "failure": None,
        "next_at": 0.0,
        "not_after_at": None,
        "renew_at": None,
        "directory": "",
    }
    return NameState(name=name, **(usual | said))


def wanted(name: str, source: Source = Source.ACME, path: str = "") -> Wanted:
    return Wanted(name=name, source=source, certificate_path=path)


@pytest.fixture
def plain(tmp_path: Path) -> Compiled:
    file = tmp_path / "v.hcl"
    file.write_text(
        'host "a.example" {\n  backend = "127.0.0.1:3000"\n  access {\n    allow = ["public"]\n  }\n}\n'
    )
    return compile_config(load([file], {}))


def shown(*names: str, source: Source = Source.ACME) -> Certificate:
    return read_pair(*Issuer().issue(*names), source)


def told(
    compiled: Compiled, sought: Sought, shelf: tuple[tuple[str, Certificate], ...] = ()
) -> list[CertificateState]:
    return list(certificates_of(compiled, shelf, sought))


@pytest.mark.parametrize(
    ("orders", "state", "why", "next_at"),
    [
        pytest.param((), "waiting", "", None, id="nothing was begun"),
        pytest.param((order("a.example", next_at=FROM_AT - 1),), "waiting", "", None, id="it is due now"),
        pytest.param(
            (order("a.example", next_at=FROM_AT + 60),), "waiting", "", 60, id="all authorities rest"
        ),
        pytest.param(
            (order("a.example", is_ordered=True, next_at=FROM_AT + 9),), "ordering", "", 9, id="ordering"
        ),
        pytest.param(
            (order("a.example", failures=2, failure=FAILURE, next_at=FROM_AT + 300),),
            "failing",
            FAILURE.said,
            300,
            id="failing",
        ),
        pytest.param(
            (order("a.example", is_ordered=True, failures=1, failure=FAILURE),),
            "ordering",
            FAILURE.said,
            None,
            id="ordering after it failed",
        ),
    ],
)
def test_a_name_without_a_certificate_stands_there_with_how_it_is_with_its_order(
    plain: Compiled, orders: tuple[NameState, ...], state: str, why: str, next_at: float | None
) -> None:
    (one,) = told(plain, Sought(wanted=(wanted("a.example"),), orders=orders, now=FROM_AT))
    assert (one.names, one.issuer, one.expires_at, one.source) == (("a.example",), "", None, "acme")
    assert one.detail.startswith("to be shown for a.example")
    assert (one.state, one.why) == (state, why)
    assert one.advice == ("open port 80" if why else "")
    assert ("https://ca.example/dir by http-01" in one.detail) is bool(why)
    assert (one.next_at and one.next_at.timestamp() - FROM_AT) == next_at


def test_a_failure_without_a_word_is_told_by_its_code(plain: Compiled) -> None:
    silent = Failure(code="caa", advice="add it", said="", directory="d", proof="dns-01")
    sought = Sought(wanted=(wanted("a.example"),), orders=(order("a.example", failure=silent),))
    assert told(plain, sought)[0].why == "caa"


def test_hosts_of_one_wildcard_are_one_row_and_those_with_a_certificate_are_none(plain: Compiled) -> None:
    names = ("a.x.example", "b.x.example", "c.example")
    sought = Sought(wanted=tuple(map(wanted, names)), orders=(order("*.x.example"), order("c.example")))
    missing, has = told(plain, sought, (("c.example", shown("c.example")),))
    assert (missing.names, missing.detail) == (("*.x.example",), "to be shown for a.x.example, b.x.example")
    assert (has.names, has.state) == (("c.example",), "good")
    assert [one.names for one in told(plain, sought, (("*.x.example", shown("*.x.example")),))] == [
        ("c.example",),
        ("*.x.example",),
    ]


def test_an_old_one_that_serves_on_tells_why_it_is_not_renewed(plain: Compiled) -> None:
    failed = order("a.example", failures=1, failure=FAILURE, next_at=FROM_AT + 60)
    sought = Sought(wanted=(wanted("a.example"),), orders=(failed,), now=FROM_AT)
    (one,) = told(plain, sought, (("a.example", shown("a.example")),))
    assert one.expires_at is not None
    assert (one.state, one.why, one.advice) == ("failing", FAILURE.said, FAILURE.advice)
    assert one.detail == "shown for a.example; tried at https://ca.example/dir by http-01"


@pytest.mark.parametrize(
    ("one", "key", "source"),
    [
        pytest.param(wanted("a.example", Source.FILE, "/tls/a.pem"), "/tls/a.pem", "/tls/a.pem", id="a file"),
        pytest.param(wanted("a.example", Source.LOCAL), "a.example", "local authority", id="a local one"),
    ],
)
def test_what_is_no_order_fails_too(plain: Compiled, one: Wanted, key: str, source: str) -> None:
    (row,) = told(plain, Sought(wanted=(one,), troubles={key: "it is not for a.example"}))
    assert (row.state, row.why, row.source) == ("failing", "it is not for a.example", source)
    assert row.advice
    assert told(plain, Sought(wanted=(one,)))[0].state == "waiting"


def test_a_file_that_went_bad_is_told_beside_the_version_that_serves_on(plain: Compiled) -> None:
    local = wanted("a.example", Source.LOCAL)
    sought = Sought(wanted=(local,), troubles={"a.example": "No space left on device"})
    (row,) = told(plain, sought, (("a.example", shown("a.example", source=Source.LOCAL)),))
    assert (row.state, row.why) == ("failing", "No space left on device")


def test_however_many_hosts_there_are_each_is_told_of(plain: Compiled) -> None:
    names = tuple(f"h{number}.example" for number in range(300))
    assert len(told(plain, Sought(wanted=tuple(map(wanted, names))))) == 300

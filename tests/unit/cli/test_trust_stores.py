"""Stores of authorities: what is put there, what is taken away, and what is said where that can't be done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from vestibule.cli.trust_stores import Stores

NAME = "vestibule-abc"


class Machine:
    """A machine and a person's home in one directory, with these programs."""

    def __init__(self, folder: Path, *programs: str) -> None:
        self.root, self.home, self.programs = folder / "root", folder / "home", programs
        self.home.mkdir(parents=True)
        self.certificate = folder / "root.pem"
        self.certificate.write_text("PEM")
        self.ran: list[str] = []
        self.trouble: dict[str, str] = {}
        self.stores = Stores(root=self.root, home=self.home, which=self.which, run=self.run)

    def which(self, program: str) -> str | None:
        return f"/usr/bin/{program}" if program in self.programs else None

    def run(self, command: Sequence[str]) -> str:
        self.ran.append(" ".join(command).replace(str(self.home), "~"))
        return next((said for words, said in self.trouble.items() if words in self.ran[-1]), "")

    def system(self, folder: str = "usr/local/share/ca-certificates") -> Path:
        path = self.root / folder
        path.mkdir(parents=True)
        return path

    def profile(self, place: str) -> None:
        path = self.home / place
        path.mkdir(parents=True)
        (path / "cert9.db").write_text("")


@pytest.fixture
def debian(tmp_path: Path) -> Machine:
    machine = Machine(tmp_path, "update-ca-certificates", "certutil")
    machine.system()
    return machine


def test_it_is_put_into_the_systems_store_and_those_of_browsers(debian: Machine):
    debian.profile(".mozilla/firefox/abc.default")
    done = debian.stores.trust(debian.certificate, NAME)
    assert [(one.store, one.ok) for one in done] == [("system", True), ("Chromium", True), ("Firefox", True)]
    assert (debian.root / "usr/local/share/ca-certificates/vestibule-abc.crt").read_text() == "PEM"
    assert "update-ca-certificates" in debian.ran
    assert "certutil -N -d sql:~/.pki/nssdb --empty-password" in debian.ran
    added = [line for line in debian.ran if line.startswith("certutil -A")]
    assert [line.partition(" -t ")[0] for line in added] == [
        "certutil -A -d sql:~/.pki/nssdb",
        "certutil -A -d sql:~/.mozilla/firefox/abc.default",
    ]
    assert all("-t C,, -n vestibule-abc" in line for line in added)


def test_a_database_that_is_there_is_not_made_anew(debian: Machine):
    debian.profile(".pki/nssdb")
    debian.stores.trust(debian.certificate, NAME)
    assert not any(" -N " in line for line in debian.ran)


@pytest.mark.parametrize(
    "folder", ["etc/pki/ca-trust/source/anchors", "etc/ca-certificates/trust-source/anchors"]
)
def test_other_systems_have_theirs(tmp_path: Path, folder: str):
    machine = Machine(tmp_path, "update-ca-trust", "certutil")
    machine.system(folder)
    assert all(one.ok for one in machine.stores.trust(machine.certificate, NAME))
    assert (machine.root / folder / "vestibule-abc.crt").exists()


def test_who_may_not_is_told_the_two_commands(debian: Machine):
    folder = debian.root / "usr/local/share/ca-certificates"
    (folder / "vestibule-abc.crt").mkdir()  # even root can't write there
    system = debian.stores.trust(debian.certificate, NAME)[0]
    assert not system.ok
    path = folder / "vestibule-abc.crt"
    assert system.advice == f"sudo install -m 644 {debian.certificate} {path} && sudo update-ca-certificates"


def test_on_an_unknown_system_it_is_said(tmp_path: Path):
    machine = Machine(tmp_path, "certutil")
    system = machine.stores.trust(machine.certificate, NAME)[0]
    assert (system.ok, system.said) == (False, "no store is known here")


def test_without_certutil_it_is_said_what_to_install(tmp_path: Path):
    machine = Machine(tmp_path, "update-ca-certificates")
    machine.system()
    system, browsers = machine.stores.trust(machine.certificate, NAME)
    assert system.ok
    assert not browsers.ok
    assert "libnss3-tools" in browsers.advice


def test_what_a_program_says_is_told(debian: Machine):
    debian.trouble["certutil -A"] = "SEC_ERROR_READ_ONLY"
    chromium = debian.stores.trust(debian.certificate, NAME)[1]
    assert not chromium.ok
    assert "SEC_ERROR_READ_ONLY" in chromium.said


def test_it_is_taken_back_everywhere(debian: Machine):
    debian.stores.trust(debian.certificate, NAME)
    debian.ran.clear()
    done = debian.stores.forget(debian.certificate, NAME)
    assert all(one.ok for one in done)
    assert not (debian.root / "usr/local/share/ca-certificates/vestibule-abc.crt").exists()
    assert debian.ran == ["update-ca-certificates", "certutil -D -d sql:~/.pki/nssdb -n vestibule-abc"]


def test_what_was_never_there_is_no_fault(debian: Machine):
    debian.trouble["certutil -D"] = "not found"
    assert all(one.ok for one in debian.stores.forget(debian.certificate, NAME))

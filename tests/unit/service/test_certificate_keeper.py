"""What a process shows: certificates from files and of the local authority, as the configuration in force wants them."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from tests.unit.core.issued import FROM_AT, Issuer
from vestibule.core.certificate import DAY_S, Source, Wanted
from vestibule.errors import ConfigError
from vestibule.observe.log import Log
from vestibule.service.certificate_keeper import LOCAL_EVERY_S, CertificateKeeper
from vestibule.service.local_authority import LIFE_S
from vestibule.service.shelf import Shelf


class Stand:
    def __init__(self, folder: Path) -> None:
        self.folder, self.now, self.out = folder, FROM_AT + DAY_S, io.StringIO()
        self.shelf = Shelf()
        self.keeper = CertificateKeeper(self.shelf, Log(self.out), now=lambda: self.now)

    def use(self, *wanted: Wanted) -> None:
        self.keeper.use(self.keeper.prepare(wanted, self.folder / "local"))

    def source(self, name: str) -> Source | None:
        found = self.shelf.find(name)
        return found.source if found is not None else None


@pytest.fixture
def stand(tmp_path: Path) -> Stand:
    return Stand(tmp_path)


def local(name: str) -> Wanted:
    return Wanted(name=name, source=Source.LOCAL)


def file_of(folder: Path, name: str) -> Wanted:
    path = folder / f"{name}.pem"
    path.write_bytes(b"".join(Issuer().issue(name)))
    return Wanted(name=name, source=Source.FILE, certificate_path=str(path), key_path=str(path))


def test_each_host_has_its_certificate_as_it_is_wanted(stand: Stand):
    stand.use(
        local("localhost"),
        file_of(stand.folder, "a.example"),
        Wanted(name="b.example.com", source=Source.ACME),
    )
    assert stand.source("localhost") is Source.LOCAL
    assert stand.source("a.example") is Source.FILE
    assert stand.source("b.example.com") is None
    assert stand.keeper.troubles == {}


def test_no_authority_is_made_where_nobody_wants_one(stand: Stand):
    stand.use(file_of(stand.folder, "a.example"))
    assert not (stand.folder / "local").exists()


def test_another_configuration_takes_away_what_is_not_wanted_any_more(stand: Stand):
    stand.use(local("a.test"), local("b.test"))
    held = stand.shelf.find("a.test")
    stand.use(local("a.test"))
    assert stand.shelf.find("a.test") is held
    assert stand.source("b.test") is None


def test_a_local_one_is_shown_until_an_ordered_one_is_there(stand: Stand):
    stand.use(local("a.test"))
    stand.use(Wanted(name="a.test", source=Source.ACME))
    assert stand.source("a.test") is Source.LOCAL


async def test_a_local_one_is_made_anew_in_time(stand: Stand):
    stand.use(local("a.test"))
    before = stand.shelf.find("a.test")
    stand.now += LOCAL_EVERY_S
    await stand.keeper.look()
    assert stand.shelf.find("a.test") is before
    stand.now += LIFE_S * 0.7
    await stand.keeper.look()
    after = stand.shelf.find("a.test")
    assert before is not None
    assert after is not None
    assert after.not_after_at > before.not_after_at


async def test_where_none_can_be_made_it_is_told_of_once(stand: Stand):
    (stand.folder / "local").write_text("in the way")
    stand.use(local("a.test"))
    stand.now += LOCAL_EVERY_S
    await stand.keeper.look()
    assert stand.source("a.test") is None
    assert list(stand.keeper.troubles) == ["a.test"]
    assert stand.out.getvalue().count("certificate_unusable") == 1


def test_a_reload_shows_a_file_that_has_changed_at_once(stand: Stand):
    wanted = file_of(stand.folder, "a.example")
    stand.use(wanted)
    before = stand.shelf.find("a.example")
    file_of(stand.folder, "a.example")
    ready = stand.keeper.prepare([wanted], stand.folder / "local")
    assert stand.shelf.find("a.example") == before
    stand.keeper.use(ready)
    assert stand.shelf.find("a.example") not in {None, before}


def test_a_reload_with_a_file_that_was_broken_is_refused_and_what_is_shown_stays(stand: Stand):
    wanted = file_of(stand.folder, "a.example")
    stand.use(wanted)
    before = stand.shelf.find("a.example")
    (stand.folder / "a.example.pem").write_bytes(b"half of it")
    with pytest.raises(ConfigError, match="certificate: "):
        stand.keeper.prepare([wanted], stand.folder / "local")
    assert stand.shelf.find("a.example") is before


def test_a_reload_makes_local_ones_before_it_shows_them(stand: Stand):
    ready = stand.keeper.prepare([local("a.test")], stand.folder / "local")
    assert stand.shelf.find("a.test") is None
    stand.keeper.use(ready)
    assert stand.source("a.test") is Source.LOCAL

"""Which certificate is shown to whom."""

from __future__ import annotations

from tests.unit.core.test_certificate import certificate
from vestibule.service.shelf import Shelf


def test_a_name_has_its_own_certificate_before_one_with_a_wildcard():
    shelf, own, wide = Shelf(), certificate("a.example.com"), certificate("*.example.com")
    shelf.put("*.example.com", wide)
    shelf.put("a.example.com", own)
    assert shelf.find("a.example.com") is own
    assert shelf.find("b.example.com") is wide
    assert shelf.find("x.b.example.com") is None
    assert shelf.find("example.com") is None


def test_what_is_dropped_is_shown_no_longer():
    shelf = Shelf()
    shelf.put("a", certificate("a"))
    shelf.drop("a")
    shelf.drop("a")
    assert shelf.find("a") is None
    assert list(shelf) == []


def test_a_proof_is_shown_to_nobody_but_who_validates():
    shelf, proof = Shelf(), certificate("a")
    shelf.prove("a", proof)
    assert shelf.challenge("a") is proof
    assert shelf.find("a") is None
    shelf.prove("a", None)
    shelf.prove("a", None)
    assert shelf.challenge("a") is None


def test_who_watches_hears_of_other_certificates():
    shelf, heard = Shelf(), []
    shelf.watch(lambda: heard.append("changed"))
    shelf.put("a", certificate("a"))
    shelf.drop("a")
    shelf.drop("a")
    assert heard == ["changed", "changed"]


def test_who_waits_until_all_are_read_hears_of_it_once():
    shelf, heard = Shelf(), []
    shelf.watch(lambda: heard.append(shelf.is_filled))
    assert shelf.is_filled
    shelf.expect()
    assert not shelf.is_filled
    shelf.put("a", certificate("a"))
    shelf.fill()
    shelf.fill()
    assert heard == [False, True]

"""From `branding` blocks to what pages are dressed in: files are read, colours measured, templates and words tried."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import minijinja
import msgspec

from vestibule.config import page, schema, schema_branding
from vestibule.config.path import beside
from vestibule.config.place import Place, Report, nearest
from vestibule.core import branding
from vestibule.core.branding import PLAIN, Branding, Picture, Scheme
from vestibule.core.wording import Language, WordingError, language_of

PICTURE_LIMIT_BYTES = 256 * 1024
TEXT_LIMIT_BYTES = 256 * 1024
_NONE = "-"
#: extension → what such a file begins with (after four bytes that differ, where the pattern says so)
_PICTURES: Mapping[str, re.Pattern[bytes]] = {
    "svg": re.compile(rb"(?s)(?:\xef\xbb\xbf)?\s*<(?:\?xml|!--|!DOCTYPE svg|svg)(?=.*<svg|[\s>])"),
    "png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "jpg": re.compile(rb"\xff\xd8\xff"),
    "webp": re.compile(rb"(?s)RIFF.{4}WEBP"),
    "gif": re.compile(rb"GIF8[79]a"),
}
_SAME = {"jpeg": "jpg"}
_LINK_RE = re.compile(r"(?:https?://[^\s/?#]+\S*|mailto:[^\s@]+@[^\s@]+)", re.IGNORECASE)
_TEMPLATE_RE = re.compile(r"[a-z0-9][a-z0-9_-]*\.(?:html|svg)")


def check_brandings(config: schema.Config, report: Report) -> dict[str, Branding]:
    """What each host's pages are dressed in, by the host's label. Hosts without a block of their own share one."""
    dresser = _Dresser(report)
    general = dresser.dress(config.branding) if config.branding is not None else PLAIN
    return {
        host.label: dresser.dress(host.branding, config.branding) if host.branding is not None else general
        for host in config.host
    }


def title_of(host: schema.Host, config: schema.Config) -> str:
    """What the host is called on its pages, where a branding says so."""
    for node in (host.branding, config.branding):
        if node is not None and node.title:
            return node.title
    return ""


class _Dresser:
    """Reads brandings; a file that several hosts name is read once."""

    def __init__(self, report: Report) -> None:
        self._report = report
        self._pictures: dict[Path, Picture | None] = {}
        self._templates: dict[Path, Mapping[str, str]] = {}
        self._languages: dict[Path, tuple[Language, ...]] = {}

    def dress(self, *nodes: schema_branding.Branding | None) -> Branding:
        """The branding of these blocks; each attribute is the first's that has it."""
        found = [node for node in nodes if node is not None]
        given = {name: node for node in reversed(found) for name in node.__struct_fields__ if node.has(name)}

        def value(name: str) -> Any:
            return getattr(given.get(name, found[0]), name)

        light = Scheme(accent=value("accent"), background=value("background"))
        dark = Scheme(accent=value("dark_accent"), background=value("dark_background"))
        languages = self._of_path(given, "languages", self._languages, self._read_languages) or ()
        dressed = Branding(
            text=value("text"),
            banner=value("banner"),
            footer=value("footer"),
            footer_links=tuple(self._links(given.get("footer_links"))),
            logo=self._logo(given.get("logo"), "logo"),
            dark_logo=self._logo(given.get("dark_logo"), "dark_logo"),
            shows_mark=value("logo") != _NONE,
            marks=dict(self._marks(given.get("marks"))),
            light=light,
            dark=branding.dark_of(light, dark),
            templates=self._of_path(given, "templates", self._templates, self._read_templates) or {},
            templates_at=str(_path(given["templates"], "templates")) if value("templates") else "",
            languages=languages,
            language=self._language(given.get("language"), languages),
        )
        self._check_colours(dressed, given)
        return dressed

    # -- words ------------------------------------------------------------------------------------

    def _links(self, node: schema_branding.Branding | None) -> Iterator[tuple[str, str]]:
        for label, address in (node.footer_links if node is not None else {}).items():
            if _LINK_RE.fullmatch(address):
                yield label, address
            elif node is not None:
                place = node.at("footer_links")
                self._report.fault(
                    place, f"`{address}` is no link: https://…, http://… or mailto:NAME@DOMAIN"
                )

    def _language(self, node: schema_branding.Branding | None, languages: tuple[Language, ...]) -> str:
        if node is None:
            return PLAIN.language
        known = {**page.languages(), **{language.tag: language for language in languages}}
        if node.language not in known:
            there = ", ".join(known)
            self._report.fault(
                node.at("language"), f"there is no language `{node.language}`; there are {there}"
            )
            return PLAIN.language
        return node.language

    def _read_languages(self, folder: Path, _place: Place) -> tuple[Language, ...]:
        ours = page.languages()
        found: list[Language] = []
        for path in sorted(folder.glob("*.json")):
            text = self._text(path)
            if text is None:
                continue
            try:
                data = msgspec.json.decode(text)
                tag = path.stem
                found.append(language_of(tag, data, ours["en"].words, ours.get(tag)))
            except msgspec.DecodeError as exc:
                self._report.fault(Place(str(path)), f"is no JSON: {exc}")
            except WordingError as exc:
                for fault in str(exc).splitlines():
                    self._report.fault(Place(str(path)), fault)
        return tuple(found)

    # -- templates --------------------------------------------------------------------------------

    def _read_templates(self, folder: Path, place: Place) -> Mapping[str, str]:
        found: dict[str, str] = {}
        tried = minijinja.Environment()
        for path in sorted(folder.iterdir()):
            if not _TEMPLATE_RE.fullmatch(path.name):
                continue
            text = self._text(path)
            if text is None:
                continue
            found[path.name] = text
            try:
                tried.add_template(path.name, text)
            except minijinja.TemplateError as exc:
                said = str(exc.detail or exc.message or exc.kind)
                self._report.fault(Place(str(path), exc.line or 1, 1), said)
        self._check_names(found, folder, place)
        return found

    def _check_names(self, found: Mapping[str, str], folder: Path, place: Place) -> None:
        ours = page.templates()
        if not found:
            self._report.warn(place, f"no template is in {folder}: {', '.join(sorted(ours))}")
        for name in found:
            is_used = any(f'"{name}"' in text or f"'{name}'" in text for text in found.values())
            if name not in ours and not is_used:
                where = Place(str(folder / name))
                self._report.warn(where, f"no page is called {name}{nearest(name, ours)}")

    # -- files ------------------------------------------------------------------------------------

    def _of_path(
        self, given: Mapping[str, schema_branding.Branding], name: str, known: Any, read: Any
    ) -> Any:
        """What is read from a directory, once."""
        node = given.get(name)
        if node is None or not getattr(node, name):
            return None
        folder, place = _path(node, name), node.at(name)
        if not folder.is_dir():
            self._report.fault(place, f"there is no directory {folder}")
            return None
        if folder not in known:
            known[folder] = read(folder, place)
        return known[folder]

    def _logo(self, node: schema_branding.Branding | None, name: str) -> Picture | None:
        if node is None or getattr(node, name) in ("", _NONE):
            return None
        return self._picture(_path(node, name), node.at(name))

    def _marks(self, node: schema_branding.Branding | None) -> Iterator[tuple[str, Picture]]:
        for client, path in (node.marks if node is not None else {}).items():
            assert node is not None
            picture = self._picture(beside(node, "marks", path), node.at("marks"))
            if picture is not None:
                yield client, picture

    def _picture(self, path: Path, place: Place) -> Picture | None:
        if path not in self._pictures:
            self._pictures[path] = self._read_picture(path, place)
        return self._pictures[path]

    def _read_picture(self, path: Path, place: Place) -> Picture | None:
        """Threat: a file of another type, which a browser told its type takes for something that runs."""
        body = self._bytes(path, PICTURE_LIMIT_BYTES, place)
        if body is None:
            return None
        extension = path.suffix[1:].lower()
        extension = _SAME.get(extension, extension)
        if extension not in _PICTURES:
            self._report.fault(place, f"{path.name} is no picture: {', '.join(_PICTURES)}")
            return None
        if not _PICTURES[extension].match(body):
            self._report.fault(place, f"{path.name} does not hold what its name says: it is no {extension}")
            return None
        return Picture(body, extension)

    def _text(self, path: Path) -> str | None:
        body = self._bytes(path, TEXT_LIMIT_BYTES, Place(str(path)))
        try:
            return None if body is None else body.decode("utf-8-sig")
        except UnicodeDecodeError:
            self._report.fault(Place(str(path)), "is not UTF-8 text")
            return None

    def _bytes(self, path: Path, limit_bytes: int, place: Place) -> bytes | None:
        try:
            with path.open("rb") as file:
                body = file.read(limit_bytes + 1)
        except OSError as exc:
            self._report.fault(place, f"{path} can't be read: {exc.strerror}")
            return None
        if len(body) > limit_bytes:
            self._report.fault(place, f"{path} is larger than {limit_bytes // 1024} KiB")
            return None
        return body

    # -- colours ----------------------------------------------------------------------------------

    def _check_colours(self, dressed: Branding, given: Mapping[str, schema_branding.Branding]) -> None:
        """Text on the accent always reads (it is black or white); the accent itself may not stand out."""
        for name, scheme, is_dark in (("accent", dressed.light, False), ("dark_accent", dressed.dark, True)):
            node = given.get(name)
            if node is None or not scheme.accent:
                continue
            ratio = branding.contrast(scheme.accent, branding.door_of(scheme, is_dark=is_dark))
            if ratio < branding.SHAPE_CONTRAST:
                self._report.warn(
                    node.at(name),
                    f"{scheme.accent} stands out from the page by {ratio:.1f}:1 only; "
                    f"buttons are hard to see below {branding.SHAPE_CONTRAST:.0f}:1",
                )


def _path(node: schema_branding.Branding, name: str) -> Path:
    return beside(node, name, getattr(node, name))

"""SimpleSAMLphp (Debian), on PHP's own server: a SAML provider of two people, and of the services it was told of."""

from __future__ import annotations

import itertools
import json
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest
from yarl import URL

from tests.house.source import ROOT
from tests.process import Process, needed
from tests.real.realm_saml import Form, Page, Person, form_in, new_pair

UNPACKED: Final = ROOT / "build" / "debian"
PEOPLE: Final = {
    "alice": {"uid": ["alice"], "email": ["alice@example.com"], "groups": ["staff", "berlin"]},
    "bob": {"uid": ["bob"], "email": ["bob@example.com"], "groups": ["staff"]},
}
_EXTENSIONS: Final = ("ctype", "dom", "iconv", "posix", "simplexml", "tokenizer", "xml")


class SimpleSaml:
    """One, with a key of its own; nobody is known to it before `register`."""

    def __init__(self, port: int, folder: Path) -> None:
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.folder = folder
        for name in ("metadata", "cert", "log", "data", "temp", "sessions"):
            (folder / name).mkdir(parents=True)
        self.change_key()
        self._write("config.php", "config", self._configuration())
        self._write("authsources.php", "config", {"people": _people()})
        self.change()
        self.process = Process("simplesamlphp", self._command(), cwd=folder, env=self._environment())

    def wait(self) -> None:
        """Returns once it accepts."""
        self.process.wait_port(self.port)

    def stop(self) -> None:
        """Ends it; its log is shown where the test failed."""
        print(self.process.shown)
        self.process.stop()

    @property
    def metadata_url(self) -> str:
        """Where it says what it is."""
        return f"{self.url}/saml2/idp/metadata.php"

    def change(self, **settings: object) -> None:
        """What the provider does from now on, beside what all tests have: `assertion.encryption` and so on."""
        hosted = {
            "host": "__DEFAULT__",
            "privatekey": "idp.key",
            "certificate": "idp.crt",
            "auth": "people",
            "NameIDFormat": "urn:oasis:names:tc:SAML:2.0:nameid-format:persistent",
            "authproc": {"3": {"class": "saml:PersistentNameID", "attribute": "uid"}},
            **{name.replace("__", "."): value for name, value in settings.items()},
        }
        self._write("metadata/saml20-idp-hosted.php", "metadata['__DYNAMIC:1__']", hosted)

    def change_key(self) -> None:
        """It signs with another key from now on, and says so."""
        pair = new_pair()
        (self.folder / "cert" / "idp.key").write_text(pair.key, "ascii")
        (self.folder / "cert" / "idp.crt").write_text(pair.certificate, "ascii")

    def register(self, *metadata_urls: str) -> None:
        """Has it know the services whose metadata stand there, as their admins gave them."""
        for number, url in enumerate(metadata_urls):
            parts = URL(url)
            asked = urllib.request.Request(
                str(parts.with_host("127.0.0.1")), headers={"Host": parts.authority}
            )
            with urllib.request.urlopen(asked, timeout=60) as answer:
                (self.folder / "metadata" / f"service-{number}.xml").write_bytes(answer.read())

    def change_services(self, old: str, new: str) -> None:
        """What it knows of them says something else from now on."""
        for path in sorted((self.folder / "metadata").glob("service-*.xml")):
            text = path.read_text("utf-8")
            assert old in text, text
            path.write_text(text.replace(old, new), "utf-8")

    def _write(self, name: str, variable: str, value: object) -> None:
        """A file of PHP, in one step: the server may be reading it."""
        path = self.folder / name
        new = path.with_suffix(".new")
        new.write_text(
            f"<?php ${variable} = json_decode(<<<'JSON'\n{json.dumps(value)}\nJSON, true);\n", "utf-8"
        )
        new.replace(path)

    def _configuration(self) -> Mapping[str, Any]:
        folder = self.folder
        services = [{"type": "xml", "file": f"{folder}/metadata/service-{number}.xml"} for number in range(2)]
        for source in services:  # it reads all that are named, whether anybody is registered yet or not
            Path(source["file"]).write_text(_NOBODY, "ascii")
        return {
            "baseurlpath": f"{self.url}/",
            "certdir": f"{folder}/cert/",
            "loggingdir": f"{folder}/log/",
            "datadir": f"{folder}/data/",
            "tempdir": f"{folder}/temp",
            "metadatadir": f"{folder}/metadata/",
            "timezone": "UTC",
            "secretsalt": "of this test alone",
            "auth.adminpassword": "of this test alone",
            "technicalcontact_email": "na@example.org",
            "admin.checkforupdates": False,
            "logging.handler": "errorlog",
            "logging.level": 5,
            "showerrors": True,
            "errorreporting": False,
            "enable.saml20-idp": True,
            "module.enable": {"exampleauth": True, "core": True, "saml": True},
            "session.phpsession.savepath": f"{folder}/sessions",
            "session.cookie.secure": False,
            "session.cookie.samesite": "Lax",
            "language.default": "en",
            "store.type": "phpsession",
            "metadata.sources": [{"type": "flatfile"}, *services],
        }

    def _command(self) -> list[str | Path]:
        modules = _found("usr/lib/php/*/dom.so", "php-xml").parent
        pages = _found("usr/share/simplesamlphp/www", "simplesamlphp")
        settings = [("extension_dir", str(modules)), *(("extension", name) for name in _EXTENSIONS)]
        settings += [("error_reporting", "0"), ("display_errors", "0")]  # it is older than this PHP
        options = itertools.chain.from_iterable(("-d", f"{name}={value}") for name, value in settings)
        return [needed("php", "php-cli"), "-n", *options, "-S", f"127.0.0.1:{self.port}", "-t", pages]

    def _environment(self) -> Mapping[str, str]:
        return {"SIMPLESAMLPHP_CONFIG_DIR": str(self.folder)}


class Somebody(Person):
    """One of its people, with a browser of their own."""

    async def sign_in(self, login: str = "alice", path: str = "/@corp/signin?rd=/") -> Page:
        """Through its own form, unless it knows them already; where the person ends."""
        return await self.filled(await self.get(path), login)

    async def filled(self, page: Page, login: str = "alice") -> Page:
        """The form of its page, sent; the page itself where it has none."""
        if 'name="password"' not in page.text:
            return page
        here = str(page.url.with_query(None))
        return await self.post(Form(here, form_in(page.text).fields), username=login, password=login)


def told(page: Page) -> dict[str, str]:
    """The header fields that the app got, by lower-case name."""
    assert page.status == 200, page.text
    return {name.lower(): value for name, value in json.loads(page.text)["headers"]}


_NOBODY: Final = (
    '<EntityDescriptor xmlns="urn:oasis:names:tc:SAML:2.0:metadata" entityID="urn:nobody">'
    '<SPSSODescriptor protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol"/></EntityDescriptor>'
)


def _people() -> Mapping[str, Any]:
    """Who it knows: each password is the name."""
    return {"0": "exampleauth:UserPass", **{f"{name}:{name}": said for name, said in PEOPLE.items()}}


def _found(pattern: str, package: str) -> Path:
    """A file of a package, installed or unpacked; a failed test that says how to get it."""
    for root in (Path("/"), UNPACKED):
        if found := sorted(root.glob(pattern)):
            return found[-1]
    pytest.fail(f"{package} is missing: tools/servers.sh {package} (make test does it when it may)")

"""Configurations of other programs, imported and then checked as `vestibule check` does."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from vestibule.config.compile import compile_config
from vestibule.config.importers.io import import_io
from vestibule.config.importers.note import Imported
from vestibule.config.importers.oauth2_proxy import import_oauth2_proxy
from vestibule.config.importers.source import Source
from vestibule.config.importers.vouch import import_vouch
from vestibule.config.load import Loaded, load

DATA = Path(__file__).parent / "data"
#: what stands in files that are named, and may stand in no answer
HIDDEN = ("hidden-", "GOCSPX-", "glsecret", "gto_secret", "b2F1dGgy", "entra~secret", "72341b6d")


class Desk:
    """Imports texts, and loads what came of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def oauth2_proxy(
        self, *texts: str, hosts: Sequence[str] = (), files: dict[str, str] | None = None
    ) -> Imported:
        """From texts themselves, or from files of the data folder by name."""
        return import_oauth2_proxy(self.sources("oauth2_proxy", texts), hosts, (files or {}).get)

    def vouch(self, *texts: str, hosts: Sequence[str] = ()) -> Imported:
        return import_vouch(self.sources("vouch", texts), hosts)

    def io(self, *texts: str) -> Imported:
        return import_io(self.sources("io", texts))

    def sources(self, product: str, texts: Sequence[str]) -> tuple[Source, ...]:
        found = []
        for number, text in enumerate(texts):
            path = DATA / product / text
            is_file = "\n" not in text and len(text) < 60 and path.is_file()
            name = text if is_file else f"text-{number}"
            found.append(Source(name, path.read_text("utf-8") if is_file else text))
        return tuple(found)

    def load(self, found: Imported) -> Loaded:
        """The result, as `check` takes it: with its variables set, beside the files it names."""
        text = found.hcl
        for path in re.findall(r'file\("([^"]+)"\)', text):
            text = text.replace(path, self.placed(Path(path).name, _content(path)))
        for path in re.findall(r'(?:htpasswd|logo) += "([^"]+)"', text):
            text = text.replace(f'"{path}"', f'"{self.placed(Path(path).name, _content(path))}"')
        (self.folder / "empty").mkdir(exist_ok=True)
        environ = {name: _setting(name) for name in re.findall(r'env\("([^"]+)"\)', text)}
        loaded = load([Path(self.placed("imported.hcl", text))], environ)
        compile_config(loaded)
        return loaded

    def placed(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text, "utf-8")
        return str(path)


def _content(path: str) -> str:
    if path.endswith(".pem"):
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    if path.endswith(".svg"):
        return '<svg xmlns="http://www.w3.org/2000/svg"/>'
    if path.endswith("htpasswd"):
        return (DATA / "oauth2_proxy" / "users.htpasswd").read_text("utf-8")
    return "placeholder"


def _setting(name: str) -> str:
    return "https://placeholder.example" if name.endswith(("_URL", "_ISSUER")) else "placeholder"


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What of a configuration an import is about."""

    hosts: dict[str, tuple[str, ...]]
    """Rules of `allow` by host."""
    routes: dict[str, tuple[str, ...]]
    """Of `HOST PREFIX`: the route's own rules; without any those of the host hold."""
    provider: str
    domain: str = ""


def facts(loaded: Loaded) -> Facts:
    """Of what was loaded."""
    config = loaded.config
    node = (*config.provider, *config.oauth)[0]
    return Facts(
        hosts={host.label: _allow(host.access) for host in config.host},
        routes={
            f"{host.label} {route.label}": _allow(route.access)
            for host in config.host
            for route in host.route
        },
        provider=node.type or (node.label if node in config.provider else "oauth2"),
        domain=" ".join(domain.label for domain in config.domain),
    )


def _allow(access: object) -> tuple[str, ...]:
    return tuple(rule.text for rule in getattr(access, "allow", ()))

"""Files and environment to a configuration that has been checked: the one door into this package."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from vestibule.config import environment, hcl, surroundings
from vestibule.config.auth_host import with_auth_hosts
from vestibule.config.check import Checked, check
from vestibule.config.place import Place, Report, in_order
from vestibule.config.schema import Config, General
from vestibule.config.shape import read
from vestibule.config.tracing import tracing_of
from vestibule.config.variables import Variables
from vestibule.core.certificate import Source
from vestibule.core.tracing import Tracing
from vestibule.errors import ConfigError
from vestibule.model import Secret
from vestibule.observe import clock


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """A configuration without faults."""

    config: Config
    checked: Checked
    files: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    """What is legal but risky, each `file:line:col: message`."""
    tracing: Tracing | None = None
    """Where spans go."""
    document: hcl.Block = hcl.Block("", Place(""))
    """All of it as it was written, with what the environment says in place of that."""
    loaded_at: float = 0.0
    session_key: Secret | None = None
    """`VESTIBULE_SESSION_KEY`: stands for the key file; several keys are separated by commas, and the first seals."""

    @property
    def summary(self) -> str:
        """One line on what it holds."""
        config = self.config
        routes = sum(len(host.route) for host in config.host)
        calls = len(config.call) + sum(len(host.call) for host in config.host)
        counts = (
            (len(config.host), "host"),
            (routes, "route"),
            (len(self.checked.clients), "identity client"),
            (calls, "calling interface"),
        )
        return ", ".join(f"{count} {word}{'' if count == 1 else 's'}" for count, word in counts)

    @property
    def listens(self) -> str:
        """One line on where it speaks TLS, and by which certificates; empty: nowhere."""
        gateway = self.config.gateway
        if gateway is None or not gateway.https:
            return ""
        counts = Counter(ending.wanted.source for ending in self.checked.endings.values())
        names = ", ".join(f"{count} {_OF_SOURCE[source]}" for source, count in counts.items())
        http = f"; http on {', '.join(map(str, gateway.http))}" if gateway.http else "; no http"
        return f"https on {', '.join(map(str, gateway.https))}: {names}{http}"


_OF_SOURCE: Final = {
    Source.ACME: "by ACME",
    Source.FILE: "from files",
    Source.LOCAL: "of the local authority",
}


def load(paths: Sequence[Path], environ: Mapping[str, str]) -> Loaded:
    """The configuration in these files, or without any, in the environment.

    Raises: ConfigError with every fault.
    """
    loaded, faults = examined(paths, environ)
    if faults:
        raise ConfigError(faults)
    return loaded


def examined(paths: Sequence[Path], environ: Mapping[str, str]) -> tuple[Loaded, tuple[str, ...]]:
    """The configuration as far as it can be read, and every fault; with one, nothing else is promised of it."""
    report = Report()
    files = tuple(str(path) for path in paths)
    variables = None if paths else Variables(environ, report)
    if variables is None:
        documents = [_document(path, environ, report) for path in paths]
        environment.beside_file(environ, report)
    else:
        documents = [surroundings.document(variables, report)]
    torn = bool(report.faults)
    root = environment.overridden(with_auth_hosts(_joined(documents, report)), environ, report)
    config = read(Config, root, report)
    # What a broken file should have held would only be reported missing.
    checked = Checked() if torn and not config.host else check(config, report)
    key = _session_key(variables or Variables(_ours(environ), report), report)
    tracing = tracing_of(config, environ, report)
    loaded = Loaded(
        config=config,
        checked=checked,
        files=files,
        warnings=in_order(report.warnings, files),
        document=root,
        loaded_at=clock.now(),
        tracing=tracing,
        session_key=key,
    )
    return loaded, in_order(report.faults, files)


def _document(path: Path, environ: Mapping[str, str], report: Report) -> hcl.Block:
    place = Place(str(path), 1, 1)
    try:
        text = path.read_text("utf-8-sig")
    except OSError as exc:
        report.fault(Place(str(path)), f"can't be read: {exc.strerror or exc}")
        return hcl.Block("", place)
    except ValueError:
        report.fault(Place(str(path)), "is not UTF-8 text")
        return hcl.Block("", place)
    return hcl.parse(text, hcl.Source(path, environ), report)


def _joined(documents: Sequence[hcl.Block], report: Report) -> hcl.Block:
    """All files as one block; blocks that may be split become one."""
    attributes: dict[str, hcl.Attribute] = {}
    blocks: list[hcl.Block] = []
    split: dict[str, hcl.Block] = {}
    for document in documents:
        attributes |= document.attributes
        for block in document.blocks:
            if block.type in Config.GENERAL and not block.labels:
                read(General, block, report)
            elif block.type in Config.SPLIT and not block.labels:
                first = split.get(block.type)
                split[block.type] = block if first is None else _merged(first, block, report)
            else:
                blocks.append(block)
    return hcl.Block("", documents[0].place, (), attributes, (*split.values(), *blocks))


def _merged(first: hcl.Block, second: hcl.Block, report: Report) -> hcl.Block:
    attributes = dict(first.attributes)
    for name, attribute in second.attributes.items():
        if name in attributes:
            place = attributes[name].place.short
            report.fault(attribute.place, f"`{name}` stands here twice; the first is at {place}")
        else:
            attributes[name] = attribute
    return hcl.Block(first.type, first.place, (), attributes, (*first.blocks, *second.blocks))


def _ours(environ: Mapping[str, str]) -> dict[str, str]:
    """What is read beside files, too."""
    return {name: environ[name] for name in (environment.SESSION_KEY,) if name in environ}


def _session_key(variables: Variables, report: Report) -> Secret | None:
    """Threat: a key that can be guessed opens every stored credential."""
    keys = variables.text("SESSION_KEY")
    if not keys:
        return None
    if any(len(key) < 32 or len(set(key)) < 8 for key in environment.session_keys_in(keys) or ("",)):
        report.fault(
            variables.place("SESSION_KEY"),
            "is too easy to guess: at least 32 random characters, as `openssl rand -base64 32` prints; of several "
            "keys, separated by commas, each",
        )
    return Secret(keys)

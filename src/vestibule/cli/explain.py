"""`vestibule explain`: which host, route and rule decide about a request, and why."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import msgspec

from vestibule.admin_client import Condition, Explanation
from vestibule.cli.remote import Remote, asks_gateway
from vestibule.cli.table import fields, plain
from vestibule.config.compile import compile_config
from vestibule.config.load import load
from vestibule.core import inquiry
from vestibule.core.claim import LISTS, with_lists
from vestibule.core.route import Host
from vestibule.core.rule import LISTED
from vestibule.errors import BadRequest, ConfigError
from vestibule.model import Asker, Identity
from vestibule.protocol.address import normalise

_VERDICTS = {"holds": "holds", "fails": "does not hold", "unknown": "can't be told"}


class Method(click.ParamType[str]):
    """A method of HTTP."""

    name = "method"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """`post` → `POST`."""
        method = str(value).upper()
        if not inquiry.METHOD_RE.fullmatch(method):
            self.fail(f"{value} is no method of HTTP", param, ctx)
        return method


class IpAddress(click.ParamType[str]):
    """An IP address."""

    name = "address"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """The address in its one spelling; empty where none is said."""
        try:
            return normalise(str(value)) if value else ""
        except ValueError:
            self.fail(f"{value} is no IP address", param, ctx)


def _facts(command: Callable[..., None]) -> Callable[..., None]:
    """The command with what can be said of somebody who isn't asked for by the gateway."""
    options = [
        click.option(
            "--provider", metavar="ID", help="They sign in with this one. [default: the host's first]"
        ),
        click.option("--email", help="Their verified address."),
        click.option("--login", help="Their login there."),
        *(
            click.option(
                f"--{kind}", LISTED[kind], multiple=True, help=f"One of their {LISTED[kind]}; repeat it."
            )
            for kind in LISTED
        ),
        click.option("--claim", "claims", multiple=True, metavar="NAME=VALUE", help="A claim of theirs."),
        click.option("--user", "user_id", metavar="ID", help="Their id here."),
        click.option("--scope", "scopes", multiple=True, help="They show a token with this scope."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@click.command()
@click.argument("url")
@click.option("--as", "who", metavar="USER", default="", help="Id, e-mail address or login of a user.")
@click.option("--method", type=Method(), default="GET", show_default=True, help="Method of the request.")
@click.option("--address", type=IpAddress(), default="", help="IP address that the request comes from.")
@click.option("--tool", metavar="NAME", default="", help="The tool of an MCP server that the request calls.")
@click.option(
    "--config",
    "files",
    multiple=True,
    metavar="FILE.hcl",
    type=click.Path(path_type=Path),
    help="Ask this configuration instead of the running gateway; repeat it for more files.",
)
@_facts
@asks_gateway
def explain(
    remote: Remote,
    *,
    url: str,
    who: str,
    method: str,
    address: str,
    tool: str,
    files: tuple[Path, ...],
    **facts: Any,
) -> None:
    """Tell which host, route and rule decide about a request, and why.

    Asks the running gateway, for a user of it (--as) or for nobody. With --config it asks files, for somebody of whom
    you say what is known: --email, --group and so on. Exit code 0: the request is let in; 1: it is not.
    """
    said = {name: value for name, value in facts.items() if value}
    if files and who:
        raise click.UsageError(
            "--as is for users of the running gateway; with --config say --email, --group …"
        )
    if said and not files:
        name = next(iter(said))
        raise click.UsageError(f"what is said of somebody ({name}) goes with --config; --as names a user")
    found = (
        _by_files(files, (url, tool), method, address, said)
        if files
        else remote.client.explain(url, who=who, method=method, address=address, tool=tool)
    )
    remote.show(found, lambda: _text(found))
    if found.status is not None:
        sys.exit(1)


# -- without a gateway ------------------------------------------------------------------------


def _by_files(
    files: tuple[Path, ...], asked: tuple[str, str], method: str, address: str, said: dict[str, Any]
) -> Explanation:
    """What the files say; `asked`: the address, and the tool that is called there."""
    try:
        routes = compile_config(load(files, os.environ)).table
    except ConfigError as error:
        for fault in error.faults:
            click.echo(fault, err=True)
        sys.exit(1)
    try:
        spot = inquiry.spot_of(routes, *asked)
    except BadRequest as error:
        raise click.BadParameter(error.message, param_hint="URL") from None
    asker = _asker(spot.host, address, said)
    found = inquiry.findings(spot, method.encode("ascii"), asker)
    told = msgspec.to_builtins(found)
    for condition in told["conditions"]:
        del condition["kind"]
    named = [identity.email or identity.login or "somebody" for identity in asker.identities]
    return msgspec.convert(
        {
            **told,
            "address": address,
            "user_id": asker.user_id,
            "who": next(iter(named), "nobody"),
            "known_by": "what was said of them" if said else "nobody is signed in",
        },
        Explanation,
    )


_NOW = 0.0
"""Nothing is said of when they signed in: that was just now."""


def _asker(host: Host, address: str, said: dict[str, Any]) -> Asker:
    """Somebody of whom this is known; what isn't said is unknown. Raises click.UsageError."""
    scopes = frozenset(said["scopes"]) if "scopes" in said else None
    if not said.keys() - {"scopes"}:
        return Asker((), "", address, scopes, _NOW)
    client = said.get("provider", "")
    full = host.clients.get(client, client) if client else next(iter(host.believed), "")
    if full not in host.believed:
        ids = ", ".join(name for name, one in host.clients.items() if one in host.believed) or "nobody"
        raise click.UsageError(f"{client or 'somebody'} can't sign in on {host.name.decode()}: {ids} can")
    identity = Identity(
        client=full,
        issuer="",
        subject="",
        login=said.get("login", ""),
        email=said.get("email", ""),
        unknown=LISTS,
        claims=_claims(said.get("claims", ())),
    )
    lists = {name: tuple(said[name]) for name in LISTS if name in said}
    return Asker(
        (with_lists(identity, **lists),),
        said.get("user_id", ""),
        address,
        scopes,
        _NOW,
        # Whoever signs in here comes with scopes by an app alone.
        is_app=scopes is not None and full in host.sign_in,
    )


def _claims(given: tuple[str, ...]) -> dict[str, Any]:
    claims: dict[str, Any] = {}
    for one in given:
        name, mark, value = one.partition("=")
        if not mark:
            raise click.UsageError(f"--claim {one}: write NAME=VALUE")
        claims.setdefault(name, []).append(value)
    return claims


# -- for people -------------------------------------------------------------------------------


def _text(found: Explanation) -> str:
    by = f"{found.method} by {found.who}" + (f" from {found.address}" if found.address else "")
    answer = "let in" if found.status is None else f"{found.status} {found.answer}"
    pairs = [
        ("host", _placed(found.host, found.host_place)),
        ("route", _placed(found.route, found.route_place)),
        ("path", found.path),
        ("asked", by),
        ("known by", found.known_by),
        ("answer", answer),
        ("because", found.reason),
        ("to be let in", found.change),
    ]
    lines = "".join(f"\n{_line(one)}" for one in found.conditions)
    return f"{fields(pairs)}\n{lines}" if lines else fields(pairs)


def _line(one: Condition) -> str:
    """One condition; what decided is marked."""
    mark = ">" if one.decides else " "
    return _placed(
        plain(f"{mark} {one.list:<7}  {one.rule}: {_VERDICTS[one.verdict]}; saw {one.saw}"), one.place
    )


def _placed(what: str, place: str) -> str:
    return f"{what} ({place})" if place else what

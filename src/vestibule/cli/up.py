"""`vestibule up`: writes a first configuration, and starts it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from vestibule.config.first import First, Sign, first
from vestibule.config.load import load
from vestibule.config.place import Unfit
from vestibule.errors import ConfigError


@click.command()
@click.argument("host")
@click.argument("backend")
@click.option("--google", metavar="WHO", help="Sign in with Google: an address (you@gmail.com), or a domain.")
@click.option("--github", metavar="ORG", help="Sign in with GitHub: members of this organisation.")
@click.option("--provider", "kind", metavar="KIND", help="Sign in with another kind: oidc, entra, gitlab …")
@click.option(
    "--set", "settings", multiple=True, metavar="NAME=VALUE", help="A setting of that kind: issuer=https://…"
)
@click.option(
    "--allow", multiple=True, metavar="RULE", help="Who may come in by it: domain:example.com, anyone."
)
@click.option(
    "--file", "path", type=click.Path(path_type=Path), default=Path("vestibule.hcl"), help="What to write to."
)
@click.option("--email", default="", metavar="ADDRESS", help="Where the CA of its certificate may write to.")
@click.option("--edge", is_flag=True, help="Something in front speaks TLS for HOST already: nginx, Caddy …")
@click.option("--force", is_flag=True, help="Overwrite the file.")
@click.option("--no-serve", is_flag=True, help="Write and check it, no more.")
def up(
    host: str,
    backend: str,
    *,
    google: str | None,
    github: str | None,
    kind: str | None,
    settings: tuple[str, ...],
    allow: tuple[str, ...],
    path: Path,
    email: str,
    edge: bool,
    force: bool,
    no_serve: bool,
) -> None:
    """Write a first configuration, check it, and serve it.

    It puts HOST in front of the app at BACKEND. HOST is a name (app.example.com), for which a certificate comes by
    itself (Let's Encrypt's), or localhost to try it on this machine. BACKEND is host:port, or a port here.
    """
    signs = _signs(google, github, kind, settings, allow)
    try:
        found = first(host, backend, signs, email=email, has_edge=edge)
    except Unfit as exc:
        raise click.UsageError(str(exc)) from None
    _write(path, found.text, force=force)
    _say(path, found)
    missing = [name for name in found.variables if not os.environ.get(name)]
    if missing:
        print(
            f"Then: vestibule serve {path}" if no_serve else f"Not started yet. Then: vestibule serve {path}"
        )
        sys.exit(0 if no_serve else 1)
    _check(path)
    if not no_serve:
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, "-P", "-m", "vestibule", "serve", str(path)])  # noqa: S606 - ourselves


def _signs(
    google: str | None,
    github: str | None,
    kind: str | None,
    settings: tuple[str, ...],
    allow: tuple[str, ...],
) -> list[Sign]:
    signs = []
    if google:
        signs.append(Sign(kind="google", allow=(f"email:{google}" if "@" in google else f"domain:{google}",)))
    if github:
        signs.append(Sign(kind="github", orgs=(github,)))
    if kind:
        if not allow:
            raise click.UsageError("say who may come in by it: --allow domain:example.com, or --allow anyone")
        pairs = (setting.partition("=") for setting in settings)
        signs.append(Sign(kind=kind, settings={name: value for name, _, value in pairs}, allow=allow))
    elif settings or allow:
        raise click.UsageError("--set and --allow go with --provider")
    if not signs:
        raise click.UsageError(
            "say who signs people in: --google you@gmail.com, --github ORG, or --provider KIND"
        )
    return signs


def _write(path: Path, text: str, *, force: bool) -> None:
    try:
        with path.open("w" if force else "x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        print(f"{path} is there already: --force overwrites it, --file names another", file=sys.stderr)
        sys.exit(1)
    except OSError as exc:
        print(f"{path} can't be written: {exc.strerror or exc}", file=sys.stderr)
        sys.exit(1)


def _say(path: Path, found: First) -> None:
    print(f"Wrote {path}:\n")
    print("".join(f"  {line}\n" for line in found.text.splitlines()))
    for kind, url in found.redirect_urls:
        print(f"Register this redirect URL with {kind}: {url}")
    for name in found.variables:
        print(f"Set {name}{' (it is)' if os.environ.get(name) else ''}")
    where = " and ".join(found.listen)
    if found.ordered:
        print(
            f"It listens on {where}. A certificate for {found.ordered} is ordered of Let's Encrypt, to whose terms you "
            "agree by starting it: the name must lead here, with both ports open"
        )
    elif found.own:
        print(
            f"It listens on {where}. The certificate for {found.own} is of the gateway's own authority, which browsers "
            f"trust once `vestibule trust {path}` has been run on their machine"
        )
    elif found.edge:
        print(
            f"It listens on {where}, for this machine alone: an edge here must speak TLS for {found.edge}, and "
            "send its requests on"
        )
    else:
        print(f"It listens on {where}, for this machine alone")


def _check(path: Path) -> None:
    try:
        loaded = load([path], os.environ)
    except ConfigError as error:
        for fault in error.faults:
            print(fault, file=sys.stderr)
        sys.exit(1)
    for warning in loaded.warnings:
        print(f"warning: {warning}", file=sys.stderr)
    print(f"good: {loaded.summary}")

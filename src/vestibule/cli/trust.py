"""`vestibule trust`: has this machine trust the gateway's own authority."""

from __future__ import annotations

import hashlib
import os
import sys
from pathlib import Path

import click
from cryptography.x509 import load_pem_x509_certificate

from vestibule.cli.trust_stores import Done, Stores
from vestibule.config.compile import compile_config
from vestibule.config.load import load
from vestibule.core.certificate import LOCAL_DOMAINS
from vestibule.core.pem import PemError
from vestibule.errors import ConfigError
from vestibule.service.local_authority import LocalAuthority


@click.command()
@click.argument("files", nargs=-1, metavar="[FILE.hcl]…", type=click.Path(path_type=Path))
@click.option("--print", "shows", is_flag=True, help="Print path and certificate (PEM), and change nothing.")
@click.option("--remove", is_flag=True, help="Trust it no longer.")
def trust(files: tuple[Path, ...], *, shows: bool, remove: bool) -> None:
    """Have this machine trust the local authority, which signs for hosts of `tls = "local"`.

    The one of this configuration; without a file, the one of `vestibule demo --https`. It goes into the system's store,
    and into those of Chromium and Firefox. It can vouch only for names that nobody can own, and for addresses of
    private networks. Exit code 1 where something is left for you to do.
    """
    authority = LocalAuthority(_folder(files))
    try:
        pem = authority.root_pem()
    except (OSError, PemError) as error:
        print(f"vestibule trust: {error}", file=sys.stderr)
        sys.exit(1)
    if shows:
        print(authority.root_path)
        print(pem.decode("ascii"), end="")
        return
    subject = load_pem_x509_certificate(pem).subject.rfc4514_string()
    name = f"vestibule-{hashlib.sha256(pem).hexdigest()[:12]}"
    stores = Stores()
    done = (stores.forget if remove else stores.trust)(authority.root_path, name)
    print(f"{'No longer trusted' if remove else 'To be trusted'}: {subject}\n  {authority.root_path}")
    for one in done:
        _tell(one)
    if not remove:
        print(f"\nIt can vouch for {', '.join(LOCAL_DOMAINS)}, what is below them, and private addresses.")
        print(
            "Browsers that are open see it when they are started again. `vestibule trust --remove` takes it back."
        )
    sys.exit(0 if all(one.ok for one in done) else 1)


def _folder(files: tuple[Path, ...]) -> Path:
    if not files:
        return demo_authority()
    try:
        return compile_config(load(files, os.environ)).local_authority
    except ConfigError as error:
        for fault in error.faults:
            print(fault, file=sys.stderr)
        sys.exit(1)


def demo_authority() -> Path:
    """The directory of the demo's authority, which outlives it: who has trusted it once need not do so again."""
    data = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(data) / "vestibule" / "local-authority"


def _tell(one: Done) -> None:
    mark = click.style("ok", fg="green") if one.ok else click.style("to do", fg="yellow")
    click.echo(f"  {mark:<5} {one.store}: {one.said}")
    if one.advice:
        click.echo(f"        {one.advice}")

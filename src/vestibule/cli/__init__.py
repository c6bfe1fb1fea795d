"""The command line: one module a command."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from types import MappingProxyType

import click

from vestibule import __version__

#: command → the module that holds it; imported when it is called, so that each starts as fast as it can
COMMANDS: Mapping[str, str] = MappingProxyType(
    {
        "serve": "vestibule.cli.serve",
        "check": "vestibule.cli.check",
        "reload": "vestibule.cli.reload",
        "upgrade": "vestibule.cli.upgrade",
        "top": "vestibule.cli.top",
        "doctor": "vestibule.cli.doctor",
        "explain": "vestibule.cli.explain",
        "demo": "vestibule.cli.demo",
        "up": "vestibule.cli.up",
        "trust": "vestibule.cli.trust",
        "import": "vestibule.cli.import_",
        "export": "vestibule.cli.export",
        "login": "vestibule.cli.login",
        "logout": "vestibule.cli.login",
        "token": "vestibule.cli.token",
        "whoami": "vestibule.cli.token",
        "curl": "vestibule.cli.token",
        "machine": "vestibule.cli.machine",
        "users": "vestibule.cli.users",
        "sessions": "vestibule.cli.sessions",
        "invitations": "vestibule.cli.invitations",
        "orgs": "vestibule.cli.orgs",
        "providers": "vestibule.cli.providers",
        "tokens": "vestibule.cli.tokens",
        "keys": "vestibule.cli.keys",
        "audit": "vestibule.cli.audit",
        "certificates": "vestibule.cli.certificates",
        "webhooks": "vestibule.cli.webhooks",
        "log": "vestibule.cli.log",
    }
)


class Commands(click.Group):
    """The commands of the table."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        """The command of this name, imported now."""
        module = COMMANDS.get(cmd_name)
        if module is None:
            return None
        # `import` is a word of Python's own, so that the function has another name.
        held, own = importlib.import_module(module), module.rpartition(".")[2]
        command: click.Command = getattr(held, cmd_name, None) or getattr(held, own)
        return command


@click.group(cls=Commands)
@click.version_option(__version__, prog_name="vestibule")
def main() -> None:
    """Vestibule, the entrance hall for web apps: people sign in here, and the app behind handles no password."""
    _have_standard_streams()


def _have_standard_streams() -> None:
    """Threat: started without one, the next file or socket would have its number, and the log be written into it."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it takes the lowest number that is free, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w" if number else "r", encoding="utf-8", closefd=False))

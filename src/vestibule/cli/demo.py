"""`vestibule demo`: the whole product on this machine, with nothing to register."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import webbrowser
from collections.abc import Callable
from types import FrameType

import click
from msgspec.structs import replace

from vestibule.cli.trust import demo_authority
from vestibule.config.compile import compile_config
from vestibule.config.environment import DEMO_URL
from vestibule.config.load import load
from vestibule.demo.sockets import require_loopback
from vestibule.demo.stage import Stage, stage
from vestibule.errors import ConfigError, StoreError
from vestibule.observe.outlet import Outlet, open_log
from vestibule.supervisor import serve

DRAIN_S = 0.5
"""The app's event stream never ends by itself: who presses Ctrl-C does not want to wait for it."""


class _Loopback(click.ParamType[str]):
    name = "address"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return require_loopback(value)
        except ConfigError as exc:
            self.fail(exc.message, param, ctx)


@click.command()
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8000, show_default=True, help="0: any free one."
)
@click.option(
    "--address", type=_Loopback(), default="127.0.0.1", show_default=True, help="A loopback address."
)
@click.option(
    "--https", "is_secure", is_flag=True, help="By TLS, which browsers trust after `vestibule trust`."
)
@click.option("--no-browser", is_flag=True, help="Don't open a browser.")
@click.option(
    "--once-ready",
    metavar="CMD",
    help=f"Run CMD when all is up ({DEMO_URL} is in its environment), then stop with its exit code.",
)
def demo(*, port: int, address: str, is_secure: bool, no_browser: bool, once_ready: str | None) -> None:
    """Show the whole product, with nothing to register.

    Gateway, identity provider, app and calling interface, on this machine only.
    """
    # Until the gateway takes the signals over, SIGTERM must unwind as Ctrl-C does: nothing may stay behind.
    signal.signal(signal.SIGTERM, _unwind)
    try:
        with stage(address=address, port=port, is_secure=is_secure) as ready_made:
            sys.exit(_show(ready_made, no_browser=no_browser, once_ready=once_ready))
    except (ConfigError, StoreError) as exc:
        click.echo(f"vestibule demo: {exc.message}", err=True)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _show(on: Stage, *, no_browser: bool, once_ready: str | None) -> int:
    """Run the gateway until it is told to stop; the exit code, which is CMD's where there is one."""
    command = Command(once_ready, on.url) if once_ready else None

    def ready() -> None:
        click.echo(greeting(on))
        if command is not None:
            command.start()
        elif not no_browser and has_display():
            threading.Thread(target=webbrowser.open, args=(on.url,), daemon=True).start()

    try:
        code = run_gateway(on, ready)
    finally:
        if command is not None:
            command.stop()
    return code if command is None or command.code is None else command.code


class Command:
    """CMD of `--once-ready`: run in a thread; when it has ended, this process is told to stop."""

    def __init__(self, text: str, url: str) -> None:
        self._text = text
        self._url = url
        self._umask = _umask()  # the person's: the gateway sets a stricter one for itself
        self._process: subprocess.Popen[bytes] | None = None
        self.code: int | None = None
        """Its exit code, as a shell says it; None while it has none."""

    def start(self) -> None:
        """Start it, and watch it."""
        environment = {**os.environ, DEMO_URL: self._url}
        self._process = subprocess.Popen(  # noqa: S602 - CMD is the person's own
            self._text,
            shell=True,
            env=environment,
            umask=self._umask,
        )
        threading.Thread(target=self._watch, args=(self._process,), daemon=True).start()

    def stop(self) -> None:
        """End it, when it is still there."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        code = process.wait()
        self.code = code if code >= 0 else 128 - code
        os.kill(os.getpid(), signal.SIGTERM)


def run_gateway(on: Stage, ready: Callable[[], None]) -> int:
    """Serve the stage's configuration, whatever the environment says; `ready()` once the gateway listens."""
    compiled = compile_config(load([on.config], {}))
    if on.is_secure:
        # It outlives the demo, so that who has trusted it once need not do so again.
        compiled = replace(compiled, local_authority=demo_authority())
    log = open_log(Outlet(output=on.directory / "gateway.log"))
    return serve(compiled, log, ready=ready, drain_s=DRAIN_S)


def greeting(on: Stage) -> str:
    """What to try, in a handful of lines."""
    lines: tuple[tuple[str, str], ...] = (
        ("the app", on.url),
        ("sign in", f"{on.url}/@/signin"),
        ("as Alice, at once", f"{on.url}/@/signin?login_hint=alice"),
        ("who is signed in", f"{on.url}/@/session"),
        ("for Alice only", f"{on.url}/admin/"),
        ("the configuration", str(on.config)),
        ("the gateway's log", str(on.directory / "gateway.log")),
    )
    if on.is_secure:
        lines = (*lines, ("its certificate", "`vestibule trust` has browsers here believe it"))
    listed = "\n".join(f"  {what:<18} {where}" for what, where in lines)
    return f"\nThe Vestibule demo is ready.\n\n{listed}\n\nCtrl-C stops it and removes what it made.\n"


def has_display() -> bool:
    """True where opening a browser opens a window, and not a text browser in this terminal."""
    return sys.platform in {"darwin", "win32"} or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )


def _umask() -> int:
    """The process's umask, which can only be read by setting it."""
    umask = os.umask(0o077)
    os.umask(umask)
    return umask


def _unwind(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a handler
    raise KeyboardInterrupt

"""What `vestibule demo` sets up around the gateway: provider, app, configuration file, state directory.

Everything is on loopback and everything is gone again afterwards.
"""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from importlib.resources import files
from pathlib import Path
from urllib.parse import urlsplit

import msgspec
from minijinja import Environment

from vestibule.demo import CLIENT_ID, SECRET_VARIABLE, sockets
from vestibule.errors import ConfigError

_STOP_WITHIN_S = 3.0


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """A demo that is ready for its gateway."""

    url: str
    """Where the gateway is going to answer."""
    directory: Path
    config: Path
    """The HCL file to run the gateway with."""
    provider_url: str
    app_url: str
    calls_url: str
    """The calling interface the app uses."""
    is_secure: bool = False
    """The gateway speaks TLS, with a certificate of the local authority."""


@contextmanager
def stage(*, address: str = "127.0.0.1", port: int = 8000, is_secure: bool = False) -> Iterator[Stage]:
    """The demo's provider and app running, and the configuration written, until the block ends.

    Raises ConfigError: not a loopback address, the port is taken, or one of the two does not start.
    """
    with ExitStack() as stack, ExitStack() as reserved:
        listeners = [reserved.enter_context(kept) for kept in sockets.reserve(address, port)]
        calls = reserved.enter_context(sockets.listen("127.0.0.1", 0))
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vestibule-demo-")))
        names = host_names(address)
        scheme = "https" if is_secure else "http"
        origins = [f"{scheme}://{name}:{sockets.port_of(listeners[0])}" for name in names]
        calls_url = f"http://{sockets.address_of(calls)}"
        secret = secrets.token_urlsafe(24)
        registered = ["--client-id", CLIENT_ID, *_registered(origins)]
        provider_url = stack.enter_context(child("provider", registered, {SECRET_VARIABLE: secret}))
        app_url = stack.enter_context(child("app", ["--calls", calls_url, "--pictures", provider_url], {}))
        config = directory / "demo.hcl"
        config.touch(mode=0o600)
        text = configuration(
            listeners=[sockets.address_of(listener) for listener in listeners],
            state=str(directory / "state"),
            issuer=provider_url,
            client_secret=secret,
            hosts=names,
            backend=urlsplit(app_url).netloc,
            calls_port=sockets.port_of(calls),
            is_secure=is_secure,
        )
        config.write_text(text, "utf-8")
        reserved.close()  # the gateway takes the ports over
        yield Stage(
            url=origins[0],
            directory=directory,
            config=config,
            provider_url=provider_url,
            app_url=app_url,
            calls_url=calls_url,
            is_secure=is_secure,
        )


def host_names(address: str) -> tuple[str, ...]:
    """The names the gateway answers to on this address, the one to show first."""
    return ("localhost", "127.0.0.1") if address == "127.0.0.1" else (sockets.in_url(address),)


def configuration(
    *,
    listeners: Sequence[str],
    state: str,
    issuer: str,
    client_secret: str,
    hosts: Sequence[str],
    backend: str,
    calls_port: int,
    is_secure: bool = False,
) -> str:
    """The demo's HCL file."""
    template = (files("vestibule.demo") / "templates" / "demo.hcl").read_text("utf-8")
    return Environment(templates={"demo.hcl": template}).render_template(
        "demo.hcl",
        listeners=list(listeners),
        state=state,
        issuer=issuer,
        client_id=CLIENT_ID,
        client_secret=client_secret,
        hosts=list(hosts),
        backend=backend,
        calls_port=calls_port,
        is_secure=is_secure,
        endpoint=urlsplit(issuer).netloc,
    )


@contextmanager
def child(name: str, arguments: Sequence[str], environment: Mapping[str, str]) -> Iterator[str]:
    """The URL of `python -m vestibule.demo.NAME`, which runs until the block ends. Raises ConfigError.

    It is in a session of its own, so that Ctrl-C reaches the gateway first; it ends with its standard input,
    so that it never outlives this process.
    """
    process = subprocess.Popen(  # noqa: S603 - our own module, our own arguments
        [sys.executable, "-m", f"vestibule.demo.{name}", "--child", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, **environment},
        start_new_session=True,
    )
    try:
        assert process.stdout is not None
        url = process.stdout.readline().decode().strip()
        if not url:
            raise ConfigError((f"the demo's {name} did not start",))
        yield url
    finally:
        _stop(process)


def _stop(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout):
        if pipe is not None:
            pipe.close()
    try:
        process.wait(_STOP_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _registered(origins: Sequence[str]) -> Iterator[str]:
    """Where the provider may send people back to: the callback, and what comes after signing out."""
    for origin in origins:
        yield from ("--redirect-uri", f"{origin}/@demo/callback")
        yield from ("--sign-out-uri", f"{origin}/@/signedout")

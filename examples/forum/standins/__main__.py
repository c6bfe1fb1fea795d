"""Stand-ins for Google and Apple, on this machine: `python examples/forum/standins`; `run.py` starts them.

They ask nobody for a password, so they listen on loopback only.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from pathlib import Path

from aiohttp import web
from apple_id import Apple
from google_id import Google


async def serve(options: argparse.Namespace) -> None:
    """Those that have a port, until this is ended. The key that Apple gives out is written to a file."""
    if options.google_port:
        google = Google(
            f"http://127.0.0.1:{options.google_port}",
            client_id=os.environ["GOOGLE_CLIENT_ID"],
            client_secret=os.environ["GOOGLE_CLIENT_SECRET"],
            native_client_id=os.environ["GOOGLE_NATIVE_CLIENT_ID"],
            redirect_uris=frozenset({f"{options.site}/@google/callback"}),
        )
        await listen(google.app(), options.google_port)
    if options.apple_port:
        apple = Apple(
            f"http://127.0.0.1:{options.apple_port}",
            client_id=os.environ["APPLE_CLIENT_ID"],
            bundle_id=os.environ["APPLE_BUNDLE_ID"],
            team_id=os.environ["APPLE_TEAM_ID"],
            key_id=os.environ["APPLE_KEY_ID"],
            redirect_uris=frozenset({f"{options.site}/@apple/callback"}),
        )
        options.apple_key.touch(mode=0o600)
        options.apple_key.write_bytes(apple.team_key.as_pem(private=True))
        await listen(apple.app(), options.apple_port)
    await asyncio.Event().wait()


async def listen(app: web.Application, port: int) -> None:
    """Serve it on this machine."""
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()


def main() -> None:
    """Read what is to be served where."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--site", required=True, help="where the forum is, as people see it")
    parser.add_argument("--google-port", type=int)
    parser.add_argument("--apple-port", type=int)
    parser.add_argument(
        "--apple-key", type=Path, default=Path("apple.p8"), help="the file to write the team's key to"
    )
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()

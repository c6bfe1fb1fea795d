"""The log service: what happens in the forum, a line of JSON each in a file, and one for people on standard output.

The gateway tells it by a webhook, signed (docs/webhooks.md), the other services by `POST /events`. Nobody waits for
it: while it is away people sign in and write all the same, and the gateway's messages come when it is back.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import hmac
import json
import os
import time
from collections import OrderedDict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aiohttp import web
from caller import serve

AGE_MOST_S = 300.0
REMEMBERED = 10_000
LATELY = 200


class EventLog:
    """What came, in a file."""

    def __init__(self, file: Path, secret: str) -> None:
        self._file, self._secret = file, secret
        self._seen: OrderedDict[str, None] = OrderedDict()

    async def hook(self, request: web.Request) -> web.Response:
        """A message of the gateway's; one that came before is taken, and not written again."""
        body = await request.read()
        if not self._is_ours(request, body):
            return web.Response(status=401)
        told = json.loads(body)
        if self._is_new(request.headers["webhook-id"]):
            self._write({"at": told["timestamp"], "action": told["type"], **told["data"]})
        return web.Response(status=204)

    async def told(self, request: web.Request) -> web.Response:
        """A message of another service's."""
        told = await request.json()
        self._write({"at": datetime.now(UTC).isoformat(), **told})
        return web.Response(status=204)

    async def lately(self, _: web.Request) -> web.Response:
        """The newest, for who looks after the forum: no route of the gateway's leads here."""
        lines = self._file.read_text("utf-8").splitlines() if self._file.exists() else []
        return web.json_response([json.loads(line) for line in lines[-LATELY:]])

    def _is_ours(self, request: web.Request, body: bytes) -> bool:
        """As Standard Webhooks has it. Threat: another's message, and one of ours that is sent again later."""
        sent_at, marks = (
            request.headers.get("webhook-timestamp", ""),
            request.headers.get("webhook-signature", ""),
        )
        if not sent_at.isdecimal() or abs(time.time() - int(sent_at)) > AGE_MOST_S:
            return False
        signed = b".".join((request.headers.get("webhook-id", "").encode(), sent_at.encode(), body))
        key = base64.b64decode(self._secret.removeprefix("whsec_"))
        expected = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
        return any(hmac.compare_digest(mark.encode(), expected.encode()) for mark in marks.split(" "))

    def _is_new(self, message_id: str) -> bool:
        if message_id in self._seen:
            return False
        self._seen[message_id] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return True

    def _write(self, event: dict[str, Any]) -> None:
        with self._file.open("a", encoding="utf-8") as log:
            log.write(json.dumps(event, ensure_ascii=False) + "\n")
        words = [event["at"][11:19], f"{event['action']:<20}"]
        about = ("outcome", "user_id", "post", "device", "address")
        words += [f"{name}={event[name]}" for name in about if event.get(name) not in {None, "", "ok"}]
        print("  ".join(words), flush=True)


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--file", type=Path, required=True)
    options = parser.parse_args()
    log = EventLog(options.file, os.environ["HOOK_SECRET"])
    app = web.Application(client_max_size=256 * 1024)
    app.add_routes(
        [web.post("/hook", log.hook), web.post("/events", log.told), web.get("/events", log.lately)]
    )
    serve(app, options.port)


if __name__ == "__main__":
    main()

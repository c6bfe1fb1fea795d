"""The newsfeed service: the posts of others, ranked for who asks. `GET /api/feed`, for everybody, signed in or not.

It keeps nothing of its own; it asks the post service.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
from aiohttp import web
from caller import caller, no_credentials, serve

SHOWN = 50
HOUR_S = 3600.0
ASKED_WITHIN_S = 10.0
POSTS = web.AppKey("posts", aiohttp.ClientSession)


def score(post: dict[str, Any], now: float) -> float:
    """What is liked stands above, what is old sinks."""
    age_h = max(0.0, now - post["at"]) / HOUR_S
    return float((post["likes"] + 1) / (age_h + 2) ** 1.5)


async def feed(request: web.Request) -> web.Response:
    """The best first, with what may be done with each."""
    who = caller(request)
    viewer = who.id if who else ""
    try:
        async with request.app[POSTS].get("/rpc/recent", params={"viewer": viewer}) as answer:
            answer.raise_for_status()
            posts = await answer.json()
    except (aiohttp.ClientError, TimeoutError):
        raise web.HTTPServiceUnavailable(
            text='{"code": "posts_away"}', content_type="application/json"
        ) from None
    now = time.time()
    posts.sort(key=lambda post: (score(post, now), post["id"]), reverse=True)
    shown = [{**post, "is_own": bool(viewer) and post["author"] == viewer} for post in posts[:SHOWN]]
    return web.json_response({"posts": shown}, headers={"Cache-Control": "no-store"})


async def _resources(app: web.Application) -> AsyncIterator[None]:
    timeout = aiohttp.ClientTimeout(total=ASKED_WITHIN_S)
    async with aiohttp.ClientSession(os.environ["POSTS_URL"], timeout=timeout) as posts:
        app[POSTS] = posts
        yield


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    app = web.Application(middlewares=[no_credentials])
    app.cleanup_ctx.append(_resources)
    app.add_routes([web.get("/api/feed", feed)])
    serve(app, parser.parse_args().port)


if __name__ == "__main__":
    main()

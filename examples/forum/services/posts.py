"""The post service: what people write, in PostgreSQL, and who liked it.

GET /api/me                      who asks; null for who is not signed in
POST /api/posts {"text": …}      201 and the post
GET /api/posts/ID                the post
PUT /api/posts/ID {"text": …}    the post; 403 for another's
DELETE /api/posts/ID             204; 403 for another's
PUT, DELETE /api/posts/ID/like   the post

GET /rpc/recent, for the newsfeed, is nobody's else: the gateway has no route that leads there.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import asyncpg
from aiohttp import web
from caller import Caller, caller, no_credentials, serve, somebody

TEXT_MOST = 2000
TOLD_WITHIN_S = 2.0
TABLES = """
CREATE TABLE IF NOT EXISTS post (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    author text NOT NULL,
    name   text NOT NULL,
    text   text NOT NULL,
    at     timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX IF NOT EXISTS post_at ON post (at DESC);
CREATE TABLE IF NOT EXISTS liked (
    post bigint NOT NULL REFERENCES post ON DELETE CASCADE,
    who  text NOT NULL,
    PRIMARY KEY (post, who)
);
"""
SELECT = """
SELECT post.id, post.author, post.name, post.text, extract(epoch FROM post.at)::float8 AS at,
       (SELECT count(*) FROM liked WHERE liked.post = post.id) AS likes,
       EXISTS (SELECT FROM liked WHERE liked.post = post.id AND liked.who = $1) AS is_liked
FROM post
"""
POOL = web.AppKey("pool", asyncpg.Pool)
EVENTS = web.AppKey("events", aiohttp.ClientSession)


async def me(request: web.Request) -> web.Response:
    """Who asks, as the services know them."""
    who = caller(request)
    return web.json_response({"id": who.id, "name": who.name} if who else None)


async def write(request: web.Request) -> web.Response:
    """A new post."""
    who, text = somebody(request), await _text(request)
    made = "INSERT INTO post (author, name, text) VALUES ($1, $2, $3) RETURNING id"
    post_id = await request.app[POOL].fetchval(made, who.id, who.name, text)
    await _tell(request, "post.written", who, post_id)
    return web.json_response(await _post(request, post_id), status=201)


async def read(request: web.Request) -> web.Response:
    """One post."""
    return web.json_response(await _post(request, _id(request)))


async def change(request: web.Request) -> web.Response:
    """One's own post, with another text."""
    post_id, text = await _own(request), await _text(request)
    await request.app[POOL].execute("UPDATE post SET text = $2 WHERE id = $1", post_id, text)
    return web.json_response(await _post(request, post_id))


async def delete(request: web.Request) -> web.Response:
    """One's own post, no more."""
    post_id = await _own(request)
    await request.app[POOL].execute("DELETE FROM post WHERE id = $1", post_id)
    await _tell(request, "post.deleted", somebody(request), post_id)
    return web.Response(status=204)


async def like(request: web.Request) -> web.Response:
    """Liked, once."""
    who, post_id = somebody(request), _id(request)
    await _post(request, post_id)
    added = "INSERT INTO liked (post, who) VALUES ($1, $2) ON CONFLICT DO NOTHING"
    await request.app[POOL].execute(added, post_id, who.id)
    return web.json_response(await _post(request, post_id))


async def unlike(request: web.Request) -> web.Response:
    """Liked no more."""
    who, post_id = somebody(request), _id(request)
    await request.app[POOL].execute("DELETE FROM liked WHERE post = $1 AND who = $2", post_id, who.id)
    return web.json_response(await _post(request, post_id))


async def recent(request: web.Request) -> web.Response:
    """RPC: the newest posts, as `viewer` sees them."""
    rows = await request.app[POOL].fetch(
        f"{SELECT} ORDER BY post.at DESC LIMIT 200", request.query.get("viewer", "")
    )
    return web.json_response([dict(row) for row in rows])


async def _post(request: web.Request, post_id: int) -> dict[str, Any]:
    """The post, as who asks sees it. Raises 404."""
    who = caller(request)
    row = await request.app[POOL].fetchrow(f"{SELECT} WHERE post.id = $2", who.id if who else "", post_id)
    if row is None:
        raise web.HTTPNotFound(text='{"code": "not_found"}', content_type="application/json")
    return dict(row)


async def _own(request: web.Request) -> int:
    """The post's id. Raises 403 for somebody else's, 404."""
    who, post = somebody(request), await _post(request, _id(request))
    if post["author"] != who.id:
        raise web.HTTPForbidden(text='{"code": "not_yours"}', content_type="application/json")
    return int(post["id"])


def _id(request: web.Request) -> int:
    return int(request.match_info["id"])


async def _text(request: web.Request) -> str:
    """What was written. Raises 415, 400.

    Threat: another site's page, whose form can send no JSON; the cookie is not sent with such a form, either.
    """
    if request.content_type != "application/json":
        raise web.HTTPUnsupportedMediaType(text='{"code": "json_wanted"}', content_type="application/json")
    try:
        text = str.strip(json.loads(await request.text())["text"])
        is_good = 0 < len(text) <= TEXT_MOST and b"\0" not in text.encode()  # neither is text to PostgreSQL
    except (ValueError, TypeError, KeyError):
        is_good = False
    if not is_good:
        fault = json.dumps({"code": "bad_text", "most": TEXT_MOST})
        raise web.HTTPBadRequest(text=fault, content_type="application/json")
    return text


async def _tell(request: web.Request, action: str, who: Caller, post_id: int) -> None:
    """Tell the log service, which nobody waits for: a post is written while it is away, too."""
    event = {"action": action, "user_id": who.id, "post": post_id}
    with contextlib.suppress(aiohttp.ClientError, TimeoutError):
        async with request.app[EVENTS].post("/events", json=event):
            pass


async def _resources(app: web.Application) -> AsyncIterator[None]:
    timeout = aiohttp.ClientTimeout(total=TOLD_WITHIN_S)
    async with (
        asyncpg.create_pool(os.environ["POSTS_DATABASE_URL"], min_size=1, max_size=8) as pool,
        aiohttp.ClientSession(os.environ["EVENTS_URL"], timeout=timeout) as events,
    ):
        await pool.execute(TABLES)
        app[POOL], app[EVENTS] = pool, events
        yield


def main() -> None:
    """Serve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    app = web.Application(client_max_size=64 * 1024, middlewares=[no_credentials])
    app.cleanup_ctx.append(_resources)
    app.add_routes(
        [
            web.get("/api/me", me),
            web.post("/api/posts", write),
            web.get(r"/api/posts/{id:\d{1,18}}", read),
            web.put(r"/api/posts/{id:\d{1,18}}", change),
            web.delete(r"/api/posts/{id:\d{1,18}}", delete),
            web.put(r"/api/posts/{id:\d{1,18}}/like", like),
            web.delete(r"/api/posts/{id:\d{1,18}}/like", unlike),
            web.get("/rpc/recent", recent),
        ]
    )
    serve(app, parser.parse_args().port)


if __name__ == "__main__":
    main()

"""HTTP/2 over TLS with the clients people have: curl, h2load, node, Chromium; and with an attacker."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import ssl

import pytest
from aiohttp import WSMsgType, web

from tests.helpers import frames_h2 as f
from tests.helpers.peer_h2 import PREFACE, errors_of
from tests.real.browser import chromium
from tests.real.node_home import node_binary

pytestmark = pytest.mark.real

CONFIGURATION = """
gateway {
  http  = ["127.0.0.1:{port}"]
  https = ["127.0.0.1:HTTPS"]
}

host "localhost" {
  backend         = "127.0.0.1:BACKEND"
  tls_certificate = "DIRECTORY/cert.pem"
  tls_key         = "DIRECTORY/key.pem"

  access {
    allow = ["public"]
  }
}
"""
BIG_BYTES = 20 << 20
PIECE = bytes(range(256)) * 256


async def upload(request: web.Request) -> web.Response:
    digest = hashlib.sha256()
    async for piece in request.content.iter_any():
        digest.update(piece)
    return web.json_response({"sha256": digest.hexdigest(), "cookie": request.headers.get("Cookie", "")})


async def download(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse()
    await answer.prepare(request)
    for _ in range(BIG_BYTES // len(PIECE)):
        await answer.write(PIECE)
    await answer.write_eof()
    return answer


async def echo(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        if message.type is WSMsgType.TEXT:
            await socket.send_str(message.data)
    return socket


async def page(request: web.Request) -> web.Response:
    return web.Response(text=f"<!doctype html><title>page</title>{request.path}", content_type="text/html")


@pytest.fixture
async def port(gateway, ports, ca, tmp_path):
    """Of the gateway's HTTPS, in front of an app."""
    app = web.Application(client_max_size=0)
    app.add_routes([web.post("/upload", upload), web.get("/download", download), web.get("/ws", echo)])
    app.router.add_get("/{path:.*}", page)
    runner = web.AppRunner(app)
    await runner.setup()
    backend, https = ports.take(), ports.take()
    await web.TCPSite(runner, "127.0.0.1", backend).start()
    certificate = ca.issue_cert("localhost")
    (tmp_path / "cert.pem").write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(str(tmp_path / "key.pem"))
    (tmp_path / "key.pem").chmod(0o600)
    text = CONFIGURATION.replace("HTTPS", str(https)).replace("BACKEND", str(backend))
    await asyncio.to_thread(gateway, text.replace("DIRECTORY", str(tmp_path)))
    # Once its pages are there, nothing of its start is in the way of who asks much at once.
    await run("curl", "-sS", "-k", "-o", "/dev/null", f"https://localhost:{https}/@/signin")
    yield https
    await runner.cleanup()


async def run(*argv: object, given: bytes = b"") -> str:
    process = await asyncio.create_subprocess_exec(
        *map(str, argv),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(given), 120)
    assert process.returncode == 0, (out[-2000:], err[-2000:])
    return out.decode()


async def test_curl_uploads_and_downloads(port, tmp_path):
    url = f"https://localhost:{port}"
    shown = ("-sS", "-k", "--http2", "-w", "\n%{http_version} %{http_code}")
    body = PIECE * 80
    (tmp_path / "body").write_bytes(body)
    for given in (("--data-binary", f"@{tmp_path / 'body'}"), ("-X", "POST", "-T", tmp_path / "body")):
        told, last = (await run("curl", *shown, *given, "-H", "Cookie: a=b", f"{url}/upload")).rsplit("\n", 1)
        assert last == "2 200"
        assert json.loads(told) == {"sha256": hashlib.sha256(body).hexdigest(), "cookie": "a=b"}
    await run("curl", *shown, "--limit-rate", "20M", "-o", tmp_path / "got", f"{url}/download")
    got = await asyncio.to_thread((tmp_path / "got").read_bytes)
    assert got == PIECE * (BIG_BYTES // len(PIECE))


async def test_h2load_sees_no_failure(port):
    told = await run("h2load", "-n3000", "-c4", "-m25", f"https://localhost:{port}/a")
    assert "status codes: 3000 2xx, 0 3xx, 0 4xx, 0 5xx" in told, told
    assert re.search(r"Application protocol: h2\b", told)


NODE = """
const http2 = require("node:http2");
const session = http2.connect(process.argv[1], { rejectUnauthorized: false });
const ask = (headers, body) => new Promise((done, fail) => {
  const stream = session.request(headers, { endStream: body === undefined });
  let status, text = "";
  stream.on("response", (got) => { status = got[":status"]; });
  stream.setEncoding("utf8");
  stream.on("data", (piece) => { text += piece; });
  stream.on("end", () => done([status, text]));
  stream.on("error", fail);
  if (body !== undefined) stream.end(body);
});
const socket = () => new Promise((done, fail) => {
  const stream = session.request({
    ":method": "CONNECT", ":protocol": "websocket", ":path": "/ws", "sec-websocket-version": "13",
    origin: process.argv[2],
  });
  stream.on("error", fail);
  stream.on("response", (got) => {
    if (got[":status"] !== 200) { stream.close(); return done([got[":status"], ""]); }
    stream.write(Buffer.from([0x81, 0x85, 0, 0, 0, 0, 0x68, 0x65, 0x6c, 0x6c, 0x6f]));
    stream.on("data", (piece) => { done([200, piece.subarray(2).toString()]); stream.close(); });
  });
});
session.on("remoteSettings", async (settings) => {
  try {
    const paths = Array.from({ length: 300 }, (_, at) => `/page/${at}`);
    const pages = await Promise.all(paths.map((path) => ask({ ":path": path })));
    const good = pages.filter(([status, text], at) => status === 200 && text.endsWith(paths[at])).length;
    const [, told] = await ask({ ":path": "/upload", ":method": "POST", cookie: "a=b" }, "x".repeat(300000));
    const alpn = session.alpnProtocol;
    console.log(JSON.stringify({ alpn, good, told: JSON.parse(told), connect: settings.enableConnectProtocol,
      socket: await socket() }));
  } catch (error) { console.log(JSON.stringify({ error: String(error) })); }
  session.destroy();
});
"""


async def test_node_asks_many_things_at_once_and_opens_a_websocket(port):
    told = json.loads(
        await run(node_binary(), "-e", NODE, f"https://localhost:{port}", f"https://localhost:{port}")
    )
    assert told == {
        "alpn": "h2",
        "good": 300,
        "told": {"sha256": hashlib.sha256(b"x" * 300000).hexdigest(), "cookie": "a=b"},
        "connect": True,
        "socket": [200, "hello"],
    }


async def test_chromium_has_one_connection_for_pages_and_websockets(port):
    async with chromium() as browser:
        context = await browser.new_context(ignore_https_errors=True)
        page = await context.new_page()
        await page.goto(f"https://localhost:{port}/page")
        protocol = await page.evaluate("performance.getEntriesByType('navigation')[0].nextHopProtocol")
        many = await page.evaluate(
            "Promise.all(Array.from({length: 150}, (_, at) => fetch('/many/' + at).then((got) => got.text())))"
        )
        echoed = await page.evaluate(
            """new Promise((done, fail) => {
              const socket = new WebSocket(`wss://${location.host}/ws`);
              socket.onopen = () => socket.send("hello");
              socket.onmessage = (event) => { done(event.data); socket.close(); };
              socket.onerror = () => fail(new Error("no socket"));
            })"""
        )
        assert (protocol, echoed) == ("h2", "hello")
        assert [text.rsplit("/", 1)[1] for text in many] == [str(at) for at in range(150)]


async def reset_rapidly(port: int) -> int | None:
    """Open and reset streams as fast as they go; what the connection is ended with."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, ssl=context, server_hostname="localhost"
    )
    head = [
        (name, {b":scheme": b"https", b":authority": b"localhost:%d" % port}.get(name, value))
        for name, value in f.GET
    ]
    writer.write(PREFACE + f.settings())
    for at in range(1, 2001, 2):
        writer.write(f.headers(head, at) + f.reset(at))
    came = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    return errors_of(came)[0]


async def test_who_resets_rapidly_is_sent_away_and_nobody_else_is_hurt(port):
    ended = await asyncio.gather(*(reset_rapidly(port) for _ in range(5)), return_exceptions=True)
    assert all(code == 11 or isinstance(code, ConnectionError) for code in ended), ended
    assert 11 in ended
    told = await run("h2load", "-n100", "-c2", "-m10", f"https://localhost:{port}/a")
    assert "100 2xx" in told

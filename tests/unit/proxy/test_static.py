"""Files of a directory: what is served, what never is, and how it goes out."""

from __future__ import annotations

import asyncio
import errno
import os
from concurrent.futures import Executor, Future
from pathlib import Path

import pytest

from tests.helpers.exchange import FakeExchange, get
from vestibule.core.route import Backend
from vestibule.observe.log import Log
from vestibule.proxy.files import PIECE_BYTES, SMALL_BYTES, content_type, prepare
from vestibule.proxy.static import KEPT_BYTES, Directory

AT = 784111777
DATE = b"Sun, 06 Nov 1994 08:49:37 GMT"


class Pages:
    """Stands in for the gateway's own answers: the code is the body."""

    def make(self, head, *, status, code, **_):
        return b"HTTP/1.1 %d X" % status, [b"Content-Type: text/html"], code.encode()

    def is_navigation(self, head):
        return False


class Threads(Executor):
    """Does the work at once or, held, when the test says so."""

    def __init__(self) -> None:
        self.held = False
        self.waiting: list[tuple[Future, object]] = []

    def submit(self, fn, /, *args, **kwargs):
        future: Future = Future()
        self.waiting.append((future, lambda: fn(*args, **kwargs)))
        if not self.held:
            self.work()
        return future

    def work(self) -> None:
        waiting, self.waiting = self.waiting, []
        for future, call in waiting:
            try:
                future.set_result(call())
            except Exception as error:  # noqa: BLE001 - as an executor does
                future.set_exception(error)


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A directory with something of everything, and a secret beside it."""
    root = tmp_path / "site"
    (root / "docs").mkdir(parents=True)
    (root / "empty").mkdir()
    (root / ".git").mkdir()
    (root / ".well-known").mkdir()
    (root / "docs" / ".well-known").mkdir()
    files = {
        "index.html": b"<p>home",
        "a.txt": b"0123456789",
        "none.txt": b"",
        "docs/index.html": b"<p>docs",
        "two words.txt": b"spaced",
        "%41.txt": b"odd name",
        "caf\u00e9.txt": b"utf-8",
        ".env": b"hidden",
        ".git/config": b"hidden",
        ".well-known/security.txt": b"open",
        "docs/.well-known/x": b"hidden",
        "big.bin": bytes(range(256)) * (PIECE_BYTES // 128),
    }
    for name, data in files.items():
        (root / name).write_bytes(data)
        os.utime(root / name, (AT, AT))
    (tmp_path / "secret.txt").write_bytes(b"secret")
    (tmp_path / "site-2").mkdir()
    (tmp_path / "site-2" / "secret.txt").write_bytes(b"secret")
    (root / "out.txt").symlink_to(tmp_path / "secret.txt")
    (root / "out").symlink_to(tmp_path)
    (root / "beside").symlink_to(tmp_path / "site-2")
    (root / "inside.txt").symlink_to("a.txt")
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "pipe")
    return root


@pytest.fixture
def threads() -> Threads:
    return Threads()


@pytest.fixture
def directory(threads: Threads) -> Directory:
    return Directory(Pages(), Log(level="error"), threads=threads)


@pytest.fixture
def ask(directory: Directory, site: Path):
    """Answers a request for a path in the site."""

    async def ask(
        path: bytes, *lines: bytes, method: bytes = b"GET", decision: str = "anyone"
    ) -> FakeExchange:
        exchange = get(path, *lines, method=method)
        exchange.decision = decision
        directory.begin(exchange, Backend(static_dir=str(site)), [])
        await exchange.ended.wait()
        return exchange

    return ask


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param(b"/a.txt", b"0123456789", id="a file"),
        pytest.param(b"/", b"<p>home", id="the index"),
        pytest.param(b"/docs/", b"<p>docs", id="a directory's index"),
        pytest.param(b"/index.html", b"<p>home", id="the index by its name"),
        pytest.param(b"/none.txt", b"", id="an empty file"),
        pytest.param(b"/two%20words.txt", b"spaced", id="an escape"),
        pytest.param(b"/caf%C3%A9.txt", b"utf-8", id="UTF-8"),
        pytest.param(b"/%2541.txt", b"odd name", id="decoded once, not twice"),
        pytest.param(b"/a.txt?v=2", b"0123456789", id="a query changes nothing"),
        pytest.param(b"/docs/../a.txt", b"0123456789", id="dot segments that stay inside"),
        pytest.param(b"/inside.txt", b"0123456789", id="a link that stays inside"),
        pytest.param(b"/.well-known/security.txt", b"open", id="well-known names"),
    ],
)
async def test_what_is_there_is_served(ask, path, body):
    exchange = await ask(path)
    assert (exchange.status, exchange.body) == (200, body)


@pytest.mark.parametrize(
    "path",
    [
        pytest.param(b"/missing.txt", id="no such file"),
        pytest.param(b"/missing/", id="no such directory"),
        pytest.param(b"/empty/", id="a directory without index: no listing"),
        pytest.param(b"/a.txt/", id="a file with a slash behind"),
        pytest.param(b"/a.txt/b", id="below a file"),
        pytest.param(b"/.env", id="a hidden file"),
        pytest.param(b"/.git/config", id="in a hidden directory"),
        pytest.param(b"/%2Egit/config", id="a hidden directory, escaped"),
        pytest.param(b"/.git/", id="a hidden directory itself"),
        pytest.param(b"/docs/.well-known/x", id="well-known is at the top only"),
        pytest.param(b"/../secret.txt", id="up"),
        pytest.param(b"/%2e%2e/secret.txt", id="up, escaped"),
        pytest.param(b"/docs/../../secret.txt", id="up and up"),
        pytest.param(b"/out.txt", id="a link to a file outside"),
        pytest.param(b"/out/secret.txt", id="a link to a directory outside"),
        pytest.param(b"/out", id="that directory itself"),
        pytest.param(b"/out/", id="that directory with its slash"),
        pytest.param(b"/beside/secret.txt", id="outside, and its name begins as the root's"),
        pytest.param(b"/loop", id="a link to itself"),
        pytest.param(b"/pipe", id="a pipe, which would never end"),
        pytest.param(b"/" + b"a" * 300, id="a name too long for the file system"),
    ],
)
async def test_what_is_not_for_all_is_not_there(ask, path):
    exchange = await ask(path)
    assert (exchange.status, exchange.body) == (404, b"not_found")


@pytest.mark.parametrize("method", [b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PROPFIND"])
async def test_only_get_and_head(ask, method):
    exchange = await ask(b"/a.txt", method=method)
    assert (exchange.status, exchange.value(b"allow")) == (405, b"GET, HEAD")


@pytest.mark.parametrize(
    ("path", "location"),
    [
        pytest.param(b"/docs", b"/docs/", id="plain"),
        pytest.param(b"/docs?next=//evil.example", b"/docs/?next=//evil.example", id="with its query"),
        pytest.param(b"//docs", b"/docs/", id="never another host's address"),
        pytest.param(b"///docs", b"/docs/", id="whatever the number of slashes"),
    ],
)
async def test_a_directory_gets_its_slash(ask, path, location):
    exchange = await ask(path)
    assert (exchange.status, exchange.value(b"location"), exchange.body) == (301, location, b"")


async def test_the_head_of_an_answer(ask):
    exchange = await ask(b"/a.txt")
    assert exchange.status_line == b"HTTP/1.1 200 OK"
    assert exchange.length == 10
    assert exchange.value(b"content-type") == b"text/plain; charset=utf-8"
    assert exchange.value(b"last-modified") == DATE
    assert exchange.value(b"etag") == b'"%x-a"' % (AT * 10**9)
    assert exchange.value(b"accept-ranges") == b"bytes"
    assert exchange.value(b"x-content-type-options") == b"nosniff"


@pytest.mark.parametrize("path", [b"/a.txt", b"/docs"])
async def test_a_protected_answer_is_kept_by_no_cache_and_asked_for_again(ask, path):
    exchange = await ask(path, decision="anyone")
    assert exchange.value(b"cache-control") == b"private, no-cache"
    assert exchange.value(b"vary") == b"Cookie, Authorization"


async def test_a_public_answer_may_be_kept_by_any_cache(ask):
    exchange = await ask(b"/a.txt", decision="public")
    assert exchange.value(b"cache-control") == b"no-cache"
    assert exchange.value(b"vary") is None


@pytest.mark.parametrize("path", [b"/a.txt", b"/big.bin", b"/none.txt"])
async def test_head_says_what_get_would(ask, path):
    got, headed = await ask(path), await ask(path, method=b"HEAD")
    assert (headed.status, headed.lines, headed.length) == (got.status, got.lines, got.length)
    assert headed.body == b""


async def test_a_client_that_has_it_gets_304(ask):
    first = await ask(b"/a.txt")
    for method in (b"GET", b"HEAD"):
        exchange = await ask(b"/a.txt", b"If-None-Match: " + first.value(b"etag"), method=method)
        assert (exchange.status, exchange.body, exchange.length) == (304, b"", 0)
    for line in (b"If-None-Match: " + first.value(b"etag"), b"If-Modified-Since: " + DATE):
        exchange = await ask(b"/a.txt", line)
        assert (exchange.status, exchange.body) == (304, b"")
        assert exchange.value(b"etag") == first.value(b"etag")
        assert exchange.value(b"cache-control") == first.value(b"cache-control")
        assert exchange.value(b"content-type") is None


async def test_the_etag_changes_with_the_file(ask, site):
    before = await ask(b"/a.txt")
    os.utime(site / "a.txt", ns=(AT * 10**9, AT * 10**9 + 1))
    after = await ask(b"/a.txt", b"If-None-Match: " + before.value(b"etag"))
    assert after.status == 200


async def test_another_version_than_wanted_is_412(ask):
    exchange = await ask(b"/a.txt", b'If-Match: "other"')
    assert (exchange.status, exchange.body) == (412, b"precondition_failed")


async def test_a_range(ask):
    exchange = await ask(b"/a.txt", b"Range: bytes=2-4")
    assert (exchange.status, exchange.body) == (206, b"234")
    assert exchange.value(b"content-range") == b"bytes 2-4/10"


async def test_a_range_of_a_head_request_is_the_whole(ask):
    exchange = await ask(b"/a.txt", b"Range: bytes=2-4", method=b"HEAD")
    assert (exchange.status, exchange.length) == (200, 10)


async def test_a_range_that_is_not_there_is_416(ask):
    exchange = await ask(b"/a.txt", b"Range: bytes=10-")
    assert (exchange.status, exchange.body) == (416, b"range_not_satisfiable")
    assert exchange.value(b"content-range") == b"bytes */10"


async def test_a_large_file_goes_out_in_pieces(ask, site):
    exchange = await ask(b"/big.bin")
    assert exchange.body == (site / "big.bin").read_bytes()
    assert len(exchange.writes) > 1
    assert max(exchange.writes) <= PIECE_BYTES


async def test_a_large_range(ask, site):
    exchange = await ask(b"/big.bin", b"Range: bytes=100-%d" % (PIECE_BYTES + 200))
    assert exchange.body == (site / "big.bin").read_bytes()[100 : PIECE_BYTES + 201]
    assert exchange.value(b"content-range") == b"bytes 100-%d/%d" % (PIECE_BYTES + 200, 2 * PIECE_BYTES)


@pytest.fixture
def looks(monkeypatch) -> list[bytes]:
    """The paths that were looked for by a thread."""
    looked: list[bytes] = []

    def noted(directory, head, path, **options):
        looked.append(path)
        return prepare(directory, head, path, **options)

    monkeypatch.setattr("vestibule.proxy.static.prepare", noted)
    return looked


async def test_a_small_file_is_kept_for_a_moment(ask, looks):
    for lines in ((), (), (b"Range: bytes=2-4",)):
        exchange = await ask(b"/a.txt", *lines)
    assert (exchange.status, exchange.body) == (206, b"234")
    assert (await ask(b"/a.txt", method=b"HEAD")).length == 10
    assert (await ask(b"/a.txt", b'If-Match: "x"')).status == 412
    assert (await ask(b"/a.txt", b"Range: bytes=99-")).status == 416
    assert looks == [b"/a.txt"]


async def test_what_is_kept_does_not_forget_who_asks(ask, looks):
    public = await ask(b"/a.txt", decision="public")
    private = await ask(b"/a.txt", decision="anyone")
    assert (public.value(b"vary"), private.value(b"vary")) == (None, b"Cookie, Authorization")
    assert looks == [b"/a.txt"]


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda file: file.write_bytes(b"new"), id="written"),
        pytest.param(lambda file: file.write_bytes(b"9876543210"), id="written, of the same size"),
        pytest.param(lambda file: file.unlink(), id="removed"),
        pytest.param(lambda file: file.chmod(0), id="closed"),
        pytest.param(lambda file: (file.unlink(), file.symlink_to("none.txt")), id="replaced by a link"),
    ],
)
async def test_a_change_of_what_is_kept_is_seen_at_once(ask, site, looks, change):
    await ask(b"/a.txt")
    change(site / "a.txt")
    exchange = await ask(b"/a.txt")
    assert looks == [b"/a.txt", b"/a.txt"]
    assert exchange.body != b"0123456789" or os.geteuid() == 0


async def test_what_is_kept_is_looked_for_again_after_a_second(ask, site, looks, monkeypatch):
    await ask(b"/inside.txt")
    (site / "inside.txt").unlink()
    (site / "inside.txt").symlink_to("../secret.txt")
    assert (await ask(b"/inside.txt")).status == 200  # a link that was followed is believed that long
    now = asyncio.get_running_loop().time()
    monkeypatch.setattr(type(asyncio.get_running_loop()), "time", lambda _: now + 1.0, raising=False)
    assert (await ask(b"/inside.txt")).status == 404


async def test_large_files_are_not_kept_and_small_ones_within_bounds(ask, site, directory, looks):
    (site / "limit.bin").write_bytes(bytes(SMALL_BYTES))
    (site / "above.bin").write_bytes(bytes(SMALL_BYTES + 1))
    for path in (b"/limit.bin", b"/above.bin", b"/limit.bin", b"/above.bin"):
        await ask(path)
    assert looks == [b"/limit.bin", b"/above.bin", b"/above.bin"]
    for number in range(KEPT_BYTES // SMALL_BYTES):
        (site / f"{number}.bin").write_bytes(bytes(SMALL_BYTES))
        await ask(b"/%d.bin" % number)
    looks.clear()
    await ask(b"/limit.bin")  # the oldest went
    await ask(b"/%d.bin" % number)
    assert looks == [b"/limit.bin"]


def open_files() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


async def until(condition) -> None:
    """Lets the loop run until it holds."""
    while not condition():
        await asyncio.sleep(0)


async def test_a_slow_client_slows_the_reading(directory, site, threads):
    exchange = get(b"/big.bin")
    exchange.reads = False
    directory.begin(exchange, Backend(static_dir=str(site)), [])
    await until(lambda: exchange.writes)
    threads.held = True
    assert not threads.waiting  # paused: no piece is read
    exchange.catch_up()
    assert len(threads.waiting) == 1
    exchange.catch_up()  # twice is once
    assert len(threads.waiting) == 1
    threads.work()
    await exchange.ended.wait()
    assert exchange.body == (site / "big.bin").read_bytes()


async def test_every_file_is_closed(directory, site, threads, ask):
    before = open_files()
    for path, lines in ((b"/a.txt", ()), (b"/big.bin", ()), (b"/a.txt", (b"If-Match: x",)), (b"/docs", ())):
        await ask(path, *lines)
    assert open_files() == before


@pytest.mark.parametrize("when", ["preparing", "paused", "reading"])
async def test_a_client_that_leaves_leaves_no_file_open(directory, site, threads, when):
    before = open_files()
    exchange = get(b"/big.bin")
    exchange.reads = False
    threads.held = when == "preparing"
    directory.begin(exchange, Backend(static_dir=str(site)), [])
    if when != "preparing":
        await until(lambda: exchange.writes)
    if when == "reading":
        threads.held = True
        exchange.catch_up()
    exchange.leave()
    threads.work()
    await until(lambda: open_files() == before)
    assert exchange.on_end is None


async def test_a_file_that_shrinks_is_broken_off(directory, site):
    exchange = get(b"/big.bin")
    exchange.reads = False
    directory.begin(exchange, Backend(static_dir=str(site)), [])
    await until(lambda: exchange.writes)
    os.truncate(site / "big.bin", PIECE_BYTES)
    before = open_files()
    exchange.catch_up()
    await exchange.ended.wait()
    assert exchange.aborted
    assert open_files() == before - 1


async def test_what_nobody_foresaw_is_500_too_and_nobody_waits_for_ever(ask, monkeypatch, capsys):
    def fail(*_args, **_more):
        raise LookupError("unforeseen")

    monkeypatch.setattr("vestibule.proxy.static.prepare", fail)
    exchange = await ask(b"/a.txt")
    assert (exchange.status, exchange.body) == (500, b"internal_error")
    assert "unforeseen" in capsys.readouterr().err


async def test_a_failing_disk_is_500_and_logged(ask, monkeypatch, capsys):
    def fail(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("vestibule.proxy.files.os.pread", fail)
    exchange = await ask(b"/a.txt")
    assert (exchange.status, exchange.body) == (500, b"internal_error")
    assert exchange.request_id in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "line"),
    [
        (b"/x/a.html", b"Content-Type: text/html; charset=utf-8"),
        (b"/x/A.JS", b"Content-Type: text/javascript; charset=utf-8"),
        (b"/x/a.svg", b"Content-Type: image/svg+xml"),
        (b"/x/a.tar.gz", b"Content-Type: application/gzip"),
        (b"/x/a.woff2", b"Content-Type: font/woff2"),
        (b"/x/a.unknown", b"Content-Type: application/octet-stream"),
        (b"/x/README", b"Content-Type: application/octet-stream"),
        (b"/x.html/README", b"Content-Type: application/octet-stream"),
    ],
)
def test_the_type_goes_by_the_name(name, line):
    assert content_type(name) == line

"""TLS as clients meet it: curl, openssl, sslyze, and proxies that tell of their clients by the PROXY protocol."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from tests.process import Process, needed
from tests.real.gateway import Gateway
from tests.real.paper import Paper

ROOT = Path(__file__).parents[2]
CONFIGURATION = """
gateway {
  http  = ["127.0.0.1:{port}"]
  https = ["127.0.0.1:TLS"]
  GATEWAY
}

host "a.example.com" {
  tls_certificate = "both.pem"
  tls_key         = "both.key"
  backend         = "internal:echo"
  access { allow = ["public"] }
}

host "127.0.0.1" {
  tls_certificate = "both.pem"
  tls_key         = "both.key"
  backend         = "internal:echo"
  access { allow = ["public"] }
}

host "m.example.com" {
  tls_certificate = "both.pem"
  tls_key         = "both.key"
  client_ca       = "clients.pem"
  backend         = "internal:echo"
  access { allow = ["public"] }
}
"""
NAMES = ("a.example.com", "m.example.com")


_REFUSED = ("curl 55", "curl 56", "curl 16")
"""By TLS 1.3: the client has sent its request before it hears of it, or has begun to (16: HTTP/2's preface failed)."""


class House:
    """A gateway with two hosts under one certificate, one of which asks for the certificates of clients."""

    def __init__(self, gateway: Callable[..., Any], ports: Any, directory: Path) -> None:
        self.directory = directory
        self.paper = Paper(directory)
        self.clients = trustme.CA(key_type=trustme.KeyType.ECDSA)
        self.clients.cert_pem.write_to_path(directory / "clients.pem")
        self.port, self.tls_port = ports.take(), ports.take()
        self._gateway = gateway

    def start(self, more: str = "", *, also: str = "") -> Any:
        """`more` in `gateway`; `also`: further addresses with TLS, as they are written."""
        self.paper.write("both", *NAMES, "127.0.0.1")
        text = CONFIGURATION.replace('["127.0.0.1:TLS"]', f'["127.0.0.1:TLS"{also}]')
        text = text.replace("TLS", str(self.tls_port)).replace("GATEWAY", more)
        for name in ("both.pem", "both.key", "clients.pem"):
            text = text.replace(f'"{name}"', f'"{self.directory / name}"')
        self.gateway = self._gateway(text, port=self.port)
        return self.gateway

    def certificate(self, name: str, ca: trustme.CA | None = None) -> Path:
        path = self.directory / f"{name}.client.pem"
        made = (ca or self.clients).issue_cert(f"{name}@example.com", common_name=name)
        made.private_key_and_cert_chain_pem.write_to_path(path)
        return path

    def curl(self, url: str, *more: str | Path) -> tuple[int, str, str]:
        """Exit code, what came, and what curl says."""
        names = [
            word
            for name in NAMES
            for port in (self.port, self.tls_port)
            for word in ("--resolve", f"{name}:{port}:127.0.0.1")
        ]
        argv = ["curl", "-sS", "-m", "30", "--cacert", self.paper.root, *names, *more, url]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
        return done.returncode, done.stdout, done.stderr

    def status(self, url: str, *more: str | Path) -> str:
        """`200 2`: the status and the version of HTTP; curl's exit code where there is none."""
        code, out, _ = self.curl(url, "-o", "/dev/null", "-w", "%{http_code} %{http_version}", *more)
        return out if not code else f"curl {code}"

    def url(self, name: str = "a.example.com") -> str:
        return f"https://{name}:{self.tls_port}/"

    def context(self, own: Path | None = None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.paper.root)
        if own is not None:
            context.load_cert_chain(own)
        return context

    def connected(
        self, name: str = "a.example.com", *, own: Path | None = None, before: bytes = b""
    ) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self.tls_port), timeout=30)
        plain.sendall(before)
        return self.context(own).wrap_socket(plain, server_hostname=name)


@pytest.fixture
def house(gateway, ports, tmp_path) -> House:
    return House(gateway, ports, tmp_path)


@pytest.fixture(scope="module")
def standing(ports, ca_file, tmp_path_factory) -> Iterator[House]:
    """One that runs, for all who only ask it."""
    directory = tmp_path_factory.mktemp("standing")

    def gateway(text: str, *, port: int) -> Gateway:
        own = directory / "gateway"
        own.mkdir(mode=0o700)
        return Gateway(text.replace("{port}", str(port)), own, port=port, ca_file=ca_file)

    house = House(gateway, ports, directory)
    running = house.start()
    try:
        running.wait()
        yield house
    finally:
        running.stop()


# -- hosts -------------------------------------------------------------------------------------------


def test_curl_is_served_by_either_version_of_tls_and_of_http(standing):
    assert standing.status(standing.url()) == "200 2"
    assert standing.status(standing.url(), "--http1.1") == "200 1.1"
    assert standing.status(standing.url(), "--tls-max", "1.2") == "200 2"
    assert standing.status(f"http://a.example.com:{standing.port}/x?y=z") == "308 1.1"
    _, out, _ = standing.curl(
        f"http://a.example.com:{standing.port}/x?y=z", "-o", "/dev/null", "-w", "%{redirect_url}"
    )
    assert out == f"{standing.url()}x?y=z"


def test_tls_is_spoken_at_ipv6_and_at_a_unix_socket_too(house):
    path = house.directory / "web.sock"
    house.start(also=f', "[::1]:TLS", "unix:{path}"')
    assert house.status(house.url(), "--connect-to", f"::[::1]:{house.tls_port}") == "200 2"
    assert house.status("https://a.example.com/", "--unix-socket", path) == "200 2"
    assert house.status("https://m.example.com/", "--unix-socket", path) in _REFUSED


def test_a_name_of_nobodys_gets_no_certificate(standing):
    name = f"x.example.com:{standing.tls_port}:127.0.0.1"
    code, _, said = standing.curl(standing.url("x.example.com"), "--resolve", name)
    assert code == 35
    assert "unrecognized name" in said


def test_client_certificates_are_required_however_the_host_is_reached(standing):
    alice = standing.certificate("alice")
    mallory = standing.certificate("mallory", trustme.CA())
    other = ("-H", "Host: m.example.com")
    plain = f"http://a.example.com:{standing.port}/"
    assert standing.status(standing.url("m.example.com"), "--cert", alice) == "200 2"
    assert standing.status(standing.url("m.example.com")) in _REFUSED
    assert standing.status(standing.url("m.example.com"), "--cert", mallory) in _REFUSED
    assert standing.status(standing.url("m.example.com"), "--tls-max", "1.2") == "curl 35"
    assert standing.status(standing.url(), *other, "--http1.1") == "421 1.1"
    assert standing.status(standing.url(), *other) == "421 2"
    assert standing.status(standing.url(), *other, "--cert", alice) == "421 2"
    assert (
        standing.status(standing.url("m.example.com"), "--cert", alice, "-H", "Host: a.example.com")
        == "421 2"
    )
    assert standing.status(plain, *other) == "308 1.1"


# -- what TLS must not do ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "asked",
    [
        ("-tls1",),
        ("-tls1_1",),
        ("-tls1_2", "-cipher", "AES128-SHA"),
        ("-tls1_2", "-cipher", "AES128-GCM-SHA256"),
        ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"),
        ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES256-SHA"),
        ("-tls1_2", "-cipher", "DES-CBC3-SHA"),
        ("-tls1_2", "-cipher", "RC4-SHA"),
        ("-tls1_2", "-cipher", "NULL"),
        ("-tls1_2", "-cipher", "ADH"),
        ("-tls1_2", "-groups", "secp521r1"),
        ("-tls1_3", "-groups", "X448"),
        ("-tls1_3", "-groups", "ffdhe2048"),
    ],
    ids=" ".join,
)
def test_what_is_old_or_weak_is_refused(standing, asked):
    cipher = [f"{word}:@SECLEVEL=0" if asked[at - 1] == "-cipher" else word for at, word in enumerate(asked)]
    said = (
        openssl(standing, *cipher, "-cipher", "DEFAULT:@SECLEVEL=0")
        if "-cipher" not in asked
        else openssl(standing, *cipher)
    )
    assert not re.search(r"Cipher is (?!\(NONE\))", said), said[-800:]


@pytest.mark.parametrize("group", ["X25519", "prime256v1", "secp384r1"])
def test_mozillas_groups_are_agreed_on(standing, group):
    assert "Cipher is TLS_" in openssl(standing, "-tls1_3", "-groups", group)


def test_there_is_no_renegotiation_no_compression_and_no_early_data(standing):
    said = openssl(standing, "-tls1_2", told="R\n", after="Extended master secret")
    assert "Secure Renegotiation IS supported" in said
    assert "Compression: NONE" in said
    assert re.search(r"no renegotiation|handshake failure|closed|errno", said)
    assert "Max Early Data: 0" in openssl(standing, "-tls1_3", "-crlf", told=ASK, stays=True)


ASK = f"GET / HTTP/1.1\nHost: {NAMES[0]}\nConnection: close\n\n"


def openssl(house: House, *asked: str, told: str = "", after: str = "", stays: bool = False) -> str:
    """What `openssl s_client` says; it is told once it has said `after`. `stays`: until the other side ends it."""
    argv = ["openssl", "s_client", "-connect", f"127.0.0.1:{house.tls_port}", "-servername", NAMES[0], *asked]
    with subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        too_late = threading.Timer(60, client.kill)
        too_late.start()
        said = ""
        while after and after not in said and (line := client.stdout.readline()):
            said += line
        with contextlib.suppress(BrokenPipeError):
            client.stdin.write(told)
            client.stdin.flush()
            if not stays:
                client.stdin.close()
        said += client.stdout.read()
        too_late.cancel()
    return said


@pytest.mark.parametrize("profile", ["intermediate", "modern"])
def test_sslyze_agrees_with_mozillas_profiles(house, profile):
    house.start(f'tls_profile = "{profile}"')
    program = ROOT / "build" / "sslyze" / "bin" / "sslyze"
    assert program.exists(), "sslyze is not there: tools/sslyze.sh"
    argv = [
        program,
        f"--mozilla_config={profile}",
        f"--sni={NAMES[0]}",
        f"--certinfo_ca_file={house.paper.root}",
    ]
    done = subprocess.run(
        [*argv, f"127.0.0.1:{house.tls_port}"], capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "OK - Compliant" in done.stdout


# -- who is slow -----------------------------------------------------------------------------------------


def test_who_stalls_is_sent_away_and_nobody_waits_for_them(standing):
    """By saying nothing, a byte, and a beginning."""
    with contextlib.ExitStack() as stack:
        stalling = []
        for said in (b"", b"\x16", b"\x16\x03\x01\x02\x00\x01"):
            slow = socket.create_connection(("127.0.0.1", standing.tls_port), timeout=60)
            stalling.append(stack.enter_context(slow))
            slow.sendall(said)
        assert standing.status(standing.url()) == "200 2"
        assert [ended(slow) for slow in stalling] == [True] * 3


def ended(slow: socket.socket) -> bool:
    try:
        return slow.recv(100) == b""
    except ConnectionResetError:
        return True


def test_thousands_that_say_nothing_leave_room_for_others(house):
    house.start()
    silent = [socket.create_connection(("127.0.0.1", house.tls_port)) for _ in range(900)]
    try:
        assert [house.status(house.url()) for _ in range(3)] == ["200 2"] * 3
    finally:
        for one in silent:
            one.close()


# -- resumption ------------------------------------------------------------------------------------------


def test_a_session_goes_on_with_its_client_certificate(standing):
    context = standing.context(standing.certificate("alice"))
    sessions: list[ssl.SSLSession | None] = [None]
    for is_reused in (False, True):
        plain = socket.create_connection(("127.0.0.1", standing.tls_port), timeout=30)
        with context.wrap_socket(plain, server_hostname=NAMES[1], session=sessions[-1]) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: m.example.com\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 200")
            assert client.session_reused is is_reused
            sessions.append(client.session)


@pytest.mark.parametrize("more", ["workers = 3", ""], ids=["workers", "a restart"])
def test_a_session_goes_on_at_each_worker_and_after_a_restart(house, more):
    running = house.start(more)
    context = house.context(house.certificate("alice"))

    def reused(session: ssl.SSLSession | None) -> tuple[bool, ssl.SSLSession | None]:
        plain = socket.create_connection(("127.0.0.1", house.tls_port), timeout=30)
        with context.wrap_socket(plain, server_hostname=NAMES[1], session=session) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: m.example.com\r\n\r\n")
            assert client.recv(4096).startswith(b"HTTP/1.1 200")
            return bool(client.session_reused), client.session

    _, session = reused(None)
    if not more:
        running.stop()
        running.start_again()
    assert [reused(session)[0] for _ in range(12)] == [True] * 12


# -- the PROXY protocol ------------------------------------------------------------------------------------

PROXIES = 'proxy_protocol = ["127.0.0.2"]'
HAPROXY = """
defaults
  mode tcp
  timeout connect 5s
  timeout client 20s
  timeout server 20s
frontend f
  bind 127.0.0.1:{port}
  default_backend b
backend b
  server s 127.0.0.1:{tls} source 127.0.0.2 {how}
"""


PROXY = ("--interface", "127.0.0.2")


@pytest.mark.parametrize(
    "how", ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,ssl,unique-id"]
)
def test_haproxy_tells_of_its_clients(house, ports, servers, tmp_path, how):
    port = ports.take()
    house.start(PROXIES)
    file = tmp_path / "haproxy.cfg"
    file.write_text(HAPROXY.format(port=port, tls=house.tls_port, how=how))
    proxy = Process("haproxy", [needed("haproxy"), "-db", "-f", file], cwd=tmp_path)
    servers.callback(proxy.stop)
    proxy.wait_port(port)
    there = ("--connect-to", f"a.example.com:{house.tls_port}:127.0.0.1:{port}")
    code, out, said = house.curl(house.url(), *there, "--interface", "127.0.0.7")
    assert not code, said
    assert "127.0.0.7" in out


def test_nginx_tells_of_its_clients(house, ports, servers, tmp_path):
    port = ports.take()
    house.start(PROXIES)
    lines = f"server {{ listen 127.0.0.1:{port}; proxy_pass 127.0.0.1:{house.tls_port}; proxy_bind 127.0.0.2; proxy_protocol on; }}"
    file = tmp_path / "stream.conf"
    file.write_text(
        f"pid {tmp_path}/n.pid;\nerror_log stderr;\ndaemon off;\nevents {{}}\nstream {{ {lines} }}\n"
    )
    module = Path("/usr/lib/nginx/modules/ngx_stream_module.so")
    module = module if module.exists() else ROOT / "build" / "debian" / module.relative_to("/")
    file.write_text(f"load_module {module};\n" + file.read_text())
    proxy = Process("nginx", [needed("nginx"), "-p", tmp_path, "-e", "stderr", "-c", file], cwd=tmp_path)
    servers.callback(proxy.stop)
    proxy.wait_port(port)
    there = ("--connect-to", f"a.example.com:{house.tls_port}:127.0.0.1:{port}")
    code, out, said = house.curl(house.url(), *there, "--interface", "127.0.0.7")
    assert not code, said
    assert "127.0.0.7" in out


def test_curl_tells_of_itself_and_before_plain_http_too(house):
    house.start(PROXIES)
    assert house.status(house.url(), "--haproxy-protocol", *PROXY) == "200 2"
    assert house.status(f"http://a.example.com:{house.port}/", "--haproxy-protocol", *PROXY) == "308 1.1"


def test_a_proxy_must_tell_and_nobody_else_is_believed(house):
    house.start(PROXIES)
    header = b"PROXY TCP4 203.0.113.7 127.0.0.1 5000 443\r\n"
    assert house.status(house.url(), *PROXY) == "curl 35"
    assert house.status(house.url()) == "200 2"
    with pytest.raises((ssl.SSLError, ConnectionError)):
        house.connected(before=header).close()


# -- what the log has of it -------------------------------------------------------------------------------


def logged(gateway: Any, *words: str) -> None:
    """Wait until one line of the log has all of these."""
    gateway.process.wait_until(
        lambda: any(all(word in line for word in words) for line in gateway.log.splitlines()),
        f"writes {' '.join(words)}",
    )


@pytest.mark.parametrize("most", ["1.2", "1.3"])
def test_a_client_certificate_that_is_missing_or_refused_stands_in_the_log(house, most):
    gateway = house.start()
    mallory = house.certificate("mallory", trustme.CA())
    house.status(house.url("m.example.com"), "--tls-max", most)
    logged(gateway, "client_certificate_missing", "127.0.0.1", "m.example.com")
    house.status(house.url("m.example.com"), "--tls-max", most, "--cert", mallory)
    logged(gateway, "client_certificate_refused", "127.0.0.1", "m.example.com", "issuer certificate")


def test_a_proxy_header_that_is_missing_broken_or_nobodys_stands_in_the_log(house):
    gateway = house.start(PROXIES)
    house.status(house.url(), *PROXY)
    logged(gateway, "proxy_header_refused", "warning", "127.0.0.2", "no PROXY header")
    house.status(house.url(), "--haproxy-protocol")
    logged(gateway, "proxy_header_untrusted", "127.0.0.1")
    house.status(f"http://a.example.com:{house.port}/", "--haproxy-protocol")
    logged(gateway, "bad_request", "127.0.0.1", "not in `proxy_protocol`")
    for header in (b"PROXY TCP4 nobody\r\n", b"\r\n\r\n\x00\r\nQUIT\n\x11\x11\x00\x0c"):
        with socket.create_connection(
            ("127.0.0.1", house.port), timeout=30, source_address=("127.0.0.2", 0)
        ) as plain:
            plain.sendall(header)
    logged(gateway, "proxy_header_refused", "127.0.0.2", "with other words")
    logged(gateway, "proxy_header_refused", "127.0.0.2", "another version")

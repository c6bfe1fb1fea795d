"""What a person sees of a host whose line in the configuration is all there is: on ports 80 and 443, as on the web.

Run by test_web_ports.py, in a network of its own where that is allowed, else on high ports.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from playwright.async_api import Browser

from tests.ports import Ports
from tests.process import Process
from tests.real.namespace import INSIDE
from tests.real.pebble import Authorities

NAME = "app.example.com"
CONFIGURATION = """
gateway {
  http  = ["127.0.0.1:HTTP"]
  https = ["127.0.0.1:TLS"]
}

acme {
  email     = "ops@example.com"
  directory = "DIRECTORY"
  ca_file   = "CA"
}

provider "demo" {
  type          = "oidc"
  issuer        = "ISSUER"
  client_id     = "app"
  client_secret = "a-secret-of-the-test"
}

host "app.example.com" {
  backend = "internal:echo"
  sign_in = ["demo"]
  access {
    allow = ["anyone"]
  }
}
"""


class Site:
    """The gateway, at its ports."""

    def __init__(self, http_port: int, tls_port: int, root: Path) -> None:
        self.http_port, self.tls_port, self.root = http_port, tls_port, root
        self.http = f"http://{NAME}" + ("" if http_port == 80 else f":{http_port}")
        self.https = f"https://{NAME}" + ("" if tls_port == 443 else f":{tls_port}")

    def curl(self, *arguments: str) -> str:
        """What it prints of an answer: version, status, where it leads."""
        argv = ["curl", "-sS", "-o", "/dev/null", "--max-time", "30", "--cacert", str(self.root)]
        argv += [
            "--resolve",
            f"{NAME}:{self.http_port}:127.0.0.1",
            "--resolve",
            f"{NAME}:{self.tls_port}:127.0.0.1",
        ]
        argv += ["-w", "%{http_version} %{http_code} %{redirect_url}", *arguments]
        done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()


@pytest.fixture
def site(servers, ports: Ports, ca, ca_file, gateway, process, tmp_path) -> Site:  # noqa: PLR0917  # pytest hands them over by name
    authorities = Authorities(servers, ports, ca, tmp_path)
    if INSIDE in os.environ:
        authorities.http_port, authorities.tls_port = 80, 443
    pebble = authorities.pebble()
    issuer = ports.take()
    base = f"https://{NAME}" + ("" if authorities.tls_port == 443 else f":{authorities.tls_port}")
    argv = [sys.executable, "-m", "vestibule.demo.provider", "--port", str(issuer), "--client-id", "app"]
    argv += ["--redirect-uri", f"{base}/@demo/callback"]
    provider: Process = process(
        "provider", argv, env={"VESTIBULE_DEMO_CLIENT_SECRET": "a-secret-of-the-test"}
    )
    provider.wait_port(issuer)
    text = CONFIGURATION
    for written, value in {
        "HTTP": str(authorities.http_port),
        "TLS": str(authorities.tls_port),
        "DIRECTORY": pebble.directory,
        "CA": str(ca_file),
        "ISSUER": f"http://127.0.0.1:{issuer}",
    }.items():
        text = text.replace(written, value)
    running = gateway(text, port=authorities.http_port)
    running.process.wait_log("certificate.issued")
    root = tmp_path / "root.pem"
    root.write_text(pebble.root_pem(), "ascii")
    return Site(authorities.http_port, authorities.tls_port, root)


def test_a_host_line_is_all_it_takes(site: Site):
    assert site.curl("-H", "Accept: text/html", f"{site.https}/") == f"2 302 {site.https}/@/signin?rd=/"
    assert site.curl("--http1.1", f"{site.https}/@/healthz").startswith("1.1 200")
    version, status, led = site.curl(f"{site.http}/some/page?a=b").split(" ")
    assert (version, status, led) == ("1.1", "308", f"{site.https}/some/page?a=b")
    assert site.curl(f"{site.http}/.well-known/acme-challenge/nobodys").split(" ")[1] in {"308", "404"}


async def test_a_person_signs_in_over_https_and_http2(site: Site, browser: Browser):
    # Who signs the certificate is curl's to check: this browser has no store of authorities that we could add one to.
    context = await browser.new_context(ignore_https_errors=True)
    page = await context.new_page()
    await page.goto(f"{site.http}/")
    assert (
        "redirect_uri=https%3A%2F%2Fapp.example.com" in page.url
    )  # with one provider there is nothing to choose
    await page.goto(f"{site.https}/@/signin?login_hint=alice&rd=/hello")
    assert page.url == f"{site.https}/hello"
    assert "alice" in await page.content()
    protocol = await page.evaluate("performance.getEntriesByType('navigation')[0].nextHopProtocol")
    assert protocol == "h2"
    cookies = {cookie["name"]: cookie for cookie in await context.cookies(site.https)}
    assert cookies["__Host-vestibule"]["secure"]
    await context.close()

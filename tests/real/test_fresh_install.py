"""What a user installs is enough: the run-time lock alone, and the whole of a sign-in on it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SIGN_IN = """
import http.cookiejar, json, os, urllib.request
jar = urllib.request.HTTPCookieProcessor(http.cookiejar.CookieJar())
browser = urllib.request.build_opener(urllib.request.ProxyHandler({}), jar)
url = os.environ["VESTIBULE_DEMO_URL"]
page = browser.open(url + "/@/signin?login_hint=alice").read().decode()
assert "alice@example.com" in page, page
assert json.load(browser.open(url + "/@/session"))["user"]["login"] == "alice"
"""


@pytest.mark.real
@pytest.mark.timeout(600)
def test_a_person_signs_in_on_nothing_but_the_run_time_lock(tmp_path):
    venv = tmp_path / "venv"
    # Without ensurepip, which Debian keeps in a package of its own: the pip that installed us serves.
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    lock = ROOT / "requirements.lock"
    pip = [sys.executable, "-m", "pip", "--python", venv]
    subprocess.run([*pip, "install", "--quiet", "--require-hashes", "-r", lock], check=True)
    script = tmp_path / "sign_in.py"
    script.write_text(SIGN_IN)
    python = venv / "bin" / "python"
    demo = [
        python,
        "-m",
        "vestibule",
        "demo",
        "--port",
        "0",
        "--no-browser",
        "--once-ready",
        f"{python} {script}",
    ]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src"), "HOME": str(tmp_path)}
    done = subprocess.run(demo, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr

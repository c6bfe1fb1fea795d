"""`vestibule top` as a command."""

from __future__ import annotations

import subprocess
import sys

from click.testing import CliRunner

from vestibule.cli import main


def test_without_a_terminal_it_says_so():
    ran = CliRunner().invoke(main, ["top", "--state", "nowhere"])
    assert ran.exit_code == 2
    assert "this is for a terminal" in ran.output


def test_it_takes_the_options_of_the_others_and_names_the_console():
    ran = CliRunner().invoke(main, ["top", "--help"])
    assert ran.exit_code == 0
    assert "--admin" in ran.output
    assert "--state" in ran.output
    assert "--json" not in ran.output


def test_no_other_command_waits_for_textual():
    script = "import sys, vestibule.cli, vestibule.cli.top; print('textual' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"


def test_the_first_screen_brings_no_other_screens_along():
    script = "import sys, vestibule.tui.app; print(*sorted(n for n in sys.modules if 'tui.screens.' in n))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert [name.rpartition(".")[2] for name in ran.stdout.split()] == ["live", "main", "page"]

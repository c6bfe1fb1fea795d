"""The data plane starts without what only the control plane needs: its frameworks, its databases' toolkit."""

from __future__ import annotations

import subprocess
import sys

#: a second of imports and 100 MB, which `control` pays for after the listeners are up
HEAVY = (
    *(
        "alembic",
        "fastapi",
        "grpclib",
        "h2",
        "jinja2",
        "lxml",
        "psycopg",
        "pydantic",
        "scim2_models",
        "signxml",
    ),
    *("sqlalchemy", "starlette"),
)
OURS = ("vestibule.control", "vestibule.store.engine", "vestibule.web.app", "vestibule.web.api")


def test_what_listens_imports_nothing_of_the_control_plane():
    script = (
        "import sys, vestibule.app, vestibule.supervisor\n"
        f"print(*sorted(set({(*HEAVY, *OURS)!r}).intersection(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []

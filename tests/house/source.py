"""The program's own source as the house tests see it: modules by name, and who imports whom."""

from __future__ import annotations

import ast
import functools
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "vestibule"


@functools.cache
def modules() -> dict[str, ast.Module]:
    """Every module of the package, `vestibule.core.route` style (a package under its own name), parsed."""
    found = {}
    for path in sorted((ROOT / "src" / PACKAGE).rglob("*.py")):
        parts = path.relative_to(ROOT / "src").with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = ast.parse(path.read_text("utf-8"), str(path))
    return found


def imports(name: str, tree: ast.Module, known: Mapping[str, ast.Module]) -> Iterator[tuple[str, int]]:
    """(imported module, line) of every import wherever it stands: function level and TYPE_CHECKING count too.

    `from vestibule.core import route` is an import of `vestibule.core.route` where that is a module.
    """
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=names):
                yield from ((alias.name, node.lineno) for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                base = _absolute(name, module, level, known)
                for alias in names:
                    inner = f"{base}.{alias.name}"
                    yield (inner if inner in known else base), node.lineno


def _absolute(importer: str, module: str | None, level: int, known: Mapping[str, ast.Module]) -> str:
    if level == 0:
        return module or ""
    is_package = any(other.startswith(importer + ".") for other in known)
    parents = importer.split(".")
    kept = parents[: len(parents) - level + (1 if is_package else 0)]
    return ".".join([*kept, *([module] if module else [])])


def committed_files() -> list[Path]:
    """What git has, or would take; without git, every file outside the directories that `make` makes."""
    try:
        listed = subprocess.run(
            ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            capture_output=True,
            check=True,
        )
        paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    except (FileNotFoundError, subprocess.CalledProcessError):
        made = {".venv", "node_modules", "build", "dist", "state", "__pycache__", ".git"}
        paths = [path for path in ROOT.rglob("*") if not made & set(path.relative_to(ROOT).parts)]
    return [
        path for path in paths if path.is_file() and not any(p.name.endswith("_cache") for p in path.parents)
    ]

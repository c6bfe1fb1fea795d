"""What stands below the fields of a class, read when somebody asks for the OpenAPI document and not when it is made.

pydantic does this for each class as it comes about, by a walk over the stack that is half of the control plane's start.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType
from typing import Final

_OURS: Final = __name__.partition(".")[0] + "."
_NONE: Final[Mapping[str, str]] = MappingProxyType({})


def field_docs(cls: type) -> dict[str, str]:
    """The docstring of each field that has one, by its name, those of bases in this package included."""
    found: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if not base.__module__.startswith(_OURS):
            continue
        for name in inspect.get_annotations(base):
            found.pop(name, None)  # a field that is declared anew says for itself what it is
        found |= _of_module(base.__module__).get(base.__qualname__, _NONE)
    return found


@cache
def _of_module(name: str) -> Mapping[str, Mapping[str, str]]:
    """The docstrings of all classes that stand at the top of a module; none where there is no source."""
    try:
        tree = ast.parse(inspect.getsource(sys.modules[name]))
    except (KeyError, OSError, TypeError, SyntaxError):
        return MappingProxyType({})
    return MappingProxyType(
        {node.name: _of_class(node) for node in tree.body if isinstance(node, ast.ClassDef)}
    )


def _of_class(tree: ast.ClassDef) -> Mapping[str, str]:
    found: dict[str, str] = {}
    for field, text in zip(tree.body, tree.body[1:], strict=False):
        if not isinstance(field, ast.AnnAssign) or not isinstance(field.target, ast.Name):
            continue
        if (
            isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
            and isinstance(text.value.value, str)
        ):
            found[field.target.id] = inspect.cleandoc(text.value.value)
    return found

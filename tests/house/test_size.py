"""A module is read in one sitting, a function on one screen."""

from __future__ import annotations

import ast

import pytest

from tests.house.source import modules

MODULE_LINES = 500
FUNCTION_LINES = 60


@pytest.mark.parametrize("name", sorted(modules()))
def test_module_and_functions_stay_small(name):
    tree = modules()[name]
    assert max((node.end_lineno or 0 for node in tree.body), default=0) <= MODULE_LINES
    long = [
        f"{node.name} has {lines} lines"
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := _body_lines(node)) > FUNCTION_LINES
    ]
    assert long == []


def _body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0

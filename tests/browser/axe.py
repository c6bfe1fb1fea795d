"""What axe-core finds in the way of people in a page: one line a rule, with where."""

from __future__ import annotations

from functools import cache

import pytest
from playwright.async_api import Page

from tests.real.openid import NODE

_RUN = """async () => {
  const {violations, incomplete} = await axe.run(document, {resultTypes: ['violations', 'incomplete']});
  // On colours of the person's own it only says that it can't judge them.
  const unjudged = matchMedia('(forced-colors: active)').matches ? [] : incomplete;
  const told = rule => `${rule.id}: ${rule.help}: ` + rule.nodes.map(n => n.target.join(' ')).join(', ');
  return [...violations.map(told), ...unjudged.filter(rule => rule.id === 'color-contrast').map(told)];
}"""


@cache
def _program() -> str:
    path = NODE / "node_modules" / "axe-core" / "axe.min.js"
    if not path.is_file():
        pytest.fail("axe-core is not installed: run `make tests/real/node/node_modules/.installed`")
    return path.read_text("utf-8")


async def barriers(page: Page) -> list[str]:
    """Every violation of WCAG 2.2 AA or of good practice that the program can see; and contrast it can't judge."""
    await page.evaluate(_program())
    return list(await page.evaluate(_RUN))

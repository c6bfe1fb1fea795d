"""Identity providers: all there are and how they do; those of the database are changed, tried out and deleted."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import unquote

from starlette.responses import Response

from vestibule.admin_model import ProviderState
from vestibule.config.row import patched, section_of
from vestibule.config.row_form import (
    document_of,
    faults_by_field,
    filled_from,
    kinds,
    patch_between,
)
from vestibule.errors import Invalid, VestibuleError
from vestibule.web.admin.allowed import may
from vestibule.web.admin.answers import Desk, page, see
from vestibule.web.admin.api import Refused, segment
from vestibule.web.admin.asking import Ask
from vestibule.web.admin.provider_form import groups_of, label_of, removed, title_of

FIXED: Final = "configuration"
_ANY: Final = frozenset({"oidc", "oauth2"})


async def listed(desk: Desk, ask: Ask) -> Response:
    """All providers, those of files with their lines, each with its state."""
    found = await ask.api.get("/identity-providers")
    states = await states_of(ask)
    items = [{**one, "state": states.get(one["id"])} for one in found["items"]]
    return page(
        desk,
        ask,
        "providers.html",
        title="Providers",
        items=items,
        is_nowhere=_is_nowhere(items),
        may=may(ask),
    )


async def states_of(ask: Ask) -> dict[str, ProviderState]:
    """How they do, by full name; empty for who may not see it."""
    with contextlib.suppress(Refused):
        found = await ask.api.get("/provider-states", tuple[ProviderState, ...])
        return {one.id: one for one in found}
    return {}


async def shown(desk: Desk, ask: Ask) -> Response:
    """One of them, with what can be done about it."""
    return await _shown(desk, ask, findings=None)


async def tested(desk: Desk, ask: Ask) -> Response:
    """The same, with what trying it out has found."""
    found = await ask.api.post(f"{_path(ask)}/test")
    return await _shown(desk, ask, findings=found)


async def _shown(desk: Desk, ask: Ask, findings: Any) -> Response:
    one = await ask.api.get(_path(ask))
    states, settings = await states_of(ask), _settings(one)
    return page(
        desk,
        ask,
        "provider.html",
        title=one["title"] or one["id"],
        one=one,
        state=states.get(one["id"]),
        settings=settings,
        findings=findings,
        is_fixed=one["source"] == FIXED,
        is_issuer_told=any(setting["label"] == "Issuer" for setting in settings),
        may=may(ask),
    )


def _is_nowhere(items: list[dict[str, Any]]) -> bool:
    """True where one of the database is good, and no host takes it."""
    return any(
        one["source"] != FIXED
        and one["enabled"]
        and not one["faults"]
        and one["state"] is not None
        and not one["state"].hosts
        for one in items
    )


def _settings(one: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is written, for people; of a secret that it is set."""
    section = section_of(one["provider_type"])
    written = {name: one[name] for name in ("email_domains",) if name in one} | one.get(section, {})
    plain = [{"label": label_of(name), "value": _said(value)} for name, value in written.items()]
    names = (path.partition(".")[2] for path in one["secrets"])
    return [*plain, *({"label": label_of(name), "value": "", "is_secret": True} for name in names)]


def _said(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    if isinstance(value, dict):
        return ", ".join(f"{name} = {item}" for name, item in value.items())
    return str(value)


# -- adding and changing ----------------------------------------------------------------------


async def new(desk: Desk, ask: Ask) -> Response:
    """First the type, then its form; sent, the provider is there."""
    kind = ask.form.get("provider_type", "") or ask.params.get("type", "")
    if kind not in kinds():
        return page(desk, ask, "provider_kinds.html", title="Which kind of provider?", kinds=_kinds())
    if not ask.is_post:
        return _form(desk, ask, kind, {**filled_from(kind, {}), "enabled": ""})
    try:
        made = await ask.api.post("/identity-providers", document_of(kind, ask.form))
    except Invalid as error:
        return _form(desk, ask, kind, ask.form, faults=faults_by_field(kind, error.faults), status=422)
    except Refused as error:
        if error.status != 409:
            raise
        field = "id" if error.code == "taken" else ""
        return _form(desk, ask, kind, ask.form, faults={field: error.message}, status=409)
    said = "It is offered to people now." if made["enabled"] else "Try it out, then offer it to people."
    return see(
        desk, ask, f"/providers/{segment(made['id'])}", f"{made['title'] or made['id']} is added. {said}"
    )


async def edit(desk: Desk, ask: Ask) -> Response:
    """The form, filled in; sent, what differs is changed, unless somebody else was faster."""
    one = await ask.api.get(_path(ask))
    kind = one["provider_type"]
    if one["source"] == FIXED:
        raise Refused("It stands in the configuration and is changed there.", code="fixed", status=409)
    if not ask.is_post:
        return _form(desk, ask, kind, filled_from(kind, one), one=one)
    version = ask.form.get("version", "")
    patch = patched(_patch(kind, one, ask.form), removed(kind, ask.form))
    if not patch and version == str(one["version"]):
        return see(desk, ask, _page(one), "Nothing was changed.")
    try:
        changed = await ask.api.patch(_path(ask), patch, if_match=f'"{version}"')
    except Invalid as error:
        faults = faults_by_field(kind, error.faults)
        return _form(desk, ask, kind, ask.form, one=one, faults=faults, version=version, status=422)
    except Refused as error:
        if error.status == 412:
            return _form(desk, ask, kind, ask.form, one=one, is_late=True, status=412)
        if error.status != 409:
            raise
        return _form(
            desk, ask, kind, ask.form, one=one, faults={"": error.message}, version=version, status=409
        )
    return see(desk, ask, _page(changed), f"{changed['title'] or changed['id']} is changed.")


def _kinds() -> list[dict[str, str]]:
    """All kinds; those that stand for many first."""
    found = [{"name": kind, "title": title_of(kind)} for kind in kinds()]
    return sorted(found, key=lambda one: (one["name"] not in _ANY, one["title"].lower()))


def _patch(kind: str, one: Mapping[str, Any], form: Mapping[str, str]) -> dict[str, Any]:
    """What the form changes; of a secret that is left empty nothing."""
    section = section_of(kind)
    known = {"provider_type", "enabled", "title", "email_domains", section}
    # A title that nobody wrote is shown all the same: that of the kind.
    old = {name: value for name, value in one.items() if name in known}
    new_one = document_of(kind, {**form, "id": ""}, old)
    if not new_one.get("title") and not old.get("title"):
        old.pop("title", None)
    return patch_between(old, new_one)


def _form(
    desk: Desk,
    ask: Ask,
    kind: str,
    filled: Mapping[str, str],
    *,
    one: Mapping[str, Any] | None = None,
    faults: Mapping[str, str] = {},
    version: str = "",
    is_late: bool = False,
    status: int = 200,
) -> Response:
    groups = groups_of(
        kind,
        filled,
        secrets=one["secrets"] if one else (),
        faults=faults,
        current=filled_from(kind, one) if one and is_late else None,
        is_new=one is None,
    )
    return page(
        desk,
        ask,
        "provider_edit.html",
        title=f"Change {one['title'] or one['id']}" if one else f"Add a provider: {title_of(kind)}",
        status=status,
        kind=kind,
        groups=groups,
        one=one,
        version=version or (one["version"] if one else ""),
        fault=faults.get("", ""),
        has_faults=bool(faults),
        is_late=is_late,
    )


# -- the rest ---------------------------------------------------------------------------------


async def enable(desk: Desk, ask: Ask) -> Response:
    """Offer it to people."""
    one = await ask.api.post(f"{_path(ask)}/enable")
    return see(desk, ask, _page(one), f"{one['title'] or one['id']} is offered to people now.")


async def disable(desk: Desk, ask: Ask) -> Response:
    """The question, since people are signed out by it; then offer it no more."""
    one = await ask.api.get(_path(ask))
    if not ask.is_post:
        return page(
            desk, ask, "provider_disable.html", title=f"Switch {one['title'] or one['id']} off?", one=one
        )
    await ask.api.post(f"{_path(ask)}/disable")
    return see(desk, ask, _page(one), f"{one['title'] or one['id']} is switched off.")


async def delete(desk: Desk, ask: Ask) -> Response:
    """The question, answered by typing the ID; then it is gone."""
    one = await ask.api.get(_path(ask))
    fault = ""
    if ask.is_post:
        if ask.form.get("typed", "").strip() == one["id"]:
            version = ask.form.get("version", "")
            try:
                await ask.api.call(
                    "DELETE", _path(ask), headers={"if-match": f'"{version}"'} if version else {}
                )
            except VestibuleError as error:
                if error.status != 412:
                    raise
                fault = "Somebody has changed it since this page was shown: look at it again first."
            else:
                return see(desk, ask, "/providers", f"{one['title'] or one['id']} is deleted.")
        fault = fault or f"To delete it, type its ID: {one['id']}"
    return page(
        desk,
        ask,
        "provider_delete.html",
        title=f"Delete {one['title'] or one['id']}?",
        status=422 if fault else 200,
        one=one,
        fault=fault,
        typed=ask.form.get("typed", ""),
    )


def _path(ask: Ask) -> str:
    return f"/identity-providers/{segment(unquote(ask.places['id']))}"


def _page(one: Mapping[str, Any]) -> str:
    return f"/providers/{segment(one['id'])}"

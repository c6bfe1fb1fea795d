"""The part of the admin API's client that looks after organisations, and how lists and single things are asked for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

import msgspec

from vestibule.admin_link import Link, segment
from vestibule.admin_model import DirectoryToken, Org, OrgDirectory, OrgDomain, OrgGroup, OrgMember

PAGE = 200
T = TypeVar("T")


class _Page(msgspec.Struct, frozen=True):
    items: list[msgspec.Raw]
    next: str | None = None


class Organisations:
    """What needs nothing but a link; `admin_client.AdminClient` has all of it.

    Every method raises VestibuleError as those of `AdminClient` do.
    """

    _link: Link

    # -- organisations ------------------------------------------------------------------------

    def orgs(self) -> Iterator[Org]:
        """The organisations, the oldest first."""
        return self._list("/orgs", {}, Org)

    def org(self, slug: str) -> Org:
        """The organisation."""
        return self._one("GET", _org(slug), Org)

    def create_org(self, slug: str, name: str) -> Org:
        """A new organisation."""
        return self._one("POST", "/orgs", Org, {"slug": slug, "name": name})

    def rename_org(self, slug: str, name: str) -> Org:
        """The organisation by another name."""
        return self._one("PATCH", _org(slug), Org, {"name": name})

    def delete_org(self, slug: str) -> None:
        """Delete it with domains, members and groups."""
        self._call("DELETE", _org(slug))

    def org_domains(self, slug: str) -> Iterator[OrgDomain]:
        """Its domains."""
        return self._list(f"{_org(slug)}/domains", {}, OrgDomain)

    def add_org_domain(self, slug: str, domain: str) -> OrgDomain:
        """A domain that it says is its own."""
        return self._one("POST", f"{_org(slug)}/domains", OrgDomain, {"domain": domain})

    def verify_org_domain(self, slug: str, domain: str, *, unasked: bool = False) -> OrgDomain:
        """The domain, which its DNS says is the organisation's; `unasked`: which an operator says is."""
        how = "confirm" if unasked else "verify"
        return self._one("POST", f"{_org(slug)}/domains/{segment(domain)}/{how}", OrgDomain)

    def remove_org_domain(self, slug: str, domain: str) -> None:
        """Take a domain from it."""
        self._call("DELETE", f"{_org(slug)}/domains/{segment(domain)}")

    def org_members(self, slug: str) -> Iterator[OrgMember]:
        """Its members, the oldest first."""
        return self._list(f"{_org(slug)}/members", {}, OrgMember)

    def put_org_member(self, slug: str, user_id: str, roles: Sequence[str] | None = None) -> OrgMember:
        """A user as a member, with these roles; None: as they are."""
        given = {"roles": None if roles is None else tuple(roles)}
        return self._one("PUT", f"{_org(slug)}/members/{segment(user_id)}", OrgMember, given)

    def remove_org_member(self, slug: str, user_id: str) -> None:
        """Take somebody out of it."""
        self._call("DELETE", f"{_org(slug)}/members/{segment(user_id)}")

    def org_groups(self, slug: str) -> Iterator[OrgGroup]:
        """The groups that it keeps here, the oldest first."""
        return self._list(f"{_org(slug)}/groups", {}, OrgGroup)

    def create_org_group(self, slug: str, name: str) -> OrgGroup:
        """A new group."""
        return self._one("POST", f"{_org(slug)}/groups", OrgGroup, {"name": name})

    def delete_org_group(self, slug: str, group_id: str) -> None:
        """Delete a group."""
        self._call("DELETE", f"{_org(slug)}/groups/{segment(group_id)}")

    def org_group_members(self, slug: str, group_id: str) -> Iterator[OrgMember]:
        """Who is in a group."""
        return self._list(f"{_org(slug)}/groups/{segment(group_id)}/members", {}, OrgMember)

    def put_in_org_group(self, slug: str, group_id: str, user_id: str) -> None:
        """Put a member into a group."""
        self._call("PUT", f"{_org(slug)}/groups/{segment(group_id)}/members/{segment(user_id)}")

    def take_from_org_group(self, slug: str, group_id: str, user_id: str) -> None:
        """Take somebody out of a group."""
        self._call("DELETE", f"{_org(slug)}/groups/{segment(group_id)}/members/{segment(user_id)}")

    # -- their directories --------------------------------------------------------------------

    def org_directory(self, slug: str) -> OrgDirectory:
        """How its directory is understood."""
        return self._one("GET", f"{_org(slug)}/directory", OrgDirectory)

    def set_org_directory(self, slug: str, join_by: str) -> OrgDirectory:
        """The same, after people are joined by this: `subject`, `external_id` or `user_name`."""
        return self._one("PUT", f"{_org(slug)}/directory", OrgDirectory, {"join_by": join_by})

    def directory_tokens(self, slug: str) -> Iterator[DirectoryToken]:
        """Its directory's tokens, without themselves, the oldest first."""
        return self._list(f"{_org(slug)}/directory/tokens", {}, DirectoryToken)

    def create_directory_token(self, slug: str, name: str = "", life_s: int | None = None) -> DirectoryToken:
        """A new token, with itself. `life_s` None: until it is revoked. Refused (`too_many_tokens`) beside two."""
        given: dict[str, Any] = {"name": name}
        if life_s is not None:
            given["expires_in"] = life_s
        return self._one("POST", f"{_org(slug)}/directory/tokens", DirectoryToken, given)

    def revoke_directory_token(self, slug: str, token_id: str) -> None:
        """End a token."""
        self._call("DELETE", f"{_org(slug)}/directory/tokens/{segment(token_id)}")

    # -- their identity providers -------------------------------------------------------------

    def org_providers(self, slug: str) -> Iterator[dict[str, Any]]:
        """Its own identity providers."""
        return self._list(_providers(slug), {}, dict[str, Any])

    def org_provider(self, slug: str, provider_id: str) -> dict[str, Any]:
        """The provider."""
        return self._one("GET", _providers(slug, provider_id), dict[str, Any])

    def create_org_provider(self, slug: str, document: Any) -> dict[str, Any]:
        """A new provider, which speaks of this organisation alone."""
        return self._one("POST", _providers(slug), dict[str, Any], document)

    def update_org_provider(
        self, slug: str, provider_id: str, patch: Any, *, version: int | None = None
    ) -> dict[str, Any]:
        """The provider after this JSON Merge Patch. `version`: the one it must have."""
        return self._one("PATCH", _providers(slug, provider_id), dict[str, Any], patch, version)

    def delete_org_provider(self, slug: str, provider_id: str) -> None:
        """Delete the provider."""
        self._call("DELETE", _providers(slug, provider_id))

    # -- calls --------------------------------------------------------------------------------

    def _list(self, path: str, filters: Mapping[str, str | bool | None], of: Any) -> Iterator[Any]:
        query = {name: _text(value) for name, value in filters.items() if value not in {None, ""}}
        if path.rpartition("/")[2] not in {"domains", "identity-providers", "machine-keys", "tokens"}:
            query["limit"] = str(PAGE)
        while True:
            asked = f"{path}?{urlencode(query)}" if query else path
            page = self._link.decoded(self._call("GET", asked), _Page)
            for item in page.items:
                yield self._link.decoded(bytes(item), of)
            if not page.next:
                return
            query["cursor"] = page.next

    def _one(self, method: str, path: str, of: type[T], value: Any = None, version: int | None = None) -> T:
        found: T = self._link.decoded(self._call(method, path, value, version), of)
        return found

    def _call(self, method: str, path: str, value: Any = None, version: int | None = None) -> bytes:
        return self._link.call(method, path, value, if_match="" if version is None else f'"{version}"')


def _org(slug: str) -> str:
    return f"/orgs/{segment(slug)}"


def _providers(slug: str, provider_id: str = "") -> str:
    path = f"{_org(slug)}/identity-providers"
    return f"{path}/{segment(provider_id)}" if provider_id else path


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)

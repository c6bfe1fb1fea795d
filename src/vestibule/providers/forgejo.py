"""Signing in with Forgejo (Codeberg and others): as with Gitea, of which it is a fork."""

from __future__ import annotations

from typing import ClassVar

from vestibule.providers.gitea import Gitea, GiteaConfig


class ForgejoConfig(GiteaConfig, frozen=True, kw_only=True, tag_field="type", tag="forgejo"):
    """A Forgejo server: `web_url = "https://codeberg.org"`. Of several `allowed_…` lists each must hold."""

    def open(self) -> Forgejo:
        """The client; pure, fetches nothing."""
        return Forgejo(self)


class Forgejo(Gitea):
    """The client."""

    title_of_kind: ClassVar[str] = "Forgejo"

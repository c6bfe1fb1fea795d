"""What an imported provider needs, whatever program it was configured for."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from vestibule.config.importers.note import About, Notes
from vestibule.config.importers.option import Options
from vestibule.config.write import Value

NO_TENANT: Final = "00000000-0000-0000-0000-000000000000"
"""Nobody's at Entra: it stands where the tenants that may come have yet to be written."""
#: kinds of providers that have a page for signing out
_SIGN_PEOPLE_OUT = frozenset(
    {"adfs", "auth0", "cidaas", "cognito", "entra", "keycloak", "logingov", "oidc", "okta"}
)


def base_of(url: str, path: str) -> str:
    """The URL up to this path; empty where it doesn't end so."""
    whole = url.partition("?")[0].rstrip("/")
    return whole.removesuffix(path) if whole.endswith(path) and urlsplit(whole).netloc else ""


def believed_at_adfs(product: str, notes: Notes) -> dict[str, Value]:
    """AD FS is believed about addresses, as it was by *product*."""
    notes.add(
        About.CHANGED,
        "assume_email_verified",
        f"AD FS never says that an address is verified; {product} believed it, and so does this. Take it out if people "
        "can change their own address",
    )
    return {"assume_email_verified": True}


def sign_out(kind: str, options: Options, asked: str, notes: Notes, *, root: str = "") -> dict[str, Value]:
    """Whether signing out leads over the provider, which takes only URLs that are registered with it.

    *asked* is the option that makes the other program sign people out there, *root* what its paths begin with, where
    its edge hands on no others.
    """
    if kind not in _SIGN_PEOPLE_OUT:
        return {}
    urls = " and ".join(f"https://HOST{one}/@/signedout" for one in dict.fromkeys(("", root)))
    register = f"register {urls} with the provider for the way back (post-logout redirect URL)"
    if options.text(asked):
        notes.add(About.DO, asked, f"signing out leads over the provider's own page, and back: {register}")
        return {}
    notes.add(
        About.CHANGED,
        "sign_out_at_provider",
        f"people sign out here and stay signed in at the provider, as before; to sign out there too, {register}, and "
        "take the line away",
    )
    return {"sign_out_at_provider": False}

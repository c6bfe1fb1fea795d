"""Every exception of the program, by whose fault it is.

::

    VestibuleError
    ├── ConfigError            the operator's: carries every fault with its place
    ├── ClientError            the client's
    │   ├── BadRequest         a request that no gateway should forward (400, 408, 413, 414, 421, 431 …)
    │   ├── FlowError          a sign-in that can't go on: expired, replayed, another browser's
    │   ├── CredentialGone     the session holds no live credentials at that client: signing in there is the way out
    │   ├── CredentialRefused  what stands in Authorization is not good here
    │   ├── TooManyTries       too often, too fast: carries how long to wait
    │   │   └── Crowded        nobody's doing: too many people at once
    │   ├── UserDisabled       this person's account is switched off here
    │   ├── Invalid            what was to be kept can't work (422): carries every fault with its path
    │   ├── NotFound           there is no such thing (404)
    │   └── Conflict           it clashes with what is there: a name that is taken, a version that is old (409)
    ├── ProviderError          the identity provider's
    │   ├── ProviderUnavailable   it can't be reached, or is failing: nothing is known, try again
    │   ├── ProviderRefused       it answered with an OAuth error: what it said is in `error`
    │   └── ProviderInvalid       it answered with what its protocol forbids, or can't be believed
    ├── IssueError             a certificate can't be had: whose fault, and what to do about it
    ├── BackendError           the backend's: no connection, no answer, a broken one
    └── StoreError             the store's: it can't be reached, is full, is broken

Each class has a stable `code` (logs, JSON answers, tests) and the HTTP `status` it ends in by default. A provider's
faults are told apart in the log alone (`id_token_aud`, `provider_timeout` …): all others are told their `family`.
The message is safe to show to a person; what isn't goes into `detail`, which only the log sees.
"""

from __future__ import annotations

import math
from typing import ClassVar


class VestibuleError(Exception):
    """The root: whatever this program raises on purpose."""

    code: str = "internal_error"
    family: ClassVar[str] = ""
    status: int = 500

    def __init__(self, message: str = "", *, detail: str = "", code: str = "", status: int = 0) -> None:
        super().__init__(message or self.code)
        self.detail = detail
        if code:
            self.code = code
        if status:
            self.status = status

    @property
    def public_code(self) -> str:
        """The code that people and programs are told: their family's where an error is one of a family."""
        return self.family or self.code

    @property
    def message(self) -> str:
        """The text that may be shown to the person."""
        return str(self.args[0])


class ConfigError(VestibuleError):
    """The configuration can't be used; `faults` are all that is wrong with it, each `file:line:col: message`."""

    code = "config_error"

    def __init__(self, faults: tuple[str, ...]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class ClientError(VestibuleError):
    """The client sent what can't be served."""

    code = "client_error"
    status = 400


class BadRequest(ClientError):
    """The request breaks the rules of HTTP or a limit; the connection it came on is closed."""

    code = "bad_request"


class FlowError(ClientError):
    """The sign-in that this callback belongs to can't go on; starting again is the way out."""

    code = "flow_expired"
    #: the codes a FlowError may carry, each with a page text of its own
    CODES: ClassVar[tuple[str, ...]] = (
        "flow_expired",
        "flow_replayed",
        "flow_other_browser",
        "flow_unknown",
    )


class CredentialGone(ClientError):
    """No live credentials at this client: never given (`no_credential`), or the provider refused to refresh them."""

    code = "credential_gone"
    status = 401


class CredentialRefused(ClientError):
    """What stands in Authorization is not good here (`invalid_token`, `bad_credentials`); no cookie takes its place."""

    code = "invalid_token"
    status = 401


class TooManyTries(ClientError):
    """This was tried too often; the answer says when to come again (Retry-After)."""

    code = "too_many_tries"
    status = 429

    def __init__(self, message: str = "Please wait a while.", *, wait_s: float, detail: str = "") -> None:
        super().__init__(message, detail=detail)
        self.retry_after_s = max(1, math.ceil(wait_s))


class Crowded(TooManyTries):
    """More people want to sign in than can be let in just now; the answer says when to come again (Retry-After)."""

    code = "crowded"
    status = 503


class UserDisabled(ClientError):
    """This person's account was switched off here; signing in again does not help."""

    code = "user_disabled"
    status = 403


class Invalid(ClientError):
    """What was to be kept can't work; `faults` are all that is wrong with it, each (path, message)."""

    code = "invalid"
    status = 422

    def __init__(self, faults: tuple[tuple[str, str], ...]) -> None:
        super().__init__("; ".join(f"{path}: {message}" if path else message for path, message in faults))
        self.faults = faults


class NotFound(ClientError):
    """There is no such thing."""

    code = "not_found"
    status = 404


class Conflict(ClientError):
    """It clashes with what is there: an ID or an account that is taken (`taken`), a version that is old (`changed`)."""

    code = "conflict"
    status = 409


class ProviderError(VestibuleError):
    """The identity provider is at fault."""

    code = "provider_error"
    status = 502


class ProviderUnavailable(ProviderError):
    """The provider can't be reached or fails (timeout, connection, 5xx, 429): nothing was learned about the person."""

    code = family = "provider_unavailable"
    status = 503


class ProviderRefused(ProviderError):
    """The provider answered with an OAuth error (RFC 6749 section 5.2, 4.1.2.1), kept in `error`."""

    code = "provider_refused"
    status = 403

    def __init__(self, error: str, description: str = "") -> None:
        super().__init__(f"the provider answered: {error}", detail=description)
        self.error = error
        self.description = description


class ProviderInvalid(ProviderError):
    """The provider's answer breaks its protocol or fails a check (signature, issuer, nonce …)."""

    code = family = "provider_invalid"


class IssueError(VestibuleError):
    """A certificate can't be had just now: `code` is the authority's own word, the message says what to do about it."""

    code = "certificate_failed"

    def __init__(
        self, message: str, *, code: str, blame: str, detail: str = "", wait_s: float | None = None
    ) -> None:
        """`blame`: of `core.acme_fault.Blame`; `wait_s`: what the authority wants to be left alone for."""
        super().__init__(message, code=code, detail=detail)
        self.blame = blame
        self.wait_s = wait_s


class BackendError(VestibuleError):
    """The backend can't be reached or broke off."""

    code = "backend_unavailable"
    status = 502


class StoreError(VestibuleError):
    """The store can't be reached or can't be written; nobody is signed in or out by it."""

    code = "store_unavailable"
    status = 503

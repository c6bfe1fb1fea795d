"""The part of the admin API's client that looks at the running program: traffic, state, configuration, the trail."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlencode

from vestibule import admin_model as model
from vestibule.admin_link import Link, segment

T = TypeVar("T")
STREAM_SILENCE_S = 30.0
"""The gateway says something on a stream more often than that."""


class Watching:
    """What needs nothing but a link; `admin_client.AdminClient` has all of it.

    Every method raises VestibuleError as those of `AdminClient` do.
    """

    _link: Link

    # -- traffic ------------------------------------------------------------------------------

    def traffic(self, *, limit: int = 200, after: int = 0, **filters: str) -> model.TrafficPage:
        """The latest requests that pass all filters, the newest first, of those that came after this number.

        Filters, each where it isn't empty: `kind`, `name`, `text` (in method, path, host, person, address, decision,
        request id), `person`, `session_id`, `status` (`404`, `4xx`), `decision`.
        """
        query = _query({"limit": str(limit), "after": str(after or ""), **filters})
        return self._get(f"/traffic{query}", model.TrafficPage)

    def traffic_stream(self, **filters: str) -> Iterator[tuple[model.Row, ...]]:
        """Requests as they end, a batch at a time, the oldest first; an empty batch says that the gateway goes on.

        It ends only by an exception: VestibuleError when the gateway does.
        """
        for data in self._link.stream(f"/traffic/stream{_query(filters)}", silence_s=STREAM_SILENCE_S):
            yield self._link.decoded(data, tuple[model.Row, ...])

    def trace(self, trace_id: str) -> model.Trace:
        """All requests of a trace, as a tree."""
        return self._get(f"/traces/{segment(trace_id)}", model.Trace)

    # -- state --------------------------------------------------------------------------------

    def overview(self) -> model.Overview:
        """The program at a glance, with figures of the last 15 minutes."""
        return self._get("/overview", model.Overview)

    def hosts(self) -> tuple[model.HostState, ...]:
        """All hosts with their routes."""
        return self._get("/hosts", tuple[model.HostState, ...])

    def calls(self) -> tuple[model.CallState, ...]:
        """All calling interfaces."""
        return self._get("/calls", tuple[model.CallState, ...])

    def edges(self) -> tuple[model.EdgeState, ...]:
        """Who asks whether requests may go on."""
        return self._get("/edges", tuple[model.EdgeState, ...])

    def provider_states(self) -> tuple[model.ProviderState, ...]:
        """All clients at identity providers, and how they do."""
        return self._get("/provider-states", tuple[model.ProviderState, ...])

    def certificates(self) -> tuple[model.CertificateState, ...]:
        """Certificates that are shown, and trusted."""
        return self._get("/certificates", tuple[model.CertificateState, ...])

    # -- credentials --------------------------------------------------------------------------

    def credentials(self, session_id: str) -> tuple[model.CredentialState, ...]:
        """What a session holds, masked."""
        return self._get(f"/sessions/{segment(session_id)}/credentials", tuple[model.CredentialState, ...])

    def reveal(self, session_id: str, client: str, reason: str) -> model.Revealed:
        """The tokens of one of them; who asks, and why, is kept."""
        path = f"/sessions/{segment(session_id)}/credentials/{segment(client)}/reveal"
        return self._post(path, model.Revealed, {"reason": reason})

    # -- configuration ------------------------------------------------------------------------

    def configuration(self) -> model.Configuration:
        """What is in force, each block with its place."""
        return self._get("/configuration", model.Configuration)

    def difference(self) -> model.Difference:
        """What the files say now that isn't in force."""
        return self._get("/configuration/difference", model.Difference)

    def reload(self, fingerprint: str = "") -> model.Reloaded:
        """Put in force what the files say; with the fingerprint of a difference nothing else than was looked at."""
        body = self._link.call(
            "POST", "/configuration/reload", if_match=f'"{fingerprint}"' if fingerprint else ""
        )
        return self._decoded(body, model.Reloaded)

    def upgrade(self) -> model.Upgraded:
        """Have the program that is installed now take the gateway's place. Raises VestibuleError `not_upgraded`."""
        return self._decoded(self._link.call("POST", "/upgrade"), model.Upgraded)

    def levels(self) -> model.Levels:
        """How much is logged."""
        return self._get("/log/levels", model.Levels)

    def set_levels(self, changes: Mapping[str, str]) -> model.Levels:
        """Log that much, in every process, until a restart; by component, `level` for all others, "" for no own."""
        return self._decoded(self._link.call("PATCH", "/log/levels", dict(changes)), model.Levels)

    # -- the trail ----------------------------------------------------------------------------

    def verify_audit(self, head: str = "") -> model.Proof:
        """Whether the trail is what was written. `head`: a hash that was kept elsewhere, and must be in it."""
        lines = self._link.lines(f"/audit/verify{_query({'head': head})}", silence_s=STREAM_SILENCE_S)
        return self._decoded(b"".join(lines), model.Proof)

    def export_audit(self, after: int = 0, **filters: str) -> Iterator[bytes]:
        """All of the trail behind this row, a line of JSON a row; filters as of `AdminClient.audit`, as texts."""
        query = _query({"after": str(after or ""), **filters})
        return self._link.lines(f"/audit/export{query}", silence_s=STREAM_SILENCE_S)

    def renew_certificate(self, name: str) -> None:
        """Have the certificate of this name ordered anew."""
        self._link.call("POST", f"/certificates/{segment(name)}/renew")

    def dead_letters(self) -> tuple[model.DeadLetter, ...]:
        """Messages that webhooks did not take."""
        return self._get("/dead-letters", tuple[model.DeadLetter, ...])

    def retry_letter(self, webhook: str, letter_id: str) -> None:
        """Try this one again, for another day."""
        self._link.call("POST", f"/dead-letters/{segment(webhook)}/{segment(letter_id)}/retry")

    def discard_letter(self, webhook: str, letter_id: str) -> None:
        """Throw this one away."""
        self._link.call("DELETE", f"/dead-letters/{segment(webhook)}/{segment(letter_id)}")

    def tell(self, events: Sequence[Mapping[str, Any]]) -> None:
        """Write what happened in an application of one's own to the same trail."""
        self._link.call("POST", "/events", {"events": list(events)})

    # -- calls --------------------------------------------------------------------------------

    def _get(self, path: str, of: type[T]) -> T:
        return self._decoded(self._link.call("GET", path), of)

    def _post(self, path: str, of: type[T], value: Any) -> T:
        return self._decoded(self._link.call("POST", path, value), of)

    def _decoded(self, body: bytes, of: type[T]) -> T:
        found: T = self._link.decoded(body, of)
        return found


def _query(filters: Mapping[str, str]) -> str:
    given = {name: value for name, value in filters.items() if value}
    return f"?{urlencode(given)}" if given else ""

"""One request's way to its backend, and its answer's back, where the route says more than where that is."""

from __future__ import annotations

from vestibule.core.known import person_of
from vestibule.core.passage import Passage, classes_of, led_home, set_lines, without
from vestibule.core.template import Person
from vestibule.protocol.url import Target
from vestibule.proxy.exchange import Exchange
from vestibule.proxy.judge import Judged
from vestibule.proxy.relay import Relay


class Way:
    """What the passage of a route makes of one request.

    Nothing of the request is looked at for places: values of the person and of the request are put in once, into texts
    that the operator wrote.
    """

    __slots__ = ("_asked", "_judged", "_request", "passage", "target")

    def __init__(self, passage: Passage, exchange: Exchange, judged: Judged) -> None:
        """Raises ClientError 403 where the path needs what isn't known of the person."""
        head = exchange.head
        self.passage = passage
        self._judged = judged
        self._asked: Person | None = None
        self._request = {
            "path": head.target.path.decode("ascii"),
            "method": head.method.decode("ascii"),
            "address": exchange.address,
            "scheme": judged.ask.view.site.base_url.partition(":")[0],
        }
        self.target: Target = head.target
        """As the backend gets it."""
        if passage.rewrite is not None:
            self.target = passage.rewrite.target(head.target, self.person)

    @property
    def person(self) -> Person:
        """What may be said of who asks: by those whose word counts at the host."""
        if self._asked is None:
            judged = self._judged
            self._asked = person_of(judged.caller or judged.session, judged.ask.view.host)
        return self._asked

    def lines(self, lines: list[bytes]) -> list[bytes]:
        """The header lines for the backend, from all that would go there."""
        headings = self.passage.headers
        if not headings:
            return lines
        return [*without(lines, classes_of(headings)), *set_lines(headings, self.person, self._request)]

    def answer_lines(self, lines: list[bytes]) -> list[bytes]:
        """The header lines of the answer for the client."""
        if self.passage.host_line:
            base_url = self._judged.ask.view.site.base_url.encode("ascii")
            lines = led_home(lines, self.passage.host_line, base_url)
        headings = self.passage.answer_headers
        if not headings:
            return lines
        return [*without(lines, classes_of(headings)), *set_lines(headings, self.person, self._request)]

    def fit(self, relay: Relay) -> None:
        """Have the relay go this way."""
        passage = self.passage
        if passage.answer_s is not None:
            relay.answer_s = passage.answer_s
        if passage.connect_s is not None:
            relay.connect_s = passage.connect_s
        if passage.headers:
            relay.trailers_not_passed = classes_of(passage.headers)
        if passage.answer_headers or passage.host_line:
            relay.answer_lines = self.answer_lines
            relay.answer_trailers_not_passed = classes_of(passage.answer_headers)

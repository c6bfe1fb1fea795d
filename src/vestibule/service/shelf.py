"""The certificates in force, found by the name a client asks for; one shelf a process.

Those who make or read certificates put them here, and what shakes hands takes them from here. What is put takes effect
with the next handshake. A name's certificate stays until another takes its place: an old one is better than none.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from vestibule.core.certificate import Certificate


class Shelf:
    """Certificates by name."""

    def __init__(self) -> None:
        self._by_name: dict[str, Certificate] = {}
        self._challenges: dict[str, Certificate] = {}
        self._watching: list[Callable[[], None]] = []
        self.is_filled = True
        """False while some are still to be read, for the first time: who asks for one can wait for it."""

    def find(self, name: str) -> Certificate | None:
        """What to show to who asks for this name, in lower case: its own certificate, else one with a wildcard."""
        found = self._by_name.get(name)
        if found is None:
            _, _, parent = name.partition(".")
            found = self._by_name.get(f"*.{parent}")
        return found

    def challenge(self, name: str) -> Certificate | None:
        """What a CA is shown that validates this name by TLS-ALPN-01 (RFC 8737); None when nothing is pending."""
        return self._challenges.get(name)

    def put(self, name: str, certificate: Certificate) -> None:
        """Have it shown to who asks for this name (`*.example.com` is one, too)."""
        self._by_name[name] = certificate
        self._tell()

    def drop(self, name: str) -> None:
        """Show none for this name any more."""
        if self._by_name.pop(name, None) is not None:
            self._tell()

    def prove(self, name: str, certificate: Certificate | None) -> None:
        """Have it shown to the CA that validates this name; None: no longer."""
        if certificate is None:
            self._challenges.pop(name, None)
        else:
            self._challenges[name] = certificate

    def expect(self) -> None:
        """Some are still to be read: `fill` says when all that there are stand here."""
        self.is_filled = False

    def fill(self) -> None:
        """All that there are stand here; who waits is told so."""
        if not self.is_filled:
            self.is_filled = True
            self._tell()

    def watch(self, changed: Callable[[], None]) -> None:
        """Have this called when other certificates are in force."""
        self._watching.append(changed)

    def unwatch(self, changed: Callable[[], None]) -> None:
        """Call it no more, if it was."""
        self._watching = [one for one in self._watching if one != changed]

    def __iter__(self) -> Iterator[tuple[str, Certificate]]:
        """Each name with its certificate."""
        return iter(tuple(self._by_name.items()))

    def _tell(self) -> None:
        for changed in self._watching:
            changed()

"""A screen with traffic in it: pausing, filtering, opening a request, asking why."""

from __future__ import annotations

from typing import ClassVar

from textual.binding import Binding, BindingType

from vestibule.admin_model import Row
from vestibule.tui.desk import Desk
from vestibule.tui.screens.page import Page
from vestibule.tui.widgets.traffic import TrafficPane


class LivePage(Page):
    """A page whose traffic goes on."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "pause", "pause"),
        Binding("slash", "filter", "filter", key_display="/"),
        Binding("w", "why", "why"),
    ]

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.traffic = self.traffic_pane()

    def traffic_pane(self) -> TrafficPane:
        """The pane; of all there is, unless a screen says otherwise."""
        return TrafficPane(self.desk.ring)

    def tick(self) -> None:
        """Traffic came."""
        self.traffic.tick()

    def on_screen_resume(self) -> None:
        """What came while another screen was above."""
        self.traffic.tick()

    def action_pause(self) -> None:
        """Pause, or follow."""
        self.traffic.toggle()

    def action_filter(self) -> None:
        """Ask for a filter."""
        self.traffic.open_filter()

    def action_back(self) -> None:
        """Out of the filter first, then to the screen before."""
        if not self.traffic.close_filter(clear=True):
            super().action_back()

    def action_why(self) -> None:
        """Why the request under the cursor was let in or not."""
        row = self.traffic.rows.item
        if row is None or row.kind != "host":
            self.say("why is asked of a request to a host: none is under the cursor", "warn")
            return
        self.go("why", row)

    def open_request(self, row: Row) -> None:
        """A request, and all that it caused."""
        self.go("trace", row)

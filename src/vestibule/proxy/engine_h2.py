"""The h2 library as the gateway's side of a connection uses it: what it is told to check, to allow and to announce."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from h2.config import H2Configuration
from h2.connection import H2Connection as H2Engine
from h2.settings import SettingCodes, Settings
from hpack import Decoder, Encoder, HeaderTuple, HPACKError, OversizedHeaderListError

from vestibule.protocol import h2_frames as frames
from vestibule.protocol.h2 import LIST_LIMIT_BYTES, LIST_READ_BYTES

STREAMS_MAX = 100
STREAM_WINDOW_BYTES = 256 * 1024
"""Of a body that somebody wants; before that it is HTTP/2's first one."""
FIRST_WINDOW_BYTES = 65535
CONNECTION_WINDOW_BYTES = 2 << 20
"""What a connection can make us hold of bodies, all its streams together."""
CLOSED_STREAMS_KEPT = 1000
BLOCKS_KEPT = 16
"""Header blocks of a connection that are not decoded again."""
BLOCK_KEPT_BYTES = 1024

_CONFIG = H2Configuration(
    client_side=False,
    header_encoding=None,
    # Whatever is checked is checked by `protocol.h2` and the parser of HTTP/1.1.
    validate_inbound_headers=False,
    normalize_inbound_headers=False,
    validate_outbound_headers=False,
    normalize_outbound_headers=False,
)


class _Decoder(Decoder):
    """HPACK's, whose errors are told as what they are: the library would call each a mere PROTOCOL_ERROR."""

    def __init__(self) -> None:
        super().__init__()
        self._known: dict[bytes, list[HeaderTuple]] = {}
        """Header lists by their blocks, as long as the table stays as it is: clients that stay send the same."""

    def decode(self, data: bytes, raw: bool = False) -> Iterable[HeaderTuple]:  # noqa: FBT001, FBT002 - as it is called
        known = self._known.get(data)
        if known is not None:
            return known
        entries, size = self.header_table.dynamic_entries, self.header_table_size
        first, number = entries[0] if entries else None, len(entries)
        try:
            fields = list(super().decode(data, raw))
        except OversizedHeaderListError as exc:
            raise frames.Broken(frames.ENHANCE_YOUR_CALM, "a header list is far too large") from exc
        except HPACKError as exc:
            raise frames.Broken(frames.COMPRESSION_ERROR, "a header block can't be decoded") from exc
        is_same = (entries[0] if entries else None) is first and len(entries) == number
        if not is_same or self.header_table_size != size or len(self._known) >= BLOCKS_KEPT:
            self._known.clear()
        if is_same and len(data) <= BLOCK_KEPT_BYTES:
            self._known[bytes(data)] = fields
        return fields


class _Encoder(Encoder):
    """Takes header blocks that are encoded already, as the one value that a list has: see `block`."""

    def encode(self, headers: Any, huffman: bool = True) -> bytes:  # noqa: FBT001, FBT002 - as it is called
        changed = super().encode(()) if self.header_table.resized else b""
        return changed + b"".join([value for name, value in headers if not name])


def block(encoded: bytes, *, is_interim: bool = False) -> list[HeaderTuple]:
    """A header block in the place of a header list, for an engine's `send_headers`."""
    told = [_INTERIM] if is_interim else []
    return [*told, HeaderTuple(b"", encoded)]


_INTERIM = HeaderTuple(b":status", b"100")
"""By which the engine knows an interim answer; what is sent of it is in the block."""


class Engine(H2Engine):
    """The h2 library's, which remembers fewer of the streams that are over."""

    MAX_CLOSED_STREAMS = CLOSED_STREAMS_KEPT


def new_engine() -> Engine:
    """The server's side of a connection, its settings ready to be sent."""
    engine = Engine(_CONFIG)
    engine.local_settings = Settings(
        client=False,
        initial_values={
            SettingCodes.MAX_CONCURRENT_STREAMS: STREAMS_MAX,
            SettingCodes.MAX_HEADER_LIST_SIZE: LIST_LIMIT_BYTES,
            SettingCodes.ENABLE_CONNECT_PROTOCOL: 1,
        },
    )
    engine.decoder = _Decoder()
    engine.encoder = _Encoder()
    engine.decoder.max_header_list_size = LIST_READ_BYTES
    engine.initiate_connection()
    engine.increment_flow_control_window(CONNECTION_WINDOW_BYTES - FIRST_WINDOW_BYTES)
    engine.receive_data(frames.PREFACE)  # the gate takes the client's
    return engine

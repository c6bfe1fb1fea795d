"""A serving's own port: programs of this machine reach its backend by it, and no web page does."""

from __future__ import annotations

from vestibule.core.route import serving_name
from vestibule.errors import BadRequest, ClientError
from vestibule.protocol.address import is_loopback
from vestibule.protocol.h1 import RequestHead
from vestibule.protocol.headers import value_of
from vestibule.protocol.url import Authority
from vestibule.proxy.exchange import Exchange
from vestibule.proxy.gateway import Gateway
from vestibule.proxy.refusal import Answer


class ServingPort:
    """Takes the exchanges of one serving's listener."""

    def __init__(self, id_: str, gateway: Gateway) -> None:
        self._name = serving_name(id_)
        self._gateway = gateway

    def handle(self, exchange: Exchange) -> None:
        """Answer it, as for the serving's host. Whatever goes wrong on the way is a refusal."""
        try:
            check_local(exchange.head)
        except ClientError as error:
            self._gateway.fail(exchange, error)
            return
        exchange.head.authority = Authority(self._name, exchange.head.authority.port)
        self._gateway.handle(exchange)

    def refuse(self, exchange: Exchange | None, error: BadRequest, peer: str) -> Answer:
        """The answer to what can't be served."""
        return self._gateway.refuse(exchange, error, peer)


def check_local(head: RequestHead) -> None:
    """Nothing, for a program of this machine, or a page of this very port. Raises ClientError.

    Threat: a web page that reaches a loopback port, by itself or by DNS rebinding.
    """
    if not is_loopback(head.host.decode("ascii")):
        raise ClientError("this port answers to a loopback name only", code="foreign_host", status=403)
    own = b"http://" + value_of(head.host_line)
    origin, site = head.value(b"origin"), head.value(b"sec-fetch-site")
    if origin not in (b"", own) or site not in (b"", b"none", b"same-origin"):
        raise ClientError("a web page may not call this port", code="foreign_page", status=403)

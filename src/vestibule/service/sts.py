"""Machines of AWS: the request that one signed and didn't send is sent to AWS, which says whose it is.

Nothing is sent that can be refused unseen (`protocol.sts`), and nothing twice. AWS alone is asked, unless the operator
wrote another `endpoint`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from vestibule.core.aws import is_one, may_come, proven
from vestibule.core.machine import Machine, Proven
from vestibule.errors import ProviderError
from vestibule.fetch import Answer, Fetcher
from vestibule.protocol.arn import Principal
from vestibule.protocol.authorization_server import OAuthError
from vestibule.protocol.aws_answer import error_in, principal_in, tags_in
from vestibule.protocol.sts import (
    DESCRIBE_TAGS,
    GET_CALLER_IDENTITY,
    Call,
    Signed,
    judged,
    proof_of,
)
from vestibule.store import base

DEADLINE_S: Final = 5.0
AT_ONCE_MAX: Final = 32
"""Calls under way at a time. Threat: anybody who has this gateway ask AWS without end."""
_MARK: Final = "aws_request"
_KEPT_S: Final = 60.0
"""How much longer what was shown is known, for nodes whose clocks differ."""
_INSTANCE: Final = "Filter.1.Value.1"
_NONE: Final[Mapping[str, str]] = MappingProxyType({})
_BUSY: Final = frozenset({"Throttling", "ThrottlingException", "RequestLimitExceeded", "RequestThrottled"})


class Sts:
    """Proves machines of kind `aws`."""

    def __init__(self, fetcher: Fetcher, marks: base.Marks, *, deadline_s: float = DEADLINE_S) -> None:
        self._fetcher = fetcher
        self._marks = marks
        self._deadline_s = deadline_s
        self._under_way = 0

    async def prove(self, text: str, machines: Iterable[Machine], now: float, *, here: str) -> Proven:
        """Which of the machines it is: the first by name of those that match.

        `here`: the host where tokens are given out, which requests name (`server_id`). Raises OAuthError, StoreError.
        """
        # 1. by shape
        proof = proof_of(text)
        signed = judged(proof.sts, GET_CALLER_IDENTITY, now=now)
        tagging = judged(proof.tags, DESCRIBE_TAGS, now=now) if proof.tags is not None else None
        if tagging is not None:
            _check_pair(signed, tagging)
        # 2. by what the configuration says of where it may go, and for whom
        may = [
            one
            for one in sorted(machines, key=lambda machine: machine.name)
            if may_come(one, signed, here=here) and (tagging is not None or not one.tags)
        ]
        if not may:
            raise OAuthError("invalid_grant", "no machine here is asked for by this request")
        # 3. once
        for request in (signed, tagging):
            if request is not None and not await self._is_first(request, now):
                raise OAuthError("invalid_grant", "the request was shown before: sign a new one")
        # 4. by AWS
        for endpoint in dict.fromkeys(one.endpoint for one in may):
            principal, tags = await self._known(signed, tagging, endpoint)
            for machine in may:
                if machine.endpoint == endpoint and is_one(machine, principal, tags):
                    return proven(machine, principal)
        raise OAuthError("invalid_grant", f"no machine here is {principal.subject}")

    async def _is_first(self, request: Signed, now: float) -> bool:
        return await self._marks.consume(_MARK, request.mark, now, request.until + _KEPT_S)

    async def _known(
        self, signed: Signed, tagging: Signed | None, endpoint: str
    ) -> tuple[Principal, Mapping[str, str]]:
        """Who signed, and the tags of the instance that it is."""
        principal = principal_in(await self._said(signed, GET_CALLER_IDENTITY, endpoint))
        if principal is None:
            raise OAuthError("invalid_grant", "AWS doesn't say who that is")
        if tagging is None:
            return principal, _NONE
        instance = tagging.parameters[_INSTANCE]
        if principal.session != instance:
            # Threat: tags of another instance of the same account, which its role may see.
            raise OAuthError("invalid_grant", "the tags are of another instance than the one that signed")
        tags = tags_in(await self._said(tagging, DESCRIBE_TAGS, endpoint), instance)
        if tags is None:
            raise OAuthError("invalid_grant", "AWS doesn't say which tags that has")
        return principal, tags

    async def _said(self, signed: Signed, call: Call, endpoint: str) -> bytes:
        """What AWS answers. Raises OAuthError: its refusal, or that it can't be asked just now."""
        if self._under_way >= AT_ONCE_MAX:
            raise _unavailable("AWS is asked too much")
        self._under_way += 1
        try:
            async with asyncio.timeout(self._deadline_s):
                answer = await self._sent(signed, endpoint)
        except (ProviderError, TimeoutError) as error:
            raise _unavailable(
                "AWS can't be asked", error.code if isinstance(error, ProviderError) else "late"
            ) from None
        finally:
            self._under_way -= 1
        code = error_in(answer.body)
        if answer.status == 200:
            return answer.body
        if answer.status not in {400, 401, 403} or code in _BUSY:
            raise _unavailable("AWS doesn't answer", f"{answer.status} {code}".strip())
        raise OAuthError("invalid_grant", f"AWS refuses it: {code or answer.status} ({call.service})")

    async def _sent(self, signed: Signed, endpoint: str) -> Answer:
        url = (endpoint.rstrip("/") or f"https://{signed.host}") + signed.path
        headers = {"accept": "text/xml", **signed.headers}
        if endpoint:
            headers["host"] = signed.host
        if signed.method == "GET":
            return await self._fetcher.get(url, headers=headers, follow=False)
        return await self._fetcher.send(signed.method, url, signed.body, headers=headers)


def _check_pair(signed: Signed, tagging: Signed) -> None:
    """Threat: somebody's own identity beside the tags that another signed for."""
    if (signed.key_id, signed.region, signed.server_id) != (
        tagging.key_id,
        tagging.region,
        tagging.server_id,
    ):
        raise OAuthError(
            "invalid_grant", "both requests must be signed with one key, for one region and gateway"
        )


def _unavailable(why: str, detail: str = "") -> OAuthError:
    return OAuthError("temporarily_unavailable", f"{why}: {detail}" if detail else why, status=503)

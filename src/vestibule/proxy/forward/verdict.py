"""What becomes of a question, whatever way it came: judged like the request itself, then allowed or refused."""

from __future__ import annotations

from functools import partial

from msgspec.structs import replace

from vestibule.core.inject import names
from vestibule.errors import ClientError
from vestibule.model import Allow
from vestibule.proxy.forward.question import Question
from vestibule.proxy.judge import Judge, Judged
from vestibule.proxy.origin import check_origin
from vestibule.proxy.teller import Teller, Told


class Verdicts:
    """Gives verdicts; one for all edges."""

    def __init__(self, judge: Judge, teller: Teller) -> None:
        self._judge = judge
        self._teller = teller

    def on(self, question: Question) -> None:
        """Answer the question, now or later. Whatever goes wrong on the way is a refusal."""
        self._judge.judge(question, self._act, self.refuse)

    def hold(self, judged: Judged, now: float) -> bool:
        """True while the same question would be judged the same again (`Judge.holds`)."""
        return self._judge.holds(judged, now)

    def refuse(self, question: Question, error: Exception) -> None:
        """Answer with what went wrong."""
        question.refusals.by_failure(question, error)

    def _act(self, question: Question, judged: Judged, outer: Judged | None = None) -> None:
        """`outer`: how it was judged at the host that leads to a serving, by whose own rules it was judged now."""
        match judged.decision:
            case None:
                # Threat: the backend's own `/@/…`, which nobody has decided on.
                raise ClientError(
                    "the edge sends this address to the gateway itself", code="own_path", status=403
                )
            case Allow() as allowed:
                if judged.ask.route.tools is not None:
                    # Threat: a call of a tool that is for nobody, by an edge that shows no body.
                    raise ClientError(
                        "what is called here stands in the body, which no edge shows",
                        code="body_unseen",
                        status=403,
                    )
                if question.head.upgrade:
                    check_origin(question.head, judged.ask, judged.session)
                serving = judged.ask.route.backend.serving
                if serving:
                    # Threat: the key or token that the serving asks for, which the host in front of it doesn't.
                    self._judge.judge_within(
                        question, judged, serving, partial(self._act, outer=judged), self.refuse
                    )
                    return
                told = self._teller.told(judged)
                question.decision = allowed.reason
                question.refusals.none(question, judged)
                question.allow(judged, told if outer is None else _with_names(told, outer))
            case _:
                question.refusals.by_judgement(question, judged)


def _with_names(told: Told, outer: Judged) -> Told:
    """With every name that the host's own backends may be told anything by, which an edge of it overwrites."""
    known = {name.lower() for name, _ in told.pairs}
    missing = (name for name in names(outer.ask.view.host) if name.lower() not in known)
    return replace(told, pairs=(*told.pairs, *((name, "") for name in missing)))

"""Whatever an edge asks about: it passes only where the request itself would, and then as it came."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.messages import UnreadableError
from tests.helpers.transport import FakeLoop
from tests.unit.proxy.conftest import Client
from tests.unit.proxy.forward.stand import LOCAL, WAYS, Stand, Way
from tests.unit.proxy.plane import request

PIECES = st.sampled_from(
    (
        b"/",
        b"//",
        b".",
        b"..",
        b"%2e",
        b"%2f",
        b"%5c",
        b";",
        b"a",
        b"public",
        b"admin",
        b"get",
        b"@",
        b"%41",
        b"?",
        b"#",
    )
)
TARGETS = st.one_of(
    st.lists(PIECES, max_size=8).map(lambda pieces: b"/" + b"".join(pieces)),
    st.sampled_from(
        (b"/", b"/public", b"/public/a?b=c", b"/admin", b"/get", b"/@/signin", b"*", b"http://app.example/")
    ),
    st.binary(min_size=1, max_size=8).map(lambda tail: b"/public/" + tail),
)
METHODS = st.sampled_from((b"GET", b"POST", b"HEAD", b"OPTIONS", b"PROPFIND", b"TRACE", b"get", b""))
HOSTS = st.sampled_from(
    (b"app.example", b"APP.example.", b"other.example", b"closed.example", b"no.example", b"a,b")
)


@st.composite
def requests(draw) -> tuple[bytes, bytes, bytes]:
    """Method, target and host."""
    return draw(METHODS), draw(TARGETS), draw(HOSTS)


@settings(max_examples=300)
@given(way=st.sampled_from(WAYS), held=requests(), is_signed_in=st.booleans(), was_seen=st.booleans())
def test_what_an_edge_lets_pass_would_pass_by_itself(way, held, is_signed_in, was_seen):
    loop = FakeLoop()
    try:
        stand = Stand(loop)
        cookie = stand.plane.sign_in() if is_signed_in else ""
        lines = (b"Cookie: vestibule-80=" + cookie.encode(),) if cookie else ()
        status = asked(stand, way, held, lines)
        if was_seen:  # from what is remembered, too
            assert {asked(stand, way, held, lines) for _ in range(3)} == {status}
        if status == 200:
            method, target, host = held
            client = Client(loop, stand.plane.listener)
            client.send(request(target, *lines, method=method, host=host))
            stand.plane.backend.look()
            assert [(one.method, one.target) for one in stand.plane.backend.requests] == [(method, target)]
    finally:
        loop.settle()
        loop.close()


def asked(stand: Stand, way: Way, held: tuple[bytes, bytes, bytes], lines: tuple[bytes, ...]) -> int:
    """The status of the answer; 0 where the question is none that can be read."""
    data = way.question(*held, lines)
    client = Client(stand.loop, stand.listener, LOCAL).send(data)
    try:
        answers = client.answers(data.partition(b" ")[0])
    except UnreadableError:
        return 0
    return answers[0].status if len(answers) == 1 else 0

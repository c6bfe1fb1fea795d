"""What facts mean: a row for each finding, by its code, and how bad it is."""

from __future__ import annotations

import re

import msgspec
import pytest
import trustme

from tests.house.source import ROOT
from vestibule.core import probe
from vestibule.core.listener import ListenAddress
from vestibule.doctor import (
    backends,
    certificates,
    clocks,
    edge,
    files,
    names,
    ports,
    providers,
    proxies,
    stores,
)
from vestibule.doctor.backends import Tried as Server
from vestibule.doctor.certificates import Shown
from vestibule.doctor.clocks import Heard
from vestibule.doctor.edge import Said, Seen
from vestibule.doctor.files import Mode
from vestibule.doctor.finding import AREAS, About, Finding, has_failed, in_order
from vestibule.doctor.names import Led
from vestibule.doctor.patient import patient_of
from vestibule.doctor.ports import Tried as Port
from vestibule.doctor.stores import Cache, Database, File
from vestibule.providers.base import Finding as Trial

NOW_AT = 1_800_000_000.0
DAY_S = 86400.0
AT = ListenAddress(host="127.0.0.1", port=8000)
LOW = ListenAddress(host="0.0.0.0", port=80)


def told(found: Finding | list[Finding]) -> list[str]:
    """`level code`, in order; who has to do something is told what."""
    each = found if isinstance(found, list) else [found]
    for one in each:
        assert one.area in AREAS
        assert one.detail
        assert one.advice or one.level in ("ok", "skip"), one
    return [f"{one.level} {one.code}" for one in each]


@pytest.mark.parametrize(
    ("tried", "said"),
    [
        (Port(at=AT, purpose="hosts", state="free"), "ok port_free"),
        (Port(at=AT, purpose="hosts", state="taken", holder=7, is_ours=True), "ok port_ours"),
        (Port(at=AT, purpose="hosts", state="taken", holder=7, command="nginx"), "fail port_taken"),
        (Port(at=AT, purpose="hosts", state="taken", why="in use"), "fail port_taken"),
        (Port(at=LOW, purpose="hosts", state="denied", why="no"), "fail port_denied"),
        (Port(at=AT, purpose="hosts", state="absent"), "fail port_absent"),
        (Port(at=AT, purpose="edges", state="missing", why="no directory"), "fail port_directory"),
        (Port(at=AT, purpose="edges", state="other", why="odd"), "fail port_denied"),
    ],
    ids=lambda one: one if isinstance(one, str) else one.state,
)
def test_ports(tried, said):
    assert told(ports.finding_of(tried)) == [said]


def test_a_low_port_is_told_of_the_capability_and_the_holder_is_named():
    low = ports.finding_of(Port(at=LOW, purpose="hosts", state="denied", why="no"))
    assert "CAP_NET_BIND_SERVICE" in low.advice
    taken = ports.finding_of(Port(at=AT, purpose="hosts", state="taken", holder=7, command="nginx"))
    assert "process 7 (nginx)" in taken.detail


@pytest.mark.parametrize(
    ("led", "said"),
    [
        (Led(name="a.example"), "fail name_unresolved"),
        (Led(name="a.example", addresses=("10.0.0.1",)), "ok name_here"),
        (Led(name="a.example", addresses=("10.0.0.1",), is_closed=True), "warn name_closed"),
        (Led(name="a.example", addresses=("10.0.0.1",), is_closed=True, has_edge=True), "ok name_here"),
        (
            Led(name="a.example", addresses=("9.9.9.9",), elsewhere=("9.9.9.9",), has_edge=True),
            "ok name_edge",
        ),
        (Led(name="a.example", addresses=("9.9.9.9",), elsewhere=("9.9.9.9",)), "warn name_elsewhere"),
    ],
)
def test_names(led, said):
    assert told(names.finding_of(led)) == [said]


def test_a_name_without_an_address_is_one_fault_and_others_stay():
    unreached = {"why": "no", "is_reached": False}
    found = [
        names.finding_of(Led(name="a.example")),
        certificates.finding_of(Shown(subject="https://a.example:8443", **unreached), NOW_AT),
        *edge.findings_of(Seen(host="a.example", url="https://a.example:8443", own=Said(why="no"))),
        names.finding_of(Led(name="b.example", addresses=("10.0.0.1",))),
        certificates.finding_of(Shown(subject="https://b.example", **unreached), NOW_AT),
    ]
    assert told(names.told_once(found)) == [
        "fail name_unresolved",
        "skip edge_unresolved",
        "skip edge_unresolved",
        "ok name_here",
        "fail edge_unreached",
    ]


@pytest.mark.parametrize(
    ("shown", "said"),
    [
        (Shown(subject="u", ends_at=NOW_AT + 60 * DAY_S), "ok certificate_good"),
        (Shown(subject="u", ends_at=NOW_AT + 3 * DAY_S), "warn certificate_ends"),
        (Shown(subject="u", ends_at=NOW_AT - 1), "fail certificate_ended"),
        (Shown(subject="u", why="self-signed certificate"), "fail certificate_refused"),
        (Shown(subject="u", why="connection refused", is_reached=False), "fail edge_unreached"),
    ],
)
def test_certificates_that_are_shown(shown, said):
    assert told(certificates.finding_of(shown, NOW_AT)) == [said]


@pytest.mark.parametrize(
    "text", ["", "no pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"]
)
def test_a_file_without_a_certificate(text):
    assert told(certificates.of_file("ca.pem", text, NOW_AT)) == ["fail certificate_unread"]


@pytest.mark.parametrize(
    ("now", "said"),
    [
        (0.0, "ok certificate_good"),
        (-DAY_S, "ok certificate_good"),
        (1e11, "fail certificate_ended"),
    ],
    ids=["now", "yesterday", "far off"],
)
def test_files_of_certificates(now, said):
    """With its key in the same file, as `backend_certificate` may have it."""
    issued = trustme.CA().issue_cert("backend.example")
    pem = issued.private_key_and_cert_chain_pem.bytes().decode()
    assert told(certificates.of_file("backend.pem", pem, now)) == [said]


_TLS = Shown(subject="s", ends_at=NOW_AT + 60 * DAY_S)


@pytest.mark.parametrize(
    ("tried", "said"),
    [
        (Server(server="s", used_by="a", status=200), ["ok backend_answers"]),
        (Server(server="s", used_by="a", status=404), ["ok backend_answers"]),
        (Server(server="s", used_by="a", status=502), ["warn backend_failing"]),
        (Server(server="s", used_by="a", why="connection refused"), ["fail backend_unreached"]),
        (Server(server="s", used_by="a", said="it hangs up"), ["fail backend_silent"]),
        (Server(server="s", used_by="a", status=200, tls=_TLS), ["ok backend_answers"]),
        (
            Server(server="s", used_by="a", status=200, tls=Shown(subject="s"), verify=False),
            ["ok backend_answers", "warn backend_insecure"],
        ),
        (
            Server(server="s", used_by="a", status=200, tls=Shown(subject="s", ends_at=NOW_AT + DAY_S)),
            ["ok backend_answers", "warn backend_certificate_ends"],
        ),
        (
            Server(server="s", used_by="a", tls=Shown(subject="s", why="unable to get local issuer")),
            ["fail backend_certificate"],
        ),
    ],
)
def test_backends(tried, said):
    assert told(backends.findings_of(tried, About("backends"), NOW_AT)) == said


def test_directories(tmp_path):
    assert told(backends.of_directory(tmp_path)) == ["ok directory_good"]
    assert told(backends.of_directory(tmp_path / "none")) == ["fail directory_missing"]


@pytest.mark.parametrize(
    ("file", "said"),
    [
        (File(path="v.db"), ["ok store_good"]),
        (File(path="v.db", is_there=False), ["ok store_empty"]),
        (File(path="v.db", revision="0001"), ["ok store_behind"]),
        (File(path="v.db", revision="9999"), ["fail store_newer"]),
        (File(path="v.db", can_write=False), ["fail sqlite_closed"]),
        (File(path="v.db", why="file is not a database"), ["fail sqlite_unread"]),
        (File(path="v.db", kind="nfs4"), ["ok store_good", "fail sqlite_network"]),
        (File(path="v.db", kind="tmpfs"), ["ok store_good", "warn sqlite_memory"]),
        (File(path="v.db", free_bytes=1), ["ok store_good", "warn disk_full"]),
    ],
)
def test_sqlite(file, said):
    assert told(stores.of_file(file)) == said


@pytest.mark.parametrize(
    ("folder", "kind"),
    [("/srv/state", "ext4"), ("/srv/nas/state", "nfs4"), ("/srv/nasty", "ext4"), ("/my disk/x", "xfs")],
)
def test_the_file_system_of_a_directory(folder, kind):
    mounts = "/dev/a / ext4 rw 0 0\nnas:/x /srv/nas nfs4 rw 0 0\n/dev/b /my\\040disk xfs rw 0 0\n"
    assert stores.kind_of(type(ROOT)(folder), mounts) == kind


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ["ok store_good", "ok store_fast"]),
        ({"why": "password authentication failed"}, ["fail postgres_unreached"]),
        ({"revision_why": "holds tables, but not ours"}, ["fail postgres_foreign"]),
        ({"version": 120004}, ["ok store_good", "fail postgres_old", "ok store_fast"]),
        ({"is_standby": True}, ["ok store_good", "fail postgres_read_only", "ok store_fast"]),
        ({"is_read_only": True}, ["ok store_good", "fail postgres_read_only", "ok store_fast"]),
        (
            {"may_create": False, "revision": None},
            ["ok store_empty", "fail postgres_rights", "ok store_fast"],
        ),
        ({"may_create": False}, ["ok store_good", "ok store_fast"]),
        (
            {"connections": 20, "processes": 3},
            ["ok store_good", "warn postgres_connections", "ok store_fast"],
        ),
        (
            {"is_encrypted": False, "is_loopback": False},
            ["ok store_good", "warn postgres_plain", "ok store_fast"],
        ),
        ({"is_encrypted": False}, ["ok store_good", "ok store_fast"]),
        ({"took_s": 0.2}, ["ok store_good", "warn store_slow"]),
    ],
)
def test_postgres(changes, said):
    assert told(stores.of_postgres(Database(where="postgresql://db/v", **changes))) == said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({}, ["ok redis_good", "ok store_fast"]),
        ({"why": "NOAUTH"}, ["fail redis_unreached"]),
        ({"version": "5.0.7"}, ["ok redis_good", "fail redis_old", "ok store_fast"]),
        ({"version": ""}, ["ok redis_good", "ok store_fast"]),
        (
            {"doubts": ("it forgets; set noeviction",)},
            ["ok redis_good", "warn redis_forgets", "ok store_fast"],
        ),
        ({"took_s": 0.2}, ["ok redis_good", "warn store_slow"]),
    ],
)
def test_redis(changes, said):
    assert told(stores.of_redis(Cache(where="redis://r", **changes))) == said


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        (Mode(path="s", mode=0o700), "ok state_good"),
        (Mode(path="s", is_there=False), "ok state_absent"),
        (Mode(path="s", mode=0o755), "warn state_readable"),
        (Mode(path="s", mode=0o770), "fail state_writable"),
        (Mode(path="s", mode=0o700, owner=5, user=9), "fail state_owner"),
        (Mode(path="s", mode=0o700, owner=5, user=0), "ok state_good"),
    ],
)
def test_the_state_directory(mode, said):
    assert told(files.of_state(mode)) == [said]


@pytest.mark.parametrize(
    ("mode", "is_shared", "said"),
    [
        (Mode(path="k", mode=0o600), False, "ok key_good"),
        (Mode(path="k", mode=0o640), False, "fail key_open"),
        (Mode(path="k", mode=0o600, owner=5, user=9), False, "fail key_owner"),
        (Mode(path="k", is_there=False), False, "ok key_absent"),
        (Mode(path="k", is_there=False), True, "fail key_missing"),
    ],
)
def test_the_key_file(mode, is_shared, said):
    assert told(files.of_key_file(mode, is_shared=is_shared)) == [said]


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        (Mode(path="p", mode=0o640), "ok passwords_good"),
        (Mode(path="p", mode=0o644), "warn passwords_readable"),
        (Mode(path="p", mode=0o660), "fail passwords_writable"),
        (Mode(path="p", is_there=False), "fail passwords_missing"),
    ],
)
def test_password_files(mode, said):
    assert told(files.of_password_file(mode)) == [said]


@pytest.mark.parametrize(
    ("mode", "has_secrets", "said"),
    [
        (0o644, False, "ok configuration_good"),
        (0o644, True, "warn configuration_secret"),
        (0o600, True, "ok configuration_good"),
        (0o664, False, "fail configuration_writable"),
    ],
)
def test_configuration_files(mode, has_secrets, said):
    assert told(files.of_configuration(Mode(path="c", mode=mode), has_secrets=has_secrets)) == [said]


def test_files_that_secrets_are_taken_from():
    assert told(files.of_secret_file(Mode(path="g.secret", mode=0o600))) == ["ok secret_good"]
    assert told(files.of_secret_file(Mode(path="g.secret", mode=0o644))) == ["warn secret_open"]


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ('client_secret = "hunter2"', True),
        ('  client_secret="hunter2"', True),
        ('client_secret = "${env("X")}"', False),
        ('client_secret = "${file("x")}"', False),
        ('# client_secret = "hunter2"', False),
        ('url = "postgresql://v:hunter2@db/v"', True),
        ('url = "postgresql://v:${env("P")}@db/v"', False),
        ('url = "https://app.example.com/x@y"', False),
        ('client_id = "abc"', False),
        ('client_secret = ""', False),
    ],
)
def test_a_secret_that_is_written_out(text, holds):
    assert files.holds_secrets(text) is holds


@pytest.mark.parametrize(
    ("ahead", "said"),
    [
        (0.0, "ok clock_good"),
        (-4.0, "ok clock_good"),
        (20.0, "warn clock_off"),
        (-20.0, "warn clock_off"),
        (600.0, "fail clock_wrong"),
        (-600.0, "fail clock_wrong"),
    ],
)
def test_clocks(ahead, said):
    heard = Heard(whose="https://op", theirs_at=NOW_AT, ours_at=NOW_AT + ahead)
    assert told(clocks.findings_of([heard])) == [said]


def test_nobody_said_what_time_it_is():
    assert told(clocks.findings_of([])) == ["skip clock_unknown"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0.0.0.0/0", "fail trusted_everybody"),
        ("::/0", "fail trusted_everybody"),
        ("10.0.0.0/8", "warn trusted_wide"),
        ("192.168.0.0/16", "warn trusted_wide"),
        ("10.1.2.0/24", "ok trusted_good"),
        ("10.1.2.3/32", "ok trusted_good"),
        ("10.9.9.9/32", "ok trusted_own"),
        ("127.0.0.1/32", "ok trusted_loopback"),
        ("127.0.0.0/8", "ok trusted_loopback"),
        ("::1/128", "ok trusted_loopback"),
        ("173.245.48.0/20", "ok trusted_good"),
        ("8.0.0.0/8", "warn trusted_wide"),
        ("fc00::/7", "warn trusted_wide"),
        ("unix", "ok trusted_unix"),
    ],
)
def test_trusted_proxies(text, said):
    assert told(proxies.of_network(text, ("10.9.9.9",))) == [said]


def test_a_wide_network_with_this_machine_in_it_says_so():
    assert "this machine (10.9.9.9)" in proxies.of_network("10.0.0.0/8", ("10.9.9.9",)).detail


@pytest.mark.parametrize("is_open", [True, False])
def test_a_listener_around_the_edge(is_open):
    assert told(proxies.of_listener(LOW, "10.9.9.9", is_open=is_open)) == ["warn edge_around"]


@pytest.mark.parametrize(
    ("trial", "said"),
    [
        (
            Trial(what="redirect URL", ok=True, detail="https://a/@g/callback", advice="register it"),
            "ok redirect_url",
        ),
        (Trial(what="redirect URL", ok=False, detail="no host offers it"), "warn redirect_url"),
        (Trial(what="discovery", ok=False, detail="refused"), "fail provider_discovery"),
        (Trial(what="keys", ok=False, detail="none"), "fail provider_keys"),
        (Trial(what="PKCE", ok=False, detail="no S256"), "warn provider_pkce"),
        (Trial(what="authorization page", ok=False, detail="400"), "fail provider_page"),
        (Trial(what="client credentials", ok=False, detail="refused"), "fail provider_credentials"),
        (Trial(what="client credentials", ok=True, detail="accepted"), "ok provider_credentials"),
        (Trial(what="endpoints", ok=True, detail="token endpoint"), "ok provider_endpoints"),
        (Trial(what="something new", ok=False, detail="?"), "fail provider"),
    ],
)
def test_providers(trial, said):
    assert told(providers.findings_of("google", [trial])) == [said]


# -- edges ------------------------------------------------------------------------------------

ARRIVED = (probe.Arrival("X-Forwarded-For", "other"),)
OWN = Said(
    status=200,
    answer=probe.Answer(proof="p", arrived=ARRIVED, peer="10.0.0.1", client="9.9.9.9", is_trusted=True),
)
REFUSED = Said(status=302)
SEES = Said(status=200, answer=probe.Answer(proof="p", arrived=()))
ASKED = Seen(
    host="app",
    url="https://app",
    own=OWN,
    is_asked=True,
    plain=REFUSED,
    targets=(REFUSED,),
    through=SEES,
    odd=REFUSED,
)


def seen(name: str, state: str = "whole") -> Said:
    return Said(status=200, answer=probe.Answer(proof="p", arrived=(probe.Arrival(name, state),)))


def own(state: str = "", *, client: str = "9.9.9.9", is_trusted: bool = True) -> Said:
    arrived = (probe.Arrival("X-Forwarded-For", state),) if state else ()
    answer = probe.Answer(proof="p", arrived=arrived, peer="10.0.0.1", client=client, is_trusted=is_trusted)
    return Said(status=200, answer=answer)


@pytest.mark.parametrize(
    ("own", "said"),
    [
        pytest.param(Said(why="connection refused"), "fail edge_unreached", id="away"),
        pytest.param(Said(status=404), "fail edge_elsewhere", id="somebody else"),
        pytest.param(own("other"), "ok edge_client", id="written anew"),
        pytest.param(own("part"), "ok edge_client", id="added to"),
        pytest.param(
            own("part", client=probe.ADDRESS), "ok edge_client", id="added to, and the doctor is trusted"
        ),
        pytest.param(own("whole", client=probe.ADDRESS), "fail edge_forged_client", id="as it came"),
        pytest.param(own(), "warn edge_tells_nobody", id="not told of"),
        pytest.param(own("other", is_trusted=False), "warn edge_untrusted", id="not trusted"),
    ],
)
def test_an_edge_that_passes_requests_to_the_gateway(own, said):
    assert told(edge.findings_of(Seen(host="app", url="https://app", own=own))) == [said]


@pytest.mark.parametrize(
    ("changes", "asking", "people"),
    [
        pytest.param({}, "ok edge_asks", "ok edge_people", id="well"),
        pytest.param({"is_public": True}, "skip edge_public", "ok edge_people", id="public"),
        pytest.param(
            {"plain": Said(status=404)}, "fail edge_asks_nobody", "ok edge_people", id="asks nobody"
        ),
        pytest.param({"plain": SEES}, "fail edge_asks_nobody", "ok edge_people", id="asks nobody, seen"),
        pytest.param({"plain": Said(status=500)}, "fail edge_broken", "ok edge_people", id="can't ask"),
        pytest.param({"plain": Said(why="reset")}, "fail edge_broken", "ok edge_people", id="hangs up"),
        pytest.param(
            {"targets": (REFUSED, SEES)}, "fail edge_forged_target", "ok edge_people", id="forged target"
        ),
        pytest.param(
            {"targets": (Said(status=404),)},
            "fail edge_forged_target",
            "ok edge_people",
            id="forged, the app answers",
        ),
        pytest.param(
            {"targets": (Said(status=500),)}, "ok edge_asks", "ok edge_people", id="forged, a fault"
        ),
        pytest.param(
            {"through": seen("User-Email")},
            "ok edge_asks",
            "fail edge_forged_person",
            id="the client's own name",
        ),
        pytest.param(
            {"through": seen("User-Email", "other")},
            "ok edge_asks",
            "ok edge_people",
            id="overwritten by the edge",
        ),
        pytest.param(
            {"odd": seen("User_Email")}, "ok edge_asks", "fail edge_forged_person", id="an odd spelling"
        ),
        pytest.param(
            {"through": seen("X-Real-IP")},
            "ok edge_asks",
            "warn edge_forged_app_client",
            id="the client's address",
        ),
        pytest.param({"through": REFUSED}, "ok edge_asks", "skip edge_app_unseen", id="nothing seen"),
    ],
)
def test_an_edge_that_asks(changes, asking, people):
    found = told(edge.findings_of(msgspec.structs.replace(ASKED, **changes)))
    assert found == ["ok edge_client", asking, people]


def test_what_is_forged_is_named():
    [finding] = [
        one
        for one in edge.findings_of(msgspec.structs.replace(ASKED, odd=seen("REMOTE_USER")))
        if one.code == "edge_forged_person"
    ]
    assert "REMOTE_USER" in finding.detail


# -- all of them ------------------------------------------------------------------------------


def test_findings_are_shown_by_area_and_one_failure_fails():
    one, other = About("clock").ok("c", "a", "b"), About("ports").fail("p", "a", "b", "do")
    assert in_order([one, other]) == (other, one)
    assert has_failed([one, other])
    assert not has_failed([one])


CODES = sorted(
    {
        code
        for path in (ROOT / "src/vestibule/doctor").glob("*.py")
        for code in re.findall(r'"([a-z]+(?:_[a-z]+)+)",?\s', path.read_text("utf-8"))
        + re.findall(r'\("([a-z_]+)", (?:True|False)\)', path.read_text("utf-8"))
        if code != "redis_version"  # a word of Redis' own
        and code.partition("_")[0]
        in {
            *("port", "name", "certificate", "edge", "trusted", "provider", "backend", "directory", "store"),
            *("sqlite", "postgres", "redis", "state", "key", "passwords", "configuration", "secret", "clock"),
            *("disk", "not", "redirect", "logout", "source"),
        }
    }
)


def test_every_finding_has_its_row_in_the_documentation():
    text = (ROOT / "docs/doctor.md").read_text("utf-8")
    assert len(CODES) > 60
    missing = [code for code in CODES if f"`{code}`" not in text]
    assert not missing


def test_the_admin_pages_and_servings_are_no_hosts_whose_names_and_edges_are_looked_at(tmp_path):
    file = tmp_path / "app.hcl"
    file.write_text(
        f"""
        gateway {{
          state = "{tmp_path}"
        }}
        admin {{
          listen = "127.0.0.1:18252"
          allow  = ["email:alice@example.com"]
        }}
        provider "op" {{
          type          = "oidc"
          issuer        = "https://op.example"
          client_id     = "x"
          client_secret = "y"
        }}
        host "app.example.com" {{
          backend = "localhost:3000"
          sign_in = ["op"]
          access {{
            allow = ["anyone"]
          }}
        }}
        serving "s" {{
          port    = 19999
          backend = "localhost:3001"
        }}
        """
    )
    patient = patient_of((file,), {})
    assert not patient.faults
    assert [host.name for host in patient.hosts] == [b"app.example.com"]

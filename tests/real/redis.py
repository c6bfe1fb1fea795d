"""Redis for tests: one server (with TLS and users, if wanted), one with Sentinels, a Cluster; on loopback."""

from __future__ import annotations

import contextlib
import functools
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import hiredis
import trustme
from msgspec.structs import replace

from tests.ports import Ports
from tests.process import Process, needed
from tests.real.postgres import PATIENT_S
from vestibule.core.redis import Redis, parse

PASSWORD = "p@ss/word"
QUOTED = "p%40ss%2Fword"
USER = "vestibule"
PRIMARY = "main"
# What a user of ours is allowed, as docs/stores.md says.
RIGHTS = (
    "~vestibule:* -@all +get +set +setrange +getrange +del +pexpire +pttl +zadd +zrem +zrange +zscan "
    "+zrevrange +zrangebyscore +zscore +hget +hset +hdel +hgetall +hincrby +eval +evalsha +ping +select +info +role "
    "+cluster|slots +asking"
)
_SETTINGS = ("bind 127.0.0.1", "save ''", "daemonize no", "protected-mode no", "repl-diskless-sync-delay 0")
_NODE_TIMEOUT_MS = 1500


class Server:
    """One redis-server in a directory of its own."""

    def __init__(
        self, port: int, *settings: str, command: str = "redis-server", tls: trustme.CA | None = None
    ):
        self.port = port
        self.is_tls = tls is not None
        self._directory = Path(tempfile.mkdtemp(prefix="vst-redis-"))
        self._command = command
        text = [*_SETTINGS, f"dir {self._directory}", *([] if tls else [f"port {port}"]), *settings]
        if tls is not None:
            text += self._tls(tls)
        self.file = self._directory / "redis.conf"
        self.file.write_text("\n".join(text) + "\n")
        self._process = self._started()

    def wait(self) -> None:
        """Returns once it takes connections."""
        self._process.wait_port(self.port)

    def kill(self) -> None:
        """kill -9."""
        self._process.kill()

    def start_again(self) -> None:
        """The same directory and port, after `kill`."""
        self._process = self._started()
        self.wait()

    def pause(self) -> None:
        """It stays and says nothing, as a machine that hangs does."""
        self._process.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """After `pause`."""
        self._process.signal(signal.SIGCONT)

    def stop(self) -> None:
        """Ends it and removes all of it."""
        with contextlib.suppress(ProcessLookupError):
            self.resume()
        self._process.stop()
        print(f"--- {self._command} on {self.port}\n{self._process.shown}")
        shutil.rmtree(self._directory)

    @property
    def runs(self) -> bool:
        """False after `kill`."""
        return self._process.returncode is None

    def say(self, *command: Any, password: str = "") -> Any:
        """What it answers to a command; an answer that is an error is raised."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            reader = hiredis.Reader()
            for one in [*([("AUTH", password)] if password else []), command]:
                connection.sendall(hiredis.pack_command(one))
                while (answer := reader.gets()) is False:
                    reader.feed(connection.recv(65536))
                if isinstance(answer, hiredis.ReplyError):
                    raise answer
        return answer

    def wait_until(self, is_ready: Callable[[], bool], what: str) -> None:
        """Looks again every 20 ms."""
        self._process.wait_until(is_ready, what)

    def _tls(self, ca: trustme.CA) -> list[str]:
        pem, authority = self._directory / "server.pem", self._directory / "ca.pem"
        ca.issue_cert("127.0.0.1", "localhost").private_key_and_cert_chain_pem.write_to_path(str(pem))
        ca.cert_pem.write_to_path(str(authority))
        files = [f"tls-cert-file {pem}", f"tls-key-file {pem}", f"tls-ca-cert-file {authority}"]
        return ["port 0", f"tls-port {self.port}", *files]

    def _started(self) -> Process:
        return Process(self._command, [needed("redis-server"), self.file, *self._mode], cwd=self._directory)

    @property
    def _mode(self) -> tuple[str, ...]:
        return ("--sentinel",) if self._command == "redis-sentinel" else ()


class Single:
    """One server, without password."""

    def __init__(self, ports: Ports, *settings: str) -> None:
        self.server = Server(ports.take(), *settings)
        self.server.wait()

    @property
    def url(self) -> str:
        """As it is written in a configuration."""
        return f"redis://127.0.0.1:{self.server.port}"

    @property
    def place(self) -> Redis:
        """As the program sees it, given time."""
        return replace(parse(self.url), timeout_s=PATIENT_S)

    def empty(self) -> None:
        """Forgets everything."""
        self.server.say("FLUSHALL")

    def stop(self) -> None:
        """Ends it."""
        self.server.stop()


class Guarded:
    """One server with TLS, whose only user is `USER`; who connects has to show a certificate, if `is_mutual`."""

    def __init__(self, ports: Ports, ca: trustme.CA, ca_file: Path, *, is_mutual: bool = False) -> None:
        users = ("user default off", f"user {USER} on >{PASSWORD} {RIGHTS}")
        self.server = Server(ports.take(), f"tls-auth-clients {'yes' if is_mutual else 'no'}", *users, tls=ca)
        self.server.wait()
        self.url = f"rediss://{USER}:{QUOTED}@127.0.0.1:{self.server.port}?ca={ca_file}"

    def stop(self) -> None:
        """Ends it."""
        self.server.stop()


class Watched:
    """A primary and its replica, and three Sentinels, with passwords."""

    def __init__(self, ports: Ports) -> None:
        common = (f"requirepass {PASSWORD}", f"masterauth {PASSWORD}", "repl-timeout 5")
        self.servers = [Server(ports.take(), *common)]
        self.servers[0].wait()
        self.servers.append(Server(ports.take(), *common, f"replicaof 127.0.0.1 {self.servers[0].port}"))
        self.servers[1].wait()
        self._is_whole()
        watching = (
            f"sentinel monitor {PRIMARY} 127.0.0.1 {self.servers[0].port} 2",
            f"sentinel auth-pass {PRIMARY} {PASSWORD}",
            f"sentinel down-after-milliseconds {PRIMARY} 700",
            f"sentinel failover-timeout {PRIMARY} 2000",
        )
        self.sentinels = [
            Server(
                ports.take(),
                "requirepass watch",
                "sentinel sentinel-pass watch",
                *watching,
                command="redis-sentinel",
            )
            for _ in range(3)
        ]
        for sentinel in self.sentinels:
            sentinel.wait()
        self.sentinels[0].wait_until(self._know_each_other, "knows the others")

    @property
    def url(self) -> str:
        """As it is written in a configuration."""
        hosts = ",".join(f"127.0.0.1:{one.port}" for one in self.sentinels)
        return f"redis+sentinel://:{QUOTED}@{hosts}/{PRIMARY}?sentinel_password=watch"

    @property
    def primary(self) -> Server:
        """The server the Sentinels name."""
        _, port = self.sentinels[0].say("SENTINEL", "GET-MASTER-ADDR-BY-NAME", PRIMARY, password="watch")
        return next(one for one in self.servers if one.port == int(port))

    def failed_over(self, before: Server) -> None:
        """Returns once another server than this is the primary, and all Sentinels are agreed on that."""
        self.sentinels[0].wait_until(lambda: self.primary is not before, "names another primary")
        after = self.primary
        after.wait_until(lambda: after.say("ROLE", password=PASSWORD)[0] == b"master", "is the primary")
        named = {b"port": b"%d" % after.port, b"flags": b"master"}
        self.sentinels[0].wait_until(
            lambda: all(named.items() <= found.items() for found in self._seen()), "is agreed with the others"
        )

    def stop(self) -> None:
        """Ends all of them."""
        for server in (*self.sentinels, *self.servers):
            server.stop()

    def _is_whole(self) -> None:
        replica = self.servers[1]
        replica.wait_until(lambda: replica.say("ROLE", password=PASSWORD)[3] == b"connected", "is a replica")

    def _seen(self) -> list[dict[bytes, bytes]]:
        """What each Sentinel says of the primary."""
        known = [one.say("SENTINEL", "MASTERS", password="watch")[0] for one in self.sentinels]
        return [dict(zip(fields[::2], fields[1::2], strict=True)) for fields in known]

    def _know_each_other(self) -> bool:
        return all(
            found[b"num-other-sentinels"] == b"2"
            and found[b"num-slaves"] == b"1"
            and found[b"flags"] == b"master"
            for found in self._seen()
        )


class Cluster:
    """Three primaries; with replicas, a further server for each."""

    def __init__(self, ports: Ports, *, replicas: bool = False, is_partial: bool = False) -> None:
        count = 6 if replicas else 3
        self.servers = [self._server(ports, is_partial=is_partial) for _ in range(count)]
        for server in self.servers:
            server.wait()
        self._build()

    @property
    def url(self) -> str:
        """As it is written in a configuration."""
        return "redis+cluster://" + ",".join(f"127.0.0.1:{one.port}" for one in self.servers[:2])

    @property
    def place(self) -> Redis:
        """As the program sees it, given time."""
        return replace(parse(self.url), timeout_s=PATIENT_S)

    def empty(self) -> None:
        """Forgets everything."""
        for server in self.servers[:3]:
            server.say("FLUSHALL")

    def owner(self, key: bytes) -> Server:
        """The primary that has this key."""
        asked = next(one for one in self.servers if one.runs)
        slot = asked.say("CLUSTER", "KEYSLOT", key)
        for first, last, primary, *_ in asked.say("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(one for one in self.servers if one.port == primary[1])
        raise AssertionError("nobody has it")

    def wait(self) -> None:
        """Returns once all that run agree that the Cluster is well."""
        for server in self.servers:
            if server.runs:
                server.wait_until(functools.partial(self._is_well, server), "is part of the Cluster")

    def stop(self) -> None:
        """Ends all of them."""
        for server in self.servers:
            server.stop()

    @staticmethod
    def _server(ports: Ports, *, is_partial: bool) -> Server:
        return Server(
            ports.take(),
            f"cluster-port {ports.take()}",
            "cluster-enabled yes",
            f"cluster-node-timeout {_NODE_TIMEOUT_MS}",
            "cluster-allow-replica-migration no",
            f"cluster-require-full-coverage {'no' if is_partial else 'yes'}",
        )

    def _build(self) -> None:
        first, *others = self.servers
        for number, server in enumerate(self.servers[:3]):
            server.say("CLUSTER", "ADDSLOTSRANGE", *((0, 5460), (5461, 10922), (10923, 16383))[number])
            server.say("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        buses = [
            int(line.split()[1])
            for one in self.servers
            for line in one.file.read_text().splitlines()
            if line.startswith("cluster-port")
        ]
        for server, bus in zip(others, buses[1:], strict=True):
            first.say("CLUSTER", "MEET", "127.0.0.1", server.port, bus)
        for replica, primary in zip(self.servers[3:], self.servers, strict=False):
            name = primary.say("CLUSTER", "MYID")
            replica.wait_until(lambda: name in replica.say("CLUSTER", "NODES"), "knows its primary")  # noqa: B023
            replica.say("CLUSTER", "REPLICATE", name)
        self.wait()

    def _is_well(self, server: Server) -> bool:
        ranges = server.say("CLUSTER", "SLOTS")
        has_all = len(ranges) == 3 and all(len(one) == 3 + (len(self.servers) > 3) for one in ranges)
        return has_all and b"cluster_state:ok" in server.say("CLUSTER", "INFO")


@contextlib.contextmanager
def stopped(*started: Single | Guarded | Watched | Cluster) -> Iterator[Sequence[Any]]:
    """Ends them after the test."""
    try:
        yield started
    finally:
        for one in started:
            one.stop()

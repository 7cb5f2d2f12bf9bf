"""Many Valkey servers: a master with replicas behind Sentinels, and a cluster."""

import atexit
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from attrs import define
from support.servers import ENCODED_PASSWORD, PASSWORD, Server, free_port, new_valkey

_PATIENCE = 30.0


def until(holds: Callable[[], Any], what: str) -> None:
    """Wait until something holds."""
    import redis

    ends = time.monotonic() + _PATIENCE
    while time.monotonic() < ends:
        try:
            if holds():
                return
        except redis.exceptions.RedisError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"not within {_PATIENCE:g} s: {what}")


def client(server: Server) -> Any:
    """A plain client of one server."""
    import redis

    return redis.Redis(port=server.port, password=PASSWORD, socket_timeout=5)


@define
class Group:
    """Some servers, and the URL of them all."""

    url: str
    servers: list[Server]

    def of_port(self, port: int) -> Server:
        """The server at a port."""
        return next(server for server in self.servers if server.port == port)


@contextmanager
def stopping(servers: list[Server]) -> Iterator[None]:
    """Kill them all in the end."""
    try:
        yield
    finally:
        for server in servers:
            server.stop(signal.SIGKILL)
            atexit.unregister(server.stop)


@contextmanager
def sentinels() -> Iterator[Group]:
    """A master, a replica, and three Sentinels that watch them as ``shop``."""
    password = {"masterauth": PASSWORD, "repl-diskless-sync-delay": "0"}
    master = new_valkey(**password)
    replica = new_valkey(**password, replicaof=f"127.0.0.1 {master.port}")
    servers = [master, replica]
    with stopping(servers):
        until(partial(has_copied, client(replica)), "replica")
        conf = (
            f"sentinel monitor shop 127.0.0.1 {master.port} 2\n"
            f"sentinel auth-pass shop {PASSWORD}\n"
            "sentinel down-after-milliseconds shop 800\n"
            "sentinel failover-timeout shop 5000\n"
        )
        servers += [new_valkey(conf=conf) for _ in range(3)]
        for sentinel in servers[2:]:
            plain = client(sentinel)
            until(partial(_sees_all, plain), "Sentinels that see each other")
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in servers[2:])
        query = f"?sentinel_password={ENCODED_PASSWORD}"
        yield Group(f"redis+sentinel://:{ENCODED_PASSWORD}@{hosts}/shop/0{query}", servers)


def has_copied(replica: Any) -> bool:
    """Whether a replica has what its master has."""
    return bool(replica.info("replication")["master_link_status"] == "up")


def _cluster_says(node: Any, name: str, value: str) -> bool:
    return bool(node.cluster("info")[name] == value)


def _sees_all(plain: Any) -> bool:
    (state,) = plain.sentinel_masters().values()
    return bool(state["num-other-sentinels"] == 2 and state["num-slaves"] == 1)


@contextmanager
def cluster() -> Iterator[Group]:
    """Three masters, each with a replica."""
    options = {
        "masterauth": PASSWORD,
        "cluster-enabled": "yes",
        "cluster-node-timeout": "1000",
        "cluster-replica-validity-factor": "0",
        "repl-diskless-sync-delay": "0",
    }
    buses = [str(free_port()) for _ in range(6)]
    servers = [new_valkey(**options, **{"cluster-port": bus}) for bus in buses]
    with stopping(servers):
        clients = [client(server) for server in servers]
        for number, (first, last) in enumerate([(0, 5460), (5461, 10922), (10923, 16383)]):
            clients[number].execute_command("CLUSTER", "ADDSLOTSRANGE", first, last)
        for one in clients[1:]:
            one.execute_command("CLUSTER", "MEET", "127.0.0.1", servers[0].port, buses[0])
        for one in clients:
            until(partial(_cluster_says, one, "cluster_known_nodes", "6"), "nodes")
        for number, replica in enumerate(clients[3:]):
            master = clients[number].execute_command("CLUSTER", "MYID")
            until(partial(replica.execute_command, "CLUSTER", "REPLICATE", master), "roles")
        for one in clients:
            until(partial(_cluster_says, one, "cluster_state", "ok"), "a whole cluster")
        for one in clients[3:]:
            until(partial(has_copied, one), "replicas")
        hosts = ",".join(f"127.0.0.1:{server.port}" for server in servers[:2])
        yield Group(f"redis+cluster://:{ENCODED_PASSWORD}@{hosts}", servers)

"""What the URL of a Redis store says: one server, one behind Sentinel, or a cluster.

No error of redis-py about a URL leaves this module: its words may hold the password.
"""

import re
from collections.abc import Sequence
from typing import Any, Final, cast
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from attrs import frozen
from redis.asyncio import ConnectionPool, RedisCluster, Sentinel, SentinelConnectionPool
from redis.asyncio.cluster import ClusterNode
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from frame_async.errors import ConfigurationError
from frame_async.secret import Secret
from frame_async.stores._links import without_secrets
from frame_async.stores._redis_scripts import Pool

_SCHEMES: Final = ("redis", "rediss", "unix")
_OPTIONS: Final = ("db", "username", "password", "client_name")
_GROUPS: Final = {
    "sentinel": (26379, ("client_name", "sentinel_username", "sentinel_password")),
    "cluster": (6379, ("client_name",)),
}
"""Of many servers: their port, and the options of the URL."""
_HOST: Final = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:@/,]+)(?::(?P<port>[0-9]{1,5}))?")
_SECRETS: Final = ("password", "sentinel_password")


@frozen
class RedisGroup:
    """Many servers, by the URL."""

    kind: str
    """``sentinel`` or ``cluster``."""
    hosts: Sequence[tuple[str, int]]
    service: str
    options: Secret[dict[str, Any]]
    """What redis-py is told for each connection."""
    asking: Secret[dict[str, Any]]
    """The same, for connections to Sentinels."""


class _SentinelPool(SentinelConnectionPool):
    """Connects to the one that Sentinel names."""

    async def aclose(self) -> None:
        """Close the connections to the Sentinels too."""
        await super().aclose()
        for sentinel in cast("Any", self).sentinel_manager.sentinels:
            await sentinel.aclose()


def address_of(url: Secret[str]) -> str:
    """The address in a URL, without user, password and options.

    Raises:
        ConfigurationError: it isn't the URL of a Redis server.
    """
    group = read_group(url, 1.0)
    if group is not None:
        hosts = ",".join(f"{host}:{port}" for host, port in group.hosts)
        scheme = url.reveal().partition(":")[0]
        return f"{scheme}://{hosts}" + (f"/{group.service}" if group.service else "")
    address, strange = _read(url)
    if not address:
        raise ConfigurationError(
            "the URL of the Redis store must be redis://, rediss://, unix://, redis+sentinel:// "
            "or redis+cluster://; special characters in user and password must be percent-encoded"
        )
    unread = _unread(url)
    if unread:
        raise ConfigurationError(f"the URL of the Redis store can't have {unread}")
    if strange:
        raise ConfigurationError(
            f"the URL of the Redis store can't have the option {strange[0]}; there are "
            f"{', '.join(_OPTIONS)} and ssl_..."
        )
    return address


def make_pool(url: Secret[str], timeout: float) -> Pool:
    """A pool for one connection, which connects when it is first asked to.

    Raises:
        ConfigurationError: the URL or one of its options can't be used.
    """
    group = read_group(url, timeout)
    pool: Any = None
    try:
        if group is None:
            pool = _pool_of_one(url, timeout)
        else:
            manager = cast("Any", Sentinel)(group.hosts, sentinel_kwargs=group.asking.reveal())
            pool = cast("Any", _SentinelPool)(
                group.service, manager, **group.options.reveal(), max_connections=1
            )
        pool.make_connection()  # looks at the options, and opens nothing
    except (ValueError, TypeError):
        pool = None  # the error's words may hold the password
    if pool is None:
        raise ConfigurationError("the URL of the Redis store can't be read")
    return cast("Pool", pool)


def _pool_of_one(url: Secret[str], timeout: float) -> Any:
    options: dict[str, Any] = {**_settings(timeout), "max_connections": 1}
    if url.reveal().startswith("rediss://"):
        options["ssl_check_hostname"] = True
    pool: Any = ConnectionPool
    return pool.from_url(url.reveal(), **options)


def make_cluster(group: RedisGroup) -> Any:
    """A client of a cluster."""
    nodes = [ClusterNode(host, port) for host, port in group.hosts]
    return RedisCluster(startup_nodes=nodes, **group.options.reveal())


def _settings(timeout: float) -> dict[str, Any]:
    return {
        "retry": Retry(NoBackoff(), 0),  # whether to repeat is decided here, not there
        "socket_connect_timeout": timeout,
        "socket_timeout": None,
        "protocol": 2,
        "decode_responses": False,
    }


def read_group(url: Secret[str], timeout: float) -> RedisGroup | None:
    """What the URL of many servers says; None for that of one.

    Raises:
        ConfigurationError: it can't be read, or has what nobody would read.
    """
    scheme, _, kind = url.reveal().partition(":")[0].partition("+")
    if scheme not in ("redis", "rediss") or kind not in _GROUPS:
        return None
    parts = urlsplit(url.reveal())
    port, known = _GROUPS[kind]
    user, _, servers = parts.netloc.rpartition("@")
    found = [_HOST.fullmatch(server) for server in servers.split(",")]
    service = re.fullmatch(
        r"/([\w.-]+)(?:/([0-9]+))?" if kind == "sentinel" else r"/?()()", parts.path
    )
    if None in found or not service or parts.fragment or "@" in user + parts.query:
        raise ConfigurationError(
            f"the URL of the Redis store must be {scheme}+{kind}://host:{port},host:{port}"
            + ("/service or /service/0" if kind == "sentinel" else "")
            + "; special characters in user and password must be percent-encoded"
        )
    given = parse_qsl(parts.query, keep_blank_values=True)
    names = [name for name, _ in given]
    for name in names:
        if (name not in known and not name.startswith("ssl_")) or names.count(name) > 1:
            raise ConfigurationError(
                f"the URL of the Redis store can't have the option {name}, or not twice; there "
                f"are {', '.join(known)} and ssl_..."
            )
    options: dict[str, Any] = {k: v for k, v in given if not k.startswith("sentinel_")}
    asking = {k.removeprefix("sentinel_"): v for k, v in given if k.startswith("sentinel_")}
    name, _, password = user.partition(":")
    options |= {"username": unquote(name) or None, "password": unquote(password) or None}
    more = {**_settings(timeout), "ssl": scheme == "rediss"}
    if kind == "cluster":
        more["socket_timeout"] = timeout / 2  # another node may have taken over
    elif service[2]:
        options["db"] = int(service[2])
    tls = {k: v for k, v in options.items() if k.startswith("ssl_")}
    hosts = [(host["host"].strip("[]"), int(host["port"] or port)) for host in found if host]
    return RedisGroup(
        kind,
        hosts,
        service[1],
        Secret({**more, **options}),
        Secret({**more, **tls, **asking, "socket_timeout": timeout / 2}),
    )


def _read(url: Secret[str]) -> tuple[str, list[str]]:
    """The address in a URL, empty if it can't be read; and the options that nobody knows."""
    try:
        parts = urlsplit(url.reveal())
        port = parts.port
    except ValueError:
        return "", []
    if parts.scheme not in _SCHEMES or _is_ambiguous(parts):
        return "", []
    names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    strange = [n for n in names if n not in _OPTIONS and not n.startswith("ssl_")]
    if parts.scheme == "unix":
        return f"unix://{parts.path}", strange
    return f"{parts.scheme}://{parts.hostname or 'localhost'}:{port or 6379}", strange


def _unread(url: Secret[str]) -> str:
    """What redis-py would pass over without a word; empty if it reads everything."""
    parts = urlsplit(url.reveal())
    names = [name for name, _ in parse_qsl(parts.query, keep_blank_values=True)]
    for name in _OPTIONS:
        if names.count(name) > 1:
            return f"the option {name} twice"
    if parts.scheme == "unix" or parts.path in ("", "/"):
        return ""
    if not re.fullmatch(r"/[0-9]+", parts.path):
        return "a path that isn't the number of a database, as in redis://host/0"
    return "both a path and the option db" if "db" in names else ""


def _is_ambiguous(parts: SplitResult) -> bool:
    """Whether a bare special character in the password has torn the URL apart."""
    if parts.scheme == "unix":
        return bool(parts.fragment)
    return bool(parts.fragment) or "@" in parts.path or "@" in parts.query


def shown(reason: str, url: Secret[str]) -> str:
    """The reason, unless it holds the password."""
    parts = urlsplit(url.reveal())
    options = dict(parse_qsl(parts.query))
    secrets = {parts.password or "", *(options.get(name, "") for name in _SECRETS)}
    return without_secrets(reason, secrets | {unquote(secret) for secret in secrets})

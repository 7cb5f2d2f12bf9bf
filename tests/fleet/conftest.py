"""Real databases for the integrations that need one."""

from collections.abc import Iterator

import pytest
from support.servers import postgres_server, postgres_url


@pytest.fixture
def database() -> Iterator[str]:
    """The URL of a database of one's own, without a table in it."""
    from uuid import uuid4

    psycopg = pytest.importorskip("psycopg")
    server, name = postgres_server(), f"fleet_{uuid4().hex[:12]}"
    with psycopg.connect(postgres_url(server), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
        yield postgres_url(server, name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)")

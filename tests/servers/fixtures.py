"""The brokers and the databases as fixtures: one process of each for a worker's whole run.

A test that asks for a broker bears the mark `xdist_group("rabbitmq")` or `xdist_group("kafka")`, so
that each is started once; PostgreSQL, Redis and Valkey are up in a second or two, once a worker. A
test may kill one, and leaves it running.
"""

from collections.abc import Iterator

import pytest

from tests.servers.certificates import Certificates, make
from tests.servers.kraft import Kafka
from tests.servers.postgres import Postgres
from tests.servers.rabbitmq import RabbitMQ
from tests.servers.redis import Redis, Valkey


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """The authority that both servers' certificates are of."""
    return make(tmp_path_factory.mktemp("certificates") / "made")


@pytest.fixture(scope="session")
def rabbitmq(
    tmp_path_factory: pytest.TempPathFactory, certificates: Certificates
) -> Iterator[RabbitMQ]:
    """A running RabbitMQ; skipped, or failed where servers are required, if there is none."""
    server = RabbitMQ(tmp_path_factory.mktemp("rabbitmq"), certificates)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory, certificates: Certificates) -> Iterator[Kafka]:
    """A running Kafka; skipped, or failed where servers are required, if there is none."""
    server = Kafka(tmp_path_factory.mktemp("kafka"), certificates)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A running PostgreSQL; skipped, or failed where servers are required, if there is none."""
    server = Postgres()
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Redis]:
    """A running Redis; skipped, or failed where servers are required, if there is none."""
    server = Redis(tmp_path_factory.mktemp("redis"))
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Valkey]:
    """A running Valkey; skipped if there is none."""
    server = Valkey(tmp_path_factory.mktemp("valkey"))
    try:
        server.start()
        yield server
    finally:
        server.stop()

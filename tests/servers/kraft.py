"""A Kafka broker in KRaft mode, of the jars that scripts/servers fetched (kafka/pom.xml).

Three listeners: plain; plain for clients that come through a tests/line.py at `line_port`; TLS with
SASL (PLAIN, SCRAM-SHA-256, SCRAM-SHA-512). Topics are made by tests alone.
"""

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError

from tests.servers.broker import Broker, connects, free_port, missing
from tests.servers.certificates import Certificates

USER, PASSWORD = "bursa", "kafka-secret"
_CLUSTER = "MkU3OEVBNTcwNTJENDM2Qk"
_POM = Path(__file__).parent / "kafka" / "pom.xml"
# A short life in little memory; the compiler's second stage would only take processors away.
_JVM = ("-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto")

_CONFIG = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
controller.listener.names=CONTROLLER
listeners=PLAIN://127.0.0.1:{port},RELAYED://127.0.0.1:{relayed},SECURE://127.0.0.1:{secure},\
CONTROLLER://127.0.0.1:{controller}
advertised.listeners=PLAIN://127.0.0.1:{port},RELAYED://127.0.0.1:{line},\
SECURE://127.0.0.1:{secure}
listener.security.protocol.map=PLAIN:PLAINTEXT,RELAYED:PLAINTEXT,SECURE:SASL_SSL,\
CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAIN
listener.name.secure.ssl.keystore.type=PEM
listener.name.secure.ssl.keystore.location={keystore}
listener.name.secure.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.secure.plain.sasl.jaas.config=\
org.apache.kafka.common.security.plain.PlainLoginModule required user_{user}="{password}";
listener.name.secure.scram-sha-256.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.secure.scram-sha-512.sasl.jaas.config=\
org.apache.kafka.common.security.scram.ScramLoginModule required;
log.dirs={data}
auto.create.topics.enable=false
offsets.topic.num.partitions=1
offsets.topic.replication.factor=1
transaction.state.log.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
# A killed one is missed soon, so that it may come back soon; one that only starves is not.
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=200
controller.quorum.election.timeout.ms=200
controller.quorum.fetch.timeout.ms=500
"""
_LOGGING = """
status = error
appender.c.type = Console
appender.c.name = C
appender.c.layout.type = PatternLayout
appender.c.layout.pattern = %d %p %m (%c)%n
rootLogger.level = warn
rootLogger.appenderRef.c.ref = C
"""


def _jars() -> Path:
    version = re.search(r"<kafka.version>(.*)</kafka.version>", _POM.read_text())
    assert version is not None
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    found = cache / "bursa" / f"kafka-{version[1]}"
    if shutil.which("java") is None:
        missing("java is not installed")
    if not found.is_dir():
        missing(f"Kafka's jars are not at {found}")
    return found


class Kafka(Broker):
    """One broker, its own controller. `line_port` is where clients of `relayed_port` are told to
    come; `secure_port` is TLS with SASL."""

    def __init__(self, folder: Path, certificates: Certificates) -> None:
        jars = _jars()
        super().__init__(folder, free_port())
        self.relayed_port, self.line_port, self.secure_port = free_port(), free_port(), free_port()
        keystore = folder / "keystore.pem"
        keystore.write_bytes(certificates.key.read_bytes() + certificates.certificate.read_bytes())
        self._settings = folder / "server.properties"
        self._settings.write_text(
            _CONFIG.format(
                port=self.port,
                relayed=self.relayed_port,
                line=self.line_port,
                secure=self.secure_port,
                controller=free_port(),
                keystore=keystore,
                user=USER,
                password=PASSWORD,
                data=folder / "data",
            )
        )
        logging = folder / "log4j2.properties"
        logging.write_text(_LOGGING)
        where = f"-Dlog4j2.configurationFile={logging}"
        self._java = ["java", *_JVM, where, "-cp", f"{jars}/*"]
        self._format()

    def _format(self) -> None:
        """Make the data folder, with the users of SCRAM in it."""
        scram = [
            option
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512")
            for option in ("--add-scram", f"{mechanism}=[name={USER},password={PASSWORD}]")
        ]
        made = ["format", "-t", _CLUSTER, "-c", str(self._settings), *scram]
        subprocess.run(
            [*self._java, "kafka.tools.StorageTool", *made],
            check=True,
            capture_output=True,
            timeout=150,
        )

    def command(self) -> tuple[Sequence[str], Mapping[str, str]]:
        """What to run, and its environment."""
        return [*self._java, "kafka.Kafka", str(self._settings)], os.environ

    def answers(self) -> bool:
        """Is it ready for clients? One that came or starved is fenced for a while, and tells of no
        broker then."""
        listens = all(map(connects, (self.port, self.relayed_port, self.secure_port)))
        return listens and asyncio.run(self._tells_of_itself())

    async def _tells_of_itself(self) -> bool:
        client = AIOKafkaClient(bootstrap_servers=f"127.0.0.1:{self.port}")
        try:
            await client.bootstrap()
            return bool(client.cluster.brokers())
        except KafkaError:
            return False
        finally:
            await client.close()

    def go_on(self) -> None:
        """After `stand_still`; returns when clients can be served."""
        super().go_on()
        self.ready()

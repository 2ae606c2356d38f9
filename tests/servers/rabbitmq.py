"""RabbitMQ of Debian's package: a node of its own, with its own epmd, plain and TLS ports.

The user is guest/guest, which RabbitMQ takes from loopback only. No plugins.
"""

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.servers.broker import STOP_S, Broker, connects, free_port, missing
from tests.servers.certificates import Certificates

USER = PASSWORD = "guest"
_LIBRARY = Path("/usr/lib/rabbitmq/lib")

_CONFIG = """
listeners.tcp.default = 127.0.0.1:{port}
listeners.ssl.default = 127.0.0.1:{tls_port}
ssl_options.cacertfile = {authority}
ssl_options.certfile = {certificate}
ssl_options.keyfile = {key}
ssl_options.verify = verify_none
ssl_options.versions.1 = tlsv1.2
log.file = false
log.console = true
log.console.level = warning
"""


class RabbitMQ(Broker):
    """One node. `tls_port` speaks amqps."""

    def __init__(self, folder: Path, certificates: Certificates) -> None:
        found = sorted(_LIBRARY.glob("rabbitmq_server-*/sbin/rabbitmq-server"))
        if not found:
            missing("rabbitmq-server is not installed")
        super().__init__(folder, free_port())
        self._scripts = found[-1].parent
        self.tls_port, self._epmd_port, self._node_port = free_port(), free_port(), free_port()
        self._name = f"tests{self.port}@localhost"
        self._epmd: subprocess.Popen[bytes] | None = None
        (folder / "plugins").write_text("[].\n")
        (folder / "rabbitmq.conf").write_text(
            _CONFIG.format(
                port=self.port,
                tls_port=self.tls_port,
                authority=certificates.authority,
                certificate=certificates.certificate,
                key=certificates.key,
            )
        )

    def _environment(self) -> dict[str, str]:
        folder = str(self.folder)
        return {
            **{k: v for k, v in os.environ.items() if not k.startswith("RABBITMQ_")},
            "HOME": folder,  # the nodes' cookie lies there
            "ERL_EPMD_PORT": str(self._epmd_port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODENAME": self._name,
            "RABBITMQ_DIST_PORT": str(self._node_port),
            "RABBITMQ_MNESIA_BASE": f"{folder}/data",
            "RABBITMQ_LOG_BASE": f"{folder}/logs",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{folder}/plugins",
            "RABBITMQ_CONFIG_FILE": f"{folder}/rabbitmq.conf",
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{folder}/none.config",
            "RABBITMQ_CONF_ENV_FILE": f"{folder}/none.conf",
            # The script then becomes the server, so that a signal meets it and nobody else.
            "RABBITMQ_ALLOW_INPUT": "1",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+S 1:1 +sbwt none",
        }

    def command(self) -> tuple[Sequence[str], Mapping[str, str]]:
        """What to run, and its environment."""
        return [str(self._scripts / "rabbitmq-server"), "-noinput"], self._environment()

    def launch(self) -> None:
        """Begin to start; the nodes' name server comes first, for one that a node starts would
        outlive it."""
        if self._epmd is None:
            self._epmd = subprocess.Popen(
                ["epmd", "-port", str(self._epmd_port), "-address", "127.0.0.1"],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            self._until_epmd()
        super().launch()

    def _until_epmd(self) -> None:
        for _ in range(6000):
            if connects(self._epmd_port):
                return
            time.sleep(0.01)
        raise AssertionError("epmd does not listen")

    def answers(self) -> bool:
        """Is it ready for clients?"""
        return connects(self.port) and connects(self.tls_port)

    def ready(self) -> None:
        """Return when clients can be served: its ports listen a little before."""
        super().ready()
        self.control("await_startup")

    def stop(self) -> None:
        """Be it gone, and its epmd."""
        super().stop()
        if self._epmd is not None:
            self._epmd.kill()
            self._epmd.wait(STOP_S)
            self._epmd = None

    def control(self, *arguments: str) -> str:
        """What rabbitmqctl answers."""
        done = subprocess.run(
            [str(self._scripts / "rabbitmqctl"), "-q", "-n", self._name, *arguments],
            env=self._environment(),
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def counts(self, queue: str) -> tuple[int, int]:
        """A queue's messages (ready, delivered but not acknowledged)."""
        lines = self.control("list_queues", "name", "messages_ready", "messages_unacknowledged")
        for line in lines.splitlines():
            name, _, rest = line.partition("\t")
            if name == queue:
                ready, unacknowledged = rest.split("\t")
                return int(ready), int(unacknowledged)
        raise AssertionError(f"no queue {queue}: {lines}")

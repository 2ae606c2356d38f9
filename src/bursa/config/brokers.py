"""Tables of sources that are brokers: RabbitMQ and Kafka. Registered in sources.py."""

from typing import Annotated, Literal

from msgspec import Meta

from bursa.config.form import Endpoint, Table, doc

_HOST = r"[A-Za-z0-9_.\-]+:[0-9]{1,5}"
Endpoints = Annotated[str, Meta(pattern=rf"^{_HOST}(, ?{_HOST})*$")]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.:\-]{1,200}$")]


class Broker(Table, frozen=True, kw_only=True):
    """What both have."""

    venue: Annotated[Literal["idx"], doc("venue whose wire it speaks")]
    user: Annotated[str, doc("login name; empty: guest, or none for Kafka without SASL")] = ""
    password: Annotated[str, doc("password of the user; best set by its variable")] = ""
    tls: Annotated[bool, doc("speak TLS, and check the broker's certificate and name")] = False
    ca_file: Annotated[
        str, doc("PEM file of the authorities that may have signed it; empty: the system's")
    ] = ""


class Amqp(Broker, frozen=True, kw_only=True, tag_field="type", tag="amqp"):
    """A RabbitMQ broker: one queue a channel."""

    endpoint: Annotated[Endpoint, doc("host:port of the broker")]
    vhost: Annotated[str, doc("virtual host of the broker")] = "/"
    idxdata_exchange: Annotated[Name, doc("the vendor's exchange of trades")] = "idxdata"
    itchdata_exchange: Annotated[Name, doc("the vendor's exchange of market data")] = "itchdata"
    idxdata_queue: Annotated[Name, doc("our queue of trades")] = "bursa.idxdata"
    itchdata_queue: Annotated[Name, doc("our queue of market data")] = "bursa.itchdata"
    routing_key: Annotated[str, doc("of the queues' bindings; # is everything")] = "#"
    declare: Annotated[
        bool, doc("make and bind the queues where they are absent; false: use them as they are")
    ] = True
    prefetch: Annotated[
        int, doc("messages delivered and not yet acknowledged, a channel", ge=1, le=65_535)
    ] = 500
    heartbeat_s: Annotated[
        int, doc("seconds between heartbeats; three missed ones end it", ge=1, le=600)
    ] = 5


class Kafka(Broker, frozen=True, kw_only=True, tag_field="type", tag="kafka"):
    """A Kafka cluster: one topic of one partition a channel."""

    endpoints: Annotated[Endpoints, doc("host:port of some of the brokers, by commas")]
    idxdata_topic: Annotated[Name, doc("topic of trades")] = "idxdata"
    itchdata_topic: Annotated[Name, doc("topic of market data")] = "itchdata"
    sasl: Annotated[
        Literal["", "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"],
        doc("how to log in; empty: not at all"),
    ] = ""
    idxdata_group: Annotated[Name, doc("consumer group of trades")] = "bursa-idxdata"
    itchdata_group: Annotated[Name, doc("consumer group of market data")] = "bursa-itchdata"
    member: Annotated[
        Name, doc("name of this bursa in the groups; another one in them needs another name")
    ] = "bursa"
    buffer_messages: Annotated[
        int, doc("records taken and not yet synced, a channel", ge=100, le=10_000_000)
    ] = 50_000
    buffer_mb: Annotated[int, doc("the same in MB", ge=1, le=1024)] = 16

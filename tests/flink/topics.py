"""Topics of one job: what is written to them, and the sums of what the job wrote."""
from __future__ import annotations

import json
from collections import defaultdict

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from generated import Record
from oracle import Sums, add, places

PARTITIONS = 4


class Topics:
    def __init__(self, brokers: str, prefix: str):
        self.brokers, self.prefix = brokers, prefix
        # The others are made by the processes beside the job, as far as they run.
        admin = AdminClient({"bootstrap.servers": brokers})
        there = admin.list_topics(timeout=30).topics
        compacted = NewTopic(f"{prefix}.catalog", 1, config={"cleanup.policy": "compact"})
        made = admin.create_topics([topic for topic in (NewTopic(f"{prefix}.events", PARTITIONS), compacted) if topic.topic not in there])
        for future in made.values():
            future.result()
        # Java's partitioner, as the server uses it.
        self.producer = Producer({"bootstrap.servers": brokers, "enable.idempotence": True, "partitioner": "murmur2_random", "linger.ms": 20, "compression.type": "lz4", "log_level": 1})
        self.consumer = Consumer({"bootstrap.servers": brokers, "group.id": prefix, "auto.offset.reset": "earliest", "isolation.level": "read_committed", "enable.auto.commit": False, "log_level": 1})
        self.consumer.subscribe([f"{prefix}.unit_values"])
        self.rows: dict[bytes, bytes] = {}
        self.read = self.taken_back = 0

    def _produce(self, topic: str, key: str | bytes, value: bytes | None) -> None:
        while True:
            try:
                return self.producer.produce(f"{self.prefix}.{topic}", value, key)
            except BufferError:
                self.producer.poll(0.1)

    def events(self, records: list[Record]) -> None:
        for record in records:
            self._produce("events", record.key, record.value)
        self.flush()

    def published(self) -> list[tuple[bytes, bytes]]:
        """What the catalog topic holds, in its order."""
        reader = Consumer({"bootstrap.servers": self.brokers, "group.id": f"{self.prefix}.test", "enable.auto.commit": False, "log_level": 1})
        try:
            place = TopicPartition(f"{self.prefix}.catalog", 0, 0)
            _, end = reader.get_watermark_offsets(place, 30)
            reader.assign([place])
            found = []
            while len(found) < end:
                found += [(message.key(), message.value()) for message in reader.consume(end - len(found), 10) if not message.error()]
            return found
        finally:
            reader.close()

    def catalog(self, records: list[tuple[bytes, bytes]]) -> None:
        for key, value in records:
            self._produce("catalog", key, value)
        self.flush()

    def flush(self) -> None:
        if left := self.producer.flush(60):
            raise RuntimeError(f"{left} records were not written to Kafka within a minute")

    def take(self, seconds: float) -> int:
        """Reads what has been committed; how many records."""
        count = 0
        while messages := self.consumer.consume(10_000, seconds if count == 0 else 0.2):
            for message in messages:
                if message.error():
                    # The broker may not know yet of a topic that was just made; the client asks again by itself.
                    if message.error().code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
                        raise RuntimeError(str(message.error()))
                    continue
                count += 1
                if message.value() is None:
                    self.taken_back += 1
                    self.rows.pop(message.key(), None)
                else:
                    self.rows[message.key()] = message.value()
        self.read += count
        return count

    def sums(self) -> Sums:
        found: dict[tuple, list[int]] = defaultdict(lambda: [0] * 6)
        for key, value in self.rows.items():
            k, v = json.loads(key), json.loads(value)
            said = json.loads(v["dimensions"]) if v["dimensions"] else {"names": [], "values": []}
            properties = {name: value for name, values in zip(said["names"], said["values"]) for value in values}
            cell = (k["experiment"], k["phase"], k["epoch"], v["variation"], k["metric"], v["key_kind"], v["standing"])
            for place in places(v["exposed_at"], said["names"] if v["standing"] == "counted" else [], properties):
                add(found, (*cell, *place), v["value"], v["pair"])
        return {cell: tuple(values) for cell, values in found.items()}

    def close(self) -> None:
        self.consumer.close()
        self.producer.purge()

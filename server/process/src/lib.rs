//! The stream processor: from Kafka to ClickHouse.

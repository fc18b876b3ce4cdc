//! The event log in Kafka: producer with a durable spool, re-keying, batches of fixed offsets.

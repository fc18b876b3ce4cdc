//! Analytics in ClickHouse: raw events, unit histories, aggregates.

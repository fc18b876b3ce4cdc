-- Raw events, one row for each unit of an event (docs/contract/events.md).
--
-- A row is a fact: (environment, unit, time, event id, digest of the event's bytes) stood at an offset of a partition of the log. A fact may
-- be inserted any number of times; of equal ones the row of the least offset is kept, because `version` falls as the offset rises.
-- Records of one event id that differ in time or bytes are different facts and all stay: which one counts is decided by who reads.
--
-- index_granularity: 20, 200 and 2,000 of 200,000 units (2 million rows, two busy cores) took 22, 101 and 346 ms with 8,192; 13, 67 and
-- 303 ms with 512; 11, 82 and 281 ms with 128, whose index takes four times the memory of 512.
-- One partition a month: a look at one unit asks every part of every partition once, and a year of days would be 365 of them.
CREATE TABLE IF NOT EXISTS unit_events{local}{on_cluster}
(
    environment  LowCardinality(String),
    unit         FixedString(16),
    time         DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    event_id     FixedString(16) CODEC(NONE),
    digest       FixedString(32) CODEC(NONE),
    partition    UInt32,
    version      UInt64 CODEC(Delta, ZSTD(1)),
    kafka_offset UInt64 ALIAS 18446744073709551615 - version,
    event_name   LowCardinality(String),
    unit_type    LowCardinality(String),
    key_kind     UInt8,
    key_id       LowCardinality(String),
    received_at  DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    -- of an exposure, on the row of the unit that was randomised; else empty
    experiment   LowCardinality(String),
    variation    LowCardinality(String),
    phase        UInt32,
    epoch        UInt32,
    overridden   UInt8,
    -- micro-units
    value        Nullable(Int64),
    -- canonical text; empty: none
    properties   String CODEC(ZSTD(1)),
    -- the unit whose row carries the event's canonical bytes
    lead         FixedString(16),
    body         String CODEC(ZSTD(3))
)
ENGINE = {replicated}ReplacingMergeTree(version)
PARTITION BY toYYYYMM(time)
ORDER BY (environment, unit, time, event_id, digest)
TTL toDateTime(time) + INTERVAL {retention_days} DAY
SETTINGS index_granularity = 512;

-- cluster only
CREATE TABLE IF NOT EXISTS unit_events{on_cluster} AS unit_events{local}
ENGINE = Distributed({cluster}, currentDatabase(), unit_events{local}, sipHash64(unit));

-- What a unit saw, for analysts: idempotent states only, so that a fact inserted twice changes nothing.
CREATE TABLE IF NOT EXISTS unit_exposures{local}{on_cluster}
(
    environment LowCardinality(String),
    experiment  LowCardinality(String),
    phase       UInt32,
    epoch       UInt32,
    unit        FixedString(16),
    unit_type   SimpleAggregateFunction(any, LowCardinality(String)),
    -- (time in ms, event id, variation, kind of key) of the first exposure
    first       AggregateFunction(min, Tuple(Int64, FixedString(16), String, UInt8)),
    variations  SimpleAggregateFunction(groupUniqArrayArray, Array(String)),
    overridden  SimpleAggregateFunction(max, UInt8)
)
ENGINE = {replicated}AggregatingMergeTree
ORDER BY (environment, experiment, phase, epoch, unit);

CREATE MATERIALIZED VIEW IF NOT EXISTS unit_exposures_fed{on_cluster} TO unit_exposures{local} AS
SELECT
    environment, experiment, phase, epoch, unit, any(unit_type) AS unit_type,
    minState((toUnixTimestamp64Milli(time), event_id, toString(variation), key_kind)) AS first,
    groupUniqArray(toString(variation)) AS variations, max(overridden) AS overridden
FROM unit_events{local}
WHERE experiment != ''
GROUP BY environment, experiment, phase, epoch, unit;

-- cluster only
CREATE TABLE IF NOT EXISTS unit_exposures{on_cluster} AS unit_exposures{local}
ENGINE = Distributed({cluster}, currentDatabase(), unit_exposures{local}, sipHash64(unit));

-- Aggregates of one partition of the log, and (target = 0) the marker that says how far they are. Both are written by one insert, which is
-- one block and hence all or nothing; the greatest version of a row is the one that holds. A cell that came to nothing is written as zeros.
--
-- The cells of a target belong to an incarnation of it. What follows from the log alone (the next range of events) goes on in an
-- incarnation: two processors that do it write the same. What does not (a step of a rebuild, an erasure) begins a new one with all of its
-- cells, so that of two processors at odds neither can change what the other counts on. Only incarnations that a marker names are read.
CREATE TABLE IF NOT EXISTS cells{local}{on_cluster}
(
    environment  LowCardinality(String),
    experiment   String,
    phase        UInt32,
    metric       String,
    target       UInt64,
    partition    UInt32,
    incarnation  UInt64,
    epoch        UInt32,
    variation    String,
    key_kind     UInt8,
    standing     UInt8,
    version      UInt64,
    n            Int64,
    sum          Int256,
    sum_sq       Int256,
    pair_sum     Int256,
    pair_sum_sq  Int256,
    pair_cross   Int256,
    -- of a marker: events below this offset are in the cells
    position     UInt64,
    -- of a marker: the greatest effective time of an event taken in
    watermark    DateTime64(3, 'UTC'),
    -- of a marker: the targets, the incarnation of each, whether it holds all units, and else the last unit taken in (zeros: none yet)
    targets      Array(UInt64),
    incarnations Array(UInt64),
    complete     Array(UInt8),
    covered_to   Array(FixedString(16)),
    -- of a marker: the erasures taken out, and the offset from which on an event of the same id is a new one
    erasures     Array(FixedString(16)),
    erased_below Array(UInt64)
)
ENGINE = {replicated}ReplacingMergeTree(version)
ORDER BY (environment, experiment, phase, metric, target, partition, incarnation, epoch, variation, key_kind, standing);

-- cluster only
CREATE TABLE IF NOT EXISTS cells{on_cluster} AS cells{local}
ENGINE = Distributed({cluster}, currentDatabase(), cells{local}, partition);

-- Erasures on their way: the events that go, for each unit that has a row of them. The row whose unit is zeros is written last: without it
-- an erasure has not begun. They stay for a week: what a processor that hung inserts late is still known to be gone.
CREATE TABLE IF NOT EXISTS erasures{local}{on_cluster}
(
    environment LowCardinality(String),
    erasure     FixedString(16),
    unit        FixedString(16),
    event_id    FixedString(16),
    time        DateTime64(3, 'UTC'),
    started_at  DateTime64(3, 'UTC') DEFAULT now64(3)
)
ENGINE = {replicated}ReplacingMergeTree
ORDER BY (environment, erasure, unit, event_id, time)
TTL toDateTime(started_at) + INTERVAL 7 DAY;

-- cluster only
CREATE TABLE IF NOT EXISTS erasures{on_cluster} AS erasures{local}
ENGINE = Distributed({cluster}, currentDatabase(), erasures{local}, sipHash64(erasure));

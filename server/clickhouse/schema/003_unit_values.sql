-- Units' values that a Flink job has computed (deploy/flink), one row a unit, epoch and metric; metric '' is the unit itself.
--
-- The key is that of the topic, whose partitions keep the records of a key in order: the record with the greatest offset holds, however
-- often and in whatever order they are inserted. A value that was taken back stays as a row that is `gone`.
--
-- Sums are made when results are read, over the rows of one phase: they lie together, in one order, and no event is read.
CREATE TABLE IF NOT EXISTS unit_values{local}{on_cluster}
(
    environment  LowCardinality(String),
    experiment   LowCardinality(String),
    phase        UInt32,
    metric       LowCardinality(String),
    epoch        UInt32,
    -- as the job has it: the stored id, a pseudonym unless they are off
    unit         String,
    -- empty where the standing is not Counted
    variation    LowCardinality(String),
    key_kind     UInt8,
    standing     UInt8,
    -- micro-units
    value        Int64,
    pair         Int64,
    unit_type    LowCardinality(String),
    -- where the record stands
    topic        LowCardinality(String),
    partition    UInt32,
    version      UInt64,
    kafka_offset UInt64 ALIAS version,
    gone         UInt8
)
ENGINE = {replicated}ReplacingMergeTree(version, gone)
ORDER BY (environment, experiment, phase, metric, epoch, unit);

-- cluster only
CREATE TABLE IF NOT EXISTS unit_values{on_cluster} AS unit_values{local}
ENGINE = Distributed({cluster}, currentDatabase(), unit_values{local}, sipHash64(unit));

-- The aggregates that `evenhand process` counts, summed over the partitions of the log.
CREATE VIEW IF NOT EXISTS processed_aggregates{on_cluster} AS
WITH markers AS
(
    SELECT partition, known, lives, holds_all
    FROM (SELECT partition, targets, incarnations, complete FROM cells FINAL WHERE target = 0)
    ARRAY JOIN targets AS known, incarnations AS lives, complete AS holds_all
)
SELECT
    of AS environment,
    experiment AS experiment_id,
    phase,
    epoch,
    nullIf(variation, '') AS variation_id,
    metric,
    multiIf(kind = 0, 'server', kind = 1, 'client', 'sidecar') AS key_kind,
    multiIf(stands = 0, 'counted', stands = 1, 'multiple', 'overridden') AS standing,
    units AS n,
    toString(x) AS sum,
    toString(xx) AS sum_sq,
    toString(y) AS pair_sum,
    toString(yy) AS pair_sum_sq,
    toString(xy) AS pair_cross,
    of_target IN (SELECT known FROM markers GROUP BY known
        HAVING sum(holds_all) = (SELECT count() FROM cells FINAL WHERE target = 0)) AS complete
FROM
(
    SELECT toString(cells.environment) AS of, experiment, phase, epoch, variation, metric, cells.target AS of_target, cells.key_kind AS kind,
        cells.standing AS stands, sum(cells.n) AS units, sum(cells.sum) AS x, sum(cells.sum_sq) AS xx, sum(cells.pair_sum) AS y,
        sum(cells.pair_sum_sq) AS yy, sum(cells.pair_cross) AS xy
    FROM cells FINAL
    WHERE target != 0 AND (partition, target, incarnation) GLOBAL IN (SELECT partition, known, lives FROM markers)
    GROUP BY of, experiment, phase, epoch, variation, metric, of_target, kind, stands
)
WHERE units != 0;

-- The same of loaded values. A product of two values has 126 bits.
CREATE VIEW IF NOT EXISTS loaded_aggregates{on_cluster} AS
SELECT
    toString(environment) AS environment,
    toString(experiment) AS experiment_id,
    phase,
    epoch,
    nullIf(toString(variation), '') AS variation_id,
    toString(metric) AS metric,
    multiIf(unit_values.key_kind = 0, 'server', unit_values.key_kind = 1, 'client', 'sidecar') AS key_kind,
    multiIf(unit_values.standing = 0, 'counted', unit_values.standing = 1, 'multiple', 'overridden') AS standing,
    toInt64(count()) AS n,
    toString(sum(toInt256(value))) AS sum,
    toString(sum(toInt256(toInt128(value) * value))) AS sum_sq,
    toString(sum(toInt256(pair))) AS pair_sum,
    toString(sum(toInt256(toInt128(pair) * pair))) AS pair_sum_sq,
    toString(sum(toInt256(toInt128(value) * pair))) AS pair_cross,
    toUInt8(1) AS complete
FROM unit_values FINAL
GROUP BY unit_values.environment, unit_values.experiment, phase, epoch, unit_values.variation, unit_values.metric, unit_values.key_kind, unit_values.standing;

-- A database holds the one or the other.
CREATE OR REPLACE VIEW aggregates{on_cluster} AS
SELECT * FROM processed_aggregates
UNION ALL
SELECT * FROM loaded_aggregates;

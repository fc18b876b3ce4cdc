-- What analysts read, with the columns of docs/contract/events.md and the environment before them.

-- One row an event: of several records of one event id the least by (time, digest).
CREATE VIEW IF NOT EXISTS events{on_cluster} AS
SELECT
    environment,
    JSONExtractString(body, 'event_id') AS event_id,
    toString(name) AS event_name,
    toUnixTimestamp64Milli(at) AS time_ms,
    concat(formatDateTime(at, '%Y-%m-%dT%H:%i:%S', 'UTC'), '.', leftPad(toString(time_ms % 1000), 3, '0'), 'Z') AS time,
    JSONExtractInt(body, 'timestamp') AS timestamp_ms,
    toUnixTimestamp64Milli(received) AS received_at_ms,
    multiIf(kind = 0, 'server', kind = 1, 'client', 'sidecar') AS key_kind,
    toString(key) AS key_id,
    JSONExtract(body, 'user_id', 'Nullable(String)') AS user_id,
    nullIf(JSONExtractRaw(body, 'units'), '') AS units,
    JSONExtract(body, 'unit', 'Nullable(String)') AS unit,
    JSONExtract(body, 'experiment_id', 'Nullable(String)') AS experiment_id,
    JSONExtract(body, 'variation_id', 'Nullable(String)') AS variation_id,
    if(JSONHas(body, 'phase'), JSONExtractInt(body, 'phase'), 1) AS phase,
    if(JSONHas(body, 'epoch'), JSONExtractInt(body, 'epoch'), 1) AS epoch,
    JSONExtract(body, 'reason', 'Nullable(String)') AS reason,
    JSONExtract(body, 'value', 'Nullable(String)') AS value,
    nullIf(JSONExtractRaw(body, 'properties'), '') AS properties,
    JSONExtract(body, 'manifest_version', 'Nullable(Int64)') AS manifest_version,
    JSONExtract(body, 'sdk', 'Nullable(String)') AS sdk
FROM
(
    SELECT environment, event_id AS id, unit_events.time AS at, digest, unit_events.event_name AS name, unit_events.key_kind AS kind,
        unit_events.key_id AS key, unit_events.received_at AS received, body
    FROM unit_events FINAL
    WHERE unit = lead
    ORDER BY environment, id, at, digest
    LIMIT 1 BY environment, id
);

-- One row an exposure of a unit, its ids as they were sent.
CREATE VIEW IF NOT EXISTS exposures{on_cluster} AS
SELECT
    environment,
    lower(hex(of)) AS unit,
    toString(type) AS unit_type,
    toString(seen_in) AS experiment_id,
    phase,
    epoch,
    toString(seen) AS variation_id,
    toUnixTimestamp64Milli(at) AS time_ms,
    lower(hex(id)) AS event_id,
    overridden,
    multiIf(kind = 0, 'server', kind = 1, 'client', 'sidecar') AS key_kind
FROM
(
    SELECT environment, unit_events.unit AS of, unit_events.event_id AS id, unit_events.time AS at, digest, unit_events.unit_type AS type,
        experiment AS seen_in, variation AS seen, phase, epoch, overridden, unit_events.key_kind AS kind
    FROM unit_events FINAL
    ORDER BY environment, of, id, at, digest
    LIMIT 1 BY environment, of, id
)
WHERE seen_in != '';

-- The aggregates, summed over the partitions of the log.
CREATE VIEW IF NOT EXISTS aggregates{on_cluster} AS
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

-- Cells by the day of the counting exposure (days since 1970; -1: all days) and cut to units of which it said the same (such as country=SE), or
-- whose value lies in one band ($band=); empty: all units. The cells of before belong to targets that are counted anew.
ALTER TABLE cells{local}{on_cluster}
    ADD COLUMN day Int32,
    ADD COLUMN cut String,
    MODIFY ORDER BY (environment, experiment, phase, metric, target, partition, incarnation, epoch, variation, key_kind, standing, day, cut);

-- cluster only
ALTER TABLE cells{on_cluster} ADD COLUMN day Int32, ADD COLUMN cut String;

-- When the unit was first exposed, and what it can be cut to.
ALTER TABLE unit_values{local}{on_cluster} ADD COLUMN exposed_at DateTime64(3, 'UTC'), ADD COLUMN cuts Array(LowCardinality(String));

-- cluster only
ALTER TABLE unit_values{on_cluster} ADD COLUMN exposed_at DateTime64(3, 'UTC'), ADD COLUMN cuts Array(LowCardinality(String));

-- The cells that `evenhand process` counts, summed over the partitions of the log: of all units, of cuts and of bands, by day and of all days.
CREATE VIEW IF NOT EXISTS processed_cells{on_cluster} AS
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
    since AS day_number,
    cut_to,
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
        cells.standing AS stands, cells.day AS since, cells.cut AS cut_to, sum(cells.n) AS units, sum(cells.sum) AS x, sum(cells.sum_sq) AS xx,
        sum(cells.pair_sum) AS y, sum(cells.pair_sum_sq) AS yy, sum(cells.pair_cross) AS xy
    FROM cells FINAL
    WHERE target != 0 AND (partition, target, incarnation) GLOBAL IN (SELECT partition, known, lives FROM markers)
    GROUP BY of, experiment, phase, epoch, variation, metric, of_target, kind, stands, since, cut_to
)
WHERE units != 0;

CREATE OR REPLACE VIEW processed_aggregates{on_cluster} AS
SELECT environment, experiment_id, phase, epoch, variation_id, metric, key_kind, standing, n, sum, sum_sq, pair_sum, pair_sum_sq, pair_cross, complete
FROM processed_cells WHERE day_number = -1 AND cut_to = '';

-- By day of exposure, of all units and of each cut.
CREATE VIEW IF NOT EXISTS processed_daily_aggregates{on_cluster} AS
SELECT environment, experiment_id, phase, epoch, variation_id, metric, key_kind, standing, toString(toDate32(day_number)) AS day,
    nullIf(cut_to, '') AS cut, n, sum, sum_sq, pair_sum, pair_sum_sq, pair_cross, complete
FROM processed_cells WHERE day_number >= 0;

CREATE VIEW IF NOT EXISTS loaded_daily_aggregates{on_cluster} AS
SELECT
    toString(environment) AS environment,
    toString(experiment) AS experiment_id,
    phase,
    epoch,
    nullIf(toString(variation), '') AS variation_id,
    toString(metric) AS metric,
    multiIf(kind = 0, 'server', kind = 1, 'client', 'sidecar') AS key_kind,
    multiIf(stands = 0, 'counted', stands = 1, 'multiple', 'overridden') AS standing,
    toString(since) AS day,
    nullIf(cut_to, '') AS cut,
    toInt64(count()) AS n,
    toString(sum(toInt256(value))) AS sum,
    toString(sum(toInt256(toInt128(value) * value))) AS sum_sq,
    toString(sum(toInt256(pair))) AS pair_sum,
    toString(sum(toInt256(toInt128(pair) * pair))) AS pair_sum_sq,
    toString(sum(toInt256(toInt128(value) * pair))) AS pair_cross,
    toUInt8(1) AS complete
FROM
(
    SELECT environment, experiment, phase, epoch, variation, metric, unit_values.key_kind AS kind, unit_values.standing AS stands,
        toDate32(exposed_at) AS since, arrayJoin(arrayPushFront(arrayFilter(one -> NOT startsWith(one, '$band='), arrayMap(one -> toString(one), cuts)), '')) AS cut_to, value, pair
    FROM unit_values FINAL
)
GROUP BY environment, experiment, phase, epoch, variation, metric, kind, stands, since, cut_to;

CREATE VIEW IF NOT EXISTS daily_aggregates{on_cluster} AS
SELECT * FROM processed_daily_aggregates
UNION ALL
SELECT * FROM loaded_daily_aggregates;

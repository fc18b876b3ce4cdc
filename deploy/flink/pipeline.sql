-- Evenhand's stream processing as one Flink SQL job: <prefix>.events and <prefix>.catalog in, <prefix>.unit_values out.
-- README.md beside this file says how to run it. ${BROKERS} and ${PREFIX} are filled in before it is submitted (envsubst).
--
-- The rules are those of docs/contract/events.md ("Duplicates", "From events to aggregates"). Every query is an updating one:
-- no watermark, no event-time window, so no record is ever too late, and the order of arrival cannot change the final rows.

-- ---- how the job runs ----

SET 'execution.runtime-mode' = 'streaming';
SET 'pipeline.name' = 'evenhand ${PREFIX}';
-- State of all units is far larger than a heap; RocksDB keeps it on disk and uploads only what changed since the last checkpoint.
SET 'state.backend.type' = 'rocksdb';
SET 'execution.checkpointing.incremental' = 'true';
-- Offsets and state are one consistent cut, and the sink's transaction is committed with it: a replay after a failure adds nothing twice.
SET 'execution.checkpointing.mode' = 'EXACTLY_ONCE';
-- Results become visible with each checkpoint, so this is also how fresh they are. Well below the sink's transaction timeout.
SET 'execution.checkpointing.interval' = '30 s';
-- Room to work between checkpoints, however slow one of them was.
SET 'execution.checkpointing.min-pause' = '10 s';
SET 'execution.checkpointing.timeout' = '10 min';
-- One upload that failed is no reason to replay; three in a row are.
SET 'execution.checkpointing.tolerable-failed-checkpoints' = '3';
-- A cancelled job keeps its last checkpoint: whoever forgot the savepoint can still go on from it.
SET 'execution.checkpointing.externalized-checkpoint-retention' = 'RETAIN_ON_CANCELLATION';
-- A broker that is away for an hour must not end the job; a fault that comes back at once must not burn the cluster.
SET 'restart-strategy.type' = 'exponential-delay';
SET 'restart-strategy.exponential-delay.initial-backoff' = '1 s';
SET 'restart-strategy.exponential-delay.max-backoff' = '1 min';
SET 'restart-strategy.exponential-delay.backoff-multiplier' = '2.0';
SET 'restart-strategy.exponential-delay.reset-backoff-threshold' = '10 min';
SET 'restart-strategy.exponential-delay.jitter-factor' = '0.1';
-- Longer than the 30 days after which the server refuses an event (docs/contract/events.md, "Duplicates": 31 days). Experiments with phases,
-- windows and pre-periods that together are longer need more: README.md, "Sizing". The catalog never expires (the hints below).
SET 'table.exec.state.ttl' = '31 d';
-- Changes of one row within this time become one change: an update of an early aggregate would else ripple through all later ones.
SET 'table.exec.mini-batch.enabled' = 'true';
SET 'table.exec.mini-batch.allow-latency' = '1 s';
SET 'table.exec.mini-batch.size' = '5000';
-- Keys are units, none of them hot: a second, local, stage of each aggregate would only cost memory.
SET 'table.optimizer.agg-phase-strategy' = 'ONE_PHASE';
-- Exposures and conversions share one reading of the events, and one deduplication.
SET 'table.optimizer.reuse-sub-plan-enabled' = 'true';
SET 'table.optimizer.reuse-source-enabled' = 'true';

-- ---- topics ----

CREATE TEMPORARY TABLE events (
  digest STRING,
  environment STRING,
  key_kind STRING,
  `time` BIGINT,
  event ROW<
    event_id STRING, event_name STRING, user_id STRING, units MAP<STRING, STRING>, unit STRING, experiment_id STRING, variation_id STRING,
    phase INT, epoch INT, reason STRING,
    -- One decimal column makes the format read every number exactly, those inside `properties` too.
    `value` DECIMAL(19, 6),
    -- Kept as JSON text.
    properties STRING>
) WITH (
  'connector' = 'kafka',
  'topic' = '${PREFIX}.events',
  'properties.bootstrap.servers' = '${BROKERS}',
  'properties.group.id' = '${PREFIX}.flink',
  'scan.startup.mode' = 'earliest-offset',
  'format' = 'json',
  -- Only the server writes this topic. A record that is no JSON stops the job in words; skipping it would lose it in silence.
  'json.ignore-parse-errors' = 'false'
);

-- One record for each change of a phase; the one with the greatest version counts. README.md fixes its shape.
CREATE TEMPORARY TABLE catalog_changes (
  environment STRING,
  experiment STRING,
  phase INT,
  version BIGINT,
  -- A JSON object, kept as text; null: the phase is gone.
  definition STRING
) WITH (
  'connector' = 'kafka',
  'topic' = '${PREFIX}.catalog',
  'properties.bootstrap.servers' = '${BROKERS}',
  'properties.group.id' = '${PREFIX}.flink',
  'scan.startup.mode' = 'earliest-offset',
  'format' = 'json',
  'json.ignore-parse-errors' = 'false'
);

CREATE TEMPORARY TABLE unit_values (
  environment STRING,
  experiment STRING,
  phase INT,
  epoch INT,
  metric STRING,
  unit STRING,
  variation STRING,
  key_kind STRING,
  standing STRING,
  `value` BIGINT,
  pair BIGINT,
  unit_type STRING,
  exposed_at BIGINT,
  dimensions STRING,
  PRIMARY KEY (environment, experiment, phase, epoch, metric, unit) NOT ENFORCED
) WITH (
  'connector' = 'upsert-kafka',
  'topic' = '${PREFIX}.unit_values',
  'properties.bootstrap.servers' = '${BROKERS}',
  'key.format' = 'json',
  'value.format' = 'json',
  'value.fields-include' = 'EXCEPT_KEY',
  -- A replay may take another way to the same final rows; rows of the first way would stay behind if they were not taken back with
  -- their transaction. Readers need isolation.level=read_committed.
  'sink.delivery-guarantee' = 'exactly-once',
  'sink.transactional-id-prefix' = '${PREFIX}.flink',
  -- Longer than the longest outage between two checkpoints that is to be survived; at most the brokers' transaction.max.timeout.ms (15 min).
  'properties.transaction.timeout.ms' = '900000'
);

-- ---- the catalog ----

-- An aggregate, because only aggregates and joins can be told never to forget; the greatest version counts in whatever order they are read.
CREATE TEMPORARY VIEW catalog_newest AS
SELECT /*+ STATE_TTL('catalog_changes' = '0 s') */
  environment, experiment, phase, SUBSTRING(MAX(LPAD(CAST(version AS STRING), 19, '0') || COALESCE(definition, '')), 20) AS definition
FROM catalog_changes
GROUP BY environment, experiment, phase;

CREATE TEMPORARY VIEW phases AS
SELECT environment, experiment, phase, definition, JSON_VALUE(definition, '$.unit_type') AS unit_type
FROM catalog_newest
WHERE definition <> '';

-- All units of an experiment meet the same few rows of the catalog. Each row is kept sixteen times, and a unit meets the copy of its
-- own number, so that an experiment's units are spread over sixteen keys instead of lying on one. (The empty piece of a column makes
-- a list depend on its row: an independent one would be joined on a single task.)
CREATE TEMPORARY VIEW phase_names AS
SELECT p.environment, p.experiment, p.phase, p.unit_type, n.sent, s.spread, JSON_QUERY(p.definition, '$.variations') AS variations,
  JSON_QUERY(p.definition, '$.dimensions') AS dimensions, JSON_QUERY(p.definition, '$.dimension_paths') AS dimension_paths
FROM phases AS p
CROSS JOIN UNNEST(JSON_QUERY(p.definition, '$.names' RETURNING ARRAY<STRING>)) AS n (sent)
CROSS JOIN UNNEST(SPLIT(SUBSTRING(p.experiment, 1, 0) || '0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15', ',')) AS s (spread);

-- An aggregate of single rows: it keeps what did not change from being taken back and put in again, with all that was joined to it,
-- whenever anything in a phase's definition changes.
CREATE TEMPORARY VIEW sent_names AS
SELECT /*+ STATE_TTL('phase_names' = '0 s') */ environment, experiment, phase, unit_type, sent, spread, MAX(variations) AS variations,
  MAX(dimensions) AS dimensions, MAX(dimension_paths) AS dimension_paths
FROM phase_names
GROUP BY environment, experiment, phase, unit_type, sent, spread;

-- What a metric measures: its value, and where it has one its paired value (a ratio's denominator, or the time before the exposure).
-- Metric '' is the unit itself: it names no event, so its value is 0. `steps` is the measure, and of a funnel the steps before it too: whoever
-- has a name and filters.
CREATE TEMPORARY VIEW phase_measures AS
SELECT
  environment, experiment, phase, spread, metric, part, measure,
  COALESCE(ARRAY_APPEND(JSON_QUERY(measure, '$.before' RETURNING ARRAY<STRING>), measure), ARRAY[measure]) AS steps,
  LPAD(COALESCE(JSON_VALUE(spec, '$.value.most'), '9223372036854775807'), 19, '0')
    || LPAD(COALESCE(JSON_VALUE(spec, '$.pair.most'), '9223372036854775807'), 19, '0') AS caps
FROM (
  SELECT p.environment, p.experiment, p.phase, s.spread, JSON_VALUE(m.spec, '$.id') AS metric, t.part, m.spec,
    CASE t.part WHEN 'value' THEN JSON_QUERY(m.spec, '$.value') ELSE JSON_QUERY(m.spec, '$.pair') END AS measure
  FROM phases AS p
  CROSS JOIN UNNEST(ARRAY_PREPEND(JSON_QUERY(p.definition, '$.metrics' RETURNING ARRAY<STRING>), '{"id":"","value":{}}')) AS m (spec)
  CROSS JOIN UNNEST(SPLIT(SUBSTRING(p.experiment, 1, 0) || 'value,pair', ',')) AS t (part)
  CROSS JOIN UNNEST(SPLIT(SUBSTRING(p.experiment, 1, 0) || '0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15', ',')) AS s (spread)
)
WHERE measure IS NOT NULL;

-- Each step by itself. `mark` is what an event that fits a step of a funnel is told by: 2 digits for the number of steps, a letter for the step.
-- Letters are none of the hexadecimal digits, others for the value and the paired value, and fall as the steps rise: see `walked_totals`.
CREATE TEMPORARY VIEW phase_metrics AS
SELECT
  environment, experiment, phase, spread, metric, part, measure, caps, step, selector,
  CASE WHEN CARDINALITY(steps) > 1 THEN
    LPAD(CAST(CARDINALITY(steps) AS STRING), 2, '0') || SUBSTRING(CASE part WHEN 'value' THEN 'zyxwvutsrq' ELSE 'ponmlkjihg' END, step, 1) END AS mark
FROM phase_measures
CROSS JOIN UNNEST(steps) WITH ORDINALITY AS s (selector, step);

CREATE TEMPORARY VIEW metric_parts AS
SELECT
  environment, experiment, phase, spread, metric, part, step, mark, caps,
  JSON_VALUE(selector, '$.event_name') AS event_name,
  JSON_VALUE(measure, '$.adds') AS adds,
  JSON_VALUE(measure, '$.path') AS number_path,
  JSON_QUERY(selector, '$.filters' RETURNING ARRAY<STRING>) AS filters,
  CAST(JSON_VALUE(measure, '$.from_ms') AS BIGINT) AS from_ms,
  CAST(JSON_VALUE(measure, '$.to_ms') AS BIGINT) AS to_ms
FROM (
  SELECT /*+ STATE_TTL('phase_metrics' = '0 s') */
    environment, experiment, phase, spread, metric, part, step, MAX(measure) AS measure, MAX(selector) AS selector, MAX(mark) AS mark, MAX(caps) AS caps
  FROM phase_metrics
  GROUP BY environment, experiment, phase, spread, metric, part, step
);

-- ---- events ----

-- Of several records with one event_id the least by (time, digest) is the event, whichever came first.
CREATE TEMPORARY VIEW counted_events AS
SELECT
  environment, key_kind, `time`, event.event_id AS event_id, event.event_name AS event_name, event.user_id AS user_id, event.units AS units,
  COALESCE(event.unit, 'user_id') AS unit_type, event.experiment_id AS experiment_id, event.variation_id AS variation_id,
  COALESCE(event.phase, 1) AS phase, COALESCE(event.epoch, 1) AS epoch, COALESCE(event.reason, '') = 'OVERRIDE' AS overridden,
  CAST(event.`value` * 1000000 AS BIGINT) AS micros, event.properties AS properties
FROM (
  SELECT *, ROW_NUMBER() OVER (PARTITION BY environment, event.event_id ORDER BY `time`, digest) AS place
  FROM events
)
WHERE place = 1;

-- ---- exposures ----

CREATE TEMPORARY VIEW sent_exposures AS
SELECT
  environment, experiment_id, phase, epoch, variation_id, unit_type, CASE unit_type WHEN 'user_id' THEN user_id ELSE units[unit_type] END AS unit,
  `time`, event_id, key_kind, overridden, properties
FROM counted_events
WHERE event_name = '$exposure';

-- With real names. A variation that the experiment does not have stays as it is.
CREATE TEMPORARY VIEW named_exposures AS
SELECT /*+ STATE_TTL('n' = '0 s') */
  e.environment, n.experiment, e.phase, e.epoch, e.unit, e.unit_type, e.`time`, e.event_id, e.key_kind, e.overridden,
  COALESCE(JSON_VALUE(n.variations, '$[''' || REPLACE(REPLACE(e.variation_id, '\', '\\'), '''', '\''') || ''']'), e.variation_id) AS variation,
  e.properties, n.dimensions, JSON_QUERY(n.dimension_paths, '$' RETURNING ARRAY<STRING>) AS paths
FROM sent_exposures AS e
JOIN sent_names AS n
  ON e.environment = n.environment AND e.experiment_id = n.sent AND e.phase = n.phase AND e.unit_type = n.unit_type
  AND CAST(ABS(MOD(HASH_CODE(e.unit), 16)) AS STRING) = n.spread;

-- What results can be cut by: the names of the dimensions, and what the exposure says of each, in a list of its own (empty: nothing). Whoever
-- reads the results decides what a value is. A phase has at most five.
CREATE TEMPORARY VIEW exposures AS
SELECT
  environment, experiment, phase, epoch, unit, unit_type, `time`, event_id, key_kind, overridden, variation,
  CASE WHEN dimensions IS NULL THEN '' ELSE '{"names":' || dimensions || ',"values":[' ||
      CASE WHEN CARDINALITY(paths) >= 1 THEN COALESCE(JSON_QUERY(properties, paths[1] WITH UNCONDITIONAL WRAPPER), '[]') ELSE '[]' END || ',' ||
      CASE WHEN CARDINALITY(paths) >= 2 THEN COALESCE(JSON_QUERY(properties, paths[2] WITH UNCONDITIONAL WRAPPER), '[]') ELSE '[]' END || ',' ||
      CASE WHEN CARDINALITY(paths) >= 3 THEN COALESCE(JSON_QUERY(properties, paths[3] WITH UNCONDITIONAL WRAPPER), '[]') ELSE '[]' END || ',' ||
      CASE WHEN CARDINALITY(paths) >= 4 THEN COALESCE(JSON_QUERY(properties, paths[4] WITH UNCONDITIONAL WRAPPER), '[]') ELSE '[]' END || ',' ||
      CASE WHEN CARDINALITY(paths) >= 5 THEN COALESCE(JSON_QUERY(properties, paths[5] WITH UNCONDITIONAL WRAPPER), '[]') ELSE '[]' END || ']}' END AS dimensions
FROM named_exposures;

-- A unit in an epoch. `first_seen` is the first exposure written so that the least text is the first by (time, event_id): 15 digits of time, 36
-- characters of event id, 7 of the kind of key, 3 digits of the unit type's length, unit type, 3 of the variation's, variation, dimensions.
CREATE TEMPORARY VIEW epochs AS
SELECT
  environment, experiment, phase, epoch, unit,
  MIN(LPAD(CAST(`time` AS STRING), 15, '0') || event_id || RPAD(key_kind, 7, ' ')
    || LPAD(CAST(CHAR_LENGTH(unit_type) AS STRING), 3, '0') || unit_type
    || LPAD(CAST(CHAR_LENGTH(variation) AS STRING), 3, '0') || variation || dimensions) AS first_seen,
  COUNT(DISTINCT variation) AS variations,
  COUNT(*) FILTER (WHERE overridden) AS overrides
FROM exposures
GROUP BY environment, experiment, phase, epoch, unit;

-- An override anywhere in a phase takes the unit out of all its epochs, so its epochs are brought together: as texts of
-- 10 digits of epoch, one letter for the number of variations, and `first_seen`.
CREATE TEMPORARY VIEW unit_phases AS
SELECT
  environment, experiment, phase, unit, SUM(overrides) AS overrides, MIN(epoch) AS lowest_epoch,
  ARRAY_AGG(LPAD(CAST(epoch AS STRING), 10, '0') || CASE WHEN variations > 1 THEN 'm' ELSE 'c' END || first_seen) AS epochs
FROM epochs
GROUP BY environment, experiment, phase, unit;

-- A unit that was overridden is counted once, in its lowest epoch.
CREATE TEMPORARY VIEW assignments AS
SELECT
  environment, experiment, phase, unit, CAST(SUBSTRING(seen, 1, 10) AS INT) AS epoch,
  CASE WHEN overrides > 0 THEN 'overridden' WHEN SUBSTRING(seen, 11, 1) = 'm' THEN 'multiple' ELSE 'counted' END AS standing,
  CAST(SUBSTRING(seen, 12, 15) AS BIGINT) AS t0,
  -- Kind of key, length of the unit type, unit type, length of the variation, variation, dimensions.
  SUBSTRING(seen, 63) AS described,
  SUBSTRING(seen, 73, CAST(SUBSTRING(seen, 70, 3) AS INT)) AS unit_type
FROM unit_phases
CROSS JOIN UNNEST(epochs) AS e (seen)
WHERE overrides = 0 OR CAST(SUBSTRING(seen, 1, 10) AS INT) = lowest_epoch;

-- ---- values ----

-- Other events, once for each unit they carry.
CREATE TEMPORARY VIEW conversions AS
SELECT c.environment, u.unit_type, u.unit, c.event_name, c.event_id, c.`time`, c.micros, c.properties
FROM counted_events AS c
CROSS JOIN UNNEST(MAP_UNION(MAP['user_id', c.user_id], COALESCE(c.units, MAP['user_id', c.user_id]))) AS u (unit_type, unit)
WHERE c.event_name <> '$exposure' AND u.unit IS NOT NULL;

-- What is measured of each unit. `holder` is what the result says of the unit: the two caps of 19 digits, 10 characters of standing,
-- 15 digits of the first exposure's time, `described`.
CREATE TEMPORARY VIEW unit_measures AS
SELECT /*+ STATE_TTL('m' = '0 s') */
  a.environment, a.experiment, a.phase, a.epoch, a.unit, a.unit_type, m.metric, m.part, m.step, m.mark, m.event_name, m.adds, m.number_path, m.filters,
  a.t0 + m.from_ms AS from_time, a.t0 + m.to_ms AS to_time,
  m.caps || RPAD(a.standing, 10, ' ') || LPAD(CAST(a.t0 AS STRING), 15, '0') || a.described AS holder
FROM assignments AS a
JOIN metric_parts AS m
  ON a.environment = m.environment AND a.experiment = m.experiment AND a.phase = m.phase
  AND CAST(ABS(MOD(HASH_CODE(a.unit), 16)) AS STRING) = m.spread
  AND (a.standing = 'counted' OR m.metric = '');

-- Each event that a measure of its unit counts, or the measure alone while there is none: then its value is 0. Of a funnel, each event that fits
-- a step; `reached` puts them in order: 15 digits of time, 36 characters of event id, `mark`.
-- A filter compares JSON values, both written by the same function; the API allows 16.
CREATE TEMPORARY VIEW counted_conversions AS
SELECT
  m.environment, m.experiment, m.phase, m.epoch, m.unit, m.metric, m.part, m.holder, m.adds, m.number_path, c.event_id, c.micros,
  LPAD(CAST(c.`time` AS STRING), 15, '0') || c.event_id || m.mark AS reached,
  JSON_QUERY(c.properties, m.number_path WITH UNCONDITIONAL WRAPPER) AS number_text
FROM unit_measures AS m
LEFT JOIN conversions AS c
  ON m.environment = c.environment AND m.unit_type = c.unit_type AND m.unit = c.unit AND m.event_name = c.event_name
    AND c.`time` >= m.from_time AND c.`time` < m.to_time
    AND (COALESCE(CARDINALITY(m.filters), 0) < 1 OR JSON_QUERY(c.properties, JSON_VALUE(m.filters[1], '$.path') WITH UNCONDITIONAL WRAPPER) = JSON_QUERY(m.filters[1], '$.equals' WITH UNCONDITIONAL WRAPPER))
    AND (COALESCE(CARDINALITY(m.filters), 0) < 2 OR JSON_QUERY(c.properties, JSON_VALUE(m.filters[2], '$.path') WITH UNCONDITIONAL WRAPPER) = JSON_QUERY(m.filters[2], '$.equals' WITH UNCONDITIONAL WRAPPER))
    AND (COALESCE(CARDINALITY(m.filters), 0) < 3 OR JSON_QUERY(c.properties, JSON_VALUE(m.filters[3], '$.path') WITH UNCONDITIONAL WRAPPER) = JSON_QUERY(m.filters[3], '$.equals' WITH UNCONDITIONAL WRAPPER))
    AND (COALESCE(CARDINALITY(m.filters), 0) < 4 OR JSON_QUERY(c.properties, JSON_VALUE(m.filters[4], '$.path') WITH UNCONDITIONAL WRAPPER) = JSON_QUERY(m.filters[4], '$.equals' WITH UNCONDITIONAL WRAPPER))
    AND (COALESCE(CARDINALITY(m.filters), 0) < 5 OR JSON_QUERY(c.properties, JSON_VALUE(m.filters[5], '$.path') WITH UNCONDITIONAL WRAPPER) = JSON_QUERY(m.filters[5], '$.equals' WITH UNCONDITIONAL WRAPPER))
    AND (COALESCE(CARDINALITY(m.filters), 0) < 6 OR JSON_QUERY(c.properties, JSON_VALUE(m.filters[6], '$.path') WITH UNCONDITIONAL WRAPPER) = JSON_QUERY(m.filters[6], '$.equals' WITH UNCONDITIONAL WRAPPER))
    AND (COALESCE(CARDINALITY(m.filters), 0) < 7 OR JSON_QUERY(c.properties, JSON_VALUE(m.filters[7], '$.path') WITH UNCONDITIONAL WRAPPER) = JSON_QUERY(m.filters[7], '$.equals' WITH UNCONDITIONAL WRAPPER))
    AND (COALESCE(CARDINALITY(m.filters), 0) < 8 OR JSON_QUERY(c.properties, JSON_VALUE(m.filters[8], '$.path') WITH UNCONDITIONAL WRAPPER) = JSON_QUERY(m.filters[8], '$.equals' WITH UNCONDITIONAL WRAPPER))
    AND (COALESCE(CARDINALITY(m.filters), 0) < 9 OR JSON_QUERY(c.properties, JSON_VALUE(m.filters[9], '$.path') WITH UNCONDITIONAL WRAPPER) = JSON_QUERY(m.filters[9], '$.equals' WITH UNCONDITIONAL WRAPPER))
    AND (COALESCE(CARDINALITY(m.filters), 0) < 10 OR JSON_QUERY(c.properties, JSON_VALUE(m.filters[10], '$.path') WITH UNCONDITIONAL WRAPPER) = JSON_QUERY(m.filters[10], '$.equals' WITH UNCONDITIONAL WRAPPER))
    AND (COALESCE(CARDINALITY(m.filters), 0) < 11 OR JSON_QUERY(c.properties, JSON_VALUE(m.filters[11], '$.path') WITH UNCONDITIONAL WRAPPER) = JSON_QUERY(m.filters[11], '$.equals' WITH UNCONDITIONAL WRAPPER))
    AND (COALESCE(CARDINALITY(m.filters), 0) < 12 OR JSON_QUERY(c.properties, JSON_VALUE(m.filters[12], '$.path') WITH UNCONDITIONAL WRAPPER) = JSON_QUERY(m.filters[12], '$.equals' WITH UNCONDITIONAL WRAPPER))
    AND (COALESCE(CARDINALITY(m.filters), 0) < 13 OR JSON_QUERY(c.properties, JSON_VALUE(m.filters[13], '$.path') WITH UNCONDITIONAL WRAPPER) = JSON_QUERY(m.filters[13], '$.equals' WITH UNCONDITIONAL WRAPPER))
    AND (COALESCE(CARDINALITY(m.filters), 0) < 14 OR JSON_QUERY(c.properties, JSON_VALUE(m.filters[14], '$.path') WITH UNCONDITIONAL WRAPPER) = JSON_QUERY(m.filters[14], '$.equals' WITH UNCONDITIONAL WRAPPER))
    AND (COALESCE(CARDINALITY(m.filters), 0) < 15 OR JSON_QUERY(c.properties, JSON_VALUE(m.filters[15], '$.path') WITH UNCONDITIONAL WRAPPER) = JSON_QUERY(m.filters[15], '$.equals' WITH UNCONDITIONAL WRAPPER))
    AND (COALESCE(CARDINALITY(m.filters), 0) < 16 OR JSON_QUERY(c.properties, JSON_VALUE(m.filters[16], '$.path') WITH UNCONDITIONAL WRAPPER) = JSON_QUERY(m.filters[16], '$.equals' WITH UNCONDITIONAL WRAPPER));

-- In micro-units. A property that is no number, or no whole number of millionths within range, adds nothing: 24 digits after the point
-- hold every double from a millionth up, so that whether it is whole is decided exactly. A step of a funnel adds nothing by itself.
CREATE TEMPORARY VIEW amounts AS
SELECT
  environment, experiment, phase, epoch, unit, metric, part, holder, reached,
  CASE
    WHEN event_id IS NULL OR reached IS NOT NULL THEN 0
    WHEN adds = 'events' THEN 1000000
    WHEN number_path IS NULL THEN COALESCE(micros, 0)
    WHEN whole = exact_number AND ABS(whole) <= 9223372036854.775807 THEN CAST(whole * 1000000 AS BIGINT)
    ELSE 0
  END AS amount
FROM (
  SELECT *, TRY_CAST(exact_number AS DECIMAL(19, 6)) AS whole
  FROM (SELECT *, TRY_CAST(SUBSTRING(number_text, 2, CHAR_LENGTH(number_text) - 2) AS DECIMAL(38, 24)) AS exact_number FROM counted_conversions)
);

-- ---- results ----

-- Sums of whole numbers with 38 digits: no sum of any events overflows.
CREATE TEMPORARY VIEW totals AS
SELECT
  environment, experiment, phase, epoch, metric, unit, MAX(holder) AS holder,
  SUM(CAST(CASE part WHEN 'value' THEN amount ELSE 0 END AS DECIMAL(38, 0))) AS value_total,
  SUM(CAST(CASE part WHEN 'pair' THEN amount ELSE 0 END AS DECIMAL(38, 0))) AS pair_total,
  ARRAY_AGG(reached) FILTER (WHERE reached IS NOT NULL) AS reached
FROM amounts
GROUP BY environment, experiment, phase, epoch, metric, unit;

-- A funnel: 1 if its letters come one after the other in the walk of the unit, which is all that it reached in the order of (time, event id).
-- An event that fits several steps stands there several times, side by side, the later step first: after one letter of it no letter of it is
-- the next, so that no event is two steps. The pattern looks for the first of each letter and never goes back (`*+`): it takes one pass, however
-- long the walk. The number of steps, at 7 characters each, says how much of it is asked for.
CREATE TEMPORARY VIEW walked_totals AS
SELECT
  environment, experiment, phase, epoch, metric, unit, holder,
  value_total + CAST(CASE WHEN REGEXP(walk, SUBSTRING(
    '^[^z]*+z[^y]*+y[^x]*+x[^w]*+w[^v]*+v[^u]*+u[^t]*+t[^s]*+s[^r]*+r[^q]*+q',
    1, 1 + 7 * TRY_CAST(REGEXP_EXTRACT(walk, '([0-9]{2})[q-z]', 1) AS INT))) THEN 1000000 ELSE 0 END AS DECIMAL(38, 0)) AS value_total,
  pair_total + CAST(CASE WHEN REGEXP(walk, SUBSTRING(
    '^[^p]*+p[^o]*+o[^n]*+n[^m]*+m[^l]*+l[^k]*+k[^j]*+j[^i]*+i[^h]*+h[^g]*+g',
    1, 1 + 7 * TRY_CAST(REGEXP_EXTRACT(walk, '([0-9]{2})[g-p]', 1) AS INT))) THEN 1000000 ELSE 0 END AS DECIMAL(38, 0)) AS pair_total
FROM (SELECT *, ARRAY_JOIN(ARRAY_SORT(reached), '') AS walk FROM totals);

-- The places in `holder`: where the unit type ends, and the length of the variation, which follows.
CREATE TEMPORARY VIEW held_totals AS
SELECT *, CAST(SUBSTRING(holder, 74 + unit_type_length, 3) AS INT) AS variation_length
FROM (SELECT *, CAST(SUBSTRING(holder, 71, 3) AS INT) AS unit_type_length FROM walked_totals);

-- Capped, at last within the range of 64 bits. Units that were overridden or seen in two variations are counted in no variation.
INSERT INTO unit_values
SELECT
  environment, experiment, phase, epoch, metric, unit,
  CASE WHEN SUBSTRING(holder, 39, 10) = 'counted   ' THEN SUBSTRING(holder, 77 + unit_type_length, variation_length) END AS variation,
  TRIM(SUBSTRING(holder, 64, 7)) AS key_kind,
  TRIM(SUBSTRING(holder, 39, 10)) AS standing,
  CAST(GREATEST(LEAST(value_total, CAST(SUBSTRING(holder, 1, 19) AS DECIMAL(38, 0))), CAST(-9223372036854775807 AS DECIMAL(38, 0))) AS BIGINT) AS `value`,
  CAST(GREATEST(LEAST(pair_total, CAST(SUBSTRING(holder, 20, 19) AS DECIMAL(38, 0))), CAST(-9223372036854775807 AS DECIMAL(38, 0))) AS BIGINT) AS pair,
  SUBSTRING(holder, 74, unit_type_length) AS unit_type,
  CAST(SUBSTRING(holder, 49, 15) AS BIGINT) AS exposed_at,
  NULLIF(SUBSTRING(holder, 77 + unit_type_length + variation_length), '') AS dimensions
FROM held_totals;

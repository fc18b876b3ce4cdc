//! Tables and documented views of `analytics.sqlite`.

/// Version of the tables below, kept in `meta`.
pub const VERSION: &str = "2";

/// What makes tables of a version those of the next: a version, the statements. Cells are made anew from the units' history.
pub const MIGRATIONS: [(&str, &str); 1] = [(
    "1",
    "DROP VIEW IF EXISTS aggregates; DROP TABLE cell; DELETE FROM target; DROP VIEW IF EXISTS unit_metrics; DROP TABLE known_metric;",
)];

/// `event` is clustered by id (version 7 ids arrive in order and go to its end); `history` by unit, so that a unit's events lie
/// on one page or two and are recomputed without searching. `cell` holds all units (cut 0), those of a band of values (-1 less the band's
/// number), and those of a dimension's value (its number in the dictionary); of one day or of all (-1). `known_step` holds the steps of
/// funnels, from 1, the last one included.
pub const TABLES: &str = "
CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS dictionary(id INTEGER PRIMARY KEY, text TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE IF NOT EXISTS event(
    id BLOB NOT NULL PRIMARY KEY, time INTEGER NOT NULL, received_at INTEGER NOT NULL, key_kind INTEGER NOT NULL,
    key_id INTEGER NOT NULL, name INTEGER NOT NULL, body TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS history(
    unit BLOB NOT NULL, time INTEGER NOT NULL, id BLOB NOT NULL, name INTEGER NOT NULL, unit_type INTEGER NOT NULL,
    key_kind INTEGER NOT NULL, experiment INTEGER, variation INTEGER, phase INTEGER, epoch INTEGER, overridden INTEGER,
    value INTEGER, properties TEXT, PRIMARY KEY(unit, time, id)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS target(
    id INTEGER PRIMARY KEY, experiment TEXT NOT NULL, phase INTEGER NOT NULL, metric TEXT NOT NULL, definition TEXT NOT NULL,
    complete INTEGER NOT NULL, covered_to BLOB, UNIQUE(experiment, phase, metric)) STRICT;
CREATE TABLE IF NOT EXISTS cell(
    target INTEGER NOT NULL, cut INTEGER NOT NULL, day INTEGER NOT NULL, epoch INTEGER NOT NULL, variation INTEGER NOT NULL,
    key_kind INTEGER NOT NULL, standing INTEGER NOT NULL, n INTEGER NOT NULL, sum TEXT NOT NULL, sum_sq TEXT NOT NULL,
    pair_sum TEXT NOT NULL, pair_sum_sq TEXT NOT NULL, pair_cross TEXT NOT NULL,
    PRIMARY KEY(target, cut, day, epoch, variation, key_kind, standing)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS known_experiment(
    sent INTEGER NOT NULL, phase INTEGER NOT NULL, experiment TEXT NOT NULL, unit_type INTEGER NOT NULL,
    PRIMARY KEY(sent, phase)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS known_variation(
    experiment TEXT NOT NULL, phase INTEGER NOT NULL, sent INTEGER NOT NULL, variation TEXT NOT NULL,
    PRIMARY KEY(experiment, phase, sent)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS known_metric(
    experiment TEXT NOT NULL, phase INTEGER NOT NULL, metric TEXT NOT NULL, kind TEXT NOT NULL, name INTEGER NOT NULL,
    property TEXT, filter TEXT NOT NULL, from_ms INTEGER NOT NULL, window_ms INTEGER NOT NULL, cap INTEGER,
    PRIMARY KEY(experiment, phase, metric)) STRICT, WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS known_step(
    experiment TEXT NOT NULL, phase INTEGER NOT NULL, metric TEXT NOT NULL, step INTEGER NOT NULL, name INTEGER NOT NULL,
    filter TEXT NOT NULL, PRIMARY KEY(experiment, phase, metric, step)) STRICT, WITHOUT ROWID;
";

/// The columns of the view `events`, and where they come from; an export reads them by ranges of `e.id`.
pub const EVENTS: &str = "
    e.body ->> '$.event_id' AS event_id, n.text AS event_name, e.time AS time_ms,
    strftime('%Y-%m-%dT%H:%M:%fZ', e.time / 1000.0, 'unixepoch') AS time, e.body ->> '$.timestamp' AS timestamp_ms,
    e.received_at AS received_at_ms, CASE e.key_kind WHEN 0 THEN 'server' WHEN 1 THEN 'client' ELSE 'sidecar' END AS key_kind,
    k.text AS key_id, e.body ->> '$.user_id' AS user_id, e.body -> '$.units' AS units, e.body ->> '$.unit' AS unit,
    e.body ->> '$.experiment_id' AS experiment_id, e.body ->> '$.variation_id' AS variation_id,
    COALESCE(e.body ->> '$.phase', 1) AS phase, COALESCE(e.body ->> '$.epoch', 1) AS epoch, e.body ->> '$.reason' AS reason,
    e.body ->> '$.value' AS value, e.body -> '$.properties' AS properties,
    e.body ->> '$.manifest_version' AS manifest_version, e.body ->> '$.sdk' AS sdk
  FROM event e JOIN dictionary n ON n.id = e.name JOIN dictionary k ON k.id = e.key_id";

/// What analysts read (`docs/contract/events.md` describes the columns). `exposures` and `unit_metrics` say the rules of
/// attribution once more, in SQL, over raw events: a check on the incremental aggregates as well as an answer.
const VIEWS: &str = "
DROP VIEW IF EXISTS unit_metrics;
DROP VIEW IF EXISTS unit_assignments;
DROP VIEW IF EXISTS exposures;
DROP VIEW IF EXISTS events;
DROP VIEW IF EXISTS aggregates;
DROP VIEW IF EXISTS daily_aggregates;
CREATE VIEW events AS SELECT {events};
CREATE VIEW exposures AS SELECT
    lower(hex(h.unit)) AS unit, t.text AS unit_type, COALESCE(x.experiment, d.text) AS experiment_id, h.phase, h.epoch,
    COALESCE(k.variation, v.text) AS variation_id, h.time AS time_ms, lower(hex(h.id)) AS event_id, h.overridden,
    CASE h.key_kind WHEN 0 THEN 'server' WHEN 1 THEN 'client' ELSE 'sidecar' END AS key_kind
  FROM history h JOIN dictionary d ON d.id = h.experiment JOIN dictionary v ON v.id = h.variation
    JOIN dictionary t ON t.id = h.unit_type
    LEFT JOIN known_experiment x ON x.sent = h.experiment AND x.phase = h.phase
    LEFT JOIN known_variation k ON k.experiment = x.experiment AND k.phase = h.phase AND k.sent = h.variation
  WHERE h.experiment IS NOT NULL;
CREATE VIEW unit_assignments AS
  WITH seen AS (
    SELECT h.unit, x.experiment, h.phase, h.epoch, COALESCE(k.variation, v.text) AS variation, h.time, h.id, h.overridden, h.key_kind
      FROM history h JOIN known_experiment x ON x.sent = h.experiment AND x.phase = h.phase AND x.unit_type = h.unit_type
        JOIN dictionary v ON v.id = h.variation
        LEFT JOIN known_variation k ON k.experiment = x.experiment AND k.phase = h.phase AND k.sent = h.variation),
  ordered AS (
    SELECT *, ROW_NUMBER() OVER (PARTITION BY unit, experiment, phase, epoch ORDER BY time, id) AS place FROM seen),
  variety AS (
    SELECT unit, experiment, phase, epoch, COUNT(DISTINCT variation) AS variations FROM seen GROUP BY 1, 2, 3, 4),
  forced AS (SELECT DISTINCT unit, experiment, phase FROM seen WHERE overridden)
  SELECT o.unit, o.experiment, o.phase, o.epoch, o.variation, o.time AS t0, o.key_kind,
    CASE WHEN f.unit IS NOT NULL THEN 'overridden' WHEN y.variations > 1 THEN 'multiple' ELSE 'counted' END AS standing
  FROM ordered o JOIN variety y USING (unit, experiment, phase, epoch) LEFT JOIN forced f USING (unit, experiment, phase)
  WHERE o.place = 1;
CREATE VIEW unit_metrics AS
  SELECT lower(hex(a.unit)) AS unit, a.experiment AS experiment_id, a.phase, a.epoch, a.variation AS variation_id,
    a.t0 AS first_exposure_ms, m.metric,
    MIN(CASE m.kind WHEN 'funnel' THEN 1000000 * EXISTS (
        WITH RECURSIVE reached(step, time, id) AS (
          SELECT 0, a.t0 + m.from_ms, x''
          UNION ALL
          SELECT s.step, n.time, n.id FROM reached r
            JOIN known_step s ON s.experiment = m.experiment AND s.phase = m.phase AND s.metric = m.metric AND s.step = r.step + 1
            JOIN history n ON n.unit = a.unit AND (n.time, n.id) = (
              SELECT o.time, o.id FROM history o
              WHERE o.unit = a.unit AND o.name = s.name AND (o.time, o.id) > (r.time, r.id) AND o.time < a.t0 + m.window_ms
                AND NOT EXISTS (SELECT 1 FROM json_each(s.filter) f
                  WHERE (o.properties -> (f.value ->> '$.path')) IS NOT (f.value -> '$.equals'))
              ORDER BY o.time, o.id LIMIT 1))
        SELECT 1 FROM reached
        WHERE step = (SELECT MAX(l.step) FROM known_step l WHERE l.experiment = m.experiment AND l.phase = m.phase AND l.metric = m.metric))
      WHEN 'proportion' THEN (COUNT(h.id) > 0) * 1000000 WHEN 'count' THEN COUNT(h.id) * 1000000
         ELSE COALESCE(SUM(CASE WHEN h.id IS NULL THEN 0 WHEN m.property IS NULL THEN h.value
           WHEN json_type(h.properties, m.property) IN ('integer', 'real')
             THEN CAST(ROUND(CAST(h.properties -> m.property AS REAL) * 1000000) AS INTEGER) END), 0) END,
      COALESCE(m.cap, 9223372036854775807)) AS value_micros
  FROM unit_assignments a JOIN known_metric m ON m.experiment = a.experiment AND m.phase = a.phase
    LEFT JOIN history h ON h.unit = a.unit AND h.name = m.name AND h.time >= a.t0 + m.from_ms AND h.time < a.t0 + m.window_ms
      AND NOT EXISTS (SELECT 1 FROM json_each(m.filter) f
        WHERE (h.properties -> (f.value ->> '$.path')) IS NOT (f.value -> '$.equals'))
  WHERE a.standing = 'counted'
  GROUP BY a.unit, a.experiment, a.phase, a.epoch, m.metric;
CREATE VIEW aggregates AS SELECT
    t.experiment AS experiment_id, t.phase, c.epoch, d.text AS variation_id, t.metric,
    CASE c.key_kind WHEN 0 THEN 'server' WHEN 1 THEN 'client' ELSE 'sidecar' END AS key_kind,
    CASE c.standing WHEN 0 THEN 'counted' WHEN 1 THEN 'multiple' ELSE 'overridden' END AS standing,
    c.n, c.sum, c.sum_sq, c.pair_sum, c.pair_sum_sq, c.pair_cross, t.complete
  FROM cell c JOIN target t ON t.id = c.target LEFT JOIN dictionary d ON d.id = c.variation
  WHERE c.cut = 0 AND c.day = -1;
CREATE VIEW daily_aggregates AS SELECT
    t.experiment AS experiment_id, t.phase, c.epoch, d.text AS variation_id, t.metric,
    CASE c.key_kind WHEN 0 THEN 'server' WHEN 1 THEN 'client' ELSE 'sidecar' END AS key_kind,
    CASE c.standing WHEN 0 THEN 'counted' WHEN 1 THEN 'multiple' ELSE 'overridden' END AS standing,
    date(c.day * 86400, 'unixepoch') AS day, u.text AS cut,
    c.n, c.sum, c.sum_sq, c.pair_sum, c.pair_sum_sq, c.pair_cross, t.complete
  FROM cell c JOIN target t ON t.id = c.target LEFT JOIN dictionary d ON d.id = c.variation LEFT JOIN dictionary u ON u.id = c.cut
  WHERE c.day >= 0 AND c.cut >= 0;
";

/// The statements that make the views anew (they hold no data, so a new version of them needs no migration).
pub fn views() -> String {
    VIEWS.replace("{events}", EVENTS)
}

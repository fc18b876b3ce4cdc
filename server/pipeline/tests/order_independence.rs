//! Results are a function of the set of events: order, duplicates, batches, restarts and the moment a definition appears change no
//! aggregate. Every case is compared with the naive model, and with the SQL views.

mod support;

use std::sync::Arc;

use evenhand_pipeline::{
    IngestMeta, KeyKind, Pipeline, SqlLimits, SqlValue,
    analytics::Slice,
    catalog::{Catalog, CatalogExperiment},
    process::aggregate::Standing,
};
use proptest::prelude::*;
use support::{
    NOW,
    model::{self, Row, Sent, Table},
};

fn catalogs() -> (Arc<Catalog>, Arc<Catalog>) {
    let small = support::experiment(
        "exp-a",
        1,
        vec![support::event_metric(
            "bought",
            evenhand_stats::MetricKind::Proportion,
            "purchase",
        )],
    );
    let device = CatalogExperiment {
        unit_type: "device_id".into(),
        ..support::experiment("exp-d", 1, support::metrics_of_every_kind())
    };
    let full = vec![
        support::experiment("exp-a", 1, support::metrics_of_every_kind()),
        CatalogExperiment {
            dimensions: vec!["country".into(), "beta".into()],
            ..support::experiment("exp-a", 2, support::metrics_of_every_kind())
        },
        support::experiment("exp-b", 1, support::metrics_of_every_kind()),
        device,
    ];
    (support::catalog(vec![small]), support::catalog(full))
}

fn any_event() -> impl Strategy<Value = String> {
    let exposure = (0..4_usize, 0..5_usize, 1..3_u32, 1..3_u32, 0..12_u8, any::<bool>(), 0..6_usize).prop_map(
        |(experiment, variation, phase, epoch, forced, by_device, about)| {
            let experiment = ["exp-a", "exp-a-opaque", "exp-b", "exp-d"][experiment];
            let real = experiment.trim_end_matches("-opaque");
            let variation = match variation {
                0 | 1 => "control".to_owned(),
                2 => "treatment".to_owned(),
                3 => format!("{real}-treatment-opaque"),
                _ => "unheard-of".to_owned(),
            };
            let reason = if forced == 0 { "OVERRIDE" } else { "SPLIT" };
            let unit = if by_device || experiment == "exp-d" { "device_id" } else { "user_id" };
            let about = [
                r#"{"country":"SE","beta":true}"#,
                r#"{"country":"NO","beta":false}"#,
                r#"{"country":"","beta":1}"#,
                r#"{"country":"åååååååååååååååååååååååååååååååååååååååååååååååååååååååååååååååå"}"#,
                r#"{"country":"ååååååååååååååååååååååååååååååååååååååååååååååååååååååååååååååååå","beta":null}"#,
                "{}",
            ][about];
            format!(
                r#""event_name":"$exposure","experiment_id":"{experiment}","variation_id":"{variation}","phase":{phase},"epoch":{epoch},"reason":"{reason}","unit":"{unit}","properties":{about}"#
            )
        },
    );
    let conversion =
        (any::<bool>(), -5_i64..40_000_000, 0..3_usize, 0..300_i32).prop_map(|(bought, micros, colour, price)| {
            let name = if bought { "purchase" } else { "view" };
            let colour = [r#""red""#, r#""blue""#, "7"][colour];
            format!(
                r#""event_name":"{name}","value":"{}","properties":{{"colour":{colour},"price":{}}}"#,
                evenhand_core::event::Micros(micros),
                f64::from(price) / 100.0
            )
        });
    // Few ids, units and moments, so that duplicates, ties and borders are common.
    let place = (0..60_u64, 0..4_u8, 0..3_u8, 0..100_i64);
    (place, prop_oneof![exposure, conversion]).prop_map(|((id, user, device, second), rest)| {
        format!(
            r#"{{"event_id":"{}","timestamp":{},"user_id":"u{user}","units":{{"device_id":"d{device}"}},{rest}}}"#,
            support::event_id(id),
            // Around a midnight, so that days are on both sides of it.
            NOW - NOW % 86_400_000 - 50_000 + second * 1_000
        )
    })
}

fn any_record() -> impl Strategy<Value = Sent> {
    (
        any_event(),
        prop_oneof![2 => Just(None), 1 => (-3_000..3_000_i64).prop_map(Some)],
        0..20_i64,
    )
        .prop_map(|(json, skew, later)| {
            let received_at = NOW + later * 1_000;
            // The key kind follows the event id: one event comes from one application.
            let digit = json.as_bytes()[48];
            let key_kind = KeyKind::ALL[usize::from(digit) % 3];
            Sent {
                json,
                sent_at: skew.map(|s| received_at + s),
                received_at,
                key_kind,
            }
        })
}

/// What happens between two requests.
#[derive(Debug, Clone, Copy)]
enum Between {
    Nothing,
    Settle,
    Reopen,
    FullCatalog,
    SmallCatalog,
}

fn any_between() -> impl Strategy<Value = Between> {
    prop_oneof![
        6 => Just(Between::Nothing),
        2 => Just(Between::Settle),
        1 => Just(Between::Reopen),
        1 => Just(Between::FullCatalog),
        1 => Just(Between::SmallCatalog),
    ]
}

fn ingest(pipeline: &Pipeline, record: &Sent) {
    let body = match record.sent_at {
        Some(sent_at) => format!(r#"{{"sent_at":{sent_at},"events":[{}]}}"#, record.json),
        None => record.json.clone(),
    };
    let meta = IngestMeta {
        received_at_ms: record.received_at,
        ..support::meta(record.key_kind)
    };
    let outcome = support::send(pipeline, &body, meta).unwrap();
    assert_eq!(outcome.accepted, 1, "{outcome:?}");
}

fn table(pipeline: &Pipeline, catalog: &Catalog) -> Table {
    let mut table = Table::new();
    for experiment in &catalog.experiments {
        for slice in Slice::all(&experiment.dimensions) {
            table_of(pipeline, experiment, &slice, &mut table);
        }
    }
    table
}

fn table_of(pipeline: &Pipeline, experiment: &CatalogExperiment, slice: &Slice, table: &mut Table) {
    let all = pipeline
        .aggregates(&experiment.id, experiment.phase, slice)
        .unwrap()
        .expect("the phase is known");
    let targets =
        std::iter::once((String::new(), &all.assignment)).chain(all.metrics.iter().map(|(id, t)| (id.clone(), t)));
    for (metric, target) in targets {
        assert!(target.complete);
        for cell in target.cells.iter().chain(&target.bands) {
            let standing = match cell.standing {
                Standing::Counted => "counted",
                Standing::Multiple => "multiple",
                Standing::Overridden => "overridden",
            };
            let small = |sum: &evenhand_pipeline::process::exact::Exact| sum.to_i128().unwrap();
            let row = Row {
                n: cell.sums.n,
                sum: small(&cell.sums.sum),
                sum_sq: small(&cell.sums.sum_sq),
                pair_sum: small(&cell.sums.pair_sum),
                pair_sum_sq: small(&cell.sums.pair_sum_sq),
                pair_cross: small(&cell.sums.pair_cross),
            };
            let variation = cell.variation.clone().unwrap_or_default();
            let key = (
                experiment.id.clone(),
                experiment.phase,
                metric.clone(),
                cell.epoch,
                variation,
                cell.key_kind.code(),
                standing,
            );
            let place = (cell.day, cell.cut.text().into_owned());
            assert!(table.insert((key, place), row).is_none());
        }
    }
}

/// Σ of the view `unit_metrics` by metric against the aggregates of the event metrics.
fn check_views(pipeline: &Pipeline, table: &Table) {
    let sql = "SELECT experiment_id, phase, metric, COUNT(*), SUM(value_micros) FROM unit_metrics GROUP BY 1, 2, 3 ORDER BY 1, 2, 3";
    let answer = pipeline.sql(sql, SqlLimits::default()).unwrap();
    let mut expected = std::collections::BTreeMap::new();
    let whole = (None, String::new());
    // The units themselves, and metrics that are put together of others.
    let others = ["", "revenue_per_view", "before", "views_revenue_before"];
    for (((experiment, phase, metric, ..), _), row) in table
        .iter()
        .filter(|(key, _)| key.1 == whole && !others.contains(&key.0.2.as_str()))
    {
        let entry = expected
            .entry((experiment.clone(), i64::from(*phase), metric.clone()))
            .or_insert((0, 0));
        entry.0 += row.n;
        entry.1 += i64::try_from(row.sum).unwrap();
    }
    let expected: Vec<Vec<SqlValue>> = expected
        .into_iter()
        .map(|((experiment, phase, metric), (n, sum))| {
            vec![
                SqlValue::Text(experiment),
                SqlValue::Integer(phase),
                SqlValue::Text(metric),
                SqlValue::Integer(n),
                SqlValue::Integer(sum),
            ]
        })
        .collect();
    assert_eq!(answer.rows, expected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, ..ProptestConfig::default() })]
    #[test]
    fn aggregates_are_a_function_of_the_set(
        records in prop::collection::vec((any_record(), any_between()), 1..120).prop_shuffle(),
        repeats in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
    ) {
        let (small, full) = catalogs();
        let dir = tempfile::tempdir().unwrap();
        let mut pipeline = support::open(dir.path());
        let again: Vec<(Sent, Between)> = repeats.iter().map(|at| (at.get(&records).0.clone(), Between::Nothing)).collect();
        let all: Vec<&(Sent, Between)> = records.iter().chain(&again).collect();
        for (record, between) in &all {
            ingest(&pipeline, record);
            match between {
                Between::Nothing => {}
                Between::Settle => support::settle(&pipeline),
                Between::Reopen => {
                    drop(pipeline);
                    pipeline = support::open(dir.path());
                }
                Between::FullCatalog => pipeline.set_catalog(Arc::clone(&full)).unwrap(),
                Between::SmallCatalog => pipeline.set_catalog(Arc::clone(&small)).unwrap(),
            }
        }
        pipeline.set_catalog(Arc::clone(&full)).unwrap();
        support::settle(&pipeline);
        let sent: Vec<Sent> = all.iter().map(|(record, _)| record.clone()).collect();
        let ours = table(&pipeline, &full);
        prop_assert_eq!(&ours, &model::aggregates(&sent, &full));
        check_views(&pipeline, &ours);
    }
}

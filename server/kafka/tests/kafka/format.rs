//! What stands in the topic, byte for byte; what is said of topics; what happens without a broker.

use std::time::Duration;

use evenhand_kafka::{KafkaSettings, KafkaSink, SinkSettings, ensure_topics};
use evenhand_pipeline::IngestError;

use crate::{
    broker::{read_all, runtime, shared, topics, wanted},
    events::{NOW, id, ingestion, meta, send},
};

/// Java's hash of keys, as its documentation gives it.
fn murmur2(data: &[u8]) -> u32 {
    const M: u32 = 0x5bd1_e995;
    let mut h = 0x9747_b28c ^ u32::try_from(data.len()).unwrap();
    let mut chunks = data.chunks_exact(4);
    for chunk in &mut chunks {
        let mut k = u32::from_le_bytes(chunk.try_into().unwrap()).wrapping_mul(M);
        k ^= k >> 24;
        h = h.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    let rest = chunks.remainder();
    for (place, byte) in rest.iter().enumerate() {
        h ^= u32::from(*byte) << (8 * place);
    }
    if !rest.is_empty() {
        h = h.wrapping_mul(M);
    }
    h ^= h >> 13;
    h = h.wrapping_mul(M);
    h ^ (h >> 15)
}

/// The digests are `printf %s EVENT | sha256sum`.
#[test]
fn one_event_is_one_record_in_the_agreed_bytes() {
    let broker = shared();
    let settings = topics(&broker.url, "format", 5);
    let sink = KafkaSink::open(&settings, &SinkSettings::default()).unwrap();
    let (a, b) = (id(1), id(2));
    let body = format!(
        r#"[{{"event_id":"{a}","event_name":"buy","timestamp":{},"user_id":"ü/1","units":{{"device_id":"d-7"}},"value":1.50}},
            {{"event_id":"{b}","event_name":"$exposure","timestamp":{},"unit":"device_id","units":{{"z":"9","device_id":"d-7"}},"experiment_id":"e","variation_id":"v"}}]"#,
        NOW - 5,
        NOW + 5
    );
    let mut meta = meta();
    meta.import = true;
    let outcome = runtime()
        .block_on(ingestion(&sink).ingest(body.as_bytes(), meta))
        .unwrap();
    assert_eq!((outcome.accepted, outcome.rejected.len()), (2, 0));
    let first = format!(
        r#"{{"event_id":"{a}","event_name":"buy","timestamp":{},"units":{{"device_id":"d-7"}},"user_id":"ü/1","value":"1.5"}}"#,
        NOW - 5
    );
    let second = format!(
        r#"{{"event_id":"{b}","event_name":"$exposure","experiment_id":"e","timestamp":{},"unit":"device_id","units":{{"device_id":"d-7","z":"9"}},"variation_id":"v"}}"#,
        NOW + 5
    );
    let record = |digest: &str, event: &str, time: i64| {
        format!(
            r#"{{"digest":"{digest}","environment":"production","event":{event},"import":true,"key_id":"key-1","key_kind":"server","received_at":{NOW},"time":{time}}}"#
        )
    };
    let expected = [
        ("ü/1", record(FIRST_DIGEST, &first, NOW - 5)),
        ("d-7", record(SECOND_DIGEST, &second, NOW)),
    ];
    let found = read_all(&broker.url, &settings.events());
    assert_eq!(found.len(), 2);
    for (key, value) in expected {
        let record = found.iter().find(|found| found.key == key).unwrap();
        assert_eq!(record.value, value);
        assert_eq!(
            record.partition,
            i32::try_from((murmur2(key.as_bytes()) & 0x7fff_ffff) % 5).unwrap()
        );
    }
    assert_eq!(sink.status().produced, 2);
    assert_eq!(sink.status().problem(NOW), None);
}

const FIRST_DIGEST: &str = "d957d6027863aeca3ec54783bdfeef113143d09c43c93a007f09823f4a7a0834";
const SECOND_DIGEST: &str = "4e99bdadf89b879d494ececcaa31719034d72eefd5d235c886ced9d84387b797";

#[test]
fn topics_are_made_and_what_differs_is_said_with_what_mends_it() {
    let broker = shared();
    let settings = topics(&broker.url, "said", 2);
    let look = |wanted| runtime().block_on(ensure_topics(&settings, &wanted)).unwrap();
    let again = look(wanted(2));
    assert_eq!(again, Default::default());
    let mut other = wanted(4);
    other.replication = 3;
    other.retention = Duration::from_secs(90 * 86_400);
    let said = look(other).differences.join("\n");
    for words in [
        "--alter --topic said.events --partitions 4",
        "topic said.units has 2 partitions, the settings say 4: set them to 2",
        "has 1 copies, the settings say 3",
        "--entity-name said.units --add-config retention.ms=7776000000",
    ] {
        assert!(said.contains(words), "{words}: {said}");
    }
    let mut elsewhere = settings.clone();
    elsewhere.prefix = "absent".into();
    let mut none = wanted(2);
    none.create = false;
    let report = runtime().block_on(ensure_topics(&elsewhere, &none)).unwrap();
    assert!(!report.is_usable() && report.missing.len() == 3);
    assert!(
        report.missing[0].contains("--create --topic absent.events --partitions 2"),
        "{report:?}"
    );
}

#[test]
fn without_broker_and_spool_events_are_refused_with_words() {
    let nowhere = KafkaSettings::new("127.0.0.1:1");
    let settings = SinkSettings {
        ack_timeout: Duration::from_millis(300),
        ..SinkSettings::default()
    };
    let sink = KafkaSink::open(&nowhere, &settings).unwrap();
    let ingestion = ingestion(&sink);
    let error = runtime().block_on(send(&ingestion, 0..3)).unwrap_err();
    assert!(
        matches!(&error, IngestError::Storage { message, retry_after_seconds: 5 } if message.contains("no acknowledgement")),
        "{error:?}"
    );
    let status = sink.status();
    assert_eq!((status.takes_events(), status.refused, status.produced), (false, 3, 0));
    assert!(
        status
            .problem(NOW)
            .unwrap()
            .contains("there is no spool: events are refused")
    );
    assert_eq!(ingestion.gauges().storage_refused, 3);
}

#[test]
fn secrets_stay_out_of_what_is_shown() {
    let mut settings = KafkaSettings::new("k:9092");
    settings.options.insert("sasl.password".into(), "hunter2".into());
    settings.options.insert("ssl.key.pem".into(), "hunter2".into());
    settings.options.insert("security.protocol".into(), "sasl_ssl".into());
    let shown = format!("{settings:?}");
    assert!(!shown.contains("hunter2") && shown.contains("sasl_ssl"), "{shown}");
}

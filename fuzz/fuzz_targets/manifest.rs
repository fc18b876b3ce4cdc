//! Any bytes as a manifest or an envelope: refused with a place and a remedy, or a snapshot that answers for every flag, in
//! which `explain` and `evaluate` agree, a packed decision fits a double, and exactly the reported flags are unsupported.
#![no_main]

use std::collections::BTreeSet;
use std::sync::LazyLock;

use evenhand_core::envelope::open_envelope;
use evenhand_core::id_list::{IdList, IdListBuilder};
use evenhand_core::{Context, Reason, Snapshot, StickyRecord};

static CONTEXT: LazyLock<Context> = LazyLock::new(|| {
    let mut context = Context::new();
    context
        .set("user_id", "user-42")
        .set("device_id", 7i64)
        .set("country", "US")
        .set("os_version", "17.2")
        .set("age", 30.5);
    context
        .set("tags", vec!["a", "beta"])
        .set("staff", true)
        .set("ip", "10.1.2.3")
        .set("since", "2024-02-29T00:00:00Z");
    let record = StickyRecord {
        experiment: "exp".into(),
        phase: 1,
        unit: "user-42".into(),
        variation: "b".into(),
    };
    context.set_sticky(record).set_forced("forced", "b");
    context
});
static LISTS: LazyLock<Vec<IdList>> = LazyLock::new(|| {
    let mut builder = IdListBuilder::new("s");
    builder.add("user-42").expect("a unit id");
    let blob = builder.build();
    vec![IdList::open(blob.bytes.into(), &blob.sha256, blob.count).expect("our own blob")]
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let manifest = open_envelope(bytes, None, None).map_or(bytes, |opened| opened.manifest);
    let (snapshot, report) = match Snapshot::compile(manifest, &*LISTS) {
        Ok(compiled) => compiled,
        Err(error) => {
            assert!(
                !error.message.is_empty() && !error.remedy.is_empty() && error.line >= 1 && error.column >= 1,
                "{error:?}"
            );
            return;
        }
    };
    for fault in &report.faults {
        assert!(
            !fault.message.is_empty() && !fault.remedy.is_empty() && fault.line >= 1 && fault.column >= 1,
            "{fault:?}"
        );
    }
    let mut unsupported = BTreeSet::new();
    for now_ms in [0, 1_764_000_000_000, i64::MAX] {
        snapshot.evaluate_all(&*CONTEXT, now_ms, |flag, packed| {
            assert!(packed.to_number() < 1 << 53);
            let decision = snapshot.decision(flag, packed);
            assert_eq!(decision.packed, packed);
            if decision.reason == Reason::Unsupported {
                unsupported.insert(snapshot.flag_key(flag));
            }
            let exposure = snapshot.exposure(flag, packed);
            assert_eq!(exposure.is_some(), decision.has_exposure());
            // Obfuscated keys are not what a caller asks for.
            if snapshot.flag(decision.flag) == Some(flag) {
                let explanation = snapshot.explain(decision.flag, &*CONTEXT, now_ms);
                assert_eq!(explanation.decision, decision, "explain and evaluate disagree");
                serde_json::to_vec(&explanation).expect("an explanation is JSON");
            }
        });
    }
    assert_eq!(
        unsupported,
        report.unsupported().collect::<BTreeSet<_>>(),
        "reported flags and UNSUPPORTED ones differ"
    );
});

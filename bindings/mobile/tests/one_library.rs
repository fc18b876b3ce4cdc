//! The ways into the library give the same: uniffi's objects, the hot path by address, and the C ABI on the same handles.

use evenhand_core::flat;
use evenhand_core::{Context, Packed, Reason, Slots, Snapshot};
use evenhand_mobile::c::{
    evenhand_mobile_decide_bound, evenhand_mobile_decide_records, evenhand_mobile_evaluate_all_bound,
    evenhand_mobile_evaluate_bound, evenhand_mobile_evaluate_records,
};
use evenhand_mobile::engine::NativeEngine;
use evenhand_mobile::error::NativeError;
use evenhand_mobile::functions::panic_for_tests;
use evenhand_mobile::records::{EngineSettings, ForcedRow, SessionSettings};
use evenhand_mobile::session::NativeSession;

const MANIFEST: &str = r#"{"schema":1,"environment":"e","audience":"server","generation":1,"version":7,"issued_at_ms":0,"flags":{
  "greeting":{"type":"string","off":"plain","default":"plain","variations":[{"key":"plain","value":"Hello"},{"key":"warm","value":"Hi"}],
  "rules":[{"id":"r","kind":"experiment","experiment":"greetings","phase":1,"unit":"user_id",
    "traffic":{"hash":"murmur3_32","salt":"t","ranges":[[0,4294967296]]},
    "split":{"hash":"murmur3_32","salt":"s","ranges":[[0,2147483648,"plain"],[2147483648,4294967296,"warm"]]}}]}}}"#;

// The C ABI, as a program that includes evenhand.h links it.
unsafe extern "C" {
    fn evenhand_evaluate(snapshot: *const u8, flag: u32, context: *const u8, now_ms: i64) -> u64;
    fn evenhand_session_snapshots(session: *const u8) -> u64;
}

/// `user_id` as a flat record.
fn records(id: &str) -> Vec<u8> {
    let mut bytes = 0i32.to_ne_bytes().to_vec();
    bytes.extend(i32::try_from(id.len()).expect("short").to_ne_bytes());
    bytes.extend(id.as_bytes());
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

fn session() -> std::sync::Arc<NativeSession> {
    let settings = SessionSettings {
        sdk: "test/1".to_owned(),
        ..SessionSettings::default()
    };
    let session = NativeSession::new(settings, vec![7; 16], 1_000).expect("the settings are right");
    session
        .update_manifest(MANIFEST.into(), 1_000)
        .expect("the manifest is right");
    session
}

#[test]
fn all_ways_give_the_decision_of_the_core() {
    let session = session();
    let snapshot = session.snapshot().expect("no panic").expect("it has one");
    let (core, _) = Snapshot::compile(MANIFEST.as_bytes(), &()).expect("the manifest is right");
    let flag = core.flag("greeting").expect("it is there");
    for id in ["user-1", "", "\u{1f600}", "nul\0inside", &"x".repeat(4096)] {
        let expected = core
            .evaluate_packed(flag, &Context::new().with("user_id", id), 0)
            .to_number() as i64;
        let records = records(id);
        let mut slots = Slots::new(&core);
        flat::fill(&mut slots, &records);
        assert_eq!(
            core.evaluate_packed(flag, &slots, 0).to_number() as i64,
            expected,
            "{id:?}"
        );

        let context = snapshot.bind(records.clone(), vec![], vec![]).expect("no panic");
        assert_eq!(context.evaluate_bound(&snapshot, 0, 0).expect("no panic"), expected);
        assert_eq!(context.evaluate_all(0).expect("no panic"), [expected]);
        assert_eq!(
            snapshot.evaluate_records(records.clone(), 0, 0).expect("no panic"),
            expected
        );
        let (at, with) = (snapshot.address() as *const _, context.address() as *const _);
        // SAFETY: both objects live.
        unsafe {
            assert_eq!(evenhand_mobile_evaluate_bound(at, with, 0, 0), expected);
            assert_eq!(
                evenhand_mobile_evaluate_records(at, records.as_ptr(), records.len(), 0, 0),
                expected
            );
            let mut all = [0; 2];
            assert_eq!(evenhand_mobile_evaluate_all_bound(at, with, 0, all.as_mut_ptr(), 2), 1);
            assert_eq!(all[0], expected);
        }
    }
}

#[test]
fn a_decision_says_whether_an_exposure_was_queued() {
    let session = session();
    let snapshot = session.snapshot().expect("no panic").expect("it has one");
    let context = snapshot.bind(records("user-1"), vec![], vec![]).expect("no panic");
    let packed = context.evaluate_bound(&snapshot, 0, 0).expect("no panic");
    let (to, at, with) = (
        session.address() as *const _,
        snapshot.address() as *const _,
        context.address() as *const _,
    );
    // SAFETY: all three objects live.
    unsafe {
        assert_eq!(
            evenhand_mobile_decide_bound(to, at, with, 0, 2_000),
            -1 - packed,
            "queued"
        );
        assert_eq!(
            evenhand_mobile_decide_bound(to, at, with, 0, 2_001),
            packed,
            "queued lately"
        );
        let other = records("user-2");
        assert!(evenhand_mobile_decide_records(to, at, other.as_ptr(), other.len(), 0, 2_002) < 0);
    }
    assert_eq!(session.telemetry(2_002).expect("no panic").exposures.queued, 2);
}

#[test]
fn addresses_are_handles_of_the_c_abi() {
    let session = session();
    let snapshot = session.snapshot().expect("no panic").expect("it has one");
    // SAFETY: both objects live; no context means that nothing is known.
    unsafe {
        assert_eq!(evenhand_session_snapshots(session.address() as *const u8), 1);
        let packed = evenhand_evaluate(snapshot.address() as *const u8, 0, std::ptr::null(), 0);
        let packed = Packed::from_number(packed).expect("a packed decision");
        assert_eq!(packed.reason(), Reason::NoUnit);
    }
}

#[test]
fn a_context_serves_its_own_snapshot_only() {
    let engine = NativeEngine::new(EngineSettings::default()).expect("the settings are right");
    let first = engine.update(MANIFEST.into()).expect("the manifest is right");
    let forced = ForcedRow {
        flag: "greeting".to_owned(),
        variation: "warm".to_owned(),
    };
    let context = first.bind(records("user-1"), vec![], vec![forced]).expect("no panic");
    let second = engine
        .update(MANIFEST.replace(":7", ":8").into())
        .expect("a newer manifest");
    let fault = Packed::bare(Reason::Error).to_number() as i64;
    assert_eq!(context.evaluate_bound(&second, 0, 0).expect("no panic"), fault);
    assert_ne!(context.evaluate_bound(&first, 0, 0).expect("no panic"), fault);
    drop(first);
    assert!(
        matches!(context.evaluate_all(0), Err(NativeError::Invalid { .. })),
        "the snapshot is gone"
    );
}

#[test]
fn what_is_wrong_is_told_and_a_panic_ends_nothing() {
    assert!(matches!(panic_for_tests(), Err(NativeError::Fault { detail }) if detail.contains("deliberate")));
    let session = session();
    assert!(matches!(
        session.update_manifest(b"{".to_vec(), 0),
        Err(NativeError::Refused { .. })
    ));
    assert!(matches!(
        session.restore(vec![], vec![1], 0),
        Err(NativeError::Invalid { .. })
    ));
    let fault = Packed::bare(Reason::Error).to_number() as i64;
    let none = std::ptr::null();
    // SAFETY: NULL is allowed.
    unsafe { assert_eq!(evenhand_mobile_evaluate_bound(none, none.cast(), 0, 0), fault) };
}

//! Any bytes as a spool whose checksum is right: what is taken from it can be sent and stands in the next spool.
#![no_main]

use evenhand_core::digest::sha256_hex;
use evenhand_session::{Action, Options, Session};

fn session() -> Session {
    let options = Options {
        fetch: false,
        ..Options::default()
    };
    Session::new(options, [1; 16], 0)
}

libfuzzer_sys::fuzz_target!(|payload: &[u8]| {
    let spool = [b"EHSPOOL1", sha256_hex(payload).as_bytes(), b"\n", payload].concat();
    let mut first = session();
    let restored = first.restore(&spool, [2; 16], 0);
    let seen = first.telemetry(0);
    assert_eq!(seen.held_events, restored.events as u64);
    assert_eq!(seen.manifest.is_some(), restored.manifest);

    let mut second = session();
    let again = second.restore(&first.spool(), [3; 16], 0);
    assert_eq!(again, restored, "a spool of what was restored says something else");
    assert_eq!(second.spool(), first.spool());

    for _ in 0..8 {
        if let Action::SendEvents {
            batch_id, body, events, ..
        } = first.next(0)
        {
            let body: serde_json::Value = serde_json::from_slice(&body).expect("a batch is JSON");
            assert_eq!(body["events"].as_array().map(Vec::len), Some(events));
            first.batch_response(batch_id, 200, None, payload, 0);
        }
    }
});

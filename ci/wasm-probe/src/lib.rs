//! One export that reaches the whole path of a decision, so that the linker keeps it: whatever in it needed a clock, a file or
//! randomness would stand as an import of the module, and ci/msrv-wasm refuses any.

use evenhand_core::context_json::parse_context;
use evenhand_core::envelope::open_envelope;
use evenhand_core::event::Event;
use evenhand_core::sign::{KeySet, PublicKey};
use evenhand_core::{Snapshot, override_token};

/// Verifies and compiles the bytes, decides and explains every flag, reads an event and a token. Returns the last packed decision.
///
/// # Safety
/// `bytes` points to `length` readable bytes.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn evenhand_probe(bytes: *const u8, length: usize, now_ms: i64) -> u64 {
    // SAFETY: the caller's promise.
    let bytes = unsafe { core::slice::from_raw_parts(bytes, length) };
    let Ok(key) = PublicKey::from_bytes(&[9; 32]) else {
        return 1;
    };
    let keys = KeySet::new().with("k", key);
    let token = override_token::verify(&String::from_utf8_lossy(bytes), &keys, "e", now_ms)
        .map_or(0, |grant| grant.flag.len() as u64);
    let event = Event::parse(bytes).map_or(0, |event| event.units.len() as u64);
    let Ok(context) = parse_context(bytes) else { return 2 };
    let manifest = open_envelope(bytes, Some(&keys), None).map_or(bytes, |opened| opened.manifest);
    let Ok((snapshot, report)) = Snapshot::compile(manifest, &()) else {
        return 3;
    };
    let mut last = token ^ event ^ report.faults.len() as u64;
    snapshot.evaluate_all(&context.context, now_ms, |flag, packed| {
        last ^= packed.to_number()
            ^ snapshot
                .explain(snapshot.flag_key(flag), &context.context, now_ms)
                .rules
                .len() as u64;
    });
    last
}

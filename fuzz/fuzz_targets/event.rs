//! Any bytes as one event: refused with a reason, or an event whose canonical bytes read back as the same event.
#![no_main]

use evenhand_core::event::Event;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(event) = Event::parse(bytes) else { return };
    let canonical = event.canonical_bytes().expect("an accepted event has canonical bytes");
    let again = Event::parse_stored(&canonical).expect("canonical bytes are an event");
    assert_eq!(event, again, "canonical bytes say something else");
    assert_eq!(
        canonical,
        again.canonical_bytes().expect("canonical bytes"),
        "canonical bytes are not stable"
    );
});

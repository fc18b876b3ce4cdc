//! A decision allocates nothing: counted by an allocator.

mod build;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use build::{compile, experiment, flag, in_layer, layer, manifest};
use evenhand_core::{Context, Slots, Value};

struct Counting;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

// SAFETY: hands every call on to the system's allocator, unchanged; the counter allocates nothing.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is handed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_decision_allocates_nothing() {
    let leaves = [
        r#"{"op":"str_in_ci","attr":"country","values":["us","de"]}"#,
        r#"{"op":"str_contains_ci","attr":"country","values":["S"]}"#,
        r#"{"op":"semver_gte","attr":"version","value":"2.0.0-rc.1"}"#,
        r#"{"op":"regex_match","attr":"version","value":"^[0-9.]+$"}"#,
        r#"{"op":"regex_match","attr":"version","value":"(?i)\\b(?:1|2)\\.(?:[0-9]{1,100}\\.){1,5}0$|x"}"#,
        r#"{"op":"ip_in_cidr","attr":"ip","values":["10.0.0.0/8","2001:db8::/32"]}"#,
        r#"{"op":"date_gt","attr":"since","value":"2020-01-01T00:00:00Z"}"#,
        r#"{"op":"str_eq","attr":"tags","over":"any","value":"beta"}"#,
    ];
    let mut rule = in_layer(experiment("e", 10_000), "l", 0, 1_000);
    rule.when = serde_json::from_str(&format!("{{\"all\":[{}]}}", leaves.join(","))).unwrap();
    let snapshot = compile(&manifest(
        vec![("f".into(), flag(vec![rule]))],
        vec![("l".into(), layer("layer"))],
    ));
    let texts = [
        ("country", "US"),
        ("version", "2.10.0"),
        ("ip", "10.1.2.3"),
        ("since", "2024-02-29T12:00:00.5+01:00"),
    ];
    let mut context = Context::new()
        .with("tags", vec!["alpha", "beta"])
        .with("user_id", 12345.0);
    let mut slots = Slots::new(&snapshot);
    slots.set(snapshot.attribute("user_id").unwrap().index, Value::Num(12345.0));
    slots.set_list(
        snapshot.attribute("tags").unwrap().index,
        vec!["alpha".into(), "beta".into()],
    );
    for (name, text) in texts {
        context.set(name, text);
        slots.set(snapshot.attribute(name).unwrap().index, Value::Str(text));
    }
    let expected = snapshot.evaluate("f", &context, 0);
    assert_eq!(expected.reason, evenhand_core::Reason::Split);
    let before = COUNT.with(Cell::get);
    for now in 0..100 {
        assert_eq!(snapshot.evaluate("f", &context, now).packed, expected.packed);
        assert_eq!(snapshot.evaluate("f", &slots, now).packed, expected.packed);
        snapshot.evaluate_all(&slots, now, |_, packed| assert_eq!(packed, expected.packed));
    }
    assert_eq!(COUNT.with(Cell::get) - before, 0, "allocations in 300 decisions");
}

//! JSON to a context. Up to three lines: attributes, sticky assignments, forced variations. Refused with a reason, or a
//! context in which every attribute can be asked for.
#![no_main]

use evenhand_core::context::{AttributeKey, Attributes, Context, MAX_LIST_ELEMENTS, MAX_STRING_BYTES, Value};
use evenhand_core::context_json::{add_forced, add_sticky, parse_context};

fn ask(context: &Context, name: &str) {
    match context.get(AttributeKey { index: 0, name }) {
        Value::Str(text) => assert!(text.len() <= MAX_STRING_BYTES),
        Value::Num(number) => assert!(number.is_finite()),
        Value::List(list) => {
            assert!(list.len <= MAX_LIST_ELEMENTS);
            for index in 0..list.len {
                let element = context.element(list, index);
                assert!(
                    !matches!(element, Value::Missing | Value::List(_) | Value::Unusable),
                    "{element:?} in a usable list"
                );
            }
        }
        Value::Bool(_) | Value::Missing | Value::Unusable => {}
    }
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut parts = bytes.splitn(3, |byte| *byte == b'\n');
    let (attributes, sticky, forced) = (parts.next().unwrap_or_default(), parts.next(), parts.next());
    let Ok(parsed) = parse_context(attributes) else { return };
    for (name, _) in parsed.context.attributes() {
        ask(&parsed.context, name);
    }
    let mut context = parsed.context;
    if let Some(sticky) = sticky {
        let _ = add_sticky(&mut context, sticky);
    }
    if let Some(forced) = forced {
        let _ = add_forced(&mut context, forced);
    }
    let mut index = 0;
    while context.forced(index).is_some() {
        index += 1;
    }
    assert!(context.sticky("no such experiment").is_none() || sticky.is_some());
});

//! Any bytes as the blob of an id list: refused, or a list that holds exactly what a plain search finds in the bytes.
#![no_main]

use evenhand_core::id_list::IdList;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(list) = IdList::open_any(bytes.into()) else {
        return;
    };
    let ids: Vec<u64> = bytes[16..]
        .chunks_exact(8)
        .map(|id| u64::from_be_bytes(id.try_into().expect("8 bytes")))
        .collect();
    assert_eq!(list.len(), ids.len() as u64);
    assert!(ids.is_sorted_by(|a, b| a < b));
    let ask = |hash: u64| assert_eq!(list.contains(hash), ids.binary_search(&hash).is_ok(), "{hash:016x}");
    for id in &ids {
        ask(*id);
        ask(id.wrapping_add(1));
        ask(id.wrapping_sub(1));
        ask(!id);
    }
    ask(0);
    ask(u64::MAX);
    assert!(IdList::open(bytes.into(), list.sha256(), list.len()).is_ok());
    assert!(IdList::open(bytes.into(), list.sha256(), list.len() + 1).is_err());
});

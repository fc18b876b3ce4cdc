//! Decisions as ready-made JSON. Of a decision's text only the bucket, the unit id and what its exposure carries change from user to user; the rest is
//! written once by serde and kept, with the places noted. Answering two hundred flags is then copying, where writing them anew took five times as long.

use std::cell::RefCell;

use evenhand_core::{FlagId, Packed, Reason};

use crate::answering::{Answers, Assignment};

/// Stands for the bucket while a fragment is made: no real bucket is above 9999.
const BUCKET_MARK: u16 = u16::MAX;
/// Stands for the unit id while a fragment is made.
const ID_MARK: &str = "\u{0}unit id\u{0}";
/// Distinct texts kept for one flag; more are written anew each time. A flag with a hundred variations has about as many.
const MOST_A_FLAG: usize = 256;

/// The text of one decision without bucket, unit id and carried attributes.
struct Fragment {
    text: Box<[u8]>,
    bucket_at: Option<usize>,
    /// Where the unit id goes, quotes included, and which unit's it is.
    id_at: Option<(usize, Box<str>)>,
    /// Where the attributes that its exposure carries go, behind all else in it.
    carried_at: Option<usize>,
}

/// The fragments of one manifest version, as one thread has needed them so far.
struct Kept {
    environment: String,
    client: bool,
    hash: String,
    flags: Vec<Vec<(u64, Fragment)>>,
}

thread_local! {
    /// One entry for an environment and kind of caller: each thread has its own, so nobody waits for anybody.
    static KEPT: RefCell<Vec<Kept>> = const { RefCell::new(Vec::new()) };
}

/// Writes `"flag":{decision}` for every flag the caller may see into `out`, comma-separated.
pub fn write_all(answers: &Answers<'_>, out: &mut Vec<u8>) -> serde_json::Result<()> {
    let Some((published, client)) = answers.whole() else {
        return Ok(());
    };
    KEPT.with_borrow_mut(|all| {
        let at = match all
            .iter()
            .position(|k| k.client == client && k.environment == published.environment)
        {
            Some(at) => at,
            None => {
                let (environment, hash) = (published.environment.clone(), String::new());
                all.push(Kept {
                    environment,
                    client,
                    hash,
                    flags: Vec::new(),
                });
                all.len() - 1
            }
        };
        let Some(kept) = all.get_mut(at) else { return Ok(()) };
        if kept.hash != published.hash {
            kept.hash.clone_from(&published.hash);
            kept.flags.clear();
            kept.flags.resize_with(published.snapshot.flags().len(), Vec::new);
        }
        let mut first = true;
        for (flag, fragments) in published.snapshot.flags().zip(&mut kept.flags) {
            let Some(key) = answers.listed(flag.key) else {
                continue;
            };
            if !std::mem::take(&mut first) {
                out.push(b',');
            }
            write_one(answers, flag.id, key, fragments, out)?;
        }
        Ok(())
    })
}

fn write_one<'a>(
    answers: &Answers<'a>,
    flag: FlagId,
    listed: &'a str,
    fragments: &mut Vec<(u64, Fragment)>,
    out: &mut Vec<u8>,
) -> serde_json::Result<()> {
    let Some(packed) = answers.packed(flag) else {
        return Ok(());
    };
    let key = shape(packed);
    if let Some((_, fragment)) = fragments.iter().find(|(k, _)| *k == key) {
        return fill(fragment, flag, packed, answers, out);
    }
    answers.note(flag, packed);
    let Some(assignment) = answers.read(flag, listed, packed) else {
        return Ok(());
    };
    let varied = packed.exposed_holdouts() != 0 || packed.reason() == Reason::Override;
    if !varied && fragments.len() < MOST_A_FLAG {
        fragments.push((key, make(&assignment)?));
    }
    member(&assignment, out)
}

/// The packed decision without its bucket.
fn shape(packed: Packed) -> u64 {
    packed.bucket().map_or(packed, |_| packed.with_bucket(0)).to_number()
}

/// `"flag":{…}` written by serde.
fn member(assignment: &Assignment<'_, '_>, out: &mut Vec<u8>) -> serde_json::Result<()> {
    serde_json::to_writer(&mut *out, assignment.key())?;
    out.push(b':');
    serde_json::to_writer(&mut *out, assignment)
}

fn make(assignment: &Assignment<'_, '_>) -> serde_json::Result<Fragment> {
    let mut text = Vec::with_capacity(512);
    let marked = assignment.marked(BUCKET_MARK, ID_MARK);
    member(&marked, &mut text)?;
    // Behind the value stand only strings of ours, in which a quote is escaped: the last occurrence is the mark itself.
    let id_mark = serde_json::to_vec(ID_MARK)?;
    let unit = assignment.unit().map(Box::from);
    let id_at = unit.and_then(|unit| Some((cut_last(&mut text, &id_mark, 0)?, unit)));
    let label = "\"bucket\":".len();
    let bucket_mark = format!("\"bucket\":{BUCKET_MARK}");
    let has_bucket = assignment.has_bucket();
    let bucket_at = has_bucket
        .then(|| cut_last(&mut text, bucket_mark.as_bytes(), label))
        .flatten();
    // The bucket stands before the id, so cutting it moved the id's place.
    let moved = bucket_at.map_or(0, |_| bucket_mark.len() - label);
    let id_at = id_at.map(|(at, unit)| (at - moved, unit));
    // In front of the braces that close the exposure and the decision: a decision with more behind it is not kept.
    let carried_at = marked.carries_attributes().then(|| text.len() - 2);
    Ok(Fragment {
        text: text.into(),
        bucket_at,
        id_at,
        carried_at,
    })
}

/// Cuts the last occurrence of `mark`, but for its first `keep` bytes; where that was.
fn cut_last(text: &mut Vec<u8>, mark: &[u8], keep: usize) -> Option<usize> {
    let at = text.windows(mark.len()).rposition(|window| window == mark)?;
    text.drain(at + keep..at + mark.len());
    Some(at + keep)
}

fn fill(
    fragment: &Fragment,
    flag: FlagId,
    packed: Packed,
    answers: &Answers<'_>,
    out: &mut Vec<u8>,
) -> serde_json::Result<()> {
    let mut from = 0;
    if let (Some(at), Some(bucket)) = (fragment.bucket_at, packed.bucket()) {
        out.extend_from_slice(fragment.text.get(from..at).unwrap_or_default());
        serde_json::to_writer(&mut *out, &bucket)?;
        from = at;
    }
    if let Some((at, unit)) = &fragment.id_at {
        out.extend_from_slice(fragment.text.get(from..*at).unwrap_or_default());
        if answers.write_id(unit, out) {
            answers.note_sampled(flag, packed);
        }
        from = *at;
    }
    if let Some(at) = fragment.carried_at {
        let carried = answers.carried(flag, packed);
        if !carried.is_empty() {
            out.extend_from_slice(fragment.text.get(from..at).unwrap_or_default());
            out.extend_from_slice(b",\"properties\":");
            serde_json::to_writer(&mut *out, &carried)?;
            from = at;
        }
    }
    out.extend_from_slice(fragment.text.get(from..).unwrap_or_default());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mark_that_is_cut_is_the_last_one_even_when_a_value_looks_like_it() {
        let mut text = br#""f":{"value":{"bucket":65535},"bucket":65535,"x":1}"#.to_vec();
        let at = cut_last(&mut text, b"\"bucket\":65535", 9).unwrap();
        text.splice(at..at, b"42".iter().copied());
        assert_eq!(text, br#""f":{"value":{"bucket":65535},"bucket":42,"x":1}"#);
    }

    /// Two experiments (one whose values look like marks, one whose exposures carry attributes), a rollout, a flag without rules.
    const MANIFEST: &str = r#"{"schema":1,"environment":"e","audience":"server","generation":1,"version":7,"issued_at_ms":0,"flags":{
      "a":{"type":"json","off":"x","default":"x","variations":[{"key":"x","value":{"bucket":65535,"id":"\u0000unit id\u0000"}},{"key":"y","value":[1]}],
        "rules":[{"id":"r","kind":"experiment","experiment":"ex","phase":2,"unit":"user_id","traffic":{"hash":"murmur3_32","salt":"t1","ranges":[[0,2147483648]]},
          "split":{"hash":"murmur3_32","salt":"s1","ranges":[[0,2000000000,"x"],[2000000000,4294967296,"y"]]}}]},
      "b":{"type":"bool","off":"n","default":"n","variations":[{"key":"n","value":false},{"key":"y","value":true}],
        "rules":[{"id":"r","kind":"rollout","serve":"y","unit":"device_id","traffic":{"hash":"murmur3_32","salt":"t2","ranges":[[0,1000000000]]}}]},
      "c":{"type":"string","off":"n","default":"n","variations":[{"key":"n","value":"text \"quoted\""}]},
      "d":{"type":"bool","off":"n","default":"n","variations":[{"key":"n","value":false},{"key":"y","value":true}],
        "rules":[{"id":"r","kind":"experiment","experiment":"ey","phase":1,"unit":"user_id","traffic":{"hash":"murmur3_32","salt":"t3","ranges":[[0,4294967296]]},
          "split":{"hash":"murmur3_32","salt":"s3","ranges":[[0,2000000000,"n"],[2000000000,4294967296,"y"]]},"meta":{"exposure_attributes":["country","premium"]}}]}}}"#;

    fn published() -> evenhand_manage::Published {
        let (snapshot, report) = evenhand_core::Snapshot::compile(MANIFEST.as_bytes(), &()).unwrap();
        assert!(report.is_clean(), "{report:?}");
        evenhand_manage::Published {
            environment: "e".into(),
            version: 7,
            generation: 1,
            issued_at_ms: 0,
            hash: "h".into(),
            client_hash: "c".into(),
            server_bytes: [].into(),
            client_bytes: [].into(),
            snapshot: std::sync::Arc::new(snapshot),
            lists: Vec::new(),
            client_keys: Default::default(),
            opaque_ids: Default::default(),
        }
    }

    #[test]
    fn copied_decisions_are_the_decisions_that_serde_writes() {
        let (published, names) = (published(), crate::answering::Names::real());
        let mut reasons = std::collections::BTreeSet::new();
        for number in 0..2_000 {
            let mut context = evenhand_core::Context::new();
            if number % 7 != 0 {
                context.set("user_id", format!("user \"{number}\" é"));
            }
            context.set("device_id", f64::from(number));
            if number % 3 != 0 {
                context.set("country", format!("\"{}\"", number % 5));
            }
            if number % 4 == 0 {
                context.set("premium", number % 8 == 0);
            }
            let context = evenhand_core::Slots::of(&published.snapshot, &context);
            let answers = || Answers::new(Some(&published), &names, &context, 0, None);
            let mut copied = vec![b'{'];
            write_all(&answers(), &mut copied).unwrap();
            copied.push(b'}');
            assert_eq!(
                String::from_utf8(copied).unwrap(),
                serde_json::to_string(&answers()).unwrap()
            );
            let whole = serde_json::to_value(answers()).unwrap();
            let mut carried = serde_json::Map::new();
            if number % 3 != 0 {
                carried.insert("country".into(), format!("\"{}\"", number % 5).into());
            }
            if number % 4 == 0 {
                carried.insert("premium".into(), (number % 8 == 0).into());
            }
            let expected = (number % 7 != 0 && !carried.is_empty()).then(|| carried.into());
            assert_eq!(whole["d"]["exposure"].get("properties"), expected.as_ref());
            reasons.extend(
                whole
                    .as_object()
                    .unwrap()
                    .values()
                    .map(|d| d["reason"].as_str().unwrap().to_owned()),
            );
        }
        assert_eq!(
            reasons.into_iter().collect::<Vec<_>>(),
            ["DEFAULT", "NO_UNIT", "ROLLOUT", "SPLIT"]
        );
    }

    #[test]
    fn a_client_lists_hashed_keys_and_names_real_ones() {
        let mut published = published();
        published.client_keys = [("a".to_owned(), "h1".to_owned())].into();
        let published = std::sync::Arc::new(published);
        let names = crate::answering::Names::opaque(Some(std::sync::Arc::clone(&published)));
        let context = evenhand_core::Context::new().with("user_id", "u");
        let context = evenhand_core::Slots::of(&published.snapshot, &context);
        let whole = Answers::new(Some(&*published), &names, &context, 0, None);
        let listed = serde_json::to_value(&whole).unwrap();
        assert_eq!(listed.as_object().unwrap().keys().collect::<Vec<_>>(), ["h1"]);
        assert_eq!(listed["h1"]["flag"], "h1");
        let mut copied = vec![b'{'];
        write_all(&whole, &mut copied).unwrap();
        copied.push(b'}');
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&copied).unwrap(), listed);

        let asked = ["a".to_owned(), "b".to_owned()];
        let named = serde_json::to_value(Answers::new(Some(&*published), &names, &context, 0, Some(&asked))).unwrap();
        assert_eq!(named["a"]["flag"], "a");
        assert_eq!(named["b"]["reason"], "FLAG_UNKNOWN");
    }

    #[test]
    fn a_shape_forgets_the_bucket_and_nothing_else() {
        let split = |bucket| Packed::variation(1, Reason::Split).with_rule(3).with_bucket(bucket);
        assert_eq!(shape(split(0)), shape(split(9999)));
        assert_ne!(
            shape(split(0)),
            shape(Packed::variation(2, Reason::Split).with_rule(3).with_bucket(0))
        );
        assert_ne!(shape(split(0)), shape(Packed::variation(1, Reason::Split).with_rule(3)));
    }
}

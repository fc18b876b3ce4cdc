//! A batch of events as one request whose changing parts are overwritten in place: making 100 new events costs a few microseconds.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::{Map, Value, json};

use crate::connection::post;
use crate::load::Requests;

/// Events in a batch.
pub const EVENTS: usize = 100;
/// Of these, exposures; the rest are purchases.
const EXPOSURES: usize = 30;
const ID: &str = "00000000-0000-7000-8000-000000000000";
const USER: &str = "u00000000";
const TIME: u64 = 1_000_000_000_000;

/// Where one event's changing parts stand in the request.
struct Slot {
    id: usize,
    user: usize,
    time: usize,
    /// An exposure of arm 0 takes even users, of arm 1 odd ones, so that nobody sees both; a purchase takes any.
    arm: Option<u64>,
}

/// The stream of batches of one connection. No two batches share an event id, across connections and runs either.
pub struct Batches {
    request: Vec<u8>,
    slots: Vec<Slot>,
    users: u64,
    random: u64,
}

/// SplitMix64: one multiplication chain a number, which is all the randomness a load needs.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// Milliseconds since 1970.
pub fn now_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_millis() as u64)
}

/// One exposure as the platform itself says it is to be sent, with an id and a time of its own.
pub fn exposure(record: &Value, id: &str, user: &str, time: u64) -> Value {
    let mut event: Map<String, Value> = record.as_object().cloned().unwrap_or_default();
    event.insert("event_id".to_owned(), json!(id));
    event.insert("timestamp".to_owned(), json!(time));
    event.insert("user_id".to_owned(), json!(user));
    Value::Object(event)
}

/// A version 7 UUID of this moment.
pub fn event_id(random: &mut u64, time: u64) -> String {
    let mut text = ID.as_bytes().to_vec();
    write_id(&mut text, time, split_mix(random), split_mix(random));
    String::from_utf8_lossy(&text).into_owned()
}

impl Batches {
    /// `records`: an exposure of each of two arms. `seed` must differ between connections.
    pub fn new(key: &str, records: &[Value; 2], users: u64, seed: u64) -> Batches {
        let mut body = String::from("[");
        let mut slots = Vec::with_capacity(EVENTS);
        for number in 0..EVENTS {
            let arm = (number < EXPOSURES).then_some(number as u64 % 2);
            let event = match arm {
                Some(arm) => exposure(&records[arm as usize], ID, USER, TIME),
                None => {
                    json!({"event_id": ID, "event_name": "purchase", "timestamp": TIME, "user_id": USER, "value": "12.50",
                    "properties": {"category": "books", "items": 3}})
                }
            };
            let text = event.to_string();
            let at = |what: &str| body.len() + text.find(what).expect("the parts were put there a moment ago");
            slots.push(Slot {
                id: at(ID),
                user: at(USER) + 1,
                time: at(&TIME.to_string()),
                arm,
            });
            body.push_str(&text);
            body.push(if number + 1 == EVENTS { ']' } else { ',' });
        }
        let request = post("/v1/events", key, body.as_bytes());
        let head = request.len() - body.len();
        for slot in &mut slots {
            slot.id += head;
            slot.user += head;
            slot.time += head;
        }
        Batches {
            request,
            slots,
            users,
            random: seed.wrapping_mul(0xD134_2543_DE82_EF95) ^ now_ms(),
        }
    }
}

impl Requests for Batches {
    fn next(&mut self, _number: u64) -> &[u8] {
        let time = now_ms();
        for slot in &self.slots {
            let (high, low) = (split_mix(&mut self.random), split_mix(&mut self.random));
            let user = match slot.arm {
                Some(arm) => (high >> 16) % (self.users / 2) * 2 + arm,
                None => (high >> 16) % self.users,
            };
            write_id(&mut self.request[slot.id..slot.id + ID.len()], time, high, low);
            write_decimal(&mut self.request[slot.user..slot.user + USER.len() - 1], user);
            write_decimal(&mut self.request[slot.time..slot.time + 13], time);
        }
        &self.request
    }

    fn weight(&self) -> u64 {
        EVENTS as u64
    }
}

fn write_decimal(into: &mut [u8], mut number: u64) {
    for digit in into.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

fn write_hex(into: &mut [u8], mut number: u64) {
    for digit in into.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number & 15) as usize];
        number >>= 4;
    }
}

/// RFC 9562: 48 bits of time, version 7, 12 random bits, variant 2, 62 random bits.
fn write_id(into: &mut [u8], time: u64, high: u64, low: u64) {
    write_hex(&mut into[0..8], time >> 16);
    write_hex(&mut into[9..13], time & 0xFFFF);
    write_hex(&mut into[15..18], high & 0xFFF);
    write_hex(&mut into[19..23], 0x8000 | (low >> 50));
    write_hex(&mut into[24..36], low & 0xFFFF_FFFF_FFFF);
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn batches_are_json_of_new_events_and_arms_never_share_a_user() {
        let records = [
            json!({"event_name": "$exposure", "variation_id": "a"}),
            json!({"event_name": "$exposure", "variation_id": "bb"}),
        ];
        let mut ids = HashSet::new();
        let mut arms = [HashSet::new(), HashSet::new()];
        for connection in 0..2 {
            let mut batches = Batches::new("k", &records, 10_000, connection);
            for number in 0..50 {
                let request = batches.next(number).to_vec();
                let start = request.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
                let events: Vec<Value> = serde_json::from_slice(&request[start..]).unwrap();
                assert_eq!(events.len(), EVENTS);
                for event in events {
                    assert!(ids.insert(event["event_id"].as_str().unwrap().to_owned()));
                    assert_eq!(event["event_id"].as_str().unwrap().as_bytes()[14], b'7');
                    let user = event["user_id"].as_str().unwrap().to_owned();
                    match event["variation_id"].as_str() {
                        Some("a") => _ = arms[0].insert(user),
                        Some(_) => _ = arms[1].insert(user),
                        None => {}
                    }
                }
            }
        }
        assert!(arms[0].len() > 500 && arms[0].is_disjoint(&arms[1]));
    }
}

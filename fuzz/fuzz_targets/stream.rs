//! Any bytes on the stream of announcements: in one piece, in two or byte by byte, the session hears the same.
#![no_main]

use evenhand_session::{Action, Options, Session};

/// A session with the stream open, that has heard these pieces: what was said, and when it would fetch.
fn heard<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<(&'static str, u32)>, Action) {
    let options = Options {
        stream: true,
        ..Options::default()
    };
    let mut session = Session::new(options, [1; 16], 0);
    let Action::FetchManifest { ticket, .. } = session.next(0) else {
        panic!("first of all a manifest")
    };
    session.fetch_failed(ticket, "no route", 0);
    let Action::OpenStream { ticket, .. } = session.next(0) else {
        panic!("then the stream")
    };
    session.stream_response(ticket, 200, None, 0);
    for piece in pieces {
        session.stream_bytes(ticket, piece, 0);
    }
    let said = session.take_diagnostics();
    (
        said.iter().map(|one| (one.code.as_str(), one.times)).collect(),
        session.next(0),
    )
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let whole = heard(std::iter::once(bytes));
    let cut = bytes.first().map_or(0, |first| usize::from(*first).min(bytes.len()));
    let (left, right) = bytes.split_at(cut);
    assert_eq!(heard([left, right].into_iter()), whole, "cut at {cut}");
    assert_eq!(heard(bytes.chunks(1)), whole, "byte by byte");
});

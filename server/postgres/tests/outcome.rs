//! The connection is cut while a change is committed: before the server heard of it, after it did, and with the server out of reach since.

mod support;

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use evenhand_postgres::Postgres;
use serde_json::Value;
use support::node::{Node, files};
use support::{Database, server};

const PASS: u8 = 0;
/// The next COMMIT does not reach the server.
const CUT_BEFORE: u8 = 1;
/// The next COMMIT reaches it, and its answer does not come back.
const CUT_AFTER: u8 = 2;
/// The same, and after it nothing gets through.
const CUT_AFTER_AND_CLOSE: u8 = 3;
const CLOSED: u8 = 4;

/// Stands between a node and the server.
fn cutter(to: String, mode: Arc<AtomicU8>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for client in listener.incoming().map(Result::unwrap) {
            if mode.load(Ordering::SeqCst) != CLOSED {
                let server = TcpStream::connect(&to).unwrap();
                let (mode, back) = (
                    Arc::clone(&mode),
                    (server.try_clone().unwrap(), client.try_clone().unwrap()),
                );
                let answers = std::thread::spawn(move || pass(back.0, back.1));
                std::thread::spawn(move || {
                    commands(client, server, &mode);
                    answers.join().unwrap();
                });
            }
        }
    });
    port
}

fn pass(mut from: TcpStream, mut to: TcpStream) {
    let _until_one_ends = std::io::copy(&mut from, &mut to);
    let _gone = to.shutdown(Shutdown::Both);
}

fn commands(mut client: TcpStream, mut server: TcpStream, mode: &AtomicU8) {
    let mut bytes = [0; 65536];
    while let Ok(length @ 1..) = client.read(&mut bytes) {
        let commits = bytes[..length].windows(7).any(|word| word == b"COMMIT\0");
        let now = if commits { mode.load(Ordering::SeqCst) } else { PASS };
        match now {
            CUT_BEFORE => mode.store(PASS, Ordering::SeqCst),
            CUT_AFTER | CUT_AFTER_AND_CLOSE => {
                mode.store(if now == CUT_AFTER { PASS } else { CLOSED }, Ordering::SeqCst);
                // The answer is lost on its way.
                client.shutdown(Shutdown::Both).unwrap();
                server.write_all(&bytes[..length]).unwrap();
                std::thread::sleep(Duration::from_millis(200));
            }
            _ if server.write_all(&bytes[..length]).is_ok() => continue,
            _ => {}
        }
        break;
    }
    let _gone = (client.shutdown(Shutdown::Both), server.shutdown(Shutdown::Both));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_became_of_a_commit_is_found_out_or_said_to_be_unknown() {
    let database = Database::new(&server().lock().unwrap_or_else(PoisonError::into_inner).url);
    let port = server().lock().unwrap().port;
    let mode = Arc::new(AtomicU8::new(PASS));
    let cut = cutter(format!("127.0.0.1:{port}"), Arc::clone(&mode));
    let mut settings = database.settings();
    settings.url = settings.url.replace(&format!(":{port}"), &format!(":{cut}"));
    settings.retry = Duration::from_secs(2);
    settings.resolve = Duration::from_secs(2);
    let postgres = Postgres::open(settings).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let node = Node::open(&postgres, files(directory.path())).unwrap();
    node.flag("f").await;
    for (case, kill) in [(CUT_BEFORE, true), (CUT_AFTER, false)] {
        let before = node.version();
        mode.store(case, Ordering::SeqCst);
        Node::expect(node.turn("f", kill).await, 200);
        assert_eq!(mode.load(Ordering::SeqCst), PASS, "it was cut");
        assert_eq!(node.version(), before + 1, "stored once, whichever way");
    }
    mode.store(CUT_AFTER_AND_CLOSE, Ordering::SeqCst);
    let before = node.version();
    let unknown = Node::expect(node.turn("f", true).await, 503);
    assert_eq!(unknown["error"]["code"], "outcome_unknown", "{unknown}");
    // Nothing gets through: reads say so after a bounded time.
    let away = Node::expect(node.call("GET", "/api/audit", Value::Null).await, 503);
    assert_eq!(away["error"]["code"], "store_unreachable", "{away}");
    assert_eq!(node.version(), before);
    mode.store(PASS, Ordering::SeqCst);
    // It was stored; the next change builds on it.
    Node::expect(node.turn("f", true).await, 409);
    assert_eq!(node.version(), before + 1);
    let report = Node::expect(node.call("GET", "/api/audit/verify", Value::Null).await, 200);
    assert_eq!(
        (&report["intact"], report["records"].as_u64()),
        (&true.into(), Some(before + 1)),
        "{report}"
    );
}

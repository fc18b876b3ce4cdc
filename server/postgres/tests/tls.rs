//! TLS as the URL says it: for the store and for replication, with a certificate that is verified, and with one that must not be believed.

mod support;

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use evenhand_postgres::{FeedMode, FeedSettings, FeedState, Postgres, PostgresSettings};
use evenhand_test_servers::Server;
use support::Database;
use support::node::{Node, files};

fn run(program: &str, arguments: &[&str]) {
    let done = Command::new(program).args(arguments).output().unwrap();
    assert!(
        done.status.success(),
        "{program}: {}",
        String::from_utf8_lossy(&done.stderr)
    );
}

fn certificate(directory: &Path, name: &str) -> (String, String) {
    let path = |end: &str| directory.join(format!("{name}.{end}")).display().to_string();
    let (certificate, key) = (path("pem"), path("key"));
    let names = "subjectAltName=DNS:localhost,IP:127.0.0.1";
    #[rustfmt::skip]
    run("openssl", &["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj", "/CN=localhost",
        "-addext", names, "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", &key, "-out", &certificate]);
    (certificate, key)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_encrypted_and_a_strange_certificate_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    run("chmod", &["755", &directory.path().display().to_string()]);
    let (certificate_path, key) = certificate(directory.path(), "server");
    let (strange, _) = certificate(directory.path(), "strange");
    run("chmod", &["600", &key]);
    // The server does not run as root, and wants its key to be its own.
    let _not_root = Command::new("chown").args(["postgres", &key]).status();
    let server = Server::start(
        "postgres",
        &[
            "ssl=on",
            &format!("ssl_cert_file={certificate_path}"),
            &format!("ssl_key_file={key}"),
        ],
    );
    let database = Database::new(&server.url);
    let with = |certificate: &str| PostgresSettings {
        retry: Duration::from_secs(1),
        ..PostgresSettings::new(format!(
            "{}?sslmode=verify-full&sslrootcert={certificate}",
            database.url
        ))
    };
    let refused = Postgres::open(with(&strange)).unwrap_err().to_string();
    assert!(refused.contains("certificate"), "{refused}");
    let postgres = Postgres::open(with(&certificate_path)).unwrap();
    let node = Node::open(&postgres, files(directory.path())).unwrap();
    node.flag("f").await;
    let mut feed = postgres.feed(FeedSettings {
        mode: FeedMode::Replication,
        ..FeedSettings::default()
    });
    let came = tokio::time::timeout(Duration::from_secs(30), feed.next()).await;
    let Ok(Some(came)) = came else {
        panic!("{:?}", feed.state())
    };
    feed.confirm(&came).await.unwrap();
    assert_eq!(
        (came.version, feed.state()),
        (2, FeedState::Holding(FeedMode::Replication))
    );
    let plain = "DO $$ BEGIN IF EXISTS (SELECT FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE NOT ssl AND application_name LIKE 'evenhand%') THEN
        RAISE 'a connection is not encrypted'; END IF; END $$";
    database.sql(plain);
}

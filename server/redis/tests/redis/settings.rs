//! Passwords and TLS; and that no error tells a password.

use std::process::Command;

use evenhand_redis::{CacheError, ManifestCache, RedisConfig};
use evenhand_test_servers::Server;

use crate::support::quick;

const PASSWORD: &str = "correct-horse-battery";

#[tokio::test]
async fn a_password_opens_and_is_never_told() {
    let server = Server::start("redis", &[]);
    let mut plain = crate::support::plain(&server.url).await;
    let _: () = redis::cmd("CONFIG")
        .arg(&["SET", "requirepass", PASSWORD])
        .query_async(&mut plain)
        .await
        .unwrap();
    let address = format!("127.0.0.1:{}", server.port);
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    std::fs::write(&file, format!("{PASSWORD}\n")).unwrap();
    let from_file = RedisConfig {
        password_file: Some(file),
        ..quick(&format!("redis://:wrong-{PASSWORD}@{address}"))
    };
    for config in [quick(&format!("redis://:{PASSWORD}@{address}/0")), from_file] {
        assert!(!format!("{config:?}").contains(PASSWORD));
        let cache = ManifestCache::new(&config).unwrap();
        assert_eq!(cache.get("production").await.unwrap(), None);
        assert!(!format!("{cache:?}").contains(PASSWORD));
    }
    for url in [
        format!("redis://:wrong-{PASSWORD}@{address}"),
        format!("redis://{address}"),
        format!("redis://:{PASSWORD}@127.0.0.1:1"),
    ] {
        let error = ManifestCache::new(&quick(&url))
            .unwrap()
            .get("production")
            .await
            .unwrap_err();
        let text = format!("{error} {error:?}");
        assert!(text.contains("127.0.0.1:") && !text.contains(PASSWORD), "{text}");
    }
    for url in [
        format!("http://:{PASSWORD}@{address}"),
        format!("redis//:{PASSWORD}"),
        format!("redis://:{PASSWORD}@{address}/nonsense"),
    ] {
        let text = ManifestCache::new(&quick(&url)).unwrap_err().to_string();
        assert!(
            text.contains("redis://host:6379/0") && !text.contains(PASSWORD),
            "{text}"
        );
    }
}

fn openssl(arguments: &[&str]) {
    let made = Command::new("openssl").args(arguments).output().expect("openssl runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

#[tokio::test]
async fn tls_believes_the_given_authority_and_no_other() {
    // Another test of this process may have been first.
    let _chosen = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).display().to_string();
    let (ca_key, ca, key, request, certificate) = (
        path("ca.key"),
        path("ca.pem"),
        path("key"),
        path("request"),
        path("certificate"),
    );
    let curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"];
    openssl(
        &[
            &[
                "req",
                "-x509",
                "-days",
                "2",
                "-subj",
                "/CN=authority",
                "-keyout",
                &ca_key,
                "-out",
                &ca,
            ][..],
            &curve,
        ]
        .concat(),
    );
    openssl(
        &[
            &[
                "req",
                "-subj",
                "/CN=redis",
                "-addext",
                "subjectAltName=IP:127.0.0.1",
                "-keyout",
                &key,
                "-out",
                &request,
            ][..],
            &curve,
        ]
        .concat(),
    );
    openssl(&[
        "x509",
        "-req",
        "-days",
        "2",
        "-in",
        &request,
        "-CA",
        &ca,
        "-CAkey",
        &ca_key,
        "-CAcreateserial",
        "-copy_extensions",
        "copy",
        "-out",
        &certificate,
    ]);
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let settings = [
        format!("tls-port={port}"),
        format!("tls-cert-file={certificate}"),
        format!("tls-key-file={key}"),
        format!("tls-ca-cert-file={ca}"),
        "tls-auth-clients=no".to_owned(),
    ];
    let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
    let _server = Server::start("redis", &settings);
    let url = format!("rediss://127.0.0.1:{port}");
    let trusting = RedisConfig {
        ca_file: Some(ca.into()),
        ..RedisConfig::new(&url)
    };
    assert_eq!(
        ManifestCache::new(&trusting).unwrap().get("production").await.unwrap(),
        None
    );
    let error = ManifestCache::new(&RedisConfig::new(&url))
        .unwrap()
        .get("production")
        .await
        .unwrap_err();
    assert!(
        matches!(&error, CacheError::Unreachable { address, .. } if address.contains("TLS")),
        "{error:?}"
    );
}

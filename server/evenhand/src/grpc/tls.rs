//! TLS of the gRPC listener: certificate chain, key, and whose client certificates are wanted, from PEM files.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::config::Grpc;

/// Makes a TLS connection of an accepted one.
pub type Acceptor = TlsAcceptor;

/// When the listener's certificate ends, in seconds since 1970; None: no TLS, or a certificate whose dates can't be read.
pub fn not_after(config: &Grpc) -> Option<i64> {
    let chain = certificates(config.tls_certificate.as_ref()?).ok()?;
    let (_, own) = x509_parser::parse_x509_certificate(chain.first()?).ok()?;
    Some(own.validity().not_after.timestamp())
}

/// None where no certificate is configured. The error names the file.
pub fn acceptor(config: &Grpc) -> Result<Option<Acceptor>, String> {
    let (certificate, key) = match (&config.tls_certificate, &config.tls_key) {
        (None, None) if config.client_ca.is_some() => {
            return Err("grpc.client_ca asks clients for certificates, which needs TLS: set grpc.tls_certificate and grpc.tls_key too".into());
        }
        (None, None) => return Ok(None),
        (Some(certificate), Some(key)) => (certificate, key),
        _ => return Err("grpc.tls_certificate and grpc.tls_key go together: set both, or neither".into()),
    };
    let chain = certificates(certificate)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(|e| {
        format!(
            "grpc.tls_key: no private key (PEM) can be read from {}: {e}",
            key.display()
        )
    })?;
    // Named, not the process's default: two are compiled in, and a library must not choose for us.
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|e| format!("TLS can't be set up: {e}"))?;
    let builder = match &config.client_ca {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let mut roots = RootCertStore::empty();
            for root in certificates(file)? {
                roots.add(root).map_err(|e| {
                    format!(
                        "grpc.client_ca: a certificate of {} is no authority: {e}",
                        file.display()
                    )
                })?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|e| format!("grpc.client_ca {}: {e}", file.display()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut server = builder.with_single_cert(chain, key).map_err(|e| {
        format!(
            "grpc.tls_key does not fit grpc.tls_certificate {}: {e}",
            certificate.display()
        )
    })?;
    server.alpn_protocols = vec![b"h2".to_vec()];
    Ok(Some(TlsAcceptor::from(Arc::new(server))))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let unreadable = |e| format!("no certificates (PEM) can be read from {}: {e}", file.display());
    let read: Result<Vec<_>, _> = CertificateDer::pem_file_iter(file).map_err(unreadable)?.collect();
    let read = read.map_err(unreadable)?;
    if read.is_empty() {
        return Err(format!("{} holds no certificate (PEM)", file.display()));
    }
    Ok(read)
}

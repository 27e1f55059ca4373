//! TLS before the stub: a certificate of its own for each, and the versions of HTTP that it offers.

use std::{path::Path, process::Command, sync::Arc};

use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    },
};

/// A certificate that nobody else signed, and what takes connections with it.
pub(super) struct Tls {
    pub(super) certificate: Vec<u8>,
    pub(super) acceptor: TlsAcceptor,
}

impl Tls {
    /// Makes one; the server offers these versions of HTTP. The certificate may say that it is an authority's, as the usual ones
    /// of development do.
    pub(super) fn new(versions: &[&str], authority: bool) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let [key, certificate] = made(folder.path(), authority);
        let chain = vec![CertificateDer::from_pem_slice(&certificate).unwrap()];
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth();
        let key = PrivateKeyDer::from_pem_slice(&key).unwrap();
        let mut config = config.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = versions.iter().map(|version| version.as_bytes().to_vec()).collect();
        Self { certificate, acceptor: TlsAcceptor::from(Arc::new(config)) }
    }
}

/// A key and its certificate for 127.0.0.1.
fn made(folder: &Path, authority: bool) -> [Vec<u8>; 2] {
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
    command.args(["-days", "2", "-subj", "/CN=stub", "-addext", "subjectAltName=IP:127.0.0.1"]);
    let constraints = format!("basicConstraints=critical,CA:{}", if authority { "TRUE" } else { "FALSE" });
    command.args(["-addext", &constraints, "-keyout", "key.pem", "-out", "cert.pem"]);
    let made = command.current_dir(folder).output();
    assert!(made.is_ok(), "openssl is not installed; install Debian's package of that name");
    let made = made.unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    ["key.pem", "cert.pem"].map(|file| std::fs::read(folder.join(file)).unwrap())
}

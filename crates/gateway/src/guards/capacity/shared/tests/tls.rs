//! TLS: the server's certificate must be that of its name, by a certificate that is trusted.

use std::process::{Command, Stdio};

use super::{
    server::{Server, free_port},
    *,
};

/// A certificate for a name, signed by itself, in two files.
fn certificate(folder: &Path, name: &str) {
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
        ])
        .args(["-subj", "/CN=test", "-addext", &format!("subjectAltName={name}")])
        .args(["-addext", "basicConstraints=critical,CA:FALSE"])
        .args(["-keyout", "key.pem", "-out", "cert.pem"])
        .current_dir(folder)
        .stderr(Stdio::null())
        .status()
        .expect("cannot start openssl; install Debian's package openssl");
    assert!(made.success());
}

async fn is_answered(name: &str, trusted: bool) -> bool {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path(), name);
    let (port, file) = (free_port(), |name: &str| folder.path().join(name).to_str().unwrap().to_owned());
    let _server = Server::start(&[
        "--tls-port",
        &port.to_string(),
        "--tls-cert-file",
        &file("cert.pem"),
        "--tls-key-file",
        &file("key.pem"),
        "--tls-auth-clients",
        "no",
    ]);
    let lines = if trusted { format!("ca_file = {:?}\n", file("cert.pem")) } else { String::new() };
    let url = format!("rediss://127.0.0.1:{port}");
    let shared = open(&url, "p", &format!("{lines}timeout = \"1s\"")).unwrap();
    assert_eq!(rates(&[Arc::clone(&shared)], "acme", 10, 10)[0].take().await, Ok(()));
    shared.render().contains("local_calls_total 0\n")
}

#[tokio::test]
async fn only_a_trusted_certificate_of_the_right_name_is_accepted() {
    assert!(is_answered("IP:127.0.0.1", true).await);
    assert!(!is_answered("IP:127.0.0.1", false).await, "nobody vouches for it");
    assert!(!is_answered("IP:127.0.0.2", true).await, "it is another's");
}

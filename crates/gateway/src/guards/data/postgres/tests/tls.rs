//! TLS to the server: its certificate must be that of the URL's host, by an authority that is named.

use std::{path::Path, process::Command, process::Stdio};

use super::{server::Server, *};

fn openssl(folder: &Path, arguments: &[&str]) {
    let made = Command::new("openssl").args(arguments).current_dir(folder).stderr(Stdio::null()).status();
    assert!(made.expect("openssl is not installed; install Debian's package of that name").success());
}

/// An authority in `NAME.pem`.
fn authority(folder: &Path, name: &str) {
    let (key, out, subject) = (format!("{name}.key"), format!("{name}.pem"), format!("/CN={name}"));
    openssl(
        folder,
        &[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-days",
            "2",
            "-subj",
            &subject,
            "-addext",
            "keyUsage=critical,keyCertSign",
            "-keyout",
            &key,
            "-out",
            &out,
        ],
    );
}

/// The server's certificate for `localhost` in `server.pem`, signed by `ca`.
fn certificate(server: &Server) {
    let folder = server.folder();
    authority(folder, "ca");
    authority(folder, "other");
    std::fs::write(folder.join("names"), "subjectAltName=DNS:localhost\nbasicConstraints=critical,CA:FALSE")
        .expect("written");
    openssl(
        folder,
        &[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
            "-subj",
            "/CN=server",
            "-keyout",
            "server.key",
            "-out",
            "server.csr",
        ],
    );
    openssl(
        folder,
        &[
            "x509",
            "-req",
            "-in",
            "server.csr",
            "-CA",
            "ca.pem",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            "names",
            "-out",
            "server.pem",
        ],
    );
    for name in ["server.key", "server.pem"] {
        server.give(&folder.join(name));
    }
}

/// A call as a role whose password stands in the URL; how it went, in all the words that there are.
async fn call(server: &Server, host: &str, query: &str) -> Result<String, String> {
    let text = "[data.desk]\ndriver = \"postgres\"\nurl = \"env:DB\"\nisolation = \"rls\"\n";
    let config = crate::config::Config::parse(text, "p.toml", server.folder()).expect("a configuration");
    let url = format!("postgres://app:app%20pass@{host}:{}/postgres?{query}", server.address().port());
    let environment = crate::config::Environment::from_fn(move |name| (name == "DB").then(|| url.clone()));
    let told = |error: DataError| format!("{error} {error:?}");
    let sources = Sources::new(&config, &Outside { environment, ..Outside::default() }).map_err(told)?;
    sources.verify().map_err(told)?;
    // The server's word for whether the connection is encrypted, and with what.
    let sql = "SELECT version AS v FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let got = run(&sources, "acme", &unchecked(sql, false), json!({})).await.map_err(told)?;
    Ok(got.json)
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_hosts_own_certificate_by_a_named_authority_is_accepted() {
    let mut server = Server::start().await;
    lab::admin(&server.url(), "CREATE ROLE app LOGIN PASSWORD 'app pass'").await;
    certificate(&server);
    server.stop();
    server.run(&["ssl=on", "ssl_cert_file=../server.pem", "ssl_key_file=../server.key"]).await;

    for mode in ["verify-full", "require"] {
        let seen = call(&server, "localhost", &format!("sslmode={mode}&sslrootcert=ca.pem")).await;
        assert_eq!(seen.expect("the right name and authority"), r#"[{"v":"TLSv1.3"}]"#);
    }
    let seen = call(&server, "127.0.0.1", "sslmode=disable").await.expect("as said");
    assert_eq!(seen, r#"[{"v":null}]"#);

    for (host, query, what) in [
        ("127.0.0.1", "sslmode=verify-full&sslrootcert=ca.pem", "another name"),
        ("localhost", "sslmode=verify-full&sslrootcert=other.pem", "an authority that is not named"),
        ("localhost", "sslmode=verify-full", "no authority of the system's"),
        ("localhost", "sslmode=prefer&sslrootcert=other.pem", "TLS that is there is looked at"),
    ] {
        let told = call(&server, host, query).await.expect_err(what);
        assert!(told.contains(host) && told.contains("certificate"), "{what}: {told}");
        assert!(!told.contains("app pass") && !told.contains("app%20pass"), "{told}");
    }

    // A server without TLS is not talked to without it.
    server.stop();
    server.run(&["ssl=off"]).await;
    let told =
        call(&server, "localhost", "sslmode=verify-full&sslrootcert=ca.pem").await.expect_err("no TLS");
    assert!(told.contains("has no TLS") && !told.contains("app pass"), "{told}");
}

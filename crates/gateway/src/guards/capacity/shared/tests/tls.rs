//! TLS: the server's certificate must be that of its name, by a certificate that is trusted, and valid now; what is wrong
//! with it is said.

use std::process::{Command, Stdio};

use super::{
    server::{Server, free_port},
    *,
};

fn run(folder: &Path, program: &str, arguments: &str) {
    let made = Command::new(program)
        .args(arguments.split_whitespace())
        .current_dir(folder)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .unwrap_or_else(|_| panic!("cannot start {program}; install Debian's package of that name"));
    assert!(made.success(), "{program} {arguments}");
}

/// An authority in `NAME.pem`.
fn authority(folder: &Path, name: &str) {
    let arguments = format!(
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={name} \
         -addext keyUsage=critical,keyCertSign -keyout {name}.key -out {name}.pem"
    );
    run(folder, "openssl", &arguments);
}

/// A certificate for a name in `cert.pem`, signed by `ca`, made at that time and good for two days.
fn certificate(folder: &Path, name: &str, made: &str) {
    authority(folder, "ca");
    authority(folder, "other");
    std::fs::write(
        folder.join("names"),
        format!("subjectAltName={name}\nbasicConstraints=critical,CA:FALSE"),
    )
    .unwrap();
    let request = "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=server -keyout key.pem \
                   -out server.csr";
    run(folder, "openssl", request);
    let sign = "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names \
                -out cert.pem";
    match made {
        "now" => run(folder, "openssl", sign),
        // `faketime` takes the time as one word.
        made => run(folder, "faketime", &format!("{made} openssl {sign}")),
    }
}

/// What a process says of a server with such a certificate; and whether its limits are the server's.
async fn told(name: &str, made: &str, trusted: Option<&str>, cluster: bool) -> (String, bool) {
    let folder = tempfile::tempdir().unwrap();
    certificate(folder.path(), name, made);
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
    let trusted = trusted.map(|name| format!("ca_file = {:?}\n", file(name))).unwrap_or_default();
    let url = format!("rediss://:hush@127.0.0.1:{port}");
    let open = |cluster| open(&url, "p", &format!("{trusted}timeout = \"1s\"\ncluster = {cluster}")).unwrap();
    let said = open(cluster).link.refusal().await.unwrap_or_default();
    let url = format!("rediss://127.0.0.1:{port}");
    let shared = super::open(&url, "p", &format!("{trusted}timeout = \"1s\"")).unwrap();
    assert_eq!(rates(&[Arc::clone(&shared)], "acme", 10, 10)[0].take().await, Ok(()), "calls go on");
    (said, shared.render().contains("local_calls_total 0\n"))
}

#[tokio::test]
async fn only_a_trusted_certificate_of_the_right_name_is_accepted() {
    let (_said, used) = told("IP:127.0.0.1", "now", Some("ca.pem"), false).await;
    assert!(used, "the honest twin");
    for cluster in [false, true] {
        for (name, made, trusted, what) in [
            ("IP:127.0.0.2", "now", Some("ca.pem"), "for another name"),
            ("DNS:localhost", "now", Some("ca.pem"), "for another name"),
            (
                "IP:127.0.0.1",
                "now",
                Some("other.pem"),
                "nobody that is trusted here vouches for its certificate",
            ),
            ("IP:127.0.0.1", "now", None, "nobody that is trusted here vouches for its certificate"),
            ("IP:127.0.0.1", "2020-01-01", Some("ca.pem"), "has expired"),
            ("IP:127.0.0.1", "2035-01-01", Some("ca.pem"), "is not valid yet"),
        ] {
            let (said, used) = told(name, made, trusted, cluster).await;
            assert!(!used, "{name} {made} {trusted:?}");
            assert!(said.contains(what), "{name} {made} {trusted:?}, cluster {cluster}: {said}");
            assert!(!said.contains("hush") && !said.contains("127.0.0"), "{said}");
        }
    }
}

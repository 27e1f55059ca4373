//! What the guard refuses to start with, and the development issuer.

use std::{path::Path, time::Duration};

use partywall_model::TenantId;
use secrecy::ExposeSecret as _;
use serde_json::Value;

use super::support::{Hands, NOW, Signer, ask, bearer, config, key_set, with};
use crate::guards::identity::{Authenticator, DevelopmentIssuer, IdentityError};

/// A whole configuration from lines of `[server]`, of `[identity]` and of one issuer.
fn build(dir: &Path, server: &str, identity: &str, issuer: &str) -> Result<Authenticator, IdentityError> {
    let text = format!(
        "[server]\n{server}\n[identity]\n{identity}\n[[identity.issuer]]\nissuer = \"https://login.example.com/\"\n{issuer}\n"
    );
    Authenticator::new(&config(&text, dir), Hands::new().clock())
}

/// A folder with a good and an empty key set.
fn key_files() -> tempfile::TempDir {
    let dir = tempfile::tempdir().expect("a folder");
    std::fs::write(dir.path().join("keys.json"), key_set(&[&Signer::p256("k")])).expect("written");
    std::fs::write(dir.path().join("empty.json"), r#"{"keys":[]}"#).expect("written");
    dir
}

#[test]
fn an_unsafe_issuer_is_refused_and_its_safe_twin_is_not() {
    let dir = key_files();
    let both = "tenant_claim = \"org_id\"\njwks = \"keys.json\"\n";
    let again =
        "[[identity.issuer]]\nissuer = \"https://LOGIN\"\njwks = \"keys.json\"\ntenant_claim = \"o\"\n";
    let login = again.replace("LOGIN", "login.example.com/");
    let other = again.replace("LOGIN", "login.example.com");
    let reserved = again.replace("https://LOGIN", "urn:partywall:development");
    for (bad, good, words) in [
        ("algorithms = [\"HS256\"]", "algorithms = [\"RS256\"]", "algorithms: `HS256` is symmetric"),
        ("algorithms = [\"none\"]", "algorithms = [\"PS512\"]", "means unsigned tokens"),
        (
            "algorithms = [\"es256\"]",
            "algorithms = [\"ES256\"]",
            "`es256` is not known; use one or more of ES256",
        ),
        ("algorithms = []", "", "algorithms: is empty"),
        ("tenant_map = { a = \"b c\" }", "tenant_map = { a = \"b-c\" }", "tenant_map: `b c` is no tenant id"),
        ("tenant = \"*\"", "tenant = \"acme\"\nadvertise = true", "tenant: `*` is no tenant id"),
        ("audience = \"\"", "audience = \"x\"", "audience: is empty"),
        (&login, &other, "is configured twice"),
        (&reserved, &other, "is the name of the built-in issuer"),
    ] {
        let refused = build(dir.path(), "", "", &format!("{both}{bad}"));
        let text = refused.map(|_| ()).expect_err(bad).to_string();
        assert!(text.starts_with("identity.issuer `") && text.contains(words), "{bad}: {text}");
        build(dir.path(), "", "", &format!("{both}{good}")).unwrap_or_else(|why| panic!("{good}: {why}"));
    }
}

#[test]
fn an_issuer_without_safe_keys_or_tenant_is_refused_and_its_safe_twin_is_not() {
    let dir = key_files();
    let claim = "tenant_claim = \"org_id\"";
    let file = "jwks = \"keys.json\"";
    let both = format!("{claim}\n{file}\n");
    for (bad, good, words) in [
        (file, &*both, "tenant_claim: is missing"),
        (&*format!("{file}\ntenant_claim = \"\""), &both, "tenant_claim: is empty"),
        (
            &format!("{file}\ntenant = \"acme\"\nadvertise = true\ntenant_map = {{ a = \"b\" }}"),
            &format!("{file}\ntenant = \"acme\"\nadvertise = true"),
            "tenant_map: needs `tenant_claim`",
        ),
        (
            &format!("{claim}\njwks = \"http://login.example.com/jwks\""),
            &format!("{claim}\njwks = \"http://127.0.0.1:9/jwks\""),
            "jwks: must be an https URL; http is for loopback only",
        ),
        (
            &format!("{claim}\njwks = \"http://localhost.evil.example/jwks\""),
            &format!("{claim}\njwks = \"http://localhost:9/jwks\""),
            "jwks: must be an https URL",
        ),
        (
            &format!("{claim}\njwks = \"file:///etc/keys.json\""),
            &format!("{claim}\njwks = \"https://login.example.com/jwks\""),
            "jwks: must be an https URL",
        ),
        (
            &format!("{claim}\njwks = \"https://u:hunter2@login.example.com/jwks\""),
            claim,
            "jwks: must hold no user name or password",
        ),
        (&format!("{claim}\njwks = \"none.json\""), &both, "none.json"),
        (&format!("{claim}\njwks = \"empty.json\""), &both, "has no usable public key"),
    ] {
        let text = build(dir.path(), "", "", bad).map(|_| ()).expect_err(bad).to_string();
        assert!(text.contains(words), "{bad}: {text}");
        assert!(!text.contains("hunter2"), "{text}");
        build(dir.path(), "", "", good).unwrap_or_else(|why| panic!("{good}: {why}"));
    }
}

#[test]
fn an_unsafe_server_is_refused_and_its_safe_twin_is_not() {
    let dir = key_files();
    let issuer = "tenant_claim = \"org_id\"\njwks = \"keys.json\"";
    let tied = "tenant = \"acme\"\njwks = \"keys.json\"";
    let public = "public_url = \"https://mcp.example.com/mcp\"";
    let everywhere = format!("{public}\nlisten = \"0.0.0.0:80\"");
    let here = format!("{public}\nlisten = \"[::1]:80\"");
    let (development, advertise) = ("development = true", format!("{tied}\nadvertise = true"));
    for (bad, good, words) in [
        ((&*everywhere, development, issuer), (&*here, development, issuer), "listen on 127.0.0.1"),
        ((&*everywhere, development, issuer), (&everywhere, "", issuer), "server.listen is 0.0.0.0:80"),
        (("", "", tied), ("", "", &*advertise), "set advertise = true"),
        (("", "leeway = \"61s\"", issuer), ("", "leeway = \"60s\"", issuer), "identity.leeway is 61 s"),
        (("", "leeway = \"60s 1ms\"", issuer), ("", "leeway = \"0s\"", issuer), "identity.leeway"),
        (("public_url = \"mcp\"", "", issuer), (public, "", issuer), "server.public_url must be"),
        (("public_url = \"https://x/mcp?a\"", "", issuer), (public, "", issuer), "server.public_url"),
    ] {
        let refused = build(dir.path(), bad.0, bad.1, bad.2);
        let text = refused.map(|_| ()).expect_err(words).to_string();
        assert!(text.contains(words), "{text}");
        build(dir.path(), good.0, good.1, good.2).unwrap_or_else(|why| panic!("{good:?}: {why}"));
    }
    let alone = |text: &str| Authenticator::new(&config(text, dir.path()), Hands::new().clock());
    let text = alone("").map(|_| ()).expect_err("nobody").to_string();
    assert!(text.contains("no issuer is configured") && text.contains("identity.development"), "{text}");
    assert!(alone("[identity]\ndevelopment = true\n").is_ok());
}

fn mint(issuer: &DevelopmentIssuer, hands: &Hands) -> String {
    let tenant = TenantId::parse("acme").expect("a tenant");
    let token = issuer.mint(&tenant, "ann", "desk", Duration::from_secs(60), &hands.clock());
    token.expect("a token").expose_secret().to_owned()
}

#[tokio::test]
async fn development_tokens_are_good_here_and_nowhere_else() {
    let (hands, dir, strange) =
        (Hands::new(), tempfile::tempdir().expect("a folder"), tempfile::tempdir().expect("a folder"));
    let mut config = config("[identity]\ndevelopment = true\n", dir.path());
    let guard = Authenticator::new(&config, hands.clock()).expect("a guard");
    let issuer =
        DevelopmentIssuer::open_or_create(&config.data_dir(), &config.resource()).expect("an issuer");
    let token = mint(&issuer, &hands);
    let verified = ask(&guard, &bearer(&token)).await.expect("good");
    assert_eq!(verified.principal.tenant.as_str(), "acme");
    assert_eq!(&*verified.principal.subject, "ann");
    assert_eq!(&*verified.principal.issuer, issuer.issuer());
    assert!(verified.principal.scopes.allows("desk:read"));
    assert_eq!(verified.expires_at, NOW + 60);
    let metadata: Value = serde_json::from_slice(&guard.metadata()).expect("JSON");
    assert_eq!(with(&metadata, "authorization_servers", None), metadata, "it is no authorization server");

    let elsewhere =
        DevelopmentIssuer::open_or_create(&config.data_dir(), "http://127.0.0.1:1/mcp").expect("an issuer");
    let denial = ask(&guard, &bearer(&mint(&elsewhere, &hands))).await.map(|v| v.expires_at);
    assert_eq!(denial.expect_err("another resource").reason(), "wrong-audience");
    let impostor = DevelopmentIssuer::open_or_create(strange.path(), &config.resource()).expect("an issuer");
    let denial = ask(&guard, &bearer(&mint(&impostor, &hands))).await.map(|v| v.expires_at);
    assert_eq!(denial.expect_err("another key").reason(), "unknown-key");

    config.identity.development = false;
    std::fs::write(dir.path().join("keys.json"), key_set(&[&Signer::p256("k")])).expect("written");
    let text = "[[identity.issuer]]\nissuer = \"x\"\njwks = \"keys.json\"\ntenant_claim = \"o\"\n";
    config.identity.issuers = self::config(text, dir.path()).identity.issuers;
    let off = Authenticator::new(&config, hands.clock()).expect("a guard");
    let denial = ask(&off, &bearer(&token)).await.map(|v| v.expires_at);
    assert_eq!(denial.expect_err("switched off").reason(), "unknown-issuer");
}

#[test]
fn all_who_open_the_development_issuer_at_once_get_one_key() {
    let (hands, dir) = (Hands::new(), tempfile::tempdir().expect("a folder"));
    let data = dir.path().join("deep/data");
    let barrier = std::sync::Barrier::new(16);
    let headers: Vec<String> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..16)
            .map(|_| {
                scope.spawn(|| {
                    barrier.wait();
                    let issuer = DevelopmentIssuer::open_or_create(&data, "r").expect("an issuer");
                    // The header holds the key's thumbprint.
                    mint(&issuer, &hands).split('.').next().expect("a header").to_owned()
                })
            })
            .collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert!(headers.iter().all(|header| *header == headers[0]));
    let files: Vec<_> =
        std::fs::read_dir(&data).expect("the folder").map(|f| f.expect("a file").file_name()).collect();
    assert_eq!(files, ["development-issuer.pem"], "no draft is left");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let path = data.join("development-issuer.pem");
        let mode = |path: &Path| std::fs::metadata(path).expect("a file").permissions().mode() & 0o777;
        assert_eq!(mode(&path), 0o600);
        assert_eq!(mode(&data), 0o700);
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("set");
        let error = DevelopmentIssuer::open_or_create(&data, "r").expect_err("others can read it");
        let reason = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
        let text = format!("{error}: {reason}");
        assert!(text.contains("chmod 600") && text.contains("development-issuer.pem"), "{text}");
    }
}

#[test]
fn a_damaged_key_is_refused_and_never_shown() {
    let dir = tempfile::tempdir().expect("a folder");
    let issuer = DevelopmentIssuer::open_or_create(dir.path(), "r").expect("an issuer");
    let path = dir.path().join("development-issuer.pem");
    let pem = std::fs::read_to_string(&path).expect("the key");
    assert!(pem.starts_with("-----BEGIN PRIVATE KEY-----\n") && pem.ends_with("-----END PRIVATE KEY-----\n"));
    let middle = pem.lines().nth(1).expect("a line");
    assert!(!format!("{issuer:?}").contains(middle));
    std::fs::write(&path, pem.replace(middle, "AAAA")).expect("written");
    let error = DevelopmentIssuer::open_or_create(dir.path(), "r").expect_err("damaged");
    assert!(error.to_string().contains("delete it and a new one is made"), "{error}");
    assert!(!format!("{error} {error:?}").contains("AAAA"));
}

#[test]
fn a_token_that_would_not_be_accepted_is_not_minted() {
    let (hands, dir) = (Hands::new(), tempfile::tempdir().expect("a folder"));
    let issuer = DevelopmentIssuer::open_or_create(dir.path(), "r").expect("an issuer");
    let tenant = TenantId::parse("acme").expect("a tenant");
    let long = "x".repeat(257);
    const YEAR: u64 = 366 * 24 * 3600;
    for (subject, scopes, seconds, good) in [
        ("ann", "", 60, true),
        ("ann", "a b:c", 1, true),
        ("ann", "a", YEAR, true),
        ("", "a", 60, false),
        ("a\nb", "a", 60, false),
        (&long, "a", 60, false),
        ("ann", "a\"b", 60, false),
        ("ann", "a", 0, false),
        ("ann", "a", YEAR + 1, false),
    ] {
        let minted = issuer.mint(&tenant, subject, scopes, Duration::from_secs(seconds), &hands.clock());
        assert_eq!(minted.is_ok(), good, "{subject:?} {scopes:?} {seconds}");
    }
}

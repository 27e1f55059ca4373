//! The built-in issuer for trying things out: one key in the data folder, good on loopback only.

use std::{
    fmt, fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use aws_lc_rs::{
    digest,
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, EncodingKey};
use partywall_model::TenantId;
use secrecy::SecretString;
use serde_json::json;
use zeroize::Zeroizing;

use super::{
    claims,
    error::IdentityError,
    issuer::{Issuer, TenantRule},
    key_store::KeyStore,
    keys::{Key, KeySet},
};
use crate::{admit::Incarnation, clock::Clock, tenants::TenantRecord};

/// The `iss` of development tokens; a name and no URL, since there is nothing to discover.
pub(super) const ISSUER: &str = "urn:partywall:development";

const KEY_FILE: &str = "development-issuer.pem";
const TOKEN_TYPE: &str = "at+jwt";
const TENANT_CLAIM: &str = "tenant";
/// Names the life of the tenant that a token was made for.
pub(super) const LIFE_CLAIM: &str = "life";

/// The built-in issuer of tokens for development and demonstrations.
///
/// Its ES256 key is made on first use, in `development-issuer.pem` (PKCS #8, readable by its owner only).
pub struct DevelopmentIssuer {
    key: EcdsaKeyPair,
    key_id: String,
    resource: String,
}

impl fmt::Debug for DevelopmentIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevelopmentIssuer").field("resource", &self.resource).finish_non_exhaustive()
    }
}

impl DevelopmentIssuer {
    /// Reads the key in `data_dir`, or makes one; of several processes that do so at once all get the same key.
    ///
    /// # Errors
    /// When the file cannot be read or made, holds no P-256 key, or can be read by others.
    pub fn open_or_create(data_dir: &Path, resource: &str) -> Result<Self, IdentityError> {
        let path = data_dir.join(KEY_FILE);
        let failed = |source| IdentityError::DevelopmentKeyFile { path: path.clone(), source };
        let pem = match read_private(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => create_folder(data_dir)
                .and_then(|()| create_key(data_dir, &path))
                .and_then(|()| read_private(&path))
                .map_err(failed)?,
            read => read.map_err(failed)?,
        };
        let bad = || IdentityError::DevelopmentKey {
            path: path.clone(),
            problem: "holds no P-256 private key in PKCS #8 form; delete it and a new one is made",
        };
        let der = EncodingKey::from_ec_pem(&pem).map_err(|_| bad())?;
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.as_bytes()).map_err(|_| bad())?;
        let hash = digest::digest(&digest::SHA256, key.public_key().as_ref());
        let key_id = URL_SAFE_NO_PAD.encode(hash.as_ref());
        Ok(Self { key, key_id, resource: resource.to_owned() })
    }

    /// The `iss` of its tokens.
    #[must_use]
    pub fn issuer(&self) -> String {
        ISSUER.to_owned()
    }

    /// Mints a token for a caller in this life of a tenant: it is good in no other.
    ///
    /// # Errors
    /// As for [`DevelopmentIssuer::mint`].
    pub fn mint_for(
        &self,
        tenant: &TenantRecord,
        subject: &str,
        scopes: &str,
        ttl: Duration,
        clock: &Clock,
    ) -> Result<SecretString, IdentityError> {
        self.sign(&tenant.id, Some(tenant.incarnation), subject, scopes, ttl, clock)
    }

    /// Mints a token for a caller in a tenant. It names no life of the tenant, so one that was removed and added again
    /// has to have been added in an earlier second.
    ///
    /// # Errors
    /// When the subject or a scope could not be accepted again, or the life is under a second or over 366 days.
    pub fn mint(
        &self,
        tenant: &TenantId,
        subject: &str,
        scopes: &str,
        ttl: Duration,
        clock: &Clock,
    ) -> Result<SecretString, IdentityError> {
        self.sign(tenant, None, subject, scopes, ttl, clock)
    }

    fn sign(
        &self,
        tenant: &TenantId,
        life: Option<Incarnation>,
        subject: &str,
        scopes: &str,
        ttl: Duration,
        clock: &Clock,
    ) -> Result<SecretString, IdentityError> {
        if !claims::is_subject(subject) {
            return Err(IdentityError::Mint(
                "the subject must have 1 to 256 characters and no control characters",
            ));
        }
        if !scopes.split(' ').all(|word| word.is_empty() || claims::is_scope(word)) {
            return Err(IdentityError::Mint(
                "scopes are words of printable ASCII without quotes or backslashes, separated by spaces",
            ));
        }
        if !(1..=claims::MAX_LIFE).contains(&ttl.as_secs()) {
            return Err(IdentityError::Mint("the life must be between 1 second and 366 days"));
        }
        let now = clock.unix_seconds();
        let header = json!({"alg": "ES256", "typ": TOKEN_TYPE, "kid": self.key_id});
        let mut payload = json!({
            "iss": ISSUER,
            "aud": self.resource,
            "sub": subject,
            TENANT_CLAIM: tenant.as_str(),
            "scope": scopes,
            "iat": now,
            "exp": now.saturating_add(ttl.as_secs()),
        });
        if let (Some(life), Some(payload)) = (life, payload.as_object_mut()) {
            payload.insert(LIFE_CLAIM.to_owned(), life.0.into());
        }
        let message = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(header.to_string()),
            URL_SAFE_NO_PAD.encode(payload.to_string())
        );
        let signature = self
            .key
            .sign(&SystemRandom::new(), message.as_bytes())
            .map_err(|_| IdentityError::Mint("signing failed"))?;
        Ok(format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref())).into())
    }

    /// The issuer as the guard sees it.
    pub(super) fn as_issuer(&self, clock: &Clock) -> Issuer {
        let set = KeySet::of(Key::p256(&self.key_id, self.key.public_key().as_ref()));
        Issuer {
            name: ISSUER.into(),
            algorithms: vec![Algorithm::ES256],
            audience: self.resource.clone(),
            allow_other_audiences: false,
            token_type: Some(TOKEN_TYPE.to_owned()),
            tenant: TenantRule { claim: Some(TENANT_CLAIM.to_owned()), fixed: None, map: None },
            keys: Arc::new(KeyStore::fixed(ISSUER, set, clock.clone())),
        }
    }
}

/// Reads a key file; one that others may read is refused, since it may already be theirs.
fn read_private(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = fs::File::open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is no regular file; move it away and a new one is made"));
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        if metadata.permissions().mode() & 0o077 != 0 {
            return Err(io::Error::other(
                "other users may read or change it; delete it and a new one is made, or run chmod 600 if it never left this machine",
            ));
        }
    }
    let mut pem = Zeroizing::new(Vec::with_capacity(4096));
    io::Read::read_to_end(&mut io::Read::take(file, 4096), &mut pem)?;
    Ok(pem)
}

fn create_folder(path: &Path) -> io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Writes a new key beside its place and links it there whole: a reader sees no half of it, and the first one wins.
fn create_key(data_dir: &Path, path: &Path) -> io::Result<()> {
    let failed = |_| io::Error::other("no key could be made");
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &SystemRandom::new())
        .map_err(failed)?;
    let body = Zeroizing::new(STANDARD.encode(key.as_ref()));
    let mut pem = Zeroizing::new(String::with_capacity(512));
    pem.push_str("-----BEGIN PRIVATE KEY-----\n");
    let mut rest = body.as_str();
    while let Some((line, more)) = rest.split_at_checked(64) {
        pem.push_str(line);
        pem.push('\n');
        rest = more;
    }
    if !rest.is_empty() {
        pem.push_str(rest);
        pem.push('\n');
    }
    pem.push_str("-----END PRIVATE KEY-----\n");

    let mut name = [0_u8; 12];
    getrandom::fill(&mut name).map_err(io::Error::other)?;
    let draft: PathBuf = data_dir.join(format!(".{KEY_FILE}.{}", URL_SAFE_NO_PAD.encode(name)));
    let linked = write_private(&draft, pem.as_bytes()).and_then(|()| fs::hard_link(&draft, path));
    let removed = fs::remove_file(&draft);
    match linked {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        linked => linked?,
    }
    removed?;
    #[cfg(unix)]
    fs::File::open(data_dir)?.sync_all()?;
    Ok(())
}

fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

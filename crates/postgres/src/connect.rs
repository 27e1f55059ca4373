//! Connections: with TLS where the URL asks for it, within a time limit, with errors that say what to do.

use std::{error::Error as _, fmt::Write as _, future::Future, path::PathBuf, sync::Arc, time::Duration};

use rustls::{ClientConfig, RootCertStore, pki_types::CertificateDer, pki_types::pem::PemObject};
use rustls_platform_verifier::Verifier;
use tokio_postgres::{Client, Socket, config::SslMode, error::SqlState, tls::MakeTlsConnect};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::url::{DatabaseUrl, TlsMode};

/// How long a connection may take to be made when the URL's `connect_timeout` says nothing else, all of it together.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The part of a connection that talks to the server; it has to be polled for the client to get answers.
pub type Connection =
    tokio_postgres::Connection<Socket, <MakeRustlsConnect as MakeTlsConnect<Socket>>::Stream>;

/// Makes connections to one database.
#[derive(Clone)]
pub struct Connector {
    url: DatabaseUrl,
    config: tokio_postgres::Config,
    tls: MakeRustlsConnect,
    limit: Duration,
}

impl Connector {
    /// Prepares connections; reads the file of `sslrootcert`.
    ///
    /// # Errors
    ///
    /// If the certificates cannot be read or TLS cannot be set up.
    pub fn new(url: DatabaseUrl) -> Result<Self, ConnectError> {
        let client = tls_config(&url)?;
        let mut config = url.config().clone();
        config.ssl_mode(match url.tls() {
            TlsMode::Disable => SslMode::Disable,
            TlsMode::Prefer => SslMode::Prefer,
            TlsMode::Verify => SslMode::Require,
        });
        let limit = config.get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT);
        config.connect_timeout(limit);
        keep_alive(&mut config);
        Ok(Self { url, config, tls: MakeRustlsConnect::new(client), limit })
    }

    /// The URL that connections go to.
    #[must_use]
    pub const fn url(&self) -> &DatabaseUrl {
        &self.url
    }

    /// Makes a connection. The second half has to be polled, by [`drive`] or by a task of the caller's.
    ///
    /// # Errors
    ///
    /// If the server cannot be reached in time, does not have the wanted TLS, or does not let the role in.
    pub async fn connect(&self) -> Result<(Client, Connection), ConnectError> {
        // The library's own limit is that of the TCP handshake: a server that accepts and then says nothing would
        // hold us for ever.
        match tokio::time::timeout(self.limit, self.config.connect(self.tls.clone())).await {
            Ok(Ok(made)) => Ok(made),
            Ok(Err(error)) => Err(self.refused(error)),
            Err(_elapsed) => {
                Err(ConnectError::Slow { at: self.url.to_string(), seconds: self.limit.as_secs() })
            }
        }
    }

    fn refused(&self, error: tokio_postgres::Error) -> ConnectError {
        let advice = match error.code() {
            Some(&SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION) => {
                "check the role and its password in the URL, and the server's pg_hba.conf"
            }
            Some(&SqlState::INVALID_CATALOG_NAME) => "create the database, or name the one you meant",
            Some(&SqlState::TOO_MANY_CONNECTIONS) => "lower our max_connections or raise the server's",
            Some(_) => "see the server's log",
            None if self.url.tls() == TlsMode::Verify => {
                "is the server running, is the address right, does it have TLS, and is its certificate for this host and from an authority we know (sslrootcert=FILE names one)?"
            }
            None => "is the server running, and is the address right?",
        };
        ConnectError::Refused { at: self.url.to_string(), what: chain(&error), advice, error }
    }
}

/// Has the system notice within a minute that nobody is there any more, and lets nothing between forget a connection that
/// is quiet, unless the URL says something else.
fn keep_alive(config: &mut tokio_postgres::Config) {
    /// What the library has when nothing is said.
    const NOTHING_SAID: Duration = Duration::from_secs(2 * 60 * 60);
    if config.get_keepalives_idle() == NOTHING_SAID {
        config.keepalives_idle(Duration::from_secs(30));
        if config.get_keepalives_interval().is_none() {
            config.keepalives_interval(Duration::from_secs(10));
        }
        if config.get_keepalives_retries().is_none() {
            config.keepalives_retries(3);
        }
    }
}

/// The TLS settings for the URL: certificates of `sslrootcert` or the system's, always verified.
///
/// # Errors
///
/// If the certificates cannot be read or TLS cannot be set up.
pub fn tls_config(url: &DatabaseUrl) -> Result<ClientConfig, ConnectError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(ConnectError::Tls)?;
    if let Some(path) = url.root_certificates() {
        let failed = |what: String| ConnectError::Certificates { path: path.to_owned(), what };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_file_iter(path).map_err(|error| failed(error.to_string()))? {
            let certificate = certificate.map_err(|error| failed(error.to_string()))?;
            roots.add(certificate).map_err(|error| failed(error.to_string()))?;
        }
        if roots.is_empty() {
            return Err(failed("there is no certificate in it".to_owned()));
        }
        return Ok(builder.with_root_certificates(roots).with_no_client_auth());
    }
    if url.tls() == TlsMode::Disable {
        // Never used; the system's certificates are not read for nothing.
        return Ok(builder.with_root_certificates(RootCertStore::empty()).with_no_client_auth());
    }
    let verifier = Verifier::new(provider).map_err(ConnectError::Tls)?;
    Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(verifier)).with_no_client_auth())
}

/// Runs `work` while the connection talks to the server; `None` if the connection ended before the work did.
pub async fn drive<T>(connection: Connection, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        done = work => Some(done),
        _ended = connection => None,
    }
}

/// What an error says and what it comes from, once each.
pub(crate) fn chain(error: &tokio_postgres::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        let said = next.to_string();
        if !text.contains(&said) {
            // Writing to a string cannot fail.
            let _written = write!(text, ": {said}");
        }
        cause = next.source();
    }
    text
}

/// Why there is no connection. Passwords are in none of the messages.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The server said no, or there is none.
    #[error("cannot connect to {at}: {what}; {advice}")]
    Refused {
        /// The database.
        at: String,
        /// What was said.
        what: String,
        /// What to do.
        advice: &'static str,
        /// The library's error.
        #[source]
        error: tokio_postgres::Error,
    },
    /// It took too long.
    #[error(
        "cannot connect to {at}: no answer within {seconds} s; is the address right, and does a firewall let us through?"
    )]
    Slow {
        /// The database.
        at: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The file of `sslrootcert` is no use.
    #[error("cannot read the certificates in {}: {what}; sslrootcert names a file of certificates in PEM form", path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// TLS cannot be set up.
    #[error(
        "cannot set up TLS: {0}; name the certificates of your authority with sslrootcert=FILE in the URL"
    )]
    Tls(#[source] rustls::Error),
}

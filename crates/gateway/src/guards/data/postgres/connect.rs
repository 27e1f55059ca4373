//! Making a connection: the address, TLS, the role and its password.

use std::{net::IpAddr, sync::Arc, time::Duration};

use bytes::BytesMut;
use partywall_postgres::{DatabaseUrl, TlsMode, connect::tls_config};
use postgres_protocol::{
    authentication::{
        md5_hash,
        sasl::{ChannelBinding, SCRAM_SHA_256, ScramSha256},
    },
    message::{backend::Message, frontend},
};
use rustls::{ClientConfig, pki_types::ServerName};
use secrecy::{ExposeSecret, SecretString};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};
use tokio_postgres::config::Host;
use tokio_rustls::TlsConnector;

use super::{
    error::Broken,
    wire::{CancelKey, Conn, Io, SMALL, server_error},
};
use crate::guards::data::DataError;

/// How long a connection may take to be made, unless the configuration says otherwise.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// One address of the server.
#[derive(Clone)]
enum Address {
    Tcp { host: String, port: u16 },
    Unix(std::path::PathBuf),
}

/// How to reach the server.
#[derive(Clone)]
pub(super) struct Way {
    address: Address,
    tls: TlsMode,
    client: Arc<ClientConfig>,
}

/// Who connects to which database.
pub(super) struct Login {
    pub(super) role: String,
    pub(super) password: Option<SecretString>,
    pub(super) database: String,
}

/// Makes connections to one server.
pub(super) struct Connector {
    ways: Vec<Way>,
    application: String,
    limit: Duration,
}

impl Connector {
    pub(super) fn new(url: &DatabaseUrl, limit: Duration) -> Result<Self, DataError> {
        let client = tls_config(url).map_err(|error| DataError::Configuration(error.to_string()))?;
        let client = Arc::new(client);
        let config = url.config();
        let way = |address| Way { address, tls: url.tls(), client: Arc::clone(&client) };
        let mut ports = config.get_ports().iter();
        let mut port = 5432;
        let mut ways = Vec::new();
        for (index, host) in config.get_hosts().iter().enumerate() {
            port = ports.next().copied().unwrap_or(port);
            ways.push(way(match host {
                Host::Tcp(name) => {
                    // The name is what the certificate must be for; the address is where to go.
                    let name = name.trim_matches(['[', ']']).to_owned();
                    match config.get_hostaddrs().get(index) {
                        Some(address) if url.tls() == TlsMode::Disable => {
                            Address::Tcp { host: address.to_string(), port }
                        }
                        Some(_) => {
                            return Err(DataError::Configuration(
                                "the database's URL has `hostaddr` beside TLS; leave `hostaddr` out"
                                    .to_owned(),
                            ));
                        }
                        None => Address::Tcp { host: name, port },
                    }
                }
                Host::Unix(folder) => Address::Unix(folder.join(format!(".s.PGSQL.{port}"))),
            }));
        }
        if ways.is_empty() {
            return Err(DataError::Configuration("the database's URL names no host".to_owned()));
        }
        let application = config.get_application_name().unwrap_or("partywall").to_owned();
        Ok(Self { ways, application, limit })
    }

    /// Makes a connection, to the first address that answers.
    pub(super) async fn connect(&self, login: &Login) -> Result<Conn, Broken> {
        let mut last = Broken::Protocol("no address");
        for way in &self.ways {
            match tokio::time::timeout(self.limit, way.connect(login, &self.application)).await {
                Ok(Ok(conn)) => return Ok(conn),
                // A server that answers is the one; the others would be asked with the same role and password.
                Ok(Err(Broken::Refused(error))) => return Err(Broken::Refused(error)),
                Ok(Err(error)) => last = error,
                Err(_elapsed) => last = Broken::Ended(std::io::ErrorKind::TimedOut.into()),
            }
        }
        Err(last)
    }
}

impl Way {
    async fn open(&self) -> Result<Box<dyn Io>, Broken> {
        let (host, port) = match &self.address {
            Address::Unix(path) => return Ok(Box::new(UnixStream::connect(path).await?)),
            Address::Tcp { host, port } => (host, *port),
        };
        let mut tcp = TcpStream::connect((host.as_str(), port)).await?;
        tcp.set_nodelay(true)?;
        if self.tls == TlsMode::Disable {
            return Ok(Box::new(tcp));
        }
        let mut request = BytesMut::new();
        frontend::ssl_request(&mut request);
        tcp.write_all(&request).await?;
        // One byte and not one more: what comes before the handshake is from nobody that we know.
        match tcp.read_u8().await? {
            b'S' => {}
            b'N' if self.tls == TlsMode::Prefer => return Ok(Box::new(tcp)),
            _ => return Err(Broken::Protocol("the server has no TLS, and the database's URL asks for it")),
        }
        let name = ServerName::try_from(host.clone())
            .map_err(|_no_name| Broken::Protocol("the host's name cannot stand in a certificate"))?;
        Ok(Box::new(TlsConnector::from(Arc::clone(&self.client)).connect(name, tcp).await?))
    }

    /// Whether nobody can listen on the way.
    fn is_private(&self) -> bool {
        let local = match &self.address {
            Address::Unix(_) => true,
            Address::Tcp { host, .. } => {
                host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
            }
        };
        local || self.tls == TlsMode::Verify
    }

    async fn connect(&self, login: &Login, application: &str) -> Result<Conn, Broken> {
        let mut conn = Conn::new(self.open().await?, self.clone());
        // Only settings that a pooler knows; all of them decide how values are written or read. A backslash in a text
        // is what the check of the statement has taken it for, whatever the role's own settings are.
        let parameters = [
            ("user", login.role.as_str()),
            ("database", login.database.as_str()),
            ("client_encoding", "UTF8"),
            ("DateStyle", "ISO"),
            ("TimeZone", "UTC"),
            ("standard_conforming_strings", "on"),
            ("application_name", application),
        ];
        frontend::startup_message(parameters, conn.output())?;
        conn.send().await?;
        self.authenticate(&mut conn, login).await?;
        loop {
            match conn.receive(SMALL).await? {
                Message::BackendKeyData(key) => {
                    conn.cancel_key = Some(CancelKey { process: key.process_id(), secret: key.secret_key() });
                }
                Message::ReadyForQuery(ready) => {
                    conn.ready(ready.status())?;
                    return Ok(conn);
                }
                Message::ErrorResponse(error) => return Err(Broken::Refused(server_error(error.fields()))),
                Message::ParameterStatus(_) | Message::NoticeResponse(_) => {}
                _ => return Err(Broken::Protocol("an unexpected message at the start")),
            }
        }
    }

    async fn authenticate(&self, conn: &mut Conn, login: &Login) -> Result<(), Broken> {
        let password = || {
            let password = login.password.as_ref().map(|password| password.expose_secret().as_bytes());
            password.ok_or(Broken::Protocol("the server wants a password, and there is none"))
        };
        loop {
            match conn.receive(SMALL).await? {
                Message::AuthenticationOk => return Ok(()),
                Message::AuthenticationCleartextPassword if self.is_private() => {
                    frontend::password_message(password()?, conn.output())?;
                    conn.send().await?;
                }
                Message::AuthenticationMd5Password(md5) => {
                    let hash = md5_hash(login.role.as_bytes(), password()?, md5.salt());
                    frontend::password_message(hash.as_bytes(), conn.output())?;
                    conn.send().await?;
                }
                Message::AuthenticationSasl(_offer) => scram(conn, password()?).await?,
                Message::ErrorResponse(error) => return Err(Broken::Refused(server_error(error.fields()))),
                Message::NoticeResponse(_) => {}
                Message::AuthenticationCleartextPassword => {
                    return Err(Broken::Protocol(
                        "the server wants the password unencrypted; use TLS, or scram-sha-256 in pg_hba.conf",
                    ));
                }
                _ => return Err(Broken::Protocol("the server wants a way to log in that is not known here")),
            }
        }
    }

    /// Asks the server to stop what a connection is doing, and waits until it has heard.
    pub(super) async fn cancel(&self, key: CancelKey) -> Result<(), Broken> {
        let mut io = self.open().await?;
        let mut request = BytesMut::new();
        frontend::cancel_request(key.process, key.secret, &mut request);
        io.write_all(&request).await?;
        io.flush().await?;
        // The server closes the connection when it has sent the signal.
        let mut nothing = [0; 1];
        let _end = io.read(&mut nothing).await;
        Ok(())
    }
}

/// SCRAM-SHA-256 (RFC 5802, RFC 7677). The server proves that it knows the password too.
async fn scram(conn: &mut Conn, password: &[u8]) -> Result<(), Broken> {
    let mut scram = ScramSha256::new(password, ChannelBinding::unsupported());
    frontend::sasl_initial_response(SCRAM_SHA_256, scram.message(), conn.output())?;
    conn.send().await?;
    let challenge = match conn.receive(SMALL).await? {
        Message::AuthenticationSaslContinue(body) => body,
        Message::ErrorResponse(error) => return Err(Broken::Refused(server_error(error.fields()))),
        _ => return Err(Broken::Protocol("an unexpected message during the login")),
    };
    scram.update(challenge.data())?;
    frontend::sasl_response(scram.message(), conn.output())?;
    conn.send().await?;
    match conn.receive(SMALL).await? {
        Message::AuthenticationSaslFinal(body) => Ok(scram.finish(body.data())?),
        Message::ErrorResponse(error) => Err(Broken::Refused(server_error(error.fields()))),
        _ => Err(Broken::Protocol("an unexpected message during the login")),
    }
}

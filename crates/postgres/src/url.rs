//! Database URLs: where they come from, and what of them may be shown.

use std::{
    fmt, fs,
    io::Read,
    net::IpAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use tokio_postgres::{Config, config::Host};

/// The longest URL that is read, in bytes.
const LONGEST: u64 = 8 * 1024;

/// Where a URL is written: `env:NAME`, `file:PATH`, or the URL itself.
#[derive(Clone, PartialEq, Eq)]
pub enum Source<'s> {
    /// In an environment variable.
    Environment(&'s str),
    /// In a file, which holds the URL and nothing else.
    File(&'s Path),
    /// Here. It must not hold a password: arguments and configuration files are read by many.
    Literal(&'s str),
}

impl<'s> Source<'s> {
    /// Reads a word of a configuration or command line.
    #[must_use]
    pub fn of(word: &'s str) -> Self {
        if let Some(name) = word.strip_prefix("env:") {
            Self::Environment(name)
        } else if let Some(path) = word.strip_prefix("file:") {
            Self::File(Path::new(path))
        } else {
            Self::Literal(word)
        }
    }
}

impl fmt::Debug for Source<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment(name) => write!(f, "env:{name}"),
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Literal(_) => f.write_str("a literal URL"),
        }
    }
}

/// What a connection does about TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsMode {
    /// No TLS.
    Disable,
    /// TLS if the server has it; on this machine only.
    Prefer,
    /// TLS, and the server's certificate is that of the host in the URL. libpq's `require` would take any certificate,
    /// which protects from nobody who sits in between; here `require` is another word for `verify-full`.
    Verify,
}

/// Where a database is and who connects to it. Neither `Debug` nor `Display` shows the password.
#[derive(Clone)]
pub struct DatabaseUrl {
    config: Config,
    tls: TlsMode,
    root_certificates: Option<PathBuf>,
}

impl DatabaseUrl {
    /// Reads a URL from where `word` says: `env:NAME`, `file:PATH` (from `base`), or the URL itself, which then must
    /// have no password. `environment` gives the value of a variable.
    ///
    /// # Errors
    ///
    /// If there is no such variable or file, or what is there is no URL of a PostgreSQL database.
    pub fn resolve(
        word: &str,
        base: &Path,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, UrlError> {
        match Source::of(word) {
            Source::Environment(name) => {
                let text = environment(name).ok_or_else(|| UrlError::NoVariable(name.to_owned()))?;
                Self::parse(&text, base)
            }
            Source::File(path) => {
                let path = base.join(path);
                let text = read(&path)?;
                Self::parse(text.trim_end_matches(['\r', '\n']), base)
            }
            Source::Literal(text) => {
                let url = Self::parse(text, base)?;
                if url.has_password() { Err(UrlError::PasswordInTheOpen) } else { Ok(url) }
            }
        }
    }

    /// Reads a URL; a relative `sslrootcert` starts at `base`.
    ///
    /// # Errors
    ///
    /// If it is no URL of a PostgreSQL database, or asks for a connection that would not be safe.
    pub fn parse(text: &str, base: &Path) -> Result<Self, UrlError> {
        if !text.starts_with("postgres://") && !text.starts_with("postgresql://") {
            return Err(UrlError::Scheme);
        }
        let Options { rest, sslmode, sslrootcert } = Options::take_from(text)?;
        // The parser's own errors quote what they could not read, which may be a part of a password.
        let mut config = Config::from_str(&rest).map_err(|_quotes| UrlError::Syntax)?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(UrlError::NoHost);
        }
        if config.get_dbname().is_none_or(str::is_empty) {
            return Err(UrlError::NoDatabase);
        }
        if config.get_application_name().is_none() {
            config.application_name("partywall");
        }
        let local = is_local(&config);
        let tls = match sslmode.as_deref() {
            None if local => TlsMode::Disable,
            None | Some("verify-full" | "require") => TlsMode::Verify,
            Some("disable") => TlsMode::Disable,
            Some("prefer") if local => TlsMode::Prefer,
            Some("prefer") => return Err(UrlError::PreferRemote),
            Some(_) => return Err(UrlError::TlsMode),
        };
        let root_certificates = sslrootcert.filter(|path| path != "system").map(|path| base.join(path));
        Ok(Self { config, tls, root_certificates })
    }

    /// The same database for another role, as a connection for each tenant needs it.
    #[must_use]
    pub fn for_role(&self, role: &str, password: &SecretString) -> Self {
        let mut url = self.clone();
        url.config.user(role).password(password.expose_secret());
        url
    }

    /// Another database of the same server.
    #[must_use]
    pub fn for_database(&self, name: &str) -> Self {
        let mut url = self.clone();
        url.config.dbname(name);
        url
    }

    /// Whether the URL holds a password.
    #[must_use]
    pub fn has_password(&self) -> bool {
        self.config.get_password().is_some()
    }

    /// The role that connects; without one in the URL, that of the operating system's user.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.config.get_user()
    }

    /// The database's name.
    #[must_use]
    pub fn database(&self) -> &str {
        self.config.get_dbname().unwrap_or_default()
    }

    /// What a connection does about TLS.
    #[must_use]
    pub const fn tls(&self) -> TlsMode {
        self.tls
    }

    /// The file with the certificates of the authorities that may vouch for the server; without one, the system's.
    #[must_use]
    pub fn root_certificates(&self) -> Option<&Path> {
        self.root_certificates.as_deref()
    }

    /// The settings of the client library. Its `Debug` hides the password; what it is handed to must not show it either.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }
}

/// `postgres://host:port/database`, without the role and its password.
impl fmt::Display for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        let mut ports = self.config.get_ports().iter();
        let mut port = 5432;
        for (index, host) in self.config.get_hosts().iter().enumerate() {
            port = ports.next().copied().unwrap_or(port);
            if index > 0 {
                f.write_str(",")?;
            }
            match host {
                Host::Tcp(name) if name.contains(':') => write!(f, "[{name}]:{port}")?,
                Host::Tcp(name) => write!(f, "{name}:{port}")?,
                Host::Unix(path) => {
                    write!(f, "{}:{port}", path.display().to_string().replace('/', "%2F"))?;
                }
            }
        }
        if self.config.get_hosts().is_empty() {
            for address in self.config.get_hostaddrs() {
                write!(f, "{address}:{}", ports.next().copied().unwrap_or(port))?;
            }
        }
        write!(f, "/{}", self.database())
    }
}

impl fmt::Debug for DatabaseUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatabaseUrl")
            .field("at", &self.to_string())
            .field("user", &self.user())
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// The two options that are read here and not by the client library, which knows neither `verify-full` nor
/// `sslrootcert`.
struct Options {
    rest: String,
    sslmode: Option<String>,
    sslrootcert: Option<String>,
}

impl Options {
    fn take_from(text: &str) -> Result<Self, UrlError> {
        let Some((head, query)) = text.split_once('?') else {
            return Ok(Self { rest: text.to_owned(), sslmode: None, sslrootcert: None });
        };
        let (mut sslmode, mut sslrootcert, mut others) = (None, None, Vec::new());
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) = pair.split_once('=').ok_or(UrlError::Syntax)?;
            let taken = match key {
                "sslmode" => &mut sslmode,
                "sslrootcert" => &mut sslrootcert,
                _ => {
                    others.push(pair);
                    continue;
                }
            };
            let value = percent_decode_str(value).decode_utf8().map_err(|_not_utf8| UrlError::Syntax)?;
            if taken.replace(value.into_owned()).is_some() {
                return Err(UrlError::Twice);
            }
        }
        let rest = if others.is_empty() { head.to_owned() } else { format!("{head}?{}", others.join("&")) };
        Ok(Self { rest, sslmode, sslrootcert })
    }
}

/// Whether every address is on this machine.
fn is_local(config: &Config) -> bool {
    let hosts = config.get_hosts().iter().all(|host| match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => {
            name == "localhost"
                || name.trim_matches(['[', ']']).parse().is_ok_and(|address: IpAddr| address.is_loopback())
        }
    });
    hosts && config.get_hostaddrs().iter().all(IpAddr::is_loopback)
}

fn read(path: &Path) -> Result<String, UrlError> {
    let failed = |error| UrlError::File { path: path.to_owned(), error };
    let mut text = String::new();
    let read = fs::File::open(path)
        .and_then(|file| file.take(LONGEST + 1).read_to_string(&mut text))
        .map_err(failed)?;
    if u64::try_from(read).is_ok_and(|read| read > LONGEST) {
        return Err(UrlError::Syntax);
    }
    Ok(text)
}

/// Why there is no usable URL. Nothing of the URL is quoted, since any part of it may be a password that was not
/// escaped.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    /// The variable is not there.
    #[error(
        "the environment variable {0} is not set; set it to the database's URL, postgres://USER:PASSWORD@HOST/DATABASE"
    )]
    NoVariable(String),
    /// The file cannot be read.
    #[error("cannot read the database's URL from {}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        error: std::io::Error,
    },
    /// A password stands in an argument or a configuration file.
    #[error(
        "the database's URL has a password in it, and others can read it here; put the URL into an environment variable and write env:NAME, or into a file and write file:PATH"
    )]
    PasswordInTheOpen,
    /// It begins with something else.
    #[error(
        "the database's URL does not begin with postgres://; write postgres://USER@HOST:PORT/DATABASE, or env:NAME or file:PATH for where it is"
    )]
    Scheme,
    /// It cannot be read.
    #[error(
        "the database's URL cannot be read (it is not shown, since it may hold a password): write postgres://USER:PASSWORD@HOST:PORT/DATABASE, with every character of the password that is not a letter or digit as %XX, and after `?` only options such as sslmode, sslrootcert, connect_timeout, application_name"
    )]
    Syntax,
    /// There is no host.
    #[error(
        "the database's URL names no host; write postgres://USER@HOST:PORT/DATABASE (a folder of a Unix socket as %2Fvar%2Frun%2Fpostgresql)"
    )]
    NoHost,
    /// There is no database.
    #[error("the database's URL names no database; write postgres://USER@HOST:PORT/DATABASE")]
    NoDatabase,
    /// An option stands twice.
    #[error("an option stands twice in the database's URL; leave one of the two out")]
    Twice,
    /// An unknown TLS mode.
    #[error("the sslmode in the database's URL is none of disable, prefer, require, verify-full")]
    TlsMode,
    /// TLS that anybody in between can switch off.
    #[error(
        "sslmode=prefer falls back to a connection without TLS, which is taken for a server on this machine only; write verify-full, or disable if the network is your own"
    )]
    PreferRemote,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<DatabaseUrl, UrlError> {
        DatabaseUrl::parse(text, Path::new("/base"))
    }

    fn resolve(word: &str) -> Result<DatabaseUrl, UrlError> {
        DatabaseUrl::resolve(word, Path::new("/nowhere"), |name| {
            (name == "DB").then(|| "postgres://app:s3cret@db.example.com/desk".to_owned())
        })
    }

    #[test]
    fn the_password_is_never_shown() {
        let url = resolve("env:DB").unwrap();
        assert!(url.has_password());
        assert_eq!(url.to_string(), "postgres://db.example.com:5432/desk");
        for shown in [format!("{url:?}"), format!("{url:#?}"), format!("{:?}", url.config())] {
            assert!(!shown.contains("s3cret"), "{shown}");
        }
        let other = url.for_role("tenant_acme", &SecretString::from("0ther"));
        assert_eq!(other.user(), Some("tenant_acme"));
        assert!(!format!("{other:?}").contains("0ther"));
    }

    #[test]
    fn what_cannot_be_read_is_not_quoted() {
        for text in [
            "postgres://app:s3cret?x@h/d",
            "postgres://app:s3cret@h:port/d",
            "postgres://app:s3cret@h:5432/d?s3cret=1",
            "postgres://app:s3cret@h:5432/d?sslmode=s3cret",
            "postgres://app:%zzs3cret@h:5432",
            "postgres://app:s3cret@/d",
            "mysql://app:s3cret@h/d",
        ] {
            let error = parse(text).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{text}: {error}");
        }
        assert!(format!("{:?}", Source::of("postgres://a:s3cret@h/d")) == "a literal URL");
    }

    #[test]
    fn a_literal_may_have_no_password() {
        assert!(matches!(resolve("postgres://app:x@localhost/d"), Err(UrlError::PasswordInTheOpen)));
        assert!(matches!(resolve("postgres://app@localhost/d?password=x"), Err(UrlError::PasswordInTheOpen)));
        assert!(!resolve("postgres://app@localhost/d").unwrap().has_password());
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(resolve("env:NOT_THERE").unwrap_err().to_string().contains("NOT_THERE"));
        assert!(resolve("file:url.txt").unwrap_err().to_string().contains("/nowhere/url.txt"));
        assert!(matches!(parse("postgres://app@localhost"), Err(UrlError::NoDatabase)));
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("url"), "postgres://app:pw@localhost/d\n").unwrap();
        let url = DatabaseUrl::resolve("file:url", folder.path(), |_| None).unwrap();
        assert_eq!(url.database(), "d");
        fs::write(folder.path().join("url"), "x".repeat(10_000)).unwrap();
        assert!(DatabaseUrl::resolve("file:url", folder.path(), |_| None).is_err());
    }

    #[test]
    fn a_server_elsewhere_is_reached_with_tls_unless_it_is_switched_off_by_name() {
        for (url, tls) in [
            ("postgres://db.example.com/d", TlsMode::Verify),
            ("postgres://db.example.com/d?sslmode=require", TlsMode::Verify),
            ("postgres://db.example.com/d?sslmode=disable", TlsMode::Disable),
            ("postgres://localhost/d", TlsMode::Disable),
            ("postgres://127.0.0.1/d", TlsMode::Disable),
            ("postgres://[::1]:5433/d", TlsMode::Disable),
            ("postgres://%2Fvar%2Frun%2Fpostgresql/d", TlsMode::Disable),
            ("postgres://localhost/d?sslmode=prefer", TlsMode::Prefer),
            ("postgres://localhost/d?sslmode=verify-full", TlsMode::Verify),
            ("postgres://localhost/d?hostaddr=192.0.2.1", TlsMode::Verify),
            ("postgres://localhost,db.example.com/d", TlsMode::Verify),
            ("postgres://localhost.example.com/d", TlsMode::Verify),
        ] {
            assert_eq!(parse(url).unwrap().tls(), tls, "{url}");
        }
        assert!(matches!(parse("postgres://db.example.com/d?sslmode=prefer"), Err(UrlError::PreferRemote)));
        assert!(matches!(parse("postgres://h/d?sslmode=disable&sslmode=require"), Err(UrlError::Twice)));
        let url = parse("postgres://h/d?sslrootcert=ca.pem&application_name=x").unwrap();
        assert_eq!(url.root_certificates(), Some(Path::new("/base/ca.pem")));
        assert_eq!(url.config().get_application_name(), Some("x"));
    }
}

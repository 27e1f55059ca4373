//! A PostgreSQL server for the tests, on loopback and in a folder of its own, which goes with it.

use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{
    process::{Running, is_there, must, output, output_with_input},
    tools,
};

/// Where Debian keeps the servers' programs, a folder for each version.
const DEBIAN: &str = "/usr/lib/postgresql";
/// How long one step of the start may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// PostgreSQL does not run as root; then it runs as `nobody`.
const NOBODY: u32 = 65_534;

/// A server that runs until this goes.
pub(crate) struct Postgres {
    /// The URL of its superuser.
    pub(crate) url: String,
    port: u16,
    programs: PathBuf,
    folder: PathBuf,
    /// Stopped first, see `drop`.
    server: Option<Running>,
}

impl Postgres {
    /// Makes a cluster and starts it; installs PostgreSQL and PgBouncer if they are missing.
    pub(crate) fn start() -> Result<Self> {
        if programs().is_none() {
            tools::install("postgres", "postgresql")?;
        }
        let programs = programs().context("PostgreSQL is installed, and still its `initdb` is not found")?;
        tools::program("pgbouncer", "pgbouncer")?;
        let root = output(Command::new("id").arg("-u"))?.trim() == "0";
        // Not below the build results, which `nobody` may not be able to reach.
        let folder = tools::fresh_folder(
            std::env::temp_dir().join(format!("partywall-postgres-{}", std::process::id())),
        )?;
        let mut postgres = Self {
            url: String::new(),
            port: super::free_port()?,
            programs: programs.clone(),
            folder: folder.clone(),
            server: None,
        };
        let password = folder.join("password");
        fs::write(&password, "test")?;
        if root {
            chown(&folder, Some(NOBODY), Some(NOBODY))?;
            chown(&password, Some(NOBODY), Some(NOBODY))?;
        }
        let program = |name: &str| {
            let mut command = Command::new(programs.join(name));
            if root {
                command.uid(NOBODY).gid(NOBODY);
            }
            command.current_dir(&folder).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command
        };
        let data = folder.join("data");
        let mut initdb = program("initdb");
        initdb.args(["--auth=scram-sha-256", "--username=postgres", "--encoding=UTF8", "--locale=C"]);
        must(initdb.arg("--pwfile").arg(&password).arg("-D").arg(&data), PATIENCE)?;
        let port = postgres.port;
        let mut server = program("postgres");
        // What is tested is not the disk.
        for setting in ["listen_addresses=127.0.0.1", "max_connections=300", "fsync=off"] {
            server.args(["-c", setting]);
        }
        server.arg("-D").arg(&data).arg("-k").arg(&folder).args(["-p", &port.to_string()]);
        postgres.server = Some(Running::start(&mut server)?);
        let start = Instant::now();
        loop {
            let mut asked = program("pg_isready");
            asked.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
            if asked.status().context("cannot start pg_isready")?.success() {
                break;
            }
            if start.elapsed() > PATIENCE {
                bail!("PostgreSQL was not ready after {} s; try again", PATIENCE.as_secs());
            }
            thread::sleep(Duration::from_millis(50));
        }
        postgres.url = format!("postgres://postgres:test@127.0.0.1:{port}/postgres");
        Ok(postgres)
    }

    /// The URL of another role, whose password is `test` too.
    pub(crate) fn url_of(&self, role: &str) -> String {
        format!("postgres://{role}:test@127.0.0.1:{}/postgres", self.port)
    }

    /// Runs statements as the superuser.
    pub(crate) fn sql(&self, text: &str) -> Result<()> {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args([
            "--quiet",
            "--no-psqlrc",
            "--set=ON_ERROR_STOP=1",
            "--host=127.0.0.1",
            "--username=postgres",
        ]);
        psql.args(["--port", &self.port.to_string(), "--dbname=postgres", "--file=-"])
            .env("PGPASSWORD", "test");
        output_with_input(&mut psql, &self.folder, text).map(drop)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // Its other processes end when the first one has.
        self.server = None;
        let _removed = fs::remove_dir_all(&self.folder);
    }
}

/// Where the server's programs are, if it is installed; an empty path when they are found by their names.
fn programs() -> Option<PathBuf> {
    if is_there("initdb") {
        return Some(PathBuf::new());
    }
    let mut versions: Vec<PathBuf> =
        fs::read_dir(Path::new(DEBIAN)).ok()?.flatten().map(|entry| entry.path().join("bin")).collect();
    versions.retain(|folder| folder.join("initdb").is_file());
    versions.sort();
    versions.pop()
}

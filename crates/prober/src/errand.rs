//! Commands of the operator's that change which tenants there are: they suspend one, resume it, or make it anew.

use std::{process::Stdio, time::Duration};

use tokio::{io::AsyncReadExt as _, process::Command};

/// How long a command may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// The most bytes of what it prints that are read.
const MOST: u64 = 64 << 10;

/// The commands, each for a shell, with the tenant's name in the variable `TENANT`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Errands {
    /// Suspends a tenant.
    pub suspend: Option<String>,
    /// Lets a suspended tenant in again.
    pub resume: Option<String>,
    /// Removes a tenant and makes another of the same name; prints a token of the new one.
    pub recreate: Option<String>,
}

/// Runs a command for a tenant; what it printed.
///
/// # Errors
///
/// When it cannot be started, fails or does not end.
pub(crate) async fn run(command: &str, tenant: &str) -> Result<String, String> {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).env("TENANT", tenant).kill_on_drop(true);
    let mut child = shell
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| format!("a shell could not be started: {error}"))?;
    let (out, errors) = (child.stdout.take(), child.stderr.take());
    let ended = async {
        let (mut printed, mut complaint) = (Vec::new(), Vec::new());
        let read_out = async {
            match out {
                Some(out) => out.take(MOST).read_to_end(&mut printed).await.map(drop),
                None => Ok(()),
            }
        };
        let read_errors = async {
            match errors {
                Some(errors) => errors.take(MOST).read_to_end(&mut complaint).await.map(drop),
                None => Ok(()),
            }
        };
        let (one, other) = futures_util::future::join(read_out, read_errors).await;
        one.and(other).map_err(|error| error.to_string())?;
        let status = child.wait().await.map_err(|error| error.to_string())?;
        if status.success() {
            return Ok(String::from_utf8_lossy(&printed).trim().to_owned());
        }
        let complaint = String::from_utf8_lossy(&complaint);
        let line = complaint.lines().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
        Err(format!("{status}: {}", line.chars().take(200).collect::<String>()))
    };
    tokio::time::timeout(PATIENCE, ended).await.unwrap_or_else(|_| Err("it did not end in time".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn commands_know_the_tenant_and_their_failures_are_told() {
        assert_eq!(run("echo \"token of $TENANT\"", "acme").await.unwrap(), "token of acme");
        let failed = run("echo no such tenant >&2; exit 3", "acme").await.unwrap_err();
        assert!(failed.contains('3') && failed.contains("no such tenant"), "{failed}");
        // A name is data, whatever stands in it.
        assert_eq!(run("echo \"$TENANT\"", "a$(exit 1)").await.unwrap(), "a$(exit 1)");
    }
}

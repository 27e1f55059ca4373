//! What a process complains of: read so that it can go on, and shown to the operator only as far as no tenant is in it.

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    time::Instant,
};

use super::stdio::Whose;

/// What is said before anybody called a tool may be shown; for so long it is waited for one.
const FIRST: Duration = Duration::from_secs(600);
const MOST: usize = 4096;
/// How much is read before a pause, so that a flood holds nobody up.
const PAUSE_AFTER: usize = 8 << 20;

/// Reads until the end. `called` says whether a tool was called.
pub(super) async fn read(
    mut stderr: impl AsyncRead + Unpin,
    whose: Whose,
    mut secrets: Vec<SecretString>,
    called: impl Fn() -> bool,
) {
    let start = Instant::now();
    let mut kept = Vec::new();
    let mut told = false;
    let mut buffer = vec![0; 4096];
    let mut since_pause = 0;
    loop {
        let read = match tokio::time::timeout_at(start + FIRST, stderr.read(&mut buffer)).await {
            Err(_elapsed) if !told => {
                tell(&whose, &kept, &secrets);
                (told, kept, secrets) = (true, Vec::new(), Vec::new());
                continue;
            }
            Err(_elapsed) => stderr.read(&mut buffer).await,
            Ok(read) => read,
        };
        let Ok(count @ 1..) = read else { break };
        if !told && called() {
            tell(&whose, &kept, &secrets);
            (told, kept, secrets) = (true, Vec::new(), Vec::new());
        }
        if !told {
            let room = MOST.saturating_sub(kept.len()).min(count);
            kept.extend_from_slice(buffer.get(..room).unwrap_or_default());
        }
        since_pause += count;
        if since_pause > PAUSE_AFTER {
            tokio::time::sleep(Duration::from_millis(500)).await;
            since_pause = 0;
        }
    }
    if !told {
        tell(&whose, &kept, &secrets);
    }
}

fn tell(whose: &Whose, kept: &[u8], secrets: &[SecretString]) {
    for line in shown(kept, secrets) {
        tracing::debug!(upstream = %whose.upstream, tenant = %whose.tenant, "at its start the upstream says: {line}");
    }
}

/// The lines in which there is no secret; one that is not whole may have a part of one.
fn shown(kept: &[u8], secrets: &[SecretString]) -> Vec<String> {
    let text = String::from_utf8_lossy(kept);
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let has_secret = |line: &str| {
        let mut pieces = secrets.iter().flat_map(|secret| secret.expose_secret().lines());
        pieces.any(|piece| !piece.is_empty() && line.contains(piece))
    };
    whole
        .lines()
        .filter(|line| !line.trim().is_empty())
        .map(|line| match has_secret(line) {
            true => "[a line with a secret]".to_owned(),
            false => line.chars().filter(|char| !char.is_control()).take(400).collect(),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_with_a_secret_is_shown() {
        let secrets = [
            SecretString::from("hush-hush-1".to_owned()),
            SecretString::from("BEGIN\nlonger piece\n".to_owned()),
        ];
        let told = shown(b"starting\nkey=hush-hush-1\nthe longer piece too\n\x1b[31mred\n", &secrets);
        let hidden = "[a line with a secret]";
        assert_eq!(told, ["starting", hidden, hidden, "[31mred"]);
        let mut cut = vec![b'.'; MOST - 4];
        cut.extend_from_slice(b"\nhus");
        assert!(!shown(&cut, &secrets).concat().contains("hus"), "what was cut may be the beginning of one");
        assert_eq!(
            shown(b"whole\nthe key is hush-hush-", &secrets),
            ["whole"],
            "so may what is not all written yet"
        );
    }
}

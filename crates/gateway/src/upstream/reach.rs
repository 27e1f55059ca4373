//! What the processes of an upstream may read, and that nothing of the gateway's own is among it.

use std::path::{Component, Path, PathBuf};

use rustix::fs::{Access, access};

use super::launch::{READABLE, installed};
use crate::config::{CONFIGURATION, Config, UpstreamConfig};

/// A folder that may be read, and the key that says so.
type Shown = (&'static str, PathBuf);

/// What the configuration lets an upstream's processes read of the gateway's own files, by the names of the folders: a key,
/// and what is wrong.
pub(crate) fn declared(upstream: &UpstreamConfig, config: &Config) -> Option<(&'static str, String)> {
    exposed(&of_config(upstream, &config.base_dir), config, plain)
}

/// Refuses what they may read of the gateway's own files, wherever links lead to.
pub(super) fn found(upstream: &UpstreamConfig, config: &Config) -> Result<(), String> {
    if upstream.command.is_none() {
        return Ok(());
    }
    let mut shown = of_config(upstream, &config.base_dir);
    let program = program(upstream, &config.base_dir);
    for file in program.iter().flat_map(|program| installed::files(program)) {
        of_program(&file, &mut shown);
    }
    exposed(&shown, config, real).map_or(Ok(()), |(key, why)| Err(format!("`{key}`: {why}")))
}

/// What the configuration names and is not there.
pub(super) fn missing(upstream: &UpstreamConfig, base: &Path) -> Vec<String> {
    let mut missing = Vec::new();
    if let (Some(command), None) = (&upstream.command, program(upstream, base)) {
        let name = command.first().map(String::as_str).unwrap_or_default();
        let looked = if name.contains('/') { String::new() } else { " in its `PATH`".to_owned() };
        missing.push(format!("`command`: there is no program `{name}`{looked} that this account may run"));
    }
    for folder in upstream.read.iter().filter(|folder| !base.join(folder).exists()) {
        missing.push(format!("`read`: there is no `{}`", base.join(folder).display()));
    }
    missing
}

fn of_config(upstream: &UpstreamConfig, base: &Path) -> Vec<Shown> {
    let mut shown: Vec<Shown> = upstream.read.iter().map(|folder| ("read", base.join(folder))).collect();
    for folder in search(upstream) {
        let key = if upstream.env.contains_key("PATH") { "env.PATH" } else { "command" };
        shown.extend(installed::beside(&folder).map(|path| (key, path)));
    }
    if let Some(program) = named(upstream, base) {
        of_program(&program, &mut shown);
    }
    shown
}

/// The program's file, if the configuration says where it is.
fn named(upstream: &UpstreamConfig, base: &Path) -> Option<PathBuf> {
    let program = upstream.command.as_ref()?.first()?;
    program.contains('/').then(|| base.join(program))
}

/// The program's file, if it is there.
fn program(upstream: &UpstreamConfig, base: &Path) -> Option<PathBuf> {
    let runs = |file: &PathBuf| file.is_file() && access(file, Access::EXEC_OK).is_ok();
    let name = upstream.command.as_ref()?.first()?;
    match named(upstream, base) {
        Some(file) => Some(file).filter(runs),
        None => search(upstream).map(|folder| folder.join(name)).find(runs),
    }
}

/// Where a program is looked for. A folder of the tenant's own is not known yet.
fn search(upstream: &UpstreamConfig) -> impl Iterator<Item = PathBuf> {
    let path = upstream.env.get("PATH").map_or(installed::PATH, String::as_str).to_owned();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    folders.into_iter().filter(|folder| folder.is_absolute() && !folder.to_string_lossy().contains('{'))
}

fn of_program(file: &Path, shown: &mut Vec<Shown>) {
    shown.extend(installed::belonging(file).map(|path| ("command", path)));
}

/// The first folder that has something of the gateway's own in it, or is in it; `at` tells where a path leads.
fn exposed(shown: &[Shown], config: &Config, at: fn(&Path) -> PathBuf) -> Option<(&'static str, String)> {
    for (name, own) in config.own_paths() {
        let own = at(&own);
        for (key, folder) in shown {
            let folder = at(folder);
            if folder.starts_with(&own) || own.starts_with(&folder) {
                let why = format!(
                    "would let every tenant's process read `{}`, which is, holds or is in {name} (`{}`); name a folder that \
                     holds the server's own files only, or move one of the two",
                    folder.display(),
                    own.display()
                );
                return Some((*key, why));
            }
        }
        let system = READABLE.iter().find(|system| name != CONFIGURATION && own.starts_with(system));
        if let Some(system) = system {
            let own = own.display();
            let why = format!("every process may read `{system}`, in which {name} (`{own}`) is; move that");
            return Some(("command", why));
        }
    }
    None
}

/// The absolute path without `.` and `..`, as it is written.
fn plain(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::CurDir => {}
            part => plain.push(part),
        }
    }
    plain
}

/// Where a path leads to, as far as it is there.
fn real(path: &Path) -> PathBuf {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    for there in path.ancestors() {
        if let (Ok(found), Ok(rest)) = (there.canonicalize(), path.strip_prefix(there)) {
            return plain(&found.join(rest));
        }
    }
    plain(&path)
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::symlink};

    use super::*;
    use crate::upstream::UpstreamSet;

    /// The configuration in a file, beside which its folders are.
    fn loaded(folder: &Path, more: &str, upstream: &str) -> Result<Config, String> {
        let file = folder.join("partywall.toml");
        let text =
            format!("{more}\n[identity]\ndevelopment = true\n[[upstream]]\nname = \"files\"\n{upstream}\n");
        fs::write(&file, text).expect("a file");
        Config::load(&file).map_err(|error| error.to_string())
    }

    fn started(folder: &Path, upstream: &str) -> Result<(), String> {
        let config = loaded(folder, "", upstream)?;
        UpstreamSet::new(&config).map(drop).map_err(|error| error.to_string())
    }

    #[test]
    fn no_process_may_read_what_is_the_gateways() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path();
        let read = |path: &str| format!("command = [\"sh\"]\nread = [\"{path}\"]");
        for (upstream, key, what) in [
            (read("."), "`read`", "data_dir"),
            (read("data"), "`read`", "data_dir"),
            (read("data/tenants/acme"), "`read`", "data_dir"),
            (read("x/.."), "`read`", "data_dir"),
            (read("/"), "`read`", "data_dir"),
            (read("partywall.toml"), "`read`", "the configuration file"),
            ("command = [\"data/server\"]".to_owned(), "`command`", "data_dir"),
            (
                "command = [\"sh\"]\nenv = { PATH = \"/usr/bin:BASE/data/bin\" }".to_owned(),
                "`env.PATH`",
                "data_dir",
            ),
        ] {
            let upstream = upstream.replace("BASE", &at.display().to_string());
            let why = loaded(at, "", &upstream).map(drop).expect_err(&upstream);
            assert!(why.contains(key) && why.contains(what), "{upstream}\n{why}");
        }
        for good in [read("servers"), read("data2"), "command = [\"./server\"]".to_owned()] {
            assert_eq!(loaded(at, "", &good).map(drop), Ok(()), "{good}");
        }
        let keyed = "[server]\nmaster_key = \"file:keys/key\"";
        for path in ["keys", "keys/key"] {
            let why = loaded(at, keyed, &read(path)).map(drop).expect_err(path);
            assert!(why.contains("server.master_key"), "{why}");
        }
        let of_system = "[server]\ndata_dir = \"/usr/local/partywall\"";
        let called =
            loaded(at, of_system, "url = \"https://mcp.example.com/mcp\"").expect("nothing is started");
        assert!(UpstreamSet::new(&called).is_ok());
        let why = loaded(at, of_system, "command = [\"sh\"]");
        assert!(why.map(drop).is_err_and(|why| why.contains("every process may read `/usr`")));
    }

    #[test]
    fn links_lead_where_they_lead() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = folder.path();
        for name in ["data", "servers", "app/bin"] {
            fs::create_dir_all(at.join(name)).expect("a folder");
        }
        symlink(at.join("data"), at.join("link")).expect("a link");
        symlink("/usr/bin/env", at.join("app/bin/plain")).expect("a link");
        symlink(at.join("app"), at.join("linked")).expect("a link");
        let read = |path: &str| format!("command = [\"sh\"]\nread = [\"{path}\"]");
        let why = started(at, &read("link")).expect_err("the data");
        assert!(why.contains("`read`") && why.contains("data_dir"), "{why}");
        assert!(started(at, &read("link/tenants")).is_err());
        for good in [read("servers"), "command = [\"app/bin/plain\"]".to_owned()] {
            assert_eq!(started(at, &good), Ok(()), "{good}");
        }
        // Beside a program's folder, through a link.
        symlink(at.join("data"), at.join("app/share")).expect("a link");
        for program in ["app/bin/plain", "linked/bin/plain"] {
            let why = started(at, &format!("command = [\"{program}\"]")).expect_err(program);
            assert!(why.contains("`command`") && why.contains("data_dir"), "{why}");
        }
    }

    #[test]
    fn what_is_not_there_is_said() {
        let folder = tempfile::tempdir().expect("a folder");
        let said = |upstream: &str| {
            let config = loaded(folder.path(), "", upstream).expect("a configuration");
            let upstream = config.upstreams.first().expect("one").get_ref();
            missing(upstream, &config.base_dir).join("\n")
        };
        assert_eq!(said("url = \"https://mcp.example.com/mcp\""), "");
        assert_eq!(said("command = [\"sh\"]\nread = [\"/etc\"]"), "");
        assert!(
            said("command = [\"no-such-program\"]").contains("no program `no-such-program` in its `PATH`")
        );
        assert!(said("command = [\"./none.sh\"]").contains("no program `./none.sh`"));
        let none = said("command = [\"sh\"]\nread = [\"none\", \"~/x\"]");
        assert!(none.contains("/none`") && none.contains("/~/x`") && none.lines().count() == 2, "{none}");
    }
}

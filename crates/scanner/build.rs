//! Lists the library files, so that adding one is adding a file.

use std::{env, fmt::Write, fs, io, path::Path};

fn main() -> io::Result<()> {
    let folder = Path::new("libraries");
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut paths: Vec<_> =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    paths.sort();
    let mut text = String::from("&[\n");
    for path in paths {
        let full = fs::canonicalize(&path)?;
        let name = path.file_name().unwrap_or_default();
        let _ = writeln!(text, "({name:?}, include_str!({full:?})),");
    }
    text.push_str("]\n");
    #[expect(clippy::disallowed_methods, reason = "a build script is told where to write by the environment")]
    let out = env::var("OUT_DIR").map_err(io::Error::other)?;
    fs::write(Path::new(&out).join("libraries.rs"), text)
}

//! What belongs to an installed program, beside its own file: one place for what a process may read and for what is asked of it
//! before it is started.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

/// Where programs are looked for, unless `env` says otherwise.
pub(in crate::upstream) const PATH: &str = "/usr/local/bin:/usr/bin:/bin";
/// What a program that was installed into a folder of its own may consist of, beside its `bin`.
const BESIDE_BIN: [&str; 6] = ["bin", "lib", "lib64", "libexec", "share", "pyvenv.cfg"];

/// What belongs to the programs of a folder, if it is called `bin`.
pub(in crate::upstream) fn beside(folder: &Path) -> impl Iterator<Item = PathBuf> {
    let prefix = folder.parent().filter(|_| folder.ends_with("bin"));
    prefix.into_iter().flat_map(|prefix| BESIDE_BIN.iter().map(|name| prefix.join(name)))
}

/// A program's file and what belongs to it.
pub(in crate::upstream) fn belonging(file: &Path) -> impl Iterator<Item = PathBuf> {
    file.parent().into_iter().flat_map(beside).chain([file.to_path_buf()])
}

/// The files that a program is run from: its own, the one that a script begins with, and where links of both lead.
pub(in crate::upstream) fn files(program: &Path) -> impl Iterator<Item = PathBuf> {
    let named = interpreter(program).into_iter().chain([program.to_path_buf()]);
    named.flat_map(|file| file.canonicalize().ok().into_iter().chain([file]))
}

/// The program that a script begins with.
fn interpreter(script: &Path) -> Option<PathBuf> {
    /// What the kernel reads of such a line.
    const LINE: u64 = 255;
    let mut line = Vec::new();
    File::open(script).ok()?.take(LINE).read_to_end(&mut line).ok()?;
    let line = line.strip_prefix(b"#!")?.split(|&byte| byte == b'\n').next()?;
    let name = std::str::from_utf8(line).ok()?.split_ascii_whitespace().next()?;
    Some(PathBuf::from(name)).filter(|path| path.is_absolute())
}

//! The master key: where it comes from, and who may read its file.

use std::{
    fmt::Write as _,
    fs::File,
    io::{self, ErrorKind, Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

use aws_lc_rs::hmac;
use base64::{Engine as _, alphabet, engine};
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use super::{VaultError, seal::Key};
use crate::tenants::store;

/// More than any spelling of a key, with room for line ends.
const MAX_TEXT: u64 = 256;

/// The key that seals every tenant's key.
pub struct MasterKey(Key);

impl MasterKey {
    /// A new random key.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn generate() -> Result<Self, VaultError> {
        Ok(Self(Key::random()?))
    }

    /// Reads a key written as 64 hexadecimal digits or as base64; blanks around it are ignored.
    ///
    /// # Errors
    /// The text is something else; the error does not repeat it.
    pub fn from_text(text: SecretString) -> Result<Self, VaultError> {
        parse(text.expose_secret()).ok_or(VaultError::KeyFormat)
    }

    /// Reads a key from a file that nobody but its owner may read.
    ///
    /// # Errors
    /// The file cannot be read, is readable by others, or holds no key.
    pub fn from_file(path: &Path) -> Result<Self, VaultError> {
        let failed = |cause| VaultError::KeyFile { doing: "reading", path: path.into(), cause };
        read(path, &File::open(path).map_err(failed)?)
    }

    /// Reads `master.key` of a data folder; makes it when neither it nor a vault is there.
    ///
    /// # Errors
    /// As for [`MasterKey::from_file`], and when a vault has lost its key.
    pub fn load_or_create(data_dir: &Path) -> Result<Self, VaultError> {
        let path = data_dir.join("master.key");
        // A vault is only ever made after its key, so the order matters when another process is making both.
        let has_vault = data_dir.join("vault.sqlite").symlink_metadata().is_ok();
        match File::open(&path) {
            Ok(file) => return read(&path, &file),
            Err(e) if e.kind() != ErrorKind::NotFound => {
                return Err(VaultError::KeyFile { doing: "reading", path, cause: e });
            }
            Err(_) if has_vault => return Err(VaultError::KeyMissing { path }),
            Err(_) => {}
        }
        let failed = |cause| VaultError::KeyFile { doing: "creating", path: path.clone(), cause };
        store::private_folder(data_dir).map_err(failed)?;
        Self::generate()?.publish(&path).map_err(failed)?;
        // Read back in any case: another process may have been faster.
        Self::from_file(&path)
    }

    /// Writes the key to a new file for its owner only, as hexadecimal digits.
    ///
    /// # Errors
    /// The file exists already or cannot be written.
    pub fn write_new(&self, path: &Path) -> Result<(), VaultError> {
        let failed = |cause| VaultError::KeyFile { doing: "creating", path: path.into(), cause };
        if self.publish(path).map_err(failed)? {
            Ok(())
        } else {
            Err(failed(ErrorKind::AlreadyExists.into()))
        }
    }

    fn publish(&self, path: &Path) -> io::Result<bool> {
        let mut text = Zeroizing::new(String::with_capacity(2 * Key::LEN + 1));
        for byte in self.0.as_bytes() {
            write!(text, "{byte:02x}").map_err(io::Error::other)?;
        }
        text.push('\n');
        store::publish(path, |draft| {
            let mut file = store::private_file(draft)?;
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
    }

    pub(super) fn key(&self) -> &Key {
        &self.0
    }

    /// A key for one purpose, from which neither this one nor that of another purpose can be told: HMAC-SHA256 of the
    /// purpose's name under the master key.
    pub(super) fn derive(&self, purpose: &str) -> Option<Key> {
        let master = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_bytes());
        Key::from_slice(hmac::sign(&master, purpose.as_bytes()).as_ref())
    }
}

impl std::fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("MasterKey")
    }
}

/// Checks the open file, not the path, so that nothing can change in between.
fn read(path: &Path, file: &File) -> Result<MasterKey, VaultError> {
    let failed = |cause| VaultError::KeyFile { doing: "reading", path: path.into(), cause };
    let mode = file.metadata().map_err(failed)?.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(VaultError::KeyExposed { path: path.into(), mode });
    }
    // Full size at once: a buffer that grew would leave pieces of the key behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(2 * MAX_TEXT as usize));
    file.take(MAX_TEXT).read_to_end(&mut bytes).map_err(failed)?;
    std::str::from_utf8(&bytes)
        .ok()
        .and_then(parse)
        .ok_or_else(|| VaultError::KeyFileFormat { path: path.into() })
}

fn parse(text: &str) -> Option<MasterKey> {
    let text = text.trim();
    let bytes = if text.len() == 2 * Key::LEN { from_hex(text)? } else { from_base64(text)? };
    Key::from_slice(&bytes).map(MasterKey)
}

fn from_hex(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len() / 2));
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else {
        return None;
    };
    for [high, low] in pairs {
        let digit = |b: &u8| char::from(*b).to_digit(16);
        bytes.push(u8::try_from(digit(high)? << 4 | digit(low)?).ok()?);
    }
    Some(bytes)
}

fn from_base64(text: &str) -> Option<Zeroizing<Vec<u8>>> {
    let lenient =
        engine::GeneralPurposeConfig::new().with_decode_padding_mode(engine::DecodePaddingMode::Indifferent);
    let alphabet = if text.contains(['-', '_']) { alphabet::URL_SAFE } else { alphabet::STANDARD };
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    engine::GeneralPurpose::new(&alphabet, lenient).decode_vec(text, &mut bytes).ok()?;
    Some(bytes)
}

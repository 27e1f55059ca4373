//! Where in the file a problem stands.

/// The line of the key that a problem names first (`table.key`), or of its table; 1 when neither stands in the file.
pub(super) fn key_line(text: &str, problem: &str) -> usize {
    let named = problem.split('`').nth(1).unwrap_or_default();
    let mut table = String::new();
    let mut best = 1;
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            table = header.trim_start_matches('[').split(']').next().unwrap_or_default().trim().to_owned();
            if named == table || named.starts_with(&format!("{table}.")) {
                best = number + 1;
            }
        } else if let Some((key, _)) = line.split_once('=')
            && named == format!("{table}.{}", key.trim())
        {
            return number + 1;
        }
    }
    best
}

pub(super) fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|b| *b == b'\n').count() + 1
}

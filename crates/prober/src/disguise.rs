//! The ways in which an answer may hide a value: each is undone, and the value is looked for in what comes out.

use std::io::Read as _;

use base64::{
    Engine as _, alphabet,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig, general_purpose},
};
use flate2::read::{GzDecoder, ZlibDecoder};
use percent_encoding::percent_decode;
use unicode_normalization::UnicodeNormalization as _;

/// How a value is written that is not hidden in any way.
pub(crate) const AS_IT_IS: &str = "as it is";

/// How many disguises are taken off one after the other.
const LAYERS: usize = 2;
/// The most bytes of all that is undone of one answer.
const MOST: usize = 24 << 20;
/// The most bytes that one compressed word unfolds to.
const UNFOLDED: u64 = 256 << 10;
/// The least bytes of a value that is looked for in the middle of an encoding: shorter ones stand there by chance.
const ENCODED: usize = 8;
/// The least characters of the beginning of a value that was cut.
const CUT: usize = 16;
/// The most places at which something was cut.
const CUTS: usize = 200;

/// A value, ready to be looked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Needle {
    folded: String,
    /// Parts of the value that are enough.
    parts: Vec<String>,
    /// The inner part of the value's base64, at each place where it can begin, in both alphabets.
    base64: Vec<String>,
    hex: String,
    /// Whether its beginning counts where something was cut there.
    cut: bool,
}

impl Needle {
    pub(crate) fn of(text: &str) -> Self {
        let long = text.len() >= ENCODED;
        let folded = fold(text);
        Self {
            cut: folded.chars().count() >= CUT + 4,
            folded,
            parts: Vec::new(),
            base64: if long { inner_base64(text) } else { Vec::new() },
            hex: if long { hex::encode(text) } else { String::new() },
        }
    }

    /// The same value, any part of which is enough.
    pub(crate) fn with_parts(mut self, parts: impl Iterator<Item = String>) -> Self {
        self.parts.extend(parts.map(|part| fold(&part)));
        self.cut = false;
        self
    }

    /// The value as it is looked for.
    pub(crate) fn folded(&self) -> &str {
        &self.folded
    }

    /// Whether the value begins as the text does, for so long that a cut could not tell them apart.
    pub(crate) fn begins_in(&self, text: &str) -> bool {
        let head: String = self.folded.chars().take(CUT).collect();
        self.cut && text.contains(&head)
    }

    /// Its beginning counts no more.
    pub(crate) const fn whole_only(&mut self) {
        self.cut = false;
    }
}

/// A text with its disguises taken off.
pub(crate) struct Seen {
    views: Vec<(&'static str, String)>,
    /// The text as it came, without escapes, and without line breaks, where case matters.
    exact: Vec<String>,
}

impl Seen {
    pub(crate) fn of(bytes: &[u8]) -> Self {
        let mut seen = Self { views: Vec::new(), exact: Vec::new() };
        let plain = String::from_utf8_lossy(bytes).into_owned();
        let mut room = MOST;
        let open = seen.spread(AS_IT_IS, &plain, LAYERS, &mut room);
        seen.views.push(("backwards", fold(&open.chars().rev().collect::<String>())));
        let joined = ungrouped(&open);
        if joined != open {
            seen.views.push(("with separators", fold(&joined)));
        }
        // Encodings are broken into lines, in mail and in certificates.
        let unbroken: String = open.split_whitespace().collect();
        seen.exact = vec![plain, open, unbroken];
        seen
    }

    /// Notes a text and what is hidden in it; the text without its escapes.
    fn spread(&mut self, written: &'static str, text: &str, layers: usize, room: &mut usize) -> String {
        if text.len() > *room {
            return String::new();
        }
        *room -= text.len();
        self.views.push((written, fold(text)));
        let mut open = text.to_owned();
        for _ in 0..3 {
            let next = unescape(&open);
            if next == open {
                break;
            }
            self.views.push((if written == AS_IT_IS { "escaped" } else { written }, fold(&next)));
            open = next;
        }
        if layers == 0 {
            return open;
        }
        let mut hidden: Vec<(&'static str, String)> = Vec::new();
        if open.contains('%') {
            let decoded = percent_decode(open.as_bytes()).decode_utf8_lossy().into_owned();
            hidden.push(("percent-encoded", decoded.replace('+', " ")));
            hidden.push(("percent-encoded", decoded));
        }
        if open.contains('&') {
            hidden.push(("as HTML", html_escape::decode_html_entities(&open).into_owned()));
        }
        for (written, decode) in [
            ("in base64", base64 as fn(&str) -> Option<Vec<u8>>),
            ("in hexadecimal", |word| hex::decode(word.strip_prefix("x").unwrap_or(word)).ok()),
        ] {
            hidden.push((written, words(&open).filter_map(decode).map(read).collect::<Vec<_>>().join("\n")));
        }
        hidden.push(("as numbers", numbered(&open)));
        for (way, text) in hidden {
            if !text.is_empty() && text != open {
                self.spread(way, &text, layers - 1, room);
            }
        }
        open
    }

    /// How the value is written here, if it stands here.
    pub(crate) fn shows(&self, needle: &Needle) -> Option<&'static str> {
        for (written, text) in &self.views {
            if contains(text, &needle.folded) || needle.parts.iter().any(|part| text.contains(part)) {
                return Some(written);
            }
        }
        let inside = |part: &String| self.exact.iter().any(|text| text.contains(part));
        if needle.base64.iter().any(inside) {
            return Some("in base64");
        }
        let hexed = |text: &String| text.to_ascii_lowercase().contains(&needle.hex);
        if !needle.hex.is_empty() && self.exact.iter().any(hexed) {
            return Some("in hexadecimal");
        }
        (needle.cut && self.views.iter().any(|(_, text)| cut_short(text, &needle.folded)))
            .then_some("cut short")
    }

    /// Whether the value stands here as it is, or with JSON's escapes.
    pub(crate) fn shows_plainly(&self, needle: &Needle) -> bool {
        let plain = self.views.iter().filter(|(written, _)| [AS_IT_IS, "escaped"].contains(written));
        plain.into_iter().any(|(_, text)| contains(text, &needle.folded))
    }

    /// Whether the value begins as something that stands here.
    pub(crate) fn begins(&self, needle: &Needle) -> bool {
        self.views.iter().any(|(_, text)| needle.begins_in(text))
    }
}

/// The text in lower case, in one form of each letter, without what is invisible, and with one blank where there are several.
pub(crate) fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut blank = false;
    let mut add = |letter: char| {
        if letter.is_whitespace() {
            if !blank {
                out.push(' ');
            }
            blank = true;
        } else if !matches!(letter, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2060}' | '\u{feff}') {
            blank = false;
            out.extend(letter.to_lowercase());
        }
    };
    if text.is_ascii() {
        text.chars().for_each(&mut add);
    } else {
        text.nfkc().for_each(&mut add);
    }
    out
}

/// Whether a text has the value in it, and not only as a part of a longer number or word.
pub(crate) fn contains(text: &str, wanted: &str) -> bool {
    let edge = |c: Option<char>, inner: Option<char>| {
        !(c.is_some_and(char::is_alphanumeric) && inner.is_some_and(char::is_alphanumeric))
    };
    text.match_indices(wanted).any(|(at, _)| {
        let before = text.get(..at).and_then(|head| head.chars().next_back());
        let after = text.get(at + wanted.len()..).and_then(|tail| tail.chars().next());
        edge(before, wanted.chars().next()) && edge(after, wanted.chars().next_back())
    })
}

/// Whether a text says the beginning of the value and that something was left out.
fn cut_short(text: &str, wanted: &str) -> bool {
    text.match_indices("...").take(CUTS).any(|(at, _)| {
        let head = text.get(..at).unwrap_or_default().trim_end();
        let ends = wanted.char_indices().map(|(end, _)| end).skip(CUT);
        ends.filter_map(|end| wanted.get(..end)).any(|part| {
            head.strip_suffix(part.trim_end())
                .is_some_and(|before| !before.chars().next_back().is_some_and(char::is_alphanumeric))
        })
    })
}

/// Runs of letters that may be an encoding, also behind a name or a version (`page=…`, `v1.…`).
fn words(text: &str) -> impl Iterator<Item = &str> {
    let runs = text
        .split(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '+' | '/' | '-' | '_' | '=')))
        .filter(|word| word.len() >= 8);
    runs.flat_map(|word| {
        let inner = word.trim_end_matches('=');
        let behind = inner.rsplit_once('=').map(|(_, rest)| rest).filter(|rest| rest.len() >= 8);
        std::iter::once(word).chain(behind)
    })
}

fn base64(word: &str) -> Option<Vec<u8>> {
    let word = word.trim_end_matches('=');
    [&alphabet::STANDARD, &alphabet::URL_SAFE].into_iter().find_map(|alphabet| {
        let config = GeneralPurposeConfig::new()
            .with_decode_allow_trailing_bits(true)
            .with_decode_padding_mode(DecodePaddingMode::Indifferent);
        let bytes = GeneralPurpose::new(alphabet, config).decode(word).ok()?;
        let text = String::from_utf8_lossy(&bytes);
        let readable = text.chars().filter(|c| !c.is_control() && *c != '\u{fffd}').count();
        (readable * 2 > text.chars().count() || packed(&bytes)).then_some(bytes)
    })
}

/// Whether bytes begin as gzip or zlib do.
fn packed(bytes: &[u8]) -> bool {
    bytes.starts_with(&[0x1f, 0x8b]) || matches!(bytes, [0x78, 0x01 | 0x5e | 0x9c | 0xda, ..])
}

/// Bytes as text, unpacked where they are packed.
fn read(bytes: Vec<u8>) -> String {
    let mut unpacked = Vec::new();
    let done = if bytes.starts_with(&[0x1f, 0x8b]) {
        GzDecoder::new(bytes.as_slice()).take(UNFOLDED).read_to_end(&mut unpacked).is_ok()
    } else if packed(&bytes) {
        ZlibDecoder::new(bytes.as_slice()).take(UNFOLDED).read_to_end(&mut unpacked).is_ok()
    } else {
        false
    };
    String::from_utf8_lossy(if done { &unpacked } else { &bytes }).into_owned()
}

/// What stands in a value's base64 whatever comes before and after it.
pub(crate) fn inner_base64(text: &str) -> Vec<String> {
    let mut all = Vec::new();
    for before in 0..3_usize {
        let mut bytes = vec![0_u8; before];
        bytes.extend_from_slice(text.as_bytes());
        let whole = bytes.len() * 8 / 6;
        for engine in [&general_purpose::STANDARD_NO_PAD, &general_purpose::URL_SAFE_NO_PAD] {
            let written = engine.encode(&bytes);
            // What holds bits of the bytes before it is not the value's alone.
            let from = (before * 8).div_ceil(6);
            all.extend(written.get(from..whole).map(str::to_owned));
        }
    }
    all.sort();
    all.dedup();
    all
}

/// Lists of the numbers of bytes, as texts.
fn numbered(text: &str) -> String {
    let mut out = String::new();
    for list in text.split('[').skip(1).filter_map(|rest| rest.split(']').next()) {
        let bytes: Option<Vec<u8>> = list.split(',').map(|number| number.trim().parse().ok()).collect();
        if let Some(bytes) = bytes.filter(|bytes| bytes.len() >= 6) {
            out.push_str(&String::from_utf8_lossy(&bytes));
            out.push('\n');
        }
    }
    out
}

/// The text with its numbers written without separators between thousands.
fn ungrouped(text: &str) -> String {
    let letters: Vec<char> = text.chars().collect();
    let digit = |at: usize| letters.get(at).is_some_and(char::is_ascii_digit);
    let mut out = String::with_capacity(text.len());
    for (at, letter) in letters.iter().enumerate() {
        let separates =
            matches!(letter, ',' | '.' | '_' | '\'' | '’' | ' ' | '\u{a0}' | '\u{2009}' | '\u{202f}');
        let between =
            separates && at > 0 && digit(at - 1) && (1..4).all(|next| digit(at + next)) && !digit(at + 4);
        if !between {
            out.push(*letter);
        }
    }
    out
}

/// Takes one layer of the escapes of JSON and of programming languages away.
fn unescape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut units: Vec<u16> = Vec::new();
    let mut letters = text.chars();
    loop {
        let letter = letters.next();
        let mut rest = letters.clone();
        let unit = (letter == Some('\\')).then(|| unit(&mut rest)).flatten();
        if let Some(unit) = unit {
            // The two halves of one letter are escaped one by one.
            units.push(unit);
            letters = rest;
            continue;
        }
        if !units.is_empty() {
            out.push_str(&String::from_utf16_lossy(&units));
            units.clear();
        }
        match letter {
            None => return out,
            Some('\\') => match letters.next() {
                Some('n') => out.push('\n'),
                Some('t') => out.push('\t'),
                Some('r') => out.push('\r'),
                Some(other) => out.push(other),
                None => out.push('\\'),
            },
            Some(letter) => out.push(letter),
        }
    }
}

/// The code after a backslash, if it is one of four or of two figures.
fn unit(rest: &mut std::str::Chars<'_>) -> Option<u16> {
    let figures = match rest.next()? {
        'u' => 4,
        'x' => 2,
        _ => return None,
    };
    let code: String = rest.by_ref().take(figures).collect();
    let whole = code.len() == figures && code.bytes().all(|figure| figure.is_ascii_hexdigit());
    whole.then(|| u16::from_str_radix(&code, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    const VALUE: &str = "Überraschung & Co: Printer on fire, 738201946512 €";

    fn found(text: &str, value: &str) -> Option<&'static str> {
        Seen::of(text.as_bytes()).shows(&Needle::of(value))
    }

    #[test]
    fn no_disguise_helps() {
        let mut packed = GzEncoder::new(Vec::new(), Compression::default());
        packed.write_all(format!("{{\"t\":\"{VALUE}\"}}").as_bytes()).unwrap();
        let standard = |text: &str| general_purpose::STANDARD.encode(text);
        let mail = standard(&format!("{}{VALUE}", "x".repeat(31)))
            .as_bytes()
            .chunks(40)
            .map(|line| format!("{}\\r\\n", String::from_utf8_lossy(line)))
            .collect::<String>();
        let escaped: String = VALUE.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
        let wide: String = VALUE
            .chars()
            .map(|c| if c.is_ascii_alphabetic() { char::from_u32(c as u32 + 0xfee0).unwrap() } else { c })
            .collect();
        let bytes: Vec<String> = VALUE.bytes().map(|byte| byte.to_string()).collect();
        let cases = [
            VALUE.to_uppercase(),
            VALUE.nfd().collect(),
            wide,
            VALUE.replace(' ', "\n   "),
            VALUE.replace(' ', "\u{a0}"),
            VALUE.replace("Printer", "Prin\u{ad}ter"),
            html_escape::encode_text(VALUE).into_owned(),
            "&Uuml;berraschung &#38; Co&#x3a; Printer&nbsp;on fire, 738201946512 &euro;".to_owned(),
            serde_json::json!({"text": serde_json::json!({"t": escaped}).to_string()}).to_string(),
            escaped,
            percent_encoding::utf8_percent_encode(VALUE, percent_encoding::NON_ALPHANUMERIC).to_string(),
            url::form_urlencoded::byte_serialize(VALUE.as_bytes()).collect(),
            standard(VALUE),
            standard(&standard(VALUE)),
            format!("page=v2-{}", standard(&format!("7{VALUE}"))),
            format!("next:{}", general_purpose::URL_SAFE_NO_PAD.encode(format!("ab{VALUE}"))),
            mail,
            general_purpose::STANDARD.encode(packed.finish().unwrap()),
            format!("\\\\x{}", hex::encode(VALUE)),
            hex::encode_upper(format!("abc{VALUE}")),
            format!("{{\"type\":\"Buffer\",\"data\":[{}]}}", bytes.join(",")),
            VALUE.chars().rev().collect(),
            VALUE.replace("738201946512", "738,201,946,512"),
            VALUE.replace("738201946512", "738.201.946.512"),
            VALUE.replace("738201946512", "738\u{202f}201\u{202f}946\u{202f}512"),
            "Überraschung & Co: Printer on…".to_owned(),
            "see Überraschung & Co: Pri...".to_owned(),
        ];
        for case in &cases {
            assert!(found(case, VALUE).is_some(), "{case}");
        }
    }

    #[test]
    fn what_is_another_value_is_not_found() {
        let cases = [
            VALUE.replace("738201946512", "738201946513"),
            VALUE.replace("738201946512", "73820194651"),
            VALUE.replace("fire", "fires"),
            "Überraschung...".to_owned(),
            "Überraschung & Co: Printer on".to_owned(),
            "[738,201,946,512]".to_owned(),
            general_purpose::STANDARD.encode("Überraschung"),
            "\\u00 \\x \\ &amp &#; %zz [1,2,300] [".to_owned(),
            String::new(),
        ];
        for case in &cases {
            assert_eq!(found(case, VALUE), None, "{case}");
        }
        assert_eq!(found("738,201,946", "738201"), None);
    }

    #[test]
    fn what_unfolds_without_end_is_left_alone() {
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(&vec![b'a'; 32 << 20]).unwrap();
        let bomb = general_purpose::STANDARD.encode(packed.finish().unwrap());
        let seen = Seen::of(format!("{bomb} {bomb} {VALUE}").as_bytes());
        assert!(seen.views.iter().map(|(_, text)| text.len()).sum::<usize>() < 4 << 20);
        assert!(seen.shows(&Needle::of(VALUE)).is_some());
    }
}

//! Texts that whole files are asked for. They are looked for once, all at the same time, so that the text of a file need not be
//! kept for it.

use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use rustc_hash::FxHashMap;

use crate::{flow, rules, tables, tenancy};

/// What a server asks its library when it knows that callers differ.
pub(crate) const TELLS: &[&str] = &["AsyncLocalStorage", "authInfo", "requestInfo", "getMcpAuthContext"];
/// Methods that hand a request to the session that it names.
pub(crate) const POSTS: &[&str] = &["handle_post_message", "handle_request"];
/// Words about who may keep a reply.
pub(crate) const KEEPS: &[&str] = &["cacheScope", "cache_scope", "ache-Control", "ache-control"];
/// What reads the message's own request.
pub(crate) const MESSAGES: &[&str] =
    &["request_ctx", "request_context", "get_http_request", "get_http_headers"];
/// Words of statements that set something in a session.
pub(crate) const SETS: &[&str] = &["SET ", "set ", "set_config", "SET_CONFIG"];
/// The program that makes one server out of one for a single user.
pub(crate) const BRIDGE: &str = "supergateway";
/// What messages are made of.
pub(crate) const MESSAGE: &str = "JSONRPC";
/// The SDK's packages.
pub(crate) const SDK: &str = "@modelcontextprotocol/";

/// What a call that follows one address to the next is asked about.
pub(crate) const REDIRECT: &str = "redirect";
/// What cleans names.
pub(crate) const CLEANS: &[&str] = &["isalnum", "re.sub", ".replace(", "[^"];
/// What asks how an address begins.
pub(crate) const BEGINS: &[&str] = &["startswith(", "startsWith("];
/// What sets guards for all routes.
pub(crate) const GUARDS: &[&str] = &["APP_GUARD", "useGlobalGuards"];

/// How many texts a file's marks have room for.
const MOST: usize = 256;
/// How many of them a word has.
const WORD: usize = 64;

struct Known {
    all: Option<AhoCorasick>,
    places: FxHashMap<&'static str, usize>,
}

static KNOWN: LazyLock<Known> = LazyLock::new(|| {
    let lists = [
        TELLS,
        POSTS,
        KEEPS,
        MESSAGES,
        SETS,
        CLEANS,
        BEGINS,
        GUARDS,
        &[BRIDGE, MESSAGE, SDK, REDIRECT],
        flow::ONE_HANDLER,
        tables::SCHEMAS,
        rules::AMBIENT,
    ];
    let lists = lists.into_iter().chain(tenancy::ASKED);
    let mut texts: Vec<&'static str> = lists.flatten().copied().collect();
    texts.sort_unstable();
    texts.dedup();
    // What there is no room for is looked for in the text itself.
    texts.truncate(MOST);
    let all = AhoCorasick::builder().kind(Some(AhoCorasickKind::DFA)).build(&texts).ok();
    let places = texts.into_iter().zip(0..).collect();
    Known { all, places }
});

/// Which of the texts stand in a file, a bit each.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Marks([u64; MOST / WORD]);

impl Marks {
    /// Those of a file; none when they cannot be looked for.
    pub(crate) fn of(source: &str) -> Option<Self> {
        let all = KNOWN.all.as_ref()?;
        let mut bits = [0; MOST / WORD];
        for found in all.find_overlapping_iter(source) {
            let place = found.pattern().as_usize();
            if let Some(word) = bits.get_mut(place / WORD) {
                *word |= 1 << (place % WORD);
            }
        }
        Some(Self(bits))
    }

    /// Whether a text is one of those that stand in the file; nothing for a text that was not looked for.
    pub(crate) fn have(self, text: &str) -> Option<bool> {
        let place = KNOWN.places.get(text)?;
        self.0.get(place / WORD).map(|word| (word >> (place % WORD)) & 1 == 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_text_that_stands_in_a_file_is_found_and_no_other() {
        assert!(KNOWN.places.len() < MOST, "some texts are not looked for");
        let all: Vec<&str> = KNOWN.places.keys().copied().collect();
        for text in &all {
            let file = format!("x{text}{text} y");
            let marks = Marks::of(&file).unwrap();
            for other in &all {
                assert_eq!(marks.have(other), Some(file.contains(other)), "{other} in {file}");
            }
        }
        assert_eq!(Marks::of("").unwrap().have("anything else"), None);
    }
}

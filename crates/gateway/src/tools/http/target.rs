//! The URL of a request: scheme, host and port are fixed, arguments fill path segments and query values.

use std::{borrow::Cow, collections::BTreeMap};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use url::{Position, Url};

use super::{
    HttpToolError,
    address::AllowList,
    text::{Declared, Piece, Text, Values},
};

/// Everything except the unreserved characters of RFC 3986, so that a value stays within its segment.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The longest URL that is sent; servers commonly refuse longer ones.
const MAX_URL: usize = 16 * 1024;

/// How often a value is decoded to look for path steps; nobody honest encodes that often.
const MAX_DECODE: usize = 4;

/// A URL with arguments in its path and query.
#[derive(Debug)]
pub(super) struct Target {
    /// Scheme, host and port, as the URL parser writes them.
    base: String,
    segments: Vec<Text>,
    query: Vec<(String, Text)>,
}

impl Target {
    pub(super) fn compile(
        url: &str,
        query: &BTreeMap<String, String>,
        declared: &Declared,
        allow: &AllowList,
    ) -> Result<Self, HttpToolError> {
        let problem = |problem: &str| HttpToolError::config("http.url", problem);
        let after_scheme = url
            .strip_prefix("https://")
            .or_else(|| url.strip_prefix("http://"))
            .ok_or_else(|| problem("must start with `https://`"))?;
        if url.chars().any(|c| c.is_ascii_control() || c == ' ' || c == '\\') {
            return Err(problem("must not contain spaces, control characters or backslashes"));
        }
        if url.contains(['?', '#']) {
            return Err(problem("must end with the path; put query parameters into `http.query`"));
        }
        let (authority, path) = after_scheme.split_once('/').unwrap_or((after_scheme, ""));
        if authority.contains(['{', '}', '@']) {
            return Err(problem(
                "scheme, host and port are fixed: write them without placeholders and without a user name",
            ));
        }
        if authority.is_empty() {
            return Err(problem("must name a host"));
        }
        let segments = path
            .split('/')
            .map(|segment| Text::parse(segment, "http.url", declared))
            .collect::<Result<Vec<_>, _>>()?;
        for name in segments.iter().flat_map(Text::args) {
            if declared.may_be_absent(name) {
                return Err(problem(&format!(
                    "`{{{name}}}` stands in the path, so `args.{name}` must be required or have a default"
                )));
            }
        }
        let base = fixed_part(url, &segments, allow)?;
        let query = query
            .iter()
            .map(|(name, text)| {
                let key = format!("http.query.{name}");
                Ok((name.clone(), Text::parse(text, &key, declared)?))
            })
            .collect::<Result<_, HttpToolError>>()?;
        Ok(Self { base, segments, query })
    }

    /// The arguments it names.
    pub(super) fn args(&self) -> impl Iterator<Item = &str> {
        let query = self.query.iter().map(|(_, text)| text);
        self.segments.iter().chain(query).flat_map(Text::args)
    }

    /// The URL of one call.
    pub(super) fn render(&self, values: &Values<'_>) -> Result<Url, HttpToolError> {
        let mut path = String::new();
        for segment in &self.segments {
            path.push('/');
            path.push_str(&render_segment(segment, values)?);
        }
        let mut url = parse_exactly(&self.base, &path)
            .ok_or_else(|| HttpToolError::argument(values.longest(), "cannot stand in a URL path"))?;
        for (name, text) in &self.query {
            if let Some(value) = text.render(values)? {
                url.query_pairs_mut().append_pair(name, &value);
            }
        }
        if url.as_str().len() > MAX_URL {
            return Err(HttpToolError::argument(values.longest(), "is too long for a URL"));
        }
        Ok(url)
    }
}

/// Checks the template with a stand-in for each argument and gives scheme, host and port.
fn fixed_part(url: &str, segments: &[Text], allow: &AllowList) -> Result<String, HttpToolError> {
    let problem = |problem: String| HttpToolError::config("http.url", problem);
    let sample = segments.iter().fold(String::new(), |mut path, segment| {
        path.push('/');
        for piece in segment.pieces() {
            path.push_str(match piece {
                Piece::Literal(literal) => literal,
                Piece::Arg(_) => "x",
            });
        }
        path
    });
    let scheme_and_authority = match url.split_once("://") {
        Some((scheme, rest)) => format!("{scheme}://{}", rest.split('/').next().unwrap_or_default()),
        None => String::new(),
    };
    let parsed = Url::parse(&format!("{scheme_and_authority}{sample}"))
        .map_err(|error| problem(format!("is no URL: {error}")))?;
    if parsed.path() != sample {
        return Err(problem(format!(
            "the path is not in its normal form; with `x` for each argument it would be `{}`",
            parsed.path()
        )));
    }
    let (Some(host), Some(port)) = (parsed.host_str(), parsed.port_or_known_default()) else {
        return Err(problem("must name a host".to_owned()));
    };
    if !allow.permits(&parsed) {
        return Err(problem(format!(
            "`{host}:{port}` is not public; to reach it, add `{host}:{port}` to `http.allow_private`"
        )));
    }
    if parsed.scheme() == "http" && !allow.lists(host, port) {
        return Err(problem(format!(
            "must start with `https://`; plain `http` is for hosts listed in `http.allow_private` (`{host}:{port}`)"
        )));
    }
    Ok(parsed[..Position::BeforePath].to_owned())
}

/// The URL, if the parser leaves it exactly as it was built: the same host and not one path step collapsed or added.
fn parse_exactly(base: &str, path: &str) -> Option<Url> {
    let url = Url::parse(&format!("{base}{path}")).ok()?;
    let same = &url[..Position::BeforePath] == base && url.path() == path;
    (same && url.query().is_none() && url.fragment().is_none()).then_some(url)
}

fn render_segment(segment: &Text, values: &Values<'_>) -> Result<String, HttpToolError> {
    let mut out = String::new();
    for piece in segment.pieces() {
        match piece {
            Piece::Literal(literal) => out.push_str(literal),
            Piece::Arg(name) => {
                let value = values.text(name)?.ok_or_else(|| HttpToolError::argument(name, "is required"))?;
                if let Some(problem) = unfit_for_path(&value) {
                    return Err(HttpToolError::argument(name, problem));
                }
                out.extend(utf8_percent_encode(&value, SEGMENT));
            }
        }
    }
    // A literal and a value may make a path step together.
    if let Some(name) = segment.args().next().filter(|_| has_path_step(&out)) {
        return Err(HttpToolError::argument(name, "must not be a path step"));
    }
    Ok(out)
}

/// Why a value must not stand in a path, if so.
///
/// Encoding keeps it within its segment for us; upstreams that decode once too often would still see the steps.
fn unfit_for_path(value: &str) -> Option<&'static str> {
    if value.is_empty() {
        return Some("must not be empty");
    }
    let mut decoded = Cow::Borrowed(value);
    for _ in 0..MAX_DECODE {
        if decoded.chars().any(char::is_control) {
            return Some("must not contain control characters");
        }
        if has_path_step(&decoded) {
            return Some("must not contain the path steps `.` and `..`");
        }
        let again = percent_decode_str(&decoded).decode_utf8_lossy().into_owned();
        if again == decoded {
            return None;
        }
        decoded = Cow::Owned(again);
    }
    Some("is percent-encoded too many times")
}

/// Whether any step is `.` or `..`, also with parameters (`..;x`), which some servers drop.
fn has_path_step(text: &str) -> bool {
    text.split(['/', '\\']).any(|step| matches!(step.split(';').next(), Some("." | "..")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_steps_are_refused_however_they_are_written() {
        for bad in [
            "",
            ".",
            "..",
            "../x",
            "x/..",
            "a/./b",
            "..\\x",
            "%2e%2e",
            "%2E.",
            "%252e%252e",
            "%25252e",
            "..;a/b",
            "..%2fadmin",
            "..%5cadmin",
            "\r\nX: y",
            "a\0b",
            "%0d%0a",
            "%00",
            "%2525252525",
        ] {
            assert!(unfit_for_path(bad).is_some(), "{bad:?}");
        }
        for good in [
            "a/b",
            "a..b",
            "...",
            "?x=1",
            "#f",
            "@evil.com",
            "\\",
            "//evil.com",
            "100%",
            "%",
            "ключ",
            "a b",
            "{x}",
            "50%25",
            ";",
            "a.b",
        ] {
            assert_eq!(unfit_for_path(good), None, "{good:?}");
        }
    }

    #[test]
    fn a_url_that_the_parser_would_change_is_refused() {
        let base = "https://example.com";
        for path in [
            "/a/..",
            "/a/%2e%2E/b",
            "/./a",
            "/a b",
            "/a?b",
            "/a#b",
            "/\\a",
            ":8080/",
            "@evil.com/",
            ".evil.com/",
        ] {
            assert!(parse_exactly(base, path).is_none(), "{path}");
        }
        assert!(parse_exactly(base, "/a/%2F/b").is_some());
    }
}

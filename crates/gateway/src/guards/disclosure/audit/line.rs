//! One request, on its way to the log and as it stands there.

use std::{borrow::Cow, sync::Arc};

use aws_lc_rs::digest;
use partywall_model::{Principal, TenantId};
use serde::{Deserialize, Serialize};

use crate::admit::RequestId;

/// One request, on its way to the log; it shares what it can with the request.
#[derive(Clone)]
pub(crate) struct Line {
    /// Seconds since 1970, with fraction.
    pub(crate) at: f64,
    pub(crate) request: RequestId,
    pub(crate) caller: Option<Arc<Principal>>,
    /// Which life of the tenant id it was; one that was removed and added again has another.
    pub(crate) life: Option<u64>,
    pub(crate) method: Cow<'static, str>,
    pub(crate) tool: Option<Arc<str>>,
    /// `started` (before a write), `ok`, `error` or `denied`.
    pub(crate) outcome: &'static str,
    pub(crate) layer: Option<&'static str>,
    pub(crate) reason: Option<String>,
    /// How many requests the line stands for.
    pub(crate) times: u64,
    /// Microseconds from admission to reply.
    pub(crate) us: u64,
    /// Whether somebody waits until it is on disk.
    pub(super) durable: bool,
}

impl Line {
    /// The longest text of a field that a caller chose.
    const MAX_TEXT: usize = 200;

    pub(crate) fn of(caller: Option<&Arc<Principal>>, request: RequestId, at: f64) -> Self {
        Self {
            at,
            request,
            caller: caller.map(Arc::clone),
            life: None,
            method: Cow::Borrowed(""),
            tool: None,
            outcome: "ok",
            layer: None,
            reason: None,
            times: 1,
            us: 0,
            durable: false,
        }
    }

    pub(super) fn tenant(&self) -> Option<&TenantId> {
        self.caller.as_ref().map(|caller| &caller.tenant)
    }
}

/// Where a line stands in its log; by default, before the first.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Place {
    /// Lines are numbered from 1.
    pub(super) seq: u64,
    /// SHA-256 of the line's bytes without the line break.
    pub(super) hash: [u8; 32],
}

impl Place {
    /// Before the first line.
    pub(super) const START: Self = Self { seq: 0, hash: [0; 32] };

    /// The place of the line that stands after this one.
    pub(super) fn next(self, line: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest::digest(&digest::SHA256, line).as_ref());
        Self { seq: self.seq + 1, hash }
    }
}

/// What chains a line to the one before it.
#[derive(Deserialize)]
pub(super) struct Link<'l> {
    pub(super) seq: u64,
    #[serde(borrow)]
    pub(super) prev: Cow<'l, str>,
    #[serde(borrow, default)]
    pub(super) method: Cow<'l, str>,
    #[serde(borrow, default)]
    pub(super) outcome: Cow<'l, str>,
    #[serde(default)]
    pub(super) lost: Option<u64>,
}

impl Link<'_> {
    /// Whether the line says that it follows `place`.
    pub(super) fn follows(&self, place: Place) -> bool {
        let mut hex = [0; 64];
        let written = hex::encode_to_slice(place.hash, &mut hex).is_ok();
        written && self.seq == place.seq + 1 && self.prev.as_bytes() == hex
    }
}

/// Lines that the log writes about itself.
#[derive(Clone, Copy)]
pub(super) enum Note {
    /// So many lines could not be written.
    Gap(u64),
    /// The lines before are in the archive.
    Continued,
    /// The lines before are not where they should be.
    Missing,
    /// The log had lines and no head, so that lines may have been cut off before this one.
    Headless,
}

/// The method of the first line of a file that is not the first.
pub(super) const BEGIN: &str = "audit/begin";
/// The method of the line after which a log has a head again.
pub(super) const HEADLESS: &str = "audit/headless";
/// The method of a line that stands for lines that could not be written.
const GAP: &str = "audit/gap";

/// One line, as it stands in the log.
#[derive(Serialize)]
struct Written<'l> {
    seq: u64,
    prev: &'l str,
    at: f64,
    #[serde(serialize_with = "displayed", skip_serializing_if = "Option::is_none")]
    request: Option<RequestId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'l TenantId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    life: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<Cow<'l, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Cow<'l, str>>,
    #[serde(skip_serializing_if = "str::is_empty")]
    method: Cow<'l, str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool: Option<Cow<'l, str>>,
    outcome: &'l str,
    #[serde(skip_serializing_if = "Option::is_none")]
    layer: Option<&'l str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Cow<'l, str>>,
    #[serde(skip_serializing_if = "is_one")]
    times: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    lost: Option<u64>,
    us: u64,
}

fn is_one(times: &u64) -> bool {
    *times == 1
}

fn displayed<S: serde::Serializer>(request: &Option<RequestId>, serializer: S) -> Result<S::Ok, S::Error> {
    match request {
        Some(request) => serializer.collect_str(request),
        None => serializer.serialize_none(),
    }
}

/// Appends a request's line to `buffer`, chained to the line at `place`; where it stands.
pub(super) fn write(buffer: &mut Vec<u8>, place: Place, line: &Line) -> Option<Place> {
    let caller = line.caller.as_ref();
    let written = Written {
        seq: 0,
        prev: "",
        at: line.at,
        request: Some(line.request),
        tenant: line.tenant(),
        life: line.life,
        issuer: caller.map(|caller| cut(&caller.issuer)),
        subject: caller.map(|caller| cut(&caller.subject)),
        method: cut(&line.method),
        tool: line.tool.as_deref().map(cut),
        outcome: line.outcome,
        layer: line.layer,
        reason: line.reason.as_deref().map(cut),
        times: line.times,
        lost: None,
        us: line.us,
    };
    chain(buffer, place, written)
}

/// Appends a line about the log itself.
pub(super) fn write_note(buffer: &mut Vec<u8>, place: Place, like: &Line, note: Note) -> Option<Place> {
    let (method, outcome, lost, reason) = match note {
        Note::Gap(lost) => (GAP, "error", Some(lost), "lines could not be written"),
        Note::Continued => (BEGIN, "ok", None, "the lines before are in the archive"),
        Note::Missing => (BEGIN, "error", None, "the lines before are not where they should be"),
        Note::Headless => {
            (HEADLESS, "error", None, "the log had lost its head; lines may have been cut off here")
        }
    };
    let written = Written {
        seq: 0,
        prev: "",
        at: like.at,
        request: None,
        tenant: like.tenant(),
        life: None,
        issuer: None,
        subject: None,
        method: method.into(),
        tool: None,
        outcome,
        layer: None,
        reason: Some(reason.into()),
        times: 1,
        lost,
        us: 0,
    };
    chain(buffer, place, written)
}

fn chain(buffer: &mut Vec<u8>, place: Place, written: Written<'_>) -> Option<Place> {
    let mut hex = [0; 64];
    hex::encode_to_slice(place.hash, &mut hex).ok()?;
    let written = Written { seq: place.seq + 1, prev: std::str::from_utf8(&hex).ok()?, ..written };
    let start = buffer.len();
    if serde_json::to_writer(&mut *buffer, &written).is_err() {
        buffer.truncate(start);
        return None;
    }
    let next = place.next(buffer.get(start..)?);
    buffer.push(b'\n');
    Some(next)
}

/// At most so many characters, none of which moves a terminal's cursor or turns the text around. JSON escapes the
/// control characters below U+0020 and no others.
fn cut(text: &str) -> Cow<'_, str> {
    if text.len() <= Line::MAX_TEXT && text.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        return text.into();
    }
    let short = match text.char_indices().nth(Line::MAX_TEXT) {
        None => text,
        Some((end, _)) => text.get(..end).unwrap_or_default(),
    };
    let steers = |c: char| {
        let hidden = matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        hidden || matches!(c, '\u{7f}'..='\u{9f}')
    };
    if short.contains(steers) { short.replace(steers, "\u{fffd}").into() } else { short.into() }
}

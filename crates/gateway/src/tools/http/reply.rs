//! Reads an upstream's reply within the limits; nothing of a reply that is not a success is read at all.

use http::{Response, StatusCode, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use tokio::time::Instant;

use super::HttpToolError;

/// What was read of a successful reply.
pub(super) enum Read {
    /// All of it.
    Whole(String),
    /// It cannot be passed on; this is how it begins, where that is asked for.
    Not { begun: Vec<u8>, why: HttpToolError },
}

/// The text of a successful JSON reply of at most `limit` bytes that has come when `ends` is there. With `beginning`, as
/// much of one that is too large is read.
pub(super) async fn read(
    mut response: Response<Incoming>,
    limit: usize,
    beginning: bool,
    ends: Instant,
) -> Result<Read, HttpToolError> {
    judge_status(response.status())?;
    let too_large = |begun| Read::Not { begun, why: HttpToolError::TooLarge { limit } };
    let no_json = |begun| Ok(Read::Not { begun, why: HttpToolError::UpstreamNotJson });
    // An upstream that announces too much is not read; what it announces is otherwise not believed.
    let announced = response.body().size_hint().lower();
    if !beginning && usize::try_from(announced).map_or(true, |announced| announced > limit) {
        return Ok(too_large(Vec::new()));
    }
    let json =
        response.headers().get(header::CONTENT_TYPE).is_none_or(|value| value.to_str().is_ok_and(is_json));
    let encoded = response.headers().get(header::CONTENT_ENCODING).is_some_and(|value| value != "identity");
    let mut body = Vec::new();
    loop {
        // That there is an answer must show no more than an answer would: how it ends is told to its owner.
        let chunk = match tokio::time::timeout_at(ends, response.frame()).await {
            // What is no data is a trailer.
            Ok(Some(Ok(frame))) => frame.into_data().unwrap_or_default(),
            Ok(None) => break,
            Ok(Some(Err(_broken))) => {
                let why = HttpToolError::UpstreamFailed { stage: "the answer broke off" };
                return Ok(Read::Not { begun: body, why });
            }
            Err(_elapsed) => return Ok(Read::Not { begun: body, why: HttpToolError::Timeout }),
        };
        if body.len() + chunk.len() > limit {
            body.extend(chunk.iter().take(limit - body.len()));
            return Ok(too_large(body));
        }
        if !json || encoded {
            return no_json(Vec::new());
        }
        body.extend_from_slice(&chunk);
    }
    if body.is_empty() {
        // What 204 says in HTTP.
        return Ok(Read::Whole("null".to_owned()));
    }
    String::from_utf8(body).map_or_else(|error| no_json(error.into_bytes()), |text| Ok(Read::Whole(text)))
}

fn judge_status(status: StatusCode) -> Result<(), HttpToolError> {
    match status.as_u16() {
        200..=299 => Ok(()),
        300..=399 => Err(HttpToolError::UpstreamRedirect),
        404 | 410 => Err(HttpToolError::NotFound),
        status @ (401 | 403) => Err(HttpToolError::UpstreamRefused { status }),
        status => Err(HttpToolError::UpstreamStatus { status }),
    }
}

fn is_json(content_type: &str) -> bool {
    let media = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    matches!(media.as_str(), "application/json" | "text/json")
        || (media.starts_with("application/") && media.ends_with("+json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_known_by_its_media_type() {
        for yes in
            ["application/json", "Application/JSON; charset=utf-8", "text/json", "application/problem+json"]
        {
            assert!(is_json(yes), "{yes}");
        }
        for no in
            ["", "text/html", "text/plain; x=application/json", "application/jsonp", "application/x-ndjson"]
        {
            assert!(!is_json(no), "{no}");
        }
    }
}

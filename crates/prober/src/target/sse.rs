//! Event streams (WHATWG HTML, section 9.2), as much of them as has arrived.

/// One event.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Event {
    /// The `id` field.
    pub(crate) id: Option<String>,
    /// The `event` field.
    pub(crate) name: Option<String>,
    /// The `data` lines, joined.
    pub(crate) data: String,
}

/// The finished events in a body; an event whose empty line has not come yet is left out.
pub(crate) fn events(body: &[u8]) -> Vec<Event> {
    let text = String::from_utf8_lossy(body);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text).replace("\r\n", "\n").replace('\r', "\n");
    let mut done = Vec::new();
    let mut event = Event::default();
    let mut lines: Vec<&str> = text.split('\n').collect();
    // What follows the last line break is not a whole line.
    lines.pop();
    let mut data: Vec<&str> = Vec::new();
    for line in lines {
        if line.is_empty() {
            if !data.is_empty() || event.id.is_some() {
                event.data = data.join("\n");
                done.push(std::mem::take(&mut event));
            }
            data.clear();
            continue;
        }
        let (field, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match field {
            "data" => data.push(value),
            "id" => event.id = Some(value.to_owned()),
            "event" => event.name = Some(value.to_owned()),
            _ => {}
        }
    }
    done
}

/// Where the last finished event ends.
pub(super) fn end(buffer: &[u8]) -> Option<usize> {
    const ENDS: [&[u8]; 4] = [b"\n\n", b"\n\r\n", b"\r\r", b"\r\n\r\n"];
    let ends = |end: &[u8]| buffer.windows(end.len()).rposition(|part| part == end).map(|at| at + end.len());
    ENDS.into_iter().filter_map(ends).max()
}

/// Takes the finished events out of what has arrived; what is not finished stays. Before `from` no event ends.
pub(super) fn take(buffer: &mut Vec<u8>, from: usize) -> Vec<Event> {
    let Some(end) = end(buffer.get(from..).unwrap_or_default()).map(|end| from + end) else {
        return Vec::new();
    };
    let rest = buffer.split_off(end);
    events(&std::mem::replace(buffer, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_as_far_as_they_came() {
        let body =
            b": hello\n\nid: 7\ndata: {\"a\":\ndata: 1}\n\nevent: ping\r\ndata: x\r\n\r\ndata: not yet";
        let found = events(body);
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0].id.as_deref(), Some("7"));
        assert_eq!(found[0].data, "{\"a\":\n1}");
        assert_eq!(found[1].name.as_deref(), Some("ping"));
        assert_eq!(found[1].data, "x");
        assert!(events(b"data: half\n").is_empty());
        assert!(events(b"").is_empty());
    }

    #[test]
    fn what_is_finished_is_taken_and_the_rest_stays() {
        let mut buffer = b"event: endpoint\ndata: /m\n\ndata: 1\r\n\r\ndata: ha".to_vec();
        let found = take(&mut buffer, 0);
        assert_eq!(found.iter().map(|event| event.data.as_str()).collect::<Vec<_>>(), ["/m", "1"]);
        assert_eq!(buffer, b"data: ha");
        assert!(take(&mut buffer, 0).is_empty());
        buffer.extend_from_slice(b"lf\n\n");
        assert_eq!(take(&mut buffer, 0).first().map(|event| event.data.clone()).as_deref(), Some("half"));
        assert!(buffer.is_empty());
    }
}

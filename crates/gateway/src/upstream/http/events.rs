//! Reads a stream of server-sent events piece by piece, each within a bound.

use crate::upstream::error::UpstreamError;

/// Turns bytes into events; holds one line and one event at most.
pub(super) struct Events {
    room: usize,
    line: Vec<u8>,
    data: Vec<u8>,
    has_data: bool,
    is_message: bool,
    /// The last byte was a carriage return, so that a line feed after it ends no line.
    returned: bool,
    at_start: bool,
}

impl Events {
    /// No line and no event may be larger than this.
    pub(super) fn new(room: usize) -> Self {
        Self {
            room,
            line: Vec::new(),
            data: Vec::new(),
            has_data: false,
            is_message: true,
            returned: false,
            at_start: true,
        }
    }

    /// Takes bytes up to the end of an event, and gives its data if it has any.
    pub(super) fn take(&mut self, bytes: &mut &[u8]) -> Result<Option<String>, UpstreamError> {
        while let Some((&byte, rest)) = bytes.split_first() {
            *bytes = rest;
            let follows = std::mem::replace(&mut self.returned, byte == b'\r');
            match byte {
                b'\n' if follows => {}
                b'\n' | b'\r' => {
                    if let Some(event) = self.end_of_line()? {
                        return Ok(Some(event));
                    }
                }
                _ if self.line.len() >= self.room => return Err(UpstreamError::TooLarge),
                _ => self.line.push(byte),
            }
        }
        Ok(None)
    }

    fn end_of_line(&mut self) -> Result<Option<String>, UpstreamError> {
        let line = std::mem::take(&mut self.line);
        let mut line = line.as_slice();
        if std::mem::take(&mut self.at_start) {
            line = line.strip_prefix("\u{feff}".as_bytes()).unwrap_or(line);
        }
        if line.is_empty() {
            return self.end_of_event();
        }
        let colon = line.iter().position(|&byte| byte == b':').unwrap_or(line.len());
        let (field, value) = line.split_at(colon);
        let value = value.strip_prefix(b":").unwrap_or(value);
        let value = value.strip_prefix(b" ").unwrap_or(value);
        match field {
            b"data" => {
                if self.data.len() + value.len() >= self.room {
                    return Err(UpstreamError::TooLarge);
                }
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
            }
            b"event" => self.is_message = value == b"message" || value.is_empty(),
            // Ids are for streams that are taken up again, which these are not; comments keep the connection alive.
            _ => {}
        }
        Ok(None)
    }

    fn end_of_event(&mut self) -> Result<Option<String>, UpstreamError> {
        let data = std::mem::take(&mut self.data);
        let has_data = std::mem::replace(&mut self.has_data, false);
        let is_message = std::mem::replace(&mut self.is_message, true);
        // One without data is there for its id only.
        if !has_data || !is_message || data.is_empty() {
            return Ok(None);
        }
        let text =
            String::from_utf8(data).map_err(|_| UpstreamError::Protocol("what it wrote is no text"))?;
        Ok(Some(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All events of a stream that comes in pieces of a size.
    fn events(stream: &str, size: usize, room: usize) -> Result<Vec<String>, UpstreamError> {
        let mut reader = Events::new(room);
        let mut found = Vec::new();
        for mut piece in stream.as_bytes().chunks(size) {
            while let Some(event) = reader.take(&mut piece)? {
                found.push(event);
            }
        }
        Ok(found)
    }

    #[test]
    fn events_are_the_same_however_they_come() {
        let stream = "\u{feff}: hello\ndata: one\n\nid: 7\ndata:\n\nevent: message\r\ndata: two\r\ndata:  three\r\n\r\n\
                      event: other\ndata: no\n\ndata: four\r\rretry: 5\ndata\n\ndata: lost";
        for size in 1..stream.len() {
            let found = events(stream, size, 100).expect("within bounds");
            assert_eq!(found, ["one", "two\n three", "four"], "pieces of {size}");
        }
    }

    #[test]
    fn a_line_and_an_event_have_a_bound() {
        let long = "x".repeat(200);
        for hostile in [long.clone(), format!("data: {long}"), "data: xxxxxxxxxx\n".repeat(20)] {
            assert!(matches!(events(&hostile, 7, 100), Err(UpstreamError::TooLarge)), "{hostile}");
        }
        // The honest twin: many of them.
        assert_eq!(events(&"data: x\n\n".repeat(100), 7, 100).expect("within bounds").len(), 100);
    }

    #[test]
    fn what_is_no_text_is_an_error() {
        let mut reader = Events::new(100);
        assert!(matches!(reader.take(&mut &b"data: \xff\n\n"[..]), Err(UpstreamError::Protocol(_))));
    }
}

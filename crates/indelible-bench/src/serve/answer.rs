//! Answers of HTTP/1.1, as far as the server's have them: a status, and a body of a length that is told.

use crate::Result;

/// What can be said of a whole answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Whole {
    pub(crate) status: u16,
    /// Where the body begins.
    pub(crate) body: usize,
    /// Head and body.
    pub(crate) length: usize,
}

/// The answer that `received` begins with; nothing as long as a part of it is missing.
///
/// # Errors
/// It is no answer, or one whose length is not told.
pub(crate) fn whole(received: &[u8]) -> Result<Option<Whole>> {
    let Some(head) = head(received)? else { return Ok(None) };
    Ok((received.len() >= head.length).then_some(head))
}

/// The same as soon as the head is there, however much of the body is missing.
pub(crate) fn head(received: &[u8]) -> Result<Option<Whole>> {
    let Some(end) = received.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
    let text = std::str::from_utf8(received.get(..end).unwrap_or_default())?;
    let mut lines = text.split("\r\n");
    let status = lines.next().and_then(|line| line.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok());
    let status = status.ok_or_else(|| format!("not an answer of HTTP/1.1: {text:?}"))?;
    let length: Option<usize> = lines.find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
    });
    let body = end + 4;
    let length = body + length.ok_or_else(|| format!("an answer without a length: {text:?}"))?;
    Ok(Some(Whole { status, body, length }))
}

/// The beginning of an answer, for an error.
pub(crate) fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes.get(..600).unwrap_or(bytes)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_body_is() {
        let text = b"HTTP/1.1 201 Created\r\nContent-Length: 3\r\n\r\nabcHTTP";
        for cut in 0..text.len() - 4 {
            assert_eq!(whole(&text[..cut]).unwrap(), None, "{cut}");
        }
        assert_eq!(whole(text).unwrap(), Some(Whole { status: 201, body: 43, length: 46 }));
        assert_eq!(&text[43..46], b"abc");
        assert!(whole(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(whole(b"SSH-2.0\r\n\r\n").is_err());
    }
}

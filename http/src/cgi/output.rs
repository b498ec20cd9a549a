//! A function's CGI response (RFC 3875 section 6) parsed strictly.
//!
//! ```text
//!   Status: 404 Not Found        at most one of each of the three CGI fields
//!   Content-Type: text/plain     needed when a body follows
//!   X-Other: value               passed on, except fields that belong to the connection
//!                                empty line; lines end in LF or CRLF
//!   body
//! ```
//! A block that breaks the grammar is answered 502: the gateway got an invalid response from the program behind it
//! (RFC 9110 section 15.6.3), and guessing what it meant would open response splitting.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};

/// Largest header block, in bytes with its empty line.
const BLOCK_BYTES_MAX: usize = 64 * 1024;
/// Largest number of fields in it.
const FIELDS_MAX: usize = 128;

/// A parsed CGI response.
#[derive(Debug, PartialEq, Eq)]
pub struct Output {
    /// `Status`, or 302 with a `Location` that is a URI, else 200.
    pub status: StatusCode,
    /// Fields for the client.
    pub headers: HeaderMap,
    /// Everything after the empty line; shares the output's memory.
    pub body: Bytes,
}

/// How a header block breaks RFC 3875 section 6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CgiError {
    /// The output ends before an empty line.
    #[error("CGI header block has no empty line at its end")]
    Unterminated,
    /// The block is longer than 64 KiB.
    #[error("CGI header block is longer than 64 KiB")]
    TooLong,
    /// The block has more than 128 fields.
    #[error("CGI header block has more than 128 fields")]
    TooManyFields,
    /// The first line is empty: not even one CGI field.
    #[error("CGI header block is empty")]
    Empty,
    /// A line without colon, with a bad name, with spaces around the name, or a folded one.
    #[error("CGI header block: line {line} is no `Name: value`")]
    Field {
        /// Line in the block, from 1.
        line: usize,
    },
    /// `Status` is no three-digit code from 200 to 599, perhaps followed by a reason.
    #[error("CGI header block: bad Status")]
    Status,
    /// One of `Status`, `Content-Type` and `Location` stands there twice.
    #[error("CGI header block: {0} is given twice")]
    Repeated(&'static str),
    /// `Location` is neither an absolute URI nor a path.
    #[error("CGI header block: bad Location")]
    Location,
    /// A body follows and nothing tells its type.
    #[error("CGI header block: Content-Type is missing")]
    NoContentType,
}

/// Splits and checks what a function wrote. `default_type` stands in for a missing `Content-Type`.
///
/// A `Location` that is a path asks the server for a local redirect (section 6.2.2). Luge does not run a second
/// function inside one request: the client is told to go there by a 302 with the path as `Location`.
///
/// # Errors
/// When the block breaks the grammar or a bound.
pub fn parse(output: &Bytes, default_type: Option<&HeaderValue>) -> Result<Output, CgiError> {
    let mut block = Block::default();
    let mut start = 0;
    for line in 1.. {
        let window = &output[start..output.len().min(BLOCK_BYTES_MAX)];
        let Some(length) = window.iter().position(|byte| *byte == b'\n') else {
            return Err(if output.len() > BLOCK_BYTES_MAX {
                CgiError::TooLong
            } else {
                CgiError::Unterminated
            });
        };
        let text = &window[..length];
        let text = text.strip_suffix(b"\r").unwrap_or(text);
        start += length + 1;
        if text.is_empty() {
            break;
        }
        if line > FIELDS_MAX {
            return Err(CgiError::TooManyFields);
        }
        block.field(text, line)?;
    }
    block.finish(output.slice(start..), default_type)
}

#[derive(Default)]
struct Block {
    any: bool,
    status: Option<StatusCode>,
    location: Option<HeaderValue>,
    content_type: Option<HeaderValue>,
    headers: HeaderMap,
}

impl Block {
    fn field(&mut self, text: &[u8], line: usize) -> Result<(), CgiError> {
        self.any = true;
        let bad = CgiError::Field { line };
        let colon = text.iter().position(|byte| *byte == b':').ok_or(bad)?;
        // `from_bytes` refuses an empty name and everything that is no token, so also folded lines and `Name :`.
        let name = HeaderName::from_bytes(&text[..colon]).map_err(|_| bad)?;
        let value = HeaderValue::from_bytes(text[colon + 1..].trim_ascii()).map_err(|_| bad)?;
        match name.as_str() {
            "status" => set_once(&mut self.status, parse_status(&value)?, "Status"),
            "location" => set_once(&mut self.location, value, "Location"),
            "content-type" => set_once(&mut self.content_type, value, "Content-Type"),
            _ => {
                if !is_connection_field(&name) {
                    self.headers.append(name, value);
                }
                Ok(())
            }
        }
    }

    fn finish(mut self, body: Bytes, default_type: Option<&HeaderValue>) -> Result<Output, CgiError> {
        if !self.any {
            return Err(CgiError::Empty);
        }
        let mut status = self.status.unwrap_or(StatusCode::OK);
        if let Some(location) = self.location {
            check_location(&location)?;
            if self.status.is_none() {
                status = StatusCode::FOUND;
            }
            self.headers.insert(header::LOCATION, location);
        }
        if let Some(value) = self
            .content_type
            .or_else(|| default_type.filter(|_| !body.is_empty()).cloned())
        {
            self.headers.insert(header::CONTENT_TYPE, value);
        } else if !body.is_empty() {
            return Err(CgiError::NoContentType);
        }
        Ok(Output {
            status,
            headers: self.headers,
            body,
        })
    }
}

fn set_once<T>(slot: &mut Option<T>, value: T, name: &'static str) -> Result<(), CgiError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(CgiError::Repeated(name)),
    }
}

/// `code [SP reason]`; 1xx are interim answers, which only the server sends.
fn parse_status(value: &HeaderValue) -> Result<StatusCode, CgiError> {
    let (code, reason) = value.as_bytes().split_at_checked(3).ok_or(CgiError::Status)?;
    if !reason.is_empty() && !reason.starts_with(b" ") {
        return Err(CgiError::Status);
    }
    let status = StatusCode::from_bytes(code).map_err(|_| CgiError::Status)?;
    if (200..=599).contains(&status.as_u16()) {
        Ok(status)
    } else {
        Err(CgiError::Status)
    }
}

fn check_location(location: &HeaderValue) -> Result<(), CgiError> {
    let text = location.to_str().map_err(|_| CgiError::Location)?;
    let has_scheme = text.split_once(':').is_some_and(|(scheme, rest)| {
        let mut bytes = scheme.bytes();
        let more = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
        bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic()) && bytes.all(more) && !rest.is_empty()
    });
    let spaced = text.bytes().any(|byte| byte.is_ascii_whitespace());
    if (has_scheme || text.starts_with('/')) && !spaced {
        Ok(())
    } else {
        Err(CgiError::Location)
    }
}

/// Fields that describe the connection or the framing, which are the server's business (RFC 9110 section 7.6.1).
/// The body's length is known, so a function's `Content-Length` has nothing to add and could only disagree.
fn is_connection_field(name: &HeaderName) -> bool {
    const NAMES: [&str; 10] = [
        "connection",
        "content-length",
        "date",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        crate::error::ERROR_FIELD,
    ];
    NAMES.contains(&name.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(output: &'static str) -> Result<Output, CgiError> {
        parse(&Bytes::from_static(output.as_bytes()), None)
    }

    #[test]
    fn a_document_response() {
        let output = check("Content-Type: text/plain\nX-A: 1\nX-A: 2\n\nbody\n\nmore").unwrap();
        assert_eq!(output.status, StatusCode::OK);
        assert_eq!(output.headers["content-type"], "text/plain");
        assert_eq!(
            output.headers.get_all("x-a").iter().collect::<Vec<_>>(),
            ["1", "2"]
        );
        assert_eq!(output.body, "body\n\nmore");
    }

    #[test]
    fn line_ends_may_be_crlf_and_mixed() {
        let output = check("Status: 404 Not Found\r\ncontent-type:text/plain\n\r\n\r\nbody").unwrap();
        assert_eq!(output.status, StatusCode::NOT_FOUND);
        assert_eq!(output.body, "\r\nbody");
        assert!(!output.headers.contains_key("status"));
    }

    #[test]
    fn redirects() {
        let output = check("Location: https://example.org/x\n\n").unwrap();
        assert_eq!(
            (output.status, &output.headers["location"]),
            (StatusCode::FOUND, &"https://example.org/x".parse().unwrap())
        );
        let output = check("Location: /other?x=1\nStatus: 307\n\n").unwrap();
        assert_eq!(output.status, StatusCode::TEMPORARY_REDIRECT);
        for location in ["", "other", "://x", "/a b", "http:"] {
            let text = format!("Location: {location}\n\n");
            assert_eq!(parse(&text.into(), None), Err(CgiError::Location), "{location:?}");
        }
    }

    #[test]
    fn fields_of_the_connection_are_not_the_functions_to_set() {
        let output =
            check("Status: 200\nContent-Length: 7\nTransfer-Encoding: chunked\nConnection: close\n\n")
                .unwrap();
        assert!(output.headers.is_empty());
    }

    #[test]
    fn a_missing_type_is_an_error_only_with_a_body_and_without_default() {
        assert_eq!(check("Status: 200\n\nbody"), Err(CgiError::NoContentType));
        assert!(check("Status: 204\n\n").is_ok());
        let default = HeaderValue::from_static("text/html");
        let output = parse(&Bytes::from_static(b"Status: 200\n\nbody"), Some(&default)).unwrap();
        assert_eq!(output.headers["content-type"], "text/html");
    }

    #[test]
    fn broken_blocks_are_refused() {
        assert_eq!(check(""), Err(CgiError::Unterminated));
        assert_eq!(check("Hello, world"), Err(CgiError::Unterminated));
        assert_eq!(check("Content-Type: text/plain\n"), Err(CgiError::Unterminated));
        assert_eq!(check("\nbody"), Err(CgiError::Empty));
        assert_eq!(check("Hello\n\n"), Err(CgiError::Field { line: 1 }));
        assert_eq!(check("A: 1\n folded\n\n"), Err(CgiError::Field { line: 2 }));
        assert_eq!(check("A : 1\n\n"), Err(CgiError::Field { line: 1 }));
        assert_eq!(check(": 1\n\n"), Err(CgiError::Field { line: 1 }));
        assert_eq!(check("A: 1\rSet-Cookie: x\n\n"), Err(CgiError::Field { line: 1 }));
        assert_eq!(check("A: \0\n\n"), Err(CgiError::Field { line: 1 }));
        for status in ["", "20", "2000", "abc", "100", "199", "600", "200OK", "-20"] {
            let text = format!("Status: {status}\n\n");
            assert_eq!(parse(&text.into(), None), Err(CgiError::Status), "{status:?}");
        }
        assert_eq!(
            check("Status: 200\nStatus: 200\n\n"),
            Err(CgiError::Repeated("Status"))
        );
    }

    #[test]
    fn blocks_are_bounded() {
        let many = "A: 1\n".repeat(FIELDS_MAX + 1) + "\n";
        assert_eq!(parse(&many.into(), None), Err(CgiError::TooManyFields));
        let most = "A: 1\n".repeat(FIELDS_MAX) + "\n";
        assert!(parse(&most.into(), None).is_ok());
        let long = format!("A: {}\n\n", "x".repeat(BLOCK_BYTES_MAX));
        assert_eq!(parse(&long.into(), None), Err(CgiError::TooLong));
    }
}

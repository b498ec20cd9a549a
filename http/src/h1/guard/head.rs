//! The head of a request: one scan that finds its end and everything that decides its framing.
//!
//! Each byte is looked at once while the end of its line is searched, eight at a time, wherever the pieces of input were
//! cut; each line is then judged as a whole. RFC 9112 sections 2 to 6 are the law here; where the RFC lets a recipient
//! choose between repairing and refusing, this one refuses.

use std::ops::Range;

use hyper::{StatusCode, Uri};

use super::Refusal;
use super::classes::{is_host, is_path_and_query, text_len, token_len};
use crate::h1::limits::Limits;

/// Room in the request line beside the target: the method, two blanks and the version.
const REQUEST_LINE_REST: usize = METHOD_BYTES_MAX + 10;
/// Longest method. The registered ones have at most 17 bytes (`UPDATEREDIRECTREF`).
const METHOD_BYTES_MAX: usize = 32;
/// What follows the target: a blank, the version, CRLF.
const VERSION_REST: usize = " HTTP/1.1\r\n".len();

/// How the body after a head is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Framing {
    Length(u64),
    Chunked,
}

/// Where the parts of a head are, for one that says nothing about its connection. Offsets count from the head's first byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parts {
    /// The method.
    pub method: Range<usize>,
    /// The target, in origin form.
    pub target: Range<usize>,
    /// Where the fields begin.
    pub fields: usize,
}

/// A scan in progress. Offsets count from the head's first byte.
#[derive(Debug, Default)]
pub(super) struct HeadScan {
    /// Up to here everything was looked at.
    scanned: usize,
    line_start: usize,
    blank_line: bool,
    request: Option<RequestLine>,
    fields: Fields,
}

#[derive(Clone, Copy, Debug)]
struct RequestLine {
    http_11: bool,
    head: bool,
    /// Offset of the line, and how long its method and its target are.
    start: usize,
    method: usize,
    target: usize,
    /// Whether the target begins with `/`.
    origin: bool,
}

/// What the header fields have said so far.
#[derive(Debug, Default)]
struct Fields {
    count: usize,
    host: bool,
    length: Option<u64>,
    chunked: bool,
    /// Whether there is one that means something to the connection, or an expectation.
    hop: bool,
}

impl HeadScan {
    /// Goes on with the scan. `head` is all of the head that there is so far, with or without bytes after its end.
    /// Returns the head's length and the framing of its body once it is complete.
    pub(super) fn scan(&mut self, head: &[u8], limits: &Limits) -> Result<Option<(usize, Framing)>, Refusal> {
        loop {
            let Some(line_end) = self.find_line_end(head, limits)? else {
                return Ok(None);
            };
            let line = &head[self.line_start..line_end];
            let start = std::mem::replace(&mut self.line_start, line_end + 2);
            self.scanned = self.line_start;
            match (line.is_empty(), self.request) {
                (true, None) if self.blank_line => {
                    return Err(Refusal::bad("blank lines before the request"));
                }
                (true, None) => self.blank_line = true,
                (false, None) => self.request = Some(request_line(line, start, limits)?),
                (false, Some(_)) => self.fields.field(line, limits)?,
                (true, Some(request)) => return Ok(Some((self.line_start, self.fields.framing(request)?))),
            }
        }
    }

    /// Whether there is more of a request than the one blank line that may precede it.
    pub(super) fn begun(&self, head: &[u8]) -> bool {
        self.request.is_some() || !matches!(&head[self.line_start.min(head.len())..], b"" | b"\r")
    }

    /// Whether the request line, if it is known, says `HEAD`.
    pub(super) fn asks_head(&self) -> bool {
        self.request.is_some_and(|request| request.head)
    }

    /// The parts of a complete head without a body, if there is nothing unusual about it: HTTP/1.1, a target in origin form, no word
    /// about the connection but that it is to stay, nothing expected, not a `HEAD`.
    pub(super) fn parts(&self) -> Option<Parts> {
        let request = self.request?;
        let bodiless = !self.fields.chunked && self.fields.length.unwrap_or(0) == 0;
        let plain = request.http_11 && request.origin && !request.head && !self.fields.hop && bodiless;
        let target = request.start + request.method + 1;
        plain.then(|| Parts {
            method: request.start..request.start + request.method,
            target: target..target + request.target,
            fields: target + request.target + VERSION_REST,
        })
    }

    /// Offset of the CR that ends the current line, which is known to be followed by LF.
    fn find_line_end(&mut self, head: &[u8], limits: &Limits) -> Result<Option<usize>, Refusal> {
        let (bound, too_long) = self.line_bound(limits);
        let window = &head[self.scanned..head.len().min(bound)];
        let text = text_len(window);
        let stop = self.scanned + text;
        self.scanned = stop;
        if text == window.len() {
            return if head.len() > bound {
                Err(too_long)
            } else {
                Ok(None)
            };
        }
        match (head[stop], head.get(stop + 1)) {
            (b'\r', None) => Ok(None),
            (b'\r', Some(_)) if stop + 1 >= bound => Err(too_long),
            (b'\r', Some(b'\n')) => Ok(Some(stop)),
            (b'\r', Some(_)) => Err(Refusal::bad("bare CR")),
            (b'\n', _) => Err(Refusal::bad("bare LF")),
            _ => Err(Refusal::bad("control character in the head")),
        }
    }

    /// The offset that the current line must end before, and what to say when it does not.
    fn line_bound(&self, limits: &Limits) -> (usize, Refusal) {
        let head_too_long = Refusal::new(
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            "head longer than the limit",
        );
        if self.request.is_some() {
            return (limits.head_bytes, head_too_long);
        }
        let line = self.line_start + limits.target_bytes_max() + REQUEST_LINE_REST + 2;
        (
            line.min(limits.head_bytes),
            Refusal::new(StatusCode::URI_TOO_LONG, "request line longer than the limit"),
        )
    }
}

/// `method SP request-target SP HTTP-version`, with exactly these two blanks.
fn request_line(line: &[u8], start: usize, limits: &Limits) -> Result<RequestLine, Refusal> {
    let malformed = Refusal::bad("malformed request line");
    let blank = |&byte: &u8| byte == b' ';
    // From both ends: the method and the version are short, the target need not be.
    let first = line.iter().position(blank).ok_or(malformed)?;
    let last = line.iter().rposition(blank).ok_or(malformed)?;
    let (method, version) = (&line[..first], &line[last + 1..]);
    let target = line.get(first + 1..last).ok_or(malformed)?;
    if target.contains(&b' ') {
        return Err(malformed);
    }
    if method.is_empty() || token_len(method) < method.len() {
        return Err(Refusal::bad("malformed method"));
    }
    let http_11 = match version {
        b"HTTP/1.1" => true,
        b"HTTP/1.0" => false,
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            return Err(Refusal::new(
                StatusCode::HTTP_VERSION_NOT_SUPPORTED,
                "HTTP version not spoken here",
            ));
        }
        _ => return Err(Refusal::bad("malformed HTTP version")),
    };
    if method.len() > METHOD_BYTES_MAX || method == b"CONNECT" {
        return Err(Refusal::new(
            StatusCode::NOT_IMPLEMENTED,
            "method not implemented",
        ));
    }
    if target.len() > limits.target_bytes_max() {
        return Err(Refusal::new(
            StatusCode::URI_TOO_LONG,
            "request target longer than the limit",
        ));
    }
    if !is_target(target, method) {
        return Err(Refusal::bad("malformed request target"));
    }
    Ok(RequestLine {
        http_11,
        head: method == b"HEAD",
        start,
        method: method.len(),
        target: target.len(),
        origin: target.starts_with(b"/"),
    })
}

/// Origin form, absolute form with `http` or `https`, or `*` for `OPTIONS` (RFC 9112, section 3.2).
fn is_target(target: &[u8], method: &[u8]) -> bool {
    match target {
        [b'/', ..] => is_path_and_query(target),
        b"*" => method == b"OPTIONS",
        _ => {
            let Ok(uri) = Uri::try_from(target) else {
                return false;
            };
            let scheme = uri
                .scheme_str()
                .is_some_and(|scheme| scheme == "http" || scheme == "https");
            let host = uri.host().is_some_and(|host| !host.is_empty());
            scheme
                && host
                && !target.contains(&b'@')
                && is_path_and_query(uri.path().as_bytes())
                && uri
                    .query()
                    .is_none_or(|query| is_path_and_query(query.as_bytes()))
                && !target.contains(&b'#')
        }
    }
}

impl Fields {
    /// `field-name ":" OWS field-value OWS`; the line holds no control character but HTAB.
    fn field(&mut self, line: &[u8], limits: &Limits) -> Result<(), Refusal> {
        if matches!(line[0], b' ' | b'\t') {
            return Err(Refusal::bad("folded header field"));
        }
        let colon = token_len(line);
        match line.get(colon) {
            Some(b':') if colon > 0 => {}
            Some(b' ' | b'\t') => return Err(Refusal::bad("whitespace in or after a header name")),
            _ => return Err(Refusal::bad("malformed header field")),
        }
        self.count += 1;
        if self.count > limits.header_count_max() {
            return Err(Refusal::new(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "too many header fields",
            ));
        }
        let name = &line[..colon];
        let value = || line[colon + 1..].trim_ascii();
        // Only six names matter here, and they differ in length: most fields are done after one comparison.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.host(value()),
            6 if name.eq_ignore_ascii_case(b"expect") => {
                self.hop = true;
                expect(value())
            }
            7 if name.eq_ignore_ascii_case(b"upgrade") => {
                self.hop = true;
                Ok(())
            }
            10 if name.eq_ignore_ascii_case(b"connection") => {
                self.hop |= !value().eq_ignore_ascii_case(b"keep-alive");
                Ok(())
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => self.content_length(value()),
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.transfer_encoding(value()),
            _ => Ok(()),
        }
    }

    fn host(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if std::mem::replace(&mut self.host, true) {
            return Err(Refusal::bad("more than one host"));
        }
        if is_host(value) {
            Ok(())
        } else {
            Err(Refusal::bad("malformed host"))
        }
    }

    fn content_length(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if self.length.is_some() {
            return Err(Refusal::bad("more than one content-length"));
        }
        if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
            return Err(Refusal::bad("malformed content-length"));
        }
        let length = value.iter().try_fold(0u64, |length, digit| {
            length
                .checked_mul(10)?
                .checked_add(u64::from(digit - b'0'))
                .filter(|&length| length <= i64::MAX as u64)
        });
        self.length = Some(length.ok_or(Refusal::bad("content-length overflows"))?);
        Ok(())
    }

    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), Refusal> {
        if std::mem::replace(&mut self.chunked, true) || !value.eq_ignore_ascii_case(b"chunked") {
            return Err(Refusal::bad("transfer-encoding other than one chunked"));
        }
        Ok(())
    }

    /// What the head as a whole says about its body.
    fn framing(&self, request: RequestLine) -> Result<Framing, Refusal> {
        if request.http_11 && !self.host {
            return Err(Refusal::bad("no host"));
        }
        match (self.chunked, self.length) {
            (true, Some(_)) => Err(Refusal::bad("content-length beside transfer-encoding")),
            (true, None) if !request.http_11 => Err(Refusal::bad("transfer-encoding in HTTP/1.0")),
            (true, None) => Ok(Framing::Chunked),
            (false, length) => Ok(Framing::Length(length.unwrap_or(0))),
        }
    }
}

/// The one expectation that there is (RFC 9110, section 10.1.1).
fn expect(value: &[u8]) -> Result<(), Refusal> {
    if value.eq_ignore_ascii_case(b"100-continue") {
        return Ok(());
    }
    Err(Refusal::new(
        StatusCode::EXPECTATION_FAILED,
        "unknown expectation",
    ))
}

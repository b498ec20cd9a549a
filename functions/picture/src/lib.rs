//! What the picture functions share: a body in, a CGI answer out, and decoding with bounds.
//!
//! Both are CGI programs (RFC 3875): they write a header block, an empty line and a body, so that they can name the type of
//! what they made and answer 4xx where the client is to blame.
//!
//! ```text
//!   stdin --read_body--> bytes --decode--> DynamicImage --(the function's work)--> bytes --Answer::write--> stdout
//!              413                 400, 415, 422                                              200
//! ```
//!
//! A picture is small as a file and large as pixels; a file of a few kilobytes may claim gigapixels. So the dimensions are
//! bounded before a pixel is decoded, and memory while decoding.

use std::io::{self, Cursor, Read, Write};

use image::{DynamicImage, ImageError, ImageFormat, ImageReader, Limits};

/// The largest body that is read, in bytes.
pub const BODY_BYTES_MAX: u64 = 8 << 20;

/// The largest width and height of a picture that is decoded, in pixels.
pub const SIDE_MAX: u32 = 4096;

/// The most memory that the decoded picture may take, in bytes: the largest sides with three bytes a pixel.
pub const DECODE_BYTES_MAX: u64 = 48 << 20;

/// A CGI answer: status, content type and body.
#[derive(Debug)]
pub struct Answer {
    status: &'static str,
    content_type: &'static str,
    body: Vec<u8>,
}

impl Answer {
    /// A 200 with a picture of the given format.
    #[must_use]
    pub fn picture(format: ImageFormat, body: Vec<u8>) -> Self {
        Self {
            status: "200 OK",
            content_type: format.to_mime_type(),
            body,
        }
    }

    /// Writes header block, empty line and body to standard output.
    ///
    /// # Errors
    /// Those of standard output.
    pub fn write(&self) -> io::Result<()> {
        let Self {
            status,
            content_type,
            body,
        } = self;
        let mut out = io::stdout().lock();
        write!(out, "Status: {status}\nContent-Type: {content_type}\n\n")?;
        out.write_all(body)?;
        out.flush()
    }
}

/// What the client did wrong; each variant is one status of the answer.
#[derive(Debug)]
pub enum Refusal {
    /// 400: the query string or the body is not what the function takes.
    BadRequest(String),
    /// 413: the body or the picture in it is larger than the bounds.
    TooLarge(String),
    /// 415: the body is no picture of a known format.
    UnsupportedType(String),
    /// 422: the body says that it is a picture and does not decode.
    Undecodable(String),
}

impl From<Refusal> for Answer {
    fn from(refusal: Refusal) -> Self {
        let (status, reason) = match refusal {
            Refusal::BadRequest(reason) => ("400 Bad Request", reason),
            Refusal::TooLarge(reason) => ("413 Content Too Large", reason),
            Refusal::UnsupportedType(reason) => ("415 Unsupported Media Type", reason),
            Refusal::Undecodable(reason) => ("422 Unprocessable Content", reason),
        };
        Self {
            status,
            content_type: "text/plain; charset=utf-8",
            body: format!("{reason}\n").into_bytes(),
        }
    }
}

/// Runs a function: its answer or its refusal goes to standard output.
///
/// # Errors
/// Those of standard output.
pub fn answer(work: impl FnOnce() -> Result<Answer, Refusal>) -> io::Result<()> {
    work().unwrap_or_else(Answer::from).write()
}

/// Reads the request body whole, up to [`BODY_BYTES_MAX`].
///
/// # Errors
/// `TooLarge` beyond the bound, `BadRequest` for an empty body or one that breaks off.
pub fn read_body() -> Result<Vec<u8>, Refusal> {
    let mut body = Vec::new();
    let got = io::stdin()
        .lock()
        .take(BODY_BYTES_MAX + 1)
        .read_to_end(&mut body)
        .map_err(|error| Refusal::BadRequest(format!("the body could not be read: {error}")))?;
    if got as u64 > BODY_BYTES_MAX {
        return Err(Refusal::TooLarge(format!(
            "the body is larger than {BODY_BYTES_MAX} bytes"
        )));
    }
    if body.is_empty() {
        return Err(Refusal::BadRequest(
            "the body is empty; send a picture".to_owned(),
        ));
    }
    Ok(body)
}

/// Decodes a picture whose format, told by its first bytes, is one of `formats`.
///
/// # Errors
/// `UnsupportedType` for another format, `TooLarge` beyond [`SIDE_MAX`] or [`DECODE_BYTES_MAX`], `Undecodable` for a file
/// that is damaged.
pub fn decode(body: &[u8], formats: &[ImageFormat]) -> Result<(DynamicImage, ImageFormat), Refusal> {
    let format = image::guess_format(body)
        .ok()
        .filter(|format| formats.contains(format))
        .ok_or_else(|| {
            let names: Vec<_> = formats.iter().map(ImageFormat::to_mime_type).collect();
            Refusal::UnsupportedType(format!("the body is no picture of type {}", names.join(" or ")))
        })?;
    let mut limits = Limits::no_limits();
    limits.max_image_width = Some(SIDE_MAX);
    limits.max_image_height = Some(SIDE_MAX);
    limits.max_alloc = Some(DECODE_BYTES_MAX);
    let mut reader = ImageReader::with_format(Cursor::new(body), format);
    reader.limits(limits);
    let picture = reader.decode().map_err(|error| match error {
        ImageError::Limits(_) => Refusal::TooLarge(format!(
            "the picture is larger than {SIDE_MAX} pixels a side or {DECODE_BYTES_MAX} bytes decoded"
        )),
        error => Refusal::Undecodable(format!("the picture does not decode: {error}")),
    })?;
    Ok((picture, format))
}

/// Encodes a picture.
///
/// # Errors
/// `Undecodable` when the format cannot hold the picture, as JPEG cannot hold transparency.
pub fn encode(picture: &DynamicImage, format: ImageFormat) -> Result<Vec<u8>, Refusal> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).map_err(|error| {
        Refusal::Undecodable(format!(
            "the picture cannot be written as {}: {error}",
            format.to_mime_type()
        ))
    })?;
    Ok(bytes.into_inner())
}

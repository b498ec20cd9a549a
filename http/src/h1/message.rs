//! What passes between a connection and its service: a head, a whole request, a response.
//!
//! A request's body is read whole before the service is called, so that a run of a function never waits for a slow
//! client. A response's body is either there as a whole ([`Body::Full`], sent with `content-length`) or produced
//! piece by piece ([`Body::Stream`], sent chunked).

use std::any::Any;
use std::cell::OnceCell;
use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;

use bytes::Bytes;
use hyper::header::HeaderValue;
use hyper::{HeaderMap, Method, StatusCode, Version};

use super::guard::Parts;
use super::raw::{Fields, Target};

/// The head of a request, before its body was read.
#[derive(Clone, Debug)]
pub struct Head {
    /// Any token: the route decides which methods it takes. `CONNECT` never comes here.
    pub method: Method,
    /// In origin form (`/path?query`), absolute form, or `*` (`OPTIONS` only).
    pub target: Target,
    /// All header fields, the framing ones included. HTTP/1.1 requests have exactly one valid `host`.
    pub headers: Fields,
    /// HTTP/1.0 or HTTP/1.1.
    pub version: Version,
    /// How the body is delimited.
    pub body: BodyLength,
    /// The client's address.
    pub peer: SocketAddr,
    /// What was found out from it.
    pub found: Found,
}

/// What a service has found out from a head alone, such as where it leads. A head that comes again brings it along; a copy, which may be
/// changed, does not.
#[derive(Default)]
pub struct Found(OnceCell<Rc<dyn Any>>);

impl Found {
    /// What is here; otherwise what `find` finds, which then is here from now on. One head is for one type.
    ///
    /// # Errors
    /// Those of `find`, of which nothing is kept.
    pub fn or_find<T: 'static, E>(&self, find: impl FnOnce() -> Result<T, E>) -> Result<Rc<T>, E> {
        let known = self.0.get().and_then(|known| Rc::clone(known).downcast().ok());
        if let Some(known) = known {
            return Ok(known);
        }
        let found = Rc::new(find()?);
        // Nothing of another type is replaced: it is found anew each time.
        let _ = self.0.set(Rc::clone(&found) as Rc<dyn Any>);
        Ok(found)
    }
}

impl Clone for Found {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl fmt::Debug for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.get().is_some() {
            "Found"
        } else {
            "Nothing"
        })
    }
}

impl Head {
    /// What the parts of a plain head are; nothing where its method is none.
    pub(super) fn plain(bytes: &Rc<[u8]>, parts: &Parts, peer: SocketAddr) -> Option<Self> {
        Some(Self {
            method: Method::from_bytes(&bytes[parts.method.clone()]).ok()?,
            target: Target::origin(bytes, parts.target.clone()),
            headers: Fields::of(bytes, parts.fields),
            version: Version::HTTP_11,
            body: BodyLength::Declared(0),
            peer,
            found: Found::default(),
        })
    }
}

/// How long a request's body says that it is (RFC 9112, section 6.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyLength {
    /// No body, or a body with `content-length`.
    Declared(u64),
    /// A body with `transfer-encoding: chunked`, whose length shows at its end.
    Chunked,
}

/// A request with its whole body.
#[derive(Clone, Debug)]
pub struct Request {
    /// The head. Where a connection's next one is the same, byte for byte, it may be this one again.
    pub head: Rc<Head>,
    /// The body, decoded from its framing. Trailer fields are checked and dropped.
    pub body: Bytes,
}

/// The answer to a request.
///
/// The connection owns the fields of framing and of the hop: `content-length`, `transfer-encoding`, `keep-alive`,
/// `upgrade` and `trailer` set here are dropped, `connection: close` is obeyed, `date` is added unless set. Answers
/// to `HEAD` are given like those to `GET`; the connection leaves the body out and keeps its length.
#[derive(Debug)]
pub struct Response {
    /// A final status, 200 or more; an informational one is answered as 500.
    pub status: StatusCode,
    /// The field `content-type`, unless it is among the others. By itself, as most answers have no other, and a map takes memory.
    pub content_type: Option<HeaderValue>,
    /// Header fields; [`HeaderValue`] cannot hold a line break, so none can be smuggled in. On the heap, where there are any: an answer is
    /// moved about, and most have none.
    pub headers: Option<Box<HeaderMap>>,
    /// The body; not sent with 204, 205 and 304.
    pub body: Body,
}

impl Response {
    /// An answer without a body.
    pub fn new(status: StatusCode) -> Self {
        Self {
            status,
            content_type: None,
            headers: None,
            body: Body::Full(Bytes::new()),
        }
    }

    /// The header fields, to add some.
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        self.headers.get_or_insert_default()
    }

    /// An answer of one line of plain text.
    pub fn text(status: StatusCode, text: impl Into<Bytes>) -> Self {
        let mut response = Self::new(status);
        response.content_type = Some(HeaderValue::from_static("text/plain; charset=utf-8"));
        response.body = Body::Full(text.into());
        response
    }
}

/// The cause of an aborted stream.
pub type BodyError = Box<dyn Error + Send + Sync>;

/// A body that is produced while it is sent.
pub type BodyStream = Pin<Box<dyn hyper::body::Body<Data = Bytes, Error = BodyError>>>;

/// The body of a response.
pub enum Body {
    /// Known as a whole.
    Full(Bytes),
    /// Produced piece by piece. An error, or a panic, ends the connection without the final chunk, so that the
    /// client can tell a cut answer from a complete one.
    Stream(BodyStream),
}

impl Body {
    /// A body from any implementation of the `http-body` trait.
    pub fn stream<B>(body: B) -> Self
    where
        B: hyper::body::Body<Data = Bytes, Error = BodyError> + 'static,
    {
        Self::Stream(Box::pin(body))
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        Self::Full(bytes)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full(bytes) => write!(f, "Full({} bytes)", bytes.len()),
            Self::Stream(_) => f.write_str("Stream"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_once_is_not_looked_for_again() {
        let found = Found::default();
        assert_eq!(found.or_find(|| Err::<u8, _>("not yet")), Err("not yet"));
        assert_eq!(found.or_find(|| Ok::<_, &str>(1_u8)), Ok(Rc::new(1)));
        assert_eq!(found.or_find(|| Err::<u8, _>("not asked")), Ok(Rc::new(1)));
        // Another type is none of its concern.
        assert_eq!(found.or_find(|| Ok::<_, &str>("text")), Ok(Rc::new("text")));
        assert_eq!(found.or_find(|| Err::<u8, _>("not asked")), Ok(Rc::new(1)));
        assert_eq!(found.clone().or_find(|| Err::<u8, _>("asked")), Err("asked"));
    }
}

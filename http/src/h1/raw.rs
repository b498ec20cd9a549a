//! A head as it came, and what is made of it when somebody asks.
//!
//! ```text
//!   GET /a/b?c=d HTTP/1.1␍␊host: x␍␊accept: */*␍␊␍␊        one copy of the bytes, which both share
//!       └── Target ──┘         └────── Fields ──────┘
//! ```
//! Most functions look at nothing but the path. So the fields of a plain head are not parsed until they are asked for, and its target
//! stays a piece of text. The guard has seen to it by then that both are well formed.

use std::cell::OnceCell;
use std::fmt;
use std::ops::Range;
use std::rc::Rc;
use std::str::FromStr;

use hyper::header::{HeaderName, HeaderValue};
use hyper::http::uri::{Authority, InvalidUri, PathAndQuery};
use hyper::{HeaderMap, Uri};
use memchr::memchr;

/// The target of a request (RFC 9112, section 3.2).
#[derive(Clone)]
pub struct Target(Form);

#[derive(Clone)]
enum Form {
    /// Path and perhaps a query, which is what nearly all are.
    Origin {
        head: Rc<[u8]>,
        start: usize,
        /// Where the path ends.
        path_end: usize,
        end: usize,
    },
    /// Any of the forms.
    Parsed(Box<Uri>),
}

impl Target {
    /// A piece of a head, which begins with `/` and which the guard has let pass.
    pub(super) fn origin(head: &Rc<[u8]>, Range { start, end }: Range<usize>) -> Target {
        let query = head[start..end].iter().position(|&byte| byte == b'?');
        Target(Form::Origin {
            head: Rc::clone(head),
            start,
            path_end: query.map_or(end, |at| start + at),
            end,
        })
    }

    /// The path, as it was sent; `/` where an absolute form has none.
    #[must_use]
    pub fn path(&self) -> &str {
        match &self.0 {
            Form::Origin {
                head,
                start,
                path_end,
                ..
            } => text(&head[*start..*path_end]),
            Form::Parsed(uri) => uri.path(),
        }
    }

    /// What follows the question mark.
    #[must_use]
    pub fn query(&self) -> Option<&str> {
        match &self.0 {
            Form::Origin {
                head, path_end, end, ..
            } => (path_end < end).then(|| text(&head[path_end + 1..*end])),
            Form::Parsed(uri) => uri.query(),
        }
    }

    /// Path and query together; `/` where there is neither.
    #[must_use]
    pub fn path_and_query(&self) -> &str {
        match &self.0 {
            Form::Origin { head, start, end, .. } => text(&head[*start..*end]),
            Form::Parsed(uri) => uri.path_and_query().map_or("/", PathAndQuery::as_str),
        }
    }

    /// The host and port that an absolute form names.
    #[must_use]
    pub fn authority(&self) -> Option<&Authority> {
        match &self.0 {
            Form::Origin { .. } => None,
            Form::Parsed(uri) => uri.authority(),
        }
    }
}

/// What the guard has let pass is ASCII.
fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap_or("/")
}

impl From<Uri> for Target {
    fn from(uri: Uri) -> Target {
        Target(Form::Parsed(Box::new(uri)))
    }
}

impl FromStr for Target {
    type Err = InvalidUri;

    fn from_str(text: &str) -> Result<Target, InvalidUri> {
        text.parse().map(|uri: Uri| Target::from(uri))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Form::Origin { .. } => f.write_str(self.path_and_query()),
            Form::Parsed(uri) => fmt::Display::fmt(uri, f),
        }
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The header fields of a request (RFC 9110, section 6.3).
#[derive(Clone)]
pub struct Fields {
    /// A head, and where its fields begin.
    raw: Option<(Rc<[u8]>, usize)>,
    map: OnceCell<Box<HeaderMap>>,
}

impl Fields {
    /// The fields of a head that the guard has let pass, which begin there.
    pub(super) fn of(head: &Rc<[u8]>, start: usize) -> Fields {
        Fields {
            raw: Some((Rc::clone(head), start)),
            map: OnceCell::new(),
        }
    }

    /// All of them, each with its name as it came, or in lower case; those of one name follow each other. What is not looked for by name
    /// is found so at less cost.
    pub fn grouped(&self) -> Vec<(&str, &[u8])> {
        if let Some((head, start)) = &self.raw {
            let mut all = Vec::with_capacity(16);
            let mut lines = lines(&head[*start..]).map(|(name, value)| (text(name), value));
            all.extend(lines.by_ref().take(FEW));
            // Most heads have each name once.
            let is_new = |at: usize| {
                let (name, _) = all[at];
                all[..at]
                    .iter()
                    .all(|(other, _)| !name.eq_ignore_ascii_case(other))
            };
            if lines.next().is_none() && (1..all.len()).all(is_new) {
                return all;
            }
        }
        let fields = self.map().iter();
        fields
            .map(|(name, value)| (name.as_str(), value.as_bytes()))
            .collect()
    }

    #[cfg(test)]
    pub(super) fn is_parsed(&self) -> bool {
        self.map.get().is_some()
    }

    /// Gives up what was made of them, where it can be made again.
    pub(super) fn forget(&mut self) {
        if self.raw.is_some() {
            self.map.take();
        }
    }

    /// By their names; those of one name in the order in which they came.
    pub fn map(&self) -> &HeaderMap {
        self.map.get_or_init(|| {
            let text = self.raw.as_ref().map_or(&[][..], |(head, start)| &head[*start..]);
            Box::new(parse(text))
        })
    }
}

/// So many fields are told apart by looking at each other.
const FEW: usize = 48;

/// Names and values of fields, each with CRLF behind it, and an empty line at the end.
fn lines(mut text: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        let end = memchr(b'\r', text)?;
        let (line, rest) = text.split_at(end);
        text = rest.get(2..).unwrap_or_default();
        let colon = memchr(b':', line)?;
        Some((&line[..colon], line[colon + 1..].trim_ascii()))
    })
}

fn parse(text: &[u8]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines(text) {
        let name = HeaderName::from_bytes(name);
        let value = HeaderValue::from_bytes(value);
        debug_assert!(name.is_ok() && value.is_ok(), "the guard knows better");
        if let (Ok(name), Ok(value)) = (name, value) {
            map.append(name, value);
        }
    }
    map
}

impl From<HeaderMap> for Fields {
    fn from(map: HeaderMap) -> Fields {
        Fields {
            raw: None,
            map: OnceCell::from(Box::new(map)),
        }
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.map(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_reads_as_the_library_reads_it() {
        for text in ["/", "/a", "/a/b?c=d&e", "/a?", "/?x", "/a??b", "/%7e/~?q=%20#"] {
            let text = text.trim_end_matches('#');
            let head: Rc<[u8]> = Rc::from(format!("GET {text} HTTP/1.1").as_bytes());
            let own = Target::origin(&head, 4..4 + text.len());
            let parsed: Target = text.parse().expect("a target");
            for (own, parsed) in [
                (Some(own.path()), Some(parsed.path())),
                (own.query(), parsed.query()),
                (Some(own.path_and_query()), Some(parsed.path_and_query())),
            ] {
                assert_eq!(own, parsed, "{text}");
            }
            assert_eq!(own.to_string(), parsed.to_string());
            assert!(own.authority().is_none() && parsed.authority().is_none());
        }
        let absolute: Target = "http://host:81/a?b".parse().expect("a target");
        assert_eq!(absolute.authority().map(Authority::as_str), Some("host:81"));
        assert_eq!(absolute.path_and_query(), "/a?b");
    }

    #[test]
    fn fields_are_parsed_when_asked_for() {
        let head: Rc<[u8]> =
            Rc::from(&b"GET / HTTP/1.1\r\nHost: a\r\nX-a:\t1 \r\nx-A: \r\nb:\xff:c\r\n\r\n"[..]);
        let fields = Fields::of(&head, 16);
        assert!(fields.map.get().is_none());
        let map = fields.map();
        assert_eq!(map.len(), 4);
        assert_eq!(map["host"], "a");
        let both: Vec<_> = map.get_all("x-a").iter().collect();
        assert_eq!(both, ["1", ""]);
        assert_eq!(map["b"].as_bytes(), b"\xff:c");
        // Those of one name follow each other.
        let names: Vec<&str> = fields.grouped().iter().map(|(name, _)| *name).collect();
        let at = names.iter().position(|name| *name == "x-a").expect("it is there");
        assert_eq!((names.len(), names[at + 1]), (4, "x-a"));
        let once: Rc<[u8]> = Rc::from(&b"Host: a\r\nX-b:\t1 \r\nb:\xff:c\r\n\r\n"[..]);
        let fields = Fields::of(&once, 0);
        assert_eq!(
            fields.grouped(),
            [("Host", &b"a"[..]), ("X-b", b"1"), ("b", b"\xff:c")]
        );
        assert!(fields.map.get().is_none(), "nothing had to be sorted");
        let many: String = (0..FEW + 1).map(|n| format!("x-{n}: {n}\r\n")).collect();
        let many: Rc<[u8]> = Rc::from(format!("{many}\r\n").as_bytes());
        assert_eq!(Fields::of(&many, 0).grouped().len(), FEW + 1);
        assert!(Fields::of(&head, head.len() - 2).map().is_empty());
    }
}

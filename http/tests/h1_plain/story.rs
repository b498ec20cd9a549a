//! What a connection is asked, from its first request to its end, and what a client must see of that: the oracle of the random tests.

use luge_http::h1::ConnectionEnd;

use crate::random::Random;
use crate::reader::{Answer, Framing, read_answer};
use crate::service::{OWN_DATE, Order, When, pattern};

/// The service's reason for a panic.
const PANICKED: &str = "the service panicked";

/// What a request is besides its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Get,
    KeptAlive,
    AfterBlankLine,
    Empty,
    Head,
    Posted(usize),
    Chunked(usize),
    Closing,
    Listing,
    Old,
    OldKeptAlive,
}

const KINDS: &[Kind] = &[
    Kind::Get,
    Kind::Get,
    Kind::Get,
    Kind::Get,
    Kind::Get,
    Kind::Get,
    Kind::Get,
    Kind::Get,
    Kind::Get,
    Kind::KeptAlive,
    Kind::AfterBlankLine,
    Kind::Empty,
    Kind::Head,
    Kind::Posted(7),
    Kind::Posted(5000),
    Kind::Chunked(0),
    Kind::Chunked(3000),
    Kind::Listing,
    Kind::OldKeptAlive,
];
const CLOSING_KINDS: &[Kind] = &[Kind::Closing, Kind::Old];

#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) kind: Kind,
    pub(crate) order: Order,
}

impl Asked {
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let Asked { kind, order } = self;
        let (method, version, fields) = match kind {
            Kind::Get => ("GET", 1, String::new()),
            Kind::KeptAlive => ("GET", 1, "Connection: keep-alive\r\n".into()),
            Kind::AfterBlankLine => ("\r\nGET", 1, String::new()),
            Kind::Empty => ("DELETE", 1, "Content-Length: 0\r\n".into()),
            Kind::Head => ("HEAD", 1, String::new()),
            Kind::Posted(length) => ("POST", 1, format!("Content-Length: {length}\r\n")),
            Kind::Chunked(_) => ("PUT", 1, "Transfer-Encoding: chunked\r\n".into()),
            Kind::Closing => ("GET", 1, "Connection: close\r\n".into()),
            Kind::Listing => ("GET", 1, "Connection: keep-alive, x\r\n".into()),
            Kind::Old => ("GET", 0, String::new()),
            Kind::OldKeptAlive => ("GET", 0, "Connection: Keep-Alive\r\n".into()),
        };
        let (target, number) = (order.target(), order.number);
        let head =
            format!("{method} {target} HTTP/1.{version}\r\nHost: h\r\n{fields}X-Name: {number}\r\n\r\n");
        let mut bytes = head.into_bytes();
        let body = pattern(number, self.body_size());
        if matches!(kind, Kind::Chunked(_)) {
            for piece in body.chunks(1000) {
                bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
                bytes.extend_from_slice(piece);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
        } else {
            bytes.extend_from_slice(&body);
        }
        bytes
    }

    fn body_size(&self) -> usize {
        match self.kind {
            Kind::Posted(size) | Kind::Chunked(size) => size,
            _ => 0,
        }
    }

    fn is_old(&self) -> bool {
        matches!(self.kind, Kind::Old | Kind::OldKeptAlive)
    }

    pub(crate) fn status(&self) -> u16 {
        if self.order.panics { 500 } else { self.order.status }
    }

    pub(crate) fn is_streamed(&self) -> bool {
        self.order.streamed && !self.order.panics
    }

    /// The body as the service gives it, with a status that has one.
    pub(crate) fn body(&self) -> Vec<u8> {
        match (self.order.panics, self.status()) {
            (true, _) => PANICKED.into(),
            (false, 204 | 205 | 304) => Vec::new(),
            (false, _) => pattern(self.order.number, self.order.size),
        }
    }

    /// Whether the answer is the last one, for what the request and its order say.
    pub(crate) fn closes(&self) -> bool {
        let refused = self.order.when == When::Admit;
        let has_body = matches!(self.kind, Kind::Posted(_) | Kind::Chunked(_));
        matches!(self.kind, Kind::Closing | Kind::Old)
            || self.order.close && !self.order.panics
            || refused && has_body
            || self.closes_by_framing()
    }

    /// Whether only the end of the connection can tell where the body ends.
    fn closes_by_framing(&self) -> bool {
        let has_body = !matches!(self.status(), 204 | 205 | 304) && self.kind != Kind::Head;
        self.is_old() && self.is_streamed() && has_body
    }

    pub(crate) fn framing(&self) -> Framing {
        match self.status() {
            204 | 304 => Framing::Nothing,
            // The library leaves it out, which it may.
            _ if self.kind == Kind::Head && self.body().is_empty() => Framing::Nothing,
            205 => Framing::Length(0),
            _ if self.is_streamed() && (self.is_old() || self.kind == Kind::Head) => Framing::Nothing,
            _ if self.is_streamed() => Framing::Chunked,
            _ => Framing::Length(self.body().len()),
        }
    }

    pub(crate) fn check(&self, answer: &Answer, last: bool) {
        assert_eq!(answer.field("x-number"), Some(&*self.order.number.to_string()));
        assert_eq!(answer.status, self.status());
        assert_eq!(answer.framing, self.framing(), "{self:?}");
        assert_eq!(answer.minor, u8::from(!self.is_old()));
        let body = if self.kind == Kind::Head {
            Vec::new()
        } else {
            self.body()
        };
        assert!(answer.body == body, "{} bytes", answer.body.len());
        let said = answer.field("connection");
        let right: &[Option<&str>] = match (last, self.is_old()) {
            (false, false) => &[None],
            (true, false) => &[Some("close")],
            (false, true) => &[Some("keep-alive")],
            (true, true) => &[None, Some("close")],
        };
        // Where a body without a length is what ends the connection, it says that it would have stayed.
        let would_have_stayed = last && self.closes_by_framing() && said == Some("keep-alive");
        assert!(
            would_have_stayed || right.contains(&said),
            "{said:?} after {self:?}"
        );
        let order = &self.order;
        let content_type = match (order.panics, order.cookies && order.number % 2 == 1, order.typed) {
            (true, ..) => Some("text/plain; charset=utf-8"),
            (false, true, _) => Some("text/x-field"),
            (false, false, true) => Some("text/x-test"),
            (false, false, false) => None,
        };
        assert_eq!(answer.field("content-type"), content_type);
        if order.panics {
            return;
        }
        let received = if order.when == When::Admit {
            0
        } else {
            self.body_size()
        };
        assert_eq!(answer.field("x-received"), Some(&*received.to_string()));
        let cookies = answer.fields.iter().filter(|field| field.0 == "set-cookie");
        let cookies: Vec<&str> = cookies.map(|field| &*field.1).collect();
        let expected: &[&str] = if order.cookies {
            &["a=1", "b=2; Path=/"]
        } else {
            &[]
        };
        assert_eq!(cookies, expected);
        assert!(!order.dated || answer.field("date") == Some(OWN_DATE));
    }
}

/// What follows the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tail {
    Nothing,
    Malformed,
    Cut,
}

/// One connection from its first request to its end.
#[derive(Debug)]
pub(crate) struct Story {
    pub(crate) asked: Vec<Asked>,
    tail: Tail,
    pub(crate) limit: Option<u64>,
    /// Which of the requests gets the last answer of the service, if one ends the connection.
    pub(crate) last: Option<usize>,
}

impl Story {
    pub(crate) fn random(sizes: &[usize], random: &mut Random) -> Self {
        let asked: Vec<Asked> = (0..1 + random.below(6))
            .map(|number| Asked {
                kind: if random.one_in(30) {
                    random.of(CLOSING_KINDS)
                } else {
                    random.of(KINDS)
                },
                order: Order::random(number, sizes, random),
            })
            .collect();
        let limit = random.one_in(4).then(|| 1 + random.below(6) as u64);
        let by_limit = |number: usize| limit.is_some_and(|limit| number as u64 + 1 >= limit);
        let last = (0..asked.len()).find(|&number| by_limit(number) || asked[number].closes());
        Self {
            tail: random.of(&[Tail::Nothing, Tail::Nothing, Tail::Malformed, Tail::Cut]),
            asked,
            limit,
            last,
        }
    }

    /// The input, as reads give it.
    pub(crate) fn pieces(&self, random: &mut Random) -> Vec<Vec<u8>> {
        let mut wholes: Vec<Vec<u8>> = self.asked.iter().map(Asked::bytes).collect();
        match self.tail {
            Tail::Nothing => {}
            Tail::Malformed => wholes.push(b"GET / HTTP/1.1\r\nHost: h\r\nA : b\r\n\r\n".into()),
            Tail::Cut => wholes.push(b"GET / HT".into()),
        }
        match random.below(4) {
            // What a client sends that waits for each answer, and one that does not.
            0 | 1 => wholes,
            2 => {
                let mut glued: Vec<Vec<u8>> = Vec::new();
                for whole in wholes {
                    match glued.last_mut() {
                        Some(last) if random.one_in(2) => last.extend_from_slice(&whole),
                        _ => glued.push(whole),
                    }
                }
                glued
            }
            _ => {
                let (all, mut pieces, mut at) = (wholes.concat(), Vec::new(), 0);
                while at < all.len() {
                    let end = (at + 1 + random.below(200)).min(all.len());
                    pieces.push(all[at..end].to_vec());
                    at = end;
                }
                pieces
            }
        }
    }

    pub(crate) fn end(&self) -> ConnectionEnd {
        match (self.last, self.tail) {
            (Some(_), _) | (None, Tail::Nothing) => ConnectionEnd::Closed,
            (None, Tail::Malformed) => ConnectionEnd::Refused,
            (None, Tail::Cut) => ConnectionEnd::Broken,
        }
    }

    pub(crate) fn check(&self, mut output: &[u8]) {
        let answered = self.last.map_or(self.asked.len(), |last| last + 1);
        for (number, asked) in self.asked[..answered].iter().enumerate() {
            let answer = read_answer(&mut output, asked.kind == Kind::Head);
            let answer = answer.unwrap_or_else(|fault| panic!("answer {number}: {fault}"));
            asked.check(&answer, self.last == Some(number));
        }
        if self.last.is_none() && self.tail == Tail::Malformed {
            let answer = read_answer(&mut output, false).expect("a refusal");
            assert_eq!((answer.status, answer.closes()), (400, true));
        }
        assert!(output.is_empty(), "more: {}", String::from_utf8_lossy(output));
    }
}

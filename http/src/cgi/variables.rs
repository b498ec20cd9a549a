//! Meta-variables: the request as environment variables (RFC 3875 section 4.1).
//!
//! What is left out, on purpose:
//! - `HTTP_PROXY`, because libraries in the guest read that name as their proxy's address (CVE-2016-5385, "httpoxy");
//! - `Authorization` and `Proxy-Authorization`, unless the manifest grants the first (section 4.1.18);
//! - fields of the connection and not of the request (RFC 9110 section 7.6.1), and those that have a variable already;
//! - fields whose names hold anything but letters, digits and `-`: `X_Real_IP` or `X.Real.IP` would be
//!   indistinguishable from the `X-Real-IP` that a proxy in front vouches for.
//!
//! The host's environment never reaches a guest: the list starts empty.

use std::borrow::Cow;
use std::fmt::{self, Write as _};
use std::mem;
use std::net::SocketAddr;

use hyper::Version;
use hyper::http::uri::Authority;

use crate::h1::Head;

/// What this server calls itself in `SERVER_SOFTWARE`.
const SERVER_SOFTWARE: &str = concat!("luge/", env!("CARGO_PKG_VERSION"));

/// Name and value.
type Field<'a> = (&'a str, &'a [u8]);

/// The request, as far as variables tell it.
#[derive(Debug, Clone, Copy)]
pub struct RequestInfo<'a> {
    /// The head, as sent.
    pub head: &'a Head,
    /// Bytes of the body.
    pub body_length: usize,
    /// The decoded path of the target.
    pub path: &'a str,
    /// Bytes of `path` that name the function; the rest is `PATH_INFO`.
    pub script_length: usize,
    /// The route's pattern.
    pub route: &'a str,
    /// The pattern's parameters.
    pub parameters: &'a [(String, String)],
    /// The address that the client reached.
    pub local: SocketAddr,
    /// Whether `HTTP_AUTHORIZATION` is given.
    pub pass_authorization: bool,
}

/// Tells `set` the variables of a request, in no particular order and each name once. Values are UTF-8: octets of a field that are none become U+FFFD.
pub fn variables(request: &RequestInfo<'_>, mut set: impl FnMut(&str, &str)) {
    let (script_name, path_info) = request
        .path
        .split_at(request.script_length.min(request.path.len()));
    let fields = request.head.headers.grouped();
    // What is not there as text is written here.
    let mut text = String::with_capacity(64);
    set("GATEWAY_INTERFACE", "CGI/1.1");
    set("SERVER_SOFTWARE", SERVER_SOFTWARE);
    set("SERVER_PROTOCOL", protocol(request.head.version));
    set_server_address(request, &fields, &mut text, &mut set);
    set("REQUEST_METHOD", request.head.method.as_str());
    set("SCRIPT_NAME", script_name);
    set("PATH_INFO", path_info);
    set("QUERY_STRING", request.head.target.query().unwrap_or_default());
    let peer = written(&mut text, request.head.peer.ip().to_canonical());
    set("REMOTE_ADDR", peer);
    // Section 4.1.9: REMOTE_HOST falls back to the address where names are not looked up.
    set("REMOTE_HOST", peer);
    set("REMOTE_PORT", written(&mut text, request.head.peer.port()));
    // Not in the RFC; every server gives it, and programs rely on it.
    set("REQUEST_URI", request.head.target.path_and_query());
    set("X_MATCHED_ROUTE", request.route);
    if request.body_length > 0 {
        set("CONTENT_LENGTH", written(&mut text, request.body_length));
    }
    for (at, (name, value)) in request.parameters.iter().enumerate() {
        // Two names may make one variable: the last counts.
        let is_same = |(other, _): &(String, String)| upper(other).eq(upper(name));
        if !request.parameters[at + 1..].iter().any(is_same) {
            set(variable_name(&mut text, "X_PARAM_", name), value);
        }
    }
    for same in fields.chunk_by(|(one, _), (other, _)| one.eq_ignore_ascii_case(other)) {
        let (name, _) = same[0];
        if name.eq_ignore_ascii_case("content-type") {
            set("CONTENT_TYPE", &joined(same));
        } else if is_passed(name, request.pass_authorization) {
            set(variable_name(&mut text, "HTTP_", name), &joined(same));
        }
    }
}

/// Whether the server sets this variable itself, so that a manifest may not.
#[must_use]
pub fn is_reserved(name: &str) -> bool {
    const NAMES: [&str; 16] = [
        "GATEWAY_INTERFACE",
        "SERVER_SOFTWARE",
        "SERVER_PROTOCOL",
        "SERVER_NAME",
        "SERVER_PORT",
        "REQUEST_METHOD",
        "SCRIPT_NAME",
        "PATH_INFO",
        "QUERY_STRING",
        "REMOTE_ADDR",
        "REMOTE_HOST",
        "REMOTE_PORT",
        "REQUEST_URI",
        "X_MATCHED_ROUTE",
        "CONTENT_LENGTH",
        "CONTENT_TYPE",
    ];
    NAMES.contains(&name) || name.starts_with("HTTP_") || name.starts_with("X_PARAM_")
}

fn is_passed(name: &str, pass_authorization: bool) -> bool {
    const DROPPED: [&str; 13] = [
        "proxy",
        "proxy-authorization",
        "proxy-connection",
        "connection",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
        "content-length",
        "content-type",
        "http2-settings",
    ];
    let plain = name
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let is = |other: &str| other.eq_ignore_ascii_case(name);
    plain && !DROPPED.into_iter().any(is) && (pass_authorization || !is("authorization"))
}

/// All values of a field as one, joined as RFC 9110 section 5.3 says, cookies as RFC 6265 section 5.4 does.
fn joined<'a>(fields: &[Field<'a>]) -> Cow<'a, str> {
    let Some(((name, value), others)) = fields.split_first() else {
        return Cow::Borrowed("");
    };
    let mut text = readable(value);
    for (_, value) in others {
        let is_cookie = name.eq_ignore_ascii_case("cookie");
        let text = text.to_mut();
        text.push_str(if is_cookie { "; " } else { ", " });
        text.push_str(&readable(value));
    }
    text
}

/// A value as text. Most are ASCII, which is seen by words; what replaces octets goes one by one.
fn readable(value: &[u8]) -> Cow<'_, str> {
    match str::from_utf8(value) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => String::from_utf8_lossy(value),
    }
}

/// The variable of a field or a parameter, written where something else was.
fn variable_name<'a>(text: &'a mut String, prefix: &str, field: &str) -> &'a str {
    let mut bytes = mem::take(text).into_bytes();
    bytes.clear();
    bytes.extend_from_slice(prefix.as_bytes());
    bytes.extend(upper(field));
    // It is ASCII by now.
    *text = String::from_utf8(bytes).unwrap_or_default();
    text
}

fn upper(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().map(|byte| UPPER[usize::from(byte)])
}

/// What becomes of a byte of a name in that of a variable: letters are upper case, and all but letters and digits is `_`.
const UPPER: [u8; 256] = {
    let mut table = [b'_'; 256];
    let mut byte = 0;
    while byte < table.len() {
        if (byte as u8).is_ascii_alphanumeric() {
            table[byte] = (byte as u8).to_ascii_uppercase();
        }
        byte += 1;
    }
    table
};

/// Something as text, written where something else was.
fn written(text: &mut String, value: impl fmt::Display) -> &str {
    text.clear();
    // Writing to a string does not fail.
    let _ = write!(text, "{value}");
    text
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_2 => "HTTP/2.0",
        Version::HTTP_3 => "HTTP/3.0",
        _ => "HTTP/1.1",
    }
}

/// Name and port by which the client asked (sections 4.1.14 and 4.1.15): target, else `Host`, else the local address.
fn set_server_address(
    request: &RequestInfo<'_>,
    fields: &[Field<'_>],
    text: &mut String,
    set: &mut impl FnMut(&str, &str),
) {
    let from_host = || {
        let (_, value) = fields
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case("host"))?;
        // As the type for it takes them: printable.
        let value = str::from_utf8(value).ok().filter(|value| value.is_ascii())?;
        value.parse().ok()
    };
    let authority: Option<Cow<'_, Authority>> = match request.head.target.authority() {
        Some(authority) => Some(Cow::Borrowed(authority)),
        None => from_host().map(Cow::Owned),
    };
    match authority {
        Some(authority) if !authority.host().is_empty() => {
            set("SERVER_NAME", authority.host());
            // A client that leaves the port out means the scheme's default, as seen from its side of any proxy.
            let port = authority.port_u16().unwrap_or(80);
            set("SERVER_PORT", written(text, port));
        }
        _ => {
            set("SERVER_NAME", written(text, request.local.ip().to_canonical()));
            set("SERVER_PORT", written(text, request.local.port()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use hyper::Method;
    use hyper::header::{HeaderMap, HeaderName, HeaderValue};

    use super::*;
    use crate::h1::{BodyLength, Found};

    fn environment(
        target: &str,
        fields: &[(&str, &str)],
        pass_authorization: bool,
    ) -> HashMap<String, String> {
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(
                name.parse::<HeaderName>().unwrap(),
                HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        let head = Head {
            method: Method::POST,
            target: target.parse().unwrap(),
            headers: headers.into(),
            version: Version::HTTP_11,
            body: BodyLength::Declared(12),
            peer: "192.0.2.7:1234".parse().unwrap(),
            found: Found::default(),
        };
        let parameters = [("pa-th", "no"), ("pa_th", "last"), ("path", "a/b")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let request = RequestInfo {
            head: &head,
            body_length: 12,
            path: head.target.path(),
            script_length: "/files".len(),
            route: "/files/{*path}",
            parameters: &parameters,
            local: "127.0.0.1:8080".parse().unwrap(),
            pass_authorization,
        };
        let mut map = HashMap::new();
        variables(&request, |name, value| {
            let before = map.insert(name.to_owned(), value.to_owned());
            assert!(before.is_none(), "{name} is set once");
        });
        assert!(
            map.keys().all(|name| is_reserved(name)),
            "a manifest cannot shadow {map:?}"
        );
        map
    }

    #[test]
    fn the_request_is_told() {
        let map = environment(
            "/files/a/b?x=1&y=%20",
            &[
                ("host", "example.org:81"),
                ("content-type", "text/csv"),
                ("content-length", "12"),
                ("accept", "*/*"),
            ],
            false,
        );
        for (name, value) in [
            ("GATEWAY_INTERFACE", "CGI/1.1"),
            ("REQUEST_METHOD", "POST"),
            ("SCRIPT_NAME", "/files"),
            ("PATH_INFO", "/a/b"),
            ("QUERY_STRING", "x=1&y=%20"),
            ("CONTENT_LENGTH", "12"),
            ("CONTENT_TYPE", "text/csv"),
            ("SERVER_NAME", "example.org"),
            ("SERVER_PORT", "81"),
            ("SERVER_PROTOCOL", "HTTP/1.1"),
            ("REMOTE_ADDR", "192.0.2.7"),
            ("REQUEST_URI", "/files/a/b?x=1&y=%20"),
            ("HTTP_ACCEPT", "*/*"),
            ("HTTP_HOST", "example.org:81"),
            ("X_MATCHED_ROUTE", "/files/{*path}"),
            ("X_PARAM_PATH", "a/b"),
            ("X_PARAM_PA_TH", "last"),
        ] {
            assert_eq!(map.get(name).map(String::as_str), Some(value), "{name}");
        }
        assert!(!map.contains_key("HTTP_CONTENT_LENGTH") && !map.contains_key("HTTP_CONTENT_TYPE"));
    }

    #[test]
    fn without_host_the_local_address_is_told() {
        let map = environment("/files/a/b", &[], false);
        assert_eq!(
            (map["SERVER_NAME"].as_str(), map["SERVER_PORT"].as_str()),
            ("127.0.0.1", "8080")
        );
    }

    #[test]
    fn dangerous_fields_are_dropped() {
        let fields = [
            ("proxy", "http://evil"),
            ("authorization", "Basic x"),
            ("proxy-authorization", "Basic x"),
            ("connection", "close"),
            ("x_real_ip", "1.2.3.4"),
            ("transfer-encoding", "chunked"),
        ];
        let map = environment("/files/a", &fields, false);
        assert!(!map.keys().any(|name| name.starts_with("HTTP_")), "{map:?}");
        let map = environment("/files/a", &fields, true);
        assert_eq!(map["HTTP_AUTHORIZATION"], "Basic x");
    }

    #[test]
    fn no_field_takes_the_variable_of_another() {
        let names = [
            "x-real-ip",
            "x_real_ip",
            "x.real.ip",
            "x~real~ip",
            "x!real-ip",
            "x*real'ip",
        ];
        let fields = names.map(|name| (name, name));
        let map = environment("/files/a", &fields, false);
        assert_eq!(map["HTTP_X_REAL_IP"], "x-real-ip");
        let alone = environment("/files/a", &[("x.forwarded.for", "evil")], false);
        assert!(!alone.contains_key("HTTP_X_FORWARDED_FOR"));
    }

    #[test]
    fn repeated_fields_are_joined() {
        let fields = [
            ("accept", "a"),
            ("accept", "b"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
        ];
        let map = environment("/files/a", &fields, false);
        assert_eq!(map["HTTP_ACCEPT"], "a, b");
        assert_eq!(map["HTTP_COOKIE"], "a=1; b=2");
    }

    #[test]
    fn octets_that_are_no_text_are_replaced() {
        assert_eq!(joined(&[("a", b"x\xffy")]), "x\u{fffd}y");
        assert_eq!(
            joined(&[("a", b"x"), ("A", b"\xfe"), ("a", "\u{e9}".as_bytes())]),
            "x, \u{fffd}, \u{e9}"
        );
        assert_eq!(joined(&[]), "");
    }

    #[test]
    fn names_are_letters_digits_and_underscores() {
        let mut text = String::from("what was there before");
        assert_eq!(variable_name(&mut text, "HTTP_", "x-Real-1p"), "HTTP_X_REAL_1P");
        assert_eq!(variable_name(&mut text, "X_PARAM_", "\u{e9}"), "X_PARAM___");
        for (byte, made) in (0..=u8::MAX).zip(UPPER) {
            let expected = match byte {
                b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => byte.to_ascii_uppercase(),
                _ => b'_',
            };
            assert_eq!(made, expected, "{byte}");
        }
    }
}

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

use std::net::SocketAddr;

use hyper::header::{self, HeaderMap, HeaderName};
use hyper::{Method, Version};

use crate::h1::Target;

/// What this server calls itself in `SERVER_SOFTWARE`.
const SERVER_SOFTWARE: &str = concat!("luge/", env!("CARGO_PKG_VERSION"));

/// The request, as far as variables tell it.
#[derive(Debug, Clone, Copy)]
pub struct RequestInfo<'a> {
    /// Method as sent.
    pub method: &'a Method,
    /// Target as sent.
    pub target: &'a Target,
    /// Protocol version.
    pub version: Version,
    /// Header fields.
    pub headers: &'a HeaderMap,
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
    /// The client's address.
    pub peer: SocketAddr,
    /// The address that the client reached.
    pub local: SocketAddr,
    /// Whether `HTTP_AUTHORIZATION` is given.
    pub pass_authorization: bool,
}

/// The variables of a request, in no particular order and each name once. Values are UTF-8: octets of a field that
/// are none become U+FFFD.
#[must_use]
pub fn variables(request: &RequestInfo<'_>) -> Vec<(String, String)> {
    let (script_name, path_info) = request
        .path
        .split_at(request.script_length.min(request.path.len()));
    let (server_name, server_port) = server_address(request);
    let peer = request.peer.ip().to_canonical().to_string();
    let mut list = Vec::with_capacity(20 + request.headers.keys_len());
    let mut set = |name: &str, value: &str| list.push((name.to_owned(), value.to_owned()));
    set("GATEWAY_INTERFACE", "CGI/1.1");
    set("SERVER_SOFTWARE", SERVER_SOFTWARE);
    set("SERVER_PROTOCOL", protocol(request.version));
    set("SERVER_NAME", &server_name);
    set("SERVER_PORT", &server_port);
    set("REQUEST_METHOD", request.method.as_str());
    set("SCRIPT_NAME", script_name);
    set("PATH_INFO", path_info);
    set("QUERY_STRING", request.target.query().unwrap_or_default());
    set("REMOTE_ADDR", &peer);
    // Section 4.1.9: REMOTE_HOST falls back to the address where names are not looked up.
    set("REMOTE_HOST", &peer);
    set("REMOTE_PORT", &request.peer.port().to_string());
    // Not in the RFC; every server gives it, and programs rely on it.
    set("REQUEST_URI", request.target.path_and_query());
    set("X_MATCHED_ROUTE", request.route);
    if request.body_length > 0 {
        set("CONTENT_LENGTH", &request.body_length.to_string());
    }
    if let Some(value) = joined(request.headers, &header::CONTENT_TYPE) {
        set("CONTENT_TYPE", &value);
    }
    for (name, value) in request.parameters {
        set(&format!("X_PARAM_{}", variable_name(name)), value);
    }
    for name in request.headers.keys() {
        if is_passed(name, request.pass_authorization)
            && let Some(value) = joined(request.headers, name)
        {
            set(&format!("HTTP_{}", variable_name(name.as_str())), &value);
        }
    }
    list
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

fn is_passed(name: &HeaderName, pass_authorization: bool) -> bool {
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
    let text = name.as_str();
    let plain = text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    plain && !DROPPED.contains(&text) && (pass_authorization || *name != header::AUTHORIZATION)
}

/// All values of a field as one, joined as RFC 9110 section 5.3 says, cookies as RFC 6265 section 5.4 does.
fn joined(headers: &HeaderMap, name: &HeaderName) -> Option<String> {
    let separator = if *name == header::COOKIE { "; " } else { ", " };
    let mut values = headers
        .get_all(name)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()));
    let mut text = values.next()?.into_owned();
    for value in values {
        text.push_str(separator);
        text.push_str(&value);
    }
    Some(text)
}

fn variable_name(field: &str) -> String {
    let upper = |byte: u8| {
        if byte.is_ascii_alphanumeric() {
            byte.to_ascii_uppercase()
        } else {
            b'_'
        }
    };
    field.bytes().map(upper).map(char::from).collect()
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
fn server_address(request: &RequestInfo<'_>) -> (String, String) {
    let from_host = || request.headers.get(header::HOST)?.to_str().ok()?.parse().ok();
    let authority: Option<hyper::http::uri::Authority> =
        request.target.authority().cloned().or_else(from_host);
    match authority {
        Some(authority) if !authority.host().is_empty() => {
            // A client that leaves the port out means the scheme's default, as seen from its side of any proxy.
            (
                authority.host().to_owned(),
                authority.port_u16().unwrap_or(80).to_string(),
            )
        }
        _ => (
            request.local.ip().to_canonical().to_string(),
            request.local.port().to_string(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use hyper::header::HeaderValue;

    use super::*;

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
        let target: Target = target.parse().unwrap();
        let parameters = [("path".to_owned(), "a/b".to_owned())];
        let list = variables(&RequestInfo {
            method: &Method::POST,
            target: &target,
            version: Version::HTTP_11,
            headers: &headers,
            body_length: 12,
            path: target.path(),
            script_length: "/files".len(),
            route: "/files/{*path}",
            parameters: &parameters,
            peer: "192.0.2.7:1234".parse().unwrap(),
            local: "127.0.0.1:8080".parse().unwrap(),
            pass_authorization,
        });
        let count = list.len();
        let map: HashMap<_, _> = list.into_iter().collect();
        assert_eq!(map.len(), count, "each name once");
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
}

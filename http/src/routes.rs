//! Routes: which function answers a path.
//!
//! Rules, in the order in which they are applied:
//! 1. The path of the target is percent-decoded once. A path that can be read in two ways is refused with 400: broken
//!    escapes, an encoded slash (`%2F`) or NUL, bytes that are no UTF-8, and `.` or `..` segments (clients resolve
//!    these before they ask, RFC 3986 section 5.2.4).
//! 2. The decoded path is matched as a whole, with case and slashes as they are: `/empty` is neither `/emptyXYZ` nor
//!    `/empty/` nor `//empty`.
//! 3. Patterns hold `{name}`, one segment or part of one, or end in `{*name}`, the non-empty rest of the path. An exact
//!    route wins over a pattern, a longer literal over a shorter one (`matchit`'s rules); two routes that match the
//!    same paths are a configuration error, so the order in the manifest never matters.

use std::borrow::Cow;

use matchit::{InsertError, Router};

/// Routes and the indices of their functions. Cheap to clone; each shard has its own.
#[derive(Debug, Clone, Default)]
pub struct RouteTable {
    /// All routes: it also finds those that conflict.
    router: Router<Target>,
    /// Those without parameters, by length and then by bytes. Most lookups end here, and most of their steps compare two lengths.
    exact: Vec<(Box<str>, usize)>,
}

#[derive(Debug, Clone, Copy)]
struct Target {
    function: usize,
    catch_all: bool,
}

/// Why a route cannot be inserted.
#[derive(Debug)]
pub enum RouteError {
    /// It is no decoded absolute path.
    Text,
    /// Its braces make no pattern.
    Pattern(InsertError),
    /// An earlier route matches the same paths.
    Conflict {
        /// The earlier route.
        with: String,
    },
}

/// What a path matched.
#[derive(Debug, PartialEq, Eq)]
pub struct RouteMatch {
    /// Index of the function.
    pub function: usize,
    /// The parameters of the pattern, decoded, in the order of the pattern.
    pub parameters: Vec<(String, String)>,
    /// Bytes of the decoded path that name the function itself; what follows is `PATH_INFO` (RFC 3875 section 4.1.5).
    /// That is the whole path, except where the pattern ends in `{*name}`.
    pub script_length: usize,
}

impl RouteTable {
    /// Adds a route that leads to the function of that index.
    ///
    /// # Errors
    /// When the route is no path, no pattern, or already taken.
    pub fn insert(&mut self, route: &str, function: usize) -> Result<(), RouteError> {
        let strange = |byte: u8| byte.is_ascii_whitespace() || matches!(byte, b'?' | b'#' | b'%' | 0);
        if !route.starts_with('/') || route.bytes().any(strange) {
            return Err(RouteError::Text);
        }
        let target = Target {
            function,
            catch_all: ends_in_catch_all(route),
        };
        self.router.insert(route, target).map_err(|error| match error {
            InsertError::Conflict { with } => RouteError::Conflict { with },
            other => RouteError::Pattern(other),
        })?;
        if !route.contains(['{', '}'])
            && let Err(at) = self.search(route)
        {
            self.exact.insert(at, (route.into(), function));
        }
        Ok(())
    }

    /// Where the exact route is that is written like this, or would be.
    fn search(&self, path: &str) -> Result<usize, usize> {
        self.exact.binary_search_by(|(route, _)| {
            let by_length = route.len().cmp(&path.len());
            by_length.then_with(|| route.as_bytes().cmp(path.as_bytes()))
        })
    }

    /// The function of a decoded path.
    #[must_use]
    pub fn find(&self, path: &str) -> Option<RouteMatch> {
        if let Ok(at) = self.search(path) {
            return Some(RouteMatch {
                function: self.exact[at].1,
                parameters: Vec::new(),
                script_length: path.len(),
            });
        }
        let found = self.router.at(path).ok()?;
        let own = |(name, value): (&str, &str)| (name.to_owned(), value.to_owned());
        let parameters: Vec<_> = found.params.iter().map(own).collect();
        let rest = match parameters.last() {
            Some((_, rest)) if found.value.catch_all => rest.as_str(),
            _ => "",
        };
        let script = path.strip_suffix(rest).unwrap_or(path);
        // The slash before the rest belongs to PATH_INFO, which begins with one.
        let script = if rest.is_empty() {
            script
        } else {
            script.strip_suffix('/').unwrap_or(script)
        };
        Some(RouteMatch {
            function: found.value.function,
            parameters,
            script_length: script.len(),
        })
    }
}

/// Whether a route ends in `{*name}`; `{{` is an escaped brace.
fn ends_in_catch_all(route: &str) -> bool {
    let Some(start) = route.rfind("{*") else {
        return false;
    };
    route.ends_with('}') && !route[..start].ends_with('{')
}

/// Why the path of a target is refused with 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// `%` without two hexadecimal digits.
    #[error("broken percent-encoding in the path")]
    Escape,
    /// `%2F` or `%00`.
    #[error("encoded slash or NUL in the path")]
    Ambiguous,
    /// The decoded bytes are no UTF-8.
    #[error("the decoded path is no UTF-8")]
    Utf8,
    /// A `.` or `..` segment.
    #[error("dot segment in the path")]
    DotSegment,
}

/// Decodes the path of a request target by rule 1 above.
///
/// # Errors
/// When the path can be read in more than one way.
pub fn decode_path(path: &str) -> Result<Cow<'_, str>, PathError> {
    if is_plain(path) {
        return Ok(Cow::Borrowed(path));
    }
    let decoded = if path.contains('%') {
        Cow::Owned(decode_escapes(path)?)
    } else {
        Cow::Borrowed(path)
    };
    if decoded
        .split('/')
        .any(|segment| segment == "." || segment == "..")
    {
        return Err(PathError::DotSegment);
    }
    Ok(decoded)
}

fn decode_escapes(path: &str) -> Result<String, PathError> {
    let mut bytes = Vec::with_capacity(path.len());
    let mut rest = path.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let [high, low, tail @ ..] = tail else {
            return Err(PathError::Escape);
        };
        rest = tail;
        match (hex(*high), hex(*low)) {
            (Some(high), Some(low)) => bytes.push(high << 4 | low),
            _ => return Err(PathError::Escape),
        }
        if matches!(bytes.last(), Some(b'/' | 0)) {
            return Err(PathError::Ambiguous);
        }
    }
    String::from_utf8(bytes).map_err(|_| PathError::Utf8)
}

/// Whether a path has neither an escape nor a segment that begins with a dot: then it is as it is decoded.
fn is_plain(path: &str) -> bool {
    let mut before = b'/';
    path.bytes().all(|byte| {
        let dot = byte == b'.' && before == b'/';
        before = byte;
        byte != b'%' && !dot
    })
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(routes: &[&str]) -> RouteTable {
        let mut table = RouteTable::default();
        for (index, route) in routes.iter().enumerate() {
            table.insert(route, index).unwrap();
        }
        table
    }

    fn function(table: &RouteTable, path: &str) -> Option<usize> {
        table.find(path).map(|found| found.function)
    }

    #[test]
    fn an_exact_route_is_matched_exactly() {
        let table = table(&["/empty", "/"]);
        assert_eq!(function(&table, "/empty"), Some(0));
        assert_eq!(function(&table, "/"), Some(1));
        for other in [
            "/emptyXYZ",
            "/empty/",
            "//empty",
            "/Empty",
            "/empt",
            "",
            "empty",
            "*",
        ] {
            assert_eq!(function(&table, other), None, "{other:?}");
        }
    }

    #[test]
    fn exact_routes_win_over_patterns_in_any_order() {
        let routes = ["/{a}", "/bb", "/a", "/x/{b}", "/x/yy", "/c", "/b", "/{a}/yy"];
        for start in 0..routes.len() {
            let mut order: Vec<_> = routes.into_iter().enumerate().collect();
            order.rotate_left(start);
            let mut table = RouteTable::default();
            for (index, route) in order {
                table.insert(route, index).unwrap();
            }
            for (index, route) in routes.into_iter().enumerate() {
                let found = table.find(route).unwrap();
                if !route.contains('{') {
                    let expected = RouteMatch {
                        function: index,
                        parameters: Vec::new(),
                        script_length: route.len(),
                    };
                    assert_eq!(found, expected, "{route}");
                }
            }
            assert_eq!(function(&table, "/d"), Some(0));
            assert_eq!(function(&table, "/x/zz"), Some(3));
            assert_eq!(function(&table, "/z/yy"), Some(7));
        }
    }

    #[test]
    fn a_pattern_gives_its_parameters() {
        let table = table(&["/users/{id}", "/users/me", "/files/{*path}", "/img/{name}.png"]);
        let found = table.find("/users/4711").unwrap();
        assert_eq!(found.parameters, [("id".to_owned(), "4711".to_owned())]);
        assert_eq!(found.script_length, "/users/4711".len());
        assert_eq!(function(&table, "/users/me"), Some(1));
        assert_eq!(function(&table, "/users/"), None);
        assert_eq!(function(&table, "/users/4711/x"), None);
        assert_eq!(function(&table, "/img/a.png"), Some(3));
    }

    #[test]
    fn a_catch_all_splits_script_name_and_path_info() {
        let table = table(&["/files/{*path}", "/pre{*path}"]);
        let found = table.find("/files/a/b").unwrap();
        assert_eq!(found.parameters, [("path".to_owned(), "a/b".to_owned())]);
        assert_eq!("/files/a/b".split_at(found.script_length), ("/files", "/a/b"));
        let found = table.find("/pre/a").unwrap();
        assert_eq!("/pre/a".split_at(found.script_length), ("/pre", "/a"));
        assert_eq!(function(&table, "/files"), None);
        assert_eq!(function(&table, "/files/"), None);
    }

    #[test]
    fn wrong_routes_are_refused() {
        let mut table = table(&["/a/{x}"]);
        assert!(matches!(table.insert("a", 1), Err(RouteError::Text)));
        assert!(matches!(table.insert("/a b", 1), Err(RouteError::Text)));
        assert!(matches!(table.insert("/a?b", 1), Err(RouteError::Text)));
        assert!(matches!(table.insert("/{", 1), Err(RouteError::Pattern(_))));
        assert!(matches!(table.insert("/{*x}/y", 1), Err(RouteError::Pattern(_))));
        assert!(matches!(table.insert("/a/{y}", 1), Err(RouteError::Conflict { with }) if with == "/a/{x}"));
    }

    #[test]
    fn paths_are_decoded_once() {
        assert_eq!(decode_path("/empty").unwrap(), "/empty");
        assert_eq!(decode_path("/%65mpty").unwrap(), "/empty");
        assert_eq!(decode_path("/a%20b%2525").unwrap(), "/a b%25");
        assert_eq!(decode_path("/gr%C3%BCn").unwrap(), "/grün");
        assert_eq!(
            decode_path("/a/.well-known/b..c/.../d.").unwrap(),
            "/a/.well-known/b..c/.../d."
        );
    }

    #[test]
    fn ambiguous_paths_are_refused() {
        assert_eq!(decode_path("/%"), Err(PathError::Escape));
        assert_eq!(decode_path("/%6"), Err(PathError::Escape));
        assert_eq!(decode_path("/%zz"), Err(PathError::Escape));
        assert_eq!(decode_path("/%+1"), Err(PathError::Escape));
        assert_eq!(decode_path("/a%2Fb"), Err(PathError::Ambiguous));
        assert_eq!(decode_path("/a%00"), Err(PathError::Ambiguous));
        assert_eq!(decode_path("/%ff"), Err(PathError::Utf8));
        assert_eq!(decode_path("/a/../b"), Err(PathError::DotSegment));
        assert_eq!(decode_path("/a/%2e%2E/b"), Err(PathError::DotSegment));
        assert_eq!(decode_path("/a/."), Err(PathError::DotSegment));
        assert_eq!(decode_path("/.."), Err(PathError::DotSegment));
        assert_eq!(decode_path("."), Err(PathError::DotSegment));
        assert_eq!(decode_path("/./a"), Err(PathError::DotSegment));
    }
}

//! What can be wrong with a manifest, and what its author should do about it.
//!
//! Every error has a place (file, line, key) and a problem. The problems say what is allowed, not only what was
//! found, so that nobody needs the reference at hand to correct the file.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use luge_shards::UnknownPolicy;
use matchit::InsertError;

use crate::engine::Unbounded;

/// All problems of one manifest, in the order of its lines.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigErrors(pub Vec<ConfigError>);

/// One problem of a manifest.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// The file cannot be read at all.
    #[error("{}: cannot read the manifest: {source}", .path.display())]
    Read {
        /// The manifest.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The text is no TOML, a key is unknown or missing, or a value has the wrong type.
    #[error("{file}:{line}: {message}")]
    Syntax {
        /// The manifest as the user named it.
        file: String,
        /// Line, from 1.
        line: usize,
        /// The parser's words.
        message: String,
    },
    /// A value is of the right type and still makes no sense.
    #[error("{place}: {problem}")]
    Value {
        /// Where.
        place: Place,
        /// What.
        problem: Problem,
    },
}

/// Where in a manifest a value stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The manifest as the user named it.
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Dotted key, with the function's name where there is one: `function.echo.deadline`.
    pub key: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: `{}`", self.file, self.line, self.key)
    }
}

/// What is wrong with a value.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Problem {
    /// Not a duration.
    #[error(
        "{0:?} is no duration: write a whole number and us, ms, s, min or h, like \"100ms\"; at most 24h"
    )]
    Duration(String),
    /// Not a size.
    #[error("{0:?} is no size: write a whole number and B, KiB, MiB or GiB, like \"64MiB\"")]
    Size(String),
    /// A number or size outside its bounds.
    #[error("{found} is out of range: it must lie between {least} and {most}")]
    OutOfRange {
        /// The value as written.
        found: String,
        /// Smallest allowed, as it would be written.
        least: String,
        /// Largest allowed, as it would be written.
        most: String,
    },
    /// Not an address to listen on.
    #[error("{0:?} is no address: write ADDRESS:PORT, like \"127.0.0.1:8080\" or \"[::]:8080\"")]
    Address(String),
    /// A name that is empty or holds characters that logs and metrics would have to escape.
    #[error("{0:?} is no name: use 1 to 64 of a-z, A-Z, 0-9, `-`, `_` and `.`")]
    Name(String),
    /// Two functions of the same name.
    #[error("the name {name:?} is taken by the function of line {first}: rename one of them")]
    DuplicateName {
        /// The name.
        name: String,
        /// Line of the first function of that name.
        first: usize,
    },
    /// A route which is no absolute path.
    #[error(
        "the route {0:?} must begin with `/` and hold neither `?`, `#`, `%` nor spaces; write it decoded"
    )]
    RouteText(String),
    /// A route which the router refuses.
    #[error("the route {route:?} is no pattern: {reason}")]
    RoutePattern {
        /// The route.
        route: String,
        /// What the router says.
        reason: InsertError,
    },
    /// Two routes match the same paths.
    #[error(
        "the route {route:?} matches the same paths as {with:?} of function {function:?}: change one of them"
    )]
    DuplicateRoute {
        /// The route.
        route: String,
        /// The earlier route.
        with: String,
        /// The function that has the earlier route.
        function: String,
    },
    /// Not a method.
    #[error(
        "{0:?} is no HTTP method: use upper-case names, like [\"GET\", \"POST\"]; leave the key out to allow all"
    )]
    Method(String),
    /// The module cannot be read.
    #[error("cannot read the module {}: {source}; paths are relative to the manifest's folder", .path.display())]
    Module {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// The module is larger than any that we would compile.
    #[error("the module {} has {bytes} bytes; at most {most} are allowed", .path.display())]
    ModuleSize {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The bound.
        most: u64,
    },
    /// An environment variable's name or value that no environment can hold.
    #[error(
        "{0:?} cannot be an environment variable: names must be non-empty and hold no `=`, neither part a NUL"
    )]
    Environment(String),
    /// An environment variable that the server sets itself.
    #[error("{0:?} is set by the server for each request (RFC 3875): choose another name")]
    ReservedVariable(String),
    /// An argument with a NUL in it.
    #[error("{0:?} cannot be an argument: it holds a NUL")]
    Argument(String),
    /// A host folder that cannot be granted.
    #[error("cannot grant the folder {}: {source}; paths are relative to the manifest's folder", .path.display())]
    Directory {
        /// The folder on the host.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A guest path that is no absolute path.
    #[error(
        "{0:?} is no place for a folder in the guest: write an absolute path without `..`, like \"/data\""
    )]
    GuestPath(String),
    /// Not a media type.
    #[error("{0:?} is no media type: write type/subtype, like \"image/png\"")]
    ContentType(String),
    /// Bounds that a server does not have.
    #[error(transparent)]
    Unbounded(#[from] Unbounded),
    /// No policy has this name.
    #[error(transparent)]
    Policy(#[from] UnknownPolicy),
    /// None of a few words.
    #[error("{found:?} is unknown: use {}", one_of(.allowed))]
    UnknownChoice {
        /// The word as written.
        found: String,
        /// Those that may stand there.
        allowed: Vec<&'static str>,
    },
    /// A setting of the shards' own rings beside `network = "executor"`.
    #[error(
        "it bears on the cores' own rings, which `network = \"executor\"` does without: leave one of them out"
    )]
    NeedsRing,
    /// A key that only says more of another one.
    #[error("it means nothing without `{0}`: write that too, or leave this out")]
    NeedsKey(&'static str),
    /// A part of a core that nobody can be given.
    #[error("{0} is no share of a core: it must lie between 0.001 and 1; leave the key out to set no limit")]
    Share(f64),
    /// An estimate that no run could reach.
    #[error(
        "{estimate:?} is longer than any run can take: the function's `{bound}` ends runs after {most:?}; write what \
         most runs take"
    )]
    LongEstimate {
        /// The estimate.
        estimate: Duration,
        /// The key that bounds it.
        bound: &'static str,
        /// That key's value.
        most: Duration,
    },
    /// A function of a tenant that is not declared.
    #[error("there is no tenant {name:?}: add a table [tenant.NAME] for it, or use {}", one_of(.known))]
    UnknownTenant {
        /// The tenant as the function names it.
        name: String,
        /// Those that there are.
        known: Vec<String>,
    },
    /// What keeps requests together is neither a header field nor a parameter.
    #[error("{0:?} is no affinity: write \"header:NAME\" or \"param:NAME\", like \"header:x-session\"")]
    Affinity(String),
    /// A parameter that the route does not have.
    #[error(
        "the route {route:?} has no parameter {name:?}: use one that stands in it, like `id` in \"/users/{{id}}\""
    )]
    NoParameter {
        /// The parameter.
        name: String,
        /// The function's route.
        route: String,
    },
    /// A manifest without functions.
    #[error("the manifest deploys no function: add a [[function]] with name, route and module")]
    NoFunctions,
}

/// Lists words: `a`, `b` or `c`.
fn one_of(words: &[impl AsRef<str>]) -> String {
    let quoted = words.iter().map(|word| format!("`{}`", word.as_ref()));
    let mut listed: Vec<String> = quoted.collect();
    match listed.pop() {
        Some(last) if !listed.is_empty() => format!("{} or {last}", listed.join(", ")),
        last => last.unwrap_or_default(),
    }
}

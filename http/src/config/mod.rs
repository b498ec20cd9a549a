//! The server's configuration, in one typed value.
//!
//! ```text
//!   luge.toml --parse--> Manifest --resolve--> Config <--flags--  command line
//!                        (text)                (checked)
//!   no file   ------------------------------->  Config of the embedded example functions
//! ```
//! It is filled once, from the manifest and then from the flags, which win; validated once; printed at the start.
//! Nothing later reads a file, an environment variable or a global to learn how to behave.

mod error;
mod manifest;
mod scheduling;
mod units;

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use hyper::Method;
use hyper::header::HeaderValue;

use crate::engine::{EngineChoice, Tier};
use crate::preemption::PreemptionMode;

pub use error::{ConfigError, ConfigErrors, Place, Problem};
pub use scheduling::{Affinity, NetworkChoice, SchedulingConfig, Tenant};
pub use units::{DURATION_MAX, parse_duration, parse_size};

/// Bytes in a page of WebAssembly memory.
pub const WASM_PAGE: u64 = 64 * 1024;

/// Everything that the server needs to know before it starts.
#[derive(Debug, Clone)]
pub struct Config {
    /// Address of the functions. Port 0 lets the system choose; the start-up line tells which.
    pub listen: SocketAddr,
    /// Address of health checks and metrics.
    pub admin: SocketAddr,
    /// Number of cores (one shard each); `None` means every core that the process may use.
    pub cores: Option<NonZeroUsize>,
    /// The tier of the functions, and how machine code stays inside its memory.
    pub engine: EngineChoice,
    /// How runs are made to give their core back.
    pub preemption: PreemptionMode,
    /// The folder in which machine code is kept from one start to the next, if any.
    pub code_cache: Option<PathBuf>,
    /// Whether `perf` is told the names of generated code.
    pub perf_map: bool,
    /// The order and the place of requests.
    pub scheduling: SchedulingConfig,
    /// Bounds that hold for the whole server.
    pub limits: ServerLimits,
    /// Whose functions they are: first the tenant of those that name none, then the others, by name.
    pub tenants: Vec<Tenant>,
    /// The deployed functions; names and routes are unique.
    pub functions: Vec<FunctionConfig>,
}

impl Config {
    /// Reads and checks a manifest. Paths in it are relative to its folder.
    ///
    /// # Errors
    /// Every problem that was found, each with file, line and key. Syntax errors end the search at the first.
    pub fn from_file(path: &std::path::Path) -> Result<Config, ConfigErrors> {
        manifest::load(path)
    }

    /// A configuration with default addresses and limits for these functions.
    #[must_use]
    pub fn for_functions(functions: Vec<FunctionConfig>) -> Config {
        Config {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            admin: SocketAddr::from((Ipv4Addr::LOCALHOST, 9090)),
            cores: None,
            engine: EngineChoice::default(),
            preemption: PreemptionMode::default(),
            code_cache: None,
            perf_map: false,
            scheduling: SchedulingConfig::default(),
            limits: ServerLimits::default(),
            tenants: vec![Tenant::default()],
            functions,
        }
    }
}

/// Bounds that hold for every connection and every shard.
#[derive(Debug, Clone)]
pub struct ServerLimits {
    /// Open connections per core. One more is answered 503 and closed.
    pub connections: usize,
    /// Requests per core that wait for their first slice. One more is answered 503 with `Retry-After`.
    pub queue: usize,
    /// Runs per core that have begun and not ended. Further ones wait in the queue until one ends, so that guests that
    /// sleep cannot pile up: this times a function's memory is the most that its runs can hold.
    pub started: usize,
    /// Bytes of memory that the sandboxes of a core keep between runs; what exceeds this is given back to the system.
    pub idle_memory: usize,
    /// Bytes of request bodies that a core holds at a time, those that are coming in and those of requests that run or
    /// wait. A body that finds no room is answered 503 with `Retry-After`.
    pub bodies: usize,
    /// Bytes of a request's head (request line and header section).
    pub head_bytes: usize,
    /// Number of header fields.
    pub header_count: usize,
    /// Bytes of the request target.
    pub target_bytes: usize,
    /// Time for the head, counted from its first byte.
    pub head_timeout: Duration,
    /// Time for the body, counted from the end of the head.
    pub body_timeout: Duration,
    /// Time that a connection may stay open between requests.
    pub idle_timeout: Duration,
    /// Time that a client may take no byte of an answer.
    pub write_timeout: Duration,
    /// Time that running requests get to finish after SIGTERM.
    pub drain: Duration,
}

impl Default for ServerLimits {
    fn default() -> Self {
        Self {
            connections: 4096,
            queue: 1024,
            started: 256,
            idle_memory: 64 << 20,
            bodies: 256 << 20,
            head_bytes: 64 * 1024,
            header_count: 100,
            target_bytes: 8 * 1024,
            head_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(30),
            drain: Duration::from_secs(10),
        }
    }
}

/// One function as deployed: where it answers, what it runs, what it may use.
#[derive(Debug, Clone)]
pub struct FunctionConfig {
    /// Unique name, for logs and metrics.
    pub name: String,
    /// Exact path or pattern (`/files/{*path}`), decoded.
    pub route: String,
    /// Allowed methods; `None` allows all. GET includes HEAD.
    pub methods: Option<Vec<Method>>,
    /// Where the module's bytes are.
    pub module: ModuleSource,
    /// The tier that it has to have; `None` leaves it to the server's.
    pub tier: Option<Tier>,
    /// Time from the whole request to the answer; beyond it the run is stopped and answered 504.
    pub deadline: Duration,
    /// CPU time that one run may use; beyond it the run is stopped and answered 500.
    pub cpu: Duration,
    /// CPU time that a run is thought to take until some have been seen. Positive, at most deadline and CPU budget.
    pub estimate: Option<Duration>,
    /// Whether requests that cannot meet the deadline are refused at once, by estimate, instead of being tried.
    pub firm: bool,
    /// Whose function it is: an index into [`Config::tenants`].
    pub tenant: u32,
    /// Which part of each core its runs together may use: from 0.001 to 1. Nothing sets no limit.
    pub cpu_share: Option<f64>,
    /// What keeps its requests on the same core, if anything does.
    pub affinity: Option<Affinity>,
    /// Linear memory of one run, in 64 KiB pages.
    pub memory_pages: u32,
    /// Bytes of a request body; one more is answered 413.
    pub body_bytes: u64,
    /// Bytes that a run may write to stdout; one more ends it with a 500.
    pub response_bytes: usize,
    /// Environment granted to the guest. The host's own never reaches it.
    pub env: Vec<(String, String)>,
    /// Arguments after the program's name.
    pub args: Vec<String>,
    /// Read-only folders.
    pub dirs: Vec<Preopen>,
    /// How stdout becomes an answer.
    pub mode: Mode,
    /// `Content-Type` of the answer: always in raw mode, the default in CGI mode.
    pub content_type: Option<HeaderValue>,
    /// Whether the guest sees the `Authorization` header (RFC 3875 section 4.1.18 advises against it).
    pub pass_authorization: bool,
}

impl FunctionConfig {
    /// A function with the default limits, all methods, nothing granted, in raw mode.
    #[must_use]
    pub fn new(name: String, route: String, module: ModuleSource) -> FunctionConfig {
        FunctionConfig {
            name,
            route,
            methods: None,
            module,
            tier: None,
            deadline: Duration::from_secs(5),
            cpu: Duration::from_secs(5),
            estimate: None,
            firm: false,
            tenant: 0,
            cpu_share: None,
            affinity: None,
            memory_pages: 1024,
            body_bytes: 1 << 20,
            response_bytes: 16 << 20,
            env: Vec::new(),
            args: Vec::new(),
            dirs: Vec::new(),
            mode: Mode::Raw,
            content_type: None,
            pass_authorization: false,
        }
    }
}

/// Where a module comes from.
#[derive(Clone)]
pub enum ModuleSource {
    /// A file, absolute or relative to the working directory.
    File(PathBuf),
    /// Bytes inside the program.
    Embedded(&'static [u8]),
}

impl std::fmt::Debug for ModuleSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::File(path) => path.fmt(f),
            Self::Embedded(bytes) => write!(f, "embedded ({} bytes)", bytes.len()),
        }
    }
}

/// A host folder that a guest may read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Preopen {
    /// Folder on the host.
    pub host: PathBuf,
    /// Its absolute path in the guest.
    pub guest: String,
}

/// How a function's standard output becomes an HTTP response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// The output is the body of a 200.
    Raw,
    /// The output is a CGI response (RFC 3875 section 6): a header block, an empty line, the body.
    Cgi,
}

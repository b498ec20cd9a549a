//! What to do in a run, complete and checked: the only thing that workers read.
//!
//! A plan comes from a scenario or from the command line. [`Plan::check`] refuses what cannot be done or would take
//! unbounded memory, so that a worker has no errors of its own to report but those of the network.

use std::net::{SocketAddr, ToSocketAddrs};
use std::ops::Range;
use std::time::Duration;

use super::arrivals::Arrivals;

/// Most classes of a plan: each has its histograms on each worker.
const CLASSES_MAX: usize = 32;
/// Most workers.
const THREADS_MAX: usize = 64;
/// Most connections of a run.
const CONNECTIONS_MAX: usize = 65_536;
/// Most requests of a class that wait.
const QUEUE_MAX: usize = 1_000_000;
/// Largest body of a request.
const BODY_BYTES_MAX: usize = 64 << 20;
/// Highest rate of a class, in requests a second.
const RATE_MAX: f64 = 1e7;
/// Most windows of a run.
const WINDOWS_MAX: u128 = 100_000;
/// Most looks at what is taken of the cores.
const LOOKS_MAX: usize = 1000;
/// Longest run, and longest timeout: what the latency histograms hold.
const TIME_MAX: Duration = Duration::from_secs(3600);

/// A whole run.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The server.
    pub target: Target,
    /// Whether requests wait for answers.
    pub mode: Mode,
    /// Where all randomness comes from: the same seed, threads and classes give the same arrivals.
    pub seed: u64,
    /// Number of workers, each a thread.
    pub threads: usize,
    /// Requests that start before this time are made but not counted.
    pub warmup: Duration,
    /// No request starts after this time.
    pub duration: Duration,
    /// No request starts after this many, warm-up included.
    pub requests: Option<u64>,
    /// How long to wait for the last answers.
    pub drain: Duration,
    /// How long before a start a worker stops sleeping and watches the clock; zero lets it sleep always.
    pub spin: Duration,
    /// What became of requests is also counted by their intended start, in windows of this length; zero counts none.
    pub window: Duration,
    /// When to look at what others than the server take of the cores, from the start of the run, in ascending order; none before the end of
    /// the warm-up.
    pub looks: Vec<Duration>,
    /// The workers' nice value. Where the generator shares its cores with the server, a low one makes it a client that has
    /// cores of its own and takes little of theirs; it needs a privilege, see [`super::may_have_nice`].
    pub nice: i32,
    /// The CPUs that the workers keep to, by the kernel's numbers; empty: wherever the system puts them. Those where the server
    /// does not run make the generator a machine of its own.
    pub cpus: Vec<usize>,
    /// The kinds of requests.
    pub classes: Vec<Class>,
}

/// How requests come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// At moments drawn ahead, whatever the server does.
    Open,
    /// Each connection sends its next request when the last answer is complete, as wrk does.
    Closed,
}

/// One kind of request.
#[derive(Debug, Clone)]
pub struct Class {
    /// Its name in reports.
    pub name: String,
    /// Requests a second, over all workers. The closed loop has no use for it.
    pub rate: f64,
    /// How the gaps between arrivals are distributed.
    pub arrivals: Arrivals,
    /// How many start together.
    pub batch: u32,
    /// The method.
    pub method: String,
    /// What is asked for.
    pub path: Path,
    /// Further fields of the head.
    pub headers: Vec<(String, String)>,
    /// The body; empty sends none.
    pub body: Vec<u8>,
    /// A good answer later than this after the intended start is late.
    pub deadline: Option<Duration>,
    /// The field that tells the server the deadline, in milliseconds.
    pub deadline_header: Option<String>,
    /// Starts of the class lie in this part of the run; all of it when it is `None`.
    pub active: Option<Range<Duration>>,
    /// A request without a complete answer this long after it was issued is given up.
    pub timeout: Duration,
    /// How connections are used.
    pub connections: Connections,
    /// Connections that are opened before the start (keep-alive); in the closed loop, how many there are.
    pub opened: usize,
    /// Most requests at a time, over all workers.
    pub max_in_flight: usize,
    /// Most requests that wait in the generator when `max_in_flight` are under way, as for a client with a pool of
    /// connections. What arrives beyond is shed.
    pub queue: usize,
    /// Statuses of a good answer; empty means every 2xx.
    pub expect: Vec<u16>,
}

/// How connections are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Connections {
    /// One request after another, each connection in turn.
    KeepAlive,
    /// A new connection for each request.
    PerRequest,
}

/// What is asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Path {
    /// Always the same.
    Fixed(String),
    /// `before`, a function's number, `after`.
    Numbered {
        /// Up to the number.
        before: String,
        /// From the number on.
        after: String,
        /// Numbers go from 1 to this.
        routes: u32,
        /// Exponent of Zipf's law, see [`super::RouteSampler`].
        zipf: f64,
    },
}

/// Where the server is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its address.
    pub address: SocketAddr,
    /// The value of the `Host` field.
    pub authority: String,
}

/// Why a URL is not taken. All of these are the caller's to mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TargetError {
    /// Not of the form `http://HOST[:PORT][/PATH]`.
    #[error("{0}: write http://HOST[:PORT][/PATH]; TLS is not spoken")]
    Form(String),
    /// The name has no address.
    #[error("{host}: {source}")]
    Resolve {
        /// Host and port.
        host: String,
        /// What the resolver said.
        source: std::io::Error,
    },
    /// Another machine, and nobody said that this is meant.
    #[error("{0} is not this machine; --allow-remote sends load there: ask its owner first")]
    Remote(SocketAddr),
}

impl Target {
    /// Reads a URL; returns its path and query too (`/` when there is none).
    ///
    /// # Errors
    /// [`TargetError`]; an address that is not loopback needs `allow_remote`.
    pub fn parse(url: &str, allow_remote: bool) -> Result<(Target, String), TargetError> {
        let form = || TargetError::Form(url.to_owned());
        let rest = url.strip_prefix("http://").ok_or_else(form)?;
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.is_empty() || authority.contains(['@', '?', '#']) || path.contains('#') {
            return Err(form());
        }
        let has_port = authority
            .rsplit_once(':')
            .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()));
        let host = if has_port {
            authority.to_owned()
        } else {
            format!("{authority}:80")
        };
        let resolved = host.to_socket_addrs().map(preferred);
        let address = match resolved {
            Ok(Some(address)) => address,
            Ok(None) => return Err(form()),
            Err(source) => return Err(TargetError::Resolve { host, source }),
        };
        if !allow_remote && !address.ip().to_canonical().is_loopback() {
            return Err(TargetError::Remote(address));
        }
        let path = if path.is_empty() { "/" } else { path };
        let authority = authority.to_owned();
        Ok((Target { address, authority }, path.to_owned()))
    }
}

/// The first IPv4 address, or else the first: `localhost` is often both, and most servers listen on 127.0.0.1 alone.
fn preferred(all: impl Iterator<Item = SocketAddr>) -> Option<SocketAddr> {
    all.min_by_key(SocketAddr::is_ipv6)
}

/// Why a plan cannot be carried out. All of these are the caller's to mend.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// Too few or too many of something.
    #[error("{what}: {found} is not between {least} and {most}")]
    Count {
        /// Of what.
        what: &'static str,
        /// How many.
        found: usize,
        /// The least.
        least: usize,
        /// The most.
        most: usize,
    },
    /// A time beyond what is measured.
    #[error("{0} is zero or longer than an hour")]
    Time(&'static str),
    /// The warm-up leaves nothing to measure.
    #[error("the warm-up is not shorter than the run")]
    Warmup,
    /// Windows without number.
    #[error("more than {WINDOWS_MAX} windows: make them longer")]
    Windows,
    /// Looks that are not where the workers measure.
    #[error(
        "looks at the cores are at most {LOOKS_MAX}, in ascending order, between the end of the warm-up and that of the run"
    )]
    Looks,
    /// Two classes with one name.
    #[error("two classes are called {0}")]
    DuplicateName(String),
    /// Something of a class.
    #[error("class {class}: {problem}")]
    Class {
        /// Its name.
        class: String,
        /// What is wrong and what to write.
        problem: &'static str,
    },
}

impl Plan {
    /// Finds out whether the plan can be carried out within the bounds on memory.
    ///
    /// # Errors
    /// The first thing that is wrong.
    pub fn check(&self) -> Result<(), PlanError> {
        count("threads", self.threads, 1, THREADS_MAX)?;
        count("classes", self.classes.len(), 1, CLASSES_MAX)?;
        let connections = self.classes.iter().map(|class| self.connections(class));
        count(
            "connections",
            connections.fold(0, usize::saturating_add),
            1,
            CONNECTIONS_MAX,
        )?;
        time("the duration", self.duration)?;
        if !self.drain.is_zero() {
            time("the time for the last answers", self.drain)?;
        }
        if !self.window.is_zero() && self.duration.as_nanos() / self.window.as_nanos() > WINDOWS_MAX {
            return Err(PlanError::Windows);
        }
        if self.warmup >= self.duration {
            return Err(PlanError::Warmup);
        }
        let times = [self.warmup]
            .into_iter()
            .chain(self.looks.iter().copied())
            .chain([self.duration]);
        if self.looks.len() > LOOKS_MAX || !times.is_sorted() {
            return Err(PlanError::Looks);
        }
        for (i, class) in self.classes.iter().enumerate() {
            if self.classes[..i].iter().any(|other| other.name == class.name) {
                return Err(PlanError::DuplicateName(class.name.clone()));
            }
            class.check(self)?;
        }
        Ok(())
    }

    /// Most connections that a class has at a time.
    #[must_use]
    pub fn connections(&self, class: &Class) -> usize {
        match self.mode {
            Mode::Open => class.max_in_flight,
            Mode::Closed => class.opened,
        }
    }
}

impl Class {
    /// A class with the usual values: a `GET` of `path`, Poisson, one at a time, keep-alive over 16 connections, at most 1,024
    /// requests in flight and none waiting, given up after 10 s.
    #[must_use]
    pub fn new(name: &str, path: Path, rate: f64) -> Class {
        Class {
            name: name.to_owned(),
            rate,
            arrivals: Arrivals::Poisson,
            batch: 1,
            method: "GET".to_owned(),
            path,
            headers: Vec::new(),
            body: Vec::new(),
            deadline: None,
            deadline_header: None,
            active: None,
            timeout: Duration::from_secs(10),
            connections: Connections::KeepAlive,
            opened: 16,
            max_in_flight: 1024,
            queue: 0,
            expect: Vec::new(),
        }
    }

    /// Whether an answer with this status is what the class asks for.
    #[must_use]
    pub fn is_good(&self, status: u16) -> bool {
        if self.expect.is_empty() {
            (200..300).contains(&status)
        } else {
            self.expect.contains(&status)
        }
    }

    fn check(&self, plan: &Plan) -> Result<(), PlanError> {
        let problem = |problem| {
            Err(PlanError::Class {
                class: self.name.clone(),
                problem,
            })
        };
        if self.name.is_empty() || self.name.len() > 64 || self.name.chars().any(char::is_control) {
            return problem("a name has 1 to 64 characters");
        }
        if !(self.rate > 0.0 && self.rate <= RATE_MAX) && plan.mode == Mode::Open {
            return problem("`rate` is requests a second: more than 0, at most 10 million");
        }
        if !(1..=100_000).contains(&self.batch) {
            return problem("`batch` is a number from 1 to 100,000");
        }
        if self.opened > self.max_in_flight && plan.mode == Mode::Open {
            return problem("`connections` exceeds `max_in_flight`");
        }
        if plan.connections(self) < plan.threads {
            return problem("each thread needs a connection: fewer threads or more connections");
        }
        if self.queue > QUEUE_MAX {
            return problem("`queue` is at most 1,000,000");
        }
        if self.timeout.is_zero() || self.timeout > TIME_MAX {
            return problem("`timeout` is more than nothing and at most an hour");
        }
        if self.deadline.is_some_and(|deadline| deadline.is_zero()) {
            return problem("`deadline` is more than nothing");
        }
        if self.active.as_ref().is_some_and(Range::is_empty) {
            return problem("`until` is after `from`");
        }
        if self.body.len() > BODY_BYTES_MAX {
            return problem("a body has at most 64 MiB");
        }
        if !is_token(&self.method) {
            return problem("`method` is one word");
        }
        let fields = self
            .headers
            .iter()
            .map(|(name, _)| name)
            .chain(&self.deadline_header);
        for name in fields {
            if !is_token(name) {
                return problem("a field's name is one word");
            }
            if FRAMING.iter().any(|own| name.eq_ignore_ascii_case(own)) {
                return problem(
                    "Host, Connection, Content-Length and Transfer-Encoding are written by the program",
                );
            }
        }
        if self.headers.iter().any(|(_, value)| {
            value
                .bytes()
                .any(|byte| byte < b' ' && byte != b'\t' || byte == 127)
        }) {
            return problem("a field's value has no control characters");
        }
        self.path.check().or_else(problem)
    }
}

impl Path {
    fn check(&self) -> Result<(), &'static str> {
        let parts = match self {
            Path::Fixed(path) => [path.as_str(), ""],
            Path::Numbered {
                before,
                after,
                routes,
                zipf,
            } => {
                if !(1..=1_000_000).contains(routes) {
                    return Err("`routes` is a number from 1 to 1,000,000");
                }
                if !(0.0..=10.0).contains(zipf) {
                    return Err("`zipf` is an exponent from 0 to 10");
                }
                [before.as_str(), after.as_str()]
            }
        };
        let is_plain = |byte: u8| (0x21..0x7f).contains(&byte) && byte != b'#';
        if parts[0].starts_with('/') && parts.iter().all(|part| part.bytes().all(is_plain)) {
            Ok(())
        } else {
            Err("`path` begins with / and has neither blanks nor controls nor #; escape what is not ASCII")
        }
    }
}

/// Fields that the program writes itself.
const FRAMING: [&str; 4] = ["host", "connection", "content-length", "transfer-encoding"];

fn is_token(text: &str) -> bool {
    let is_token_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !text.is_empty() && text.bytes().all(is_token_byte)
}

fn count(what: &'static str, found: usize, least: usize, most: usize) -> Result<(), PlanError> {
    if (least..=most).contains(&found) {
        return Ok(());
    }
    Err(PlanError::Count {
        what,
        found,
        least,
        most,
    })
}

fn time(what: &'static str, found: Duration) -> Result<(), PlanError> {
    if found.is_zero() || found > TIME_MAX {
        return Err(PlanError::Time(what));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_this_machine_unless_another_is_allowed() {
        let (target, path) = Target::parse("http://127.0.0.1:8080/hash?a=b", false).expect("a target");
        assert_eq!(target.address.port(), 8080);
        assert_eq!(
            (target.authority.as_str(), path.as_str()),
            ("127.0.0.1:8080", "/hash?a=b")
        );
        let (target, path) = Target::parse("http://[::1]", false).expect("a target");
        assert_eq!((target.address.port(), path.as_str()), (80, "/"));
        let remote = Target::parse("http://192.0.2.1:80/", false);
        assert!(matches!(remote, Err(TargetError::Remote(_))), "{remote:?}");
        assert!(Target::parse("http://192.0.2.1:80/", true).is_ok());
        for wrong in [
            "https://127.0.0.1",
            "127.0.0.1:80",
            "http:///",
            "http://a@127.0.0.1/",
            "http://127.0.0.1/#x",
        ] {
            assert!(
                matches!(Target::parse(wrong, true), Err(TargetError::Form(_))),
                "{wrong}"
            );
        }
    }

    #[test]
    fn only_the_address_that_is_used_has_to_be_this_machine() {
        let addresses =
            ["[::1]:80", "127.0.0.1:80", "127.0.0.2:80"].map(|text| text.parse().expect("an address"));
        assert_eq!(preferred(addresses.into_iter()), Some(addresses[1]));
        assert_eq!(preferred(addresses[..1].iter().copied()), Some(addresses[0]));
        assert!(Target::parse("http://[::ffff:127.0.0.1]:80/", false).is_ok());
        for remote in [
            "http://[::ffff:192.0.2.1]:80/",
            "http://[2001:db8::1]/",
            "http://0.0.0.0/",
        ] {
            let parsed = Target::parse(remote, false);
            assert!(
                matches!(parsed, Err(TargetError::Remote(_))),
                "{remote}: {parsed:?}"
            );
        }
    }

    fn plan(class: Class) -> Plan {
        let (target, _) = Target::parse("http://127.0.0.1:1", false).expect("a target");
        Plan {
            target,
            mode: Mode::Open,
            seed: 1,
            threads: 1,
            warmup: Duration::ZERO,
            duration: Duration::from_secs(1),
            requests: None,
            drain: Duration::from_secs(1),
            spin: Duration::ZERO,
            window: Duration::ZERO,
            looks: Vec::new(),
            nice: 0,
            cpus: Vec::new(),
            classes: vec![class],
        }
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        let class = || Class::new("a", Path::Fixed("/".to_owned()), 1.0);
        assert_eq!(plan(class()).check(), Ok(()));
        let spoil: [fn(&mut Class); 9] = [
            |class| class.rate = 0.0,
            |class| class.rate = f64::NAN,
            |class| class.path = Path::Fixed("/a b".to_owned()),
            |class| class.path = Path::Fixed("*".to_owned()),
            |class| class.max_in_flight = 0,
            |class| class.headers = vec![("A".to_owned(), "b\r\nC: d".to_owned())],
            |class| class.headers = vec![("Content-length".to_owned(), "1".to_owned())],
            |class| class.method = "GET /".to_owned(),
            |class| class.batch = 0,
        ];
        for (i, spoil) in spoil.into_iter().enumerate() {
            let mut class = class();
            spoil(&mut class);
            assert!(plan(class).check().is_err(), "{i}");
        }
        let mut twice = plan(class());
        twice.classes.push(class());
        assert_eq!(twice.check(), Err(PlanError::DuplicateName("a".to_owned())));
        let mut warm = plan(class());
        warm.warmup = warm.duration;
        assert_eq!(warm.check(), Err(PlanError::Warmup));
        let looking = |at: &[u64]| {
            let mut plan = plan(class());
            plan.warmup = Duration::from_millis(100);
            plan.looks = at.iter().copied().map(Duration::from_millis).collect();
            plan.check()
        };
        assert_eq!(looking(&[100, 100, 1000]), Ok(()));
        for wrong in [&[99][..], &[1001], &[300, 200]] {
            assert_eq!(looking(wrong), Err(PlanError::Looks), "{wrong:?}");
        }
    }
}

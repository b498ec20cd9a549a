//! `luge top`: what a running server does, from its own `/metrics`, again each second.
//!
//! ```text
//!   fetch: GET /metrics -> text: lines -> reading: numbers, rates -> view: tables -> stdout
//!     ^                                                                |
//!     +----------------- an interval later, or SIGINT: the end --------+
//! ```
//! It needs nothing but the admin address: no file, no signal, no right beyond connecting. What it asks of the server is what a
//! scrape does. On a terminal a table replaces the one before; elsewhere they follow each other, to be kept or searched.

mod fetch;
mod reading;
mod text;
mod view;

use std::io::{self, IsTerminal, Write};
use std::net::{SocketAddr, ToSocketAddrs};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use signal_hook::consts::TERM_SIGNALS;
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

use crate::config::parse_duration;
use reading::{Change, Reading};

pub use fetch::FetchError;
pub use text::NoMetric;

/// Arguments of `luge top`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  luge top                                 the server on this machine, until Ctrl-C
  luge top --admin edge-3:9090             another one
  luge top --once                          one table of the coming second
  luge top --interval 10s | tee top.log    a table each ten seconds

Rates and distributions are those of the time since the table before. `busy` counts the time that functions had a core, of one core.
`missed`: runs that ended after their deadline. `spill`: runs moved because they would have been late; `stolen` and `given`: because
another shard had nothing to do. `hand`: how long what was moved took to arrive. `estimate`: how long the scheduler expects a run to
have the core. Slack is the time to a run's deadline less its estimate.")]
pub struct TopArgs {
    /// The server's admin address
    #[arg(long, default_value = "127.0.0.1:9090", value_name = "HOST:PORT")]
    pub admin: String,
    /// Time between two readings, 10ms or more
    #[arg(long, default_value = "1s", value_name = "TIME", value_parser = parse_interval)]
    pub interval: Duration,
    /// Number of tables [default: no end]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub count: Option<u64>,
    /// One table: the same as --count 1
    #[arg(long, conflicts_with = "count")]
    pub once: bool,
    /// Number of functions that are shown, the busiest first
    #[arg(long, default_value_t = 20, value_name = "N")]
    pub functions: usize,
}

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TopProblem {
    /// The address has no meaning here.
    #[error("no such address: {admin}: {source}")]
    Address {
        /// As it was given.
        admin: String,
        /// Why.
        source: io::Error,
    },
    /// Signals cannot be heard.
    #[error("cannot handle signals: {0}")]
    Signals(io::Error),
    /// The server gives no metrics.
    #[error("{admin} does not tell: {source}")]
    Fetch {
        /// The admin address.
        admin: String,
        /// Why.
        source: FetchError,
    },
    /// What it gives is no text of metrics.
    #[error("{admin} does not tell: {source}")]
    Text {
        /// The admin address.
        admin: String,
        /// Why.
        source: NoMetric,
    },
    /// Its metrics are another program's.
    #[error("{admin} does not tell: its metrics are not luge's")]
    OtherServer {
        /// The admin address.
        admin: String,
    },
}

/// Shows what the server does until SIGINT or SIGTERM, or for as many tables as were asked for. The inner result is that of
/// writing them.
///
/// # Errors
/// [`TopProblem`]. On a terminal, a server that has answered once may be away for a while.
pub fn top(args: &TopArgs, out: &mut impl Write) -> Result<io::Result<()>, TopProblem> {
    let address = resolve(&args.admin)?;
    let ended = until_signal().map_err(TopProblem::Signals)?;
    let server = Server {
        name: &args.admin,
        address,
    };
    let count = if args.once { Some(1) } else { args.count };
    let redraw = count.is_none() && io::stdout().is_terminal();
    let first = server.read()?;
    let watched = Watch {
        server,
        args,
        redraw,
        tables_left: count,
    };
    watched.run(first, &ended, out)
}

fn resolve(admin: &str) -> Result<SocketAddr, TopProblem> {
    let unknown = |source| TopProblem::Address {
        admin: admin.to_owned(),
        source,
    };
    let mut found = admin.to_socket_addrs().map_err(unknown)?;
    found
        .next()
        .ok_or_else(|| unknown(io::ErrorKind::NotFound.into()))
}

/// Gives a message when the program is asked to end.
fn until_signal() -> io::Result<Receiver<()>> {
    let mut signals = Signals::new(TERM_SIGNALS)?;
    let (asked, ended) = mpsc::channel();
    let listen = move || {
        let mut signals = signals.forever();
        if signals.next().is_some() {
            // Nobody listens when the tables have come to their end.
            let _ = asked.send(());
        }
        // The first waits for a reading that is under way, the second for nothing.
        if let Some(signal) = signals.next() {
            let _ = emulate_default_handler(signal);
        }
    };
    thread::Builder::new()
        .name("luge-signals".to_owned())
        .spawn(listen)?;
    Ok(ended)
}

/// Whom to ask.
struct Server<'a> {
    name: &'a str,
    address: SocketAddr,
}

impl Server<'_> {
    fn read(&self) -> Result<Reading, TopProblem> {
        let admin = || self.name.to_owned();
        let text = fetch::metrics(self.address).map_err(|source| TopProblem::Fetch {
            admin: admin(),
            source,
        })?;
        let reading = Reading::parse(&text, Instant::now()).map_err(|source| TopProblem::Text {
            admin: admin(),
            source,
        })?;
        if reading.is_of_luge() {
            Ok(reading)
        } else {
            Err(TopProblem::OtherServer { admin: admin() })
        }
    }
}

/// A series of tables.
struct Watch<'a> {
    server: Server<'a>,
    args: &'a TopArgs,
    /// Whether a table takes the place of the one before.
    redraw: bool,
    /// Nothing: no end.
    tables_left: Option<u64>,
}

impl Watch<'_> {
    fn run(
        mut self,
        first: Reading,
        ended: &Receiver<()>,
        out: &mut impl Write,
    ) -> Result<io::Result<()>, TopProblem> {
        let mut before = first;
        while self.tables_left != Some(0) {
            match ended.recv_timeout(self.args.interval) {
                Err(RecvTimeoutError::Timeout) => {}
                Ok(()) | Err(RecvTimeoutError::Disconnected) => break,
            }
            let shown = match self.server.read() {
                Ok(after) => {
                    let change = Change::between(&before, &after);
                    before = after;
                    self.table(&change)
                }
                Err(problem) if self.redraw => format!("{problem}\n"),
                Err(problem) => return Err(problem),
            };
            if let Err(error) = self.show(&shown, out) {
                return Ok(Err(error));
            }
            self.tables_left = self.tables_left.map(|left| left - 1);
        }
        Ok(out.flush())
    }

    fn table(&self, change: &Change) -> String {
        let mut table = Vec::new();
        view::write(self.server.name, change, self.args.functions, &mut table)
            .expect("writing to memory does not fail");
        String::from_utf8(table).expect("tables are text")
    }

    fn show(&self, table: &str, out: &mut impl Write) -> io::Result<()> {
        if self.redraw {
            // Home, each line to its end, and what the last table had below: without an empty screen in between.
            let lines = table.replace('\n', "\x1b[K\n");
            write!(out, "\x1b[H{lines}\x1b[J")?;
        } else {
            writeln!(out, "{table}")?;
        }
        out.flush()
    }
}

fn parse_interval(text: &str) -> Result<Duration, String> {
    let interval = parse_duration(text).filter(|interval| *interval >= Duration::from_millis(10));
    interval.ok_or_else(|| "write a whole number and ms, s, min or h, 10ms or more".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> TopArgs {
        TopArgs {
            admin: "here:1".to_owned(),
            interval: Duration::from_millis(10),
            count: None,
            once: false,
            functions: 20,
        }
    }

    fn watch(args: &TopArgs, redraw: bool) -> Watch<'_> {
        Watch {
            server: Server {
                name: &args.admin,
                address: SocketAddr::from(([127, 0, 0, 1], 1)),
            },
            args,
            redraw,
            tables_left: None,
        }
    }

    #[test]
    fn a_terminal_is_drawn_anew_and_a_file_goes_on() {
        let args = args();
        let mut out = Vec::new();
        watch(&args, true).show("a\nb\n", &mut out).unwrap();
        assert_eq!(out, b"\x1b[Ha\x1b[K\nb\x1b[K\n\x1b[J");
        out.clear();
        watch(&args, false).show("a\nb\n", &mut out).unwrap();
        assert_eq!(out, b"a\nb\n\n");
    }

    #[test]
    fn it_ends_when_it_is_asked_to() {
        let args = args();
        let (asked, ended) = mpsc::channel();
        asked.send(()).unwrap();
        let nothing = Reading::parse("", Instant::now()).unwrap();
        let mut out = Vec::new();
        // The address answers nobody: the end comes before it is asked.
        watch(&args, false)
            .run(nothing, &ended, &mut out)
            .unwrap()
            .unwrap();
        assert!(out.is_empty());
    }

    #[test]
    fn intervals_are_not_too_short() {
        assert_eq!(parse_interval("10ms"), Ok(Duration::from_millis(10)));
        assert!(parse_interval("9ms").is_err() && parse_interval("1").is_err());
    }

    #[test]
    fn addresses_are_looked_up() {
        assert_eq!(
            resolve("127.0.0.1:9090").unwrap(),
            SocketAddr::from(([127, 0, 0, 1], 9090))
        );
        let problem = resolve("127.0.0.1").unwrap_err().to_string();
        assert!(problem.starts_with("no such address: 127.0.0.1: "), "{problem}");
    }
}

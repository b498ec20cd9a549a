//! Structured logs on stderr, written by a thread of their own.
//!
//! ```text
//!   shards --tracing--> formatted line --bounded channel--> writer thread --> stderr
//! ```
//! A shard never waits for its log: when stderr is a pipe that nobody reads, the channel fills up, further lines are
//! dropped and counted, and requests go on. A closed stderr is no error: the lines have nowhere to go, and the server
//! was not started to write logs.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;

/// Lines that may wait for the writer thread.
const LINES_MAX: usize = 4096;
/// Bytes of them: lines tell what guests wrote and clients asked for, which can be long.
const BYTES_MAX: usize = 8 << 20;

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Why logging cannot be set up.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The filter is not understood.
    #[error(
        "the log filter {text:?} is not understood: {reason}; write a level (error, warn, info, debug, trace) or \
             target=level pairs, like \"info,luge=debug\""
    )]
    Filter {
        /// The filter.
        text: String,
        /// The parser's words.
        reason: String,
    },
    /// The thread cannot be started.
    #[error("cannot start the thread that writes the log: {0}")]
    Thread(#[from] io::Error),
    /// Another logger is installed in this process.
    #[error("a logger is already installed")]
    Installed,
}

/// The running log; dropping it writes what waits and ends the thread.
#[derive(Debug)]
pub struct Log {
    lines: Arc<Lines>,
    thread: Option<JoinHandle<()>>,
}

/// The sending side.
#[derive(Debug)]
struct Lines {
    sender: SyncSender<Message>,
    /// Bytes of the lines that wait; the writer thread takes them off.
    waiting: Arc<AtomicUsize>,
    dropped: AtomicU64,
}

enum Message {
    Line(Vec<u8>),
    End,
}

impl Log {
    /// Installs the process's logger.
    ///
    /// # Errors
    /// When the filter is no filter, or a logger is there already.
    pub fn start(format: LogFormat, filter: &str) -> Result<Log, LogError> {
        let filter = EnvFilter::builder()
            .parse(filter)
            .map_err(|error| LogError::Filter {
                text: filter.to_owned(),
                reason: error.to_string(),
            })?;
        let (sender, receiver) = sync_channel(LINES_MAX);
        let waiting = Arc::new(AtomicUsize::new(0));
        let lines = Arc::new(Lines {
            sender,
            waiting: Arc::clone(&waiting),
            dropped: AtomicU64::new(0),
        });
        let thread = std::thread::Builder::new()
            .name("luge-log".into())
            .spawn(move || write_lines(&mut io::stderr(), &receiver, &waiting))?;
        let builder = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(LineMaker(Arc::clone(&lines)))
            // Else a failed write is reported by a print that panics when stderr is closed.
            .log_internal_errors(false)
            .with_ansi(false);
        let installed = match format {
            LogFormat::Text => tracing::subscriber::set_global_default(builder.finish()),
            LogFormat::Json => tracing::subscriber::set_global_default(builder.json().finish()),
        };
        installed.map_err(|_| LogError::Installed)?;
        Ok(Log {
            lines,
            thread: Some(thread),
        })
    }

    /// Sends the words of panics into the log. Where they go else, straight to stderr, a pipe that nobody reads would
    /// stop the shard that panicked, and the scheduler could not end the one run that is to blame.
    pub fn take_panics(&self) {
        std::panic::set_hook(Box::new(|panic| {
            let message = panic.payload_as_str().unwrap_or("no message").escape_debug();
            let place = panic.location().map(tracing::field::display);
            tracing::error!(%message, place, "panicked");
        }));
    }

    /// Reads, from any thread, how many lines were dropped because stderr was too slow.
    pub fn dropped_lines(&self) -> impl Fn() -> u64 + Send + Sync + 'static {
        let lines = Arc::clone(&self.lines);
        move || lines.dropped.load(Ordering::Relaxed)
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        // A full channel means a stuck stderr; then the end is not worth waiting for.
        let mut attempts = 100;
        while matches!(
            self.lines.sender.try_send(Message::End),
            Err(TrySendError::Full(_))
        ) {
            if attempts == 0 {
                return;
            }
            attempts -= 1;
            std::thread::sleep(Duration::from_millis(10));
        }
        if let Some(thread) = self.thread.take() {
            while !thread.is_finished() && attempts > 0 {
                attempts -= 1;
                std::thread::sleep(Duration::from_millis(5));
            }
        }
    }
}

/// Writes until the end is sent. A lock of stderr is held for one line at a time.
fn write_lines(out: &mut impl Write, receiver: &Receiver<Message>, waiting: &AtomicUsize) {
    while let Ok(Message::Line(line)) = receiver.recv() {
        waiting.fetch_sub(line.len(), Ordering::Relaxed);
        // Nobody is left to tell about a failure here.
        let _ = out.write_all(&line);
    }
}

impl Lines {
    /// Whether there was room for the line.
    fn take(&self, line: &[u8]) -> bool {
        let waiting = self.waiting.fetch_add(line.len(), Ordering::Relaxed);
        let taken = waiting.saturating_add(line.len()) <= BYTES_MAX
            && self.sender.try_send(Message::Line(line.to_owned())).is_ok();
        if !taken {
            self.waiting.fetch_sub(line.len(), Ordering::Relaxed);
        }
        taken
    }
}

struct LineMaker(Arc<Lines>);

impl<'a> MakeWriter<'a> for LineMaker {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> LineWriter<'a> {
        LineWriter(&self.0)
    }
}

/// Takes one event: the formatter hands a whole line to one `write`.
struct LineWriter<'a>(&'a Lines);

impl Write for LineWriter<'_> {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if !self.0.take(line) {
            self.0.dropped.fetch_add(1, Ordering::Relaxed);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(count: usize) -> (Arc<Lines>, Receiver<Message>) {
        let (sender, receiver) = sync_channel(count);
        let lines = Lines {
            sender,
            waiting: Arc::default(),
            dropped: AtomicU64::new(0),
        };
        (Arc::new(lines), receiver)
    }

    #[test]
    fn long_lines_are_bounded_by_their_bytes() {
        let (lines, receiver) = lines(LINES_MAX);
        let long = vec![b'x'; BYTES_MAX / 2];
        assert!(lines.take(&long) && lines.take(&long));
        assert!(!lines.take(b"y"));
        drop(lines.sender.try_send(Message::End));
        write_lines(&mut io::sink(), &receiver, &lines.waiting);
        assert!(lines.take(b"y"), "what was written makes room");
    }

    #[test]
    fn a_stuck_writer_drops_lines_and_blocks_nobody() {
        let (lines, receiver) = lines(2);
        let maker = LineMaker(Arc::clone(&lines));
        for _ in 0..5 {
            assert_eq!(maker.make_writer().write(b"line\n").unwrap(), 5);
        }
        assert_eq!(lines.dropped.load(Ordering::Relaxed), 3);
        assert!(matches!(receiver.try_recv(), Ok(Message::Line(line)) if line == b"line\n"));
    }

    #[test]
    fn a_wrong_filter_is_explained() {
        let error = Log::start(LogFormat::Text, "luge=loud").unwrap_err();
        assert!(error.to_string().contains("luge=loud"), "{error}");
    }
}

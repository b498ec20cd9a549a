//! What a failed accept says something about, and how long to wait before the next.

use std::io;
use std::time::Duration;

use rustix::io::Errno;

/// Pauses after an accept that failed for lack of resources: first and longest.
const PAUSE_FIRST: Duration = Duration::from_millis(5);
const PAUSE_LONGEST: Duration = Duration::from_millis(500);

/// What an error of accepting says something about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AcceptFailure {
    /// The connection died before it was accepted. The next may be well.
    Connection,
    /// Descriptors or memory are short. Time may help.
    Resources,
    /// The listener is useless.
    Listener,
}

impl AcceptFailure {
    /// Sorts the errors of accept(2). Unknown ones count as a shortage: they are tried again, slowly.
    pub(crate) fn of(error: &io::Error) -> Self {
        match Errno::from_io_error(error) {
            Some(
                Errno::CONNABORTED
                | Errno::CONNRESET
                | Errno::NOTCONN
                | Errno::PROTO
                | Errno::INTR
                | Errno::AGAIN,
            ) => Self::Connection,
            Some(Errno::BADF | Errno::INVAL | Errno::NOTSOCK | Errno::OPNOTSUPP | Errno::FAULT) => {
                Self::Listener
            }
            _ => Self::Resources,
        }
    }
}

/// How long to wait after each failure in a row: twice as long as before, up to a bound.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Self(PAUSE_FIRST)
    }
}

impl Pause {
    /// How long to wait now.
    pub(crate) fn next(&mut self) -> Duration {
        let now = self.0;
        self.0 = (now * 2).min(PAUSE_LONGEST);
        now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_broken_listener_ends_accepting() {
        let sort = |errno: Errno| AcceptFailure::of(&io::Error::from(errno));
        assert_eq!(sort(Errno::CONNABORTED), AcceptFailure::Connection);
        assert_eq!(sort(Errno::MFILE), AcceptFailure::Resources);
        assert_eq!(sort(Errno::NFILE), AcceptFailure::Resources);
        assert_eq!(sort(Errno::NOBUFS), AcceptFailure::Resources);
        assert_eq!(sort(Errno::PERM), AcceptFailure::Resources);
        assert_eq!(sort(Errno::BADF), AcceptFailure::Listener);
    }

    #[test]
    fn pauses_grow_to_a_bound() {
        let mut pause = Pause::default();
        let pauses: Vec<u128> = (0..9).map(|_| pause.next().as_millis()).collect();
        assert_eq!(pauses, [5, 10, 20, 40, 80, 160, 320, 500, 500]);
    }
}

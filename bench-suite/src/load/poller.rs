//! Waiting for connections and for the next start, to the microsecond.
//!
//! An epoll's own timeout is no use for that: in milliseconds with `epoll_wait`, and late by the thread's timer slack with
//! `epoll_pwait2`. The next start is therefore a timer descriptor among the others, which the kernel serves without slack. It
//! is set only when the moment changes, that is once for each start. What remains is the time that a sleeping core
//! needs to wake up, tens of microseconds on a virtual machine: a poller that *spins* does not sleep through the
//! last stretch.
//!
//! Connections are registered once, edge-triggered for everything, so that a request costs no `epoll_ctl`.

use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, timerfd_create, timerfd_settime,
};

/// Most events that one wait returns.
const EVENTS_MAX: usize = 256;

/// The timer's token; no connection has it.
const TIMER: u64 = u64::MAX;

const ZERO: Timespec = Timespec {
    tv_sec: 0,
    tv_nsec: 0,
};

pub(super) struct Poller {
    epoll: OwnedFd,
    timer: OwnedFd,
    /// When the timer goes off, if it has not yet.
    armed: Option<Instant>,
    events: Vec<Event>,
    spin: Duration,
}

impl Poller {
    pub(super) fn new(spin: Duration) -> Result<Poller, Errno> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let flags = TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK;
        let timer = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        // Edge-triggered: going off again is another edge, nothing has to be read.
        epoll::add(
            &epoll,
            &timer,
            EventData::new_u64(TIMER),
            EventFlags::IN | EventFlags::ET,
        )?;
        Ok(Poller {
            epoll,
            timer,
            armed: None,
            events: Vec::with_capacity(EVENTS_MAX),
            spin,
        })
    }

    /// Watches a socket until it is closed; events carry `token`.
    pub(super) fn add(&self, socket: impl AsFd, token: u64) -> Result<(), Errno> {
        let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        epoll::add(&self.epoll, socket, EventData::new_u64(token), flags)
    }

    /// Waits for an event, but not longer than to `until`. Without an event it never returns earlier.
    pub(super) fn wait(&mut self, until: Instant) -> Result<(), Errno> {
        loop {
            let now = Instant::now();
            // While it spins, and when it is too late to sleep, it only looks.
            let watch_from = until.checked_sub(self.spin).unwrap_or(until);
            let sleeps = now < watch_from;
            if sleeps {
                self.arm(now, watch_from)?;
            }
            self.take((!sleeps).then_some(&ZERO))?;
            if !self.events.is_empty() || Instant::now() >= until {
                return Ok(());
            }
            std::hint::spin_loop();
        }
    }

    fn arm(&mut self, now: Instant, at: Instant) -> Result<(), Errno> {
        if self.armed == Some(at) {
            return Ok(());
        }
        let left = at.saturating_duration_since(now);
        let it_value = Timespec {
            tv_sec: left.as_secs().cast_signed(),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        let setting = Itimerspec {
            it_interval: ZERO,
            it_value,
        };
        timerfd_settime(&self.timer, TimerfdTimerFlags::empty(), &setting)?;
        self.armed = Some(at);
        Ok(())
    }

    fn take(&mut self, timeout: Option<&Timespec>) -> Result<(), Errno> {
        self.events.clear();
        match epoll::wait(&self.epoll, spare_capacity(&mut self.events), timeout) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        let count = self.events.len();
        self.events.retain(|event| event.data.u64() != TIMER);
        if self.events.len() < count {
            self.armed = None;
        }
        Ok(())
    }

    /// Number of events of the last wait.
    pub(super) fn len(&self) -> usize {
        self.events.len()
    }

    /// Token and flags of an event.
    pub(super) fn event(&self, i: usize) -> (u64, EventFlags) {
        let Event { flags, data } = self.events[i];
        (data.u64(), flags)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_wait_never_ends_too_early_without_an_event() {
        for spin in [Duration::ZERO, Duration::from_micros(200)] {
            let mut poller = Poller::new(spin).expect("epoll");
            for wait_us in [0, 50, 700, 5000] {
                let until = Instant::now() + Duration::from_micros(wait_us);
                poller.wait(until).expect("a wait");
                assert_eq!(poller.len(), 0);
                assert!(Instant::now() >= until, "{wait_us} us, {spin:?}");
            }
        }
    }

    #[test]
    fn an_event_ends_the_wait_and_carries_its_token() {
        let mut poller = Poller::new(Duration::ZERO).expect("epoll");
        let (near, mut far) = UnixStream::pair().expect("a pair");
        far.write_all(b"x").expect("room");
        poller.add(&near, 7).expect("registered");
        let until = Instant::now() + Duration::from_secs(60);
        poller.wait(until).expect("a wait");
        assert!(Instant::now() < until);
        let (token, flags) = poller.event(0);
        assert_eq!((poller.len(), token), (1, 7));
        assert!(flags.contains(EventFlags::IN | EventFlags::OUT));
    }

    #[test]
    fn the_timer_serves_any_number_of_waits() {
        let mut poller = Poller::new(Duration::ZERO).expect("epoll");
        let (near, mut far) = UnixStream::pair().expect("a pair");
        poller.add(&near, 7).expect("registered");
        // The socket can be written to: the first edge. It ends a wait whose timer then goes off unheeded.
        poller
            .wait(Instant::now() + Duration::from_millis(1))
            .expect("a wait");
        assert_eq!(poller.len(), 1);
        std::thread::sleep(Duration::from_millis(2));
        for _ in 0..3 {
            let until = Instant::now() + Duration::from_millis(3);
            poller.wait(until).expect("a wait");
            assert_eq!(poller.len(), 0);
            assert!(Instant::now() >= until);
        }
        far.write_all(b"x").expect("room");
        poller
            .wait(Instant::now() + Duration::from_secs(60))
            .expect("a wait");
        assert_eq!(poller.event(0).0, 7);
    }
}

//! Points in time as one number, so that what a shard does at each event is integer arithmetic.
//!
//! ```text
//!   CLOCK_MONOTONIC   0 ├──────────────┬─────────────────────┬───────────────────► 2^64 ns, 584 years
//!                     boot            now                 deadline
//! ```
//! The standard library's `Instant` is seconds and nanoseconds: each difference borrows, each sum carries, each comparison is two. That
//! was a quarter of the scheduler's instructions for a short task. Here each is one instruction and what saturates it.
//!
//! Nothing panics at the ends: what would be earlier than the clock's zero is its zero, and what would be later than its last
//! nanosecond is that. Where the difference matters, the checked methods tell it.

use std::fmt;
use std::ops::{Add, AddAssign, Sub, SubAssign};
use std::sync::OnceLock;
use std::time::Duration;

const NANOS_PER_SEC: u64 = 1_000_000_000;

/// Pairs of readings from which the tightest is taken to convert by.
const READINGS: usize = 16;

/// A point in time on the machine's monotonic clock (`CLOCK_MONOTONIC`), with nanoseconds of resolution.
///
/// It has the methods of [`std::time::Instant`], which reads the same clock. Arithmetic saturates at the clock's zero, about when the
/// machine was started, and 584 years after it.
///
/// Conversions from and to the standard library's type go by a pair of readings that is taken once in a process, so they keep order and
/// distances exactly, and one way undoes the other. The pair itself is as far apart as two looks at the clock that follow each other:
/// converted from the standard library's, an instant is later by up to some tens of nanoseconds, never earlier; converted to it, it is
/// earlier by as much.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Instant(u64);

impl Instant {
    /// Reads the clock: no system call, by the code that the kernel maps into each process.
    #[inline]
    #[must_use]
    pub fn now() -> Self {
        let time = monotonic();
        // Neither is ever negative on this clock.
        Self(time.tv_sec as u64 * NANOS_PER_SEC + time.tv_nsec as u64)
    }

    /// The instant so many nanoseconds after the clock's zero.
    #[inline]
    #[must_use]
    pub const fn from_nanos(nanoseconds: u64) -> Self {
        Self(nanoseconds)
    }

    /// Nanoseconds since the clock's zero.
    #[inline]
    #[must_use]
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// The time from `earlier` to this; zero where that is not earlier.
    #[inline]
    #[must_use]
    pub const fn duration_since(self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }

    /// The time from `earlier` to this; zero where that is not earlier.
    #[inline]
    #[must_use]
    pub const fn saturating_duration_since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// The time from `earlier` to this; nothing where that is later.
    #[inline]
    #[must_use]
    pub fn checked_duration_since(self, earlier: Self) -> Option<Duration> {
        self.0.checked_sub(earlier.0).map(Duration::from_nanos)
    }

    /// This instant and `duration`; nothing where the clock does not go so far.
    #[inline]
    #[must_use]
    pub fn checked_add(self, duration: Duration) -> Option<Self> {
        self.0.checked_add(checked_nanoseconds(duration)?).map(Self)
    }

    /// This instant less `duration`; nothing where that lies before the clock's zero.
    #[inline]
    #[must_use]
    pub fn checked_sub(self, duration: Duration) -> Option<Self> {
        self.0.checked_sub(checked_nanoseconds(duration)?).map(Self)
    }
}

/// The C library's reading, not one that looks for the kernel's code by itself: such a one finds it under valgrind too, where it is not
/// mapped.
#[expect(
    unsafe_code,
    reason = "the C library writes the time to a place that it is given"
)]
#[inline]
fn monotonic() -> libc::timespec {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is this function's own and outlives the call, which writes nothing else.
    let failed = unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    debug_assert_eq!(failed, 0, "every kernel has this clock");
    time
}

/// As a number, which holds 584 years; nothing for longer.
#[inline]
fn checked_nanoseconds(duration: Duration) -> Option<u64> {
    let seconds = duration.as_secs().checked_mul(NANOS_PER_SEC)?;
    seconds.checked_add(duration.subsec_nanos().into())
}

/// As a number, which holds 584 years; longer is as long.
#[inline]
pub(crate) const fn nanoseconds(duration: Duration) -> u64 {
    let seconds = duration.as_secs().saturating_mul(NANOS_PER_SEC);
    seconds.saturating_add(duration.subsec_nanos() as u64)
}

impl Add<Duration> for Instant {
    type Output = Self;

    #[inline]
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(nanoseconds(duration)))
    }
}

impl AddAssign<Duration> for Instant {
    #[inline]
    fn add_assign(&mut self, duration: Duration) {
        *self = *self + duration;
    }
}

impl Sub<Duration> for Instant {
    type Output = Self;

    #[inline]
    fn sub(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(nanoseconds(duration)))
    }
}

impl SubAssign<Duration> for Instant {
    #[inline]
    fn sub_assign(&mut self, duration: Duration) {
        *self = *self - duration;
    }
}

impl Sub for Instant {
    type Output = Duration;

    #[inline]
    fn sub(self, earlier: Self) -> Duration {
        self.saturating_duration_since(earlier)
    }
}

impl fmt::Debug for Instant {
    /// As the time since the clock's zero.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Instant")
            .field(&Duration::from_nanos(self.0))
            .finish()
    }
}

impl From<std::time::Instant> for Instant {
    fn from(at: std::time::Instant) -> Self {
        let (theirs, ours) = same_moment();
        match at.checked_duration_since(theirs) {
            Some(later) => ours + later,
            None => ours - theirs.saturating_duration_since(at),
        }
    }
}

impl From<Instant> for std::time::Instant {
    fn from(at: Instant) -> Self {
        let (theirs, ours) = same_moment();
        // Theirs has room for what ours can tell, before its own zero as well.
        let converted = match at.checked_duration_since(ours) {
            Some(later) => theirs.checked_add(later),
            None => theirs.checked_sub(ours - at),
        };
        converted.unwrap_or(theirs)
    }
}

/// The clock by both types: the same pair whenever it is asked for. Of several readings the one that took least; ours is read last, so
/// that what was converted from theirs is never early.
#[expect(
    clippy::disallowed_methods,
    reason = "it is read to learn how two types tell it, not what time it is"
)]
fn same_moment() -> (std::time::Instant, Instant) {
    static MOMENT: OnceLock<(std::time::Instant, Instant)> = OnceLock::new();
    *MOMENT.get_or_init(|| {
        let read = |_| {
            let before = Instant::now();
            let theirs = std::time::Instant::now();
            let ours = Instant::now();
            (ours - before, theirs, ours)
        };
        let tightest = (1..READINGS)
            .map(read)
            .fold(read(0), |best, next| if next.0 < best.0 { next } else { best });
        (tightest.1, tightest.2)
    })
}

#[cfg(test)]
#[expect(
    clippy::disallowed_methods,
    reason = "what is tested is the clock, and agreement with the standard library's"
)]
mod tests {
    use super::*;

    const FIRST: Instant = Instant::from_nanos(0);
    const LAST: Instant = Instant::from_nanos(u64::MAX);
    const NS: Duration = Duration::from_nanos(1);

    /// Durations of all sizes up to some 73 years, some of them whole seconds.
    fn durations() -> impl Iterator<Item = Duration> {
        let mut state = 11_u64;
        std::iter::repeat_with(move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let mixed = state ^ (state >> 29);
            match mixed % 4 {
                0 => Duration::from_secs((mixed >> 32) % 1_000),
                _ => Duration::from_nanos(mixed >> (3 + (state >> 58) % 56)),
            }
        })
    }

    #[test]
    fn nothing_lies_beyond_the_ends() {
        assert_eq!(FIRST - NS, FIRST);
        assert_eq!(LAST + NS, LAST);
        assert_eq!(FIRST + Duration::MAX, LAST);
        assert_eq!(LAST - Duration::MAX, FIRST);
        assert_eq!(FIRST - LAST, Duration::ZERO);
        assert_eq!(FIRST.duration_since(LAST), Duration::ZERO);
        assert_eq!(LAST - FIRST, Duration::from_nanos(u64::MAX));
        let (mut up, mut down) = (LAST, FIRST);
        up += NS;
        down -= NS;
        assert_eq!((up, down), (LAST, FIRST));
    }

    #[test]
    fn the_checked_methods_tell_where_the_ends_are() {
        let whole = Duration::from_nanos(u64::MAX);
        assert_eq!(FIRST.checked_add(whole), Some(LAST));
        assert_eq!(FIRST.checked_add(whole + NS), None);
        assert_eq!(
            FIRST.checked_add(Duration::from_secs(u64::MAX / 1_000_000_000 + 1)),
            None
        );
        assert_eq!((FIRST + NS).checked_add(whole), None);
        assert_eq!(FIRST.checked_add(Duration::MAX), None);
        assert_eq!(LAST.checked_sub(whole), Some(FIRST));
        assert_eq!((LAST - NS).checked_sub(whole), None);
        assert_eq!(FIRST.checked_sub(NS), None);
        assert_eq!(FIRST.checked_duration_since(FIRST), Some(Duration::ZERO));
        assert_eq!(FIRST.checked_duration_since(FIRST + NS), None);
        // It is 584 years, and not a nanosecond more.
        assert_eq!(LAST.checked_sub(Duration::MAX), None);
        assert_eq!(LAST.checked_sub(whole + NS), None);
    }

    #[test]
    fn it_reckons_as_the_standard_library_does() {
        // Far enough from zero for all that is taken off.
        let (ours, theirs) = (Instant::from_nanos(1 << 63), std::time::Instant::now());
        let mut offsets = durations();
        for _ in 0..20_000 {
            let [a, b, c] = [(); 3].map(|()| offsets.next().unwrap_or_default());
            let (first, second) = (ours + a, ours - b + c);
            let (their_first, their_second) = (theirs + a, theirs - b + c);
            assert_eq!(
                first.cmp(&second),
                their_first.cmp(&their_second),
                "{a:?} {b:?} {c:?}"
            );
            for (one, other, their_one, their_other) in [
                (first, second, their_first, their_second),
                (second, first, their_second, their_first),
            ] {
                assert_eq!(one - other, their_one - their_other);
                assert_eq!(
                    one.checked_duration_since(other),
                    their_one.checked_duration_since(their_other)
                );
            }
            let sums = (first.checked_add(b), first.checked_sub(c));
            let their_sums = (their_first.checked_add(b), their_first.checked_sub(c));
            assert_eq!(
                (sums.0.map(|sum| sum - ours), sums.1.map(|sum| ours - sum)),
                (
                    their_sums.0.map(|sum| sum - theirs),
                    their_sums.1.map(|sum| theirs - sum)
                )
            );
        }
    }

    #[test]
    fn instants_converted_there_and_back_are_the_same() {
        let (theirs, ours) = same_moment();
        assert_eq!(same_moment(), (theirs, ours));
        for offset in durations().take(2_000) {
            for at in [ours + offset, ours - offset] {
                assert_eq!(Instant::from(std::time::Instant::from(at)), at);
            }
            assert_eq!(std::time::Instant::from(ours + offset), theirs + offset);
            assert_eq!(Instant::from(theirs + offset), ours + offset);
            // Not before the zero, which the machine may have left minutes ago.
            let before = theirs.checked_sub(offset).map(Instant::from);
            assert_eq!(before, Some(ours - offset));
        }
        for end in [FIRST, LAST] {
            assert_eq!(Instant::from(std::time::Instant::from(end)), end);
        }
        let beyond = std::time::Instant::from(LAST) + NS;
        assert_eq!(Instant::from(beyond), LAST);
    }

    #[test]
    fn what_is_converted_from_the_standard_library_is_not_early() {
        for _ in 0..1_000 {
            let before = Instant::now();
            let theirs = std::time::Instant::now();
            let ours = Instant::from(theirs);
            // The difference is that of two looks at the clock; this fails for other clocks and other units.
            assert!(ours >= before && ours <= before.max(Instant::now()) + Duration::from_secs(1));
            assert!(std::time::Instant::from(before) <= theirs);
        }
    }

    #[test]
    fn it_is_printed_as_a_time() {
        let at = Instant::from_nanos(1_500_000_000);
        assert_eq!(format!("{at:?}"), "Instant(1.5s)");
        assert_eq!(at.as_nanos(), 1_500_000_000);
    }
}

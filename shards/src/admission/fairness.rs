//! Who has to leave room for others where more is asked for than fits: max-min fairness between the classes of tasks.
//!
//! ```text
//!   asked for   ▁▁  ██  ██     of 100 that fit: level 35
//!               30  60  60
//!   the demand-bound test alone, long deadlines last     10  30  60
//!   max-min                                              30  35  35
//! ```
//! The demand-bound test lets in whatever fits, so a class with long deadlines fills the time up to these, and leaves nothing to one
//! whose deadlines are short: whatever that adds would make one of the others late. So once something was refused, the work that
//! each class asks for and is given is counted, and a *level* found: what each may take if those who want less get all that
//! they want (Demers, Keshav and Shenker, *Analysis and Simulation of a Fair Queueing Algorithm*, SIGCOMM 1989; Wang and others, *LaSS*,
//! HPDC 2021, share a machine among functions so). A class that lately took more than its level is *above* it, and is let in only
//! where work takes no more than a part of the time up to its deadline: all of it while nobody below is refused much, down to
//! a quarter otherwise. Whoever is below may fill the rest. So what those below do not want is still had by those above, and a core without
//! work takes whatever comes.
//!
//! Work is what admission reckons with, which nine of ten tasks do not exceed; it is not put right by what they took.

use std::time::Duration;

use super::{Supply, TASK_OVERHEAD};
use crate::settings::CLASSES_MAX;
use crate::time::{Instant, nanoseconds};

/// The level is found anew after so many nanoseconds, from what was asked and given in them and, as much again, in all before.
const WINDOW: u64 = 100_000_000;

/// After so many windows in which nothing was refused for want of room, nor to leave some free while more was asked for than the core can do, nothing
/// is counted any more.
const QUIET_WINDOWS: u64 = 10;

/// What all ask for is the mean of some so many windows: long tasks come seldom.
const LOAD_WINDOWS: u64 = 16;

/// Nor after so many in which nothing was asked for.
const FORGOTTEN_WINDOWS: u64 = 34;

/// The part of the time up to its deadline that a class above its level leaves free is in parts of this.
const PARTS: u64 = 32;

/// At most so much is left free.
const FREE_MAX: u64 = 24;

/// So much more is, after each window in which a class was refused that lately was refused much and given less than its level.
const MORE: u64 = 8;

/// So much less, after each in which there was no such class, and somebody was refused for the sake of what is left free.
const LESS: u64 = 1;

/// But so much stays. Were it nothing, those above would fill the time to their deadlines, and those below be refused until that is over,
/// which may be many windows.
const FREE_LEAST: u64 = 4;

/// Much is more than one of so many of what it asked for; less than its level, by one of so many.
const MUCH: u64 = 16;

/// Of what fits, this much is dealt out by levels. What is left over keeps those above in the race for more, so that the
/// level rises where more fits than was given.
const DEALT: (u64, u64) = (15, 16);

/// What classes ask for and are given, while not all fits.
#[derive(Debug)]
pub(crate) struct Fairness {
    is_on: bool,
    /// Nothing while all fits.
    contention: Option<Box<Contention>>,
}

#[derive(Debug)]
struct Contention {
    /// When the window began.
    began: Instant,
    /// Windows since one in which something was refused for want of room; or to leave some free, while more was asked for than the core can do.
    quiet: u64,
    /// Nanoseconds that the core would need in a window for all that is asked for, by some [`LOAD_WINDOWS`].
    load: u64,
    /// The same in this window so far.
    asked_now: u64,
    /// Nanoseconds of a window that the core has for tasks.
    supply: u64,
    /// Nanoseconds of work in a window that each class may take. Nothing in the first window, and where less than two ask.
    level: Option<u64>,
    /// What those above it leave free of the time to their deadlines, in [`PARTS`].
    free: u64,
    /// Whether one of them was refused for that alone in this window.
    spared: bool,
    /// Those that have asked lately, by class.
    takers: Vec<Taker>,
    /// What they asked for, while the level is found.
    asked: Vec<u64>,
}

/// A class that asks. All is nanoseconds of work.
#[derive(Debug)]
struct Taker {
    class: u32,
    asked: Work,
    taken: Work,
    /// What it was refused though it was not above its level.
    denied: Work,
    /// Whether that was in the window that has ended, too.
    denied_last: bool,
    /// What it may still take: it grows by the level, and stands between a level and as much below nothing, or the last task below.
    credit: i64,
    /// When that was counted.
    counted: Instant,
}

/// Work in this window, and in [`WINDOW`] lately.
#[derive(Clone, Copy, Debug, Default)]
struct Work {
    now: u64,
    lately: u64,
}

impl Fairness {
    pub(crate) fn new(is_on: bool) -> Self {
        Self {
            is_on,
            contention: None,
        }
    }

    /// Whether something was refused lately, so that what is asked for is counted.
    pub(crate) fn is_contended(&self, now: Instant) -> bool {
        self.contention
            .as_ref()
            .is_some_and(|contention| !contention.is_forgotten(now))
    }

    /// Tasks lately had this part of the core.
    pub(crate) fn supplied_by(&mut self, supply: &Supply) {
        if let Some(contention) = &mut self.contention {
            contention.supply = supply.of(WINDOW);
        }
    }

    /// A task of this class asks for so much work, which would fit on a core without any other.
    pub(crate) fn ask(&mut self, class: u32, work: Duration, now: Instant) {
        if self
            .contention
            .as_mut()
            .is_some_and(|contention| contention.turn(now))
        {
            self.contention = None;
        }
        let Some(contention) = &mut self.contention else {
            return;
        };
        let core = nanoseconds(work.saturating_add(TASK_OVERHEAD));
        contention.asked_now = contention.asked_now.saturating_add(core);
        if let Some(taker) = contention.taker(class, now) {
            taker.asked.add(work);
        }
    }

    /// What has to fit so that a task of this class is let in, which needs `work` and has that much of the core until its deadline: the
    /// work, or what is to be left free, its own work included.
    pub(crate) fn needed(&self, class: u32, work: Duration, supply: Duration, now: Instant) -> Duration {
        let contention = self.contention.as_ref();
        let Some(contention) = contention.filter(|contention| contention.is_held(class, now)) else {
            return work;
        };
        let free = supply.as_nanos().saturating_mul(contention.free.into()) / u128::from(PARTS);
        let free = Duration::from_nanos(u64::try_from(free).unwrap_or(u64::MAX));
        // It may always wait behind one like itself: where deadlines are short, the core would have nothing to do between two of them.
        let most = supply.saturating_sub(work + 2 * TASK_OVERHEAD);
        work.max(free.saturating_sub(TASK_OVERHEAD).min(most))
    }

    /// After which time this class will not be above its level, if it takes nothing until then.
    pub(crate) fn held_for(&self, class: u32, now: Instant) -> Duration {
        let contention = self.contention.as_ref();
        contention.map_or(Duration::ZERO, |contention| contention.held_for(class, now))
    }

    /// What was asked for is given.
    pub(crate) fn give(&mut self, class: u32, work: Duration, now: Instant) {
        let Some(contention) = &mut self.contention else {
            return;
        };
        let level = contention.level;
        let Some(taker) = contention.taker(class, now) else {
            return;
        };
        taker.taken.add(work);
        if let Some(level) = level {
            let (level, work) = (signed(level), signed(nanoseconds(work)));
            let before = taker.credit_at(level, now);
            // One task may be more than a level, and a small one after it takes nothing off what is owed.
            let least = (-level.max(work)).min(before);
            taker.credit = before.saturating_sub(work).max(least);
            taker.counted = now;
        }
    }

    /// What was asked for is refused only because room is to be left free for others.
    pub(crate) fn spare(&mut self) {
        if let Some(contention) = &mut self.contention {
            contention.spared = true;
        }
    }

    /// How many of so many places in a queue this class may have a part in: all but those that it is to leave free, and one at least.
    pub(crate) fn places(&self, class: u32, all: usize, now: Instant) -> usize {
        let contention = self.contention.as_ref();
        let held = contention.filter(|contention| contention.is_held(class, now));
        let free = held.map_or(0, |contention| contention.free as usize);
        (all - all.saturating_mul(free) / PARTS as usize).max(1)
    }

    /// What was asked for is refused, because there is no room for it.
    pub(crate) fn refuse(&mut self, class: u32, work: Duration, now: Instant) {
        if !self.is_on {
            return;
        }
        if self.contention.is_none() {
            self.contention = Some(Box::new(Contention {
                began: now,
                quiet: 0,
                load: 2 * WINDOW,
                asked_now: 0,
                supply: WINDOW,
                level: None,
                free: 0,
                spared: false,
                takers: Vec::new(),
                asked: Vec::new(),
            }));
            self.ask(class, work, now);
        }
        let Some(contention) = &mut self.contention else {
            return;
        };
        contention.quiet = 0;
        if contention.level.is_some()
            && !contention.is_above(class, now)
            && let Some(taker) = contention.taker(class, now)
        {
            taker.denied.add(work);
        }
    }
}

impl Contention {
    /// The class among those that ask; nothing beyond the bound.
    fn taker(&mut self, class: u32, now: Instant) -> Option<&mut Taker> {
        let at = match self.place_of(class) {
            Ok(at) => at,
            Err(_) if class as usize >= CLASSES_MAX => return None,
            Err(at) => {
                let taker = Taker {
                    class,
                    asked: Work::default(),
                    taken: Work::default(),
                    denied: Work::default(),
                    denied_last: false,
                    credit: 0,
                    counted: now,
                };
                self.takers.insert(at, taker);
                at
            }
        };
        Some(&mut self.takers[at])
    }

    fn place_of(&self, class: u32) -> Result<usize, usize> {
        self.takers.binary_search_by_key(&class, |taker| taker.class)
    }

    /// Its credit where there is a level, and the level.
    fn credit(&self, class: u32, now: Instant) -> Option<(i64, u64)> {
        let level = self.level?;
        let taker = &self.takers[self.place_of(class).ok()?];
        Some((taker.credit_at(signed(level), now), level))
    }

    fn is_above(&self, class: u32, now: Instant) -> bool {
        self.credit(class, now).is_some_and(|(credit, _)| credit < 0)
    }

    fn is_held(&self, class: u32, now: Instant) -> bool {
        self.free > 0 && !self.is_forgotten(now) && self.is_above(class, now)
    }

    fn held_for(&self, class: u32, now: Instant) -> Duration {
        let Some((credit, level)) = self.credit(class, now) else {
            return Duration::ZERO;
        };
        let missing = u128::from(credit.min(0).unsigned_abs());
        let time = (missing * u128::from(WINDOW)).div_ceil(u128::from(level));
        Duration::from_nanos(u64::try_from(time).unwrap_or(u64::MAX))
    }

    fn elapsed(&self, now: Instant) -> u64 {
        nanoseconds(now.saturating_duration_since(self.began))
    }

    /// Whether nothing was asked for so long that nothing of it matters.
    fn is_forgotten(&self, now: Instant) -> bool {
        self.elapsed(now) >= WINDOW * FORGOTTEN_WINDOWS
    }

    /// Ends the window, if it is over, and finds the level anew. Gives whether all has fitted for so long that nobody needs one.
    ///
    /// O(n log n) in the number of classes that ask, once in a window.
    fn turn(&mut self, now: Instant) -> bool {
        let elapsed = self.elapsed(now);
        let windows = elapsed / WINDOW;
        if windows == 0 {
            return false;
        }
        let asked = rate(std::mem::take(&mut self.asked_now), elapsed);
        for _ in 0..windows.min(8 * LOAD_WINDOWS) {
            self.load = self.load - self.load / LOAD_WINDOWS + asked / LOAD_WINDOWS;
        }
        let before = self.level;
        for taker in &mut self.takers {
            if let Some(level) = before {
                taker.credit = taker.credit_at(signed(level), now);
            }
            taker.counted = now;
            taker.denied_last = taker.denied.now > 0;
            for work in [&mut taker.asked, &mut taker.taken, &mut taker.denied] {
                work.turn(elapsed);
            }
        }
        self.takers
            .retain(|taker| taker.asked.lately > 0 || taker.credit < 0);
        let sum = |sum: u64, taker: &Taker| sum.saturating_add(taker.taken.lately);
        // One task may be many windows' worth, but no core gives more than it has.
        let taken = self.takers.iter().fold(0, sum).min(self.supply);
        self.asked.clear();
        let asked = self.takers.iter().map(|taker| taker.asked.lately);
        self.asked.extend(asked.filter(|asked| *asked > 0));
        self.level = level(&mut self.asked, taken / DEALT.1 * DEALT.0);
        let level = self.level.unwrap_or(0);
        self.quiet = self.quiet.saturating_add(windows);
        // Who is refused for others' sake alone asks for too much only if all together do.
        if self.spared && self.load > self.supply {
            self.quiet = 0;
        }
        self.leave_free(level);
        for taker in &mut self.takers {
            taker.level_fell(before.unwrap_or(level), level);
        }
        let is_over = self.is_forgotten(now) || self.quiet > QUIET_WINDOWS;
        self.began = now;
        is_over
    }

    /// Finds out how much is to be left free from now on: more where those below were refused, and less where that keeps those above from what
    /// nobody below wants.
    fn leave_free(&mut self, level: u64) {
        let denied = self.takers.iter().filter(|taker| taker.is_denied(level));
        let (any, new) = denied.fold((false, false), |(_, new), taker| (true, new || taker.denied_last));
        if new {
            self.free = (self.free + MORE).min(FREE_MAX);
        } else if self.spared && !any {
            self.free = self.free.saturating_sub(LESS).max(self.free.min(FREE_LEAST));
        }
        self.spared = false;
    }
}

impl Taker {
    /// What it owes is owed for as long as before.
    fn level_fell(&mut self, from: u64, to: u64) {
        if to < from && self.credit < 0 {
            let credit = i128::from(self.credit) * i128::from(to) / i128::from(from);
            self.credit = i64::try_from(credit).unwrap_or(i64::MIN);
        }
    }

    /// Whether it lately was refused much, and given less than it may take.
    fn is_denied(&self, level: u64) -> bool {
        self.denied.lately > self.asked.lately / MUCH && self.taken.lately < level - level / MUCH
    }

    fn credit_at(&self, level: i64, now: Instant) -> i64 {
        let since = nanoseconds(now.saturating_duration_since(self.counted));
        let grown = i128::from(level) * i128::from(since) / i128::from(WINDOW);
        let grown = i64::try_from(grown).unwrap_or(i64::MAX);
        self.credit.saturating_add(grown).min(level)
    }
}

impl Work {
    fn add(&mut self, work: Duration) {
        self.now = self.now.saturating_add(nanoseconds(work));
    }

    /// Ends the window, which has lasted for so long: what was done in it counts as if it had come at one rate.
    fn turn(&mut self, elapsed: u64) {
        let rate = rate(self.now, elapsed);
        let windows = (elapsed / WINDOW).min(63);
        self.lately = if self.lately > rate {
            rate + ((self.lately - rate) >> windows)
        } else {
            rate - ((rate - self.lately) >> windows)
        };
        self.now = 0;
    }
}

/// What is in a window if so much was in the time that elapsed.
fn rate(work: u64, elapsed: u64) -> u64 {
    let rate = u128::from(work) * u128::from(WINDOW) / u128::from(elapsed.max(1));
    u64::try_from(rate).unwrap_or(u64::MAX)
}

/// How much each may take of `total` if those who ask for less get it all. Nothing where less than two ask, or the total is enough
/// for all, which it never is where it is a part of what they were given.
fn level(asked: &mut [u64], total: u64) -> Option<u64> {
    asked.sort_unstable();
    let mut left = total;
    let mut takers = asked.len() as u64;
    if takers < 2 {
        return None;
    }
    for &mut asked in asked {
        let share = left / takers;
        if asked > share {
            return Some(share.max(1));
        }
        left -= asked;
        takers -= 1;
    }
    None
}

fn signed(nanoseconds: u64) -> i64 {
    i64::try_from(nanoseconds).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;

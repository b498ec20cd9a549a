//! CPU budgets of classes and tenants: a share of the core each, as token buckets in CPU time.
//!
//! ```text
//!    share * time ---> [ tokens ] ---> what its tasks ran, slice by slice
//!                       full: share * WINDOW, which is the burst
//!                       below 0: over its share, until an eighth of the burst is there again
//!                       debt at most one burst: what ran while nobody else wanted the core is forgiven
//! ```
//!
//! Whoever is over its share does not stop: its tasks stand in the second band, so they run when nobody in the first wants
//! the core, and new firm ones are refused.

use std::time::Duration;

use crate::settings::SchedulerConfig;
use crate::time::Instant;

/// A share is kept over about this time: a bucket holds what it grants in as long.
const WINDOW: Duration = Duration::from_millis(500);

/// The least share, so that each debt is paid some day.
const LEAST: f64 = 0.001;

/// The buckets of all classes and tenants that have one.
#[derive(Debug)]
pub(crate) struct Shares {
    buckets: Vec<Bucket>,
    /// Of each class that is configured: its own bucket and its tenant's.
    of_class: Vec<[Option<u32>; 2]>,
    /// Of classes that are not: their tenant is the first.
    otherwise: [Option<u32>; 2],
    /// Number of buckets that are over.
    over: usize,
}

#[derive(Debug)]
struct Bucket {
    share: f64,
    /// Nanoseconds of CPU time.
    tokens: f64,
    /// When the tokens were counted. Nothing before the first charge: it is full.
    counted: Option<Instant>,
    over: bool,
}

impl Shares {
    pub(crate) fn new(config: &SchedulerConfig) -> Self {
        let mut buckets = Vec::new();
        let mut bucket = |share: Option<f64>| {
            let share = share.filter(|share| !share.is_nan())?.clamp(LEAST, 1.0);
            buckets.push(Bucket {
                share,
                tokens: share * WINDOW.as_nanos() as f64,
                counted: None,
                over: false,
            });
            u32::try_from(buckets.len() - 1).ok()
        };
        let of_tenant: Vec<Option<u32>> = config
            .tenants
            .iter()
            .map(|tenant| bucket(tenant.cpu_share))
            .collect();
        let tenant = |number: u32| of_tenant.get(number as usize).copied().flatten();
        let of_class = config.classes.iter();
        let of_class = of_class.map(|class| [bucket(class.cpu_share), tenant(class.tenant)]);
        Self {
            of_class: of_class.collect(),
            otherwise: [None, tenant(0)],
            buckets,
            over: 0,
        }
    }

    /// A task of this class has had the core for `ran`. Gives whether a share went over by that.
    pub(crate) fn charge(&mut self, class: u32, ran: Duration, now: Instant) -> bool {
        if self.buckets.is_empty() {
            return false;
        }
        let before = self.over;
        for index in self.of(class) {
            let bucket = &mut self.buckets[index];
            bucket.tokens = bucket.level(now) - ran.as_nanos() as f64;
            bucket.tokens = bucket.tokens.max(-bucket.burst());
            bucket.counted = Some(now);
            if bucket.tokens < 0.0 && !bucket.over {
                bucket.over = true;
                self.over += 1;
            }
        }
        self.over > before
    }

    /// Lets those have their share again whose buckets have filled. Gives whether there was one.
    pub(crate) fn refill(&mut self, now: Instant) -> bool {
        if self.over == 0 {
            return false;
        }
        let before = self.over;
        for bucket in self.buckets.iter_mut().filter(|bucket| bucket.over) {
            if bucket.level(now) >= bucket.enough() {
                bucket.over = false;
                self.over -= 1;
            }
        }
        self.over < before
    }

    /// Whether anybody is over a share.
    pub(crate) fn is_any_over(&self) -> bool {
        self.over > 0
    }

    /// For how long this class is over its share, or its tenant over its own. Nothing when it is not.
    pub(crate) fn over_for(&self, class: u32, now: Instant) -> Option<Duration> {
        if self.over == 0 {
            return None;
        }
        let over = self
            .of(class)
            .map(|index| &self.buckets[index])
            .filter(|bucket| bucket.over);
        let waits = over.filter_map(|bucket| {
            let missing = bucket.enough() - bucket.level(now);
            (missing > 0.0).then(|| Duration::from_nanos((missing / bucket.share).ceil() as u64))
        });
        waits.max()
    }

    fn of(&self, class: u32) -> impl Iterator<Item = usize> + use<> {
        let own = self.of_class.get(class as usize).unwrap_or(&self.otherwise);
        own.map(|index| index.map(|index| index as usize))
            .into_iter()
            .flatten()
    }
}

impl Bucket {
    fn burst(&self) -> f64 {
        self.share * WINDOW.as_nanos() as f64
    }

    /// The level from which it is no longer over: not at once, or it would change bands with every slice.
    fn enough(&self) -> f64 {
        self.burst() / 8.0
    }

    fn level(&self, now: Instant) -> f64 {
        let since = self
            .counted
            .map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        (self.tokens + since.as_nanos() as f64 * self.share).min(self.burst())
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test needs one instant to start from")]
mod tests {
    use super::*;
    use crate::settings::{ClassConfig, TenantConfig};

    const MS: Duration = Duration::from_millis(1);

    fn shares(classes: &[(u32, Option<f64>)], tenants: &[Option<f64>]) -> Shares {
        let class = |&(tenant, cpu_share)| ClassConfig {
            prior: None,
            tenant,
            cpu_share,
        };
        Shares::new(&SchedulerConfig {
            classes: classes.iter().map(class).collect(),
            tenants: tenants
                .iter()
                .map(|&cpu_share| TenantConfig { cpu_share })
                .collect(),
            ..SchedulerConfig::default()
        })
    }

    #[test]
    fn a_burst_is_free_and_a_debt_is_paid_at_the_share() {
        let start = Instant::now();
        let mut shares = shares(&[(0, Some(0.1))], &[]);
        assert!(!shares.charge(0, 50 * MS, start));
        assert!(shares.charge(0, 10 * MS, start));
        // 10 ms of debt, and an eighth of 50 ms.
        let wait = (10 * MS + 50 * MS / 8) * 10;
        assert_eq!(shares.over_for(0, start), Some(wait));
        assert!(!shares.refill(start + wait - MS) && shares.over_for(0, start + wait - MS).is_some());
        assert!(shares.refill(start + wait));
        assert_eq!(shares.over_for(0, start + wait), None);
    }

    #[test]
    fn debt_is_bounded_by_a_burst() {
        let start = Instant::now();
        let mut shares = shares(&[(0, Some(0.5))], &[]);
        shares.charge(0, Duration::from_secs(3_600), start);
        assert_eq!(shares.over_for(0, start), Some((WINDOW / 2 + WINDOW / 16) * 2));
    }

    #[test]
    fn a_tenant_pays_for_all_its_classes_and_nobody_else_does() {
        let start = Instant::now();
        let mut shares = shares(&[(1, None), (1, None), (0, None)], &[None, Some(0.1)]);
        assert!(shares.charge(0, 51 * MS, start));
        assert!(shares.over_for(0, start).is_some() && shares.over_for(1, start).is_some());
        assert!(shares.over_for(2, start).is_none() && shares.over_for(3, start).is_none());
    }

    #[test]
    fn shares_that_make_no_sense_are_brought_into_range() {
        let start = Instant::now();
        let mut shares = shares(&[(0, Some(f64::NAN)), (0, Some(-1.0)), (0, Some(7.0))], &[]);
        for class in 0..3 {
            shares.charge(class, WINDOW * 2, start);
        }
        let waits = [0, 1, 2].map(|class| shares.over_for(class, start));
        assert_eq!(waits[0], None);
        assert!(waits[1].is_some_and(|wait| wait <= WINDOW * 2));
        assert!(waits[2].is_some_and(|wait| wait <= WINDOW * 2));
    }
}

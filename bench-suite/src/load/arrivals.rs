//! When requests start, and which function they ask for: everything random, drawn from a seed.
//!
//! A [`Schedule`] yields intended starts, one after another, without looking at what the server does. Gaps are constant
//! (*fixed*) or exponentially distributed (*Poisson*: what many independent clients make together). Several requests may
//! start together (a *batch*), which makes bursts; the gaps are then between batches.
//!
//! Workers share the rate: a Poisson process split at random is Poisson again, and fixed arrivals take turns.

use rand::distr::Distribution;
use rand::rngs::Xoshiro256PlusPlus;
use rand_distr::{Exp1, Zipf};
use serde::{Deserialize, Serialize};

const NANOSECONDS: f64 = 1e9;

/// How the gaps between arrivals are distributed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Arrivals {
    /// Independent exponential gaps.
    #[default]
    Poisson,
    /// All gaps the same.
    Fixed,
}

/// The intended starts of one class on one worker, in nanoseconds from the start of the run, never decreasing.
///
/// The sum is kept in a double: exact to a fraction of a microsecond over the longest run.
#[derive(Debug)]
pub struct Schedule {
    arrivals: Arrivals,
    /// Mean gap between batches, in nanoseconds.
    gap: f64,
    batch: u32,
    left_in_batch: u32,
    next: f64,
    random: Xoshiro256PlusPlus,
}

impl Schedule {
    /// The share of worker `worker` of `workers` in `rate` requests a second, of which `batch` start together.
    ///
    /// # Panics
    /// If `rate` is not positive and finite, or `batch` or `workers` is 0.
    #[must_use]
    pub fn new(
        arrivals: Arrivals,
        rate: f64,
        batch: u32,
        (worker, workers): (usize, usize),
        random: Xoshiro256PlusPlus,
    ) -> Schedule {
        assert!(rate > 0.0 && rate.is_finite(), "a rate is positive");
        assert!(batch > 0 && worker < workers, "something arrives, somewhere");
        let shared_gap = NANOSECONDS * f64::from(batch) / rate;
        let gap = shared_gap * workers as f64;
        let mut schedule = Schedule {
            arrivals,
            gap,
            batch,
            left_in_batch: batch,
            next: 0.0,
            random,
        };
        schedule.next = match arrivals {
            Arrivals::Fixed => shared_gap * (worker + 1) as f64,
            Arrivals::Poisson => schedule.draw(),
        };
        schedule
    }

    fn draw(&mut self) -> f64 {
        match self.arrivals {
            Arrivals::Fixed => self.gap,
            Arrivals::Poisson => {
                let unit: f64 = Exp1.sample(&mut self.random);
                unit * self.gap
            }
        }
    }
}

impl Iterator for Schedule {
    type Item = u64;

    fn next(&mut self) -> Option<u64> {
        let now = self.next;
        self.left_in_batch -= 1;
        if self.left_in_batch == 0 {
            self.left_in_batch = self.batch;
            self.next += self.draw();
        }
        Some(now as u64)
    }
}

/// Draws the number of a function, from 1 (the most popular) to the number of routes.
///
/// Popularity follows Zipf's law: the chance of number k is proportional to k to the power of minus the exponent. Exponent 0
/// makes all equal; about 1 is what is seen of web objects and of functions in public clouds.
#[derive(Debug)]
pub struct RouteSampler {
    zipf: Zipf<f64>,
    random: Xoshiro256PlusPlus,
}

impl RouteSampler {
    /// A sampler over `routes` functions; `None` if there are none or the exponent is negative or not finite.
    #[must_use]
    pub fn new(routes: u32, exponent: f64, random: Xoshiro256PlusPlus) -> Option<RouteSampler> {
        if !exponent.is_finite() {
            return None;
        }
        let zipf = Zipf::new(f64::from(routes), exponent).ok()?;
        Some(RouteSampler { zipf, random })
    }

    /// The next number.
    pub fn draw(&mut self) -> u32 {
        self.zipf.sample(&mut self.random) as u32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn random() -> Xoshiro256PlusPlus {
        Xoshiro256PlusPlus::seed_from_u64(42)
    }

    #[test]
    fn poisson_gaps_have_the_mean_and_variance_of_the_exponential() {
        let count = 200_000;
        let mut last = 0;
        let gaps: Vec<f64> = Schedule::new(Arrivals::Poisson, 1000.0, 1, (0, 1), random())
            .take(count)
            .map(|start| {
                let gap = start - last;
                last = start;
                gap as f64 / 1e6
            })
            .collect();
        let mean = gaps.iter().sum::<f64>() / count as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / count as f64;
        // In milliseconds both are 1; five standard errors are 0.011 and 0.032.
        assert!((mean - 1.0).abs() < 0.011, "{mean}");
        assert!((variance - 1.0).abs() < 0.032, "{variance}");
        // Memoryless: a share of 1/e of the gaps is longer than the mean.
        let longer = gaps.iter().filter(|gap| **gap > 1.0).count() as f64 / count as f64;
        assert!((longer - (-1.0_f64).exp()).abs() < 0.006, "{longer}");
    }

    #[test]
    fn the_seed_decides() {
        let starts = |seed| -> Vec<u64> {
            let random = Xoshiro256PlusPlus::seed_from_u64(seed);
            Schedule::new(Arrivals::Poisson, 50.0, 1, (0, 1), random)
                .take(20)
                .collect()
        };
        assert_eq!(starts(1), starts(1));
        assert_ne!(starts(1), starts(2));
    }

    #[test]
    fn workers_take_turns_in_fixed_arrivals() {
        let starts = |worker| -> Vec<u64> {
            Schedule::new(Arrivals::Fixed, 1000.0, 1, (worker, 2), random())
                .take(3)
                .collect()
        };
        assert_eq!(starts(0), [1_000_000, 3_000_000, 5_000_000]);
        assert_eq!(starts(1), [2_000_000, 4_000_000, 6_000_000]);
    }

    #[test]
    fn a_batch_starts_together_and_keeps_the_rate() {
        let starts: Vec<u64> = Schedule::new(Arrivals::Fixed, 100.0, 3, (0, 1), random())
            .take(7)
            .collect();
        assert_eq!(starts[..3], [30_000_000; 3]);
        assert_eq!(starts[3..6], [60_000_000; 3]);
        assert_eq!(starts[6], 90_000_000);
    }

    #[test]
    fn routes_follow_zipfs_law() {
        let (routes, draws) = (1000_u32, 200_000);
        let mut sampler = RouteSampler::new(routes, 1.0, random()).expect("a law");
        let mut counts = vec![0_u32; routes as usize + 1];
        for _ in 0..draws {
            counts[sampler.draw() as usize] += 1;
        }
        assert_eq!(counts[0], 0);
        let harmonic: f64 = (1..=routes).map(|k| 1.0 / f64::from(k)).sum();
        for k in [1_u32, 2, 5, 10] {
            let expected = f64::from(draws) / harmonic / f64::from(k);
            let seen = f64::from(counts[k as usize]);
            // Five standard deviations of a count.
            assert!(
                (seen - expected).abs() < 5.0 * expected.sqrt(),
                "{k}: {seen} for {expected}"
            );
        }
        let tail: u32 = counts[501..].iter().sum();
        let expected = f64::from(draws) * (501..=routes).map(|k| 1.0 / f64::from(k)).sum::<f64>() / harmonic;
        assert!(
            (f64::from(tail) - expected).abs() < 5.0 * expected.sqrt(),
            "{tail} for {expected}"
        );
    }

    #[test]
    fn exponent_zero_makes_all_routes_equal_and_nonsense_is_refused() {
        let mut sampler = RouteSampler::new(4, 0.0, random()).expect("a law");
        let mut counts = [0_i32; 5];
        for _ in 0..40_000 {
            counts[sampler.draw() as usize] += 1;
        }
        assert!(
            counts[1..].iter().all(|count| (count - 10_000).abs() < 500),
            "{counts:?}"
        );
        assert!(RouteSampler::new(0, 1.0, random()).is_none());
        assert!(RouteSampler::new(4, -1.0, random()).is_none());
        assert!(RouteSampler::new(4, f64::NAN, random()).is_none());
    }
}

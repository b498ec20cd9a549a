//! Quantiles of service times in a kilobyte: a histogram with buckets of about a twentieth of their value, which forgets.
//!
//! ```text
//!   octave 2^10 ns ..........  2^11 .......... 2^12 ...            2^40 ns = 18 min
//!          | 16 equal buckets | 16 equal buckets | ...  30 octaves |
//!          width 1/16 .. 1/31 of the value
//! ```
//!
//! The buckets are those of HdrHistogram with four significant bits: a shift finds one. Each sample weighs [`WEIGHT`]; when
//! the sketch holds that of [`REMEMBERED`] samples, all are halved, so that a sample's weight decays with the number of those
//! that come after it, not with time: a function that is called once an hour is remembered as well as a busy one.

/// Buckets per octave, as a power of two.
const BITS: u32 = 4;
/// The first octave: a microsecond and less.
const FIRST: u32 = 10;
const OCTAVES: u32 = 30;
const BUCKETS: usize = (OCTAVES << BITS) as usize;

/// The weight of a sample. Halved five times it still counts.
const WEIGHT: u16 = 64;

/// When as many samples are remembered, their weights are halved: the memory is about the last 256 to 512.
const REMEMBERED: u32 = 512;

/// So many buckets are passed over at once where all are empty.
const LOT: usize = 8;

const _: () = assert!(BUCKETS.is_multiple_of(LOT));
// One bucket may hold everything.
const _: () = assert!(REMEMBERED * (WEIGHT as u32) < u16::MAX as u32);

/// Longest service time that is told apart from longer ones, in nanoseconds.
pub(super) const LONGEST: u64 = (1 << (FIRST + OCTAVES)) - 1;

/// The quantiles that are kept at hand, in per cent.
const QUANTILES: [u64; 3] = [50, 90, 99];

/// A decaying histogram of durations in nanoseconds.
#[derive(Debug)]
pub(super) struct Sketch {
    counts: [u16; BUCKETS],
    /// Before and from here on the counts are zero.
    used: (usize, usize),
    /// Sum of the counts.
    weight: u32,
    /// Number of samples ever.
    seen: u64,
    /// Number of samples since the quantiles were looked up.
    since: u32,
    quantiles: [u64; 3],
}

impl Sketch {
    pub(super) fn new() -> Self {
        Self {
            counts: [0; BUCKETS],
            used: (BUCKETS, 0),
            weight: 0,
            seen: 0,
            since: 0,
            quantiles: [0; 3],
        }
    }

    /// Something took this long.
    pub(super) fn add(&mut self, sample: u64) {
        self.seen += 1;
        self.put(bucket(sample));
    }

    /// Something took longer than this, nobody knows how long: it counts as the median of the samples that did (in the
    /// spirit of Efron's redistribution to the right), or as twice as long where there is none: if it counted as this long,
    /// tasks that are cut off by a limit would look as if they just met it.
    pub(super) fn add_censored(&mut self, at_least: u64) {
        let from = bucket(at_least);
        let above: u32 = self.counts[from..].iter().map(|&count| u32::from(count)).sum();
        self.seen += 1;
        if above == 0 {
            return self.put(bucket(at_least.saturating_mul(2)));
        }
        let mut left = above / 2;
        let median = self.counts[from..].iter().position(|&count| {
            let here = u32::from(count) > left;
            left = left.saturating_sub(count.into());
            here
        });
        self.put(from + median.unwrap_or(0));
    }

    /// Number of samples ever.
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// What half, nine tenths and 99 hundredths of the samples did not exceed: the upper ends of their buckets, so that equal
    /// samples do not exceed it either.
    pub(super) fn quantiles(&self) -> [u64; 3] {
        self.quantiles
    }

    fn put(&mut self, bucket: usize) {
        self.counts[bucket] += WEIGHT;
        self.used = (self.used.0.min(bucket), self.used.1.max(bucket + 1));
        self.weight += u32::from(WEIGHT);
        if self.weight >= REMEMBERED * u32::from(WEIGHT) {
            self.halve();
        }
        self.since += 1;
        // Among many samples one moves no quantile far.
        if self.since >= 8 || self.seen < 32 {
            self.since = 0;
            self.look_up();
        }
    }

    fn halve(&mut self) {
        for count in &mut self.counts {
            *count /= 2;
        }
        self.weight = self.counts.iter().map(|&count| u32::from(count)).sum();
        let is_used = |count: &u16| *count > 0;
        let first = self.counts.iter().position(is_used).unwrap_or(BUCKETS);
        self.used = (
            first,
            self.counts.iter().rposition(is_used).map_or(0, |last| last + 1),
        );
    }

    fn look_up(&mut self) {
        let total = u64::from(self.weight);
        let (mut below, mut next) = (0, 0);
        let (first, end) = (self.used.0 / LOT, self.used.1.div_ceil(LOT));
        let (lots, _) = self.counts.as_chunks::<LOT>();
        let used = (first..end).zip(&lots[first..end]);
        // Between a usual time and a rare one most are empty.
        for (lot, counts) in used.filter(|&(_, counts)| *counts != [0; LOT]) {
            for (bucket, &count) in (lot * LOT..).zip(counts).filter(|&(_, &count)| count > 0) {
                below += u64::from(count);
                while next < QUANTILES.len() && below * 100 >= total * QUANTILES[next] {
                    self.quantiles[next] = upper_end(bucket);
                    next += 1;
                }
            }
        }
    }
}

fn bucket(nanoseconds: u64) -> usize {
    let value = nanoseconds.clamp(1 << FIRST, LONGEST);
    let octave = value.ilog2();
    let within = (value >> (octave - BITS)) as usize & ((1 << BITS) - 1);
    (((octave - FIRST) as usize) << BITS) + within
}

fn upper_end(bucket: usize) -> u64 {
    let octave = (bucket >> BITS) as u32 + FIRST;
    let within = (bucket & ((1 << BITS) - 1)) as u64;
    (((1 << BITS) + within + 1) << (octave - BITS)) - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(samples: impl IntoIterator<Item = u64>) -> Sketch {
        let mut sketch = Sketch::new();
        for sample in samples {
            sketch.add(sample);
        }
        sketch
    }

    #[test]
    fn each_value_lies_in_a_bucket_of_about_a_tenth() {
        for value in (0..40 * 64).map(|step| (2f64.powf(f64::from(step) / 64.0)) as u64) {
            let end = upper_end(bucket(value));
            assert!(end >= value && bucket(end) == bucket(value), "{value}");
            assert!(
                value < 1 << FIRST || (end - value) as f64 <= value as f64 / 8.0,
                "{value} in {end}"
            );
            assert_eq!(bucket(end + 1), (bucket(value) + 1).min(BUCKETS - 1));
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_are_those_of_the_samples() {
        let mut sketch = of((1..=100).map(|step| step * 10_000));
        sketch.look_up();
        let near = |quantile: u64, exact: u64| quantile >= exact && quantile <= exact + exact / 8 + 10_000;
        let [p50, p90, p99] = sketch.quantiles();
        assert!(near(p50, 500_000) && near(p90, 900_000) && near(p99, 990_000));
        assert_eq!(sketch.seen(), 100);
    }

    #[test]
    fn quantiles_are_found_wherever_the_samples_are() {
        let mut random = 1_u64;
        for round in 0..2000 {
            let mut sketch = Sketch::new();
            for _ in 0..=random % 40 {
                random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                // All octaves, the ends among them, and now and then a value twice.
                sketch.add(match random >> 60 {
                    0 => 0,
                    1 => u64::MAX,
                    _ => 1 << (random >> 32 & 31) << (random >> 40 & 15),
                });
            }
            if round % 3 == 0 {
                sketch.halve();
            }
            sketch.look_up();
            let total: u64 = sketch.counts.iter().map(|&count| u64::from(count)).sum();
            let expected = QUANTILES.map(|quantile| {
                let mut below = 0;
                let reaches = |count: &u16| {
                    below += u64::from(*count);
                    below * 100 >= total * quantile
                };
                upper_end(sketch.counts.iter().position(reaches).expect("all of them do"))
            });
            assert_eq!(sketch.quantiles(), expected, "round {round}");
        }
    }

    #[test]
    fn old_samples_are_forgotten() {
        let mut sketch = of(std::iter::repeat_n(100_000_000, 1_000));
        for _ in 0..3_000 {
            sketch.add(1_000_000);
        }
        assert!(sketch.quantiles()[2] < 1_200_000, "{:?}", sketch.quantiles());
        assert!(sketch.weight <= REMEMBERED * u32::from(WEIGHT));
    }

    #[test]
    fn a_lower_bound_counts_among_those_above_it() {
        let mut sketch = of([1_000_000, 50_000_000, 50_000_000]);
        let before = sketch.quantiles();
        sketch.add_censored(2_000_000);
        assert_eq!(sketch.quantiles()[1], before[1]);
        assert_eq!(sketch.counts[bucket(50_000_000)], 3 * WEIGHT);
        sketch.add_censored(90_000_000);
        assert_eq!(sketch.counts[bucket(180_000_000)], WEIGHT);
    }
}

//! What of a machine's cores a server could not have: the generator's CPU time, and what the hypervisor gave to other guests.
//!
//! | figure | from | what it is |
//! |---|---|---|
//! | generator | the process's CPU clock | of all its threads, on whatever CPUs they ran |
//! | stolen | `/proc/stat`, column `steal` | of each CPU, in ticks of 10 ms; always 0 where the hypervisor does not tell |
//!
//! A server that shares its cores with the generator is measured fairly by the time that it could have had, as the generator does not
//! take the same part under every load. Time that a server leaves idle is not taken from it.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// What had been taken by a moment of a run: sums since some beginning, to be subtracted from each other.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Taken {
    /// The moment, from the start of the run.
    pub at: Duration,
    /// CPU time of the generator's process.
    pub generator: Duration,
    /// Time that each CPU, by its number, wanted to run and did not.
    pub stolen: Vec<Duration>,
}

impl Taken {
    /// Looks now, `at` from the start of the run.
    pub(crate) fn look(at: Duration) -> Taken {
        let time = clock_gettime(ClockId::ProcessCPUTime);
        let ticks_per_second = rustix::param::clock_ticks_per_second();
        // Where there is no such file nothing is known to be stolen.
        let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        Taken {
            at,
            generator: Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32),
            stolen: stolen(&stat, ticks_per_second),
        }
    }

    /// The part of its time, from 0 to 1, that was stolen since `before` from the one of these CPUs that lost most.
    #[must_use]
    pub fn most_stolen_since(&self, before: &Taken, cpus: &[usize]) -> f64 {
        let all = self.at.saturating_sub(before.at).as_secs_f64();
        let most = cpus.iter().map(|&cpu| self.stolen_since(before, cpu)).max();
        most.unwrap_or_default().as_secs_f64() / all.max(f64::EPSILON)
    }

    fn stolen_since(&self, before: &Taken, cpu: usize) -> Duration {
        // Of a CPU that is not in the file nothing is known to be stolen.
        let at = |taken: &Taken| taken.stolen.get(cpu).copied().unwrap_or_default();
        at(self).saturating_sub(at(before))
    }

    /// The part of the time of these CPUs, from 0 to 1, that was left to a server between `before` and this: not stolen, nor
    /// the generator's, where that `shares` them all and has no other.
    #[must_use]
    pub fn left_since(&self, before: &Taken, cpus: &[usize], shares: bool) -> f64 {
        let all = self.at.saturating_sub(before.at).as_secs_f64() * cpus.len() as f64;
        let mut taken: Duration = cpus.iter().map(|&cpu| self.stolen_since(before, cpu)).sum();
        if shares {
            taken += self.generator.saturating_sub(before.generator);
        }
        if all > 0.0 {
            (1.0 - taken.as_secs_f64() / all).clamp(0.0, 1.0)
        } else {
            1.0
        }
    }
}

/// The column `steal` of each line `cpuN`, the eighth after the name in proc(5).
fn stolen(stat: &str, ticks_per_second: u64) -> Vec<Duration> {
    let mut all = Vec::new();
    for line in stat.lines() {
        let mut columns = line.split_ascii_whitespace();
        let name = columns.next().and_then(|name| name.strip_prefix("cpu"));
        // The line of all CPUs together has no number.
        let Some(Ok(cpu)) = name.map(str::parse::<u16>) else {
            continue;
        };
        let ticks: u64 = columns.nth(7).and_then(|text| text.parse().ok()).unwrap_or(0);
        let cpu = usize::from(cpu);
        all.resize(all.len().max(cpu + 1), Duration::ZERO);
        all[cpu] = Duration::from_secs_f64(ticks as f64 / ticks_per_second.max(1) as f64);
    }
    all
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn steal_is_read_by_cpu() {
        // CPU 1 is not there, and CPU 3 is of a kernel without the column.
        let stat = "cpu  9 0 9 9 9 0 0 77 0 0\ncpu0 1 2 3 4 5 6 7 8 9 10\ncpu2 1 2 3 4 5 6 7 250 9 10\n\
                    cpu3 1 2 3 4\nintr 5 6 7\ncpufreq 1 2 3 4 5 6 7 8\nctxt 1\n";
        let seconds: Vec<_> = stolen(stat, 100).iter().map(Duration::as_secs_f64).collect();
        assert_eq!(seconds, [0.08, 0.0, 2.5, 0.0]);
        assert!(stolen("", 100).is_empty());
    }

    #[test]
    fn what_is_left_is_of_the_servers_own_cpus() {
        let before = Taken {
            at: MS * 100,
            generator: MS * 20,
            stolen: vec![MS * 5, MS * 7, MS],
        };
        let after = Taken {
            at: MS * 200,
            generator: MS * 50,
            stolen: vec![MS * 15, MS * 7, MS * 91],
        };
        let left = |cpus: &[usize], shares| after.left_since(&before, cpus, shares);
        // 10 ms of 100 were stolen; the generator took 30 ms more where it had no other place.
        assert!((left(&[0], false) - 0.9).abs() < 1e-9);
        assert!((left(&[0, 1], false) - 0.95).abs() < 1e-9);
        assert!((left(&[0, 1], true) - 0.8).abs() < 1e-9);
        // Of a CPU that nobody knows nothing was stolen.
        assert!((left(&[7], false) - 1.0).abs() < 1e-9);
        let most = |cpus: &[usize]| after.most_stolen_since(&before, cpus);
        assert!((most(&[0, 1]) - 0.1).abs() < 1e-9 && (most(&[1, 2]) - 0.9).abs() < 1e-9);
        assert!(most(&[]).abs() < 1e-9 && most(&[7]).abs() < 1e-9);
        // More than there was, by the grain of the clocks; and no time at all.
        assert!(left(&[2], true).abs() < 1e-9);
        assert!((after.left_since(&after, &[0], true) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn our_own_time_is_seen() {
        let before = Taken::look(Duration::ZERO);
        let mut after = before.clone();
        while after.generator < before.generator + MS * 3 {
            black_box((0..10_000_u64).map(black_box).sum::<u64>());
            after = Taken::look(MS * 10);
        }
        assert!(
            after.left_since(&before, &[0], true) <= 0.7,
            "{before:?} {after:?}"
        );
        if cfg!(target_os = "linux") {
            assert!(!after.stolen.is_empty());
        }
    }
}

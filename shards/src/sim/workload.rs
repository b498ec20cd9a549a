//! What arrives, when, and what it costs: the scenarios.
//!
//! Each scenario is a few *streams* of requests. All have the short function that users notice (0.05 to 0.1 ms of work,
//! deadline 5 ms, 100 a second for each core); beside it stands the work that fills the cores to the load asked for.
//!
//! ```text
//!   poisson       2 ms of work, memoryless arrivals
//!   bursty        the same in bursts: 2.5 times the rate a quarter of the time (a Markov-modulated Poisson process)
//!   heavy         Pareto service times, shape 1.5: few requests carry much of the work
//!   diurnal       the rate follows a sine: a day in five seconds
//!   adversarial   deadline-tight bursts at one shard, beside staggered deadlines that fall like dominoes under plain EDF
//!   mixed         a 60 ms function
//! ```

use std::f64::consts::TAU;
use std::time::Duration;

use rand::RngExt;
use rand::distr::Distribution;
use rand_distr::{Exp1, Pareto};

use super::faults::Faults;
use super::random::{Purpose, Seed, Stream as Random};

const MS: Duration = Duration::from_millis(1);

/// What kind of work arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scenario {
    /// Memoryless arrivals of equal work.
    Poisson,
    /// Arrivals in bursts.
    Bursty,
    /// Service times with a heavy tail.
    Heavy,
    /// A rate that rises and falls.
    Diurnal,
    /// Tight bursts at one shard, and deadlines that fall one after the other.
    Adversarial,
    /// A short function beside a long one.
    Mixed,
}

impl Scenario {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Poisson,
        Self::Bursty,
        Self::Heavy,
        Self::Diurnal,
        Self::Adversarial,
        Self::Mixed,
    ];

    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Poisson => "poisson",
            Self::Bursty => "bursty",
            Self::Heavy => "heavy",
            Self::Diurnal => "diurnal",
            Self::Adversarial => "adversarial",
            Self::Mixed => "mixed",
        }
    }

    /// The kinds of requests of this scenario. The first is the short function.
    #[must_use]
    pub fn classes(self) -> Vec<Class> {
        let work = |name, cost, deadline| Class {
            name,
            cost,
            deadline,
            naps: false,
            budget: Duration::MAX,
            firm: true,
        };
        let mut classes = vec![work("short", Cost::Even(MS / 20, MS / 10), 5 * MS)];
        match self {
            Self::Poisson | Self::Bursty | Self::Diurnal => {
                classes.push(work("work", Cost::Even(MS, 3 * MS), 100 * MS));
            }
            Self::Heavy => classes.push(work("tailed", Cost::HEAVY, 500 * MS)),
            Self::Adversarial => {
                classes.push(work("tight", Cost::Even(MS / 2, MS / 2), 5 * MS));
                classes.push(work("domino", Cost::Even(10 * MS, 10 * MS), 25 * MS));
            }
            Self::Mixed => classes.push(work("long", Cost::Even(60 * MS, 60 * MS), 2000 * MS)),
        }
        classes
    }

    /// The streams that fill `cores` cores to `load`.
    fn streams(self, cores: usize, load: f64) -> Vec<Stream> {
        let classes = self.classes();
        let cores = cores as f64;
        let short_rate = 100.0 * cores;
        let mut left = (load * cores - short_rate * classes[0].cost.mean()).max(0.0);
        let mut streams = vec![Stream::new(0, Law::Poisson { rate: short_rate }, Target::Any)];
        let mut fill = |class: u32, share: f64, law: fn(f64) -> Law, target| {
            let work = left * share;
            left -= work;
            streams.push(Stream::new(
                class,
                law(work / classes[class as usize].cost.mean()),
                target,
            ));
        };
        match self {
            Self::Poisson | Self::Heavy | Self::Mixed => {
                fill(1, 1.0, |rate| Law::Poisson { rate }, Target::Any);
            }
            Self::Bursty => fill(1, 1.0, Law::bursty, Target::Any),
            Self::Diurnal => fill(1, 1.0, Law::diurnal, Target::Any),
            Self::Adversarial => {
                fill(1, 0.2, |rate| Law::Volley { rate, size: 8 }, Target::First);
                fill(2, 1.0, |rate| Law::Poisson { rate }, Target::Any);
            }
        }
        streams
    }
}

/// A kind of request: in Luge, a function.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Class {
    /// For reports.
    pub name: &'static str,
    /// What a request of it costs.
    pub cost: Cost,
    /// From arrival to the time by which it must be answered.
    pub deadline: Duration,
    /// Whether a request sleeps on its way, now and then.
    pub naps: bool,
    /// How long it may have the core.
    pub budget: Duration,
    /// Whether it is refused if it cannot meet its deadline.
    pub firm: bool,
}

/// The distribution of a cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Cost {
    /// Anything from here to there, evenly.
    Even(Duration, Duration),
    /// Pareto: `scale * u^(-1/shape)`, and no more than `most`.
    Pareto {
        /// The least.
        scale: Duration,
        /// The smaller, the heavier the tail; above 1.
        shape: f64,
        /// The tail ends here.
        most: Duration,
    },
}

impl Cost {
    const HEAVY: Self = Self::Pareto {
        scale: Duration::from_micros(500),
        shape: 1.5,
        most: Duration::from_millis(200),
    };

    /// The mean, in seconds.
    #[must_use]
    pub fn mean(&self) -> f64 {
        match *self {
            Self::Even(least, most) => f64::midpoint(least.as_secs_f64(), most.as_secs_f64()),
            Self::Pareto { scale, shape, most } => {
                // The integral of the survival function up to `most`.
                let (least, most) = (scale.as_secs_f64(), most.as_secs_f64());
                least + least / (shape - 1.0) * (1.0 - (least / most).powf(shape - 1.0))
            }
        }
    }

    /// The most that it can be.
    #[must_use]
    pub fn most(&self) -> Duration {
        match *self {
            Self::Even(_, most) | Self::Pareto { most, .. } => most,
        }
    }

    fn draw(&self, random: &mut Random) -> Duration {
        match *self {
            Self::Even(least, most) => least + (most - least).mul_f64(random.random::<f64>()),
            Self::Pareto { scale, shape, most } => {
                let law = Pareto::new(scale.as_secs_f64(), shape).expect("positive parameters");
                Duration::from_secs_f64(law.sample(random).min(most.as_secs_f64()))
            }
        }
    }
}

/// One request as it comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// When.
    pub at: Duration,
    /// Its kind, an index into [`Scenario::classes`].
    pub class: u32,
    /// The shard that holds its connection.
    pub origin: usize,
    /// The time of work that it takes, which nobody but the simulator knows.
    pub cost: Duration,
    /// The time by which it must be answered.
    pub deadline: Duration,
    /// Its client goes away at this time.
    pub leaves: Option<Duration>,
    /// It gives its core back at backstops only.
    pub slow: bool,
    /// After how much work it sleeps, and for how long.
    pub nap: Option<(Duration, Duration)>,
}

/// The requests of a run, in the order of their arrival.
#[derive(Debug)]
pub struct Arrivals {
    classes: Vec<Class>,
    streams: Vec<Stream>,
    shards: usize,
    faults: Faults,
    until: Duration,
    times: Random,
    costs: Random,
    wrongs: Random,
}

impl Arrivals {
    /// Of a scenario, for so many cores and such a load (1 is all that they can do), until a time.
    #[must_use]
    pub fn new(
        scenario: Scenario,
        cores: usize,
        load: f64,
        faults: Faults,
        seed: Seed,
        until: Duration,
    ) -> Self {
        let mut arrivals = Self {
            classes: scenario.classes(),
            streams: scenario.streams(cores, load),
            shards: cores,
            faults,
            until,
            times: seed.stream(Purpose::Arrivals),
            costs: seed.stream(Purpose::Costs),
            wrongs: seed.stream(Purpose::Lies),
        };
        for stream in &mut arrivals.streams {
            stream.advance(&mut arrivals.times);
        }
        arrivals
    }

    /// Requests of one kind, in memoryless arrivals at `rate` a second, for one core: the textbook's queue.
    #[must_use]
    pub fn single(class: Class, rate: f64, seed: Seed, until: Duration) -> Self {
        let mut arrivals = Self::new(Scenario::Poisson, 1, 0.0, Faults::NONE, seed, until);
        let mut stream = Stream::new(0, Law::Poisson { rate }, Target::Any);
        stream.advance(&mut arrivals.times);
        (arrivals.classes, arrivals.streams) = (vec![class], vec![stream]);
        arrivals
    }

    /// How many requests a second a scenario has, on average.
    #[must_use]
    pub fn rate(scenario: Scenario, cores: usize, load: f64) -> f64 {
        let rate = |stream: &Stream| match stream.law {
            Law::Poisson { rate }
            | Law::Bursty { rate }
            | Law::Diurnal { rate }
            | Law::Volley { rate, .. } => rate,
        };
        scenario.streams(cores, load).iter().map(rate).sum()
    }

    /// The kinds of requests.
    #[must_use]
    pub fn classes(&self) -> &[Class] {
        &self.classes
    }

    /// The kinds of requests, to be changed before the first arrives.
    pub(super) fn classes_mut(&mut self) -> &mut [Class] {
        &mut self.classes
    }
}

impl Iterator for Arrivals {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        let stream = self.streams.iter_mut().min_by_key(|stream| stream.next)?;
        let (at, class) = (stream.next, stream.class);
        if at >= self.until {
            return None;
        }
        let origin = match stream.target {
            Target::Any => self.times.random_range(0..self.shards),
            Target::First => 0,
        };
        stream.advance(&mut self.times);
        let kind = self.classes[class as usize];
        let honest = kind.cost.draw(&mut self.costs);
        let nap = (kind.naps && self.costs.random_bool(0.3)).then(|| {
            let (before, asleep) = (self.costs.random::<f64>(), self.costs.random::<f64>());
            (honest.mul_f64(before), kind.deadline.mul_f64(asleep))
        });
        let wrongs = &mut self.wrongs;
        let cost = honest
            .mul_f64(self.faults.lie(wrongs))
            .max(Duration::from_nanos(1));
        let leaves = super::faults::happens(self.faults.cancellations, wrongs)
            .then(|| at + super::faults::part(kind.deadline, wrongs));
        Some(Arrival {
            at,
            class,
            origin,
            cost,
            deadline: at + kind.deadline,
            leaves,
            slow: super::faults::happens(self.faults.slow_guests, wrongs),
            nap: nap.filter(|(before, _)| *before < cost),
        })
    }
}

/// Requests of one kind.
#[derive(Debug)]
struct Stream {
    class: u32,
    law: Law,
    target: Target,
    next: Duration,
    /// Of a law that has phases: whether it is in a burst, and until when.
    phase: (bool, Duration),
    /// Of a volley: how many are still to come at this instant.
    left: u32,
}

/// Where a stream's connections are.
#[derive(Clone, Copy, Debug)]
enum Target {
    Any,
    First,
}

/// When requests arrive.
#[derive(Clone, Copy, Debug)]
enum Law {
    Poisson { rate: f64 },
    Bursty { rate: f64 },
    Diurnal { rate: f64 },
    Volley { rate: f64, size: u32 },
}

impl Law {
    /// Length of a burst and of what lies between, on average.
    const BURST: [f64; 2] = [0.05, 0.15];
    const DAY: f64 = 5.0;

    fn bursty(rate: f64) -> Self {
        Self::Bursty { rate }
    }

    fn diurnal(rate: f64) -> Self {
        Self::Diurnal { rate }
    }
}

impl Stream {
    fn new(class: u32, law: Law, target: Target) -> Self {
        Self {
            class,
            law,
            target,
            next: Duration::ZERO,
            phase: (false, Duration::ZERO),
            left: 0,
        }
    }

    /// Goes on to the next arrival.
    fn advance(&mut self, random: &mut Random) {
        match self.law {
            Law::Poisson { rate } => self.next = after(self.next, gap(rate, random)),
            Law::Volley { .. } if self.left > 0 => self.left -= 1,
            Law::Volley { rate, size } => {
                self.next = after(self.next, gap(rate / f64::from(size), random));
                self.left = size - 1;
            }
            Law::Bursty { rate } => self.advance_in_bursts(rate, random),
            Law::Diurnal { rate } => loop {
                // Thinning (Lewis and Shedler, 1979): draw at the highest rate, and keep what the rate of the hour allows.
                self.next = after(self.next, gap(rate * 1.8, random));
                let hour = 1.0 + 0.8 * (TAU * self.next.as_secs_f64() / Law::DAY).sin();
                if self.next == Duration::MAX || random.random::<f64>() * 1.8 < hour {
                    break;
                }
            },
        }
    }

    /// The rate is 2.5 times the average in bursts, and half of it between them.
    fn advance_in_bursts(&mut self, rate: f64, random: &mut Random) {
        loop {
            let (burst, until) = self.phase;
            let now_rate = rate * if burst { 2.5 } else { 0.5 };
            let next = after(self.next, gap(now_rate, random));
            if next <= until || rate <= 0.0 {
                self.next = next;
                return;
            }
            // Nothing more in this phase; the next one begins anew, as the process has no memory.
            let length: f64 = Exp1.sample(random);
            self.next = self.next.max(until);
            self.phase = (!burst, after(until, length * Law::BURST[usize::from(burst)]));
        }
    }
}

/// Seconds to the next event of a Poisson process.
fn gap(rate: f64, random: &mut Random) -> f64 {
    let unit: f64 = Exp1.sample(random);
    unit / rate
}

/// A time so many seconds later, if there is one.
fn after(at: Duration, seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).map_or(Duration::MAX, |gap| at.saturating_add(gap))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scenarios_fill_the_cores_to_the_load() {
        for scenario in Scenario::ALL {
            let end = Duration::from_secs(100);
            let arrivals = Arrivals::new(scenario, 4, 0.8, Faults::NONE, Seed(5), end);
            let (mut work, mut last) = (0.0, Duration::ZERO);
            for arrival in arrivals {
                assert!(arrival.at >= last && arrival.origin < 4);
                last = arrival.at;
                work += arrival.cost.as_secs_f64();
            }
            let load = work / 400.0;
            assert!((load - 0.8).abs() < 0.06, "{}: {load}", scenario.name());
        }
    }

    #[test]
    fn bursts_come_in_bursts() {
        // The index of dispersion of counts is 1 for a Poisson process, and far above for bursts.
        let dispersion = |scenario| {
            let mut counts = [0_f64; 1000];
            for arrival in Arrivals::new(scenario, 4, 0.8, Faults::NONE, Seed(9), Duration::from_secs(100)) {
                counts[(arrival.at.as_millis() / 100) as usize] += f64::from(arrival.class);
            }
            let mean = counts.iter().sum::<f64>() / 1000.0;
            counts.iter().map(|count| (count - mean).powi(2)).sum::<f64>() / 1000.0 / mean
        };
        assert!((dispersion(Scenario::Poisson) - 1.0).abs() < 0.3);
        assert!(dispersion(Scenario::Bursty) > 10.0);
    }

    #[test]
    fn faults_do_not_change_when_requests_arrive() {
        let times = |faults| {
            let end = Duration::from_secs(2);
            let all = Arrivals::new(Scenario::Mixed, 2, 0.9, faults, Seed(3), end);
            all.map(|arrival| (arrival.at, arrival.class, arrival.origin))
                .collect::<Vec<_>>()
        };
        assert_eq!(times(Faults::NONE), times(Faults::SOME));
    }
}

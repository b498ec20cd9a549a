//! `soak`: very many requests, each with a number of its own, none of which may be lost or answered twice.
//!
//! Guests answer the number that they are asked with, so every answer shows whose it is. A connection carries some requests and is closed,
//! after it was seen that nothing more comes on it; now and then one is closed right after a request, as clients do that
//! lose patience. Meanwhile one core after the other is taken from the server by a thread that computes on it at the highest priority: the shard there
//! stands still, whatever it was doing. At the end the server's own count of requests has to be the clients'.

use std::fmt::Write;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use rustix::thread::CpuSet;

use super::bench::Bench;
use super::client::Client;
use super::definition::{Module, Soak};
use super::samples::{bar, cell};
use super::{Outcome, TrialError};
use crate::load::may_have_nice;

/// One connection in so many is left right after a request.
const ABANDONED_EVERY: u32 = 50;
/// Longest body for a guest that answers it.
const BODY_BYTES_MAX: u32 = 8192;
/// The answer of one request for work in so many is computed here too; that takes as long as there.
const COMPUTED_EVERY: u64 = 64;
/// Faults that are shown; all are counted.
const FAULTS_SHOWN: usize = 10;
/// How often memory is looked at, in the whole run.
const MEMORY_SAMPLES: u64 = 40;
/// Statuses of a server that had no time: an answer, even if not the wanted one.
const NO_TIME: [u16; 3] = [429, 503, 504];
/// The thread that takes a core away.
const STALL_NICE: i32 = -20;
/// Growth of memory that is no leak: of allocators and pools that were not full yet, as a share and in bytes.
const GROWTH_SHARE: f64 = 0.05;
const GROWTH_BYTES: f64 = 2.0 * 1024.0 * 1024.0;

const PHASE: &str = "soak";

/// Something to ask for, and how often.
#[derive(Debug, Clone)]
struct Guest {
    name: String,
    module: Module,
    steps: u64,
    weight: u32,
}

/// What all clients see.
#[derive(Debug, Default)]
struct Seen {
    next: AtomicU64,
    good: AtomicU64,
    no_time: AtomicU64,
    abandoned: AtomicU64,
    connections: AtomicU64,
    stalls: AtomicU64,
    faults: AtomicU64,
    shown: Mutex<Vec<String>>,
    is_over: AtomicBool,
}

/// Runs it, on every server in turn.
pub(super) fn run(bench: &mut Bench<'_>, of: &Soak) -> Result<Outcome, TrialError> {
    let requests = bench.settings.requests.unwrap_or(of.requests);
    let mut text = String::new();
    let mut is_broken = false;
    for variant in 0..bench.running.len() {
        let name = bench.running[variant].name.clone();
        bench.say(&format!("{name}: {requests} requests"));
        is_broken |= soak(bench, of, (variant, &name), requests, &mut text)?;
    }
    text += &bench.notes();
    Ok(Outcome {
        text,
        chart: None,
        samples: std::mem::take(&mut bench.samples),
        is_broken,
    })
}

fn soak(
    bench: &mut Bench<'_>,
    of: &Soak,
    (variant, name): (usize, &str),
    requests: u64,
    text: &mut String,
) -> Result<bool, TrialError> {
    let counted = |bench: &Bench<'_>| {
        let metrics = bench.running[variant].server.metrics();
        let metrics = metrics.map_err(|source| bench.server_error(name, source))?;
        Ok::<_, TrialError>(metrics.sum("luge_http_requests_total", "", ""))
    };
    let guests: Vec<_> = of
        .guests
        .iter()
        .map(|(name, weight)| {
            let function = bench.function(name);
            Guest {
                name: name.clone(),
                module: function.module,
                steps: bench.steps(function),
                weight: *weight,
            }
        })
        .collect();
    let address = bench.running[variant].server.target.address;
    let before = counted(bench)?;
    let seen = Seen::default();
    let started = Instant::now();
    thread::scope(|scope| {
        let seen = &seen;
        let clients: Vec<_> = (0..of.connections)
            .map(|number| {
                let random =
                    Xoshiro256PlusPlus::seed_from_u64(bench.settings.seed.wrapping_add(number as u64));
                let guests = &guests;
                scope.spawn(move || converse(address, of, guests, requests, seen, random))
            })
            .collect();
        let cores = bench.cores;
        let stalls = scope.spawn(move || stall(of, cores, seen));
        watch_memory(bench, (variant, name), requests, seen, &|| {
            clients.iter().all(thread::ScopedJoinHandle::is_finished)
        });
        seen.is_over.store(true, Relaxed);
        stalls.thread().unpark();
    });
    let seconds = started.elapsed().as_secs_f64();
    let after = counted(bench)?;
    Ok(report(
        bench,
        name,
        &seen,
        (after - before, requests, seconds),
        text,
    ))
}

/// Looks at the server's memory each time that a part of the requests was made.
fn watch_memory(
    bench: &mut Bench<'_>,
    (variant, name): (usize, &str),
    requests: u64,
    seen: &Seen,
    is_done: &dyn Fn() -> bool,
) {
    for sample in 1..=MEMORY_SAMPLES {
        let due = requests * sample / MEMORY_SAMPLES;
        while seen.next.load(Relaxed) < due && !is_done() {
            thread::sleep(Duration::from_millis(20));
        }
        if let Some(bytes) = bench.resident_bytes(variant) {
            bench
                .samples
                .add(sample as u32, (name, PHASE), "resident_bytes", bytes as f64);
        }
        if sample % (MEMORY_SAMPLES / 10) == 0 {
            let faults = seen.faults.load(Relaxed);
            bench.say(&format!("{name}: {due} requests, {faults} faults"));
        }
    }
    while !is_done() {
        thread::sleep(Duration::from_millis(20));
    }
}

/// A client: one connection after another, until all numbers are given out.
fn converse(
    address: SocketAddr,
    of: &Soak,
    guests: &[Guest],
    requests: u64,
    seen: &Seen,
    mut random: Xoshiro256PlusPlus,
) {
    while seen.next.load(Relaxed) < requests {
        let result = Client::connect(address).map(|client| {
            seen.connections.fetch_add(1, Relaxed);
            connection(client, of, guests, requests, seen, &mut random)
        });
        match result {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => seen.fault(fault),
            Err(error) => {
                seen.fault(format!("cannot connect: {error}"));
                thread::sleep(Duration::from_millis(100));
            }
        }
        if seen.faults.load(Relaxed) > 10_000 {
            return;
        }
    }
}

/// The life of a connection; an error is a fault of the server.
fn connection(
    mut client: Client,
    of: &Soak,
    guests: &[Guest],
    requests: u64,
    seen: &Seen,
    random: &mut Xoshiro256PlusPlus,
) -> Result<(), String> {
    let length = random.random_range(1..=of.requests_per_connection.saturating_mul(2));
    let is_abandoned = random.random_range(0..ABANDONED_EVERY) == 0;
    for turn in 1..=length {
        let number = seen.next.fetch_add(1, Relaxed) + 1;
        if number > requests {
            break;
        }
        let guest = choose(guests, random);
        let (request, expected) = guest.request(number, random.random_range(0..=BODY_BYTES_MAX));
        let lost = |error: std::io::Error| format!("request {number} for {}: {error}", guest.name);
        client.send(&request).map_err(lost)?;
        if is_abandoned && turn == length {
            seen.abandoned.fetch_add(1, Relaxed);
            return Ok(());
        }
        let answer = client.receive().map_err(lost)?;
        match answer.status {
            200 if answer.body.starts_with(&expected) => seen.good.fetch_add(1, Relaxed),
            200 => {
                let start = String::from_utf8_lossy(&answer.body[..answer.body.len().min(40)]).into_owned();
                return Err(format!(
                    "request {number} for {} got another's answer: {start:?}",
                    guest.name
                ));
            }
            status if NO_TIME.contains(&status) => seen.no_time.fetch_add(1, Relaxed),
            status => return Err(format!("request {number} for {}: status {status}", guest.name)),
        };
        if !answer.keep_alive {
            break;
        }
    }
    match client.finish() {
        Ok(0) => Ok(()),
        Ok(bytes) => Err(format!("{bytes} bytes came that no request had asked for")),
        Err(error) => Err(format!("the connection did not end: {error}")),
    }
}

/// A guest, as often as its weight says. The definition has one of weight.
fn choose<'a>(guests: &'a [Guest], random: &mut Xoshiro256PlusPlus) -> &'a Guest {
    let all: u32 = guests.iter().map(|guest| guest.weight).sum();
    let mut left = random.random_range(0..all.max(1));
    let found = guests.iter().find(|guest| {
        let is_it = left < guest.weight;
        left = left.saturating_sub(guest.weight);
        is_it
    });
    found.unwrap_or(&guests[0])
}

/// The state that `functions/work` has after `steps` steps for `number`.
fn worked(number: u64, steps: u64) -> u64 {
    let step = |state: u64, _| {
        state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407)
    };
    (0..steps).fold(number, step)
}

impl Guest {
    /// The bytes of request `number`, and how its answer begins.
    fn request(&self, number: u64, padding: u32) -> (Vec<u8>, Vec<u8>) {
        let Guest { name, steps, .. } = self;
        match self.module {
            Module::Work => {
                let head = format!("GET /{name}?i={steps}&id={number} HTTP/1.1\r\nHost: soak\r\n\r\n");
                let expected = if number.is_multiple_of(COMPUTED_EVERY) {
                    format!("{number} {}\n", worked(number, *steps))
                } else {
                    format!("{number} ")
                };
                (head.into_bytes(), expected.into_bytes())
            }
            Module::Empty => {
                let head = format!("GET /{name} HTTP/1.1\r\nHost: soak\r\n\r\n");
                (head.into_bytes(), Vec::new())
            }
            Module::Echo => {
                let mut body = format!("{number} ").into_bytes();
                body.resize(body.len() + padding as usize, b'.');
                let length = body.len();
                let head = format!("POST /{name} HTTP/1.1\r\nHost: soak\r\nContent-Length: {length}\r\n\r\n");
                let mut request = head.into_bytes();
                request.extend_from_slice(&body);
                (request, body)
            }
        }
    }
}

impl Seen {
    fn fault(&self, text: String) {
        self.faults.fetch_add(1, Relaxed);
        let mut shown = self
            .shown
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        if shown.len() < FAULTS_SHOWN {
            shown.push(text);
        }
    }
}

/// Takes one core after the other away, each for a while.
fn stall(of: &Soak, cores: usize, seen: &Seen) {
    if of.stall.is_zero() {
        return;
    }
    let nice = if may_have_nice(STALL_NICE) { STALL_NICE } else { 0 };
    let allowed = rustix::thread::sched_getaffinity(None).unwrap_or_default();
    let allowed: Vec<_> = (0..CpuSet::MAX_CPU)
        .filter(|core| allowed.is_set(*core))
        .take(cores)
        .collect();
    for core in allowed.iter().cycle() {
        let next = Instant::now() + of.stall_every;
        while Instant::now() < next {
            if seen.is_over.load(Relaxed) {
                return;
            }
            thread::park_timeout(next.saturating_duration_since(Instant::now()));
        }
        // A thread of its own, whose core and priority end with it.
        thread::scope(|scope| {
            scope.spawn(|| {
                let mut one = CpuSet::new();
                one.set(*core);
                // Without the core or the priority the stall is a weaker one; the checks are the same.
                let _ = rustix::thread::sched_setaffinity(None, &one);
                let _ = rustix::process::setpriority_process(Some(rustix::thread::gettid()), nice);
                let end = Instant::now() + of.stall;
                while Instant::now() < end {
                    std::hint::spin_loop();
                }
            });
        });
        seen.stalls.fetch_add(1, Relaxed);
    }
}

/// Writes what was seen; returns whether something is wrong with the server.
fn report(
    bench: &Bench<'_>,
    name: &str,
    seen: &Seen,
    (counted, requests, seconds): (f64, u64, f64),
    text: &mut String,
) -> bool {
    let load = |count: &AtomicU64| count.load(Relaxed);
    let answered = load(&seen.good) + load(&seen.no_time);
    let (abandoned, faults) = (load(&seen.abandoned), load(&seen.faults));
    let is_counted = (answered as f64..=(answered + abandoned) as f64).contains(&counted);
    let is_complete = answered + abandoned == requests;
    let _ = writeln!(
        text,
        "{name}: {requests} requests in {seconds:.0} s over {} connections, {} stalls of a core\n",
        load(&seen.connections),
        load(&seen.stalls)
    );
    let _ = writeln!(
        text,
        "- answered with their own number: {}; 429, 503 or 504: {}; abandoned by the client: {abandoned}",
        load(&seen.good),
        load(&seen.no_time)
    );
    let verdict = |is_so: bool| if is_so { "met" } else { "MISSED" };
    let _ = writeln!(text, "- faults, none: {faults}: {}", verdict(faults == 0));
    let _ = writeln!(text, "- every number has one answer: {}", verdict(is_complete));
    let _ = writeln!(
        text,
        "- requests by the server's count, as many: {counted:.0}: {}",
        verdict(is_counted)
    );
    let series = memory(bench, name);
    let growth = growth(&series);
    let what = "resident memory of the last quarter by that of the second, at most 5 % and 2 MiB more";
    let is_flat = |growth: f64| growth <= 0.0;
    let excess = growth.map(|(early, late)| late - early * (1.0 + GROWTH_SHARE) - GROWTH_BYTES);
    let shown = growth.map(|(early, late)| late / early);
    bar(text, what, excess, &cell(shown, 3, ""), is_flat);
    let shown: Vec<_> = series
        .iter()
        .map(|bytes| format!("{:.1}", bytes / f64::from(1 << 20)))
        .collect();
    let _ = writeln!(text, "\nresident MiB: {}", shown.join(" "));
    for fault in seen
        .shown
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .iter()
    {
        let _ = writeln!(text, "fault: {fault}");
    }
    faults > 0 || !is_complete || !is_counted
}

/// The series of the server's memory.
fn memory(bench: &Bench<'_>, name: &str) -> Vec<f64> {
    let at = |sample: u64| {
        bench
            .samples
            .value(sample as u32, (name, PHASE, "resident_bytes"))
    };
    (1..=MEMORY_SAMPLES).filter_map(at).collect()
}

/// The largest of the second quarter and of the last.
fn growth(series: &[f64]) -> Option<(f64, f64)> {
    let quarter = series.len() / 4;
    let largest = |part: &[f64]| part.iter().copied().reduce(f64::max);
    Some((
        largest(&series[quarter..quarter * 2])?,
        largest(&series[series.len() - quarter..])?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest(module: Module, weight: u32) -> Guest {
        Guest {
            name: "g".to_owned(),
            module,
            steps: 5,
            weight,
        }
    }

    #[test]
    fn an_answer_begins_with_its_number() {
        let (request, expected) = guest(Module::Work, 1).request(17, 3);
        assert!(request.starts_with(b"GET /g?i=5&id=17 HTTP/1.1\r\n"));
        // Not the answer to 170 or to 1.
        assert_eq!(expected, b"17 ");
        let (request, expected) = guest(Module::Echo, 1).request(17, 3);
        assert_eq!(expected, b"17 ...");
        assert!(request.ends_with(b"Content-Length: 6\r\n\r\n17 ..."));
    }

    #[test]
    fn work_is_computed_as_the_function_does() {
        // By the native build of functions/work/work.c.
        assert_eq!(worked(17, 1000), 9_094_672_515_880_700_089);
        let (_, expected) = guest(Module::Work, 1).request(64, 0);
        assert_eq!(expected, format!("64 {}\n", worked(64, 5)).as_bytes());
    }

    #[test]
    fn guests_are_chosen_by_their_weights() {
        let guests = [
            guest(Module::Work, 0),
            guest(Module::Echo, 3),
            guest(Module::Empty, 1),
        ];
        let mut random = Xoshiro256PlusPlus::seed_from_u64(1);
        let mut counts = [0; 3];
        for _ in 0..4000 {
            counts[choose(&guests, &mut random).module as usize] += 1;
        }
        assert_eq!(counts[Module::Work as usize], 0);
        assert!(
            (2800..3200).contains(&counts[Module::Echo as usize]),
            "{counts:?}"
        );
    }

    #[test]
    fn growth_is_that_of_the_largest() {
        assert_eq!(
            growth(&[1.0, 9.0, 3.0, 4.0, 5.0, 6.0, 7.0, 2.0]),
            Some((4.0, 7.0))
        );
        assert_eq!(growth(&[1.0, 2.0]), None);
    }
}

//! Carries a plan out: opens connections, starts the workers together, looks at the server before and after.
//!
//! ```text
//!   main    open connections ─► look at /proc ─► start ── sleep ──► look (end of warm-up) ─ looks ─ join ──► look ─► Report
//!   worker                                         ├─ warm-up ──────┼─ measured ─────────┼─ drain ─┤
//! ```

use std::io;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::thread;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setpriority_process, setrlimit};
use rustix::thread::{CpuSet, sched_setaffinity};

use super::lane::share;
use super::plan::{Connections, Mode, Plan, PlanError};
use super::process::{ProcessError, Snapshot};
use super::record::Record;
use super::report::{Measured, Report};
use super::taken::Taken;
use super::worker::{Outcome, Worker};

/// Longest time for a connection that is opened before the start.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// From the moment when everything is ready to the start.
const LEAD: Duration = Duration::from_millis(2);

/// Descriptors that are no connections.
const DESCRIPTORS_BESIDE: usize = 64;

/// Why a run did not come about. Failed requests are no such reason: they are in the report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RunError {
    /// The plan cannot be carried out.
    #[error(transparent)]
    Plan(#[from] PlanError),
    /// Nobody answers at the server's address.
    #[error("cannot connect to {address}: {source}; does the server run?")]
    Connect {
        /// The address.
        address: std::net::SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The process may not have as many descriptors as the plan's connections need.
    #[error(
        "{needed} descriptors are needed and {allowed} allowed: raise `ulimit -n`, or lower `max_in_flight`"
    )]
    Descriptors {
        /// For all connections at a time.
        needed: usize,
        /// What the limit can be raised to.
        allowed: u64,
    },
    /// The server's process tells nothing even before the start.
    #[error(transparent)]
    Process(#[from] ProcessError),
    /// Something of this machine failed, before the start or in a worker.
    #[error("the generator failed: {0}")]
    System(io::Error),
}

impl From<Errno> for RunError {
    fn from(error: Errno) -> RunError {
        RunError::System(error.into())
    }
}

/// Carries `plan` out, looking at the costs of process `pid` (the server) where one is given. Blocks until the end.
///
/// # Errors
/// [`RunError`], when no figures came about.
pub fn run(plan: &Plan, pid: Option<u32>) -> Result<Report, RunError> {
    plan.check()?;
    raise_descriptor_limit(plan)?;
    drive(plan, pid, open(plan, 0)?)
}

/// As [`run`], on connections of the first class that are open already; those of other classes are opened.
///
/// # Errors
/// [`RunError`], when no figures came about.
pub fn run_on(plan: &Plan, pid: Option<u32>, streams: Vec<TcpStream>) -> Result<Report, RunError> {
    let mut plan = plan.clone();
    if let Some(first) = plan.classes.first_mut() {
        first.opened = streams.len();
    }
    plan.check()?;
    raise_descriptor_limit(&plan)?;
    let mut opened = open(&plan, 1)?;
    let threads = opened.len();
    for (number, stream) in streams.into_iter().enumerate() {
        stream.set_nodelay(true).map_err(RunError::System)?;
        stream.set_nonblocking(true).map_err(RunError::System)?;
        opened[number % threads].push((0, stream.into()));
    }
    drive(&plan, pid, opened)
}

/// Whether this process may give its threads this nice value.
#[must_use]
pub fn may_have_nice(nice: i32) -> bool {
    // A thread that ends keeps its value to itself.
    thread::spawn(move || set_nice(nice).is_ok())
        .join()
        .unwrap_or(false)
}

/// Gives the calling thread this nice value; on Linux each thread has its own.
fn set_nice(nice: i32) -> Result<(), Errno> {
    if nice == 0 {
        return Ok(());
    }
    setpriority_process(Some(rustix::thread::gettid()), nice)
}

/// Keeps the calling thread to these CPUs, where there are any.
fn keep_to(cpus: &[usize]) -> Result<(), Errno> {
    if cpus.is_empty() {
        return Ok(());
    }
    let mut set = CpuSet::new();
    for cpu in cpus {
        set.set(*cpu);
    }
    sched_setaffinity(None, &set)
}

/// Starts the workers on these connections, and collects what they saw.
fn drive(plan: &Plan, pid: Option<u32>, opened: Vec<Vec<(usize, OwnedFd)>>) -> Result<Report, RunError> {
    let start = pid.map(Snapshot::read).transpose()?;
    let base = Instant::now() + LEAD;
    let (outcomes, before, taken) = thread::scope(|scope| {
        let mut workers = Vec::new();
        for (number, opened) in opened.into_iter().enumerate() {
            let work = move || {
                set_nice(plan.nice)?;
                keep_to(&plan.cpus)?;
                Worker::new(plan, number, base, opened)?.run()
            };
            let worker = thread::Builder::new()
                .name(format!("load-{number}"))
                .spawn_scoped(scope, work);
            workers.push(worker.map_err(RunError::System)?);
        }
        let sleep_until = |at| thread::sleep((base + at).saturating_duration_since(Instant::now()));
        sleep_until(plan.warmup);
        let before = if plan.warmup.is_zero() {
            start.map(Ok)
        } else {
            pid.map(Snapshot::read)
        };
        let mut taken = Vec::new();
        for at in &plan.looks {
            sleep_until(*at);
            taken.push(Taken::look(base.elapsed()));
        }
        let mut outcomes = Vec::new();
        for worker in workers {
            match worker.join() {
                Ok(outcome) => outcomes.push(outcome?),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok::<_, RunError>((outcomes, before, taken))
    })?;
    let wall = base.elapsed();
    // A server that fell over under the load is a reason to show the report, not to throw it away.
    let server = pid.zip(before).map(|(pid, before)| {
        let usage = before.and_then(|before| Snapshot::read(pid)?.since(&before));
        usage.map_err(|error| error.to_string())
    });
    let mut measured = join(plan, outcomes, wall);
    measured.taken = taken;
    Ok(Report::new(plan, measured, server))
}

/// The workers' records, added up by class.
fn join(plan: &Plan, outcomes: Vec<Outcome>, wall: Duration) -> Measured {
    let mut measured = Measured {
        records: plan.classes.iter().map(|_| Record::default()).collect(),
        stopped_ns: 0,
        cpu: Duration::ZERO,
        busiest: Duration::ZERO,
        wall,
        taken: Vec::new(),
    };
    for outcome in outcomes {
        for (sum, record) in measured.records.iter_mut().zip(&outcome.records) {
            sum.add(record);
        }
        measured.stopped_ns = measured.stopped_ns.max(outcome.stopped_ns);
        measured.cpu += outcome.cpu;
        measured.busiest = measured.busiest.max(outcome.cpu);
    }
    measured
}

/// Opens the connections that are to be there at the start, but for the first `given` classes; returns them by worker, each with its class.
fn open(plan: &Plan, given: usize) -> Result<Vec<Vec<(usize, OwnedFd)>>, RunError> {
    let address = plan.target.address;
    let connect_error = |source| RunError::Connect { address, source };
    let mut opened: Vec<Vec<_>> = (0..plan.threads).map(|_| Vec::new()).collect();
    for (class, of) in plan.classes.iter().enumerate().skip(given) {
        if of.connections == Connections::PerRequest {
            continue;
        }
        let all = if plan.mode == Mode::Open {
            of.opened
        } else {
            plan.connections(of)
        };
        for (number, opened) in opened.iter_mut().enumerate() {
            for _ in 0..share(all as u64, number, plan.threads) {
                let stream = TcpStream::connect_timeout(&address, OPEN_TIMEOUT).map_err(connect_error)?;
                stream.set_nodelay(true).map_err(RunError::System)?;
                stream.set_nonblocking(true).map_err(RunError::System)?;
                opened.push((class, stream.into()));
            }
        }
    }
    if given == 0 && opened.iter().all(Vec::is_empty) {
        // Nothing has shown yet that there is a server.
        drop(TcpStream::connect_timeout(&address, OPEN_TIMEOUT).map_err(connect_error)?);
    }
    Ok(opened)
}

/// Raises the soft limit on descriptors as far as the plan needs.
fn raise_descriptor_limit(plan: &Plan) -> Result<(), RunError> {
    let connections: usize = plan.classes.iter().map(|class| plan.connections(class)).sum();
    let needed = connections + DESCRIPTORS_BESIDE;
    let limit = getrlimit(Resource::Nofile);
    let suffices = |limit: Option<u64>| limit.is_none_or(|limit| limit >= needed as u64);
    if suffices(limit.current) {
        return Ok(());
    }
    if !suffices(limit.maximum) {
        return Err(RunError::Descriptors {
            needed,
            allowed: limit.maximum.unwrap_or(u64::MAX),
        });
    }
    let raised = Rlimit {
        current: Some(needed as u64),
        maximum: limit.maximum,
    };
    Ok(setrlimit(Resource::Nofile, raised)?)
}

#[cfg(test)]
mod tests {
    use rustix::thread::sched_getaffinity;

    use super::*;

    #[test]
    fn a_worker_keeps_to_its_cpus() {
        let cpus = || -> Vec<usize> {
            let set = sched_getaffinity(None).expect("this thread's CPUs");
            (0..CpuSet::MAX_CPU).filter(|cpu| set.is_set(*cpu)).collect()
        };
        // A thread of its own, as its CPUs end with it.
        let kept = thread::spawn(move || {
            let all = cpus();
            keep_to(&[]).expect("no word about CPUs");
            assert_eq!(cpus(), all);
            let last = all[all.len() - 1];
            keep_to(&[last]).expect("a CPU that it may use");
            (cpus(), last)
        });
        let (cpus, last) = kept.join().expect("no panic");
        assert_eq!(cpus, [last]);
    }
}

//! Tasks that are made when they are admitted, and submissions from where one might not expect them.

mod harness;

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use harness::{FnTask, PATIENCE, endless, join, one_shard, within};
use luge_shards::{
    ClassConfig, Ending, NetworkMode, RejectReason, Shard, ShardsConfig, Slice, Step, Task, TaskMeta, Ticket,
    Unsubmitted, start,
};

/// Of this class it is known that its tasks are short.
const SHORT: u32 = 1;

/// Runs `main` on one shard to its end; a panic in it fails the test.
fn on_one_shard<F, Fut>(config: ShardsConfig, main: F)
where
    F: Fn(Shard) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    join(start(config, main).unwrap()).unwrap();
}

/// One shard, which knows of [`SHORT`] from the beginning.
fn knowing(network: NetworkMode) -> ShardsConfig {
    let short = ClassConfig {
        prior: Some(Duration::from_micros(1)),
        ..ClassConfig::default()
    };
    ShardsConfig {
        network,
        classes: vec![ClassConfig::default(), short],
        ..one_shard()
    }
}

fn short() -> TaskMeta {
    TaskMeta {
        class: SHORT,
        ..within(PATIENCE)
    }
}

/// A task that is done at once.
struct Quick;

impl Task for Quick {
    fn run(&mut self, _slice: Slice) -> Step {
        Step::Done
    }
}

/// Whether the ticket has its answer already.
fn is_ready<T: Task>(ticket: &mut Ticket<T>) -> bool {
    let polled = Pin::new(ticket).poll(&mut Context::from_waker(Waker::noop()));
    if let Poll::Ready(completed) = &polled {
        assert_eq!(completed.ending, Ending::Done);
    }
    polled.is_ready()
}

/// That a submission with these limits is refused for this reason, and nothing is made for it.
fn check_refused(shard: &Shard, meta: TaskMeta, is_right: impl Fn(&RejectReason) -> bool) {
    let before = shard.stats().snapshot();
    let refused = shard.submit_with(meta, || -> Result<Quick, ()> { panic!("it is refused before") });
    match refused {
        Err(Unsubmitted::Rejected(reason)) => assert!(is_right(&reason), "{reason:?}"),
        other => panic!("not refused: {:?}", other.map(drop)),
    }
    let after = shard.stats().snapshot();
    assert_eq!(
        (after.rejected, after.submitted, after.queued, after.started),
        (
            before.rejected + 1,
            before.submitted,
            before.queued,
            before.started
        )
    );
}

#[test]
fn nothing_is_made_for_a_full_queue() {
    for network in [NetworkMode::Ring, NetworkMode::Executor] {
        let config = ShardsConfig {
            queue_bound: 1,
            ..knowing(network)
        };
        on_one_shard(config, |shard| async move {
            // Of a class of which nothing is known: it waits until this future does.
            let first = shard.submit(Quick, within(PATIENCE)).unwrap();
            for class in [0, SHORT] {
                let meta = TaskMeta { class, ..short() };
                check_refused(&shard, meta, |reason| {
                    matches!(reason, RejectReason::QueueFull { .. })
                });
            }
            assert_eq!(first.await.ending, Ending::Done);
            let next = shard.submit_with(short(), || Ok::<_, ()>(Quick)).unwrap();
            assert_eq!(next.completed().await.ending, Ending::Done);
        });
    }
}

#[test]
fn nothing_is_made_during_a_drain() {
    let (ready, is_ready) = mpsc::channel();
    let shards = start(knowing(NetworkMode::Ring), move |shard| {
        let ready = ready.clone();
        async move {
            ready.send(()).unwrap();
            shard.draining().await;
            check_refused(&shard, short(), |reason| *reason == RejectReason::Draining);
        }
    })
    .unwrap();
    is_ready.recv_timeout(PATIENCE).unwrap();
    shards.drain();
    join(shards).unwrap();
}

#[test]
fn a_task_that_cannot_be_made_leaves_nothing_behind() {
    for network in [NetworkMode::Ring, NetworkMode::Executor] {
        // A place that is not given back is missed at once.
        let config = ShardsConfig {
            queue_bound: 1,
            started_bound: 1,
            ..knowing(network)
        };
        on_one_shard(config, |shard| async move {
            for round in 0..50 {
                let unmade = shard.submit_with(short(), || Err::<Quick, _>(round)).map(drop);
                assert_eq!(unmade, Err(Unsubmitted::Unmade(round)));
                let panicked = catch_unwind(AssertUnwindSafe(|| {
                    shard.submit_with(short(), || -> Result<Quick, ()> {
                        resume_unwind(Box::new(round))
                    })
                }));
                let panic = panicked.map(drop).expect_err("the panic is the submitter's");
                assert_eq!(panic.downcast_ref(), Some(&round));
                let stats = shard.stats().snapshot();
                assert_eq!((stats.queued, stats.started, stats.blocked), (0, 0, 0));
                assert_eq!(
                    (stats.submitted, stats.cancelled, stats.panicked),
                    (stats.completed, 0, 0)
                );
                if round % 2 == 0 {
                    let next = shard.submit(Quick, short()).unwrap();
                    assert_eq!(next.await.ending, Ending::Done);
                }
            }
            assert_eq!(shard.stats().snapshot().completed, 25);
        });
    }
}

#[test]
fn a_task_that_cannot_be_made_does_not_run_nor_hold_up_those_that_wait() {
    on_one_shard(knowing(NetworkMode::Ring), |shard| async move {
        let ran = Rc::new(RefCell::new(Vec::new()));
        let logging = |number: usize| {
            let ran = ran.clone();
            FnTask(move |_| {
                ran.borrow_mut().push(number);
                Step::Done
            })
        };
        let mut tickets = Vec::new();
        for number in 0..20 {
            // Every third is not there when its turn comes; what is waiting is the same that waits without it.
            let made = shard.submit_with(within(PATIENCE), || {
                if number % 3 == 0 {
                    Err(())
                } else {
                    Ok(logging(number))
                }
            });
            assert_eq!(made.is_err(), number % 3 == 0);
            tickets.extend(made.ok());
        }
        for ticket in tickets {
            assert_eq!(ticket.completed().await.ending, Ending::Done);
        }
        let expected: Vec<usize> = (0..20).filter(|number| number % 3 != 0).collect();
        assert_eq!(*ran.borrow(), expected);
    });
}

#[test]
fn a_short_task_does_not_pass_a_more_urgent_long_one() {
    on_one_shard(knowing(NetworkMode::Ring), |shard| async move {
        for _ in 0..200 {
            let mut urgent = shard.submit(endless(), within(Duration::from_millis(1))).unwrap();
            let mut later = shard.submit(Quick, short()).unwrap();
            assert!(!is_ready(&mut urgent) && !is_ready(&mut later));
            drop(urgent);
            assert_eq!(later.await.ending, Ending::Done);
        }
    });
}

#[test]
fn a_task_that_submits_does_not_run_what_it_submits_inside_itself() {
    for network in [NetworkMode::Ring, NetworkMode::Executor] {
        on_one_shard(knowing(network), |shard| async move {
            let (depth, ran, deepest) = (
                Rc::new(Cell::new(0)),
                Rc::new(Cell::new(0)),
                Rc::new(Cell::new(0)),
            );
            for _ in 0..500 {
                let inner_ticket = Rc::new(Cell::new(None));
                let (submitter, put) = (shard.clone(), inner_ticket.clone());
                let counted = |rest: Box<dyn Fn()>| {
                    let (depth, ran, deepest) = (depth.clone(), ran.clone(), deepest.clone());
                    FnTask(move |_| {
                        depth.set(depth.get() + 1);
                        deepest.set(deepest.get().max(depth.get()));
                        rest();
                        ran.set(ran.get() + 1);
                        depth.set(depth.get() - 1);
                        Step::Done
                    })
                };
                let inner = Cell::new(Some(counted(Box::new(|| {}))));
                let outer = counted(Box::new(move || {
                    let inner = inner.take().expect("it runs once");
                    let mut ticket = submitter.submit(inner, short()).unwrap();
                    assert!(!is_ready(&mut ticket));
                    put.set(Some(ticket));
                }));
                let outer = shard.submit(outer, short()).unwrap();
                assert_eq!(outer.await.ending, Ending::Done);
                let inner = inner_ticket.take().expect("it was submitted");
                assert_eq!(inner.await.ending, Ending::Done);
            }
            assert_eq!((ran.get(), deepest.get(), depth.get()), (1000, 1, 0));
            assert_eq!(shard.stats().snapshot().panicked, 0);
        });
    }
}

thread_local! {
    /// The shard of this thread, for [`Submitting`].
    static SHARD: RefCell<Option<Shard>> = const { RefCell::new(None) };
    /// What [`Submitting`] has submitted.
    static SUBMITTED: RefCell<Vec<Ticket<Quick>>> = const { RefCell::new(Vec::new()) };
}

/// A waker that submits a short task in the very moment in which it is woken.
struct Submitting;

impl Wake for Submitting {
    fn wake(self: Arc<Self>) {
        let shard = SHARD.with_borrow(Clone::clone).expect("the test has set it");
        let ticket = shard.submit(Quick, short()).unwrap();
        SUBMITTED.with_borrow_mut(|tickets| tickets.push(ticket));
    }
}

#[test]
fn a_short_task_submitted_by_a_waker_does_not_take_the_core_from_one_that_is_about_to_run() {
    on_one_shard(knowing(NetworkMode::Ring), |shard| async move {
        SHARD.set(Some(shard.clone()));
        let waker = Waker::from(Arc::new(Submitting));
        for _ in 0..20 {
            // One event ends the first, which wakes the waker, and has the second run.
            let meta = within(Duration::from_millis(2));
            let until = meta.deadline;
            let late = FnTask(move |_| Step::Blocked {
                until: until + PATIENCE,
            });
            let mut late = shard.submit(late, meta).unwrap();
            let mut slept = false;
            let sleeper = FnTask(move |_| {
                if std::mem::replace(&mut slept, true) {
                    return Step::Done;
                }
                Step::Blocked { until }
            });
            let sleeper = shard.submit(sleeper, short()).unwrap();
            let polled = Pin::new(&mut late).poll(&mut Context::from_waker(&waker));
            assert!(polled.is_pending());
            assert_eq!(sleeper.await.ending, Ending::Done);
            assert_eq!(late.await.ending, Ending::DeadlineExceeded);
            let submitted = SUBMITTED.take().pop().expect("the waker was called");
            assert_eq!(submitted.await.ending, Ending::Done);
        }
        SHARD.set(None);
    });
}

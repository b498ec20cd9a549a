//! Tasks on a real shard: slices beside I/O, sleep, limits, cancelling, panics, drain.
#![expect(
    clippy::disallowed_methods,
    reason = "tests look at the clock from outside of the shards"
)]

mod harness;

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::{Arc, mpsc};
use std::task::{Context, Wake, Waker};
use std::time::Duration;

use harness::{FnTask, PATIENCE, endless, eventually, join, loopback, one_shard, serve_echo, within};
use luge_shards::{
    Ending, Instant, ListenAddress, PolicyKind, RejectReason, Shard, ShardsConfig, Slice, Step, Task,
    TaskMeta, Ticket, start,
};

/// Runs `main` on one shard to its end; a panic in it fails the test.
fn on_one_shard<F, Fut>(config: ShardsConfig, main: F)
where
    F: Fn(Shard) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    join(start(config, main).unwrap()).unwrap();
}

#[test]
fn a_task_comes_back_with_its_account() {
    // Before the shard looks at the clock: a task counts from its last look, which may be a while ago.
    let begin = Instant::now();
    on_one_shard(one_shard(), move |shard| async move {
        let mut slices = 0;
        let task = FnTask(move |_| {
            slices += 1;
            if slices < 3 { Step::Preempted } else { Step::Done }
        });
        let completed = shard.submit(task, within(PATIENCE)).unwrap().await;
        assert_eq!(completed.ending, Ending::Done);
        let account = completed.account;
        assert_eq!((account.slices, account.blocked), (3, Duration::ZERO));
        assert!(account.queued + account.ran <= Instant::now() - begin);
        let stats = shard.stats().snapshot();
        assert_eq!((stats.submitted, stats.completed, stats.slices), (1, 1, 3));
        assert_eq!((stats.queued, stats.started), (0, 0));
    });
}

#[test]
fn a_long_task_does_not_stop_an_echo_on_its_shard() {
    let address = ListenAddress::reserve(loopback()).unwrap();
    let addr = address.addr();
    let shards = start(one_shard(), move |shard| async move {
        let listener = shard.listen(addr).unwrap();
        // An hour of work: the echoes below are answered beside it or never.
        let ticket = shard
            .submit(endless(), within(Duration::from_secs(3600)))
            .unwrap();
        serve_echo(&shard, listener).await;
        drop(ticket);
    })
    .unwrap();
    eventually("the task has run", || shards.stats()[0].snapshot().slices > 10);

    let mut client = TcpStream::connect(addr).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    client.set_nodelay(true).unwrap();
    let before = shards.stats()[0].snapshot();
    let mut slices: Vec<u64> = (0..21_u8)
        .map(|round| {
            let before = shards.stats()[0].snapshot().slices;
            client.write_all(&[round; 100]).unwrap();
            let mut answer = [0; 100];
            client.read_exact(&mut answer).unwrap();
            assert_eq!(answer, [round; 100]);
            shards.stats()[0].snapshot().slices - before
        })
        .collect();
    let after = shards.stats()[0].snapshot();
    // Counted in slices, not in time: a starved reactor lets some fifty to a hundred pass per round (up to its
    // preemption timer), a polled one a few. The median, so that a busy machine may hold up some rounds.
    slices.sort_unstable();
    assert!(slices[10] < 20, "slices that passed during each echo: {slices:?}");
    // And the task was not put aside for the I/O.
    assert!(
        after.slices - before.slices >= 5,
        "the task stood still during the echoes: {slices:?}"
    );
    assert!(after.reactor_polls > before.reactor_polls);
    drop(client);
    shards.drain();
    join(shards).unwrap();
}

#[test]
fn cancelling_a_sleeper_lets_the_task_start_that_waited_for_its_place() {
    let config = ShardsConfig {
        started_bound: 1,
        ..one_shard()
    };
    on_one_shard(config, |shard| async move {
        let hour = Duration::from_secs(3600);
        let sleeper = FnTask(move |until| Step::Blocked { until: until + hour });
        let sleeper = shard.submit(sleeper, within(2 * hour)).unwrap();
        let next = shard.submit(FnTask(|_| Step::Done), within(PATIENCE)).unwrap();
        while shard.stats().snapshot().blocked == 0 {
            shard.sleep(Duration::from_millis(1)).await;
        }
        // The runner is idle by now, until the deadline of the task that may not start.
        shard.sleep(Duration::from_millis(1)).await;
        drop(sleeper);
        assert_eq!(next.await.ending, Ending::Done);
    });
}

thread_local! {
    /// The shard of this thread, for [`Submitting`].
    static SHARD: RefCell<Option<Shard>> = const { RefCell::new(None) };
    /// What [`Submitting`] has submitted.
    static SUBMITTED: RefCell<Vec<Ticket<Quick>>> = const { RefCell::new(Vec::new()) };
}

/// A task that is done at once.
struct Quick;

impl Task for Quick {
    fn run(&mut self, _slice: Slice) -> Step {
        Step::Done
    }
}

/// A waker that submits a task in the very moment in which it is woken.
struct Submitting;

impl Wake for Submitting {
    fn wake(self: Arc<Self>) {
        let shard = SHARD.with_borrow(Clone::clone).expect("the test has set it");
        let ticket = shard.submit(Quick, within(PATIENCE)).unwrap();
        SUBMITTED.with_borrow_mut(|tickets| tickets.push(ticket));
    }
}

#[test]
fn a_task_submitted_while_others_end_does_not_get_mixed_up_with_them() {
    on_one_shard(one_shard(), |shard| async move {
        SHARD.set(Some(shard.clone()));
        let meta = within(Duration::from_millis(50));
        let asleep = || {
            FnTask(move |_| Step::Blocked {
                until: meta.deadline + PATIENCE,
            })
        };
        let mut first = shard.submit(asleep(), meta).unwrap();
        let second = shard.submit(asleep(), meta).unwrap();
        let waker = Waker::from(Arc::new(Submitting));
        assert!(
            Pin::new(&mut first)
                .poll(&mut Context::from_waker(&waker))
                .is_pending()
        );
        // Both end by one event; the first one's waker submits before the second one's ticket is answered.
        assert_eq!(second.await.ending, Ending::DeadlineExceeded);
        let submitted = SUBMITTED.take().pop().expect("the waker was called");
        assert_eq!(submitted.await.ending, Ending::Done);
        assert_eq!(first.await.ending, Ending::DeadlineExceeded);
        SHARD.set(None);
    });
}

/// Holds a place of which there are few from its first slice on, and sleeps.
struct Holder {
    places: Rc<Cell<u32>>,
    holds: bool,
    stopped_by: Rc<RefCell<Vec<Ending>>>,
}

impl luge_shards::Task for Holder {
    fn run(&mut self, slice: Slice) -> Step {
        if !self.holds {
            let left = self.places.get().checked_sub(1);
            self.places
                .set(left.expect("a task that has ended still holds its place"));
            self.holds = true;
        }
        Step::Blocked {
            until: slice.until + Duration::from_secs(3600),
        }
    }

    fn stop(&mut self, ending: Ending) {
        self.stopped_by.borrow_mut().push(ending);
        self.places.set(self.places.get() + 1);
    }
}

#[test]
fn a_task_that_is_ended_lets_go_before_the_next_one_runs() {
    let config = ShardsConfig {
        started_bound: 2,
        ..one_shard()
    };
    on_one_shard(config, |shard| async move {
        let places = Rc::new(Cell::new(2));
        let stopped_by = Rc::new(RefCell::new(Vec::new()));
        let holder = || Holder {
            places: places.clone(),
            holds: false,
            stopped_by: stopped_by.clone(),
        };
        // Two at a time start, and both end in the event by which the next one runs.
        let tickets: Vec<_> = (1..=8)
            .map(|round| {
                let deadline = within(Duration::from_millis(10 * (round / 2)));
                shard.submit(holder(), deadline).unwrap()
            })
            .collect();
        for ticket in tickets {
            let ended = ticket.await;
            assert_eq!(ended.ending, Ending::DeadlineExceeded);
        }
        let started = stopped_by.borrow().len();
        assert!((2..=8).contains(&started) && places.get() >= 2);
        stopped_by.borrow_mut().clear();
        let cancelled = shard.submit(holder(), within(PATIENCE)).unwrap();
        eventually_on(&shard, |stats| stats.blocked == 1).await;
        drop(cancelled);
        assert_eq!(*stopped_by.borrow(), [Ending::Cancelled]);
    });
}

#[test]
fn an_endless_task_ends_at_its_deadline_and_the_next_one_runs() {
    on_one_shard(one_shard(), |shard| async move {
        let hog = shard
            .submit(endless(), within(Duration::from_millis(50)))
            .unwrap();
        let next = shard.submit(FnTask(|_| Step::Done), within(PATIENCE)).unwrap();
        let hog = hog.await;
        assert_eq!(hog.ending, Ending::DeadlineExceeded);
        let (slices, preemptions) = (hog.account.slices, hog.account.preemptions);
        assert!(slices > 1);
        // A slice that ends just before the deadline leaves a task that waits to go on, and is ended as that.
        assert!(
            preemptions == slices - 1 || preemptions == slices,
            "{preemptions} of {slices} slices were too short"
        );
        assert_eq!(next.await.ending, Ending::Done);
        assert_eq!(shard.stats().snapshot().deadline_exceeded, 1);
    });
}

#[test]
fn a_task_ends_when_its_cpu_time_is_used_up() {
    on_one_shard(one_shard(), |shard| async move {
        let budget = Duration::from_millis(20);
        let meta = TaskMeta {
            cpu_budget: budget,
            ..within(Duration::from_secs(3600))
        };
        let hog = shard.submit(endless(), meta).unwrap().await;
        assert_eq!(hog.ending, Ending::CpuBudgetExceeded);
        assert!(hog.account.ran >= budget);
    });
}

#[test]
fn tasks_run_in_the_order_of_their_submission() {
    on_one_shard(one_shard(), |shard| async move {
        let ran = Rc::new(Cell::new(0_u32));
        let tickets: Vec<_> = (0..100)
            .map(|number| {
                let (ran, mut slices) = (ran.clone(), 0);
                let task = FnTask(move |_| {
                    slices += 1;
                    assert_eq!(ran.get(), number, "a task ran out of order");
                    if slices == 1 {
                        return Step::Preempted;
                    }
                    ran.set(number + 1);
                    Step::Done
                });
                shard.submit(task, within(PATIENCE)).unwrap()
            })
            .collect();
        for ticket in tickets {
            assert_eq!(ticket.await.ending, Ending::Done);
        }
        assert_eq!(ran.get(), 100);
    });
}

#[test]
fn a_sleeping_task_lets_others_run_and_wakes_by_itself() {
    on_one_shard(one_shard(), |shard| async move {
        let log = Rc::new(RefCell::new(Vec::new()));
        let nap = Duration::from_millis(200);
        let (sleeper_log, mut slices) = (log.clone(), 0);
        let sleeper = FnTask(move |_| {
            slices += 1;
            sleeper_log.borrow_mut().push(("sleeper", slices));
            if slices == 2 {
                Step::Done
            } else {
                Step::Blocked {
                    until: Instant::now() + nap,
                }
            }
        });
        let (other_log, mut slices) = (log.clone(), 0);
        let other = FnTask(move |_| {
            slices += 1;
            other_log.borrow_mut().push(("other", slices));
            Step::Done
        });
        let sleeper = shard.submit(sleeper, within(PATIENCE)).unwrap();
        let other = shard.submit(other, within(PATIENCE)).unwrap();
        assert_eq!(other.await.ending, Ending::Done);
        let slept = sleeper.await;
        assert_eq!(slept.ending, Ending::Done);
        // The task reads the clock for its nap a little before its slice ends.
        assert!(slept.account.blocked > Duration::ZERO && slept.account.blocked <= nap);
        assert_eq!((slept.account.slices, slept.account.preemptions), (2, 0));
        let stats = shard.stats().snapshot();
        let blocked = u64::try_from(slept.account.blocked.as_nanos()).unwrap();
        assert_eq!((stats.blocked_ns, stats.slices), (blocked, 3));
        assert!(stats.queued_ns > 0 && stats.busy_ns > 0);
        assert_eq!(*log.borrow(), [("sleeper", 1), ("other", 1), ("sleeper", 2)]);
    });
}

#[test]
fn a_task_that_sleeps_past_its_deadline_is_ended_at_the_deadline() {
    on_one_shard(one_shard(), |shard| async move {
        let sleeper = FnTask(|_| Step::Blocked {
            until: Instant::now() + Duration::from_secs(3600),
        });
        let slept = shard
            .submit(sleeper, within(Duration::from_millis(30)))
            .unwrap()
            .await;
        assert_eq!(slept.ending, Ending::DeadlineExceeded);
        assert!(slept.account.blocked > Duration::ZERO);
    });
}

#[test]
fn dropping_the_ticket_cancels_the_task_and_drops_it() {
    on_one_shard(one_shard(), |shard| async move {
        let shared = Rc::new(());
        let held = shared.clone();
        let mut hog = endless();
        let ticket = shard
            .submit(
                FnTask(move |until| {
                    let _held = &held;
                    (hog.0)(until)
                }),
                within(PATIENCE),
            )
            .unwrap();
        shard.sleep(Duration::from_millis(10)).await;
        assert!(shard.stats().snapshot().slices > 0);
        assert_eq!(Rc::strong_count(&shared), 2);
        drop(ticket);
        assert_eq!(
            Rc::strong_count(&shared),
            1,
            "the task was dropped with its ticket"
        );
        let stats = shard.stats().snapshot();
        assert_eq!((stats.cancelled, stats.started), (1, 0));
        // The shard goes on.
        let next = shard.submit(FnTask(|_| Step::Done), within(PATIENCE)).unwrap();
        assert_eq!(next.await.ending, Ending::Done);
    });
}

#[test]
fn who_waited_for_an_instant_is_not_told_an_earlier_one() {
    on_one_shard(one_shard(), |shard| async move {
        // On a busy machine the instant may be over before any future runs; then it is tried again.
        for _ in 0..50 {
            if wait_on_a_held_thread(&shard).await > 0 {
                return;
            }
        }
        panic!("the time that futures see was looked at before they ran");
    });
}

/// Waits for an instant that passes while another future holds the shard's thread. Gives how often it had to.
async fn wait_on_a_held_thread(shard: &Shard) -> u32 {
    // Who waited for a task runs between two looks of the shard at the clock.
    let task = shard.submit(FnTask(|_| Step::Done), within(PATIENCE)).unwrap();
    assert_eq!(task.await.ending, Ending::Done);
    let at = shard.now() + Duration::from_millis(5);
    // This holds the thread beyond that instant; the next one runs before the shard looks again.
    shard.spawn_local(async { std::thread::sleep(Duration::from_millis(30)) });
    let (tries, is_over) = (Rc::new(Cell::new(0)), Rc::new(Cell::new(false)));
    let (seen, over, waiter) = (tries.clone(), is_over.clone(), shard.clone());
    shard.spawn_local(async move {
        while waiter.now() < at {
            seen.set(seen.get() + 1);
            assert!(seen.get() < 100, "it goes round without an end");
            waiter.sleep_until(at).await;
        }
        let begun = Instant::now();
        waiter.sleep(Duration::from_millis(5)).await;
        assert!(Instant::now() - begun >= Duration::from_millis(5));
        over.set(true);
    });
    while !is_over.get() {
        assert_eq!(shard.stats().snapshot().panicked, 0);
        shard.sleep(Duration::from_millis(5)).await;
    }
    tries.get()
}

#[test]
fn a_panicking_task_ends_alone() {
    struct PanicsTwice;
    impl luge_shards::Task for PanicsTwice {
        fn run(&mut self, _slice: Slice) -> Step {
            panic!("on purpose")
        }
    }
    impl Drop for PanicsTwice {
        fn drop(&mut self) {
            if !std::thread::panicking() {
                panic!("on purpose, once more");
            }
        }
    }
    on_one_shard(one_shard(), |shard| async move {
        let kept = shard.submit(PanicsTwice, within(PATIENCE)).unwrap().await;
        assert_eq!(kept.ending, Ending::Panicked);
        std::mem::forget(kept.task);
        // These are dropped by their tickets, after their end and before their start; the panic of the destructor stays
        // in the future that held the ticket.
        let ran = shard.submit(PanicsTwice, within(PATIENCE)).unwrap();
        eventually_on(&shard, |stats| stats.panicked == 2).await;
        shard.spawn_local(async move { drop(ran) });
        eventually_on(&shard, |stats| stats.panicked == 3).await;
        let queued = shard.submit(PanicsTwice, within(PATIENCE)).unwrap();
        assert!(std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| drop(queued))).is_err());
        assert_eq!(shard.stats().snapshot().cancelled, 1);
        // This one is dropped by the shard, as its ticket goes while it runs.
        let own = Rc::new(Cell::new(None));
        let (held, bomb) = (own.clone(), PanicsTwice);
        let suicide = FnTask(move |_| {
            let _bomb = &bomb;
            drop(held.take());
            Step::Preempted
        });
        own.set(Some(
            Box::new(shard.submit(suicide, within(PATIENCE)).unwrap()) as Box<dyn Any>
        ));
        eventually_on(&shard, |stats| stats.cancelled == 2).await;
        let next = shard.submit(FnTask(|_| Step::Done), within(PATIENCE)).unwrap();
        assert_eq!(next.await.ending, Ending::Done);
    });
}

async fn eventually_on(shard: &Shard, condition: impl Fn(luge_shards::StatsSnapshot) -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition(shard.stats().snapshot()) {
        assert!(Instant::now() < end, "never: {:?}", shard.stats().snapshot());
        shard.sleep(Duration::from_millis(2)).await;
    }
}

#[test]
fn a_task_may_submit_tasks() {
    on_one_shard(one_shard(), |shard| async move {
        let inner_shard = shard.clone();
        let inner = Rc::new(Cell::new(None));
        let put = inner.clone();
        let outer = FnTask(move |_| {
            put.set(Some(
                inner_shard
                    .submit(FnTask(|_| Step::Done), within(PATIENCE))
                    .unwrap(),
            ));
            Step::Done
        });
        assert_eq!(
            shard.submit(outer, within(PATIENCE)).unwrap().await.ending,
            Ending::Done
        );
        assert_eq!(inner.take().unwrap().await.ending, Ending::Done);
    });
}

#[test]
fn a_full_queue_gives_the_task_back() {
    let config = ShardsConfig {
        queue_bound: 2,
        ..one_shard()
    };
    on_one_shard(config, |shard| async move {
        let submit = || shard.submit(FnTask(|_| Step::Done), within(PATIENCE));
        let (first, second) = (submit().unwrap(), submit().unwrap());
        let rejected = submit().map(drop).unwrap_err();
        assert!(matches!(rejected.reason, RejectReason::QueueFull { .. }));
        let task = rejected.task;
        assert_eq!((task.0)(Instant::now()), Step::Done);
        assert_eq!(
            (first.await.ending, second.await.ending),
            (Ending::Done, Ending::Done)
        );
        assert_eq!(submit().unwrap().await.ending, Ending::Done);
        assert_eq!(shard.stats().snapshot().rejected, 1);
    });
}

#[test]
fn a_drain_refuses_new_tasks_lets_running_ones_finish_and_ends_the_rest_after_its_grace() {
    let config = ShardsConfig {
        drain_grace: Duration::from_millis(100),
        // So that what waits behind the endless task does not overtake it.
        policy: PolicyKind::Fifo,
        ..one_shard()
    };
    let (ready, is_ready) = mpsc::channel();
    let shards = start(config, move |shard| {
        let ready = ready.clone();
        async move {
            let mut slept = false;
            let finishes = FnTask(move |_| {
                if std::mem::replace(&mut slept, true) {
                    return Step::Done;
                }
                Step::Blocked {
                    until: Instant::now() + Duration::from_millis(20),
                }
            });
            let finishes = shard.submit(finishes, within(PATIENCE)).unwrap();
            let hog = shard
                .submit(endless(), within(Duration::from_secs(3600)))
                .unwrap();
            let queued = shard.submit(FnTask(|_| Step::Done), within(PATIENCE)).unwrap();
            ready.send(()).unwrap();
            shard.draining().await;
            let refused = shard
                .submit(FnTask(|_| Step::Done), within(PATIENCE))
                .map(drop)
                .unwrap_err();
            assert_eq!(refused.reason, RejectReason::Draining);
            assert_eq!(finishes.await.ending, Ending::Done);
            assert_eq!(hog.await.ending, Ending::Drained);
            assert_eq!(queued.await.ending, Ending::Drained);
        }
    })
    .unwrap();
    is_ready.recv_timeout(PATIENCE).unwrap();
    shards.drain();
    join(shards).unwrap();
}

//! A shard's queue: the state machine `(Event, now) -> Actions` under a driver that runs nothing.
//!
//! First in, first out, with an ordered set of alarms beside the queue: submit, pick, preempt, sleep, cancel; and what passes by it.

use super::TIMES;
use luge_shards::{
    Action, AnyPolicy, ClassConfig, Event, Instant, PolicyKind, Scheduler, SchedulerConfig, SliceOutcome,
    Step, TaskId, TaskMeta,
};
use std::time::Duration;

/// How long a slice takes on the script's clock. All times are whole seconds: then no addition carries, and it does not
/// matter to a count which fraction of a second the machine's clock shows when the script begins.
const SLICE: Duration = Duration::from_secs(1);

/// A scheduler with the script's clock.
pub(crate) struct Queue {
    scheduler: Scheduler<AnyPolicy>,
    now: Instant,
    actions: Vec<Action>,
    waiting: Vec<TaskId>,
}

/// A scheduler in which `waiting` tasks wait, none of which has begun.
pub(crate) fn queue(waiting: usize) -> Queue {
    queue_of(waiting, Vec::new())
}

/// One without tasks, that knows how long they take.
pub(crate) fn knowing() -> Queue {
    let class = ClassConfig {
        prior: Some(SLICE),
        ..ClassConfig::default()
    };
    queue_of(0, vec![class])
}

fn queue_of(waiting: usize, classes: Vec<ClassConfig>) -> Queue {
    let config = SchedulerConfig {
        classes,
        queue_bound: 4096,
        started_bound: 256,
        quantum: SLICE,
        drain_grace: Duration::from_secs(1),
        policy: PolicyKind::Fifo,
        ..SchedulerConfig::default()
    };
    let mut queue = Queue {
        scheduler: Scheduler::new(config, AnyPolicy::new(PolicyKind::Fifo)),
        now: Instant::now(),
        actions: Vec::with_capacity(64),
        waiting: Vec::with_capacity(waiting + TIMES),
    };
    for number in 0..waiting {
        queue.submit(number);
    }
    queue
}

impl Queue {
    /// What is said of a task that arrives. Deadlines come in no order, as those of different functions do.
    fn task(&self, number: usize) -> TaskMeta {
        let after = Duration::from_secs(10_000 + (number as u64 * 37) % 1_000);
        TaskMeta {
            deadline: self.now + after,
            cpu_budget: Duration::MAX,
            class: 0,
            movable: false,
            firm: false,
        }
    }

    fn submit(&mut self, number: usize) {
        match self.handle(Event::Submit(self.task(number))) {
            Action::Admitted(id) => self.waiting.push(id),
            other => panic!("not admitted: {other:?}"),
        }
    }

    /// The core takes the next task.
    fn pick(&mut self) {
        let action = self.handle(Event::CoreFree);
        assert!(matches!(action, Action::Run { .. }), "nothing to run: {action:?}");
    }

    /// The slice is over.
    fn sliced(&mut self, step: Step) {
        self.now += SLICE;
        self.actions.clear();
        let outcome = SliceOutcome::Returned(step);
        let event = Event::Sliced {
            outcome,
            kept: Duration::ZERO,
        };
        self.scheduler.handle(event, self.now, &mut self.actions);
    }

    /// The one action that answers an event.
    fn handle(&mut self, event: Event) -> Action {
        self.actions.clear();
        self.scheduler.handle(event, self.now, &mut self.actions);
        assert_eq!(self.actions.len(), 1, "one event, one answer");
        self.actions[0]
    }
}

/// [`TIMES`] tasks come, each behind those that wait, and as many from the front run to their end.
pub(crate) fn submit_and_finish(mut queue: Queue) -> Queue {
    for number in 0..TIMES {
        queue.submit(number);
        queue.pick();
        queue.sliced(Step::Done);
    }
    queue
}

/// [`TIMES`] tasks pass by the queue.
pub(crate) fn pass(mut queue: Queue) -> Queue {
    for number in 0..TIMES {
        let (meta, since) = (queue.task(number), queue.now);
        let slice = queue.scheduler.passes(&meta, SLICE * 2, since);
        assert!(slice.is_some(), "the queue is empty, and the class is known");
        queue.now += SLICE;
        let action = queue.handle(Event::Passed {
            meta,
            wanted: since,
            since,
            outcome: SliceOutcome::Returned(Step::Done),
        });
        assert!(matches!(action, Action::End { .. }), "not over: {action:?}");
    }
    queue
}

/// The front task is preempted [`TIMES`] times and goes on.
pub(crate) fn preempt(mut queue: Queue) -> Queue {
    for _ in 0..TIMES {
        queue.pick();
        queue.sliced(Step::Preempted);
    }
    queue
}

/// [`TIMES`] tasks fall asleep, and all of them wake and finish.
pub(crate) fn sleep_and_wake(mut queue: Queue) -> Queue {
    let wake = queue.now + SLICE * 2 * TIMES as u32;
    for _ in 0..TIMES {
        queue.pick();
        queue.sliced(Step::Blocked { until: wake });
    }
    queue.now = wake;
    for _ in 0..TIMES {
        queue.pick();
        queue.sliced(Step::Done);
    }
    queue
}

/// [`TIMES`] tasks are cancelled out of the middle of the queue.
pub(crate) fn cancel(mut queue: Queue) -> Queue {
    for _ in 0..TIMES {
        let id = queue.waiting.swap_remove(queue.waiting.len() / 2);
        let action = queue.handle(Event::Cancel(id));
        assert!(matches!(action, Action::End { .. }), "not ended: {action:?}");
    }
    queue
}

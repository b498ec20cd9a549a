//! A signal that is polled when it may have something to say, and not with every poll of its task.
//!
//! ```text
//!   poll of the task ──> LazySignal ──first time, new task, or the latch is set──> Signal::poll
//!                            └────────otherwise: Pending─────────────────────────> (nothing)
//!
//!   the signal's source ──wakes──> Latch {set} ──wakes──> task
//! ```
//!
//! A connection waits for its timer and for the drain of the server in each of its polls, of which a request takes one or two,
//! and neither happens but once in hundreds of requests. A shard's timer enters itself anew into a tree and a hash table
//! each time that it is polled, and the drain's list takes a new copy of the waker, to stand there as they stood before.
//! So the signal gets a waker of its own, which remembers that it was called: as long as it was not, and would wake the
//! same task, there is nothing to ask.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Wake, Waker};

use super::transport::Signal;

/// A [`Signal`] with a waker of its own. Not to be polled again after it was ready.
pub(super) struct LazySignal {
    signal: Signal,
    latch: Option<Arc<Latch>>,
}

impl LazySignal {
    pub(super) fn new(signal: Signal) -> Self {
        Self { signal, latch: None }
    }

    /// As the signal's own poll, at the price of a comparison in most cases.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.latch {
            Some(latch) if latch.stands_for(cx.waker()) => Poll::Pending,
            _ => self.ask(cx),
        }
    }

    #[cold]
    fn ask(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let latch = Arc::new(Latch {
            called: AtomicBool::new(false),
            task: cx.waker().clone(),
        });
        self.latch = Some(Arc::clone(&latch));
        self.signal
            .as_mut()
            .poll(&mut Context::from_waker(&Waker::from(latch)))
    }
}

/// Remembers that it was called, and passes the call on.
struct Latch {
    called: AtomicBool,
    task: Waker,
}

impl Latch {
    /// Whether nothing has come, and what comes will wake this task.
    fn stands_for(&self, task: &Waker) -> bool {
        !self.called.load(Ordering::Acquire) && is_same(&self.task, task)
    }
}

/// As [`Waker::will_wake`], which compares where the tables of functions are. A table may be named at
/// several places, for the waker that a future is polled with and for the copies, and the compiler may lay out one for each.
fn is_same(one: &Waker, other: &Waker) -> bool {
    one.will_wake(other) || (one.data() == other.data() && one.vtable() == other.vtable())
}

impl Wake for Latch {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Before the task can look.
        self.called.store(true, Ordering::Release);
        self.task.wake_by_ref();
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};
    use std::future::poll_fn;
    use std::rc::Rc;

    use super::*;

    /// A signal's source, which counts how often it is asked.
    #[derive(Default)]
    struct Source {
        asked: Cell<usize>,
        happened: Cell<bool>,
        waiter: RefCell<Option<Waker>>,
    }

    impl Source {
        fn signal(self: &Rc<Self>) -> LazySignal {
            let source = Rc::clone(self);
            LazySignal::new(Box::pin(poll_fn(move |cx| {
                source.asked.set(source.asked.get() + 1);
                *source.waiter.borrow_mut() = Some(cx.waker().clone());
                if source.happened.get() {
                    Poll::Ready(())
                } else {
                    Poll::Pending
                }
            })))
        }

        fn wake(&self) {
            let waiter = self.waiter.borrow_mut().take();
            waiter.expect("somebody waits").wake();
        }
    }

    #[derive(Default)]
    struct Task(AtomicBool);

    impl Wake for Task {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::Relaxed);
        }
    }

    impl Task {
        fn take_woken(&self) -> bool {
            self.0.swap(false, Ordering::Relaxed)
        }
    }

    #[test]
    fn it_is_asked_once_until_it_calls() {
        let (source, task) = (Rc::new(Source::default()), Arc::new(Task::default()));
        let waker = Waker::from(Arc::clone(&task));
        let mut cx = Context::from_waker(&waker);
        let mut signal = source.signal();
        assert!((0..1000).all(|_| signal.poll(&mut cx).is_pending()));
        assert_eq!((source.asked.get(), task.take_woken()), (1, false));
        // A call without cause has it asked again, once.
        source.wake();
        assert!(task.take_woken());
        assert!((0..1000).all(|_| signal.poll(&mut cx).is_pending()));
        assert_eq!(source.asked.get(), 2);
        source.happened.set(true);
        source.wake();
        assert!(task.take_woken() && signal.poll(&mut cx).is_ready());
        assert_eq!(source.asked.get(), 3);
    }

    #[test]
    fn it_calls_the_task_that_polled_last() {
        let source = Rc::new(Source::default());
        let (first, second) = (Arc::new(Task::default()), Arc::new(Task::default()));
        let mut signal = source.signal();
        for task in [&first, &second] {
            let waker = Waker::from(Arc::clone(task));
            assert!(signal.poll(&mut Context::from_waker(&waker)).is_pending());
        }
        assert_eq!(source.asked.get(), 2);
        source.wake();
        assert_eq!((first.take_woken(), second.take_woken()), (false, true));
    }

    #[test]
    fn what_is_ready_at_once_is_ready() {
        let source = Rc::new(Source::default());
        source.happened.set(true);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(source.signal().poll(&mut cx).is_ready());
    }
}

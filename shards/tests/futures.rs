//! The futures of a shard: who wakes them, from where, and what becomes of wakers that are older than what they were for.
#![expect(
    clippy::disallowed_methods,
    reason = "tests look at the clock from outside of the shards"
)]

mod harness;

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Poll, Waker};
use std::time::Duration;

use harness::{FnTask, PATIENCE, endless, join, loopback, one_shard, serve_echo, within};
use luge_shards::{Ending, ListenAddress, NetworkMode, Shard, ShardsConfig, Step, start};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

/// What futures wait for here: tokens, which any thread may give.
#[derive(Default)]
struct Purse {
    tokens: AtomicUsize,
    waiter: Mutex<Option<Waker>>,
}

impl Purse {
    fn give(&self) {
        self.tokens.fetch_add(1, Ordering::SeqCst);
        let waiter = self.waiter.lock().unwrap().take();
        if let Some(waiter) = waiter {
            waiter.wake();
        }
    }

    /// Takes all there are, once there is any.
    async fn take(&self) -> usize {
        poll_fn(|cx| {
            *self.waiter.lock().unwrap() = Some(cx.waker().clone());
            match self.tokens.swap(0, Ordering::SeqCst) {
                0 => Poll::Pending,
                some => Poll::Ready(some),
            }
        })
        .await
    }
}

/// Runs this as the main future of one shard, on each kind of network.
fn on_each_network<F, Fut>(main: F)
where
    F: Fn(Shard) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = ()> + 'static,
{
    for network in [NetworkMode::Ring, NetworkMode::Executor] {
        let config = ShardsConfig {
            network,
            ..one_shard()
        };
        join(start(config, main.clone()).unwrap()).unwrap();
    }
}

#[test]
fn another_thread_wakes_a_future_of_a_shard_that_sleeps() {
    on_each_network(|shard| async move {
        let purse = Arc::<Purse>::default();
        for pause in [0, 1, 50] {
            let giver = purse.clone();
            let thread = std::thread::spawn(move || {
                // Long enough, the last time, for the shard to sleep in its executor.
                std::thread::sleep(Duration::from_millis(pause));
                giver.give();
            });
            assert_eq!(purse.take().await, 1);
            thread.join().unwrap();
        }
        drop(shard);
    });
}

#[test]
fn another_thread_wakes_a_future_of_a_shard_that_computes() {
    on_each_network(|shard| async move {
        let busy = shard.submit(endless(), within(PATIENCE)).unwrap();
        let purse = Arc::<Purse>::default();
        let giver = purse.clone();
        let thread = std::thread::spawn(move || giver.give());
        assert_eq!(purse.take().await, 1);
        thread.join().unwrap();
        drop(busy);
    });
}

#[test]
fn no_wake_is_lost_wherever_it_comes_from() {
    const FUTURES: usize = 12;
    const TOKENS: usize = 2_000;
    on_each_network(|shard| async move {
        let purses: Arc<Vec<Purse>> = Arc::new((0..FUTURES).map(|_| Purse::default()).collect());
        let all = Rc::new(Cell::new(0));
        let done = Arc::<Purse>::default();
        for own in 0..FUTURES {
            let (purses, all, done) = (purses.clone(), all.clone(), done.clone());
            shard.spawn_local(async move {
                let mut random = Xoshiro256PlusPlus::seed_from_u64(own as u64);
                loop {
                    let some = purses[own].take().await;
                    for _ in 0..some {
                        // Each token is passed on a few times before it counts.
                        if random.random_bool(0.75) {
                            purses[random.random_range(0..FUTURES)].give();
                        } else {
                            all.set(all.get() + 1);
                        }
                    }
                    if all.get() == 3 * TOKENS {
                        done.give();
                    }
                }
            });
        }
        let threads: Vec<_> = (0..3)
            .map(|number| {
                let purses = purses.clone();
                std::thread::spawn(move || {
                    let mut random = Xoshiro256PlusPlus::seed_from_u64(100 + number);
                    for token in 0..TOKENS {
                        purses[random.random_range(0..FUTURES)].give();
                        if token % 100 == 0 {
                            std::thread::sleep(Duration::from_micros(random.random_range(0..300)));
                        }
                    }
                })
            })
            .collect();
        done.take().await;
        assert_eq!(all.get(), 3 * TOKENS);
        for thread in threads {
            thread.join().unwrap();
        }
    });
}

#[test]
fn a_future_that_always_wakes_itself_keeps_nobody_from_the_core() {
    on_each_network(|shard| async move {
        let polls = Rc::new(Cell::new(0_u64));
        let counted = polls.clone();
        shard.spawn_local(poll_fn(move |cx| {
            counted.set(counted.get() + 1);
            cx.waker().wake_by_ref();
            Poll::Pending
        }));
        // Tasks, timers, other futures and the network all have their turns.
        let address = ListenAddress::reserve(loopback()).unwrap();
        let listener = shard.listen(address.addr()).unwrap();
        let echoed = Arc::<Purse>::default();
        let giver = echoed.clone();
        let client = std::thread::spawn(move || {
            let mut client = TcpStream::connect(address.addr()).unwrap();
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            client.write_all(b"x").unwrap();
            client.read_exact(&mut [0]).unwrap();
            giver.give();
        });
        shard.spawn_local({
            let shard = shard.clone();
            async move { serve_echo(&shard, listener).await }
        });
        assert_eq!(echoed.take().await, 1);
        client.join().unwrap();
        let done = shard.submit(FnTask(|_| Step::Done), within(PATIENCE)).unwrap();
        assert_eq!(done.await.ending, Ending::Done);
        shard.sleep(Duration::from_millis(5)).await;
        let other = Arc::<Purse>::default();
        let giver = other.clone();
        shard.spawn_local(async move { giver.give() });
        assert_eq!(other.take().await, 1);
        assert!(polls.get() > 1);
    });
}

#[test]
fn wakers_outlive_their_futures_and_their_shard() {
    let (sender, receiver) = mpsc::channel();
    on_each_network(move |shard| {
        let sender = sender.clone();
        async move {
            let kept = Rc::new(RefCell::new(None));
            let keeps = kept.clone();
            shard.spawn_local(poll_fn(move |cx| {
                *keeps.borrow_mut() = Some(cx.waker().clone());
                Poll::Ready(())
            }));
            shard.sleep(Duration::from_millis(1)).await;
            let old = kept.borrow_mut().take().expect("it was polled");
            // Its place is another future's now, whom its wake is none of.
            let polls = Rc::new(Cell::new(0));
            let counted = polls.clone();
            shard.spawn_local(poll_fn(move |_| {
                counted.set(counted.get() + 1);
                Poll::Pending
            }));
            shard.sleep(Duration::from_millis(1)).await;
            old.wake_by_ref();
            shard.sleep(Duration::from_millis(1)).await;
            assert_eq!(polls.get(), 1);
            sender.send(old).unwrap();
        }
    });
    for old in receiver {
        old.wake_by_ref();
        old.wake();
    }
}

#[test]
fn a_panic_of_a_destructor_ends_with_its_future() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    on_each_network(|shard| async move {
        let bomb = Bomb;
        // Dropped with the future, once that is over.
        shard.spawn_local(poll_fn(move |_| {
            let _ = &bomb;
            Poll::Ready(())
        }));
        shard.sleep(Duration::from_millis(5)).await;
        assert_eq!(shard.stats().snapshot().panicked, 1);
    });
    // And of one that is dropped at the end of the shard.
    let shards = start(one_shard(), |shard| async move {
        let bomb = Bomb;
        shard.spawn_local(poll_fn(move |_| {
            let _ = &bomb;
            Poll::Pending
        }));
        shard.sleep(Duration::from_millis(1)).await;
    })
    .unwrap();
    let stats = shards.stats()[0].clone();
    join(shards).unwrap();
    assert_eq!(stats.snapshot().panicked, 1);
}

#[test]
fn what_is_spawned_while_the_shard_ends_is_dropped() {
    struct Spawner(Shard, mpsc::Sender<&'static str>);
    impl Drop for Spawner {
        fn drop(&mut self) {
            let (shard, sender) = (self.0.clone(), self.1.clone());
            sender.send("dropped").unwrap();
            shard.spawn_local(async move { sender.send("run").unwrap() });
        }
    }
    let (sender, receiver) = mpsc::channel();
    on_each_network(move |shard| {
        let spawner = Spawner(shard.clone(), sender.clone());
        async move {
            shard.spawn_local(async move {
                let _spawner = spawner;
                std::future::pending::<()>().await;
            });
            shard.sleep(Duration::from_millis(1)).await;
        }
    });
    assert_eq!(receiver.iter().collect::<Vec<_>>(), ["dropped", "dropped"]);
}

//! A shard that looks on before it sleeps: it finds what comes by itself, and nothing else waits for it.
#![expect(
    clippy::disallowed_methods,
    reason = "tests look at the clock from outside of the shards"
)]

mod harness;

use std::future::Future;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use harness::{FnTask, PATIENCE, eventually, join, loopback, one_shard, serve_echo, within};
use luge_shards::{
    CoreSelection, Ending, Instant, ListenAddress, Parcel, Shard, ShardId, ShardsConfig, StatsSnapshot, Step,
    start,
};

/// One shard, which looks on for so long.
fn looking_on(busy_poll: Duration) -> ShardsConfig {
    ShardsConfig {
        busy_poll,
        ..one_shard()
    }
}

/// What a shard counts that sends fifty small messages back, one after the other.
fn echo_counts(busy_poll: Duration) -> StatsSnapshot {
    let address = ListenAddress::reserve(loopback()).unwrap();
    let addr = address.addr();
    let shards = start(looking_on(busy_poll), move |shard| async move {
        let listener = shard.listen(addr).unwrap();
        serve_echo(&shard, listener).await;
    })
    .unwrap();
    eventually("the shard listens", || TcpStream::connect(addr).is_ok());
    let mut client = TcpStream::connect(addr).unwrap();
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    for round in 0..50 {
        client.write_all(&[round; 3]).unwrap();
        let mut answer = [0; 3];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [round; 3]);
    }
    let counted = shards.stats()[0].snapshot();
    drop(client);
    shards.drain();
    join(shards).unwrap();
    counted
}

#[test]
fn what_comes_is_found_without_a_sleep() {
    let counted = echo_counts(ShardsConfig::BUSY_POLL_MAX);
    assert!(
        counted.busy_poll_hits > 0 && counted.busy_poll_ns > 0,
        "{counted:?}"
    );
    let counted = echo_counts(Duration::ZERO);
    assert_eq!((counted.busy_poll_hits, counted.busy_poll_ns), (0, 0));
    assert!(counted.dozes > 0, "{counted:?}");
}

/// Whether in one round of a few `act` ends before the shard sleeps. A machine that stops for long may spoil some of them.
async fn ends_before_a_sleep<Fut: Future<Output = ()>>(shard: &Shard, act: impl Fn() -> Fut) -> bool {
    for _ in 0..8 {
        // From a run on, the shard has its whole time to look on.
        let run = FnTask(|_| Step::Done);
        assert_eq!(
            shard.submit(run, within(PATIENCE)).unwrap().await.ending,
            Ending::Done
        );
        let before = shard.stats().snapshot().dozes;
        act().await;
        if shard.stats().snapshot().dozes == before {
            return true;
        }
    }
    false
}

#[test]
fn timers_and_sleeping_tasks_are_looked_at_meanwhile() {
    let shards = start(looking_on(ShardsConfig::BUSY_POLL_MAX), |shard| async move {
        let timer = || shard.sleep(Duration::from_millis(6));
        assert!(ends_before_a_sleep(&shard, timer).await, "a timer");
        let task = || async {
            let mut until = Some(Instant::now() + Duration::from_millis(2));
            let sleeper = FnTask(move |_| match until.take() {
                Some(until) => Step::Blocked { until },
                None => Step::Done,
            });
            let done = shard.submit(sleeper, within(PATIENCE)).unwrap().await;
            assert_eq!(done.ending, Ending::Done);
        };
        assert!(ends_before_a_sleep(&shard, task).await, "a task");
    })
    .unwrap();
    join(shards).unwrap();
}

#[test]
fn mail_is_found_without_a_wake_up() {
    const PARCELS: u64 = 50;
    static OPENED: AtomicU64 = AtomicU64::new(0);
    let config = ShardsConfig {
        cores: CoreSelection::Count(2),
        ..looking_on(ShardsConfig::BUSY_POLL_MAX)
    };
    let shards = start(config, |shard| async move {
        if shard.id() == ShardId(0) {
            for _ in 0..PARCELS {
                let parcel = Parcel::new("counted", None, || {
                    OPENED.fetch_add(1, Ordering::Relaxed);
                });
                shard.send(ShardId(1), parcel).unwrap();
                shard.sleep(Duration::from_millis(1)).await;
            }
        }
        while OPENED.load(Ordering::Relaxed) < PARCELS {
            shard.sleep(Duration::from_millis(1)).await;
        }
    })
    .unwrap();
    let stats = shards.stats().to_vec();
    join(shards).unwrap();
    let (sender, receiver) = (stats[0].snapshot(), stats[1].snapshot());
    assert!(receiver.busy_poll_hits > 0, "{receiver:?}");
    assert!(sender.unparks_sent < PARCELS, "{sender:?}");
}

//! A shard without work sleeps: its thread uses no CPU time.
#![expect(
    clippy::disallowed_methods,
    reason = "tests look at the clock from outside of the shards"
)]

mod harness;

use std::future::poll_fn;
use std::net::TcpStream;
use std::time::Duration;

use harness::{FnTask, PATIENCE, eventually, join, loopback, one_shard, within};
use luge_shards::{Ending, ListenAddress, ShardsConfig, Step, start};
use rustix::time::{ClockId, clock_gettime};

/// CPU time that the calling thread has used.
fn thread_cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap()
}

#[test]
fn an_idle_shard_with_an_open_connection_uses_no_cpu() {
    idles(one_shard());
}

#[test]
fn a_shard_that_looks_on_does_so_once_and_sleeps_then() {
    idles(ShardsConfig {
        busy_poll: Duration::from_millis(40),
        ..one_shard()
    });
}

fn idles(config: ShardsConfig) {
    let address = ListenAddress::reserve(loopback()).unwrap();
    let addr = address.addr();
    let shards = start(config, move |shard| async move {
        let listener = shard.listen(addr).unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        // Everything that can wait is waiting: a listener, a connection, a sleeping task.
        let waiting = shard.clone();
        shard.spawn_local(async move {
            let mut buf = [0; 16];
            let _ = poll_fn(|cx| stream.poll_read(cx, &mut buf)).await;
            waiting.sleep(PATIENCE).await;
        });
        let sleeper = FnTask(|_| Step::Blocked {
            until: luge_shards::Instant::now() + PATIENCE,
        });
        let ticket = shard.submit(sleeper, within(PATIENCE * 2)).unwrap();
        shard.sleep(Duration::from_millis(50)).await;

        let before = thread_cpu_time();
        shard.sleep(Duration::from_secs(1)).await;
        let used = thread_cpu_time() - before;
        // A busy loop would use the whole second; waking for the heartbeat uses well under a hundredth.
        assert!(
            used < Duration::from_millis(200),
            "an idle second used {used:?} of CPU time"
        );

        // And it wakes at once for new work.
        let done = shard
            .submit(FnTask(|_| Step::Done), within(PATIENCE))
            .unwrap()
            .await;
        assert_eq!(done.ending, Ending::Done);
        drop(ticket);
    })
    .unwrap();
    let client = std::cell::RefCell::new(None);
    eventually("the shard listens", || {
        *client.borrow_mut() = TcpStream::connect(addr).ok();
        client.borrow().is_some()
    });
    join(shards).unwrap();
}

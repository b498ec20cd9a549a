//! What the integration tests share: tasks made of closures, an echo server, and a bound on every wait.
#![expect(
    clippy::disallowed_methods,
    reason = "tests look at the clock from outside of the shards"
)]
#![allow(dead_code, reason = "each test binary uses a part of this module")]

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::Duration;

use luge_shards::{
    CoreSelection, Instant, Listener, Shard, ShardFailed, Shards, ShardsConfig, Slice, Step, Stream, Task,
    TaskMeta,
};

/// The longest that any test waits for something that should happen at once.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// One shard with the default settings.
pub(crate) fn one_shard() -> ShardsConfig {
    ShardsConfig {
        cores: CoreSelection::Count(1),
        ..ShardsConfig::default()
    }
}

/// A task that is a closure.
pub(crate) struct FnTask<F>(pub(crate) F);

impl<F: FnMut(Instant) -> Step + 'static> Task for FnTask<F> {
    fn run(&mut self, slice: Slice) -> Step {
        (self.0)(slice.until)
    }
}

/// Computes until `until`, as long as it is let.
pub(crate) fn endless() -> FnTask<impl FnMut(Instant) -> Step + 'static> {
    FnTask(|until| {
        while Instant::now() < until {
            std::hint::spin_loop();
        }
        Step::Preempted
    })
}

/// A deadline `after` from now, and no other limit.
pub(crate) fn within(after: Duration) -> TaskMeta {
    TaskMeta {
        deadline: Instant::now() + after,
        cpu_budget: Duration::MAX,
        class: 0,
        movable: false,
        firm: false,
    }
}

/// Sends back what comes in, until the peer's end.
pub(crate) async fn echo(mut stream: Stream) -> io::Result<()> {
    let mut buf = [0; 4096];
    loop {
        let read = poll_fn(|cx| stream.poll_read(cx, &mut buf)).await?;
        if read == 0 {
            return poll_fn(|cx| stream.poll_shutdown(cx)).await;
        }
        write_all(&mut stream, &buf[..read]).await?;
    }
}

/// Writes all of `bytes`.
pub(crate) async fn write_all(stream: &mut Stream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let written = poll_fn(|cx| stream.poll_write(cx, bytes)).await?;
        bytes = &bytes[written..];
    }
    Ok(())
}

/// Serves echoes until the shard drains.
pub(crate) async fn serve_echo(shard: &Shard, listener: Listener) {
    let mut draining = shard.draining();
    loop {
        let accepted = poll_fn(|cx| {
            if std::pin::Pin::new(&mut draining).poll(cx).is_ready() {
                return std::task::Poll::Ready(None);
            }
            listener.poll_accept(cx).map(Some)
        })
        .await;
        let Some(Ok((stream, _))) = accepted else { return };
        shard.spawn_local(async move {
            let _ = echo(stream).await;
        });
    }
}

/// A loopback address with the port left to the kernel.
pub(crate) fn loopback() -> SocketAddr {
    "127.0.0.1:0".parse().unwrap()
}

/// Joins the shards, but not for ever.
pub(crate) fn join(shards: Shards) -> Result<(), ShardFailed> {
    let (done, is_done) = mpsc::channel();
    let joiner: JoinHandle<()> = std::thread::spawn(move || done.send(shards.join()).unwrap());
    let result = is_done.recv_timeout(PATIENCE).expect("the shards end in time");
    joiner.join().unwrap();
    result
}

/// Waits until `condition` holds, but not for ever.
pub(crate) fn eventually(what: &str, condition: impl Fn() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(2));
    }
}

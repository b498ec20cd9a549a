//! A server on one shard.

use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr};
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::thread;
use std::time::{Duration, Instant};

use luge_http::h1::{Limits, Runtime, Signal, Transport, serve};
use luge_shards::{CoreSelection, ListenAddress, Shard, Shards, ShardsConfig, Stream, start};

use crate::harness::{Functions, Log};

/// The shard; stops when dropped.
pub(crate) struct Executor {
    stop: Arc<AtomicBool>,
    shards: Option<Shards>,
}

impl Executor {
    pub(crate) fn start(limits: Limits, log: Arc<Mutex<Log>>) -> (Self, SocketAddr) {
        let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let address = ListenAddress::reserve(local).expect("a free port");
        let stop = Arc::new(AtomicBool::new(false));
        let config = ShardsConfig {
            cores: CoreSelection::Count(1),
            ..ShardsConfig::default()
        };
        let (stopped, at) = (stop.clone(), address.addr());
        let listening = Arc::new(AtomicBool::new(false));
        let bound = listening.clone();
        let shards = start(config, move |shard| {
            let (stopped, bound) = (stopped.clone(), bound.clone());
            let (limits, log) = (limits.clone(), log.clone());
            async move {
                let listener = shard.listen(at).expect("the address was reserved");
                bound.store(true, Ordering::Release);
                let inside = shard.clone();
                shard.spawn_local(async move {
                    let service = Rc::new(Functions::new(log.clone()));
                    let limits = Rc::new(limits);
                    while let Ok((stream, peer)) = listener.accept().await {
                        let (service, limits, log) = (service.clone(), limits.clone(), log.clone());
                        let clock = Clock(inside.clone());
                        inside.spawn_local(async move {
                            let end = serve(Socket(stream), clock, peer, service, limits).await;
                            log.lock().expect("a healthy log").ends.push(end);
                        });
                    }
                });
                while !stopped.load(Ordering::Relaxed) {
                    shard.sleep(Duration::from_millis(2)).await;
                }
            }
        });
        let shards = shards.expect("a shard");
        while !listening.load(Ordering::Acquire) {
            thread::sleep(Duration::from_millis(1));
        }
        (
            Self {
                stop,
                shards: Some(shards),
            },
            address.addr(),
        )
    }

    pub(crate) fn drain(&self) {
        self.shards.as_ref().expect("running").drain();
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(shards) = self.shards.take() {
            let ended = shards.join();
            assert!(
                ended.is_ok() || thread::panicking(),
                "the shard failed: {ended:?}"
            );
        }
    }
}

struct Socket(Stream);

impl Transport for Socket {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        self.0.poll_read(cx, buf)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.0.poll_write(cx, buf)
    }

    fn poll_write_vectored(&mut self, cx: &mut Context<'_>, bufs: &[IoSlice<'_>]) -> Poll<io::Result<usize>> {
        self.0.poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_flush(cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.0.poll_shutdown(cx)
    }
}

struct Clock(Shard);

impl Runtime for Clock {
    fn now(&self) -> Instant {
        self.0.now()
    }

    fn sleep_until(&self, deadline: Instant) -> Signal {
        Box::pin(self.0.sleep_until(deadline))
    }

    fn draining(&self) -> Signal {
        Box::pin(self.0.draining())
    }
}

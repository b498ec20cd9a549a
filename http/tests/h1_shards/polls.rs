//! On a shard's own executor too, a connection is known for the same task from poll to poll, and need not ask again.

use std::future::{Future, poll_fn};
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use luge_http::h1::{Limits, Runtime, Signal, serve};
use luge_http::net::{ShardRuntime, ShardStream};
use luge_shards::{CoreSelection, Instant, ListenAddress, ShardsConfig, start};

use crate::harness::Functions;

/// A shard's runtime that counts how often its drain is asked for.
struct Counting {
    runtime: ShardRuntime,
    asked: Arc<AtomicUsize>,
}

impl Runtime for Counting {
    fn now(&self) -> Instant {
        self.runtime.now()
    }

    fn sleep_until(&self, deadline: Instant) -> Signal {
        self.runtime.sleep_until(deadline)
    }

    fn draining(&self) -> Signal {
        let (mut drain, asked) = (self.runtime.draining(), Arc::clone(&self.asked));
        Box::pin(poll_fn(move |cx| {
            asked.fetch_add(1, Ordering::Relaxed);
            Pin::new(&mut drain).poll(cx)
        }))
    }
}

#[test]
fn the_drain_is_asked_for_once_and_heard() {
    let local = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
    let address = ListenAddress::reserve(local).expect("a free port");
    let config = ShardsConfig {
        cores: CoreSelection::Count(1),
        ..ShardsConfig::default()
    };
    let asked = Arc::new(AtomicUsize::new(0));
    let (at, counter) = (address.addr(), Arc::clone(&asked));
    let shards = start(config, move |shard| {
        let asked = Arc::clone(&counter);
        async move {
            let listener = shard.listen(at).expect("the address was reserved");
            let (stream, peer) = listener.accept().await.expect("a connection");
            let runtime = Counting {
                runtime: ShardRuntime { shard, drains: true },
                asked,
            };
            let service = Rc::new(Functions::new(Arc::new(Mutex::default())));
            let limits = Rc::new(Limits::default());
            serve(ShardStream(stream), runtime, peer, service, limits).await;
        }
    });
    let shards = shards.expect("a shard");
    let mut client = connect(at);
    for _ in 0..100 {
        client
            .write_all(b"POST /echo HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi")
            .expect("a request leaves");
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\nhi") {
            let mut piece = [0; 512];
            let count = read(&mut client, &mut piece);
            assert!(count > 0, "closed after {answer:?}");
            answer.extend_from_slice(&piece[..count]);
        }
    }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
    shards.drain();
    assert_eq!(read(&mut client, &mut [0]), 0);
    assert_eq!(asked.load(Ordering::Relaxed), 2);
    shards.join().expect("a healthy shard");
}

/// Reads on when a signal, as shards use them, comes between.
fn read(client: &mut TcpStream, piece: &mut [u8]) -> usize {
    loop {
        match client.read(piece) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result.expect("a healthy connection"),
        }
    }
}

/// Tries until the shard listens.
fn connect(at: SocketAddr) -> TcpStream {
    let until = Instant::now() + Duration::from_secs(10);
    loop {
        match TcpStream::connect(at) {
            Ok(client) => {
                let patience = Some(Duration::from_secs(10));
                client.set_read_timeout(patience).expect("a bound");
                return client;
            }
            Err(error) => assert!(Instant::now() < until, "no connection: {error}"),
        }
        std::thread::sleep(Duration::from_millis(1));
    }
}

//! Accepting while the process has no descriptors left: it pauses, and goes on when there are some again.
//!
//! A test binary of its own, because the limit holds for the whole process.
#![expect(
    clippy::disallowed_methods,
    reason = "tests look at the clock from outside of the shards"
)]

mod harness;

use std::fs::File;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::sync::mpsc;
use std::time::Duration;

use harness::{PATIENCE, eventually, join, loopback, one_shard};
use luge_shards::{ListenAddress, start};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::time::{ClockId, clock_gettime};

#[test]
fn running_out_of_descriptors_neither_kills_nor_spins() {
    let address = ListenAddress::reserve(loopback()).unwrap();
    let addr = address.addr();
    let (listening, is_listening) = mpsc::channel();
    let (accepted, is_accepted) = mpsc::channel();
    let (short, is_short) = mpsc::channel::<()>();
    let is_short = std::sync::Arc::new(std::sync::Mutex::new(is_short));
    let shards = start(one_shard(), move |shard| {
        let (listening, accepted, is_short) = (listening.clone(), accepted.clone(), is_short.clone());
        async move {
            let listener = shard.listen(addr).unwrap();
            listening.send(()).unwrap();
            is_short.lock().unwrap().recv().unwrap();
            let cpu = || Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap();
            let before = cpu();
            let mut streams = Vec::new();
            for _ in 0..3 {
                streams.push(listener.accept().await.unwrap());
                accepted.send(cpu() - before).unwrap();
            }
        }
    })
    .unwrap();
    is_listening.recv_timeout(PATIENCE).unwrap();
    // The kernel completes these connections before anybody accepts them.
    let clients: Vec<TcpStream> = (0..3).map(|_| TcpStream::connect(addr).unwrap()).collect();
    let before = getrlimit(Resource::Nofile);
    let next = File::open("/dev/null").unwrap().as_raw_fd();
    setrlimit(
        Resource::Nofile,
        Rlimit {
            current: Some(next as u64),
            maximum: before.maximum,
        },
    )
    .unwrap();
    short.send(()).unwrap();

    let stats = shards.stats()[0].clone();
    eventually("accepting has paused", || stats.snapshot().accept_errors >= 3);
    std::thread::sleep(Duration::from_millis(300));
    assert_eq!(stats.snapshot().accepted, 0);
    assert!(stats.snapshot().accept_errors < 50, "pauses grow");
    setrlimit(Resource::Nofile, before).unwrap();

    let used = is_accepted.recv_timeout(PATIENCE).unwrap();
    assert!(
        used < Duration::from_millis(150),
        "waiting for descriptors used {used:?} of CPU time"
    );
    join(shards).unwrap();
    assert_eq!(is_accepted.iter().count(), 2);
    drop(clients);
}

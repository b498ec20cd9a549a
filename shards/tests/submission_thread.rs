//! Shards whose rings a kernel thread serves: the same service, by another submitter.
#![expect(
    clippy::disallowed_methods,
    reason = "tests look at the clock from outside of the shards"
)]

mod harness;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use harness::{PATIENCE, eventually, join, loopback, one_shard, serve_echo};
use luge_shards::{
    CoreSelection, ListenAddress, Parcel, ShardId, ShardsConfig, StartError, SubmissionThread, start,
};

/// With a thread that sleeps after a millisecond, so that it sleeps now and then in each test.
fn with_thread(cpu: Option<u32>) -> ShardsConfig {
    let idle = Duration::from_millis(1);
    ShardsConfig {
        submission_thread: Some(SubmissionThread { idle, cpu }),
        ..one_shard()
    }
}

#[test]
fn bytes_go_there_and_back_and_connections_end() {
    for busy_poll in [Duration::ZERO, Duration::from_millis(20)] {
        let address = ListenAddress::reserve(loopback()).unwrap();
        let addr = address.addr();
        let config = ShardsConfig {
            busy_poll,
            ..with_thread(None)
        };
        let shards = start(config, move |shard| async move {
            let listener = shard.listen(addr).unwrap();
            serve_echo(&shard, listener).await;
        })
        .unwrap();
        eventually("the shard listens", || TcpStream::connect(addr).is_ok());
        let mut clients: Vec<TcpStream> = (0..50).map(|_| TcpStream::connect(addr).unwrap()).collect();
        for round in 0..3 {
            // Beyond its doze, so that the shard sleeps in the executor and only the bell wakes it.
            std::thread::sleep(Duration::from_millis(30));
            for (number, client) in clients.iter_mut().enumerate() {
                client.set_read_timeout(Some(PATIENCE)).unwrap();
                client.write_all(&[number as u8; 10_000]).unwrap();
            }
            for (number, client) in clients.iter_mut().enumerate() {
                let mut answer = [round; 10_000];
                client.read_exact(&mut answer).unwrap();
                assert!(answer.iter().all(|byte| *byte == number as u8));
            }
        }
        drop(clients);
        eventually("closed connections are counted off", || {
            shards.stats()[0].snapshot().open_connections == 0
        });
        shards.drain();
        join(shards).unwrap();
    }
}

#[test]
fn a_shard_that_sleeps_is_woken_for_mail() {
    const PARCELS: u64 = 20;
    static OPENED: AtomicU64 = AtomicU64::new(0);
    let config = ShardsConfig {
        cores: CoreSelection::Count(2),
        ..with_thread(None)
    };
    let shards = start(config, |shard| async move {
        if shard.id() == ShardId(1) {
            // Nothing but mail, or the end, wakes this one.
            shard.draining().await;
            return;
        }
        for sent in 0..PARCELS {
            let parcel = Parcel::new("counted", None, || {
                OPENED.fetch_add(1, Ordering::Relaxed);
            });
            shard.send(ShardId(1), parcel).unwrap();
            while OPENED.load(Ordering::Relaxed) <= sent {
                shard.sleep(Duration::from_millis(1)).await;
            }
            shard.sleep(Duration::from_millis(10)).await;
        }
        shard.draining().await;
    })
    .unwrap();
    eventually("all mail is opened", || OPENED.load(Ordering::Relaxed) == PARCELS);
    shards.drain();
    join(shards).unwrap();
}

#[test]
fn a_thread_on_a_cpu_that_there_is_not_is_an_error_with_its_cure() {
    let error = start(with_thread(Some(60_000)), |_| async {}).unwrap_err();
    assert!(matches!(error, StartError::NetworkRing { .. }), "{error}");
    assert!(
        error
            .to_string()
            .contains("may its kernel thread run on CPU 60000?"),
        "{error}"
    );
}

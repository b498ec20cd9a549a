//! Shards as a whole: starting, spreading connections, draining, ending.
#![expect(
    clippy::disallowed_methods,
    reason = "tests look at the clock from outside of the shards"
)]

mod harness;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use harness::{PATIENCE, eventually, join, loopback, one_shard, serve_echo};
use luge_shards::{CoreSelection, ListenAddress, ShardId, ShardsConfig, StartError, available_cores, start};

#[test]
fn every_shard_gets_a_part_of_many_connections() {
    let address = ListenAddress::reserve(loopback()).unwrap();
    let addr = address.addr();
    static LISTENING: AtomicUsize = AtomicUsize::new(0);
    let shards = start(ShardsConfig::default(), move |shard| async move {
        let listener = shard.listen(addr).unwrap();
        assert_eq!(listener.local_addr(), addr);
        LISTENING.fetch_add(1, Ordering::SeqCst);
        serve_echo(&shard, listener).await;
    })
    .unwrap();
    assert_eq!(shards.count(), available_cores().unwrap().len());

    // One that comes later than the connections gets none of them.
    eventually("all shards listen", || {
        LISTENING.load(Ordering::SeqCst) == shards.count()
    });
    let mut clients: Vec<TcpStream> = (0..200).map(|_| TcpStream::connect(addr).unwrap()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.set_read_timeout(Some(PATIENCE)).unwrap();
        client.write_all(&[number as u8; 3]).unwrap();
    }
    for (number, client) in clients.iter_mut().enumerate() {
        let mut answer = [0; 3];
        client.read_exact(&mut answer).unwrap();
        assert_eq!(answer, [number as u8; 3]);
    }
    let accepted: Vec<u64> = shards
        .stats()
        .iter()
        .map(|stats| stats.snapshot().accepted)
        .collect();
    assert!(accepted.iter().sum::<u64>() >= 200);
    assert!(
        accepted.iter().all(|&count| count > 0),
        "a shard got nothing: {accepted:?}"
    );

    drop(clients);
    eventually("closed connections are counted off", || {
        shards
            .stats()
            .iter()
            .all(|stats| stats.snapshot().open_connections == 0)
    });
    shards.drain();
    join(shards).unwrap();
    assert!(TcpStream::connect(addr).is_err(), "nobody listens any more");
}

#[test]
fn the_peer_sees_our_half_close_and_we_see_its() {
    let address = ListenAddress::reserve("[::1]:0".parse().unwrap()).unwrap();
    let addr = address.addr();
    let shards = start(one_shard(), move |shard| async move {
        let listener = shard.listen(addr).unwrap();
        serve_echo(&shard, listener).await;
    })
    .unwrap();
    let mut client = loop {
        if let Ok(client) = TcpStream::connect(addr) {
            break client;
        }
    };
    client.set_read_timeout(Some(PATIENCE)).unwrap();
    // More than the socket buffers hold, so that the server's writes block on the way.
    let sent: Vec<u8> = (0..8 << 20).map(|i: u32| i as u8 ^ (i >> 8) as u8).collect();
    let mut writer = client.try_clone().unwrap();
    let expected = sent.clone();
    let writing = std::thread::spawn(move || {
        writer.write_all(&sent).unwrap();
        writer.shutdown(std::net::Shutdown::Write).unwrap();
    });
    let mut received = Vec::new();
    client.read_to_end(&mut received).unwrap();
    writing.join().unwrap();
    assert!(
        received == expected,
        "{} bytes came back of {}",
        received.len(),
        expected.len()
    );
    shards.drain();
    join(shards).unwrap();
}

#[test]
fn a_shard_ends_when_its_main_returns_whatever_it_has_spawned() {
    struct Canary(std::sync::mpsc::Sender<()>);
    impl Drop for Canary {
        fn drop(&mut self) {
            self.0.send(()).unwrap();
        }
    }
    let (dropped, is_dropped) = std::sync::mpsc::channel();
    let shards = start(one_shard(), move |shard| {
        let canary = Canary(dropped.clone());
        async move {
            let sleeper = shard.clone();
            shard.spawn_local(async move {
                let _canary = canary;
                sleeper.sleep(Duration::from_secs(3600)).await;
            });
            shard.sleep(Duration::from_millis(5)).await;
        }
    })
    .unwrap();
    join(shards).unwrap();
    is_dropped
        .try_recv()
        .expect("the spawned future was dropped before the end");
}

#[test]
fn a_panic_in_a_spawned_future_ends_that_future_alone() {
    let shards = start(one_shard(), |shard| async move {
        shard.spawn_local(async { panic!("on purpose") });
        shard.sleep(Duration::from_millis(5)).await;
        assert_eq!(shard.stats().snapshot().panicked, 1);
    })
    .unwrap();
    join(shards).unwrap();
}

#[test]
fn a_panic_in_main_drains_the_other_shards_and_is_reported() {
    let shards = start(ShardsConfig::default(), |shard| async move {
        if shard.id() == ShardId(0) {
            panic!("on purpose");
        }
        shard.draining().await;
    })
    .unwrap();
    let failed = join(shards).unwrap_err();
    assert_eq!(failed.to_string(), "shard 0 panicked: on purpose");
}

#[test]
fn cpus_that_are_not_ours_are_refused() {
    let config = ShardsConfig {
        cores: CoreSelection::Count(100_000),
        ..ShardsConfig::default()
    };
    let error = start(config, |_| async {}).unwrap_err();
    assert!(matches!(error, StartError::Cores(_)), "{error}");
    assert!(error.to_string().contains("100000 cores asked for"), "{error}");
}

#[test]
fn an_address_in_use_is_reported_to_main() {
    let taken = std::net::TcpListener::bind(loopback()).unwrap();
    let addr = taken.local_addr().unwrap();
    let shards = start(one_shard(), move |shard| async move {
        let error = shard.listen(addr).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::AddrInUse);
    })
    .unwrap();
    join(shards).unwrap();
}

#[test]
fn draining_wakes_everybody_who_waits_for_it() {
    let (heard, hears) = std::sync::mpsc::channel();
    let shards = start(one_shard(), move |shard| {
        let heard = heard.clone();
        async move {
            for _ in 0..100 {
                let (draining, heard) = (shard.draining(), heard.clone());
                shard.spawn_local(async move {
                    draining.await;
                    heard.send(()).unwrap();
                });
            }
            shard.draining().await;
            assert!(shard.is_draining());
            shard.sleep(Duration::from_millis(20)).await;
        }
    })
    .unwrap();
    // From another thread than the one that started them, as a signal would.
    let drainer = shards.drainer();
    std::thread::sleep(Duration::from_millis(50));
    std::thread::spawn(move || drainer.drain()).join().unwrap();
    join(shards).unwrap();
    assert_eq!(hears.iter().count(), 100);
}

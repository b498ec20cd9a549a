//! Plain requests go past the HTTP library, and nobody can tell: order, framing and fields of all answers are as if it had read and
//! written everything, whatever the requests before and behind them are, and however the bytes come and go.
//!
//! The connection runs on a scripted transport without sockets; a strict decoder of its own reads the output.

mod desk;
mod random;
mod reader;
mod service;
mod story;

use std::task::Poll;
use std::time::Duration;

use desk::{Connection, Desk};
use luge_http::h1::{ConnectionEnd, Limits};
use random::Random;
use reader::{Answer, read_answer};
use service::{OWN_DATE, Order, When, pattern};
use story::{Asked, Kind, Story};

/// Names the seed that a test was at when it failed.
struct Naming(u64);

impl Drop for Naming {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("seed {}", self.0);
        }
    }
}

#[test]
fn each_request_gets_its_answer_whole_and_in_its_turn() {
    let (mut answers, mut past_the_library) = (0, 0);
    for seed in 1..=4000 {
        let _naming = Naming(seed);
        let mut random = Random::new(seed);
        let takes = random.of(&[1, 7, 300, 5000, usize::MAX]);
        let sizes: &[usize] = if takes < 300 {
            &[0, 5, 200]
        } else {
            &[0, 0, 5, 5, 5, 4096, 4096, 4097, 4097, 100_000]
        };
        let story = Story::random(sizes, &mut random);
        let pieces = story.pieces(&mut random);
        // A client sends all at once, or each piece when what came before is dealt with.
        let patient = random.one_in(2);
        let mut desk = Desk::new(if patient { vec![] } else { pieces.clone() });
        desk.pends = random.of(&[None, Some(2), Some(8)]);
        desk.takes = takes;
        desk.vectored = random.one_in(2);
        desk.ends.set(!patient && random.one_in(2));
        desk.random = Random::new(seed + 1_000_000).into();
        let limits = Limits {
            requests_per_connection: story.limit,
            ..Limits::default()
        };
        let mut connection = Connection::new(desk, limits);
        let mut end = connection.run();
        for piece in pieces.iter().filter(|_| patient) {
            connection.desk.send(piece);
            end = end.or_else(|| connection.run());
        }
        if connection.desk.ends.get() {
            assert!(end.is_some(), "it waits for more than there will be");
        } else {
            // All is said before the client shows that it has no more to ask.
            story.check(&connection.output());
            connection.desk.end();
            end = end.or_else(|| connection.run());
        }
        story.check(&connection.output());
        assert_eq!(end, Some(story.end()), "{story:?}");
        answers += story.last.map_or(story.asked.len(), |last| last + 1);
        past_the_library +=
            usize::from(!connection.desk.vectored && connection.desk.vectored_writes.get() > 0);
    }
    assert!(
        answers > 8000 && past_the_library > 400,
        "{answers} answers, {past_the_library} connections with some past the library"
    );
}

/// The first answer on a connection that gets these pieces, and whether it was written past the library.
fn first_answer(pieces: Vec<Vec<u8>>) -> (Answer, bool) {
    let desk = Desk::new(pieces);
    let mut connection = Connection::new(desk, Limits::default());
    let end = connection.run();
    assert!(matches!(end, None | Some(ConnectionEnd::Closed)), "{end:?}");
    let output = connection.output();
    let answer = read_answer(&mut &output[..], false).expect("an answer");
    (answer, connection.desk.vectored_writes.get() > 0)
}

#[test]
fn an_answer_is_the_same_with_and_without_the_library() {
    let mut plain = 0;
    for seed in 1..=1500 {
        let _naming = Naming(seed);
        let mut random = Random::new(seed);
        let order = Order::random(seed as usize, &[0, 5, 4096, 4097, 100_000], &mut random);
        let get = |kind| {
            let order = order.clone();
            Asked { kind, order }
        };
        let whole = get(Kind::Get).bytes();
        let (mut short, past) = first_answer(vec![whole.clone()]);
        get(Kind::Get).check(&short, get(Kind::Get).closes());
        let for_the_library = matches!(get(Kind::Get).status(), 204 | 205 | 304 | 299)
            || get(Kind::Get).is_streamed()
            || get(Kind::Get).closes();
        assert_eq!(past, !for_the_library, "{order:?}");
        plain += u32::from(past);
        let cut = 1 + random.below(whole.len() - 1);
        let next = Asked {
            kind: Kind::Get,
            order: Order::new(0),
        };
        let long_ways = [
            vec![whole[..cut].to_vec(), whole[cut..].to_vec()],
            vec![[whole.clone(), next.bytes()].concat()],
            vec![get(Kind::Listing).bytes()],
            vec![get(Kind::AfterBlankLine).bytes(), next.bytes()],
        ];
        for (way, pieces) in long_ways.into_iter().enumerate() {
            let (mut long, past) = first_answer(pieces);
            // A blank line ahead does not make a request less plain.
            assert!(way == 3 || !past, "way {way}");
            for answer in [&mut short, &mut long] {
                for field in &mut answer.fields {
                    // It was read as a date already.
                    if field.0 == "date" && field.1 != OWN_DATE {
                        field.1.clear();
                    }
                }
            }
            assert!(
                short == long,
                "way {way}, {order:?}: {short:?} is not {long:?}",
                short = short.fields,
                long = long.fields
            );
        }
    }
    assert!(plain > 500, "{plain} plain answers");
}

#[test]
fn the_same_request_again_is_read_as_it_was_the_first_time() {
    let (mut past_the_library, mut searched) = (0, 0);
    for seed in 1..=500 {
        let _naming = Naming(seed);
        let mut random = Random::new(seed);
        // Few different ones, so that most are the same as the last, or as the last but one.
        let asked: Vec<usize> = (0..20).map(|_| random.of(&[0, 0, 0, 1])).collect();
        let bytes = |number| get(number, When::Call(1), 5 + number);
        let mut connection = Connection::new(Desk::new([]), Limits::default());
        let mut rest = &asked[..];
        while let [number, after @ ..] = rest {
            let (mut piece, mut sent) = (bytes(*number), after);
            match (random.below(4), after) {
                (0, _) => {
                    let cut = 1 + random.below(piece.len() - 1);
                    connection.desk.send(&piece[..cut]);
                    assert_eq!(connection.run(), None);
                    piece.drain(..cut);
                }
                (1, [next, after @ ..]) => {
                    piece.extend(bytes(*next));
                    sent = after;
                }
                (2, _) => piece.splice(..0, *b"\r\n").for_each(drop),
                _ => {}
            }
            connection.desk.send(&piece);
            assert_eq!(connection.run(), None);
            rest = sent;
        }
        let output = connection.output();
        let mut rest = &output[..];
        for number in asked {
            let answer = read_answer(&mut rest, false).expect("an answer");
            assert_eq!(answer.field("x-number"), Some(&*number.to_string()));
            assert!(answer.body == pattern(number, 5 + number));
        }
        assert!(rest.is_empty());
        past_the_library += connection.desk.vectored_writes.get();
        searched += connection.service.searched.get();
    }
    assert!(
        past_the_library > 1000,
        "{past_the_library} answers past the library"
    );
    // Some of those that went past the library were read before, and brought along what was found out then.
    assert!(searched < 10_000 - 100, "{searched} of 10,000 were routed");
}

fn get(number: usize, when: When, size: usize) -> Vec<u8> {
    let order = Order {
        when,
        size,
        ..Order::new(number)
    };
    let kind = Kind::Get;
    Asked { kind, order }.bytes()
}

/// The answers to requests of [`get`], of which there is nothing but whole ones.
fn answers(connection: &Connection) -> Vec<Answer> {
    let output = connection.output();
    let (mut rest, mut answers) = (&output[..], Vec::new());
    while !rest.is_empty() {
        let answer = read_answer(&mut rest, false).expect("an answer");
        assert_eq!(answer.field("x-number"), Some(&*answers.len().to_string()));
        answers.push(answer);
    }
    answers
}

#[test]
fn a_drain_during_a_call_waits_for_it_and_closes_with_its_answer() {
    for (size, before) in [(0, 0), (5, 1), (100_000, 3)] {
        let pieces = (0..before).map(|number| get(number, When::Call(1), 5));
        let mut connection = Connection::new(Desk::new(pieces), Limits::default());
        assert_eq!(connection.run(), None);
        connection.desk.send(&get(before, When::Told, size));
        assert_eq!(connection.run(), None);
        connection.desk.drain();
        assert_eq!((connection.run(), answers(&connection).len()), (None, before));
        connection.service.tell();
        assert_eq!(connection.run(), Some(ConnectionEnd::Drained));
        let answers = answers(&connection);
        assert_eq!(answers.len(), before + 1);
        assert!(answers[before].closes() && !answers[..before].iter().any(Answer::closes));
        assert!(answers[before].body == pattern(before, size));
        assert!(connection.desk.shut.get());
    }
}

#[test]
fn a_drain_while_an_answer_leaves_lets_it_leave_whole() {
    for size in [5, 4096, 4097, 100_000] {
        for room in [0, 1, 40, 150, 4000, 50_000] {
            for when in [When::Admit, When::Call(0), When::Call(2)] {
                let desk = Desk::new([get(0, when, size)]);
                desk.room.set(room);
                let mut connection = Connection::new(desk, Limits::default());
                assert_eq!(connection.run(), None);
                if connection.desk.room.get() > 0 {
                    continue;
                }
                connection.desk.drain();
                assert_eq!(connection.run(), None);
                assert_eq!(connection.output().len(), room);
                connection.desk.take(usize::MAX);
                let end = connection.run();
                assert_eq!(end, Some(ConnectionEnd::Drained), "size {size}, room {room}");
                let answers = answers(&connection);
                assert!(answers.len() == 1 && answers[0].body == pattern(0, size));
                assert!(connection.desk.shut.get());
            }
        }
    }
}

#[test]
fn a_drain_closes_an_idle_connection_at_once() {
    let post = Asked {
        kind: Kind::Posted(7),
        order: Order::new(1),
    };
    let no_content = Asked {
        kind: Kind::Get,
        order: Order {
            status: 204,
            ..Order::new(1)
        },
    };
    // Nothing was asked before, something plain, something that was not, the one after the other.
    for before in [
        vec![],
        vec![get(0, When::Call(0), 5)],
        vec![get(0, When::Admit, 5)],
        vec![get(0, When::Call(2), 100_000), post.bytes()],
        vec![get(0, When::Call(0), 5), no_content.bytes()],
        vec![get(0, When::Call(0), 5), post.bytes(), get(2, When::Call(1), 5)],
        // Of the last one only the beginning has come.
        vec![get(0, When::Call(0), 5), b"GET / HTTP".to_vec()],
        vec![b"GET / HTTP".to_vec()],
        vec![b"\r\n".to_vec()],
    ] {
        let whole = before
            .iter()
            .filter(|piece| piece.ends_with(b"\r\n\r\n") || piece.ends_with(b"1;1;1;1"));
        let expected = whole.count();
        let mut connection = Connection::new(Desk::new(before), Limits::default());
        assert_eq!((connection.run(), answers(&connection).len()), (None, expected));
        connection.desk.drain();
        let mut end = connection.run();
        assert!(connection.desk.shut.get());
        if end.is_none() {
            // More of a head may still come, which is thrown away.
            connection.desk.end();
            end = connection.run();
        }
        assert_eq!(end, Some(ConnectionEnd::Drained));
        let answers = answers(&connection);
        assert!(answers.len() == expected && !answers.iter().any(Answer::closes));
    }
}

#[test]
fn a_drain_amid_many_requests_answers_those_that_have_arrived() {
    const MANY: usize = 200;
    for when in [When::Admit, When::Call(0)] {
        for polls_before in [0, 1, 2] {
            let pieces = (0..MANY).map(|number| get(number, when, 5));
            let mut connection = Connection::new(Desk::new(pieces), Limits::default());
            for _ in 0..polls_before {
                assert_eq!(connection.step(), Some(Poll::Pending), "others get their turn");
            }
            assert!(connection.service.admitted.get() < MANY / 2);
            connection.desk.drain();
            assert_eq!(connection.run(), Some(ConnectionEnd::Drained));
            let answers = answers(&connection);
            assert_eq!((answers.len(), connection.service.admitted.get()), (MANY, MANY));
            assert!(
                (4..MANY).contains(&connection.polls),
                "{} polls",
                connection.polls
            );
        }
    }
}

#[test]
fn the_last_of_so_many_requests_is_told_so() {
    for limit in 1..=4_u64 {
        for when in [When::Admit, When::Call(0), When::Call(2)] {
            for size in [0, 5, 100_000] {
                let pieces = (0..6).map(|number| get(number, when, size));
                let limits = Limits {
                    requests_per_connection: Some(limit),
                    ..Limits::default()
                };
                let desk = Desk::new(pieces);
                desk.ends.set(true);
                let mut connection = Connection::new(desk, limits);
                assert_eq!(connection.run(), Some(ConnectionEnd::Closed));
                let closes: Vec<bool> = answers(&connection).iter().map(Answer::closes).collect();
                let expected: Vec<bool> = (1..=limit).map(|number| number == limit).collect();
                assert_eq!(closes, expected);
                assert_eq!(connection.service.admitted.get() as u64, limit);
            }
        }
    }
}

#[test]
fn a_plain_request_waits_for_the_librarys_answer_to_leave() {
    let stuck = |kind, status, streamed, size| Asked {
        kind,
        order: Order {
            status,
            streamed,
            size,
            ..Order::new(0)
        },
    };
    for first in [
        stuck(Kind::Get, 205, false, 0),
        stuck(Kind::Get, 200, true, 100_000),
        stuck(Kind::Get, 200, true, 5),
        stuck(Kind::Posted(7), 200, false, 100_000),
        stuck(Kind::Listing, 200, false, 5),
    ] {
        for room in [0, 1, 40, 90] {
            let desk = Desk::new([first.bytes()]);
            desk.room.set(room);
            let mut connection = Connection::new(desk, Limits::default());
            assert_eq!(connection.run(), None);
            for number in 1..=2 {
                connection.desk.send(&get(number, When::Admit, 5));
                assert_eq!(connection.run(), None);
            }
            assert_eq!(connection.output().len(), room);
            connection.desk.take(usize::MAX);
            assert_eq!((connection.run(), answers(&connection).len()), (None, 3));
        }
    }
}

/// A connection with a call under way that goes on until it is told, and which has been going on for a while.
fn amid_a_long_call() -> Connection {
    let mut connection = Connection::new(Desk::new([get(0, When::Told, 5)]), Limits::default());
    assert_eq!(connection.run(), None);
    connection.desk.pass(Duration::from_secs(1));
    assert_eq!(connection.run(), None);
    connection
}

#[test]
fn what_comes_during_a_long_call_is_served_after_it() {
    let mut connection = amid_a_long_call();
    connection.desk.send(&get(1, When::Call(1), 5));
    assert_eq!(connection.run(), None);
    assert!(connection.desk.pieces.borrow().is_empty(), "it was read ahead");
    assert_eq!(
        (connection.service.calls.get(), answers(&connection).len()),
        (1, 0)
    );
    connection.service.tell();
    assert_eq!((connection.run(), answers(&connection).len()), (None, 2));
    connection.desk.send(&get(2, When::Call(1), 5));
    assert_eq!((connection.run(), answers(&connection).len()), (None, 3));
    connection.desk.end();
    assert_eq!(connection.run(), Some(ConnectionEnd::Closed));
}

#[test]
fn a_client_that_ends_during_a_long_call_gets_its_answer() {
    let mut connection = amid_a_long_call();
    connection.desk.end();
    assert_eq!(connection.run(), None);
    connection.service.tell();
    assert_eq!(connection.run(), Some(ConnectionEnd::Closed));
    assert_eq!(answers(&connection).len(), 1);
    // Likewise when its last request came with the end.
    let mut connection = amid_a_long_call();
    connection.desk.send(&get(1, When::Call(2), 5));
    connection.desk.end();
    assert_eq!(connection.run(), None);
    connection.service.tell();
    assert_eq!(connection.run(), Some(ConnectionEnd::Closed));
    assert_eq!(answers(&connection).len(), 2);
}

#[test]
fn a_client_that_breaks_off_during_a_long_call_ends_it() {
    let mut connection = amid_a_long_call();
    connection.desk.break_off();
    assert_eq!(connection.run(), Some(ConnectionEnd::Broken));
    assert!(connection.output().is_empty());
}

#[test]
fn bounds_on_time_hold_around_plain_requests() {
    let limits = Limits::default();
    let second = Duration::from_secs(1);
    let answered = |desk: Desk| {
        let mut connection = Connection::new(desk, Limits::default());
        assert_eq!(connection.run(), None);
        connection
    };
    let ends_after = |connection: &mut Connection, bound: Duration| {
        connection.desk.pass(bound - second);
        assert_eq!(connection.run(), None, "too early");
        connection.desk.pass(second);
        connection.run().expect("it is time")
    };
    for when in [When::Admit, When::Call(0), When::Call(2)] {
        // Since the last request, of which each begins the time anew.
        let mut connection = answered(Desk::new([get(0, when, 5)]));
        connection.desk.pass(limits.idle_timeout - second);
        connection.desk.send(&get(1, when, 5));
        assert_eq!((connection.run(), answers(&connection).len()), (None, 2));
        assert_eq!(
            ends_after(&mut connection, limits.idle_timeout),
            ConnectionEnd::IdleTimeout
        );
        // A client that takes no more of an answer, at whichever point.
        for room in [0, 10, 5000] {
            let desk = Desk::new([get(0, when, 100_000)]);
            desk.room.set(room);
            let mut connection = answered(desk);
            assert_eq!(connection.output().len(), room);
            assert_eq!(
                ends_after(&mut connection, limits.write_timeout),
                ConnectionEnd::WriteStalled
            );
        }
        // The head after a plain one.
        let mut connection = answered(Desk::new([get(0, when, 5)]));
        connection.desk.pass(second);
        connection.desk.send(b"GET / HTTP/1.1\r\nHo");
        assert_eq!(connection.run(), None);
        connection.desk.pass(limits.head_timeout - second);
        assert_eq!((connection.run(), answers(&connection).len()), (None, 1));
        connection.desk.pass(second);
        // The rest of it may still come, which is thrown away for a while.
        assert_eq!((connection.run(), connection.desk.shut.get()), (None, true));
        connection.desk.pass(limits.linger_timeout);
        assert_eq!(connection.run(), Some(ConnectionEnd::Refused));
        let output = connection.output();
        let mut rest = &output[..];
        let both = [read_answer(&mut rest, false), read_answer(&mut rest, false)].map(Result::unwrap);
        assert_eq!((both[1].status, both[1].closes(), rest.len()), (408, true, 0));
    }
}

//! The run itself: takes happenings from the agenda, and lets cores, rings and schedulers answer.
//!
//! The way of a request is the server's: the shard that holds the connection takes it in, places it, submits it to its own
//! scheduler or sends it as a parcel to another one, and answers the client when the task has ended. Schedulers and
//! policies are the server's own code; the rest is modelled with the costs in [`Overheads`](super::Overheads).

use std::time::Duration;

use rand::RngExt;
use slab::Slab;

use super::agenda::Agenda;
use super::faults::{happens, part};
use super::machine::{BATCH, Core, Mail, Name, Request, Stage};
use super::random::{Purpose, Stream};
use super::seen::{Answer, Observer, Seen, Turn};
use super::settings::Settings;
use super::tally::Tally;
use super::workload::{Arrival, Arrivals};
use crate::event::{Action, Event};
use crate::policy::Policy;
use crate::task::{Ending, RejectReason, TaskId, TaskMeta};
use crate::time::Instant;

/// The instant from which virtual time counts. No run depends on which one it is.
#[must_use]
pub fn start_of_time() -> Instant {
    // As far from the first instant as from the last, about.
    Instant::from_nanos(1 << 63)
}

/// What comes, at a virtual time.
#[derive(Debug)]
pub(super) enum Happening {
    /// The next request.
    Arrival(Arrival),
    /// A core is done with what it does, unless its epoch is another by now.
    Done { shard: usize, epoch: u64 },
    /// A parked core wakes, likewise.
    Wake { shard: usize, epoch: u64 },
    /// A doorbell stops the guest of the slice that began at this time.
    Doorbell { shard: usize, slice: Duration },
    /// Something is in a shard's ring.
    Mail { shard: usize, mail: Mail },
    /// A client goes away.
    Leave(Name),
    /// A core stands still.
    Stall(usize),
    /// All of them do.
    Jump,
    /// No more is taken.
    Drain,
}

/// A run of shards under a virtual clock, in front of an observer.
#[derive(Debug)]
pub struct Simulation<P, O> {
    pub(super) settings: Settings,
    pub(super) start: Instant,
    pub(super) now: Duration,
    pub(super) agenda: Agenda<Happening>,
    pub(super) cores: Vec<Core<P>>,
    pub(super) requests: Slab<Request>,
    pub(super) arrivals: Arrivals,
    pub(super) arrived: u64,
    pub(super) faults: Stream,
    homes: Stream,
    /// Unanswered parcels from one shard to another.
    pub(super) rings: Vec<usize>,
    pub(super) tally: Tally,
    pub(super) observer: O,
}

impl<P: Policy, O: Observer> Simulation<P, O> {
    /// A run of these settings, whose clock starts at `start` ([`start_of_time`]). Each shard gets a policy of its own.
    ///
    /// # Panics
    /// If there are no cores.
    pub fn new(settings: Settings, start: Instant, policy: impl FnMut(usize) -> P, observer: O) -> Self {
        let arrivals = Arrivals::new(
            settings.scenario,
            settings.cores,
            settings.load,
            settings.faults,
            settings.seed,
            settings.duration,
        );
        Self::with_arrivals(settings, arrivals, start, policy, observer)
    }

    /// The same with other arrivals than those of the settings' scenario.
    ///
    /// # Panics
    /// If there are no cores.
    pub fn with_arrivals(
        settings: Settings,
        arrivals: Arrivals,
        start: Instant,
        mut policy: impl FnMut(usize) -> P,
        observer: O,
    ) -> Self {
        assert!(settings.cores > 0, "requests need a core");
        let cores = (0..settings.cores)
            .map(|shard| Core::new(shard, &settings, policy(shard), start))
            .collect();
        Self {
            start,
            now: Duration::ZERO,
            agenda: Agenda::new(),
            cores,
            requests: Slab::new(),
            arrived: 0,
            faults: settings.seed.stream(Purpose::Faults),
            homes: settings.seed.stream(Purpose::Homes),
            rings: vec![0; settings.cores * settings.cores],
            tally: Tally::new(&settings, arrivals.classes()),
            arrivals,
            settings,
            observer,
        }
    }

    /// Goes on until every request has been answered, and gives what was counted.
    pub fn run(mut self) -> (Tally, O) {
        self.next_arrival();
        for shard in 0..self.cores.len() {
            self.next_stall(shard);
        }
        self.next_jump();
        if let Some(at) = self.settings.drain_at {
            self.agenda.put(at, Happening::Drain);
        }
        while let Some((at, what)) = self.agenda.take() {
            debug_assert!(at >= self.now, "time does not go back");
            self.now = at;
            self.happen(what);
        }
        self.tally.sort();
        self.tally.left_over = self.requests.len();
        self.tally.end = self.now;
        (self.tally, self.observer)
    }

    fn happen(&mut self, what: Happening) {
        match what {
            Happening::Arrival(arrival) => self.arrive(arrival),
            Happening::Done { shard, epoch } => {
                if self.cores[shard].epoch == epoch {
                    self.done(shard);
                }
            }
            Happening::Wake { shard, epoch } => self.wake(shard, epoch),
            Happening::Doorbell { shard, slice } => self.doorbell(shard, slice),
            Happening::Mail { shard, mail } => self.deliver(shard, mail),
            Happening::Leave(name) => {
                if let Some(request) = self.request(name) {
                    let origin = request.arrival.origin;
                    self.deliver(origin, Mail::Gone(name));
                }
            }
            Happening::Stall(shard) => {
                let length = part(self.settings.faults.stall_max, &mut self.faults);
                self.stand_still(shard, length);
                self.next_stall(shard);
            }
            Happening::Jump => {
                let length = part(self.settings.faults.jump_max, &mut self.faults);
                for shard in 0..self.cores.len() {
                    self.stand_still(shard, length);
                }
                self.next_jump();
            }
            Happening::Drain => {
                for shard in 0..self.cores.len() {
                    self.tell(shard, Event::Drain, None);
                    self.ring(shard, None);
                }
            }
        }
    }

    fn arrive(&mut self, arrival: Arrival) {
        self.next_arrival();
        let number = self.arrived;
        self.arrived += 1;
        let key_hash = self.homes.random();
        let key = self.requests.insert(Request {
            number,
            arrival,
            affinity: key_hash,
            done: Duration::ZERO,
            stage: Stage::Backlog,
            sent_to: None,
        });
        let name = Name { key, number };
        self.tally.arrived(arrival.class);
        self.see(Seen::Arrived {
            request: number,
            class: arrival.class,
            origin: arrival.origin,
        });
        if self.cores[arrival.origin].backlog >= self.settings.backlog_bound {
            return self.answer(name, Answer::Refused);
        }
        if let Some(at) = arrival.leaves {
            self.agenda.put(at, Happening::Leave(name));
        }
        self.cores[arrival.origin].backlog += 1;
        self.deliver(arrival.origin, Mail::Request(name));
    }

    /// Tells a scheduler what happened, shows it and its answer to the observer, and settles what has ended.
    pub(super) fn tell(&mut self, shard: usize, event: Event, subject: Option<Name>) -> Option<Action> {
        let number = |name: Option<Name>| name.map_or(u64::MAX, |name| name.number);
        match event {
            Event::CoreFree => self.see_turn(shard, Turn::Free),
            Event::Cancel(task) => self.see_turn(shard, Turn::Unwanted { task }),
            Event::Drain => self.see_turn(shard, Turn::Drains),
            Event::Sliced { outcome, .. } => {
                let task = self.cores[shard].last.expect("a slice has run");
                self.see_turn(shard, Turn::Sliced { task, outcome });
            }
            Event::Submit(_) | Event::TurnedAway { .. } | Event::Release { .. } | Event::Passed { .. } => {}
        }
        let mut actions = Vec::new();
        let now = self.instant(self.now);
        self.cores[shard].scheduler.handle(event, now, &mut actions);
        let mut reply = None;
        for action in actions {
            let turn = match action {
                Action::Admitted(task) => {
                    let Event::Submit(meta) = event else {
                        unreachable!("only what was submitted is admitted")
                    };
                    let request = number(subject);
                    Turn::Admitted { task, request, meta }
                }
                Action::Reject(reason) => Turn::Rejected {
                    request: number(subject),
                    reason,
                },
                Action::Run { id, slice } => Turn::Picked {
                    task: id,
                    until: slice.until,
                },
                Action::Idle { wake_at } => Turn::Idle { wake_at },
                Action::End { id, ending, account } => Turn::Ended {
                    task: id,
                    ending,
                    account,
                },
            };
            self.see_turn(shard, turn);
            match action {
                Action::End { id, ending, .. } => self.ended(shard, id, ending),
                other => reply = Some(other),
            }
        }
        reply
    }

    /// A task has left its scheduler: its client is answered, or it goes on to another shard.
    fn ended(&mut self, shard: usize, task: TaskId, ending: Ending) {
        let name = self.cores[shard].name_of(task);
        self.cores[shard].carried[task.slot()] = None;
        if let Ending::Released { to } = ending {
            self.send(shard, to, name, true);
        } else {
            self.report(shard, name, Ok(ending));
        }
    }

    /// What has become of a request is known on a shard: to be told to the one that holds the connection.
    pub(super) fn report(&mut self, shard: usize, name: Name, result: Result<Ending, RejectReason>) {
        let request = &mut self.requests[name.key];
        let origin = request.arrival.origin;
        if origin == shard {
            self.answer(name, result.map_or_else(Answer::Rejected, Answer::Ended));
        } else {
            request.stage = Stage::Returning;
            self.post(shard, origin, Mail::Outcome(name, result));
        }
    }

    /// Tells a client how its request ended.
    pub(super) fn answer(&mut self, name: Name, answer: Answer) {
        let request = self.requests.remove(name.key);
        debug_assert_eq!(request.number, name.number, "a request is answered once");
        self.tally.answered(&request.arrival, answer, self.now);
        self.see(Seen::Answered {
            request: request.number,
            answer,
        });
    }

    /// Submits a request to a shard's scheduler.
    pub(super) fn submit(&mut self, shard: usize, name: Name) {
        let request = &self.requests[name.key];
        let meta = TaskMeta {
            deadline: self.start + request.arrival.deadline,
            cpu_budget: self.arrivals.classes()[request.arrival.class as usize].budget,
            class: request.arrival.class,
            movable: request.sent_to.is_none() && self.settings.steals,
            firm: self.is_firm(request.arrival.class),
        };
        match self.tell(shard, Event::Submit(meta), Some(name)) {
            Some(Action::Admitted(task)) => {
                self.requests[name.key].stage = Stage::Submitted(shard, task);
                self.cores[shard].carry(task, name);
            }
            Some(Action::Reject(reason)) => self.report(shard, name, Err(reason)),
            other => unreachable!("a submission is answered, not with {other:?}"),
        }
    }

    /// Whether requests of a class are refused where they would be late.
    pub(super) fn is_firm(&self, class: u32) -> bool {
        self.settings.admission && self.arrivals.classes()[class as usize].firm
    }

    /// Puts a request into the ring to another shard.
    pub(super) fn send(&mut self, from: usize, to: usize, name: Name, stolen: bool) {
        let request = &mut self.requests[name.key];
        (request.stage, request.sent_to) = (Stage::Sent(to), Some(to));
        self.rings[from * self.settings.cores + to] += 1;
        self.tally.sent(stolen);
        self.see(Seen::Sent {
            request: name.number,
            from,
            to,
            stolen,
        });
        self.post(from, to, Mail::Parcel(name));
    }

    /// Whether there is room for a parcel.
    pub(super) fn has_room(&mut self, from: usize, to: usize) -> bool {
        let sent = self.rings[from * self.settings.cores + to];
        sent < self.settings.ring_bound && !happens(self.settings.faults.full_rings, &mut self.faults)
    }

    /// Puts a message into a ring where there is always room for it.
    pub(super) fn post(&mut self, from: usize, to: usize, mail: Mail) {
        debug_assert_ne!(from, to, "a shard writes no letters to itself");
        let at = self.now + self.settings.overheads.hand_off;
        self.agenda.put(at, Happening::Mail { shard: to, mail });
    }

    /// The request of this name, if it was not answered yet.
    pub(super) fn request(&self, name: Name) -> Option<&Request> {
        self.requests
            .get(name.key)
            .filter(|request| request.number == name.number)
    }

    pub(super) fn instant(&self, at: Duration) -> Instant {
        self.start + at
    }

    pub(super) fn see(&mut self, seen: Seen) {
        self.observer.see(self.now, &seen);
    }

    fn see_turn(&mut self, shard: usize, turn: Turn) {
        self.see(Seen::Step(shard, turn));
    }

    fn next_arrival(&mut self) {
        if let Some(arrival) = self.arrivals.next() {
            self.agenda.put(arrival.at, Happening::Arrival(arrival));
        }
    }

    fn next_stall(&mut self, shard: usize) {
        self.next_fault(self.settings.faults.stalls, Happening::Stall(shard));
    }

    fn next_jump(&mut self) {
        self.next_fault(self.settings.faults.jumps, Happening::Jump);
    }

    fn next_fault(&mut self, rate: f64, what: Happening) {
        if rate > 0.0 {
            let unit: f64 = self.faults.random();
            let at = self.now + Duration::from_secs_f64((-(1.0 - unit).ln() / rate).min(1e6));
            if at < self.settings.duration {
                self.agenda.put(at, what);
            }
        }
    }

    /// How much of the mail is handled before the scheduler is asked again.
    pub(super) fn refill(&mut self, shard: usize) {
        self.cores[shard].batch = BATCH;
    }
}

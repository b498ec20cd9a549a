//! A worker: one thread, one epoll, its connections, its share of every class.
//!
//! ```text
//!   loop:  issue what is due ──► sweep (timeouts; closed loop: try again) ──► wait for an event or the next start
//!             ▲                                                                       │
//!             └──── after every event, if something has become due ◄── read, record, ─┘
//! ```
//! The loop never waits for a particular answer, so a slow server cannot hold starts up. What can is the worker's own
//! work; therefore due starts are looked for between any two events, and the lateness of each is recorded.

use std::time::{Duration, Instant};

use rustix::event::epoll::EventFlags;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;

use super::answer::{Complete, Progress};
use super::connection::{Connection, Phase, Request, begin_connect, connect_error};
use super::lane::{Lane, share};
use super::plan::{Connections, Mode, Plan};
use super::poller::Poller;
use super::record::{ErrorKind, Record, Times};

/// Most starts in a row without a look at answers, when the worker is behind.
const ISSUED_IN_A_ROW: usize = 64;

/// What a read takes at a time.
const INPUT_BYTES: usize = 64 * 1024;

/// Most reads of one connection in a row, so that an answer without end holds up neither starts nor timeouts.
const READS_IN_A_ROW: usize = 2;

/// Bounds on the time between two looks at timeouts.
const SWEEP_MIN: Duration = Duration::from_millis(1);
const SWEEP_MAX: Duration = Duration::from_millis(50);

/// No time at all.
pub(super) const NEVER: u64 = u64::MAX;

pub(super) struct Worker<'a> {
    plan: &'a Plan,
    base: Instant,
    poller: Poller,
    lanes: Vec<Lane<'a>>,
    connections: Vec<Connection>,
    free: Vec<usize>,
    input: Box<[u8]>,
    /// Connections that may have more to read than [`READS_IN_A_ROW`] took: no event will speak of it again.
    unread: Vec<(u64, EventFlags)>,
    in_flight: usize,
    /// Requests that wait in all lanes.
    waiting: usize,
    /// Requests that may still be issued.
    budget: u64,
    /// The earliest start of all lanes.
    due: u64,
    sweep_every: u64,
    next_sweep: u64,
    warmup: u64,
    end: u64,
}

/// What a worker hands back.
pub(super) struct Outcome {
    /// A record for each class.
    pub(super) records: Vec<Record>,
    /// When it issued no more, in nanoseconds from the start.
    pub(super) stopped_ns: u64,
    /// CPU time of its thread.
    pub(super) cpu: Duration,
}

impl<'a> Worker<'a> {
    /// Worker `number` of `plan.threads`, which starts at `base`. `opened` are connections that are ready, by class.
    pub(super) fn new(
        plan: &'a Plan,
        number: usize,
        base: Instant,
        opened: Vec<(usize, OwnedFd)>,
    ) -> Result<Worker<'a>, Errno> {
        let shortest = plan
            .classes
            .iter()
            .map(|class| class.timeout)
            .min()
            .unwrap_or(SWEEP_MAX);
        let sweep_every = nanoseconds((shortest / 8).clamp(SWEEP_MIN, SWEEP_MAX));
        let lanes: Vec<_> = (0..plan.classes.len())
            .map(|class| Lane::new(plan, class, number))
            .collect();
        let mut worker = Worker {
            plan,
            base,
            poller: Poller::new(plan.spin)?,
            due: lanes.iter().map(|lane| lane.next).min().unwrap_or(NEVER),
            lanes,
            connections: Vec::new(),
            free: Vec::new(),
            input: vec![0; INPUT_BYTES].into_boxed_slice(),
            unread: Vec::new(),
            in_flight: 0,
            waiting: 0,
            budget: plan
                .requests
                .map_or(NEVER, |all| share(all, number, plan.threads)),
            sweep_every,
            next_sweep: sweep_every,
            warmup: nanoseconds(plan.warmup),
            end: nanoseconds(plan.duration),
        };
        for (lane, socket) in opened {
            let i = worker.adopt(socket, lane, Phase::Idle)?;
            let token = worker.connections[i].token(i);
            worker.lanes[lane].idle.push_back(token);
        }
        Ok(worker)
    }

    /// Runs to the end of the plan.
    pub(super) fn run(mut self) -> Result<Outcome, Errno> {
        let mut stopped = None;
        // All workers begin together.
        std::thread::sleep(self.base.saturating_duration_since(Instant::now()));
        if self.plan.mode == Mode::Closed {
            for lane in &mut self.lanes {
                lane.restarts = lane.limit;
            }
            self.next_sweep = 0;
        }
        loop {
            let now = self.now();
            self.issue_due(now);
            if now >= self.next_sweep {
                self.sweep(now);
            }
            if !self.is_issuing(now) {
                stopped.get_or_insert(now);
                if self.in_flight + self.waiting == 0 {
                    break;
                }
            }
            let last_start = stopped.unwrap_or(self.end);
            if now >= last_start.saturating_add(nanoseconds(self.plan.drain)) {
                break;
            }
            for (token, flags) in std::mem::take(&mut self.unread) {
                self.handle(token, flags);
            }
            self.poller
                .wait(self.base + Duration::from_nanos(self.wake(now)))?;
            for event in 0..self.poller.len() {
                let (token, flags) = self.poller.event(event);
                self.handle(token, flags);
                if self.waiting > 0 {
                    self.start_waiting();
                }
                self.issue_due(self.now());
            }
        }
        self.give_up();
        Ok(Outcome {
            records: self.lanes.into_iter().map(|lane| lane.record).collect(),
            stopped_ns: stopped.unwrap_or(self.end).min(self.end),
            cpu: thread_cpu(),
        })
    }

    fn now(&self) -> u64 {
        nanoseconds(self.base.elapsed())
    }

    /// Whether starts are left. In the open loop those are left that were due before the end and are late: to drop them
    /// would leave out of the figures just what a stall of the generator has done.
    fn is_issuing(&self, now: u64) -> bool {
        let next = if self.plan.mode == Mode::Open {
            self.due
        } else {
            now
        };
        next < self.end && self.budget > 0
    }

    /// When to wake up at the latest.
    fn wake(&self, now: u64) -> u64 {
        let mut wake = NEVER;
        if self.is_issuing(now) {
            wake = if self.plan.mode == Mode::Open {
                self.due
            } else {
                self.end
            };
        }
        if self.in_flight + self.waiting > 0 || self.lanes.iter().any(|lane| lane.restarts > 0) {
            wake = wake.min(self.next_sweep);
        }
        if !self.unread.is_empty() {
            wake = now;
        }
        // Ends a wait that nothing else would.
        wake.min(now + nanoseconds(SWEEP_MAX) * 20)
    }

    /// Issues what is due. Starts that the end of the run cuts off stay undone.
    fn issue_due(&mut self, now: u64) {
        if self.plan.mode == Mode::Closed {
            return;
        }
        for _ in 0..ISSUED_IN_A_ROW {
            if self.due > now || self.due >= self.end || self.budget == 0 {
                return;
            }
            let Some(lane) = self.lanes.iter().position(|lane| lane.next == self.due) else {
                return;
            };
            let intended = self.lanes[lane].advance();
            self.due = self.lanes.iter().map(|lane| lane.next).min().unwrap_or(NEVER);
            self.issue(lane, intended);
        }
    }

    fn issue(&mut self, lane: usize, intended: u64) {
        let now = self.now();
        self.budget -= 1;
        let is_measured = intended >= self.warmup;
        let state = &mut self.lanes[lane];
        if is_measured {
            state.record.issued(intended, now.saturating_sub(intended));
        }
        let request = Request {
            intended,
            issued: now,
            sent: None,
            digits: state.draw(),
            is_resent: false,
        };
        if state.in_flight < state.limit {
            self.start(lane, request);
        } else if state.waiting.len() < state.queue {
            state.waiting.push_back(request);
            self.waiting += 1;
        } else {
            state.record.shed += u64::from(is_measured);
        }
    }

    /// Sends a request on an idle connection, or a new one.
    fn start(&mut self, lane: usize, request: Request) {
        self.in_flight += 1;
        self.lanes[lane].in_flight += 1;
        while let Some(token) = self.lanes[lane].idle.pop_front() {
            let i = Connection::slot(token);
            // One that has ended meanwhile has moved on to another generation.
            if self.connections[i].token(i) == token {
                self.connections[i].request = request;
                self.begin_send(i);
                return;
            }
        }
        self.connect(lane, request);
    }

    /// Starts what waits and may.
    fn start_waiting(&mut self) {
        for lane in 0..self.lanes.len() {
            while self.lanes[lane].in_flight < self.lanes[lane].limit {
                let Some(request) = self.lanes[lane].waiting.pop_front() else {
                    break;
                };
                self.waiting -= 1;
                self.start(lane, request);
            }
        }
    }

    /// Opens a connection for a request that is counted as in flight already.
    fn connect(&mut self, lane: usize, request: Request) {
        self.lanes[lane].record.connections += 1;
        let opened = begin_connect(self.plan.target.address)
            .and_then(|socket| self.adopt(socket, lane, Phase::Connecting));
        match opened {
            Ok(i) => self.connections[i].request = request,
            Err(error) => self.fail_request(lane, request, connect_error(error)),
        }
    }

    fn adopt(&mut self, socket: OwnedFd, lane: usize, phase: Phase) -> Result<usize, Errno> {
        let i = self.free.pop().unwrap_or_else(|| {
            self.connections.push(Connection::new());
            self.connections.len() - 1
        });
        let is_head = self.lanes[lane].template.is_head;
        let registered = self.poller.add(&socket, self.connections[i].token(i));
        if let Err(error) = registered {
            self.free.push(i);
            return Err(error);
        }
        self.connections[i].open(socket, lane, is_head, phase);
        Ok(i)
    }

    fn close(&mut self, i: usize) {
        self.connections[i].close();
        self.free.push(i);
    }

    fn handle(&mut self, token: u64, flags: EventFlags) {
        let i = Connection::slot(token);
        if self.connections[i].token(i) != token {
            return;
        }
        let has_ended = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        let connection = &self.connections[i];
        match connection.phase {
            Phase::Free => {}
            Phase::Idle if has_ended || flags.contains(EventFlags::IN) => self.close(i),
            Phase::Idle => {}
            Phase::Connecting if flags.intersects(EventFlags::ERR | EventFlags::HUP) => {
                let error = connection.socket.as_ref().map(rustix::net::sockopt::socket_error);
                let kind = match error {
                    Some(Ok(Err(error))) => connect_error(error),
                    _ => ErrorKind::Connect,
                };
                self.fail(i, kind);
            }
            Phase::Connecting | Phase::Sending => {
                // What has come with the same event is announced once only.
                match connection.phase {
                    Phase::Sending => self.send(i),
                    _ if flags.contains(EventFlags::OUT) => self.begin_send(i),
                    _ => return,
                }
                if self.connections[i].token(i) == token && flags.contains(EventFlags::IN) {
                    self.receive(i, has_ended);
                }
            }
            Phase::Receiving if has_ended || flags.contains(EventFlags::IN) => self.receive(i, has_ended),
            Phase::Receiving => {}
        }
    }

    fn begin_send(&mut self, i: usize) {
        let now = self.now();
        let connection = &mut self.connections[i];
        connection.reader.reset();
        connection.written = 0;
        connection.request.sent.get_or_insert(now);
        connection.phase = Phase::Sending;
        self.send(i);
    }

    fn send(&mut self, i: usize) {
        let connection = &mut self.connections[i];
        let template = &self.lanes[connection.lane].template;
        let Some(socket) = &connection.socket else { return };
        let digits = connection.request.digits;
        let length = template.len(&digits);
        while connection.written < length {
            match template.write(socket.as_fd(), &digits, connection.written) {
                Ok(written) => connection.written += written,
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => {}
                // An answer may have come before the server closed: it has the last word.
                Err(_) => return self.receive(i, true),
            }
        }
        connection.phase = Phase::Receiving;
    }

    /// Reads what there is; `has_ended` says that the end of the connection is to be read as well.
    fn receive(&mut self, i: usize, has_ended: bool) {
        for _ in 0..READS_IN_A_ROW {
            let connection = &mut self.connections[i];
            let Some(socket) = &connection.socket else { return };
            let taken = match rustix::io::read(socket, &mut self.input[..]) {
                Ok(0) => match connection.reader.end() {
                    Ok(answer) => return self.finish(i, answer, true),
                    Err(_) => return self.fail_ended(i),
                },
                Ok(taken) => taken,
                Err(Errno::AGAIN) => return,
                Err(Errno::INTR) => continue,
                Err(_) => return self.fail_ended(i),
            };
            match connection.reader.take(&self.input[..taken]) {
                Ok(Progress::Complete(answer)) => return self.finish(i, answer, has_ended),
                // A short read has taken all; what comes later is another event.
                Ok(Progress::More) if taken < INPUT_BYTES && !has_ended => return,
                Ok(Progress::More) => {}
                Err(_) => return self.fail(i, ErrorKind::BadAnswer),
            }
        }
        let ended = if has_ended {
            EventFlags::RDHUP
        } else {
            EventFlags::empty()
        };
        self.unread
            .push((self.connections[i].token(i), EventFlags::IN | ended));
    }

    /// The connection has ended, before the answer or within it.
    fn fail_ended(&mut self, i: usize) {
        let kind = if self.connections[i].reader.is_untouched() {
            ErrorKind::Reset
        } else {
            ErrorKind::BadAnswer
        };
        self.fail(i, kind);
    }

    fn finish(&mut self, i: usize, answer: Complete, has_ended: bool) {
        let now = self.now();
        let connection = &mut self.connections[i];
        let lane = connection.lane;
        let state = &mut self.lanes[lane];
        if connection.request.intended >= self.warmup {
            let is_good = state.class.is_good(answer.status);
            let times = connection.request.times(now);
            state
                .record
                .answered(answer.status, is_good, state.deadline, times);
            state.record.body_bytes += answer.body_bytes;
        }
        state.in_flight -= 1;
        self.in_flight -= 1;
        let may_stay = state.class.connections == Connections::KeepAlive && answer.keep_alive && !has_ended;
        // An answer that overtakes its request leaves the rest of it in the way.
        if may_stay && connection.phase == Phase::Receiving {
            connection.phase = Phase::Idle;
            connection.is_reused = true;
            if self.plan.mode == Mode::Open {
                let token = connection.token(i);
                state.idle.push_back(token);
            } else {
                self.next_closed(lane, Some(i), now);
            }
        } else {
            self.close(i);
            if self.plan.mode == Mode::Closed {
                self.next_closed(lane, None, now);
            }
        }
    }

    /// The closed loop's next request, on connection `i` or a new one.
    fn next_closed(&mut self, lane: usize, i: Option<usize>, now: u64) {
        if now >= self.end || self.budget == 0 {
            return;
        }
        self.budget -= 1;
        self.in_flight += 1;
        let state = &mut self.lanes[lane];
        state.in_flight += 1;
        if now >= self.warmup {
            state.record.issued(now, 0);
        }
        let request = Request {
            intended: now,
            issued: now,
            sent: None,
            digits: state.draw(),
            is_resent: false,
        };
        match i {
            Some(i) => {
                self.connections[i].request = request;
                self.begin_send(i);
            }
            None => self.connect(lane, request),
        }
    }

    /// The connection is of no further use, and its request has no answer.
    fn fail(&mut self, i: usize, kind: ErrorKind) {
        let connection = &self.connections[i];
        let (lane, mut request) = (connection.lane, connection.request);
        let may_resend = kind == ErrorKind::Reset
            && connection.is_reused
            && connection.reader.is_untouched()
            && !request.is_resent;
        self.close(i);
        if may_resend {
            request.is_resent = true;
            self.lanes[lane].record.resent += u64::from(request.intended >= self.warmup);
            self.connect(lane, request);
        } else {
            self.fail_request(lane, request, kind);
        }
    }

    fn fail_request(&mut self, lane: usize, request: Request, kind: ErrorKind) {
        let now = self.now();
        let state = &mut self.lanes[lane];
        if request.intended >= self.warmup {
            state.record.failed(kind, request.times(now));
        }
        state.in_flight -= 1;
        self.in_flight -= 1;
        if self.plan.mode == Mode::Closed {
            state.restarts += 1;
        }
    }

    /// Gives up what has waited too long; tries failed connections of the closed loop again.
    fn sweep(&mut self, now: u64) {
        self.next_sweep = now + self.sweep_every;
        for i in 0..self.connections.len() {
            let connection = &self.connections[i];
            let timeout = self.lanes[connection.lane].timeout;
            if connection.is_busy() && now.saturating_sub(connection.request.issued) >= timeout {
                self.fail(i, ErrorKind::Timeout);
            }
        }
        self.give_up_waiting(
            |lane, request| now.saturating_sub(request.issued) >= lane.timeout,
            ErrorKind::Timeout,
        );
        self.start_waiting();
        for lane in 0..self.lanes.len() {
            for _ in 0..std::mem::take(&mut self.lanes[lane].restarts) {
                let idle = self.lanes[lane].idle.pop_front().map(Connection::slot);
                let idle = idle.filter(|i| self.connections[*i].phase == Phase::Idle);
                self.next_closed(lane, idle, now);
            }
        }
    }

    /// Gives up the requests at the head of each queue for which `is_over`.
    fn give_up_waiting(&mut self, is_over: impl Fn(&Lane<'_>, &Request) -> bool, kind: ErrorKind) {
        let now = self.now();
        for lane in &mut self.lanes {
            while lane.waiting.front().is_some_and(|request| is_over(lane, request)) {
                let Some(request) = lane.waiting.pop_front() else {
                    break;
                };
                self.waiting -= 1;
                if request.intended >= self.warmup {
                    lane.record.failed(kind, request.times(now));
                }
            }
        }
    }

    /// The time for the last answers is over. Starts that were due and not even made count like those that wait.
    fn give_up(&mut self) {
        self.give_up_waiting(|_, _| true, ErrorKind::Unfinished);
        let now = self.now();
        for lane in &mut self.lanes {
            while self.plan.mode == Mode::Open && self.budget > 0 && lane.next < self.end {
                let intended = lane.advance();
                self.budget -= 1;
                if intended >= self.warmup {
                    lane.record.issued(intended, now.saturating_sub(intended));
                    let times = Times {
                        intended,
                        sent: None,
                        end: now,
                    };
                    lane.record.failed(ErrorKind::Unfinished, times);
                }
            }
        }
        for i in 0..self.connections.len() {
            if self.connections[i].is_busy() {
                self.fail(i, ErrorKind::Unfinished);
            }
        }
    }
}

pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(NEVER)
}

fn thread_cpu() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec.unsigned_abs() as u32)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::net::UnixStream;

    use super::super::plan::{Class, Path, Target};
    use super::*;

    #[test]
    fn a_connection_with_much_to_read_lets_others_in_and_loses_nothing() {
        let (target, _) = Target::parse("http://127.0.0.1:1", false).expect("a target");
        let plan = Plan {
            target,
            mode: Mode::Open,
            seed: 1,
            threads: 1,
            warmup: Duration::ZERO,
            duration: Duration::from_secs(1),
            requests: None,
            drain: Duration::ZERO,
            spin: Duration::ZERO,
            window: Duration::ZERO,
            looks: Vec::new(),
            nice: 0,
            cpus: Vec::new(),
            classes: vec![Class::new("a", Path::Fixed("/".to_owned()), 1.0)],
        };
        let (near, mut far) = UnixStream::pair().expect("a pair");
        for end in [&near, &far] {
            end.set_nonblocking(true).expect("a flag");
        }
        let mut worker = Worker::new(&plan, 0, Instant::now(), vec![(0, near.into())]).expect("descriptors");
        let token = worker.connections[0].token(0);
        worker.connections[0].phase = Phase::Receiving;
        (worker.in_flight, worker.lanes[0].in_flight) = (1, 1);

        far.write_all(b"HTTP/1.1 200 OK\r\n\r\n").expect("room");
        let mut body = 0;
        while let Ok(written) = far.write(&[b'x'; 4096]) {
            body += written;
        }
        assert!(
            body > READS_IN_A_ROW * INPUT_BYTES,
            "a socket holds only {body} bytes"
        );
        drop(far);
        worker.handle(token, EventFlags::IN | EventFlags::RDHUP);
        assert_eq!(worker.unread, [(token, EventFlags::IN | EventFlags::RDHUP)]);
        while let Some((token, flags)) = worker.unread.pop() {
            worker.handle(token, flags);
        }
        let record = &worker.lanes[0].record;
        assert_eq!((worker.in_flight, record.body_bytes), (0, body as u64));
    }
}

//! A server on a thread of its own.
//!
//! The thread looks at every socket and timer that a connection has registered for, and polls a connection only when its waker
//! was called: a wake-up that the protocol forgets to arrange for shows as a test that hangs. That is slow and simple,
//! and depends on nothing but the standard library, so that what fails here fails in the protocol.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use luge_http::h1::{ConnectionEnd, Limits, Runtime, Signal, Transport, serve};
use luge_shards::Instant;

use crate::harness::{Functions, Log};

/// The thread; stops when dropped.
pub(crate) struct Executor {
    drain: Arc<AtomicBool>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Executor {
    pub(crate) fn start(limits: Limits, log: Arc<Mutex<Log>>) -> (Self, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a non-blocking listener");
        let address = listener.local_addr().expect("an address");
        let (drain, stop) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
        let thread = {
            let (drain, stop) = (drain.clone(), stop.clone());
            thread::spawn(move || run(&listener, limits, &log, &drain, &stop))
        };
        (
            Self {
                drain,
                stop,
                thread: Some(thread),
            },
            address,
        )
    }

    pub(crate) fn drain(&self) {
        self.drain.store(true, Ordering::Relaxed);
    }
}

impl Drop for Executor {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "the server panicked");
        }
    }
}

/// Serves until told to stop.
fn run(
    listener: &TcpListener,
    limits: Limits,
    log: &Arc<Mutex<Log>>,
    drain: &Arc<AtomicBool>,
    stop: &AtomicBool,
) {
    let service = Rc::new(Functions::new(log.clone()));
    let limits = Rc::new(limits);
    let mut connections: Vec<Connection> = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        while let Ok((stream, peer)) = listener.accept() {
            stream.set_nonblocking(true).expect("a non-blocking stream");
            let interest = Rc::new(Interest::default());
            let probe = stream.try_clone().expect("a second handle");
            let clock = Clock {
                drain: drain.clone(),
                interest: interest.clone(),
            };
            let socket = Socket {
                stream,
                interest: interest.clone(),
            };
            let future = Box::pin(serve(socket, clock, peer, service.clone(), limits.clone()));
            let woken = Arc::new(Woken(AtomicBool::new(true)));
            connections.push(Connection {
                future,
                woken,
                interest,
                probe,
            });
        }
        connections.retain_mut(|connection| match connection.poll_if_woken(drain) {
            None => true,
            Some(end) => {
                log.lock().expect("a healthy log").ends.push(end);
                false
            }
        });
        thread::sleep(Duration::from_micros(100));
    }
}

struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// What a connection waits for, registered when something was pending.
#[derive(Default)]
struct Interest {
    read: Cell<Option<Waker>>,
    write: Cell<Option<Waker>>,
    drain: Cell<Option<Waker>>,
    timers: RefCell<Vec<(Instant, Waker)>>,
    broken: Cell<Option<io::Error>>,
}

struct Connection {
    future: Pin<Box<dyn Future<Output = ConnectionEnd>>>,
    woken: Arc<Woken>,
    interest: Rc<Interest>,
    probe: TcpStream,
}

impl Connection {
    fn poll_if_woken(&mut self, drain: &AtomicBool) -> Option<ConnectionEnd> {
        self.wake(drain);
        if !self.woken.0.swap(false, Ordering::Relaxed) {
            return None;
        }
        let waker = Waker::from(self.woken.clone());
        match self.future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(end) => Some(end),
            Poll::Pending => None,
        }
    }

    /// Calls the wakers of what has happened.
    fn wake(&self, drain: &AtomicBool) {
        let Interest {
            read,
            write,
            drain: drained,
            timers,
            broken,
        } = &*self.interest;
        let blocked = match self.probe.peek(&mut [0]) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => true,
            // The kernel tells of a reset once: keep it for the reader.
            Err(error) => {
                broken.set(Some(error));
                false
            }
            Ok(_) => false,
        };
        // The standard library cannot tell whether a socket takes bytes: who waits for that is woken to try.
        for (happened, waiting) in [
            (!blocked, read),
            (true, write),
            (drain.load(Ordering::Relaxed), drained),
        ] {
            if happened && let Some(waker) = waiting.take() {
                waker.wake();
            }
        }
        let now = Instant::now();
        timers.borrow_mut().retain(|(deadline, waker)| {
            if *deadline <= now {
                waker.wake_by_ref();
            }
            *deadline > now
        });
    }
}

struct Socket {
    stream: TcpStream,
    interest: Rc<Interest>,
}

fn poll_io<T>(result: io::Result<T>, waiting: &Cell<Option<Waker>>, cx: &Context<'_>) -> Poll<io::Result<T>> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            waiting.set(Some(cx.waker().clone()));
            Poll::Pending
        }
        result => Poll::Ready(result),
    }
}

impl Transport for Socket {
    fn poll_read(&mut self, cx: &mut Context<'_>, buf: &mut [u8]) -> Poll<io::Result<usize>> {
        if let Some(error) = self.interest.broken.take() {
            return Poll::Ready(Err(error));
        }
        poll_io(self.stream.read(buf), &self.interest.read, cx)
    }

    fn poll_write(&mut self, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        poll_io(self.stream.write(buf), &self.interest.write, cx)
    }

    fn poll_write_vectored(
        &mut self,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        poll_io(self.stream.write_vectored(bufs), &self.interest.write, cx)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.stream.shutdown(Shutdown::Write))
    }
}

struct Clock {
    drain: Arc<AtomicBool>,
    interest: Rc<Interest>,
}

impl Runtime for Clock {
    fn now(&self) -> Instant {
        Instant::now()
    }

    fn sleep_until(&self, deadline: Instant) -> Signal {
        let interest = self.interest.clone();
        Box::pin(poll_fn(move |cx| {
            if Instant::now() >= deadline {
                return Poll::Ready(());
            }
            interest.timers.borrow_mut().push((deadline, cx.waker().clone()));
            Poll::Pending
        }))
    }

    fn draining(&self) -> Signal {
        let (drain, interest) = (self.drain.clone(), self.interest.clone());
        Box::pin(poll_fn(move |cx| {
            if drain.load(Ordering::Relaxed) {
                return Poll::Ready(());
            }
            interest.drain.set(Some(cx.waker().clone()));
            Poll::Pending
        }))
    }
}

//! `poll_oneoff`: waiting for clocks, and for streams that are always ready.
//!
//! Nothing in a context makes a guest wait but time. Streams and files answer at once; only when every subscription is a
//! clock that has not come yet does the guest sleep. A sleep is not spent here: the call stops with `Block`, the shard runs
//! others, and the same call is made again. The instant of the first call is kept in the context, so that a relative
//! timeout counts from there and not anew; without it a guest would sleep for ever.
//!
//! ```text
//! call 1  all clocks in the future: remember now, Block { until: the earliest }     nothing written
//! call 2  before `until`: the same Block;  after: one event per clock that has come
//! ```
//!
//! Records of `typenames.witx`: a subscription has 48 bytes, an event 32.
//!
//! ```text
//! subscription  0 userdata u64 | 8 tag u8 | 16 clock id u32  | 24 timeout u64 | 32 precision u64 | 40 flags u16
//!                                         | 16 descriptor u32
//! event         0 userdata u64 | 8 errno u16 | 10 type u8 | 16 nbytes u64 | 24 flags u16 (1 = hang-up)
//! ```

use std::time::{Duration, Instant};

use super::Errno;
use super::clock::Clock;
use super::ctx::{Pending, WasiCtx};
use super::memory::{GuestMemory, little_endian};
use super::outcome::{Outcome, Stop};
use super::table::Resource;
use super::types::Rights;

/// Bytes of a `$subscription`.
const SUBSCRIPTION: u32 = 48;

/// Bytes of an `$event`.
const EVENT: u32 = 32;

/// The longest sleep of one `Block`. A later timeout is not cut: the guest wakes, finds it in the future and sleeps on.
const LONGEST_BLOCK: Duration = Duration::from_secs(3600);

/// What one subscription says at this moment.
enum Readiness {
    /// It has occurred.
    Event([u8; EVENT as usize]),
    /// It will, after this long.
    After(Duration),
}

/// `poll_oneoff`: writes an event for each subscription that has occurred, and waits while there is none.
pub(super) fn poll_oneoff(
    ctx: &mut WasiCtx,
    memory: &mut GuestMemory<'_>,
    subscriptions: u32,
    events: u32,
    count: u32,
    result: u32,
) -> Outcome {
    let arguments = [subscriptions, events, count, result];
    let now = Instant::now();
    let since = match ctx.pending.take() {
        Some(Pending::Poll { arguments: of, since }) if of == arguments => since,
        _ => now,
    };
    if count == 0 || count > ctx.template.limits.subscriptions {
        return Err(Errno::Inval.into());
    }
    let bytes = |each: u32| count.checked_mul(each).ok_or(Errno::Fault);
    // Each is decoded and may look at a clock.
    ctx.charge(u64::from(count) * 32);
    memory.check(subscriptions, bytes(SUBSCRIPTION)?)?;
    memory.check(events, bytes(EVENT)?)?;
    memory.check(result, 4)?;
    let mut occurred = Vec::new();
    let mut earliest: Option<Duration> = None;
    for index in 0..count {
        let record: [u8; SUBSCRIPTION as usize] = memory.read(subscriptions + index * SUBSCRIPTION)?;
        match Subscription::decode(&record)?.readiness(ctx, since, now)? {
            Readiness::Event(event) => occurred.push(event),
            Readiness::After(wait) => earliest = Some(earliest.map_or(wait, |known| known.min(wait))),
        }
    }
    if let (true, Some(wait)) = (occurred.is_empty(), earliest) {
        ctx.pending = Some(Pending::Poll { arguments, since });
        return Err(Stop::Block {
            until: now + wait.min(LONGEST_BLOCK),
        }
        .into());
    }
    for (place, event) in (events..).step_by(EVENT as usize).zip(&occurred) {
        memory.write(place, event)?;
    }
    Ok(memory.write_u32(
        result,
        u32::try_from(occurred.len()).map_err(|_| Errno::Overflow)?,
    )?)
}

/// A decoded `$subscription`.
struct Subscription {
    userdata: [u8; 8],
    tag: u8,
    wanted: Wanted,
}

enum Wanted {
    Clock {
        id: u32,
        timeout_ns: u64,
        absolute: bool,
    },
    Read {
        fd: u32,
    },
    Write {
        fd: u32,
    },
}

impl Subscription {
    fn decode(record: &[u8; SUBSCRIPTION as usize]) -> Result<Self, Errno> {
        let number = little_endian(&record[16..20]);
        let tag = record[8];
        let wanted = match tag {
            0 => {
                let timeout_ns = u64::from(little_endian(&record[24..28]))
                    | u64::from(little_endian(&record[28..32])) << 32;
                let flags = u16::from_le_bytes([record[40], record[41]]);
                if flags > 1 {
                    return Err(Errno::Inval);
                }
                Wanted::Clock {
                    id: number,
                    timeout_ns,
                    absolute: flags == 1,
                }
            }
            1 => Wanted::Read { fd: number },
            2 => Wanted::Write { fd: number },
            _ => return Err(Errno::Inval),
        };
        let mut userdata = [0; 8];
        userdata.copy_from_slice(&record[..8]);
        Ok(Self {
            userdata,
            tag,
            wanted,
        })
    }

    fn readiness(&self, ctx: &mut WasiCtx, since: Instant, now: Instant) -> Result<Readiness, Errno> {
        match self.wanted {
            Wanted::Clock {
                id,
                timeout_ns,
                absolute,
            } => Ok(match Clock::from_id(id) {
                Err(errno) => Readiness::Event(self.event(errno, 0, false)),
                Ok(clock) => {
                    let timeout = Duration::from_nanos(timeout_ns);
                    let wait = if absolute {
                        timeout.saturating_sub(Duration::from_nanos(clock.read(ctx, now)))
                    } else {
                        timeout.saturating_sub(now.saturating_duration_since(since))
                    };
                    if wait.is_zero() {
                        Readiness::Event(self.event(Errno::Success, 0, false))
                    } else {
                        Readiness::After(wait)
                    }
                }
            }),
            Wanted::Read { fd } => Ok(Readiness::Event(match readable(ctx, fd) {
                Ok((bytes, at_end)) => self.event(Errno::Success, bytes, at_end),
                Err(errno) => self.event(errno, 0, false),
            })),
            Wanted::Write { fd } => Ok(Readiness::Event(match writable(ctx, fd) {
                Ok(bytes) => self.event(Errno::Success, bytes, false),
                Err(errno) => self.event(errno, 0, false),
            })),
        }
    }

    fn event(&self, errno: Errno, bytes: u64, hangup: bool) -> [u8; EVENT as usize] {
        let mut event = [0; EVENT as usize];
        event[0..8].copy_from_slice(&self.userdata);
        event[8..10].copy_from_slice(&(errno as u16).to_le_bytes());
        event[10] = self.tag;
        event[16..24].copy_from_slice(&bytes.to_le_bytes());
        event[24] = u8::from(hangup);
        event
    }
}

/// How much can be read, and whether the end has been reached.
fn readable(ctx: &WasiCtx, fd: u32) -> Result<(u64, bool), Errno> {
    let descriptor = ctx.table.get(fd)?;
    if !descriptor
        .base
        .contains(Rights::FD_READ.union(Rights::POLL_FD_READWRITE))
    {
        return Err(Errno::Notcapable);
    }
    match &descriptor.resource {
        Resource::Stdin => Ok((ctx.stdin.available(), ctx.stdin.at_end())),
        Resource::File(file) => {
            let size = u64::try_from(rustix::fs::fstat(&file.handle)?.st_size).unwrap_or(0);
            Ok((size.saturating_sub(file.position), false))
        }
        Resource::Stdout | Resource::Stderr | Resource::Directory(_) => Err(Errno::Badf),
    }
}

/// How much can be written.
fn writable(ctx: &WasiCtx, fd: u32) -> Result<u64, Errno> {
    let descriptor = ctx.table.get(fd)?;
    if !descriptor
        .base
        .contains(Rights::FD_WRITE.union(Rights::POLL_FD_READWRITE))
    {
        return Err(Errno::Notcapable);
    }
    match descriptor.resource {
        Resource::Stdout => Ok(ctx.stdout.room()),
        Resource::Stderr => Ok(ctx.stderr.room()),
        Resource::Stdin | Resource::Directory(_) | Resource::File(_) => Err(Errno::Badf),
    }
}

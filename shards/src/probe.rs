//! What the machine must offer, checked before any shard starts.
//!
//! Executors built on io_uring fail late and darkly where the kernel is old, a sysctl or a seccomp filter forbids the
//! ring, or too little memory may be locked. The probe tries each of these in the main thread and answers with an error
//! that names the setting to change.

use std::fmt;
use std::io;
use std::time::Duration;

use io_uring::{IoUring, opcode};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::cores::{CoresError, available_cores};
use crate::ring::{Ring, RingConfig, SubmissionThread};

/// The oldest kernel on which the executor's rings work.
pub const MINIMUM_KERNEL: KernelVersion = KernelVersion { major: 5, minor: 8 };

/// From here on the memory of rings is charged to the control group and no longer to the memlock limit.
const RINGS_OUTSIDE_MEMLOCK: KernelVersion = KernelVersion { major: 5, minor: 12 };

/// Bytes that one executor wants to lock.
const MEMLOCK_PER_SHARD: u64 = 512 << 10;

/// Every operation that the executor may submit for tasks, timers and sockets.
const NEEDED_OPERATIONS: [(&str, u8); 10] = [
    ("NOP", opcode::Nop::CODE),
    ("READ", opcode::Read::CODE),
    ("POLL_ADD", opcode::PollAdd::CODE),
    ("POLL_REMOVE", opcode::PollRemove::CODE),
    ("TIMEOUT", opcode::Timeout::CODE),
    ("TIMEOUT_REMOVE", opcode::TimeoutRemove::CODE),
    ("ASYNC_CANCEL", opcode::AsyncCancel::CODE),
    ("ACCEPT", opcode::Accept::CODE),
    ("CONNECT", opcode::Connect::CODE),
    ("CLOSE", opcode::Close::CODE),
];

/// What the probe found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// The running kernel.
    pub kernel: KernelVersion,
    /// Bytes that the process may lock, after raising the soft limit as far as needed; `None` without a limit.
    pub memlock: Option<u64>,
    /// Files and sockets that the process may have open, after raising the soft limit to the hard one; `None` without a
    /// limit. A shard that has used them up accepts no further connection until one closes.
    pub descriptors: Option<u64>,
    /// Bytes of addresses that the process may still map (`ulimit -v`); `None` without a limit.
    pub address_space: Option<u64>,
    /// Mappings that the process may still make (`vm.max_map_count`); `None` where the kernel does not tell.
    pub mappings: Option<u64>,
    /// CPUs that the process may use.
    pub cores: Vec<usize>,
    /// Whether a shard can have a network ring of its own here, which takes Linux 6.1 and room for it: one was made to see.
    pub network_ring: bool,
    /// Whether that ring can have a [submission thread](SubmissionThread): one was made to see.
    pub submission_thread: bool,
    /// Whether that ring can send without a copy.
    pub zero_copy: bool,
}

/// The first two numbers of a kernel's release.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KernelVersion {
    /// The 6 of 6.18.
    pub major: u32,
    /// The 18 of 6.18.
    pub minor: u32,
}

/// What the machine lacks, and what to set. The operator's to mend.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The kernel is older than [`MINIMUM_KERNEL`].
    #[error("Linux {found} is too old: run Linux {MINIMUM_KERNEL} or newer")]
    KernelTooOld {
        /// The running kernel.
        found: KernelVersion,
    },
    /// The kernel's release could not be read or understood.
    #[error(
        "cannot tell the kernel's version from `{release}`: mount /proc, and run Linux {MINIMUM_KERNEL} or newer"
    )]
    KernelUnknown {
        /// What `/proc/sys/kernel/osrelease` holds, empty when unreadable.
        release: String,
    },
    /// A sysctl forbids io_uring to this process.
    #[error(
        "io_uring is switched off (kernel.io_uring_disabled = {level}): run `sysctl -w kernel.io_uring_disabled=0`{}",
        if *.level == 1 { ", or put the user into the group of kernel.io_uring_group" } else { "" }
    )]
    Disabled {
        /// 1: only for privileged processes and one group; 2: for everybody.
        level: u32,
    },
    /// The kernel refuses a ring though the sysctl allows it: a seccomp filter.
    #[error(
        "io_uring is forbidden, most likely by a container's seccomp profile: allow io_uring_setup, io_uring_enter and \
         io_uring_register in the profile, or start the container with `--security-opt seccomp=unconfined`"
    )]
    Forbidden,
    /// The kernel was built without io_uring.
    #[error("this kernel has no io_uring: run one that was built with CONFIG_IO_URING=y")]
    NotBuiltIn,
    /// Operations of io_uring are missing.
    #[error("io_uring lacks {}: run Linux {MINIMUM_KERNEL} or newer", .operations.join(", "))]
    MissingOperations {
        /// The names of the missing operations.
        operations: Vec<&'static str>,
    },
    /// Too little memory may be locked, and the process may not raise its limit that far.
    #[error(
        "memlock limit of {} KiB, but {shards} shard(s) need {} KiB: run `ulimit -l {}` before the start, set \
         `LimitMEMLOCK={}K` in the systemd unit, or start the container with `--ulimit memlock={}`",
        .limit / 1024, .needed / 1024, .needed / 1024, .needed / 1024, .needed
    )]
    Memlock {
        /// Bytes that the hard limit allows.
        limit: u64,
        /// Bytes that are needed.
        needed: u64,
        /// The shards to be started.
        shards: usize,
    },
    /// The CPUs could not be learned or chosen.
    #[error(transparent)]
    Cores(#[from] CoresError),
    /// A ring could not be made for another reason.
    #[error("cannot set up an io_uring ring: {0}")]
    Ring(#[source] io::Error),
}

/// Checks that this machine can run a shard on each CPU that the process may use.
///
/// # Errors
/// What lacks, with the setting that helps.
pub fn probe() -> Result<Capabilities, ProbeError> {
    let cores = available_cores()?;
    probe_for(cores.len())
}

/// Checks that this machine can run `shards` shards.
///
/// Raises the soft memlock limit of the process towards its hard limit when that is what it takes, and the soft limit of
/// open files to the hard one: the usual soft limit of 1024 is there for programs that use `select`.
///
/// # Errors
/// What lacks, with the setting that helps.
pub fn probe_for(shards: usize) -> Result<Capabilities, ProbeError> {
    let kernel = running_kernel()?;
    let zero_copy = check_ring()?;
    let memlock = check_memlock(kernel, shards)?;
    Ok(Capabilities {
        kernel,
        memlock,
        descriptors: raise_descriptors(),
        address_space: free_addresses(),
        mappings: free_mappings(),
        cores: available_cores()?,
        network_ring: Ring::new(RingConfig::default()).is_ok(),
        submission_thread: Ring::new(with_thread()).is_ok(),
        zero_copy,
    })
}

/// A ring whose thread sleeps at once.
fn with_thread() -> RingConfig {
    RingConfig {
        thread: Some(SubmissionThread {
            idle: Duration::ZERO,
            cpu: None,
        }),
        ..RingConfig::default()
    }
}

fn running_kernel() -> Result<KernelVersion, ProbeError> {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let found = KernelVersion::parse(&release).ok_or_else(|| ProbeError::KernelUnknown {
        release: release.trim().to_owned(),
    })?;
    if found < MINIMUM_KERNEL {
        Err(ProbeError::KernelTooOld { found })
    } else {
        Ok(found)
    }
}

/// Checks that rings have what is needed, and says whether they can send without a copy.
fn check_ring() -> Result<bool, ProbeError> {
    let ring = IoUring::new(8).map_err(|error| classify_setup(error, disabled_level()))?;
    let mut operations = io_uring::Probe::new();
    ring.submitter()
        .register_probe(&mut operations)
        .map_err(ProbeError::Ring)?;
    let missing = missing_operations(|code| operations.is_supported(code));
    if missing.is_empty() {
        Ok(operations.is_supported(opcode::SendZc::CODE))
    } else {
        Err(ProbeError::MissingOperations { operations: missing })
    }
}

fn missing_operations(is_supported: impl Fn(u8) -> bool) -> Vec<&'static str> {
    NEEDED_OPERATIONS
        .iter()
        .filter(|(_, code)| !is_supported(*code))
        .map(|(name, _)| *name)
        .collect()
}

/// Kernels before 6.6 do not have the sysctl and never switch io_uring off by it.
fn disabled_level() -> u32 {
    std::fs::read_to_string("/proc/sys/kernel/io_uring_disabled")
        .ok()
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0)
}

fn classify_setup(error: io::Error, level: u32) -> ProbeError {
    let errno = rustix::io::Errno::from_io_error(&error);
    match errno {
        Some(rustix::io::Errno::PERM) if level > 0 => ProbeError::Disabled { level },
        Some(rustix::io::Errno::PERM | rustix::io::Errno::ACCESS) => ProbeError::Forbidden,
        // Docker's profile of 2023 and later answers ENOSYS as well, but then /proc/sys/kernel still has the sysctl.
        Some(rustix::io::Errno::NOSYS)
            if std::path::Path::new("/proc/sys/kernel/io_uring_disabled").exists() =>
        {
            ProbeError::Forbidden
        }
        Some(rustix::io::Errno::NOSYS) => ProbeError::NotBuiltIn,
        _ => ProbeError::Ring(error),
    }
}

fn check_memlock(kernel: KernelVersion, shards: usize) -> Result<Option<u64>, ProbeError> {
    let needed = memlock_needed(kernel, shards);
    let limit = getrlimit(Resource::Memlock);
    match (limit.current, limit.maximum) {
        (None, _) => Ok(None),
        (Some(soft), _) if soft >= needed => Ok(Some(soft)),
        (Some(soft), hard) => {
            let raised = Rlimit {
                current: Some(needed),
                maximum: hard,
            };
            if hard.is_none_or(|hard| hard >= needed) && setrlimit(Resource::Memlock, raised).is_ok() {
                return Ok(Some(needed));
            }
            Err(ProbeError::Memlock {
                limit: hard.unwrap_or(soft),
                needed,
                shards,
            })
        }
    }
}

fn raise_descriptors() -> Option<u64> {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    }
}

fn free_addresses() -> Option<u64> {
    let limit = getrlimit(Resource::As).current?;
    let used = std::fs::read_to_string("/proc/self/statm").ok();
    let pages: u64 = used
        .and_then(|text| text.split(' ').next()?.parse().ok())
        .unwrap_or(0);
    Some(limit.saturating_sub(pages.saturating_mul(rustix::param::page_size() as u64)))
}

fn free_mappings() -> Option<u64> {
    let read = |path| std::fs::read_to_string(path).ok();
    let most: u64 = read("/proc/sys/vm/max_map_count")?.trim().parse().ok()?;
    let used = read("/proc/self/maps").map_or(0, |maps| maps.lines().count());
    Some(most.saturating_sub(used as u64))
}

/// The executor insists on 512 KiB whatever the kernel; older kernels charge each ring to the user's limit.
fn memlock_needed(kernel: KernelVersion, shards: usize) -> u64 {
    let charged = if kernel < RINGS_OUTSIDE_MEMLOCK {
        shards.max(1) as u64
    } else {
        1
    };
    MEMLOCK_PER_SHARD.saturating_mul(charged)
}

impl KernelVersion {
    /// Reads the start of a release such as `6.18.44-generic`.
    fn parse(release: &str) -> Option<Self> {
        let mut numbers = release.trim().split(|c: char| !c.is_ascii_digit());
        Some(Self {
            major: numbers.next()?.parse().ok()?,
            minor: numbers.next()?.parse().ok()?,
        })
    }
}

impl fmt::Display for KernelVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(major: u32, minor: u32) -> KernelVersion {
        KernelVersion { major, minor }
    }

    #[test]
    fn releases_of_distributions_are_understood() {
        assert_eq!(KernelVersion::parse("6.18.44-fc-v445\n"), Some(version(6, 18)));
        assert_eq!(KernelVersion::parse("5.4-rc1"), Some(version(5, 4)));
        assert_eq!(KernelVersion::parse("unknown"), None);
        assert!(version(5, 19) < version(6, 0));
    }

    #[test]
    fn this_machine_passes_or_says_why() {
        let capabilities = probe().expect("these tests need a machine on which the server runs");
        assert!(capabilities.kernel >= MINIMUM_KERNEL);
        assert!(!capabilities.cores.is_empty());
        assert!(capabilities.mappings.is_some_and(|mappings| mappings > 0));
        assert_eq!(
            capabilities.address_space.is_some(),
            getrlimit(Resource::As).current.is_some()
        );
        let limit = getrlimit(Resource::Nofile);
        assert_eq!(
            (capabilities.descriptors, limit.current),
            (limit.maximum, limit.maximum)
        );
    }

    #[test]
    fn a_refused_ring_is_blamed_on_what_refused_it() {
        let refused = |errno: rustix::io::Errno, level| classify_setup(errno.into(), level).to_string();
        let switched_off = refused(rustix::io::Errno::PERM, 2);
        assert!(
            switched_off.contains("kernel.io_uring_disabled = 2"),
            "{switched_off}"
        );
        assert!(
            switched_off.contains("`sysctl -w kernel.io_uring_disabled=0`"),
            "{switched_off}"
        );
        assert!(refused(rustix::io::Errno::PERM, 1).contains("kernel.io_uring_group"));
        assert!(refused(rustix::io::Errno::PERM, 0).contains("seccomp"));
        assert!(refused(rustix::io::Errno::NOMEM, 0).contains("cannot set up"));
    }

    #[test]
    fn missing_operations_are_named() {
        let accept = opcode::Accept::CODE;
        let error = ProbeError::MissingOperations {
            operations: missing_operations(|code| code != accept),
        };
        assert_eq!(error.to_string(), "io_uring lacks ACCEPT: run Linux 5.8 or newer");
    }

    #[test]
    fn a_low_memlock_limit_names_every_way_to_raise_it() {
        let error = ProbeError::Memlock {
            limit: 64 << 10,
            needed: 1 << 20,
            shards: 2,
        };
        let message = error.to_string();
        for part in [
            "64 KiB",
            "2 shard(s) need 1024 KiB",
            "`ulimit -l 1024`",
            "`LimitMEMLOCK=1024K`",
            "memlock=1048576",
        ] {
            assert!(message.contains(part), "{part} is not in: {message}");
        }
    }

    #[test]
    fn old_kernels_charge_every_shard_to_memlock() {
        assert_eq!(memlock_needed(version(5, 11), 4), 2 << 20);
        assert_eq!(memlock_needed(version(5, 12), 4), 512 << 10);
    }
}

//! What a process has used, from `/proc/PID`: the server's share of the costs.
//!
//! | figure | file | what it is, and is not |
//! |---|---|---|
//! | CPU time | `stat`: utime, stime | of all threads, ended ones too; in ticks of 10 ms, so take runs of seconds |
//! | page faults | `stat`: minflt, majflt | likewise |
//! | resident memory | `status`: VmRSS, VmHWM | now, and the most since the process began |
//! | context switches | `task/*/status` | of the threads that live: a thread that ends takes its own along |
//! | read and write calls | `io`: syscr, syscw | calls of read(2), write(2), readv, pread ... **only**: neither send and recv, nor epoll, nor io_uring, are counted |
//!
//! Linux keeps no count of all system calls of a process that anybody may read. `perf stat -e raw_syscalls:sys_enter -p PID`
//! counts them by a tracepoint, where the kernel allows that.

use std::fs;
use std::io;

use serde::Serialize;

/// The state of a process at a moment: sums since it began.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    pid: u32,
    name: String,
    start_ticks: u64,
    user_ticks: u64,
    system_ticks: u64,
    minor_faults: u64,
    major_faults: u64,
    voluntary_switches: u64,
    involuntary_switches: u64,
    threads: u64,
    resident_bytes: u64,
    resident_peak_bytes: u64,
    io: Option<Io>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Io {
    read_calls: u64,
    write_calls: u64,
}

/// Why a process tells nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ProcessError {
    /// It has ended, never was, or its files may not be read.
    #[error("cannot read {file}: {source}; does the process run, and is it yours?")]
    Read {
        /// The file.
        file: String,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not what proc(5) says.
    #[error("{0} is not as proc(5) says")]
    Form(String),
    /// The number belongs to another process by now.
    #[error("process {0} has ended, and its number is another's")]
    Replaced(u32),
}

/// What a process used between two moments.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Usage {
    /// Its number.
    pub pid: u32,
    /// Its name.
    pub name: String,
    /// CPU time in user mode, in seconds, to 10 ms.
    pub user_seconds: f64,
    /// CPU time in the kernel, in seconds, to 10 ms.
    pub system_seconds: f64,
    /// Page faults without input.
    pub minor_faults: u64,
    /// Page faults with input.
    pub major_faults: u64,
    /// Waits of its threads.
    pub voluntary_switches: u64,
    /// Times that a thread had to leave its core.
    pub involuntary_switches: u64,
    /// Calls of read(2) and kin, not of recv or `io_uring_enter`; none where `/proc/PID/io` may not be read.
    pub read_calls: Option<u64>,
    /// Calls of write(2) and kin, not of send or `io_uring_enter`.
    pub write_calls: Option<u64>,
    /// Threads at the end.
    pub threads: u64,
    /// Resident memory at the end.
    pub resident_bytes: u64,
    /// Most resident memory since the process began.
    pub resident_peak_bytes: u64,
}

impl Snapshot {
    /// Reads the files of process `pid`.
    ///
    /// # Errors
    /// [`ProcessError`]. A file `io` that may not be read is none: its figures are then left out.
    pub fn read(pid: u32) -> Result<Snapshot, ProcessError> {
        let file = format!("/proc/{pid}/stat");
        let text = read(&file)?;
        let stat = Stat::parse(&text).ok_or(ProcessError::Form(file))?;
        let file = format!("/proc/{pid}/status");
        let status = read(&file)?;
        let kibibytes = |key| number(&status, key).map(|kib| kib << 10);
        let io = read(&format!("/proc/{pid}/io")).ok();
        let (voluntary_switches, involuntary_switches) = switches(pid)?;
        Ok(Snapshot {
            pid,
            name: shown(stat.name),
            start_ticks: stat.field(22)?,
            user_ticks: stat.field(14)?,
            system_ticks: stat.field(15)?,
            minor_faults: stat.field(10)?,
            major_faults: stat.field(12)?,
            voluntary_switches,
            involuntary_switches,
            threads: stat.field(20)?,
            // A process that is ending has no memory any more.
            resident_bytes: kibibytes("VmRSS:").unwrap_or(0),
            resident_peak_bytes: kibibytes("VmHWM:").unwrap_or(0),
            io: io.and_then(|io| {
                Some(Io {
                    read_calls: number(&io, "syscr:")?,
                    write_calls: number(&io, "syscw:")?,
                })
            }),
        })
    }

    /// What was used since `before`.
    ///
    /// # Errors
    /// [`ProcessError::Replaced`] when `before` is of another process.
    pub fn since(&self, before: &Snapshot) -> Result<Usage, ProcessError> {
        if (self.pid, self.start_ticks) != (before.pid, before.start_ticks) {
            return Err(ProcessError::Replaced(before.pid));
        }
        let ticks = rustix::param::clock_ticks_per_second() as f64;
        let seconds = |after: u64, before: u64| after.saturating_sub(before) as f64 / ticks;
        let io = self.io.zip(before.io);
        Ok(Usage {
            pid: self.pid,
            name: self.name.clone(),
            user_seconds: seconds(self.user_ticks, before.user_ticks),
            system_seconds: seconds(self.system_ticks, before.system_ticks),
            minor_faults: self.minor_faults.saturating_sub(before.minor_faults),
            major_faults: self.major_faults.saturating_sub(before.major_faults),
            voluntary_switches: self.voluntary_switches.saturating_sub(before.voluntary_switches),
            involuntary_switches: self
                .involuntary_switches
                .saturating_sub(before.involuntary_switches),
            read_calls: io.map(|(after, before)| after.read_calls.saturating_sub(before.read_calls)),
            write_calls: io.map(|(after, before)| after.write_calls.saturating_sub(before.write_calls)),
            threads: self.threads,
            resident_bytes: self.resident_bytes,
            resident_peak_bytes: self.resident_peak_bytes,
        })
    }
}

/// `/proc/PID/stat`: the name stands in brackets and may hold blanks and brackets itself.
struct Stat<'a> {
    name: &'a str,
    /// From field 3 on.
    fields: Vec<&'a str>,
}

impl Stat<'_> {
    fn parse(text: &str) -> Option<Stat<'_>> {
        let (head, rest) = text.rsplit_once(')')?;
        let (_, name) = head.split_once('(')?;
        Some(Stat {
            name,
            fields: rest.split_ascii_whitespace().collect(),
        })
    }

    /// A field by its number in proc(5).
    fn field(&self, number: usize) -> Result<u64, ProcessError> {
        let text = self.fields.get(number - 3).and_then(|text| text.parse().ok());
        text.ok_or_else(|| ProcessError::Form(format!("field {number} of /proc/PID/stat")))
    }
}

/// A file's text. The name of a process is bytes, cut off at the fifteenth wherever a letter ends, so it need not be UTF-8.
fn read(file: &str) -> Result<String, ProcessError> {
    let bytes = fs::read(file).map_err(|source| ProcessError::Read {
        file: file.to_owned(),
        source,
    })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A name without what would move a terminal's cursor.
fn shown(name: &str) -> String {
    name.replace(char::is_control, "?")
}

/// The number that follows `key` at the beginning of a line.
fn number(text: &str, key: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(key))?;
    line.split_ascii_whitespace().next()?.parse().ok()
}

/// Voluntary and involuntary context switches of all threads that live.
fn switches(pid: u32) -> Result<(u64, u64), ProcessError> {
    let folder = format!("/proc/{pid}/task");
    let threads = fs::read_dir(&folder).map_err(|source| ProcessError::Read { file: folder, source })?;
    let mut sums = (0, 0);
    for thread in threads.flatten() {
        // A thread may end while we look.
        let Ok(status) = fs::read(thread.path().join("status")) else {
            continue;
        };
        let status = String::from_utf8_lossy(&status);
        sums.0 += number(&status, "voluntary_ctxt_switches:").unwrap_or(0);
        sums.1 += number(&status, "nonvoluntary_ctxt_switches:").unwrap_or(0);
    }
    Ok(sums)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::hint::black_box;
    use std::io::{Read, Write};
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::symlink;
    use std::os::unix::process::CommandExt;
    use std::process::Command;

    use super::*;

    #[test]
    fn a_name_may_look_like_the_rest_of_the_line() {
        let text = "7 (a) b) (c) S 1 7 7 0 -1 4194304 101 0 3 0 55 66 0 0 20 0 4 0 999 1 2";
        let stat = Stat::parse(text).expect("a line of stat");
        assert_eq!(stat.name, "a) b) (c");
        let fields = [10, 12, 14, 15, 20, 22].map(|number| stat.field(number).expect("a number"));
        assert_eq!(fields, [101, 3, 55, 66, 4, 999]);
        assert!(stat.field(60).is_err());
    }

    #[test]
    fn our_own_work_is_seen() {
        let pid = std::process::id();
        let before = Snapshot::read(pid).expect("our own files");
        let (mut near, mut far) = std::io::pipe().expect("a pipe");
        for _ in 0..100 {
            far.write_all(b"x").expect("room");
            near.read_exact(&mut [0]).expect("a byte");
        }
        let touched = black_box(vec![1_u8; 32 << 20]);
        // Until a few ticks of CPU time are spent, however busy the machine is; there is no other way out.
        let after = loop {
            let sum: u64 = black_box(&touched).iter().map(|byte| u64::from(*byte)).sum();
            assert_eq!(sum, 32 << 20);
            let after = Snapshot::read(pid).expect("our own files");
            if after.user_ticks + after.system_ticks >= before.user_ticks + before.system_ticks + 3 {
                break after;
            }
        };
        let usage = after.since(&before).expect("the same process");
        assert!(
            usage.user_seconds + usage.system_seconds >= 0.03 - 1e-9,
            "{usage:?}"
        );
        assert!(usage.read_calls.is_none_or(|calls| calls >= 100), "{usage:?}");
        assert!(usage.write_calls.is_none_or(|calls| calls >= 100), "{usage:?}");
        assert!(usage.resident_bytes >= 32 << 20 && usage.resident_peak_bytes >= usage.resident_bytes);
        assert!(usage.threads >= 1 && usage.minor_faults > 0, "{usage:?}");
    }

    #[test]
    fn a_name_need_not_be_text() {
        let folder = std::env::temp_dir().join(format!("luge-load-name-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("a folder");
        let program = folder.join(OsStr::from_bytes(b") S 1\n\xc3"));
        let _ = fs::remove_file(&program);
        symlink("/bin/sleep", &program).expect("a link");
        let mut child = Command::new(&program)
            .arg0("sleep")
            .arg("60")
            .spawn()
            .expect("a process");
        let snapshot = Snapshot::read(child.id());
        child.kill().expect("it runs");
        child.wait().expect("it ended");
        fs::remove_dir_all(&folder).expect("removed");
        let snapshot = snapshot.expect("its files");
        assert_eq!(snapshot.name, ") S 1?\u{fffd}");
        assert!(snapshot.threads == 1 && snapshot.start_ticks > 0, "{snapshot:?}");
    }

    #[test]
    fn another_process_is_told_apart() {
        let pid = std::process::id();
        let before = Snapshot::read(pid).expect("our own files");
        let mut after = before.clone();
        after.start_ticks += 1;
        assert!(matches!(after.since(&before), Err(ProcessError::Replaced(found)) if found == pid));
        // Beyond any number of a process.
        assert!(matches!(Snapshot::read(u32::MAX), Err(ProcessError::Read { .. })));
    }
}

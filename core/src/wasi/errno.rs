//! The error numbers of preview 1, and how the host's errors become guest's.
//!
//! Every function but `proc_exit` answers with an [`Errno`]. The numbers are fixed by `typenames.witx` (`$errno`) and
//! are *not* Linux's: the translation below is the only place where the two meet. It carries a number and nothing else,
//! so no host path, inode or message can reach a guest inside an error.

use rustix::io::Errno as HostErrno;

macro_rules! errnos {
    ($($variant:ident = $number:literal, $name:literal, $doc:literal;)*) => {
        /// An error number of WASI preview 1 (`$errno` in `typenames.witx`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u16)]
        pub enum Errno {
            $(#[doc = $doc] $variant = $number,)*
        }

        impl Errno {
            /// The name that the standard gives the number, without its `$`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

errnos! {
    Success = 0, "success", "No error occurred.";
    TooBig = 1, "2big", "Argument list too long.";
    Acces = 2, "acces", "Permission denied.";
    Addrinuse = 3, "addrinuse", "Address in use.";
    Addrnotavail = 4, "addrnotavail", "Address not available.";
    Afnosupport = 5, "afnosupport", "Address family not supported.";
    Again = 6, "again", "Resource unavailable, or the operation would block.";
    Already = 7, "already", "Connection already in progress.";
    Badf = 8, "badf", "Bad file descriptor.";
    Badmsg = 9, "badmsg", "Bad message.";
    Busy = 10, "busy", "Device or resource busy.";
    Canceled = 11, "canceled", "Operation cancelled.";
    Child = 12, "child", "No child processes.";
    Connaborted = 13, "connaborted", "Connection aborted.";
    Connrefused = 14, "connrefused", "Connection refused.";
    Connreset = 15, "connreset", "Connection reset.";
    Deadlk = 16, "deadlk", "Resource deadlock would occur.";
    Destaddrreq = 17, "destaddrreq", "Destination address required.";
    Dom = 18, "dom", "Argument out of the domain of the function.";
    Dquot = 19, "dquot", "Reserved.";
    Exist = 20, "exist", "File exists.";
    Fault = 21, "fault", "Bad address: a guest pointer leads outside linear memory.";
    Fbig = 22, "fbig", "File too large.";
    Hostunreach = 23, "hostunreach", "Host is unreachable.";
    Idrm = 24, "idrm", "Identifier removed.";
    Ilseq = 25, "ilseq", "Illegal byte sequence: a string is not UTF-8.";
    Inprogress = 26, "inprogress", "Operation in progress.";
    Intr = 27, "intr", "Interrupted function.";
    Inval = 28, "inval", "Invalid argument.";
    Io = 29, "io", "Input or output error.";
    Isconn = 30, "isconn", "Socket is connected.";
    Isdir = 31, "isdir", "Is a directory.";
    Loop = 32, "loop", "Too many levels of symbolic links.";
    Mfile = 33, "mfile", "Too many files open in this context.";
    Mlink = 34, "mlink", "Too many links.";
    Msgsize = 35, "msgsize", "Message too large.";
    Multihop = 36, "multihop", "Reserved.";
    Nametoolong = 37, "nametoolong", "File name too long.";
    Netdown = 38, "netdown", "Network is down.";
    Netreset = 39, "netreset", "Connection aborted by the network.";
    Netunreach = 40, "netunreach", "Network unreachable.";
    Nfile = 41, "nfile", "Too many files open in the system.";
    Nobufs = 42, "nobufs", "No buffer space available.";
    Nodev = 43, "nodev", "No such device.";
    Noent = 44, "noent", "No such file or directory.";
    Noexec = 45, "noexec", "Executable file format error.";
    Nolck = 46, "nolck", "No locks available.";
    Nolink = 47, "nolink", "Reserved.";
    Nomem = 48, "nomem", "Not enough space.";
    Nomsg = 49, "nomsg", "No message of the desired type.";
    Noprotoopt = 50, "noprotoopt", "Protocol not available.";
    Nospc = 51, "nospc", "No space left.";
    Nosys = 52, "nosys", "Function not supported.";
    Notconn = 53, "notconn", "The socket is not connected.";
    Notdir = 54, "notdir", "Not a directory.";
    Notempty = 55, "notempty", "Directory not empty.";
    Notrecoverable = 56, "notrecoverable", "State not recoverable.";
    Notsock = 57, "notsock", "Not a socket.";
    Notsup = 58, "notsup", "Not supported.";
    Notty = 59, "notty", "Inappropriate I/O control operation.";
    Nxio = 60, "nxio", "No such device or address.";
    Overflow = 61, "overflow", "Value too large to be stored in its type.";
    Ownerdead = 62, "ownerdead", "Previous owner died.";
    Perm = 63, "perm", "Operation not permitted.";
    Pipe = 64, "pipe", "Broken pipe.";
    Proto = 65, "proto", "Protocol error.";
    Protonosupport = 66, "protonosupport", "Protocol not supported.";
    Prototype = 67, "prototype", "Protocol wrong type for socket.";
    Range = 68, "range", "Result too large.";
    Rofs = 69, "rofs", "Read-only file system.";
    Spipe = 70, "spipe", "Invalid seek.";
    Srch = 71, "srch", "No such process.";
    Stale = 72, "stale", "Reserved.";
    Timedout = 73, "timedout", "Connection timed out.";
    Txtbsy = 74, "txtbsy", "Text file busy.";
    Xdev = 75, "xdev", "Cross-device link.";
    Notcapable = 76, "notcapable", "Capabilities insufficient: a right is missing, or a path leads out of its directory.";
}

impl From<HostErrno> for Errno {
    /// What a guest hears of a failed system call. `EXDEV` is how `openat2` says that a path left its directory, which
    /// the standard calls `notcapable`; whatever has no translation is `io`.
    fn from(host: HostErrno) -> Self {
        match host {
            HostErrno::ACCESS => Self::Acces,
            HostErrno::AGAIN => Self::Again,
            HostErrno::BADF => Self::Badf,
            HostErrno::BUSY => Self::Busy,
            HostErrno::EXIST => Self::Exist,
            HostErrno::FBIG => Self::Fbig,
            HostErrno::INTR => Self::Intr,
            HostErrno::INVAL => Self::Inval,
            HostErrno::ISDIR => Self::Isdir,
            HostErrno::LOOP => Self::Loop,
            HostErrno::MFILE => Self::Mfile,
            HostErrno::NAMETOOLONG => Self::Nametoolong,
            HostErrno::NFILE => Self::Nfile,
            HostErrno::NODEV => Self::Nodev,
            HostErrno::NOENT => Self::Noent,
            HostErrno::NOMEM => Self::Nomem,
            HostErrno::NOSPC => Self::Nospc,
            HostErrno::NOSYS => Self::Nosys,
            HostErrno::NOTDIR => Self::Notdir,
            HostErrno::NOTSUP => Self::Notsup,
            HostErrno::NXIO => Self::Nxio,
            HostErrno::OVERFLOW => Self::Overflow,
            HostErrno::PERM => Self::Perm,
            HostErrno::PIPE => Self::Pipe,
            HostErrno::ROFS => Self::Rofs,
            HostErrno::SPIPE => Self::Spipe,
            HostErrno::STALE => Self::Stale,
            HostErrno::XDEV => Self::Notcapable,
            _ => Self::Io,
        }
    }
}

impl From<std::io::Error> for Errno {
    fn from(error: std::io::Error) -> Self {
        HostErrno::from_io_error(&error).map_or(Self::Io, Self::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_follow_the_standard_at_both_ends_and_between() {
        assert_eq!(Errno::Success as u16, 0);
        assert_eq!(Errno::Badf as u16, 8);
        assert_eq!(Errno::Fault as u16, 21);
        assert_eq!(Errno::Inval as u16, 28);
        assert_eq!(Errno::Nosys as u16, 52);
        assert_eq!(Errno::Rofs as u16, 69);
        assert_eq!(Errno::Notcapable as u16, 76);
        assert_eq!(Errno::Notcapable.name(), "notcapable");
    }

    #[test]
    fn an_escape_is_a_missing_capability_and_the_unknown_is_io() {
        assert_eq!(Errno::from(HostErrno::XDEV), Errno::Notcapable);
        assert_eq!(Errno::from(HostErrno::HOSTDOWN), Errno::Io);
        assert_eq!(Errno::from(std::io::Error::other("a host's secret")), Errno::Io);
    }
}

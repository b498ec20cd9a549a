//! Tests of paths: every way out of a preopen that we could think of, and what a read-only file system refuses.

use std::path::Path;

use super::testing::{Guest, TestDir, call};
use super::types::{FileType, Rights, oflags};
use super::{Errno, WasiCtx, WasiFunction as F, WasiLimits};

/// `outer/secret` beside the preopen `outer/inner`, in which all kinds of links and files lie.
fn maze() -> (TestDir, Guest) {
    let outer = TestDir::new();
    outer.file("secret", b"not for guests");
    outer.directory("inner");
    outer.directory("inner/sub");
    outer.file("inner/file", b"content");
    outer.file("inner/sub/deep", b"deep content");
    outer.symlink("inner/to-file", "file");
    outer.symlink("inner/to-sub", "sub");
    outer.symlink("inner/sub/up-and-in", "../file");
    outer.symlink("inner/out-relative", "../secret");
    outer.symlink("inner/out-absolute", outer.path().join("secret"));
    outer.symlink("inner/in-absolute", outer.path().join("inner/file"));
    outer.symlink("inner/out-directory", "..");
    outer.symlink("inner/out-by-steps", "sub/../../secret");
    outer.symlink("inner/chain", "out-relative");
    outer.symlink("inner/dangling", "nowhere");
    outer.symlink("inner/loop", "loop");
    outer.symlink("inner/magic", "/proc/self/root");
    let builder = WasiCtx::builder()
        .preopen_read_only(outer.path().join("inner"), "/")
        .unwrap();
    let guest = Guest::new(builder.build().unwrap());
    (outer, guest)
}

fn stat(guest: &mut Guest, fd: u64, follow: bool, path: &str) -> Errno {
    let (pointer, length) = guest.path(path);
    call(
        guest,
        F::PathFilestatGet,
        &[fd, u64::from(follow), pointer, length, 256],
    )
}

#[test]
fn no_path_leads_out() {
    let (_outer, mut guest) = maze();
    let ways = [
        "../secret",
        "..",
        "../",
        "sub/../../secret",
        "sub/../../inner/file",
        "./../secret",
        "../inner/file",
        "out-relative",
        "out-absolute",
        "in-absolute",
        "out-directory",
        "out-directory/secret",
        "out-directory/inner/file",
        "out-by-steps",
        "chain",
        "magic",
        "magic/etc/passwd",
        "to-sub/../../secret",
        "/",
        "/file",
        "//file",
        "/etc/passwd",
    ];
    for way in ways {
        assert_eq!(guest.try_open(way, 0), Err(Errno::Notcapable), "open {way}");
        assert_eq!(stat(&mut guest, 3, true, way), Errno::Notcapable, "stat {way}");
    }
    assert_eq!(guest.ctx.table.open(), 4);
}

#[test]
fn what_stays_inside_is_found() {
    let (_outer, mut guest) = maze();
    for way in [
        "file",
        "./file",
        "sub/../file",
        "sub/.././sub/../file",
        "to-file",
        "sub/up-and-in",
        "to-sub/../file",
    ] {
        let fd = guest.open(way);
        guest.vector(0, &[(1024, 100)]);
        assert_eq!(call(&mut guest, F::FdRead, &[fd, 0, 1, 64]), Errno::Success);
        assert_eq!(
            &guest.memory[1024..1024 + guest.u32(64) as usize],
            b"content",
            "{way}"
        );
        assert_eq!(call(&mut guest, F::FdClose, &[fd]), Errno::Success);
    }
    assert_eq!(stat(&mut guest, 3, true, "."), Errno::Success);
}

#[test]
fn a_directory_within_confines_as_its_parent_does() {
    let (_outer, mut guest) = maze();
    let sub = guest.open_directory("sub");
    assert_eq!(stat(&mut guest, sub, true, "deep"), Errno::Success);
    assert_eq!(stat(&mut guest, sub, true, "../file"), Errno::Notcapable);
    assert_eq!(stat(&mut guest, sub, true, "up-and-in"), Errno::Notcapable);
}

#[test]
fn strings_that_are_no_paths_are_refused() {
    let (_outer, mut guest) = maze();
    assert_eq!(guest.try_open("", 0), Err(Errno::Noent));
    assert_eq!(guest.try_open("file\0", 0), Err(Errno::Inval));
    assert_eq!(guest.try_open("file\0/../x", 0), Err(Errno::Inval));
    assert_eq!(guest.try_open(b"fi\xffle", 0), Err(Errno::Ilseq));
    assert_eq!(guest.try_open("a/".repeat(2048), 0), Err(Errno::Nametoolong));
    assert_eq!(guest.try_open("x".repeat(256), 0), Err(Errno::Nametoolong));
    assert_eq!(guest.try_open("file/", 0), Err(Errno::Notdir));
    assert_eq!(guest.try_open("file/x", 0), Err(Errno::Notdir));
    assert_eq!(guest.try_open("nothing", 0), Err(Errno::Noent));
    assert_eq!(guest.try_open("dangling", 0), Err(Errno::Noent));
    assert_eq!(guest.try_open("loop", 0), Err(Errno::Loop));
}

#[test]
fn a_link_is_followed_only_if_asked() {
    let (_outer, mut guest) = maze();
    assert_eq!(stat(&mut guest, 3, false, "out-absolute"), Errno::Success);
    assert_eq!(guest.memory[256 + 16], FileType::SymbolicLink as u8);
    assert_eq!(stat(&mut guest, 3, true, "to-file"), Errno::Success);
    assert_eq!(guest.memory[256 + 16], FileType::RegularFile as u8);
    let (pointer, length) = guest.path("to-file");
    let slots = [3, 0, pointer, length, 0, Rights::FD_READ.0, 0, 0, 8192];
    assert_eq!(call(&mut guest, F::PathOpen, &slots), Errno::Loop);
    let slots = [3, 2, pointer, length, 0, Rights::FD_READ.0, 0, 0, 8192];
    assert_eq!(call(&mut guest, F::PathOpen, &slots), Errno::Inval);
}

#[test]
fn links_are_read_unless_they_name_a_path_of_the_host() {
    let (_outer, mut guest) = maze();
    let readlink = |guest: &mut Guest, path: &str, room: u64| {
        let (pointer, length) = guest.path(path);
        match call(guest, F::PathReadlink, &[3, pointer, length, 1024, room, 64]) {
            Errno::Success => Ok(guest.memory[1024..1024 + guest.u32(64) as usize].to_vec()),
            errno => Err(errno),
        }
    };
    assert_eq!(readlink(&mut guest, "to-file", 100), Ok(b"file".to_vec()));
    assert_eq!(readlink(&mut guest, "out-relative", 5), Ok(b"../se".to_vec()));
    assert_eq!(readlink(&mut guest, "out-relative", 0), Ok(vec![]));
    assert_eq!(readlink(&mut guest, "out-absolute", 100), Err(Errno::Notcapable));
    assert_eq!(readlink(&mut guest, "file", 100), Err(Errno::Inval));
    assert_eq!(readlink(&mut guest, "nothing", 100), Err(Errno::Noent));
    assert_eq!(
        readlink(&mut guest, "to-file", u64::from(u32::MAX)),
        Err(Errno::Fault)
    );
}

#[test]
fn devices_pipes_and_sockets_are_seen_and_not_opened() {
    let dir = TestDir::new();
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("socket")).unwrap();
    let fifo = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, dir.path().join("pipe"), fifo, 0o600.into(), 0).unwrap();
    let mut guest = Guest::preopened(&dir);
    for name in ["socket", "pipe"] {
        assert_eq!(guest.try_open(name, 0), Err(Errno::Acces), "{name}");
        assert_eq!(stat(&mut guest, 3, true, name), Errno::Success);
    }
    let mut guest = Guest::new(
        WasiCtx::builder()
            .preopen_read_only("/dev", "/")
            .unwrap()
            .build()
            .unwrap(),
    );
    assert_eq!(guest.try_open("null", 0), Err(Errno::Acces));
    assert_eq!(stat(&mut guest, 3, true, "null"), Errno::Success);
    assert_eq!(guest.memory[256 + 16], FileType::CharacterDevice as u8);
}

#[test]
fn opening_for_writing_meets_a_read_only_file_system() {
    let (outer, mut guest) = maze();
    let flags = |flags: u16| u64::from(flags);
    assert_eq!(guest.try_open("file", flags(oflags::TRUNC)), Err(Errno::Rofs));
    assert_eq!(guest.try_open("new", flags(oflags::CREAT)), Err(Errno::Rofs));
    assert_eq!(
        guest.try_open("new", flags(oflags::CREAT | oflags::EXCL)),
        Err(Errno::Rofs)
    );
    assert_eq!(
        guest.try_open("file", flags(oflags::CREAT | oflags::EXCL)),
        Err(Errno::Exist)
    );
    assert_eq!(
        guest.try_open("dangling", flags(oflags::CREAT | oflags::EXCL)),
        Err(Errno::Exist)
    );
    assert!(guest.try_open("file", flags(oflags::CREAT)).is_ok());
    assert_eq!(guest.try_open("sub", flags(oflags::TRUNC)), Err(Errno::Isdir));
    assert_eq!(
        guest.try_open("file", flags(oflags::DIRECTORY)),
        Err(Errno::Notdir)
    );
    assert_eq!(
        guest.try_open("../new", flags(oflags::CREAT)),
        Err(Errno::Notcapable)
    );
    let (pointer, length) = guest.path("file");
    for right in [
        Rights::FD_WRITE,
        Rights::FD_ALLOCATE,
        Rights::FD_FILESTAT_SET_SIZE,
    ] {
        let slots = [3, 1, pointer, length, 0, right.0, 0, 0, 8192];
        assert_eq!(call(&mut guest, F::PathOpen, &slots), Errno::Rofs);
    }
    assert_eq!(
        std::fs::read(outer.path().join("inner/file")).unwrap(),
        b"content"
    );
    assert!(!Path::new(&outer.path().join("inner/new")).exists());
}

#[test]
fn whatever_changes_the_tree_is_refused() {
    let (outer, mut guest) = maze();
    let (p, n) = guest.path("sub");
    let calls: [(F, &[u64]); 7] = [
        (F::PathCreateDirectory, &[3, p, n]),
        (F::PathRemoveDirectory, &[3, p, n]),
        (F::PathUnlinkFile, &[3, p, n]),
        (F::PathSymlink, &[p, n, 3, p, n]),
        (F::PathRename, &[3, p, n, 3, p, n]),
        (F::PathLink, &[3, 0, p, n, 3, p, n]),
        (F::PathFilestatSetTimes, &[3, 0, p, n, 0, 0, 1]),
    ];
    for (function, slots) in calls {
        assert_eq!(
            call(&mut guest, function, slots),
            Errno::Rofs,
            "{}",
            function.name()
        );
    }
    let keep = Rights::PATH_OPEN.0;
    assert_eq!(
        call(&mut guest, F::FdFdstatSetRights, &[3, keep, 0]),
        Errno::Success
    );
    for (function, slots) in calls {
        assert_eq!(
            call(&mut guest, function, slots),
            Errno::Notcapable,
            "{}",
            function.name()
        );
    }
    assert!(outer.path().join("inner/sub/deep").exists());
}

#[test]
fn rights_shrink_on_the_way_down() {
    let (_outer, mut guest) = maze();
    let (pointer, length) = guest.path("sub");
    let inheriting = Rights::FD_READ.0;
    let base = Rights::PATH_OPEN.0 | Rights::FD_READ.0;
    let slots = [3, 0, pointer, length, 2, base, inheriting, 0, 8192];
    assert_eq!(call(&mut guest, F::PathOpen, &slots), Errno::Success);
    let sub = u64::from(guest.u32(8192));
    assert_eq!(call(&mut guest, F::FdFdstatGet, &[sub, 0]), Errno::Success);
    assert_eq!((guest.u64(8), guest.u64(16)), (Rights::PATH_OPEN.0, inheriting));
    assert_eq!(
        call(&mut guest, F::FdReaddir, &[sub, 1024, 64, 0, 0]),
        Errno::Notcapable
    );
    let (pointer, length) = guest.path("deep");
    let mut open = |base| {
        call(
            &mut guest,
            F::PathOpen,
            &[sub, 0, pointer, length, 0, base, 0, 0, 8192],
        )
    };
    assert_eq!(open(Rights::FD_READ.0 | Rights::FD_SEEK.0), Errno::Notcapable);
    assert_eq!(open(Rights::FD_READ.0), Errno::Success);
    let file = u64::from(guest.u32(8192));
    assert_eq!(call(&mut guest, F::FdSeek, &[file, 0, 0, 64]), Errno::Notcapable);
    assert_eq!(call(&mut guest, F::FdTell, &[file, 64]), Errno::Notcapable);
}

#[test]
fn unknown_rights_are_left_out_and_unknown_flags_refused() {
    let (_outer, mut guest) = maze();
    let (p, n) = guest.path("sub");
    assert_eq!(
        call(&mut guest, F::PathOpen, &[3, 1, p, n, 0, 0, u64::MAX, 0, 8192]),
        Errno::Success
    );
    assert_eq!(
        call(&mut guest, F::PathOpen, &[3, 1, p, n, 16, 0, 0, 0, 8192]),
        Errno::Inval
    );
    assert_eq!(
        call(&mut guest, F::PathOpen, &[3, 1, p, n, 0, 0, 0, 32, 8192]),
        Errno::Inval
    );
}

#[test]
fn only_a_directory_can_be_walked() {
    let (_outer, mut guest) = maze();
    let file = guest.open("file");
    for fd in [0, 1, 2, file] {
        assert_eq!(stat(&mut guest, fd, true, "file"), Errno::Notdir);
    }
    assert_eq!(stat(&mut guest, 77, true, "file"), Errno::Badf);
}

#[test]
fn the_limit_on_open_files_holds_and_closing_makes_room() {
    let dir = TestDir::new();
    dir.file("file", b"");
    let limits = WasiLimits {
        open_files: 6,
        ..WasiLimits::default()
    };
    let builder = WasiCtx::builder()
        .limits(limits)
        .preopen_read_only(dir.path(), "/")
        .unwrap();
    let mut guest = Guest::new(builder.build().unwrap());
    assert_eq!(
        (guest.try_open("file", 0), guest.try_open("file", 0)),
        (Ok(4), Ok(5))
    );
    assert_eq!(guest.try_open("file", 0), Err(Errno::Mfile));
    assert_eq!(call(&mut guest, F::FdClose, &[4]), Errno::Success);
    assert_eq!(guest.try_open("file", 0), Ok(4));
}

#[test]
fn hostile_pointers_are_faults_and_open_nothing() {
    let (_outer, mut guest) = maze();
    let (p, n) = guest.path("file");
    let end = guest.memory.len() as u64;
    for (path, length, result) in [
        (end, n, 0),
        (p, end, 0),
        (u64::from(u32::MAX), u64::from(u32::MAX), 0),
        (p, n, end - 3),
    ] {
        let slots = [3, 1, path, length, 0, Rights::FD_READ.0, 0, 0, result];
        assert_eq!(call(&mut guest, F::PathOpen, &slots), Errno::Fault);
    }
    assert_eq!(
        call(&mut guest, F::PathFilestatGet, &[3, 1, p, n, end - 63]),
        Errno::Fault
    );
    assert_eq!(guest.ctx.table.open(), 4);
}

//! The bytes of a request: everything that does not change is written once, before the run.
//!
//! ```text
//!   POST /f/  17  ?x=y HTTP/1.1 CR LF Host: ... CR LF CR LF body
//!   └ first ┘ └┘ └───────────────── last ─────────────────────┘     a numbered path
//!   └──────────────────────── first ──────────────────────────┘     a fixed path: one piece, one plain write
//! ```

use std::io::IoSlice;

use rustix::fd::BorrowedFd;
use rustix::io::{Errno, write, writev};

use super::plan::{Class, Connections, Path, Target};

/// The constant bytes of a class's requests.
#[derive(Debug)]
pub(super) struct Template {
    first: Vec<u8>,
    last: Vec<u8>,
    /// Whether answers have no body because of the method.
    pub(super) is_head: bool,
}

/// The decimal digits of a route's number; empty for a fixed path.
#[derive(Debug, Clone, Copy)]
pub(super) struct Digits {
    bytes: [u8; 10],
    start: u8,
}

impl Template {
    pub(super) fn new(class: &Class, target: &Target) -> Template {
        let mut tail = format!(" HTTP/1.1\r\nHost: {}\r\n", target.authority);
        for (name, value) in &class.headers {
            tail += &format!("{name}: {value}\r\n");
        }
        if let (Some(name), Some(deadline)) = (&class.deadline_header, class.deadline) {
            // Rounded up: 0 would tell the server that it is over.
            tail += &format!("{name}: {}\r\n", deadline.as_micros().div_ceil(1000));
        }
        if class.connections == Connections::PerRequest {
            tail += "Connection: close\r\n";
        }
        let may_have_none = matches!(class.method.as_str(), "GET" | "HEAD" | "OPTIONS" | "TRACE");
        if !class.body.is_empty() || !may_have_none {
            tail += &format!("Content-Length: {}\r\n", class.body.len());
        }
        tail += "\r\n";
        let method = &class.method;
        let (mut first, mut last) = match &class.path {
            Path::Fixed(path) => (format!("{method} {path}{tail}").into_bytes(), Vec::new()),
            Path::Numbered { before, after, .. } => (
                format!("{method} {before}").into_bytes(),
                format!("{after}{tail}").into_bytes(),
            ),
        };
        let end = if last.is_empty() { &mut first } else { &mut last };
        end.extend_from_slice(&class.body);
        Template {
            first,
            last,
            is_head: class.method == "HEAD",
        }
    }

    /// Length of a whole request.
    pub(super) fn len(&self, digits: &Digits) -> usize {
        self.first.len() + digits.text().len() + self.last.len()
    }

    /// Writes what follows the first `written` bytes; returns how many more were taken.
    pub(super) fn write(
        &self,
        socket: BorrowedFd<'_>,
        digits: &Digits,
        written: usize,
    ) -> Result<usize, Errno> {
        if self.last.is_empty() {
            return write(socket, self.first.get(written..).unwrap_or_default());
        }
        let mut slices = [&self.first[..], digits.text(), &self.last[..]].map(IoSlice::new);
        let mut rest = &mut slices[..];
        IoSlice::advance_slices(&mut rest, written);
        writev(socket, rest)
    }
}

impl Digits {
    pub(super) fn of(mut number: u32) -> Digits {
        let mut digits = Digits {
            bytes: [b'0'; 10],
            start: 10,
        };
        loop {
            digits.start -= 1;
            digits.bytes[usize::from(digits.start)] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return digits;
            }
        }
    }

    pub(super) fn none() -> Digits {
        Digits {
            bytes: [0; 10],
            start: 10,
        }
    }

    fn text(&self) -> &[u8] {
        &self.bytes[usize::from(self.start)..]
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn sent(class: &Class, digits: &Digits) -> String {
        let (target, _) = Target::parse("http://127.0.0.1:80", false).expect("a target");
        let template = Template::new(class, &target);
        let length = template.len(digits);
        let mut texts = Vec::new();
        // From every offset, as after a short write.
        for offset in 0..length {
            let (mut near, far) = UnixStream::pair().expect("a pair");
            let written = template.write(far.as_fd(), digits, offset).expect("room");
            assert_eq!(offset + written, length);
            drop(far);
            let mut text = String::new();
            near.read_to_string(&mut text).expect("text");
            texts.push(text);
        }
        assert!(
            texts
                .iter()
                .enumerate()
                .all(|(offset, text)| *text == texts[0][offset..])
        );
        texts.swap_remove(0)
    }

    #[test]
    fn a_fixed_path_is_one_piece() {
        let mut class = Class::new("a", Path::Fixed("/x?y".to_owned()), 1.0);
        assert_eq!(
            sent(&class, &Digits::none()),
            "GET /x?y HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n"
        );
        class.method = "POST".to_owned();
        class.body = b"abc".to_vec();
        class.connections = Connections::PerRequest;
        class.deadline = Some(std::time::Duration::from_micros(49_500));
        class.deadline_header = Some("Deadline".to_owned());
        class.headers = vec![("A".to_owned(), "b".to_owned())];
        assert_eq!(
            sent(&class, &Digits::none()),
            "POST /x?y HTTP/1.1\r\nHost: 127.0.0.1:80\r\nA: b\r\nDeadline: 50\r\nConnection: close\r\n\
             Content-Length: 3\r\n\r\nabc"
        );
    }

    #[test]
    fn a_numbered_path_has_its_number_in_the_middle() {
        let path = Path::Numbered {
            before: "/f".to_owned(),
            after: "/g".to_owned(),
            routes: 5000,
            zipf: 1.0,
        };
        let class = Class::new("a", path, 1.0);
        assert_eq!(
            sent(&class, &Digits::of(4090)),
            "GET /f4090/g HTTP/1.1\r\nHost: 127.0.0.1:80\r\n\r\n"
        );
        assert_eq!(Digits::of(0).text(), b"0");
        assert_eq!(Digits::of(u32::MAX).text(), b"4294967295");
    }
}

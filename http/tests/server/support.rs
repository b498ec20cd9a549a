//! A `luge serve` to test against: started as users start it, spoken to over plain sockets, ended by its own id.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Longest wait for anything; a test that needs it has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// Makes a test of each function for each way to run guests; the function takes the flags that choose it.
macro_rules! in_each_engine {
    ($($name:ident),+ $(,)?) => {
        mod interp {
            $(#[test] fn $name() { super::$name(&["--tier", "interp"]); })+
        }
        mod baseline {
            $(#[test] fn $name() { super::$name(&["--tier", "baseline"]); })+
        }
        mod software {
            $(#[test] fn $name() { super::$name(&["--tier", "baseline", "--bounds", "software"]); })+
        }
    };
}
pub(crate) use in_each_engine;

/// A running server.
pub(crate) struct Server {
    child: Child,
    pub(crate) listen: SocketAddr,
    pub(crate) admin: SocketAddr,
    /// What it printed to stdout until it was up.
    pub(crate) greeting: String,
    stderr: Arc<Mutex<String>>,
    reader: Option<JoinHandle<()>>,
    closing: Arc<AtomicBool>,
    folder: Option<Folder>,
}

impl Server {
    /// Serves the embedded examples.
    pub(crate) fn examples(flags: &[&str]) -> Server {
        Server::start(&mut command(flags), None)
    }

    /// Serves the modules (name, text format) at the routes of their names; `manifest` may say more of each,
    /// as (name, lines), and `top` what stands before them.
    pub(crate) fn functions(modules: &[(&str, &str, &str)], top: &str, flags: &[&str]) -> Server {
        let folder = Folder::new();
        let mut manifest = format!("{top}\n");
        for (name, text, lines) in modules {
            folder.module(name, text);
            manifest += &format!(
                "[[function]]\nname = \"{name}\"\nroute = \"/{name}\"\nmodule = \"{name}.wasm\"\n{lines}\n"
            );
        }
        let path = folder.write("luge.toml", manifest.as_bytes());
        Server::start(command(flags).arg(path), Some(folder))
    }

    /// Starts the command and waits until it says where it listens.
    pub(crate) fn start(command: &mut Command, folder: Option<Folder>) -> Server {
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("luge starts");
        let stderr = Arc::new(Mutex::new(String::new()));
        let closing = Arc::new(AtomicBool::new(false));
        let reader = {
            let (stderr, closing) = (Arc::clone(&stderr), Arc::clone(&closing));
            let pipe = child.stderr.take().expect("piped");
            std::thread::spawn(move || {
                for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                    stderr.lock().expect("no panic").push_str(&(line + "\n"));
                    if closing.load(Ordering::Acquire) {
                        return;
                    }
                }
            })
        };
        let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
        let (mut greeting, mut listen, mut admin) = (String::new(), None, None);
        while listen.is_none() || admin.is_none() || !is_whole(&greeting) {
            let mut line = String::new();
            if stdout.read_line(&mut line).expect("stdout is text") == 0 {
                let status = child.wait().expect("the child is ours");
                reader.join().expect("no panic");
                panic!("luge ended with {status}:\n{}", stderr.lock().expect("no panic"));
            }
            let address = |prefix: &str| line.strip_prefix(prefix)?.split_whitespace().next()?.parse().ok();
            listen = listen.or(address("luge listens on http://"));
            admin = admin.or(address("admin on http://"));
            greeting += &line;
        }
        Server {
            child,
            listen: listen.expect("seen"),
            admin: admin.expect("seen"),
            greeting,
            stderr,
            reader: Some(reader),
            closing,
            folder,
        }
    }

    /// The command lines that the greeting offers.
    pub(crate) fn examples_to_try(&self) -> impl Iterator<Item = &str> {
        self.greeting.lines().filter(|line| line.starts_with("  curl "))
    }

    pub(crate) fn connect(&self) -> Client {
        Client::connect(self.listen)
    }

    /// One request on a connection of its own.
    pub(crate) fn get(&self, target: &str) -> Answer {
        self.connect().request("GET", target, &[], b"")
    }

    pub(crate) fn post(&self, target: &str, body: &[u8]) -> Answer {
        self.connect().request("POST", target, &[], body)
    }

    pub(crate) fn admin(&self, target: &str) -> Answer {
        Client::connect(self.admin).request("GET", target, &[], b"")
    }

    /// The value of a metric, by its name and labels as they stand in the text.
    pub(crate) fn metric(&self, name: &str) -> f64 {
        let text = self.admin("/metrics").text();
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok());
        value.unwrap_or(0.0)
    }

    /// Waits until the condition holds.
    pub(crate) fn wait_until(&self, what: &str, condition: impl Fn(&Server) -> bool) {
        let end = Instant::now() + PATIENCE;
        while !condition(self) {
            assert!(Instant::now() < end, "never: {what}\n{}", self.log());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Number of its process.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill")
            .args([name, &self.child.id().to_string()])
            .status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits for the process to end by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let end = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("the child is ours") {
                if let Some(reader) = self.reader.take() {
                    reader.join().expect("no panic");
                }
                return status;
            }
            assert!(Instant::now() < end, "luge does not end\n{}", self.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    /// What the server wrote to stderr so far.
    pub(crate) fn log(&self) -> String {
        self.stderr.lock().expect("no panic").clone()
    }

    /// Stops reading stderr and closes it: the next line is written into a broken pipe.
    pub(crate) fn close_stderr(&mut self) {
        self.closing.store(true, Ordering::Release);
        // The reader looks at the flag when a line comes.
        let _ = self.get("/no-such-function");
        if let Some(reader) = self.reader.take() {
            reader.join().expect("no panic");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        drop(self.folder.take());
    }
}

/// The greeting ends in a line of its own.
fn is_whole(greeting: &str) -> bool {
    greeting.ends_with("Stop with Ctrl-C.\n")
}

/// `luge serve` on ports that the system chooses.
pub(crate) fn command(flags: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_luge"));
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .args(flags);
    command
}

/// A folder of this test's own, removed at its end.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("luge-test-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&path).expect("a folder in the temporary folder");
        Folder(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.0.join(name);
        std::fs::write(&path, bytes).expect("writable");
        path
    }

    /// Writes `name.wasm` from its text format.
    pub(crate) fn module(&self, name: &str, text: &str) -> PathBuf {
        self.write(
            &format!("{name}.wasm"),
            &wat::parse_str(text).expect("valid text format"),
        )
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The repository's folder of example functions.
pub(crate) fn functions_folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../functions")
}

/// A connection that is kept open.
pub(crate) struct Client(BufReader<TcpStream>);

/// An answer, read as its framing says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr) -> Client {
        let stream = TcpStream::connect(address).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
        stream.set_nodelay(true).expect("an option");
        Client(BufReader::new(stream))
    }

    pub(crate) fn request(
        &mut self,
        method: &str,
        target: &str,
        fields: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        self.send(method, target, fields, body);
        self.answer(method)
    }

    pub(crate) fn send(&mut self, method: &str, target: &str, fields: &[(&str, &str)], body: &[u8]) {
        let mut head = format!("{method} {target} HTTP/1.1\r\nhost: luge.test\r\n");
        for (name, value) in fields {
            head += &format!("{name}: {value}\r\n");
        }
        if !body.is_empty() {
            head += &format!("content-length: {}\r\n", body.len());
        }
        let bytes = [head.as_bytes(), b"\r\n", body].concat();
        // A server that refuses early may close before all is written.
        let _ = self.0.get_mut().write_all(&bytes);
    }

    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        let _ = self.0.get_mut().write_all(bytes);
    }

    /// Whether a byte of an answer has come, without waiting for it.
    pub(crate) fn has_answer(&mut self) -> bool {
        let stream = self.0.get_ref();
        stream.set_nonblocking(true).expect("an option");
        let found = stream.peek(&mut [0]);
        stream.set_nonblocking(false).expect("an option");
        found.is_ok()
    }

    /// Waits for the first byte of an answer and leaves it unread.
    pub(crate) fn wait_for_answer(&mut self) {
        self.0.get_ref().peek(&mut [0]).expect("an answer");
    }

    pub(crate) fn answer(&mut self, method: &str) -> Answer {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("a status line");
        let status = line.split(' ').nth(1).and_then(|code| code.parse().ok());
        let status = status.unwrap_or_else(|| panic!("no status line: {line:?}"));
        let mut headers = Vec::new();
        loop {
            line.clear();
            self.0.read_line(&mut line).expect("a header line");
            let Some((name, value)) = line.trim_end().split_once(": ") else {
                break;
            };
            headers.push((name.to_ascii_lowercase(), value.to_owned()));
        }
        assert_eq!(line, "\r\n", "a head ends in an empty line");
        let mut answer = Answer {
            status,
            headers,
            body: Vec::new(),
        };
        if method != "HEAD" && status != 204 && status != 304 {
            let length = answer.header("content-length").expect("answers have a length");
            answer.body.resize(length.parse().expect("a number"), 0);
            self.0.read_exact(&mut answer.body).expect("the whole body");
        }
        answer
    }

    pub(crate) fn shutdown(&mut self, how: Shutdown) {
        self.0.get_ref().shutdown(how).expect("a connection");
    }

    /// Whether the connection ends, whatever is said before.
    pub(crate) fn ends(&mut self) -> bool {
        self.0.read_to_end(&mut Vec::new()).is_ok()
    }

    /// Whether the server has closed the connection.
    pub(crate) fn is_closed(&mut self) -> bool {
        matches!(self.0.read(&mut [0]), Ok(0) | Err(_))
    }
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(found, _)| found == name)
            .map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The reason of a failure.
    pub(crate) fn reason(&self) -> &str {
        self.header("x-luge-error").unwrap_or("no x-luge-error")
    }
}

/// Width and height of a PNG (IHDR), a BMP (BITMAPINFOHEADER) or a JPEG (start of frame).
pub(crate) fn picture_size(format: &str, body: &[u8]) -> (u32, u32) {
    let big = |at: usize| u32::from_be_bytes(body[at..at + 4].try_into().expect("four bytes"));
    let little =
        |at: usize| i32::from_le_bytes(body[at..at + 4].try_into().expect("four bytes")).unsigned_abs();
    match format {
        "png" => {
            assert!(body.starts_with(b"\x89PNG\r\n\x1a\n") && &body[12..16] == b"IHDR");
            assert!(body.ends_with(b"IEND\xaeB`\x82"), "the picture is whole");
            (big(16), big(20))
        }
        "bmp" => {
            assert!(body.starts_with(b"BM"));
            (little(18), little(22))
        }
        "jpeg" => {
            assert!(
                body.starts_with(b"\xff\xd8") && body.ends_with(b"\xff\xd9"),
                "the picture is whole"
            );
            let pair = |at: usize| u32::from(u16::from_be_bytes([body[at], body[at + 1]]));
            let mut at = 2;
            while !matches!(body[at + 1], 0xc0..=0xc2) {
                at += 2 + pair(at + 2) as usize;
            }
            (pair(at + 7), pair(at + 5))
        }
        other => panic!("no such format: {other}"),
    }
}

/// Sleeps for half a second in `poll_oneoff`, then answers `done`.
pub(crate) const SLEEP: &str = r#"(module
    (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
    (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
    (memory (export "memory") 1)
    (data (i32.const 256) "done")
    (func (export "_start")
        ;; subscription_t: userdata, tag 0 (clock), clock 1 (monotonic), timeout in nanoseconds, precision, flags
        (i32.store8 (i32.const 8) (i32.const 0))
        (i32.store (i32.const 16) (i32.const 1))
        (i64.store (i32.const 24) (i64.const 500000000))
        (drop (call $poll (i32.const 0) (i32.const 128) (i32.const 1) (i32.const 200)))
        (i32.store (i32.const 240) (i32.const 256)) (i32.store (i32.const 244) (i32.const 4))
        (drop (call $write (i32.const 1) (i32.const 240) (i32.const 1) (i32.const 248)))))"#;

//! The context of one run: everything that WASI keeps for a guest between its calls.
//!
//! It is made per request, so making it does as little as can be: no clock is read, no file opened, no string copied.
//! The monotonic clock starts when the guest first looks at it. A call that waits, or that works in portions, leaves its
//! progress here; the same call made again finds it (see [`Pending`]).
//!
//! Better than made, it is made anew, where the last one lies ([`WasiTemplate::renew`]): half a kilobyte is neither
//! allocated nor moved, what the template shares is already referred to, so that no count is written to which other
//! threads write too, and a small output's room is there. All else is written over, field by field: nothing of one run
//! is seen by the next.
//!
//! [`WasiTemplate::renew`]: super::WasiTemplate::renew

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use super::config::{Environment, Prepared, WasiBuilder, WasiConfigError};
use super::dir::Listing;
use super::outcome::{Fault, OutputStream};
use super::stdio::{Input, Output, OutputState};
use super::strings::StringBlock;
use super::table::{Descriptor, DescriptorTable, Directory, Resource};
use super::types::Rights;

/// The WASI state of one run of a guest.
#[derive(Debug)]
pub struct WasiCtx {
    pub(super) template: Arc<Prepared>,
    /// The run's own variables with the template's; nothing where there are only these.
    own_environment: Option<Environment>,
    pub(super) table: DescriptorTable,
    pub(super) stdin: Input,
    pub(super) stdout: OutputState,
    pub(super) stderr: OutputState,
    /// When the guest first asked for the monotonic time.
    pub(super) monotonic_origin: Option<Instant>,
    pub(super) pending: Option<Pending>,
    /// The entries of the directory that was listed last.
    pub(super) listing: Option<Listing>,
    /// Why the run was ended, if it was.
    pub(super) fault: Option<Fault>,
    serial: u64,
    /// Fuel that is due for the calls made since it was last asked for.
    cost: u64,
}

/// Fuel for one system call.
const COST_OF_SYSTEM_CALL: u64 = 400;

/// Bytes copied for one unit of fuel; as the engine charges its own bulk operators.
const BYTES_PER_FUEL: u64 = 16;

/// A call that has begun and will be made again, with the arguments by which it is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pending {
    /// `poll_oneoff` waits; relative timeouts count from `since`.
    Poll { arguments: [u32; 4], since: Instant },
    /// `random_get` has filled the first `done` bytes.
    Random { buffer: u32, length: u32, done: u32 },
}

impl WasiCtx {
    /// Starts to say what a guest is given. By itself it is given nothing.
    #[must_use]
    pub fn builder() -> WasiBuilder {
        WasiBuilder::default()
    }

    pub(super) fn new(template: &Arc<Prepared>, stdin: Input, stdout: Output, stderr: Output) -> Self {
        let mut ctx = Self {
            template: Arc::clone(template),
            own_environment: None,
            table: DescriptorTable::new(template.limits.open_files),
            stdin,
            stdout: OutputState::new(OutputStream::Stdout, stdout, template.overflow),
            stderr: OutputState::new(OutputStream::Stderr, stderr, template.overflow),
            monotonic_origin: None,
            pending: None,
            listing: None,
            fault: None,
            serial: 0,
            cost: 0,
        };
        ctx.serial = open_directories(template, &mut ctx.table);
        ctx
    }

    /// Makes it what it was when it was made, with these streams, whatever a run has done to it. Room for a small output is
    /// kept, and nothing that was in it.
    pub(super) fn reset(&mut self, stdin: Input, stdout: Output, stderr: Output) {
        // Named one by one, so that none can be added and forgotten here.
        let Self {
            template,
            own_environment,
            table,
            stdin: own_stdin,
            stdout: own_stdout,
            stderr: own_stderr,
            monotonic_origin,
            pending,
            listing,
            fault,
            serial,
            cost,
        } = self;
        *own_environment = None;
        *own_stdin = stdin;
        own_stdout.reset(stdout);
        own_stderr.reset(stderr);
        *monotonic_origin = None;
        *pending = None;
        *listing = None;
        *fault = None;
        *cost = 0;
        if table.has_changed() {
            *table = DescriptorTable::new(template.limits.open_files);
            *serial = open_directories(template, table);
        }
    }

    /// Lets go of all that belongs to the run: its input, its outputs, its variables, the files that it has opened. What is
    /// left is what a context begins with, to be made one again by [`WasiTemplate::renew`](super::WasiTemplate::renew).
    pub fn clear(&mut self) {
        self.reset(Input::Empty, Output::Discard, Output::Discard);
    }

    /// What the guest finds as its environment.
    pub(super) fn environment(&self) -> &StringBlock {
        match &self.own_environment {
            Some(Environment(own)) => own,
            None => &self.template.environment,
        }
    }

    /// Gives the run this environment, of the same template.
    pub fn set_environment(&mut self, environment: Environment) {
        self.own_environment = Some(environment);
    }

    /// Grants further variables for this run, such as those of a CGI request. One that the template has too takes the
    /// new value; one that is named twice keeps the last.
    ///
    /// # Errors
    /// A name or a value cannot be a variable, or all together take more than [`STRINGS_MAX`](super::STRINGS_MAX). Then
    /// nothing has changed.
    pub fn extend_env<K, V>(
        &mut self,
        variables: impl IntoIterator<Item = (K, V)>,
    ) -> Result<(), WasiConfigError>
    where
        K: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        let merged = self.environment().extended(variables)?;
        self.own_environment = Some(Environment(Box::new(merged)));
        Ok(())
    }

    /// What the guest wrote to its standard output so far, if that is a buffer.
    #[must_use]
    pub fn stdout(&self) -> &[u8] {
        self.stdout.written()
    }

    /// What the guest wrote to its standard error so far, if that is a buffer.
    #[must_use]
    pub fn stderr(&self) -> &[u8] {
        self.stderr.written()
    }

    /// Takes what the guest wrote to its standard output. Meant for after the run: the room is free again then.
    #[must_use]
    pub fn take_stdout(&mut self) -> Vec<u8> {
        self.stdout.take()
    }

    /// Takes what the guest wrote to its standard output, as [`take_stdout`](Self::take_stdout) does, to be shared. What is
    /// small is copied, and its room stays; nothing costs nothing.
    #[must_use]
    pub fn take_stdout_bytes(&mut self) -> Bytes {
        self.stdout.take_bytes()
    }

    /// Takes what the guest wrote to its standard error. Meant for after the run: the room is free again then.
    #[must_use]
    pub fn take_stderr(&mut self) -> Vec<u8> {
        self.stderr.take()
    }

    /// Why the run was ended by [`add_to_linker`](super::add_to_linker)'s functions, if it was: then the trap that
    /// the engine reports is only how it ended.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Charges the run `units` of fuel, about one for each instruction of the interpreter that takes as long.
    pub(super) fn charge(&mut self, units: u64) {
        self.cost = self.cost.saturating_add(units);
    }

    pub(super) fn charge_system_calls(&mut self, calls: u64) {
        self.charge(calls.saturating_mul(COST_OF_SYSTEM_CALL));
    }

    pub(super) fn charge_copied(&mut self, bytes: u64) {
        self.charge(bytes / BYTES_PER_FUEL);
    }

    /// The fuel that is due for the calls since the last time.
    pub(super) fn take_cost(&mut self) -> u64 {
        std::mem::take(&mut self.cost)
    }

    pub(super) fn next_serial(&mut self) -> u64 {
        self.serial += 1;
        self.serial
    }
}

/// Puts the template's directories into a table that has the standard streams alone; gives the last one's serial.
fn open_directories(template: &Prepared, table: &mut DescriptorTable) -> u64 {
    let mut serial = 0;
    for preopen in &template.preopens {
        serial += 1;
        let directory = Directory {
            handle: Arc::clone(&preopen.handle),
            preopen: Some(Arc::clone(&preopen.name)),
            serial,
        };
        let descriptor = Descriptor {
            resource: Resource::Directory(directory),
            base: Rights::DIRECTORY,
            inheriting: Rights::ALL,
            flags: 0,
        };
        // The builder has checked that all preopens fit.
        let fitted = table.insert(descriptor);
        debug_assert!(
            fitted.is_ok(),
            "a template was built with more preopens than open files"
        );
    }
    table.set_initial();
    serial
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wasi::testing::TestDir;

    fn environment(ctx: &WasiCtx) -> Vec<String> {
        ctx.environment()
            .iter()
            .map(|v| String::from_utf8_lossy(v).into_owned())
            .collect()
    }

    #[test]
    fn contexts_of_a_template_share_its_blocks() {
        let template = WasiCtx::builder().arg("f").env("A", "1").template().unwrap();
        let [one, two] = [0, 1].map(|_| template.instantiate(Input::Empty, Output::Discard, Output::Discard));
        assert!(std::ptr::eq(one.environment(), two.environment()));
        assert!(Arc::ptr_eq(&one.template, &two.template));
        assert!(one.monotonic_origin.is_none());
    }

    #[test]
    fn a_request_adds_and_replaces_variables_for_itself_alone() {
        let template = WasiCtx::builder()
            .env("KEEP", "a")
            .env("PATH_INFO", "old")
            .template()
            .unwrap();
        let fresh = || template.instantiate(Input::Empty, Output::Discard, Output::Discard);
        let mut ctx = fresh();
        ctx.extend_env([("PATH_INFO", "/x=y"), ("TWICE", "1"), ("TWICE", "2")])
            .unwrap();
        assert_eq!(environment(&ctx), ["KEEP=a", "PATH_INFO=/x=y", "TWICE=2"]);
        assert_eq!(environment(&fresh()), ["KEEP=a", "PATH_INFO=old"]);
        assert!(ctx.extend_env([("GOOD", "1"), ("BAD", "a\0")]).is_err());
        assert_eq!(environment(&ctx), ["KEEP=a", "PATH_INFO=/x=y", "TWICE=2"]);
    }

    /// Everything that a run can leave in its context.
    fn dirty(ctx: &mut WasiCtx) {
        ctx.stdout.write(b"secret").unwrap();
        ctx.stderr.write(b"secret").unwrap();
        ctx.extend_env([("SECRET", "1")]).unwrap();
        ctx.table.remove(0).unwrap();
        ctx.table.get_mut(3).unwrap().flags = 9;
        ctx.monotonic_origin = Some(Instant::now());
        ctx.pending = Some(Pending::Random {
            buffer: 1,
            length: 2,
            done: 1,
        });
        ctx.listing = Some(Listing::default());
        ctx.fault = Some(Fault::OutputLimit {
            stream: OutputStream::Stdout,
            limit: 1,
        });
        ctx.next_serial();
        ctx.charge(7);
    }

    #[test]
    fn a_context_that_is_renewed_is_as_a_new_one() {
        let dir = TestDir::new();
        let builder = WasiCtx::builder().env("A", "1");
        let template = builder
            .preopen_read_only(dir.path(), "/a")
            .unwrap()
            .template()
            .unwrap();
        let output = Output::Buffer { limit: 100 };
        let streams = || (Input::Bytes(Bytes::from_static(b"body")), output, output);
        let (stdin, stdout, stderr) = streams();
        let fresh = format!("{:?}", template.instantiate(stdin, stdout, stderr));
        let mut kept = None;
        for round in 0..3 {
            let (stdin, stdout, stderr) = streams();
            let ctx = template.renew(&mut kept, stdin, stdout, stderr);
            assert_eq!(format!("{ctx:?}"), fresh, "round {round}");
            dirty(ctx);
            if round == 1 {
                ctx.clear();
                assert!(!format!("{ctx:?}").contains("body"), "the input is let go of");
            }
        }
    }

    #[test]
    fn a_context_of_another_template_is_not_used() {
        let [one, other] = ["1", "2"].map(|value| WasiCtx::builder().env("A", value).template().unwrap());
        let mut kept = Some(one.instantiate(Input::Empty, Output::Discard, Output::Discard));
        let ctx = other.renew(&mut kept, Input::Empty, Output::Discard, Output::Discard);
        assert_eq!(environment(ctx), ["A=2"]);
        ctx.set_environment(other.environment(|variables| variables.add("B", "3")).unwrap());
        assert_eq!(environment(ctx), ["A=2", "B=3"]);
        assert!(other.environment(|variables| variables.add("", "3")).is_err());
    }

    #[test]
    fn preopens_follow_the_standard_streams() {
        let dir = TestDir::new();
        let builder = WasiCtx::builder().preopen_read_only(dir.path(), "/a").unwrap();
        let ctx = builder
            .preopen_read_only(dir.path(), "/b")
            .unwrap()
            .build()
            .unwrap();
        for (fd, name) in [(3, &b"/a"[..]), (4, b"/b")] {
            let Resource::Directory(directory) = &ctx.table.get(fd).unwrap().resource else {
                panic!("descriptor {fd} is no directory");
            };
            assert_eq!(directory.preopen.as_deref(), Some(name));
        }
        assert_eq!(ctx.table.open(), 5);
    }

    #[test]
    fn a_context_can_go_where_its_run_goes() {
        fn sendable<T: Send>() {}
        sendable::<WasiCtx>();
        fn shareable<T: Send + Sync>() {}
        shareable::<crate::wasi::WasiTemplate>();
    }
}

//! A hostile guest: every function, with arguments and memory made of noise, many times.
//!
//! The property is what must hold whatever a guest does: no call panics, an errno is one that exists, the bounds on open
//! files and on output hold, and nothing in the directory changes. The noise is seeded, so that a failure comes again; it
//! prefers numbers that are likely to get far: small descriptors, pointers near the ends of memory, valid paths.

use bytes::Bytes;

use super::testing::{Guest, TestDir};
use super::types::Rights;
use super::{Fault, Input, Output, OutputOverflow, SlotType, Stop, WasiCtx, WasiFunction, WasiLimits};

const CALLS: usize = 200_000;
const CALLS_PER_CONTEXT: usize = 500;
const OPEN_FILES: usize = 12;
const OUTPUT_LIMIT: usize = 4096;

/// Marsaglia's xorshift64*: enough for noise.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn one_of<T: Copy>(&mut self, from: &[T]) -> T {
        let bound = from.len() as u64;
        from[usize::try_from(self.below(bound)).unwrap()]
    }

    fn slot(&mut self, ty: SlotType, memory: u64) -> u64 {
        match (ty, self.below(10)) {
            (_, 0) => self.next(),
            (_, 1) => self.one_of(&[
                0,
                1,
                2,
                3,
                u64::from(u32::MAX),
                u64::MAX,
                1 << 31,
                1 << 63,
                i64::MAX as u64,
            ]),
            (SlotType::I64, 2..6) => self.one_of(&[Rights::ALL.0, Rights::FD_READ.0, Rights::REGULAR_FILE.0]),
            (SlotType::I64, _) => self.below(300),
            (SlotType::I32, 2..6) => self.below(OPEN_FILES as u64),
            (SlotType::I32, 6) => memory.wrapping_sub(self.below(70)),
            (SlotType::I32, 7) => self.below(40),
            (SlotType::I32, _) => self.below(memory.max(1)),
        }
    }
}

fn guest(dir: &TestDir, noise: &mut Noise) -> Guest {
    let limits = WasiLimits {
        open_files: OPEN_FILES,
        directory_entries: 64,
        subscriptions: 64,
    };
    let overflow = noise.one_of(&[OutputOverflow::Errno, OutputOverflow::Stop]);
    let builder = WasiCtx::builder()
        .args(["one", "two"])
        .env("A", "1")
        .limits(limits)
        .output_overflow(overflow);
    let builder = builder
        .stdin(Input::Bytes(Bytes::from(vec![b'i'; 10_000])))
        .stdout(Output::Buffer { limit: OUTPUT_LIMIT })
        .stderr(Output::Buffer { limit: OUTPUT_LIMIT });
    let mut guest = Guest::new(
        builder
            .preopen_read_only(dir.path(), "/")
            .unwrap()
            .build()
            .unwrap(),
    );
    let size = noise.one_of(&[0, 1, 47, 4096, 65_536, 65_536, 65_536]);
    guest.memory = vec![0; size];
    guest
}

/// Fills memory with noise, small numbers and paths that exist or escape.
fn stir(memory: &mut [u8], noise: &mut Noise) {
    const PATHS: [&[u8]; 6] = [b"file", b"sub/deep", b"..", b"out", b"to-file", b"/etc/passwd"];
    if memory.is_empty() {
        return;
    }
    for _ in 0..64 {
        let at = usize::try_from(noise.below(memory.len() as u64)).unwrap();
        let small = noise.below(64).to_le_bytes();
        let random = noise.next().to_le_bytes();
        let bytes: &[u8] = match noise.below(3) {
            0 => noise.one_of(&PATHS),
            1 => &small,
            _ => &random,
        };
        let count = bytes.len().min(memory.len() - at);
        memory[at..at + count].copy_from_slice(&bytes[..count]);
    }
}

#[test]
fn no_call_of_a_hostile_guest_panics_or_breaks_a_bound() {
    let dir = TestDir::new();
    dir.file("file", b"content");
    dir.directory("sub");
    dir.file("sub/deep", &[b'd'; 3000]);
    dir.symlink("out", "../..");
    dir.symlink("to-file", "file");
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    let mut counts = [0_usize; 4];
    for _ in 0..CALLS / CALLS_PER_CONTEXT {
        let mut guest = guest(&dir, &mut noise);
        for _ in 0..CALLS_PER_CONTEXT {
            if noise.below(16) == 0 {
                stir(&mut guest.memory, &mut noise);
            }
            let function = noise.one_of(WasiFunction::ALL);
            let memory = guest.memory.len() as u64;
            let mut slots: Vec<u64> = function
                .params()
                .iter()
                .map(|ty| noise.slot(*ty, memory))
                .collect();
            slots.resize(slots.len().max(function.results().len()), 0);
            match function.call(&mut guest.ctx, &mut guest.memory, &mut slots) {
                Ok(()) => {
                    assert!(
                        slots[0] <= 76,
                        "{}: no such errno as {}",
                        function.name(),
                        slots[0]
                    );
                    counts[usize::from(slots[0] != 0)] += 1;
                }
                Err(Stop::Block { .. }) => counts[2] += 1,
                Err(Stop::Exit(_) | Stop::Fault(Fault::OutputLimit { .. })) => counts[3] += 1,
                Err(Stop::Fault(fault)) => panic!("{}: {fault}", function.name()),
            }
            assert!(guest.ctx.table.open() <= OPEN_FILES);
            assert!(guest.ctx.stdout().len() <= OUTPUT_LIMIT && guest.ctx.stderr().len() <= OUTPUT_LIMIT);
        }
    }
    // The noise must have reached behind the checks, or it proves little.
    assert!(
        counts[0] > CALLS / 20,
        "only {counts:?} (success, errno, block, end)"
    );
    assert!(
        counts[1] > CALLS / 20,
        "only {counts:?} (success, errno, block, end)"
    );
    assert_eq!(counts.iter().sum::<usize>(), CALLS);
    assert_eq!(std::fs::read(dir.path().join("file")).unwrap(), b"content");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 4);
}

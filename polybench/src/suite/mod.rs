//! The suite: which kernels there are, how large they run, how much work their definitions ask for, what they leave behind.
//!
//! ```text
//!   kernels/NAME.c ──┬─ kernels/build.sh ──► wasm/NAME.wasm, wasm/NAME.simd.wasm ─┐
//!                    └───────────────────────────────────────────────────────────┴─► embedded here, with
//!                                             dimensions, operation count and live-out arrays from the definition
//! ```
//!
//! The kernels are those of PolyBench/C 4.2 (L.-N. Pouchet and T. Yuki, 2016): thirty numerical programs in six categories, each in
//! five sizes. Sources and modules are part of the program, so that an installed binary needs no checkout.
//!
//! Dimensions, operation counts and the shapes of results stand here a second time, beside the C source, on purpose: a
//! kernel that does less than its definition shows as an impossible rate, and one that leaves arrays of other sizes fails.

mod operations;
mod table;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

use crate::contender::{Build, Checksum};

pub use table::KERNELS;

/// `polybench.h`, which every kernel's source includes.
pub const HEADER: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/kernels/polybench.h"));

/// `native.c`, the program around a kernel that is built for this machine.
pub const NATIVE_MAIN: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/kernels/native.c"));

/// The data sets of the suite, from the one for checking to the one that fills caches and patience.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Size {
    /// At most 16 KB or so: the suite means it to fit a first-level cache.
    Mini,
    /// 128 KB or so: a second-level cache.
    Small,
    /// A megabyte or so: a third-level cache.
    Medium,
    /// 25 MB or so: main memory.
    Large,
    /// 120 MB or so.
    ExtraLarge,
}

impl Size {
    /// All of them, smallest first.
    pub const ALL: [Size; 5] = [
        Self::Mini,
        Self::Small,
        Self::Medium,
        Self::Large,
        Self::ExtraLarge,
    ];

    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        ["mini", "small", "medium", "large", "extralarge"][self as usize]
    }

    /// The argument of `prepare`.
    pub fn number(self) -> i32 {
        self as i32
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// The part of the field that a kernel comes from, as the suite groups them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Category {
    /// Correlation and covariance of a table.
    DataMining,
    /// Basic linear algebra subprograms.
    Blas,
    /// Chains and variants of them.
    Kernels,
    /// Factorisations and triangular systems.
    Solvers,
    /// An image filter and two dynamic programs.
    Medley,
    /// Sweeps over grids.
    Stencils,
}

impl Category {
    /// The name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::DataMining => "datamining",
            Self::Blas => "blas",
            Self::Kernels => "kernels",
            Self::Solvers => "solvers",
            Self::Medley => "medley",
            Self::Stencils => "stencils",
        }
    }
}

/// What a kernel computes with, and so what is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Arithmetic {
    /// Floating-point operations.
    Float,
    /// Integer additions, minima and maxima.
    Integer,
}

impl Arithmetic {
    /// The unit of 10^9 operations per second.
    pub fn rate_unit(self) -> &'static str {
        match self {
            Self::Float => "GFLOP/s",
            Self::Integer => "Gop/s",
        }
    }
}

/// The type of an array's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// `double`
    F64,
    /// `float`
    F32,
    /// `int32_t`
    I32,
}

impl Element {
    /// Bytes of one.
    pub fn bytes(self) -> usize {
        match self {
            Self::F64 => 8,
            Self::F32 | Self::I32 => 4,
        }
    }

    /// An element's value in words, from its little-endian bytes.
    pub(crate) fn show(self, bytes: &[u8]) -> String {
        let mut word = [0; 8];
        word[..bytes.len().min(8)].copy_from_slice(&bytes[..bytes.len().min(8)]);
        let bits = u64::from_le_bytes(word);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the upper half is zero or not asked for"
        )]
        let low = bits as u32;
        match self {
            Self::F64 => format!("{:?} (0x{bits:016x})", f64::from_bits(bits)),
            Self::F32 => format!("{:?} (0x{low:08x})", f32::from_bits(low)),
            Self::I32 => format!("{}", low.cast_signed()),
        }
    }
}

/// A live-out array: what a kernel has computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Output {
    /// The array's name in the kernel's definition.
    pub name: &'static str,
    /// What it holds.
    pub element: Element,
    /// Its extents, outermost first, as positions in the kernel's dimensions.
    pub shape: &'static [usize],
}

impl Output {
    /// Its extents.
    pub fn extents(&self, dimensions: &[u64]) -> Vec<u64> {
        self.shape.iter().map(|&position| dimensions[position]).collect()
    }

    /// Its size in bytes.
    pub fn bytes(&self, dimensions: &[u64]) -> u64 {
        self.extents(dimensions).iter().product::<u64>() * self.element.bytes() as u64
    }
}

/// A kernel of the suite.
#[derive(Debug)]
pub struct Kernel {
    /// Its name, and that of its files.
    pub name: &'static str,
    /// Its group.
    pub category: Category,
    /// What it computes with.
    pub arithmetic: Arithmetic,
    /// Names of its dimensions.
    pub parameters: &'static [&'static str],
    /// Its dimensions for each [`Size`].
    pub dimensions: [&'static [u64]; 5],
    /// The arrays that it leaves, in the order of the dump.
    pub outputs: &'static [Output],
    /// Its C source.
    pub source: &'static str,
    pub(crate) count: fn(&[u64]) -> u64,
    pub(crate) scalar: &'static [u8],
    pub(crate) simd: &'static [u8],
}

impl Kernel {
    /// The kernel of that name.
    pub fn named(name: &str) -> Option<&'static Kernel> {
        KERNELS.iter().find(|kernel| kernel.name == name)
    }

    /// Its dimensions in a size.
    pub fn dimensions(&self, size: Size) -> &'static [u64] {
        self.dimensions[size as usize]
    }

    /// How many operations its definition asks for in a size.
    ///
    /// An addition, subtraction, multiplication, division, square root, minimum or maximum is one; a change of sign is none, nor is what
    /// only decides (whether two bases pair). Loops are in the suite's order. A value that does not depend on the innermost
    /// index counts outside that loop, and one that a statement uses twice counts once. The coefficients of a filter or a
    /// discretisation count nothing, nor do factors that are 1.
    pub fn operations(&self, size: Size) -> u64 {
        self.operations_of(self.dimensions(size))
    }

    /// [`Kernel::operations`] for any dimensions, each of at least 2.
    pub fn operations_of(&self, dimensions: &[u64]) -> u64 {
        assert_eq!(dimensions.len(), self.parameters.len(), "{}", self.name);
        (self.count)(dimensions)
    }

    /// The built-in module of a build.
    pub fn wasm(&self, build: Build) -> &'static [u8] {
        match build {
            Build::Scalar => self.scalar,
            Build::Simd => self.simd,
        }
    }

    /// What its `checksum` answers in a size, where that is on record in `kernels/kernels.toml`.
    ///
    /// # Panics
    /// If that file is not well-formed: it is a part of this crate.
    pub fn checksum(&self, size: Size) -> Option<Checksum> {
        recorded().get(self.name)?.get(&size).copied()
    }
}

type Recorded = BTreeMap<String, BTreeMap<Size, Checksum>>;

fn recorded() -> &'static Recorded {
    static RECORDED: std::sync::OnceLock<Recorded> = std::sync::OnceLock::new();
    RECORDED.get_or_init(|| {
        let text = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/kernels/kernels.toml"));
        toml::from_str(text).expect("a table of checksums for each kernel")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_thirty_kernels_each_with_its_checksums() {
        assert_eq!(KERNELS.len(), 30);
        for kernel in KERNELS {
            assert!(std::ptr::eq(Kernel::named(kernel.name).expect("listed"), kernel));
            for size in [Size::Mini, Size::Small, Size::Medium] {
                assert!(kernel.checksum(size).is_some(), "{} {size}", kernel.name);
            }
        }
        assert!(Kernel::named("gemm2").is_none());
        assert_eq!(recorded().len(), 30, "a checksum of no kernel");
    }

    #[test]
    fn the_sources_agree_on_dimensions_and_live_out_arrays() {
        for kernel in KERNELS {
            for size in Size::ALL {
                let mut words = vec![size.name().to_uppercase()];
                words.extend(kernel.dimensions(size).iter().map(u64::to_string));
                let line = format!("USE({})", words.join(", "));
                assert!(kernel.source.contains(&line), "{}: no {line}", kernel.name);
            }
            let names: Vec<_> = kernel.outputs.iter().map(|output| output.name).collect();
            let line = format!("// Live-out: {}.\n", names.join(", "));
            assert!(kernel.source.contains(&line), "{}: no {line}", kernel.name);
        }
    }

    #[test]
    fn sizes_grow() {
        for kernel in KERNELS {
            // In the suite the largest atax and bicg are no larger than the next.
            for pair in Size::ALL[..4].windows(2) {
                let operations = |size| kernel.operations(size);
                assert!(operations(pair[0]) < operations(pair[1]), "{}", kernel.name);
            }
        }
    }

    #[test]
    fn elements_are_shown_with_their_bits() {
        assert_eq!(
            Element::F64.show(&1.5_f64.to_le_bytes()),
            "1.5 (0x3ff8000000000000)"
        );
        assert_eq!(Element::F32.show(&(-0.5_f32).to_le_bytes()), "-0.5 (0xbf000000)");
        assert_eq!(Element::I32.show(&(-7_i32).to_le_bytes()), "-7");
    }
}

//! What the processor can do, as far as code generation cares.

/// Extensions beyond x86-64 with SSE4.2 (2008), which is the least that the code generators need: it compares 64-bit lanes.
///
/// They are part of the key of cached code: code is run only where it has all that it was made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CpuFeatures {
    /// AVX: three-operand vector instructions.
    pub avx: bool,
    /// AVX2: integer broadcasts among others.
    pub avx2: bool,
    /// FMA: fused multiply-add.
    pub fma: bool,
    /// BMI1: `tzcnt`.
    pub bmi1: bool,
    /// BMI2: shifts by any register.
    pub bmi2: bool,
    /// `lzcnt`.
    pub lzcnt: bool,
    /// `popcnt`.
    pub popcnt: bool,
}

impl CpuFeatures {
    /// Nothing beyond the least that is needed.
    pub const BASELINE: Self = Self {
        avx: false,
        avx2: false,
        fma: false,
        bmi1: false,
        bmi2: false,
        lzcnt: false,
        popcnt: false,
    };

    /// What this machine has. `None` where it lacks the least that is needed, or is no x86-64.
    #[must_use]
    pub fn detect() -> Option<Self> {
        #[cfg(target_arch = "x86_64")]
        {
            // It includes SSE4.1 and SSSE3.
            if !std::arch::is_x86_feature_detected!("sse4.2") {
                return None;
            }
            Some(Self {
                avx: std::arch::is_x86_feature_detected!("avx"),
                avx2: std::arch::is_x86_feature_detected!("avx2"),
                fma: std::arch::is_x86_feature_detected!("fma"),
                bmi1: std::arch::is_x86_feature_detected!("bmi1"),
                bmi2: std::arch::is_x86_feature_detected!("bmi2"),
                lzcnt: std::arch::is_x86_feature_detected!("lzcnt"),
                popcnt: std::arch::is_x86_feature_detected!("popcnt"),
            })
        }
        #[cfg(not(target_arch = "x86_64"))]
        {
            None
        }
    }
}

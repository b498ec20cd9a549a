//! The baseline tier: one pass over the body, a cache of registers over the value stack.

use crate::cpu::CpuFeatures;
use luge_core::ModuleError;
use luge_core::compiler::{BoundsStrategy, CodeArtifact, CodeGenerator, ModuleTranslation};

/// How code is made.
#[derive(Debug, Clone, Copy)]
pub struct BaselineOptions {
    /// How memory accesses are kept in bounds.
    pub bounds: BoundsStrategy,
    /// Whether code counts fuel at loop headers and calls, so that a run comes back when it is used up.
    pub fuel: bool,
    /// Whether the artefact says where each operator's code begins.
    pub positions: bool,
    /// What the processor has.
    pub cpu: CpuFeatures,
}

/// The baseline compiler.
#[derive(Debug, Clone, Copy)]
pub struct Baseline {
    options: BaselineOptions,
}

impl Baseline {
    /// A compiler with these options.
    #[must_use]
    pub fn new(options: BaselineOptions) -> Self {
        Self { options }
    }
}

impl CodeGenerator for Baseline {
    fn name(&self) -> &'static str {
        "baseline"
    }

    fn fingerprint(&self) -> String {
        format!("{:?}", self.options)
    }

    fn compile(&self, _module: &mut ModuleTranslation<'_>) -> Result<CodeArtifact, ModuleError> {
        Err(ModuleError::Unsupported {
            tier: self.name(),
            what: "it makes no code yet".to_owned(),
        })
    }
}

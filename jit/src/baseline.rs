//! The baseline tier: one pass over the body, a cache of registers over the value stack.
//!
//! It has no code generator yet and declines what it is given. Its function type is uninhabited, so that nothing
//! can pretend to hold half-compiled code.

use luge_core::compiler::{CompileError, Compiler, FunctionArtifact};
use luge_core::operator::{BinaryOp, CompareOp, Libcall, LoadOp, StoreOp, UnaryOp};
use luge_core::{Control, FuncType, MemoryAccess, Sink, ValType};

/// The baseline compiler.
#[derive(Debug, Clone, Copy, Default)]
pub struct Baseline;

/// A function under translation. There is none: see the module's documentation.
#[derive(Debug)]
pub enum BaselineFunction {}

impl Compiler for Baseline {
    type Function = BaselineFunction;

    fn name(&self) -> &'static str {
        "baseline"
    }

    fn begin(&self, _ty: &FuncType, _locals: &[ValType]) -> Result<BaselineFunction, CompileError> {
        Err(CompileError::Unsupported {
            tier: self.name(),
            what: "it generates no code on this machine",
        })
    }

    fn finish(&self, function: BaselineFunction) -> Result<FunctionArtifact, CompileError> {
        match function {}
    }
}

/// Every method of the sink is unreachable, because there is no value to call it on.
macro_rules! uninhabited {
    ($($name:ident($($arg:ty),*) $(-> $ret:ty)?;)*) => {
        impl Sink for BaselineFunction {
            type Label = ();
            $(fn $name(&mut self $(, _: $arg)*) $(-> $ret)? { match *self {} })*
            fn is_exhausted(&self) -> bool { match *self {} }
        }
    };
}

uninhabited! {
    constant(ValType, u64);
    local_get(u32, ValType);
    local_set(u32, ValType);
    local_tee(u32, ValType);
    global_get(u32, ValType);
    global_set(u32, ValType);
    drop_value();
    select();
    unary(UnaryOp);
    binary(BinaryOp);
    compare(CompareOp);
    load(LoadOp, MemoryAccess);
    store(StoreOp, MemoryAccess);
    libcall(Libcall, [u32; 2]);
    call(u32, &FuncType);
    call_indirect(u32, u32, &FuncType);
    block(u32, u32);
    loop_(u32, u32);
    if_(u32, u32);
    else_(&mut Control<()>, bool);
    end(Control<()>, bool);
    br(&mut Control<()>);
    br_if(&mut Control<()>);
    br_table(&mut [Control<()>], &[u32]);
    return_();
    unreachable();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_is_declined_and_not_mistaken() {
        let ty = FuncType::new([ValType::I32], [ValType::I32]);
        let declined = Baseline
            .begin(&ty, &[ValType::I32])
            .expect_err("no code generator");
        assert!(matches!(
            declined,
            CompileError::Unsupported { tier: "baseline", .. }
        ));
    }
}

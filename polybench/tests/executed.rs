//! The operation counts of the kernels, counted once more: by running the modules.
//!
//! Each floating-point operation of a scalar module gets an addition to a counter before it, and the interpreter runs `kernel`. That
//! ties the closed forms to what the C sources do: a kernel that did less than its definition, by its text or by its compiler, would
//! execute fewer.

use luge_core::{Engine, Extern, Limits, Linker, Module, Store, Value};
use luge_polybench::contender::Build;
use luge_polybench::suite::{Arithmetic, KERNELS, Size};
use wasm_encoder::reencode::{Error, Reencode};
use wasm_encoder::{
    CodeSection, ConstExpr, ExportKind, ExportSection, GlobalSection, GlobalType, Instruction, ValType,
};
use wasmparser::{ExportSectionReader, FunctionBody, GlobalSectionReader, Operator, Parser};

/// The name under which the counter is exported.
const COUNTER: &str = "operations counted";

/// Copies a module and makes it count.
struct Counting {
    /// The index of the counter, after the module's own globals.
    counter: u32,
}

impl Reencode for Counting {
    type Error = std::convert::Infallible;

    fn parse_global_section(
        &mut self,
        globals: &mut GlobalSection,
        section: GlobalSectionReader<'_>,
    ) -> Result<(), Error> {
        for global in section {
            self.parse_global(globals, global?)?;
        }
        self.counter = globals.len();
        let mutable = GlobalType {
            val_type: ValType::I64,
            mutable: true,
            shared: false,
        };
        globals.global(mutable, &ConstExpr::i64_const(0));
        Ok(())
    }

    fn parse_export_section(
        &mut self,
        exports: &mut ExportSection,
        section: ExportSectionReader<'_>,
    ) -> Result<(), Error> {
        for export in section {
            self.parse_export(exports, export?)?;
        }
        exports.export(COUNTER, ExportKind::Global, self.counter);
        Ok(())
    }

    fn parse_function_body(&mut self, code: &mut CodeSection, body: FunctionBody<'_>) -> Result<(), Error> {
        let mut function = self.new_function_with_parsed_locals(&body)?;
        for operator in body.get_operators_reader()? {
            let operator = operator?;
            if is_counted(&operator) {
                function
                    .instruction(&Instruction::GlobalGet(self.counter))
                    .instruction(&Instruction::I64Const(1))
                    .instruction(&Instruction::I64Add)
                    .instruction(&Instruction::GlobalSet(self.counter));
            }
            function.instruction(&self.instruction(operator)?);
        }
        code.function(&function);
        Ok(())
    }
}

fn is_counted(operator: &Operator<'_>) -> bool {
    use Operator::{
        F32Add, F32Div, F32Max, F32Min, F32Mul, F32Sqrt, F32Sub, F64Add, F64Div, F64Max, F64Min, F64Mul,
        F64Sqrt, F64Sub,
    };
    matches!(
        operator,
        F32Add | F32Sub | F32Mul | F32Div | F32Sqrt | F32Min | F32Max
    ) || matches!(
        operator,
        F64Add | F64Sub | F64Mul | F64Div | F64Sqrt | F64Min | F64Max
    )
}

/// What a module's `kernel` executes in a size.
fn executed(wasm: &[u8], size: Size) -> u64 {
    let mut module = wasm_encoder::Module::new();
    Counting { counter: 0 }
        .parse_core_module(&mut module, Parser::new(0), wasm)
        .expect("a valid module");
    let engine = Engine::default();
    let module = Module::new(&engine, &module.finish()).expect("still valid");
    let mut store = Store::new(&engine, &Limits::default(), ());
    let instance = Linker::new(&engine)
        .instantiate(&mut store, &module)
        .expect("no imports");
    let func = |store: &Store<()>, name| instance.func(store, name).expect("exported");
    let Some(Extern::Global(counter)) = instance.export(&store, COUNTER) else {
        panic!("a kernel without globals and exports");
    };
    let [prepare, kernel] = ["prepare", "kernel"].map(|name| func(&store, name));
    let prepared = prepare.call(&mut store, &[Value::I32(size.number())]);
    assert!(matches!(prepared.expect("memory")[..], [Value::I32(0)]));
    counter.set(&mut store, Value::I64(0));
    kernel.call(&mut store, &[]).expect("no trap");
    let Value::I64(count) = counter.get(&store) else {
        panic!("the counter is 64 bits wide");
    };
    count.cast_unsigned()
}

#[test]
fn modules_execute_what_the_definitions_ask_for() {
    for kernel in KERNELS {
        // Integer additions are also those of addresses.
        if kernel.arithmetic == Arithmetic::Integer {
            continue;
        }
        // In the smallest size inner loops are unrolled, and more can be folded.
        let size = Size::Small;
        let counted = executed(kernel.wasm(Build::Scalar), size);
        // The compiler folds the root of a constant in correlation, and a sum of nothing in the first row of symm.
        let folded = match kernel.name {
            "correlation" => 1,
            "symm" => kernel.dimensions(size)[1],
            _ => 0,
        };
        assert_eq!(counted + folded, kernel.operations(size), "{}", kernel.name);
    }
}

//! The module `spectest` that the official scripts import (WebAssembly reference interpreter, "Spectest host module").

use luge_core::{
    Engine, Extern, FuncType, Global, GlobalType, Linker, Memory, MemoryType, Store, Table, TableType,
    ValType, Value,
};

const MODULE: &str = "spectest";

/// A linker in which `spectest` is defined, its memory, table and globals in `store`.
pub(crate) fn linker(engine: &Engine, store: &mut Store<()>) -> Result<Linker<()>, String> {
    use ValType::{F32, F64, I32, I64};
    let mut linker = Linker::new(engine);
    let prints: &[(&str, &[ValType])] = &[
        ("print", &[]),
        ("print_i32", &[I32]),
        ("print_i64", &[I64]),
        ("print_f32", &[F32]),
        ("print_f64", &[F64]),
        ("print_i32_f32", &[I32, F32]),
        ("print_f64_f64", &[F64, F64]),
    ];
    for (name, params) in prints {
        linker.func(MODULE, name, FuncType::new(params.iter().copied(), []), |_, _| {
            Ok(())
        });
    }
    let globals = [
        ("global_i32", Value::I32(666)),
        ("global_i64", Value::I64(666)),
        ("global_f32", Value::from(666.6_f32)),
        ("global_f64", Value::from(666.6_f64)),
    ];
    for (name, value) in globals {
        let global = Global::new(
            store,
            GlobalType {
                content: value.ty(),
                mutable: false,
            },
            value,
        );
        linker.define(MODULE, name, Extern::Global(global));
    }
    for (name, table64) in [("table", false), ("table64", true)] {
        let ty = TableType {
            element: ValType::FuncRef,
            minimum: 10,
            maximum: Some(20),
            table64,
        };
        let table = Table::new(store, ty, Value::FuncRef(None)).map_err(|error| error.to_string())?;
        linker.define(MODULE, name, Extern::Table(table));
    }
    let memory = Memory::new(
        store,
        MemoryType {
            minimum: 1,
            maximum: Some(2),
            memory64: false,
        },
    )
    .map_err(|error| error.to_string())?;
    linker.define(MODULE, "memory", Extern::Memory(memory));
    Ok(linker)
}

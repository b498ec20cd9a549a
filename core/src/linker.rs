//! Linking: what the embedder provides, by name, and modules made ready to be instantiated again and again.
//!
//! [`Linker::instantiate`] resolves imports each time; [`Linker::link`] does so once, at deploy, and leaves a [`Linked`]
//! module whose instantiation resolves nothing.

use crate::engine::{Engine, Signature};
use crate::error::{CallError, InstantiateError, LinkError, RunError};
use crate::instance::{incompatible, instantiate, matches};
use crate::module::Module;
use crate::store::{Extern, Func, Instance, Store, StoreInner};
use crate::trap::Trap;
use crate::types::{ExternType, FuncType};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// How a host function ends a call other than by returning.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum HostError {
    /// The guest traps.
    Trap(Trap),
    /// The guest ends with this exit code.
    Exit(u32),
    /// The guest waits. At `until` or later, the very same call is made again, with the same arguments: the
    /// host function must leave its slots as it found them, and remember on its own what it waits for.
    Block {
        /// When there is something to look at.
        until: Instant,
    },
}

impl From<Trap> for HostError {
    fn from(trap: Trap) -> Self {
        Self::Trap(trap)
    }
}

type HostCall<T> = dyn Fn(&mut Caller<'_, T>, &mut [u64]) -> Result<(), HostError> + Send + Sync;

/// A function that the embedder provides.
pub(crate) struct HostFunc<T> {
    pub(crate) ty: FuncType,
    pub(crate) signature: Signature,
    pub(crate) call: Box<HostCall<T>>,
}

/// What a host function sees of its caller.
pub struct Caller<'a, T> {
    pub(crate) store: &'a mut StoreInner,
    pub(crate) data: &'a mut T,
    /// The calling instance; `None` where the embedder itself is the caller.
    pub(crate) instance: Option<u32>,
    /// Fuel that the call costs beside its flat price.
    pub(crate) cost: u64,
}

impl<T> Caller<'_, T> {
    /// The embedder's data in the store.
    pub fn data(&self) -> &T {
        self.data
    }

    /// The embedder's data, to be changed.
    pub fn data_mut(&mut self) -> &mut T {
        self.data
    }

    /// Charges the run `units` of fuel for what this call does, beside the flat price of every call. A host function whose
    /// work grows with what the guest asks for should say so, or a guest that calls it in a loop holds its thread for
    /// much longer than its fuel says.
    pub fn consume_fuel(&mut self, units: u64) {
        self.cost = self.cost.saturating_add(units);
    }

    /// The calling instance's first linear memory.
    pub fn memory(&mut self) -> Option<&mut [u8]> {
        self.data_and_memory().1
    }

    /// Both at once.
    pub fn data_and_memory(&mut self) -> (&mut T, Option<&mut [u8]>) {
        let memory = self
            .instance
            .and_then(|instance| self.store.instances[instance as usize].memories.first().copied())
            .map(|memory| self.store.memories[memory as usize].bytes_mut());
        (self.data, memory)
    }
}

enum Definition<T> {
    Host(Arc<HostFunc<T>>),
    Extern(Extern),
}

/// What the embedder provides for imports, by module and name.
pub struct Linker<T> {
    engine: Engine,
    definitions: HashMap<String, HashMap<String, Definition<T>>>,
}

impl<T> Linker<T> {
    /// A linker that provides nothing yet.
    pub fn new(engine: &Engine) -> Self {
        Self {
            engine: engine.clone(),
            definitions: HashMap::new(),
        }
    }

    /// Provides a function. It is called with the slots that its arguments lie in, `i32` and `f32` zero-extended,
    /// and leaves its results from the first slot on. A `v128` takes two slots, its low half first. There are at least 16
    /// slots, and at least as many as its parameters take and as its results take. A reference to a function is 0 for null, or
    /// a slot that a guest has handed over. An earlier definition of the name is replaced.
    pub fn func(
        &mut self,
        module: &str,
        name: &str,
        ty: FuncType,
        call: impl Fn(&mut Caller<'_, T>, &mut [u64]) -> Result<(), HostError> + Send + Sync + 'static,
    ) -> &mut Self {
        let signature = self.engine.signature(&ty);
        let host = Arc::new(HostFunc {
            ty,
            signature,
            call: Box::new(call),
        });
        self.insert(module, name, Definition::Host(host))
    }

    /// Provides something that lives in a store.
    pub fn define(&mut self, module: &str, name: &str, external: Extern) -> &mut Self {
        self.insert(module, name, Definition::Extern(external))
    }

    /// Provides all exports of an instance, under the module name `module`.
    pub fn define_instance(&mut self, store: &Store<T>, module: &str, instance: Instance) -> &mut Self {
        for (name, external) in instance.exports(store) {
            self.define(module, name, external);
        }
        self
    }

    /// Whether something of that name is provided.
    pub fn provides(&self, module: &str, name: &str) -> bool {
        self.get(module, name).is_some()
    }

    /// Links and instantiates a module and runs its start function to the end, however long that takes.
    ///
    /// # Errors
    /// [`InstantiateError`], as its variants say.
    ///
    /// # Panics
    /// If the linker, the store, the module or what is provided are not of one engine and one store: a mistake of the
    /// embedder's.
    pub fn instantiate(&self, store: &mut Store<T>, module: &Module) -> Result<Instance, InstantiateError> {
        self.assert_engine(module);
        let mut imports = Vec::new();
        for import in module.imports() {
            let definition = self.resolve(import.module, import.name, &import.ty)?;
            let external = match definition {
                Definition::Extern(external) => *external,
                Definition::Host(host) => {
                    let func = store.add_host(host.clone());
                    Extern::Func(Func::new_handle(&store.inner, func))
                }
            };
            let provided = external_type(store, external);
            if !matches(&import.ty, &provided) {
                return Err(incompatible(import.module, import.name, import.ty, provided).into());
            }
            imports.push(external);
        }
        let instance = instantiate(store, module, &imports)?;
        if let Some(start) = instance.start(store) {
            start.call(store, &[]).map_err(|error| match error {
                RunError::Trap(report) => InstantiateError::Trap(report),
                RunError::Exit(code) => InstantiateError::Exit(code),
                RunError::Call(CallError::Host(error)) => InstantiateError::Host(error),
                RunError::Call(CallError::Arguments { .. }) => {
                    unreachable!("validated: a start function takes nothing")
                }
            })?;
        }
        Ok(instance)
    }

    /// Resolves a module's imports once, for many instantiations. Only functions of the embedder's can be
    /// imported, because nothing else exists before there is a store.
    ///
    /// # Errors
    /// [`LinkError`] for the first import that is not provided or of another type.
    ///
    /// # Panics
    /// If the module is of another engine than the linker: a mistake of the embedder's.
    pub fn link(&self, module: &Module) -> Result<Linked<T>, LinkError> {
        self.assert_engine(module);
        let mut hosts = Vec::new();
        for import in module.imports() {
            match self.resolve(import.module, import.name, &import.ty)? {
                Definition::Host(host) => {
                    let provided = ExternType::Func(host.ty.clone());
                    if !matches(&import.ty, &provided) {
                        return Err(incompatible(import.module, import.name, import.ty, provided));
                    }
                    hosts.push(host.clone());
                }
                Definition::Extern(_) => return Err(unknown(import.module, import.name, &import.ty)),
            }
        }
        Ok(Linked(Arc::new(LinkedInner {
            module: module.clone(),
            hosts,
        })))
    }

    /// Types are compared by their numbers in the engine: those of another engine mean nothing here.
    fn assert_engine(&self, module: &Module) {
        assert!(
            self.engine.same(module.engine()),
            "a module is linked by a linker of its own engine"
        );
    }

    fn insert(&mut self, module: &str, name: &str, definition: Definition<T>) -> &mut Self {
        self.definitions
            .entry(module.to_owned())
            .or_default()
            .insert(name.to_owned(), definition);
        self
    }

    fn get(&self, module: &str, name: &str) -> Option<&Definition<T>> {
        self.definitions.get(module)?.get(name)
    }

    fn resolve(&self, module: &str, name: &str, ty: &ExternType) -> Result<&Definition<T>, LinkError> {
        self.get(module, name).ok_or_else(|| unknown(module, name, ty))
    }
}

impl<T> fmt::Debug for Linker<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Linker")
            .field("modules", &self.definitions.keys().collect::<Vec<_>>())
            .finish_non_exhaustive()
    }
}

fn unknown(module: &str, name: &str, ty: &ExternType) -> LinkError {
    LinkError::UnknownImport {
        module: module.to_owned(),
        name: name.to_owned(),
        ty: ty.clone(),
    }
}

fn external_type<T>(store: &Store<T>, external: Extern) -> ExternType {
    match external {
        Extern::Func(func) => ExternType::Func(func.ty(store)),
        Extern::Table(table) => ExternType::Table(table.ty(store)),
        Extern::Memory(memory) => ExternType::Memory(memory.ty(store)),
        Extern::Global(global) => ExternType::Global(global.ty(store)),
        Extern::Tag(tag) => ExternType::Tag(tag.ty(store)),
    }
}

/// A module whose imports are resolved. Cheap to clone, and shared by all shards.
pub struct Linked<T>(Arc<LinkedInner<T>>);

struct LinkedInner<T> {
    module: Module,
    hosts: Vec<Arc<HostFunc<T>>>,
}

impl<T> Linked<T> {
    /// The module.
    pub fn module(&self) -> &Module {
        &self.0.module
    }

    /// Makes an instance. Its start function, if [`Instance::start`] names one, has yet to be run.
    ///
    /// # Errors
    /// [`InstantiateError`] where limits are exceeded, the host has no room, or a segment does not fit.
    ///
    /// # Panics
    /// If the store is of another engine than the module: a mistake of the embedder's.
    pub fn instantiate(&self, store: &mut Store<T>) -> Result<Instance, InstantiateError> {
        let imports = self.imports(store);
        instantiate(store, &self.0.module, &imports)
    }

    /// Brings what is imported into a store.
    pub(crate) fn imports(&self, store: &mut Store<T>) -> Vec<Extern> {
        let mut imports = Vec::with_capacity(self.0.hosts.len());
        for host in &self.0.hosts {
            let func = store.add_host(host.clone());
            imports.push(Extern::Func(Func::new_handle(&store.inner, func)));
        }
        imports
    }
}

impl<T> Clone for Linked<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> fmt::Debug for Linked<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Linked")
            .field("module", &self.0.module)
            .finish_non_exhaustive()
    }
}

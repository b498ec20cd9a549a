//! Exceptions: what is thrown, and the exceptions to which guests hold references.
//!
//! Most exceptions never become objects: what is thrown is its tag and its payload, which go straight to the handler. Only
//! a handler that asks for a reference makes the store keep one, which then lives as long as it is referred to. A reference
//! is its slot, as ever: 0 for null, and otherwise the number of the object plus one, with the store's *generation* in the upper half.
//!
//! **Collection.** Objects are marked from what may refer to them and swept, whenever enough of them have come since the last
//! time that it pays. Slots carry no types, so marking is conservative (Boehm and Weiser, "Garbage collection in an
//! uncooperative environment", 1988): any word of the run's stack that could be a reference counts as one. Objects do
//! not move, so a number that is taken for a reference does no harm but to keep an object. Other stacks are not known
//! here: while more than one run of a store has begun and not ended, nothing is collected, and the limit
//! ([`Limits::exception_bytes`](crate::Limits::exception_bytes)) ends who goes on.

use crate::store::StoreInner;
use crate::trap::Trap;
use crate::types::ValType;
use std::sync::atomic::{AtomicBool, Ordering};

/// What is thrown.
#[derive(Debug)]
pub(crate) struct Thrown {
    /// The store's number of its tag.
    pub(crate) tag: u32,
    /// Slots of its payload.
    pub(crate) payload: Box<[u64]>,
    /// Its reference, where it has one already.
    reference: Option<u64>,
}

/// The exceptions that a store keeps.
#[derive(Debug, Default)]
pub(crate) struct Exceptions {
    /// By number; `None` where there is none any more.
    objects: Vec<Option<Object>>,
    /// Numbers that are free.
    free: Vec<u32>,
    /// Bytes that the objects take.
    bytes: usize,
    /// How many they may take before the next collection.
    threshold: usize,
    /// In the upper half of each reference. Stacks are not cleared, and collections look at all words of them: what runs of
    /// other stores have left there is not to keep objects, or who counts his could tell something of it.
    generation: u32,
}

#[derive(Debug)]
struct Object {
    tag: u32,
    payload: Box<[u64]>,
    marked: bool,
    /// Whether the embedder has seen it, and may keep it for as long as the store.
    kept: AtomicBool,
}

impl Object {
    fn bytes(&self) -> usize {
        size_of::<Option<Self>>() + self.payload.len() * size_of::<u64>()
    }
}

/// Bytes of objects below which nothing is collected.
const LEAST: usize = 64 << 10;

/// Words looked at for one unit of fuel.
const WORDS_PER_FUEL: usize = 8;

impl Thrown {
    /// What `throw` throws.
    pub(crate) fn new(tag: u32, payload: &[u64]) -> Self {
        Self {
            tag,
            payload: payload.into(),
            reference: None,
        }
    }

    /// What `throw_ref` throws.
    ///
    /// # Errors
    /// [`Trap::NullException`] where the reference is null.
    pub(crate) fn again(store: &StoreInner, reference: u64) -> Result<Self, Trap> {
        let object = store.exceptions.get(reference).ok_or(Trap::NullException)?;
        Ok(Self {
            tag: object.tag,
            payload: object.payload.clone(),
            reference: Some(reference),
        })
    }

    /// The slots that a handler takes, of which `stack` is all that the run has on its own; and what making the
    /// reference, if it is wanted, costs in fuel.
    ///
    /// # Errors
    /// [`Trap::TooManyExceptions`] where the store has no room for another object.
    pub(crate) fn caught(
        mut self,
        store: &mut StoreInner,
        stack: &[u64],
        (with_payload, with_ref): (bool, bool),
    ) -> Result<(Vec<u64>, i64), Trap> {
        let mut slots = Vec::new();
        if with_payload {
            slots.extend_from_slice(&self.payload);
        }
        let mut cost = slots.len() as i64;
        if with_ref {
            if self.reference.is_none() {
                let (reference, spent) = self.keep(store, stack)?;
                self.reference = Some(reference);
                cost += spent;
            }
            slots.extend(self.reference);
        }
        Ok((slots, cost))
    }

    /// Makes an object of it.
    fn keep(&mut self, store: &mut StoreInner, stack: &[u64]) -> Result<(u64, i64), Trap> {
        let object = Object {
            tag: self.tag,
            payload: std::mem::take(&mut self.payload),
            marked: false,
            kept: AtomicBool::new(false),
        };
        let (bytes, limit) = (object.bytes(), store.limits.exception_bytes);
        let mut cost = 0;
        if store.exceptions.bytes + bytes > store.exceptions.threshold.max(LEAST).min(limit)
            && store.runs == 1
        {
            let words = collect(store, &[stack, &object.payload]);
            cost = (words / WORDS_PER_FUEL) as i64;
            // As much may come as was looked at: a collection costs a constant for each object.
            let exceptions = &mut store.exceptions;
            exceptions.threshold = exceptions
                .bytes
                .saturating_mul(2)
                .saturating_add(words.max(LEAST));
        }
        let exceptions = &mut store.exceptions;
        if exceptions.bytes + bytes > limit {
            return Err(Trap::TooManyExceptions);
        }
        exceptions.bytes += bytes;
        let number = if let Some(number) = exceptions.free.pop() {
            exceptions.objects[number as usize] = Some(object);
            number
        } else {
            exceptions.objects.push(Some(object));
            // The limit is far below what 2^32 of them would take, or memory is.
            exceptions.objects.len() as u32 - 1
        };
        Ok((exceptions.reference(number), cost))
    }
}

impl Exceptions {
    /// None yet, whose references will be told from those of other generations.
    pub(crate) fn new(generation: u32) -> Self {
        Self {
            generation,
            ..Self::default()
        }
    }

    /// The reference to the object of this number.
    pub(crate) fn reference(&self, number: u32) -> u64 {
        u64::from(self.generation) << 32 | (u64::from(number) + 1)
    }

    /// The number of the object that a reference is to, whether it is still there or not.
    pub(crate) fn number(&self, reference: u64) -> Option<u32> {
        let ours = (reference >> 32) as u32 == self.generation;
        (reference as u32).checked_sub(1).filter(|_| ours)
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Frees all of them, whoever refers to them; those to come are of another generation.
    pub(crate) fn begin(&mut self, generation: u32) {
        if !self.objects.is_empty() {
            *self = Self::default();
        }
        self.generation = generation;
    }

    fn get(&self, reference: u64) -> Option<&Object> {
        self.objects.get(self.number(reference)? as usize)?.as_ref()
    }

    /// Lets an exception that the embedder gets to see stay for as long as the store.
    pub(crate) fn keep(&self, reference: u64) {
        if let Some(object) = self.get(reference) {
            object.kept.store(true, Ordering::Relaxed);
        }
    }

    /// Marks the exception that a word refers to, if it is a reference to one that is not marked yet.
    fn mark(&mut self, word: u64, marked: &mut Vec<u32>) {
        let Some(number) = self.number(word) else { return };
        if let Some(Some(object)) = self.objects.get_mut(number as usize)
            && !object.marked
        {
            object.marked = true;
            marked.push(number);
        }
    }

    /// Frees what is not marked.
    fn sweep(&mut self) {
        for (entry, number) in self.objects.iter_mut().zip(0..) {
            let Some(object) = entry else { continue };
            if !std::mem::take(&mut object.marked) {
                self.bytes -= object.bytes();
                *entry = None;
                self.free.push(number);
            }
        }
    }
}

/// Frees all exceptions that can be reached neither from `stacks` nor from what the store itself has. Gives how many words
/// were looked at.
fn collect(store: &mut StoreInner, stacks: &[&[u64]]) -> usize {
    let StoreInner {
        exceptions,
        tables,
        globals,
        instances,
        ..
    } = store;
    let mut marked = Vec::new();
    let mut words = exceptions.objects.len();
    let mut look_at = |exceptions: &mut Exceptions, slots: &[u64]| {
        words += slots.len();
        for &slot in slots {
            exceptions.mark(slot, &mut marked);
        }
    };
    for stack in stacks {
        look_at(exceptions, stack);
    }
    for table in tables
        .iter()
        .filter(|table| table.ty().element == ValType::ExnRef)
    {
        look_at(exceptions, table.elements());
    }
    for global in globals
        .iter()
        .filter(|global| global.ty.content == ValType::ExnRef)
    {
        look_at(exceptions, &global.slot);
    }
    for segment in instances.iter().flat_map(|instance| instance.elements.iter()) {
        look_at(exceptions, segment);
    }
    for number in 0..exceptions.objects.len() as u32 {
        let kept = |object: &Object| object.kept.load(Ordering::Relaxed);
        let reference = exceptions.reference(number);
        if exceptions.get(reference).is_some_and(kept) {
            exceptions.mark(reference, &mut marked);
        }
    }
    // A payload may refer to others.
    while let Some(number) = marked.pop() {
        let Some(object) = &mut exceptions.objects[number as usize] else {
            continue;
        };
        let payload = std::mem::take(&mut object.payload);
        words += payload.len();
        for &slot in &payload {
            exceptions.mark(slot, &mut marked);
        }
        if let Some(object) = &mut exceptions.objects[number as usize] {
            object.payload = payload;
        }
    }
    exceptions.sweep();
    words
}

/// Frees what a run has left behind, once no other is under way.
pub(crate) fn reclaim(store: &mut StoreInner) {
    if store.runs == 0 && store.exceptions.bytes > 0 {
        collect(store, &[]);
    }
}

#[cfg(test)]
mod tests {
    use crate::{Engine, Execution, Instance, Limits, Linker, Module, Step, Store, Trap, Value};

    const MODULE: &str = r#"(module
        (tag $e (param i64))
        (tag $chain (param exnref))
        (global $kept (mut exnref) (ref.null exn))
        (func $catch_ref (param i64) (result exnref) (local $e exnref)
          (block $h (result i64 exnref)
            (try_table (catch_ref $e $h) (throw $e (local.get 0)))
            (unreachable))
          (local.set $e) (drop) (local.get $e))
        (func (export "forget") (param $n i64)
          (loop $l
            (drop (call $catch_ref (local.get $n)))
            (br_if $l (i32.eqz (i64.eqz (local.tee $n (i64.sub (local.get $n) (i64.const 1))))))))
        (func (export "keep") (param i64) (global.set $kept (call $catch_ref (local.get 0))))
        (func (export "give") (param i64) (result exnref) (call $catch_ref (local.get 0)))
        (func (export "kept") (result i64)
          (block $h (result i64)
            (try_table (catch $e $h) (throw_ref (global.get $kept)))
            (unreachable)))
        (func (export "open") (param exnref) (result i64)
          (block $h (result i64)
            (try_table (catch $e $h) (throw_ref (local.get 0)))
            (unreachable)))
        (func (export "chain") (param $n i32) (local $e exnref)
          (loop $l
            (block $h (result exnref exnref)
              (try_table (catch_ref $chain $h) (throw $chain (local.get $e)))
              (unreachable))
            (local.set $e) (drop)
            (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"#;

    fn instance(exception_bytes: usize) -> (Store<()>, Instance) {
        let engine = Engine::default();
        let module = Module::new(&engine, &wat::parse_str(MODULE).expect("wat")).expect("module");
        let limits = Limits {
            exception_bytes,
            ..Limits::default()
        };
        let mut store = Store::new(&engine, &limits, ());
        let instance = Linker::new(&engine)
            .instantiate(&mut store, &module)
            .expect("instance");
        (store, instance)
    }

    fn call(
        store: &mut Store<()>,
        instance: Instance,
        name: &str,
        argument: Value,
    ) -> Result<Vec<Value>, Trap> {
        let func = instance.func(store, name).expect("export");
        func.call(store, &[argument]).map_err(|error| match error {
            crate::RunError::Trap(report) => report.trap,
            other => panic!("{other}"),
        })
    }

    #[test]
    fn what_nobody_refers_to_is_collected() {
        let (mut store, instance) = instance(128 << 10);
        assert_eq!(
            call(&mut store, instance, "forget", Value::I64(100_000)),
            Ok(vec![])
        );
        assert_eq!(store.inner.exceptions.bytes, 0);
        assert!(store.inner.exceptions.objects.len() < 4096);
    }

    #[test]
    fn what_is_referred_to_stays() {
        let (mut store, instance) = instance(128 << 10);
        call(&mut store, instance, "keep", Value::I64(7)).expect("no trap");
        call(&mut store, instance, "forget", Value::I64(10_000)).expect("no trap");
        let kept = instance.func(&store, "kept").expect("export");
        assert_eq!(kept.call(&mut store, &[]).expect("no trap"), [Value::I64(7)]);
    }

    #[test]
    fn the_embedder_may_keep_what_it_was_given() {
        let (mut store, instance) = instance(128 << 10);
        let given = call(&mut store, instance, "give", Value::I64(42)).expect("no trap");
        call(&mut store, instance, "forget", Value::I64(10_000)).expect("no trap");
        assert_eq!(
            call(&mut store, instance, "open", given[0]),
            Ok(vec![Value::I64(42)])
        );
        let null = call(&mut store, instance, "open", Value::ExnRef(None));
        assert_eq!(null, Err(Trap::NullException));
    }

    #[test]
    fn chains_of_exceptions_end_at_the_limit() {
        let (mut store, instance) = instance(128 << 10);
        assert_eq!(call(&mut store, instance, "chain", Value::I32(100)), Ok(vec![]));
        let endless = call(&mut store, instance, "chain", Value::I32(1_000_000));
        assert_eq!(endless, Err(Trap::TooManyExceptions));
        assert_eq!(store.inner.exceptions.bytes, 0);
    }

    #[test]
    fn nothing_is_collected_beside_another_run() {
        let (mut store, instance) = instance(128 << 10);
        let forget = instance.func(&store, "forget").expect("export");
        let mut other = Execution::new(&mut store, forget, &[Value::I64(10)]).expect("arguments");
        assert_eq!(other.resume(&mut store, 1), Step::Preempted);
        let both = call(&mut store, instance, "forget", Value::I64(100_000));
        assert_eq!(both, Err(Trap::TooManyExceptions));
    }
}

//! What generated code leaves to the runtime: operators on tables, and on memory in bulk.
//!
//! Operands lie in consecutive slots from `base` on. Bulk operators check their whole range first, as the
//! specification asks, and then work in pieces of [`PIECE`] bytes: after each piece the operands are rewritten to say what
//! is left, so that the same instruction can be taken up again after a preemption. No other operand of the
//! function lies in those slots, because the translator settles them there for this purpose.

use crate::operator::Libcall;
use crate::store::StoreInner;
use crate::table::bounds;
use crate::trap::Trap;
use crate::vm::linear::LinearMemory;

/// How far an operator has come.
pub(crate) enum Progress {
    /// To its end.
    Done,
    /// The operands say what is left.
    Partial,
}

impl Libcall {
    /// The operator whose number, by `as`, machine code leaves with.
    pub(crate) fn from_number(number: u32) -> Option<Self> {
        const ALL: [Libcall; 15] = [
            Libcall::MemorySize,
            Libcall::MemoryGrow,
            Libcall::MemoryFill,
            Libcall::MemoryCopy,
            Libcall::MemoryInit,
            Libcall::DataDrop,
            Libcall::TableGet,
            Libcall::TableSet,
            Libcall::TableSize,
            Libcall::TableGrow,
            Libcall::TableFill,
            Libcall::TableCopy,
            Libcall::TableInit,
            Libcall::ElemDrop,
            Libcall::RefFunc,
        ];
        let call = *ALL.get(number as usize)?;
        debug_assert_eq!(call as u32, number, "the list is in the order of the declaration");
        Some(call)
    }
}

/// Bytes that are moved between two looks at the fuel.
const PIECE: u64 = 64 << 10;

/// Bytes of a table's element.
const ELEMENT: u64 = 8;

/// Bytes of bulk work that cost one unit of fuel.
const BYTES_PER_FUEL: u64 = 16;

/// The slots that an operator may use, however few it needs.
pub(crate) const LIBCALL_SLOTS: usize = 3;

/// Carries out `call` for an instance, and takes what it costs off `fuel`. It stands in `slots`.
///
/// # Errors
/// The trap that the specification asks for.
pub(crate) fn perform_libcall(
    store: &mut StoreInner,
    instance: usize,
    slots: &mut [u64],
    fuel: &mut i64,
    call: Libcall,
    a: u32,
    b: u32,
) -> Result<Progress, Trap> {
    match call {
        Libcall::MemorySize => slots[0] = u64::from(store.memory_of(instance, a).pages()),
        Libcall::MemoryGrow => {
            let memory64 = store.memory_of(instance, a).ty().memory64;
            let before = delta(slots[0], memory64).and_then(|delta| store.grow_memory(instance, a, delta));
            slots[0] = before.map_or(failure(memory64), u64::from);
            // Committing pages is a system call.
            *fuel -= 1000;
        }
        Libcall::MemoryFill | Libcall::MemoryCopy | Libcall::MemoryInit => {
            let (done, moved) = memory_bulk(store, instance, call, slots, a, b)?;
            *fuel -= (moved / BYTES_PER_FUEL) as i64;
            return Ok(done);
        }
        Libcall::DataDrop => store.instances[instance].dropped_data[a as usize] = true,
        Libcall::ElemDrop => store.instances[instance].dropped_elements[a as usize] = true,
        Libcall::RefFunc => slots[0] = u64::from(store.instances[instance].funcs[a as usize]) + 1,
        Libcall::TableGet | Libcall::TableSet | Libcall::TableSize | Libcall::TableGrow => {
            *fuel -= table_single(store, instance, call, slots, a)?;
        }
        Libcall::TableFill | Libcall::TableCopy | Libcall::TableInit => {
            let (done, moved) = table_bulk(store, instance, call, slots, a, b)?;
            *fuel -= (moved * ELEMENT / BYTES_PER_FUEL) as i64;
            return Ok(done);
        }
    }
    Ok(Progress::Done)
}

/// By how much to grow; `None` where that is more than anything may have.
fn delta(slot: u64, wide: bool) -> Option<u32> {
    if wide {
        u32::try_from(slot).ok()
    } else {
        Some(slot as u32)
    }
}

/// What growing gives where it fails: -1 of the address type.
fn failure(wide: bool) -> u64 {
    if wide { u64::MAX } else { u64::from(u32::MAX) }
}

/// One piece of a bulk operator on memory, and how many bytes it moved.
fn memory_bulk(
    store: &mut StoreInner,
    instance: usize,
    call: Libcall,
    slots: &mut [u64],
    a: u32,
    b: u32,
) -> Result<(Progress, u64), Trap> {
    let (dst, src, len) = (slots[0], slots[1], slots[2]);
    let piece = len.min(PIECE);
    match call {
        Libcall::MemoryFill => {
            let memory = store.memory_of(instance, a).bytes_mut();
            let (start, _) = bounds(dst, len, memory.len()).ok_or(Trap::MemoryOutOfBounds)?;
            memory[start..start + piece as usize].fill(src as u8);
            slots[0] += piece;
        }
        Libcall::MemoryCopy if a != b => {
            if let Some([to, from]) = two_memories(store, instance, a, b) {
                let (source, _) = bounds(src, len, from.len()).ok_or(Trap::MemoryOutOfBounds)?;
                let (target, _) = bounds(dst, len, to.len()).ok_or(Trap::MemoryOutOfBounds)?;
                to[target..target + piece as usize].copy_from_slice(&from[source..source + piece as usize]);
                slots[0] += piece;
                slots[1] += piece;
            } else {
                // One memory by two numbers.
                return memory_bulk(store, instance, call, slots, a, a);
            }
        }
        Libcall::MemoryCopy => {
            let memory = store.memory_of(instance, a).bytes_mut();
            let (from, _) = bounds(src, len, memory.len()).ok_or(Trap::MemoryOutOfBounds)?;
            let (to, _) = bounds(dst, len, memory.len()).ok_or(Trap::MemoryOutOfBounds)?;
            if to <= from {
                memory.copy_within(from..from + piece as usize, to);
                slots[0] += piece;
                slots[1] += piece;
            } else {
                // The destination lies above: the last piece goes first, lest it be overwritten.
                let rest = (len - piece) as usize;
                memory.copy_within(from + rest..from + len as usize, to + rest);
            }
        }
        _ => {
            let module = store.instances[instance].module.clone();
            let dropped = store.instances[instance].dropped_data[b as usize];
            let data: &[u8] = if dropped { &[] } else { module.data_segment(b) };
            let memory = store.memory_of(instance, a).bytes_mut();
            let (from, _) = bounds(src, len, data.len()).ok_or(Trap::MemoryOutOfBounds)?;
            let (to, _) = bounds(dst, len, memory.len()).ok_or(Trap::MemoryOutOfBounds)?;
            memory[to..to + piece as usize].copy_from_slice(&data[from..from + piece as usize]);
            slots[0] += piece;
            slots[1] += piece;
        }
    }
    Ok((advance(slots, piece), piece))
}

/// Two memories of an instance; `None` where they are the same.
fn two_memories(store: &mut StoreInner, instance: usize, a: u32, b: u32) -> Option<[&mut [u8]; 2]> {
    let memories = &store.instances[instance].memories;
    let numbers = [memories[a as usize] as usize, memories[b as usize] as usize];
    let two = store.memories.get_disjoint_mut(numbers).ok()?;
    Some(two.map(LinearMemory::bytes_mut))
}

/// Takes a piece that is done off what is left to do.
fn advance(slots: &mut [u64], piece: u64) -> Progress {
    slots[2] -= piece;
    if slots[2] == 0 {
        Progress::Done
    } else {
        Progress::Partial
    }
}

/// Operators on single elements; gives their cost in fuel.
fn table_single(
    store: &mut StoreInner,
    instance: usize,
    call: Libcall,
    slots: &mut [u64],
    table: u32,
) -> Result<i64, Trap> {
    if call == Libcall::TableGrow {
        let table64 = store.table_of(instance, table).ty().table64;
        let (init, delta) = (slots[0], delta(slots[1], table64));
        let before = delta.and_then(|delta| store.grow_table(instance, table, delta, init));
        slots[0] = before.map_or(failure(table64), u64::from);
        let grown = before.and(delta).unwrap_or(0);
        return Ok(1 + (u64::from(grown) * ELEMENT / BYTES_PER_FUEL) as i64);
    }
    let table = store.table_of(instance, table);
    match call {
        Libcall::TableGet => slots[0] = table.get(slots[0]).ok_or(Trap::TableOutOfBounds)?,
        Libcall::TableSet => table.set(slots[0], slots[1])?,
        _ => slots[0] = u64::from(table.size()),
    }
    Ok(1)
}

/// One piece of an operator on a range of elements, and how many elements it moved.
fn table_bulk(
    store: &mut StoreInner,
    instance: usize,
    call: Libcall,
    slots: &mut [u64],
    a: u32,
    b: u32,
) -> Result<(Progress, u64), Trap> {
    let (dst, src, len) = (slots[0], slots[1], slots[2]);
    let piece = len.min(PIECE / ELEMENT);
    match call {
        Libcall::TableFill => {
            let range = store.table_of(instance, a).range_mut(dst, len)?;
            range[..piece as usize].fill(src);
            slots[0] += piece;
            return Ok((advance(slots, piece), piece));
        }
        Libcall::TableCopy => {
            let tables = &store.instances[instance].tables;
            let (to, from) = (tables[a as usize] as usize, tables[b as usize] as usize);
            if to == from {
                let table = &mut store.tables[to];
                table.range_mut(dst, len)?;
                table.range_mut(src, len)?;
                if dst > src {
                    // The destination lies above: the last piece goes first, lest it be overwritten.
                    let rest = len - piece;
                    table.copy_within(dst + rest, src + rest, piece)?;
                    return Ok((advance(slots, piece), piece));
                }
                table.copy_within(dst, src, piece)?;
            } else {
                let [to, from] = store
                    .tables
                    .get_disjoint_mut([to, from])
                    .expect("two tables of the store");
                let (to, from) = (to.range_mut(dst, len)?, from.range_mut(src, len)?);
                to[..piece as usize].copy_from_slice(&from[..piece as usize]);
            }
        }
        _ => store.init_table(instance, a, b, [dst, src, len], piece)?,
    }
    slots[0] += piece;
    slots[1] += piece;
    Ok((advance(slots, piece), piece))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_the_declaration() {
        let known = (0..u32::MAX).map_while(Libcall::from_number);
        assert!(known.zip(0..).all(|(call, number)| call as u32 == number));
        assert_eq!(
            Libcall::from_number(Libcall::RefFunc as u32),
            Some(Libcall::RefFunc)
        );
        assert_eq!(Libcall::from_number(Libcall::RefFunc as u32 + 1), None);
    }
}

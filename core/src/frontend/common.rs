//! A short way for the operators that nearly all code consists of.
//!
//! The decoder reads every operator with everything that its proposals may have added to it. Nine of ten operators are one of
//! fifty, in their plainest form: an opcode of one byte and immediates of one or two, three for a constant. These are told
//! apart here, by one jump, and go to the same visitor; whatever looks any different is the decoder's.

use super::sink::Sink;
use super::visitor::{Outcome, Visitor};
use wasmparser::{BlockType, MemArg, MemArgTarget, VisitOperator};

/// Bytes that an operator may have here.
const LONGEST: usize = 4;

/// Visits an operator with immediates of a kind, if they are in their usual form.
macro_rules! common {
    ($visitor:ident, $bytes:ident, plain, $visit:ident) => {{
        $visitor.length = 1;
        Some((1, $visitor.$visit()))
    }};
    ($visitor:ident, $bytes:ident, index, $visit:ident) => {{
        let (index, length) = index($bytes)?;
        $visitor.length = length;
        Some((length, $visitor.$visit(index)))
    }};
    ($visitor:ident, $bytes:ident, memory($max_align:literal), $visit:ident) => {{
        let (access, length) = access($bytes, $max_align)?;
        $visitor.length = length;
        Some((length, $visitor.$visit(access)))
    }};
    ($visitor:ident, $bytes:ident, block, $visit:ident) => {{
        if $bytes[1] != 0x40 {
            return None;
        }
        $visitor.length = 2;
        Some((2, $visitor.$visit(BlockType::Empty)))
    }};
    ($visitor:ident, $bytes:ident, i32, $visit:ident) => {{
        let (value, length) = signed($bytes)?;
        $visitor.length = length;
        Some((length, $visitor.$visit(value)))
    }};
    ($visitor:ident, $bytes:ident, i64, $visit:ident) => {{
        let (value, length) = signed($bytes)?;
        $visitor.length = length;
        Some((length, $visitor.$visit(i64::from(value))))
    }};
}

/// One jump for all of them.
macro_rules! dispatch {
    ($visitor:ident, $bytes:ident: $($opcode:literal $kind:ident $(($parameter:literal))? $visit:ident;)*) => {
        match $bytes[0] {
            $( $opcode => common!($visitor, $bytes, $kind $(($parameter))?, $visit), )*
            _ => None,
        }
    };
}

/// Visits the first of `operators` if it is a common one, and gives how many bytes it has; the function has not ended.
#[inline(always)]
pub(super) fn visit<S: Sink>(visitor: &mut Visitor<'_, S>, operators: &[u8]) -> Option<(usize, Outcome)> {
    // The last few operators of a function are the decoder's.
    let (&bytes, _) = operators.split_first_chunk::<LONGEST>()?;
    dispatch! { visitor, bytes:
        0x02 block visit_block; 0x03 block visit_loop; 0x04 block visit_if; 0x0b plain visit_end;
        0x0c index visit_br; 0x0d index visit_br_if; 0x0f plain visit_return; 0x10 index visit_call;
        0x1a plain visit_drop; 0x1b plain visit_select; 0x20 index visit_local_get; 0x21 index visit_local_set;
        0x22 index visit_local_tee; 0x23 index visit_global_get; 0x24 index visit_global_set;
        0x28 memory(2) visit_i32_load; 0x29 memory(3) visit_i64_load; 0x2b memory(3) visit_f64_load;
        0x2c memory(0) visit_i32_load8_s; 0x2d memory(0) visit_i32_load8_u; 0x2f memory(1) visit_i32_load16_u;
        0x36 memory(2) visit_i32_store; 0x37 memory(3) visit_i64_store; 0x39 memory(3) visit_f64_store;
        0x3a memory(0) visit_i32_store8; 0x3b memory(1) visit_i32_store16; 0x41 i32 visit_i32_const;
        0x42 i64 visit_i64_const; 0x45 plain visit_i32_eqz; 0x46 plain visit_i32_eq; 0x47 plain visit_i32_ne;
        0x48 plain visit_i32_lt_s; 0x49 plain visit_i32_lt_u; 0x4a plain visit_i32_gt_s;
        0x4b plain visit_i32_gt_u; 0x4c plain visit_i32_le_s; 0x4d plain visit_i32_le_u;
        0x4e plain visit_i32_ge_s; 0x4f plain visit_i32_ge_u; 0x50 plain visit_i64_eqz;
        0x51 plain visit_i64_eq; 0x52 plain visit_i64_ne; 0x6a plain visit_i32_add; 0x6b plain visit_i32_sub;
        0x6c plain visit_i32_mul; 0x71 plain visit_i32_and; 0x72 plain visit_i32_or; 0x73 plain visit_i32_xor;
        0x74 plain visit_i32_shl; 0x75 plain visit_i32_shr_s; 0x76 plain visit_i32_shr_u;
        0x7c plain visit_i64_add; 0x7d plain visit_i64_sub; 0x83 plain visit_i64_and; 0x84 plain visit_i64_or;
        0x85 plain visit_i64_xor; 0xa7 plain visit_i32_wrap_i64; 0xad plain visit_i64_extend_i32_u;
    }
}

/// An unsigned number of one byte or two, and the length of its operator.
#[inline(always)]
fn index([_, a, b, _]: [u8; LONGEST]) -> Option<(u32, usize)> {
    match (a < 0x80, b < 0x80) {
        (true, _) => Some((u32::from(a), 2)),
        (false, true) => Some((u32::from(a & 0x7f) | u32::from(b) << 7, 3)),
        (false, false) => None,
    }
}

/// A signed number of one byte to three, and the length of its operator.
#[inline(always)]
fn signed([_, a, b, c]: [u8; LONGEST]) -> Option<(i32, usize)> {
    let low = i32::from(a & 0x7f);
    if a < 0x80 {
        return Some((low << 25 >> 25, 2));
    }
    let low = low | i32::from(b & 0x7f) << 7;
    if b < 0x80 {
        return Some((low << 18 >> 18, 3));
    }
    let low = low | i32::from(c & 0x7f) << 14;
    (c < 0x80).then_some((low << 11 >> 11, 4))
}

/// An access to memory 0 with an offset of one byte or two, and the length of its operator.
#[inline(always)]
fn access([_, align, a, b]: [u8; LONGEST], max_align: u8) -> Option<(MemArg, usize)> {
    let (offset, length) = match (a < 0x80, b < 0x80) {
        (true, _) => (u64::from(a), 3),
        (false, true) => (u64::from(a & 0x7f) | u64::from(b) << 7, 4),
        (false, false) => return None,
    };
    // Higher bits are others' flags.
    if align > 3 {
        return None;
    }
    let access = MemArg {
        align,
        max_align,
        offset,
        target: MemArgTarget::Memory(0),
        ordering: None,
    };
    Some((access, length))
}

#[cfg(test)]
mod tests {
    use super::{access, index, signed};
    use wasmparser::BinaryReader;

    /// All numbers that are read here are what the decoder reads.
    #[test]
    fn numbers_are_the_decoders() {
        let edges = [0x00, 0x01, 0x3f, 0x40, 0x7f, 0x80, 0x81, 0xbf, 0xc0, 0xff];
        let mut read = 0;
        for a in edges {
            for (b, c) in edges.iter().flat_map(|&b| edges.map(|c| (b, c))) {
                let bytes = [0x41, a, b, c];
                let reader = || BinaryReader::new(&bytes[1..], 0);
                if let Some((value, length)) = index(bytes) {
                    let mut reader = reader();
                    assert_eq!(reader.read_var_u32().expect("a number"), value);
                    assert_eq!(reader.current_position() + 1, length);
                    read += 1;
                }
                if let Some((value, length)) = signed(bytes) {
                    let mut reader = reader();
                    assert_eq!(reader.read_var_i32().expect("a number"), value);
                    assert_eq!(reader.current_position() + 1, length);
                    read += 1;
                }
                if let Some((access, length)) = access(bytes, 2) {
                    let mut reader = reader();
                    assert_eq!(reader.read_u8().expect("a byte"), access.align);
                    assert_eq!(reader.read_var_u64().expect("a number"), access.offset);
                    assert_eq!(reader.current_position() + 1, length);
                    read += 1;
                }
            }
        }
        assert!(read > 1500, "{read}");
    }
}

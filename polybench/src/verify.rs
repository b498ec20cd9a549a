//! Whether a result is right, bit for bit, and if not, where it first is not.
//!
//! A dump is a kernel's live-out arrays, one after the other, as they lie in memory. Every build and every engine has to give the same
//! bytes, because neither compiler nor engine may change the order of floating-point operations. The message names array and
//! element: that is where the search for the bug begins.

use std::fmt;

use serde::Serialize;

use crate::contender::Checksum;
use crate::suite::{Kernel, Size};

/// How a dump differs from what it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Difference {
    /// It is longer or shorter.
    Length {
        /// Bytes that it must have.
        expected: u64,
        /// Bytes that it has.
        found: u64,
    },
    /// An element has another value.
    Element {
        /// The array's name in the kernel's definition.
        array: &'static str,
        /// Where in it, outermost index first.
        index: Vec<u64>,
        /// The value that it must have.
        expected: String,
        /// The value that it has.
        found: String,
        /// How many elements of all arrays differ.
        wrong: u64,
    },
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { expected, found } => {
                write!(f, "its results have {found} bytes, and must have {expected}")
            }
            Self::Element {
                array,
                index,
                expected,
                found,
                wrong,
            } => {
                write!(f, "{array}")?;
                for index in index {
                    write!(f, "[{index}]")?;
                }
                write!(f, " is {found}, and must be {expected} ({wrong} elements differ)")
            }
        }
    }
}

/// Bytes that the dump of a kernel must have.
pub fn dump_bytes(kernel: &Kernel, size: Size) -> u64 {
    let dimensions = kernel.dimensions(size);
    kernel.outputs.iter().map(|output| output.bytes(dimensions)).sum()
}

/// The checksum of a dump's bytes, by the rule of `hash_outputs` in `kernels/polybench.h`.
///
/// Guests compute theirs themselves. That it is this one shows that dump and checksum are of the same arrays, and that the checksums
/// of the timed runs mean something.
pub fn checksum(kernel: &Kernel, size: Size, dump: &[u8]) -> Checksum {
    let dimensions = kernel.dimensions(size);
    let mut sum = 0xcbf2_9ce4_8422_2325_u64;
    let mut rest = dump;
    for output in kernel.outputs {
        let bytes = usize::try_from(output.bytes(dimensions)).unwrap_or(usize::MAX);
        let array;
        (array, rest) = rest.split_at(bytes.min(rest.len()));
        for chunk in array.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            sum = (sum ^ u64::from_le_bytes(word)).wrapping_mul(0x0100_0000_01b3);
            sum ^= sum >> 29;
        }
    }
    Checksum(sum)
}

/// The first element in which `found` is not `expected`, if any.
pub fn difference(kernel: &Kernel, size: Size, expected: &[u8], found: &[u8]) -> Option<Difference> {
    let bytes = dump_bytes(kernel, size);
    for dump in [expected, found] {
        if dump.len() as u64 != bytes {
            return Some(Difference::Length {
                expected: bytes,
                found: dump.len() as u64,
            });
        }
    }
    if expected == found {
        return None;
    }
    let dimensions = kernel.dimensions(size);
    let mut first = None;
    let mut count = 0;
    let [mut expected, mut found] = [expected, found];
    for output in kernel.outputs {
        let bytes = usize::try_from(output.bytes(dimensions)).expect("as long as a slice");
        let (array, array_found);
        (array, expected) = expected.split_at(bytes);
        (array_found, found) = found.split_at(bytes);
        let width = output.element.bytes();
        let pairs = array.chunks_exact(width).zip(array_found.chunks_exact(width));
        for (position, (expected, found)) in pairs.enumerate() {
            if expected == found {
                continue;
            }
            count += 1;
            first.get_or_insert_with(|| {
                let index = indices(position as u64, &output.extents(dimensions));
                let element = output.element;
                (output.name, index, element.show(expected), element.show(found))
            });
        }
    }
    first.map(|(array, index, expected, found)| Difference::Element {
        array,
        index,
        expected,
        found,
        wrong: count,
    })
}

/// The indices of the element at a position of an array in row-major order.
fn indices(mut position: u64, extents: &[u64]) -> Vec<u64> {
    let mut indices: Vec<_> = extents
        .iter()
        .rev()
        .map(|extent| {
            let index = position % extent;
            position /= extent;
            index
        })
        .collect();
    indices.reverse();
    indices
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_wrong_element_is_named() {
        let kernel = Kernel::named("gemm").expect("listed");
        let [rows, columns] = [20, 25];
        let right: Vec<u8> = (0..rows * columns)
            .flat_map(|number| f64::from(number).to_le_bytes())
            .collect();
        assert_eq!(difference(kernel, Size::Mini, &right, &right), None);
        let mut wrong = right.clone();
        for element in [3 * columns + 7, 9 * columns] {
            let at = usize::try_from(element).expect("small") * 8;
            wrong[at..at + 8].copy_from_slice(&0.5_f64.to_le_bytes());
        }
        let found = difference(kernel, Size::Mini, &right, &wrong).expect("a difference");
        assert_eq!(
            found.to_string(),
            "C[3][7] is 0.5 (0x3fe0000000000000), and must be 82.0 (0x4054800000000000) (2 elements differ)"
        );
    }

    #[test]
    fn the_sign_of_zero_is_a_difference() {
        let kernel = Kernel::named("gemm").expect("listed");
        let right = vec![0; 20 * 25 * 8];
        let mut wrong = right.clone();
        wrong[20 * 25 * 8 - 1] = 0x80;
        let found = difference(kernel, Size::Mini, &right, &wrong).expect("a difference");
        assert!(found.to_string().starts_with("C[19][24] is -0.0"), "{found}");
    }

    #[test]
    fn a_dump_of_another_length_is_wrong() {
        let kernel = Kernel::named("gemm").expect("listed");
        let expected = vec![0; 20 * 25 * 8];
        let found = difference(kernel, Size::Mini, &expected, &expected[8..]).expect("a difference");
        assert_eq!(
            found.to_string(),
            "its results have 3992 bytes, and must have 4000"
        );
    }

    #[test]
    fn every_byte_of_a_dump_counts_in_its_checksum() {
        let kernel = Kernel::named("bicg").expect("listed");
        let dump = vec![0; (38 + 42) * 8];
        let right = checksum(kernel, Size::Mini, &dump);
        for at in [0, 38 * 8 - 1, 38 * 8, dump.len() - 1] {
            let mut wrong = dump.clone();
            wrong[at] = 1;
            assert_ne!(checksum(kernel, Size::Mini, &wrong), right, "{at}");
        }
        assert_ne!(checksum(kernel, Size::Mini, &[]), right);
    }

    #[test]
    fn positions_are_taken_apart_from_the_innermost_index() {
        assert_eq!(indices(23, &[2, 3, 4]), [1, 2, 3]);
        assert_eq!(indices(0, &[5]), [0]);
    }
}

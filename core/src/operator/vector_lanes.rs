//! Vectors as bytes, and the shapes that carry a scalar function to their lanes.
//!
//! A vector is 16 bytes, lane 0 first, each lane little-endian. Nearly every vector operator is a scalar function on lanes, so
//! four shapes carry nearly all of them:
//!
//! ```text
//!   map(a, f)     out[i] = f(a[i])                  as many lanes as the wider type has: a function to a wider type takes
//!   zip(a, b, f)  out[i] = f(a[i], b[i])            the low half, one to a narrower type leaves the high half zero
//!   pairs(a, f)   out[i] = f(a[2i], a[2i + 1])
//!   narrow(a, b)  the lanes of a, then those of b, saturated
//! ```
//!
//! What takes a high half moves it down first, with [`high`]. The shapes are loops of known length over bytes *in memory*: a lane
//! is then a load of its own type, and the compiler makes one vector instruction of the loop where there is one. Of
//! a number of 128 bits it would shift lanes out one by one.

/// A vector: its bytes, in the order that memory has them.
pub(crate) type Bytes = [u8; 16];

/// A type that a lane may have.
pub(super) trait Lane: Copy {
    /// Its size.
    const BYTES: usize;
    /// An integer as wide.
    type Mask: Lane;
    /// Reads one from exactly so many bytes.
    fn read(bytes: &[u8]) -> Self;
    fn write(self, bytes: &mut [u8]);
    /// All bits set, or none.
    fn mask(holds: bool) -> Self::Mask;
}

macro_rules! lane {
    ($($ty:ty: $mask:ty;)*) => {$(
        impl Lane for $ty {
            const BYTES: usize = size_of::<$ty>();
            type Mask = $mask;
            #[inline(always)]
            fn read(bytes: &[u8]) -> Self {
                Self::from_le_bytes(bytes.try_into().expect("a lane's bytes"))
            }
            #[inline(always)]
            fn write(self, bytes: &mut [u8]) {
                bytes.copy_from_slice(&self.to_le_bytes());
            }
            #[inline(always)]
            fn mask(holds: bool) -> $mask {
                -<$mask>::from(holds)
            }
        }
    )*};
}
lane! {
    i8: i8; u8: i8; i16: i16; u16: i16; i32: i32; u32: i32; i64: i64; u64: i64; f32: i32; f64: i64;
}

#[inline(always)]
pub(super) fn map<T: Lane, U: Lane>(a: &Bytes, f: impl Fn(T) -> U) -> Bytes {
    let mut out = [0; 16];
    for (from, to) in a.chunks_exact(T::BYTES).zip(out.chunks_exact_mut(U::BYTES)) {
        f(T::read(from)).write(to);
    }
    out
}

#[inline(always)]
pub(super) fn zip<T: Lane, U: Lane>(a: &Bytes, b: &Bytes, f: impl Fn(T, T) -> U) -> Bytes {
    let mut out = [0; 16];
    let lanes = a.chunks_exact(T::BYTES).zip(b.chunks_exact(T::BYTES));
    for ((a, b), to) in lanes.zip(out.chunks_exact_mut(U::BYTES)) {
        f(T::read(a), T::read(b)).write(to);
    }
    out
}

#[inline(always)]
pub(super) fn zip3<T: Lane>(a: &Bytes, b: &Bytes, c: &Bytes, f: impl Fn(T, T, T) -> T) -> Bytes {
    let mut out = [0; 16];
    let lanes = a
        .chunks_exact(T::BYTES)
        .zip(b.chunks_exact(T::BYTES))
        .zip(c.chunks_exact(T::BYTES));
    for (((a, b), c), to) in lanes.zip(out.chunks_exact_mut(T::BYTES)) {
        f(T::read(a), T::read(b), T::read(c)).write(to);
    }
    out
}

#[inline(always)]
pub(super) fn pairs<T: Lane, U: Lane>(a: &Bytes, f: impl Fn(T, T) -> U) -> Bytes {
    let mut out = [0; 16];
    for (pair, to) in a.chunks_exact(2 * T::BYTES).zip(out.chunks_exact_mut(U::BYTES)) {
        let (even, odd) = pair.split_at(T::BYTES);
        f(T::read(even), T::read(odd)).write(to);
    }
    out
}

/// `f` saturates a lane to half its width.
#[inline(always)]
pub(super) fn narrow<T: Lane, U: Lane>(a: &Bytes, b: &Bytes, f: impl Fn(T) -> U) -> Bytes {
    let mut out = [0; 16];
    let lanes = a.chunks_exact(T::BYTES).chain(b.chunks_exact(T::BYTES));
    for (from, to) in lanes.zip(out.chunks_exact_mut(U::BYTES)) {
        f(T::read(from)).write(to);
    }
    out
}

/// All bits of a lane set where `f` holds, else none.
#[inline(always)]
pub(super) fn compare<T: Lane>(a: &Bytes, b: &Bytes, f: impl Fn(&T, &T) -> bool) -> Bytes {
    zip(a, b, |x: T, y: T| T::mask(f(&x, &y)))
}

#[inline(always)]
pub(super) fn splat<T: Lane>(value: T) -> Bytes {
    map(&[0; 16], |_: T| value)
}

/// The low half of `a`, and the low half of `b` above it.
#[inline(always)]
pub(super) fn halves(a: &Bytes, b: &Bytes) -> Bytes {
    let mut out = *a;
    out[8..].copy_from_slice(&b[..8]);
    out
}

/// The high half in the place of the low one; zeros above.
#[inline(always)]
pub(super) fn high(a: &Bytes) -> Bytes {
    let mut out = [0; 16];
    out[..8].copy_from_slice(&a[8..]);
    out
}

/// Looks at all lanes, so that there is nothing to branch on.
#[inline(always)]
pub(super) fn all_true<T: Lane + PartialEq + From<bool>>(a: &Bytes) -> u32 {
    let lanes = a.chunks_exact(T::BYTES);
    u32::from(lanes.fold(true, |all, lane| all & (T::read(lane) != T::from(false))))
}

/// The sign bits of lanes of `width` bytes, the first lowest.
#[inline(always)]
pub(super) fn bitmask(a: &Bytes, width: usize) -> u32 {
    let signs = a.chunks_exact(width).map(|lane| lane[width - 1] >> 7);
    signs
        .zip(0..)
        .fold(0, |mask, (sign, i)| mask | u32::from(sign) << i)
}

/// The sign bits of 16 lanes: the product moves those of eight bytes to its highest byte, the first lowest, and no two
/// terms of it meet.
#[inline(always)]
pub(super) fn bitmask_of_bytes(a: &Bytes) -> u32 {
    let [low, high] = [0, 8].map(|from| {
        let signs = u64::read(&a[from..from + 8]) >> 7 & 0x0101_0101_0101_0101;
        (signs.wrapping_mul(0x0102_0408_1020_4080) >> 56) as u32
    });
    low | high << 8
}

/// Lane `lane` of so many bytes, zero-extended. The number is taken modulo that of lanes.
#[inline(always)]
pub(super) fn lane<const BYTES: usize>(a: &Bytes, lane: u8) -> u64 {
    let first = usize::from(lane) * BYTES % 16;
    let mut bits = [0; 8];
    bits[..BYTES].copy_from_slice(&a[first..first + BYTES]);
    u64::from_le_bytes(bits)
}

/// The vector with a lane replaced by the low bytes of `bits`.
#[inline(always)]
pub(super) fn with_lane<const BYTES: usize>(a: &Bytes, lane: u8, bits: u64) -> Bytes {
    let first = usize::from(lane) * BYTES % 16;
    let mut out = *a;
    out[first..first + BYTES].copy_from_slice(&bits.to_le_bytes()[..BYTES]);
    out
}

//! Registers, places and conditions.

/// A general or vector register, by one number: 0-15 are general, 16-31 vector ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Reg(u8);

impl Reg {
    pub(crate) const RAX: Self = Self(0);
    pub(crate) const RCX: Self = Self(1);
    pub(crate) const RDX: Self = Self(2);
    pub(crate) const RSP: Self = Self(4);
    pub(crate) const RBP: Self = Self(5);
    pub(crate) const RDI: Self = Self(7);
    /// Base of memory 0.
    pub(crate) const MEMORY: Self = Self(14);
    /// The instance's context.
    pub(crate) const VMCTX: Self = Self(15);

    /// General register `number`.
    pub(crate) const fn gpr(number: u8) -> Self {
        assert!(number < 16);
        Self(number)
    }

    /// Vector register `number`.
    pub(crate) const fn xmm(number: u8) -> Self {
        assert!(number < 16);
        Self(number + 16)
    }

    /// Whether it is a vector register.
    #[inline]
    pub(crate) fn is_xmm(self) -> bool {
        self.0 >= 16
    }

    /// Whether both are the same, for constants' sake.
    pub(crate) const fn same_as(self, other: Self) -> bool {
        self.0 == other.0
    }

    /// Its number as instructions encode it, 0-15.
    #[inline]
    pub(crate) fn number(self) -> u8 {
        self.0 & 15
    }

    /// Whether its lowest byte needs a REX prefix, even an empty one: without it, its number means `ah`, `ch`, `dh` or `bh`.
    #[inline]
    pub(crate) fn is_byte_with_rex(self) -> bool {
        (4..8).contains(&self.0)
    }

    /// Its number among all registers, 0-31.
    #[inline]
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }

    /// The register of an [`index`](Self::index).
    #[inline]
    pub(crate) fn from_index(index: usize) -> Self {
        debug_assert!(index < 32);
        Self(index as u8)
    }
}

/// A register's number, which is what `dynasm` asks of a register that is chosen at run time.
impl From<Reg> for u8 {
    #[inline]
    fn from(reg: Reg) -> Self {
        reg.number()
    }
}

/// Never holds a value from one operator to the next: each `emit` may use it.
pub(crate) const SCRATCH: Reg = Reg::RAX;
/// A second one.
pub(crate) const SCRATCH2: Reg = Reg(11);
/// Likewise of the vector registers.
pub(crate) const VSCRATCH: Reg = Reg::xmm(15);
/// A second one.
pub(crate) const VSCRATCH2: Reg = Reg::xmm(14);

/// A place in memory: `base + index + disp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mem {
    /// A general register.
    pub(crate) base: Reg,
    /// A general register other than `rsp`.
    pub(crate) index: Option<Reg>,
    /// Bytes.
    pub(crate) disp: i32,
}

impl Mem {
    /// `base + disp`.
    pub(crate) const fn new(base: Reg, disp: i32) -> Self {
        Self {
            base,
            index: None,
            disp,
        }
    }

    /// `base + index + disp`.
    pub(crate) const fn indexed(base: Reg, index: Reg, disp: i32) -> Self {
        Self {
            base,
            index: Some(index),
            disp,
        }
    }
}

impl Mem {
    /// Whether its address depends on `reg`.
    pub(crate) fn mentions(self, reg: Reg) -> bool {
        self.base == reg || self.index == Some(reg)
    }

    /// The same place, by an address in which `to` stands for `from`.
    pub(crate) fn renamed(self, from: Reg, to: Reg) -> Self {
        let rename = |reg| if reg == from { to } else { reg };
        Self {
            base: rename(self.base),
            index: self.index.map(rename),
            disp: self.disp,
        }
    }
}

/// A second operand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rhs {
    /// In a register of the operator's kind.
    Reg(Reg),
    /// In memory, of exactly the operand's width.
    Mem(Mem),
    /// A constant, for integer operators: the slot's bits, any value of the type (an `i32` is zero-extended).
    Imm(u64),
}

impl Rhs {
    /// Whether its value depends on `reg`.
    pub(crate) fn mentions(self, reg: Reg) -> bool {
        match self {
            Self::Reg(own) => own == reg,
            Self::Mem(mem) => mem.mentions(reg),
            Self::Imm(_) => false,
        }
    }

    /// The same operand, with `to` standing for `from`.
    pub(crate) fn renamed(self, from: Reg, to: Reg) -> Self {
        match self {
            Self::Reg(own) if own == from => Self::Reg(to),
            Self::Mem(mem) => Self::Mem(mem.renamed(from, to)),
            other => other,
        }
    }
}

/// What a flag-setting instruction has found: a condition code, and for floats what the parity flag says beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Condition {
    code: u8,
    parity: Parity,
}

/// What unordered operands, which set the parity flag, make of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parity {
    /// The code says all.
    Ignored,
    /// It holds if the code does and the operands are ordered.
    AndOrdered,
    /// It holds if the code does or the operands are unordered.
    OrUnordered,
}

impl Condition {
    pub(crate) const OVERFLOW: Self = Self::of(0x0);
    pub(crate) const BELOW: Self = Self::of(0x2);
    pub(crate) const ABOVE_EQUAL: Self = Self::of(0x3);
    pub(crate) const EQUAL: Self = Self::of(0x4);
    pub(crate) const NOT_EQUAL: Self = Self::of(0x5);
    pub(crate) const BELOW_EQUAL: Self = Self::of(0x6);
    pub(crate) const ABOVE: Self = Self::of(0x7);
    pub(crate) const SIGN: Self = Self::of(0x8);
    pub(crate) const NOT_SIGN: Self = Self::of(0x9);
    pub(crate) const PARITY: Self = Self::of(0xa);
    pub(crate) const NOT_PARITY: Self = Self::of(0xb);
    pub(crate) const LESS: Self = Self::of(0xc);
    pub(crate) const GREATER_EQUAL: Self = Self::of(0xd);
    pub(crate) const LESS_EQUAL: Self = Self::of(0xe);
    pub(crate) const GREATER: Self = Self::of(0xf);
    /// Floats are equal, and thereby ordered.
    pub(crate) const FLOAT_EQUAL: Self = Self {
        code: 0x4,
        parity: Parity::AndOrdered,
    };
    /// Floats are not equal, or unordered.
    pub(crate) const FLOAT_NOT_EQUAL: Self = Self {
        code: 0x5,
        parity: Parity::OrUnordered,
    };

    const fn of(code: u8) -> Self {
        Self {
            code,
            parity: Parity::Ignored,
        }
    }

    /// All of it as a number.
    #[inline]
    pub(crate) fn to_bits(self) -> u16 {
        u16::from(self.code) | (self.parity as u16) << 8
    }

    /// The condition of [`to_bits`](Self::to_bits).
    #[inline]
    pub(crate) fn from_bits(bits: u16) -> Self {
        Self {
            code: bits as u8,
            parity: match bits >> 8 {
                0 => Parity::Ignored,
                1 => Parity::AndOrdered,
                _ => Parity::OrUnordered,
            },
        }
    }

    /// The condition code, as `jcc`, `setcc` and `cmovcc` encode it.
    pub(crate) fn code(self) -> u8 {
        self.code
    }

    /// What parity says.
    pub(crate) fn parity(self) -> Parity {
        self.parity
    }

    /// The condition that holds exactly when this one does not.
    pub(crate) fn negated(self) -> Self {
        Self {
            code: self.code ^ 1,
            parity: match self.parity {
                Parity::Ignored => Parity::Ignored,
                Parity::AndOrdered => Parity::OrUnordered,
                Parity::OrUnordered => Parity::AndOrdered,
            },
        }
    }
}

//! Programs as trees, before they are bytes: what the generator makes and the reducer cuts down.
//!
//! Every tree encodes to a valid module: a branch to a label that is not around it any more is left out.

use super::operators::{Access, LaneAccess, Operator, Ty};

/// A branch target, by a number of its own in its function.
pub(crate) type Label = u32;

/// Where an access goes: the memory, its static offset, and its stated alignment.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place {
    pub(crate) memory: u32,
    pub(crate) offset: u64,
    pub(crate) align: u32,
}

/// Something that gives one value.
#[derive(Debug, Clone)]
pub(crate) enum Expr {
    Const(Ty, u128),
    Get(Ty, u32),
    Tee(Ty, u32, Box<Expr>),
    Global(Ty, u32),
    Op(&'static Operator, Vec<Expr>),
    Shuffle([u8; 16], Box<[Expr; 2]>),
    Load(&'static Access, Place, Box<Expr>),
    LoadLane(&'static LaneAccess, u8, Place, Box<[Expr; 2]>),
    /// Condition last.
    Select(Ty, Box<[Expr; 3]>),
    /// NaNs, whose bits are open, made one: of a float, or in the lanes of a vector, whose type is the second.
    Canon(Ty, Ty, Box<Expr>),
    If(Ty, Box<Expr>, Box<[Arm; 2]>),
    Block(Ty, Label, Box<Arm>),
    /// A function with one result.
    Call(Ty, u32, Vec<Expr>),
    /// The same through the table; the last expression is the index, the number that of a function of the type.
    CallIndirect(Ty, u32, Vec<Expr>, Box<Expr>),
    MemorySize(u32),
    MemoryGrow(u32, Box<Expr>),
}

/// Statements with a value behind them.
#[derive(Debug, Clone)]
pub(crate) struct Arm {
    pub(crate) body: Vec<Stmt>,
    pub(crate) value: Expr,
}

/// Something that gives nothing.
#[derive(Debug, Clone)]
pub(crate) enum Stmt {
    Set(u32, Expr),
    GlobalSet(u32, Expr),
    Store(&'static Access, Place, [Expr; 2]),
    StoreLane(&'static LaneAccess, u8, Place, [Expr; 2]),
    Drop(Expr),
    If(Expr, Vec<Stmt>, Vec<Stmt>),
    Block(Label, Vec<Stmt>),
    Loop(Loop),
    Br(Label),
    BrIf(Label, Expr),
    /// Leaves a block expression with a value if the second expression says so.
    BrValue(Label, [Expr; 2]),
    BrTable(Vec<Label>, Expr),
    Return(Vec<Expr>),
    /// As `Return`, by a call of a function with the same results.
    ReturnCall(u32, Vec<Expr>),
    Many(Box<Many>),
    /// The results go to these locals.
    Call(u32, Vec<Expr>, Vec<u32>),
    Fill(u32, Box<[Expr; 3]>),
    Copy(u32, Box<[Expr; 3]>),
    Unreachable,
}

/// A loop that runs so many times at most.
#[derive(Debug, Clone)]
pub(crate) struct Loop {
    /// A local that nothing else writes.
    pub(crate) counter: u32,
    pub(crate) trips: u32,
    /// Where it is tested at its head, the labels of the next turn and of its end; a loop that is tested at its end has none.
    pub(crate) labels: Option<(Label, Label)>,
    pub(crate) body: Vec<Stmt>,
}

/// A construct that takes several values, which go to locals, and gives several, which do as well.
#[derive(Debug, Clone)]
pub(crate) struct Many {
    pub(crate) shape: Shape,
    pub(crate) types: Vec<Ty>,
    pub(crate) inputs: Vec<Expr>,
    pub(crate) into: Vec<u32>,
    pub(crate) body: Vec<Stmt>,
    pub(crate) outputs: Vec<Expr>,
    /// Ends the construct early, carrying the outputs.
    pub(crate) leave: Option<Expr>,
    pub(crate) results: Vec<u32>,
}

/// What kind of construct.
#[derive(Debug, Clone)]
pub(crate) enum Shape {
    Block,
    If(Expr),
    /// Counter and trips.
    Loop(u32, u32),
}

/// A function.
#[derive(Debug, Clone)]
pub(crate) struct Func {
    pub(crate) params: Vec<Ty>,
    pub(crate) results: Vec<Ty>,
    /// Parameters first.
    pub(crate) locals: Vec<Ty>,
    pub(crate) body: Vec<Stmt>,
    pub(crate) values: Vec<Expr>,
}

/// A whole program.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) funcs: Vec<Func>,
    pub(crate) globals: Vec<(Ty, u128)>,
    pub(crate) memories: u32,
    pub(crate) data: Vec<u8>,
}

impl Expr {
    /// The type of the value.
    pub(crate) fn ty(&self) -> Ty {
        match self {
            Self::Const(ty, _)
            | Self::Get(ty, _)
            | Self::Tee(ty, ..)
            | Self::Global(ty, _)
            | Self::Select(ty, _)
            | Self::Canon(ty, ..)
            | Self::If(ty, ..)
            | Self::Block(ty, ..)
            | Self::Call(ty, ..)
            | Self::CallIndirect(ty, ..) => *ty,
            Self::Op(op, _) => op.result,
            Self::Load(access, ..) => access.ty,
            Self::Shuffle(..) | Self::LoadLane(..) => Ty::V128,
            Self::MemorySize(_) | Self::MemoryGrow(..) => Ty::I32,
        }
    }

    /// The expressions directly inside.
    pub(crate) fn children(&mut self) -> Vec<&mut Expr> {
        match self {
            Self::Const(..) | Self::Get(..) | Self::Global(..) | Self::MemorySize(_) => Vec::new(),
            Self::Tee(_, _, inner)
            | Self::Load(_, _, inner)
            | Self::Canon(_, _, inner)
            | Self::MemoryGrow(_, inner) => vec![inner],
            Self::Op(_, inner) | Self::Call(_, _, inner) => inner.iter_mut().collect(),
            Self::Shuffle(_, inner) | Self::LoadLane(_, _, _, inner) => inner.iter_mut().collect(),
            Self::Select(_, inner) => inner.iter_mut().collect(),
            Self::If(_, condition, arms) => {
                let mut all: Vec<_> = vec![&mut **condition];
                all.extend(arms.iter_mut().map(|arm| &mut arm.value));
                all
            }
            Self::Block(_, _, arm) => vec![&mut arm.value],
            Self::CallIndirect(_, _, inner, index) => inner.iter_mut().chain([&mut **index]).collect(),
        }
    }

    /// The statements directly inside.
    pub(crate) fn bodies(&mut self) -> Vec<&mut Vec<Stmt>> {
        match self {
            Self::If(_, _, arms) => arms.iter_mut().map(|arm| &mut arm.body).collect(),
            Self::Block(_, _, arm) => vec![&mut arm.body],
            _ => Vec::new(),
        }
    }
}

impl Stmt {
    /// The expressions directly inside.
    pub(crate) fn children(&mut self) -> Vec<&mut Expr> {
        match self {
            Self::Set(_, inner)
            | Self::GlobalSet(_, inner)
            | Self::Drop(inner)
            | Self::If(inner, ..)
            | Self::BrIf(_, inner)
            | Self::BrTable(_, inner) => vec![inner],
            Self::Store(_, _, inner) | Self::StoreLane(_, _, _, inner) | Self::BrValue(_, inner) => {
                inner.iter_mut().collect()
            }
            Self::Return(inner) | Self::Call(_, inner, _) | Self::ReturnCall(_, inner) => {
                inner.iter_mut().collect()
            }
            Self::Fill(_, inner) | Self::Copy(_, inner) => inner.iter_mut().collect(),
            Self::Many(many) => {
                let many = &mut **many;
                let mut all: Vec<_> = many.inputs.iter_mut().collect();
                if let Shape::If(condition) = &mut many.shape {
                    all.push(condition);
                }
                all.extend(many.outputs.iter_mut());
                all.extend(&mut many.leave);
                all
            }
            Self::Block(..) | Self::Loop(_) | Self::Br(_) | Self::Unreachable => Vec::new(),
        }
    }

    /// The statements directly inside.
    pub(crate) fn bodies(&mut self) -> Vec<&mut Vec<Stmt>> {
        match self {
            Self::If(_, then, otherwise) => vec![then, otherwise],
            Self::Block(_, body) => vec![body],
            Self::Loop(turn) => vec![&mut turn.body],
            Self::Many(many) => vec![&mut many.body],
            _ => Vec::new(),
        }
    }
}

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
    /// The type of the memory's addresses, and the memory.
    MemorySize(Ty, u32),
    MemoryGrow(Ty, u32, Box<Expr>),
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
    /// Branches carry the values that their labels take.
    Br(Label, Vec<Expr>),
    BrIf(Label, Vec<Expr>, Expr),
    /// All labels take the same.
    BrTable(Vec<Label>, Vec<Expr>, Expr),
    Return(Vec<Expr>),
    /// As `Return`, by a call of a function with the same results: by its number, or through the table at an index.
    ReturnCall(u32, Vec<Expr>, Option<Expr>),
    Throw(u32, Vec<Expr>),
    /// Throws what the function has last caught by reference.
    ThrowRef,
    Try(Box<Try>),
    Many(Box<Many>),
    /// The results go to these locals.
    Call(u32, Vec<Expr>, Vec<u32>),
    Fill(u32, Box<[Expr; 3]>),
    /// Into the first memory from the second.
    Copy([u32; 2], Box<[Expr; 3]>),
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
    /// That of its end; the label of a loop is its own affair.
    pub(crate) label: Label,
    pub(crate) types: Vec<Ty>,
    pub(crate) inputs: Vec<Expr>,
    pub(crate) into: Vec<u32>,
    pub(crate) body: Vec<Stmt>,
    pub(crate) outputs: Vec<Expr>,
    /// Ends the construct early, carrying the outputs.
    pub(crate) leave: Option<Expr>,
    pub(crate) results: Vec<u32>,
}

/// Statements whose exceptions are caught.
#[derive(Debug, Clone)]
pub(crate) struct Try {
    pub(crate) label: Label,
    pub(crate) body: Vec<Stmt>,
    /// The first that fits catches.
    pub(crate) catches: Vec<Catch>,
}

/// A clause with its handler.
#[derive(Debug, Clone)]
pub(crate) struct Catch {
    /// What it catches; `None` is everything.
    pub(crate) tag: Option<u32>,
    /// Whether the exception itself is kept, for `ThrowRef`.
    pub(crate) reference: bool,
    /// Where what the exception carries goes.
    pub(crate) into: Vec<u32>,
    pub(crate) handler: Vec<Stmt>,
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
    /// Whether each is addressed in 64 bits.
    pub(crate) memories: Vec<bool>,
    /// What the exceptions of each tag carry.
    pub(crate) tags: Vec<Vec<Ty>>,
    /// Whether it may use relaxed vectors.
    pub(crate) relaxed: bool,
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
            | Self::CallIndirect(ty, ..)
            | Self::MemorySize(ty, _)
            | Self::MemoryGrow(ty, ..) => *ty,
            Self::Op(op, _) => op.result,
            Self::Load(access, ..) => access.ty,
            Self::Shuffle(..) | Self::LoadLane(..) => Ty::V128,
        }
    }

    /// The expressions directly inside.
    pub(crate) fn children(&mut self) -> Vec<&mut Expr> {
        match self {
            Self::Const(..) | Self::Get(..) | Self::Global(..) | Self::MemorySize(..) => Vec::new(),
            Self::Tee(_, _, inner)
            | Self::Load(_, _, inner)
            | Self::Canon(_, _, inner)
            | Self::MemoryGrow(_, _, inner) => vec![inner],
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
            Self::Set(_, inner) | Self::GlobalSet(_, inner) | Self::Drop(inner) | Self::If(inner, ..) => {
                vec![inner]
            }
            Self::BrIf(_, values, last) | Self::BrTable(_, values, last) => {
                values.iter_mut().chain([last]).collect()
            }
            Self::Store(_, _, inner) | Self::StoreLane(_, _, _, inner) => inner.iter_mut().collect(),
            Self::Return(inner) | Self::Br(_, inner) | Self::Call(_, inner, _) | Self::Throw(_, inner) => {
                inner.iter_mut().collect()
            }
            Self::ReturnCall(_, inner, index) => inner.iter_mut().chain(index).collect(),
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
            Self::Block(..) | Self::Loop(_) | Self::Try(_) | Self::ThrowRef | Self::Unreachable => Vec::new(),
        }
    }

    /// The statements directly inside.
    pub(crate) fn bodies(&mut self) -> Vec<&mut Vec<Stmt>> {
        match self {
            Self::If(_, then, otherwise) => vec![then, otherwise],
            Self::Block(_, body) => vec![body],
            Self::Loop(turn) => vec![&mut turn.body],
            Self::Many(many) => vec![&mut many.body],
            Self::Try(attempt) => {
                let attempt = &mut **attempt;
                let handlers = attempt.catches.iter_mut().map(|catch| &mut catch.handler);
                [&mut attempt.body].into_iter().chain(handlers).collect()
            }
            _ => Vec::new(),
        }
    }
}

//! One module through all engines: the same calls, and then the same results, traps and state, or a disagreement.

use crate::Case;
use crate::random::Random;
use crate::sides::{Compiled, Ended, Live, Luge, Observed, Side, Snapshot, Tier, Wasmi};
use luge_core::{Engine, ExternType, FuncType, Module, ValType};
use std::fmt;

/// Instances that a module is tried in, each with other arguments in another order.
const ROUNDS: u64 = 2;

/// All engines.
pub struct Runner {
    reader: Engine,
    sides: Vec<Box<dyn Side>>,
}

/// What was compared.
#[derive(Debug, Default, Clone, Copy)]
pub struct Counts {
    /// Modules.
    pub modules: usize,
    /// Those among them that use what wasmi does not have.
    pub ours_alone: usize,
    /// Calls that all engines returned from alike.
    pub returned: usize,
    /// Calls that trapped alike.
    pub trapped: usize,
    /// Rounds that ended early, for no two engines have frames of the same size.
    pub exhausted: usize,
}

impl Counts {
    /// Both together.
    pub fn add(&mut self, other: Self) {
        self.modules += other.modules;
        self.ours_alone += other.ours_alone;
        self.returned += other.returned;
        self.trapped += other.trapped;
        self.exhausted += other.exhausted;
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} modules ({} without wasmi), {} calls returned alike, {} trapped alike, {} rounds cut short by stack \
             exhaustion",
            self.modules, self.ours_alone, self.returned, self.trapped, self.exhausted
        )
    }
}

/// What an engine did.
enum Event {
    /// Ended so; the place names the call.
    Ended(String, Ended),
    State(Vec<(String, Snapshot)>),
    /// The engine did what none should.
    Failed(String),
}

impl Event {
    fn with_one_nan(self) -> Self {
        match self {
            Self::Ended(place, ended) => Self::Ended(place, ended.with_one_nan()),
            Self::State(state) => {
                let same = state.into_iter();
                Self::State(same.map(|(name, part)| (name, part.with_one_nan())).collect())
            }
            other => other,
        }
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list()
            .entries(self.sides.iter().map(|side| side.name()))
            .finish()
    }
}

impl Runner {
    /// The interpreter, the baseline tier in its forms, and wasmi; the first is what the others are compared with.
    #[must_use]
    pub fn new() -> Self {
        let ours = [Tier::Interpreter, Tier::Guard, Tier::Software, Tier::Fuel];
        let mut sides: Vec<Box<dyn Side>> = Vec::new();
        sides.extend(ours.map(|tier| Box::new(Luge::new(tier)) as Box<dyn Side>));
        sides.push(Box::new(Wasmi::new()));
        Self {
            reader: Engine::default(),
            sides,
        }
    }

    /// Compares one module; the seed chooses arguments and order.
    ///
    /// # Errors
    /// Where two engines differ, and how.
    pub fn check(&mut self, case: &Case, seed: u64) -> Result<Counts, String> {
        let funcs = self.functions(&case.wasm)?;
        let mut modules = Vec::new();
        for side in self.sides.iter_mut().filter(|side| side.takes(case.uses)) {
            let name = side.name();
            let module = side
                .compile(&case.wasm, seed)
                .map_err(|error| format!("{name}: {error}"))?;
            modules.push((name, module));
        }
        let mut counts = Counts {
            modules: 1,
            ours_alone: usize::from(modules.iter().all(|(name, _)| *name != "wasmi")),
            ..Counts::default()
        };
        for round in 0..ROUNDS {
            let (first, module) = &modules[0];
            let expected = trace(&**module, case, &funcs, seed, round);
            let mut cut = expected.len();
            for (name, module) in &modules[1..] {
                let events = trace(&**module, case, &funcs, seed, round);
                cut = cut.min(same(first, &expected, name, &events)?);
            }
            counts.exhausted += usize::from(cut < expected.len());
            for event in &expected[..cut] {
                match event {
                    Event::Ended(_, Ended::Returned(_)) => counts.returned += 1,
                    Event::Ended(..) => counts.trapped += 1,
                    _ => {}
                }
            }
        }
        Ok(counts)
    }

    fn functions(&mut self, wasm: &[u8]) -> Result<Vec<(String, FuncType)>, String> {
        let module = Module::new(&self.reader, wasm).map_err(|error| format!("refused: {error}"))?;
        let funcs = module.exports().filter_map(|export| match export.ty {
            ExternType::Func(ty) => Some((export.name.to_owned(), ty.clone())),
            _ => None,
        });
        let funcs = funcs.collect();
        self.reader = Engine::default();
        Ok(funcs)
    }
}

impl Default for Runner {
    fn default() -> Self {
        Self::new()
    }
}

/// Calls every exported function once. After a trap the rest goes on in a new instance, for the trap may be the end of the
/// module's fuel, after which every call would trap at once.
fn trace(
    module: &dyn Compiled,
    case: &Case,
    funcs: &[(String, FuncType)],
    seed: u64,
    round: u64,
) -> Vec<Event> {
    let mut random = Random::new(seed ^ (round + 1).wrapping_mul(0xd134_2543_de82_ef95));
    let mut pending: Vec<_> = funcs.iter().collect();
    random.shuffle(&mut pending);
    let mut events = Vec::new();
    if let Err(failure) = play(module, &mut pending, &mut random, &mut events) {
        events.push(Event::Failed(failure));
    }
    if !case.exact_nans {
        events = events.into_iter().map(Event::with_one_nan).collect();
    }
    events
}

fn play(
    module: &dyn Compiled,
    pending: &mut Vec<&(String, FuncType)>,
    random: &mut Random,
    events: &mut Vec<Event>,
) -> Result<(), String> {
    loop {
        let mut live: Box<dyn Live> = match module.instantiate()? {
            Ok(live) => live,
            Err(ended) => {
                events.push(Event::Ended("instantiation".to_owned(), ended));
                return Ok(());
            }
        };
        while let Some((name, ty)) = pending.pop() {
            let arguments: Vec<Observed> = ty.params().iter().map(|&ty| argument(random, ty)).collect();
            let ended = live.call(name, &arguments)?;
            let goes_on = matches!(ended, Ended::Returned(_));
            events.push(Event::Ended(format!("{name} {arguments:x?}"), ended));
            if !goes_on {
                break;
            }
        }
        events.push(Event::State(live.state()));
        if pending.is_empty() {
            return Ok(());
        }
    }
}

/// An argument: an edge half of the time. References to functions are null.
fn argument(random: &mut Random, ty: ValType) -> Observed {
    const EDGES: [u64; 10] = [
        0,
        1,
        2,
        7,
        u64::MAX,
        0x7fff_ffff,
        0x8000_0000,
        i64::MAX as u64,
        i64::MIN as u64,
        0xffff_ffff,
    ];
    const FLOATS: [f64; 10] = [
        0.0,
        -0.0,
        1.0,
        -2.5,
        f64::INFINITY,
        f64::NEG_INFINITY,
        f64::NAN,
        2147483648.0,
        1e19,
        -1e300,
    ];
    let edge = random.chance(50);
    let index = random.below(10);
    let bits = if edge { EDGES[index] } else { random.bits() };
    match ty {
        ValType::I32 => Observed::I32(bits as u32),
        ValType::I64 => Observed::I64(bits),
        ValType::F32 if edge => Observed::F32((FLOATS[index] as f32).to_bits()),
        ValType::F32 => Observed::F32(bits as u32),
        ValType::F64 if edge => Observed::F64(FLOATS[index].to_bits()),
        ValType::F64 => Observed::F64(bits),
        ValType::V128 => Observed::V128(u128::from(bits) << 64 | u128::from(random.bits())),
        ValType::FuncRef => Observed::FuncRef { null: true },
        ValType::ExternRef => Observed::ExternRef((!edge).then_some(index as u32)),
        ValType::ExnRef => Observed::ExnRef { null: true },
        other => unreachable!("the generators make no {other}"),
    }
}

/// Compares two engines' events; gives up to where they are comparable.
fn same(first: &str, expected: &[Event], second: &str, events: &[Event]) -> Result<usize, String> {
    for (index, pair) in expected.iter().zip(events).enumerate() {
        match pair {
            (Event::Failed(failure), _) => return Err(format!("{first}: {failure}")),
            (_, Event::Failed(failure)) => return Err(format!("{second}: {failure}")),
            (Event::Ended(_, Ended::Exhausted), _) | (_, Event::Ended(_, Ended::Exhausted)) => {
                return Ok(index);
            }
            (Event::Ended(place, a), Event::Ended(_, b)) if a != b => {
                return Err(format!("{place}:\n  {first}: {a:x?}\n  {second}: {b:x?}"));
            }
            (Event::Ended(place, _), Event::Ended(other, _)) if place != other => {
                return Err(format!("{first} did {place} where {second} did {other}"));
            }
            (Event::Ended(..), Event::Ended(..)) => {}
            (Event::State(a), Event::State(b)) => same_state(first, a, second, b)?,
            (Event::Ended(place, _), Event::State(_)) | (Event::State(_), Event::Ended(place, _)) => {
                return Err(format!("{place}: only one of {first} and {second} came here"));
            }
        }
    }
    if expected.len() != events.len() {
        return Err(format!(
            "{first} did {} things, {second} {}",
            expected.len(),
            events.len()
        ));
    }
    Ok(expected.len())
}

fn same_state(
    first: &str,
    expected: &[(String, Snapshot)],
    second: &str,
    state: &[(String, Snapshot)],
) -> Result<(), String> {
    let names = |state: &[(String, Snapshot)]| state.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    let (own, others) = (names(expected), names(state));
    if own != others {
        return Err(format!("{first} exports {own:?}, {second} {others:?}"));
    }
    for ((name, a), (_, b)) in expected.iter().zip(state) {
        match (a, b) {
            _ if a == b => {}
            (Snapshot::Memory(a), Snapshot::Memory(b)) if a.len() == b.len() => {
                let at = a.iter().zip(b).position(|(a, b)| a != b).unwrap_or(0) * 256;
                return Err(format!(
                    "memory {name:?} differs from {at:#x} on: {first} and {second}"
                ));
            }
            (Snapshot::Memory(a), Snapshot::Memory(b)) => {
                return Err(format!(
                    "memory {name:?}: {first} {}, {second} {} * 256 bytes",
                    a.len(),
                    b.len()
                ));
            }
            _ => return Err(format!("{name:?}: {first} {a:x?}, {second} {b:x?}")),
        }
    }
    Ok(())
}

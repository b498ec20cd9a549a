//! Carries out one script.
//!
//! The state is that of the reference interpreter: one store, instances by name with the latest as default, module
//! definitions, and the names under which `register` offers instances for import.

use crate::compare;
use crate::spectest;
use crate::suite::{Configuration, Script};
use luge_core::{
    Engine, Execution, Extern, Func, Instance, InstantiateError, LinkError, Linker, Module, ModuleError,
    Step, Store, Trap, Value,
};
use std::collections::HashMap;
use std::fmt;
use wast::lexer::Lexer;
use wast::parser::{self, ParseBuffer};
use wast::token::Id;
use wast::{QuoteWat, Wast, WastDirective, WastExecute, WastInvoke, Wat};

/// Fuel after which an invocation counts as one that does not end.
const FUEL_MAX: u64 = 1 << 33;

/// What came of a script.
pub(crate) struct Outcome {
    /// Assertions that held. Directives that assert nothing, such as `module`, are not counted.
    pub(crate) passed: usize,
    /// Directives that failed, asserting or not.
    pub(crate) failures: Vec<Failure>,
}

/// A directive that failed.
pub(crate) struct Failure {
    /// The directive's first line, from 1.
    pub(crate) line: usize,
    message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.message)
    }
}

/// Carries out every directive of `script`. An error means that the script cannot even be read.
pub(crate) fn run(script: &Script, configuration: &Configuration) -> Result<Outcome, String> {
    let buffer = lex(script)?;
    let wast = parser::parse::<Wast<'_>>(&buffer).map_err(|error| error.to_string())?;
    let mut state = State::new(script, configuration)?;
    let mut outcome = Outcome {
        passed: 0,
        failures: Vec::new(),
    };
    for directive in wast.directives {
        let line = directive.span().linecol_in(&script.text).0 + 1;
        let asserts = asserts(&directive);
        match state.carry_out(directive) {
            Ok(()) => outcome.passed += usize::from(asserts),
            Err(message) => outcome.failures.push(Failure { line, message }),
        }
    }
    Ok(outcome)
}

/// How many assertions a script holds, without carrying them out.
pub(crate) fn count_assertions(script: &Script) -> Result<usize, String> {
    let buffer = lex(script)?;
    let wast = parser::parse::<Wast<'_>>(&buffer).map_err(|error| error.to_string())?;
    Ok(wast
        .directives
        .iter()
        .filter(|directive| asserts(directive))
        .count())
}

fn lex(script: &Script) -> Result<ParseBuffer<'_>, String> {
    let mut lexer = Lexer::new(&script.text);
    // The scripts on names hold characters that look like others.
    lexer.allow_confusing_unicode(true);
    ParseBuffer::new_with_lexer(lexer).map_err(|error| error.to_string())
}

fn asserts(directive: &WastDirective<'_>) -> bool {
    !matches!(
        directive,
        WastDirective::Module(_)
            | WastDirective::ModuleDefinition(_)
            | WastDirective::ModuleInstance { .. }
            | WastDirective::Register { .. }
            | WastDirective::Invoke(_)
    )
}

/// How an action ended.
enum Ended {
    Returned(Vec<Value>),
    Trapped(Trap),
}

/// What the directives so far have made.
struct State {
    engine: Engine,
    store: Store<()>,
    linker: Linker<()>,
    slice: u64,
    current: Option<Instance>,
    named: HashMap<String, Instance>,
    definition: Option<Module>,
    definitions: HashMap<String, Module>,
}

impl State {
    fn new(script: &Script, configuration: &Configuration) -> Result<State, String> {
        let config = configuration.engine(script.level);
        let limits = config.limits.clone();
        let engine = Engine::new(config);
        let mut store = Store::new(&engine, &limits, ());
        let linker = spectest::linker(&engine, &mut store)?;
        Ok(State {
            engine,
            store,
            linker,
            slice: configuration.slice,
            current: None,
            named: HashMap::new(),
            definition: None,
            definitions: HashMap::new(),
        })
    }

    fn carry_out(&mut self, directive: WastDirective<'_>) -> Result<(), String> {
        match directive {
            WastDirective::Module(mut module) => self.module(&mut module),
            WastDirective::ModuleDefinition(mut module) => self.define(&mut module),
            WastDirective::ModuleInstance { instance, module, .. } => self.instance(instance, module),
            WastDirective::Register { name, module, .. } => {
                let instance = self.find(module)?;
                self.linker.define_instance(&self.store, name, instance);
                Ok(())
            }
            WastDirective::Invoke(invoke) => match self.invoke(&invoke)? {
                Ended::Returned(_) => Ok(()),
                Ended::Trapped(trap) => Err(format!("trapped: {trap}")),
            },
            WastDirective::AssertReturn { exec, results, .. } => match self.execute(exec)? {
                Ended::Returned(found) => compare::results(&found, &results),
                Ended::Trapped(trap) => Err(format!("trapped: {trap}")),
            },
            WastDirective::AssertTrap { exec, message, .. } => {
                let ended = self.execute(exec)?;
                trapped(&ended, message)
            }
            WastDirective::AssertException { exec, .. } => {
                let ended = self.execute(exec)?;
                trapped(&ended, &Trap::UncaughtException.to_string())
            }
            WastDirective::AssertExhaustion { call, message, .. } => {
                let ended = self.invoke(&call)?;
                trapped(&ended, message)
            }
            WastDirective::AssertInvalid {
                mut module, message, ..
            }
            | WastDirective::AssertMalformed {
                mut module, message, ..
            } => self.refused(&mut module, message),
            WastDirective::AssertUnlinkable { module, message, .. } => self.unlinkable(module, message),
            other => Err(format!("no directive of the covered levels: {other:?}")),
        }
    }

    fn module(&mut self, module: &mut QuoteWat<'_>) -> Result<(), String> {
        let name = module.name();
        let bytes = module.encode().map_err(|error| error.to_string())?;
        let module = Module::new(&self.engine, &bytes).map_err(|error| error.to_string())?;
        let instance = self.instantiate(&module).map_err(|error| error.to_string())?;
        self.enter(name, instance);
        Ok(())
    }

    fn define(&mut self, module: &mut QuoteWat<'_>) -> Result<(), String> {
        let name = module.name();
        let bytes = module.encode().map_err(|error| error.to_string())?;
        let module = Module::new(&self.engine, &bytes).map_err(|error| error.to_string())?;
        if let Some(name) = name {
            self.definitions.insert(name.name().to_owned(), module.clone());
        }
        self.definition = Some(module);
        Ok(())
    }

    fn instance(&mut self, instance: Option<Id<'_>>, module: Option<Id<'_>>) -> Result<(), String> {
        let module = match module {
            Some(name) => self.definitions.get(name.name()),
            None => self.definition.as_ref(),
        };
        let module = module.cloned().ok_or("no such module definition")?;
        let made = self.instantiate(&module).map_err(|error| error.to_string())?;
        self.enter(instance, made);
        Ok(())
    }

    fn enter(&mut self, name: Option<Id<'_>>, instance: Instance) {
        if let Some(name) = name {
            self.named.insert(name.name().to_owned(), instance);
        }
        self.current = Some(instance);
    }

    fn instantiate(&mut self, module: &Module) -> Result<Instance, InstantiateError> {
        self.linker.instantiate(&mut self.store, module)
    }

    fn find(&self, name: Option<Id<'_>>) -> Result<Instance, String> {
        match name {
            Some(name) => self
                .named
                .get(name.name())
                .copied()
                .ok_or_else(|| format!("no instance ${}", name.name())),
            None => self.current.ok_or_else(|| "no instance yet".to_owned()),
        }
    }

    fn execute(&mut self, action: WastExecute<'_>) -> Result<Ended, String> {
        match action {
            WastExecute::Invoke(invoke) => self.invoke(&invoke),
            WastExecute::Get { module, global, .. } => {
                let instance = self.find(module)?;
                match instance.export(&self.store, global) {
                    Some(Extern::Global(global)) => Ok(Ended::Returned(vec![global.get(&self.store)])),
                    _ => Err(format!("exports no global `{global}`")),
                }
            }
            WastExecute::Wat(mut wat) => {
                let bytes = wat.encode().map_err(|error| error.to_string())?;
                let module = Module::new(&self.engine, &bytes).map_err(|error| error.to_string())?;
                match self.instantiate(&module) {
                    Ok(_) => Ok(Ended::Returned(Vec::new())),
                    Err(InstantiateError::Trap(report)) => Ok(Ended::Trapped(report.trap)),
                    Err(error) => Err(error.to_string()),
                }
            }
        }
    }

    fn invoke(&mut self, invoke: &WastInvoke<'_>) -> Result<Ended, String> {
        let instance = self.find(invoke.module)?;
        let Some(Extern::Func(func)) = instance.export(&self.store, invoke.name) else {
            return Err(format!("exports no function `{}`", invoke.name));
        };
        let arguments: Vec<Value> = invoke
            .args
            .iter()
            .map(compare::argument)
            .collect::<Result<_, _>>()?;
        self.call(func, &arguments)
    }

    /// Calls `func` in slices of the configuration's fuel.
    fn call(&mut self, func: Func, arguments: &[Value]) -> Result<Ended, String> {
        let mut execution =
            Execution::new(&mut self.store, func, arguments).map_err(|error| error.to_string())?;
        let mut fuel = FUEL_MAX;
        loop {
            match execution.resume(&mut self.store, self.slice) {
                Step::Finished => return Ok(Ended::Returned(execution.results().to_vec())),
                Step::Trapped(report) => return Ok(Ended::Trapped(report.trap)),
                Step::Preempted => {
                    fuel = fuel.checked_sub(self.slice).ok_or("does not end")?;
                }
                other => {
                    return Err(format!(
                        "a host function that never waits or exits ended with {other:?}"
                    ));
                }
            }
        }
    }

    fn refused(&mut self, module: &mut QuoteWat<'_>, message: &str) -> Result<(), String> {
        let Ok(bytes) = module.encode() else { return Ok(()) };
        match Module::new(&self.engine, &bytes) {
            // Some tests of an older version are valid by a later one, which the engine then names.
            Err(ModuleError::Invalid { .. } | ModuleError::MissingFeatures { .. }) => Ok(()),
            Err(other) => Err(format!("refused, but not as invalid: {other}")),
            Ok(_) => Err(format!("accepted, expected: {message}")),
        }
    }

    fn unlinkable(&mut self, mut module: Wat<'_>, message: &str) -> Result<(), String> {
        let bytes = module.encode().map_err(|error| error.to_string())?;
        let module = Module::new(&self.engine, &bytes).map_err(|error| error.to_string())?;
        match self.instantiate(&module) {
            Err(InstantiateError::Link(error)) => linked(&error, message),
            Err(other) => Err(format!("failed, but not to link: {other}")),
            Ok(_) => Err(format!("linked, expected: {message}")),
        }
    }
}

fn linked(error: &LinkError, message: &str) -> Result<(), String> {
    let found = error.to_string();
    if found.starts_with(message) {
        Ok(())
    } else {
        Err(format!("fails to link by `{found}`, expected `{message}`"))
    }
}

/// Whether it trapped for the reason that the script gives.
///
/// The reference interpreter asks that its own message begins with the script's. Where it appends a detail that the
/// scripts repeat ("uninitialized element 2"), ours is the part before it.
fn trapped(ended: &Ended, message: &str) -> Result<(), String> {
    match ended {
        Ended::Returned(results) => Err(format!("returned {results:?}, expected the trap `{message}`")),
        Ended::Trapped(trap) => {
            let found = trap.to_string();
            if found.starts_with(message) || message.starts_with(&found) {
                Ok(())
            } else {
                Err(format!("trapped by `{found}`, expected `{message}`"))
            }
        }
    }
}

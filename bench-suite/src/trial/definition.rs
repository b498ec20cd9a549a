//! The text form of a trial. Those of the folder `trials` are part of the program.
//!
//! Unknown keys are errors, durations have units. `docs/load.md` explains every key. What variants set in the server's manifest is text
//! that is handed to the server as it stands: whether it knows the keys is the server's to say.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer};

use crate::load::{parse_duration, read_bounded};

/// The embedded trials: name and text.
pub const TRIALS: [(&str, &str); 5] = [
    ("mixed", include_str!("../../trials/mixed.toml")),
    ("overload", include_str!("../../trials/overload.toml")),
    ("hello", include_str!("../../trials/hello.toml")),
    ("skew", include_str!("../../trials/skew.toml")),
    ("soak", include_str!("../../trials/soak.toml")),
];

/// Most rounds and most variants: a trial ends on the day on which it began.
const ROUNDS_MAX: u32 = 1000;
const VARIANTS_MAX: usize = 32;

/// What is wrong with a trial that does not say of which kind it is.
const NO_KIND: &str = "one of [mixed], [overload], [hello], [skew], [soak] is needed";

/// A trial.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// What it shows, in a line.
    pub description: String,
    /// Rounds; every variant is measured once in each.
    pub rounds: u32,
    /// Length of a phase.
    #[serde(deserialize_with = "duration")]
    pub phase: Duration,
    /// Cores of each server, unless a variant says otherwise.
    pub cores: usize,
    /// Keys of the manifest that all variants of luge have.
    #[serde(default)]
    pub manifest: String,
    /// What the servers serve.
    #[serde(rename = "function")]
    pub functions: Vec<Function>,
    /// The servers. The first is what functions are calibrated by, what capacity is measured on and what the bars are held to; in
    /// `overload` the first of each number of cores is, and of each place of the generator.
    #[serde(rename = "variant")]
    pub variants: Vec<Variant>,
    /// What is measured.
    #[serde(flatten)]
    pub kind: Kind,
}

/// A function, at the route of its name.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// What it runs.
    #[serde(default)]
    pub module: Module,
    /// CPU time of a run, of the module `work`: its steps are calibrated for this.
    #[serde(default, deserialize_with = "duration")]
    pub cpu: Duration,
    /// The server's deadline, and the client's.
    #[serde(deserialize_with = "duration")]
    pub deadline: Duration,
    /// Further keys of its table in the manifest.
    #[serde(default)]
    pub manifest: String,
}

/// Which of the example functions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Module {
    /// `functions/work`: computes for as long as it is asked to.
    #[default]
    Work,
    /// `functions/empty`: answers nothing.
    Empty,
    /// `functions/echo`: answers the body.
    Echo,
}

/// A server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Variant {
    /// Its name in tables.
    pub name: String,
    /// Another server than luge.
    pub peer: Option<Peer>,
    /// Its cores, where not those of the trial.
    pub cores: Option<usize>,
    /// Whether the generator keeps off its cores. Where that leaves none, the variant is left out.
    #[serde(default)]
    pub apart: bool,
    /// Tables of its manifest, of luge only.
    #[serde(default)]
    pub manifest: String,
}

/// Other servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Peer {
    /// `peers-http/cgi.c`: a process for each request, which runs the same functions as native code.
    Cgi,
    /// `peers-http/hyper-tokio`: a constant answer by hyper on tokio.
    Hyper,
}

/// What is measured; the table of that name says the details.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Short urgent requests beside long ones.
    Mixed(Mixed),
    /// More than there is capacity for, and the time after it.
    Overload(Overload),
    /// What an empty function costs.
    Hello(Hello),
    /// All connections on one shard.
    Skew(Skew),
    /// Very many requests, none of which may be lost.
    Soak(Soak),
}

/// Table `[mixed]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mixed {
    /// The urgent function.
    pub short: String,
    /// Its requests a second.
    pub rate: f64,
    /// The long function.
    pub long: String,
    /// What both together take of the capacity, in percent.
    pub loads: Vec<f64>,
    /// The variant that long functions' throughput is compared with.
    pub reference: String,
}

/// Table `[overload]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Overload {
    /// Offered work by capacity, while the load lasts.
    pub offered: f64,
    /// Offered work by capacity, afterwards.
    pub after: f64,
    /// In which steps time is looked at.
    #[serde(deserialize_with = "duration")]
    pub window: Duration,
    /// Which functions are asked for.
    pub mix: Vec<Mix>,
}

/// Work of several functions.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mix {
    /// Its name in tables.
    pub name: String,
    /// Functions, and the share of the offered work that each has; the shares add up to 1.
    pub shares: BTreeMap<String, f64>,
}

/// Table `[hello]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hello {
    /// What is asked for.
    pub function: String,
    /// Connections, each with one request after another.
    pub connections: usize,
    /// Variants whose costs are divided by each other's.
    pub ratios: Vec<[String; 2]>,
    /// The same server on one core and on two.
    pub scaling: Vec<[String; 2]>,
}

/// Table `[skew]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Skew {
    /// The hot function.
    pub function: String,
    /// Connections on shard 0.
    pub connections: usize,
}

/// Table `[soak]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Soak {
    /// Requests in all.
    pub requests: u64,
    /// Connections at a time.
    pub connections: usize,
    /// Requests after which a connection is closed, on the average.
    pub requests_per_connection: u32,
    /// One core is taken from the server for so long ...
    #[serde(deserialize_with = "duration")]
    pub stall: Duration,
    /// ... each time that so much has passed.
    #[serde(deserialize_with = "duration")]
    pub stall_every: Duration,
    /// Functions, and how often each is asked for beside the others.
    pub guests: BTreeMap<String, u32>,
}

/// Why a trial is not taken. All of these are the author's to mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DefinitionError {
    /// Neither the name of an embedded trial nor a file.
    #[error("cannot read {name}: {source}; embedded trials are {}", TRIALS.map(|(name, _)| name).join(", "))]
    Read {
        /// What was asked for.
        name: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Not TOML, an unknown key, a wrong type.
    #[error("{file}: {message}")]
    Syntax {
        /// The file.
        file: String,
        /// What is wrong.
        message: String,
    },
    /// A value.
    #[error("{file}: {problem}")]
    Value {
        /// The file.
        file: String,
        /// What is wrong and what to write.
        problem: String,
    },
}

impl Definition {
    /// An embedded trial by its name, or else the one in the file of that name.
    ///
    /// # Errors
    /// [`DefinitionError`].
    pub fn load(name: &str) -> Result<Definition, DefinitionError> {
        if let Some((_, text)) = TRIALS.iter().find(|(own, _)| *own == name) {
            return Definition::parse(text, name);
        }
        let read = |source| DefinitionError::Read {
            name: name.to_owned(),
            source,
        };
        let bytes = read_bounded(name.as_ref()).map_err(read)?;
        let text = String::from_utf8(bytes).map_err(|_| read(std::io::Error::other("it is not text")))?;
        Definition::parse(&text, name)
    }

    /// Reads the text of a trial. `file` is how errors name it.
    ///
    /// # Errors
    /// [`DefinitionError`].
    pub fn parse(text: &str, file: &str) -> Result<Definition, DefinitionError> {
        let syntax = |error: toml::de::Error| DefinitionError::Syntax {
            file: file.to_owned(),
            message: match error.message() {
                // Serde's words for an enum of which nothing is there.
                text if text.contains("no variant of enum Kind") => NO_KIND.to_owned(),
                _ => error.to_string().trim_end().to_owned(),
            },
        };
        let definition: Definition = toml::from_str(text).map_err(syntax)?;
        definition.check().map_err(|problem| DefinitionError::Value {
            file: file.to_owned(),
            problem,
        })?;
        Ok(definition)
    }

    /// Its variants' names, as errors list them.
    #[must_use]
    pub fn variant_names(&self) -> String {
        let names: Vec<_> = self
            .variants
            .iter()
            .map(|variant| variant.name.as_str())
            .collect();
        names.join(", ")
    }

    fn check(&self) -> Result<(), String> {
        ensure((1..=ROUNDS_MAX).contains(&self.rounds), || {
            "`rounds` is a number from 1 to 1000".to_owned()
        })?;
        ensure(!self.phase.is_zero(), || {
            "`phase` is more than nothing".to_owned()
        })?;
        ensure((1..=VARIANTS_MAX).contains(&self.variants.len()), || {
            "there are 1 to 32 variants".to_owned()
        })?;
        ensure(self.variants[0].peer.is_none(), || {
            "the first variant is luge, by which all is calibrated".to_owned()
        })?;
        for variant in &self.variants {
            ensure(!variant.apart || variant.peer.is_none(), || {
                format!(
                    "variant {}: `apart` is for luge, whose cores are known",
                    variant.name
                )
            })?;
        }
        for function in &self.functions {
            let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            ensure(
                !function.name.is_empty() && function.name.chars().all(is_plain),
                || {
                    format!(
                        "function {:?}: a name has letters, digits, - and _",
                        function.name
                    )
                },
            )?;
            ensure(
                (function.module == Module::Work) != function.cpu.is_zero(),
                || {
                    format!(
                        "function {}: `cpu` is needed for the module work, and for no other",
                        function.name
                    )
                },
            )?;
        }
        self.check_kind()
    }

    fn check_kind(&self) -> Result<(), String> {
        match &self.kind {
            Kind::Mixed(of) => {
                self.has_function(&of.short)?;
                self.has_function(&of.long)?;
                self.has_variant(&of.reference)?;
                let is_load = |load: &f64| (0.0..=100.0).contains(load);
                ensure(of.rate > 0.0 && of.loads.iter().all(is_load), || {
                    "`rate` is more than 0, and `loads` are percentages".to_owned()
                })
            }
            Kind::Overload(of) => {
                ensure(of.window >= Duration::from_millis(1), || {
                    "`window` is at least 1ms".to_owned()
                })?;
                ensure(of.after > 0.0 && of.offered > of.after, || {
                    "`offered` is more than `after`, and that more than 0".to_owned()
                })?;
                for mix in &of.mix {
                    mix.shares.keys().try_for_each(|name| self.has_function(name))?;
                    let sum: f64 = mix.shares.values().sum();
                    ensure((sum - 1.0).abs() < 1e-6, || {
                        format!("mix {}: the shares add up to {sum}, not 1", mix.name)
                    })?;
                }
                Ok(())
            }
            Kind::Hello(of) => {
                let pairs = of.ratios.iter().chain(&of.scaling).flatten();
                pairs.into_iter().try_for_each(|name| self.has_variant(name))?;
                self.has_function(&of.function)
            }
            Kind::Skew(of) => self.has_function(&of.function),
            Kind::Soak(of) => {
                of.guests.keys().try_for_each(|name| self.has_function(name))?;
                ensure(of.guests.values().any(|weight| *weight > 0), || {
                    "`guests` names a function".to_owned()
                })?;
                ensure(
                    of.connections > 0 && of.requests_per_connection > 0 && of.requests > 0,
                    || "`requests`, `connections` and `requests_per_connection` are more than 0".to_owned(),
                )
            }
        }
    }

    fn has_function(&self, name: &str) -> Result<(), String> {
        let is_there = self.functions.iter().any(|function| function.name == name);
        ensure(is_there, || format!("no function is called {name}"))
    }

    fn has_variant(&self, name: &str) -> Result<(), String> {
        let is_there = self.variants.iter().any(|variant| variant.name == name);
        ensure(is_there, || format!("no variant is called {name}"))
    }
}

fn ensure(is_so: bool, problem: impl Fn() -> String) -> Result<(), String> {
    if is_so { Ok(()) } else { Err(problem()) }
}

fn duration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_duration(&text)
        .ok_or_else(|| serde::de::Error::custom(format!("{text:?}: write a number and ns, us, ms, s or min")))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        description = "a trial"
        rounds = 1
        phase = "1s"
        cores = 2
        [[function]]
        name = "hot"
        cpu = "2ms"
        deadline = "1s"
        [[variant]]
        name = "luge"
        [[variant]]
        name = "off"
        manifest = "[scheduling]\nsteal = false"
        [skew]
        function = "hot"
        connections = 4
    "#;

    #[test]
    fn every_embedded_trial_is_well_formed() {
        for (name, _) in TRIALS {
            let definition = Definition::load(name).expect(name);
            assert!(!definition.description.is_empty());
        }
    }

    #[test]
    fn a_trial_is_what_its_table_says() {
        let definition = Definition::parse(TEXT, "a.toml").expect("a trial");
        assert!(matches!(&definition.kind, Kind::Skew(skew) if skew.connections == 4));
        assert_eq!(definition.functions[0].cpu, Duration::from_millis(2));
        assert_eq!(definition.variant_names(), "luge, off");
    }

    #[test]
    fn mistakes_are_named() {
        for (from, to, part) in [
            ("phase = \"1s\"", "phase = \"1\"", "write a number and"),
            ("rounds = 1", "rounds = 0", "`rounds`"),
            ("connections = 4", "connexions = 4", "connexions"),
            ("cpu = \"2ms\"", "", "`cpu` is needed"),
            (
                "function = \"hot\"",
                "function = \"cold\"",
                "no function is called cold",
            ),
            (
                "name = \"luge\"",
                "name = \"luge\"\npeer = \"cgi\"",
                "the first variant is luge",
            ),
            ("[skew]", "[skewed]", "one of [mixed]"),
            ("rounds = 1", "rounds = 1\nround = 1", "round"),
        ] {
            let text = TEXT.replace(from, to);
            let error = Definition::parse(&text, "a.toml").expect_err(to).to_string();
            assert!(error.contains(part), "{to}: {error}");
        }
    }
}

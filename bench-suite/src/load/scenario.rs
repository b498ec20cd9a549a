//! Scenarios: the text form of what to send. Those of the folder `scenarios` are part of the program.
//!
//! Unknown keys are errors, durations have units. `docs/load.md` explains every key.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path as FilePath;
use std::time::Duration;

use serde::Deserialize;

use super::arrivals::Arrivals;
use super::plan::{Class, Connections, Path};
use super::units::parse_duration;

/// The embedded scenarios: name and text.
pub const SCENARIOS: [(&str, &str); 5] = [
    ("hello", include_str!("../../scenarios/hello.toml")),
    ("mixed", include_str!("../../scenarios/mixed.toml")),
    ("burst", include_str!("../../scenarios/burst.toml")),
    ("churn", include_str!("../../scenarios/churn.toml")),
    (
        "many-functions",
        include_str!("../../scenarios/many-functions.toml"),
    ),
];

/// Where a path has a function's number.
const NUMBER: &str = "{n}";

/// Largest file of a scenario or of a body, so that a wrong path ends in words.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// What to send, and for how long.
#[derive(Debug, Clone)]
pub struct Scenario {
    /// What it shows, in a line.
    pub description: String,
    /// No request starts after this.
    pub duration: Duration,
    /// Requests before this are not counted.
    pub warmup: Duration,
    /// The kinds of requests.
    pub classes: Vec<Class>,
}

/// Why a scenario is not taken. All of these are the author's to mend.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScenarioError {
    /// Neither the name of an embedded scenario nor a file.
    #[error("cannot read {name}: {source}; embedded scenarios are {}", names())]
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
        /// What is wrong, with its line.
        message: String,
    },
    /// A value.
    #[error("{file}: {key}: {problem}")]
    Value {
        /// The file.
        file: String,
        /// Which key.
        key: String,
        /// What is wrong and what to write.
        problem: String,
    },
}

fn names() -> String {
    SCENARIOS.map(|(name, _)| name).join(", ")
}

impl Scenario {
    /// An embedded scenario by its name, or else the one in the file of that name.
    ///
    /// # Errors
    /// [`ScenarioError`].
    pub fn load(name: &str) -> Result<Scenario, ScenarioError> {
        if let Some((_, text)) = SCENARIOS.iter().find(|(own, _)| *own == name) {
            return Scenario::parse(text, name, FilePath::new(""));
        }
        let read = |source| ScenarioError::Read {
            name: name.to_owned(),
            source,
        };
        let path = FilePath::new(name);
        let text = String::from_utf8(read_bounded(path).map_err(read)?)
            .map_err(|_| read(std::io::Error::other("it is not text")))?;
        Scenario::parse(&text, name, path.parent().unwrap_or(FilePath::new("")))
    }

    /// Reads the text of a scenario. `file` is how errors name it; files of bodies are sought from `folder`.
    ///
    /// # Errors
    /// [`ScenarioError`]. What a run checks itself ([`super::Plan::check`]) is not checked here.
    pub fn parse(text: &str, file: &str, folder: &FilePath) -> Result<Scenario, ScenarioError> {
        let table: ScenarioTable = toml::from_str(text).map_err(|error| ScenarioError::Syntax {
            file: file.to_owned(),
            message: error.to_string().trim_end().to_owned(),
        })?;
        let reader = Reader { file, folder };
        let classes = table
            .class
            .into_iter()
            .map(|class| reader.class(class, table.deadline_header.as_ref()));
        Ok(Scenario {
            description: table.description,
            duration: reader.duration("duration", &table.duration)?,
            warmup: match &table.warmup {
                Some(text) => reader.duration("warmup", text)?,
                None => Duration::ZERO,
            },
            classes: classes.collect::<Result<_, _>>()?,
        })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ScenarioTable {
    #[serde(default)]
    description: String,
    duration: String,
    warmup: Option<String>,
    deadline_header: Option<String>,
    class: Vec<ClassTable>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassTable {
    name: String,
    rate: f64,
    #[serde(default)]
    arrivals: Arrivals,
    batch: Option<u32>,
    method: Option<String>,
    path: String,
    routes: Option<u32>,
    zipf: Option<f64>,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<String>,
    body_file: Option<String>,
    body_bytes: Option<usize>,
    deadline: Option<String>,
    from: Option<String>,
    until: Option<String>,
    timeout: Option<String>,
    #[serde(default)]
    connection: ConnectionKey,
    connections: Option<usize>,
    max_in_flight: Option<usize>,
    #[serde(default)]
    queue: usize,
    #[serde(default)]
    expect: Vec<u16>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
enum ConnectionKey {
    #[default]
    KeepAlive,
    PerRequest,
}

struct Reader<'a> {
    file: &'a str,
    folder: &'a FilePath,
}

impl Reader<'_> {
    fn class(&self, table: ClassTable, deadline_header: Option<&String>) -> Result<Class, ScenarioError> {
        let key = |key: &str| format!("class {}: {key}", table.name);
        let body = self.body(&table, &key)?;
        let optional = |name: &str, text: &Option<String>| {
            text.as_ref()
                .map(|text| self.duration(&key(name), text))
                .transpose()
        };
        let deadline = optional("deadline", &table.deadline)?;
        let timeout = optional("timeout", &table.timeout)?;
        let from = optional("from", &table.from)?;
        let until = optional("until", &table.until)?;
        let active = (from.is_some() || until.is_some())
            .then(|| from.unwrap_or_default()..until.unwrap_or(Duration::MAX));
        let path = self.path(&table, &key)?;
        let mut class = Class::new(&table.name, path, table.rate);
        class.arrivals = table.arrivals;
        class.batch = table.batch.unwrap_or(class.batch);
        let usual = if body.is_empty() { "GET" } else { "POST" };
        class.method = table.method.unwrap_or_else(|| usual.to_owned());
        class.headers = table.headers.into_iter().collect();
        class.body = body;
        class.deadline = deadline;
        class.deadline_header = deadline_header.cloned();
        class.active = active;
        class.timeout = timeout.unwrap_or(class.timeout);
        class.connections = match table.connection {
            ConnectionKey::KeepAlive => Connections::KeepAlive,
            ConnectionKey::PerRequest => Connections::PerRequest,
        };
        class.max_in_flight = table.max_in_flight.unwrap_or(class.max_in_flight);
        class.queue = table.queue;
        class.opened = table.connections.unwrap_or(class.opened.min(class.max_in_flight));
        class.expect = table.expect;
        Ok(class)
    }

    fn path(&self, table: &ClassTable, key: &dyn Fn(&str) -> String) -> Result<Path, ScenarioError> {
        match (table.path.split_once(NUMBER), table.routes) {
            (None, None) if table.zipf.is_none() => Ok(Path::Fixed(table.path.clone())),
            (Some((_, after)), Some(_)) if after.contains(NUMBER) => {
                Err(self.value(key("path"), format!("one {NUMBER} only")))
            }
            (Some((before, after)), Some(routes)) => Ok(Path::Numbered {
                before: before.to_owned(),
                after: after.to_owned(),
                routes,
                zipf: table.zipf.unwrap_or(1.0),
            }),
            _ => Err(self.value(
                key("path"),
                format!("{NUMBER} in the path and `routes` need each other"),
            )),
        }
    }

    fn body(&self, table: &ClassTable, key: &dyn Fn(&str) -> String) -> Result<Vec<u8>, ScenarioError> {
        match (&table.body, &table.body_file, table.body_bytes) {
            (None, None, None) => Ok(Vec::new()),
            (Some(text), None, None) => Ok(text.clone().into_bytes()),
            (None, Some(file), None) => {
                let path = self.folder.join(file);
                read_bounded(&path)
                    .map_err(|error| self.value(key("body_file"), format!("{}: {error}", path.display())))
            }
            (None, None, Some(size)) => {
                body_of(size).ok_or_else(|| self.value(key("body_bytes"), "at most 64 MiB".to_owned()))
            }
            _ => Err(self.value(
                key("body"),
                "give one of `body`, `body_file`, `body_bytes`".to_owned(),
            )),
        }
    }

    fn duration(&self, key: &str, text: &str) -> Result<Duration, ScenarioError> {
        parse_duration(text).ok_or_else(|| {
            let problem = format!("{text:?}: write a number and ns, us, ms, s or min");
            self.value(key.to_owned(), problem)
        })
    }

    fn value(&self, key: String, problem: String) -> ScenarioError {
        ScenarioError::Value {
            file: self.file.to_owned(),
            key,
            problem,
        }
    }
}

/// The bytes of a scenario's or a body's file, of whatever kind.
///
/// # Errors
/// What the system says, and a file of more than 64 MiB: some have no end and no size.
pub fn read_bounded(path: &FilePath) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let taken = File::open(path)?
        .take(FILE_BYTES_MAX + 1)
        .read_to_end(&mut bytes)?;
    if taken as u64 > FILE_BYTES_MAX {
        return Err(io::Error::other(format!(
            "it has more than {FILE_BYTES_MAX} bytes"
        )));
    }
    Ok(bytes)
}

/// A body of `size` bytes: letters in turn, nothing that its size alone would not show. `None` beyond 64 MiB.
#[must_use]
pub fn body_of(size: usize) -> Option<Vec<u8>> {
    (size as u64 <= FILE_BYTES_MAX).then(|| (b'a'..=b'z').cycle().take(size).collect())
}

#[cfg(test)]
mod tests {
    use super::super::plan::{Mode, Plan, Target};
    use super::*;

    fn parse(text: &str) -> Result<Scenario, ScenarioError> {
        Scenario::parse(text, "a.toml", FilePath::new(""))
    }

    #[test]
    fn every_embedded_scenario_can_be_run() {
        for (name, _) in SCENARIOS {
            let scenario = Scenario::load(name).expect(name);
            assert!(!scenario.description.is_empty());
            let (target, _) = Target::parse("http://127.0.0.1:1", false).expect("a target");
            let plan = Plan {
                target,
                mode: Mode::Open,
                seed: 1,
                threads: 1,
                warmup: scenario.warmup,
                duration: scenario.duration,
                requests: None,
                drain: Duration::from_secs(1),
                spin: Duration::ZERO,
                window: Duration::ZERO,
                looks: Vec::new(),
                nice: 0,
                cpus: Vec::new(),
                classes: scenario.classes,
            };
            assert_eq!(plan.check(), Ok(()), "{name}");
        }
    }

    #[test]
    fn every_key_is_read() {
        let scenario = parse(
            r#"
            duration = "2s"
            warmup = "100ms"
            deadline_header = "X-Deadline"
            [[class]]
            name = "a"
            rate = 12.5
            arrivals = "fixed"
            batch = 3
            path = "/f/{n}?x"
            routes = 100
            zipf = 0.9
            headers = { A = "b" }
            body_bytes = 30
            deadline = "50ms"
            from = "500ms"
            until = "1s"
            timeout = "1s"
            connection = "per-request"
            max_in_flight = 8
            queue = 5
            expect = [200, 404]
            "#,
        )
        .expect("a scenario");
        assert_eq!(
            (scenario.duration.as_millis(), scenario.warmup.as_millis()),
            (2000, 100)
        );
        let class = &scenario.classes[0];
        assert_eq!(
            (class.method.as_str(), class.body.len(), class.body[27]),
            ("POST", 30, b'b')
        );
        assert_eq!(
            class.active,
            Some(Duration::from_millis(500)..Duration::from_secs(1))
        );
        assert_eq!(
            (class.arrivals, class.batch, class.rate),
            (Arrivals::Fixed, 3, 12.5)
        );
        let Path::Numbered {
            before,
            after,
            routes,
            zipf,
        } = &class.path
        else {
            panic!("a number")
        };
        assert_eq!(
            (before.as_str(), after.as_str(), *routes, *zipf),
            ("/f/", "?x", 100, 0.9)
        );
        assert_eq!(class.deadline_header.as_deref(), Some("X-Deadline"));
        assert_eq!(
            (class.connections, class.max_in_flight, class.opened, class.queue),
            (Connections::PerRequest, 8, 8, 5)
        );
        assert!(class.is_good(404) && !class.is_good(201));
    }

    #[test]
    fn mistakes_are_named() {
        let head = "duration = \"1s\"\n[[class]]\nname = \"a\"\nrate = 1\n";
        let message = |rest: &str| parse(&format!("{head}{rest}")).expect_err(rest).to_string();
        assert!(message("path = \"/\"\nbdoy = \"x\"").contains("bdoy"));
        assert!(message("path = \"/{n}\"").contains("`routes` need each other"));
        assert!(message("path = \"/{n}/{n}\"\nroutes = 2").contains("one {n} only"));
        assert!(message("path = \"/\"\nbody_bytes = 100000000000000000").contains("at most 64 MiB"));
        assert!(message("path = \"/\"\nbody_file = \"/dev/zero\"").contains("more than"));
        assert!(message("path = \"/\"\ndeadline = \"50\"").contains("class a: deadline"));
        assert!(message("path = \"/\"\nbody = \"x\"\nbody_bytes = 1").contains("give one of"));
        assert!(message("path = \"/\"\nbody_file = \"no such file\"").contains("no such file"));
        assert!(
            Scenario::load("no-such")
                .expect_err("none")
                .to_string()
                .contains("many-functions")
        );
    }
}

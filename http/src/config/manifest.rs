//! `luge.toml`: its text form, and the checks that turn it into a [`Config`].
//!
//! The first pass is serde's: unknown keys and wrong types end there. The second collects every other problem, so
//! that one run of `luge check` shows them all. Values that can be wrong are `Spanned`, which gives errors a line.

mod scheduling;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hyper::Method;
use hyper::header::HeaderValue;
use serde::Deserialize;
use toml::Spanned;

use super::{
    Config, ConfigError, ConfigErrors, FunctionConfig, Mode, ModuleSource, Place, Preopen, Problem,
    ServerLimits, WASM_PAGE, parse_duration, parse_size,
};
use crate::cgi;
use crate::engine::{Bounds, EngineChoice, Tier, Unbounded};
use crate::preemption::PreemptionMode;
use crate::routes::{RouteError, RouteTable};
use scheduling::{SchedulingTable, TenantTable};

/// Largest manifest and largest module, so that a wrong path (a disk image, a log) ends in words and not in swap.
const MANIFEST_BYTES_MAX: u64 = 4 << 20;
const MODULE_BYTES_MAX: u64 = 256 << 20;
/// Largest bound on a body or a response: both are held in memory as a whole.
const BODY_BYTES_MAX: u64 = 1 << 30;
/// 4 GiB, all that a 32-bit memory can have.
const MEMORY_BYTES_MAX: u64 = 1 << 32;

/// Reads and checks the manifest at `path`.
pub(super) fn load(path: &Path) -> Result<Config, ConfigErrors> {
    let read = |source| {
        ConfigErrors(vec![ConfigError::Read {
            path: path.to_owned(),
            source,
        }])
    };
    let size = std::fs::metadata(path).map_err(read)?.len();
    if size > MANIFEST_BYTES_MAX {
        let reason = format!("{size} bytes are no manifest: at most {MANIFEST_BYTES_MAX} are read");
        return Err(read(std::io::Error::other(reason)));
    }
    let text = std::fs::read_to_string(path).map_err(read)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    parse(&text, &path.display().to_string(), folder)
}

/// Checks the manifest `text`; `file` is how errors name it, `folder` what its paths are relative to.
fn parse(text: &str, file: &str, folder: &Path) -> Result<Config, ConfigErrors> {
    let manifest: Manifest = toml::from_str(text).map_err(|error| {
        ConfigErrors(vec![ConfigError::Syntax {
            file: file.to_owned(),
            line: error.span().map_or(1, |span| line_of(text, span.start)),
            message: error.message().trim_end().replace('\n', "; "),
        }])
    })?;
    let mut check = Check {
        text,
        file,
        folder,
        admission: true,
        tenants: Vec::new(),
        errors: Vec::new(),
    };
    let config = check.config(manifest);
    if check.errors.is_empty() {
        Ok(config)
    } else {
        Err(ConfigErrors(check.errors))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Manifest {
    listen: Option<Spanned<String>>,
    admin: Option<Spanned<String>>,
    cores: Option<Spanned<NonZeroUsize>>,
    #[serde(default)]
    engine: EngineTable,
    #[serde(default)]
    scheduling: SchedulingTable,
    #[serde(default)]
    limits: LimitsTable,
    #[serde(default)]
    tenant: BTreeMap<String, Spanned<TenantTable>>,
    #[serde(default)]
    function: Vec<FunctionTable>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct EngineTable {
    tier: Option<Tier>,
    bounds: Option<Spanned<Bounds>>,
    preemption: Option<PreemptionMode>,
    code_cache: Option<PathBuf>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct LimitsTable {
    connections: Option<Spanned<u64>>,
    queue: Option<Spanned<u64>>,
    started: Option<Spanned<u64>>,
    idle_memory: Option<Spanned<String>>,
    bodies: Option<Spanned<String>>,
    head: Option<Spanned<String>>,
    header_count: Option<Spanned<u64>>,
    target: Option<Spanned<String>>,
    head_timeout: Option<Spanned<String>>,
    body_timeout: Option<Spanned<String>>,
    idle_timeout: Option<Spanned<String>>,
    write_timeout: Option<Spanned<String>>,
    drain: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FunctionTable {
    name: Spanned<String>,
    route: Spanned<String>,
    module: Spanned<PathBuf>,
    tier: Option<Tier>,
    methods: Option<Vec<Spanned<String>>>,
    deadline: Option<Spanned<String>>,
    cpu: Option<Spanned<String>>,
    estimate: Option<Spanned<String>>,
    admission: Option<bool>,
    tenant: Option<Spanned<String>>,
    cpu_share: Option<Spanned<f64>>,
    affinity: Option<Spanned<String>>,
    memory: Option<Spanned<String>>,
    body: Option<Spanned<String>>,
    response: Option<Spanned<String>>,
    #[serde(default)]
    env: BTreeMap<String, Spanned<String>>,
    #[serde(default)]
    args: Vec<Spanned<String>>,
    #[serde(default)]
    dirs: BTreeMap<String, Spanned<String>>,
    mode: Option<Mode>,
    content_type: Option<Spanned<String>>,
    #[serde(default)]
    pass_authorization: bool,
}

/// The second pass: collects problems and carries on with a default in the wrong value's place.
struct Check<'a> {
    text: &'a str,
    file: &'a str,
    folder: &'a Path,
    /// Whether functions that state a deadline are admitted by it.
    admission: bool,
    /// Names of the tenants.
    tenants: Vec<String>,
    errors: Vec<ConfigError>,
}

impl Check<'_> {
    fn config(&mut self, manifest: Manifest) -> Config {
        let mut config = Config::for_functions(Vec::new());
        self.address(&mut config.listen, "listen", manifest.listen);
        self.address(&mut config.admin, "admin", manifest.admin);
        config.cores = manifest.cores.map(Spanned::into_inner);
        config.preemption = manifest.engine.preemption.unwrap_or_default();
        let code_cache = manifest.engine.code_cache.as_ref();
        config.code_cache = code_cache.map(|path| self.folder.join(path));
        self.engine(&mut config.engine, manifest.engine);
        self.admission = manifest.scheduling.admission.unwrap_or(true);
        self.scheduling(&mut config.scheduling, manifest.scheduling);
        self.limits(&mut config.limits, manifest.limits);
        config.tenants = self.tenants(manifest.tenant);
        self.tenants = config.tenants.iter().map(|tenant| tenant.name.clone()).collect();
        if manifest.function.is_empty() {
            self.problem(0..0, "function", Problem::NoFunctions);
        }
        let mut lines_of_names = HashMap::new();
        let mut routes = RouteTable::default();
        for table in manifest.function {
            let name_span = table.name.span();
            let route_span = table.route.span();
            let function = self.function(table);
            let line = self.line(&name_span);
            if let Some(first) = lines_of_names.insert(function.name.clone(), line) {
                let problem = Problem::DuplicateName {
                    name: function.name.clone(),
                    first,
                };
                self.problem(name_span, "function.name", problem);
            }
            if let Err(error) = routes.insert(&function.route, config.functions.len()) {
                let problem = match error {
                    RouteError::Text => Problem::RouteText(function.route.clone()),
                    RouteError::Pattern(reason) => Problem::RoutePattern {
                        route: function.route.clone(),
                        reason,
                    },
                    RouteError::Conflict { with } => Problem::DuplicateRoute {
                        route: function.route.clone(),
                        function: owner_of(&config.functions, &with),
                        with,
                    },
                };
                self.problem(route_span, &format!("function.{}.route", function.name), problem);
            }
            config.functions.push(function);
        }
        config
    }

    fn engine(&mut self, choice: &mut EngineChoice, table: EngineTable) {
        choice.tier = table.tier;
        match table.bounds {
            Some(bounds) if *bounds.get_ref() == Bounds::None => {
                self.problem(bounds.span(), "engine.bounds", Unbounded.into());
            }
            Some(bounds) => choice.bounds = bounds.into_inner(),
            None => {}
        }
    }

    fn limits(&mut self, limits: &mut ServerLimits, table: LimitsTable) {
        self.count(
            &mut limits.connections,
            "limits.connections",
            table.connections,
            1,
            1 << 20,
        );
        self.count(&mut limits.queue, "limits.queue", table.queue, 1, 1 << 20);
        self.count(&mut limits.started, "limits.started", table.started, 1, 1 << 20);
        self.count(
            &mut limits.header_count,
            "limits.header_count",
            table.header_count,
            1,
            4096,
        );
        self.bytes(
            &mut limits.idle_memory,
            "limits.idle_memory",
            table.idle_memory,
            0,
            1 << 40,
        );
        self.bytes(&mut limits.bodies, "limits.bodies", table.bodies, 1024, 1 << 40);
        self.bytes(&mut limits.head_bytes, "limits.head", table.head, 1024, 1 << 20);
        self.bytes(
            &mut limits.target_bytes,
            "limits.target",
            table.target,
            64,
            60 * 1024,
        );
        self.duration(
            &mut limits.head_timeout,
            "limits.head_timeout",
            table.head_timeout,
        );
        self.duration(
            &mut limits.body_timeout,
            "limits.body_timeout",
            table.body_timeout,
        );
        self.duration(
            &mut limits.idle_timeout,
            "limits.idle_timeout",
            table.idle_timeout,
        );
        self.duration(
            &mut limits.write_timeout,
            "limits.write_timeout",
            table.write_timeout,
        );
        self.duration(&mut limits.drain, "limits.drain", table.drain);
    }

    fn function(&mut self, table: FunctionTable) -> FunctionConfig {
        let name_span = table.name.span();
        let name = table.name.into_inner();
        if !is_name(&name) {
            self.problem(name_span, "function.name", Problem::Name(name.clone()));
        }
        let key = |field: &str| format!("function.{name}.{field}");
        let module_span = table.module.span();
        let module = self.folder.join(table.module.into_inner());
        if let Err(problem) = check_module(&module) {
            self.problem(module_span, &key("module"), problem);
        }
        let route = table.route.into_inner();
        let mut function = FunctionConfig::new(name.clone(), route, ModuleSource::File(module));
        function.firm = table
            .admission
            .unwrap_or(self.admission && table.deadline.is_some());
        self.duration(&mut function.deadline, &key("deadline"), table.deadline);
        // A run cannot use more CPU time than its deadline leaves it, so the deadline is the default.
        function.cpu = function.deadline;
        self.duration(&mut function.cpu, &key("cpu"), table.cpu);
        self.estimate(&mut function, table.estimate);
        self.tenant(&mut function, table.tenant);
        self.share(&mut function.cpu_share, &key("cpu_share"), table.cpu_share);
        self.affinity(&mut function, table.affinity);
        let mut memory = u64::from(function.memory_pages) * WASM_PAGE;
        self.bytes(
            &mut memory,
            &key("memory"),
            table.memory,
            WASM_PAGE,
            MEMORY_BYTES_MAX,
        );
        function.memory_pages = u32::try_from(memory / WASM_PAGE).unwrap_or(u32::MAX);
        self.bytes(
            &mut function.body_bytes,
            &key("body"),
            table.body,
            0,
            BODY_BYTES_MAX,
        );
        self.bytes(
            &mut function.response_bytes,
            &key("response"),
            table.response,
            0,
            BODY_BYTES_MAX,
        );
        function.tier = table.tier;
        function.methods = table
            .methods
            .map(|methods| self.methods(&key("methods"), methods));
        function.env = self.environment(&name, table.env);
        function.args = self.arguments(&key("args"), table.args);
        function.dirs = self.directories(&name, table.dirs);
        function.mode = table.mode.unwrap_or(Mode::Raw);
        if let Some(text) = table.content_type {
            function.content_type = media_type(text.get_ref());
            if function.content_type.is_none() {
                self.problem(
                    text.span(),
                    &key("content_type"),
                    Problem::ContentType(text.into_inner()),
                );
            }
        }
        function.pass_authorization = table.pass_authorization;
        function
    }

    fn methods(&mut self, key: &str, texts: Vec<Spanned<String>>) -> Vec<Method> {
        let mut methods = Vec::new();
        for text in texts {
            let known = !text.get_ref().bytes().any(|byte| byte.is_ascii_lowercase());
            match Method::from_bytes(text.get_ref().as_bytes()) {
                Ok(method) if known => methods.push(method),
                _ => self.problem(text.span(), key, Problem::Method(text.into_inner())),
            }
        }
        methods
    }

    fn environment(
        &mut self,
        function: &str,
        table: BTreeMap<String, Spanned<String>>,
    ) -> Vec<(String, String)> {
        let mut variables = Vec::new();
        for (name, value) in table {
            let span = value.span();
            let value = value.into_inner();
            let key = format!("function.{function}.env.{name}");
            if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
                self.problem(span, &key, Problem::Environment(format!("{name}={value}")));
            } else if cgi::is_reserved(&name) {
                self.problem(span, &key, Problem::ReservedVariable(name));
            } else {
                variables.push((name, value));
            }
        }
        variables
    }

    fn arguments(&mut self, key: &str, texts: Vec<Spanned<String>>) -> Vec<String> {
        for text in &texts {
            if text.get_ref().contains('\0') {
                self.problem(text.span(), key, Problem::Argument(text.get_ref().clone()));
            }
        }
        texts.into_iter().map(Spanned::into_inner).collect()
    }

    fn directories(&mut self, function: &str, table: BTreeMap<String, Spanned<String>>) -> Vec<Preopen> {
        let mut preopens = Vec::new();
        for (host, guest) in table {
            let span = guest.span();
            let guest = guest.into_inner();
            let key = format!("function.{function}.dirs");
            let host = self.folder.join(host);
            if !is_guest_path(&guest) {
                self.problem(span.clone(), &key, Problem::GuestPath(guest.clone()));
            }
            // `read_dir` finds out at once whether the folder is there, is a folder, and may be read.
            if let Err(source) = std::fs::read_dir(&host) {
                self.problem(
                    span,
                    &key,
                    Problem::Directory {
                        path: host.clone(),
                        source,
                    },
                );
            }
            preopens.push(Preopen { host, guest });
        }
        preopens
    }

    fn address(&mut self, slot: &mut SocketAddr, key: &str, text: Option<Spanned<String>>) {
        let Some(text) = text else { return };
        match text.get_ref().parse() {
            Ok(address) => *slot = address,
            Err(_) => self.problem(text.span(), key, Problem::Address(text.into_inner())),
        }
    }

    fn duration(&mut self, slot: &mut Duration, key: &str, text: Option<Spanned<String>>) {
        let Some(text) = text else { return };
        match parse_duration(text.get_ref()) {
            Some(duration) => *slot = duration,
            None => self.problem(text.span(), key, Problem::Duration(text.into_inner())),
        }
    }

    fn duration_within(
        &mut self,
        slot: &mut Duration,
        key: &str,
        text: Option<Spanned<String>>,
        [least, most]: [Duration; 2],
    ) {
        let Some(text) = text else { return };
        match parse_duration(text.get_ref()) {
            Some(duration) if !(least..=most).contains(&duration) => {
                let (span, found) = (text.span(), text.into_inner());
                // As it would be written, too, but for the micro sign.
                let [least, most] = [least, most].map(|bound| format!("{bound:?}").replace('µ', "u"));
                self.problem(span, key, Problem::OutOfRange { found, least, most });
            }
            _ => self.duration(slot, key, Some(text)),
        }
    }

    /// `T` is `usize` or `u64`; both hold every allowed size.
    fn bytes<T: TryFrom<u64>>(
        &mut self,
        slot: &mut T,
        key: &str,
        text: Option<Spanned<String>>,
        least: u64,
        most: u64,
    ) {
        let Some(text) = text else { return };
        let Some(bytes) = parse_size(text.get_ref()) else {
            return self.problem(text.span(), key, Problem::Size(text.into_inner()));
        };
        match T::try_from(bytes) {
            Ok(value) if (least..=most).contains(&bytes) => *slot = value,
            _ => {
                let (least, most) = (format!("{least}B"), format!("{most}B"));
                self.problem(
                    text.span(),
                    key,
                    Problem::OutOfRange {
                        found: text.into_inner(),
                        least,
                        most,
                    },
                );
            }
        }
    }

    fn count(&mut self, slot: &mut usize, key: &str, number: Option<Spanned<u64>>, least: u64, most: u64) {
        let Some(number) = number else { return };
        let (span, number) = (number.span(), number.into_inner());
        match usize::try_from(number) {
            Ok(value) if (least..=most).contains(&number) => *slot = value,
            _ => {
                let [found, least, most] = [number, least, most].map(|value| value.to_string());
                self.problem(span, key, Problem::OutOfRange { found, least, most });
            }
        }
    }

    fn problem(&mut self, span: Range<usize>, key: &str, problem: Problem) {
        let place = Place {
            file: self.file.to_owned(),
            line: self.line(&span),
            key: key.to_owned(),
        };
        self.errors.push(ConfigError::Value { place, problem });
    }

    fn line(&self, span: &Range<usize>) -> usize {
        line_of(self.text, span.start)
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text
        .as_bytes()
        .iter()
        .take(offset)
        .filter(|byte| **byte == b'\n')
        .count()
}

fn owner_of(functions: &[FunctionConfig], route: &str) -> String {
    let owner = functions.iter().find(|function| function.route == route);
    owner.map_or_else(String::new, |function| function.name.clone())
}

fn check_module(path: &Path) -> Result<(), Problem> {
    let failed = |source| Problem::Module {
        path: path.to_owned(),
        source,
    };
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(std::io::Error::other("not a file")));
    }
    let bytes = metadata.len();
    if bytes > MODULE_BYTES_MAX {
        return Err(Problem::ModuleSize {
            path: path.to_owned(),
            bytes,
            most: MODULE_BYTES_MAX,
        });
    }
    Ok(())
}

fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (1..=64).contains(&name.len()) && name.bytes().all(allowed)
}

fn is_guest_path(path: &str) -> bool {
    path.starts_with('/') && !path.contains('\0') && path.split('/').all(|part| part != ".." && part != ".")
}

/// A media type of RFC 9110 section 8.3.1, checked as far as a typing error would show.
fn media_type(text: &str) -> Option<HeaderValue> {
    let essence = text.split(';').next().unwrap_or_default().trim();
    let (kind, subtype) = essence.split_once('/')?;
    let is_token = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$&-^_.+".contains(&byte))
    };
    (is_token(kind) && is_token(subtype))
        .then(|| HeaderValue::from_str(text).ok())
        .flatten()
}

#[cfg(test)]
mod tests;

//! The part of a manifest that bears on scheduling: `[scheduling]`, `[tenant.NAME]`, and the keys of functions for it.
//!
//! All values are read as text or numbers with their places, and checked here rather than by serde, so that a wrong name
//! is told together with all other problems.

use std::collections::BTreeMap;
use std::time::Duration;

use hyper::header::HeaderName;
use luge_shards::{ShardsConfig, Steering, SubmissionThread};
use serde::Deserialize;
use toml::Spanned;

use super::{Check, is_name};
use crate::config::{
    Affinity, FunctionConfig, NetworkChoice, Problem, SchedulingConfig, Tenant, parse_duration,
};

/// Shares below are not kept: a debt of a slice would take seconds to pay.
const SHARE_LEAST: f64 = 0.001;

/// Below, locking a page and a second completion cost more than any copy.
const ZERO_COPY_LEAST: u64 = 4096;

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
pub(super) struct SchedulingTable {
    policy: Option<Spanned<String>>,
    /// Whether functions that state a deadline are admitted by it, if they do not say themselves.
    pub(super) admission: Option<bool>,
    fair_admission: Option<bool>,
    spill: Option<bool>,
    steal: Option<bool>,
    steering: Option<Spanned<String>>,
    network: Option<Spanned<String>>,
    receive_buffers: Option<Spanned<u64>>,
    sqpoll: Option<Spanned<String>>,
    sqpoll_cpu: Option<Spanned<u64>>,
    zero_copy: Option<Spanned<String>>,
    busy_poll: Option<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TenantTable {
    cpu_share: Option<Spanned<f64>>,
}

impl Check<'_> {
    pub(super) fn scheduling(&mut self, config: &mut SchedulingConfig, table: SchedulingTable) {
        if let Some(policy) = table.policy {
            match policy.get_ref().parse() {
                Ok(kind) => config.policy = kind,
                Err(unknown) => self.problem(policy.span(), "scheduling.policy", Problem::Policy(unknown)),
            }
        }
        config.fair_admission = table.fair_admission.unwrap_or(config.fair_admission);
        config.spill = table.spill.unwrap_or(config.spill);
        config.steal = table.steal.unwrap_or(config.steal);
        let steerings = [("local", Steering::Local), ("home", Steering::Home)];
        self.choice(
            &mut config.steering,
            "scheduling.steering",
            table.steering,
            &steerings,
        );
        let networks = [
            ("ring", NetworkChoice::Ring),
            ("executor", NetworkChoice::Executor),
            ("auto", NetworkChoice::Auto),
        ];
        self.choice(
            &mut config.network,
            "scheduling.network",
            table.network,
            &networks,
        );
        let mut buffers = usize::from(config.receive_buffers);
        let key = "scheduling.receive_buffers";
        self.count(&mut buffers, key, table.receive_buffers, 1, 1 << 15);
        config.receive_buffers = u16::try_from(buffers).unwrap_or(config.receive_buffers);
        self.sqpoll(config, table.sqpoll, table.sqpoll_cpu);
        if let Some(least) = table.zero_copy {
            let key = "scheduling.zero_copy";
            self.needs_ring(config.network, key, Some(&least));
            let mut slot = 0;
            let most = ShardsConfig::SEND_MAX as u64;
            self.bytes(&mut slot, key, Some(least), ZERO_COPY_LEAST, most);
            config.zero_copy = Some(slot);
        }
        let key = "scheduling.busy_poll";
        self.needs_ring(config.network, key, table.busy_poll.as_ref());
        let bounds = [Duration::from_micros(1), ShardsConfig::BUSY_POLL_MAX];
        self.duration_within(&mut config.busy_poll, key, table.busy_poll, bounds);
    }

    /// All tenants: first the default one, which need not be declared.
    pub(super) fn tenants(&mut self, tables: BTreeMap<String, Spanned<TenantTable>>) -> Vec<Tenant> {
        let mut tenants = vec![Tenant::default()];
        for (name, table) in tables {
            if !is_name(&name) {
                self.problem(table.span(), "tenant", Problem::Name(name.clone()));
            }
            let mut tenant = Tenant {
                name,
                cpu_share: None,
            };
            let key = format!("tenant.{}.cpu_share", tenant.name);
            self.share(&mut tenant.cpu_share, &key, table.into_inner().cpu_share);
            if tenant.name == Tenant::DEFAULT_NAME {
                tenants[0] = tenant;
            } else {
                tenants.push(tenant);
            }
        }
        tenants
    }

    /// The index of the tenant that a function names, among those that are declared.
    pub(super) fn tenant(&mut self, function: &mut FunctionConfig, name: Option<Spanned<String>>) {
        let Some(name) = name else { return };
        let declared = self.tenants.iter().position(|known| known == name.get_ref());
        match declared.and_then(|index| u32::try_from(index).ok()) {
            Some(index) => function.tenant = index,
            None => {
                let key = format!("function.{}.tenant", function.name);
                let problem = Problem::UnknownTenant {
                    known: self.tenants.clone(),
                    name: name.get_ref().clone(),
                };
                self.problem(name.span(), &key, problem);
            }
        }
    }

    /// To be called when deadline and CPU budget are known, which bound what a run can take.
    pub(super) fn estimate(&mut self, function: &mut FunctionConfig, text: Option<Spanned<String>>) {
        let Some(text) = text else { return };
        let key = format!("function.{}.estimate", function.name);
        let Some(estimate) = parse_duration(text.get_ref()) else {
            return self.problem(text.span(), &key, Problem::Duration(text.into_inner()));
        };
        let bounds = [("deadline", function.deadline), ("cpu", function.cpu)];
        match bounds.into_iter().find(|(_, most)| estimate > *most) {
            None => function.estimate = Some(estimate),
            Some((bound, most)) => {
                self.problem(
                    text.span(),
                    &key,
                    Problem::LongEstimate {
                        estimate,
                        bound,
                        most,
                    },
                );
            }
        }
    }

    pub(super) fn share(&mut self, slot: &mut Option<f64>, key: &str, share: Option<Spanned<f64>>) {
        let Some(share) = share else { return };
        if (SHARE_LEAST..=1.0).contains(share.get_ref()) {
            *slot = Some(share.into_inner());
        } else {
            self.problem(share.span(), key, Problem::Share(share.into_inner()));
        }
    }

    pub(super) fn affinity(&mut self, function: &mut FunctionConfig, text: Option<Spanned<String>>) {
        let Some(text) = text else { return };
        match affinity(text.get_ref(), &function.route) {
            Ok(affinity) => function.affinity = Some(affinity),
            Err(problem) => {
                let key = format!("function.{}.affinity", function.name);
                self.problem(text.span(), &key, problem);
            }
        }
    }

    fn sqpoll(
        &mut self,
        config: &mut SchedulingConfig,
        idle: Option<Spanned<String>>,
        cpu: Option<Spanned<u64>>,
    ) {
        if let Some(idle) = idle {
            let key = "scheduling.sqpoll";
            self.needs_ring(config.network, key, Some(&idle));
            let bounds = [Duration::from_millis(1), SubmissionThread::IDLE_MAX];
            let mut slot = bounds[0];
            self.duration_within(&mut slot, key, Some(idle), bounds);
            config.sqpoll = Some(slot);
        }
        if let Some(cpu) = cpu {
            let key = "scheduling.sqpoll_cpu";
            if config.sqpoll.is_none() {
                self.problem(cpu.span(), key, Problem::NeedsKey("scheduling.sqpoll"));
            }
            let mut slot = 0;
            self.count(&mut slot, key, Some(cpu), 0, 65_535);
            config.sqpoll_cpu = u32::try_from(slot).ok();
        }
    }

    /// What is said of the shards' own rings is not said of the executor.
    fn needs_ring<T>(&mut self, network: NetworkChoice, key: &str, value: Option<&Spanned<T>>) {
        if let Some(value) = value.filter(|_| network == NetworkChoice::Executor) {
            self.problem(value.span(), key, Problem::NeedsRing);
        }
    }

    /// One of a few words.
    fn choice<T: Copy>(
        &mut self,
        slot: &mut T,
        key: &str,
        text: Option<Spanned<String>>,
        choices: &[(&'static str, T)],
    ) {
        let Some(text) = text else { return };
        match choices.iter().find(|(word, _)| word == text.get_ref()) {
            Some((_, value)) => *slot = *value,
            None => {
                let allowed = choices.iter().map(|(word, _)| *word).collect();
                let span = text.span();
                let found = text.into_inner();
                self.problem(span, key, Problem::UnknownChoice { found, allowed });
            }
        }
    }
}

fn affinity(text: &str, route: &str) -> Result<Affinity, Problem> {
    let unknown = || Problem::Affinity(text.to_owned());
    let (kind, name) = text.split_once(':').ok_or_else(unknown)?;
    match kind {
        "header" => {
            let name = HeaderName::from_bytes(name.as_bytes());
            name.map(Affinity::Header).map_err(|_| unknown())
        }
        "param" if parameters(route).any(|known| known == name) => Ok(Affinity::Parameter(name.to_owned())),
        "param" => Err(Problem::NoParameter {
            name: name.to_owned(),
            route: route.to_owned(),
        }),
        _ => Err(unknown()),
    }
}

/// The names of the parameters of a route, in its order: those of `{name}` and `{*name}`. `{{` is an escaped brace.
fn parameters(route: &str) -> impl Iterator<Item = &str> {
    let mut rest = route;
    std::iter::from_fn(move || {
        loop {
            let (_, inside) = rest.split_once('{')?;
            if let Some(literal) = inside.strip_prefix('{') {
                rest = literal;
                continue;
            }
            let (name, after) = inside.split_once('}')?;
            rest = after;
            return Some(name.strip_prefix('*').unwrap_or(name));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_those_that_the_router_finds() {
        use crate::routes::RouteTable;

        let cases = [
            ("/users/{id}/{part}.png", "/users/7/a.png"),
            ("/files/{*path}", "/files/a/b"),
            ("/{{x}}/{y}", "/{x}/z"),
            ("/plain", "/plain"),
        ];
        for (route, path) in cases {
            let mut table = RouteTable::default();
            table.insert(route, 0).expect("a route");
            let found = table.find(path).expect("a match").parameters;
            let found: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(parameters(route).collect::<Vec<_>>(), found, "{route}");
        }
        assert_eq!(parameters("/{open").count(), 0);
    }
}

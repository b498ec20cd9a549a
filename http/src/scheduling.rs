//! From the server's configuration to what the shards are started with.
//!
//! ```text
//!   [[function]] n   --> class n       estimate, share, tenant
//!   [tenant.NAME]    --> tenant m      share
//!   [scheduling]     --> policy, steering, stealing
//!   preemption, network, and what the machine has --> preemptive, network mode
//! ```
//! The number of a function is its place among [`Config::functions`], here as in routes, metrics and tasks.

use luge_shards::{
    Capabilities, ClassConfig, CoreSelection, NetworkMode, ShardsConfig, StealingConfig, SteeringConfig,
    SubmissionThread, TenantConfig,
};

use crate::config::{Config, FunctionConfig, NetworkChoice, SchedulingConfig};
use crate::preemption::PreemptionMode;

/// What `cores` shards of such a server are started with, on a machine that has these capabilities.
///
/// The configuration is to be the one that was asked for: where [`PreemptionMode::or_polls`] has already replaced the mode,
/// [`PreemptionMode::Off`] may be lost.
#[must_use]
pub fn shards_config(config: &Config, cores: usize, capabilities: &Capabilities) -> ShardsConfig {
    let (scheduling, limits) = (&config.scheduling, &config.limits);
    ShardsConfig {
        cores: CoreSelection::Count(cores),
        queue_bound: limits.queue,
        started_bound: limits.started,
        drain_grace: limits.drain,
        network: network(scheduling.network, capabilities),
        receive_buffers: scheduling.receive_buffers,
        submission_thread: submission_thread(scheduling, capabilities),
        zero_copy_from: scheduling.zero_copy.filter(|_| capabilities.zero_copy),
        busy_poll: scheduling.busy_poll,
        policy: scheduling.policy,
        preemptive: config.preemption != PreemptionMode::Off,
        fair_admission: scheduling.fair_admission,
        classes: config.functions.iter().map(class).collect(),
        tenants: config
            .tenants
            .iter()
            .map(|tenant| TenantConfig {
                cpu_share: tenant.cpu_share,
            })
            .collect(),
        steering: SteeringConfig {
            steering: scheduling.steering,
            spill: scheduling.spill,
            ..SteeringConfig::default()
        },
        stealing: scheduling.steal.then(StealingConfig::default),
        ..ShardsConfig::default()
    }
}

fn class(function: &FunctionConfig) -> ClassConfig {
    ClassConfig {
        prior: function.estimate,
        tenant: function.tenant,
        cpu_share: function.cpu_share,
    }
}

/// What was asked for, where the kernel gives it.
fn submission_thread(scheduling: &SchedulingConfig, capabilities: &Capabilities) -> Option<SubmissionThread> {
    let idle = scheduling.sqpoll.filter(|_| capabilities.submission_thread)?;
    Some(SubmissionThread {
        idle,
        cpu: scheduling.sqpoll_cpu,
    })
}

fn network(choice: NetworkChoice, capabilities: &Capabilities) -> NetworkMode {
    match choice {
        NetworkChoice::Ring => NetworkMode::Ring,
        NetworkChoice::Auto if capabilities.network_ring => NetworkMode::Ring,
        NetworkChoice::Auto | NetworkChoice::Executor => NetworkMode::Executor,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use luge_shards::{KernelVersion, PolicyKind, Steering};

    use super::*;
    use crate::config::{ModuleSource, Tenant};

    fn machine(network_ring: bool) -> Capabilities {
        Capabilities {
            kernel: KernelVersion { major: 6, minor: 18 },
            memlock: None,
            descriptors: None,
            address_space: None,
            mappings: None,
            cores: vec![0, 1],
            network_ring,
            submission_thread: network_ring,
            zero_copy: network_ring,
        }
    }

    fn function(name: &str) -> FunctionConfig {
        FunctionConfig::new(name.to_owned(), format!("/{name}"), ModuleSource::Embedded(b""))
    }

    #[test]
    fn a_server_that_was_asked_for_nothing_has_the_shards_defaults() {
        let config = Config::for_functions(vec![function("a")]);
        let expected = ShardsConfig {
            cores: CoreSelection::Count(2),
            queue_bound: config.limits.queue,
            started_bound: config.limits.started,
            drain_grace: config.limits.drain,
            classes: vec![ClassConfig::default()],
            tenants: vec![TenantConfig::default()],
            ..ShardsConfig::default()
        };
        assert_eq!(shards_config(&config, 2, &machine(true)), expected);
    }

    #[test]
    fn functions_and_tenants_keep_their_numbers() {
        let mut second = function("b");
        second.estimate = Some(Duration::from_millis(3));
        second.cpu_share = Some(0.25);
        second.tenant = 1;
        let mut config = Config::for_functions(vec![function("a"), second]);
        config.tenants.push(Tenant {
            name: "acme".to_owned(),
            cpu_share: Some(0.5),
        });
        let shards = shards_config(&config, 1, &machine(true));
        assert_eq!(shards.classes[0], ClassConfig::default());
        let expected = ClassConfig {
            prior: Some(Duration::from_millis(3)),
            tenant: 1,
            cpu_share: Some(0.25),
        };
        assert_eq!(shards.classes[1], expected);
        assert_eq!(shards.tenants[0].cpu_share, None);
        assert_eq!(shards.tenants[1].cpu_share, Some(0.5));
    }

    #[test]
    fn every_choice_arrives() {
        let mut config = Config::for_functions(Vec::new());
        config.scheduling.policy = PolicyKind::Fifo;
        config.scheduling.steering = Steering::Home;
        config.scheduling.fair_admission = false;
        config.scheduling.spill = false;
        config.scheduling.steal = false;
        config.scheduling.receive_buffers = 64;
        config.scheduling.busy_poll = Duration::from_micros(200);
        config.preemption = PreemptionMode::Off;
        let shards = shards_config(&config, 1, &machine(true));
        assert_eq!((shards.policy, shards.preemptive), (PolicyKind::Fifo, false));
        assert_eq!(shards.steering.steering, Steering::Home);
        assert!(!shards.steering.spill && !shards.fair_admission);
        assert_eq!((shards.stealing, shards.receive_buffers), (None, 64));
        assert_eq!(shards.busy_poll, Duration::from_micros(200));
    }

    #[test]
    fn what_the_ring_can_have_is_had_where_the_kernel_gives_it() {
        let mut config = Config::for_functions(Vec::new());
        config.scheduling.zero_copy = Some(8192);
        config.scheduling.sqpoll = Some(Duration::from_millis(5));
        config.scheduling.sqpoll_cpu = Some(3);
        let expected = SubmissionThread {
            idle: Duration::from_millis(5),
            cpu: Some(3),
        };
        let given = |machine| {
            let shards = shards_config(&config, 1, &machine);
            (shards.submission_thread, shards.zero_copy_from)
        };
        assert_eq!(given(machine(true)), (Some(expected), Some(8192)));
        let refusing = Capabilities {
            submission_thread: false,
            zero_copy: false,
            ..machine(true)
        };
        assert_eq!(given(refusing), (None, None));
    }

    #[test]
    fn the_network_is_carried_by_what_there_is_unless_it_was_said() {
        let cases = [
            (NetworkChoice::Auto, false, NetworkMode::Executor),
            (NetworkChoice::Auto, true, NetworkMode::Ring),
            (NetworkChoice::Ring, false, NetworkMode::Ring),
            (NetworkChoice::Executor, true, NetworkMode::Executor),
        ];
        for (choice, network_ring, expected) in cases {
            assert_eq!(
                network(choice, &machine(network_ring)),
                expected,
                "{choice:?} where a ring can be had: {network_ring}"
            );
        }
    }
}

//! Each policy's order, its bands, admission and release: scripts of events against the actions they must cause.
//!
//! Class 0 is one of which nothing is known; classes 1, 2 and 3 are said to take 4, 15 and 50 ms. Estimates are the upper
//! ends of buckets of about a twentieth, so they say 4.1, 15.2 and 50.3.
#![expect(
    clippy::disallowed_methods,
    reason = "a script needs one instant to start from"
)]

mod script;

use std::time::Duration;

use luge_shards::{ClassConfig, PolicyKind, SchedulerConfig, TenantConfig};
use script::check_with;

fn config(policy: PolicyKind) -> SchedulerConfig {
    let class = |milliseconds| ClassConfig {
        prior: Some(Duration::from_millis(milliseconds)),
        ..ClassConfig::default()
    };
    SchedulerConfig {
        queue_bound: 10,
        started_bound: 5,
        classes: vec![ClassConfig::default(), class(4), class(15), class(50)],
        ..script::config(policy)
    }
}

#[track_caller]
fn check(policy: PolicyKind, script: &str) {
    check_with(config(policy), script);
}

#[test]
fn edf_lets_the_earliest_deadline_go_first() {
    // Only with bands is a slice cut to what the task is expected to need.
    for (policy, cut) in [(PolicyKind::Edf, [14, 18]), (PolicyKind::PlainEdf, [20, 23])] {
        let script = format!(
            "0 submit 500 3 => admit 0
             0 submit 300 2 => admit 1
             0 free         => run 1 until 10
             10 preempted   =>
             10 submit 30 1 => admit 2
             10 free        => run 2 until {}
             13 done        => end 2 Done 0+3+0 in 1
             13 free        => run 1 until {}
             18 done        => end 1 Done 3+15+0 in 2
             18 submit 500  => admit 3
             18 free        => run 0 until 28",
            cut[0], cut[1]
        );
        check(policy, &script);
    }
}

#[test]
fn plain_edf_looks_at_no_estimate() {
    check(
        PolicyKind::PlainEdf,
        "0 submit 500 1 => admit 0
         0 submit 40 3  => admit 1
         0 free         => run 1 until 10
         10 preempted   =>
         10 free        => run 1 until 20",
    );
}

#[test]
fn srsf_lets_the_shortest_remaining_service_go_first() {
    check(
        PolicyKind::Srsf,
        "0 submit 500 3 => admit 0
         0 submit 600 2 => admit 1
         0 free         => run 1 until 10
         10 preempted   =>
         10 submit 20 2 => admit 2
         10 free        => run 1 until 20
         15 done        => end 1 Done 0+15+0 in 2
         15 submit 60 1 => admit 3
         15 free        => run 3 until 25",
    );
}

#[test]
fn round_robin_gives_a_slice_each() {
    check(
        PolicyKind::RoundRobin,
        "0 submit 500 => admit 0
         0 submit 400 => admit 1
         0 free       => run 0 until 10
         10 preempted =>
         10 free      => run 1 until 20
         12 submit 30 => admit 2
         20 preempted =>
         20 free      => run 0 until 30
         21 blocked 22 =>
         22 free      => run 2 until 30
         23 done      => end 2 Done 10+1+0 in 1
         23 free      => run 1 until 33",
    );
}

#[test]
fn least_slack_lets_the_task_in_the_greatest_danger_go_first() {
    check(
        PolicyKind::LeastSlack,
        "0 submit 100 1 => admit 0
         0 submit 110 3 => admit 1
         0 free         => run 1 until 10
         10 preempted   =>
         10 submit 20 1 => admit 2
         10 free        => run 2 until 14",
    );
}

#[test]
fn tasks_of_about_the_same_slack_alternate() {
    check(
        PolicyKind::LeastSlack,
        "0 submit 200 3 => admit 0
         0 submit 201 3 => admit 1
         0 free         => run 0 until 10
         10 preempted   =>
         10 free        => run 1 until 20
         20 preempted   =>
         20 free        => run 0 until 30",
    );
}

#[test]
fn nothing_is_preempted_by_another_where_that_is_off() {
    let config = SchedulerConfig {
        preemptive: false,
        ..config(PolicyKind::Edf)
    };
    check_with(
        config,
        "0 submit 500 3 => admit 0
         0 free         => run 0 until 10
         5 submit 30 1  => admit 1
         10 preempted   =>
         10 free        => run 0 until 20
         12 blocked 400 =>
         12 free        => run 1 until 22
         15 preempted   =>
         15 cancel 1    => end 1 Cancelled 7+3+0 in 1
         15 free        => idle until 400",
    );
}

#[test]
fn a_task_that_comes_too_late_makes_way() {
    // Task 1 overruns its 15 ms and would make task 0 late: down it goes. Then the core is away: from 46 on task 0 cannot be
    // in time even if it takes an eighth less than its estimate, from 42 on task 1 neither.
    check(
        PolicyKind::Edf,
        "0 submit 80 3 => admit 0
         0 submit 60 2 => admit 1
         0 free        => run 1 until 10
         25 preempted  =>
         25 free       => run 0 until 35
         35 preempted  =>
         35 submit 90 0 => admit 2
         47 free       => run 2 until 48
         48 done       => end 2 Done 12+1+0 in 1
         48 free       => run 1 until 58
         58 preempted  =>
         58 free       => run 1 until 60
         59 done       => end 1 Done 23+36+0 in 3
         59 free       => run 0 until 69
         69 done       => end 0 Done 49+20+0 in 2",
    );
}

#[test]
fn where_not_all_can_be_in_time_the_longest_makes_way() {
    // The core was away until 14: task 0 can still be in time, but not with the other two after it.
    check(
        PolicyKind::Edf,
        "0 submit 60 3 firm => admit 0
         0 submit 62 1 firm => admit 1
         0 submit 64 1 firm => admit 2
         14 free            => run 1 until 18
         18 done            => end 1 Done 14+4+0 in 1
         18 free            => run 2 until 22
         22 done            => end 2 Done 18+4+0 in 1
         22 free            => run 0 until 32",
    );
}

#[test]
fn who_overruns_its_estimate_does_not_make_others_late() {
    // Task 0 is taken for one of 4 ms. When it has had 5, it is taken for one of 10: no longer can both be in time.
    check(
        PolicyKind::Edf,
        "0 submit 23 1 => admit 0
         0 submit 25 2 => admit 1
         0 free        => run 0 until 4
         5 preempted   =>
         5 free        => run 1 until 15
         15 preempted  =>
         15 free       => run 1 until 20
         20 done       => end 1 Done 5+15+0 in 2
         20 free       => run 0 until 23
         23 preempted  => end 0 DeadlineExceeded 15+8+0 in 2",
    );
    // Here they do.
    check(
        PolicyKind::Edf,
        "0 submit 24 1 => admit 0
         0 submit 99 2 => admit 1
         0 free        => run 0 until 4
         5 preempted   =>
         5 free        => run 0 until 10
         10 preempted  =>
         10 free       => run 0 until 20",
    );
}

#[test]
fn a_firm_task_is_refused_when_it_or_an_earlier_promise_would_be_late() {
    check(
        PolicyKind::Edf,
        "0 submit 60 3 firm => admit 0
         0 submit 69 2 firm => admit 1
         0 submit 50 1 firm => reject DeadlineInfeasible
         0 submit 69 1 firm => reject DeadlineInfeasible
         0 submit 75 1 firm => admit 2
         0 submit 3 0 firm  => admit 3
         0 free             => run 3 until 0
         0 done             => end 3 Done 0+0+0 in 1
         0 free             => run 0 until 10
         2 done             => end 0 Done 0+2+0 in 1
         2 submit 10 1 firm => admit 4",
    );
}

#[test]
fn a_task_that_is_not_firm_waits_behind_the_promises() {
    check(
        PolicyKind::Edf,
        "0 submit 60 3 firm => admit 0
         0 submit 40 2      => admit 1
         0 free             => run 0 until 10
         10 blocked 12      =>
         10 free            => run 1 until 20
         13 preempted       =>
         13 free            => run 0 until 23",
    );
}

#[test]
fn without_deadlines_in_the_order_all_work_counts() {
    for policy in [PolicyKind::Fifo, PolicyKind::RoundRobin, PolicyKind::Srsf] {
        check(
            policy,
            "0 submit 900 3     => admit 0
             0 submit 50 1 firm => reject DeadlineInfeasible
             0 submit 60 1 firm => admit 1
             0 free             => run 0 until 10"
                .replace(
                    "run 0",
                    if policy == PolicyKind::Srsf {
                        "run 1"
                    } else {
                        "run 0"
                    },
                )
                .as_str(),
        );
    }
}

#[test]
fn the_task_that_waits_longest_is_given_away() {
    check(
        PolicyKind::Edf,
        "0 submit 300 1 movable => admit 0
         0 submit 400 1 movable => admit 1
         0 submit 500 1         => admit 2
         0 submit 450 2 movable => admit 3
         0 submit 900 3 movable => admit 4
         1 release 7 20         => end 3 Released { to: 7 } 1+0+0 in 0
         1 release 7 10         => end 1 Released { to: 7 } 1+0+0 in 0
         1 release 7 3          =>
         1 free                 => run 0 until 5
         2 preempted            =>
         2 release 7 10         =>
         2 release 7 100        => end 4 Released { to: 7 } 2+0+0 in 0",
    );
}

#[test]
fn a_task_that_was_promised_nothing_is_given_away_first() {
    check(
        PolicyKind::Edf,
        "0 submit 60 3 movable => admit 0
         0 submit 62 2 movable => admit 1
         0 submit 90 2 movable => admit 2
         0 release 7 100       => end 1 Released { to: 7 } 0+0+0 in 0
         0 release 7 100       => end 2 Released { to: 7 } 0+0+0 in 0",
    );
}

#[test]
fn who_is_over_its_share_runs_in_the_gaps_until_the_share_is_there_again() {
    // One in a hundred: 5 ms at once, 0.625 ms of them make it whole again.
    let mut config = config(PolicyKind::Edf);
    config.classes[2].cpu_share = Some(0.01);
    check_with(
        config,
        "0 submit 900 2       => admit 0
         0 submit 990 2       => admit 1
         0 free               => run 0 until 10
         10 preempted         =>
         10 submit 999 3      => admit 2
         10 submit 500 2 firm => reject OverShare
         10 free              => run 2 until 20
         20 blocked 40        =>
         20 free              => run 0 until 30
         30 preempted         =>
         30 release 7 900     =>
         40 free              => run 2 until 50
         50 preempted         =>
         700 free             => run 0 until 710",
    );
}

#[test]
fn the_classes_of_a_tenant_share_its_share() {
    for policy in [
        PolicyKind::Edf,
        PolicyKind::LeastSlack,
        PolicyKind::RoundRobin,
        PolicyKind::Srsf,
    ] {
        let mut config = config(policy);
        config.tenants = vec![
            TenantConfig::default(),
            TenantConfig {
                cpu_share: Some(0.01),
            },
        ];
        config.classes[1].tenant = 1;
        config.classes[2].tenant = 1;
        check_with(
            config,
            "0 submit 900 2      => admit 0
             0 free              => run 0 until 10
             10 preempted        =>
             10 submit 99 1 firm => reject OverShare
             10 submit 99 1      => admit 1
             10 submit 999 3     => admit 2
             10 free             => run 2 until 20",
        );
    }
}

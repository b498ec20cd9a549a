//! The scheduler as a state machine: scripts of events against the actions they must cause, under first in, first out.
#![expect(
    clippy::disallowed_methods,
    reason = "a script needs one instant to start from"
)]

mod script;

use luge_shards::PolicyKind;
use script::{check_with, config};

#[track_caller]
fn check(script: &str) {
    check_with(config(PolicyKind::Fifo), script);
}

#[test]
fn nothing_to_do() {
    check("0 free => idle");
}

#[test]
fn one_task_runs_to_its_end() {
    check(
        "0 submit 100 => admit 0
         5 free       => run 0 until 15
         8 done       => end 0 Done 5+3+0 in 1
         8 free       => idle",
    );
}

#[test]
fn a_preempted_task_keeps_its_place_at_the_front() {
    check(
        "0 submit 100 => admit 0
         0 submit 100 => admit 1
         0 free       => run 0 until 10
         10 preempted =>
         12 free      => run 0 until 22
         20 done      => end 0 Done 2+18+0 in 2
         20 free      => run 1 until 30
         21 done      => end 1 Done 20+1+0 in 1",
    );
}

#[test]
fn a_sleeper_lets_the_next_run_and_goes_ahead_of_later_ones_when_it_wakes() {
    check(
        "0 submit 100 => admit 0
         0 submit 100 => admit 1
         0 submit 100 => admit 2
         0 free       => run 0 until 10
         2 blocked 5  =>
         2 free       => run 1 until 12
         12 preempted =>
         12 free      => run 0 until 22
         13 done      => end 0 Done 7+3+3 in 2
         13 free      => run 1 until 23
         14 done      => end 1 Done 3+11+0 in 2
         14 free      => run 2 until 24",
    );
}

#[test]
fn what_comes_after_a_sleep_is_waiting_for_the_core() {
    check(
        "0 submit 100 => admit 0
         0 free       => run 0 until 10
         1 blocked 5  =>
         1 free       => idle until 5
         7 free       => run 0 until 17
         8 done       => end 0 Done 2+2+4 in 2",
    );
}

#[test]
fn a_sleep_that_is_over_already_is_no_sleep() {
    check(
        "0 submit 100 => admit 0
         0 free       => run 0 until 10
         4 blocked 3  =>
         4 free       => run 0 until 14",
    );
}

#[test]
fn the_deadline_ends_a_task_in_every_state() {
    check(
        "0 submit 20   => admit 0
         0 submit 15   => admit 1
         0 submit 5    => admit 2
         0 free        => run 0 until 10
         10 preempted  =>
         10 free       => end 2 DeadlineExceeded 10+0+0 in 0; run 0 until 20
         20 preempted  => end 0 DeadlineExceeded 0+20+0 in 2
         20 free       => end 1 DeadlineExceeded 20+0+0 in 0; idle
         20 submit 40  => admit 3
         20 free       => run 3 until 30
         21 blocked 90 =>
         21 free       => idle until 40
         40 free       => end 3 DeadlineExceeded 0+1+19 in 1; idle",
    );
}

#[test]
fn finished_work_counts_even_when_late() {
    check(
        "0 submit 5 => admit 0
         0 free     => run 0 until 5
         9 done     => end 0 Done 0+9+0 in 1",
    );
}

#[test]
fn the_cpu_budget_shortens_the_last_slice_and_ends_the_task() {
    check(
        "0 budgeted 100 12 => admit 0
         0 free          => run 0 until 10
         10 preempted    =>
         50 free         => run 0 until 52
         52 preempted    => end 0 CpuBudgetExceeded 40+12+0 in 2",
    );
}

#[test]
fn what_another_process_takes_uses_no_cpu_budget() {
    // 5 ms of the first slice were another's: the budget holds for 7 ms more.
    check(
        "0 budgeted 100 12    => admit 0
         0 free              => run 0 until 10
         10 preempted kept 5 =>
         50 free             => run 0 until 57
         57 preempted        => end 0 CpuBudgetExceeded 45+12+0 in 2",
    );
}

#[test]
fn waiting_uses_no_cpu_budget() {
    check(
        "0 budgeted 1000 10 => admit 0
         0 free           => run 0 until 10
         3 blocked 500    =>
         500 free         => run 0 until 507
         501 done         => end 0 Done 0+4+497 in 2",
    );
}

#[test]
fn the_queue_is_bounded() {
    check(
        "0 submit 100 => admit 0
         0 submit 100 => admit 1
         0 submit 100 => admit 2
         0 submit 100 => reject QueueFull
         0 free       => run 0 until 10
         0 submit 100 => admit 3
         0 submit 100 => reject QueueFull
         0 cancel 2   => end 2 Cancelled 0+0+0 in 0
         0 submit 100 => admit 4",
    );
}

#[test]
fn no_task_starts_while_as_many_are_under_way_as_may_be() {
    check(
        "0 submit 100 => admit 0
         0 submit 100 => admit 1
         0 submit 100 => admit 2
         0 free       => run 0 until 10
         1 blocked 50 =>
         1 free       => run 1 until 11
         2 blocked 60 =>
         2 free       => idle until 50
         3 cancel 1   => end 1 Cancelled 1+1+1 in 1
         3 free       => run 2 until 13",
    );
}

#[test]
fn a_task_is_cancelled_in_every_state_and_once() {
    check(
        "0 submit 100 => admit 0
         0 submit 100 => admit 1
         1 cancel 1   => end 1 Cancelled 1+0+0 in 0
         1 cancel 1   =>
         1 free       => run 0 until 11
         2 cancel 0   =>
         3 preempted  => end 0 Cancelled 1+2+0 in 1
         3 cancel 0   =>
         3 submit 100 => admit 2
         3 cancel 0   =>
         3 free       => run 2 until 13
         4 cancel 2   =>
         5 done       => end 2 Done 0+2+0 in 1",
    );
}

#[test]
fn a_panic_ends_its_task() {
    check(
        "0 submit 100 => admit 0
         0 submit 100 => admit 1
         0 free       => run 0 until 10
         1 panicked   => end 0 Panicked 0+1+0 in 1
         1 free       => run 1 until 11",
    );
}

#[test]
fn a_drain_lets_tasks_finish_until_the_grace_is_over() {
    check(
        "0 submit 1000  => admit 0
         0 submit 1000  => admit 1
         0 submit 1000  => admit 2
         0 free         => run 0 until 10
         5 drain        =>
         5 submit 1000  => reject Draining
         6 done         => end 0 Done 0+6+0 in 1
         6 free         => run 1 until 16
         9 drain        =>
         10 blocked 500 =>
         10 free        => run 2 until 20
         20 preempted   =>
         100 free       => run 2 until 105
         104 preempted  =>
         105 free       => end 1 Drained 6+4+95 in 1; end 2 Drained 91+14+0 in 2; idle",
    );
}

#[test]
fn the_grace_also_ends_the_running_task_and_wakes_an_idle_shard() {
    check(
        "0 submit 1000 => admit 0
         0 submit 1000 => admit 1
         0 free        => run 0 until 10
         1 blocked 900 =>
         1 drain       =>
         1 free        => run 1 until 11
         1 blocked 900 =>
         1 free        => idle until 101
         95 cancel 1   => end 1 Cancelled 1+0+94 in 1
         101 free      => end 0 Drained 0+1+100 in 1; idle",
    );
    check(
        "0 submit 1000 => admit 0
         0 free        => run 0 until 10
         0 drain       =>
         120 preempted => end 0 Drained 0+120+0 in 1",
    );
}

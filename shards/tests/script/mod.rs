//! Scripts for a scheduler: one event a line, as `time event => actions`.
//!
//! Times are milliseconds since the start; tasks are numbered in the order of their admission.
#![allow(dead_code, reason = "each test binary uses a part of this module")]

use std::fmt::Write;
use std::time::Duration;

use luge_shards::{
    Action, AnyPolicy, Event, Instant, PolicyKind, Scheduler, SchedulerConfig, SliceOutcome, Step, TaskId,
    TaskMeta,
};

/// Small bounds, slices of 10 ms.
pub(crate) fn config(policy: PolicyKind) -> SchedulerConfig {
    SchedulerConfig {
        queue_bound: 3,
        started_bound: 2,
        quantum: Duration::from_millis(10),
        drain_grace: Duration::from_millis(100),
        policy,
        ..SchedulerConfig::default()
    }
}

/// A scheduler that is told a script.
pub(crate) struct Script {
    scheduler: Scheduler<AnyPolicy>,
    start: Instant,
    ids: Vec<TaskId>,
}

impl Script {
    fn new(config: SchedulerConfig) -> Self {
        let policy = AnyPolicy::new(config.policy);
        Self {
            scheduler: Scheduler::new(config, policy),
            start: Instant::now(),
            ids: Vec::new(),
        }
    }

    fn instant(&self, word: &str) -> Instant {
        self.start + milliseconds(word)
    }

    /// `submit deadline [class [firm | movable]]`, `budgeted deadline budget`, `free`, `done`, `preempted [kept time]`,
    /// `blocked until`, `panicked`, `cancel task`, `release shard want`, `drain`.
    fn event(&self, words: &[&str]) -> Event {
        let sliced_but = |step: Step, kept: Duration| Event::Sliced {
            outcome: SliceOutcome::Returned(step),
            kept,
        };
        let sliced = |step: Step| sliced_but(step, Duration::ZERO);
        match words {
            ["submit", deadline, rest @ ..] => Event::Submit(TaskMeta {
                deadline: self.instant(deadline),
                cpu_budget: Duration::MAX,
                class: rest.first().map_or(0, |word| word.parse().unwrap()),
                movable: rest.contains(&"movable"),
                firm: rest.contains(&"firm"),
            }),
            ["budgeted", deadline, budget] => Event::Submit(TaskMeta {
                deadline: self.instant(deadline),
                cpu_budget: milliseconds(budget),
                class: 0,
                movable: false,
                firm: false,
            }),
            ["release", to, want] => Event::Release {
                to: to.parse().unwrap(),
                want: milliseconds(want),
            },
            ["free"] => Event::CoreFree,
            ["done"] => sliced(Step::Done),
            ["preempted"] => sliced(Step::Preempted),
            ["preempted", "kept", kept] => sliced_but(Step::Preempted, milliseconds(kept)),
            ["blocked", until] => sliced(Step::Blocked {
                until: self.instant(until),
            }),
            ["panicked"] => Event::Sliced {
                outcome: SliceOutcome::Panicked,
                kept: Duration::ZERO,
            },
            ["cancel", task] => Event::Cancel(self.ids[task.parse::<usize>().unwrap()]),
            ["drain"] => Event::Drain,
            other => panic!("no such event: {other:?}"),
        }
    }

    fn step(&mut self, now: &str, words: &[&str]) -> String {
        let (now, event) = (self.instant(now), self.event(words));
        let mut actions = Vec::new();
        self.scheduler.handle(event, now, &mut actions);
        let mut text = String::new();
        for action in actions {
            if !text.is_empty() {
                text.push_str("; ");
            }
            self.describe(action, &mut text);
        }
        text
    }

    fn describe(&mut self, action: Action, text: &mut String) {
        let at = |instant: Instant| (instant - self.start).as_millis();
        let number = |id: TaskId| self.ids.iter().position(|&known| known == id).unwrap();
        match action {
            Action::Admitted(id) => {
                assert!(!self.ids.contains(&id), "an id is given once");
                write!(text, "admit {}", self.ids.len()).unwrap();
                self.ids.push(id);
            }
            Action::Reject(reason) => {
                let name = format!("{reason:?}");
                let name = name.split_whitespace().next().unwrap();
                write!(text, "reject {name}").unwrap();
            }
            Action::Run { id, slice } => {
                write!(text, "run {} until {}", number(id), at(slice.until)).unwrap();
            }
            Action::End { id, ending, account } => {
                let (queued, ran, blocked) = (
                    account.waited().as_millis(),
                    account.ran.as_millis(),
                    account.blocked.as_millis(),
                );
                write!(
                    text,
                    "end {} {ending:?} {queued}+{ran}+{blocked} in {}",
                    number(id),
                    account.slices
                )
                .unwrap();
            }
            Action::Idle {
                wake_at: Some(instant),
            } => write!(text, "idle until {}", at(instant)).unwrap(),
            Action::Idle { wake_at: None } => text.push_str("idle"),
        }
    }
}

fn milliseconds(word: &str) -> Duration {
    Duration::from_millis(word.parse().unwrap())
}

/// Checks that each line of a script causes the actions that it names.
#[track_caller]
pub(crate) fn check_with(config: SchedulerConfig, script: &str) {
    let mut machine = Script::new(config);
    for line in script.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (event, expected) = line.split_once("=>").expect("a line is `time event => actions`");
        let words: Vec<&str> = event.split_whitespace().collect();
        let actual = machine.step(words[0], &words[1..]);
        assert_eq!(actual, expected.trim(), "at `{}`", event.trim());
    }
}

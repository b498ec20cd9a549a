//! What a person sees while the suite runs: a bar on stderr if that is a terminal, notices in any case.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// The bar, or nothing but notices.
#[derive(Debug)]
pub struct Progress {
    bar: ProgressBar,
    notices: bool,
}

impl Progress {
    /// On stderr.
    ///
    /// # Panics
    /// If the bar's template is not well-formed: it is a part of this function.
    pub fn on_stderr() -> Progress {
        let target = if std::io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {msg} ({elapsed}, {eta} left)");
        let bar = ProgressBar::with_draw_target(Some(0), target);
        bar.set_style(style.expect("a well-formed template"));
        Progress { bar, notices: true }
    }

    /// Nowhere.
    pub fn silent() -> Progress {
        Progress {
            bar: ProgressBar::hidden(),
            notices: false,
        }
    }

    /// There are so many steps.
    pub(crate) fn begin(&self, steps: u64) {
        self.bar.set_length(steps);
        self.bar.reset();
    }

    /// One step is done.
    pub(crate) fn step(&self) {
        self.bar.inc(1);
    }

    /// What is being done now.
    pub(crate) fn say(&self, text: &str) {
        self.bar.set_message(text.to_owned());
    }

    /// Something that the reader of the report has to know.
    pub(crate) fn notice(&self, text: &str) {
        if self.notices {
            self.bar.suspend(|| eprintln!("notice: {text}"));
        }
    }

    /// All is done; the bar goes away.
    pub(crate) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

impl Drop for Progress {
    /// A run that ends early leaves no half of a bar beside its error.
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

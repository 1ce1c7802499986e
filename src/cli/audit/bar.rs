//! A bar for what takes longer than a second, on a terminal alone.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::clock::Clock;

/// Shows itself once a second has passed.
pub struct SlowBar {
    bar: ProgressBar,
    clock: Clock,
    begun: kernel::time::Timestamp,
}

impl SlowBar {
    /// A bar over segments.
    pub fn of_segments(word: &str) -> Self {
        Self::new(&format!("{word} {{bar:32}} {{pos}}/{{len}} segments {{eta}}"))
    }

    /// A bar over bytes.
    pub fn of_bytes(word: &str) -> Self {
        Self::new(&format!("{word} {{bar:32}} {{bytes}}/{{total_bytes}} {{bytes_per_sec}} {{eta}}"))
    }

    fn new(template: &str) -> Self {
        let clock = Clock::system();
        let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::hidden());
        let bar = match ProgressStyle::with_template(template) {
            Ok(style) => bar.with_style(style),
            Err(_) => bar,
        };
        Self { begun: clock.now(), bar, clock }
    }

    pub fn set(&self, done: u64, total: u64) {
        if self.bar.is_hidden() && self.clock.now().since(self.begun) >= SLOW {
            // Hidden all the same where standard error is no terminal.
            self.bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(5));
        }
        self.bar.set_length(total);
        self.bar.set_position(done);
    }
}

impl Drop for SlowBar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}

const SLOW: Duration = Duration::from_secs(1);

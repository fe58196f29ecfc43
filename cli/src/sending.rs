//! Showing how a dataset is sent: a bar on a terminal, and remarks on standard error.

use crate::output::Output;
use crate::safe;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sluse_sender::Progress;
use std::io::IsTerminal as _;
use std::time::Duration;

const BAR: &str = "{bar:30} {decimal_bytes} of {decimal_total_bytes}  {decimal_bytes_per_sec}  {eta} left {wide_msg}";

/// What a person sees while a dataset is sent.
pub struct Shown<'a> {
    out: &'a Output,
    /// Only on a terminal.
    bar: Option<ProgressBar>,
    /// What was durable before is no measure of speed.
    resumed: bool,
    trouble: Option<String>,
}

impl<'a> Shown<'a> {
    /// Shows nothing yet.
    pub fn new(out: &'a Output) -> Self {
        let style = ProgressStyle::with_template(BAR).ok();
        let bar = style.filter(|_| std::io::stderr().is_terminal()).map(|style| {
            let bar = ProgressBar::with_draw_target(Some(0), ProgressDrawTarget::stderr()).with_style(style);
            bar.enable_steady_tick(Duration::from_millis(250));
            bar
        });
        Self { out, bar, resumed: false, trouble: None }
    }

    /// Shows one thing that happened.
    pub fn show(&mut self, progress: Progress) {
        match progress {
            Progress::Planned { totals } => {
                if let Some(bar) = &self.bar {
                    bar.set_length(totals.bytes);
                }
            }
            Progress::Accepted { transfer, .. } => {
                self.resumed = true;
                self.detail(&format!("Transfer {transfer}"));
            }
            Progress::Durable { bytes } => self.durable(bytes),
            Progress::Sealing => self.message("sealing"),
            Progress::State { state } => self.detail(&format!("Now {state}")),
            Progress::Receipt { kind, file } => self.detail(&format!("Receipt: {kind}, {}", file.display())),
            Progress::Clock { ahead_seconds } => {
                let where_to = if ahead_seconds > 0 { "ahead of" } else { "behind" };
                let apart = ahead_seconds.unsigned_abs();
                let note = format!(
                    "This host's clock is {apart} s {where_to} the zone's. Nothing fails for that, but set it."
                );
                match &self.bar {
                    Some(bar) => bar.println(safe::text(&note)),
                    None => self.out.note(note),
                }
            }
            Progress::Retrying { why, after } => self.trouble(&why, after),
        }
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }

    fn durable(&mut self, bytes: u64) {
        self.trouble = None;
        if let Some(bar) = &self.bar {
            bar.set_position(bytes);
            if std::mem::take(&mut self.resumed) {
                bar.reset_eta();
            }
            bar.set_message("");
        }
    }

    fn trouble(&mut self, why: &str, after: Duration) {
        self.message(&format!("trying again in {:.0} s", after.as_secs_f64().ceil()));
        // The same trouble again is no news.
        if self.trouble.as_deref() != Some(why) {
            self.trouble = Some(why.to_owned());
            let note = format!("Trying again: {why}");
            match &self.bar {
                Some(bar) => bar.println(safe::text(&note)),
                None => self.out.note(note),
            }
        }
    }

    /// What only a person at a terminal wants to see.
    fn detail(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.println(safe::text(text));
        }
    }

    fn message(&self, text: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(safe::text(text));
        }
    }
}

//! How often repetitions passed, and how sure that is.

use super::{renderer::Renderer, units::count};
use crate::{rate, text::inline};
use host_model::PassRate;

/// Rates that are shown.
const MAX_RATES: usize = 50;
/// Widest column of names.
const MAX_NAME_WIDTH: usize = 48;

impl Renderer {
    pub(super) fn rates(&self, rates: &[PassRate], out: &mut String) {
        if rates.is_empty() {
            return;
        }
        self.figure("pass rates (95 % confidence interval):", out);
        let shown = &rates[..rates.len().min(MAX_RATES)];
        let names: Vec<String> = shown.iter().map(|rate| inline(&rate.id.to_string())).collect();
        let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0).min(MAX_NAME_WIDTH);
        for (it, name) in shown.iter().zip(&names) {
            self.figure(&format!("  {name:width$}  {}", rate::describe(it)), out);
        }
        let more = rates.len() - shown.len();
        if more > 0 {
            self.figure(&format!("  … {} in {}", count(more, "more rate"), self.writer().log()), out);
        }
    }
}

//! How many calls each tool has answered, refused and failed.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering;

use crate::domain::names::names;

names! {
    /// How a tool call ended.
    pub(crate) enum Ended {
        Answered = "answered",
        /// The arguments were wrong, or the call was refused.
        Refused = "refused",
        Failed = "failed",
    }
}

/// Tool calls since the server started.
#[derive(Debug)]
pub(crate) struct CallCounts {
    tools: Vec<(&'static str, [AtomicU64; Ended::ALL.len()])>,
}

impl CallCounts {
    pub(crate) fn new(tools: impl IntoIterator<Item = &'static str>) -> Self {
        Self { tools: tools.into_iter().map(|tool| (tool, Default::default())).collect() }
    }

    /// Each tool with each way to end and how often it did, in a fixed order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'static str, Ended, u64)> {
        self.tools.iter().flat_map(|(tool, by_end)| {
            Ended::ALL.map(|ended| (*tool, ended, by_end[ended as usize].load(Ordering::Relaxed)))
        })
    }

    /// Counts one call of a tool.
    pub(crate) fn count(&self, tool: &str, ended: Ended) {
        if let Some((_, counts)) = self.tools.iter().find(|(name, _)| *name == tool) {
            counts[ended as usize].fetch_add(1, Ordering::Relaxed);
        }
    }
}

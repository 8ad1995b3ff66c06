//! The result of the comparison, for people and for scripts.
#![expect(clippy::print_stdout, reason = "the report is this program's output")]

use serde_json::Value;
use serde_json::json;

/// One call, and how long each server took for it.
struct Row {
    what: String,
    small: Spread,
    large: Spread,
}

#[derive(Clone, Copy)]
struct Spread {
    p50: f64,
    p99: f64,
}

impl Spread {
    fn of(samples: &[f64]) -> Self {
        let mut sorted = samples.to_vec();
        sorted.sort_by(f64::total_cmp);
        let at = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100).max(1);
            sorted.get(rank - 1).copied().unwrap_or_default()
        };
        Self { p50: at(50), p99: at(99) }
    }
}

pub(crate) struct Table {
    tickets: u64,
    pub(super) database_bytes: u64,
    /// The memory of each server, when it was ready and after the calls, in KiB.
    pub(super) memory: [(u64, u64); 2],
    rows: Vec<Row>,
}

impl Table {
    pub(super) fn new(tickets: u64) -> Self {
        Self { tickets, database_bytes: 0, memory: [(0, 0); 2], rows: Vec::new() }
    }

    pub(super) fn pair(&mut self, what: &str, small: &[f64], large: &[f64]) {
        let row = Row { what: what.to_owned(), small: Spread::of(small), large: Spread::of(large) };
        self.rows.push(row);
    }

    pub(super) fn two(&mut self, what: &str, sides: &[Vec<f64>; 2]) {
        self.pair(what, &sides[0], &sides[1]);
    }

    pub(crate) fn print_json(&self) {
        let rows: Vec<Value> = self
            .rows
            .iter()
            .map(|row| {
                json!({
                    "what": row.what, "empty_p50_ms": row.small.p50, "empty_p99_ms": row.small.p99,
                    "full_p50_ms": row.large.p50, "full_p99_ms": row.large.p99,
                    "ratio_p50": row.large.p50 / row.small.p50, "ratio_p99": row.large.p99 / row.small.p99,
                })
            })
            .collect();
        let report = json!({
            "tickets": self.tickets, "database_bytes": self.database_bytes, "rows": rows,
            "memory_kib": {"empty": self.memory[0], "full": self.memory[1]},
        });
        println!("{report:#}");
    }

    pub(crate) fn print(&self) {
        println!(
            "{} closed tickets beside one, {} MB\n",
            self.tickets,
            self.database_bytes / 1_000_000
        );
        println!(
            "{:<48}{:>10}{:>10}{:>10}{:>10}{:>8}{:>8}",
            "ms", "p50", "p99", "p50 full", "p99 full", "p50 x", "p99 x"
        );
        for row in &self.rows {
            let Row { what, small, large } = row;
            println!(
                "{what:<48}{:>10.2}{:>10.2}{:>10.2}{:>10.2}{:>8.2}{:>8.2}",
                small.p50,
                small.p99,
                large.p50,
                large.p99,
                large.p50 / small.p50,
                large.p99 / small.p99
            );
        }
        let [empty, full] = self.memory;
        println!(
            "\nserver, KiB when ready and after the calls: empty {} {}, full {} {}",
            empty.0, empty.1, full.0, full.1
        );
    }
}

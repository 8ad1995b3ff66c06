//! The numbers, for people and for scripts.
#![expect(clippy::print_stdout, reason = "the report is this program's output")]

use std::time::Duration;

use serde_json::Value;
use serde_json::json;

use crate::load::Load;
use crate::memory::Memory;
use crate::pipeline::ClaimToExec;
use crate::pipeline::Throughput;

/// The middle and the upper end of a distribution.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Quantiles {
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    pub(crate) max: Duration,
}

impl Quantiles {
    /// All zeros if there are no samples.
    pub(crate) fn of(mut samples: Vec<Duration>) -> Self {
        samples.sort_unstable();
        let at = |percent: usize| {
            let rank = (samples.len() * percent).div_ceil(100).max(1);
            samples.get(rank - 1).copied().unwrap_or_default()
        };
        Self { p50: at(50), p99: at(99), max: at(100) }
    }

    pub(crate) fn to_json(self) -> Value {
        json!({"p50_ms": ms(self.p50), "p99_ms": ms(self.p99), "max_ms": ms(self.max)})
    }
}

pub(crate) struct Report {
    pub(crate) loads: Vec<Load>,
    pub(crate) throughput: Throughput,
    pub(crate) claim_to_exec: ClaimToExec,
    pub(crate) memory: Memory,
}

impl Report {
    pub(crate) fn print_json(&self) {
        let loads: Vec<Value> = self.loads.iter().map(Load::to_json).collect();
        let report = json!({
            "profile": profile(),
            "processors": std::thread::available_parallelism().map_or(0, usize::from),
            "requests": loads,
            "pipeline": self.throughput.to_json(),
            "claim_to_exec": self.claim_to_exec.to_json(),
            "memory": self.memory.to_json(),
        });
        println!("{report:#}");
    }

    pub(crate) fn print_tables(&self) {
        let processors = std::thread::available_parallelism().map_or(0, usize::from);
        println!("{} build, {processors} processors\n", profile());
        println!(
            "{:<26}{:>8}{:>10}{:>12}{:>10}{:>10}{:>10}",
            "requests", "clients", "requests", "per second", "p50 ms", "p99 ms", "max ms"
        );
        for load in &self.loads {
            let Quantiles { p50, p99, max } = load.latency;
            println!(
                "{:<26}{:>8}{:>10}{:>12.0}{:>10.3}{:>10.3}{:>10.3}",
                load.what,
                load.clients,
                load.requests,
                load.rate(),
                ms(p50),
                ms(p99),
                ms(max)
            );
        }
        let throughput = &self.throughput;
        println!("\nrounds of {} three-stage tickets on one server", throughput.tickets);
        for (at, round) in throughput.rounds.iter().enumerate() {
            println!(
                "  {}: {:>6.1} per second ({:.1} s), then the server holds {:.1} MiB",
                at + 1,
                throughput.rate(*round),
                round.took.as_secs_f64(),
                mib(round.server_kib)
            );
        }
        let claim = &self.claim_to_exec;
        println!("\nto the agent's first instruction, ms ({} attempts)", claim.attempts);
        print_quantiles("since the claim", claim.since_claim);
        print_quantiles("since the grant is stored", claim.since_grant_stored);
        let memory = self.memory;
        println!("\nresident memory, MiB");
        println!("  {:<40}{:>8.1}", "server, new", mib(memory.server_idle_kib));
        let full = format!("server, {} tickets, after the load", memory.tickets);
        println!("  {full:<40}{:>8.1}", mib(memory.server_full_kib));
        println!("  {:<40}{:>8.1}", "shim, with a running agent", mib(memory.shim_kib));
    }
}

pub(crate) fn per_second(count: usize, took: Duration) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX)) / took.as_secs_f64()
}

fn print_quantiles(what: &str, quantiles: Quantiles) {
    let Quantiles { p50, p99, max } = quantiles;
    println!("  {what:<28}p50 {:>8.2}   p99 {:>8.2}   max {:>8.2}", ms(p50), ms(p99), ms(max));
}

pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

fn mib(kib: u64) -> f64 {
    f64::from(u32::try_from(kib).unwrap_or(u32::MAX)) / 1024.0
}

fn profile() -> &'static str {
    if cfg!(debug_assertions) { "debug" } else { "release" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_samples() {
        let samples = (1..=200).map(Duration::from_millis).collect();
        let expected = Quantiles {
            p50: Duration::from_millis(100),
            p99: Duration::from_millis(198),
            max: Duration::from_millis(200),
        };
        assert_eq!(Quantiles::of(samples), expected);
        assert_eq!(Quantiles::of(Vec::new()), Quantiles::default());
        let one = Duration::from_millis(7);
        assert_eq!(Quantiles::of(vec![one]), Quantiles { p50: one, p99: one, max: one });
    }
}

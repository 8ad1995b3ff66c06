//! From the configuration to the settings of each part of the server.

use std::num::NonZeroU32;
use std::num::NonZeroUsize;
use std::time::Duration;

use shim_protocol::grant;
use tokio::sync::watch;

use crate::config;
use crate::config::Environment;
use crate::config::Settings;
use crate::dispatcher;
use crate::domain::pipeline::Policy;
use crate::domain::retry::Backoff;
use crate::mcp::Auth;
use crate::mcp::Key;
use crate::mcp::Limits;
use crate::store::Rules;

/// Longest wait between retries that an overloaded model service asks for.
const OVERLOAD_BACKOFF_MAX: Duration = Duration::from_mins(30);

pub(super) fn rules(settings: &Settings) -> Rules {
    let backoff = |first, most: Duration| Backoff { first: Duration::from_millis(first), most };
    Rules {
        policy: Policy {
            max_rework: i64::from(settings.max_rework),
            retry: backoff(
                settings.retry_backoff_ms,
                Duration::from_millis(settings.retry_backoff_max_ms),
            ),
            overload: backoff(settings.overload_backoff_ms, OVERLOAD_BACKOFF_MAX),
            again: Policy::default().again,
        },
        max_workers: i64::from(settings.max_workers),
        max_gates: max_gates(settings.max_gates),
        max_usd_per_day: Some(settings.max_usd_per_day).filter(|usd| *usd > 0.0),
        budget_warning_percent: i64::from(settings.budget_warning_percent),
        max_descendants: i64::from(settings.max_descendants),
    }
}

/// Gates mostly compute, so more of them than processors only slow each other down.
fn max_gates(configured: u32) -> i64 {
    let processors = || std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    match configured {
        0 => i64::try_from(processors()).unwrap_or(1),
        most => i64::from(most),
    }
}

pub(super) fn agent_settings(
    settings: &Settings,
    environment: &Environment,
) -> dispatcher::Settings {
    dispatcher::Settings {
        agent_command: settings.agent_command.clone(),
        search_path: environment.get("PATH").map(str::to_owned),
        env: settings.env.clone(),
        env_pass: settings.env_pass.clone(),
        limits: grant::Limits {
            timeout_ms: None,
            stall_ms: None,
            result_linger_ms: settings.result_linger_ms,
            grace_ms: settings.stop_grace_ms,
            kill_after_ms: settings.kill_after_ms,
            segment_bytes: settings.transcript_segment_bytes,
            segments: settings.transcript_segments,
            start_ms: Some(settings.start_timeout_ms).filter(|ms| *ms > 0),
            max_turns: None,
            max_repeats: Some(settings.max_repeated_calls).filter(|calls| *calls > 0),
        },
        usage_reserve: f64::from(settings.usage_reserve_percent) / 100.0,
        linger: Duration::from_millis(settings.linger_ms),
        heartbeat: Duration::from_millis(settings.heartbeat_ms),
    }
}

pub(super) fn limits_of_clients(settings: &Settings) -> Limits {
    Limits {
        requests_per_second: NonZeroU32::new(settings.max_requests_per_second),
        waiting_calls: usize::try_from(settings.max_waiting_calls).unwrap_or(usize::MAX),
        connections: usize::try_from(settings.max_connections).unwrap_or(usize::MAX),
    }
}

pub(super) fn auth(wanted: config::Auth, key: watch::Receiver<Key>) -> Auth {
    match wanted {
        config::Auth::Token => Auth::Token(key),
        config::Auth::None => Auth::None,
    }
}

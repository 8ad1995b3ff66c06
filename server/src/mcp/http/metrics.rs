//! `GET /metrics`: counts for Prometheus, as text.

use std::fmt::Write as _;

use crate::disk::Room;
use crate::mcp::counts::CallCounts;
use crate::store::Counts;

/// The page.
pub(crate) fn exposition(
    counts: &Counts,
    calls: &CallCounts,
    room: Option<Room>,
    waiting: usize,
    draining: bool,
) -> String {
    let mut page = String::with_capacity(4096);
    let mut line = |text: std::fmt::Arguments<'_>| {
        page.write_fmt(text).expect("writing to a String cannot fail");
        page.push('\n');
    };
    line(format_args!("# HELP vibe_ensemble_build_info The running version; always 1."));
    line(format_args!("# TYPE vibe_ensemble_build_info gauge"));
    line(format_args!("vibe_ensemble_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION")));
    line(format_args!("# HELP vibe_ensemble_tickets Tickets by state."));
    line(format_args!("# TYPE vibe_ensemble_tickets gauge"));
    let tickets = &counts.tickets_by_state;
    for (state, count) in [
        ("blocked", tickets.blocked),
        ("scheduled", tickets.scheduled),
        ("queued", tickets.queued),
        ("running", tickets.running),
        ("on_hold", tickets.on_hold),
        ("closed", tickets.closed),
    ] {
        line(format_args!("vibe_ensemble_tickets{{state=\"{state}\"}} {count}"));
    }
    line(format_args!("# HELP vibe_ensemble_workers_live Workers that are not stopped."));
    line(format_args!("# TYPE vibe_ensemble_workers_live gauge"));
    line(format_args!("vibe_ensemble_workers_live {}", counts.workers_live));
    line(format_args!("# HELP vibe_ensemble_events_total Events ever appended to the log."));
    line(format_args!("# TYPE vibe_ensemble_events_total counter"));
    line(format_args!("vibe_ensemble_events_total {}", counts.events));
    line(format_args!("# HELP vibe_ensemble_waiting_calls Calls that wait for an event."));
    line(format_args!("# TYPE vibe_ensemble_waiting_calls gauge"));
    line(format_args!("vibe_ensemble_waiting_calls {waiting}"));
    line(format_args!(
        "# HELP vibe_ensemble_draining 1 while the server is draining and starts nothing new."
    ));
    line(format_args!("# TYPE vibe_ensemble_draining gauge"));
    line(format_args!("vibe_ensemble_draining {}", u8::from(draining)));
    if let Some(Room { free, low }) = room {
        line(format_args!(
            "# HELP vibe_ensemble_state_dir_free_bytes Free space on the file system of the state directory."
        ));
        line(format_args!("# TYPE vibe_ensemble_state_dir_free_bytes gauge"));
        line(format_args!("vibe_ensemble_state_dir_free_bytes {free}"));
        line(format_args!(
            "# HELP vibe_ensemble_disk_low 1 while nothing new is started for lack of disk space."
        ));
        line(format_args!("# TYPE vibe_ensemble_disk_low gauge"));
        line(format_args!("vibe_ensemble_disk_low {}", u8::from(low)));
    }
    line(format_args!("# HELP vibe_ensemble_tool_calls_total Tool calls since the start."));
    line(format_args!("# TYPE vibe_ensemble_tool_calls_total counter"));
    for (tool, ended, count) in calls.iter() {
        line(format_args!(
            "vibe_ensemble_tool_calls_total{{tool=\"{tool}\",ended=\"{}\"}} {count}",
            ended.name()
        ));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::project::TicketCounts;
    use crate::mcp::counts::Ended;

    #[test]
    fn the_page_counts_tickets_workers_and_calls() {
        let calls = CallCounts::new(["get_ticket"]);
        calls.count("get_ticket", Ended::Refused);
        calls.count("tickle", Ended::Failed);
        let counts = Counts {
            tickets_by_state: TicketCounts { queued: 3, ..TicketCounts::default() },
            workers_live: 2,
            events: 7,
        };
        let room = Room { free: 1 << 20, low: true };
        let page = exposition(&counts, &calls, Some(room), 3, true);
        for wanted in [
            "vibe_ensemble_tickets{state=\"queued\"} 3\n",
            "vibe_ensemble_workers_live 2\n",
            "vibe_ensemble_waiting_calls 3\n",
            "vibe_ensemble_state_dir_free_bytes 1048576\n",
            "vibe_ensemble_draining 1\n",
            "vibe_ensemble_disk_low 1\n",
            "vibe_ensemble_tool_calls_total{tool=\"get_ticket\",ended=\"refused\"} 1\n",
        ] {
            assert!(page.contains(wanted), "{wanted} is not in\n{page}");
        }
    }
}

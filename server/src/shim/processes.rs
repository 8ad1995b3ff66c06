//! Whether a process that was once known is still there.

use shim_evidence::boot;
use shim_evidence::process;

use crate::domain::reconcile::Process;
use crate::domain::trace::Trace;

pub use shim_evidence::process::is_this_program;

/// What became of the process that left these traces.
#[must_use]
pub fn process(trace: &Trace) -> Process {
    judge(trace, boot::id().as_deref())
}

fn judge(trace: &Trace, boot: Option<&str>) -> Process {
    if let (Some(then), Some(now)) = (trace.boot_id.as_deref(), boot)
        && then != now
    {
        return Process::Ended;
    }
    let pid = i32::try_from(trace.pid).unwrap_or_default();
    match process::exists(pid) {
        Some(true) => {}
        Some(false) => return Process::Ended,
        None => return Process::Unknown,
    }
    let found = process::Process::read(pid).map(|found| (found.is_zombie(), found.started));
    match (found, trace.started_ticks) {
        (Some((false, started)), Some(then)) if started == then => Process::Running,
        (Some((true, _)), _) | (Some((false, _)), Some(_)) => Process::Ended,
        (Some((false, _)), None) | (None, _) => Process::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start_and_its_boot() {
        let own = i64::from(std::process::id());
        let started = process::Process::read(i32::try_from(own).unwrap()).unwrap().started;
        let trace = Trace {
            pid: own,
            started_ticks: Some(started),
            boot_id: Some("this".into()),
            ..Trace::default()
        };
        let this = Some("this");
        assert_eq!(judge(&trace, this), Process::Running);
        assert_eq!(judge(&trace, Some("another")), Process::Ended, "the machine was restarted");
        let other = Trace { started_ticks: Some(started + 1), ..trace.clone() };
        assert_eq!(judge(&other, this), Process::Ended, "its number is another's");
        let vague = Trace { started_ticks: None, ..trace.clone() };
        assert_eq!(judge(&vague, this), Process::Unknown);
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = i64::from(child.id());
        child.wait().unwrap();
        assert_eq!(judge(&Trace { pid, ..trace.clone() }, this), Process::Ended);
        assert_eq!(judge(&Trace { pid: 0, ..trace }, this), Process::Unknown, "none was seen");
    }
}

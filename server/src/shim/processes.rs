//! Whether a process that was once known is still there.

use rustix::process::Pid;
use rustix::process::test_kill_process;

use crate::domain::reconcile::Process;
use crate::domain::trace::Trace;
use crate::shim::family;

/// What became of the process that left these traces.
#[must_use]
pub fn process(trace: &Trace) -> Process {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
    judge(trace, boot.as_deref().map(str::trim))
}

fn judge(trace: &Trace, boot: Option<&str>) -> Process {
    if let (Some(then), Some(now)) = (trace.boot_id.as_deref(), boot)
        && then != now
    {
        return Process::Ended;
    }
    let Some(pid) = i32::try_from(trace.pid).ok().filter(|pid| *pid > 1).and_then(Pid::from_raw)
    else {
        return Process::Unknown;
    };
    // Asked of the kernel and not of /proc, which hides a shim from a service's own user.
    match test_kill_process(pid) {
        Ok(()) => {}
        Err(rustix::io::Errno::SRCH) => return Process::Ended,
        Err(_) => return Process::Unknown,
    }
    match (stat(trace.pid), trace.started_ticks) {
        (Some((false, started)), Some(then)) if started == then => Process::Running,
        (Some((true, _)), _) | (Some((false, _)), Some(_)) => Process::Ended,
        (Some((false, _)), None) | (None, _) => Process::Unknown,
    }
}

/// Whether the process is dead and only not reaped, and when it was started, in clock ticks since boot.
fn stat(pid: i64) -> Option<(bool, u64)> {
    let found = family::process(i32::try_from(pid).ok()?)?;
    Some((matches!(found.state, 'Z' | 'X'), found.started))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_its_start_and_its_boot() {
        let own = i64::from(std::process::id());
        let (dead, started) = stat(own).unwrap();
        assert!(!dead);
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

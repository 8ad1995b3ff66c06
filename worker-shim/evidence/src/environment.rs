//! The environment with which a process was started. Variables in it mark the processes of an
//! attempt.

use std::fs;
use std::time::Duration;

use shim_protocol::run_dir::ATTEMPT_VARIABLE;
use shim_protocol::run_dir::PLACE_VARIABLE;
use shim_protocol::run_dir::SERVER_VARIABLE;

/// The variables of one process. Empty for a process that is gone, and for one whose environment this user may not read.
#[derive(Debug)]
pub struct Environment {
    bytes: Vec<u8>,
}

impl Environment {
    #[must_use]
    pub fn of(pid: i32) -> Self {
        Self { bytes: fs::read(format!("/proc/{pid}/environ")).unwrap_or_default() }
    }

    /// The same, with another look at a process that is just executing another program and shows no
    /// environment for a moment. A caller that took it for a stranger would run its ticket a second
    /// time.
    #[must_use]
    pub fn settled(pid: i32) -> Self {
        const LOOKS: u32 = 5;
        for _ in 0..LOOKS {
            let found = Self::of(pid);
            // Kernel threads and ended processes run no program, and never have an environment.
            if !found.bytes.is_empty() || fs::read_link(format!("/proc/{pid}/exe")).is_err() {
                return found;
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Self { bytes: Vec::new() }
    }

    /// The value of a variable, if it is set.
    #[must_use]
    pub fn value(&self, variable: &str) -> Option<&[u8]> {
        self.bytes
            .split(|byte| *byte == 0)
            .find_map(|entry| entry.strip_prefix(variable.as_bytes())?.strip_prefix(b"="))
    }

    /// The attempt that the process belongs to, if it carries the marks of this server in this
    /// place. A grant of a server of an earlier version names no place.
    #[must_use]
    pub fn attempt_of(&self, server_id: &str, place_id: &str) -> Option<&str> {
        let is_here = self.value(PLACE_VARIABLE).is_none_or(|place| place == place_id.as_bytes());
        let attempt = self.value(ATTEMPT_VARIABLE).filter(|_| is_here)?;
        let attempt = std::str::from_utf8(attempt).ok()?;
        self.has(SERVER_VARIABLE, server_id).then_some(attempt)
    }

    /// Whether a variable has exactly this value.
    #[must_use]
    pub fn has(&self, variable: &str, value: &str) -> bool {
        self.value(variable) == Some(value.as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_is_found_by_its_whole_name_and_value() {
        let environment = Environment { bytes: b"A=1\0AB=2=3\0C=\0D".to_vec() };
        assert_eq!(environment.value("A"), Some(&b"1"[..]));
        assert_eq!(environment.value("AB"), Some(&b"2=3"[..]));
        assert!(environment.has("C", ""));
        assert!(!environment.has("A", "10") && !environment.has("A", ""));
        assert_eq!(environment.value("B"), None);
        assert_eq!(environment.value("D"), None, "it has no value");
    }
}

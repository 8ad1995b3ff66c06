//! The network that a process is in.
//!
//! systemd starts a unit with `PrivateNetwork=yes` even where it can create no network of its own for
//! it, and only logs that. So a setting proves nothing, and two things are looked at: the namespace,
//! because programs listen even on a machine without a network, and the interfaces in it.

use std::fs;
use std::os::unix::fs::MetadataExt as _;

use shim_protocol::message::Network;

/// Its inode is the namespace's.
const NAMESPACE: &str = "/proc/self/ns/net";

/// What the kernel shows of the interfaces in this process's network.
const INTERFACES: &str = "/proc/self/net/dev";

/// Leads back to the same machine, and is part of every network.
const LOOPBACK: &str = "lo";

/// The kernel puts these into each new network by itself while its modules for tunnels are loaded. A
/// tunnel needs another interface to lead anywhere.
const TUNNELS: [&str; 9] =
    ["erspan0", "gre0", "gretap0", "ip6_vti0", "ip6gre0", "ip6tnl0", "ip_vti0", "sit0", "tunl0"];

/// The network of this process; `None` if it cannot be seen.
#[must_use]
pub fn own() -> Option<Network> {
    let namespace = fs::metadata(NAMESPACE).ok()?.ino();
    let leads_out = leads_out(&fs::read_to_string(INTERFACES).ok()?)?;
    Some(Network { namespace, leads_out })
}

/// Whether one of these interfaces leads out of the machine. An interface that is down counts: it may
/// come up later.
fn leads_out(interfaces: &str) -> Option<bool> {
    // Two lines are the head of the table.
    let mut names = Vec::new();
    for line in interfaces.lines().skip(2) {
        names.push(line.split_once(':')?.0.trim());
    }
    if !names.contains(&LOOPBACK) {
        return None;
    }
    Some(names.iter().any(|name| *name != LOOPBACK && !TUNNELS.contains(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As the kernel prints them.
    fn table(names: &[&str]) -> String {
        let head = "Inter-|   Receive                                                |  Transmit\n \
                    face |bytes    packets errs drop fifo frame compressed multicast|bytes\n";
        let row = |name: &&str| format!("{name:>6}:     120       2    0    0    0     0\n");
        head.to_owned() + &names.iter().map(row).collect::<String>()
    }

    #[test]
    fn only_the_loopback_interface_and_tunnels_to_nowhere_are_no_network() {
        assert_eq!(leads_out(&table(&["lo"])), Some(false));
        assert_eq!(leads_out(&table(&["lo", "tunl0", "sit0", "ip6tnl0"])), Some(false));
        assert_eq!(leads_out(&table(&["lo", "eth0"])), Some(true));
        assert_eq!(leads_out(&table(&["wg0", "lo"])), Some(true));
    }

    #[test]
    fn what_cannot_be_read_proves_nothing() {
        assert_eq!(leads_out(""), None);
        assert_eq!(leads_out(&table(&[])), None);
        assert_eq!(leads_out(&table(&["eth0"])), None, "no network is without the loopback");
        assert_eq!(leads_out(&(table(&["lo"]) + "something else\n")), None);
    }

    #[test]
    fn the_network_of_this_process_can_be_seen() {
        let seen = own().expect("it is this process's own");
        let link = fs::read_link(NAMESPACE).expect("a link");
        assert_eq!(link.to_string_lossy(), format!("net:[{}]", seen.namespace));
    }
}

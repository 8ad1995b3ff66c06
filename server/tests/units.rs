//! The units of gates without a network are those of workers, without the network: a change of one of them is one of both.

use std::fs;
use std::path::Path;

/// The settings of a unit, without comments.
fn settings(file: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/systemd").join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let is_setting = |line: &&str| !line.is_empty() && !line.starts_with('#');
    text.lines().filter(is_setting).map(str::to_owned).collect()
}

/// What the gates' file has in place of the workers' one, line by line.
fn differences(workers: &str, gates: &str) -> Vec<String> {
    let (workers, gates) = (settings(workers), settings(gates));
    let missing =
        workers.iter().filter(|line| !gates.contains(line)).map(|line| format!("-{line}"));
    let added = gates.iter().filter(|line| !workers.contains(line)).map(|line| format!("+{line}"));
    missing.chain(added).collect()
}

#[test]
fn a_gate_without_a_network_is_contained_like_any_worker() {
    let described = ["-Description=Vibe-Ensemble worker %i", "+Description=Vibe-Ensemble gate %i"];
    let network = "+PrivateNetwork=yes";
    let service = |whose: &str| {
        differences(
            &format!("{whose}/vibe-ensemble-worker@.service"),
            &format!("{whose}/vibe-ensemble-gate@.service"),
        )
    };
    assert_eq!(service("system"), [described[0], described[1], network]);
    assert_eq!(service("user"), described);
    let file = "50-namespaces.conf";
    let drop_in = differences(
        &format!("user/vibe-ensemble-worker@.service.d/{file}"),
        &format!("user/vibe-ensemble-gate@.service.d/{file}"),
    );
    assert_eq!(drop_in, [network]);
    for (whose, directory) in [("system", "/run"), ("user", "%t")] {
        let socket = differences(
            &format!("{whose}/vibe-ensemble-worker.socket"),
            &format!("{whose}/vibe-ensemble-gate.socket"),
        );
        let expected = [
            "-Description=Vibe-Ensemble launcher of workers".to_owned(),
            format!("-ListenStream={directory}/vibe-ensemble/worker.sock"),
            "+Description=Vibe-Ensemble launcher of gates without a network".to_owned(),
            format!("+ListenStream={directory}/vibe-ensemble/gate.sock"),
        ];
        assert_eq!(socket, expected);
    }
}

//! Restarts, kills, stops and a reboot under working workers.

use e2e::eventually::eventually;

use crate::load::Load;
use crate::operator::SERVER;
use crate::operator::SOCKET;
use crate::prober::Prober;
use crate::say;

/// How many agents run while the server is disturbed.
const AGENTS: usize = 20;

/// Ends the server in every way that an operator has, again and again, while agents run and a
/// client connects all the time.
pub(crate) async fn under_load(load: &Load<'_>, rounds: u32) {
    let operator = &load.operator;
    let running = load.running(AGENTS, "restarts", "").await;
    let prober = Prober::start(operator.place.address);
    for round in 0..rounds {
        let before = operator.server_pid();
        let how = match round % 4 {
            0 => {
                operator.systemctl(&["restart", SERVER]);
                "systemctl restart"
            }
            1 => {
                operator.kill("KILL", before);
                "kill -9"
            }
            2 => {
                // The shims dial the socket, so systemd may start the server again first.
                operator.systemctl(&["stop", SERVER]);
                operator.systemctl(&["start", SERVER]);
                "systemctl stop and start"
            }
            _ => {
                operator.systemctl_kill("KILL", SERVER);
                "systemctl kill --signal=KILL"
            }
        };
        operator.is_back(before).await;
        load.assert_untouched(&running, how);
    }
    let seen = prober.stop();
    assert_eq!(seen.refused, 0, "a restart refuses no connection: {seen:?}");
    assert!(seen.answered > 0, "{seen:?}");
    load.finish_once(&running).await;
    say(&format!(
        "{rounds} restarts, kills, stops under {AGENTS} workers: none was lost, each agent ran once; of {} connections \
         {} were answered, {} cut by a kill, none refused",
        seen.answered + seen.cut,
        seen.answered,
        seen.cut
    ));
}

/// To keep the server stopped, stop its socket; the workers continue nevertheless.
pub(crate) async fn stopped_for_good(load: &Load<'_>) {
    let operator = &load.operator;
    let running = load.running(2, "stopped", "").await;
    operator.systemctl(&["stop", SOCKET]);
    assert_eq!(operator.property(SERVER, "ActiveState"), "inactive");
    load.assert_untouched(&running, "stopping the socket");
    // Their agents finish while no server is there to hear it.
    load.open("stopped");
    let records: Vec<_> = load
        .agents()
        .calls()
        .into_iter()
        .filter(|call| running.tickets.contains(&call.ticket))
        .map(|call| {
            operator
                .machine
                .path(&format!("{}/attempts/{}/exit.json", operator.place.state, call.attempt))
        })
        .collect();
    eventually("the results are sealed", || {
        let sealed = records.iter().filter(|record| record.exists()).count();
        let all = sealed == records.len();
        std::future::ready(if all { Ok(()) } else { Err(format!("{sealed}")) })
    })
    .await;
    assert_eq!(operator.property(SERVER, "ActiveState"), "inactive", "nobody starts it");
    operator.systemctl(&["start", SERVER]);
    load.finish_once(&running).await;
    say(
        "stopped together with its socket: it stayed stopped, two workers kept running, their results were taken at the start",
    );
}

/// Reboots the machine in the middle of work. Afterwards everything resumes by itself.
pub(crate) async fn reboot(load: &mut Load<'_>) {
    let running = load.running(AGENTS, "reboot", "").await;
    say(&format!("reboot while {AGENTS} agents run"));
    load.operator.machine.container().reboot().await;
    let operator = load.operator;
    eventually("the server is up after the boot", || async {
        let state = operator.property(SERVER, "ActiveState");
        if state == "active" { Ok(()) } else { Err(state) }
    })
    .await;
    load.again();
    load.finish(&running).await;
    load.assert_no_overlaps();
    let runs = load.agents().runs();
    let most = running.tickets.iter().filter_map(|t| runs.get(&format!("{t}.build"))).max();
    assert_eq!(most, Some(&2), "interrupted once, then run to the end: {runs:?}");
    for ticket in &running.tickets {
        let found = load.get(ticket).await;
        assert_eq!(found["attempts_used"], 0, "a reboot is not the ticket's fault: {found}");
    }
    say("rebooted: the server came back by itself and every ticket finished, at nobody's charge");
}

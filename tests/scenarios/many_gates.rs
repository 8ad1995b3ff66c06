//! Many tickets at once whose gates build in their own worktrees: nothing is shared between them but the machine.

use std::collections::BTreeSet;
use std::fs;

use e2e::bed::Bed;
use e2e::eventually::eventually;
use e2e::server::Setup;
use serde_json::json;

use crate::gates::project;

const TICKETS: usize = 16;
const MAX_GATES: usize = 3;

/// Listens on the port in its first argument, as long as its build takes, and leaves a daemon behind.
const PROGRAM: &str = r#"
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int main(int argc, char **argv) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (argc != 2) return 2;
    address.sin_port = htons((unsigned short)atoi(argv[1]));
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 1)) {
        perror("its port is taken");
        return 1;
    }
    if (fork() == 0) {
        close(listener);
        setsid();
        sleep(600);
        return 0;
    }
    usleep(100 * 1000);
    return 0;
}
"#;

#[e2e::scenario]
async fn sixteen_tickets_build_side_by_side_and_share_no_port_no_target_and_no_process() {
    let setup = Setup::default().max_workers(4).arg("--max-gates").arg(MAX_GATES.to_string());
    let bed = Bed::with(setup).await;
    let (log, go) = (bed.server.path("log"), bed.server.path("go"));
    // `mkdir` fails if another gate has built there.
    let line = format!(
        "echo begin $VIBE_ENSEMBLE_TICKET >> {log}; while ! test -e {go}; do sleep 0.05; done
         mkdir deps && cc -o deps/server $(dirname {log})/server.c && deps/server $VIBE_ENSEMBLE_PORT
         status=$?
         echo end $VIBE_ENSEMBLE_TICKET $VIBE_ENSEMBLE_PORT $PWD/deps >> {log}
         exit $status",
        log = log.display(),
        go = go.display()
    );
    let command = json!(["sh", "-c", line]);
    let file = format!(
        "[worktree]\nports = 2\n\n[[gate]]\nname = \"build\"\ncommand = {command}\nretries = 0\nbaseline = false\n"
    );
    fs::write(bed.server.path("server.c"), PROGRAM).expect("writable");
    project(&bed, &["build"], &file, json!({})).await;
    let mut ids = Vec::new();
    for _ in 0..TICKETS {
        ids.push(bed.ticket("shop", &["build"], "fake: build: write a.txt {ticket}").await);
    }
    for id in &ids {
        bed.called(id, "build", 1).await;
    }
    let begun = || fs::read_to_string(&log).unwrap_or_default().matches("begin").count();
    eventually("as many gates run as may", || {
        let begun = begun();
        std::future::ready(if begun == MAX_GATES { Ok(()) } else { Err(format!("{begun}")) })
    })
    .await;
    fs::write(&go, "").expect("writable");
    for id in &ids {
        bed.completed(id).await;
    }

    let text = fs::read_to_string(&log).expect("they ran");
    let (mut running, mut most) = (0_usize, 0);
    let (mut ports, mut targets) = (BTreeSet::new(), BTreeSet::new());
    for line in text.lines() {
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["begin", _] => running += 1,
            ["end", _, port, target] => {
                running -= 1;
                ports.insert(port);
                targets.insert(target);
            }
            _ => panic!("{text}"),
        }
        most = most.max(running);
    }
    assert_eq!(most, MAX_GATES, "{text}");
    assert_eq!((ports.len(), targets.len()), (TICKETS, TICKETS), "{text}");
    bed.nothing_is_left().await;
}

//! The coordinator's token as a credential of systemd's: it reaches the server, and nobody else.

use e2e::client::Client;
use serde_json::json;

use crate::load::Load;
use crate::operator::SERVER;
use crate::say;

const FILE: &str = "/etc/credstore/vibe-ensemble-token";
const TOKEN: &str = "credential-0123456789abcdef0123456789abcdef";

pub(crate) async fn reaches_the_server(load: &mut Load<'_>) {
    let operator = load.operator;
    let machine = operator.machine;
    machine.write(FILE, &format!("{TOKEN}\n"));
    machine.run(&["chmod", "600", FILE]);
    let before = operator.server_pid();
    operator.drop_in(
        SERVER,
        "credential",
        &format!("[Service]\nLoadCredential=coordinator-token:{FILE}\n"),
    );
    operator.systemctl(&["restart", SERVER]);
    let pid = operator.is_back(before).await;

    let own = operator.client();
    load.client = Client::reconnecting(operator.place.address, Some(TOKEN.to_owned()));
    load.client.ok("list_projects", json!({})).await;
    let status = own.call_tool("list_projects", json!({})).await.status;
    assert_eq!(status, 401, "the token in the state directory does not count");
    machine.run(&["vibe-ensemble", "status", "--json"]);
    let refused = machine.output(&["vibe-ensemble", "rotate-token"]);
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && words.contains("LoadCredential="), "{words}");

    let environment = machine.sh(&format!("tr '\\0' '\\n' </proc/{pid}/environ"));
    let shown = operator.systemctl(&["show", SERVER]);
    assert!(environment.contains("CREDENTIALS_DIRECTORY=") && !environment.contains(TOKEN));
    assert!(!shown.contains(TOKEN), "systemd shows where it is, never what it is");

    // The agents run as the same user, and the unit keeps them from reading it.
    let (script, told) = (load.gate("credential.sh"), load.gate("credential-told"));
    machine.write(
        &script,
        &format!(
            "{{ env; cat /run/credentials/*/* {FILE} /proc/{pid}/environ /proc/{pid}/maps; echo tried; }} >{told} 2>&1\n"
        ),
    );
    operator.own(&format!("{}/fake", operator.place.home));
    let ticket = load.ticket(&format!("fake: build: run sh {script}")).await;
    load.completed(&ticket).await;
    let said = machine.sh(&format!("cat {told}"));
    assert!(said.ends_with("tried") && !said.contains(TOKEN), "{said}");
    assert!(!said.contains("CREDENTIALS_DIRECTORY") && !said.contains("[heap]"), "{said}");
    // Nor can a process of the same user outside any unit read it.
    let account = operator.place.account;
    let look = ["setpriv", "--reuid", account, "--regid", account, "--init-groups", "cat"];
    for file in ["environ", "maps", "mem"] {
        let mut look = look.to_vec();
        let file = format!("/proc/{pid}/{file}");
        look.push(&file);
        let output = machine.output(&look);
        let complaint = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.stdout.is_empty() && complaint.contains("Permission denied"), "{complaint}");
    }

    operator.drop_in(SERVER, "credential", "");
    operator.systemctl(&["restart", SERVER]);
    operator.is_back(pid).await;
    machine.run(&["rm", FILE]);
    load.again();
    load.client.ok("list_projects", json!({})).await;
    say(
        "a token passed with LoadCredential= reached the server and operators' commands; it was in no environment, and \
         neither an agent nor its user elsewhere could look for it",
    );
}

/// The same in a user's manager, although nothing there keeps the file from the user's own agents.
pub(crate) async fn reaches_a_users_server(load: &mut Load<'_>) {
    let operator = load.operator;
    let file = format!("{}/.config/vibe-ensemble/token", operator.place.home);
    operator.machine.write(&file, TOKEN);
    operator.machine.run(&["chmod", "600", &file]);
    let before = operator.server_pid();
    // As the unit file proposes.
    let line = "[Service]\nLoadCredential=coordinator-token:%E/vibe-ensemble/token\n";
    operator.drop_in(SERVER, "credential", line);
    operator.systemctl(&["restart", SERVER]);
    let pid = operator.is_back(before).await;
    load.client = Client::reconnecting(operator.place.address, Some(TOKEN.to_owned()));
    load.client.ok("list_projects", json!({})).await;
    operator.run(&["vibe-ensemble", "status", "--json"]);
    operator.drop_in(SERVER, "credential", "");
    operator.systemctl(&["restart", SERVER]);
    operator.is_back(pid).await;
    load.again();
    load.client.ok("list_projects", json!({})).await;
    say("a token passed with LoadCredential= reached a user's server and the user's commands");
}

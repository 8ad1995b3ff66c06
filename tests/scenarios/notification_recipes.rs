//! The recipes of the manual for notifications, as they stand there, against receivers on this machine.

use std::collections::BTreeMap;
use std::fs;
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use e2e::bed::Bed;
use e2e::eventually::eventually_within;
use e2e::receiver::Receiver;
use serde_json::Value;
use serde_json::json;

use super::notifications::PATIENCE;
use super::notifications::Told;
use super::notifications::begun;
use super::notifications::is;
use super::notifications::notifier;
use super::notifications::quiet_project;

/// The recipes of the manual: each block of its section whose table begins with `[[notify]]`, by name.
fn recipes() -> BTreeMap<String, String> {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("../packaging/OPERATING.md");
    let manual = fs::read_to_string(manual).expect("the manual is there");
    let (_, section) = manual.split_once("\n## Notifications\n").expect("it has this section");
    let section = section.split("\n## ").next().expect("a section");
    let blocks = section.split("```toml\n").skip(1).filter_map(|rest| rest.split_once("\n```"));
    let named = blocks.filter_map(|(block, _)| {
        let (_, rest) = block.split_once("name = \"")?;
        let (name, _) = rest.split_once('"')?;
        Some((name.to_owned(), block.to_owned()))
    });
    named.collect()
}

#[e2e::scenario(needs(Recipes))]
async fn the_recipes_of_the_manual_reach_slack_ntfy_a_mail_server_and_a_desktop() {
    let recipes = recipes();
    let names: Vec<&str> = recipes.keys().map(String::as_str).collect();
    assert_eq!(names, ["desktop", "mail", "ntfy", "slack"]);
    let (slack, ntfy) = (Receiver::start(|_| 200).await, Receiver::start(|_| 200).await);
    let (smtp, mails) = mail_server().await;
    let told = Told::new();
    for (file, receiver) in [("slack", &slack), ("ntfy", &ntfy)] {
        fs::write(told.path(file), format!("url = \"{}\"\n", receiver.url)).expect("writable");
    }
    let programs = told.path("programs");
    fs::create_dir(&programs).expect("writable");
    let desktop = told.path("shown");
    let fake = format!(
        "#!/bin/sh\nfor word do printf '%s\\n' \"$word\"; done > {}.new\nmv {0}.new {0}\n",
        desktop.display()
    );
    fs::write(programs.join("notify-send"), fake).expect("writable");
    fs::set_permissions(programs.join("notify-send"), Permissions::from_mode(0o755)).expect("ours");
    let all = recipes.values().cloned().collect::<Vec<_>>().join("\n");
    let all = all
        .replace("/etc/vibe-ensemble", "DIR")
        .replace("smtp://localhost", &format!("smtp://{smtp}"));
    told.configure(&all);
    let path =
        std::env::join_paths(std::iter::once(programs).chain(["/usr/bin".into(), "/bin".into()]));
    let path = path.expect("no colon").into_string().expect("text");
    let bed = Bed::with(told.setup().env("PATH", path)).await;
    quiet_project(&bed).await;
    for name in ["desktop", "mail", "ntfy", "slack"] {
        begun(&bed, name).await;
    }
    let ticket = bed.ticket("shop", &["build"], "").await;
    let question = "Red & <b>blue</b>?\n.\n-- \"or\" $(neither)";
    let blocked = json!({"ticket_id": ticket, "stage": "build", "outcome": "blocked", "report": "r", "question": question});
    bed.client.ok("complete_ticket_stage", blocked).await;
    let came = async |what: &str, look: &dyn Fn() -> Option<String>| {
        eventually_within(PATIENCE, &format!("{what} hears of it"), || async {
            let shown = notifier(&bed, what).await;
            look().ok_or_else(|| shown.to_string())
        })
        .await
    };
    let first = |receiver: &Receiver| receiver.requests().first().map(|one| one.body.clone());
    let text = came("slack", &|| first(&slack)).await;
    let message: Value = serde_json::from_str(&text).expect("JSON");
    let words = message["text"].as_str().expect("text");
    assert!(words.contains("T-1 is on hold: Red &amp; &lt;b&gt;blue&lt;/b&gt;?"), "{words}");
    assert_eq!(slack.requests()[0].header("content-type"), "application/json");
    let words = came("ntfy", &|| first(&ntfy)).await;
    assert!(words.contains("shop: T-1 is on hold: Red & <b>blue</b>?"), "{words}");
    assert_eq!(ntfy.requests()[0].header("title"), "Vibe-Ensemble");
    let mail = came("mail", &|| mails.lock().ok()?.first().cloned()).await;
    assert!(mail.contains("\r\nSubject: Vibe-Ensemble\r\n"), "{mail}");
    assert!(mail.contains("shop: T-1 is on hold: Red & <b>blue</b>?"), "{mail}");
    let words = came("desktop", &|| fs::read_to_string(&desktop).ok()).await;
    assert!(words.contains("T-1 is on hold: Red &amp; &lt;b&gt;blue&lt;/b&gt;?"), "{words}");
    for name in ["desktop", "mail", "ntfy", "slack"] {
        is(&bed, name, "active").await;
    }
}

type Mails = std::sync::Arc<std::sync::Mutex<Vec<String>>>;

/// A mail server that takes every mail.
async fn mail_server() -> (std::net::SocketAddr, Mails) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    let mails = Mails::default();
    let taken = mails.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            if let Ok(mail) = take_mail(stream).await {
                taken.lock().expect("no test panics with it").push(mail);
            }
        }
    });
    (address, mails)
}

/// Speaks as much SMTP as a client needs, and returns the mail.
async fn take_mail(stream: tokio::net::TcpStream) -> std::io::Result<String> {
    use tokio::io::AsyncBufReadExt as _;
    use tokio::io::AsyncWriteExt as _;
    let (read, mut write) = stream.into_split();
    let mut read = tokio::io::BufReader::new(read);
    write.write_all(b"220 test\r\n").await?;
    let mut mail = String::new();
    loop {
        let mut line = String::new();
        if read.read_line(&mut line).await? == 0 {
            return Ok(mail);
        }
        let answer = match line.split_whitespace().next() {
            Some("QUIT") => {
                write.write_all(b"221 bye\r\n").await?;
                return Ok(mail);
            }
            Some("DATA") => {
                write.write_all(b"354 go ahead\r\n").await?;
                loop {
                    let mut line = String::new();
                    if read.read_line(&mut line).await? == 0 || line == ".\r\n" {
                        break;
                    }
                    mail.push_str(&line);
                }
                "250 taken\r\n"
            }
            _ => "250 fine\r\n",
        };
        write.write_all(answer.as_bytes()).await?;
    }
}

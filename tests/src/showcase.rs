//! A server after a night of work, with something of everything: for tests of pages, for screenshots, and for work on
//! them.

use std::fs;

use serde_json::Value;
use serde_json::json;

use crate::bed::Bed;
use crate::fake;
use crate::server::Setup;

/// What an agent does in one stage, as lines of its script.
#[derive(Debug)]
pub struct Turns {
    stage: &'static str,
    lines: Vec<String>,
    calls: u32,
    /// The call of the subagent that speaks now.
    within: Option<String>,
}

impl Turns {
    #[must_use]
    pub fn of(stage: &'static str) -> Self {
        Self { stage, lines: Vec::new(), calls: 0, within: None }
    }

    fn raw(mut self, message: &Value) -> Self {
        self.lines.push(format!("fake: {}: raw {message}", self.stage));
        self
    }

    fn block(self, content: &Value) -> Self {
        let message = json!({
            "type": "assistant", "parent_tool_use_id": self.within,
            "message": {"id": format!("msg_{}", self.lines.len()), "role": "assistant", "content": [content]},
        });
        self.raw(&message)
    }

    #[must_use]
    pub fn says(self, text: &str) -> Self {
        self.block(&json!({"type": "text", "text": text}))
    }

    #[must_use]
    pub fn thinks(self, text: &str) -> Self {
        self.block(&json!({"type": "thinking", "thinking": text}))
    }

    /// A call and what it returned.
    #[must_use]
    pub fn uses(self, tool: &str, input: &Value, output: &str, fails: bool) -> Self {
        let (turns, id) = self.begins(tool, input);
        turns.returns(&id, output, fails)
    }

    #[must_use]
    pub fn bash(self, command: &str, output: &str, fails: bool) -> Self {
        self.uses("Bash", &json!({"command": command}), output, fails)
    }

    #[must_use]
    pub fn edits(self, file: &str, old: &str, new: &str) -> Self {
        let input = json!({"file_path": file, "old_string": old, "new_string": new});
        self.uses("Edit", &input, "The file has been updated.", false)
    }

    fn begins(mut self, tool: &str, input: &Value) -> (Self, String) {
        self.calls += 1;
        let id = format!("toolu_{}_{}", self.stage, self.calls);
        let turns =
            self.block(&json!({"type": "tool_use", "id": id, "name": tool, "input": input}));
        (turns, id)
    }

    fn returns(self, call: &str, output: &str, fails: bool) -> Self {
        let message = json!({
            "type": "user", "parent_tool_use_id": self.within,
            "message": {"role": "user", "content": [
                {"type": "tool_result", "tool_use_id": call, "content": output, "is_error": fails},
            ]},
        });
        self.raw(&message)
    }

    /// A subagent and what it does.
    #[must_use]
    pub fn asks_another(self, task: &str, does: impl FnOnce(Self) -> Self, answer: &str) -> Self {
        let input =
            json!({"description": task, "prompt": task, "subagent_type": "general-purpose"});
        let (mut turns, id) = self.begins("Task", &input);
        turns.within = Some(id.clone());
        let mut turns = does(turns);
        turns.within = None;
        turns.returns(&id, answer, false)
    }

    /// Any other line of the script.
    #[must_use]
    pub fn then(mut self, command: &str) -> Self {
        self.lines.push(format!("fake: {}: {command}", self.stage));
        self
    }

    /// Ends it with a result that has cost something.
    #[must_use]
    pub fn ends(self, cost_usd: f64, result: &Value) -> String {
        let message = json!({
            "type": "result", "subtype": "success", "is_error": false, "terminal_reason": "completed", "num_turns": 14,
            "duration_ms": 184_000, "result": "", "session_id": "s", "total_cost_usd": cost_usd, "permission_denials": [],
            "usage": {"input_tokens": 18_400, "output_tokens": 5_210, "cache_read_input_tokens": 240_000},
            "structured_output": result,
        });
        self.raw(&message).then("exit 0").script()
    }

    #[must_use]
    pub fn completes(self, cost_usd: f64, report: &str) -> String {
        self.ends(cost_usd, &json!({"outcome": "completed", "report": report}))
    }

    #[must_use]
    pub fn script(self) -> String {
        self.lines.join("\n")
    }
}

const PLAN: &str = "The export writes to `/var/lib/shop/export.csv.part` and renames it at the end. Three places ignore `ENOSPC`:\n\n\
- `write_row` drops the error of the buffer's flush\n- `finish` renames although the last write failed\n\
- the log line says *exported* before the file is synced\n\n## Steps\n\n1. Return the error of each flush.\n2. Sync before the rename.\n3. Log bytes written and the path of the partial file.\n\n\
```rust\nfn finish(self) -> io::Result<()> {\n    self.file.sync_all()?;\n    rename(self.part, self.path)\n}\n```\n";

fn export_plan() -> String {
    Turns::of("plan").says("I read the export first.").completes(0.42, PLAN)
}

/// The work that is under way: everything a transcript can have.
fn export_work(go: &str) -> String {
    let cargo = "   Compiling export v0.4.1 (/srv/shop/export)\n".repeat(24);
    let red = format!(
        "{cargo}\u{1b}[31merror[E0308]\u{1b}[0m: mismatched types\n  --> src/export.rs:44:9\n\nerror: could not compile `export` (lib) due to 1 previous error"
    );
    Turns::of("implement")
        .says("The plan names three places. I begin with the one that loses data: `finish` renames although the last write failed.")
        .thinks("The buffer is flushed on drop, which swallows the error. If I flush explicitly and propagate it, the partial file stays, which is what the ticket asks for.\n\nThen the log line has to move behind the sync.")
        .uses("Read", &json!({"file_path": "src/export.rs", "offset": 30, "limit": 40}), "30  impl Export {\n31      fn write_row(&mut self, row: &Row) {\n32          let _ = self.buffer.write_all(&row.bytes());\n33      }", false)
        .asks_another(
            "Find every caller of finish and say what it does with the result",
            |another| another.uses("Grep", &json!({"pattern": "finish\\(", "path": "src"}), "src/nightly.rs:88\nsrc/cli.rs:41", false).says("Both ignore it."),
            "Two callers, src/nightly.rs:88 and src/cli.rs:41; both drop the result.",
        )
        .edits("src/export.rs", "    fn finish(self) {\n        let _ = self.buffer.flush();\n        rename(self.part, self.path).ok();\n    }", "    fn finish(mut self) -> io::Result<()> {\n        self.buffer.flush()?;\n        self.file.sync_all()?;\n        rename(self.part, self.path)\n    }")
        .bash("cargo test -p export --locked", &red, true)
        .edits("src/nightly.rs", "    export.finish();", "    export.finish()?;")
        .bash("cargo test -p export --locked", &format!("{cargo}\u{1b}[32m    Finished\u{1b}[0m `test` profile in 4.21s\n\nrunning 18 tests\n..................\ntest result: \u{1b}[32mok\u{1b}[0m. 18 passed; 0 failed"), false)
        .uses("mcp__tracker__comment", &json!({"issue": 812, "body": "The export keeps its partial file now.", "labels": ["export", "disk"], "notify": {"team": "shop", "quiet": true}}), "{\"id\":4411}", false)
        .says("The library is done. What is left is the log line, and a test with a full disk.")
        .then("run mkdir -p src && printf 'fn finish(mut self) -> io::Result<()> {\\n    self.buffer.flush()?;\\n    self.file.sync_all()?;\\n    rename(self.part, self.path)\\n}\\n' > src/export.rs")
        .then("commit Return the error of each flush")
        .then(&format!("wait-for {go}"))
        .completes(1.1, "Done.")
}

/// A server whose tickets are made one after the other, each with its agents' script in a file.
#[derive(Debug)]
struct Night {
    bed: Bed,
    tickets: u32,
}

impl Night {
    /// Makes a ticket of the shop; returns its id.
    async fn ticket(&mut self, title: &str, plan: &[&str], script: &str, more: Value) -> String {
        let more = merged(json!({"title": title, "description": describe(title)}), more);
        self.ticket_of("shop", plan, script, more).await
    }

    async fn ticket_of(
        &mut self,
        project: &str,
        plan: &[&str],
        script: &str,
        more: Value,
    ) -> String {
        self.tickets += 1;
        let id = format!("T-{}", self.tickets);
        let scripts = self.bed.agents.directory().join(fake::SCRIPTS);
        fs::create_dir_all(&scripts).expect("the harness made the directory");
        fs::write(scripts.join(&id), script).expect("a fresh directory");
        let made = self.bed.ticket_with(project, plan, "", more).await;
        assert_eq!(made, id, "nobody else makes tickets here");
        id
    }

    /// What is done.
    async fn done(&mut self) {
        for (title, cost) in [
            ("Login fails with a plus in the address", 0.84),
            ("Show the currency in the order's confirmation", 1.36),
            (
                "Überprüfung der Zahlungsrückläufer für Österreich und die Schweiz (SEPA-Lastschriftverfahren)",
                2.05,
            ),
        ] {
            let implements = Turns::of("implement")
                .says("A small change.")
                .bash("cargo test", "test result: ok. 41 passed", false)
                .then("run mkdir -p src && echo '// changed' >> src/lib.rs")
                .then("commit Change what the ticket asks for")
                .completes(cost, "Changed, with a test.");
            let reviews =
                Turns::of("review").says("It reads well.").completes(0.2, "Nothing to add.");
            let script = format!("{implements}\n{reviews}");
            let done = self.ticket(title, &["implement", "review"], &script, json!({})).await;
            self.bed.completed(&done).await;
        }
    }

    /// What waits for somebody.
    async fn held(&mut self) {
        let question = "Should an expired coupon count as used when the customer returns the order within fourteen days?";
        let asks = Turns::of("review#1").says("The case of a return is not specified.").ends(
            0.9,
            &json!({"outcome": "blocked", "report": "Two readings are possible.", "question": question}),
        );
        let urgent = json!({"priority": "high"});
        for (title, plan, script, more) in [
            (
                "結帳時優惠券重複套用會遺失購物車中的商品",
                ["review", "test"].as_slice(),
                asks.as_str(),
                urgent,
            ),
            (
                "Remove the flag new_checkout and every branch of code that only it reached",
                &["implement"],
                "fake: implement: exit 3",
                json!({}),
            ),
            (
                "Upgrade the runtime to the next long-term release",
                &["implement"],
                "fake: implement: die KILL",
                json!({}),
            ),
        ] {
            let held = self.ticket(title, plan, script, more).await;
            self.bed.ticket_is(&held, "on_hold").await;
        }
    }

    /// What runs, and what waits for it.
    async fn running(&mut self) {
        let go = self.bed.server.path("go").display().to_string();
        let script = format!("{}\n{}", export_plan(), export_work(&go));
        let stages = ["plan", "implement", "test", "review"];
        let runs = self.ticket(EXPORT, &stages, &script, json!({"priority": "urgent"})).await;
        let limit = json!({"ticket_id": runs, "max_budget_usd": 5.0});
        self.bed.client.ok("update_ticket", limit).await;
        let reads = Turns::of("plan").says("I read the statements of the last year.");
        let reads = reads.then(&format!("wait-for {go}")).completes(0.3, "Planned.");
        let title = "Monthly statements as PDF, one file for each account";
        let other = self.ticket(title, &["plan", "implement"], &reads, json!({})).await;
        let after = json!({"depends_on": [runs]});
        self.ticket("Roll the export out to both regions", &["implement"], "", after).await;
        let after = json!({"depends_on": [other, runs], "priority": "low"});
        self.ticket("Announce the new statements", &["review"], "", after).await;
        self.bed.called(&runs, "implement", 1).await;
        self.bed.called(&other, "plan", 1).await;
        for title in [
            "Reconcile the accounts of March",
            "A balance that is negative is shown without its sign",
            "Archive statements older than ten years",
        ] {
            self.ticket_of("ledger", &["implement"], "", json!({"title": title})).await;
        }
    }
}

impl Night {
    /// What an agent called done, and a machine did not.
    async fn checked(&mut self) {
        let links = "test -e returns.md || exit 0; printf 'index.md  18 links\\nreturns.md  7 links\\n\\033[31mreturns.md:12: /help/refunds: there is no such page\\033[0m\\n\\n1 dead link\\n'; exit 1";
        let gates = json!([
            {"name": "spelling", "command": ["sh", "-c", "echo 0 misspelt words in 24 files"]},
            {"name": "links", "command": ["sh", "-c", links]},
        ]);
        self.bed.repository("site", &[], json!({"description": "The pages of the shop"})).await;
        self.bed.client.ok("update_project", json!({"project": "site", "gates": gates})).await;
        self.bed
            .worker_type("site", "write", json!({"max_gate_failures": 1, "max_budget_usd": 2.0}))
            .await;
        let script = Turns::of("write")
            .says("The page on returns is written anew.")
            .then("write returns.md See /help/refunds.")
            .then("commit Write the page on returns anew")
            .completes(0.61, "The page is written. I did not look at its links.");
        let title = "Say on the page on returns how long a refund takes, for each way to pay";
        let held = self.ticket_of("site", &["write"], &script, json!({"title": title})).await;
        self.bed.ticket_is(&held, "on_hold").await;
    }
}

/// The ticket that is under way.
const EXPORT: &str = "Make the nightly export survive a full disk, and say in the log how much was written before it stopped, with the path of the partial file";

fn describe(title: &str) -> &'static str {
    if title != EXPORT {
        return "See the customer's mail in the tracker. Done when the test that shows it passes.";
    }
    "When the disk of the exports is full, `shop export` ends with exit code 0 and half a file. It should:\n\n\
     - keep the partial file, and name it in the log\n- end with exit code 74\n- never replace the export of the night before\n\n\
     Done when a test with a full file system shows all three."
}

/// Starts it. Agents that run wait for the file `go` in the server's directory.
pub async fn night(setup: Setup) -> Bed {
    let bed = Bed::with(setup.max_workers(6)).await;
    let limits = json!({
        "description": "The shop and its nightly export", "max_budget_usd_per_day": 50.0, "max_budget_usd": 200.0,
    });
    bed.repository("shop", &[], limits).await;
    // Each with a limit of its own: an attempt without one holds all that is left of the day.
    for stage in ["plan", "implement", "test", "review"] {
        let does = format!("Does the {stage}");
        let more = json!({"max_workers": 2, "max_budget_usd": 5.0, "description": does});
        bed.worker_type("shop", stage, more).await;
    }
    bed.repository("ledger", &[], json!({"description": "Accounts and their statements"})).await;
    bed.worker_type("ledger", "implement", json!({"auto_spawn": false})).await;
    let mut night = Night { bed, tickets: 0 };
    night.done().await;
    night.held().await;
    night.running().await;
    night.bed.client.ok("pause", json!({"project": "ledger"})).await;
    night.checked().await;
    night.bed
}

fn merged(mut one: Value, other: Value) -> Value {
    if let (Some(one), Value::Object(other)) = (one.as_object_mut(), other) {
        one.extend(other);
    }
    one
}

//! The lines `claude -p --output-format stream-json --verbose` prints, as 2.1.330 prints them.

use std::io::BufWriter;
use std::io::Stdout;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use serde_json::Value;
use serde_json::json;

const MODEL: &str = "claude-fake-1";

/// The final message.
#[derive(Debug, PartialEq)]
pub(crate) enum Verdict {
    Completed {
        report: String,
    },
    /// Completed, with tickets to be created.
    Planned {
        tickets: Value,
    },
    Rework {
        stage: Option<String>,
        report: String,
    },
    Blocked {
        question: String,
    },
    /// Structured output that breaks the schema.
    BadShape,
    /// `success` without structured output: the model never called the tool.
    NoOutput,
    ApiError {
        status: u16,
        error: String,
    },
    MaxTurns,
}

impl Verdict {
    pub(crate) fn is_error(&self) -> bool {
        matches!(self, Self::ApiError { .. } | Self::MaxTurns)
    }

    fn structured_output(&self) -> Option<Value> {
        match self {
            Self::Completed { report } => Some(json!({"outcome": "completed", "report": report})),
            Self::Planned { tickets } => {
                Some(json!({"outcome": "completed", "report": "planned", "tickets": tickets}))
            }
            Self::Rework { stage: Some(stage), report } => {
                Some(json!({"outcome": "rework", "report": report, "rework_stage": stage}))
            }
            Self::Rework { stage: None, report } => {
                Some(json!({"outcome": "rework", "report": report}))
            }
            Self::Blocked { question } => Some(
                json!({"outcome": "blocked", "report": "stopped to ask", "question": question}),
            ),
            Self::BadShape => Some(json!({"outcome": "splendid", "remarks": 7})),
            Self::NoOutput | Self::ApiError { .. } | Self::MaxTurns => None,
        }
    }
}

/// SIGTERM ends the process with 143, as with claude, while the returned switch is on.
pub(crate) fn exit_143_on_term() -> Arc<AtomicBool> {
    let terminable = Arc::new(AtomicBool::new(true));
    signal_hook::flag::register_conditional_shutdown(
        signal_hook::consts::SIGTERM,
        143,
        Arc::clone(&terminable),
    )
    .expect("TERM can be handled");
    terminable
}

/// Claude's output when it is asked to resume an unknown session.
pub(crate) fn print_unknown_session(session: &str) {
    let mut stream = Stream::new(session.to_owned());
    stream.line(&json!({
        "type": "result", "subtype": "error_during_execution", "is_error": true, "num_turns": 0,
        "session_id": session, "total_cost_usd": 0, "usage": usage(0),
        "errors": [format!("No conversation found with session ID: {session}")],
    }));
}

pub(crate) struct Stream {
    session: String,
    turns: u32,
    last_words: String,
    out: BufWriter<Stdout>,
}

impl Stream {
    fn new(session: String) -> Self {
        let out = BufWriter::new(std::io::stdout());
        Self { session, turns: 0, last_words: String::new(), out }
    }

    /// Announces the session.
    pub(crate) fn open(session: String, cwd: &Path) -> Self {
        let mut stream = Self::new(session);
        stream.line(&json!({
            "type": "system", "subtype": "init", "cwd": cwd, "session_id": stream.session,
            "tools": ["Bash", "Edit", "Read", "StructuredOutput", "Write"], "mcp_servers": [],
            "model": MODEL, "permissionMode": "acceptEdits", "apiKeySource": "none",
            "claude_code_version": "2.1.330",
        }));
        stream
    }

    pub(crate) fn say(&mut self, text: &str) {
        self.assistant(&json!([{"type": "text", "text": text}]), None);
        text.clone_into(&mut self.last_words);
    }

    pub(crate) fn result(&mut self, verdict: &Verdict) {
        if let Verdict::ApiError { status, error } = verdict {
            let text = format!("API Error: {status}");
            self.assistant(&json!([{"type": "text", "text": text}]), Some(error));
        }
        let (subtype, terminal_reason) = match verdict {
            Verdict::MaxTurns => ("error_max_turns", "max_turns"),
            Verdict::ApiError { .. } => ("success", "api_error"),
            Verdict::Completed { .. }
            | Verdict::Planned { .. }
            | Verdict::Rework { .. }
            | Verdict::Blocked { .. }
            | Verdict::BadShape
            | Verdict::NoOutput => ("success", "completed"),
        };
        let mut message = json!({
            "duration_ms": 12, "duration_api_ms": 7, "stop_reason": "end_turn",
            "session_id": self.session, "total_cost_usd": 0.01, "usage": usage(11),
            "permission_denials": [], "terminal_reason": terminal_reason,
            "is_error": verdict.is_error(), "num_turns": self.turns.max(1), "subtype": subtype,
            "api_error_status": null, "result": self.last_words, "type": "result",
            "uuid": uuid::Uuid::new_v4(),
        });
        if let Some(output) = verdict.structured_output() {
            message["structured_output"] = output;
        }
        match verdict {
            Verdict::ApiError { status, .. } => message["api_error_status"] = json!(status),
            Verdict::MaxTurns => message["errors"] = json!(["Reached maximum number of turns"]),
            Verdict::Completed { .. }
            | Verdict::Planned { .. }
            | Verdict::Rework { .. }
            | Verdict::Blocked { .. }
            | Verdict::BadShape
            | Verdict::NoOutput => {}
        }
        self.line(&message);
    }

    pub(crate) fn flood(&mut self, bytes: u64) {
        let filler = "x".repeat(1 << 16);
        let mut written = 0;
        while written < bytes {
            self.say(&filler);
            written += filler.len() as u64;
        }
    }

    pub(crate) fn raw_line(&mut self, line: &str) {
        self.raw(format!("{line}\n").as_bytes());
    }

    pub(crate) fn garbage(&mut self) {
        self.raw(b"this is no JSON\n");
        self.raw(b"{\"type\":\"result\",\"subtype\":\n");
        self.raw(b"[1, 2, 3]\n\n");
        self.raw(b"\xff\xfe\x00 bytes that are no text\n");
        let mut long = vec![b'y'; 9 << 20];
        long.push(b'\n');
        self.raw(&long);
        eprintln!("and a word on standard error");
    }

    fn assistant(&mut self, content: &Value, error: Option<&str>) {
        self.turns += 1;
        let mut message = json!({
            "type": "assistant",
            "message": {
                "id": format!("msg_{}", self.turns), "type": "message", "role": "assistant",
                "model": MODEL, "content": content, "stop_reason": null, "usage": usage(11),
            },
            "parent_tool_use_id": null, "session_id": self.session, "uuid": uuid::Uuid::new_v4(),
        });
        if let Some(error) = error {
            message["error"] = json!(error);
        }
        self.line(&message);
    }

    fn line(&mut self, message: &Value) {
        let mut line = message.to_string();
        line.push('\n');
        self.raw(line.as_bytes());
    }

    /// A reader that closes the stream ends the agent, as it would end claude.
    fn raw(&mut self, bytes: &[u8]) {
        self.out
            .write_all(bytes)
            .and_then(|()| self.out.flush())
            .expect("the reader of the stream is there");
    }
}

fn usage(tokens: u32) -> Value {
    json!({
        "input_tokens": tokens, "output_tokens": tokens / 2,
        "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0, "service_tier": "standard",
    })
}

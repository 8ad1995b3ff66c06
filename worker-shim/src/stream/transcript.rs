//! The facts of one attempt's stream, gathered as it arrives.

use shim_protocol::exit::Denial;
use shim_protocol::exit::ResultMessage;
use shim_protocol::exit::StopReason;
use shim_protocol::exit::Told;
use shim_protocol::exit::Unreadable;
use shim_protocol::exit::Usage;
use shim_protocol::exit::UsageLimit;
use shim_protocol::json;
use shim_protocol::tally::Tally;

use super::calls::Calls;
use super::fields::Fields;
use super::limits;
use super::lines::Line;
use super::lines::Lines;
use super::message;
use super::message::Final;
use super::tasks::Tasks;

/// A refusal after which claude tries again is believed once it was reported this often without an
/// answer of the model in between: a login may be renewed at that very moment, and claude recovers
/// by itself. With claude's own waits, the refusal has lasted for seconds by then.
const LASTING: u32 = 3;

/// What the stream has reported so far.
#[derive(Debug, Default)]
pub struct Transcript {
    lines: Lines,
    facts: Facts,
}

/// The part of a transcript that goes into the exit record.
#[derive(Debug, Default)]
struct Facts {
    /// The `result` message that is valid. claude writes one for each turn and may continue after
    /// it; the child's exit ends the stream.
    result: Option<ResultMessage>,
    results: Results,
    denials: Vec<Denial>,
    last_error: Option<String>,
    session_id: Option<String>,
    /// Messages of the model, including those of subagents.
    tally: Tally,
    /// Messages of the agent itself.
    own_turns: u32,
    calls: Calls,
    tasks: Tasks,
    /// The valid result says how the stage ended, and the agent has done nothing since the last
    /// one.
    concluded: bool,
    /// The service's refusal since the model's last answer, and how often in a row.
    refused: Option<(StopReason, u32)>,
    usage_limit: Option<UsageLimit>,
    mcp_failed: Vec<String>,
    unreadable: Unreadable,
}

/// All results so far, added up.
#[derive(Debug, Default)]
struct Results {
    count: u32,
    /// `None` once a result did not report it.
    own_usd: Option<f64>,
    total_usd: Option<f64>,
    turns: u32,
    usage: Option<Usage>,
    /// What the messages had used, and how many of the agent's own there were, at the last result.
    used: Usage,
    own_turns: u32,
}

/// What the stream tells the supervisor while the agent runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    /// The agent has announced its session.
    pub session: bool,
    pub turns: u32,
    /// How often in a row it made the same tool calls with the same answers.
    pub repeats: u32,
    /// A refusal that no further try would change.
    pub refused: Option<StopReason>,
    /// It has reported its outcome, or that it failed, does nothing any more, and nothing that it
    /// left in the background would wake it.
    pub concluded: bool,
}

impl Transcript {
    /// Reads more of the child's standard output, at this time of the wall clock.
    pub fn feed(&mut self, bytes: &[u8], at_ms: i64) {
        let facts = &mut self.facts;
        self.lines.feed(bytes, |line| facts.take(line, at_ms));
    }

    /// Reads a last line that has no newline.
    pub fn finish(&mut self, at_ms: i64) {
        let facts = &mut self.facts;
        self.lines.finish(|line| facts.take(line, at_ms));
    }

    /// The valid result: the last one with an outcome, else the last error that no later turn
    /// corrected, else the last one.
    #[must_use]
    pub fn result(&self) -> Option<&ResultMessage> {
        self.facts.result.as_ref()
    }

    /// The sum of all results.
    #[must_use]
    pub fn told(&self) -> Option<Told> {
        let Facts { results, tally, own_turns, .. } = &self.facts;
        let after = tally.used().less(&results.used);
        (results.count > 0).then(|| Told {
            own_usd: results.own_usd,
            total_usd: results.total_usd,
            turns: results.turns,
            usage: results.usage.clone(),
            turns_after: own_turns.saturating_sub(results.own_turns),
            usage_after: Some(after).filter(|after| *after != Usage::default()),
        })
    }

    #[must_use]
    pub fn last_error(&self) -> Option<&str> {
        self.facts.last_error.as_deref()
    }

    #[must_use]
    pub fn session_id(&self) -> Option<&str> {
        self.facts.session_id.as_deref()
    }

    #[must_use]
    pub fn signs(&self) -> Signs {
        let facts = &self.facts;
        Signs {
            session: facts.session_id.is_some(),
            turns: facts.own_turns,
            repeats: facts.calls.repeats(),
            refused: facts.refused.filter(|(_, times)| *times >= LASTING).map(|(why, _)| why),
            concluded: facts.concluded && !facts.tasks.any(),
        }
    }

    #[must_use]
    pub fn usage_limit(&self) -> Option<&UsageLimit> {
        self.facts.usage_limit.as_ref()
    }

    #[must_use]
    pub fn mcp_failed(&self) -> &[String] {
        &self.facts.mcp_failed
    }

    /// The lines that could not be read, if there were any.
    #[must_use]
    pub fn unreadable(&self) -> Option<&Unreadable> {
        Some(&self.facts.unreadable).filter(|unreadable| unreadable.lines > 0)
    }

    /// The tokens of every message so far, if there was one.
    #[must_use]
    pub fn usage(&self) -> Option<Usage> {
        let tally = &self.facts.tally;
        (tally.messages() > 0).then(|| tally.used().clone())
    }

    #[must_use]
    pub fn turns(&self) -> u32 {
        self.facts.tally.messages()
    }
}

impl Facts {
    fn take(&mut self, line: Line<'_>, at_ms: i64) {
        let bytes = match line {
            Line::Whole(bytes) => bytes.trim_ascii(),
            Line::TooLong => {
                self.cannot_read(format!("it is longer than {} MiB", super::MAX_LINE >> 20));
                return;
            }
        };
        // A line that is not an object is some program's output, and was not meant for us.
        if bytes.first() != Some(&b'{') {
            return;
        }
        let text = String::from_utf8_lossy(bytes);
        if let Ok(fields) = Fields::of(&text) {
            self.understand(&fields, at_ms);
            return;
        }
        match Fields::of(&json::repair(&text)) {
            Ok(fields) => self.understand(&fields, at_ms),
            Err(error) => self.cannot_read(error.to_string()),
        }
    }

    fn cannot_read(&mut self, why: String) {
        self.unreadable.lines = self.unreadable.lines.saturating_add(1);
        self.unreadable.why = message::cut(why, 200);
    }

    fn understand(&mut self, line: &Fields<'_>, at_ms: i64) {
        match line.text("type").as_deref() {
            Some("system") => self.system(line),
            Some("rate_limit_event") => {
                let info = line.get("rate_limit_info");
                self.usage_limit = info
                    .and_then(|info| limits::usage_limit(&info, at_ms))
                    .map(|limit| UsageLimit { told_at_ms: Some(at_ms), ..limit });
            }
            Some("assistant") => self.assistant(line, at_ms),
            Some("user") => {
                let message = line.object("message").unwrap_or_default();
                self.calls.take(line.text("parent_tool_use_id").as_deref(), &message);
                self.concluded = false;
            }
            Some("stream_event" | "tool_progress") => self.concluded = false,
            Some("result") => self.result(Final::of(line), at_ms),
            _ => {}
        }
    }

    fn system(&mut self, line: &Fields<'_>) {
        let subtype = line.text("subtype");
        match subtype.as_deref() {
            // Each turn begins with one.
            Some("init") => {
                self.session_id = line.text("session_id");
                self.mcp_failed = message::failed_servers(line);
                self.concluded = false;
            }
            Some("api_retry") => {
                let why = match line.text("error").as_deref() {
                    Some("authentication_failed") => Some(StopReason::Authentication),
                    Some("billing_error") => Some(StopReason::Billing),
                    _ => None,
                };
                let before = self.refused.filter(|(known, _)| Some(*known) == why);
                let times = before.map_or(1, |(_, times)| times.saturating_add(1));
                self.refused = why.map(|why| (why, times));
                self.concluded = false;
            }
            Some("task_progress" | "compact_boundary") => self.concluded = false,
            Some(_) if self.tasks.take(line) => self.concluded = false,
            Some(_) | None => {}
        }
    }

    fn assistant(&mut self, line: &Fields<'_>, at_ms: i64) {
        let message = line.object("message").unwrap_or_default();
        self.refused = None;
        let agent = line.text("parent_tool_use_id");
        let usage = message.object("usage").map(|usage| message::usage(&usage)).unwrap_or_default();
        let is_new = self.tally.take(message.text("id").as_deref(), &usage);
        if is_new && agent.is_none() {
            self.own_turns = self.own_turns.saturating_add(1);
        }
        self.calls.take(agent.as_deref(), &message);
        self.concluded = false;
        if let Some(error) = message.text("error").or_else(|| line.text("error")) {
            self.last_error = Some(error);
        } else if usage != Usage::default() {
            self.served(at_ms);
        }
    }

    /// The service answers again, whatever limit it reported.
    fn served(&mut self, at_ms: i64) {
        if let Some(limit) = self.usage_limit.as_mut().filter(|limit| limit.is_refused()) {
            *limit = UsageLimit { told_at_ms: Some(at_ms), ..UsageLimit::default() };
        }
    }

    fn result(&mut self, new: Final, at_ms: i64) {
        let Final { message, denials, own_usd, usage } = new;
        // A refusal that this run got over is none: any program that the agent runs can write one into its stream.
        if message::has_outcome(&message) && message.num_turns != Some(0) {
            self.served(at_ms);
        }
        let results = &mut self.results;
        results.own_usd = match results.count {
            0 => own_usd,
            _ => results.own_usd.zip(own_usd).map(|(before, more)| before + more),
        };
        results.count = results.count.saturating_add(1);
        let highest = |usd: f64| results.total_usd.map_or(usd, |before| before.max(usd));
        results.total_usd = message.total_cost_usd.map(highest).or(results.total_usd);
        results.turns = results.turns.saturating_add(message.num_turns.unwrap_or(0));
        // A result that does not report it is counted with the tokens of its messages.
        let seen = self.tally.used().less(&results.used);
        let usage = usage.or_else(|| Some(seen).filter(|seen| *seen != Usage::default()));
        results.usage = match (results.usage.take(), usage) {
            (Some(before), Some(more)) => Some(before.plus(&more)),
            (before, more) => before.or(more),
        };
        results.used = self.tally.used().clone();
        results.own_turns = self.own_turns;
        message::add_denials(&mut self.denials, denials);
        if stands_against(&message, self.result.as_ref()) {
            self.result = Some(message);
        }
        if let Some(result) = &mut self.result {
            result.denied = message::denied(&self.denials);
            result.denials.clone_from(&self.denials);
            self.concluded = message::has_outcome(result) || message::is_failure(result);
        }
    }
}

/// Whether a new result replaces the valid one.
fn stands_against(new: &ResultMessage, old: Option<&ResultMessage>) -> bool {
    let Some(old) = old else { return true };
    if message::has_outcome(new) || message::has_outcome(old) {
        // A turn without an outcome does not take an outcome back.
        return message::has_outcome(new);
    }
    // A turn in which nothing was done does not correct an error.
    message::is_failure(new) || !message::is_failure(old) || new.num_turns != Some(0)
}

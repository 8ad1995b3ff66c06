//! The tool calls of an agent and their answers, as fingerprints: enough to tell the same call from
//! another, and no more. A call's input may be a whole file.

use std::collections::VecDeque;
use std::hash::BuildHasher as _;
use std::hash::BuildHasherDefault;
use std::hash::DefaultHasher;
use std::hash::Hash;

use super::fields::Fields;

/// A loop is one call, or two or three in turn, made over and over.
const LONGEST_LOOP: usize = 3;

/// How many calls may wait for their answers, and how many agents of one tree are distinguished.
/// Beyond that, the oldest is forgotten.
const OPEN: usize = 256;
const AGENTS: usize = 64;

/// Finds an agent without progress: it makes the same calls and gets the same answers. An agent
/// that polls a growing log makes progress, and each agent of a tree is judged by itself.
#[derive(Debug, Default)]
pub(super) struct Calls {
    /// The call's id and its fingerprint.
    open: VecDeque<(u64, u64)>,
    agents: VecDeque<(u64, Repeats)>,
}

impl Calls {
    /// Takes the calls of an assistant message and the answers of a user message. `agent` is the
    /// call that began a subagent; `None` for the agent itself.
    pub(super) fn take(&mut self, agent: Option<&str>, message: &Fields<'_>) {
        for block in message.objects("content") {
            if block.is("type", "tool_use") {
                let call = fingerprint((block.raw("name"), block.raw("input")));
                keep(&mut self.open, (fingerprint(block.raw("id")), call), OPEN);
            } else if block.is("type", "tool_result") {
                let id = fingerprint(block.raw("tool_use_id"));
                let Some(at) = self.open.iter().position(|(open, _)| *open == id) else { continue };
                let Some((_, call)) = self.open.remove(at) else { continue };
                let answer = (block.raw("is_error"), block.raw("content"));
                self.repeats_of(agent).take(fingerprint((call, answer)));
            }
        }
    }

    fn repeats_of(&mut self, agent: Option<&str>) -> &mut Repeats {
        let agent = fingerprint(agent);
        let at = self.agents.iter().position(|(known, _)| *known == agent);
        let known = at.and_then(|at| self.agents.remove(at));
        // The agent that acted last is forgotten last.
        keep(&mut self.agents, known.unwrap_or((agent, Repeats::default())), AGENTS);
        let newest = self.agents.len() - 1;
        &mut self.agents[newest].1
    }

    /// How many times in a row one of the agents made the same loop of calls with the same answers;
    /// 1 if each agent's latest call was new.
    pub(super) fn repeats(&self) -> u32 {
        self.agents.iter().map(|(_, repeats)| repeats.count()).max().unwrap_or(1)
    }
}

fn keep<T>(list: &mut VecDeque<T>, one: T, most: usize) {
    if list.len() == most {
        list.pop_front();
    }
    list.push_back(one);
}

fn fingerprint(of: impl Hash) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(of)
}

/// How often the latest calls were the same.
#[derive(Debug, Default)]
struct Repeats {
    latest: VecDeque<u64>,
    /// For loops of 1, 2 and 3 calls: how many calls in a row equalled the call one loop earlier.
    same: [u32; LONGEST_LOOP],
}

impl Repeats {
    fn take(&mut self, call: u64) {
        for (index, same) in self.same.iter_mut().enumerate() {
            let before = self.latest.len().checked_sub(index + 1);
            let repeated = before.and_then(|at| self.latest.get(at)) == Some(&call);
            *same = if repeated { same.saturating_add(1) } else { 0 };
        }
        keep(&mut self.latest, call, LONGEST_LOOP);
    }

    fn count(&self) -> u32 {
        let whole = |(index, same): (usize, &u32)| same / u32::try_from(index + 1).unwrap_or(1);
        self.same.iter().enumerate().map(whole).max().unwrap_or(0).saturating_add(1)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use serde_json::json;

    use super::*;

    fn take(calls: &mut Calls, agent: Option<&str>, blocks: &Value) {
        let message = json!({ "content": blocks }).to_string();
        calls.take(agent, &Fields::of(&message).expect("an object"));
    }

    fn call(calls: &mut Calls, agent: Option<&str>, command: &str, answer: &str) -> u32 {
        let id = format!("toolu_{}_{command}_{answer}", calls.repeats());
        let input = json!({"command": command});
        take(
            calls,
            agent,
            &json!([{"type": "text", "text": "x"},
            {"type": "tool_use", "id": id, "name": "Bash", "input": input}]),
        );
        take(calls, agent, &json!([{"type": "tool_result", "tool_use_id": id, "content": answer}]));
        calls.repeats()
    }

    #[test]
    fn the_same_call_with_the_same_answer_repeats_and_one_with_another_does_not() {
        let mut calls = Calls::default();
        assert_eq!(calls.repeats(), 1);
        let counts =
            ["a", "a", "a", "b", "c"].map(|answer| call(&mut calls, None, "tail log", answer));
        assert_eq!(counts, [1, 2, 3, 1, 1]);
        assert_eq!(call(&mut calls, None, "make", "c"), 1);
        // A call without an answer has not repeated anything yet.
        for id in ["1", "2", "3"] {
            take(
                &mut calls,
                None,
                &json!([{"type": "tool_use", "id": id, "name": "Bash",
                "input": {"command": "make"}}]),
            );
        }
        assert_eq!(calls.repeats(), 1);
        for other in [json!("text"), json!(null), json!([1, [2], "x", {"type": "tool_result"}])] {
            take(&mut calls, None, &other);
        }
        assert_eq!(calls.repeats(), 1);
    }

    #[test]
    fn calls_in_one_message_are_distinguished_by_their_ids() {
        let mut calls = Calls::default();
        let uses: Vec<Value> = (0..4)
            .map(|id| json!({"type": "tool_use", "id": id.to_string(), "name": "Read", "input": {"f": id}}))
            .collect();
        let answers: Vec<Value> = (0..4)
            .rev()
            .map(|id| json!({"type": "tool_result", "tool_use_id": id.to_string(), "content": "same"}))
            .collect();
        take(&mut calls, None, &json!(uses));
        take(&mut calls, None, &json!(answers));
        assert_eq!(calls.repeats(), 1);
    }

    #[test]
    fn each_agent_of_a_tree_is_counted_separately() {
        let mut calls = Calls::default();
        for subagent in ["t1", "t2", "t3", "t4"] {
            assert_eq!(call(&mut calls, Some(subagent), "ls", "x"), 1);
        }
        assert_eq!(call(&mut calls, Some("t2"), "ls", "x"), 2);
        // Other calls in between do not hide an agent that loops.
        for (round, expected) in [(1, 3), (2, 4)] {
            call(&mut calls, None, &format!("round {round}"), "y");
            assert_eq!(call(&mut calls, Some("t2"), "ls", "x"), expected);
        }
    }

    #[test]
    fn loops_of_up_to_three_calls_are_counted() {
        let count = |calls: &[u64]| {
            let mut repeats = Repeats::default();
            for call in calls {
                repeats.take(*call);
            }
            repeats.count()
        };
        assert_eq!(count(&[1]), 1);
        assert_eq!(count(&[1, 1, 1]), 3);
        assert_eq!(count(&[1, 2, 1, 2, 1, 2]), 3);
        assert_eq!(count(&[1, 2, 3, 1, 2, 3]), 2);
        assert_eq!(count(&[1, 1, 1, 2]), 1);
        assert_eq!(count(&[1, 2, 3, 4, 1, 2, 3, 4]), 1);
    }
}

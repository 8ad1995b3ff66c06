//! Counts each message of the model once.

use std::collections::VecDeque;
use std::hash::BuildHasher as _;
use std::hash::BuildHasherDefault;
use std::hash::DefaultHasher;

use crate::exit::Usage;

/// How many messages are remembered. Between the first and the last line of one message come only
/// lines of agents that work beside it.
const RECENT: usize = 1024;

/// Adds up messages of the model by their ids: a message comes as one line per block, each with all
/// its tokens, and lines of other agents in between.
#[derive(Debug, Default)]
pub struct Tally {
    recent: VecDeque<(u64, Usage)>,
    messages: u32,
    used: Usage,
}

impl Tally {
    /// Takes one line of a message; returns true if it is the message's first.
    pub fn take(&mut self, id: Option<&str>, usage: &Usage) -> bool {
        let Some(id) = id else {
            self.count(usage);
            return true;
        };
        let id = BuildHasherDefault::<DefaultHasher>::default().hash_one(id);
        if let Some((_, known)) = self.recent.iter_mut().rev().find(|(known, _)| *known == id) {
            let most = known.most(usage);
            self.used = self.used.plus(&most.less(known));
            *known = most;
            return false;
        }
        self.count(usage);
        if self.recent.len() == RECENT {
            self.recent.pop_front();
        }
        self.recent.push_back((id, usage.clone()));
        true
    }

    fn count(&mut self, usage: &Usage) {
        self.messages = self.messages.saturating_add(1);
        self.used = self.used.plus(usage);
    }

    #[must_use]
    pub fn messages(&self) -> u32 {
        self.messages
    }

    /// The tokens of all messages.
    #[must_use]
    pub fn used(&self) -> &Usage {
        &self.used
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_counts_once_whatever_comes_between_its_lines() {
        let tokens = |input, output| Usage {
            input_tokens: input,
            output_tokens: output,
            ..Usage::default()
        };
        let mut tally = Tally::default();
        let firsts =
            [("a", 10, 1), ("b", 20, 1), ("a", 10, 4), ("c", 5, 1), ("b", 20, 1), ("a", 10, 4)]
                .map(|(id, input, output)| tally.take(Some(id), &tokens(input, output)));
        assert_eq!(firsts, [true, true, false, true, false, false]);
        assert_eq!((tally.messages(), tally.used()), (3, &tokens(35, 6)));
        assert!(tally.take(None, &tokens(u64::MAX, 0)));
        assert!(tally.take(None, &tokens(1, 0)), "without an id nobody knows");
        assert_eq!((tally.messages(), tally.used().input_tokens), (5, u64::MAX));
    }
}

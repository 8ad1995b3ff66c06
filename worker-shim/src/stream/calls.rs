//! The tool calls of an assistant message, as fingerprints: enough to tell the same call from another, and no more. A
//! call's input may hold a whole file.

use std::collections::VecDeque;
use std::fmt;
use std::hash::DefaultHasher;
use std::hash::Hash as _;
use std::hash::Hasher as _;

use serde::Deserialize;
use serde::Deserializer;
use serde::de::DeserializeSeed;
use serde::de::IgnoredAny;
use serde::de::MapAccess;
use serde::de::SeqAccess;
use serde::de::Visitor;

/// A loop is one call, or two or three in turn, made over and over.
const LONGEST_LOOP: usize = 3;

/// How often the latest calls were the same ones.
#[derive(Debug, Default)]
pub(super) struct Repeats {
    latest: VecDeque<u64>,
    /// For loops of 1, 2 and 3 calls: how many calls in a row were what they were one loop before.
    same: [u32; LONGEST_LOOP],
}

impl Repeats {
    pub(super) fn take(&mut self, call: u64) {
        for (index, same) in self.same.iter_mut().enumerate() {
            let before = self.latest.len().checked_sub(index + 1);
            let repeated = before.and_then(|at| self.latest.get(at)) == Some(&call);
            *same = if repeated { same.saturating_add(1) } else { 0 };
        }
        self.latest.push_back(call);
        if self.latest.len() > LONGEST_LOOP {
            self.latest.pop_front();
        }
    }

    /// How many times in a row the same loop of calls was made; 1 when the latest call was a new one.
    pub(super) fn count(&self) -> u32 {
        let whole = |(index, same): (usize, &u32)| same / u32::try_from(index + 1).unwrap_or(1);
        self.same.iter().enumerate().map(whole).max().unwrap_or(0).saturating_add(1)
    }
}

/// The fingerprints of the `tool_use` blocks of a message's `content`.
#[derive(Debug, Default)]
pub(super) struct Calls(pub(super) Vec<u64>);

impl<'de> Deserialize<'de> for Calls {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(CallsVisitor)
    }
}

/// The visits of values that are no call.
macro_rules! no_call {
    ($absent:expr; $($visit:ident($value:ty)),*) => {
        $(fn $visit<E>(self, _: $value) -> Result<Self::Value, E> { Ok($absent) })*

        fn visit_unit<E>(self) -> Result<Self::Value, E> { Ok($absent) }

        fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
            formatter.write_str("any JSON value")
        }
    };
}

struct CallsVisitor;

impl<'de> Visitor<'de> for CallsVisitor {
    type Value = Calls;

    no_call!(Calls::default(); visit_bool(bool), visit_i64(i64), visit_u64(u64), visit_f64(f64),
        visit_str(&str));

    fn visit_seq<A: SeqAccess<'de>>(self, mut blocks: A) -> Result<Self::Value, A::Error> {
        let mut calls = Calls::default();
        while let Some(Block(call)) = blocks.next_element()? {
            calls.0.extend(call);
        }
        Ok(calls)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Calls::default())
    }
}

/// One block; its fingerprint when it is a call.
struct Block(Option<u64>);

impl<'de> Deserialize<'de> for Block {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BlockVisitor)
    }
}

struct BlockVisitor;

impl<'de> Visitor<'de> for BlockVisitor {
    type Value = Block;

    no_call!(Block(None); visit_bool(bool), visit_i64(i64), visit_u64(u64), visit_f64(f64),
        visit_str(&str));

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Block(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut kind, mut name, mut input) = (None, 0, 0);
        while let Some(key) = map.next_key::<String>()? {
            let mut hasher = DefaultHasher::new();
            match key.as_str() {
                "type" => kind = super::message::text(map.next_value()?),
                "name" => {
                    map.next_value_seed(Fingerprint(&mut hasher))?;
                    name = hasher.finish();
                }
                "input" => {
                    map.next_value_seed(Fingerprint(&mut hasher))?;
                    input = hasher.finish();
                }
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        let call = (kind.as_deref() == Some("tool_use")).then(|| {
            let mut hasher = DefaultHasher::new();
            (name, input).hash(&mut hasher);
            hasher.finish()
        });
        Ok(Block(call))
    }
}

/// Feeds a value into a hash without building it.
struct Fingerprint<'h>(&'h mut DefaultHasher);

impl<'de> DeserializeSeed<'de> for Fingerprint<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Fingerprint<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("any JSON value")
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        0_u8.hash(self.0);
        Ok(())
    }

    fn visit_bool<E>(self, value: bool) -> Result<(), E> {
        (1_u8, value).hash(self.0);
        Ok(())
    }

    fn visit_i64<E>(self, value: i64) -> Result<(), E> {
        (2_u8, value).hash(self.0);
        Ok(())
    }

    fn visit_u64<E>(self, value: u64) -> Result<(), E> {
        (3_u8, value).hash(self.0);
        Ok(())
    }

    fn visit_f64<E>(self, value: f64) -> Result<(), E> {
        (4_u8, value.to_bits()).hash(self.0);
        Ok(())
    }

    fn visit_str<E>(self, value: &str) -> Result<(), E> {
        (5_u8, value).hash(self.0);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        6_u8.hash(self.0);
        while list.next_element_seed(Fingerprint(self.0))?.is_some() {}
        7_u8.hash(self.0);
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        8_u8.hash(self.0);
        while map.next_key_seed(Fingerprint(self.0))?.is_some() {
            map.next_value_seed(Fingerprint(self.0))?;
        }
        9_u8.hash(self.0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(content: &str) -> Vec<u64> {
        serde_json::from_str::<Calls>(content).expect("reads").0
    }

    #[test]
    fn the_same_call_has_the_same_fingerprint_and_others_do_not() {
        let bash = |command: &str| {
            let content = format!(
                r#"[{{"type":"text","text":"x"}},{{"type":"tool_use","id":"{command}","name":"Bash","input":{{"command":"{command}"}}}}]"#
            );
            calls(&content)
        };
        assert_eq!(bash("make"), bash("make"));
        assert_ne!(bash("make"), bash("make test"));
        assert_eq!(bash("make").len(), 1);
        let read = r#"[{"type":"tool_use","name":"Read","input":{"command":"make"}}]"#;
        assert_ne!(bash("make"), calls(read));
        for other in ["\"text\"", "null", "7", "{\"a\":[1]}", "[1,[2],\"x\"]"] {
            assert!(calls(other).is_empty(), "{other}");
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

//! The values that were given, in layers that override each other, and the effective ones.

use std::collections::BTreeMap;

use serde_json::Value;

use super::given::Given;
use super::given::Source;
use super::problem::Fault;
use super::problem::Problem;
use super::rule::Rule;

/// What one source says, by option.
pub(super) type Layer = BTreeMap<&'static str, (Given, Source)>;

/// One effective value.
#[derive(Clone, Debug, PartialEq)]
pub struct Effective {
    pub name: &'static str,
    pub value: Value,
    pub source: Source,
}

/// The effective values, before they are checked.
pub(super) struct Layers<'a> {
    values: &'a Layer,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Layers<'a> {
    pub(super) fn new(values: &'a Layer, problems: &'a mut Vec<Problem>) -> Self {
        Self { values, problems }
    }

    pub(super) fn resolve<T>(&mut self, name: &'static str, rule: &Rule<T>) -> Option<T> {
        let Some((given, source)) = self.values.get(name) else {
            self.problems.push(Problem {
                option: Some(name),
                source: Source::Default,
                message: "there is no default because HOME is not set; set HOME or this option"
                    .to_owned(),
                fault: Fault::Value,
            });
            return None;
        };
        let value = (rule.parse)(given, source);
        if value.is_none() {
            self.problems.push(Problem::value(name, source, given, &rule.allowed));
        }
        value
    }

    pub(super) fn source(&self, name: &str) -> Source {
        self.values.get(name).map_or(Source::Default, |(_, source)| source.clone())
    }

    pub(super) fn refuse(&mut self, name: &'static str, message: String) {
        let source = self.source(name);
        self.problems.push(Problem { option: Some(name), source, message, fault: Fault::Value });
    }
}

//! The tools as a list: name, words for the model, schemas, effect, and the function behind each.

use std::future::Future;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Map;
use serde_json::Value;

use crate::domain::refusal::Refusal;
use crate::mcp::arguments::Accepted;
use crate::mcp::arguments::Wrong;
use crate::mcp::reply;
use crate::mcp::schema;
use crate::mcp::schema::Schema;
use crate::mcp::service::BoxFuture;
use crate::mcp::service::Call;
use crate::mcp::service::Error;
use crate::mcp::service::Result;
use crate::mcp::service::Service;
use crate::mcp::tools;

/// What a call may change, as a client wants to know before it lets a model call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Reads,
    /// Adds or moves on; the same call again does it again.
    Adds,
    /// Adds or moves on; the same call again changes nothing more.
    Settles,
    /// Ends or overwrites something; the same call again changes nothing more.
    Replaces,
}

/// How a call that did not succeed is answered.
#[derive(Debug)]
pub(crate) enum CallError {
    Arguments(Vec<Wrong>),
    Refused(Refusal),
    /// Something broke; the text is for the log.
    Failed(String),
}

type Run = dyn Fn(Service, Map<String, Value>, Call) -> BoxFuture<std::result::Result<Value, CallError>>
    + Send
    + Sync;

/// One tool.
pub(crate) struct Tool {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) description: &'static str,
    pub(crate) effect: Effect,
    pub(crate) arguments: Schema,
    pub(crate) result: Schema,
    accepted: Accepted,
    run: Box<Run>,
}

impl Tool {
    /// A tool that answers without waiting for anything but the store.
    pub(crate) fn new<P, R, F, Fut>(
        name: &'static str,
        title: &'static str,
        effect: Effect,
        description: &'static str,
        run: F,
    ) -> Self
    where
        P: DeserializeOwned + JsonSchema + Send + 'static,
        R: Serialize + JsonSchema + 'static,
        F: Fn(Service, P) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R>> + Send + 'static,
    {
        Self::waiting(name, title, effect, description, move |service, given, _call| {
            run(service, given)
        })
    }

    /// A tool that may wait, and so reports progress and notices that its client is gone.
    pub(crate) fn waiting<P, R, F, Fut>(
        name: &'static str,
        title: &'static str,
        effect: Effect,
        description: &'static str,
        run: F,
    ) -> Self
    where
        P: DeserializeOwned + JsonSchema + Send + 'static,
        R: Serialize + JsonSchema + 'static,
        F: Fn(Service, P, Call) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<R>> + Send + 'static,
    {
        let arguments = schema::of_arguments::<P>();
        let accepted = Accepted::from_schema(&arguments)
            .unwrap_or_else(|field| panic!("{name}: {field} has a schema of no known kind"));
        let run = move |service: Service, given: Map<String, Value>, call: Call| {
            let started = serde_json::from_value::<P>(Value::Object(given))
                .map(|given| run(service, given, call))
                .map_err(|error| {
                    CallError::Failed(format!("{name}: schema and type disagree: {error}"))
                });
            let answer: BoxFuture<_> = Box::pin(async move {
                let answer = started?.await.map_err(CallError::from)?;
                serde_json::to_value(answer).map_err(|error| CallError::Failed(error.to_string()))
            });
            answer
        };
        Self {
            name,
            title,
            description,
            effect,
            arguments,
            result: schema::of_result::<R>(),
            accepted,
            run: Box::new(run),
        }
    }

    /// Checks the arguments and runs the tool.
    pub(crate) async fn call(
        &self,
        service: Service,
        given: Map<String, Value>,
        call: Call,
    ) -> std::result::Result<Value, CallError> {
        let given = self.accepted.check(given).map_err(CallError::Arguments)?;
        (self.run)(service, given, call).await
    }
}

impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(refusal) => Self::Refused(refusal),
            Error::Failed(failure) => Self::Failed(reply::chain(&failure)),
        }
    }
}

/// Every tool, in the order the list shows them: the nouns as a coordinator meets them.
pub(crate) fn tools() -> Vec<Tool> {
    [
        tools::projects::tools(),
        tools::worker_types::tools(),
        tools::templates::tools(),
        tools::workers::tools(),
        tools::queues::tools(),
        tools::pauses::tools(),
        tools::tickets::tools(),
        tools::events::tools(),
        tools::usage::tools(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// The tools of an attempt's agent.
pub(crate) fn worker_tools() -> Vec<Tool> {
    tools::own::tools()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 31] = [
        "create_project",
        "get_project",
        "list_projects",
        "update_project",
        "delete_project",
        "create_worker_type",
        "get_worker_type",
        "list_worker_types",
        "update_worker_type",
        "delete_worker_type",
        "list_worker_templates",
        "spawn_worker",
        "stop_worker",
        "list_workers",
        "get_worker_status",
        "list_queues",
        "get_queue_status",
        "delete_queue",
        "pause",
        "resume",
        "create_ticket",
        "update_ticket",
        "get_ticket",
        "list_tickets",
        "add_ticket_comment",
        "complete_ticket_stage",
        "close_ticket",
        "resume_ticket",
        "list_events",
        "mark_events_processed",
        "get_usage",
    ];

    #[test]
    fn the_tools_are_those_of_the_contract_in_a_fixed_order() {
        let names: Vec<&str> = tools().iter().map(|tool| tool.name).collect();
        assert_eq!(names, NAMES);
    }

    #[test]
    fn an_agent_has_four_tools() {
        let names: Vec<&str> = worker_tools().iter().map(|tool| tool.name).collect();
        assert_eq!(names, ["get_ticket", "get_project", "add_ticket_comment", "report_progress"]);
    }

    #[test]
    fn every_tool_and_every_argument_is_described_within_two_kilobytes() {
        for tool in tools().into_iter().chain(worker_tools()) {
            assert!(!tool.title.is_empty(), "{}", tool.name);
            assert!((80..=2048).contains(&tool.description.len()), "{}", tool.name);
            assert_eq!(tool.arguments["type"], "object", "{}", tool.name);
            assert_eq!(tool.arguments["additionalProperties"], false, "{}", tool.name);
            for (field, schema) in tool.arguments["properties"].as_object().unwrap() {
                let description = schema["description"].as_str().unwrap_or_default();
                assert!(description.len() >= 10, "{}: {field} is not described", tool.name);
            }
        }
    }

    #[test]
    fn results_are_objects_and_schemas_are_plain() {
        for tool in tools().into_iter().chain(worker_tools()) {
            assert_eq!(tool.result["type"], "object", "{}", tool.name);
            assert!(!tool.result["properties"].as_object().unwrap().is_empty(), "{}", tool.name);
            let text = format!(
                "{}{}",
                Value::Object(tool.arguments.clone()),
                Value::Object(tool.result.clone())
            );
            for unwanted in ["\"format\"", "$ref", "$defs", "\"default\":null", "uint"] {
                assert!(!text.contains(unwanted), "{}: {unwanted} in {text}", tool.name);
            }
            let arguments = Value::Object(tool.arguments.clone()).to_string();
            assert!(!arguments.contains("\"null\""), "{}: {arguments}", tool.name);
        }
    }

    /// Adds every description below a schema, under its path.
    fn described(schema: &Value, path: &str, into: &mut String) {
        if let Some(description) = schema["description"].as_str() {
            into.extend(["  ", path, ": ", description, "\n"]);
        }
        for (field, below) in schema["properties"].as_object().into_iter().flatten() {
            described(below, &format!("{path}.{field}"), into);
        }
        if schema["items"].is_object() {
            described(&schema["items"], &format!("{path}[]"), into);
        }
    }

    #[test]
    fn the_words_of_each_tool_are_the_reviewed_ones() {
        for (snapshot, tools) in [("tools", tools()), ("tools-of-workers", worker_tools())] {
            let mut text = String::new();
            for tool in tools {
                text.extend([tool.name, ": ", tool.title, "\n", tool.description, "\n"]);
                described(&Value::Object(tool.arguments), "arguments", &mut text);
                described(&Value::Object(tool.result), "result", &mut text);
                text.push('\n');
            }
            crate::snapshot::holds(snapshot, &text);
        }
    }

    #[test]
    fn the_whole_list_fits_one_answer() {
        let size: usize = tools()
            .iter()
            .map(|tool| {
                tool.description.len()
                    + Value::Object(tool.arguments.clone()).to_string().len()
                    + Value::Object(tool.result.clone()).to_string().len()
            })
            .sum();
        assert!(size < 100_000, "{size} bytes");
    }
}

//! One tool: its name, its words for the model, its schemas, its effect, and the function behind it.

use std::future::Future;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Map;
use serde_json::Value;

use crate::domain::advice::Reader;
use crate::domain::refusal::Refusal;
use crate::mcp::arguments::Accepted;
use crate::mcp::arguments::Wrong;
use crate::mcp::call::BoxFuture;
use crate::mcp::call::Call;
use crate::mcp::schema;
use crate::mcp::schema::Schema;
use crate::mcp::service::Error;
use crate::mcp::service::Result;
use crate::mcp::service::Service;
use crate::telemetry;

/// What a call may change, for clients that decide whether a model may make it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    Reads,
    /// Adds something or moves it on; the same call again does so again.
    Adds,
    /// Adds something or moves it on; the same call again changes nothing more.
    Settles,
    /// Ends or overwrites something; the same call again changes nothing more.
    Replaces,
}

/// Why a call did not succeed.
#[derive(Debug)]
pub(crate) enum CallError {
    Arguments(Vec<Wrong>),
    Refused(Refusal),
    /// Something failed; the text is for the log.
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
    /// The result's schema, as a value.
    described: Value,
    run: Box<Run>,
}

impl Tool {
    /// A tool that waits for nothing but the store.
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

    /// A tool that may wait, and so can report progress and notice that its client is gone.
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
            described: Value::Object(schema::of_result::<R>()),
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
        let reader = service.reader;
        let mut answer = (self.run)(service, given, call).await?;
        // A model pays for each of them.
        if reader == Reader::Model {
            schema::remove_nulls(&mut answer, &self.described);
        }
        Ok(answer)
    }
}

impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(refusal) => Self::Refused(refusal),
            Error::Failed(failure) => Self::Failed(telemetry::chain(&failure)),
        }
    }
}

//! Calling a tool as a page does.

use serde::de::DeserializeOwned;
use serde_json::Map;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use crate::domain::advice::Reader;
use crate::domain::refusal::Refusal;
use crate::mcp::call::Call;
use crate::mcp::call::Caller;
use crate::mcp::desk::Desk;
use crate::mcp::reply;
use crate::mcp::service::Error;
use crate::mcp::service::Service;
use crate::mcp::tool::CallError;
use crate::mcp::tool::Effect;
use crate::mcp::tool::Tool;
use crate::store;
use crate::telemetry;
use crate::wire::read;
use crate::wire::wrong::WrongField;

pub(crate) type DeskResult<T> = Result<T, Declined>;

/// Why a page was not given what it asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Declined {
    /// There is no such tool.
    Unknown,
    /// It was understood and refused; for a person.
    Refused { said: String, fields: Vec<WrongField> },
    /// Something failed, and is in the log.
    Failed,
}

impl Declined {
    /// For a person.
    pub(crate) fn said(&self) -> &str {
        match self {
            Self::Unknown => "There is no such action.",
            Self::Refused { said, .. } => said,
            Self::Failed => "Something failed inside the server; its log says what.",
        }
    }
}

impl From<Error> for Declined {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(refusal) => {
                let fields = reply::wrong_field(&refusal).into_iter().collect();
                Self::Refused { said: reply::refusal(&refusal, READER), fields }
            }
            Error::Failed(failure) => {
                tracing::error!(error = telemetry::chain(&failure), "a page could not be made");
                Self::Failed
            }
        }
    }
}

impl From<store::Error> for Declined {
    fn from(error: store::Error) -> Self {
        Error::from(error).into()
    }
}

/// A refusal in the words of the tools.
pub(crate) fn refused(refusal: Refusal) -> Declined {
    Error::Refused(refusal).into()
}

/// Who reads what a page says.
const READER: Reader = Reader::Page;

impl Desk {
    /// Calls a tool. `cause` is the name under which the event log has what it changes.
    pub(crate) async fn call(
        &self,
        tool: &str,
        given: Map<String, Value>,
        cause: &str,
    ) -> DeskResult<Value> {
        let Some(tool) = self.tool(tool) else { return Err(Declined::Unknown) };
        let token = CancellationToken::new;
        let call = Call {
            caller: Caller::Coordinator,
            lapsed: token(),
            gone: token(),
            cancelled: token(),
            progress: None,
        };
        let answer = tool.call(self.service_of(cause), given, call).await;
        answer.map_err(|error| declined(tool, error))
    }

    /// Calls a tool that reads, and reads its answer.
    pub(crate) async fn ask<T: DeserializeOwned>(&self, tool: &str, given: Value) -> DeskResult<T> {
        let Value::Object(mut given) = given else { return Err(Declined::Unknown) };
        given.retain(|_, value| !value.is_null());
        let answer = self.call(tool, given, "dashboard").await?;
        read::read(answer).map_err(|error| {
            tracing::error!(tool, error = telemetry::chain(&error), "an answer could not be read");
            Declined::Failed
        })
    }

    /// Whether a tool only reads; `None` if there is no such tool.
    pub(crate) fn only_reads(&self, tool: &str) -> Option<bool> {
        self.tool(tool).map(|tool| tool.effect == Effect::Reads)
    }

    /// The schema of a tool's arguments.
    pub(crate) fn arguments_of(&self, tool: &str) -> Option<&Map<String, Value>> {
        self.tool(tool).map(|tool| &tool.arguments)
    }

    /// What a tool does, in a few words.
    pub(crate) fn title_of(&self, tool: &str) -> Option<&'static str> {
        self.tool(tool).map(|tool| tool.title)
    }

    fn tool(&self, name: &str) -> Option<&Tool> {
        self.tools.iter().find(|tool| tool.name == name)
    }

    /// The service as a session uses it. It has no consumer of events: it marks none.
    fn service_of(&self, cause: &str) -> Service {
        let mut service = self.service.for_call(READER, None);
        service.store = service.store.caused_by(cause);
        service
    }
}

fn declined(tool: &Tool, error: CallError) -> Declined {
    match error {
        CallError::Arguments(wrong) => Declined::Refused {
            said: reply::wrong_arguments(tool.name, &wrong, READER),
            fields: reply::wrong_fields(&wrong),
        },
        CallError::Refused(refusal) => Error::Refused(refusal).into(),
        CallError::Failed(error) => {
            tracing::error!(tool = tool.name, error, "tool failed");
            Declined::Failed
        }
    }
}

//! The adapter between MCP and the tools: the SDK's handler.
//!
//! It lists the tools and turns their answers into results. A refusal and wrong arguments are results with `isError`,
//! which models read; only an unknown tool or a malformed request is a protocol error, which models do not see.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use axum::http::request::Parts;
use rmcp::ErrorData;
use rmcp::RoleServer;
use rmcp::ServerHandler;
use rmcp::model;
use rmcp::model::CacheScope;
use rmcp::model::CallToolRequestParams;
use rmcp::model::CallToolResponse;
use rmcp::model::CustomRequest;
use rmcp::model::CustomResult;
use rmcp::model::DiscoverResult;
use rmcp::model::GetPromptRequestParams;
use rmcp::model::GetPromptResponse;
use rmcp::model::GetPromptResult;
use rmcp::model::ListPromptsResult;
use rmcp::model::ListResourceTemplatesResult;
use rmcp::model::ListResourcesResult;
use rmcp::model::ListToolsResult;
use rmcp::model::PaginatedRequestParams;
use rmcp::model::PromptMessage;
use rmcp::model::ProtocolVersion;
use rmcp::model::ReadResourceRequestParams;
use rmcp::model::ReadResourceResponse;
use rmcp::model::ReadResourceResult;
use rmcp::model::Resource;
use rmcp::model::ResourceContents;
use rmcp::model::ResourceTemplate;
use rmcp::model::Role;
use rmcp::model::ServerConfig;
use rmcp::service::RequestContext;

use crate::domain::advice::Reader;
use crate::domain::text::shortened;
use crate::mcp::call::Admitted;
use crate::mcp::call::Call;
use crate::mcp::catalog;
use crate::mcp::counts::CallCounts;
use crate::mcp::prompts;
use crate::mcp::reply;
use crate::mcp::resources;
use crate::mcp::resources::Address;
use crate::mcp::rpc::params;
use crate::mcp::rpc::running::Running;
use crate::mcp::sdk::about::config;
use crate::mcp::sdk::about::listed;
use crate::mcp::sdk::about::listed_prompt;
use crate::mcp::sdk::about::worker_config;
use crate::mcp::sdk::outcome::answered;
use crate::mcp::sdk::outcome::refused;
use crate::mcp::sdk::request::admitted;
use crate::mcp::sdk::request::for_coordinators;
use crate::mcp::sdk::request::is_stateless;
use crate::mcp::sdk::request::only_page;
use crate::mcp::sdk::request::progress;
use crate::mcp::service::Error;
use crate::mcp::service::Service;
use crate::mcp::tool::Tool;

/// How long a client may cache a resource: not at all, since workers change it at any time.
const READ_TTL: Duration = Duration::ZERO;

/// Revisions of MCP that are served, oldest first.
const REVISIONS: [ProtocolVersion; 4] = [
    ProtocolVersion::V_2025_03_26,
    ProtocolVersion::V_2025_06_18,
    ProtocolVersion::V_2025_11_25,
    ProtocolVersion::V_2026_07_28,
];

/// How long a client may cache the list of tools: it changes only when another version of the server starts.
const LIST_TTL: Duration = Duration::from_mins(5);

/// How much of an unknown name an error repeats.
const NAME_CHARS: usize = 128;

/// Serves MCP. Cheap to clone; each request gets a clone.
#[derive(Clone)]
pub(crate) struct Handler {
    service: Service,
    shared: Arc<Shared>,
}

/// Made once, read by every request.
struct Shared {
    tools: Vec<Tool>,
    listed: Vec<model::Tool>,
    config: ServerConfig,
    calls: Arc<CallCounts>,
}

/// One handler for each kind of caller: callers see only what they may use.
pub(crate) struct Handlers {
    pub(crate) coordinator: Handler,
    pub(crate) worker: Handler,
}

impl Handlers {
    pub(crate) fn new(service: &Service) -> Self {
        let (coordinators, workers) = (catalog::tools(), catalog::worker_tools());
        let names = coordinators.iter().map(|tool| tool.name);
        let own = workers.iter().map(|tool| tool.name);
        let own = own.filter(|name| !coordinators.iter().any(|tool| tool.name == *name));
        let calls = Arc::new(CallCounts::new(names.chain(own)));
        let handler = |tools: Vec<Tool>, config: ServerConfig| {
            let listed = tools.iter().map(listed).collect();
            let shared = Shared { tools, listed, config, calls: Arc::clone(&calls) };
            Handler { service: service.clone(), shared: Arc::new(shared) }
        };
        Self {
            coordinator: handler(coordinators, config()),
            worker: handler(workers, worker_config()),
        }
    }

    /// The calls of both kinds of callers.
    pub(crate) fn calls(&self) -> Arc<CallCounts> {
        Arc::clone(&self.coordinator.shared.calls)
    }
}

impl Handler {
    fn position(&self, name: &str) -> Option<usize> {
        self.shared.tools.iter().position(|tool| tool.name == name)
    }
}

impl ServerHandler for Handler {
    fn get_info(&self) -> ServerConfig {
        self.shared.config.clone()
    }

    fn supported_protocol_versions(&self) -> Cow<'static, [ProtocolVersion]> {
        Cow::Borrowed(&REVISIONS)
    }

    async fn discover(
        &self,
        _context: RequestContext<RoleServer>,
    ) -> Result<DiscoverResult, ErrorData> {
        let result = DiscoverResult::from_server_info(REVISIONS.to_vec(), self.get_info());
        Ok(result.with_ttl_ms(millis(LIST_TTL)).with_cache_scope(CacheScope::Private))
    }

    async fn list_tools(
        &self,
        page: Option<PaginatedRequestParams>,
        _context: RequestContext<RoleServer>,
    ) -> Result<ListToolsResult, ErrorData> {
        only_page("tools/list", page)?;
        let result = ListToolsResult::with_all_items(self.shared.listed.clone());
        Ok(result.with_ttl_ms(millis(LIST_TTL)).with_cache_scope(CacheScope::Private))
    }

    /// Before each call the SDK asks for the tool to check headers against its schema; it reads nothing else of it.
    fn get_tool(&self, name: &str) -> Option<model::Tool> {
        let listed = self.shared.listed.get(self.position(name)?)?;
        Some(model::Tool::new_with_raw(listed.name.clone(), None, listed.input_schema.clone()))
    }

    async fn call_tool(
        &self,
        request: CallToolRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<CallToolResponse, ErrorData> {
        let Some(index) = self.position(&request.name) else {
            let name = shortened(&request.name, NAME_CHARS);
            let wrong = format!("unknown tool: params.name is {name:?}; tools/list has the names");
            return Err(ErrorData::invalid_params(wrong, None));
        };
        let tool = &self.shared.tools[index];
        let Admitted { caller, reader, consumer, lapsed } = admitted(&context)?;
        let parts = context.extensions.get::<Parts>();
        let running = parts.and_then(|parts| parts.extensions.get::<Arc<Running>>());
        let cancelled = running.map(|running| running.cancelled()).unwrap_or_default();
        let gone = context.ct.clone();
        let who = caller.to_string();
        let call = Call { caller, lapsed, gone, cancelled, progress: progress(&context) };
        let answer = tool
            .call(
                self.service.for_call(reader, consumer),
                request.arguments.unwrap_or_default(),
                call,
            )
            .await;
        let (ended, result) = answered(tool.name, answer, reader);
        self.shared.calls.count(tool.name, ended);
        tracing::debug!(tool = tool.name, caller = who, ended = ended.name(), "tool called");
        Ok(result.into())
    }

    async fn list_resources(
        &self,
        page: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourcesResult, ErrorData> {
        for_coordinators(&context)?;
        let cursor = page.and_then(|page| page.cursor).filter(|cursor| !cursor.is_empty());
        let (entries, next) = resources::list(&self.service, cursor.as_deref())
            .await
            .map_err(|error| refused("resources/list", error))?;
        let mut result = ListResourcesResult::with_all_items(
            entries
                .into_iter()
                .map(|entry| {
                    Resource::new(entry.uri, entry.name)
                        .with_title(entry.title)
                        .with_description(entry.description)
                        .with_mime_type(resources::MIME_TYPE)
                })
                .collect(),
        );
        result.next_cursor = next;
        Ok(result.with_ttl_ms(millis(READ_TTL)).with_cache_scope(CacheScope::Private))
    }

    async fn list_resource_templates(
        &self,
        page: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListResourceTemplatesResult, ErrorData> {
        for_coordinators(&context)?;
        only_page("resources/templates/list", page)?;
        let template = |template: &resources::Template| {
            ResourceTemplate::new(template.uri, template.name)
                .with_title(template.title)
                .with_description(template.description)
                .with_mime_type(resources::MIME_TYPE)
        };
        let all = resources::TEMPLATES.iter().map(template).collect();
        let result = ListResourceTemplatesResult::with_all_items(all);
        Ok(result.with_ttl_ms(millis(LIST_TTL)).with_cache_scope(CacheScope::Private))
    }

    async fn read_resource(
        &self,
        request: ReadResourceRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<ReadResourceResponse, ErrorData> {
        for_coordinators(&context)?;
        let uri = request.uri;
        let absent =
            |why: String| ErrorData::resource_not_found(why, Some(serde_json::json!({"uri": uri})));
        let Some(address) = Address::parse(&uri) else {
            let known = resources::TEMPLATES.map(|template| template.uri).join(", ");
            return Err(absent(format!(
                "no resource has this address; the addresses are {known} and events://"
            )));
        };
        let value = match resources::read(&self.service, &address).await {
            Ok(value) => value,
            Err(Error::Refused(refusal)) => {
                return Err(absent(reply::refusal(&refusal, Reader::Model)));
            }
            Err(error @ Error::Failed(_)) => return Err(refused("resources/read", error)),
        };
        let text =
            ResourceContents::text(value.to_string(), uri).with_mime_type(resources::MIME_TYPE);
        let result = ReadResourceResult::new(vec![text]);
        Ok(result.with_ttl_ms(millis(READ_TTL)).with_cache_scope(CacheScope::Private).into())
    }

    async fn list_prompts(
        &self,
        page: Option<PaginatedRequestParams>,
        context: RequestContext<RoleServer>,
    ) -> Result<ListPromptsResult, ErrorData> {
        for_coordinators(&context)?;
        only_page("prompts/list", page)?;
        let all = prompts::PROMPTS.iter().map(listed_prompt).collect();
        let result = ListPromptsResult::with_all_items(all);
        Ok(result.with_ttl_ms(millis(LIST_TTL)).with_cache_scope(CacheScope::Private))
    }

    async fn get_prompt(
        &self,
        request: GetPromptRequestParams,
        context: RequestContext<RoleServer>,
    ) -> Result<GetPromptResponse, ErrorData> {
        for_coordinators(&context)?;
        let arguments = request.arguments.unwrap_or_default();
        let text = prompts::text(&self.service, &request.name, &arguments)
            .await
            .map_err(|error| refused("prompts/get", error))?;
        let Some(text) = text else {
            let name = shortened(&request.name, NAME_CHARS);
            let wrong =
                format!("unknown prompt: params.name is {name:?}; prompts/list has the names");
            return Err(ErrorData::invalid_params(wrong, None));
        };
        let message = PromptMessage::new_text(Role::User, text);
        Ok(GetPromptResult::new(vec![message]).into())
    }

    /// A request of a known method whose parameters fit none of its shapes arrives here too, as if its method were
    /// unknown.
    async fn on_custom_request(
        &self,
        request: CustomRequest,
        context: RequestContext<RoleServer>,
    ) -> Result<CustomResult, ErrorData> {
        // The revision without sessions has removed this method, whatever its parameters are.
        let is_removed = request.method == "initialize" && is_stateless(&context);
        let wrong = params::wrong_params(&request.method, request.params.as_ref());
        if let Some(wrong) = wrong.filter(|_| !is_removed) {
            return Err(ErrorData::invalid_params(wrong, None));
        }
        let method = shortened(&request.method, NAME_CHARS);
        Err(ErrorData::new(model::ErrorCode::METHOD_NOT_FOUND, method, None))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

//! Templates of worker types: `list_worker_templates`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use crate::domain::refusal::Refusal;
use crate::domain::text::shortened;
use crate::domain::worker_type::WorkerTypeSettings;
use crate::mcp::page::List;
use crate::mcp::service::Result;
use crate::mcp::service::Service;
use crate::mcp::tool::Effect;
use crate::mcp::tool::Tool;
use crate::mcp::tools::projects::LISTED_CHARS;
use crate::mcp::tools::worker_type_settings::SettingsView;
use crate::store::Listed;
use crate::templates::Found;
use crate::templates::Source;

pub(crate) fn tools() -> Vec<Tool> {
    vec![Tool::new(
        "list_worker_templates",
        "List templates of worker types",
        Effect::Reads,
        "Lists the roles that create_worker_type can start from: what each is for, what its stage hands to the next \
         one, its tools and limits. The operator's templates are listed with the built-in ones, or in their place; \
         `problem` says what is wrong with one that cannot be used. System prompts are cut; name a `template` to read \
         one in full. `next_cursor` is absent on the last page.",
        list,
    )]
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListAll {
    /// Only the template with this name, with its full system prompt.
    template: Option<String>,
    /// Maximum number of templates to return; default 50.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<i64>,
    /// The `next_cursor` of the previous page; leave it out for the first page.
    cursor: Option<String>,
}

#[derive(Serialize, JsonSchema)]
struct TemplateView {
    template: String,
    #[schemars(extend("enum" = Source::NAMES))]
    source: &'static str,
    /// What the stage hands to the next one.
    hands_on: String,
    #[serde(flatten)]
    settings: SettingsView,
    /// What is wrong with the operator's file; the template cannot be used until it is fixed.
    problem: Option<String>,
}

impl From<Found> for TemplateView {
    fn from(found: Found) -> Self {
        let (hands_on, settings, problem) = match found.read {
            Ok(template) => (template.hands_on, template.settings, None),
            Err(why) => (String::new(), WorkerTypeSettings::with_prompt(String::new()), Some(why)),
        };
        Self {
            template: found.name,
            source: found.source.name(),
            hands_on,
            settings: settings.into(),
            problem,
        }
    }
}

#[derive(Serialize, JsonSchema)]
struct Templates {
    templates: Vec<TemplateView>,
    next_cursor: Option<String>,
}

async fn list(service: Service, given: ListAll) -> Result<Templates> {
    // Checked first, so that an invalid cursor is refused whatever else is given.
    let page = List::WorkerTemplates.page(given.limit, given.cursor.as_deref())?;
    let all = service.templates(crate::templates::Templates::all).await;
    if let Some(name) = given.template {
        let known = all.iter().map(|found| found.name.clone()).collect();
        let template = all.into_iter().find(|found| found.name == name);
        let found = template.ok_or(Refusal::UnknownTemplate { template: name, known })?;
        return Ok(Templates { templates: vec![found.into()], next_cursor: None });
    }
    // Templates are files, so all are read and the page is cut here; the cursor is a position.
    let numbered = (1_i64..).zip(all).filter(|(number, _)| *number > page.after.unwrap_or(0));
    let most = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let mut rest: Vec<(i64, Found)> = numbered.collect();
    let more = rest.len() > most;
    rest.truncate(most);
    let next = rest.last().map(|(number, _)| *number).filter(|_| more);
    let (keys, items) = rest.into_iter().unzip();
    let cut = |found: Found| {
        let mut view = TemplateView::from(found);
        view.settings.system_prompt = shortened(&view.settings.system_prompt, LISTED_CHARS);
        view
    };
    let listed = Listed { items, keys, next };
    let (templates, next_cursor) = List::WorkerTemplates.show(listed, cut);
    Ok(Templates { templates, next_cursor })
}

//! Templates of worker types: `list_worker_templates`.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::Serialize;

use crate::domain::refusal::Refusal;
use crate::domain::worker_type::WorkerTypeSettings;
use crate::mcp::page::List;
use crate::mcp::service::Result;
use crate::mcp::service::Service;
use crate::mcp::tool::Effect;
use crate::mcp::tool::Tool;
use crate::mcp::tools::projects::LISTED_CHARS;
use crate::mcp::tools::worker_type_settings::SettingsView;
use crate::mcp::transcript::shortened;
use crate::store::Listed;
use crate::templates::Found;
use crate::templates::Source;

pub(crate) fn tools() -> Vec<Tool> {
    vec![Tool::new(
        "list_worker_templates",
        "List templates of worker types",
        Effect::Reads,
        "Lists the roles create_worker_type can begin with: what each is for, what its stage hands to the next one, its \
         tools and limits. The operator's own stand among the built-in ones or in their place; `problem` says what is \
         wrong with one that cannot be used. System prompts are cut; name a `template` to read one whole. Returns \
         `templates` and `next_cursor`, which is null on the last page.",
        list,
    )]
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListAll {
    /// Only the template of this name, with its whole system prompt.
    template: Option<String>,
    /// Most templates to return; 50 when left out.
    #[schemars(range(min = 1, max = 200))]
    limit: Option<i64>,
    /// The `next_cursor` of the page before; leave it out for the first page.
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
    /// What is wrong with the operator's file; the template cannot be used until that is mended.
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
    // Checked first, so that a wrong cursor is refused whatever else is asked.
    let page = List::WorkerTemplates.page(given.limit, given.cursor.as_deref())?;
    let all = service.templates(crate::templates::Templates::all).await;
    if let Some(name) = given.template {
        let known = all.iter().map(|found| found.name.clone()).collect();
        let template = all.into_iter().find(|found| found.name == name);
        let found = template.ok_or(Refusal::UnknownTemplate { template: name, known })?;
        return Ok(Templates { templates: vec![found.into()], next_cursor: None });
    }
    // There are as many as there are files, so they are listed whole and cut here; the cursor is a position.
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

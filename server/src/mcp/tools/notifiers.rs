//! Notifiers: `list_notifiers`, `test_notifier` and `resume_notifier`.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::domain::notify::Notifier;
use crate::domain::notify::Progress;
use crate::domain::refusal::Refusal;
use crate::domain::text;
use crate::mcp::service::Error;
use crate::mcp::service::Result;
use crate::mcp::service::Service;
use crate::mcp::tool::Effect;
use crate::mcp::tool::Tool;
use crate::notify;
use crate::wire::notifier::NotifierView;
use crate::wire::notifier::Notifiers;

pub(crate) fn tools() -> Vec<Tool> {
    vec![
        Tool::new(
            "list_notifiers",
            "List the notifiers",
            Effect::Reads,
            "Lists the notifiers of the operator's configuration: commands and webhooks to which events are sent. Each has its \
             state, and the reason when its messages do not arrive.",
            list,
        ),
        Tool::new(
            "test_notifier",
            "Send a test through a notifier",
            Effect::Adds,
            "Sends one message through a notifier at once, in its quiet hours too, and returns the notifier when the message \
             arrived. The message is about no event and changes nothing about those that wait.",
            test,
        ),
        Tool::new(
            "resume_notifier",
            "Have a notifier try again",
            Effect::Settles,
            "Has a notifier try again now: one that is paused because its messages did not arrive, or one that waits before its \
             next try. It continues with the event at which it stopped. Returns the notifier.",
            resume,
        ),
    ]
}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct All {}

#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct One {
    /// The name of the notifier.
    notifier: String,
}

async fn list(service: Service, _: All) -> Result<Notifiers> {
    let progress = service.store.notifiers().await?;
    let views = service.notifiers.all().into_iter().map(|notifier| {
        let progress = progress.iter().find(|progress| progress.name == notifier.name);
        view(&service, notifier, progress)
    });
    Ok(Notifiers { notifiers: views.collect() })
}

async fn test(service: Service, given: One) -> Result<NotifierView> {
    let notifier = find(&service, &given.notifier)?;
    notify::test(&notifier, &service.clock).await.map_err(|failed| {
        let (notifier, why) = (notifier.name.to_string(), text::shown(&failed.why));
        Error::from(Refusal::NotifierFailed { notifier, why })
    })?;
    let progress = service.store.notifier(&notifier.name).await?;
    Ok(view(&service, notifier, progress.as_ref()))
}

async fn resume(service: Service, given: One) -> Result<NotifierView> {
    let notifier = find(&service, &given.notifier)?;
    let progress = service.store.resume_notifier(&notifier.name).await?;
    Ok(view(&service, notifier, progress.as_ref()))
}

fn find(service: &Service, name: &str) -> std::result::Result<Notifier, Refusal> {
    service.notifiers.find(name).ok_or_else(|| {
        let known = service.notifiers.all().into_iter().map(|known| known.name.into_string());
        Refusal::UnknownNotifier { given: name.to_owned(), known: known.collect() }
    })
}

fn view(service: &Service, notifier: Notifier, progress: Option<&Progress>) -> NotifierView {
    let is_quiet = notify::quiet_minutes(&notifier, service.now()).is_some();
    NotifierView::new(notifier, progress, is_quiet)
}

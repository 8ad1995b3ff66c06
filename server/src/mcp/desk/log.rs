//! The event log, for pages: backwards, and as it grows.

use tokio::sync::watch;

use crate::domain::event::EventKind;
use crate::domain::id::EventSeq;
use crate::domain::names::Named as _;
use crate::domain::refusal::Refusal;
use crate::domain::time::Timestamp;
use crate::mcp::desk::Desk;
use crate::mcp::desk::call::DeskResult;
use crate::mcp::service::Error;
use crate::mcp::service::id;
use crate::store::EventQuery;
use crate::store::EventScope;
use crate::wire::event::EventView;

/// An event, and whose call caused it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Logged {
    pub(crate) event: EventView,
    pub(crate) caused_by: Option<String>,
}

/// A consumer that marks nothing.
const NOBODY: &str = "dashboard";

impl Desk {
    /// The newest events before one, of a project, a ticket, some kinds.
    pub(crate) async fn past_events(
        &self,
        project: Option<&str>,
        ticket: Option<&str>,
        kinds: &[String],
        before: Option<i64>,
        limit: i64,
    ) -> DeskResult<Vec<Logged>> {
        let kind = |name: &String| {
            let allowed = || format!("one of {}", EventKind::NAMES.join(", "));
            let found = EventKind::from_name(name);
            found.ok_or_else(|| Error::Refused(Refusal::invalid("kind", name, allowed())))
        };
        let scope = EventScope {
            project: project.map(str::to_owned),
            ticket: ticket.map(|text| id("ticket_id", text)).transpose()?,
            kinds: kinds.iter().map(kind).collect::<Result<_, _>>()?,
        };
        let found = self.service.store.past_events(&scope, before.map(EventSeq), limit).await?;
        let logged = found
            .into_iter()
            .map(|past| Logged { event: past.event.into(), caused_by: past.caused_by });
        Ok(logged.collect())
    }

    /// The events after one, in their order, and the number of the newest of all.
    pub(crate) async fn events_after(
        &self,
        after: i64,
        limit: i64,
    ) -> DeskResult<(Vec<EventView>, i64)> {
        let query = EventQuery {
            after: Some(EventSeq(after)),
            include_processed: true,
            scope: EventScope::default(),
            consumer: NOBODY.to_owned(),
            limit,
        };
        let page = self.service.store.events(query).await?;
        Ok((page.events.into_iter().map(EventView::from).collect(), page.last_seq.0))
    }

    /// The number of the newest event.
    pub(crate) async fn newest_event(&self) -> DeskResult<i64> {
        Ok(self.service.store.newest_event().await?.0)
    }

    /// Rises with each commit that changed something.
    pub(crate) fn level(&self) -> watch::Receiver<u64> {
        self.service.store.level()
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.service.now()
    }

    /// Returns when the server stops.
    pub(crate) async fn stopping(&self) {
        self.service.stopping().await;
    }
}

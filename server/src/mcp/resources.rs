//! Resources: tickets, projects and events under addresses a client can put into a prompt, such as `ticket://T-42`.
//!
//! Each has the shape of the answer of the tool for the same noun, so that a model meets only one shape.

use std::fmt;

use percent_encoding::AsciiSet;
use percent_encoding::NON_ALPHANUMERIC;
use percent_encoding::percent_decode_str;
use percent_encoding::utf8_percent_encode;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use crate::domain::id::TicketId;
use crate::domain::text::shortened;
use crate::mcp::page::List;
use crate::mcp::page::MAX_LIMIT;
use crate::mcp::schema;
use crate::mcp::service::Result;
use crate::mcp::service::Service;
use crate::mcp::tools::events;
use crate::mcp::tools::projects;
use crate::mcp::tools::projects::LISTED_CHARS;
use crate::mcp::tools::tickets;
use crate::store::History;
use crate::store::Page;
use crate::store::TicketFilter;

/// What a resource holds.
pub(crate) const MIME_TYPE: &str = "application/json";

/// A name may contain letters of any script; in an address, only these characters are not escaped.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// One resource, as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Entry {
    pub(crate) uri: String,
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) description: String,
}

/// A family of resources whose addresses differ in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) uri: &'static str,
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) description: &'static str,
}

/// Every family there is.
pub(crate) const TEMPLATES: [Template; 3] = [
    Template {
        uri: "ticket://{ticket_id}",
        name: "ticket",
        title: "A ticket",
        description: "One ticket with its comments, its attempts and what it waits for, as get_ticket returns it; \
                      closed ones too. Example: ticket://T-42",
    },
    Template {
        uri: "project://{project}",
        name: "project",
        title: "A project",
        description: "One project with its rules, its patterns and how many tickets are in each state, as get_project \
                      returns it. Example: project://shop",
    },
    Template {
        uri: "events://{project}",
        name: "project-events",
        title: "Events of a project",
        description: "What happened in one project and is not marked as processed yet, as list_events returns it. \
                      Example: events://shop",
    },
];

/// What an address names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Address {
    Ticket(TicketId),
    Project(String),
    /// The events the coordinator has not marked, of all projects or one.
    Events(Option<String>),
}

impl Address {
    /// Reads an address. Some clients put a slash behind what they take for a host.
    pub(crate) fn parse(uri: &str) -> Option<Self> {
        let (scheme, rest) = uri.split_once("://")?;
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let name = percent_decode_str(rest).decode_utf8().ok()?.into_owned();
        match scheme.to_ascii_lowercase().as_str() {
            "ticket" => name.parse().ok().map(Self::Ticket),
            "project" if !name.is_empty() => Some(Self::Project(name)),
            "events" => Some(Self::Events(Some(name).filter(|name| !name.is_empty()))),
            _ => None,
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ticket(ticket) => write!(f, "ticket://{ticket}"),
            Self::Project(name) => write!(f, "project://{}", utf8_percent_encode(name, ESCAPED)),
            Self::Events(None) => f.write_str("events://"),
            Self::Events(Some(name)) => {
                write!(f, "events://{}", utf8_percent_encode(name, ESCAPED))
            }
        }
    }
}

/// Lists what there is to read: the events, the projects, then the open tickets, oldest first. Closed tickets are
/// reached by their address.
pub(crate) async fn list(
    service: &Service,
    cursor: Option<&str>,
) -> Result<(Vec<Entry>, Option<String>)> {
    let mut entries = Vec::new();
    let tickets = match cursor {
        Some(cursor) if List::Tickets.owns(cursor) => {
            List::Tickets.page(Some(MAX_LIMIT), Some(cursor))?
        }
        Some(_) | None => {
            if cursor.is_none() {
                entries.push(newest_events());
            }
            let page = List::Projects.page(Some(MAX_LIMIT), cursor)?;
            let listed = service.store.projects(page).await?;
            let (projects, next) = List::Projects.show(listed, |project| Entry {
                uri: Address::Project(project.name.to_string()).to_string(),
                title: format!("Project {}", project.name),
                name: project.name.into_string(),
                description: shortened(&project.description, LISTED_CHARS),
            });
            entries.extend(projects);
            if next.is_some() {
                return Ok((entries, next));
            }
            Page { after: None, limit: MAX_LIMIT }
        }
    };
    let open = TicketFilter { open: true, ..TicketFilter::default() };
    let listed = service.store.tickets(open, tickets).await?;
    let (tickets, next) = List::Tickets.show(listed, |ticket| Entry {
        uri: Address::Ticket(ticket.id).to_string(),
        name: ticket.id.to_string(),
        description: format!(
            "{} at {} in {}",
            ticket.state.name(),
            ticket.current_stage(),
            ticket.project_name
        ),
        title: ticket.title,
    });
    entries.extend(tickets);
    Ok((entries, next))
}

fn newest_events() -> Entry {
    Entry {
        uri: Address::Events(None).to_string(),
        name: "events".to_owned(),
        title: "Events".to_owned(),
        description: "What happened and is not marked as processed yet, as list_events returns it."
            .to_owned(),
    }
}

/// Reads what an address names, as JSON. A refusal means that there is no such thing.
pub(crate) async fn read(service: &Service, address: &Address) -> Result<Value> {
    match address {
        Address::Ticket(ticket) => {
            Ok(value(tickets::detail(service, *ticket, History::default()).await?))
        }
        Address::Project(name) => Ok(value(projects::detail(service, name).await?)),
        Address::Events(project) => {
            if let Some(name) = project {
                service.store.project(name).await?;
            }
            Ok(value(events::unprocessed(service, project.clone()).await?))
        }
    }
}

/// As the tool of the same noun answers a model: without the nulls.
fn value<T: Serialize + JsonSchema>(view: T) -> Value {
    let mut value = serde_json::to_value(view).expect("a view is an object with names as keys");
    schema::remove_nulls(&mut value, &Value::Object(schema::of_result::<T>()));
    value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read_back_what_they_print() {
        for address in [
            Address::Ticket(TicketId::from_key(42)),
            Address::Project("shop".to_owned()),
            Address::Project("Büro-2.x_y".to_owned()),
            Address::Events(None),
            Address::Events(Some("shop".to_owned())),
        ] {
            let text = address.to_string();
            assert_eq!(Address::parse(&text).as_ref(), Some(&address), "{text}");
            assert!(text.is_ascii(), "{text}");
        }
        assert_eq!(Address::parse("events:///"), Some(Address::Events(None)));
        assert_eq!(Address::parse("project://shop/"), Some(Address::Project("shop".to_owned())));
    }

    #[test]
    fn what_names_nothing_of_ours_is_no_address() {
        for bad in [
            "",
            "T-42",
            "ticket://",
            "ticket://42",
            "ticket://T-042",
            "project://",
            "file:///etc/passwd",
            "project://%ff",
            "ticket:T-42",
        ] {
            assert_eq!(Address::parse(bad), None, "{bad}");
        }
    }
}

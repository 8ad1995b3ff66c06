//! The stages of a ticket, one below the other.

use maud::Markup;
use maud::html;

use crate::web::assets::icon;
use crate::web::text::Hostile;
use crate::wire::ticket::TicketView;

pub(crate) fn ladder(ticket: &TicketView) -> Markup {
    let now = usize::try_from(ticket.stage_index).unwrap_or(usize::MAX);
    let completed = ticket.resolution.as_deref() == Some("completed");
    html! {
        ol .ladder {
            @for (at, stage) in ticket.execution_plan.iter().enumerate() {
                @let (class, name) = step(ticket, at, now, completed);
                li class={ "step " (class) } aria-current=[(class == "step-now" || class == "step-held").then_some("step")] {
                    (icon(name)) " " span .step-name { (Hostile(stage)) }
                    @if at == now && !completed {
                        " " span .muted {
                            (ticket.state.replace('_', " "))
                            @if ticket.attempts_used > 0 { ", " (ticket.attempts_used) " failed" }
                        }
                    }
                }
            }
        }
    }
}

fn step(
    ticket: &TicketView,
    at: usize,
    now: usize,
    completed: bool,
) -> (&'static str, &'static str) {
    if completed || at < now {
        return ("step-done", "check");
    }
    if at > now {
        return ("step-next", "dots");
    }
    match ticket.state.as_str() {
        "on_hold" => ("step-held", "on_hold"),
        "closed" => ("step-held", "cancelled"),
        "running" => ("step-now", "running"),
        _ => ("step-now", "clock"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stages_before_the_current_one_are_done_and_those_after_it_are_not() {
        let ticket = TicketView {
            execution_plan: vec!["plan".into(), "build".into(), "test".into()],
            stage_index: 1,
            state: "on_hold".into(),
            ..TicketView::default()
        };
        let page = ladder(&ticket).into_string();
        let at = |part: &str| page.find(part).unwrap_or_else(|| panic!("{part} is not in {page}"));
        assert!(at("step-done") < at("step-held") && at("step-held") < at("step-next"));
        let closed =
            TicketView { state: "closed".into(), resolution: Some("completed".into()), ..ticket };
        assert_eq!(ladder(&closed).into_string().matches("step-done").count(), 3);
    }
}

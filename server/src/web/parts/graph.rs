//! What a ticket waits for, as a picture and as a list.

use maud::Markup;
use maud::html;

use crate::web::parts::values;
use crate::web::text::Hostile;
use crate::wire::ticket::TicketView;

const WIDTH: usize = 200;
const HEIGHT: usize = 28;
const GAP: usize = 10;
const ACROSS: usize = 60;

/// The ticket, and those that it waits for, each with its state as far as it is known.
pub(crate) fn graph(ticket: &TicketView, needs: &[TicketView]) -> Markup {
    if needs.is_empty() {
        return html! { p .muted { "It waits for no other ticket." } };
    }
    let height = needs.len() * (HEIGHT + GAP);
    let middle = height / 2;
    let width = WIDTH * 2 + ACROSS;
    html! {
        svg .graph viewBox={ "0 0 " (width) " " (height) } width=(width) height=(height) role="group"
            aria-label={ (ticket.ticket_id) " waits for " (needs.len()) " tickets" } {
            @for (at, need) in needs.iter().enumerate() {
                @let y = at * (HEIGHT + GAP) + GAP / 2;
                path .edge class={ "edge edge-" (need.state) } fill="none"
                    d={ "M" (WIDTH) " " (y + HEIGHT / 2) " C" (WIDTH + ACROSS / 2) " " (y + HEIGHT / 2) " " (WIDTH + ACROSS / 2) " " (middle) " " (WIDTH + ACROSS) " " (middle) } {}
                (node(need, 0, y))
            }
            (node(ticket, WIDTH + ACROSS, middle.saturating_sub(HEIGHT / 2)))
        }
        ul .graph-list { @for need in needs {
            li { (values::ticket_id(&need.ticket_id)) " " (values::ticket_state(&need.state, need.resolution.as_deref())) " " (Hostile(&need.title)) }
        } }
    }
}

fn node(ticket: &TicketView, x: usize, y: usize) -> Markup {
    let state = ticket.resolution.as_deref().unwrap_or(&ticket.state);
    html! {
        a href=(values::ticket_href(&ticket.ticket_id)) {
            g .node class={ "node node-" (state) } {
                rect x=(x) y=(y) width=(WIDTH) height=(HEIGHT) rx="4" {}
                text x=(x + 8) y=(y + HEIGHT / 2 + 4) { (ticket.ticket_id) " " (Hostile(&values::line(&ticket.title, 20))) }
                title { (ticket.ticket_id) " is " (state.replace('_', " ")) }
            }
        }
    }
}

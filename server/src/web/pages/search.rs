//! `/search`: tickets, reports, questions and remarks that have some words.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::Markup;
use maud::PreEscaped;
use maud::Render as _;
use maud::html;

use crate::domain::time::Timestamp;
use crate::mcp::desk::DeskResult;
use crate::mcp::desk::Found;
use crate::mcp::desk::MARKS;
use crate::web::parts::values;
use crate::web::shell;
use crate::web::shell::Page;
use crate::web::site::Site;
use crate::web::text::Hostile;
use crate::web::visit::Visit;

/// Results of each kind on one page.
const ROWS: i64 = 50;

pub(crate) async fn show(State(site): State<Arc<Site>>, visit: Visit) -> Response {
    let made = make(&site, &visit).await;
    shell::show(&site, &visit, made).await
}

async fn make(site: &Site, visit: &Visit) -> DeskResult<Page> {
    let words = visit.query.get("q").unwrap_or_default();
    let skip = visit
        .query
        .get("skip")
        .and_then(|skip| skip.parse::<i64>().ok())
        .unwrap_or(0)
        .clamp(0, 100_000);
    let tickets = site.desk.find_tickets(words, skip, ROWS).await?;
    let comments = site.desk.find_comments(words, skip, ROWS).await?;
    let at = site.desk.now();
    let full = |found: &[Found]| i64::try_from(found.len()).is_ok_and(|count| count == ROWS);
    let more = full(&tickets) || full(&comments);
    let body = html! {
        form .toolbar method="get" action="/search" {
            input type="search" name="q" value=(words) aria-label="Words" placeholder="All of these words, the last one as far as it goes" autofocus[words.is_empty()];
            button .btn.btn-primary { "Search" }
        }
        section #results {
            @if words.trim().is_empty() {
                div .empty { p { "Search the titles and descriptions of tickets, and all reports, questions and comments." } }
            } @else if tickets.is_empty() && comments.is_empty() {
                div .empty { p { "Nothing has all of these words." } }
            } @else {
                @if !tickets.is_empty() { h2 { "Tickets" } ol .results data-list { @for found in &tickets { (result(found, at)) } } }
                @if !comments.is_empty() { h2 { "Reports and comments" } ol .results data-list { @for found in &comments { (result(found, at)) } } }
                @if more { nav .pager { a .btn rel="next" href=(visit.query.with("skip", Some(&(skip + ROWS).to_string())).on("/search")) { "Older" } } }
            }
        }
    };
    Ok(Page::new("search", "Search", body))
}

fn result(found: &Found, at: Timestamp) -> Markup {
    let id = found.ticket.to_string();
    let anchor =
        found.comment.as_ref().map(|comment| format!("#{}", comment.id)).unwrap_or_default();
    let href = format!("{}{anchor}", values::ticket_href(&id));
    html! {
        li data-item data-href=(href) {
            (values::ticket_id(&id)) " " a href=(href) { (Hostile(&found.title)) } " "
            (values::ticket_state(&found.state, None)) " " span .muted { (values::project(&found.project)) }
            @if let Some(comment) = &found.comment {
                " " span .muted { (comment.kind) " by " (Hostile(&comment.author)) " " (values::ago(&comment.at.to_string(), at)) }
            }
            p .excerpt.hostile { (excerpt(&found.excerpt)) }
        }
    }
}

/// An excerpt with the words that were found marked.
fn excerpt(text: &str) -> Markup {
    let (open, close) = MARKS;
    let mut page = String::new();
    let mut depth = 0;
    for part in text.split_inclusive([open, close]) {
        let (own, mark) = match part.chars().next_back() {
            Some(last) if last == open || last == close => {
                (&part[..part.len() - last.len_utf8()], Some(last))
            }
            Some(_) | None => (part, None),
        };
        page.push_str(&Hostile(own).render().0);
        match mark {
            Some(mark) if mark == open && depth == 0 => {
                page.push_str("<mark>");
                depth = 1;
            }
            Some(mark) if mark == close && depth == 1 => {
                page.push_str("</mark>");
                depth = 0;
            }
            Some(_) | None => {}
        }
    }
    if depth == 1 {
        page.push_str("</mark>");
    }
    PreEscaped(page)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_marked_whatever_the_text_has() {
        assert_eq!(excerpt("a \u{2}coupon\u{3} <b>").0, "a <mark>coupon</mark> &lt;b&gt;");
        assert_eq!(excerpt("\u{3}\u{2}\u{2}x\u{202e}").0, "<mark>x⟨U+202E⟩</mark>");
        assert_eq!(excerpt("").0, "");
    }
}

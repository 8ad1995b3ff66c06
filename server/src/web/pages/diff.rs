//! What a ticket changed: its files, and each file when it is opened.

use std::sync::Arc;

use axum::extract::Path;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Html;
use axum::response::IntoResponse as _;
use axum::response::Response;
use maud::Markup;
use maud::html;

use crate::mcp::desk::ChangedFile;
use crate::mcp::desk::Declined;
use crate::mcp::desk::DeskResult;
use crate::mcp::desk::Difference;
use crate::web::parts::findings;
use crate::web::parts::values;
use crate::web::query::Query;
use crate::web::shell;
use crate::web::site::Site;
use crate::web::text::Hostile;
use crate::web::text::cut;
use crate::web::visit::Visit;
use crate::wire::ticket::TicketDetailView;

/// Files that are listed.
const MOST_FILES: usize = 500;
/// Lines of one file that are shown, and characters of one line.
const MOST_LINES: usize = 5_000;
const MOST_CHARS: usize = 2_000;

/// The files of a ticket. The one that the address names is open.
pub(crate) async fn section(
    site: &Site,
    visit: &Visit,
    detail: &TicketDetailView,
) -> DeskResult<Markup> {
    let ticket = &detail.ticket;
    let heading = html! { header .panel-head { h2 { "Changes" } } };
    if ticket.head_commit.is_none() || ticket.head_commit == ticket.base_commit {
        return Ok(
            html! { (heading) p .muted { "Nothing that it changed has been accepted yet." } },
        );
    }
    let id = &ticket.ticket_id;
    let files = {
        let _look = site.looks.acquire().await;
        site.desk.changed_files(id).await?
    };
    let files = match files {
        Difference::NoBranch => {
            return Ok(
                html! { (heading) p .muted { "It works in the project's directory, so its changes are not known apart." } },
            );
        }
        Difference::Unreadable => {
            return Ok(html! { (heading) p .muted { "The repository cannot be read just now." } });
        }
        Difference::Shown(files) => files,
    };
    let open = visit.query.get("diff");
    let lines = match open {
        Some(path) => Some(lines(site, id, path).await?),
        None => None,
    };
    Ok(html! {
        (heading)
        @for file in files.iter().take(MOST_FILES) {
            @let is_open = open == Some(&file.path);
            @let said = findings::about(&detail.gates, &file.path);
            details .diff-file open[is_open] data-src={ "/api/tickets/" (id) "/diff" (Query::default().with("path", Some(&file.path)).on("")) } data-path=(Hostile(&file.path)) {
                summary { (summary(file)) @if !said.is_empty() { " " span .verdict.verdict-failed { (said.len()) " from gates" } } }
                @if !said.is_empty() { (findings::list(&said)) }
                @if is_open { @if let Some(lines) = &lines { (lines) } }
                @else { p { a href=(Query::default().with("diff", Some(&file.path)).on(&values::ticket_href(id))) { "Show" } } }
            }
        }
        @if files.len() > MOST_FILES { p .muted { "and " (files.len() - MOST_FILES) " more files" } }
        p .muted { code .command { "vibe-ensemble diff " (id) } }
    })
}

fn summary(file: &ChangedFile) -> Markup {
    html! {
        span .path { (Hostile(&file.path)) }
        @match (file.added, file.removed) {
            (Some(added), Some(removed)) => { " " span .add { "+" (added) } " " span .del { "−" (removed) } },
            _ => { " " span .muted { "binary" } },
        }
    }
}

/// The lines of one file, for a script.
pub(crate) async fn fragment(
    State(site): State<Arc<Site>>,
    visit: Visit,
    Path(id): Path<String>,
) -> Response {
    let Some(path) = visit.query.get("path") else {
        return shell::sorry(&visit, &Declined::Unknown);
    };
    match lines(&site, &id, path).await {
        Ok(lines) => (StatusCode::OK, Html(lines.into_string())).into_response(),
        Err(declined) => shell::sorry(&visit, &declined),
    }
}

async fn lines(site: &Site, ticket: &str, path: &str) -> DeskResult<Markup> {
    let found = {
        let _look = site.looks.acquire().await;
        site.desk.difference_of(ticket, path).await?
    };
    Ok(match found {
        Difference::NoBranch | Difference::Unreadable => {
            html! { p .muted { "The repository cannot be read just now." } }
        }
        Difference::Shown(text) => table(&text),
    })
}

/// A difference as git prints it, line by line.
pub(crate) fn table(text: &str) -> Markup {
    let rows = rows(text);
    let hidden = rows.len().saturating_sub(MOST_LINES);
    html! {
        @if rows.is_empty() { p .muted { "It is binary, or only its mode changed." } }
        table .diff {
            @for row in rows.iter().take(MOST_LINES) {
                tr class=(row.class) {
                    td .ln { @if let Some(old) = row.old { (old) } }
                    td .ln { @if let Some(new) = row.new { (new) } }
                    td .code { (Hostile(cut(row.text, MOST_CHARS).0)) }
                }
            }
        }
        @if hidden > 0 { p .muted { "and " (hidden) " more lines" } }
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Row<'t> {
    class: &'static str,
    old: Option<u64>,
    new: Option<u64>,
    text: &'t str,
}

fn rows(text: &str) -> Vec<Row<'_>> {
    let (mut rows, mut old, mut new, mut inside) = (Vec::new(), 0, 0, false);
    for line in text.lines() {
        if let Some((from, to)) = hunk(line) {
            (old, new, inside) = (from, to, true);
            rows.push(Row { class: "hunk", old: None, new: None, text: line });
            continue;
        }
        if !inside {
            continue;
        }
        let rest = line.get(1..).unwrap_or_default();
        match line.as_bytes().first() {
            Some(b'+') => {
                rows.push(Row { class: "add", old: None, new: Some(new), text: rest });
                new += 1;
            }
            Some(b'-') => {
                rows.push(Row { class: "del", old: Some(old), new: None, text: rest });
                old += 1;
            }
            Some(b'\\') => rows.push(Row { class: "hunk", old: None, new: None, text: line }),
            Some(b' ') | None => {
                rows.push(Row { class: "ctx", old: Some(old), new: Some(new), text: rest });
                old += 1;
                new += 1;
            }
            // The head of another file.
            Some(_) => inside = false,
        }
    }
    rows
}

/// Where a hunk begins, before and after: `@@ -1,2 +3,4 @@`.
fn hunk(line: &str) -> Option<(u64, u64)> {
    let mut parts = line.strip_prefix("@@ -")?.split(' ');
    let start = |part: &str| part.split(',').next()?.parse().ok();
    Some((start(parts.next()?)?, start(parts.next()?.strip_prefix('+')?)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_their_numbers_and_heads_of_files_are_left_out() {
        let text = "diff --git a/x b/x\n--- a/x\n+++ b/x\n@@ -3,2 +3,3 @@ fn a()\n context\n-old\n+new\n+--- more\n\\ No newline at end of file\n";
        let row = |class, old, new, text| Row { class, old, new, text };
        assert_eq!(
            rows(text),
            [
                row("hunk", None, None, "@@ -3,2 +3,3 @@ fn a()"),
                row("ctx", Some(3), Some(3), "context"),
                row("del", Some(4), None, "old"),
                row("add", None, Some(4), "new"),
                row("add", None, Some(5), "--- more"),
                row("hunk", None, None, "\\ No newline at end of file"),
            ]
        );
        assert!(rows("").is_empty() && rows("Binary files differ\n").is_empty());
    }

    #[test]
    fn a_difference_is_shown_and_not_carried_out() {
        let page =
            table("@@ -1 +1 @@\n-a\n+<script>alert(1)</script>\u{202e}\u{1b}[2J\n").into_string();
        assert!(page.contains("&lt;script&gt;") && page.contains("⟨U+202E⟩␛[2J"), "{page}");
    }
}

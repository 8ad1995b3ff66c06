//! The end of a transcript as a part of a page, which is all of it without a script.

use maud::Markup;
use maud::PreEscaped;
use maud::html;
use serde_json::Value;

use crate::mcp::desk::DeskResult;
use crate::web::site::Site;
use crate::web::transcript::api;
use crate::web::transcript::api::Asked;
use crate::wire::attempt::AttemptView;

/// Rows that the server shows by itself.
const ROWS: usize = 50;

pub(crate) async fn section(site: &Site, attempt: &AttemptView) -> DeskResult<Markup> {
    let id = &attempt.attempt_id;
    let read = api::read(site, id, Asked::Tail, ROWS).await?;
    let running = attempt.state != "ended";
    let rows = read["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
    Ok(html! {
        section #transcript .transcript data-attempt=(id) data-running[running] data-bytes=(read["bytes"]) data-start=(read["start"]) data-end=(read["end"])
            data-src={ "/api/attempts/" (id) "/transcript" } aria-label={ "Transcript of " (id) } {
            @if rows.is_empty() {
                p .muted { @if running { "It has written nothing yet." } @else { "Its transcript is not kept any more, or it wrote nothing." } }
            }
            @for row in rows { (shown(row)) }
        }
    })
}

fn shown(row: &Value) -> Markup {
    // Everything in a row is harmless already; it is escaped here as any text is.
    let text = |field: &str| row[field].as_str().unwrap_or_default();
    let kind = text("type");
    html! {
        div class={ "row row-" (kind) @if row["error"] == true { " row-error" } } data-at=(row["at"]) {
            @match kind {
                "text" => { div .md { (PreEscaped(text("md"))) } },
                "thinking" => { details { summary { "Thinking" } pre .hostile { (text("text")) } } },
                "call" => {
                    p { b { (text("tool")) } " " code { (text("title")) } }
                    @if row["result"].is_object() { details open[row["error"] == true] { summary { "Result" } pre .hostile { (row["result"]["text"].as_str().unwrap_or_default()) } } }
                },
                _ => { pre .hostile { (text("text")) } },
            }
            @if row["cut"] == true { p .muted { "Cut here." } }
        }
    }
}

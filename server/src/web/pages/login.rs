//! `/login`: a link becomes a session.

use std::sync::Arc;

use axum::extract::State;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::Uri;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::response::Response;
use maud::DOCTYPE;
use maud::html;

use crate::telemetry;
use crate::web::query::Query;
use crate::web::shell;
use crate::web::site::Site;

/// Uses a link up. The answer is a page that leads on by itself and not a redirection: a browser that came from another
/// site keeps a cookie that is `SameSite=Strict` back from whatever a redirection leads to.
pub(crate) async fn login(State(site): State<Arc<Site>>, uri: Uri) -> Response {
    let query = Query::parse(uri.query().unwrap_or_default());
    let Some(code) = query.get("code").map(str::to_owned) else { return shell::locked(false) };
    let redeemed = {
        let site = Arc::clone(&site);
        tokio::task::spawn_blocking(move || site.access.redeem(&code)).await
    };
    let cookie =
        match redeemed.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())) {
            Ok(Some(cookie)) => cookie,
            Ok(None) => return shell::used(),
            Err(error) => {
                tracing::error!(error = telemetry::chain(&error), "a session could not be stored");
                return (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "The session could not be stored; see the log.\n",
                )
                    .into_response();
            }
        };
    let Ok(cookie) = HeaderValue::try_from(cookie) else { return shell::locked(false) };
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head { meta charset="utf-8"; meta http-equiv="refresh" content="0;url=/"; title { "Vibe-Ensemble" } }
            body { p { a href="/" { "Continue" } } }
        }
    };
    let kind = (header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    ([kind, (header::SET_COOKIE, cookie)], page.into_string()).into_response()
}

//! From a request to a visit, and from a form to what it says: who is let in, and what is carried out at all.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::FromRequestParts;
use axum::extract::Request;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::http::request::Parts;
use axum::response::IntoResponse as _;
use axum::response::Response;
use http_body_util::BodyExt as _;
use http_body_util::Limited;

use crate::mcp::Visitor;
use crate::web::query::Query;
use crate::web::shell;
use crate::web::site::Site;
use crate::web::visit::Visit;

impl FromRequestParts<Arc<Site>> for Visit {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, _: &Arc<Site>) -> Result<Self, Response> {
        let accept = parts.headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
        let wants_json = accept.is_some_and(|accept| accept.starts_with("application/json"));
        let Some(visitor) = parts.extensions.get::<Visitor>().cloned() else {
            let is_data = wants_json || parts.uri.path().starts_with("/api/");
            return Err(shell::locked(is_data));
        };
        let here = parts.uri.path_and_query().map_or("/", |both| both.as_str()).to_owned();
        let query = Query::parse(parts.uri.query().unwrap_or_default());
        let theme = theme(&parts.headers);
        Ok(Self { visitor, query, here, wants_json, theme })
    }
}

/// The cookie in which a page keeps the colours that its user chose.
const THEME_COOKIE: &str = "ve-theme";

/// The chosen colours, so that a page does not come in others first.
fn theme(headers: &HeaderMap) -> Option<&'static str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs =
        cookies.flat_map(|value| value.split(';')).filter_map(|pair| pair.split_once('='));
    let (_, chosen) = pairs.find(|(name, _)| name.trim() == THEME_COOKIE)?;
    ["light", "dark"].into_iter().find(|known| *known == chosen.trim())
}

/// The largest form.
const MOST_FORM_BYTES: usize = 2 << 20;
/// How long a form may take to arrive.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);
/// Where a script puts the token of its page.
const CSRF_HEADER: &str = "x-csrf";

/// Reads a form that changes something, or says why it is not carried out.
pub(crate) async fn form(site: &Site, visit: &Visit, request: Request) -> Result<Query, Response> {
    if !visit.visitor.may_change() {
        let said = "This session is read-only. To change something, get a link with `vibe-ensemble dashboard`.";
        return Err(shell::refused(visit, StatusCode::FORBIDDEN, said));
    }
    any_form(site, visit, request).await
}

/// The same for what every session may do, such as ending itself.
pub(crate) async fn any_form(
    site: &Site,
    visit: &Visit,
    request: Request,
) -> Result<Query, Response> {
    let (parts, body) = request.into_parts();
    if !comes_from_here(&parts.headers) {
        let said = "This request does not come from a page of this server.";
        return Err(shell::refused(visit, StatusCode::FORBIDDEN, said));
    }
    let too_large = || {
        let said = "This is more than a form may hold (2 MiB).";
        shell::refused(visit, StatusCode::PAYLOAD_TOO_LARGE, said)
    };
    let Ok(_room) = site.bodies.acquire().await else { return Err(too_large()) };
    let read = Limited::new(Body::new(body), MOST_FORM_BYTES).collect();
    let Ok(read) = tokio::time::timeout(PATIENCE, read).await else {
        return Err(
            (StatusCode::REQUEST_TIMEOUT, "The form did not arrive in time.\n").into_response()
        );
    };
    let Ok(read) = read else { return Err(too_large()) };
    let form = Query::parse(&String::from_utf8_lossy(&read.to_bytes()));
    let shown = parts.headers.get(CSRF_HEADER).and_then(|value| value.to_str().ok());
    let given = shown.or_else(|| form.get("csrf")).unwrap_or_default();
    if visit.visitor.csrf.is_empty() || !crate::proof::is_same(given, &visit.visitor.csrf) {
        let said = "This page is older than the session or the server. Load it again, and repeat what you did.";
        return Err(shell::refused(visit, StatusCode::FORBIDDEN, said));
    }
    Ok(form)
}

/// Whether a browser says that the request is made by a page of this very server. The gate has compared `Origin`
/// already; browsers that send neither header send no form to another site with a cookie that is `SameSite=Strict`.
fn comes_from_here(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    matches!(site, None | Some(b"same-origin"))
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_chosen_colours_are_found_among_cookies_and_nothing_else_is_taken() {
        let of = |cookies: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for cookie in cookies {
                headers.append(header::COOKIE, HeaderValue::from_static(cookie));
            }
            theme(&headers)
        };
        assert_eq!(of(&["a=b; ve-theme=dark; c=d"]), Some("dark"));
        assert_eq!(of(&["a=b", "ve-theme=light"]), Some("light"));
        for none in ["", "ve-theme", "ve-theme=auto", "ve-theme=\"><script>", "xve-theme=dark"] {
            assert_eq!(of(&[none]), None, "{none}");
        }
    }

    #[test]
    fn what_a_browser_marks_as_foreign_is_foreign() {
        let from = |site: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            if let Some(site) = site {
                headers.insert("sec-fetch-site", HeaderValue::from_static(site));
            }
            comes_from_here(&headers)
        };
        assert!(from(None) && from(Some("same-origin")));
        for foreign in ["cross-site", "same-site", "none", "x"] {
            assert!(!from(Some(foreign)), "{foreign}");
        }
    }
}

//! Styles, scripts and icons: in the binary of a release, and read from the source in a debug build, so that a change
//! needs no compiler.

use std::borrow::Cow;
use std::path::Path;
use std::path::PathBuf;

use axum::extract::Path as UrlPath;
use axum::http::HeaderMap;
use axum::http::HeaderValue;
use axum::http::StatusCode;
use axum::http::header;
use axum::response::IntoResponse as _;
use axum::response::Response;
use maud::Markup;
use maud::PreEscaped;

mod packed {
    include!(concat!(env!("OUT_DIR"), "/assets.rs"));
}

/// Whether assets come from the source.
const FROM_SOURCE: bool = packed::PACKED.is_empty();
const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/web/assets");

/// The part of an address that changes with the assets.
pub(crate) const fn revision() -> &'static str {
    if FROM_SOURCE { "dev" } else { packed::REVISION }
}

/// The address of an asset.
pub(crate) fn address(name: &str) -> String {
    format!("/assets/{}/{name}", revision())
}

/// Whether there is such an asset.
pub(crate) fn exists(name: &str) -> bool {
    if FROM_SOURCE {
        return in_source(name).is_some_and(|path| path.is_file());
    }
    packed::PACKED.iter().any(|(own, _)| *own == name)
}

/// An icon as a part of a page. One that is not drawn yet is an empty one of the same size.
pub(crate) fn icon(name: &str) -> Markup {
    let drawn = if FROM_SOURCE {
        let path = in_source(&format!("icons/{name}.svg"));
        path.and_then(|path| std::fs::read_to_string(path).ok()).map(Cow::Owned)
    } else {
        let found = packed::ICONS.iter().find(|(own, _)| *own == name);
        found.map(|(_, drawn)| Cow::Borrowed(*drawn))
    };
    let drawn = drawn.as_deref().unwrap_or("<svg viewBox=\"0 0 16 16\"></svg>").trim();
    let inner = drawn.find("<svg").map_or(drawn, |at| &drawn[at + "<svg".len()..]);
    PreEscaped(format!(
        "<svg class=\"icon icon-{name}\" aria-hidden=\"true\" width=\"16\" height=\"16\"{inner}"
    ))
}

/// Serves one asset. Everybody may have it: the page without a session needs its style.
pub(crate) async fn serve(
    UrlPath((given, name)): UrlPath<(String, String)>,
    headers: HeaderMap,
) -> Response {
    if given != revision() {
        return StatusCode::NOT_FOUND.into_response();
    }
    found(&name, &headers, /* lasting */ true).await
}

/// The script that the browser keeps for times without a connection. Its address must not change, and must be at the
/// root.
pub(crate) async fn service_worker(headers: HeaderMap) -> Response {
    found("sw.js", &headers, /* lasting */ false).await
}

/// Browsers ask for it beside a page that names no icon, such as the one of a link.
pub(crate) async fn favicon(headers: HeaderMap) -> Response {
    found("icon-192.png", &headers, /* lasting */ false).await
}

async fn found(name: &str, headers: &HeaderMap, lasting: bool) -> Response {
    let kind = [(header::CONTENT_TYPE, HeaderValue::from_static(kind(name)))];
    if FROM_SOURCE {
        let Some(path) = in_source(name) else { return StatusCode::NOT_FOUND.into_response() };
        return match tokio::fs::read(path).await {
            Ok(bytes) => (kind, bytes).into_response(),
            Err(_) => StatusCode::NOT_FOUND.into_response(),
        };
    }
    let Some((_, packed)) = packed::PACKED.iter().find(|(own, _)| *own == name) else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let takes = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
    if !takes.is_some_and(|takes| takes.contains("gzip")) {
        let said = "Assets are sent compressed (Accept-Encoding: gzip).\n";
        return (StatusCode::NOT_ACCEPTABLE, said).into_response();
    }
    let keep = if lasting { "public, max-age=31536000, immutable" } else { "no-cache" };
    let about = [
        (header::CONTENT_ENCODING, HeaderValue::from_static("gzip")),
        (header::CACHE_CONTROL, HeaderValue::from_static(keep)),
        (header::VARY, HeaderValue::from_static("accept-encoding")),
    ];
    (kind, about, *packed).into_response()
}

fn kind(name: &str) -> &'static str {
    match Path::new(name).extension().and_then(|kind| kind.to_str()) {
        Some("css") => "text/css; charset=utf-8",
        Some("js") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("webmanifest") => "application/manifest+json",
        Some("woff2") => "font/woff2",
        Some(_) | None => "application/octet-stream",
    }
}

/// The file of an asset in the source; none for a name that leads elsewhere.
fn in_source(name: &str) -> Option<PathBuf> {
    let plain = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && part.chars().all(|c| c.is_ascii_alphanumeric() || "-_.".contains(c))
    };
    name.split('/').all(plain).then(|| Path::new(SOURCE).join(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_of_an_asset_leads_out_of_their_folder() {
        for bad in ["", "..", "../mod.rs", "a/../../b", "/etc/passwd", ".hidden", "a//b", "a\0b"] {
            assert_eq!(in_source(bad), None, "{bad}");
        }
        assert!(in_source("icons/pause.svg").is_some());
    }

    #[test]
    fn an_icon_is_always_one_and_says_nothing_to_a_reader() {
        let icon = icon("there-is-none").into_string();
        assert!(
            icon.starts_with("<svg class=\"icon icon-there-is-none\" aria-hidden=\"true\""),
            "{icon}"
        );
        assert!(icon.ends_with("</svg>"), "{icon}");
    }
}

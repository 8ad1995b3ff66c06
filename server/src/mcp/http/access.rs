//! Who may use this server: a request must name it in `Host` and `Origin`, and carry the token of the coordinator or of
//! an attempt.
//!
//! A browser on this machine can be made to send requests here by any page it opens. The two headers are what it cannot
//! forge, so they are checked before the token is.

use std::net::IpAddr;
use std::net::Ipv4Addr;
use std::net::Ipv6Addr;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::Uri;
use axum::http::header;
use axum::http::uri::Authority;
use subtle::ConstantTimeEq;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::domain::advice;
use crate::domain::advice::Reader;
use crate::domain::names::Named as _;
use crate::domain::text::Name;
use crate::fence;
use crate::fence::Fence;
use crate::mcp::call::Admitted;
use crate::mcp::call::Caller;
use crate::proof;
use crate::sessions::Sessions;

/// What a request must show.
#[derive(Clone, Debug)]
pub struct Access {
    pub(crate) auth: Auth,
    own: Arc<OwnNames>,
    /// Knows the tokens of attempts; without it there are none.
    fence: Option<Fence>,
    /// Knows the sessions of browsers; without it there are none.
    desk: Option<Arc<Desk>>,
}

/// What browsers need beside a token of their own.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) sessions: Sessions,
    pub(super) clock: Clock,
    /// The token of forms where no session is required.
    pub(super) open_csrf: String,
}

/// How a request proves that it comes from the coordinator.
#[derive(Clone)]
pub enum Auth {
    /// Any client that reaches the port may use the server.
    None,
    /// The bearer token. It is read again for each request, so that it can be changed while the server runs.
    Token(watch::Receiver<Key>),
}

/// A token for as long as it is valid.
#[derive(Clone)]
pub struct Key {
    token: String,
    /// Cancelled when another token replaces this one, for calls that are still waiting then.
    lapsed: CancellationToken,
}

impl Key {
    #[must_use]
    pub fn new(token: String) -> Self {
        Self { token, lapsed: CancellationToken::new() }
    }

    pub(super) fn text(&self) -> &str {
        &self.token
    }

    /// Replaces the valid token with `token`; returns whether the two differ.
    #[must_use = "a token that stays the same changes nothing"]
    pub fn replace(keys: &watch::Sender<Self>, token: String) -> bool {
        if keys.borrow().token == token {
            return false;
        }
        keys.send_replace(Self::new(token)).lapsed.cancel();
        true
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

impl std::fmt::Debug for Auth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Token(_) => "Token",
        })
    }
}

/// The names this server answers to.
#[derive(Debug)]
struct OwnNames {
    bound: SocketAddr,
    /// Of `bound`, as headers spell it.
    port: String,
    /// Lower case, IPv6 addresses without brackets.
    names: Vec<String>,
    /// Names of tunnels and proxies, in lower case, as headers spell them.
    allowed: Vec<String>,
}

impl Access {
    /// `bound` is the address the listener has; `listen_host` the host as it was configured, which may be a name.
    #[must_use]
    pub fn new(auth: Auth, bound: SocketAddr, listen_host: &str) -> Self {
        let bare = listen_host.trim_start_matches('[').trim_end_matches(']');
        let names = ["localhost".to_owned(), bare.to_ascii_lowercase()].to_vec();
        let port = bound.port().to_string();
        let own = OwnNames { bound, port, names, allowed: Vec::new() };
        Self { auth, own: Arc::new(own), fence: None, desk: None }
    }

    /// Answers to more names, each with or without a port.
    #[must_use]
    pub fn with_hosts(self, hosts: &[String]) -> Self {
        let OwnNames { bound, port, names, .. } = &*self.own;
        let allowed = hosts.iter().map(|host| host.to_ascii_lowercase()).collect();
        let own = OwnNames { bound: *bound, port: port.clone(), names: names.clone(), allowed };
        Self { own: Arc::new(own), ..self }
    }

    /// Admits browsers with a session too.
    #[must_use]
    pub fn with_sessions(self, sessions: Sessions, clock: Clock) -> Self {
        let open_csrf = sessions.random();
        Self { desk: Some(Arc::new(Desk { sessions, clock, open_csrf })), ..self }
    }

    /// Admits the agents of attempts too.
    #[must_use]
    pub fn with_attempts(self, fence: Fence) -> Self {
        Self { fence: Some(fence), ..self }
    }

    pub(super) fn desk(&self) -> Option<&Desk> {
        self.desk.as_deref()
    }

    /// The port, as headers spell it.
    pub(super) fn port(&self) -> &str {
        &self.own.port
    }

    /// Whether the request is addressed to this server and does not come from a page of another one.
    pub(crate) fn is_own(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host.to_str().ok().and_then(|text| text.parse().ok()),
            (None, None) => uri.authority().cloned(),
            (None | Some(_), Some(_)) => None,
        };
        let named = host.is_some_and(|host| self.own.is_host(&host));
        let aimed = uri.authority().is_none_or(|authority| self.own.is_host(authority));
        let mut origins = headers.get_all(header::ORIGIN).iter();
        let from_here =
            origins.all(|origin| origin.to_str().is_ok_and(|origin| self.own.is_origin(origin)));
        named && aimed && from_here
    }

    /// Proves to a client at `local` that this server has the coordinator's token; `None` when the server requires
    /// none.
    pub(crate) fn prove(&self, challenge: &str, local: SocketAddr) -> Option<[String; 2]> {
        match &self.auth {
            Auth::None => None,
            Auth::Token(key) => {
                let token = &key.borrow().token;
                let port = proof::at_port(token, challenge, local.port());
                Some([proof::at(token, challenge, local), port])
            }
        }
    }

    /// The caller by the request's token; `None` without a valid token.
    pub(crate) fn admit(&self, headers: &HeaderMap) -> Option<Admitted> {
        let given = bearer(headers);
        // Only the coordinator's token can be replaced while a call waits; an attempt's token ends with the attempt.
        let reader = reader(headers);
        let consumer = consumer(headers);
        let admitted = |caller, lapsed| Admitted { caller, reader, consumer, lapsed };
        let for_good = CancellationToken::new;
        match &self.auth {
            // An agent that shows its token still belongs to its attempt, or is not admitted.
            Auth::None if !given.is_some_and(fence::is_of_an_attempt) => {
                return Some(admitted(Caller::Coordinator, for_good()));
            }
            Auth::None => {}
            Auth::Token(key) => {
                let key = key.borrow();
                if is_same(given?, &key.token) {
                    let lapsed = key.lapsed.clone();
                    return Some(admitted(Caller::Coordinator, lapsed));
                }
            }
        }
        let caller = self.fence.as_ref()?.attempt_of(given?).map(Caller::Worker)?;
        Some(admitted(caller, for_good()))
    }
}

/// Who reads the answer: a model, unless the client says that a shell does.
fn reader(headers: &HeaderMap) -> Reader {
    let named = headers.get(advice::READER_HEADER).and_then(|value| value.to_str().ok());
    named.and_then(Reader::from_name).unwrap_or_default()
}

/// The consumer of events that a session has of its own, when the client names one.
fn consumer(headers: &HeaderMap) -> Option<String> {
    let named = headers.get(advice::CONSUMER_HEADER)?.to_str().ok()?;
    Name::parse("consumer", named).ok().map(Name::into_string)
}

/// The token that a request carries. Two tokens are no token: which of them is meant would be a guess.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (given.next(), given.next()) else { return None };
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Compares two tokens in time that does not depend on where they differ.
fn is_same(given: &str, token: &str) -> bool {
    // An empty token would admit every client that sends an empty one.
    !token.is_empty() && given.as_bytes().ct_eq(token.as_bytes()).into()
}

impl OwnNames {
    fn is_host(&self, host: &Authority) -> bool {
        if self.is_allowed(host.as_str()) {
            return true;
        }
        // What `Authority` cannot read as a port it reports as none at all, so the text decides.
        let own_port = match host.as_str().strip_prefix(host.host()) {
            Some("") => true,
            Some(rest) => rest.strip_prefix(':') == Some(self.port.as_str()),
            None => false,
        };
        own_port && self.is_name(host.host())
    }

    fn is_origin(&self, origin: &str) -> bool {
        let Some((scheme, rest)) = origin.split_once("://") else { return false };
        // Without a port an origin is that of another server, on the scheme's own port.
        let default_port = match scheme {
            "http" => 80,
            "https" => 443,
            _ => return false,
        };
        let Ok(host) = rest.parse::<Authority>() else { return false };
        if self.is_allowed(host.as_str()) {
            return true;
        }
        let port = host.port_u16().unwrap_or(default_port);
        port == self.bound.port() && self.is_host(&host)
    }

    /// Whether it is, as it stands, one of the names of tunnels and proxies.
    fn is_allowed(&self, host: &str) -> bool {
        self.allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(host))
    }

    fn is_name(&self, host: &str) -> bool {
        let bare = host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        if let Ok(address) = bare.parse::<IpAddr>() {
            let bound = self.bound.ip();
            // A server on all addresses is reached by any of them, and no name can be rebound to a bare address.
            return address == bound
                || bound.is_unspecified()
                || address == IpAddr::V4(Ipv4Addr::LOCALHOST)
                || address == IpAddr::V6(Ipv6Addr::LOCALHOST)
                || self.names.contains(&bare);
        }
        self.names.contains(&bare)
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;
    use crate::domain::id::AttemptId;

    fn access(bound: &str, listen_host: &str) -> Access {
        Access::new(Auth::None, bound.parse().unwrap(), listen_host)
    }

    fn own(access: &Access, host: &str, origin: Option<&str>) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, HeaderValue::from_str(host).unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, HeaderValue::from_str(origin).unwrap());
        }
        access.is_own(&Uri::from_static("/mcp"), &headers)
    }

    #[test]
    fn only_this_servers_own_host_passes() {
        let server = access("127.0.0.1:3276", "127.0.0.1");
        for good in
            ["127.0.0.1:3276", "127.0.0.1", "localhost:3276", "LOCALHOST", "[::1]:3276", "[::1]"]
        {
            assert!(own(&server, good, None), "{good}");
        }
        for bad in [
            "evil.example",
            "evil.example:3276",
            "localhost.evil.example",
            "127.0.0.1:80",
            "localhost:",
            "localhost:99999",
            "localhost:03276",
            "localhost:+3276",
            "user@localhost:3276",
            "127.0.0.1.evil.example:3276",
            "192.168.0.7:3276",
            "0.0.0.0:3276",
            "",
        ] {
            assert!(!own(&server, bad, None), "{bad}");
        }
    }

    #[test]
    fn only_this_servers_own_origin_passes() {
        let server = access("127.0.0.1:3276", "127.0.0.1");
        for good in ["http://127.0.0.1:3276", "http://localhost:3276", "http://[::1]:3276"] {
            assert!(own(&server, "localhost:3276", Some(good)), "{good}");
        }
        for bad in [
            "null",
            "",
            "http://evil.example",
            "http://evil.example:3276",
            "http://localhost",
            "https://localhost",
            "http://localhost:8080",
            "file://localhost:3276",
            "localhost:3276",
        ] {
            assert!(!own(&server, "localhost:3276", Some(bad)), "{bad}");
        }
    }

    #[test]
    fn a_configured_name_and_every_address_of_an_open_listener_pass() {
        let named = access("10.1.2.3:3276", "build.internal");
        assert!(own(&named, "Build.Internal:3276", None));
        assert!(own(&named, "10.1.2.3:3276", None));
        assert!(!own(&named, "10.1.2.4:3276", None));
        let open = access("0.0.0.0:3276", "0.0.0.0");
        assert!(own(&open, "192.168.0.7:3276", Some("http://192.168.0.7:3276")));
        assert!(!own(&open, "rebound.example:3276", None));
    }

    #[test]
    fn names_of_tunnels_and_proxies_pass_as_they_stand() {
        let hosts = ["Dash.Example".to_owned(), "localhost:8080".to_owned()];
        let server = access("127.0.0.1:3276", "127.0.0.1").with_hosts(&hosts);
        assert!(own(&server, "dash.example", Some("https://dash.example")));
        assert!(own(&server, "localhost:8080", Some("http://localhost:8080")));
        assert!(own(&server, "localhost:3276", Some("http://localhost:3276")));
        for bad in ["dash.example:3276", "localhost:8081", "x.dash.example"] {
            assert!(!own(&server, bad, None), "{bad}");
        }
        assert!(!own(&server, "dash.example", Some("https://dash.example:444")));
    }

    #[test]
    fn doubled_hosts_and_foreign_targets_are_refused() {
        let server = access("127.0.0.1:3276", "127.0.0.1");
        let mut headers = HeaderMap::new();
        assert!(!server.is_own(&Uri::from_static("/mcp"), &headers));
        assert!(server.is_own(&Uri::from_static("http://localhost:3276/mcp"), &headers));
        headers.append(header::HOST, HeaderValue::from_static("localhost:3276"));
        assert!(!server.is_own(&Uri::from_static("http://evil.example/mcp"), &headers));
        headers.append(header::HOST, HeaderValue::from_static("evil.example"));
        assert!(!server.is_own(&Uri::from_static("/mcp"), &headers));
    }

    #[test]
    fn an_attempts_token_is_that_attempts_and_no_more() {
        let (_change, token) = watch::channel(Key::new("s3cret".to_owned()));
        let bound = "127.0.0.1:3276".parse().unwrap();
        let fence = Fence::new("key", "server");
        let seven = AttemptId::from_key(7);
        let asked = |auth: Auth, fenced: bool, given: &str| {
            let server = Access::new(auth, bound, "127.0.0.1");
            let server = if fenced { server.with_attempts(fence.clone()) } else { server };
            let mut headers = HeaderMap::new();
            let value = HeaderValue::from_str(&format!("Bearer {given}")).unwrap();
            headers.insert(header::AUTHORIZATION, value);
            server.admit(&headers).map(|admitted| admitted.caller)
        };
        let own = fence.token(seven);
        let forged = own.replace("A-7", "A-8");
        for auth in [Auth::None, Auth::Token(token)] {
            assert_eq!(asked(auth.clone(), true, &own), Some(Caller::Worker(seven)), "{auth:?}");
            assert_eq!(asked(auth.clone(), true, &forged), None, "{auth:?}");
            assert_eq!(asked(auth.clone(), false, &own), None, "{auth:?}");
            assert_eq!(asked(auth.clone(), true, "s3cret"), Some(Caller::Coordinator), "{auth:?}");
        }
        assert_eq!(asked(Auth::None, true, "anything"), Some(Caller::Coordinator));
    }

    #[test]
    fn the_token_is_compared_whole_and_can_be_changed() {
        let (change, token) = watch::channel(Key::new("s3cret".to_owned()));
        let server =
            Access::new(Auth::Token(token), "127.0.0.1:3276".parse().unwrap(), "127.0.0.1");
        let sent = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            server.admit(&headers).map(|admitted| admitted.caller) == Some(Caller::Coordinator)
        };
        assert!(sent("Bearer s3cret") && sent("bearer s3cret"));
        for bad in ["Bearer s3cre", "Bearer s3crets", "Bearer ", "s3cret", "Basic s3cret"] {
            assert!(!sent(bad), "{bad}");
        }
        let mut twice = HeaderMap::new();
        assert!(server.admit(&twice).is_none());
        twice.append(header::AUTHORIZATION, HeaderValue::from_static("Bearer s3cret"));
        twice.append(header::AUTHORIZATION, HeaderValue::from_static("Bearer other"));
        assert!(server.admit(&twice).is_none());
        let mut before = HeaderMap::new();
        before.insert(header::AUTHORIZATION, HeaderValue::from_static("Bearer s3cret"));
        let admitted = server.admit(&before).unwrap();
        assert!(!Key::replace(&change, "s3cret".to_owned()) && !admitted.lapsed.is_cancelled());
        assert!(Key::replace(&change, "n3w".to_owned()));
        assert!(admitted.lapsed.is_cancelled(), "a call that waits learns it");
        assert!(sent("Bearer n3w") && !sent("Bearer s3cret"));
        assert!(Key::replace(&change, String::new()));
        assert!(!sent("Bearer "));
    }
}

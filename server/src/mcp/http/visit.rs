//! Browsers: by which cookie a request shows its session, and how a session begins and ends.

use std::io;

use axum::http::HeaderMap;
use axum::http::header;

use crate::domain::time::Timestamp;
use crate::mcp::http::access::Access;
use crate::mcp::http::access::Auth;
use crate::mcp::visitor::Visitor;
use crate::sessions::Role;
use crate::sessions::Session;
use crate::sessions::SessionId;

impl Access {
    /// The browser that a request is from; `None` without a valid session, where one is required.
    ///
    /// Only pages ask this. A cookie is never looked at where MCP is spoken.
    pub(crate) fn visit(&self, headers: &HeaderMap) -> Option<Visitor> {
        let desk = self.desk()?;
        let Some(token) = self.token() else {
            let csrf = desk.open_csrf.clone();
            return Some(Visitor { session: None, role: Role::Full, csrf });
        };
        let (name, now) = (self.cookie_name(), desk.clock.now());
        // Another server on this host may have set a cookie of this name, so each of them is tried.
        let values = cookies(headers).filter(|(own, _)| *own == name).map(|(_, value)| value);
        let found = values.take(8).find_map(|value| desk.sessions.find(value, &token, now))?;
        Some(Visitor { session: Some(found.id), role: found.role, csrf: found.csrf })
    }

    /// Whether what was shown once still counts, for answers that take long.
    pub(crate) fn is_still_valid(&self, visitor: &Visitor) -> bool {
        let (Some(desk), Some(token)) = (self.desk(), self.token()) else { return true };
        let Some(session) = visitor.session else { return false };
        desk.sessions.is_valid(session, &token, desk.clock.now())
    }

    /// The code of a new link; `None` when no session is required. Errors when there are no random numbers.
    pub(crate) fn mint(&self, role: Role) -> Option<io::Result<String>> {
        let (desk, _) = self.desk().zip(self.token())?;
        Some(desk.sessions.mint(role, desk.clock.now()))
    }

    /// Opens the session of a link: the line that sets its cookie. `None` if the link is not valid, or none is needed.
    pub(crate) fn redeem(&self, code: &str) -> io::Result<Option<String>> {
        let Some((desk, token)) = self.desk().zip(self.token()) else { return Ok(None) };
        let Some(opened) = desk.sessions.redeem(code, &token, desk.clock.now())? else {
            return Ok(None);
        };
        let Session { begun_at, ends_at, .. } = opened.session;
        let (name, seconds) = (self.cookie_name(), ends_at.since(begun_at).as_secs());
        let secret = opened.secret;
        Ok(Some(format!("{name}={secret}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict")))
    }

    /// The sessions that are valid, and the present by which they are. `None` when none is required.
    pub(crate) fn sessions(&self) -> Option<(Vec<Session>, Timestamp)> {
        let (desk, token) = self.desk().zip(self.token())?;
        let now = desk.clock.now();
        Some((desk.sessions.list(&token, now), now))
    }

    /// Ends one session, or all of them; returns how many ended.
    pub(crate) fn revoke(&self, which: Option<SessionId>) -> io::Result<usize> {
        self.desk().map_or(Ok(0), |desk| desk.sessions.revoke(which))
    }

    /// Cookies of one host reach all its ports, so the name has the port.
    fn cookie_name(&self) -> String {
        format!("vibe-ensemble-{}", self.port())
    }

    /// The coordinator's token; `None` where none is required.
    fn token(&self) -> Option<String> {
        match &self.auth {
            Auth::None => None,
            Auth::Token(key) => Some(key.borrow().text().to_owned()),
        }
    }
}

fn cookies(headers: &HeaderMap) -> impl Iterator<Item = (&str, &str)> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';'));
    pairs.filter_map(|pair| pair.trim().split_once('='))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::http::HeaderValue;
    use tokio::sync::watch;

    use super::*;
    use crate::clock::Clock;
    use crate::mcp::http::access::Key;
    use crate::sessions::Sessions;

    fn access(auth: Auth, dir: &std::path::Path) -> Access {
        let sessions = Sessions::open(dir.join("sessions.json"), Duration::from_hours(12));
        let bound = "127.0.0.1:3276".parse().unwrap();
        Access::new(auth, bound, "127.0.0.1").with_sessions(sessions, Clock::system())
    }

    fn with_cookie(line: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::COOKIE, HeaderValue::from_str(line).unwrap());
        headers
    }

    #[test]
    fn a_cookie_shows_its_session_until_it_is_revoked_or_the_token_is_replaced() {
        let dir = tempfile::tempdir().unwrap();
        let (change, key) = watch::channel(Key::new("s3cret".to_owned()));
        let access = access(Auth::Token(key), dir.path());
        let code = access.mint(Role::ReadOnly).unwrap().unwrap();
        let line = access.redeem(&code).unwrap().expect("the link is new");
        for part in ["; HttpOnly", "; SameSite=Strict", "; Path=/", "; Max-Age=43200"] {
            assert!(line.contains(part), "{line}");
        }
        let (pair, _) = line.split_once(';').unwrap();
        assert!(pair.starts_with("vibe-ensemble-3276="), "{pair}");
        let visitor = access.visit(&with_cookie(pair)).expect("it is valid");
        assert_eq!(visitor.role, Role::ReadOnly);
        assert!(
            access.visit(&with_cookie(&format!("a=b; vibe-ensemble-3276=x; {pair}"))).is_some()
        );
        let foreign = pair.replace("3276", "3277");
        for bad in ["", "a=b", "vibe-ensemble-3276=", "vibe-ensemble-3276=s3cret", &foreign] {
            assert!(access.visit(&with_cookie(bad)).is_none(), "{bad}");
        }
        assert!(access.is_still_valid(&visitor));
        assert!(Key::replace(&change, "another".to_owned()));
        assert!(access.visit(&with_cookie(pair)).is_none() && !access.is_still_valid(&visitor));
        assert!(Key::replace(&change, "s3cret".to_owned()));
        assert!(access.visit(&with_cookie(pair)).is_some());
        assert_eq!(access.revoke(visitor.session).unwrap(), 1);
        assert!(access.visit(&with_cookie(pair)).is_none());
    }

    #[test]
    fn without_authentication_no_session_is_needed_and_none_is_made() {
        let dir = tempfile::tempdir().unwrap();
        let access = access(Auth::None, dir.path());
        let visitor = access.visit(&HeaderMap::new()).expect("anybody may look");
        assert_eq!((visitor.session, visitor.role), (None, Role::Full));
        assert_eq!(visitor.csrf.len(), 64);
        assert!(access.mint(Role::Full).is_none() && access.is_still_valid(&visitor));
    }
}

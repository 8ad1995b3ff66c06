//! The sessions of one server.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::MutexGuard;
use std::sync::PoisonError;
use std::time::Duration;

use crate::domain::names::Named as _;
use crate::domain::time::Timestamp;
use crate::sessions::hash;
use crate::sessions::kept;
use crate::sessions::kept::Kept;
use crate::sessions::kept::KeptSession;
use crate::sessions::session::Opened;
use crate::sessions::session::Role;
use crate::sessions::session::Session;
use crate::sessions::session::SessionId;
use crate::telemetry;

/// How long a link is good.
const LINK: Duration = Duration::from_mins(5);
/// Links that may be unused at a time; the oldest makes room.
const MOST_LINKS: usize = 32;
/// Sessions at a time; the oldest makes room.
const MOST_SESSIONS: usize = 256;

const COOKIE: &str = "cookie";
const CSRF: &str = "csrf";
const TOKEN: &str = "token";
const CODE: &str = "code";

/// The sessions of one server. Clones share them. `token` is the coordinator's, wherever it is asked for.
#[derive(Clone)]
pub struct Sessions {
    file: Arc<PathBuf>,
    lasting: Duration,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    kept: Kept,
    /// By the hash of the code.
    links: HashMap<String, Link>,
}

struct Link {
    role: Role,
    ends_at: Timestamp,
}

impl std::fmt::Debug for Sessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

impl Sessions {
    /// Those that `file` holds. A new session lasts `lasting`. A file that cannot be read is reported and counts as
    /// empty: its sessions need new links.
    #[must_use]
    pub fn open(file: PathBuf, lasting: Duration) -> Self {
        let kept = kept::read(&file).unwrap_or_else(|error| {
            let (file, error) = (file.display().to_string(), telemetry::chain(&error));
            tracing::warn!(
                file,
                error,
                "the sessions of the dashboard could not be read, so all of them have ended"
            );
            Kept::default()
        });
        let state = State { kept, links: HashMap::new() };
        Self { file: Arc::new(file), lasting, state: Arc::new(Mutex::new(state)) }
    }

    /// A random text, empty when the system has no random numbers.
    #[must_use]
    pub fn random(&self) -> String {
        hash::random().unwrap_or_default()
    }

    /// The code of a new link. Errors when the system has no random numbers.
    pub fn mint(&self, role: Role, now: Timestamp) -> io::Result<String> {
        let code = hash::random().map_err(io::Error::other)?;
        let mut state = self.lock();
        state.links.retain(|_, link| link.ends_at > now);
        if state.links.len() >= MOST_LINKS {
            let oldest = state.links.iter().min_by_key(|(_, link)| link.ends_at);
            if let Some(oldest) = oldest.map(|(hash, _)| hash.clone()) {
                state.links.remove(&oldest);
            }
        }
        let link = Link { role, ends_at: now.after(LINK) };
        state.links.insert(hash::keyed("", CODE, &code), link);
        Ok(code)
    }

    /// Opens the session of a link, which is thereby used up. `None` if the code is unknown, used or too old. Writes a
    /// file, so it waits for a disk.
    pub fn redeem(&self, code: &str, token: &str, now: Timestamp) -> io::Result<Option<Opened>> {
        let mut state = self.lock();
        // The map compares hashes, so how long it takes says nothing about a code.
        let link = state.links.remove(&hash::keyed("", CODE, code));
        let Some(link) = link.filter(|link| link.ends_at > now) else { return Ok(None) };
        let secret = hash::random().map_err(io::Error::other)?;
        let of_token = hash::keyed(token, TOKEN, "");
        let mut kept = state.kept.clone();
        kept.sessions.retain(|session| is_live(session, &of_token, now));
        if kept.sessions.len() >= MOST_SESSIONS {
            kept.sessions.remove(0);
        }
        kept.last += 1;
        let session = KeptSession {
            number: kept.last,
            hash: hash::keyed(token, COOKIE, &secret),
            of_token,
            role: link.role.name().to_owned(),
            begun_ms: now.millis(),
            ends_ms: now.after(self.lasting).millis(),
        };
        kept.sessions.push(session.clone());
        kept::write(&self.file, &kept)?;
        state.kept = kept;
        Ok(Some(Opened { session: seen(&session, token, &secret), secret }))
    }

    /// The session whose cookie has this value, if it is valid.
    #[must_use]
    pub fn find(&self, secret: &str, token: &str, now: Timestamp) -> Option<Session> {
        let hash = hash::keyed(token, COOKIE, secret);
        let state = self.lock();
        let found = state.kept.sessions.iter().find(|kept| hash::is_same(&kept.hash, &hash))?;
        (found.ends_ms > now.millis()).then(|| seen(found, token, secret))
    }

    /// Whether the session is still valid, for what takes long.
    #[must_use]
    pub fn is_valid(&self, id: SessionId, token: &str, now: Timestamp) -> bool {
        let of_token = hash::keyed(token, TOKEN, "");
        let state = self.lock();
        let found = state.kept.sessions.iter().find(|kept| kept.number == id.number());
        found.is_some_and(|kept| is_live(kept, &of_token, now))
    }

    /// The valid sessions, oldest first; their forms' tokens are left out.
    #[must_use]
    pub fn list(&self, token: &str, now: Timestamp) -> Vec<Session> {
        let of_token = hash::keyed(token, TOKEN, "");
        let state = self.lock();
        let live = state.kept.sessions.iter().filter(|kept| is_live(kept, &of_token, now));
        live.map(|kept| Session { csrf: String::new(), ..seen(kept, token, "") }).collect()
    }

    /// Ends one session, or all of them and every unused link; returns how many sessions ended. Writes a file.
    pub fn revoke(&self, which: Option<SessionId>) -> io::Result<usize> {
        let mut state = self.lock();
        let mut kept = state.kept.clone();
        kept.sessions.retain(|session| which.is_some_and(|id| session.number != id.number()));
        let ended = state.kept.sessions.len() - kept.sessions.len();
        if which.is_none() {
            state.links.clear();
        }
        kept::write(&self.file, &kept)?;
        state.kept = kept;
        Ok(ended)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn is_live(kept: &KeptSession, of_token: &str, now: Timestamp) -> bool {
    kept.ends_ms > now.millis() && kept.of_token == of_token
}

fn seen(kept: &KeptSession, token: &str, secret: &str) -> Session {
    Session {
        id: SessionId::from_number(kept.number),
        // A role of another version may do the least.
        role: Role::from_name(&kept.role).unwrap_or(Role::ReadOnly),
        begun_at: Timestamp::from_millis(kept.begun_ms),
        ends_at: Timestamp::from_millis(kept.ends_ms),
        csrf: hash::keyed(token, CSRF, secret),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);
    const KEY: &str = "the coordinator's token";

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_millis(seconds * 1_000)
    }

    fn opened(sessions: &Sessions, role: Role, now: Timestamp) -> Opened {
        let code = sessions.mint(role, now).unwrap();
        sessions.redeem(&code, KEY, now).unwrap().expect("the link is new")
    }

    #[test]
    fn a_link_opens_one_session_within_minutes() {
        let dir = tempfile::tempdir().unwrap();
        let sessions = Sessions::open(dir.path().join("sessions.json"), HOUR);
        let code = sessions.mint(Role::Full, at(0)).unwrap();
        assert!(sessions.redeem("", KEY, at(1)).unwrap().is_none());
        assert!(sessions.redeem(&code, KEY, at(1)).unwrap().is_some());
        assert!(sessions.redeem(&code, KEY, at(1)).unwrap().is_none(), "it is used up");
        let late = sessions.mint(Role::Full, at(0)).unwrap();
        assert!(sessions.redeem(&late, KEY, at(300)).unwrap().is_none(), "it is too old");
    }

    #[test]
    fn a_session_ends_by_time_by_revocation_and_with_the_token() {
        let dir = tempfile::tempdir().unwrap();
        let sessions = Sessions::open(dir.path().join("sessions.json"), HOUR);
        let one = opened(&sessions, Role::Full, at(0));
        let two = opened(&sessions, Role::ReadOnly, at(10));
        let found = |secret: &str, now| sessions.find(secret, KEY, now).map(|found| found.role);
        assert_eq!(found(&one.secret, at(3_599)), Some(Role::Full));
        assert_eq!(found(&two.secret, at(3_599)), Some(Role::ReadOnly));
        assert_eq!(found(&one.secret, at(3_600)), None);
        assert_eq!(found("", at(0)), None);
        assert_eq!(sessions.find(&two.secret, "another token", at(11)), None);
        assert!(!sessions.is_valid(two.session.id, "another token", at(11)));
        assert_eq!(sessions.list(KEY, at(11)).len(), 2);
        assert_eq!(sessions.revoke(Some(one.session.id)).unwrap(), 1);
        assert_eq!(found(&one.secret, at(11)), None);
        assert!(sessions.is_valid(two.session.id, KEY, at(11)));
        let unused = sessions.mint(Role::Full, at(11)).unwrap();
        assert_eq!(sessions.revoke(None).unwrap(), 1);
        assert_eq!(found(&two.secret, at(11)), None);
        assert!(sessions.redeem(&unused, KEY, at(12)).unwrap().is_none());
    }

    #[test]
    fn a_restart_keeps_sessions_and_their_file_opens_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("sessions.json");
        let before = Sessions::open(file.clone(), HOUR);
        let one = opened(&before, Role::Full, at(0));
        let after = Sessions::open(file.clone(), HOUR);
        let found = after.find(&one.secret, KEY, at(1)).expect("it is kept");
        assert_eq!(found, one.session);
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(!text.contains(&one.secret) && !text.contains(&found.csrf) && !text.contains(KEY));
        assert_eq!(opened(&after, Role::Full, at(2)).session.id.to_string(), "S-2");
        std::fs::write(&file, "{").unwrap();
        assert_eq!(Sessions::open(file, HOUR).find(&one.secret, KEY, at(1)), None);
    }

    #[test]
    fn the_newest_sessions_and_links_are_kept_when_there_are_too_many() {
        let dir = tempfile::tempdir().unwrap();
        let sessions = Sessions::open(dir.path().join("sessions.json"), HOUR);
        let first = sessions.mint(Role::Full, at(0)).unwrap();
        for second in 1..=32 {
            sessions.mint(Role::Full, at(second)).unwrap();
        }
        assert!(sessions.redeem(&first, KEY, at(33)).unwrap().is_none());
        assert_eq!(sessions.lock().links.len(), MOST_LINKS);
    }
}

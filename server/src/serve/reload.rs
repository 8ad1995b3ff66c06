//! HUP: the configuration and the token are read again while the server runs.

use tokio::sync::watch;

use crate::config::Config;
use crate::config::TakesEffect;
use crate::dispatcher::Dispatcher;
use crate::mcp::Key;
use crate::serve::settings;
use crate::state::InstanceLock;
use crate::state::TokenFile;
use crate::store::Store;
use crate::telemetry;
use crate::telemetry::chain;

/// Reads the configuration again. A file that is wrong changes nothing and is told.
pub(super) fn reload(config: &mut Config, store: &Store, dispatcher: &Dispatcher) {
    let new = match config.reload() {
        Ok(new) => new,
        Err(problems) => {
            tracing::error!(%problems, "the configuration was not reloaded");
            return;
        }
    };
    for (option, effect) in config.changes(&new) {
        match effect {
            TakesEffect::Reload => tracing::info!(option, "changed"),
            TakesEffect::Restart => tracing::warn!(option, "changed; it counts after a restart"),
        }
    }
    store.set_rules(settings::rules(&new));
    dispatcher.set_settings(settings::agent_settings(&new, new.environment()));
    if let Err(error) = telemetry::set_filter(&new.log) {
        tracing::error!(%error, "the log filter was not changed");
    }
    tracing::info!("configuration reloaded");
    *config = new;
}

/// Takes the token that is in its file now. A file that holds none changes nothing: to lock everybody out is not what a
/// slip of an editor should do.
pub(super) fn read_token_again(
    config: &Config,
    keys: &watch::Sender<Key>,
    lock: &mut InstanceLock,
) {
    let file = TokenFile::of(config);
    match file.read() {
        Ok(token) => {
            if let Err(error) = lock.set_token(file) {
                tracing::error!(error = %chain(&error), "clients are not told where the token is now");
            }
            if Key::replace(keys, token) {
                tracing::info!("the coordinator's token was changed; the old one no longer counts");
            }
        }
        Err(error) => {
            tracing::error!(error = %chain(&error), "the token was not read; the old one still counts");
        }
    }
}

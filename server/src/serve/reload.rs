//! HUP: the configuration and the token are read again while the server runs.

use tokio::sync::watch;

use crate::config::Config;
use crate::config::TakesEffect;
use crate::dispatcher::Dispatcher;
use crate::mcp::Key;
use crate::serve::settings;
use crate::state;
use crate::state::InstanceLock;
use crate::state::TokenFile;
use crate::store::Store;
use crate::telemetry;
use crate::telemetry::chain;

/// Reads the configuration again. A file that is not valid changes nothing and is reported.
pub(super) fn reload(config: &mut Config, store: &Store, dispatcher: &Dispatcher) {
    let new = match config.reload() {
        Ok(new) => new,
        Err(problems) => {
            tracing::error!(%problems, "the configuration is not valid and was not reloaded; the server keeps the previous one");
            return;
        }
    };
    if let Err(error) = state::check_configuration(&new) {
        tracing::error!(error = %chain(&error), "the configuration was not reloaded; the server keeps the previous one");
        return;
    }
    for (option, effect) in config.changes(&new) {
        match effect {
            TakesEffect::Reload => tracing::info!(option, "changed"),
            TakesEffect::Restart => tracing::warn!(option, "changed; takes effect after a restart"),
        }
    }
    if config.notifiers != new.notifiers {
        tracing::info!(option = "notify", "changed");
    }
    store.set_rules(settings::rules(&new));
    dispatcher.set_settings(settings::agent_settings(&new, new.environment()));
    if let Err(error) = telemetry::set_filter(&new.log) {
        tracing::error!(%error, "the log filter was not changed");
    }
    tracing::info!("configuration reloaded");
    *config = new;
}

/// Takes the token that is in its file now. A file without one changes nothing: a slip in an editor must not lock every
/// client out.
pub(super) fn read_token_again(
    config: &Config,
    keys: &watch::Sender<Key>,
    lock: &mut InstanceLock,
) {
    let file = TokenFile::of(config);
    match file.read() {
        Ok(token) => {
            if let Err(error) = lock.set_token(file) {
                tracing::error!(error = %chain(&error), "the new path of the token file was not published, so clients still look for it at the old one");
            }
            if Key::replace(keys, token) {
                tracing::info!(
                    "the token of the coordinator was replaced; the old one is no longer valid"
                );
            }
        }
        Err(error) => {
            tracing::error!(error = %chain(&error), "the token file could not be read; the old token remains valid");
        }
    }
}

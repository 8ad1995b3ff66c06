//! What a command says when it is done.

use std::fmt::Display;

use serde_json::Value;

use crate::cli::act::call::call;
use crate::cli::act::command::Act;
use crate::cli::act::given::Given;
use crate::cli::client;
use crate::cli::client::Client;
use crate::cli::output;
use crate::cli::terminal::Page;
use crate::cli::terminal::Screen;
use crate::config::Environment;
use crate::exit::Exit;

/// Makes the call of a command, and says what came of it.
///
/// # Errors
///
/// Those of [`call`] and of [`Told::say`].
pub async fn carry_out<A: Act, D: Display>(
    command: &Given<A>,
    environment: &Environment,
    words: impl FnOnce(&Client, &Value) -> anyhow::Result<D>,
) -> anyhow::Result<Exit> {
    let client = client::find(&command.connection, environment)?;
    let answer = call(command, &client, environment).await?;
    Told { json: command.json }.say(&answer, || words(&client, &answer))
}

/// Makes the call of a command, and shows what came of it.
///
/// # Errors
///
/// Those of [`call`] and of [`Told::show`].
pub async fn present<A: Act>(
    command: &Given<A>,
    environment: &Environment,
    page: impl FnOnce(&Client, &Value, &Screen) -> anyhow::Result<Page>,
) -> anyhow::Result<Exit> {
    let client = client::find(&command.connection, environment)?;
    let answer = call(command, &client, environment).await?;
    let screen = Screen::of(&command.display, environment);
    Told { json: command.json }.show(&answer, &screen, || page(&client, &answer, &screen))
}

/// What a command says: JSON for a script, sentences for a person.
#[derive(Clone, Copy, Debug)]
pub struct Told {
    pub json: bool,
}

impl Told {
    /// Prints the answer as JSON, or the words for it.
    ///
    /// # Errors
    ///
    /// When standard output cannot be written.
    pub fn say<D: Display>(
        self,
        answer: &Value,
        words: impl FnOnce() -> anyhow::Result<D>,
    ) -> anyhow::Result<Exit> {
        if self.json {
            output::json(answer)?;
        } else {
            output::line(words()?)?;
        }
        Ok(Exit::Ok)
    }

    /// Prints the answer as JSON, or shows the page for it.
    ///
    /// # Errors
    ///
    /// When standard output cannot be written.
    pub fn show(
        self,
        answer: &Value,
        screen: &Screen,
        page: impl FnOnce() -> anyhow::Result<Page>,
    ) -> anyhow::Result<Exit> {
        if self.json {
            output::json(answer)?;
        } else {
            screen.show(&page()?)?;
        }
        Ok(Exit::Ok)
    }
}

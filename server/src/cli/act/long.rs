//! Long texts: from a file, from standard input, or from an editor.

use std::fs;
use std::io;
use std::io::IsTerminal as _;
use std::io::Read as _;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::Context as _;

use crate::config::Environment;

/// More than any text of a ticket may have.
const MOST_BYTES: u64 = 16 << 20;

/// Reads a file, or standard input for `-`.
///
/// # Errors
///
/// When it cannot be read, is not UTF-8, or is longer than any text may be.
pub fn read(file: &Path) -> anyhow::Result<String> {
    if file == Path::new("-") {
        return all(&mut io::stdin().lock()).context("could not read standard input");
    }
    let name = file.display();
    let mut opened = fs::File::open(file).with_context(|| format!("could not open {name}"))?;
    all(&mut opened).with_context(|| format!("could not read {name}"))
}

fn all(source: &mut impl io::Read) -> io::Result<String> {
    let mut text = String::new();
    source.take(MOST_BYTES + 1).read_to_string(&mut text)?;
    if text.len() as u64 > MOST_BYTES {
        return Err(io::Error::other("it is longer than 16 MiB"));
    }
    Ok(text)
}

/// Where the text ends and our words to the writer begin. Lines of the text may begin with `#`: they are headings.
const CUT: &str = "# ------------------------ >8 ------------------------";

/// What somebody makes of `before` in an editor; `None` where nobody is there to write, or nothing was written.
///
/// # Errors
///
/// When there is no file to edit, or the editor fails.
pub fn edited(
    asks: &str,
    before: &str,
    environment: &Environment,
) -> anyhow::Result<Option<String>> {
    let named = |name| environment.get(name).map(str::trim).filter(|editor| !editor.is_empty());
    let Some(editor) = named("VISUAL").or_else(|| named("EDITOR")) else { return Ok(None) };
    if !io::stdin().is_terminal() || !io::stdout().is_terminal() {
        return Ok(None);
    }
    let mut file = tempfile::Builder::new()
        .prefix("vibe-ensemble-")
        .suffix(".md")
        .tempfile()
        .context("could not make a file to edit")?;
    let text = format!("{before}\n{CUT}\n# {asks} This line and those below it are left out.\n");
    file.write_all(text.as_bytes()).context("could not write a file to edit")?;
    // As git does it: an editor may have arguments of its own.
    let ended = Command::new("sh")
        .args(["-c", &format!("{editor} \"$@\""), "editor"])
        .arg(file.path())
        .status()
        .with_context(|| format!("could not run the editor {editor}"))?;
    if !ended.success() {
        anyhow::bail!("the editor {editor} ended with {ended}; nothing was sent");
    }
    let written = fs::read_to_string(file.path()).context("could not read what was written")?;
    Ok(Some(kept(&written)).filter(|text| !text.is_empty()))
}

/// Without our words to the writer.
fn kept(written: &str) -> String {
    let lines = written.lines().take_while(|line| *line != CUT);
    lines.collect::<Vec<_>>().join("\n").trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_editor_leaves_is_the_text_without_its_marks() {
        assert_eq!(
            kept(&format!("# Two lines,\n\nof text.\n{CUT}\n# Describe the ticket.\n")),
            "# Two lines,\n\nof text."
        );
        assert_eq!(kept(&format!("\n{CUT}\n# Describe the ticket.\n")), "");
    }
}
